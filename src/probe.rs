//! What the application's own diagnostic endpoints say of the two ways to a blob.
//!
//! Enters the body that `GET /debug/node-network-test?storageId=…` answers; leaves a [`Probe`]: which path works, and
//! where one does not, why. What that means is `policy`'s to say.

pub(crate) mod ask;

use crate::attribute::{Attribution, Given, attribute, named_by_url};
use crate::decode::classify;
use crate::event::{Cause, Hosting, Origin, Outcome, clip};
use crate::policy::{self, Verdict};
use serde_json::Value;
use std::time::Duration;

/// How much of an error's text is kept.
const MAX_TEXT: usize = 4096;

/// One of the ways to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// `ctx.storage.get()` in a Node action.
    Direct,
    /// An HTTP endpoint of the application's own backend.
    Http,
}

impl Path {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Http];

    /// The text in labels and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Http => "http",
        }
    }

    /// What the application calls its test of it, the newer name first.
    const fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Direct => &["node_storage_get_direct", "node_storage_get"],
            Self::Http => &["node_storage_via_http_workaround"],
        }
    }
}

/// How one path fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried {
    /// Whether the blob was read.
    pub success: bool,
    /// What went wrong.
    pub error: Option<String>,
    /// What was behind that.
    pub cause: Option<String>,
    /// How many bytes were read.
    pub size_bytes: Option<u64>,
    /// How long it took, where the application says.
    pub duration: Option<Duration>,
    /// Whether the application did not say how it fared.
    pub untested: bool,
}

impl Tried {
    /// What went wrong and what was behind it, in one text.
    pub fn said(&self) -> Option<String> {
        let texts = [&self.error, &self.cause].map(Option::as_deref);
        let said: Vec<&str> = texts.into_iter().flatten().collect();
        (!self.success && !said.is_empty()).then(|| said.join(": "))
    }

    /// Why the blob was not read.
    pub fn class(&self) -> Option<Cause> {
        (!self.success && !self.untested).then(|| classify(self.error.as_deref(), self.cause.as_deref()))
    }

    fn read(path: Path, test: &Value, expected_size: Option<u64>) -> Option<Self> {
        let behind = |key| test.get("error").and_then(|error| error.get(key));
        let milliseconds = test.get("ms").and_then(Value::as_f64).filter(|ms| (0.0..1e9).contains(ms));
        let mut tried = Self {
            success: test.get("success").and_then(Value::as_bool)?,
            error: test.get("error").and_then(text),
            cause: test.get("cause").and_then(text).or_else(|| behind("cause").and_then(text)),
            size_bytes: test.get("size").and_then(Value::as_u64),
            duration: milliseconds.map(|ms| Duration::from_secs_f64(ms / 1000.0)),
            untested: false,
        };
        if tried.success {
            // The executor does not look at the status of what it fetches: an error's page counts as a blob there.
            if let (Some(size), Some(expected)) = (tried.size_bytes, expected_size)
                && size != expected
            {
                tried.success = false;
                tried.error =
                    Some(format!("{size} bytes were read of a blob of {expected}: something else was served"));
            }
        } else if tried.error.is_none() {
            tried.error = match (test.get("status").and_then(Value::as_u64), path) {
                (Some(status), _) => Some(format!("HTTP status {status}")),
                // A null instead of a blob.
                (None, Path::Direct) => Some("the blob was not found".to_owned()),
                (None, Path::Http) => None,
            };
        }
        Some(tried)
    }
}

/// What an error says: its text, or the message and the code of what was thrown.
fn text(error: &Value) -> Option<String> {
    let member = |key| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let said = match (error.as_str(), member("message"), member("code")) {
        (Some(text), ..) if !text.is_empty() => text.to_owned(),
        (_, Some(message), Some(code)) if !message.contains(code) => format!("{message} ({code})"),
        (_, Some(said), _) | (_, None, Some(said)) => said.to_owned(),
        _ => return None,
    };
    Some(clip(&said, MAX_TEXT))
}

/// An answer that does not say how both paths fared.
#[derive(Debug)]
pub struct Partial {
    /// What is wrong with it.
    pub what: String,
    /// What it says, where it says how the direct path fared.
    pub probe: Option<Box<Probe>>,
}

