//! Every query is asked of a Prometheus that scrapes all metrics of the table: it must take the query, and answer with series.

use super::{DASHBOARD, EXAMPLE, RULES, dashboard, queries, rules};
use crate::support::node::read;
use crate::support::prometheus::{Prometheus, encoded};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// What a label may be. Labels that stand in the same place of a row belong together.
const PLACES: [[&str; 5]; 4] = [
    // deployment, hosting, deployment_type, project, severity
    ["happy-otter-123", "cloud", "prod", "artifact-review", "critical"],
    ["brave-heron-9", "cloud", "preview", "artifact-review", "warning"],
    ["artifact-review-local", "self_hosted", "", "", "warning"],
    ["unknown", "unknown", "", "", "critical"],
];

fn values(label: &str) -> Vec<&'static str> {
    match label {
        "alert" => storagewatch::runbook::PAGES.iter().map(|(name, _)| *name).collect(),
        "outcome" => vec!["direct", "http-fallback", "direct-failed", "other"],
        "cause" => vec!["connection_refused", "network"],
        "path" => vec!["direct", "http"],
        "source" => vec!["files", "cloud"],
        "reason" => vec!["undecodable", "duplicate"],
        "kind" => vec!["renamed"],
        "code" => vec!["200", "401"],
        "receiver" => vec!["http://127.0.0.1:9093"],
        "result" => vec!["ok", "failed", "refused"],
        "version" => vec!["0.1.0"],
        "revision" => vec!["abc"],
        "region" => vec!["aws-us-east-1"],
        other => panic!("what values has {other}?"),
    }
}

/// Every combination of a metric's labels, as text between braces.
fn combinations(labels: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = vec![String::new()];
    if labels.contains(&"deployment") {
        found = PLACES
            .iter()
            .map(|place| {
                let names = ["deployment", "hosting", "deployment_type", "project", "severity"];
                let with = names.iter().zip(place).filter(|(name, _)| labels.contains(name));
                with.map(|(name, value)| format!("{name}=\"{value}\",")).collect()
            })
            .collect();
    }
    for label in labels
        .iter()
        .filter(|label| !["deployment", "hosting", "deployment_type", "project", "severity"].contains(label))
    {
        found = found
            .iter()
            .flat_map(|text| values(label).into_iter().map(move |value| format!("{text}{label}=\"{value}\",")))
            .collect();
    }
    found
}

/// The exposition of the n-th scrape.
fn exposition(scrape: u64) -> String {
    let mut text = String::new();
    for (name, kind, labels) in super::names::table() {
        let _ = writeln!(text, "# HELP {name} .\n# TYPE {name} {kind}");
        for labels in combinations(labels) {
            let value = match (name, kind) {
                // Quiet at first, then firing.
                ("storagewatch_alert_firing", _) => u64::from(scrape > 3),
                // A source that is down, and nobody takes notifications.
                // Nothing is made durable, and the direct path works nowhere.
                ("storagewatch_ledger_up", _) => 0,
                ("convex_storage_probe_success", _) if labels.contains("\"direct\"") => 0,
                ("storagewatch_source_up", _) => u64::from(!labels.contains("cloud")),
                ("storagewatch_notifications_total", _) if labels.contains("\"ok\"") => 0,
                (
                    "convex_storage_access_last_timestamp_seconds" | "storagewatch_source_last_read_timestamp_seconds",
                    _,
                ) => 1_795_422_441,
                (_, "gauge") => 1,
                _ => scrape,
            };
            if kind == "histogram" {
                for le in ["0.01", "1024", "+Inf"] {
                    let _ = writeln!(text, "{name}_bucket{{{labels}le=\"{le}\"}} {value}");
                }
                let _ = writeln!(text, "{name}_sum{{{labels}}} {value}\n{name}_count{{{labels}}} {value}");
            } else {
                let _ = writeln!(text, "{name}{{{labels}}} {value}");
            }
        }
    }
    for name in ["cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes"] {
        let _ = writeln!(text, "process_{name} {scrape}");
    }
    text
}

