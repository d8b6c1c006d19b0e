//! Reads the commonest line of all from its exact bytes: a log stream event around the application's JSON, as Convex and
//! the application write them today.
//!
//! It accepts a line only if every byte of it is as expected, so that what it reads is what the decoder would read;
//! anything else is left to the decoder. What it has accepted once it remembers as a [`Mould`]: the next line that differs
//! only in its ids, times and sizes takes five comparisons. The decoder needs about 2 µs a record, a strict reading
//! 0.2, a mould 0.07: it is why a corpus in which every line matters is read at several GB/s.

use super::convex::log_stream;
use super::json::{self, Parsed};
use super::message::{MAX_NAME, cause};
use crate::event::{Cause, Origin, Outcome, Timestamp};

/// The decoder clips longer texts.
const LONG: usize = 1024;

/// What the counts need of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exact<'l> {
    pub(crate) time: Timestamp,
    pub(crate) outcome: Outcome,
    pub(crate) cause: Option<Cause>,
    pub(crate) size_bytes: Option<u64>,
    /// The `convex` object, not looked into.
    pub(crate) convex: Option<&'l [u8]>,
    /// Which mould the line fits, until the next line is read.
    pub(crate) mould: usize,
}

/// Moulds that are kept: an application logs its three messages from a handful of places.
const MAX_MOULDS: usize = 16;

/// Reads lines, and remembers how they are made.
#[derive(Default)]
pub(crate) struct Reader {
    /// The commonest first, more or less.
    moulds: Vec<Mould>,
}

impl Reader {
    /// Reads a line, if it is exactly what Convex writes.
    pub(crate) fn read<'l>(&mut self, line: &'l [u8]) -> Option<Exact<'l>> {
        for at in 0..self.moulds.len() {
            if let Some((time, size_bytes, convex)) = self.moulds[at].fit(line) {
                let mould = at.saturating_sub(1);
                self.moulds.swap(at, mould);
                let Mould { outcome, cause, .. } = self.moulds[mould];
                return Some(Exact { time, outcome, cause, size_bytes, convex, mould });
            }
        }
        let parts = Parts::of(line)?;
        let mould = Mould::of(line, &parts);
        if self.moulds.len() == MAX_MOULDS {
            self.moulds.pop();
        }
        let Mould { outcome, cause, .. } = mould;
        self.moulds.push(mould);
        let (time, convex) = (parts.time, parts.convex);
        let size_bytes = parts.size.map(number_of);
        Some(Exact { time, outcome, cause, size_bytes, convex, mould: self.moulds.len() - 1 })
    }

    /// The function that logged the lines of a mould.
    pub(crate) fn function(&self, mould: usize) -> &str {
        self.moulds.get(mould).map_or("", |mould| &mould.function)
    }
}

/// What differs between lines of one mould.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// A number that says nothing here.
    Number,
    /// The application's time.
    Time,
    /// An id.
    Id,
    /// The blob's size.
    Size,
}

/// How a line is made: what is always the same, with slots between.
struct Mould {
    /// Each the bytes before a slot, and the slot.
    slots: Vec<(Box<[u8]>, Slot)>,
    /// What follows the last slot, up to the `convex` object or the end.
    rest: Box<[u8]>,
    has_convex: bool,
    outcome: Outcome,
    cause: Option<Cause>,
    function: String,
}

/// What stands in a mould's slots, and the `convex` object: the time, the blob's size, the object.
type Fitted<'l> = (Timestamp, Option<u64>, Option<&'l [u8]>);

