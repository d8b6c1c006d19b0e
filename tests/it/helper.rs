//! The helper in samples/convex: it is compiled against the types of the package `convex`, run under Node against a port
//! that refuses and a local HTTP server, and what it logs is piped into storagewatch.

use crate::support::node::{compile, read};
use crate::support::run;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The helper as JavaScript, compiled once.
static HELPER: LazyLock<PathBuf> = LazyLock::new(|| {
    let helper = read("samples/convex/storage.ts");
    let directory = compile("helper", &[("storage.ts", &helper)]).unwrap_or_else(|said| panic!("{said}"));
    // Under this name Node takes it for a module whatever surrounds it.
    let module = directory.join("storage.mjs");
    fs::rename(directory.join("storage.js"), &module).unwrap();
    module
});

/// What every case came to, by its name, and the log.
fn drive(how: &[&str]) -> (BTreeMap<String, Value>, String) {
    let directory = tempfile::tempdir().unwrap();
    let [log, results] = ["log", "results.json"].map(|name| directory.path().join(name));
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/helper/drive.mjs");
    let (out, file) = (fs::File::create(&log).unwrap(), fs::File::options().append(true).open(&log).unwrap());
    let status = Command::new("node")
        .arg(driver)
        .arg(&*HELPER)
        .arg(&results)
        .args(how)
        .stdout(out)
        .stderr(file)
        .status()
        .expect("node, of the Debian package nodejs, which tests/run installs");
    let log = fs::read_to_string(log).unwrap();
    assert!(status.success(), "{log}");
    (serde_json::from_slice(&fs::read(results).unwrap()).unwrap(), log)
}

/// The event of each case as `storagewatch events` reads it from standard input.
fn events(log: &str) -> BTreeMap<String, Value> {
    let (status, out, err) = run(&["events", "-"], log.as_bytes());
    assert_eq!(status, 0, "{err}");
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = events.len();
    let named: BTreeMap<String, Value> =
        events.into_iter().map(|event| (event["storage_id"].as_str().unwrap().to_owned(), event)).collect();
    assert_eq!(named.len(), count, "each access logs one message:\n{log}");
    named
}

const NEW_WORDING: &str = "Transient network error running storage get url (ECONNREFUSED, 5 attempts)";

/// What must be read out of a case: its name, outcome, cause, what the error says, what the reason begins with.
type Case = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>);

const CASES: [Case; 20] = [
    ("direct", "direct", None, None, None),
    ("directInCloud", "direct", None, None, None),
    ("oldWording", "http-fallback", None, None, Some("fetch failed: connect ECONNREFUSED 127.0.0.1:")),
    ("oldWordingOfAName", "http-fallback", None, None, Some("fetch failed")),
    ("oldWordingOfTwoAddresses", "http-fallback", None, None, Some("fetch failed")),
    ("oldWordingWithoutCause", "http-fallback", None, None, Some("fetch failed")),
    ("newWording", "http-fallback", None, None, Some(NEW_WORDING)),
    ("refusedInCloud", "direct-failed", Some("connection_refused"), Some(NEW_WORDING), None),
    ("refusedInCloudOldWording", "direct-failed", Some("connection_refused"), Some("fetch failed"), None),
    (
        "fallbackNotFound",
        "direct-failed",
        Some("not_found"),
        Some("the fallback answered with HTTP status 404"),
        Some(NEW_WORDING),
    ),
    (
        "fallbackBroken",
        "direct-failed",
        Some("backend_error"),
        Some("the fallback answered with HTTP status 500"),
        Some("fetch failed: connect ECONNREFUSED"),
    ),
    ("fallbackCutOff", "direct-failed", Some("network"), Some("fetch failed"), Some("fetch failed: connect")),
    (
        "fallbackSilent",
        "direct-failed",
        Some("network"),
        Some("The operation was aborted due to timeout"),
        Some("fetch"),
    ),
    ("fallbackRefused", "direct-failed", Some("connection_refused"), Some("fetch failed"), Some("fetch failed: conn")),
    ("cutOff", "direct-failed", Some("network"), Some("fetch failed"), None),
    (
        "cutOffReworded",
        "direct-failed",
        Some("network"),
        Some("Transient network error running storage get url (UND_ERR_SOCKET, 5 attempts)"),
        None,
    ),
    (
        "backendError",
        "direct-failed",
        Some("backend_error"),
        Some("Transient error while running storage get url: status 500"),
        None,
    ),
    ("gone", "direct-failed", Some("not_found"), Some("the blob was not found in storage"), None),
    ("thrownText", "direct-failed", Some("other"), Some("it's a `text` with \"quotes\"\nand 'lines'"), None),
    ("thrownOddly", "direct-failed", Some("other"), Some("17"), None),
];

