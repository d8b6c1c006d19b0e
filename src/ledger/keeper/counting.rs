//! What a batch adds to the counts, and what it raises.
//!
//! Nothing of it shows before it is committed.

use super::{FAILURES, KEY_AGE, KEYS, Keeper, MAX_DELIVERIES, MAX_FOLDED};
use crate::attribute::{Attribution, Evidence, attribute};
use crate::dedupe;
use crate::event::{Event, Identity, Origin, Outcome, Timestamp};
use crate::ledger::bodies::Bodies;
use crate::ledger::counts::{
    Exemplar, Hold, OTHER_DEPLOYMENTS, PathState, Place, PlaceCounts, Probed, Skipped, SourceCounts,
};
use crate::policy::{Verdict, judge_expecting};
use crate::probe::{self, Path};
use crate::row::Row;
use crate::source::{Batch, Delivery, Found};
use std::sync::Arc;

impl Keeper {
    pub(super) fn count(&mut self, mut batch: Batch) {
        self.pending.something = true;
        for found in std::mem::take(&mut batch.found) {
            match found {
                Found::Event(event) => self.event(*event, &mut batch, false),
                Found::History(event) => self.event(*event, &mut batch, true),
                Found::Overflow { origin, identity } => {
                    let attribution = self.attribution(&origin, &batch);
                    if !self.is_repeat(identity, &attribution, &mut batch) {
                        self.place(&attribution, &origin, batch.read_at).1.overflows += 1;
                    }
                }
                Found::Counted { origin, identity } => {
                    let attribution = self.attribution(&origin, &batch);
                    let key = dedupe::key(&attribution.deployment, identity);
                    // What makes room for it early is told; that it makes room itself is not: it was no copy of anything.
                    self.note_key(key, Timestamp::default(), &mut batch);
                }
                Found::Deployment(origin) => {
                    let attribution = self.attribution(&origin, &batch);
                    self.place(&attribution, &origin, batch.read_at);
                }
                Found::Probe { origin, paths } => {
                    self.next.probes.retain(|(_, source), _| *source != batch.source);
                    if let Some(paths) = paths {
                        self.probed(&origin, paths, &batch);
                    }
                }
            }
        }
        let mut rules = self.alerts.rules().sources.iter();
        if !self.sources.contains_key(&batch.source)
            && rules.any(|rules| rules.catches_up && rules.name == batch.source)
        {
            self.first_sight.insert(Arc::clone(&batch.source));
        }
        if batch.caught_up {
            self.first_sight.remove(&batch.source);
        }
        if !self.first_sight.contains(&batch.source) {
            self.alerts.counted(self.now, &batch.source, &batch.counts);
        }
        let counts = self
            .sources
            .entry(Arc::clone(&batch.source))
            .or_insert_with(|| SourceCounts { created: batch.read_at, ..SourceCounts::default() });
        counts.add(&batch.counts);
        self.pending.sources.insert(Arc::clone(&batch.source));
        let state = &mut self.next.sources.entry(Arc::clone(&batch.source)).or_default().1;
        // What comes late of one that was taken out of the configuration counts, and says nothing of how it stands.
        if !self.next.retired.contains(&batch.source) {
            let last_read = batch.state.last_read.max(state.last_read);
            *state = batch.state;
            state.last_read = last_read;
        }
        self.next.caught_up |= batch.caught_up;
        for (name, value) in batch.cursors {
            self.pending.cursors.insert((batch.source.to_string(), name), value);
        }
    }

