//! What an outcome means where it happened.
//!
//! A table and nothing else: hosting × outcome → verdict and severity, and the advice that goes with them.

use crate::event::{Cause, Hosting, Outcome};
use serde::{Deserialize, Serialize};

/// What to make of an outcome, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// A person should look at it.
    Investigate,
    /// It works, by a detour that should not be needed there.
    Degraded,
    /// A word that this program does not know.
    Unrecognised,
    /// It works by a detour that is usual there.
    Expected,
    /// It works.
    Healthy,
}

impl Verdict {
    /// Every verdict, the gravest first.
    pub const ALL: [Self; 5] = [Self::Investigate, Self::Degraded, Self::Unrecognised, Self::Expected, Self::Healthy];

    /// The text in columns and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Investigate => "investigate",
            Self::Degraded => "degraded",
            Self::Unrecognised => "unrecognised",
            Self::Expected => "expected",
            Self::Healthy => "healthy",
        }
    }
}

/// How urgent a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// At once.
    Critical,
    /// In working hours.
    Warning,
    /// For the record.
    Info,
}

impl Severity {
    /// Every severity, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Info];

    /// The text in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What an outcome means in a deployment. Where nothing is wrong there is no severity.
pub fn judge(hosting: Hosting, deployment_type: Option<&str>, outcome: Outcome) -> (Verdict, Option<Severity>) {
    let spare = matches!(deployment_type, Some("dev" | "preview" | "custom"));
    match (outcome, hosting) {
        (Outcome::Direct, _) => (Verdict::Healthy, None),
        (Outcome::Other, _) => (Verdict::Unrecognised, Some(Severity::Info)),
        (Outcome::HttpFallback, Hosting::Cloud) => {
            (Verdict::Degraded, Some(if spare { Severity::Info } else { Severity::Warning }))
        }
        (Outcome::HttpFallback, _) => (Verdict::Expected, None),
        (Outcome::DirectFailed, Hosting::Cloud) => {
            (Verdict::Investigate, Some(if spare { Severity::Warning } else { Severity::Critical }))
        }
        (Outcome::DirectFailed, Hosting::SelfHosted) => (Verdict::Investigate, Some(Severity::Warning)),
        (Outcome::DirectFailed, Hosting::Local) => (Verdict::Investigate, Some(Severity::Info)),
        (Outcome::DirectFailed, Hosting::Unknown) => (Verdict::Investigate, Some(Severity::Critical)),
    }
}

/// What an outcome means in a deployment of which the configuration may say that direct access is expected there: then a
/// fallback is a fault, wherever it runs.
pub fn judge_expecting(
    direct: bool,
    hosting: Hosting,
    deployment_type: Option<&str>,
    outcome: Outcome,
) -> (Verdict, Option<Severity>) {
    match judge(hosting, deployment_type, outcome) {
        (Verdict::Expected, _) if direct => (Verdict::Degraded, Some(Severity::Warning)),
        usual => usual,
    }
}

/// What to do about a fallback where it is a fault only because direct access is expected.
pub const DIRECT_IS_EXPECTED: &str = "The configuration says that direct access is expected in this deployment, and the HTTP fallback was used: look at the \
     fallback's reason, and make the direct path work (where the backend runs in a container, forward port 80 in it to the \
     backend: socat TCP-LISTEN:80,fork TCP:127.0.0.1:3210), or take expect = \"direct\" out.";

/// What to do about an outcome, in a sentence or two; nothing where nothing is to be done.
pub fn advice(hosting: Hosting, outcome: Outcome, cause: Option<Cause>) -> Option<&'static str> {
    match (outcome, hosting, cause) {
        (Outcome::Direct, ..) => None,
        (Outcome::HttpFallback, Hosting::Cloud, _) => Some(
            "The fallback is a workaround for self-hosted backends and cannot normally succeed in Convex Cloud: check that these \
             records really come from Cloud, then why ctx.storage.get() was refused there.",
        ),
        (Outcome::HttpFallback, Hosting::Unknown, _) => Some(
            "Nothing says where this deployment runs. In Convex Cloud a fallback is a fault, self-hosted it is usual: settle it \
             with --hosting cloud or --hosting self_hosted.",
        ),
        (Outcome::HttpFallback, ..) => None,
        (Outcome::DirectFailed, Hosting::Cloud, Some(Cause::ConnectionRefused | Cause::Network)) => Some(
            "The Node executor could not reach its backend. In Convex Cloud no configuration of yours is involved: look at Convex's \
             status page, then ask Convex support with the request id.",
        ),
        (Outcome::DirectFailed, _, Some(Cause::ConnectionRefused)) => Some(
            "Backends since 2026-07-28 report a refused connection as \"Transient network error … (ECONNREFUSED, 5 attempts)\" with \
             the cause \"fetch failed\", so a helper that looks for the old text never tries its HTTP fallback and direct-failed \
             appears where http-fallback used to. Either match the new text in the helper, or make the direct path work: forward \
             port 80 in the backend's container to the backend (socat TCP-LISTEN:80,fork TCP:127.0.0.1:3210).",
        ),
        (Outcome::DirectFailed, _, Some(Cause::Network)) => Some(
            "The Node executor reached no backend. Check that CONVEX_CLOUD_ORIGIN resolves and answers from inside the backend's \
             container.",
        ),
        (Outcome::DirectFailed, _, Some(Cause::BackendError)) => Some(
            "The backend answered with an error of its own: look at its log at that time, and at the storage behind it.",
        ),
        (Outcome::DirectFailed, _, Some(Cause::NotFound)) => {
            Some("The blob does not exist any more: check whether it was deleted before the action read it.")
        }
        (Outcome::DirectFailed, ..) => Some(
            "The access failed for a reason that the record does not tell well enough: look for the function's own error at that \
             time, by its request id.",
        ),
        (Outcome::Other, ..) => Some(
            "A storage access message with a word that storagewatch does not know, or one that was cut off: check the helper that \
             logs it.",
        ),
    }
}

