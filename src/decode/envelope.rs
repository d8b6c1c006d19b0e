//! Transport envelopes: what container engines, journals and syslog daemons put around a line.
//!
//! Enters one line; leaves its payload, whose stream it belongs to, and whether more of the same line follows.

mod cri;
mod docker;
mod journald;
mod prefix;
mod syslog;

use super::json::Json;
use crate::event::{Layer, Timestamp};
use std::borrow::Cow;

/// Where Docker splits lines, in bytes.
pub(super) const DOCKER_PIECE: usize = 16 * 1024;

/// A line taken out of its envelope.
#[derive(Debug, PartialEq)]
pub(crate) struct Opened<'a> {
    pub(crate) layer: Layer,
    /// The line inside. A journal entry may hold several, separated by newlines.
    pub(crate) payload: Cow<'a, str>,
    /// When the transport saw the line.
    pub(crate) time: Option<Timestamp>,
    /// The service, container or unit that wrote it, where the envelope tells several apart.
    pub(crate) owner: Cow<'a, str>,
    /// The output stream, where the envelope tells.
    pub(crate) stream: Cow<'a, str>,
    /// Whether the line ends here.
    pub(crate) end: End,
}

/// Whether a payload is the whole of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is, or it is the last piece.
    Line,
    /// The envelope says that more follows.
    More,
    /// The newline is missing: either more follows, or a forwarder took the newline away.
    NoNewline,
}

/// Opens an envelope of text.
pub(crate) fn open_text(line: &str) -> Option<Opened<'_>> {
    match line.as_bytes().first()? {
        b'0'..=b'9' => cri::open(line)
            .or_else(|| syslog::open(line))
            .or_else(|| prefix::open_timestamp(line))
            .or_else(|| prefix::open_compose(line)),
        b'<' => syslog::open(line),
        b'[' => prefix::open_pod(line),
        b'A'..=b'Z' => syslog::open(line).or_else(|| prefix::open_compose(line)),
        b'a'..=b'z' | b'_' => prefix::open_compose(line),
        _ => None,
    }
}

/// Opens an envelope of JSON.
pub(crate) fn open_json<'v>(value: &'v Json<'_>) -> Option<Opened<'v>> {
    docker::open(value).or_else(|| journald::open(value))
}

/// Splits an RFC 3339 time stamp off the beginning of a line, with the space behind it.
pub(super) fn leading_timestamp(line: &str) -> Option<(Timestamp, &str)> {
    let bytes = line.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[10] != b'T' {
        return None;
    }
    let end = memchr::memchr(b' ', bytes.get(..bytes.len().min(40))?)?;
    let time = Timestamp::parse(line.get(..end)?)?;
    Some((time, line.get(end + 1..)?))
}
