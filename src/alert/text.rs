//! What an alert says: its labels, which never vary within an incident, and its annotations, which tell the rest.
//!
//! Enters an [`Alert`]; leaves texts in which nothing that a log brought can steer what shows them.

use super::state::MAX_FOLDED;
use super::{Alert, Name};
use crate::event::{Hosting, Outcome, Timestamp};
use crate::plain::safe;
use crate::policy;
use std::fmt::Write;

/// Who sends, beside Prometheus, which sends the same alerts from the gauge.
const SENDER: &str = "storagewatch";

/// The labels, as the series of the gauge has them. Alerts about the same have the same.
pub fn labels(alert: &Alert) -> Vec<(&'static str, String)> {
    let key = &alert.key;
    let mut labels = vec![("alertname", key.name.to_string())];
    labels.extend(key.deployment.iter().map(|deployment| ("deployment", deployment.to_string())));
    labels.extend(key.hosting.iter().map(|hosting| ("hosting", hosting.to_string())));
    labels.push(("severity", key.severity.as_str().to_owned()));
    labels.extend(key.source.iter().map(|source| ("source", source.to_string())));
    labels.push(("sender", SENDER.to_owned()));
    labels
}

/// The annotations; `page` is the address of the status page.
pub fn annotations(alert: &Alert, page: &str) -> Vec<(&'static str, String)> {
    let detail = &alert.detail;
    let text = |text: &Option<String>| text.as_deref().map(safe).filter(|text| !text.is_empty());
    let of_event = alert.key.name.outcome().is_some();
    let mut annotations = vec![("summary", summary(alert)), ("description", description(alert))];
    // There is no page about a test.
    if alert.key.name != Name::StoragewatchTest {
        annotations.push(("runbook_url", format!("{page}/runbook/{}", alert.key.name)));
    }
    if of_event || alert.key.name == Name::StoragewatchSkipping {
        annotations.push(("count", alert.count.to_string()));
    }
    annotations.push(("first", alert.first.to_string()));
    annotations.push(("last", alert.last.to_string()));
    let optional = [
        ("deployments", folded(alert)),
        ("function", text(&detail.function)),
        ("cause", detail.cause.map(|cause| cause.to_string())),
        ("storage_id", text(&detail.storage_id)),
        ("request_id", text(&detail.request_id)),
        ("error", text(&detail.error)),
        ("advice", advice(alert).map(str::to_owned)),
    ];
    annotations.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    annotations
}

/// What it is about, on one line.
pub(super) fn summary(alert: &Alert) -> String {
    let deployment = deployment(alert);
    let source = safe(alert.key.source.as_deref().unwrap_or_default());
    match alert.key.name {
        Name::ConvexStorageDirectFailed => format!("Storage access failed in {deployment}"),
        Name::ConvexStorageDirectFailedSelfHosted => {
            let hosting = if alert.key.hosting == Some(Hosting::Local) { "local" } else { "self-hosted" };
            format!("Storage access failed in {deployment}, which is {hosting}")
        }
        Name::ConvexStorageFallbackDegraded => {
            format!("Blobs go through the fallback in {deployment}, where direct access is expected")
        }
        Name::ConvexStorageLogsSilent => format!("No logs arrive from the source '{source}'"),
        Name::StoragewatchSourceStalled => format!("storagewatch does not get on with the source '{source}'"),
        Name::StoragewatchSkipping => format!("storagewatch passes over input of the source '{source}'"),
        Name::StoragewatchNotificationsFailing => "storagewatch cannot notify anybody".to_owned(),
        Name::StoragewatchLedgerFailing => "storagewatch cannot make its counts durable".to_owned(),
        Name::StoragewatchTest => "Test: storagewatch can notify you".to_owned(),
    }
}

