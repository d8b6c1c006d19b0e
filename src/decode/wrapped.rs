//! JSON that a log shipper or another logger puts around a line: Vector's and Filebeat's `message`, Firelens's `log`,
//! Loki's `line`, pino's `msg`, the consoles of cloud providers. Their shapes differ and change; what they carry does not.
//!
//! An object of no known shape is opened only if what is in it shows by itself that it is a record: the client's line, a
//! log stream event, an entry of the log API, the application's JSON. Bare words in it stay somebody's text.

use super::convex::{cli_text, split_level};
use super::json::{self, Json, Parsed};
use super::shape::{is_app_json, is_certainly_app_json, looks_like_json, read_value};
use super::{Decoder, Frame, Output, ansi, matters};
use crate::event::{Layer, Timestamp};
use memchr::memchr_iter;

/// The members in which the line stands.
const MEMBERS: [&str; 9] =
    ["message", "log", "line", "msg", "MESSAGE", "textPayload", "LogMessage", "event.original", "jsonPayload"];

/// How many objects deep it is looked for: a payload may hold a message in turn.
const DEPTH: usize = 2;

/// Reads what stands in an object of no known shape; false if it is nothing known.
pub(super) fn read(value: &Json<'_>, frame: &Frame<'_>, output: &mut Output) -> bool {
    if frame.layers.is_full() {
        return false;
    }
    let Some((member, inner)) = inner_of(value, DEPTH) else { return false };
    let mut frame = frame.inside(Layer::WrappedJson);
    let time =
        ["time", "timestamp", "@timestamp"].into_iter().find_map(|key| value.text(key)).and_then(Timestamp::parse);
    frame.time = time.or(frame.time);
    if value.last_key() != Some(member) {
        frame.cut = frame.cut.behind();
    }
    match inner {
        Json::Text(text) => Decoder::default().read_lines(text, &frame, output),
        inner => read_value(inner, &frame, output),
    }
    true
}

/// How long the text may be that another program puts before a record.
const MAX_PREFIX: usize = 256;

/// Reads JSON behind a file's name, a line's number or labels: `app.log:12:{…}`. It must be a record of a known shape, and
/// nothing may follow it; false if it is none.
pub(super) fn read_behind(text: &str, frame: &Frame<'_>, output: &mut Output) -> bool {
    let beginning = &text.as_bytes()[..text.len().min(MAX_PREFIX)];
    let brace = memchr_iter(b'{', beginning).find(|at| beginning[*at..].starts_with(b"{\""));
    let Some((prefix, json)) = brace.and_then(|at| text.split_at_checked(at)) else { return false };
    // A quote before it means that it stands in a literal.
    if prefix.contains(['\'', '`', '\n']) {
        return false;
    }
    match json::parse(json) {
        Parsed::Whole(value, rest) if rest.trim().is_empty() && is_known(&value) => {
            let is_certain = !is_app_json(&value) || is_certainly_app_json(&value);
            if is_certain {
                read_value(&value, frame, output);
            }
            is_certain
        }
        _ => false,
    }
}

/// The first member that holds a record, and the record.
fn inner_of<'v, 'a>(value: &'v Json<'a>, depth: usize) -> Option<(&'static str, &'v Json<'a>)> {
    MEMBERS.into_iter().find_map(|key| {
        let inner = match key.split_once('.') {
            Some((outer, inner)) => value.get(key).or_else(|| value.get(outer)?.get(inner)),
            None => value.get(key),
        }?;
        let inner = match inner {
            Json::Text(text) => is_record(text).then_some(inner),
            Json::Object(_) if is_known(inner) => Some(inner),
            Json::Object(_) if depth > 1 => inner_of(inner, depth - 1).map(|(_, inner)| inner),
            _ => None,
        };
        Some((key, inner?))
    })
}

/// Whether a text shows by itself that it is a record that matters.
fn is_record(text: &str) -> bool {
    if !matters(text.as_bytes()) {
        return false;
    }
    let text = ansi::strip(text);
    let text = text.trim_start();
    if looks_like_json(text) {
        return match json::parse(text) {
            Parsed::Whole(value, _) => is_known(&value),
            Parsed::Cut(value) | Parsed::Deep(value) => is_known(&value),
            Parsed::Invalid => false,
        };
    }
    cli_text::split(text).is_some_and(|prefixed| split_level(prefixed.rest).is_some())
}

/// Whether an object is a record of Convex's or the application's.
fn is_known(value: &Json<'_>) -> bool {
    let is_event = value.text("topic").is_some()
        && ["log_level", "function", "is_truncated"].into_iter().any(|key| value.get(key).is_some());
    let is_entry = value.text("kind").is_some() && value.get("logLines").is_some();
    is_event || is_entry || value.text("_topic").is_some() || is_app_json(value)
}
