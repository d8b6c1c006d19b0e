//! The alerts and what becomes of them: they fire, are told, are resolved, and are forgotten.
//!
//! Enters events and counts as they are counted, what receivers took, and the time; leaves rows for the ledger, a
//! [`Snapshot`] for those who send, and the series of the gauge. No clock, no input, no output.

use super::board::{Delivered, Notes};
use super::rules::{Rules, detail};
use super::sources::{Condition, Watched, unheard, unkept};
use super::text::{over, summary};
use super::{Alert, Delivery, Detail, Key, Name, Series, Snapshot};
use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::ledger::{Place, PlaceCounts, Skipped, SourceCounts, SourceState, written};
use crate::plain::safe;
use crate::row::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a resolution is repeated, in milliseconds.
pub(super) const REPEATED: i64 = 5 * 60 * 1000;

/// How often time is looked at, in milliseconds.
const EACH: i64 = 100;

/// Deployments that are named in an alert about several.
pub(super) const MAX_FOLDED: usize = 10;

/// Every alert, and what has changed since the last commit.
#[derive(Default)]
pub struct Alerts {
    rules: Rules,
    all: BTreeMap<Key, Arc<Alert>>,
    changed: BTreeSet<Key>,
    watched: Watched,
    watched_changed: bool,
    failing: BTreeMap<Arc<str>, Option<Timestamp>>,
    /// Since when the ledger cannot be committed, and why.
    ledger: Option<(Timestamp, String)>,
    ticked: Option<Timestamp>,
    /// Whether the series are to be gathered anew.
    series_changed: bool,
}

impl Alerts {
    /// Alerts under rules; none fires.
    pub fn new(rules: Rules) -> Self {
        Self { rules, series_changed: true, ..Self::default() }
    }

    /// Takes up what was committed.
    pub fn load(
        &mut self,
        rows: Vec<(String, String)>,
        heard: Option<&str>,
    ) -> Result<(), (String, serde_json::Error)> {
        for (row, value) in rows {
            let alert: Alert = serde_json::from_str(&value).map_err(|error| (row, error))?;
            self.all.insert(alert.key.clone(), Arc::new(alert));
        }
        if let Some(heard) = heard {
            let loaded = self.watched.load(heard, &self.rules.sources);
            self.watched_changed |= loaded.map_err(|error| ("heard".to_owned(), error))?;
        }
        self.address();
        Ok(())
    }

    /// Goes on under other rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.watched_changed |= self.watched.keep(&self.rules.sources);
        self.failing.retain(|receiver, _| self.rules.receivers.contains(receiver));
        self.series_changed = true;
        self.address();
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Lets whoever is to be told stand in the alerts, and nobody else. What was resolved before somebody came does not
    /// concern them.
    fn address(&mut self) {
        let receivers = &self.rules.receivers;
        for (key, alert) in &mut self.all {
            let gone = alert.deliveries.keys().any(|receiver| !receivers.contains(receiver));
            let new = alert.is_firing() && receivers.iter().any(|receiver| !alert.deliveries.contains_key(receiver));
            if gone || new {
                let alert = Arc::make_mut(alert);
                alert.deliveries.retain(|receiver, _| receivers.contains(receiver));
                if alert.is_firing() {
                    receivers.iter().for_each(|receiver| {
                        alert.deliveries.entry(Arc::clone(receiver)).or_default();
                    });
                }
                self.changed.insert(key.clone());
            }
        }
    }

    /// Takes an event that is counted, at `time`, in a place. History raises nothing.
    pub fn event(&mut self, now: Timestamp, place: &Place, deployment_type: Option<&str>, time: Timestamp, row: &Row) {
        let event = &row.event;
        let kind = event.origin.deployment_type.as_deref().or(deployment_type);
        if !matches!(event.outcome, Outcome::HttpFallback | Outcome::DirectFailed)
            || self.rules.is_history(&row.source, &place.deployment, time, now)
        {
            return;
        }
        if let Some(key) = self.rules.raised(place, kind, event.outcome) {
            self.fire(key, now, 1, time.min(now), detail(row, place));
        }
    }

