//! Whether a console line's arguments are complete, or go on in the lines that follow.
//!
//! Renderers break lines only inside objects and behind the text of errors; a terminal breaks them anywhere, and then a
//! literal is left open.

use super::message::{inspect, literal};
use memchr::memchr2;
use serde::{Deserialize, Serialize};

/// What is still open at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Nothing: the record ends with its line.
    Nothing,
    /// A string literal: the line was wrapped.
    Literal,
    /// An object or an array.
    Object,
    /// An error, whose text and stack may follow.
    Error,
}

/// Follows the brackets and quotes of a record's arguments, line by line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Openness {
    quote: Option<char>,
    escaped: bool,
    depth: usize,
    error: bool,
    /// Whether a line of the error's stack was seen.
    stack: bool,
}

impl Openness {
    /// Begins with the arguments on a record's first line.
    pub(super) fn of(arguments: &str) -> Self {
        let mut openness = Self::default();
        // Quotes in unquoted text are apostrophes as likely as not.
        let unquoted = arguments.starts_with(|c: char| c.is_alphabetic());
        openness.follow(arguments, unquoted);
        openness
    }

    /// Begins with the text of an error.
    pub(super) fn error() -> Self {
        Self { error: true, ..Self::default() }
    }

    /// What is open now.
    pub(super) fn now(&self) -> Open {
        if self.error {
            Open::Error
        } else if self.quote.is_some() {
            Open::Literal
        } else if self.depth > 0 {
            Open::Object
        } else {
            Open::Nothing
        }
    }

    /// Whether a line without a mark of its own belongs to what is open.
    pub(super) fn takes(&self, line: &str) -> bool {
        let indented = line.starts_with([' ', '\t']);
        match self.now() {
            Open::Nothing => false,
            Open::Literal => true,
            Open::Object => !begins_with_phrase(line),
            Open::Error if self.stack => indented || line.starts_with(['}', ']']),
            Open::Error => true,
        }
    }

    /// Goes on with the next line.
    pub(super) fn push(&mut self, line: &str) {
        if self.error {
            self.stack |= line.trim_start().starts_with("at ") && line.starts_with([' ', '\t']);
        } else {
            self.follow(line, false);
        }
    }

    fn follow(&mut self, text: &str, unquoted: bool) {
        let (mut at, mut at_token_start) = (0, true);
        loop {
            if let Some(quote) = self.quote {
                let Some(behind) = self.literal_end(text.as_bytes(), at, quote) else { break };
                (at, at_token_start, self.quote) = (behind, false, None);
            }
            let rest = text.get(at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else { break };
            if at_token_start && self.depth == 0 && c.is_alphabetic() && inspect::is_error(rest) {
                self.error = true;
                return;
            }
            match c {
                _ if at_token_start && literal::is_quote(c) && !(unquoted && self.depth == 0) => self.quote = Some(c),
                '{' | '[' if at_token_start => self.depth += 1,
                '}' | ']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            at_token_start = matches!(c, ' ' | '\t' | '{' | '[' | '(' | ',' | ':');
            at += c.len_utf8();
        }
        self.escaped = false;
    }

    /// Where a literal's end lies behind, if it ends in this text. Quotes and backslashes are no part of any other
    /// character.
    fn literal_end(&mut self, text: &[u8], mut at: usize, quote: char) -> Option<usize> {
        loop {
            at += usize::from(std::mem::take(&mut self.escaped));
            at += 1 + memchr2(quote as u8, b'\\', text.get(at..)?)?;
            if text[at - 1] != b'\\' {
                return Some(at);
            }
            self.escaped = true;
        }
    }
}

/// Whether a line, bare of any prefix, begins a storage access message.
pub(super) fn begins_with_phrase(line: &str) -> bool {
    line.strip_prefix(literal::is_quote).unwrap_or(line).starts_with(crate::event::PHRASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_after_a_line() {
        let check = |text, open| assert_eq!(Openness::of(text).now(), open, "{text}");
        check("'Storage access: direct' { storageId: 'kg2', size: 1 }", Open::Nothing);
        check("'Storage access: direct' {", Open::Object);
        check("Storage access: http-fallback {", Open::Object);
        check("'{\"a\":\"{[\"}'", Open::Nothing);
        check("'{\"a\":\"cut here", Open::Literal);
        check("it's a text with 'quotes", Open::Nothing);
        check("'x' Error: Can't \"quote\" this", Open::Error);
        check("'x' [Error: Can't \"quote\" this]", Open::Nothing);
        check("{ message: 'x', nested: { a: { b: [Object] } } }", Open::Nothing);
        check("undefined null 1 true Symbol(x) 10n", Open::Nothing);
        check(r"'it\'s' `a`", Open::Nothing);
        check("[", Open::Object);
        check("", Open::Nothing);
    }

    #[test]
    fn a_stack_ends_where_the_indentation_does() {
        let mut error = Openness::of("'x' Error: first");
        assert!(error.takes("second line of the text"));
        assert!(error.takes("Storage access: direct"));
        error.push("    at x (y.js:1:2) {");
        assert!(error.takes("  [cause]: Error: y") && error.takes("}"));
        assert!(!error.takes("Storage access: direct"));
    }
}