/// What it means for a deployment that a blob is read this way, as a probe found.
pub fn meaning(hosting: Hosting, outcome: Outcome) -> &'static str {
    match (outcome, hosting) {
        (Outcome::Direct, _) => "Direct access works: actions read blobs from storage.",
        (Outcome::HttpFallback, Hosting::Cloud) => {
            "Direct access does not work, only the detour over HTTP: in Convex Cloud that is a fault."
        }
        (Outcome::HttpFallback, Hosting::SelfHosted | Hosting::Local) => {
            "Direct access does not work, the detour over HTTP does: usual where the backend is not Convex Cloud's."
        }
        (Outcome::HttpFallback, Hosting::Unknown) => "Direct access does not work, the detour over HTTP does.",
        (Outcome::DirectFailed, _) => "Neither path works: actions cannot read blobs.",
        (Outcome::Other, _) => "What happens when an action reads a blob is not known.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use {Hosting as H, Outcome as O, Severity as S, Verdict as V};
        let check = |hosting, kind, outcome, expected| assert_eq!(judge(hosting, kind, outcome), expected);
        for hosting in H::ALL {
            check(hosting, None, O::Direct, (V::Healthy, None));
            check(hosting, None, O::Other, (V::Unrecognised, Some(S::Info)));
        }
        for kind in [None, Some("prod")] {
            check(H::Cloud, kind, O::HttpFallback, (V::Degraded, Some(S::Warning)));
            check(H::Cloud, kind, O::DirectFailed, (V::Investigate, Some(S::Critical)));
        }
        for kind in ["dev", "preview", "custom"] {
            check(H::Cloud, Some(kind), O::HttpFallback, (V::Degraded, Some(S::Info)));
            check(H::Cloud, Some(kind), O::DirectFailed, (V::Investigate, Some(S::Warning)));
        }
        for hosting in [H::SelfHosted, H::Local, H::Unknown] {
            check(hosting, None, O::HttpFallback, (V::Expected, None));
        }
        check(H::SelfHosted, None, O::DirectFailed, (V::Investigate, Some(S::Warning)));
        check(H::Local, None, O::DirectFailed, (V::Investigate, Some(S::Info)));
        check(H::Unknown, None, O::DirectFailed, (V::Investigate, Some(S::Critical)));
        assert!(Verdict::Investigate < Verdict::Healthy);
    }

    #[test]
    fn a_fallback_is_a_fault_where_direct_access_is_expected() {
        use {Hosting as H, Outcome as O, Severity as S, Verdict as V};
        for hosting in [H::SelfHosted, H::Local, H::Unknown] {
            assert_eq!(judge_expecting(true, hosting, None, O::HttpFallback), (V::Degraded, Some(S::Warning)));
            assert_eq!(judge_expecting(false, hosting, None, O::HttpFallback), (V::Expected, None));
        }
        assert_eq!(judge_expecting(true, H::Cloud, Some("dev"), O::HttpFallback), (V::Degraded, Some(S::Info)));
        for outcome in [O::Direct, O::DirectFailed, O::Other] {
            assert_eq!(judge_expecting(true, H::Local, None, outcome), judge(H::Local, None, outcome));
        }
    }

    #[test]
    fn the_rewording_is_told_where_it_matters() {
        let told = |hosting| advice(hosting, Outcome::DirectFailed, Some(Cause::ConnectionRefused)).unwrap();
        assert!(told(Hosting::SelfHosted).contains("2026-07-28") && told(Hosting::SelfHosted).contains("port 80"));
        assert!(!told(Hosting::Cloud).contains("port 80"));
        assert!(advice(Hosting::Unknown, Outcome::HttpFallback, None).unwrap().contains("--hosting"));
        assert_eq!(advice(Hosting::SelfHosted, Outcome::HttpFallback, None), None);
    }
}
