//! Hands over what was found: events and counts, with the rows of all files of which something has changed, and how the
//! source stands.

use super::Follower;
use super::tail::Tail;
use crate::attribute::Given;
use crate::event::{Timestamp, clip};
use crate::ledger::SourceState;
use crate::source::{Batch, TROUBLE};
use std::path::PathBuf;
use std::sync::Arc;

impl Follower {
    /// The rows of all files of which something has changed: what belongs together is kept together.
    fn changed_rows(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(self.tails.iter_mut().filter(|tail| tail.changed).filter_map(Tail::row));
        rows
    }

    /// Hands over what was found in one file, with its cursor.
    pub(super) fn hand_over(&mut self, at: usize, now: Timestamp, send: &mut impl FnMut(Batch) -> bool) -> bool {
        if !self.tails[at].changed && self.rows.is_empty() && self.collected.is_empty() {
            return true;
        }
        let rows = self.changed_rows();
        let base = self.tails[at].cursor.base.clone();
        let given = self.given(&base);
        self.send(rows, given, now, send)
    }

    fn send(
        &mut self,
        cursors: Vec<(String, Option<String>)>,
        given: Arc<Given>,
        now: Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> bool {
        let collected = std::mem::take(&mut self.collected);
        let state = self.state((collected.counts.bytes > 0).then_some(now));
        self.told = Some(SourceState { last_read: None, ..state.clone() });
        send(Batch {
            source: Arc::clone(&self.options.name),
            found: collected.found,
            given,
            hosting_is_configured: self.options.hosting_is_configured,
            counts: collected.counts,
            cursors,
            state,
            caught_up: self.caught_up,
            read_at: now,
        })
    }

    /// Tells how the source stands, where that has changed.
    pub(super) fn tell(&mut self, now: Timestamp, send: &mut impl FnMut(Batch) -> bool) {
        let rows = self.changed_rows();
        let is_new = self.told != Some(self.state(None)) || (self.caught_up && !self.told_caught_up);
        if is_new || !rows.is_empty() || !self.collected.is_empty() {
            self.told_caught_up = self.caught_up;
            let given = self.given(&PathBuf::new());
            self.send(rows, given, now, send);
        }
    }

    fn state(&self, last_read: Option<Timestamp>) -> SourceState {
        let lag_bytes = self.tails.iter().filter(|tail| tail.missing.is_none() || tail.is_open()).map(Tail::lag).sum();
        let opened = self.unreadable.iter().map(|(path, (why, is_base))| (path, why, *is_base));
        let failing =
            self.tails.iter().filter_map(|tail| Some((&tail.cursor.path, tail.failing.as_ref()?, tail.is_base)));
        let mut troubles: Vec<_> = opened.chain(failing).collect();
        // What is written comes first: that is missed most.
        troubles.sort_by_key(|(path, _, is_base)| (!is_base, *path));
        let trouble = troubles.first().map(|(path, why, _)| {
            let more = match troubles.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            Arc::from(clip(&format!("{}: {why}{more}", path.display()), TROUBLE))
        });
        let up = self.tails.iter().any(|tail| tail.is_base && tail.is_open())
            && !troubles.iter().any(|(_, _, is_base)| *is_base);
        let begun_bytes = self.tails.iter().map(|tail| tail.lag().min(tail.partial().len() as u64)).sum();
        SourceState { lag_bytes, begun_bytes, last_read, up, trouble }
    }

    fn given(&mut self, base: &PathBuf) -> Arc<Given> {
        if let Some(given) = self.given.get(base) {
            return Arc::clone(given);
        }
        let given = Arc::new(Given {
            deployment: self.options.deployment.as_ref().and_then(|template| template.name_for(base)),
            hosting: self.options.hosting,
        });
        self.given.insert(base.clone(), Arc::clone(&given));
        given
    }
}