impl Mould {
    /// Makes a mould of a line that was read strictly.
    fn of(line: &[u8], parts: &Parts<'_>) -> Self {
        let optional = [(parts.storage_id, Slot::Id), (parts.size, Slot::Size)];
        let mut found: Vec<(usize, usize, Slot)> =
            [(parts.number, Slot::Number), (parts.request_id, Slot::Id), (parts.time_text, Slot::Time)]
                .into_iter()
                .chain(optional.into_iter().filter_map(|(part, slot)| Some((part?, slot))))
                .map(|(part, slot)| (part.as_ptr() as usize - line.as_ptr() as usize, part.len(), slot))
                .collect();
        found.sort_by_key(|(at, ..)| *at);
        let mut slots = Vec::new();
        let mut from = 0;
        for (at, length, slot) in found {
            slots.push((line[from..at].into(), slot));
            from = at + length;
        }
        let end = line.len() - parts.convex.map_or(0, |convex| convex.len() + 1);
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let classified = || cause::classify(text(parts.error).as_deref(), text(parts.cause).as_deref());
        Self {
            slots,
            rest: line[from..end].into(),
            has_convex: parts.convex.is_some(),
            outcome: parts.outcome,
            cause: (parts.outcome == Outcome::DirectFailed).then(classified),
            function: String::from_utf8_lossy(parts.function).into_owned(),
        }
    }

    /// Fits a line into the mould: what stands in its slots, and the `convex` object.
    fn fit<'l>(&self, line: &'l [u8]) -> Option<Fitted<'l>> {
        let mut at = Cursor { rest: line };
        let mut time = None;
        let mut size = None;
        for (before, slot) in &self.slots {
            at.expect(before)?;
            match slot {
                Slot::Number => {
                    at.digits()?;
                }
                Slot::Time => {
                    let (text, rest) = at.rest.split_at_checked(24)?;
                    time = Some(Timestamp::parse_utc_millis(text)?);
                    at.rest = rest;
                }
                Slot::Id => {
                    let end = at.rest.iter().position(|b| !PLAIN[usize::from(*b)])?;
                    at.rest = &at.rest[end..];
                }
                Slot::Size => size = Some(number_of(at.digits()?)),
            }
        }
        at.expect(&self.rest)?;
        let convex = if self.has_convex {
            Some(object_before_brace(at.rest)?)
        } else {
            at.rest.is_empty().then_some(())?;
            None
        };
        Some((time?, size, convex))
    }
}

/// The parts of a line that was read byte by byte.
struct Parts<'l> {
    number: &'l [u8],
    function: &'l [u8],
    request_id: &'l [u8],
    time: Timestamp,
    time_text: &'l [u8],
    outcome: Outcome,
    storage_id: Option<&'l [u8]>,
    size: Option<&'l [u8]>,
    error: Option<&'l [u8]>,
    cause: Option<&'l [u8]>,
    convex: Option<&'l [u8]>,
}

impl<'l> Parts<'l> {
    fn of(line: &'l [u8]) -> Option<Self> {
        let mut at = Cursor { rest: line };
        at.expect(b"{\"timestamp\":")?;
        let number = at.digits()?;
        at.expect(b",\"topic\":\"console\",\"function\":{\"path\":\"")?;
        let function = at.plain(b"\"").filter(|function| function.len() <= MAX_NAME)?;
        at.expect(b",\"type\":\"")?;
        at.plain(b"\"")?;
        at.expect(b",\"cached\":")?;
        at.either(b"false", b"null")?;
        at.expect(b",\"request_id\":\"")?;
        let request_id = at.plain(b"\"")?;
        at.expect(b",\"mutation_queue_length\":")?;
        at.number_or_null()?;
        at.expect(b",\"mutation_retry_count\":")?;
        at.number_or_null()?;
        at.expect(b"},\"log_level\":\"")?;
        at.plain(b"\"")?;
        at.expect(b",\"message\":\"'{\\\"timestamp\\\":\\\"")?;
        let time_text = at.plain(b"\\\"")?;
        // The decoder would fall back on the record's time.
        let time = Timestamp::parse_utc_millis(time_text)?;
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
        let mut parts = Self {
            number,
            function,
            request_id,
            time,
            time_text,
            outcome,
            storage_id: None,
            size: None,
            error: None,
            cause: None,
            convex: None,
        };
        loop {
            at.expect(b"\\\"")?;
            let key = at.plain(b"\\\"")?;
            at.expect(b":")?;
            let place = match key {
                b"size" => &mut parts.size,
                b"storageId" => &mut parts.storage_id,
                b"error" => &mut parts.error,
                b"cause" => &mut parts.cause,
                b"reason" | b"note" => &mut None,
                _ => return None,
            };
            let value = if key == b"size" {
                at.digits()?
            } else {
                at.expect(b"\\\"")?;
                at.plain(b"\\\"").filter(|text| text.len() <= LONG)?
            };
            // A key that stands twice is the decoder's to judge.
            if place.replace(value).is_some() {
                return None;
            }
            if at.expect(b",").is_none() {
                break;
            }
        }
        at.expect(b"}}'\",\"is_truncated\":false,\"system_code\":null")?;
        if at.rest != b"}" {
            at.expect(b",\"convex\":")?;
            parts.convex = Some(object_before_brace(at.rest)?);
        }
        Some(parts)
    }
}

