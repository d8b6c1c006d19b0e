//! Every sample is read as a reader of the formats would: `samples/<shape>/<case>.expected.json` says what must come out
//! of the file beside it. Adding a case needs no Rust.

use crate::support::{all_samples, events, report};
use serde_json::Value;
use std::path::Path;

/// Collects where `actual` differs from what is expected; keys that are not expected may be anything.
fn differ(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(members)) => {
            if path.ends_with("causes") && expected != members {
                // Causes that do not occur are not listed: none expected means none.
                found.push(format!("{path}: expected {expected:?}, found {members:?}"));
            }
            for (key, expected) in expected {
                let actual = members.get(key).unwrap_or(&Value::Null);
                differ(&format!("{path}.{key}"), expected, actual, found);
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if expected.len() != actual.len() {
                found.push(format!("{path}: expected {} items, found {}", expected.len(), actual.len()));
            }
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                differ(&format!("{path}[{index}]"), expected, actual, found);
            }
        }
        _ if expected == actual => {}
        _ => found.push(format!("{path}: expected {expected}, found {actual}")),
    }
}

fn check(sample: &Path) -> Vec<String> {
    let name = sample.file_name().unwrap().to_str().unwrap();
    let case = name.split('.').next().unwrap();
    let expected = sample.with_file_name(format!("{case}.expected.json"));
    let Ok(expected) = std::fs::read_to_string(&expected) else {
        return vec![format!("{} is missing", expected.display())];
    };
    let mut expected: Value = serde_json::from_str(&expected).unwrap();
    let expected = expected.as_object_mut().unwrap();
    expected.remove("about");
    let mut found = Vec::new();
    if let Some(wanted) = expected.remove("events") {
        differ("events", &wanted, &Value::Array(events(sample, &[])), &mut found);
    }
    let actual = report(sample, &[]);
    for (key, wanted) in &*expected {
        differ(key, wanted, &actual[key.as_str()], &mut found);
    }
    found
}

#[test]
fn every_sample_is_read_as_expected() {
    let mut wrong = Vec::new();
    for sample in all_samples() {
        for difference in check(&sample) {
            wrong.push(format!("{}: {difference}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
