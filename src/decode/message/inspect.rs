//! Printed JavaScript values, as `util.inspect` and `object-inspect` render console arguments, and as people write
//! them down by hand: `{ storageId: 'kg2…', size: 12345 }`, on one line or several. JSON is read by the same rules.
//!
//! Only the members of the outermost object matter; what is nested is stepped over without recursion.

use super::Metadata;
use super::literal;
use crate::decode::json::{self, Json, Parsed};

/// How much of an error's text is looked at for its cause.
const ERROR_TEXT: usize = 8 * 1024;

/// Reads the metadata from the arguments that follow a message.
pub(crate) fn read_arguments(text: &str, metadata: &mut Metadata) {
    let mut rest = text;
    for _ in 0..64 {
        rest = rest.trim_start_matches([' ', '\t', '\n', ',', ':']);
        let Some(first) = rest.chars().next() else {
            return;
        };
        if first == '{' && is_error(rest.get(1..).unwrap_or_default().trim_start()) {
            // An error with members of its own, as `object-inspect` prints it: `{ [Error: …] code: '…' }`.
            let after = skip_value(rest);
            let printed = rest.get(1..rest.len() - after.len()).unwrap_or_default().trim_start();
            metadata.set_error(printed);
            rest = after;
        } else if first == '{' {
            rest = read_object(rest, metadata);
        } else if let Some(literal) = literal::read(rest) {
            let content = literal.text.trim_start();
            if content.starts_with('{') {
                match json::parse(content) {
                    Parsed::Whole(value, _) => metadata.read_json(&value, false),
                    Parsed::Deep(value) => metadata.read_json(&value, false),
                    Parsed::Cut(value) => metadata.read_json(&value, json::ends_in_open_string(content)),
                    Parsed::Invalid => {
                        read_object(content, metadata);
                    }
                }
            }
            rest = literal.rest;
        } else if is_error(rest) {
            metadata.set_error(rest);
            return;
        } else {
            let end = rest.find([' ', '\n']).unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// Whether a text is an error as the console prints one: `TypeError: …`, `[Error: …]`, `Error [ERR_X]: …`.
pub(crate) fn is_error(text: &str) -> bool {
    let text = text.strip_prefix('[').unwrap_or(text);
    let text = text.strip_prefix("Uncaught ").unwrap_or(text);
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.'))).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (name.ends_with("Error") || name.ends_with("Exception")) && (rest.starts_with(": ") || rest.starts_with(" ["))
}

/// Reads the object at the beginning of a text and returns what follows it.
fn read_object<'a>(text: &'a str, metadata: &mut Metadata) -> &'a str {
    let mut rest = text.get(1..).unwrap_or_default();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ',']);
        let Some(first) = rest.chars().next() else {
            return rest;
        };
        if first == '}' {
            return rest.get(1..).unwrap_or_default();
        }
        let key;
        if let Some(quoted) = literal::read(rest) {
            key = quoted.text;
            rest = quoted.rest;
        } else {
            let end = rest.find([':', ',', '\n', '}']).unwrap_or(rest.len());
            key = rest.get(..end).unwrap_or_default().trim().into();
            rest = rest.get(end..).unwrap_or_default();
        }
        rest = rest.trim_start_matches(' ');
        // Without a colon it is no member: a set's item, or `... 3 more items`.
        let Some(value) = rest.strip_prefix(':') else {
            if !rest.starts_with([',', '\n', '}']) {
                rest = skip_value(rest);
            }
            continue;
        };
        let value = value.trim_start_matches([' ', '\n']);
        if let Some(quoted) = literal::read(value) {
            let value = Json::Text(quoted.text);
            if quoted.cut {
                metadata.set_cut(&key, &value);
            } else {
                metadata.set(&key, &value);
            }
            rest = quoted.rest;
        } else if is_error(value) && matches!(key.trim_matches(['[', ']']), "error" | "cause") {
            metadata.set_printed_error(key.trim_matches(['[', ']']), value);
            rest = skip_value(value);
        } else {
            rest = skip_value(value);
            if rest.is_empty() {
                // Nothing shows that a number or a word is whole.
                return rest;
            }
            let printed = value.get(..value.len() - rest.len()).unwrap_or_default().trim_end();
            if let Ok(number) = printed.trim_end_matches('n').parse::<f64>() {
                metadata.set(&key, &Json::Number(number));
            } else if !matches!(printed, "undefined" | "null" | "") {
                metadata.set(&key, &Json::Text(printed.into()));
            }
        }
    }
}

/// Steps over a value: up to the comma, line end or bracket that ends it, brackets and literals inside it skipped.
fn skip_value(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    let mut at_token_start = true;
    while let Some(c) = rest.chars().next() {
        if at_token_start && literal::is_quote(c) {
            rest = literal::read(rest).map_or("", |quoted| quoted.rest);
            at_token_start = false;
            continue;
        }
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' if depth > 0 => depth -= 1,
            '}' | ']' | ',' | '\n' if depth == 0 => return rest,
            _ => {}
        }
        at_token_start = matches!(c, ' ' | '\n' | '{' | '[' | '(' | ',' | ':');
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    rest
}

