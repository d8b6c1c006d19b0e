//! How a line begins, once it is out of its envelopes: whether it is a record of its own or may belong to one above it.

use super::convex::cli_text::{self, Banner, Prefixed};
use super::convex::split_level;
use super::message::inspect;
use super::openness::begins_with_phrase;

/// The beginning of a line of text.
#[derive(Debug, PartialEq)]
pub(super) enum Head<'a> {
    /// `[CONVEX A(module:name)] …`
    Convex(Prefixed<'a>),
    /// `[LEVEL] arguments`
    Level { level: &'a str, arguments: &'a str },
    /// A line of the client's banner that names a deployment.
    Banner(Banner),
    /// A line of the backend's own tracing.
    Tracing,
    /// A bracket alone: an object printed over several lines.
    Bracket,
    /// The text of an error.
    Error,
    /// A storage access message without any prefix.
    Phrase,
    /// Anything else.
    Plain,
}

/// How sure a line is a new record, whatever stood above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// It may belong to a record above it.
    None,
    /// It begins a record unless an unfinished literal or error above it goes on.
    Weak,
    /// It begins a record.
    Strong,
}

impl<'a> Head<'a> {
    /// Reads the beginning of a line without terminal codes.
    pub(super) fn of(line: &'a str) -> Self {
        if let Some(prefixed) = cli_text::split(line) {
            return Head::Convex(prefixed);
        }
        if let Some((level, arguments)) = split_level(line.trim_start_matches(' ')) {
            return Head::Level { level, arguments };
        }
        if let Some(banner) = cli_text::banner(line) {
            return Head::Banner(banner);
        }
        match line.as_bytes().first() {
            Some(b'{' | b'[') if line.trim_end().len() == 1 => return Head::Bracket,
            Some(b' ' | b'T' | b'D' | b'I' | b'W' | b'E') if is_tracing(line) => {
                return Head::Tracing;
            }
            _ => {}
        }
        if begins_with_phrase(line) {
            Head::Phrase
        } else if line.starts_with("Uncaught ") || (!line.starts_with('[') && inspect::is_error(line)) {
            Head::Error
        } else {
            Head::Plain
        }
    }

    /// How sure the line is a new record.
    pub(super) fn mark(&self) -> Mark {
        match self {
            Head::Convex(_) | Head::Level { .. } | Head::Banner(_) | Head::Tracing => Mark::Strong,
            Head::Bracket | Head::Error => Mark::Weak,
            Head::Phrase | Head::Plain => Mark::None,
        }
    }
}

/// `  INFO target::module: text`, what `tracing-subscriber` prints behind its time stamp.
fn is_tracing(line: &str) -> bool {
    let line = line.trim_start_matches(' ');
    let Some((level, rest)) = line.split_once(' ') else {
        return false;
    };
    let Some((target, _)) = rest.split_once(": ").or_else(|| rest.split_once(':')) else {
        return false;
    };
    matches!(level, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR")
        && !target.is_empty()
        && target.len() <= 128
        && target.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings() {
        let mark = |line| Head::of(line).mark();
        assert_eq!(mark("1/30/2026, 2:26:40 AM [CONVEX A(a:b)] Uncaught Error: x"), Mark::Strong);
        assert_eq!(mark("[INFO] Storage access: http-fallback {"), Mark::Strong);
        assert_eq!(mark(" INFO convex-cloud-http: [x] 1.2.3.4"), Mark::Strong);
        assert_eq!(mark("TRACE isolate::ops::console: console message: \"x\""), Mark::Strong);
        assert_eq!(mark("{"), Mark::Weak);
        assert_eq!(mark("TypeError: x"), Mark::Weak);
        assert_eq!(mark("  storageId: 'kg2',"), Mark::None);
        assert_eq!(Head::of("Storage access: direct"), Head::Phrase);
        assert_eq!(Head::of("'Storage access: direct' {"), Head::Phrase);
        assert_eq!(Head::of(" Storage access: direct"), Head::Plain);
    }
}
