//! The log message itself: the console arguments of one record, as the renderers print them.
//!
//! Enters the text of the arguments, joined by a space; leaves what the message reports. The message must begin with
//! the phrase: words anywhere else in a record are somebody's text.

pub(crate) mod cause;
pub(crate) mod inspect;
pub(crate) mod literal;

use super::json::{self, Json, Parsed};
use crate::event::{Cause, OVERFLOW, Outcome, PHRASE, Timestamp, clip};

/// How long a text from a log line may be once it is kept.
const MAX_TEXT: usize = 4 * 1024;

/// How long an identifier from a log line may be once it is kept.
pub(crate) const MAX_NAME: usize = 256;

/// What the console appends, outside any quotes, to a line that it cut.
pub(crate) const CUT_NOTE: &str = "(truncated due to length)";

/// What the arguments of a record report.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// A storage access.
    Access(Box<Access>),
    /// Convex dropped lines of the function.
    Overflow,
    /// What begins as the application's JSON does, holds the phrase somewhere, and is no JSON.
    Unreadable,
    /// Something else.
    Other,
}

/// A storage access, as its message tells it.
#[derive(Debug, PartialEq)]
pub(crate) struct Access {
    pub(crate) outcome: Outcome,
    pub(crate) time: Option<Timestamp>,
    pub(crate) level: Option<String>,
    pub(crate) metadata: Metadata,
    /// Whether a part of the record is missing.
    pub(crate) truncated: bool,
    /// Whether the application's JSON carried it.
    pub(crate) app_json: bool,
}

impl Access {
    /// The cause, of a failure only.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let error = self.metadata.error_text.as_deref().or(self.metadata.error.as_deref());
        (self.outcome == Outcome::DirectFailed).then(|| cause::classify(error, self.metadata.cause.as_deref()))
    }
}

/// What the application says about an access.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) storage_id: Option<String>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    /// More of a printed error than its headline: the stack and what caused it.
    pub(crate) error_text: Option<String>,
}

impl Metadata {
    /// Takes the members of the application's metadata object. `text_cut` says that its last text broke off.
    fn read_json(&mut self, value: &Json<'_>, text_cut: bool) {
        if let Json::Object(members) = value {
            for (key, value) in members {
                self.set(key, value);
            }
        }
        if text_cut && value.last_key().is_some_and(names_storage_id) {
            self.storage_id = None;
        }
    }

    /// Takes a member whose text broke off. Half an id would be another's.
    fn set_cut(&mut self, key: &str, value: &Json<'_>) {
        if !names_storage_id(key) {
            self.set(key, value);
        }
    }

    fn set(&mut self, key: &str, value: &Json<'_>) {
        match key {
            key if names_storage_id(key) => self.storage_id = text_of(value).map(|t| clip(&t, MAX_NAME)),
            "size" | "sizeBytes" | "size_bytes" => {
                self.size_bytes = match value {
                    Json::Number(n) if *n >= 0.0 && n.fract() == 0.0 && *n < 9.1e18 => Some(*n as u64),
                    _ => None,
                }
            }
            "reason" => self.reason = text_of(value).map(|t| clip(&t, MAX_TEXT)),
            "error" => self.error = text_of(value).map(|t| clip(&t, MAX_TEXT)),
            "cause" => self.cause = text_of(value).map(|t| clip(&t, MAX_TEXT)),
            _ => {}
        }
    }

    fn set_error(&mut self, printed: &str) {
        self.set_printed_error("error", printed);
    }

    fn set_printed_error(&mut self, key: &str, printed: &str) {
        let headline = clip(inspect::error_headline(printed), MAX_TEXT);
        if key == "error" {
            self.error = Some(headline);
            self.error_text = Some(inspect::error_text(printed));
        } else {
            self.cause = Some(headline);
        }
    }
}

fn names_storage_id(key: &str) -> bool {
    matches!(key, "storageId" | "storage_id")
}

/// A value as text: an error object by its `message`, anything else that is not text as JSON would write it.
fn text_of(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Null => None,
        Json::Text(text) => Some(text.to_string()),
        Json::Object(_) => value.text("message").map(str::to_owned).or(Some("[object]".to_owned())),
        Json::Array(_) => Some("[array]".to_owned()),
        Json::Bool(b) => Some(b.to_string()),
        Json::Number(n) => Some(n.to_string()),
    }
}

