//! Why a direct access failed, from the words of its error.

use crate::event::Cause;
use aho_corasick::AhoCorasick;
use regex::Regex;
use std::sync::LazyLock;

/// A refused connection, by the error code that Node gives.
const REFUSED: &str = "ECONNREFUSED";

/// The network's other failures: Node's and the platform's error codes, undici's texts, and the executor's own wording
/// for what it has retried in vain.
const NETWORK: [&str; 23] = [
    "fetch failed",
    "transient network error",
    "econnreset",
    "connection reset",
    "socket hang up",
    "econnaborted",
    "epipe",
    "other side closed",
    "etimedout",
    "esockettimedout",
    "und_err_socket",
    "und_err_connect",
    "timed out",
    "timed-out",
    "timeout",
    "time-out",
    "time out",
    "enotfound",
    "eai_again",
    "getaddrinfo",
    "ehostunreach",
    "enetunreach",
    "network error",
];

static NETWORK_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&NETWORK));

/// What the executor says of an answer of the backend that is an error of its own.
static BACKEND_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&["transient error while running"]));

/// An HTTP status 5xx, named as one or with its reason.
static STATUS_5XX: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:http|status|code|response)[^0-9\n]{0,24}\b5[0-9][0-9]\b|\b5[0-9][0-9] (?:internal server error|not implemented|bad gateway|service unavailable|gateway time-?out)",
    )
});

/// A blob that is not there.
static NOT_FOUND_WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&["not found"]));

/// An HTTP status 404.
static STATUS_404: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:http|status|code|response)[^0-9\n]{0,24}\b404\b"));

#[expect(clippy::expect_used, reason = "the words are constants, and a test looks for each")]
fn words(words: &[&str]) -> AhoCorasick {
    AhoCorasick::builder().ascii_case_insensitive(true).build(words).expect("a few words compile")
}

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
    let any = |says: &dyn Fn(&str) -> bool| texts.iter().any(|text| says(text));
    // Compiling a pattern takes longer than reading a megabyte: only a text with a digit in it needs one.
    if any(&|text| text.contains(REFUSED)) {
        Cause::ConnectionRefused
    } else if any(&|text| NETWORK_WORDS.is_match(text)) {
        Cause::Network
    } else if any(&|text| BACKEND_WORDS.is_match(text) || (text.contains('5') && STATUS_5XX.is_match(text))) {
        Cause::BackendError
    } else if any(&|text| NOT_FOUND_WORDS.is_match(text) || (text.contains("404") && STATUS_404.is_match(text))) {
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
