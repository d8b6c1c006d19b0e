//! Webhooks: bodies of log events that somebody posts, each answered once what it holds is durable.
//!
//! Enters a request for `/ingest/NAME` or a path below it; leaves a [`Delivery`](super::Delivery) for the ledger, and an
//! [`Answer`]. A sender repeats the same bytes until it hears a success, and drops what is answered 4xx: so a success is
//! said after the commit only, "try again" (503) where there is none yet, and a refusal only where nothing will ever
//! change. Of refusals the ledger hears, too: what was refused is gone. What waits, in requests and in bytes, is bounded; beyond that the answer is "try again".

mod answer;
mod body;
mod content;
mod credentials;
mod receive;
mod refusals;
mod strangers;

pub use answer::{Answer, Requests};
pub use credentials::Credentials;

use super::Batch;
use crate::attribute::Given;
use crate::event::Timestamp;
use crate::ledger::{Message, SourceCounts, SourceState};
use crate::scan::Scanner;
use axum::Router;
use refusals::Refusals;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use strangers::Strangers;
use tokio::sync::{Semaphore, mpsc};

/// Requests that are worked on at a time. Further ones wait a moment, then are told to try again.
const REQUESTS: usize = 128;

/// Memory for bodies, in KiB, as they came and unpacked. A body that finds no room is told to try again.
const MEMORY_KIB: usize = 128 * 1024;

/// Deliveries on their way to the ledger. Who finds no room waits a moment, then is told to try again.
const QUEUE: usize = 64;

/// A source of this kind.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name, which is part of its path.
    pub name: Arc<str>,
    /// What a request must present.
    pub credentials: Credentials,
    /// What holds for records that say nothing themselves.
    pub given: Arc<Given>,
    /// Whether the configuration says where its deployments run.
    pub hosting_is_configured: bool,
    /// How large a body may be, in bytes, as it comes and unpacked.
    pub max_body: usize,
}

/// What takes requests in: the endpoints as they are configured now, and the bounds of the work.
pub struct Ingest {
    endpoints: RwLock<BTreeMap<Arc<str>, Arc<Endpoint>>>,
    requests: Arc<Requests>,
    refusals: Refusals,
    strangers: Strangers,
    now: fn() -> Timestamp,
    slots: Semaphore,
    memory: Arc<Semaphore>,
    decoding: Arc<Semaphore>,
    scanners: Mutex<Vec<Scanner>>,
    queue: Mutex<Option<mpsc::Sender<Message>>>,
}

impl Ingest {
    /// An intake without endpoints, and where its deliveries come out.
    pub fn new(requests: Arc<Requests>, now: fn() -> Timestamp) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (queue, deliveries) = mpsc::channel(QUEUE);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let ingest = Self {
            endpoints: RwLock::default(),
            requests,
            refusals: Refusals::default(),
            strangers: Strangers::default(),
            now,
            slots: Semaphore::new(REQUESTS),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
            decoding: Arc::new(Semaphore::new(cores)),
            scanners: Mutex::default(),
            queue: Mutex::new(Some(queue)),
        };
        (Arc::new(ingest), deliveries)
    }

    /// Takes requests for these endpoints from now on, and for no others.
    pub fn configure(&self, endpoints: Vec<Endpoint>) {
        endpoints.iter().for_each(|endpoint| self.requests.know(&endpoint.name));
        let endpoints = endpoints.into_iter().map(|endpoint| (Arc::clone(&endpoint.name), Arc::new(endpoint)));
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = endpoints.collect();
    }

    /// What is served: these endpoints and nothing else.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(receive::receive).with_state(Arc::clone(self))
    }

    /// Takes nothing any more: whoever still waits is told to try again.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The endpoint that a path leads to: `/ingest/NAME`, or anything below it, as forwarders append paths of their own.
    fn endpoint(&self, path: &str) -> Option<Arc<Endpoint>> {
        let name = path.strip_prefix("/ingest/")?.split('/').next()?;
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Endpoint {
    /// A batch without anything in it.
    pub fn batch(&self, now: Timestamp) -> Batch {
        Batch {
            source: Arc::clone(&self.name),
            found: Vec::new(),
            given: Arc::clone(&self.given),
            hosting_is_configured: self.hosting_is_configured,
            counts: SourceCounts::default(),
            cursors: Vec::new(),
            state: SourceState { up: true, ..SourceState::default() },
            caught_up: false,
            read_at: now,
        }
    }
}
