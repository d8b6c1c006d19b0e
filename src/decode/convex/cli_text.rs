//! Lines that Convex's command-line client and Node clients print: `<time> [CONVEX A(module:name)] [LOG] 'text' …`, and
//! the banner above them. `npm-packages/convex/src/cli/lib/logs.ts` and `announceDeploymentTarget.ts`.

use crate::event::FunctionType;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

/// How long the client's time stamp, or another tool's prefix before it, may be.
const MAX_PREFIX: usize = 96;

/// A line with the client's prefix.
#[derive(Debug, PartialEq)]
pub(in crate::decode) struct Prefixed<'a> {
    pub(in crate::decode) function_type: Option<FunctionType>,
    pub(in crate::decode) function: &'a str,
    /// What follows: `[LEVEL] arguments`, or the client's own words.
    pub(in crate::decode) rest: &'a str,
}

impl Prefixed<'_> {
    /// Whether the client says something about the function, where no level shows a line of the function's own.
    pub(in crate::decode) fn is_client_text(&self) -> bool {
        self.rest.starts_with("Function executed in ") || self.rest == "Could not parse console.log"
    }
}

/// Splits the client's prefix off a line. Its time stamp depends on the locale and is passed over; a quote or a brace
/// before the prefix means that it stands in somebody's text.
pub(in crate::decode) fn split(line: &str) -> Option<Prefixed<'_>> {
    let beginning = &line.as_bytes()[..line.len().min(MAX_PREFIX + 8)];
    let at = memchr_iter(b'[', beginning).find(|at| beginning[*at..].starts_with(b"[CONVEX "))?;
    if line.get(..at)?.contains(['\'', '"', '`', '{', '}']) {
        return None;
    }
    let rest = line.get(at + "[CONVEX ".len()..)?;
    let (kind, rest) = rest.split_once('(')?;
    if !matches!(kind, "Q" | "M" | "A" | "H" | "?" | "") {
        return None;
    }
    // An HTTP action's identifier is its path, in which brackets may stand.
    let (function, rest) = rest.split_once(")] ").or_else(|| Some((rest.strip_suffix(")]")?, "")))?;
    Some(Prefixed { function_type: FunctionType::parse(kind), function, rest })
}

/// What the banner says of the deployment whose logs follow.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Banner {
    /// The deployment's address.
    pub url: Option<String>,
    /// The deployment's name.
    pub deployment: Option<String>,
}

/// Reads a line of the banner: `▌ └─ URL`, or `Watching logs for … deployment NAME...`.
pub(in crate::decode) fn banner(line: &str) -> Option<Banner> {
    if let Some(rest) = line.trim_start().strip_prefix('▌') {
        let url = rest.trim_start().strip_prefix("└─")?.trim();
        let url = url.split_whitespace().next()?;
        return url.contains("://").then(|| Banner { url: super::log_stream::named(url), deployment: name_in(url) });
    }
    let rest = line.trim().strip_prefix("Watching logs for ")?;
    let (_, name) = rest.split_once("deployment")?;
    let name = name.trim().trim_end_matches(['.', '…']).trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (!name.is_empty() && name.bytes().all(plain))
        .then(|| Banner { url: None, deployment: super::log_stream::named(name) })
}

/// The deployment's name in an address of Convex Cloud: its host's first label.
pub(crate) fn name_in(url: &str) -> Option<String> {
    let host = host_of(url);
    let name = host.strip_suffix(".convex.cloud").or_else(|| host.strip_suffix(".convex.site"))?;
    super::log_stream::named(name.split('.').next()?)
}

/// The host in an address, in lower case, without port and brackets.
pub(crate) fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_locale_and_any_function() {
        for time in [
            "11/23/2026, 8:27:21 AM ",
            "30.1.2026, 03:26:45 ",
            "2026/1/30 2:26:40 ",
            "2026. 1. 30. AM 2:26:40 ",
            "٣٠‏/١‏/٢٠٢٦، ٢:٢٦:٤٠ ص ",
            "1/30/2026, 2:26:40\u{202f}AM ",
            "$ 1/30/2026, 2:26:40 AM ",
            "%c",
            "",
        ] {
            let line = format!("{time}[CONVEX A(zip:run)] [LOG] 'x'");
            let split = split(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((split.function, split.rest), ("zip:run", "[LOG] 'x'"), "{line}");
        }
        let http = split("x [CONVEX H(GET /a/(b)/c)] [LOG] 'x'").unwrap();
        assert_eq!((http.function_type, http.function), (Some(FunctionType::HttpAction), "GET /a/(b)/c"));
        assert_eq!(split("it says '[CONVEX A(a:b)] [LOG] x'"), None);
        assert_eq!(split("[CONVEX X(a:b)] [LOG] x"), None);
    }

    #[test]
    fn banners_name_the_deployment() {
        let cloud = banner("▌ └─ https://happy-otter-123.convex.cloud").unwrap();
        assert_eq!(cloud.deployment.as_deref(), Some("happy-otter-123"));
        let own = banner("▌ └─ http://mark.convex.cloud.loc").unwrap();
        assert_eq!((own.deployment, own.url.as_deref()), (None, Some("http://mark.convex.cloud.loc")));
        let named = banner("Watching logs for production deployment happy-otter-123...").unwrap();
        assert_eq!(named.deployment.as_deref(), Some("happy-otter-123"));
        assert_eq!(banner("Watching logs for dev deployment..."), None);
        assert_eq!(banner("▌ Showing logs of deployment:"), None);
    }

    #[test]
    fn hosts() {
        assert_eq!(host_of("https://User@Happy.convex.cloud:443/x"), "happy.convex.cloud");
        assert_eq!(host_of("http://[::1]:3210"), "::1");
        assert_eq!(name_in("https://happy-otter-123.eu-west-1.convex.site/x").as_deref(), Some("happy-otter-123"));
    }
}