    /// Counts what a sender delivers again and again until it hears of the commit: once.
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let Delivery { mut batch, hash, newest, is_signed, committed } = delivery;
        if self.pending.deliveries.len().max(self.pending.bodies.len()) >= MAX_DELIVERIES {
            // Whoever waits sees that nothing will come.
            return;
        }
        if self.bodies.knows(hash) {
            batch.turn_away(Skipped::Duplicate);
        } else if is_signed && newest.is_some_and(|newest| Bodies::is_forgotten(newest, batch.read_at)) {
            batch.turn_away(Skipped::Stale);
        } else {
            let (row, had_to_go) = self.bodies.note(hash, newest, batch.read_at);
            self.pending.bodies.push(row);
            batch.counts.skip(Skipped::KeyForgotten, u64::from(had_to_go));
        }
        self.count(batch);
        self.pending.deliveries.push(committed);
    }

    fn event(&mut self, mut event: Event, batch: &mut Batch, is_history: bool) {
        let attribution = self.attribution(&event.origin, batch);
        if self.is_repeat(event.identity, &attribution, batch) {
            return;
        }
        // A time in the future is somebody's wrong clock.
        let time = event.time.map_or(batch.read_at, |time| time.min(batch.read_at));
        event.time = Some(time);
        let origin = Arc::clone(&event.origin);
        let (place, counts) = self.place(&attribution, &origin, batch.read_at);
        let outcome = event.outcome as usize;
        counts.outcomes[outcome] += 1;
        counts.hour.add(time, event.outcome);
        if event.outcome == Outcome::DirectFailed
            && let Some(cause) = event.cause
        {
            counts.causes[cause as usize] += 1;
        }
        counts.truncated += u64::from(event.truncated);
        if let Some(size) = event.size_bytes {
            counts.sizes.add(size);
        }
        counts.last[outcome] = counts.last[outcome].max(Some(time));
        if event.request_id.is_some() || event.storage_id.is_some() {
            counts.exemplars[outcome] = Some(Exemplar {
                request_id: event.request_id.clone(),
                storage_id: event.storage_id.clone(),
                time: Some(time),
            });
        }
        let expects_direct = counts.expects_direct;
        let row = Row { event, attribution, source: Arc::clone(&batch.source), expects_direct };
        if !matches!(row.verdict(), Verdict::Investigate | Verdict::Degraded) {
            return;
        }
        if !is_history {
            let kind = self.places.get(&place).and_then(|counts| counts.deployment_type.as_deref());
            self.alerts.event(self.now, &place, kind, time, &row);
        }
        let row = Arc::new(row);
        self.next.failures.push_front(Arc::clone(&row));
        self.next.failures.truncate(FAILURES);
        self.pending.failures.push_back((self.next_failure, row));
        self.next_failure += 1;
        while self.pending.failures.len() > FAILURES {
            self.pending.failures.pop_front();
        }
    }

    /// Shows how the ways to a blob fared, and what that means there.
    fn probed(&mut self, origin: &Origin, paths: [PathState; Path::ALL.len()], batch: &Batch) {
        let Attribution { deployment, hosting, deployment_type, .. } = self.attribution(origin, batch);
        let expects_direct = (self.alerts.rules().deployment)(&deployment).expects_direct;
        let place = Place { deployment, hosting };
        let logged = || self.places.get(&place).and_then(|counts| counts.deployment_type.as_deref());
        let kind = deployment_type.as_deref().or_else(logged);
        let outcome = probe::outcome([&paths[0], &paths[1]].map(|path| path.success));
        let (verdict, _) = judge_expecting(expects_direct, hosting, kind, outcome);
        let probed = Probed { at: batch.read_at, verdict, paths };
        self.next.probes.insert((place, Arc::clone(&batch.source)), probed);
    }

    fn attribution(&mut self, origin: &Origin, batch: &Batch) -> Attribution {
        let mut attribution = attribute(origin, &batch.given);
        let configured = (self.rules.hosting)(&attribution.deployment)
            .or(batch.given.hosting.filter(|_| batch.hosting_is_configured));
        if let Some(hosting) = configured {
            (attribution.hosting, attribution.evidence) = (hosting, Evidence::Config);
        } else if self.known.settle(&mut attribution) {
            let known = (attribution.evidence, attribution.hosting);
            self.pending.known.insert(Arc::clone(&attribution.deployment), known);
        }
        attribution
    }

    fn is_repeat(&mut self, identity: Option<Identity>, attribution: &Attribution, batch: &mut Batch) -> bool {
        let Some(identity) = identity else { return false };
        let key = dedupe::key(&attribution.deployment, identity);
        let is_repeat = self.note_key(key, batch.read_at, batch);
        batch.counts.skip(Skipped::Duplicate, u64::from(is_repeat));
        is_repeat
    }

    /// Notes a key that was seen then; true if it was there before. What it makes room for early is counted.
    fn note_key(&mut self, key: u128, Timestamp(seen): Timestamp, batch: &mut Batch) -> bool {
        if self.dedupe.note(key) {
            return true;
        }
        self.pending.keys.push((self.next_key, (key, seen)));
        // While nothing can be committed, those pile up that a commit would drop at once.
        if self.pending.keys.len() >= 2 * KEYS {
            self.pending.keys.drain(..KEYS);
        }
        self.keys_seen.insert(self.next_key, seen);
        self.next_key += 1;
        if let Some(oldest) = self.next_key.checked_sub(KEYS as u64 + 1)
            && self.keys_seen.remove(&oldest).is_some_and(|then| batch.read_at.0 - then < KEY_AGE)
        {
            batch.counts.skip(Skipped::KeyForgotten, 1);
        }
        false
    }

    /// The counts of a place, which is born if it is new.
    fn place(&mut self, attribution: &Attribution, origin: &Origin, now: Timestamp) -> (Place, &mut PlaceCounts) {
        let mut place = Place { deployment: Arc::clone(&attribution.deployment), hosting: attribution.hosting };
        let is_new = !self.places.contains_key(&place) && !self.deployments.contains(&place.deployment);
        if is_new && self.deployments.len() >= self.rules.max_deployments && !(self.rules.is_named)(&place.deployment) {
            if self.folded.len() < MAX_FOLDED {
                self.folded.insert(Arc::clone(&place.deployment));
            }
            place.deployment = Arc::from(OTHER_DEPLOYMENTS);
        } else if is_new {
            self.deployments.insert(Arc::clone(&place.deployment));
        }
        let is_other = &*place.deployment == OTHER_DEPLOYMENTS;
        self.pending.places.insert(place.clone());
        let (scrapers, alerts) = (&mut self.scrapers, &mut self.alerts);
        let counts = Arc::make_mut(self.places.entry(place.clone()).or_insert_with(|| {
            let held = scrapers.hold(&place, now);
            let held = held.then(|| Hold { since: now, seen_by: Vec::new() });
            let expects_direct = (alerts.rules().deployment)(&place.deployment).expects_direct;
            alerts.places_changed();
            Arc::new(PlaceCounts { created: now, held, expects_direct, ..PlaceCounts::default() })
        }));
        if !is_other {
            counts.evidence = Some(attribution.evidence);
            for (slot, said) in [
                (&mut counts.deployment_type, &attribution.deployment_type),
                (&mut counts.project, &attribution.project),
                (&mut counts.region, &origin.region),
            ] {
                if said.is_some() && slot != said {
                    slot.clone_from(said);
                    alerts.places_changed();
                }
            }
        }
        (place, counts)
    }
}
