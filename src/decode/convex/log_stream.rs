//! Log stream events: the present form, the early one with an array of arguments, the legacy one with underscored
//! keys, and the wrappings that Axiom, Datadog and OpenTelemetry receivers get.
//! `crates/common/src/log_streaming.rs` and `crates/log_streaming/src/sinks` of the Convex backend define them.

use super::{Context, read, split_level};
use crate::decode::json::{self, Json, Parsed};
use crate::decode::message::MAX_NAME;
use crate::decode::{Cut, Frame, Ignored, Output, Reading};
use crate::event::{FunctionType, Layer, Origin, Timestamp, clip};
use std::borrow::Cow;

/// Reads the event in an object whose `topic` says that it is one.
pub(in crate::decode) fn read_event(value: &Json<'_>, frame: &Frame<'_>, origin: impl FnOnce() -> Origin) -> Reading {
    if value.text("topic") != Some("console") {
        return Reading::Ignored(Ignored::Topic);
    }
    let function = value.get("function");
    if function.is_some_and(|f| f.is_true("cached")) {
        return Reading::Ignored(Ignored::Cached);
    }
    if value.has("system_code") {
        return Reading::Ignored(Ignored::System);
    }
    let Some(message) = value.get("message").or_else(|| value.get("messages")).and_then(joined) else {
        return Reading::Undecodable;
    };
    let context = Context {
        time: value.number("timestamp").and_then(Timestamp::from_millis),
        level: value.text("log_level"),
        function: function.and_then(|f| f.text("path")),
        function_type: function.and_then(|f| f.text("type")).and_then(FunctionType::parse),
        request_id: function.and_then(|f| f.text("request_id")),
        ..Context::default()
    };
    let cut = value.is_true("is_truncated") || frame.is_cut_in(value, "message");
    read(frame, &message, cut, origin, &context)
}

/// Reads an event of the legacy form, whose message carries its level as text.
pub(in crate::decode) fn read_v1(value: &Json<'_>, frame: &Frame<'_>, origin: impl FnOnce() -> Origin) -> Reading {
    if value.text("_topic") != Some("_console") {
        return Reading::Ignored(Ignored::Topic);
    }
    if value.is_true("_functionCached") {
        return Reading::Ignored(Ignored::Cached);
    }
    let Some(message) = value.text("message") else {
        return Reading::Undecodable;
    };
    let (level, arguments) = match split_level(message) {
        Some((level, arguments)) => (Some(level), arguments),
        None => (None, message),
    };
    let context = Context {
        time: value.number("_timestamp").and_then(Timestamp::from_millis),
        level,
        function: value.text("_functionPath"),
        function_type: value.text("_functionType").and_then(FunctionType::parse),
        ..Context::default()
    };
    read(frame, arguments, frame.is_cut_in(value, "message"), origin, &context)
}

/// Reads whichever form of event an object holds.
fn read_either(value: &Json<'_>, frame: &Frame<'_>, origin: impl FnOnce() -> Origin) -> (Layer, Reading) {
    if value.get("_topic").is_some() {
        let layer = Layer::LogStreamV1;
        (layer, read_v1(value, &frame.inside(layer), origin))
    } else {
        let layer = Layer::LogStream;
        (layer, read_event(value, &frame.inside(layer), origin))
    }
}

/// Reads an event with its deployment beside it or nowhere.
pub(in crate::decode) fn read_plain(value: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let (layer, reading) = read_either(value, frame, || origin_of(value.get("convex")));
    output.add(&frame.inside(layer), reading);
}

/// Reads an event that Datadog received: the host's name is the deployment's.
pub(in crate::decode) fn read_datadog(value: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let frame = frame.inside(Layer::Datadog);
    let (layer, reading) = read_either(value, &frame, || {
        let mut origin = origin_of(value.get("convex"));
        if origin.deployment.is_none() {
            origin.deployment = value.text("hostname").and_then(named);
        }
        origin
    });
    output.add(&frame.inside(layer), reading);
}

/// Reads an event that Axiom received: it stands under `data`, its deployment beside that.
pub(in crate::decode) fn read_axiom(value: &Json<'_>, data: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let time = match value.get("_time") {
        Some(Json::Number(millis)) => Timestamp::from_millis(*millis),
        Some(Json::Text(text)) => Timestamp::parse(text),
        _ => None,
    };
    let mut frame = frame.inside(Layer::Axiom);
    frame.time = time.or(frame.time);
    if value.last_key() != Some("data") {
        frame.cut = frame.cut.behind();
    }
    let (layer, reading) = read_either(data, &frame, || origin_of(value.get("convex").or_else(|| data.get("convex"))));
    output.add(&frame.inside(layer), reading);
}

