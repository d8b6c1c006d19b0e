//! Docker's `json-file` driver: `{"log":"…\n","stream":"stdout","time":"…"}`. Lines over 16 KiB come in pieces, and only
//! the last one's `log` ends in a newline.

use super::{End, Opened};
use crate::decode::json::Json;
use crate::event::{Layer, Timestamp};
use std::borrow::Cow;

pub(super) fn open<'v>(value: &'v Json<'_>) -> Option<Opened<'v>> {
    let log = value.text("log")?;
    let stream = value.text("stream");
    let time = value.text("time");
    if stream.is_none() && time.is_none() {
        return None;
    }
    let whole = log.strip_suffix('\n');
    Some(Opened {
        layer: Layer::Docker,
        payload: Cow::Borrowed(whole.unwrap_or(log)),
        time: time.and_then(Timestamp::parse),
        owner: Cow::Borrowed(""),
        stream: Cow::Borrowed(stream.unwrap_or_default()),
        end: if whole.is_some() { End::Line } else { End::NoNewline },
    })
}