/// How both paths fared.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `ctx.storage.get()`.
    pub direct: Tried,
    /// The detour over HTTP.
    pub http: Tried,
    /// The deployment's address as the application knows it.
    pub deployment_url: Option<String>,
}

impl Probe {
    /// Reads an answer. The size of the blob, where it is known, tells it from an error's page.
    pub fn read(body: &str, expected_size: Option<u64>) -> Result<Self, Partial> {
        let strange = |what| Partial { what, probe: None };
        let value: Value = serde_json::from_str(body).map_err(|error| strange(format!("not JSON ({error})")))?;
        let tests = value.get("tests").ok_or_else(|| strange("without 'tests'".to_owned()))?;
        let tried = |path: Path| {
            let find = |name: &&&str| tests.get(**name).is_some_and(Value::is_object);
            let name = path.tests().iter().find(find);
            let name = name.ok_or_else(|| format!("without tests.{}", path.tests().join(" or tests.")))?;
            let tried = tests.get(name).and_then(|test| Tried::read(path, test, expected_size));
            tried.ok_or_else(|| format!("in which tests.{name}.success is neither true nor false"))
        };
        let url = value.get("env").and_then(|env| env.get("CONVEX_CLOUD_URL")).and_then(Value::as_str);
        let deployment_url = url.filter(|url| url.contains("://")).map(|url| clip(url, MAX_TEXT));
        match (tried(Path::Direct), tried(Path::Http)) {
            (Ok(direct), Ok(http)) => Ok(Self { direct, http, deployment_url }),
            (Ok(direct), Err(what)) => {
                let fares = direct.said().map_or("works".to_owned(), |said| format!("does not work: {said}"));
                let http = Tried { untested: true, ..Tried::default() };
                let what = format!("{what}; direct access {fares}");
                Err(Partial { what, probe: Some(Box::new(Self { direct, http, deployment_url })) })
            }
            (Err(what), Ok(_)) => Err(strange(what)),
            (Err(direct), Err(http)) => Err(strange(format!("{direct} and {http}"))),
        }
    }

    /// How a path fared.
    pub fn tried(&self, path: Path) -> &Tried {
        match path {
            Path::Direct => &self.direct,
            Path::Http => &self.http,
        }
    }

    /// What an access comes to.
    pub fn outcome(&self) -> Outcome {
        outcome(Path::ALL.map(|path| self.tried(path).success))
    }

    /// Whether the blob is not there any more: who reads it either way says so.
    pub fn is_without_blob(&self) -> bool {
        Path::ALL.iter().all(|path| self.tried(*path).class() == Some(Cause::NotFound))
    }

    /// Whose it is, by what the application says of its deployment, else by the address that was probed.
    pub fn origin(&self, probed: &str, given: &Given) -> Origin {
        let urls = [self.deployment_url.as_deref().unwrap_or(probed), probed];
        let deployment = urls.iter().find_map(|url| named_by_url(url));
        let origins =
            urls.map(|url| Origin { url: Some(url.to_owned()), deployment: deployment.clone(), ..Origin::default() });
        let is_told = |origin: &Origin| attribute(origin, given).hosting != Hosting::Unknown;
        let [by_application, by_address] = origins;
        if is_told(&by_application) { by_application } else { by_address }
    }

    /// Whether the application is meant to need no detour there.
    pub fn must_be_direct(place: &Attribution, expects_direct: bool) -> bool {
        let detour = policy::judge(place.hosting, place.deployment_type.as_deref(), Outcome::HttpFallback).0;
        expects_direct || detour == Verdict::Degraded
    }

    /// What to make of it.
    pub fn verdict(&self, place: &Attribution, expects_direct: bool) -> Verdict {
        match policy::judge(place.hosting, place.deployment_type.as_deref(), self.outcome()).0 {
            Verdict::Expected if expects_direct => Verdict::Degraded,
            verdict => verdict,
        }
    }