fn check(log: &str, layers: &str) {
    let events = events(log);
    assert_eq!(events.len(), CASES.len(), "{log}");
    for (name, outcome, cause, error, reason) in CASES {
        let event = &events[name];
        assert_eq!(event["outcome"], outcome, "{name}: {event}");
        assert_eq!(event["cause"], json!(cause), "{name}: {event}");
        assert_eq!(event["error"], json!(error), "{name}: {event}");
        let size = (outcome != "direct-failed").then_some(2418);
        assert_eq!(event["size_bytes"], json!(size), "{name}: {event}");
        let said = event["reason"].as_str();
        assert_eq!(said.is_some(), reason.is_some(), "{name}: {event}");
        assert!(said.unwrap_or_default().starts_with(reason.unwrap_or_default()), "{name}: {event}");
        assert_eq!(event["format"], layers, "{name}: {event}");
        assert!(event["time"].is_string(), "{name}: {event}");
    }
}

#[test]
fn each_way_that_the_helper_can_end_is_read_as_what_it_is() {
    let (_, log) = drive(&[]);
    check(&log, "app-json");
}

#[test]
fn it_is_read_alike_as_the_command_line_client_of_convex_prints_it() {
    let (_, log) = drive(&["convex"]);
    check(&log, "convex-text>app-json");
}

#[test]
fn the_fallback_is_asked_only_where_the_connection_was_refused() {
    let (results, log) = drive(&[]);
    for (name, outcome, ..) in CASES {
        let asked: Vec<&Value> = results[name]["asked"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|request| request["authorization"] == "Bearer secret")
            .collect();
        let expected = outcome == "http-fallback" || (name.starts_with("fallback") && name != "fallbackRefused");
        assert_eq!(asked.len(), usize::from(expected), "{name}: {asked:?}");
        assert!(asked.iter().all(|request| request["id"] == name), "{name}: {asked:?}");
    }
    // The secret that the endpoint wants is in no log.
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn what_is_logged_as_a_failure_is_thrown_and_nothing_else_is() {
    let (results, _) = drive(&[]);
    assert_eq!(results.len(), CASES.len());
    for (name, outcome, _, error, _) in CASES {
        if outcome == "direct-failed" {
            assert_eq!(results[name]["thrown"], json!(error), "{name}");
        } else {
            assert_eq!(results[name]["size"], 2418, "{name}");
        }
    }
}

#[test]
fn every_message_says_how_long_the_access_took() {
    let (_, log) = drive(&[]);
    let durations: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["durationMs"].as_f64().unwrap())
        .collect();
    assert_eq!(durations.len(), CASES.len());
    // One case waits 200 ms for its fallback.
    assert!(durations.iter().any(|duration| *duration >= 190.0), "{durations:?}");
}

#[test]
fn it_type_checks_against_the_package_convex_and_so_does_its_use() {
    let (helper, usage) = (read("samples/convex/storage.ts"), read("tests/it/helper/usage.ts"));
    compile("checked", &[("storage.ts", &helper), ("usage.ts", &usage)]).unwrap_or_else(|said| panic!("{said}"));
    // The check can fail: without the mark that it expects an error, that error is one.
    let wrong = usage.replace("@ts-expect-error", "");
    let said = compile("wrong", &[("storage.ts", &helper), ("usage.ts", &wrong)]).unwrap_err();
    assert!(said.contains("usage.ts") && said.contains("TS2345"), "{said}");
}
