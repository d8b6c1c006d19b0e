//! The page's tables: a row each, and the same row empty as what the script makes new ones from.
//!
//! Roles are spelt out because a narrow page lays rows out as cards, and browsers forget then that they were rows.

use super::chart::chart;
use super::words::{moment, several, size, text, took};
use crate::attribute::Evidence;
use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::ledger::{Place, PlaceCounts, Probed, Skipped, SourceCounts, SourceState};
use crate::plain::grouped;
use crate::policy::Verdict;
use crate::probe::Path;
use crate::row::{Column, Row};
use maud::{Markup, html};
use std::sync::Arc;

/// What a column is called.
type Heading = (&'static str, bool);

/// Columns of deployments; those marked hold numbers.
const DEPLOYMENTS: [Heading; 9] = [
    ("Deployment", false),
    ("Hosting, by evidence", false),
    ("Verdict", false),
    ("direct", true),
    ("http-fallback", true),
    ("direct-failed", true),
    ("other", true),
    ("Last access", false),
    ("Last hour", false),
];

const SOURCES: [Heading; 8] = [
    ("Source", false),
    ("State", false),
    ("Behind", true),
    ("Last read", false),
    ("Lines", true),
    ("Records", true),
    ("Read", true),
    ("Skipped or lost", false),
];

const PROBES: [Heading; 6] = [
    ("Deployment", false),
    ("Verdict", false),
    ("direct", false),
    ("http", false),
    ("Tried", false),
    ("Source", false),
];

const FAILURES: [Heading; 7] = [
    ("Time", false),
    ("Deployment", false),
    ("Outcome", false),
    ("Function", false),
    ("Storage id", false),
    ("Request id", false),
    ("Error or reason", false),
];

/// A table of deployments.
pub(super) fn deployments<'a>(
    id: &str,
    caption: &str,
    places: impl Iterator<Item = (&'a Place, &'a Arc<PlaceCounts>)>,
    now: Timestamp,
) -> Markup {
    table(id, caption, &DEPLOYMENTS, html! { @for (place, counts) in places { (deployment(place, counts, now)) } })
}

/// A table of sources.
pub(super) fn sources<'a>(
    sources: impl Iterator<Item = (&'a Arc<str>, &'a (SourceCounts, SourceState))>,
    now: Timestamp,
) -> Markup {
    let rows = html! { @for (name, (counts, state)) in sources { (source(name, counts, state, now)) } };
    table("sources", "What is read, how far it has got, and what it could not use", &SOURCES, rows)
}

/// A table of probes.
pub(super) fn probes<'a>(probes: impl Iterator<Item = (&'a (Place, Arc<str>), &'a Probed)>, now: Timestamp) -> Markup {
    let rows = html! { @for ((place, source), probed) in probes { (probe(place, source, probed, now)) } };
    table("probes", "Whether each way to a blob worked when it was last tried", &PROBES, rows)
}

/// A table of failures.
pub(super) fn failures<'a>(rows: impl Iterator<Item = &'a Arc<Row>>, now: Timestamp) -> Markup {
    let rows = html! { @for row in rows { (failure(Some(row), now)) } };
    table("failures", "The latest accesses that want attention, newest first", &FAILURES, rows)
}

/// What the script makes new rows from.
pub(super) fn templates(now: Timestamp) -> Markup {
    let nowhere = Place { deployment: Arc::from(""), hosting: Hosting::Unknown };
    let never = Probed { at: now, verdict: Verdict::Healthy, paths: Default::default() };
    html! {
        template id="deployment-row" { (deployment(&nowhere, &PlaceCounts::default(), now)) }
        template id="source-row" { (source("", &SourceCounts::default(), &SourceState::default(), now)) }
        template id="probe-row" { (probe(&nowhere, "", &never, now)) }
        template id="failure-row" { (failure(None, now)) }
    }
}

fn table(id: &str, caption: &str, columns: &[Heading], rows: Markup) -> Markup {
    html! {
        table role="table" id=(id) {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @for (name, is_number) in columns {
                        th.number[*is_number] role="columnheader" scope="col" { (name) }
                    }
                }
            }
            tbody role="rowgroup" { (rows) }
        }
    }
}

/// A cell, which names its column where the narrow page shows it as part of a card.
fn cell(heading: Heading, class: &str, content: Markup) -> Markup {
    let class = format!("{}{class}", if heading.1 { "number " } else { "" });
    let class = class.trim();
    html! { td role="cell" data-label=(heading.0) class=[(!class.is_empty()).then_some(class)] { (content) } }
}

/// The text of a cell that the script writes.
fn field(name: &str, content: &str) -> Markup {
    html! { span data-field=(name) { (content) } }
}

fn small(name: &str, content: &str) -> Markup {
    html! { span.small data-field=(name) hidden[content.is_empty()] { (content) } }
}

fn badge(name: &str, is: &str) -> Markup {
    html! { span.badge data-field=(name) data-is=(is) { (is) } }
}

