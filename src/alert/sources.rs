//! Whether a source is silent or stalled, whether anybody takes notifications, and whether counts are made durable.
//!
//! Enters how they stand and the time, again and again; leaves for each alert whether what it says holds, is over, or
//! cannot be told yet. After a start, or a time in which the machine slept, it takes a while until it can.

use super::rules::SourceRules;
use crate::event::Timestamp;
use crate::ledger::{FAILING_FOR, SourceCounts, SourceState, written};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How long a source must be down, or behind without moving, and how long nobody must take notifications, in
/// milliseconds.
const FOR: i64 = 5 * 60 * 1000;

/// How long after a start nothing is said of silence: what was written meanwhile is read within that time. Shorter once
/// everything has caught up.
const SETTLING: i64 = 70 * 1000;
const SETTLED: i64 = 2 * 1000;

/// Two looks this far apart have a gap between them of which nothing is known, in milliseconds.
const GAP: i64 = 60 * 1000;

/// How old what is kept of when sources were heard may get, in milliseconds.
const KEPT_EACH: i64 = 30 * 1000;

/// Whether what an alert says is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It is, and this is how.
    Holds(String),
    /// It is not.
    Over,
    /// It cannot be told yet.
    Open,
}

/// What is remembered of sources between two looks.
#[derive(Default)]
pub(super) struct Watched {
    /// When it began to look.
    began: Timestamp,
    looked: Option<Timestamp>,
    moves: HashMap<Arc<str>, Move>,
    /// When something was last read of each source whose silence matters. This is kept over a restart.
    heard: BTreeMap<Arc<str>, Timestamp>,
    kept: Timestamp,
}

/// How a source gets on.
#[derive(Clone, Copy, Default)]
struct Move {
    bytes: u64,
    at: Timestamp,
    down_since: Option<Timestamp>,
}

impl Watched {
    /// Takes up what was kept. What does not matter any more is left out, and true returned where that is to be kept.
    pub(super) fn load(&mut self, row: &str, sources: &[SourceRules]) -> Result<bool, serde_json::Error> {
        self.heard = serde_json::from_str(row)?;
        Ok(self.keep(sources))
    }

    /// What is to be kept: nothing, too, or what was kept before would count as heard the next time that silence matters.
    pub(super) fn row(&self) -> Option<String> {
        written(&self.heard)
    }

    /// Notes that it is being kept.
    pub(super) fn kept(&mut self, now: Timestamp) {
        self.kept = now;
    }

    /// Begins a look; must come before the others.
    pub(super) fn look(&mut self, now: Timestamp) {
        let gap = self.looked.is_none_or(|before| !(0..GAP).contains(&(now.0 - before.0)));
        self.looked = Some(now);
        if gap {
            self.began = now;
            self.moves.clear();
        }
    }

    /// Whether what is kept is out of date, by much.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        !self.heard.is_empty() && now.0 - self.kept.0 >= KEPT_EACH && self.heard.values().any(|at| *at > self.kept)
    }

    /// Whether a source has been silent for too long.
    pub(super) fn silent(
        &mut self,
        now: Timestamp,
        rules: &SourceRules,
        state: Option<&SourceState>,
        caught_up: bool,
    ) -> Condition {
        let Some(limit) = rules.silent_after else { return Condition::Over };
        let heard = self.heard.entry(Arc::clone(&rules.name)).or_insert(now);
        *heard = (*heard).max(state.and_then(|state| state.last_read).unwrap_or_default()).min(now);
        let silent = now.0 - heard.0;
        if silent < limit.as_millis() as i64 {
            return Condition::Over;
        }
        let settling = now.0 - self.began.0;
        if settling < SETTLED || (settling < SETTLING && !caught_up) {
            return Condition::Open;
        }
        Condition::Holds(format!("Nothing was read of the source '{}' since {heard}.", rules.name))
    }

    /// Whether a source is down, or does not get on.
    pub(super) fn stalled(
        &mut self,
        now: Timestamp,
        rules: &SourceRules,
        counts: Option<&SourceCounts>,
        state: Option<&SourceState>,
    ) -> Condition {
        let bytes = counts.map_or(0, |counts| counts.bytes);
        let unknown = SourceState::default();
        let state = state.unwrap_or(&unknown);
        let fresh = Move { bytes, at: now, down_since: None };
        let so_far = self.moves.entry(Arc::clone(&rules.name)).or_insert(fresh);
        // A line whose end was not written yet keeps nothing waiting.
        let moved = state.lag_bytes <= state.begun_bytes || so_far.bytes != bytes;
        if moved {
            (so_far.bytes, so_far.at) = (bytes, now);
        }
        let is_down = !state.up && !rules.may_end;
        so_far.down_since = is_down.then(|| so_far.down_since.unwrap_or(now));
        let long = |since: Timestamp| now.0 - since.0 >= FOR;
        let minutes = FOR / 60_000;
        if so_far.down_since.is_some_and(long) {
            let why = state.trouble.as_deref().map(|why| format!(" {why}")).unwrap_or_default();
            let what =
                format!("The source '{}', or a part of it, could not be read for {minutes} minutes.{why}", rules.name);
            return Condition::Holds(what);
        }
        if long(so_far.at) {
            let behind = state.lag_bytes;
            let what = format!(
                "The source '{}' is {behind} bytes behind, and nothing of it was read for {minutes} minutes.",
                rules.name
            );
            return Condition::Holds(what);
        }
        if moved && !is_down { Condition::Over } else { Condition::Open }
    }

    /// Forgets sources that are not read any more, or whose silence does not matter. True where it is to be kept that these
    /// were heard no more.
    pub(super) fn keep(&mut self, sources: &[SourceRules]) -> bool {
        let before = self.heard.len();
        self.heard.retain(|name, _| sources.iter().any(|rules| rules.name == *name && rules.silent_after.is_some()));
        self.moves.retain(|name, _| sources.iter().any(|rules| rules.name == *name));
        self.heard.len() < before
    }
}

/// Whether no receiver takes notifications. `failing` says of each that was sent something since when it takes nothing.
pub(super) fn unheard(
    now: Timestamp,
    receivers: &[Arc<str>],
    failing: &BTreeMap<Arc<str>, Option<Timestamp>>,
) -> Condition {
    let stands: Vec<Option<&Option<Timestamp>>> = receivers.iter().map(|receiver| failing.get(receiver)).collect();
    if stands.is_empty() || stands.iter().any(|stand| matches!(stand, Some(None))) {
        return Condition::Over;
    }
    let Some(since) = stands.into_iter().map(|stand| stand.copied().flatten()).collect::<Option<Vec<_>>>() else {
        return Condition::Open;
    };
    match since.into_iter().max() {
        Some(since) if now.0 - since.0 >= FOR => {
            Condition::Holds(format!("None of {} has taken a notification since {since}.", receivers.join(", ")))
        }
        _ => Condition::Open,
    }
}

/// Whether the ledger cannot be committed. `failing` says since when, and why.
pub(super) fn unkept(now: Timestamp, failing: Option<&(Timestamp, String)>) -> Condition {
    match failing {
        None => Condition::Over,
        Some((since, why)) if now.0 - since.0 >= FAILING_FOR => {
            Condition::Holds(format!("Nothing that was counted since {since} could be made durable: {why}."))
        }
        Some(_) => Condition::Open,
    }
}
