//! A body's bytes → what the ledger counts, by the one way that all logs take: scan, then decode.

use super::Answer;
use crate::decode::{Decoder, Item, Reading, body_origin};
use crate::event::Timestamp;
use crate::scan::{Scanner, Sink, Window};
use crate::source::Found;
use crate::source::collect::Collected;
use memchr::memrchr;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

/// What a body holds.
pub(super) struct Content {
    pub(super) collected: Collected,
    /// The first half of its SHA-256.
    pub(super) hash: u128,
    /// When the newest of its accesses and overflows was logged.
    pub(super) newest: Option<Timestamp>,
}

/// Takes items, and looks at them as they pass.
#[derive(Default)]
struct Looking {
    collected: Collected,
    newest: Option<Timestamp>,
    breaks_off: bool,
}

impl Sink for Looking {
    fn item(&mut self, item: Item) {
        match &item {
            Item::Record(record) => match &record.reading {
                Reading::Event(event) => self.newest = self.newest.max(event.logged.or(event.time)),
                Reading::Overflow { time, .. } => self.newest = self.newest.max(*time),
                _ => {}
            },
            Item::BrokenOff { .. } => self.breaks_off = true,
            _ => {}
        }
        self.collected.take(item);
    }
}

/// Reads a body. One whose end is missing is refused as a whole: when it comes again it has other bytes, and what had
/// counted of it would count twice.
pub(super) fn read(bytes: Vec<u8>, scanner: &mut Scanner) -> Result<Content, Answer> {
    if !is_json(&bytes) {
        return Err(Answer::Malformed);
    }
    let hash = hash(&bytes);
    let mut looking = Looking::default();
    let window = Window::whole(bytes);
    scanner.begin(Decoder::at_start());
    scanner.scan(&window, &mut looking);
    scanner.finish(&mut looking);
    if looking.breaks_off {
        return Err(Answer::Malformed);
    }
    let Looking { mut collected, newest, .. } = looking;
    collected.seen(scanner.counts());
    // Whose body it is shows before its first event.
    let names = |found: &Found| matches!(found, Found::Event(_) | Found::Overflow { .. });
    if !collected.found.iter().any(names) {
        // Who names none makes none known.
        let origin = body_origin(window.bytes()).filter(|origin| origin.deployment.is_some());
        collected.found.extend(origin.map(Found::Deployment));
    }
    Ok(Content { collected, hash, newest })
}

/// Whether it is JSON: values one after another, or lines of which one is, the last of them with its end. What a logger
/// wrote that leaves control characters in strings is JSON here, as it is to the decoder.
fn is_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    if are_values(bytes) {
        return true;
    }
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\n' | b'\r');
    let mended: Vec<u8> = bytes.iter().map(|byte| if is_control(*byte) { b' ' } else { *byte }).collect();
    are_values(&mended) || (mended.starts_with(b"{") && ends(&mended) && mended.split(|b| *b == b'\n').any(are_values))
}

/// Whether there is nothing but objects and arrays, one or more, with nothing but separators behind each.
fn are_values(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii();
    let mut any = false;
    while let [b'{' | b'[', ..] = rest {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        if !matches!(values.next(), Some(Ok(_))) {
            return false;
        }
        rest = &rest[values.byte_offset()..];
        while let [b',' | b';' | b' ' | b'\t' | b'\n' | b'\r', behind @ ..] = rest {
            rest = behind;
        }
        any = true;
    }
    any && rest.is_empty()
}

/// Whether the last line has its end.
fn ends(bytes: &[u8]) -> bool {
    let last = memrchr(b'\n', bytes).map_or(bytes, |newline| &bytes[newline..]);
    let (mut depth, mut in_string, mut escaped) = (0_i64, false, false);
    for byte in last {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    // The last line of an indented body closes what others opened.
    depth <= 0 && !in_string && matches!(last, [.., b'}' | b']'])
}

fn hash(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_and_has_its_end() {
        for right in [
            "{}",
            "[]",
            " [1, {\"a\": \"]\"}]\n",
            "\u{feff}{\"a\":\"}\\\"\"}",
            "{\"a\":1}\n{\"b\":[2]}\n\n",
            "{\"a\":1}{\"b\":2}",
            "{\n  \"a\": {\n    \"b\": 1\n  }\n}",
            "[\n  1\n]",
            "[null,5,\"x\",[],{}]",
            "[1] [2]\n[3]",
            "{\"a\":1}, {\"b\":2};\n{\"c\":3},",
            // One line of several may be anything.
            "{\"a\":1}\n{\"b\":}\nwords\n{\"c\":3}",
            "{\"a\":}\n{\"b\":1}",
            // Half a surrogate pair, and what nobody escaped.
            "[{\"a\":\"x\\ud83d\"}]",
            "{\"a\":\"\\udc00\tx\u{1b}[0m\0\u{1}\"}",
        ] {
            assert!(is_json(right.as_bytes()), "{right}");
        }
        assert!(is_json(b"[{\"a\":\"x\xffy\"}]"));
        assert!(is_json([b"[".repeat(5000), b"]".repeat(5000)].concat().as_slice()));
        for wrong in [
            "",
            " ",
            "x",
            "{",
            "}",
            "{\"a\":1}\n{\"b\":{\"c\":2}",
            "{\"a\":\"}",
            "{\"a\":1}\n{\"b\":\"x\\\"}",
            "1]",
            "{\"a\":}",
            "{\"a\":}\n{\"b\":}",
            "[{]}",
            "[{},]",
            "[{}]words}",
            "[{},words,{}]",
            "[{\"a\":NaN}]",
            "[{'a':'b'}]",
            "[{\"a\":\"b\nc\"}]",
            "[{}]\n[{]}",
            "[LOG] {\"a\":1}",
            "{\n  \"a\": {\n    \"b\": \n  }\n}",
        ] {
            assert!(!is_json(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_body_is_refused_where_an_array_breaks_off_and_names_its_deployment_where_nothing_counts() {
        let mut scanner = Scanner::new();
        let event = r#"{"timestamp":5,"topic":"console","log_level":"LOG","message":"'Storage access: direct'","convex":{"deployment_name":"calm-owl-7"}}"#;
        let mut check = |body: &str| read(body.as_bytes().to_vec(), &mut scanner);
        assert!(matches!(check(&format!("[{event},{event}")), Err(Answer::Malformed)));
        assert!(matches!(check(&format!("[{event},{{\"a\":{{}}")), Err(Answer::Malformed)));
        let content = check(&format!("[{event},{event}]")).unwrap();
        assert!(matches!(content.collected.found.as_slice(), [Found::Event(_), Found::Event(_)]));
        assert_eq!((content.newest, content.collected.counts.lines), (Some(Timestamp(5)), 1));
        let quiet = event.replace("Storage access: ", "Storage: ");
        let content = check(&format!("{quiet}\n{quiet}")).unwrap();
        assert!(
            matches!(content.collected.found.as_slice(), [Found::Deployment(origin)] if origin.deployment.as_deref() == Some("calm-owl-7"))
        );
        assert_eq!((content.newest, content.collected.counts.lines), (None, 2));
        for nobody in ["{}", "[]", r#"{"topic":"verification","convex":{"deployment_name":null}}"#] {
            assert!(check(nobody).unwrap().collected.found.is_empty(), "{nobody}");
        }
    }
}
