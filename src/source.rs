//! Where bytes come from: saved inputs, files that are followed, standard input, webhooks, and deployments that are asked.
//!
//! A live source hands [`Batch`]es to the ledger. What a batch holds and the cursor behind it become durable together,
//! so what was counted is not read again and what was read is counted.

mod asked;
mod collect;
pub mod convex;
mod delivery;
pub mod follow;
pub mod probe;
pub mod saved;
pub mod stdin;
pub mod webhook;

pub use asked::Asked;
pub use delivery::Delivery;

use crate::attribute::Given;
use crate::event::{Event, Identity, Origin, Timestamp};
use crate::ledger::{PathState, SourceCounts, SourceState};
use crate::probe::Path;
use std::sync::Arc;

/// How much is kept of what is wrong with a source, in bytes.
const TROUBLE: usize = 400;

/// What a source hands over at once.
#[derive(Debug)]
pub struct Batch {
    /// The source's name.
    pub source: Arc<str>,
    /// What was found, in order.
    pub found: Vec<Found>,
    /// What holds for records that say nothing themselves.
    pub given: Arc<Given>,
    /// Whether the configuration says where the source's deployments run.
    pub hosting_is_configured: bool,
    /// What else was seen since the last batch.
    pub counts: SourceCounts,
    /// Rows of the source's own to keep, by name; none removes one.
    pub cursors: Vec<(String, Option<String>)>,
    /// How the source stands now.
    pub state: SourceState,
    /// Whether what was there at the start has been read.
    pub caught_up: bool,
    /// When it was read.
    pub read_at: Timestamp,
}

/// What a source found.
#[derive(Debug)]
pub enum Found {
    /// A storage access.
    Event(Box<Event>),
    /// One that the source held when it was first seen: it counts, and alerts nobody.
    History(Box<Event>),
    /// Convex dropped lines.
    Overflow {
        /// Whose.
        origin: Arc<Origin>,
        /// What makes a second copy recognisable.
        identity: Option<Identity>,
    },
    /// A record that has counted whatever was known before, to be recognised should it come again by another way.
    Counted {
        /// Whose.
        origin: Arc<Origin>,
        /// What makes a second copy recognisable.
        identity: Identity,
    },
    /// A deployment, before its first event.
    Deployment(Arc<Origin>),
    /// How the ways to a blob fared when they were last tried; none while that cannot be told.
    Probe {
        /// Whose they are.
        origin: Arc<Origin>,
        /// In the order of [`Path::ALL`].
        paths: Option<[PathState; Path::ALL.len()]>,
    },
}