/// What an error's text says in its first line, without brackets around it.
pub(crate) fn error_headline(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let line = line.strip_suffix('{').unwrap_or(line).trim_end();
    match line.strip_prefix('[') {
        Some(inner) if bracketed(inner).is_some() => bracketed(inner).unwrap_or_default(),
        Some(inner) => inner.strip_suffix(',').unwrap_or(inner).strip_suffix(']').unwrap_or(inner),
        None => line.strip_suffix(',').unwrap_or(line),
    }
}

/// What stands before the bracket that closes the one before the text, where more follows it.
fn bracketed(inner: &str) -> Option<&str> {
    let mut depth = 1_usize;
    let end = inner.find(|c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    inner.get(..end).filter(|_| inner.get(end + 1..).is_some_and(|rest| rest.starts_with(' ')))
}

/// The part of an error's text, its stack and causes included, in which its cause is looked for.
pub(crate) fn error_text(text: &str) -> String {
    crate::event::clip(text, ERROR_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Metadata {
        let mut metadata = Metadata::default();
        read_arguments(text, &mut metadata);
        metadata
    }

    #[test]
    fn printed_objects_on_one_line_or_several() {
        for text in [
            "{ storageId: 'kg2', size: 12345 }",
            "{\n  storageId: 'kg2',\n  size: 12345\n}",
            "{\n  storageId: \"kg2\",\n  size: 12345,\n}",
            "{\"storageId\":\"kg2\",\"size\":12345}",
            "'{\"storageId\":\"kg2\",\"size\":12345}'",
            "{ nested: { storageId: 'no', list: [ 'a', { b: 1 } ] }, storageId: 'kg2', size: 12345n }",
            "{ 'storageId': 'kg2', fn: [Function: f], 'size': 12345, ... 2 more items }",
        ] {
            let metadata = read(text);
            assert_eq!(metadata.storage_id.as_deref(), Some("kg2"), "{text}");
            assert_eq!(metadata.size_bytes, Some(12345), "{text}");
        }
    }

    #[test]
    fn a_cut_object_gives_what_it_shows() {
        let metadata = read("{ storageId: 'kg2', error: 'it fa");
        assert_eq!((metadata.storage_id.as_deref(), metadata.error.as_deref()), (Some("kg2"), Some("it fa")));
    }

    #[test]
    fn half_a_number_and_half_an_id_are_none() {
        for text in [
            "{\"storageId\":\"kg2\",\"size\":123",
            "{ storageId: 'kg2', size: 123",
            "'{\"storageId\":\"kg2\",\"size\":123",
        ] {
            let metadata = read(text);
            assert_eq!((metadata.storage_id.as_deref(), metadata.size_bytes), (Some("kg2"), None), "{text}");
        }
        for text in [
            "{ size: 123, storageId: 'kg2",
            "{\"size\":123,\"storageId\":\"kg2",
            "'{\"size\":123,\"storageId\":\"kg2",
            "{ size: 123, storageId: kg2",
        ] {
            let metadata = read(text);
            assert_eq!((metadata.storage_id.as_deref(), metadata.size_bytes), (None, Some(123)), "{text}");
        }
    }

    #[test]
    fn a_text_that_was_broken_over_lines_is_read_whole() {
        let metadata =
            read("{\n  error: 'first line\\n' +\n    'second\\n' +\n    \"third's ECONNREFUSED\",\n  size: 5\n}");
        assert_eq!(metadata.error.as_deref(), Some("first line\nsecond\nthird's ECONNREFUSED"));
        assert_eq!(metadata.size_bytes, Some(5));
    }

    #[test]
    fn errors_with_members_are_read_with_them() {
        for (text, headline) in [
            ("{ [Error: fetch failed] [cause]: [Error: connect ECONNREFUSED 127.0.0.1:80] }", "Error: fetch failed"),
            (
                "{ [Error: connect ECONNREFUSED] code: 'ECONNREFUSED' } { storageId: 'kg2' }",
                "Error: connect ECONNREFUSED",
            ),
            ("{ [TypeError: a [b] c] code: 'ECONNREFUSED' }", "TypeError: a [b] c"),
        ] {
            let metadata = read(text);
            assert_eq!(metadata.error.as_deref(), Some(headline), "{text}");
            assert!(metadata.error_text.unwrap().contains("ECONNREFUSED"), "{text}");
        }
    }

    #[test]
    fn errors_are_read_with_their_stack() {
        let node = "Error: Can't \"quote\" this\n    at f (x.js:1:2) {\n  [cause]: Error: connect ECONNREFUSED\n}";
        for (text, headline) in [
            (node, "Error: Can't \"quote\" this"),
            ("[Error: Can't]", "Error: Can't"),
            ("{ error: TypeError: fetch failed\n      at x {\n  }, size: 1 }", "TypeError: fetch failed"),
        ] {
            assert_eq!(read(text).error.as_deref(), Some(headline), "{text}");
        }
        assert!(read(node).error_text.unwrap().contains("ECONNREFUSED"));
    }
}
