//! Which shape a JSON value or a text has, once it is out of its envelopes, and the reading of it.

use super::convex::{self, cli_text, log_stream, records};
use super::envelope::DOCKER_PIECE;
use super::head::Head;
use super::json::{self, Json, Parsed};
use super::message::{self, Message};
use super::openness::{Open, Openness};
use super::{Cut, Frame, Ignored, Output, Reading, ansi, matters, wrapped};
use crate::event::{Layer, Origin};

/// Whether a line is JSON rather than text with a level or a tag in brackets.
pub(super) fn looks_like_json(text: &str) -> bool {
    let first_of = |rest: &[u8]| rest.iter().copied().find(|b| *b != b' ' && *b != b'\t');
    match text.as_bytes() {
        [b'{', rest @ ..] => first_of(rest).is_some_and(|b| matches!(b, b'"' | b'}')),
        [b'[', rest @ ..] => first_of(rest).is_some_and(|b| matches!(b, b'{' | b']')) || is_array_with_object(text),
        _ => false,
    }
}

/// Whether a text begins an array in which an object stands behind something else. Tags and numbers in brackets, and
/// what JavaScript prints, are none.
fn is_array_with_object(text: &str) -> bool {
    let (mut rest, mut depth) = (text.as_bytes(), 0_usize);
    loop {
        rest = match rest {
            [b' ' | b'\t' | b',', rest @ ..] => rest,
            [b'[', rest @ ..] => {
                depth += 1;
                rest
            }
            [b']', rest @ ..] if depth > 1 => {
                depth -= 1;
                rest
            }
            [b'{', rest @ ..] => return matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]),
            _ => {
                let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde::de::IgnoredAny>();
                match values.next() {
                    Some(Ok(_)) => rest.get(values.byte_offset()..).unwrap_or_default(),
                    _ => return false,
                }
            }
        }
    }
}

/// The JSON that a line is, behind the blanks that may stand before it.
pub(super) fn json_in(text: &str) -> Option<&str> {
    let json = text.trim_start_matches([' ', '\t']);
    looks_like_json(json).then_some(json)
}

/// Whether a line of JSON is a record of its own for certain. A wrapped line may begin with a brace by chance, but then
/// neither ends with one nor begins as records do.
pub(super) fn is_certainly_json(text: &str) -> bool {
    const BEGINNINGS: [&str; 6] =
        ["{\"timestamp\":1", "{\"_timestamp\":1", "{\"kind\":\"", "{\"log\":\"", "{\"__CURSOR\"", "{\"MESSAGE\""];
    text.trim_end().ends_with(['}', ']', ',']) || BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

/// Whether the payload of an envelope is a whole record as it stands.
pub(super) fn is_whole(payload: &str) -> bool {
    if payload.len() >= DOCKER_PIECE {
        return false;
    }
    let text = ansi::strip(payload);
    if let Some(json) = json_in(&text) {
        return matches!(json::parse(json), Parsed::Whole(..));
    }
    // Where unquoted text stands in place of what the renderers quote, nothing shows its end.
    let closed = |arguments: &str| {
        let unquoted = arguments.starts_with(|c: char| c.is_alphabetic()) && !arguments.trim_end().ends_with('}');
        !arguments.is_empty() && !unquoted && Openness::of(arguments).now() == Open::Nothing
    };
    match Head::of(&text) {
        Head::Convex(prefixed) => split_arguments(prefixed.rest).is_none_or(closed),
        Head::Level { arguments, .. } => closed(arguments),
        Head::Banner(_) | Head::Tracing => true,
        Head::Phrase | Head::Bracket | Head::Error | Head::Plain => false,
    }
}

/// The arguments behind `[LEVEL] `, where a client's line has them.
pub(super) fn split_arguments(rest: &str) -> Option<&str> {
    convex::split_level(rest).map(|(_, arguments)| arguments)
}

/// Whether a line says itself that it was cut: then nothing of it follows.
pub(super) fn is_cut_short(text: &str) -> bool {
    text.trim_end().ends_with(message::CUT_NOTE)
}

/// A JSON text that holds records: an array, or a body of the log API.
pub(super) struct Body<'t> {
    pub(super) layer: Layer,
    /// The items and what follows them.
    pub(super) items: &'t str,
}

