//! The state of things as JSON: what the page shows, for programs; whole, or what has changed of it.
//!
//! Unlike the metrics it shows what was committed of a newborn deployment at once: nothing computes increases from it.

use super::Serving;
use crate::alert::{Alert, annotations};
use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::ledger::{PathState, Place, PlaceCounts, Probed, Rotation, Skipped, SourceCounts, SourceState, View};
use crate::probe::Path;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// The state of things at a moment. It shares what was counted with the ledger, so keeping it costs little.
pub(super) struct Shown {
    pub(super) view: View,
    pub(super) now: Timestamp,
    pub(super) started: Timestamp,
    pub(super) config_ok: bool,
    page: Arc<str>,
}

impl Shown {
    /// As it is now.
    pub(super) fn now(serving: &Serving) -> Self {
        Self {
            view: serving.reader.view(),
            now: Timestamp(jiff::Timestamp::now().as_millisecond()),
            started: serving.started,
            config_ok: serving.config_ok.load(Ordering::Relaxed),
            page: Arc::clone(&serving.page.read().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// The whole status.
    pub(super) fn whole(&self) -> Value {
        let mut whole = self.head();
        whole.insert("now".to_owned(), json!(self.now.to_string()));
        whole.insert("alerts".to_owned(), self.alerts());
        let deployments = self.view.places.iter().map(|(place, counts)| deployment(place, counts, self.now));
        whole.insert("deployments".to_owned(), deployments.collect());
        let sources = self.view.read().map(|(name, (counts, state))| source(name, counts, state));
        whole.insert("sources".to_owned(), sources.collect());
        whole.insert("probes".to_owned(), self.probes());
        whole.insert("failures".to_owned(), self.failures());
        Value::Object(whole)
    }

    /// What is said of the program itself.
    fn head(&self) -> Map<String, Value> {
        let pairs = [
            ("storagewatch", json!(env!("CARGO_PKG_VERSION"))),
            ("revision", json!(crate::metrics::REVISION)),
            ("started", json!(self.started.to_string())),
            ("minute", json!(Timestamp(self.minute() * 60_000).to_string())),
            ("caught_up", json!(self.view.caught_up)),
            ("trouble", json!(self.view.trouble)),
            ("config_ok", json!(self.config_ok)),
            ("deployments_folded", json!(self.view.folded)),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The minute with which the last hour ends, since 1970.
    fn minute(&self) -> i64 {
        self.now.0.div_euclid(60_000)
    }

    /// The alerts that fire, the most urgent first, then the latest.
    pub(super) fn firing(&self) -> Vec<&Alert> {
        let mut firing: Vec<&Alert> = self.view.alerts.iter().map(|alert| &**alert).filter(|a| a.is_firing()).collect();
        firing.sort_by_key(|alert| (alert.key.severity, std::cmp::Reverse(alert.since)));
        firing
    }

    fn alerts(&self) -> Value {
        self.firing().into_iter().map(|firing| alert(firing, &self.page)).collect()
    }

    fn probes(&self) -> Value {
        self.view.probes.iter().map(|((place, source), probed)| probe(place, source, probed)).collect()
    }

    fn failures(&self) -> Value {
        let rows = self.view.latest_failures().into_iter();
        rows.filter_map(|row| row.serialize(serde_json::value::Serializer).ok()).collect()
    }
}

/// What has changed, as a message: its name and its content. `change` has the keys of the status whose values have
/// changed, and of deployments and sources those that have; where some are gone, `status` has everything.
pub(super) fn change(before: &Shown, now: &Shown) -> Option<(&'static str, Value)> {
    let (old, new) = (&before.view, &now.view);
    let is_whole = old.places.keys().all(|place| new.places.contains_key(place))
        && old.sources.keys().all(|source| new.sources.contains_key(source))
        && old.retired == new.retired;
    if !is_whole {
        return Some(("status", now.whole()));
    }
    let head = before.head();
    let mut changed: Map<_, _> = now.head().into_iter().filter(|(key, value)| head.get(key) != Some(value)).collect();
    if !Arc::ptr_eq(&old.alerts, &new.alerts) || before.page != now.page {
        changed.insert("alerts".to_owned(), now.alerts());
    }
    // The charts move on with the minute.
    let moves = before.minute() != now.minute();
    let deployments = new.places.iter().filter(|(place, counts)| {
        let is_same = old.places.get(place).is_some_and(|old| Arc::ptr_eq(old, counts));
        !is_same || (moves && counts.hour.until(before.now).is_some())
    });
    let deployments: Vec<Value> = deployments.map(|(place, counts)| deployment(place, counts, now.now)).collect();
    if !deployments.is_empty() {
        changed.insert("deployments".to_owned(), deployments.into());
    }
    let sources = new.read().filter(|(name, source)| old.sources.get(*name) != Some(source));
    let sources: Vec<Value> = sources.map(|(name, (counts, state))| source(name, counts, state)).collect();
    if !sources.is_empty() {
        changed.insert("sources".to_owned(), sources.into());
    }
    if old.probes != new.probes {
        changed.insert("probes".to_owned(), now.probes());
    }
    let same_failures = old.failures.len() == new.failures.len()
        && old.failures.iter().zip(&new.failures).all(|(old, new)| Arc::ptr_eq(old, new));
    if !same_failures {
        changed.insert("failures".to_owned(), now.failures());
    }
    (!changed.is_empty()).then_some(("change", Value::Object(changed)))
}

fn alert(alert: &Alert, page: &str) -> Value {
    let key = &alert.key;
    let annotations = annotations(alert, page).into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
    json!({
        "name": key.name.as_str(),
        "deployment": key.deployment.as_deref(),
        "hosting": key.hosting.map(Hosting::as_str),
        "severity": key.severity.as_str(),
        "source": key.source.as_deref(),
        "since": alert.since.to_string(),
        "count": alert.count,
        "last": alert.last.to_string(),
        "annotations": annotations.collect::<Map<_, _>>(),
    })
}

fn deployment(place: &Place, counts: &PlaceCounts, now: Timestamp) -> Value {
    let causes = Cause::ALL.into_iter().zip(counts.causes).filter(|(_, count)| *count > 0);
    json!({
        "deployment": &*place.deployment,
        "hosting": place.hosting.as_str(),
        "evidence": counts.evidence.map(crate::attribute::Evidence::as_str),
        "deployment_type": counts.deployment_type,
        "project": counts.project,
        "region": counts.region,
        "outcomes": object(Outcome::ALL.map(Outcome::as_str), counts.outcomes),
        "causes": causes.map(|(cause, count)| (cause.to_string(), json!(count))).collect::<Map<_, _>>(),
        "last": object(Outcome::ALL.map(Outcome::as_str), counts.last.map(time)),
        "last_hour": last_hour(counts, now),
        "size_bytes": counts.sizes.sum,
        "overflows": counts.overflows,
        "truncated": counts.truncated,
        "verdict": counts.verdict(place.hosting).as_str(),
    })
}

/// Of each outcome that occurred within the last hour, how often in each minute; the last one is `minute`.
fn last_hour(counts: &PlaceCounts, now: Timestamp) -> Value {
    let Some(hour) = counts.hour.until(now) else { return json!({}) };
    let mut outcomes = Map::new();
    for outcome in Outcome::ALL {
        let counts = hour.map(|minute| minute[outcome as usize]);
        if counts.iter().any(|count| *count > 0) {
            outcomes.insert(outcome.as_str().to_owned(), json!(counts.as_slice()));
        }
    }
    outcomes.into()
}

fn source(name: &str, counts: &SourceCounts, state: &SourceState) -> Value {
    json!({
        "source": name,
        "up": state.up,
        "trouble": state.trouble.as_deref(),
        "lag_bytes": state.lag_bytes,
        "last_read": time(state.last_read),
        "lines": counts.lines,
        "bytes": counts.bytes,
        "records": counts.records,
        "skipped": object(Skipped::ALL.map(Skipped::as_str), counts.skipped),
        "lost_bytes": counts.lost_bytes,
        "possible_losses": counts.possible_losses,
        "rotations": object(Rotation::ALL.map(Rotation::as_str), counts.rotations),
    })
}

fn probe(place: &Place, source: &str, probed: &Probed) -> Value {
    let path = |path: &PathState| {
        json!({
            "success": path.success,
            "duration_seconds": path.duration.map(|duration| duration.as_secs_f64()),
            "cause": path.cause.map(Cause::as_str),
            "error": path.error.as_deref(),
        })
    };
    json!({
        "deployment": &*place.deployment,
        "hosting": place.hosting.as_str(),
        "source": source,
        "time": probed.at.to_string(),
        "verdict": probed.verdict.as_str(),
        "paths": object(Path::ALL.map(Path::as_str), probed.paths.each_ref().map(path)),
    })
}

fn object<const N: usize>(keys: [&str; N], values: [impl Into<Value>; N]) -> Value {
    keys.into_iter().map(str::to_owned).zip(values.map(Into::into)).collect::<Map<_, _>>().into()
}

fn time(time: Option<Timestamp>) -> Value {
    time.map(|time| time.to_string()).into()
}