/// Turns `data.topic` and `convex.deployment_name`, as Axiom's exports name their columns, back into objects.
pub(in crate::decode) fn unflatten<'a>(value: &Json<'a>) -> Option<Json<'a>> {
    let Json::Object(members) = value else {
        return None;
    };
    if !members.iter().any(|(key, _)| key == "data.topic" || key == "data._topic") {
        return None;
    }
    let mut nested = Json::Object(Vec::new());
    for (key, value) in members {
        let mut place = &mut nested;
        let mut parts = key.split('.').take(4).peekable();
        while let Some(part) = parts.next() {
            let Json::Object(members) = place else { break };
            let index = members.iter().position(|(k, _)| k == part).unwrap_or_else(|| {
                members.push((Cow::Owned(part.to_owned()), Json::Object(Vec::new())));
                members.len() - 1
            });
            place = &mut members[index].1;
            if parts.peek().is_none() {
                *place = value.clone();
            }
        }
    }
    Some(nested)
}

/// Reads an OpenTelemetry export: the event is the text of a log record's body, the deployment a resource attribute.
pub(in crate::decode) fn read_otlp(value: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let frame = frame.inside(Layer::Otlp);
    for resource in value.get("resourceLogs").and_then(Json::as_array).unwrap_or_default() {
        let origin = || otlp_origin(resource.get("resource"));
        for scope in resource.get("scopeLogs").and_then(Json::as_array).unwrap_or_default() {
            for record in scope.get("logRecords").and_then(Json::as_array).unwrap_or_default() {
                let mut frame = frame.clone();
                let nanos = record.text("timeUnixNano").and_then(|text| text.parse::<f64>().ok());
                frame.time = nanos.and_then(|ns| Timestamp::from_millis(ns / 1e6)).or(frame.time);
                let body = record.get("body").and_then(|body| body.text("stringValue")).unwrap_or_default();
                let reading = match json::parse(body) {
                    Parsed::Whole(event, _) if event.is_object() => read_either(&event, &frame, origin),
                    Parsed::Cut(event) if event.is_object() => {
                        frame.cut = Cut::of(body);
                        read_either(&event, &frame, origin)
                    }
                    _ => (Layer::Text, Reading::Ignored(Ignored::OtherJson)),
                };
                output.add(&frame.inside(reading.0), reading.1);
            }
        }
    }
}

pub(in crate::decode) fn otlp_origin(resource: Option<&Json<'_>>) -> Origin {
    let attributes = resource.and_then(|r| r.get("attributes")).and_then(Json::as_array).unwrap_or_default();
    let attribute = |key: &str| {
        let found = attributes.iter().find(|a| a.text("key") == Some(key))?;
        found.get("value")?.text("stringValue").and_then(named)
    };
    Origin {
        deployment: attribute("convex.deployment.name"),
        deployment_type: attribute("convex.deployment.type"),
        region: attribute("convex.deployment.region"),
        ..Origin::default()
    }
}

/// Reads the `convex` object.
pub(crate) fn origin_of(convex: Option<&Json<'_>>) -> Origin {
    let Some(convex) = convex.filter(|c| c.is_object()) else {
        return Origin::default();
    };
    let text = |key: &str| convex.text(key).and_then(named);
    let null = |key: &str| convex.get(key) == Some(&Json::Null);
    Origin {
        deployment: text("deployment_name"),
        deployment_type: text("deployment_type"),
        project: text("project_slug").or_else(|| text("project_name")),
        region: text("deployment_region"),
        unregistered: null("deployment_type") && null("project_slug"),
        ..Origin::default()
    }
}

/// A name as it is kept: not empty, and not longer than a label may be.
pub(in crate::decode) fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| clip(text, MAX_NAME))
}

/// The text of a message: one string, or the arguments of the early form, joined as the console joins them.
pub(in crate::decode) fn joined<'v>(message: &'v Json<'_>) -> Option<Cow<'v, str>> {
    match message {
        Json::Text(text) => Some(Cow::Borrowed(text)),
        Json::Array(items) => {
            let texts: Vec<&str> = items.iter().filter_map(Json::as_text).collect();
            Some(Cow::Owned(texts.join(" ")))
        }
        _ => None,
    }
}
