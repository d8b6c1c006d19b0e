//! The state of things as JSON: what the page shows, for programs.
//!
//! Unlike the metrics it shows what was committed of a newborn deployment at once: nothing computes increases from it.

use crate::alert::{Alert, annotations};
use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::ledger::{Place, PlaceCounts, Rotation, Skipped, SourceCounts, SourceState, View};
use crate::policy::{Verdict, judge_expecting};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The whole status.
pub(super) fn status(view: &View, started: Timestamp, config_ok: bool, page: &str) -> Value {
    json!({
        "storagewatch": env!("CARGO_PKG_VERSION"),
        "revision": crate::metrics::REVISION,
        "started": started.to_string(),
        "caught_up": view.caught_up,
        "trouble": view.trouble,
        "config_ok": config_ok,
        "deployments_folded": view.folded,
        "alerts": view.alerts.iter().filter(|alert| alert.is_firing()).map(|fires| alert(fires, page)).collect::<Vec<_>>(),
        "deployments": view.places.iter().map(|(place, counts)| deployment(place, counts)).collect::<Vec<_>>(),
        "sources": view.sources.iter().map(|(name, (counts, state))| source(name, counts, *state)).collect::<Vec<_>>(),
        "failures": view.failures.iter().filter_map(|row| row.serialize(serde_json::value::Serializer).ok()).collect::<Vec<_>>(),
    })
}

/// What to make of a deployment: the gravest of what its accesses mean there.
pub(super) fn verdict(place: &Place, counts: &PlaceCounts) -> Verdict {
    let seen = Outcome::ALL.into_iter().zip(counts.outcomes).filter(|(_, count)| *count > 0);
    let kind = counts.deployment_type.as_deref();
    let verdicts = seen.map(|(outcome, _)| judge_expecting(counts.expects_direct, place.hosting, kind, outcome).0);
    verdicts.min().unwrap_or(Verdict::Healthy)
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

fn deployment(place: &Place, counts: &PlaceCounts) -> Value {
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
        "size_bytes": counts.sizes.sum,
        "overflows": counts.overflows,
        "truncated": counts.truncated,
        "verdict": verdict(place, counts).as_str(),
    })
}

fn source(name: &str, counts: &SourceCounts, state: SourceState) -> Value {
    json!({
        "source": name,
        "up": state.up,
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

fn object<const N: usize>(keys: [&str; N], values: [impl Into<Value>; N]) -> Value {
    keys.into_iter().map(str::to_owned).zip(values.map(Into::into)).collect::<Map<_, _>>().into()
}

fn time(time: Option<Timestamp>) -> Value {
    time.map(|time| time.to_string()).into()
}
