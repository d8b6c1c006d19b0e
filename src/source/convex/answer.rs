//! What the log API answers, as far as it is looked at outside the decoder: where the entries begin and end, and the
//! cursor behind them as the text that came. What entries say is the decoder's to read.

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Completions that a backend keeps. Those that came before had to make room (`MAX_UDF_EXECUTION` of the backend).
pub(super) const RING: usize = 1000;

/// The longest number that is taken for a cursor.
const MAX_CURSOR: usize = 64;

/// A body of `/api/stream_function_logs`.
#[derive(Debug)]
pub(super) struct Answer<'b> {
    entries: Vec<&'b RawValue>,
    /// Exactly as it came: no number type stands between what the backend says and what it is told next time.
    pub(super) cursor: &'b str,
}

#[derive(Deserialize)]
struct Shape<'b> {
    #[serde(borrow)]
    entries: Vec<&'b RawValue>,
    #[serde(borrow, rename = "newCursor")]
    new_cursor: &'b RawValue,
}

impl<'b> Answer<'b> {
    /// Reads a body.
    pub(super) fn parse(body: &'b str) -> Result<Self, String> {
        let shape: Shape<'b> = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let cursor = shape.new_cursor.get();
        if !is_number(cursor) {
            return Err("its newCursor is no number".to_owned());
        }
        Ok(Self { entries: shape.entries, cursor })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether its cursor lies behind the one that was asked with.
    pub(super) fn moves_on_from(&self, asked: &str) -> bool {
        let number = |cursor: &str| cursor.parse::<f64>().ok();
        number(self.cursor) > number(asked)
    }

    /// Leaves out the entries up to one that was seen before, if it is there. Of equal ones that stand there as many are
    /// left out as were seen; where that is not known, all.
    pub(super) fn drop_up_to(&mut self, last: &str, seen: Option<usize>) -> bool {
        let known = self.entries.iter().rposition(|entry| fingerprint(entry) == last);
        if let Some(at) = known {
            let equal = self.equal_up_to(at);
            self.entries.drain(..at + 1 - equal + seen.map_or(equal, |seen| seen.clamp(1, equal)));
        }
        known.is_some()
    }

    /// What the last entry is recognised by, and how many equal ones stand at the end.
    pub(super) fn last(&self) -> Option<(String, usize)> {
        let at = self.entries.len().checked_sub(1)?;
        Some((fingerprint(self.entries.get(at)?), self.equal_up_to(at)))
    }

    /// Whether all entries are equal.
    pub(super) fn is_of_one(&self) -> bool {
        self.entries.windows(2).all(|pair| matches!(pair, [a, b] if a.get() == b.get()))
    }

    /// How many equal entries in a row end with this one.
    fn equal_up_to(&self, at: usize) -> usize {
        let up_to = self.entries.get(..=at).unwrap_or_default();
        let equal = up_to.iter().rev().take_while(|entry| up_to.last().is_some_and(|last| last.get() == entry.get()));
        equal.count()
    }

    /// Whether there are as many completions as a backend keeps, so that others may have been lost before they were
    /// fetched.
    pub(super) fn is_full(&self) -> bool {
        #[derive(Deserialize)]
        struct Entry<'e> {
            #[serde(borrow, default)]
            kind: Option<std::borrow::Cow<'e, str>>,
        }
        let is_completion = |entry: &&&RawValue| {
            let kind = serde_json::from_str::<Entry<'_>>(entry.get()).ok().and_then(|entry| entry.kind);
            kind.is_none_or(|kind| kind != "Progress")
        };
        self.entries.len() >= RING && self.entries.iter().filter(is_completion).count() >= RING
    }

    /// The entries as one line that the decoder takes for a body of the log API, which it is.
    pub(super) fn line(&self) -> String {
        let length: usize = self.entries.iter().map(|entry| entry.get().len() + 1).sum();
        let mut line = String::with_capacity(length + 96);
        line.push_str("{\"entries\":[");
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                line.push(',');
            }
            // Between tokens, where alone JSON may have them, line ends are spaces.
            line.extend(entry.get().chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
        }
        line.push_str("],\"newCursor\":");
        line.push_str(self.cursor);
        line.push_str("}\n");
        line
    }
}

