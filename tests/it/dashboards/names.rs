//! The names of metrics in the rules, the dashboard and the runbook, against the table in `metrics.rs`.

use super::{COMING, DASHBOARD, EXAMPLE, RULES, Table, dashboard, queries, rules};
use crate::support::node::read;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use storagewatch::metrics::{Kind, Metric};

/// What storagewatch exposes of its process.
const PROCESS: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
];

/// Every metric with its kind and labels, those that are coming included.
pub(super) fn table() -> Vec<Table> {
    let own = Metric::ALL.iter().map(|metric| (metric.name(), metric.kind().as_str(), metric.labels()));
    own.chain(COMING).collect()
}

/// The names of series that a metric has.
fn series(name: &str, kind: &str) -> Vec<String> {
    if kind == Kind::Histogram.as_str() {
        ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec()
    } else {
        vec![name.to_owned()]
    }
}

/// The metrics that a text names. A name with a colon is a recording's.
fn named(text: &str) -> BTreeSet<String> {
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[A-Za-z_:]*(?:convex_storage_|storagewatch_|process_)[a-z0-9_:]*").unwrap());
    NAME.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// Everything that is asked for, by the rules and the dashboard.
fn asked() -> BTreeSet<String> {
    let dashboard = dashboard();
    let annotations = dashboard["annotations"]["list"].to_string();
    let variables = dashboard["templating"]["list"].to_string();
    let of_rules = rules(RULES).into_iter().chain(rules(EXAMPLE)).map(|(_, expression)| expression);
    let texts = queries(&dashboard).into_iter().map(|(_, query)| query).chain(of_rules).chain([annotations, variables]);
    texts.flat_map(|text| named(&text)).collect()
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let known: BTreeSet<String> = table().iter().flat_map(|(name, kind, _)| series(name, kind)).collect();
    let recorded: BTreeSet<String> = rules(RULES).into_iter().map(|(name, _)| name).collect();
    for name in asked() {
        let exists = known.contains(&name) || recorded.contains(&name) || PROCESS.contains(&&*name);
        assert!(exists, "{name} is asked for and in no table");
    }
    // In prose a metric goes by its own name.
    let names: BTreeSet<&str> = table().iter().map(|(name, ..)| *name).collect();
    for (alert, page) in storagewatch::runbook::PAGES {
        for name in named(page) {
            assert!(names.contains(&*name), "{alert} speaks of {name}");
        }
    }
}

#[test]
fn no_metric_is_left_out() {
    let asked = asked();
    for (name, kind, _) in table() {
        assert!(series(name, kind).iter().any(|series| asked.contains(series)), "nothing shows {name}");
    }
}

#[test]
fn what_is_coming_is_not_there_yet() {
    for (name, ..) in COMING {
        let there = Metric::ALL.iter().any(|metric| metric.name() == name);
        assert!(!there, "{name} is in the table of metrics: take it from COMING in tests/it/dashboards.rs");
    }
}

#[test]
fn labels_that_are_asked_for_exist() {
    // By what every query filters or groups: labels of some metric, and what Prometheus adds.
    let labels: BTreeSet<&str> =
        table().iter().flat_map(|(_, _, labels)| labels.iter().copied()).chain(["job", "instance", "le"]).collect();
    let matcher = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*""#).unwrap();
    let grouping = Regex::new(r"\b(?:by|on|group_left|ignoring|without)\s*\(([a-z_, ]*)\)").unwrap();
    let rules = rules(RULES).into_iter().chain(rules(EXAMPLE));
    for (title, text) in queries(&dashboard()).into_iter().chain(rules) {
        let matched = matcher.captures_iter(&text).map(|found| found[1].to_owned());
        let grouped = grouping.captures_iter(&text).flat_map(|found| {
            found[1]
                .split(',')
                .map(|label| label.trim().to_owned())
                .filter(|label| !label.is_empty())
                .collect::<Vec<_>>()
        });
        for label in matched.chain(grouped) {
            assert!(labels.contains(&*label), "{title}: {label} in {text}");
        }
    }
    assert!(read(DASHBOARD).contains("hosting=~"));
}
