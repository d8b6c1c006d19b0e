//! Reads the commonest line of all from its exact bytes: a log stream event around the application's JSON, as Convex and
//! the application write them today.
//!
//! It accepts a line only if every byte of it is as expected, so that what it reads is what the decoder would read;
//! anything else is left to the decoder. It is why a corpus in which every line matters is read at several GB/s: the
//! decoder needs about 2 µs a record, this 0.1.

use super::convex::log_stream;
use super::json::{self, Parsed};
use super::message::MAX_NAME;
use crate::event::{Origin, Outcome, Timestamp};

/// The decoder clips longer texts.
const LONG: usize = 1024;

/// What the counts need of an event.
#[derive(Debug, PartialEq)]
pub(crate) struct Exact<'a> {
    pub(crate) time: Timestamp,
    pub(crate) outcome: Outcome,
    pub(crate) function: &'a [u8],
    pub(crate) size_bytes: Option<u64>,
    pub(crate) error: Option<&'a [u8]>,
    pub(crate) cause: Option<&'a [u8]>,
    /// The `convex` object, not looked into.
    pub(crate) convex: Option<&'a [u8]>,
}

/// Reads a line, if it is exactly what Convex writes.
pub(crate) fn read(line: &[u8]) -> Option<Exact<'_>> {
    let mut at = Cursor { rest: line };
    at.expect(b"{\"timestamp\":")?;
    at.number()?;
    at.expect(b",\"topic\":\"console\",\"function\":{\"path\":\"")?;
    let function = at.plain(b"\"").filter(|function| function.len() <= MAX_NAME)?;
    at.expect(b",\"type\":\"")?;
    at.plain(b"\"")?;
    at.expect(b",\"cached\":")?;
    at.either(b"false", b"null")?;
    at.expect(b",\"request_id\":\"")?;
    at.plain(b"\"")?;
    at.expect(b",\"mutation_queue_length\":")?;
    at.number_or_null()?;
    at.expect(b",\"mutation_retry_count\":")?;
    at.number_or_null()?;
    at.expect(b"},\"log_level\":\"")?;
    at.plain(b"\"")?;
    at.expect(b",\"message\":\"'{\\\"timestamp\\\":\\\"")?;
    let time = at.plain(b"\\\"")?;
    // The decoder would fall back on the record's time.
    let time = Timestamp::parse_utc_millis(time)?;
    at.expect(b",\\\"level\\\":\\\"")?;
    at.plain(b"\\\"")?;
    at.expect(b",\\\"topic\\\":\\\"")?;
    at.plain(b"\\\"")?;
    at.expect(b",\\\"context\\\":\\\"")?;
    at.plain(b"\\\"")?;
    at.expect(b",\\\"message\\\":\\\"Storage access: ")?;
    // A word that is none of the three may be followed by arguments in the message.
    let outcome = match at.plain(b"\\\"")? {
        b"direct" => Outcome::Direct,
        b"http-fallback" => Outcome::HttpFallback,
        b"direct-failed" => Outcome::DirectFailed,
        _ => return None,
    };
    at.expect(b",\\\"metadata\\\":{")?;
    let mut exact = Exact { time, outcome, function, size_bytes: None, error: None, cause: None, convex: None };
    loop {
        at.expect(b"\\\"")?;
        let key = at.plain(b"\\\"")?;
        at.expect(b":")?;
        let text = match at.expect(b"\\\"") {
            Some(()) => Some(at.plain(b"\\\"")?),
            None => None,
        };
        match (key, text) {
            (b"size", None) => exact.size_bytes = Some(at.number()?),
            (b"error" | b"cause", Some(text)) if text.len() > LONG => return None,
            (b"error", Some(text)) => exact.error = Some(text),
            (b"cause", Some(text)) => exact.cause = Some(text),
            (b"storageId" | b"reason" | b"note", Some(_)) => {}
            _ => return None,
        }
        if at.expect(b",").is_none() {
            break;
        }
    }
    at.expect(b"}}'\",\"is_truncated\":false,\"system_code\":null")?;
    if at.rest == b"}" {
        return Some(exact);
    }
    at.expect(b",\"convex\":")?;
    exact.convex = Some(at.rest.strip_suffix(b"}").filter(|object| object.starts_with(b"{"))?);
    Some(exact)
}

