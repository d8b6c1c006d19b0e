//! Standard input as a live source: its lines count as they come, until the pipe ends.

use super::collect::Collected;
use super::saved::Input;
use super::{Batch, Found};
use crate::attribute::Given;
use crate::decode::{Item, first_origin};
use crate::event::Timestamp;
use crate::ledger::SourceState;
use crate::read::{self, Collector, Step};
use crate::scan::Sink;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The items of a part of the input.
#[derive(Default)]
struct Items(Vec<Item>);

impl Sink for Items {
    fn item(&mut self, item: Item) {
        self.0.push(item);
    }
}

impl Collector for Items {
    type Part = Vec<Item>;

    fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.0)
    }
}

/// Reads standard input to its end. `send` takes batches, and returns false to stop.
pub fn run(
    name: Arc<str>,
    given: Given,
    hosting_is_configured: bool,
    now: impl Fn() -> Timestamp,
    mut send: impl FnMut(Batch) -> bool,
) {
    let given = Arc::new(given);
    let mut collected = Collected::default();
    // A deployment that the caller named is known before its first line.
    collected
        .found
        .extend(given.deployment.is_some().then(|| Found::Deployment(first_origin(b"\n").unwrap_or_default())));
    let options =
        read::Options { jobs: 1, live: true, everything: false, part: read::PART, progress: &AtomicU64::new(0) };
    let mut hand_over = |collected: &mut Collected, up: bool| {
        let read_at = now();
        let last_read = (collected.counts.bytes > 0).then_some(read_at);
        let state = SourceState { last_read, up, ..SourceState::default() };
        send(Batch {
            source: Arc::clone(&name),
            found: std::mem::take(&mut collected.found),
            given: Arc::clone(&given),
            hosting_is_configured,
            counts: std::mem::take(&mut collected.counts),
            cursors: Vec::new(),
            state,
            caught_up: true,
            read_at,
        })
    };
    if !hand_over(&mut collected, true) {
        return;
    }
    read::read(&[Input::Stdin], &options, Items::default, &mut |step| match step {
        Step::Part { counts, part, .. } => {
            part.into_iter().for_each(|item| collected.take(item));
            collected.seen(counts);
            hand_over(&mut collected, true)
        }
        Step::Ended { error, .. } => {
            if let Some(error) = error {
                tracing::error!("standard input: {error}");
            }
            hand_over(&mut collected, false)
        }
    });
}
