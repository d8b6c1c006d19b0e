//! promtool and amtool read what is shipped, and `print` writes it.

use super::{DASHBOARD, EXAMPLE, RULES, dashboard};
use crate::support::node::read;
use crate::support::run;
use std::path::Path;
use std::process::Command;

/// Runs a tool in the directory with what is shipped.
fn tool(name: &str, package: &str, arguments: &[&str]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let output =
        Command::new(name).args(arguments).current_dir(directory).output().unwrap_or_else(|error| {
            panic!("{name}, of the Debian package {package}, which tests/run installs: {error}")
        });
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    said
}

#[test]
fn promtool_takes_the_rules_and_the_configuration() {
    let said = tool("promtool", "prometheus", &["check", "config", "prometheus/prometheus.yml"]);
    assert!(said.contains("15 rules found"), "{said}");
    tool("promtool", "prometheus", &["check", "rules", "--lint-fatal", "prometheus/increase.example.rules.yml"]);
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    let tests = ["prometheus/tests/storagewatch.test.yml", "prometheus/tests/increase.test.yml"];
    tool("promtool", "prometheus", &["test", "rules", tests[0], tests[1]]);
    // Each alert is tested, and seen to fire.
    for (rules, test) in [(RULES, tests[0]), (EXAMPLE, tests[1])] {
        let test = read(&format!("dashboards/{test}"));
        for (name, _) in super::rules(rules).iter().filter(|(name, _)| !name.contains(':')) {
            let fires = test.split("alertname: ").skip(1).any(|part| {
                part.split_once('\n')
                    .is_some_and(|(alert, rest)| alert == name && rest.trim().starts_with("exp_alerts"))
            });
            assert!(fires, "no test of {rules} sees {name} fire");
        }
    }
}

#[test]
fn amtool_takes_the_configuration_of_alertmanager() {
    tool("amtool", "prometheus-alertmanager", &["check-config", "alertmanager/alertmanager.yml"]);
    for (labels, receiver) in [
        (&["severity=critical", "alertname=ConvexStorageDirectFailed", "sender=storagewatch"][..], "pager"),
        (&["severity=critical", "alertname=StoragewatchDown", "sender=prometheus"], "pager"),
        (&["severity=warning", "alertname=ConvexStorageFallbackDegraded"], "chat"),
        (&["severity=info", "alertname=ConvexStorageDirectFailedSelfHosted"], "nobody"),
        (&["severity=info", "alertname=StoragewatchTest", "sender=storagewatch"], "pager,chat"),
    ] {
        let route = ["config", "routes", "test", "--config.file=alertmanager/alertmanager.yml"];
        let said = tool("amtool", "prometheus-alertmanager", &[&route[..], labels].concat());
        assert_eq!(said.lines().next(), Some(receiver), "{labels:?}: {said}");
    }
}

fn printed(arguments: &[&str]) -> String {
    let (status, out, err) = run(&[&["print"], arguments].concat(), b"");
    assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
    out
}

#[test]
fn print_writes_what_is_shipped() {
    assert_eq!(printed(&["rules"]), read(RULES));
    assert_eq!(printed(&["dashboard"]), read(DASHBOARD));
    assert_eq!(printed(&["alertmanager-config"]), read("dashboards/alertmanager/alertmanager.yml"));
}

#[test]
fn links_lead_where_the_command_line_says() {
    let url = "https://storagewatch.example.org:8443/watch";
    let rules = printed(&["rules", "--url", "https://storagewatch.example.org:8443/watch/"]);
    assert!(!rules.contains("127.0.0.1"), "{rules}");
    assert_eq!(rules.matches(&format!("runbook_url: {url}/runbook/")).count(), 10);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.yml");
    std::fs::write(&file, rules).unwrap();
    tool("promtool", "prometheus", &["check", "rules", file.to_str().unwrap()]);
    let text = printed(&["dashboard", "--url", url]);
    assert!(!text.contains("127.0.0.1"), "{text}");
    let changed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = |dashboard: &serde_json::Value| {
        let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
        variables.iter().find(|variable| variable["name"] == "storagewatch").unwrap()["query"].clone()
    };
    assert_eq!(address(&changed), url);
    assert_eq!(address(&dashboard()), storagewatch::runbook::BASE);
}

#[test]
fn an_address_that_would_break_a_file_is_refused() {
    for url in [
        "storagewatch.example.org",
        "ftp://a",
        "https://",
        "http:///",
        "https://a\" b",
        "https://a\n",
        "https://{{a}}",
        "https://a?b",
        "https://a#b",
    ] {
        for what in ["rules", "dashboard"] {
            let (status, out, err) = run(&["print", what, "--url", url], b"");
            assert_eq!((status, out.as_str()), (2, ""), "{url}: {err}");
            assert!(err.contains("expected an address"), "{url}: {err}");
        }
    }
}

#[test]
fn what_the_compose_file_mounts_and_builds_is_there() {
    let compose = read("dashboards/compose/compose.yaml");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/compose");
    let mounts: Vec<&str> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ../")?.split(':').next()).collect();
    assert_eq!(mounts.len(), 5, "{mounts:?}");
    for mount in mounts {
        assert!(here.join("..").join(mount).exists(), "{mount}");
    }
    let image = read("dashboards/compose/Dockerfile");
    for copied in image.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--")) {
        for path in copied.split(' ').rev().skip(1) {
            assert!(here.join("../..").join(path).exists(), "{path}");
        }
    }
    assert!(image.contains(" ca-certificates "), "nobody could be told over HTTPS");
    assert!(compose.contains("--alertmanager, 'http://127.0.0.1:9093'"), "its own notifier tells nobody");
    // What the program is told there, it takes.
    let command = compose.split("command: [").nth(1).unwrap().split(']').next().unwrap();
    let (_, help, _) = run(&["watch", "--help"], b"");
    for word in command.split(", ").filter(|word| word.starts_with("--")) {
        assert!(help.contains(word), "{word}");
    }
}
