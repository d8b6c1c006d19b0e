//! What a live source found in its lines, as the ledger takes it.

use super::Found;
use crate::attribute::Banners;
use crate::decode::{Ignored, Item, Reading};
use crate::event::{Event, Origin};
use crate::ledger::{Skipped, SourceCounts};
use crate::scan::{Counts, Sink};
use std::sync::Arc;

/// Collects items; the banners above them name their deployments.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) found: Vec<Found>,
    pub(super) counts: SourceCounts,
    pub(super) banners: Banners,
}

impl Collected {
    /// Goes on where banners were read before.
    pub(super) fn with(banners: Banners) -> Self {
        Self { banners, ..Self::default() }
    }

    /// Adds what a scan counted.
    pub(super) fn seen(&mut self, counts: Counts) {
        self.counts.lines += counts.lines;
        self.counts.bytes += counts.bytes;
        self.counts.skip(Skipped::Oversize, counts.oversize);
    }

    /// Makes history of the events whose records begin before a byte.
    pub(super) fn make_history(&mut self, before: u64) {
        if before == 0 {
            return;
        }
        self.make_history_of(|event| event.offset < before);
    }

    /// Makes history of these events.
    pub(super) fn make_history_of(&mut self, is_history: impl Fn(&Event) -> bool) {
        let found = std::mem::take(&mut self.found).into_iter().map(|found| match found {
            Found::Event(event) if is_history(&event) => Found::History(event),
            other => other,
        });
        self.found = found.collect();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.counts == SourceCounts::default()
    }

    /// Takes an item.
    pub(super) fn take(&mut self, item: Item) {
        let record = match item {
            Item::Record(record) => record,
            Item::Banner { lane, banner, .. } => {
                self.banners.note(lane.clone(), banner);
                let origin = Arc::new(Origin { lane, ..Origin::default() });
                self.found.push(Found::Deployment(self.banners.complete(&origin)));
                return;
            }
            Item::Oversize { .. } => return self.counts.skip(Skipped::Oversize, 1),
            Item::BrokenOff { .. } => return self.counts.skip(Skipped::BrokenOff, 1),
        };
        self.counts.records += record.count;
        match record.reading {
            Reading::Event(mut event) => {
                event.origin = self.banners.complete(&event.origin);
                self.found.push(Found::Event(event));
            }
            Reading::Overflow { origin, identity, .. } => {
                self.found.push(Found::Overflow { origin: self.banners.complete(&origin), identity });
            }
            Reading::Ignored(Ignored::Cached) => self.counts.skip(Skipped::Cached, record.count),
            Reading::Ignored(_) => {}
            Reading::Undecodable => self.counts.skip(Skipped::Undecodable, record.count),
        }
    }
}

impl Sink for Collected {
    fn item(&mut self, item: Item) {
        self.take(item);
    }
}
