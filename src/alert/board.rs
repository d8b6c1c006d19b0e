//! Where the tasks that send leave word for the ledger: who took what, and who takes nothing.
//!
//! It is bounded: what is delivered is noted once for each incident, receiver and phase, and counts are counts.

use super::Key;
use crate::event::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How a request to a receiver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// It was taken.
    Ok,
    /// There was no answer, or one that says to try again later.
    Failed,
    /// It was refused: another attempt will hardly be taken either.
    Refused,
}

impl Sent {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Refused];

    /// The text in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// A receiver has taken news of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The receiver.
    pub receiver: Arc<str>,
    /// What the alert is about.
    pub key: Key,
    /// Which incident.
    pub since: Timestamp,
    /// Whether the news was that it is resolved.
    pub closed: bool,
    /// When.
    pub at: Timestamp,
}

/// What was noted since it was taken last, and how receivers stand.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// What was delivered.
    pub delivered: Vec<Delivered>,
    /// Requests, by receiver, in the order of [`Sent::ALL`].
    pub sent: BTreeMap<Arc<str>, [u64; Sent::ALL.len()]>,
    /// Since when each receiver has taken nothing; none if it took what it was sent last.
    pub failing: BTreeMap<Arc<str>, Option<Timestamp>>,
}

/// The board itself, shared by those who write and the one who reads.
#[derive(Debug, Default)]
pub struct Board(Mutex<Notes>);

impl Board {
    /// Counts a request that says nothing of how its receiver stands.
    pub fn count(&self, receiver: &Arc<str>, result: Sent) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.sent.entry(Arc::clone(receiver)).or_default()[result as usize] += 1;
    }

    /// Notes how a request ended, and what was delivered by it.
    pub fn note(&self, receiver: &Arc<str>, result: Sent, at: Timestamp, delivered: Vec<Delivered>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.sent.entry(Arc::clone(receiver)).or_default()[result as usize] += 1;
        let failing = notes.failing.entry(Arc::clone(receiver)).or_default();
        match result {
            Sent::Ok => *failing = None,
            Sent::Failed | Sent::Refused => *failing = Some(failing.unwrap_or(at)),
        }
        notes.delivered.extend(delivered);
    }

    /// Forgets receivers that are not there any more.
    pub fn keep(&self, receivers: &[Arc<str>]) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.failing.retain(|receiver, _| receivers.contains(receiver));
    }

    /// Takes what was noted; how receivers stand stays.
    pub fn take(&self) -> Notes {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Notes {
            delivered: std::mem::take(&mut notes.delivered),
            sent: std::mem::take(&mut notes.sent),
            failing: notes.failing.clone(),
        }
    }
}
