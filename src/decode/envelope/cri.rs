//! Kubernetes' container runtime interface: `TIME stdout F line`, where the tag `P` marks a piece of a longer line.

use super::{End, Opened, leading_timestamp};
use crate::event::Layer;
use std::borrow::Cow;

pub(super) fn open(line: &str) -> Option<Opened<'_>> {
    let (time, rest) = leading_timestamp(line)?;
    let (stream, rest) = rest.split_once(' ')?;
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    let (tags, payload) = rest.split_once(' ').unwrap_or((rest, ""));
    // Tags are separated by colons, and the first says whether the line is whole.
    let end = match tags.split(':').next()? {
        "F" => End::Line,
        "P" => End::More,
        _ => return None,
    };
    Some(Opened {
        layer: Layer::Cri,
        payload: Cow::Borrowed(payload),
        time: Some(time),
        owner: Cow::Borrowed(""),
        stream: Cow::Borrowed(stream),
        end,
    })
}
