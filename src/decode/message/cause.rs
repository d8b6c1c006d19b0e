//! Why a direct access failed, from the words of its error.

use crate::event::Cause;
use regex::Regex;
use std::sync::LazyLock;

/// A refused connection.
static REFUSED: LazyLock<Regex> = LazyLock::new(|| pattern(r"ECONNREFUSED"));

/// The network's other failures: Node's and the platform's error codes, undici's texts, and the executor's own wording
/// for what it has retried in vain.
static NETWORK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)fetch failed|transient network error|ECONNRESET|connection reset|socket hang up|ECONNABORTED|EPIPE\b|other side closed|ETIMEDOUT|ESOCKETTIMEDOUT|UND_ERR_[A-Z_]*TIMEOUT|timed[ -]out|time-?out\b|ENOTFOUND|EAI_AGAIN|getaddrinfo|EHOSTUNREACH|ENETUNREACH|UND_ERR_SOCKET",
    )
});

/// An answer of the backend that is an error of its own: a status 5xx, or what the executor says of one.
static BACKEND: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)transient error while running|\b(?:http|status|code|response)[^0-9\n]{0,24}\b5\d\d\b|\b5\d\d (?:internal server error|not implemented|bad gateway|service unavailable|gateway time-?out)",
    )
});

/// A blob that is not there.
static NOT_FOUND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:http|status|code|response)[^0-9\n]{0,24}\b404\b|\b404 not found|not found"));

#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles each")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Classifies a failure by its `error` and `cause`, the first rule that applies to either.
pub(crate) fn classify(error: Option<&str>, cause: Option<&str>) -> Cause {
    let texts: Vec<&str> = [error, cause].into_iter().flatten().collect();
    if texts.is_empty() {
        return Cause::Unstated;
    }
    let says = |pattern: &Regex| texts.iter().any(|text| pattern.is_match(text));
    if says(&REFUSED) {
        Cause::ConnectionRefused
    } else if says(&NETWORK) {
        Cause::Network
    } else if says(&BACKEND) {
        Cause::BackendError
    } else if says(&NOT_FOUND) {
        Cause::NotFound
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_applies_decides() {
        let check = |error, cause, expected| assert_eq!(classify(error, cause), expected, "{error:?} {cause:?}");
        check(None, None, Cause::Unstated);
        check(
            Some("Transient network error running storage get url (ECONNREFUSED, 5 attempts)"),
            Some("fetch failed"),
            Cause::ConnectionRefused,
        );
        check(Some("fetch failed"), Some("connect ECONNREFUSED 127.0.0.1:80"), Cause::ConnectionRefused);
        check(Some("Transient network error running storage get url (ECONNRESET, 5 attempts)"), None, Cause::Network);
        check(Some("fetch failed"), None, Cause::Network);
        check(Some("getaddrinfo ENOTFOUND backend"), None, Cause::Network);
        check(Some("The operation was aborted due to timeout"), None, Cause::Network);
        check(Some("Transient error while running storage get url: Internal Server Error"), None, Cause::BackendError);
        check(Some("HTTP 503"), None, Cause::BackendError);
        check(Some("Request failed with status code 500"), None, Cause::BackendError);
        check(Some("502 Bad Gateway"), None, Cause::BackendError);
        check(Some("HTTP status 404"), None, Cause::NotFound);
        check(Some("Storage id not found"), None, Cause::NotFound);
        check(Some("HTTP 403"), None, Cause::Other);
        check(Some(""), None, Cause::Other);
        check(None, Some("blob of 512 bytes is broken"), Cause::Other);
    }
}
