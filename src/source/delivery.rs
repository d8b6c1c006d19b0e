//! What a sender repeats until it hears that it was taken: a batch, how a repeat is recognised, and who waits.

use super::Batch;
use crate::event::Timestamp;
use crate::ledger::{Skipped, SourceCounts};
use tokio::sync::oneshot;

/// A body that was delivered. Whether it came before is decided, and noted, in the transaction that counts it.
#[derive(Debug)]
pub struct Delivery {
    /// What it holds.
    pub batch: Batch,
    /// The first half of the SHA-256 of its bytes, uncompressed. The same bytes count once, whichever source took them.
    pub hash: u128,
    /// When the newest of its accesses and overflows was logged.
    pub newest: Option<Timestamp>,
    /// Whether its bytes were signed: only then does an old record mean an old body.
    pub is_signed: bool,
    /// Told when all of it is durable. Where it cannot be taken now, this is dropped.
    pub committed: oneshot::Sender<()>,
}

impl Batch {
    /// Leaves nothing to be counted but that one body was not used.
    pub(crate) fn turn_away(&mut self, reason: Skipped) {
        self.found.clear();
        self.counts = SourceCounts::default();
        self.counts.skip(reason, 1);
    }
}
