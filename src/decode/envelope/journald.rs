//! `journalctl -o json`: one object an entry. `MESSAGE` becomes an array of byte numbers where it holds what JSON's
//! strings could not show plainly, and `CONTAINER_PARTIAL_MESSAGE` marks a piece of a longer line.

use super::{End, Opened};
use crate::decode::json::Json;
use crate::event::{Layer, Timestamp};
use std::borrow::Cow;

/// The fields that tell entries of several writers apart, the most telling first.
const OWNER: [&str; 5] = ["CONTAINER_ID_FULL", "CONTAINER_NAME", "_SYSTEMD_UNIT", "SYSLOG_IDENTIFIER", "_PID"];

pub(super) fn open<'v>(value: &'v Json<'_>) -> Option<Opened<'v>> {
    let payload = match value.get("MESSAGE")? {
        Json::Text(text) => Cow::Borrowed(text.as_ref()),
        Json::Array(items) => bytes_of(items)?,
        _ => return None,
    };
    let micros = ["_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"].into_iter().find_map(|key| value.text(key));
    let partial = value.text("CONTAINER_PARTIAL_MESSAGE") == Some("true");
    Some(Opened {
        layer: Layer::Journald,
        payload,
        time: micros.and_then(|text| text.parse::<f64>().ok()).and_then(|us| Timestamp::from_millis(us / 1000.0)),
        owner: Cow::Borrowed(OWNER.into_iter().find_map(|key| value.text(key)).unwrap_or_default()),
        stream: Cow::Borrowed(value.text("PRIORITY").unwrap_or_default()),
        end: if partial { End::More } else { End::Line },
    })
}

/// A message given as byte numbers, or as an array of texts where an entry has the field several times.
fn bytes_of<'v>(items: &'v [Json<'_>]) -> Option<Cow<'v, str>> {
    if let Some(Json::Text(first)) = items.first() {
        return Some(Cow::Borrowed(first));
    }
    let bytes: Option<Vec<u8>> = items
        .iter()
        .map(|item| match item {
            Json::Number(n) if (0.0..256.0).contains(n) => Some(*n as u8),
            _ => None,
        })
        .collect();
    Some(Cow::Owned(String::from_utf8_lossy(&bytes?).into_owned()))
}