fn deployment(place: &Place, counts: &PlaceCounts, now: Timestamp) -> Markup {
    let about = [counts.project.as_deref(), counts.deployment_type.as_deref()];
    let about: Vec<String> = about.into_iter().flatten().map(text).collect();
    let mut notes = Vec::new();
    if counts.overflows > 0 {
        notes.push(several(counts.overflows, "log overflow", "log overflows"));
    }
    if counts.truncated > 0 {
        notes.push(format!("{} truncated", grouped(counts.truncated)));
    }
    let causes = Cause::ALL.into_iter().zip(counts.causes).filter(|(_, count)| *count > 0);
    let causes: Vec<String> = causes.map(|(cause, count)| format!("{cause} {}", grouped(count))).collect();
    let verdict = counts.verdict(place.hosting).as_str();
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                (field("deployment", &text(&place.deployment)))
                (small("about", &about.join(", ")))
                (small("notes", &notes.join(", ")))
            }
            (cell(DEPLOYMENTS[1], "", html! {
                (field("hosting", place.hosting.as_str()))
                (small("evidence", counts.evidence.map_or("", Evidence::as_str)))
            }))
            (cell(DEPLOYMENTS[2], "", badge("verdict", verdict)))
            @for (column, outcome) in (3..).zip(Outcome::ALL) {
                (cell(DEPLOYMENTS[column], "", html! {
                    (count(outcome.as_str(), counts.outcomes[outcome as usize], outcome == Outcome::DirectFailed))
                    @if outcome == Outcome::DirectFailed { (small("causes", &causes.join(", "))) }
                }))
            }
            (cell(DEPLOYMENTS[7], "", moment("last", counts.last.into_iter().flatten().max(), now)))
            (cell(DEPLOYMENTS[8], "wide", chart(counts.hour.until(now).as_ref())))
        }
    }
}

/// A count that stands out where it should be 0 and is not.
fn count(name: &str, count: u64, is_grave: bool) -> Markup {
    html! { span.some[is_grave && count > 0] data-field=(name) { (grouped(count)) } }
}

fn source(name: &str, counts: &SourceCounts, state: &SourceState, now: Timestamp) -> Markup {
    let skipped = Skipped::ALL.into_iter().zip(counts.skipped).filter(|(_, count)| *count > 0);
    let mut skipped: Vec<String> = skipped.map(|(why, count)| format!("{} {}", why.as_str(), grouped(count))).collect();
    if counts.lost_bytes > 0 {
        skipped.push(format!("lost {}", size(counts.lost_bytes)));
    }
    if counts.possible_losses > 0 {
        skipped.push(several(counts.possible_losses, "possible loss", "possible losses"));
    }
    let skipped = if skipped.is_empty() { "nothing".to_owned() } else { skipped.join(", ") };
    html! {
        tr role="row" {
            th role="rowheader" scope="row" { (field("source", &text(name))) }
            (cell(SOURCES[1], "", html! {
                (badge("up", if state.up { "up" } else { "down" }))
                (small("trouble", &state.trouble.as_deref().map(text).unwrap_or_default()))
            }))
            (cell(SOURCES[2], "", field("lag_bytes", &size(state.lag_bytes))))
            (cell(SOURCES[3], "", moment("last_read", state.last_read, now)))
            (cell(SOURCES[4], "", field("lines", &grouped(counts.lines))))
            (cell(SOURCES[5], "", field("records", &grouped(counts.records))))
            (cell(SOURCES[6], "", field("bytes", &size(counts.bytes))))
            (cell(SOURCES[7], "wide", field("skipped", &skipped)))
        }
    }
}

fn probe(place: &Place, source: &str, probed: &Probed, now: Timestamp) -> Markup {
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                (field("deployment", &text(&place.deployment)))
                (small("hosting", place.hosting.as_str()))
            }
            (cell(PROBES[1], "", badge("verdict", probed.verdict.as_str())))
            @for ((column, path), state) in (2..).zip(Path::ALL).zip(&probed.paths) {
                (cell(PROBES[column], "", html! {
                    (badge(path.as_str(), if state.success { "works" } else { "fails" }))
                    (small(&format!("{}-took", path.as_str()), &state.duration.map(took).unwrap_or_default()))
                    (small(&format!("{}-cause", path.as_str()), state.cause.map_or("", Cause::as_str)))
                    (small(&format!("{}-error", path.as_str()), &state.error.as_deref().map(text).unwrap_or_default()))
                }))
            }
            (cell(PROBES[4], "", moment("time", Some(probed.at), now)))
            (cell(PROBES[5], "", field("source", &text(source))))
        }
    }
}

fn failure(row: Option<&Arc<Row>>, now: Timestamp) -> Markup {
    let of = |column| row.map(|row| text(&row.value(column).to_string())).unwrap_or_default();
    let (error, reason) = (of(Column::Error), of(Column::Reason));
    let what = if error.is_empty() { reason } else { error };
    html! {
        tr role="row" {
            (cell(FAILURES[0], "", moment("time", row.and_then(|row| row.event.time), now)))
            (cell(FAILURES[1], "", html! {
                (field("deployment", &of(Column::Deployment)))
                (small("hosting", &of(Column::Hosting)))
            }))
            (cell(FAILURES[2], "", html! {
                (field("outcome", &of(Column::Outcome)))
                (small("cause", &of(Column::Cause)))
            }))
            (cell(FAILURES[3], "", field("function", &of(Column::Function))))
            (cell(FAILURES[4], "", html! { code data-field="storage_id" { (of(Column::StorageId)) } }))
            (cell(FAILURES[5], "", html! { code data-field="request_id" { (of(Column::RequestId)) } }))
            (cell(FAILURES[6], "wide error", field("what", &what)))
        }
    }
}
