//! What every request must pass, and what every answer carries.
//!
//! A page in a browser can give its own name the address of this machine and then read what is served here (DNS
//! rebinding). Such requests carry the page's name as `Host`, so a server on a loopback address answers local names only.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Refuses what did not ask for a local name, where only those are served, and marks each answer as not to be kept.
pub(super) async fn guard(State(local_only): State<bool>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&request, local_only) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn refusal(request: &Request, local_only: bool) -> Option<(StatusCode, &'static str)> {
    if !local_only {
        return None;
    }
    let Some(host) = host(request.headers()) else {
        return Some((StatusCode::BAD_REQUEST, "The request must have one Host header.\n"));
    };
    // A request to a proxy names the host in its first line too.
    let named = request.uri().authority().map(axum::http::uri::Authority::as_str);
    (!is_local(host) || named.is_some_and(|named| !is_local(named))).then_some((
        StatusCode::FORBIDDEN,
        "This address answers to local names only: localhost, 127.0.0.1 or [::1]. To reach it by another name, let it \
         listen on an address that is not loopback, or have the proxy in front of it send \"Host: localhost\".\n",
    ))
}

/// The one `Host` of a request.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Whether a request comes from a page of another site, as browsers say with `Origin` and `Sec-Fetch-Site`.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return true;
    }
    headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        origin.is_none() || origin != host(headers)
    })
}

/// Whether a host, with or without a port, can only mean this machine.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            port_is_fine && address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback())
        });
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.strip_suffix(".localhost").is_some_and(|label| !label.is_empty())
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names() {
        for host in [
            "localhost",
            "LOCALHOST:10045",
            "localhost.",
            "watch.localhost:80",
            "127.0.0.1",
            "127.255.1.2:10045",
            "127.0.0.1:",
            "[::1]",
            "[::1]:10045",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:10045",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            ".localhost",
            "128.0.0.1",
            "0.0.0.0",
            "10.0.0.1:80",
            "2130706433",
            "::1",
            "[::2]",
            "[::1",
            "[::1]evil.example",
            "localhost:80:80",
            "localhost:evil",
            "evil@localhost",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites() {
        let check = |origin: Option<&'static str>, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:10045"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_foreign(&headers), expected, "{origin:?}");
        };
        check(None, false);
        check(Some("http://localhost:10045"), false);
        check(Some("http://localhost:8080"), true);
        check(Some("https://evil.example"), true);
        check(Some("null"), true);
        for (site, expected) in [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:10045"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            assert_eq!(is_foreign(&headers), expected, "{site}");
        }
    }
}