impl<'t> Body<'t> {
    pub(super) fn of(text: &'t str) -> Option<Self> {
        if let Some(items) = text.strip_prefix('[') {
            return Some(Self { layer: Layer::Array, items });
        }
        let rest = text.strip_prefix('{')?.trim_start().strip_prefix("\"entries\"")?;
        let items = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?;
        Some(Self { layer: Layer::Entries, items })
    }
}

/// Reads one JSON value as the record or records that it is.
pub(super) fn read_value(value: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let text = |key: &str| value.text(key).is_some();
    let data = value.get("data");
    // The entry of a body stands by itself there; elsewhere an object may be a whole body.
    if let Some(flat) = log_stream::unflatten(value) {
        if let Some(data) = flat.get("data") {
            log_stream::read_axiom(&flat, data, frame, output);
        }
    } else if text("ddsource") {
        log_stream::read_datadog(value, frame, output);
    } else if let Some(data) = data.filter(|data| data.text("topic").or(data.text("_topic")).is_some()) {
        log_stream::read_axiom(value, data, frame, output);
    } else if value.get("resourceLogs").is_some() {
        log_stream::read_otlp(value, frame, output);
    } else if let Some(line) = data.filter(|data| value.text("kind") == Some("LogLine") && has_messages(data)) {
        records::read_executor_line(line, frame, output);
    } else if value.get("logLines").is_some() {
        records::read_entry(value, frame, output);
    } else if let Some(entries) = value.get("entries").and_then(Json::as_array) {
        let frame = frame.inside(Layer::Entries);
        entries.iter().for_each(|entry| records::read_entry(entry, &frame, output));
    } else if is_app_json(value) {
        let reading = match message::from_app_json(value, frame.cut == Cut::InText, frame.cut != Cut::Whole) {
            Message::Access(access) => {
                let origin = log_stream::origin_of(value.get("convex"));
                convex::event(frame, *access, origin, &convex::Context::default())
            }
            // Other loggers have a level and a message, too.
            _ if !is_certainly_app_json(value) && wrapped::read(value, frame, output) => return,
            _ => Reading::Ignored(Ignored::OtherMessage),
        };
        output.add(frame, reading);
    } else if text("topic") || text("_topic") {
        log_stream::read_plain(value, frame, output);
    } else if value.get("fields").is_some_and(Json::is_object) && text("target") {
        output.add(&frame.inside(Layer::Tracing), Reading::Ignored(Ignored::Tracing));
    } else if wrapped::read(value, frame, output) {
        // What it holds was read.
    } else if frame.cut == Cut::Whole {
        output.add(frame, Reading::Ignored(Ignored::OtherJson));
    } else {
        // Too little is left of it to tell what it was.
        output.add(frame, Reading::Undecodable);
    }
}

fn has_messages(data: &Json<'_>) -> bool {
    data.get("messages").and_then(Json::as_array).is_some()
}

/// Whether an object is what the application's logger writes, and not a log stream event.
pub(super) fn is_app_json(value: &Json<'_>) -> bool {
    value.text("level").is_some()
        && value.text("message").is_some()
        && !["log_level", "function", "is_truncated", "_topic", "fields"].iter().any(|key| value.get(key).is_some())
}

/// Whether an object has more of what the application's logger writes than any logger does.
pub(super) fn is_certainly_app_json(value: &Json<'_>) -> bool {
    ["topic", "context", "metadata"].into_iter().any(|key| value.get(key).is_some())
}

