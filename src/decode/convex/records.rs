//! Entries of the log API, as its bodies and `convex logs --jsonl` hold them: one function execution each, with its log
//! lines structured or, for older clients, as text. `crates/local_backend/src/logs.rs` of the Convex backend.

use super::{Context, read, split_level};
use crate::decode::json::Json;
use crate::decode::{Cut, Frame, Ignored, Output, Reading};
use crate::event::{FunctionType, Identity, Layer, Origin, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Reads one entry: a record for each of its log lines.
pub(in crate::decode) fn read_entry(entry: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let frame = frame.inside(Layer::ConvexRecord);
    let lines = entry.get("logLines").and_then(Json::as_array).unwrap_or_default();
    if lines.is_empty() {
        output.add(&frame, Reading::Ignored(Ignored::NoLines));
        return;
    }
    // How often each line was there before within this entry: equal lines of one entry are different events.
    let mut seen = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        if entry.is_true("cachedResult") {
            output.add(&frame, Reading::Ignored(Ignored::Cached));
            continue;
        }
        // A cut can only have reached the last line.
        let mut frame = frame.clone();
        if index + 1 < lines.len() {
            frame.cut = Cut::Whole;
        }
        let reading = read_line(entry, line, &frame, &mut seen);
        output.add(&frame, reading);
    }
}

/// Reads one line as the Node executor reports it, outside any entry.
pub(in crate::decode) fn read_executor_line(line: &Json<'_>, frame: &Frame<'_>, output: &mut Output) {
    let frame = frame.inside(Layer::NodeExecutor);
    let reading = read_line(&Json::Null, line, &frame, &mut HashMap::new());
    output.add(&frame, reading);
}

fn read_line(entry: &Json<'_>, line: &Json<'_>, frame: &Frame<'_>, seen: &mut HashMap<u128, u32>) -> Reading {
    let entry_time = entry.number("timestamp").and_then(Timestamp::from_seconds);
    let mut context = Context {
        time: entry_time,
        function: entry.text("identifier"),
        function_type: entry.text("udfType").and_then(FunctionType::parse),
        request_id: entry.text("requestId"),
        execution_id: entry.text("executionId"),
        ..Context::default()
    };
    let (message, cut);
    match line {
        Json::Text(text) => {
            let (level, arguments) = match split_level(text) {
                Some((level, arguments)) => (Some(level), arguments),
                None => (None, text.as_ref()),
            };
            context.level = level;
            message = arguments.into();
            cut = frame.cut == Cut::InText;
        }
        Json::Object(_) => {
            if line.has("systemMetadata") {
                return Reading::Ignored(Ignored::System);
            }
            context.time = line.number("timestamp").and_then(Timestamp::from_millis).or(entry_time);
            context.level = line.text("level");
            context.function = line.text("udfPath").or(context.function);
            let Some(text) = line.get("messages").and_then(super::log_stream::joined) else {
                return Reading::Undecodable;
            };
            message = text;
            cut = line.is_true("isTruncated") || frame.is_cut_in(line, "messages");
        }
        _ => return Reading::Undecodable,
    }
    let mut reading = read(frame, &message, cut, Origin::default, &context);
    let identity = match &mut reading {
        Reading::Event(event) => &mut event.identity,
        Reading::Overflow { identity, .. } => identity,
        _ => return reading,
    };
    // Without an execution nothing tells a second copy from a second event.
    if let Some(execution) = context.execution_id.or(context.request_id) {
        let time = context.time.map_or(-1, |time| time.0);
        let hash = identify(execution, time, context.level.unwrap_or_default(), &message, 0);
        let ordinal = seen.entry(hash.0).or_insert(0);
        *identity = Some(identify(execution, time, context.level.unwrap_or_default(), &message, *ordinal));
        *ordinal += 1;
    }
    reading
}

fn identify(execution: &str, time: i64, level: &str, message: &str, ordinal: u32) -> Identity {
    let mut hash = Sha256::new();
    for part in [execution.as_bytes(), level.as_bytes(), message.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(time.to_le_bytes());
    hash.update(ordinal.to_le_bytes());
    let digest = hash.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Identity(u128::from_le_bytes(half))
}