/// Reads the arguments of a record. `cut` says that the text's end may be missing.
pub(crate) fn read(text: &str, cut: bool) -> Message {
    let (text, cut) = match text.trim_end().strip_suffix(CUT_NOTE) {
        Some(kept) => (kept.strip_suffix(' ').unwrap_or(kept), true),
        None => (text, cut),
    };
    if text.starts_with(OVERFLOW) {
        return Message::Overflow;
    }
    // A browser's console captures the style that colours the prefix.
    let text = match text.strip_prefix("color:rgb(") {
        Some(style) => style.split_once(") ").map_or(text, |(_, rest)| rest),
        None => text,
    };
    if let Some(literal) = literal::read(text) {
        let content_cut = literal.cut || (cut && literal.rest.is_empty());
        return if literal.text.trim_start().starts_with('{') {
            read_app_json(literal.text.trim_start(), content_cut, cut)
        } else {
            read_plain(&literal.text, literal.rest, content_cut, cut || literal.cut)
        };
    }
    if text.starts_with('{') {
        // Unquoted, it must be JSON: a printed object is no message.
        return match json::parse(text) {
            Parsed::Whole(value, _) if value.has("level") => from_app_json(&value, false, cut),
            Parsed::Deep(value) if value.has("level") => from_app_json(&value, false, cut),
            Parsed::Cut(value) if value.has("level") => read_cut_app_json(text, &value),
            Parsed::Invalid => unreadable(text),
            _ => Message::Other,
        };
    }
    read_plain(text, "", cut, cut)
}

/// Reads `Storage access: <word> …`. `word_cut` says that the text's end may be missing, `cut` that the record's may.
fn read_plain(text: &str, arguments: &str, word_cut: bool, cut: bool) -> Message {
    let Some((outcome, rest)) = outcome_of(text, word_cut) else {
        return Message::Other;
    };
    let mut metadata = Metadata::default();
    inspect::read_arguments(rest, &mut metadata);
    inspect::read_arguments(arguments, &mut metadata);
    Message::Access(Box::new(Access { outcome, time: None, level: None, metadata, truncated: cut, app_json: false }))
}

/// The outcome that a message reports, and what follows its word. The word counts as a whole; where the text is cut
/// right behind it, it may have been longer.
pub(crate) fn outcome_of(message: &str, cut: bool) -> Option<(Outcome, &str)> {
    let after = message.strip_prefix(PHRASE)?;
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(after.len());
    let (word, rest) = after.split_at(end);
    if rest.is_empty() && cut {
        return Some((Outcome::Other, rest));
    }
    (!word.is_empty()).then(|| (Outcome::from_word(word), rest))
}

fn read_app_json(content: &str, content_cut: bool, cut: bool) -> Message {
    match json::parse(content) {
        Parsed::Whole(value, _) => from_app_json(&value, false, cut || content_cut),
        Parsed::Deep(value) => from_app_json(&value, false, cut || content_cut),
        Parsed::Cut(value) => read_cut_app_json(content, &value),
        Parsed::Invalid => unreadable(content),
    }
}

/// What is said of a text that begins with a brace and is no JSON: a printed object is no message.
fn unreadable(content: &str) -> Message {
    let is_meant_as_json = super::shape::looks_like_json(content);
    if is_meant_as_json && super::matters(content.as_bytes()) { Message::Unreadable } else { Message::Other }
}

/// Reads application JSON whose end is missing.
pub(crate) fn read_cut_app_json(content: &str, value: &Json<'_>) -> Message {
    from_app_json(value, json::ends_in_open_string(content), true)
}