/// What has come to an end, on one line.
pub(super) fn over(alert: &Alert) -> String {
    let deployment = deployment(alert);
    let source = safe(alert.key.source.as_deref().unwrap_or_default());
    match alert.key.name {
        Name::ConvexStorageDirectFailed | Name::ConvexStorageDirectFailedSelfHosted => {
            format!("no storage access has failed in {deployment} of late")
        }
        Name::ConvexStorageFallbackDegraded => format!("no blob went through the fallback in {deployment} of late"),
        Name::ConvexStorageLogsSilent => format!("the source '{source}' is not silent any more"),
        Name::StoragewatchSourceStalled => format!("storagewatch gets on with the source '{source}'"),
        Name::StoragewatchSkipping => format!("storagewatch has passed over no input of the source '{source}' of late"),
        Name::StoragewatchNotificationsFailing => "storagewatch can notify again".to_owned(),
        Name::StoragewatchLedgerFailing => "storagewatch makes its counts durable again".to_owned(),
        Name::StoragewatchTest => summary(alert),
    }
}

/// Where it happened: by its true name where the label says another.
fn deployment(alert: &Alert) -> String {
    let label = safe(alert.key.deployment.as_deref().unwrap_or_default());
    match alert.detail.folded.as_slice() {
        [] => label,
        [only] => format!("{} (counted in {label})", safe(only)),
        [latest, ..] => format!("{} and others (counted in {label})", safe(latest)),
    }
}

/// The deployments that are counted together, as far as they are kept.
fn folded(alert: &Alert) -> Option<String> {
    let folded = &alert.detail.folded;
    let names: Vec<String> = folded.iter().map(|name| safe(name)).collect();
    let more = if folded.len() < MAX_FOLDED { "" } else { " and perhaps others" };
    (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
}

fn description(alert: &Alert) -> String {
    let detail = &alert.detail;
    let Some(outcome) = alert.key.name.outcome() else {
        return detail.what.as_deref().map(safe).unwrap_or_default();
    };
    let what = match (outcome, alert.count) {
        (Outcome::HttpFallback, 1) => "storage access went through the fallback",
        (Outcome::HttpFallback, _) => "storage accesses went through the fallback",
        (_, 1) => "storage access failed",
        (_, _) => "storage accesses failed",
    };
    let hosting = alert.key.hosting.map_or("unknown", Hosting::as_str);
    let mut text = format!("{} {what} (hosting: {hosting}), {}", alert.count, when(alert.first, alert.last));
    if let Some(function) = &detail.function {
        let _ = write!(text, ", {}in {}", if alert.count > 1 { "the last " } else { "" }, safe(function));
    }
    if let Some(cause) = detail.cause {
        let _ = write!(text, "; cause: {cause}");
    }
    if let Some(names) = folded(alert) {
        let _ = write!(text, "; deployments: {names}");
    }
    text.push('.');
    text
}

fn when(first: Timestamp, last: Timestamp) -> String {
    if first == last { format!("at {last}") } else { format!("from {first} to {last}") }
}

/// What to do, as the policy says.
pub(super) fn advice(alert: &Alert) -> Option<&'static str> {
    let outcome = alert.key.name.outcome();
    match (outcome, alert.key.hosting, alert.key.name) {
        (Some(Outcome::HttpFallback), Some(Hosting::SelfHosted | Hosting::Local | Hosting::Unknown), _) => {
            Some(policy::DIRECT_IS_EXPECTED)
        }
        (Some(outcome), Some(hosting), _) => policy::advice(hosting, outcome, alert.detail.cause),
        (_, _, Name::ConvexStorageLogsSilent) => Some(
            "Look whether the application still runs and still writes its log there; while nothing is read, failures are not \
             seen.",
        ),
        (_, _, Name::StoragewatchSourceStalled) => Some(
            "Look at storagewatch's own log, and whether the source exists and may be read. What is logged there is not counted.",
        ),
        (_, _, Name::StoragewatchSkipping) => {
            Some("Counts may be wrong. 'storagewatch explain' shows how lines are read, and why they are not.")
        }
        (_, _, Name::StoragewatchNotificationsFailing) => Some(
            "Look at the receivers' addresses in the configuration, and try them with 'storagewatch check FILE --send-test-alert'.",
        ),
        (_, _, Name::StoragewatchLedgerFailing) => Some(
            "Make room on the disk of the state directory, or let storagewatch write there; it goes on by itself. Until then counts \
             stand still in the metrics, alerts are told all the same, and a restart may tell them again.",
        ),
        _ => None,
    }
}
