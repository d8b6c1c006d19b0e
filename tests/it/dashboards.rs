//! What is shipped for Prometheus, Alertmanager and Grafana: read by their own tools, held to the table of metrics, and asked
//! of a Prometheus that has data.

mod alertmanager;
mod dashboard;
mod live;
mod names;
mod runbook;
mod schema;
mod tools;

use crate::support::node::read;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

const RULES: &str = "dashboards/prometheus/storagewatch.rules.yml";
const EXAMPLE: &str = "dashboards/prometheus/increase.example.rules.yml";
const DASHBOARD: &str = "dashboards/grafana/storagewatch.json";

/// A metric that the rules and the dashboard ask for: name, kind, labels.
type Table = (&'static str, &'static str, &'static [&'static str]);

/// Metrics of the design that the program does not have yet. One that it has must go from this list.
const COMING: [Table; 0] = [];

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// The panels, rows included.
fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

/// Every query of a panel, with the panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let of = |panel: &Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|target| (title.clone(), target["expr"].as_str().unwrap().to_owned())).collect()
    };
    let found: Vec<(String, String)> = panels(dashboard).iter().flat_map(of).collect();
    assert!(found.len() > 40, "the queries are gone");
    found
}

/// The alerts and recordings of a file of rules with their expressions, as promtool's format puts them.
fn rules(path: &str) -> Vec<(String, String)> {
    static RULE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^      - (?:alert|record): (\S+)\n        expr: (?:\|-\n((?:          .*\n)+)|(.*)\n)")
            .unwrap()
    });
    let text = read(path);
    let found: Vec<(String, String)> = RULE
        .captures_iter(&text)
        .map(|rule| (rule[1].to_owned(), rule.get(2).or(rule.get(3)).unwrap().as_str().trim().to_owned()))
        .collect();
    assert_eq!(found.len(), text.matches(" expr: ").count(), "a rule of {path} is not found");
    found
}
