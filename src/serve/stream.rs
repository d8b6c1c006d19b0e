//! The stream of what changes: server-sent events for the page and for programs.
//!
//! Enters the state of things, looked at a few times a second while somebody listens; leaves messages: first the whole
//! status, then what has changed of it. A reader that is slow to take one holds no queue, only what it was shown last:
//! what it gets next is what has changed since. How many may listen is bounded.

use super::status::{Shown, change};
use super::{Serving, routes::Shared};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

/// Who may listen at a time. Others are told to come back: they take connections that scrapes need.
pub(super) const LISTENERS: usize = 16;

/// How often is looked whether something has changed.
const LOOK: Duration = Duration::from_millis(250);

/// What is sent to one listener within a second, in bytes, beyond one message: with a thousand deployments a message can
/// be large, and the next one has what changed meanwhile.
const BYTES_PER_SECOND: u64 = 2_000_000;

/// How often something is sent, if only to see that the listener is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When to come back after the stream has ended.
const RETRY: Duration = Duration::from_secs(2);

/// A listener.
struct Listener {
    serving: Serving,
    /// What it was shown; nothing before the first message.
    shown: Option<Shown>,
    pause: Duration,
    stopping: watch::Receiver<()>,
    _seat: OwnedSemaphorePermit,
}

/// Answers with the stream, while there is a seat.
pub(super) async fn events(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if super::guard::is_foreign(&headers) {
        return (StatusCode::FORBIDDEN, "A page of another site may not listen.\n").into_response();
    }
    let Ok(seat) = Arc::clone(&shared.seats).try_acquire_owned() else {
        let retry = [(header::RETRY_AFTER, "10")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "Enough are listening; come back later.\n").into_response();
    };
    let listener = Listener {
        serving: shared.serving,
        shown: None,
        pause: Duration::ZERO,
        stopping: shared.stopping,
        _seat: seat,
    };
    let messages = stream::unfold(listener, async |mut listener| {
        let message = listener.next().await?;
        Some((Ok::<_, Infallible>(message), listener))
    });
    // A proxy that gathers answers would hold the messages back.
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(messages).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("here"))).into_response()
}

impl Listener {
    /// The next message, once there is one; nothing when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                _ = self.stopping.changed() => return None,
                () = sleep(self.pause) => {}
            }
            self.pause = LOOK;
            let now = Shown::now(&self.serving);
            let message = match &self.shown {
                None => Some(("status", now.whole())),
                Some(before) => change(before, &now),
            };
            let is_first = self.shown.replace(now).is_none();
            if let Some((name, data)) = message {
                let data = data.to_string();
                self.pause += Duration::from_millis(data.len() as u64 * 1000 / BYTES_PER_SECOND);
                let event = Event::default().event(name).data(data);
                return Some(if is_first { event.retry(RETRY) } else { event });
            }
        }
    }
}
