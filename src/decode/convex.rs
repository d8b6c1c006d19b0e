//! Convex's own records: log stream events, entries of the log API, and the command-line client's text.

pub(super) mod cli_text;
pub(super) mod log_stream;
pub(super) mod records;

use super::message::{Access, MAX_NAME};
use super::{Cut, Frame, Ignored, Reading};
use crate::event::{Event, FunctionType, Identity, Layer, Origin, Timestamp, clip};
use std::sync::Arc;

/// What a Convex record says beside its message.
#[derive(Default)]
pub(super) struct Context<'a> {
    pub(super) time: Option<Timestamp>,
    pub(super) level: Option<&'a str>,
    pub(super) function: Option<&'a str>,
    pub(super) function_type: Option<FunctionType>,
    pub(super) request_id: Option<&'a str>,
    pub(super) execution_id: Option<&'a str>,
    pub(super) identity: Option<Identity>,
}

/// Builds the event that a record reports.
pub(super) fn event(frame: &Frame<'_>, access: Access, origin: Origin, context: &Context<'_>) -> Reading {
    let name = |text: Option<&str>| text.map(|text| clip(text, MAX_NAME));
    let cause = access.cause();
    Reading::Event(Box::new(Event {
        time: access.time.or(context.time).or(frame.time),
        logged: context.time.or(frame.time),
        outcome: access.outcome,
        cause,
        origin: Arc::new(placed(frame, origin)),
        function: name(context.function),
        function_type: context.function_type,
        storage_id: access.metadata.storage_id,
        size_bytes: access.metadata.size_bytes,
        reason: access.metadata.reason,
        error: access.metadata.error,
        level: name(context.level).or(access.level),
        request_id: name(context.request_id),
        execution_id: name(context.execution_id),
        format: if access.app_json { frame.layers.and(Layer::AppJson) } else { frame.layers },
        offset: frame.offset,
        truncated: access.truncated || frame.cut != Cut::Whole,
        identity: context.identity,
    }))
}

/// Builds the note that lines of a function were dropped.
pub(super) fn overflow(frame: &Frame<'_>, origin: Origin, context: &Context<'_>) -> Reading {
    Reading::Overflow {
        origin: Arc::new(placed(frame, origin)),
        time: context.time.or(frame.time),
        identity: context.identity,
    }
}

/// Remembers, for a record that names no deployment, which stream of the input it stood in.
fn placed(frame: &Frame<'_>, mut origin: Origin) -> Origin {
    if origin.deployment.is_none() && !frame.owner.is_empty() {
        origin.lane = Some(lane_name(&frame.owner));
    }
    origin
}

/// The name of a stream, as long as a name may be.
pub(super) fn lane_name(owner: &str) -> Arc<str> {
    Arc::from(clip(owner, MAX_NAME).as_str())
}

/// Reads the text of a record's arguments.
pub(super) fn read(
    frame: &Frame<'_>,
    arguments: &str,
    cut: bool,
    origin: impl FnOnce() -> Origin,
    context: &Context<'_>,
) -> Reading {
    use super::message::Message;
    match super::message::read(arguments, cut) {
        Message::Access(mut access) => {
            access.truncated |= cut;
            event(frame, *access, origin(), context)
        }
        Message::Overflow => overflow(frame, origin(), context),
        Message::Unreadable => Reading::Undecodable,
        Message::Other => Reading::Ignored(Ignored::OtherMessage),
    }
}

/// Splits `[LEVEL] ` off the beginning of a text.
pub(super) fn split_level(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('[')?;
    let (level, rest) = rest.split_once(']')?;
    if !matches!(level, "LOG" | "DEBUG" | "INFO" | "WARN" | "ERROR") {
        return None;
    }
    Some((level, rest.strip_prefix(' ').or_else(|| rest.is_empty().then_some(rest))?))
}
