//! One request from its head to its answer.

use super::body::{self, Held, Packing};
use super::content::{self, Content};
use super::credentials::{Claim, Credentials};
use super::refusals::EACH;
use super::{Answer, Endpoint, Ingest};
use crate::ledger::{Message, Skipped};
use crate::source::Delivery;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a body may take from its last byte to its commit. The sender waits for 30 seconds in all.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits where everything is taken: for its turn, and for room on the way to the ledger.
const ROOM_TIMEOUT: Duration = Duration::from_secs(2);

/// Scanners that are kept for further bodies.
const SCANNERS: usize = 16;

/// The handler of every request.
pub(super) async fn receive(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let (head, mut body) = request.into_parts();
    let Some(endpoint) = ingest.endpoint(head.uri.path()) else {
        ingest.strangers.note(&head);
        return (StatusCode::NOT_FOUND, "No webhook has this name.\n").into_response();
    };
    let answer = ingest.take(&endpoint, &head, &mut body).await;
    let before = ingest.requests.count(&endpoint.name, answer);
    if answer.loses() && ingest.refusals.add(&endpoint.name) {
        tokio::spawn(Arc::clone(&ingest).tell_of_refusals(Arc::clone(&endpoint)));
    }
    if answer != Answer::Taken {
        let (source, code, text) = (&endpoint.name, answer.as_str(), answer.text().trim_end());
        // The first of a kind is worth a line, the others are counted.
        if before == 0 {
            tracing::warn!("webhook '{source}': answered {code}: {text} Further ones are counted only.");
        } else {
            tracing::debug!("webhook '{source}': answered {code}: {text}");
        }
        // Who waits for a word before it sends the body has got it.
        if !matches!(answer, Answer::Incomplete) && !body.is_end_stream() && !head.headers.contains_key(header::EXPECT)
        {
            body::discard(&mut body).await;
        }
    }
    answer.into_response()
}

impl Ingest {
    async fn take(self: &Arc<Self>, endpoint: &Arc<Endpoint>, head: &Parts, body: &mut Body) -> Answer {
        match self.deliver(endpoint, head, body).await {
            Ok(()) => Answer::Taken,
            Err(answer) => answer,
        }
    }

    async fn deliver(self: &Arc<Self>, endpoint: &Arc<Endpoint>, head: &Parts, body: &mut Body) -> Result<(), Answer> {
        if head.method != Method::POST {
            return Err(Answer::NotAPost);
        }
        let claim = endpoint.credentials.claim(&head.headers)?;
        let packing = Packing::of(&head.headers)?;
        let held = body::read(body, endpoint.max_body, &self.memory).await?;
        // Whose body does not come takes up no turn.
        let turn = timeout(ROOM_TIMEOUT, self.slots.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(Answer::TryAgain)?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        timeout_at(deadline, self.commit(endpoint, claim, packing, held)).await.unwrap_or(Err(Answer::TryAgain))
    }

    /// Reads a body on a thread for such work, hands it to the ledger and waits for the commit. Where the wait is given
    /// up, it may still be committed, and is known when it comes again.
    async fn commit(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        claim: Claim,
        packing: Packing,
        held: Held,
    ) -> Result<(), Answer> {
        let permit = Arc::clone(&self.decoding).acquire_owned().await.map_err(|_| Answer::TryAgain)?;
        let work = {
            let (ingest, endpoint) = (Arc::clone(self), Arc::clone(endpoint));
            move || ingest.read(&endpoint, claim, packing, held, permit)
        };
        let content = tokio::task::spawn_blocking(work).await.unwrap_or(Err(Answer::TryAgain))?;
        // What it holds takes room until it is in the ledger's hands for good.
        let (Content { collected, hash, newest }, _room) = content;
        let now = (self.now)();
        let mut batch = endpoint.batch(now);
        batch.found = collected.found;
        batch.counts = collected.counts;
        batch.state.last_read = Some(now);
        let (committed, done) = oneshot::channel();
        let is_signed = matches!(claim, Claim::Signed(_));
        let delivery = Message::Delivery(Box::new(Delivery { batch, hash, newest, is_signed, committed }));
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Answer::TryAgain)?;
        let place = timeout(ROOM_TIMEOUT, queue.reserve()).await.ok().and_then(Result::ok).ok_or(Answer::TryAgain)?;
        place.send(delivery);
        drop(queue);
        done.await.map_err(|_| Answer::TryAgain)
    }

    /// Lets the ledger hear of an endpoint's refusals until there are none, or nobody listens.
    async fn tell_of_refusals(self: Arc<Self>, endpoint: Arc<Endpoint>) {
        while let Some(count) = self.refusals.take(&endpoint.name) {
            let mut batch = endpoint.batch((self.now)());
            batch.counts.skip(Skipped::Refused, count);
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(queue) = queue else { return };
            if queue.send(Message::Batch(Box::new(batch))).await.is_err() {
                return;
            }
            drop(queue);
            sleep(EACH).await;
        }
    }

    fn read(
        &self,
        endpoint: &Endpoint,
        claim: Claim,
        packing: Packing,
        held: Held,
        _permit: OwnedSemaphorePermit,
    ) -> Result<(Content, Held), Answer> {
        check(&endpoint.credentials, claim, &held.bytes)?;
        let mut held = body::unpack(held, packing, endpoint.max_body)?;
        let pooled = self.scanners.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scanner = pooled.unwrap_or_default();
        let content = content::read(std::mem::take(&mut held.bytes), &mut scanner);
        let mut scanners = self.scanners.lock().unwrap_or_else(PoisonError::into_inner);
        if scanners.len() < SCANNERS {
            scanners.push(scanner);
        }
        content.map(|content| (content, held))
    }
}

/// The signature is that of the bytes as they came.
fn check(credentials: &Credentials, claim: Claim, bytes: &[u8]) -> Result<(), Answer> {
    match claim {
        Claim::Signed(signature) if !credentials.signed(bytes, &signature) => Err(Answer::Unauthorized),
        _ => Ok(()),
    }
}
