//! JSON as log lines carry it: whole, glued together without a separator, or cut off.
//!
//! Enters text; leaves values that borrow from it. Depth is bounded by `serde_json`, and the number of values by
//! [`MAX_VALUES`], so that a hostile line cannot take more memory than a few times its own size.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io;

/// How many values one parsed text may hold; one that is long, a value for so many of its bytes.
pub(crate) const MAX_VALUES: u32 = 200_000;
const BYTES_A_VALUE: usize = 32;

/// A JSON value that borrows what it can.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// The member with this key; the last one, where a key stands twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The member with this key, if it is text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Json::as_text)
    }

    /// The member with this key, if it is a number.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Json::Number(n)) => Some(*n),
            _ => None,
        }
    }

    /// Whether the member with this key is `true`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some(&Json::Bool(true))
    }

    /// Whether the member with this key is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| *v != Json::Null)
    }

    /// The key of an object's last member: the one that a cut reached.
    pub(crate) fn last_key(&self) -> Option<&str> {
        match self {
            Json::Object(members) => members.last().map(|(key, _)| key.as_ref()),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Json<'a>]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }
}

/// What stood at the beginning of a text.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// A whole value, and the text behind it.
    Whole(Json<'a>, &'a str),
    /// A value whose end is missing, completed as far as it went.
    Cut(Json<'static>),
    /// A value that is nested too deep, up to where it is.
    Deep(Json<'static>),
    /// No JSON.
    Invalid,
}

/// Parses the value at the beginning of a text.
pub(crate) fn parse(text: &str) -> Parsed<'_> {
    let strict = parse_one(text);
    let is_lenient = strict.as_ref().is_err_and(may_be_mended);
    let error = match if is_lenient { parse_leniently(text) } else { strict } {
        Ok((value, rest)) => return Parsed::Whole(value, rest),
        Err(error) => error,
    };
    if !error.is_eof() && !is_too_deep(&error) {
        return Parsed::Invalid;
    }
    let completed = complete(text).and_then(|whole| {
        let parsed = if is_lenient { parse_leniently(&whole) } else { parse_one(&whole) };
        parsed.ok().map(|(value, _)| own(value))
    });
    match completed {
        Some(value) if error.is_eof() => Parsed::Cut(value),
        Some(value) => Parsed::Deep(value),
        None => Parsed::Invalid,
    }
}

fn parse_one(text: &str) -> serde_json::Result<(Json<'_>, &str)> {
    parse_from(serde_json::Deserializer::from_str(text), text)
}

/// Parses what a logger wrote that puts control characters into strings as they are, or half a surrogate pair, as
/// JavaScript leaves of a character that a text was cut in. What reads them costs more.
fn parse_leniently(text: &str) -> serde_json::Result<(Json<'_>, &str)> {
    parse_from(serde_json::Deserializer::from_reader(Mended::new(text)), text)
}

fn parse_from<'t, R: serde_json::de::Read<'t>>(
    mut stream: serde_json::Deserializer<R>,
    text: &'t str,
) -> serde_json::Result<(Json<'t>, &'t str)> {
    let budget = Cell::new(MAX_VALUES.max((text.len() / BYTES_A_VALUE) as u32));
    let value = Budgeted(&budget).deserialize(&mut stream)?;
    // `into_iter` is the one way to ask where the value ended.
    let end = stream.into_iter::<serde::de::IgnoredAny>().byte_offset();
    Ok((value, text.get(end..).unwrap_or_default()))
}

fn may_be_mended(error: &serde_json::Error) -> bool {
    const MENDED: [&str; 3] = ["control character", "lone leading surrogate", "unexpected end of hex escape"];
    let error = error.to_string();
    MENDED.iter().any(|mended| error.starts_with(mended))
}

/// Text in which tabs and what steers a terminal read as spaces, and half a surrogate pair as the replacement character.
/// Other control characters never come this far, and line ends stay what they are. No byte is added and none is left
/// out, so that places in it are places in the text.
struct Mended<'a> {
    text: &'a [u8],
    at: usize,
    /// Up to where the last escape goes.
    escape_end: usize,
    /// Where the digits of the last escape begin that are replaced.
    replaced_from: usize,
}

impl<'a> Mended<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, escape_end: 0, replaced_from: usize::MAX }
    }

    /// Looks at the escape that begins here.
    fn escape(&mut self) {
        self.replaced_from = usize::MAX;
        match self.unit(self.at) {
            Some(0xD800..0xDC00) if matches!(self.unit(self.at + 6), Some(0xDC00..0xE000)) => {
                self.escape_end = self.at + 12;
            }
            Some(unit) => {
                self.escape_end = self.at + 6;
                if (0xD800..0xE000).contains(&unit) {
                    self.replaced_from = self.at + 2;
                }
            }
            None => self.escape_end = self.at + 2,
        }
    }

    /// The unit of UTF-16 that is written as an escape here.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = std::str::from_utf8(self.text.get(at..at + 6)?).ok()?;
        let digits = escape.strip_prefix("\\u").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    }
}