    /// Takes counts of a source that are counted: what was skipped or lost raises an alert.
    pub fn counted(&mut self, now: Timestamp, source: &Arc<str>, counts: &SourceCounts) {
        if let Some((count, what)) = unused(counts) {
            let detail = Detail { what: Some(format!("Of the source '{source}': {what}.")), ..Detail::default() };
            self.fire(Key::of_source(Name::StoragewatchSkipping, source), now, count, now, detail);
        }
    }

    fn fire(&mut self, key: Key, now: Timestamp, count: u64, time: Timestamp, mut detail: Detail) {
        match self.all.get_mut(&key) {
            Some(alert) if alert.is_firing() => {
                let alert = Arc::make_mut(alert);
                let is_further = detail.folded.iter().any(|name| !alert.detail.folded.contains(name));
                for name in std::mem::take(&mut alert.detail.folded) {
                    if !detail.folded.contains(&name) && detail.folded.len() < MAX_FOLDED {
                        detail.folded.push(name);
                    }
                }
                alert.count += count;
                alert.counted = now;
                alert.first = alert.first.min(time);
                if time >= alert.last {
                    (alert.last, alert.detail) = (time, detail);
                } else {
                    alert.detail.folded = detail.folded;
                }
                // A deployment without an alert of its own is at least named where this one is read.
                if is_further && alert.detail.folded.len() < MAX_FOLDED {
                    say(alert);
                }
            }
            before => {
                // No two incidents begin at once, even where a clock was set back.
                let since = before.and_then(|alert| alert.resolved).map_or(now, |then| now.max(Timestamp(then.0 + 1)));
                let deliveries =
                    self.rules.receivers.iter().map(|receiver| (Arc::clone(receiver), Delivery::default())).collect();
                let alert = Alert {
                    key: key.clone(),
                    since,
                    count,
                    first: time,
                    last: time,
                    counted: now,
                    detail,
                    resolved: None,
                    lingers: Timestamp::default(),
                    deliveries,
                };
                say(&alert);
                self.all.insert(key.clone(), Arc::new(alert));
                self.series_changed = true;
            }
        }
        self.changed.insert(key);
    }

    /// Takes what receivers took.
    pub fn notes(&mut self, notes: Notes) {
        self.failing = notes.failing;
        for Delivered { receiver, key, since, closed, at } in notes.delivered {
            if let Some(alert) = self.all.get_mut(&key).filter(|alert| alert.since == since)
                && alert.deliveries.contains_key(&receiver)
                && let Some(delivery) = Arc::make_mut(alert).deliveries.get_mut(&receiver)
            {
                if closed {
                    delivery.closed = Some(at);
                } else {
                    delivery.told = Some(at);
                }
                self.changed.insert(key);
            }
        }
    }

    /// Takes since when the ledger cannot be committed, and why; none where it can.
    pub fn ledger_fails(&mut self, failing: Option<(Timestamp, String)>) {
        self.ledger = failing;
    }

    /// Takes the time, and how sources stand.
    pub fn tick(&mut self, now: Timestamp, sources: &BTreeMap<Arc<str>, (SourceCounts, SourceState)>, caught_up: bool) {
        if self.ticked.is_some_and(|then| (0..EACH).contains(&(now.0 - then.0))) {
            return;
        }
        self.ticked = Some(now);
        self.conditions(now, sources, caught_up);
        // Where the clock was set back, the quiet window begins anew rather than last until the old time comes again.
        for alert in self.all.values_mut().filter(|alert| alert.counted > now) {
            Arc::make_mut(alert).counted = now;
        }
        let quiet: Vec<Key> =
            self.all.values().filter(|alert| self.is_quiet(alert, now)).map(|a| a.key.clone()).collect();
        quiet.iter().for_each(|key| self.resolve(key, now));
        let max_age = self.rules.max_age.as_millis() as i64;
        let (mut gone, mut untold) = (Vec::new(), 0);
        for alert in self.all.values() {
            let Some(resolved) = alert.resolved else { continue };
            let told = alert.deliveries.values().all(|delivery| delivery.closed.is_some());
            let age = now.0 - resolved.max(alert.lingers).0;
            if (told && age >= REPEATED) || age >= max_age.max(REPEATED) {
                untold += u64::from(!told);
                gone.push(alert.key.clone());
            }
        }
        if untold > 0 {
            tracing::warn!("{untold} alerts are given up that a receiver did not take within 'max_age'");
        }
        for key in gone {
            self.all.remove(&key);
            self.changed.insert(key);
            self.series_changed = true;
        }
        // After a restart it must be known that what is resolved was heard of.
        if self.watched.is_stale(now) {
            self.watched_changed = true;
        }
    }