/// Serves it to whoever asks, counting.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut scrape = 0;
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            scrape += 1;
            let body = exposition(scrape);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

/// A port that refuses.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A Prometheus with the rules in these files, one target that answers, and more addresses that may not.
fn start(directory: &Path, files: &[&str], targets: &[SocketAddr]) -> Prometheus {
    let files: Vec<String> = files
        .iter()
        .map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file).to_str().unwrap().to_owned())
        .collect();
    let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
    let config = json!({
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "500ms"},
        "rule_files": files,
        "scrape_configs": [{"job_name": "storagewatch", "static_configs": [{"targets": targets}]}],
    });
    Prometheus::start(directory, &config)
}

/// Asks until there are series.
fn ask(prometheus: &mut Prometheus, query: &str) -> Vec<Value> {
    prometheus.wait(&format!("/api/v1/query?query={}", encoded(query)), |data| {
        Some(data["result"].as_array()?.clone()).filter(|series| !series.is_empty())
    })
}

/// A query as Grafana sends it, everything chosen.
fn filled(query: &str) -> String {
    let dashboard = dashboard();
    let mut query = query.replace("$__rate_interval", "5s").replace("$__range", "60s");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(all) = variable["allValue"].as_str() {
            query = query.replace(&format!("${}", variable["name"].as_str().unwrap()), all);
        }
    }
    assert!(!query.contains('$'), "{query}");
    query
}

#[test]
fn every_query_of_the_dashboard_gives_series() {
    let directory = tempfile::tempdir().unwrap();
    let mut prometheus = start(directory.path(), &[], &[target()]);
    // Everything fires from the fourth scrape on.
    ask(&mut prometheus, "storagewatch_alert_firing == 1");
    let dashboard = dashboard();
    for (title, query) in queries(&dashboard) {
        let query = filled(&query);
        let found = ask(&mut prometheus, &query);
        assert!(found.iter().all(|series| series["value"][1] != "NaN"), "{title}: {found:#?}");
    }
    let annotation = dashboard["annotations"]["list"][0]["target"]["expr"].as_str().unwrap();
    assert!(!ask(&mut prometheus, &filled(annotation)).is_empty());
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            let (selector, label) =
                query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
            let found = ask(&mut prometheus, &format!("count by ({label}) ({})", filled(selector)));
            assert!(found.iter().all(|series| series["metric"][label].is_string()), "{query}: {found:#?}");
        }
    }
    // A choice of several is a pattern.
    let chosen =
        queries(&dashboard)[0].1.replace("$deployment", "happy-otter-123|brave-heron-9").replace("$hosting", "cloud");
    assert_eq!(ask(&mut prometheus, &filled(&chosen))[0]["value"][1], "4");
    assert!(read(DASHBOARD).contains("$deployment"));
}

#[test]
fn every_rule_gives_series_and_every_alert_can_fire() {
    for file in [RULES, EXAMPLE] {
        let directory = tempfile::tempdir().unwrap();
        let mut prometheus = start(directory.path(), &[file], &[target(), nobody()]);
        for (_, expression) in rules(file) {
            ask(&mut prometheus, &expression);
        }
        let found = prometheus.wait("/api/v1/rules", |data| {
            let rules: Vec<Value> = data["groups"]
                .as_array()?
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap().clone())
                .collect();
            let active =
                |rule: &Value| rule["type"] == "recording" || rule["state"] == "firing" || rule["state"] == "pending";
            (rules.iter().all(|rule| rule["health"] == "ok" && active(rule))).then_some(rules)
        });
        assert_eq!(found.len(), rules(file).len(), "{file}");
        // Those that wait are still waiting, and none that should not.
        for rule in found.iter().filter(|rule| rule["type"] == "alerting") {
            let state = if rule["duration"].as_f64() > Some(0.0) { "pending" } else { "firing" };
            assert_eq!(rule["state"], state, "{file}: {rule:#}");
        }
    }
}