impl io::Read for Mended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = buffer.len().min(self.text.len() - self.at);
        for byte in buffer.iter_mut().take(read) {
            let b = self.text[self.at];
            if b == b'\\' && self.at >= self.escape_end {
                self.escape();
            }
            *byte = match b {
                _ if (self.replaced_from..self.escape_end).contains(&self.at) => b"fffd"[self.at - self.replaced_from],
                b'\t' | 0x07 | 0x1b => b' ',
                _ => b,
            };
            self.at += 1;
        }
        Ok(read)
    }
}

fn own(value: Json<'_>) -> Json<'static> {
    match value {
        Json::Null => Json::Null,
        Json::Bool(b) => Json::Bool(b),
        Json::Number(n) => Json::Number(n),
        Json::Text(t) => Json::Text(Cow::Owned(t.into_owned())),
        Json::Array(items) => Json::Array(items.into_iter().map(own).collect()),
        Json::Object(members) => {
            Json::Object(members.into_iter().map(|(k, v)| (Cow::Owned(k.into_owned()), own(v))).collect())
        }
    }
}

/// What stands before the part that is nested too deep can be read.
fn is_too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

/// How deep a text is followed; the parser goes a little deeper.
const MAX_DEPTH: usize = 100;

/// The text behind the object or array that a text begins with, however deep it is nested; none where it does not end.
pub(crate) fn behind(text: &str) -> Option<&str> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(at + 1..);
                }
            }
            _ => {}
        }
    }
    None
}

/// What a cut left open.
struct Open<'a> {
    /// The text up to the cut.
    text: &'a str,
    /// The brackets.
    stack: Vec<char>,
    /// Whether a string is open, and whether it is a member's key.
    in_string: bool,
    string_is_key: bool,
    /// Where an escape began that the cut left half.
    escape: Option<usize>,
    /// Where the text may end so that closing brackets make it valid: behind the last whole member or item.
    safe: usize,
    safe_depth: usize,
}

