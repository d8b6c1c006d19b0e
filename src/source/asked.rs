//! What every source that is asked over the network is told, and what its batches have in common.

use super::{Batch, Found};
use crate::attribute::Given;
use crate::event::Timestamp;
use crate::ledger::{SourceCounts, SourceState, written};
use serde::Serialize;
use std::sync::Arc;

/// Whom to ask, and what holds for the answers.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The source's name.
    pub name: Arc<str>,
    /// The address, without a slash at its end.
    pub url: Arc<str>,
    /// What holds where the answers do not say.
    pub given: Arc<Given>,
    /// Whether the configuration says where it runs.
    pub hosting_is_configured: bool,
    /// Whether readiness waits for this source.
    pub tells_readiness: bool,
}

impl Asked {
    /// A batch with what was found and the row that is kept with it.
    pub(super) fn batch(
        &self,
        found: Vec<Found>,
        row: Option<(&str, &impl Serialize)>,
        state: SourceState,
        read_at: Timestamp,
    ) -> Batch {
        let row = row.and_then(|(name, row)| Some((name.to_owned(), Some(written(row)?))));
        Batch {
            source: Arc::clone(&self.name),
            found,
            given: Arc::clone(&self.given),
            hosting_is_configured: self.hosting_is_configured,
            counts: SourceCounts::default(),
            cursors: row.into_iter().collect(),
            state,
            caught_up: self.tells_readiness,
            read_at,
        }
    }
}
