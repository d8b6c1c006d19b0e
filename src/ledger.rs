//! The durable counts and cursors: batches in, committed counts out.
//!
//! [`Keeper`] is one thread's. Everybody else reads what it published, through a [`Reader`].

mod bodies;
mod counts;
mod hour;
mod keeper;
mod scrapers;
mod store;

pub use counts::{
    Exemplar, Hold, OTHER_DEPLOYMENTS, PathState, Place, PlaceCounts, Probed, Rotation, SIZE_BUCKETS, Sizes, Skipped,
    SourceCounts, SourceState,
};

pub use hour::{Hour, MINUTES};
pub use keeper::{Keeper, Message, Rules};
pub use store::StoreError;

use crate::alert::{Sent, Series, Snapshot};
use crate::event::Timestamp;
use crate::row::Row;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock};

/// What is kept in a row, as it is written down. None where it cannot be: then the row must stay as it is, since to remove
/// it would mean that what was read is read again.
pub(crate) fn written(kept: &impl Serialize) -> Option<String> {
    let complain = |error: &serde_json::Error| tracing::error!("what is to be kept cannot be written down: {error}");
    serde_json::to_string(kept).inspect_err(complain).ok()
}

/// Committed counts, as a scrape and the page show them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What was counted of each deployment.
    pub places: BTreeMap<Place, Arc<PlaceCounts>>,
    /// Each source by its name: what was counted of it, and how it stands.
    pub sources: BTreeMap<Arc<str>, (SourceCounts, SourceState)>,
    /// Those of them that the configuration does not name, or not any more: they keep their counts and stand nowhere.
    pub retired: BTreeSet<Arc<str>>,
    /// How the ways to a blob fared where they are probed, by the deployment and the source that probes it: several may
    /// probe one, or be unable to tell theirs apart.
    pub probes: BTreeMap<(Place, Arc<str>), Probed>,
    /// How many deployments are counted together with others, because there were too many.
    pub folded: u64,
    /// How long commits took.
    pub commits: CommitTimes,
    /// The latest events that want attention, the one that was counted last first.
    pub failures: VecDeque<Arc<Row>>,
    /// Whether every source has caught up with what was there at the start.
    pub caught_up: bool,
    /// Why the last commit failed, where it did.
    pub trouble: Option<String>,
    /// Since when commits fail, where they do.
    pub failing_since: Option<Timestamp>,
    /// The alerts that fire, and those that were resolved of late.
    pub alerts: Snapshot,
    /// Each alert that can fire, and whether it does.
    pub alert_series: Arc<BTreeMap<Series, bool>>,
    /// Requests to receivers of notifications, in the order of [`Sent::ALL`](crate::alert::Sent::ALL).
    pub notifications: BTreeMap<Arc<str>, [u64; Sent::ALL.len()]>,
}

/// How long commits must fail until somebody is told, in milliseconds.
pub(crate) const FAILING_FOR: i64 = 60 * 1000;

impl View {
    /// Whether commits have failed for so long that somebody must look.
    pub fn is_failing(&self, now: Timestamp) -> bool {
        self.failing_since.is_some_and(|since| now.0 - since.0 >= FAILING_FOR)
    }

    /// The latest events that want attention, by when they happened, the newest first.
    pub fn latest_failures(&self) -> Vec<&Arc<Row>> {
        let mut failures: Vec<&Arc<Row>> = self.failures.iter().collect();
        failures.sort_by_key(|row| std::cmp::Reverse(row.event.time));
        failures
    }

    /// The sources that the configuration names.
    pub fn read(&self) -> impl Iterator<Item = (&Arc<str>, &(SourceCounts, SourceState))> + Clone {
        self.sources.iter().filter(|(name, _)| !self.retired.contains(*name))
    }
}

/// Upper bounds of the buckets of commit durations, in seconds.
pub const COMMIT_BUCKETS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// A histogram of how long commits took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CommitTimes {
    /// How many fell into each bucket of [`COMMIT_BUCKETS`] and into none below it.
    pub buckets: [u64; COMMIT_BUCKETS.len()],
    /// How many there were.
    pub count: u64,
    /// All of them added up, in seconds.
    pub sum_seconds: f64,
}

impl CommitTimes {
    /// Counts one.
    pub fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.sum_seconds += seconds;
        if let Some(bucket) = COMMIT_BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
    }
}

/// What reads the ledger: the HTTP routes and the terminal.
#[derive(Clone, Debug)]
pub struct Reader {
    view: Arc<RwLock<View>>,
    scrapes: SyncSender<Scrape>,
}

/// A scrape that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Who scraped: an address and a program.
    pub scraper: String,
    /// When.
    pub at: Timestamp,
    /// The newborn places that it was shown at 0.
    pub held: Vec<Place>,
}

/// Scrapes that wait to be noted. Further ones are not noted, which can only hold a newborn series back for longer.
pub const SCRAPES: usize = 64;

impl Reader {
    /// A reader of what is published here, and where it tells of scrapes.
    pub fn new(view: Arc<RwLock<View>>, scrapes: SyncSender<Scrape>) -> Self {
        Self { view, scrapes }
    }

    /// What was committed last.
    pub fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells that a scrape was answered.
    pub fn scraped(&self, scrape: Scrape) {
        let _ = self.scrapes.try_send(scrape);
    }
}