/// Reads the text of one record, its prefix included.
pub(super) fn read_text(text: &str, frame: &Frame<'_>, cut: bool, everything: bool, output: &mut Output) {
    if !everything && !matters(text.as_bytes()) {
        return;
    }
    let read = |frame: &Frame<'_>, arguments: &str, context: &convex::Context<'_>| {
        convex::read(frame, arguments, cut, Origin::default, context)
    };
    match Head::of(text) {
        Head::Convex(prefixed) => {
            let frame = frame.inside(Layer::ConvexText);
            let reading = match convex::split_level(prefixed.rest) {
                Some((level, arguments)) => read(&frame, arguments, &context_of(&prefixed, level)),
                None if prefixed.is_client_text() => Reading::Ignored(Ignored::ClientText),
                None => Reading::Ignored(Ignored::ErrorText),
            };
            output.add(&frame, reading);
        }
        Head::Level { level, arguments } => {
            let frame = frame.inside(Layer::Console);
            let context = convex::Context { level: Some(level), ..convex::Context::default() };
            output.add(&frame, read(&frame, arguments, &context));
        }
        Head::Tracing => output.add(&frame.inside(Layer::Tracing), Reading::Ignored(Ignored::Tracing)),
        Head::Error => output.add(&frame.inside(Layer::Text), Reading::Ignored(Ignored::ErrorText)),
        Head::Banner(_) => output.add(&frame.inside(Layer::Banner), Reading::Ignored(Ignored::ClientText)),
        // Over several lines, a bracket alone is no longer one.
        Head::Bracket => read_bracket(text, frame, output),
        Head::Phrase | Head::Plain if text.starts_with(['{', '[']) && text.contains('\n') => {
            read_bracket(text, frame, output);
        }
        Head::Phrase | Head::Plain => {
            let frame = frame.inside(Layer::Text);
            let reading = match read(&frame, text, &convex::Context::default()) {
                // A line out of the middle of printed JSON: its record cannot be put together.
                Reading::Ignored(_) if is_member(text) => Reading::Undecodable,
                Reading::Ignored(_) if wrapped::read_behind(text, &frame, output) => return,
                reading => reading,
            };
            output.add(&frame, reading);
        }
    }
}

/// `"key": …`, as a pretty printer puts a member on a line of its own.
fn is_member(text: &str) -> bool {
    let Some(rest) = text.trim_start().strip_prefix('"') else { return false };
    rest.split_once('"').is_some_and(|(_, rest)| rest.starts_with(": ") || rest.starts_with(" : "))
}

fn context_of<'a>(prefixed: &cli_text::Prefixed<'a>, level: &'a str) -> convex::Context<'a> {
    convex::Context {
        level: Some(level),
        function: Some(prefixed.function),
        function_type: prefixed.function_type,
        ..convex::Context::default()
    }
}

/// Reads what a bracket alone on its line began: JSON that somebody printed prettily, or an object of the console.
fn read_bracket(text: &str, frame: &Frame<'_>, output: &mut Output) {
    match json::parse(text) {
        Parsed::Whole(Json::Array(items), _) => {
            let frame = frame.inside(Layer::Array);
            items.iter().for_each(|item| read_value(item, &frame, output));
        }
        Parsed::Whole(value, _) if value.is_object() => read_value(&value, frame, output),
        Parsed::Cut(Json::Array(items)) => {
            let frame = frame.inside(Layer::Array);
            let last = items.len().saturating_sub(1);
            for (index, item) in items.iter().enumerate() {
                let cut = if index == last { Cut::of(text) } else { Cut::Whole };
                read_value(item, &Frame { cut, ..frame.clone() }, output);
            }
        }
        Parsed::Cut(value) | Parsed::Deep(value) if value.is_object() => {
            read_value(&value, &Frame { cut: Cut::of(text), ..frame.clone() }, output);
        }
        _ => output.add(&frame.inside(Layer::Text), Reading::Ignored(Ignored::PrintedObject)),
    }
}
