//! The report as JSON, for programs.

use super::{Deployment, InputCounts, Report};
use crate::event::{Cause, Outcome, Timestamp};
use crate::row::Row;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The whole report as one object.
pub fn report(report: &Report) -> Value {
    json!({
        "storagewatch": env!("CARGO_PKG_VERSION"),
        "input": input(&report.input),
        "first": time(report.first()),
        "last": time(report.last()),
        "deployments": report.deployments.iter().map(deployment).collect::<Vec<_>>(),
        "failures": failures(&report.failures),
    })
}

fn input(input: &InputCounts) -> Value {
    json!({
        "files": input.files,
        "bytes": input.bytes,
        "lines": input.lines,
        "records": input.records,
        "events": input.events,
        "duplicates": input.duplicates,
        "truncated": input.truncated,
        "overflows": input.overflows,
        "undecodable": input.undecodable,
        "oversize": input.oversize,
        "damaged": input.damaged,
    })
}

fn deployment(deployment: &Deployment) -> Value {
    let Deployment { attribution, outcomes, causes, size_bytes, overflows, first, last } = deployment;
    let outcomes = Outcome::ALL.iter().zip(outcomes).map(|(outcome, count)| (outcome.to_string(), json!(count)));
    let causes = Cause::ALL.iter().zip(causes).filter(|(_, count)| **count > 0);
    json!({
        "deployment": &*attribution.deployment,
        "hosting": attribution.hosting.as_str(),
        "evidence": attribution.evidence.as_str(),
        "deployment_type": attribution.deployment_type,
        "project": attribution.project,
        "outcomes": outcomes.collect::<Map<_, _>>(),
        "causes": causes.map(|(cause, count)| (cause.to_string(), json!(count))).collect::<Map<_, _>>(),
        "size_bytes": size_bytes,
        "overflows": overflows,
        "first": time(*first),
        "last": time(*last),
        "verdict": deployment.verdict().as_str(),
    })
}

fn failures(rows: &[Row]) -> Vec<Value> {
    rows.iter().filter_map(|row| row.serialize(serde_json::value::Serializer).ok()).collect()
}

fn time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::String(time.to_string()))
}
