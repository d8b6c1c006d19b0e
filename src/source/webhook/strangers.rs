//! Bodies that are posted under a name that no webhook has: their sender drops them, so a mistake in an address must show.
//!
//! Enters a request's head; leaves a line in the log, now and then. There is no counter of them, since any name that
//! anybody makes up would be a series.

use crate::event::clip;
use crate::plain::safe;
use axum::http::Method;
use axum::http::request::Parts;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is said: anybody may post anything here.
const EACH: Duration = Duration::from_mins(1);

/// How much of a path is told, in bytes.
const PATH: usize = 100;

/// How many of them were not told, and when one was.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<(Option<Instant>, u64)>);

impl Strangers {
    /// Says that a body was posted here, if that was not said of late.
    pub(super) fn note(&self, head: &Parts) {
        let path = head.uri.path();
        if head.method != Method::POST || !path.starts_with("/ingest/") {
            return;
        }
        if let Some(untold) = self.tell(Instant::now()) {
            tracing::warn!(
                "answered 404: no webhook is at {}; its sender drops what it posts (said once a minute; {untold} more \
                 since it was last said)",
                safe(&clip(path, PATH))
            );
        }
    }

    /// How many were not told since the last that was; nothing where another is not to be told yet.
    fn tell(&self, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, untold) = &mut *all;
        if told.is_some_and(|told| now.duration_since(told) < EACH) {
            *untold += 1;
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_others_once_a_minute() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        assert_eq!([0, 1, 59].map(|later| strangers.tell(now + Duration::from_secs(later))), [Some(0), None, None]);
        assert_eq!(strangers.tell(now + EACH), Some(2));
        assert_eq!(strangers.tell(now + EACH * 2), Some(0));
    }
}