    /// What it means there, and what to do.
    pub fn advice(&self, hosting: Hosting, expects_direct: bool) -> Vec<&'static str> {
        let (outcome, cause) = (self.outcome(), self.direct.class());
        let mut advice = vec![policy::meaning(hosting, outcome)];
        advice.extend(policy::advice(hosting, outcome, cause));
        // A detour that works helps only a helper that takes it; and where direct access is meant to work, how to make it.
        if outcome == Outcome::HttpFallback
            && hosting != Hosting::Cloud
            && (expects_direct || !self.is_worded_as_before())
        {
            advice.extend(policy::advice(hosting, Outcome::DirectFailed, cause));
        }
        advice
    }

    /// Whether a helper that looks for the older text of a refused connection finds it.
    fn is_worded_as_before(&self) -> bool {
        let has = |text: &Option<String>, words| text.as_ref().is_some_and(|text| text.contains(words));
        has(&self.direct.cause, "ECONNREFUSED") || has(&self.direct.error, "fetch failed")
    }
}

/// What an access comes to where these paths work, in the order of [`Path::ALL`].
pub fn outcome([direct, http]: [bool; Path::ALL.len()]) -> Outcome {
    match (direct, http) {
        (true, _) => Outcome::Direct,
        (false, true) => Outcome::HttpFallback,
        (false, false) => Outcome::DirectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(direct: &str, http: &str) -> Probe {
        let tests = format!(r#""node_storage_get_direct":{direct},"node_storage_via_http_workaround":{http}"#);
        Probe::read(&format!(r#"{{"tests":{{{tests}}},"env":{{}}}}"#), Some(34)).unwrap()
    }

    const WORKS: &str = r#"{"success":true,"size":34,"type":"text/plain","ms":12}"#;
    const REFUSED: &str = r#"{"success":false,"error":"fetch failed","cause":"connect ECONNREFUSED 127.0.0.1:80"}"#;
    const REWORDED: &str = r#"{"success":false,"error":"Transient network error running storage get url (ECONNREFUSED, 5 attempts)","cause":"fetch failed"}"#;

    #[test]
    fn each_path_is_told_with_its_cause() {
        let probe = answer(REFUSED, WORKS);
        assert_eq!(probe.outcome(), Outcome::HttpFallback);
        assert_eq!((probe.direct.class(), probe.http.class()), (Some(Cause::ConnectionRefused), None));
        assert_eq!((probe.http.size_bytes, probe.http.duration), (Some(34), Some(Duration::from_millis(12))));
        assert_eq!(answer(WORKS, REFUSED).outcome(), Outcome::Direct);
        let gone =
            answer(r#"{"success":false,"size":0,"type":null,"ms":3}"#, r#"{"success":false,"status":404,"ms":5}"#);
        assert_eq!((gone.direct.class(), gone.http.class()), (Some(Cause::NotFound), Some(Cause::NotFound)));
        assert_eq!(gone.outcome(), Outcome::DirectFailed);
        assert!(gone.is_without_blob() && !answer(REFUSED, r#"{"success":false,"status":404}"#).is_without_blob());
        // The page of an error is no blob.
        let page = answer(r#"{"success":true,"size":21,"ms":3}"#, WORKS);
        assert!(!page.direct.success && page.direct.error.unwrap().contains("21 bytes"));
    }

    #[test]
    fn both_names_of_the_direct_test_are_known_and_what_is_missing_is_named() {
        let old = format!(r#"{{"tests":{{"node_storage_get":{REFUSED},"node_storage_via_http_workaround":{WORKS}}}}}"#);
        assert_eq!(Probe::read(&old, None).unwrap().direct.class(), Some(Cause::ConnectionRefused));
        for (body, what) in [
            ("<html>", "not JSON"),
            ("{}", "without 'tests'"),
            (r#"{"tests":{}}"#, "without tests.node_storage_get_direct or tests.node_storage_get"),
            (r#"{"tests":{"node_storage_get":{}}}"#, "without tests.node_storage_via_http_workaround"),
            (r#"{"tests":{"node_storage_get":5}}"#, "without tests.node_storage_get_direct"),
        ] {
            let error = Probe::read(body, None).unwrap_err().what;
            assert!(error.contains(what), "{body}: {error}");
        }
    }

    #[test]
    fn a_success_that_is_neither_true_nor_false_is_none_and_no_failure() {
        for direct in [r#"{"size":34}"#, r#"{"success":"true","size":34}"#, r#"{"success":null}"#, r#"{"success":1}"#] {
            let tests = format!(r#""node_storage_get_direct":{direct},"node_storage_via_http_workaround":{WORKS}"#);
            let partial = Probe::read(&format!(r#"{{"tests":{{{tests}}}}}"#), Some(34)).unwrap_err();
            assert!(partial.probe.is_none(), "{direct}");
            assert_eq!(partial.what, "in which tests.node_storage_get_direct.success is neither true nor false");
            let tests = format!(r#""node_storage_get_direct":{REFUSED},"node_storage_via_http_workaround":{direct}"#);
            let partial = Probe::read(&format!(r#"{{"tests":{{{tests}}}}}"#), Some(34)).unwrap_err();
            let probe = partial.probe.unwrap();
            assert_eq!((probe.direct.class(), probe.http.class()), (Some(Cause::ConnectionRefused), None));
            assert!(probe.http.untested && partial.what.contains("does not work: fetch failed: connect ECONNREFUSED"));
        }
    }

    #[test]
    fn errors_that_are_objects_are_read() {
        let told = |members: &str| {
            let probe = answer(&format!(r#"{{"success":false,{members}}}"#), WORKS);
            (probe.direct.said().unwrap_or_default(), probe.direct.class())
        };
        let refused = Some(Cause::ConnectionRefused);
        for (members, said, class) in [
            (
                r#""error":{"message":"fetch failed"},"cause":{"code":"ECONNREFUSED"}"#,
                "fetch failed: ECONNREFUSED",
                refused,
            ),
            (r#""error":{"message":"no way","code":"ECONNREFUSED"}"#, "no way (ECONNREFUSED)", refused),
            (
                r#""error":{"message":"fetch failed","cause":{"message":"connect ECONNREFUSED ::1","code":"ECONNREFUSED"}}"#,
                "fetch failed: connect ECONNREFUSED ::1",
                refused,
            ),
            (r#""error":{},"cause":null"#, "the blob was not found", Some(Cause::NotFound)),
        ] {
            assert_eq!(told(members), (said.to_owned(), class), "{members}");
        }
    }

    #[test]
    fn what_should_work_depends_on_where_it_runs() {
        let verdict = |probe: &Probe, hosting, expects| {
            let given = Given { deployment: None, hosting: Some(hosting) };
            probe.verdict(&attribute(&Origin::default(), &given), expects)
        };
        let detour = answer(REFUSED, WORKS);
        assert_eq!(verdict(&detour, Hosting::Cloud, false), Verdict::Degraded);
        assert_eq!(verdict(&detour, Hosting::SelfHosted, false), Verdict::Expected);
        assert_eq!(verdict(&detour, Hosting::SelfHosted, true), Verdict::Degraded);
        assert_eq!(verdict(&answer(REFUSED, REFUSED), Hosting::Local, false), Verdict::Investigate);
        assert_eq!(verdict(&answer(WORKS, REFUSED), Hosting::Cloud, false), Verdict::Healthy);
    }

    #[test]
    fn the_rewording_is_told_only_where_it_was_reworded() {
        let told = |direct, expects| answer(direct, WORKS).advice(Hosting::SelfHosted, expects).concat();
        assert!(told(REWORDED, false).contains("2026-07-28"));
        assert!(!told(REFUSED, false).contains("2026-07-28"));
        assert!(told(REFUSED, true).contains("port 80"));
    }

    #[test]
    fn the_application_says_whose_it_is() {
        let mut probe = answer(WORKS, WORKS);
        let place = |probe: &Probe, url| {
            let place = attribute(&probe.origin(url, &Given::default()), &Given::default());
            (place.deployment.to_string(), place.hosting)
        };
        assert_eq!(place(&probe, "http://127.0.0.1:3211"), ("unknown".to_owned(), Hosting::SelfHosted));
        assert_eq!(place(&probe, "https://a-b-123.convex.site"), ("a-b-123".to_owned(), Hosting::Cloud));
        probe.deployment_url = Some("https://happy-otter-123.convex.cloud".to_owned());
        assert_eq!(place(&probe, "https://www.example.com"), ("happy-otter-123".to_owned(), Hosting::Cloud));
        probe.deployment_url = Some("https://convex.example.com".to_owned());
        assert_eq!(place(&probe, "http://10.0.0.5:3211"), ("unknown".to_owned(), Hosting::SelfHosted));
    }
}
