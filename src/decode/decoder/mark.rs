//! What a line is by itself, without what stands above it.

use super::super::head::{Head, Mark};
use super::super::json::{self, Parsed};
use super::super::lane::LaneKey;
use super::super::{Frame, ansi, envelope, readable, shape};
use super::join_names;
use crate::event::MAX_LAYERS;
use std::borrow::Cow;

/// Whether a line is a new record by itself, for certain, and which stream it belongs to.
pub(crate) fn mark_of(line: &[u8]) -> (bool, LaneKey) {
    let mut text = readable(line).into_owned();
    let mut frame = Frame::outermost(0);
    for _ in 0..MAX_LAYERS {
        text = ansi::strip(&text).into_owned();
        let parsed;
        let opened = match envelope::open_text(&text) {
            Some(opened) => opened,
            None if shape::json_in(&text).is_some() => {
                // With blanks before it, it may be a part of what is printed above it.
                if !shape::looks_like_json(&text) {
                    return (false, frame.key());
                }
                let certain = shape::is_certainly_json(&text);
                let may_be_envelope = text.contains("\"log\"") || text.contains("\"MESSAGE\"");
                if !may_be_envelope {
                    return (certain, frame.key());
                }
                parsed = json::parse(&text);
                match &parsed {
                    Parsed::Whole(value, _) => match envelope::open_json(value) {
                        Some(opened) => opened,
                        None => return (certain, frame.key()),
                    },
                    _ => return (certain, frame.key()),
                }
            }
            None => return (Head::of(&text).mark() == Mark::Strong, frame.key()),
        };
        frame.layers = frame.layers.and(opened.layer);
        frame.owner = Cow::Owned(join_names(&frame.owner, opened.owner).into_owned());
        frame.stream = Cow::Owned(join_names(&frame.stream, opened.stream).into_owned());
        text = opened.payload.into_owned();
    }
    (true, frame.key())
}

/// Whether a line that was begun goes on with these bytes, up to a newline; else they are a record of their own.
pub(crate) fn goes_on_with(begun: &[u8], rest: &[u8]) -> bool {
    if !mark_of(rest).0 {
        return true;
    }
    let whole: Vec<u8> = begun.iter().chain(rest).copied().collect();
    matches!(json::parse(&readable(&whole)), Parsed::Whole(..))
}