    fn conditions(
        &mut self,
        now: Timestamp,
        sources: &BTreeMap<Arc<str>, (SourceCounts, SourceState)>,
        caught_up: bool,
    ) {
        self.watched.look(now);
        let mut found = Vec::new();
        for rules in &self.rules.sources {
            let (counts, state) = sources.get(&rules.name).map(|(counts, state)| (counts, state)).unzip();
            let silent = self.watched.silent(now, rules, state, caught_up);
            found.push((Key::of_source(Name::ConvexStorageLogsSilent, &rules.name), silent));
            let stalled = self.watched.stalled(now, rules, counts, state);
            found.push((Key::of_source(Name::StoragewatchSourceStalled, &rules.name), stalled));
        }
        let unheard = unheard(now, &self.rules.receivers, &self.failing);
        found.push((Key::own(Name::StoragewatchNotificationsFailing), unheard));
        found.push((Key::own(Name::StoragewatchLedgerFailing), unkept(now, self.ledger.as_ref())));
        // Of sources that are not read any more, nothing is so.
        let of_others: Vec<Key> = self
            .all
            .values()
            .filter(|alert| alert.is_firing() && alert.key.name.is_condition())
            .filter(|alert| found.iter().all(|(key, _)| *key != alert.key))
            .map(|alert| alert.key.clone())
            .collect();
        found.extend(of_others.into_iter().map(|key| (key, Condition::Over)));
        for (key, condition) in found {
            let fires = self.all.get(&key).is_some_and(|alert| alert.is_firing());
            match condition {
                Condition::Holds(what) if !fires => {
                    self.watched_changed = true;
                    self.fire(key, now, 1, now, Detail { what: Some(what), ..Detail::default() });
                }
                Condition::Over if fires => {
                    self.watched_changed = true;
                    self.resolve(&key, now);
                }
                Condition::Holds(_) | Condition::Over | Condition::Open => {}
            }
        }
    }

    /// Whether nothing has happened for as long as an alert stays.
    fn is_quiet(&self, alert: &Alert, now: Timestamp) -> bool {
        alert.is_firing()
            && !alert.key.name.is_condition()
            && now.0 - alert.counted.0 >= self.rules.window_of(alert.key.deployment.as_deref())
    }

    fn resolve(&mut self, key: &Key, now: Timestamp) {
        if let Some(alert) = self.all.get_mut(key) {
            let alert = Arc::make_mut(alert);
            let resolved = now.max(Timestamp(alert.since.0 + 1));
            alert.resolved = Some(resolved);
            alert.lingers = Timestamp(resolved.0 + self.rules.keep_firing_for.as_millis() as i64);
            say(alert);
            self.changed.insert(key.clone());
            self.series_changed = true;
        }
    }

    /// Says that deployments became known, or something about them.
    pub fn places_changed(&mut self) {
        self.series_changed = true;
    }