/// The object that is followed by nothing but the brace that closes the line.
fn object_before_brace(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_suffix(b"}").filter(|object| object.starts_with(b"{"))
}

/// Reads a `convex` object that was passed over; none where it is not JSON to its last byte.
pub(crate) fn origin(convex: &[u8]) -> Option<Origin> {
    match json::parse(std::str::from_utf8(convex).ok()?) {
        Parsed::Whole(object, "") => Some(log_stream::origin_of(Some(&object))),
        _ => None,
    }
}

fn number_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
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

    /// The digits of a whole number as JSON writes it, small enough to be exact everywhere.
    #[inline]
    fn digits(&mut self) -> Option<&'a [u8]> {
        let digits = self.rest.iter().take(16).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 15 || (digits > 1 && self.rest[0] == b'0') {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        if matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.rest = rest;
        Some(number)
    }

    #[inline]
    fn number_or_null(&mut self) -> Option<()> {
        self.expect(b"null").or_else(|| self.digits().map(|_| ()))
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

    fn read(line: &str) -> Option<Exact<'_>> {
        Reader::default().read(line.as_bytes())
    }

    #[test]
    fn the_line_that_convex_writes() {
        let mut reader = Reader::default();
        for line in [LINE, LINE, &LINE.replace(":12,", ":3456,").replace("kg2", "kg34")] {
            let exact = reader.read(line.as_bytes()).unwrap();
            assert_eq!((exact.outcome, exact.cause), (Outcome::DirectFailed, Some(Cause::Network)));
            assert_eq!(exact.size_bytes, Some(if line == LINE { 12 } else { 3456 }));
            assert_eq!(reader.function(exact.mould), "zip:run");
            assert_eq!(exact.convex, Some(&br#"{"deployment_name":"a"}"#[..]));
        }
        assert_eq!(reader.moulds.len(), 1, "the second and third line fit the mould of the first");
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
            (":12,", ":12,\\\"size\\\":13,"),
            ("\\\"size\\\"", "\\\"sizeBytes\\\""),
            ("21.083Z", "21.083+00:00"),
            ("2026-11-23", "2026-13-23"),
            ("kg2", "k\\\\n2"),
            ("{\"timestamp", " {\"timestamp"),
        ] {
            let changed = LINE.replace(from, to);
            assert_ne!(changed, LINE, "{from}");
            assert_eq!(read(&changed), None, "{to}");
            let mut reader = Reader::default();
            reader.read(LINE.as_bytes());
            assert_eq!(reader.read(changed.as_bytes()), None, "{to}, with a mould");
        }
        for end in 0..LINE.len() {
            // Where only the last brace is missing, it is missing in the object.
            let exact = read(LINE.get(..end).unwrap());
            assert!(exact.is_none_or(|exact| origin(exact.convex.unwrap()).is_none()), "cut at {end}");
        }
    }
}
