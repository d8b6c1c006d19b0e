//! A JavaScript string literal, as the console's renderers quote an argument: `'…'`, `"…"` or `` `…` ``.

use std::borrow::Cow;

/// A literal at the beginning of a text.
#[derive(Debug, PartialEq)]
pub(crate) struct Literal<'a> {
    /// What the literal says, unescaped.
    pub(crate) text: Cow<'a, str>,
    /// What follows it.
    pub(crate) rest: &'a str,
    /// Whether its end is missing: no closing quote, or the renderer's `... 7232 more characters` behind it.
    pub(crate) cut: bool,
}

/// The quotes that the renderers choose from.
pub(crate) fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"' | '`')
}

/// Reads the literal that a text begins with, if it begins with one. A long text with line ends in it is printed as
/// several literals, each but the last followed by ` +` and a line end: they are one.
pub(crate) fn read(text: &str) -> Option<Literal<'_>> {
    let mut literal = read_one(text)?;
    while let Some(next) = literal.rest.strip_prefix(" +\n").map(|rest| rest.trim_start_matches(' ')).and_then(read_one)
    {
        literal.text.to_mut().push_str(&next.text);
        (literal.rest, literal.cut) = (next.rest, next.cut);
    }
    Some(literal)
}

fn read_one(text: &str) -> Option<Literal<'_>> {
    let quote = text.chars().next().filter(|c| is_quote(*c))?;
    let body = text.get(1..)?;
    let mut from = 0;
    let end = loop {
        match memchr::memchr2(quote as u8, b'\\', body.get(from..)?.as_bytes()) {
            Some(at) if body.as_bytes()[from + at] == b'\\' => {
                // Step over the escaped character, which may be longer than a byte.
                let escaped = body.get(from + at + 1..)?.chars().next().map_or(0, char::len_utf8);
                from += at + 1 + escaped;
            }
            Some(at) => break Some(from + at),
            None => break None,
        }
    };
    let inner = body.get(..end.unwrap_or(body.len()))?;
    let rest = end.map_or("", |end| body.get(end + 1..).unwrap_or_default());
    let (rest, shortened) = match shortened(rest) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    Some(Literal { text: unescape(inner), rest, cut: end.is_none() || shortened })
}

/// Takes `... 7232 more characters` off, which stands behind a literal that was longer than the renderer prints.
fn shortened(rest: &str) -> Option<&str> {
    let digits = rest.strip_prefix("... ")?;
    let after = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if after.len() == digits.len() {
        return None;
    }
    let after = after.strip_prefix(" more character")?;
    Some(after.strip_prefix('s').unwrap_or(after))
}

fn unescape(inner: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at + 1..).unwrap_or_default();
        let (character, length) = unescape_one(escape);
        text.extend(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Reads what follows a backslash: the character and how many bytes it took. A half escape at a cut is nothing.
fn unescape_one(escape: &str) -> (Option<char>, usize) {
    let Some(first) = escape.chars().next() else {
        return (None, 0);
    };
    let hex = |from: usize, digits: usize| {
        let digits = escape.get(from..from + digits)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let character = match first {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '0' => '\0',
        'x' => match hex(1, 2) {
            Some(code) => return (char::from_u32(code), 3),
            None if escape.len() < 3 => return (None, escape.len()),
            None => 'x',
        },
        'u' => match hex(1, 4) {
            Some(high @ 0xD800..=0xDBFF) => {
                if let (Some("\\u"), Some(low @ 0xDC00..=0xDFFF)) = (escape.get(5..7), hex(7, 4)) {
                    return (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 11);
                }
                return (Some(char::REPLACEMENT_CHARACTER), 5);
            }
            Some(code) => {
                return (Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)), 5);
            }
            None if escape.len() < 5 => return (None, escape.len()),
            None => 'u',
        },
        other => other,
    };
    (Some(character), first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, says: &str, rest: &str, cut: bool) {
        let literal = read(text).unwrap();
        assert_eq!((literal.text.as_ref(), literal.rest, literal.cut), (says, rest, cut), "{text}");
    }

    #[test]
    fn every_quote_and_escape() {
        check("'plain' {", "plain", " {", false);
        check(r#""it's""#, "it's", "", false);
        check(r#"`it's "both"` x"#, "it's \"both\"", " x", false);
        check(r#"'it\'s "both" and `back`'"#, "it's \"both\" and `back`", "", false);
        check(r"'back\\slash \x1B[31m tab\t nul\x00 é 💥'", "back\\slash \u{1b}[31m tab\t nul\0 é 💥", "", false);
        check("'one\\n' +\n    'two' {", "one\ntwo", " {", false);
        check("'one' + 'two'", "one", " + 'two'", false);
        check(r"'\uD83D\uDCA5 \uD83D! \u00e9 \é'", "💥 \u{fffd}! é é", "", false);
    }

    #[test]
    fn what_is_cut_says_so() {
        check("'xxx'... 7232 more characters", "xxx", "", true);
        check("'xxx'... 1 more character {", "xxx", " {", true);
        check("'xxx'... more", "xxx", "... more", false);
        check("'no end", "no end", "", true);
        check(r"'half \", "half ", "", true);
        check(r"'half \x1", "half ", "", true);
        check(r"'half \u00", "half ", "", true);
        assert_eq!(read("no quote"), None);
        assert_eq!(read(""), None);
    }
}