    /// Whether there is anything to commit.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.watched_changed
    }

    /// The rows that have changed; none removes one.
    pub fn rows(&self) -> Vec<(String, Option<String>)> {
        let row = |key: &Key| {
            let alert = match self.all.get(key) {
                Some(alert) => Some(written(&**alert)?),
                None => None,
            };
            Some((written(key)?, alert))
        };
        self.changed.iter().filter_map(row).collect()
    }

    /// The row about sources, where it has changed.
    pub fn heard(&self) -> Option<String> {
        self.watched.row().filter(|_| self.watched_changed)
    }

    /// Notes that all rows were committed. Where alerts have changed, leaves what is to be sent now.
    pub fn committed(&mut self, now: Timestamp) -> Option<Snapshot> {
        if std::mem::take(&mut self.watched_changed) {
            self.watched.kept(now);
        }
        let changed = !std::mem::take(&mut self.changed).is_empty();
        changed.then(|| self.snapshot())
    }

    /// Every alert, as it is.
    pub fn snapshot(&self) -> Snapshot {
        Arc::new(self.all.values().cloned().collect())
    }

    /// The series of the gauge, where they have changed: each alert that can fire, and whether it does.
    pub fn series(&mut self, places: &BTreeMap<Place, Arc<PlaceCounts>>) -> Option<BTreeMap<Series, bool>> {
        if !std::mem::take(&mut self.series_changed) {
            return None;
        }
        let of_sources: &[Name] = if self.rules.sources.is_empty() {
            &[]
        } else {
            &[Name::StoragewatchSourceStalled, Name::StoragewatchSkipping]
        };
        let silence = self.rules.sources.iter().any(|rules| rules.silent_after.is_some());
        let own = of_sources
            .iter()
            .copied()
            .chain(silence.then_some(Name::ConvexStorageLogsSilent))
            .chain((!self.rules.receivers.is_empty()).then_some(Name::StoragewatchNotificationsFailing))
            .chain([Name::StoragewatchLedgerFailing]);
        let of_places = places.iter().flat_map(|(place, counts)| self.rules.possible(place, counts));
        let possible = own.map(Key::own).chain(of_places).map(|key| (key.series(), false));
        let mut series: BTreeMap<Series, bool> = possible.collect();
        for alert in self.all.values() {
            *series.entry(alert.key.series()).or_default() |= alert.is_firing();
        }
        Some(series)
    }
}

/// Says in the program's own log that an alert fires or is resolved. Nothing that another log brought can steer it.
fn say(alert: &Alert) {
    let (key, detail) = (&alert.key, &alert.detail);
    let text = |text: Option<&str>| text.map(safe);
    let (deployment, source) = (text(key.deployment.as_deref()), text(key.source.as_deref()));
    let (request, blob) = (text(detail.request_id.as_deref()), text(detail.storage_id.as_deref()));
    let (hosting, cause) = (key.hosting.map(Hosting::as_str), detail.cause.map(Cause::as_str));
    let (name, severity) = (key.name.as_str(), key.severity.as_str());
    if alert.is_firing() {
        tracing::warn!(
            alert = name,
            severity,
            deployment = deployment.as_deref(),
            hosting,
            source = source.as_deref(),
            cause,
            request_id = request.as_deref(),
            storage_id = blob.as_deref(),
            "an alert fires: {}",
            summary(alert)
        );
    } else {
        tracing::info!(
            alert = name,
            severity,
            deployment = deployment.as_deref(),
            hosting,
            source = source.as_deref(),
            count = alert.count,
            "an alert is resolved: {}",
            over(alert)
        );
    }
}

/// How much a source did not use or may have lost, in words. What was read before, or only repeats, is not missing; where a
/// key had to be forgotten, counts may be too high instead.
fn unused(counts: &SourceCounts) -> Option<(u64, String)> {
    let missing = |reason: &Skipped| !matches!(reason, Skipped::Duplicate | Skipped::Cached);
    let skipped = Skipped::ALL.into_iter().zip(counts.skipped).filter(|(reason, count)| missing(reason) && *count > 0);
    let mut all = 0;
    let mut words = Vec::new();
    for (reason, count) in skipped {
        all += count;
        words.push(match reason {
            Skipped::KeyForgotten => format!("{count} keys forgotten early, so that a repetition could count twice"),
            reason => format!("{count} skipped as {}", reason.as_str()),
        });
    }
    if counts.lost_bytes > 0 {
        all += 1;
        words.push(format!("{} bytes lost", counts.lost_bytes));
    }
    if counts.possible_losses > 0 {
        all += counts.possible_losses;
        words.push("something possibly lost".to_owned());
    }
    (all > 0).then(|| (all, words.join(", ")))
}