/// Reads the application's JSON. `text_cut` says that the end of its last text may be missing.
pub(crate) fn from_app_json(value: &Json<'_>, text_cut: bool, cut: bool) -> Message {
    let is_cut_in = |key| text_cut && value.last_key() == Some(key);
    let message_cut = is_cut_in("message");
    let Some((outcome, rest)) = value.text("message").and_then(|message| outcome_of(message, message_cut)) else {
        return Message::Other;
    };
    let mut metadata = Metadata::default();
    inspect::read_arguments(rest, &mut metadata);
    if let Some(object) = value.get("metadata") {
        metadata.read_json(object, is_cut_in("metadata"));
    }
    Message::Access(Box::new(Access {
        outcome,
        time: value
            .text("timestamp")
            .and_then(Timestamp::parse)
            .or_else(|| value.number("timestamp").and_then(Timestamp::from_millis)),
        level: value.text("level").map(|level| clip(level, 32).to_ascii_uppercase()),
        metadata,
        truncated: cut,
        app_json: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(text: &str, cut: bool) -> Access {
        match read(text, cut) {
            Message::Access(access) => *access,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn check(text: &str, outcome: Outcome) -> Access {
        let access = access(text, false);
        assert_eq!(access.outcome, outcome, "{text}");
        access
    }

    #[test]
    fn every_rendering_of_the_same_message() {
        for text in [
            "'Storage access: direct' { storageId: 'kg2', size: 2418 }",
            "'Storage access: direct' '{\"storageId\":\"kg2\",\"size\":2418}'",
            "'Storage access: direct {\"storageId\":\"kg2\",\"size\":2418}'",
            "Storage access: direct {\"storageId\":\"kg2\",\"size\":2418}",
            "Storage access: direct {\n  storageId: \"kg2\",\n  size: 2418\n}",
            "'{\"message\":\"Storage access: direct\",\"metadata\":{\"storageId\":\"kg2\",\"size\":2418}}'",
            "{\"level\":\"info\",\"message\":\"Storage access: direct\",\"metadata\":{\"storageId\":\"kg2\",\"size\":2418}}",
            "color:rgb(0, 145, 255) 'Storage access: direct' { storageId: 'kg2', size: 2418 }",
        ] {
            let access = check(text, Outcome::Direct);
            assert_eq!(access.metadata.storage_id.as_deref(), Some("kg2"), "{text}");
            assert_eq!((access.metadata.size_bytes, access.truncated), (Some(2418), false), "{text}");
        }
    }

    #[test]
    fn the_word_is_read_whole() {
        check("'Storage access: direct-failed'", Outcome::DirectFailed);
        check("'Storage access: http-fallback'", Outcome::HttpFallback);
        check("'Storage access: direct.'", Outcome::Direct);
        check("'Storage access: directly'", Outcome::Other);
        check("'Storage access: direct_failed'", Outcome::Other);
        check("'Storage access: Direct'", Outcome::Other);
    }

    #[test]
    fn words_elsewhere_are_no_event() {
        for text in [
            "'the words Storage access: direct in a text'",
            "' Storage access: direct'",
            "'%s formatted' 'Storage access: direct'",
            "'line1\\nline2 Storage access: direct'",
            "{ message: 'Storage access: direct', nested: { a: { b: [Object] } } }",
            "'{\"message\":\"ZIP processing failed\",\"metadata\":{\"error\":\"Storage access: direct-failed\"}}'",
            "'{\"metadata\":{\"message\":\"Storage access: direct\"}}'",
            "[Error: Storage access: direct-failed]",
            "Error: Storage access: direct-failed\n    at x",
            "'Storage access: '",
            "'Storage access:direct'",
            "",
        ] {
            assert_eq!(read(text, false), Message::Other, "{text}");
        }
    }

    #[test]
    fn a_cut_message_counts_and_a_cut_word_is_other() {
        let json =
            "'{\"timestamp\":\"2026-11-23T08:27:21.083Z\",\"level\":\"info\",\"message\":\"Storage access: direct";
        assert_eq!(access(json, true).outcome, Outcome::Other);
        assert_eq!(access(&format!("{json}\",\"metadata\":{{\"sto"), true).outcome, Outcome::Direct);
        assert_eq!(access(&format!("{json} (truncated due to length)"), false).outcome, Outcome::Other);
        assert_eq!(access("'Storage access: ", true).outcome, Outcome::Other);
        assert_eq!(access("Storage access: direct", true).outcome, Outcome::Other);
        assert_eq!(access("'Storage access: direct' { storageId: 'k", true).outcome, Outcome::Direct);
        assert!(access("'Storage access: direct'... 7232 more characters", false).truncated);
        assert_eq!(access("'Storage access: direct'... 7232 more characters", false).outcome, Outcome::Other);
    }

    #[test]
    fn only_an_unquoted_overflow_is_one() {
        assert_eq!(read("Log overflow (maximum 256). Remaining log lines omitted.", false), Message::Overflow);
        assert_eq!(read("'Log overflow (maximum 256). Remaining log lines omitted.'", false), Message::Other);
    }
}
