//! Prefixes that log viewers print: a time stamp (`docker logs -t`), a service (`docker compose logs`), a pod
//! (`kubectl logs --prefix`).

use super::{End, Opened, leading_timestamp};
use crate::event::Layer;
use std::borrow::Cow;

/// How long a service's name may be.
const MAX_SERVICE: usize = 128;

pub(super) fn open_timestamp(line: &str) -> Option<Opened<'_>> {
    let (time, payload) = leading_timestamp(line)?;
    Some(Opened {
        layer: Layer::Timestamps,
        payload: Cow::Borrowed(payload),
        time: Some(time),
        owner: Cow::Borrowed(""),
        stream: Cow::Borrowed(""),
        end: End::Line,
    })
}

/// `backend-1  | line`. An empty line may have lost its last space.
pub(super) fn open_compose(line: &str) -> Option<Opened<'_>> {
    let bar = memchr::memchr(b'|', line.as_bytes().get(..line.len().min(MAX_SERVICE))?)?;
    let service = line.get(..bar)?.trim_end_matches(' ');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if service.is_empty() || service.len() == bar || !service.chars().all(allowed) {
        return None;
    }
    let payload = match line.get(bar + 1..)? {
        "" => "",
        rest => rest.strip_prefix(' ')?,
    };
    Some(Opened {
        layer: Layer::Compose,
        payload: Cow::Borrowed(payload),
        time: None,
        owner: Cow::Borrowed(service),
        stream: Cow::Borrowed(""),
        end: End::Line,
    })
}

/// `[pod/NAME/CONTAINER] line`.
pub(super) fn open_pod(line: &str) -> Option<Opened<'_>> {
    let rest = line.strip_prefix("[pod/")?;
    let (name, payload) = rest.split_once("] ")?;
    if name.len() > 2 * MAX_SERVICE || name.contains(['[', ' ', '\'', '"']) {
        return None;
    }
    Some(Opened {
        layer: Layer::Compose,
        payload: Cow::Borrowed(payload),
        time: None,
        owner: Cow::Borrowed(name),
        stream: Cow::Borrowed(""),
        end: End::Line,
    })
}
