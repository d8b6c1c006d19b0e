//! The status page: the state of things as HTML, whole without its script, which only keeps it up to date.
//!
//! What logs brought is shown as text, whatever it contains. `page.js` writes what is written here into the same places,
//! so the two are changed together; a test compares them.

mod chart;
mod tables;
mod words;

use super::status::Shown;
use crate::alert::{Alert, annotations};
use crate::event::{Outcome, Timestamp};
use crate::ledger::{Place, PlaceCounts};
use crate::runbook;
use maud::{DOCTYPE, Markup, html};
use std::collections::BTreeSet;
use std::sync::Arc;
use words::{at, moment, several, text};

/// Deployments that are shown at once; the others wait in a part that opens.
const AT_ONCE: usize = 50;

/// Alerts that are shown. Who has more than that needs no list of them.
const ALERTS: usize = 50;

/// For how long after the start the last hour is not whole, in milliseconds.
const HOUR: i64 = 3_600_000;

/// The whole page.
pub(super) fn page(shown: &Shown) -> String {
    let firing = shown.firing();
    let count = firing.len() as u64;
    let title = if count == 0 { "storagewatch".to_owned() } else { format!("({count}) storagewatch") };
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header {
            h1 { "storagewatch" }
            p.headline.grave[count > 0] id="headline" { (headline(count)) }
            p.quiet {
                "Version " (env!("CARGO_PKG_VERSION")) ", running since " span id="started" { (at(shown.started)) } ". "
                span id="live" { "As of " (at(shown.now)) "." }
            }
        }
        // Said aloud when alerts begin and end, and only then.
        p.unseen id="news" role="status" {}
        main id="main" tabindex="-1" {
            (notes(shown))
            section aria-labelledby="alerts" {
                h2 id="alerts" { "Alerts" }
                ul.alerts id="firing" role="list" hidden[count == 0] { @for alert in firing.iter().take(ALERTS) { (card(Some(alert), shown.now)) } }
                p id="quiet" hidden[count != 0] { "None fires." }
                p id="more-alerts" hidden[firing.len() <= ALERTS] { (more_alerts(firing.len())) }
            }
            (deployments(shown, &firing))
            section aria-labelledby="latest" {
                h2 id="latest" { "Latest failures" }
                div hidden[shown.view.failures.is_empty()] { (tables::failures(shown.view.latest_failures().into_iter(), shown.now)) }
                p hidden[!shown.view.failures.is_empty()] { "None is known." }
            }
            section id="probed" aria-labelledby="probes-heading" hidden[shown.view.probes.is_empty()] {
                h2 id="probes-heading" { "Probes" }
                (tables::probes(shown.view.probes.iter(), shown.now))
            }
            section aria-labelledby="read" {
                h2 id="read" { "Sources" }
                div hidden[shown.view.read().next().is_none()] { (tables::sources(shown.view.read(), shown.now)) }
                p hidden[shown.view.read().next().is_some()] { "Nothing is read." }
            }
        }
        footer {
            ul {
                li { a href="runbook" { "Runbook" } }
                li { a href="metrics" { "Metrics" } }
                li { a href="api/v1/status" { "Status as JSON" } }
            }
        }
        template id="alert-card" { (card(None, shown.now)) }
        (tables::templates(shown.now))
    };
    document(&title, true, body)
}

/// The runbook's pages, by alert.
pub(super) fn runbook() -> String {
    let body = html! {
        main {
            h1 { "Runbook" }
            p { "What each alert means, and what to do." }
            ul { @for (alert, _) in runbook::PAGES { li { a href={ "runbook/" (alert) } { (alert) } } } }
            p { a href="./" { "Status page" } }
        }
    };
    document("storagewatch runbook", false, body)
}

fn document(title: &str, with_script: bool, body: Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="icon.svg";
                link rel="stylesheet" href="page.css";
                @if with_script { script src="page.js" defer {} }
            }
            body { (body) }
        }
    };
    document.into_string()
}

fn headline(alerts: u64) -> String {
    match alerts {
        0 => "No alert fires.".to_owned(),
        1 => "1 alert fires.".to_owned(),
        count => format!("{count} alerts fire."),
    }
}