/// The cursor at the end of a body of which no more is known.
pub(super) fn cursor_at_end(tail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(tail);
    let (_, rest) = text.rsplit_once("\"newCursor\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let (number, _) = rest.split_once('}')?;
    let number = number.trim_end();
    is_number(number).then(|| number.to_owned())
}

fn is_number(text: &str) -> bool {
    text.len() <= MAX_CURSOR
        && text.parse::<f64>().is_ok_and(f64::is_finite)
        && text.ends_with(|c: char| c.is_ascii_digit())
}

/// 16 bytes of an entry's hash: the backend writes the same entry in the same bytes.
fn fingerprint(entry: &RawValue) -> String {
    Sha256::digest(entry.get()).iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_the_text_that_came() {
        for text in ["1795422450000.125", "0", "1795422450000.0002", "1.7954224500001252e12", "17954224500001234567"] {
            let body = format!("{{\"entries\": [],\n \"newCursor\" : {text} }}");
            assert_eq!(Answer::parse(&body).unwrap().cursor, text);
            assert_eq!(cursor_at_end(body.as_bytes()).as_deref(), Some(text));
        }
        for wrong in ["\"5\"", "null", "[1]", "1e999", &"1".repeat(65)] {
            assert!(Answer::parse(&format!("{{\"entries\":[],\"newCursor\":{wrong}}}")).is_err(), "{wrong}");
        }
        for wrong in ["", "[]", "{}", "{\"entries\":[1],\"newCursor\":1", "<html>"] {
            assert!(Answer::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(cursor_at_end(b"\"newCursor\":}"), None);
    }

    #[test]
    fn a_cursor_moves_on_by_the_least_that_there_is() {
        let moves = |asked: &str| Answer::parse("{\"entries\":[],\"newCursor\":7.50}").unwrap().moves_on_from(asked);
        assert!(
            moves("0") && moves("7.499999999999999") && moves("-8") && !moves("7.5") && !moves("75e-1") && !moves("8")
        );
    }

    #[test]
    fn what_was_seen_is_left_out_and_the_rest_is_one_line() {
        let body = "{\"entries\":[{\"a\":1},\n{\"a\":\n2},{\"a\":3}],\"newCursor\":7.5}";
        let mut answer = Answer::parse(body).unwrap();
        let first = fingerprint(answer.entries[0]);
        assert_eq!(answer.line(), "{\"entries\":[{\"a\":1},{\"a\": 2},{\"a\":3}],\"newCursor\":7.5}\n");
        assert!(!answer.drop_up_to("none of them", None));
        assert!(answer.drop_up_to(&first, Some(1)));
        assert_eq!(answer.line(), "{\"entries\":[{\"a\": 2},{\"a\":3}],\"newCursor\":7.5}\n");
        let (last, equal) = answer.last().unwrap();
        assert!(answer.drop_up_to(&last, None) && answer.is_empty() && answer.last().is_none() && equal == 1);
    }

    #[test]
    fn of_equal_entries_as_many_are_left_out_as_were_seen() {
        let body = "{\"entries\":[2,1,2,2,2,3],\"newCursor\":7.5}";
        let twos = Answer::parse("{\"entries\":[2,2,2],\"newCursor\":7.5}").unwrap();
        let (two, three) = twos.last().unwrap();
        assert!(three == 3 && twos.is_of_one() && !Answer::parse(body).unwrap().is_of_one());
        for (seen, left) in [(None, 1), (Some(0), 3), (Some(1), 3), (Some(2), 2), (Some(3), 1), (Some(9), 1)] {
            let mut answer = Answer::parse(body).unwrap();
            assert!(answer.drop_up_to(&two, seen));
            assert_eq!(answer.entries.len(), left, "{seen:?}");
        }
    }

    #[test]
    fn only_completions_fill_the_ring() {
        let full = |completions: usize, progress: usize| {
            let entries = [r#"{"kind":"Completion"}"#].repeat(completions).into_iter();
            let entries: Vec<_> = entries.chain([r#"{"kind":"Progress"}"#].repeat(progress)).collect();
            let body = format!("{{\"entries\":[{}],\"newCursor\":1}}", entries.join(","));
            Answer::parse(&body).unwrap().is_full()
        };
        assert!(full(RING, 0) && full(RING, 5) && full(RING + 1, 0));
        assert!(!full(RING - 1, 500) && !full(0, 5000) && !full(0, 0));
    }
}