/// Reads a `convex` object that [`read`] passed over; none where it is not JSON to its last byte.
pub(crate) fn origin(convex: &[u8]) -> Option<Origin> {
    match json::parse(std::str::from_utf8(convex).ok()?) {
        Parsed::Whole(object, "") => Some(log_stream::origin_of(Some(&object))),
        _ => None,
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    #[inline]
    fn either(&mut self, one: &[u8], other: &[u8]) -> Option<()> {
        self.expect(one).or_else(|| self.expect(other))
    }

    /// A whole number as JSON writes it, small enough to be exact everywhere.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let digits = self.rest.iter().take(16).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 15 || (digits > 1 && self.rest[0] == b'0') {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        if matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.rest = rest;
        Some(number.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    }

    #[inline]
    fn number_or_null(&mut self) -> Option<()> {
        self.expect(b"null").or_else(|| self.number().map(|_| ()))
    }

    /// Text without anything that is escaped at any layer, up to and over its closing quote. Short texts are the rule,
    /// so bytes are looked at one by one.
    #[inline]
    fn plain(&mut self, close: &[u8]) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|b| !PLAIN[usize::from(*b)])?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(close)?;
        Some(text)
    }
}

/// Bytes that stand for themselves in JSON, in a literal, and in JSON inside a literal inside JSON.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0x20;
    while b < 0x7f {
        plain[b] = !matches!(b as u8, b'"' | b'\\' | b'\'' | b'`');
        b += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":1795422441083,"topic":"console","function":{"path":"zip:run","type":"action","cached":false,"request_id":"d064ef901f7ec0b7","mutation_queue_length":null,"mutation_retry_count":null},"log_level":"ERROR","message":"'{\"timestamp\":\"2026-11-23T08:27:21.083Z\",\"level\":\"error\",\"topic\":\"ARTIFACT\",\"context\":\"zip.run\",\"message\":\"Storage access: direct-failed\",\"metadata\":{\"storageId\":\"kg2\",\"size\":12,\"error\":\"fetch failed\"}}'","is_truncated":false,"system_code":null,"convex":{"deployment_name":"a"}}"#;

    #[test]
    fn the_line_that_convex_writes() {
        let exact = read(LINE.as_bytes()).unwrap();
        assert_eq!(exact.outcome, Outcome::DirectFailed);
        assert_eq!(
            (exact.size_bytes, exact.error, exact.function),
            (Some(12), Some(&b"fetch failed"[..]), &b"zip:run"[..])
        );
        assert_eq!(exact.convex, Some(&br#"{"deployment_name":"a"}"#[..]));
    }

    #[test]
    fn anything_else_is_left_to_the_decoder() {
        for (from, to) in [
            ("false,\"request", "true,\"request"),
            ("direct-failed", "direct-failed x"),
            ("console", "audit_log"),
            ("\"is_truncated\":false", "\"is_truncated\":true"),
            ("system_code\":null", "system_code\":\"warning:x\""),
            ("fetch failed", "it's"),
            ("fetch failed", "é"),
            (":12,", ":012,"),
            (":12,", ":1.5,"),
            ("\\\"size\\\"", "\\\"sizeBytes\\\""),
            ("{\"timestamp", " {\"timestamp"),
        ] {
            assert_ne!(LINE.replace(from, to), LINE, "{from}");
            assert_eq!(read(LINE.replace(from, to).as_bytes()), None, "{to}");
        }
        for end in 0..LINE.len() {
            // Where only the last brace is missing, it is missing in the object.
            let exact = read(&LINE.as_bytes()[..end]);
            assert!(exact.is_none_or(|exact| origin(exact.convex.unwrap()).is_none()), "cut at {end}");
        }
    }
}