fn more_alerts(count: usize) -> String {
    format!("And {} more; the status as JSON has all.", count.saturating_sub(ALERTS))
}

/// What is to be known of the program itself.
fn notes(shown: &Shown) -> Markup {
    let view = &shown.view;
    let trouble = view.trouble.as_deref().map(text).unwrap_or_default();
    let folded = several(view.folded, "deployment is", "deployments are");
    let fresh = shown.now.0 - shown.started.0 < HOUR;
    html! {
        p.trouble id="trouble" hidden[trouble.is_empty()] { "Counts cannot be made durable: " span { (trouble) } }
        p.trouble id="config" hidden[shown.config_ok] {
            "The configuration was not taken when it was last read; the one before it is in use."
        }
        p id="catching-up" hidden[view.caught_up] { "Still reading what was there at the start." }
        p id="folded" hidden[view.folded == 0] {
            span { (folded) } " counted together as __other__, because there were too many."
        }
        p.quiet id="fresh" hidden[!fresh] {
            "The charts begin with the start of the program, less than an hour ago: what it saw before is not in them."
        }
    }
}

/// An alert, or what the script makes one from.
fn card(alert: Option<&Alert>, now: Timestamp) -> Markup {
    let annotations = alert.map(|alert| annotations(alert, "")).unwrap_or_default();
    let of = |wanted: &str| annotations.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
    let name = alert.map_or("", |alert| alert.key.name.as_str());
    let severity = alert.map_or("", |alert| alert.key.severity.as_str());
    html! {
        li data-severity=(severity) {
            h3 {
                a data-field="name" href={ "runbook/" (name) } { (name) }
                span.badge data-field="severity" data-is=(severity) { (severity) }
            }
            p { span data-field="summary" { (text(of("summary"))) } }
            p { span data-field="description" { (text(of("description"))) } }
            p.quiet { span data-field="advice" { (text(of("advice"))) } }
            p.quiet {
                "Fired " (moment("since", alert.map(|alert| alert.since), now))
                ", last " (moment("last", alert.map(|alert| alert.last), now)) "."
            }
        }
    }
}

/// The deployments, those first that want attention.
fn deployments(shown: &Shown, firing: &[&Alert]) -> Markup {
    let firing: BTreeSet<_> =
        firing.iter().filter_map(|alert| Some((alert.key.deployment.as_deref()?, alert.key.hosting?))).collect();
    let mut places: Vec<(&Place, &Arc<PlaceCounts>)> = shown.view.places.iter().collect();
    places.sort_by_cached_key(|(place, counts)| {
        (!firing.contains(&(&*place.deployment, place.hosting)), counts.verdict(place.hosting))
    });
    let (first, rest) = places.split_at(places.len().min(AT_ONCE));
    html! {
        section aria-labelledby="deployments-heading" {
            h2 id="deployments-heading" { "Deployments" }
            p id="none" hidden[!places.is_empty()] {
                "No deployment is known yet. One appears with the first record that names it; the sources below say what is read."
            }
            div id="some" hidden[places.is_empty()] {
                div.tools {
                    (legend())
                    // Shown by the script, which is what does it.
                    div id="filter" hidden {
                        label for="wanted" { "Filter " }
                        input id="wanted" type="search" autocomplete="off" spellcheck="false";
                        " " span.quiet id="found" role="status" {}
                    }
                }
                (tables::deployments("deployments", "Accesses by deployment since counting began, and within the last hour", first.iter().copied(), shown.now))
                details id="rest" hidden[rest.is_empty()] {
                    summary { (more(rest.len())) }
                    (tables::deployments("more", "The other deployments", rest.iter().copied(), shown.now))
                }
            }
        }
    }
}

fn more(count: usize) -> String {
    several(count as u64, "more deployment", "more deployments")
}

/// Which bars are which.
fn legend() -> Markup {
    html! {
        ul.legend role="list" aria-label="Bars of the charts" {
            @for outcome in Outcome::ALL {
                li {
                    svg aria-hidden="true" viewBox="0 0 10 10" { rect class=(outcome) width="10" height="10" {} }
                    (outcome)
                    @if outcome == Outcome::DirectFailed { " (below the line)" }
                    @if outcome == Outcome::Other { " (below)" }
                }
            }
        }
    }
}
