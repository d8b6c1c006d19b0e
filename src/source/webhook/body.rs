//! A request's body, read in time and within its bounds: as it came, and unpacked.

use super::Answer;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body may take to come: the sender gives up on the whole request after 30 seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a body that is not wanted is read all the same, and for how long: who is cut off while it writes does not
/// see the answer.
const DISCARD: usize = 64 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes in memory, and the room that they take up of what there is for all bodies.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
    memory: Arc<Semaphore>,
}

impl Held {
    pub(super) fn new(memory: &Arc<Semaphore>) -> Self {
        Self { bytes: Vec::new(), room: None, memory: Arc::clone(memory) }
    }

    fn add(&mut self, bytes: &[u8], max: usize) -> Result<(), Answer> {
        let size = self.bytes.len() + bytes.len();
        if size > max {
            return Err(Answer::TooLarge);
        }
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = size.div_ceil(1024).saturating_sub(held);
        if more > 0 {
            let memory = Arc::clone(&self.memory);
            let more = memory.try_acquire_many_owned(more as u32).map_err(|_| Answer::TryAgain)?;
            match &mut self.room {
                Some(room) => room.merge(more),
                room => *room = Some(more),
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Whether a body is packed, by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Answer> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(encoding) = encodings.next() else { return Ok(Self::Plain) };
        match encoding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
            _ if encodings.next().is_some() => Err(Answer::Encoding),
            b"" | b"identity" => Ok(Self::Plain),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            _ => Err(Answer::Encoding),
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(body: &mut Body, max: usize, memory: &Arc<Semaphore>) -> Result<Held, Answer> {
    // Where it says itself that it is too large, nothing is kept of it.
    if body.size_hint().lower() > max as u64 {
        return Err(Answer::TooLarge);
    }
    let reading = async {
        let mut held = Held::new(memory);
        while let Some(bytes) = next(body).await? {
            held.add(&bytes, max)?;
        }
        Ok(held)
    };
    timeout(READ_TIMEOUT, reading).await.unwrap_or(Err(Answer::Incomplete))
}

/// Reads on without keeping anything, within bounds.
pub(super) async fn discard(body: &mut Body) {
    let reading = async {
        let mut left = DISCARD;
        while let Ok(Some(bytes)) = next(body).await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(DISCARD_TIMEOUT, reading).await;
}

/// The next bytes; none at the end.
async fn next(body: &mut Body) -> Result<Option<axum::body::Bytes>, Answer> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            // What comes after the body proper says nothing.
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            // The sender went away: what it was about to say it will say again.
            Some(Err(_)) => return Err(Answer::Incomplete),
        }
    }
}

/// Unpacks a body, up to the same bound.
pub(super) fn unpack(packed: Held, packing: Packing, max: usize) -> Result<Held, Answer> {
    if packing == Packing::Plain {
        return Ok(packed);
    }
    let mut held = Held::new(&packed.memory);
    let mut unpacker = MultiGzDecoder::new(&*packed.bytes);
    let mut buffer = [0; 16 * 1024];
    loop {
        match unpacker.read(&mut buffer) {
            Ok(0) => return Ok(held),
            Ok(read) => held.add(&buffer[..read], max)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Answer::Malformed),
        }
    }
}
