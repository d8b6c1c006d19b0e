//! How values are written on the page. The script writes them the same way (`page.js`).

use crate::event::Timestamp;
use crate::plain::{bytes, grouped, safe};
use maud::{Markup, html};
use std::time::Duration;

/// Characters of a text that are shown; the status as JSON has all.
const LONGEST: usize = 400;

/// A text that a log brought: marks that steer a terminal or reorder what stands around them are spelt out, and what is
/// very long is cut.
pub(super) fn text(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", safe(text.get(..end).unwrap_or_default())),
        None => safe(text),
    }
}

/// A number of something, which are one or more.
pub(super) fn several(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { more })
}

/// A size.
pub(super) fn size(count: u64) -> String {
    bytes(count)
}

/// How long something took.
pub(super) fn took(duration: Duration) -> String {
    format!("in {} ms", grouped(duration.as_millis() as u64))
}

/// A moment that has come, or not yet.
pub(super) fn moment(field: &str, time: Option<Timestamp>, now: Timestamp) -> Markup {
    let (datetime, at) = time.map(|time| (time.to_string(), at(time))).unwrap_or_default();
    html! {
        time data-field=(field) datetime=[time.map(|_| datetime)] {
            span.ago { (time.map_or_else(|| "never".to_owned(), |time| ago(now.0 - time.0))) } " "
            span.at { (at) }
        }
    }
}

/// A moment in UTC, to the second.
pub(super) fn at(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replace('T', " "))
}

/// How long ago something was.
fn ago(millis: i64) -> String {
    match millis / 1000 {
        i64::MIN..5 => "just now".to_owned(),
        seconds @ ..60 => format!("{seconds} s ago"),
        seconds @ ..3600 => format!("{} min ago", seconds / 60),
        seconds @ ..86400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_harmless_and_not_endless() {
        assert_eq!(text("a\u{202e}b\n"), "a\\u{202e}b\\n");
        assert_eq!(text(&"ä".repeat(400)), "ä".repeat(400));
        assert_eq!(text(&"\u{1b}".repeat(401)), format!("{}…", "\\u{1b}".repeat(400)));
    }

    #[test]
    fn how_long_ago() {
        let cases = [(-5, "just now"), (4, "just now"), (5, "5 s ago"), (59, "59 s ago"), (60, "1 min ago")];
        let more = [(3599, "59 min ago"), (7200, "2 h ago"), (86_399, "23 h ago"), (86_400 * 3, "3 d ago")];
        for (seconds, expected) in cases.into_iter().chain(more) {
            assert_eq!(ago(seconds * 1000), expected);
        }
    }
}