impl<'a> Open<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut open = Self {
            text,
            stack: Vec::new(),
            in_string: false,
            string_is_key: false,
            escape: None,
            safe: 0,
            safe_depth: 0,
        };
        let mut expects_value = true;
        for (i, c) in text.char_indices() {
            if open.in_string {
                match (c, open.escape) {
                    (_, Some(at)) if i == at + 1 && c != 'u' => open.escape = None,
                    (_, Some(at)) if i >= at + 5 => open.escape = None,
                    (_, Some(_)) => {}
                    ('\\', None) => open.escape = Some(i),
                    ('"', None) => {
                        open.in_string = false;
                        if !open.string_is_key {
                            open.is_safe_at(i + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match c {
                '"' => {
                    open.in_string = true;
                    open.string_is_key = !expects_value;
                }
                '{' | '[' if open.stack.len() == MAX_DEPTH => {
                    open.text = text.get(..i)?;
                    return Some(open);
                }
                '{' | '[' => {
                    open.stack.push(c);
                    expects_value = c == '[';
                    open.is_safe_at(i + 1);
                }
                '}' | ']' => {
                    open.stack.pop()?;
                    open.is_safe_at(i + 1);
                    expects_value = false;
                }
                ',' => {
                    // A number or a word is only known to be whole once something follows it.
                    open.is_safe_at(i);
                    expects_value = open.stack.last() == Some(&'[');
                }
                ':' => expects_value = true,
                _ => {}
            }
        }
        Some(open)
    }

    fn is_safe_at(&mut self, end: usize) {
        self.safe = end;
        self.safe_depth = self.stack.len();
    }

    fn in_value(&self) -> bool {
        self.in_string && !self.string_is_key
    }
}

/// Closes what a cut left open: the string, the member, the brackets. What stood before the cut stays as it was.
fn complete(text: &str) -> Option<String> {
    let mut open = Open::of(text)?;
    let mut whole;
    if open.in_value() {
        // A half escape at the cut says nothing any more, nor does the first half of a surrogate pair.
        let kept = open.text.get(..open.escape.unwrap_or(open.text.len()))?;
        let lone = kept.len().checked_sub(6).and_then(|at| kept.get(at..)).is_some_and(is_high_surrogate);
        whole = kept.get(..if lone { kept.len() - 6 } else { kept.len() })?.to_owned();
        whole.push('"');
    } else {
        whole = open.text.get(..open.safe)?.to_owned();
        open.stack.truncate(open.safe_depth);
    }
    whole.extend(open.stack.iter().rev().map(|open| if *open == '{' { '}' } else { ']' }));
    Some(whole)
}

fn is_high_surrogate(escape: &str) -> bool {
    escape
        .strip_prefix("\\u")
        .and_then(|hex| u16::from_str_radix(hex, 16).ok())
        .is_some_and(|unit| (0xD800..0xDC00).contains(&unit))
}

/// Whether a cut text breaks off within a value's text: then more of it may be missing.
pub(crate) fn ends_in_open_string(text: &str) -> bool {
    Open::of(text).is_some_and(|open| open.in_value())
}

struct Budgeted<'b>(&'b Cell<u32>);

impl<'de> DeserializeSeed<'de> for Budgeted<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Budgeted<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Budgeted(self.0))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            members.push((key, map.next_value_seed(Budgeted(self.0))?));
        }
        Ok(Json::Object(members))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Json<'static> {
        match parse(text) {
            Parsed::Cut(value) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn glued_values_come_one_by_one() {
        let Parsed::Whole(first, rest) = parse(r#"{"a":1}{"b":2},"#) else { panic!() };
        assert_eq!(first.number("a"), Some(1.0));
        let Parsed::Whole(second, rest) = parse(rest) else { panic!() };
        assert_eq!((second.number("b"), rest), (Some(2.0), ","));
    }

    #[test]
    fn a_cut_anywhere_keeps_what_stood_before_it() {
        let whole = r#"{"a":"x\"\u00e9\n","b":[1,{"c":true}],"d":"é end"}"#;
        for end in whole.char_indices().map(|(i, _)| i).skip(1) {
            let value = cut(whole.get(..end).unwrap());
            if end > 20 {
                assert_eq!(value.text("a"), Some("x\"é\n"), "cut at {end}");
            }
        }
        assert_eq!(cut(r#"{"a":"b","message":"Storage acc"#).text("message"), Some("Storage acc"));
        assert_eq!(cut(r#"{"a":"b\"#).text("a"), Some("b"));
        assert_eq!(cut(r#"{"a":"b\ud83d"#).text("a"), Some("b"));
    }

    #[test]
    fn control_characters_that_nobody_escaped_read_as_spaces() {
        let Parsed::Whole(value, rest) = parse("{\"a\":\"x\ty\u{1b}[0m\"}{\"b\":2}") else { panic!() };
        assert_eq!((value.text("a"), rest), (Some("x y [0m"), "{\"b\":2}"));
        assert_eq!(cut("{\"a\":\"x\ty\",\"b\":\"z").text("a"), Some("x y"));
        // A line's end in a string is where somebody broke it off.
        assert!(matches!(parse("{\"a\":\"x\ny\"}"), Parsed::Invalid));
    }

    #[test]
    fn half_a_surrogate_pair_reads_as_one_character_that_is_missing() {
        for (half, reads) in [
            (r"x\ud83d", "x\u{fffd}"),
            (r"\udc00x", "\u{fffd}x"),
            (r"\ud83d\ud83d\udca5", "\u{fffd}💥"),
            (r"\ud83d\n\u00e9", "\u{fffd}\né"),
            (r"\\ud83d \ud83dx", "\\ud83d \u{fffd}x"),
            ("\\ud83d\t", "\u{fffd} "),
        ] {
            let text = format!("{{\"a\":\"{half}\",\"b\":1}}{{\"c\":2}}");
            let Parsed::Whole(value, rest) = parse(&text) else { panic!("{text}") };
            assert_eq!((value.text("a"), value.number("b"), rest), (Some(reads), Some(1.0), "{\"c\":2}"), "{text}");
            assert_eq!(cut(text.get(..text.len() - 8).unwrap()).text("a"), Some(reads), "{text}");
        }
        assert_eq!(cut(r#"{"a":"x\ud83d y","b":"z\ud83d"#).text("b"), Some("z"));
        assert!(matches!(parse(r#"{"a":"x\ud83"}"#), Parsed::Invalid));
    }

    #[test]
    fn what_is_behind_a_value_is_found_at_any_depth() {
        let deep = format!("{}{}", "[{\"a\":".repeat(1000), "\"]}\\\"]\"}]".to_owned() + &"}]".repeat(999));
        assert_eq!(behind(&format!("{deep},{{}}")), Some(",{}"));
        let (inner, cut) = (deep.strip_prefix('[').unwrap(), deep.strip_suffix(']').unwrap());
        assert_eq!((behind(&deep), behind(inner), behind(cut)), (Some(""), Some("]"), None));
        assert_eq!((behind("]"), behind("5"), behind("")), (None, None, None));
    }

    #[test]
    fn bounds_hold() {
        assert!(matches!(parse(&"[".repeat(100_000)), Parsed::Deep(_)));
        assert!(matches!(parse(&format!("[{}", "1,".repeat(300_000))), Parsed::Invalid));
        assert!(matches!(parse("{\"a\":tru"), Parsed::Cut(_)));
        assert!(matches!(parse("nonsense"), Parsed::Invalid));
    }
}
