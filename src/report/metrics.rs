//! The report in Prometheus' text format, for node_exporter's textfile collector.
//!
//! Gauges with names of their own: totals over saved logs fall when logs rotate, so they are no counters.

use super::Report;
use crate::event::{Cause, Outcome};
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

/// Writes the gauges.
pub fn text(report: &Report) -> prometheus::Result<String> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(Opts::new(format!("convex_storage_report_{name}"), help), labels)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let place = ["deployment", "hosting"];
    let events = gauge("events", "Storage accesses in the logs, by outcome.", &["deployment", "hosting", "outcome"])?;
    let failures =
        gauge("failures", "Failed direct accesses in the logs, by cause.", &["deployment", "hosting", "cause"])?;
    let size = gauge("size_bytes", "Sizes of the accessed blobs, added up.", &place)?;
    let overflows =
        gauge("log_overflows", "How often Convex dropped log lines, so that events may be missing.", &place)?;
    let last =
        gauge("last_timestamp_seconds", "Time of the last storage access in the logs, in seconds since 1970.", &place)?;
    let input = gauge("input", "What was read from the logs, and what could not be used.", &["kind"])?;
    for deployment in &report.deployments {
        let name = &*deployment.attribution.deployment;
        let hosting = deployment.attribution.hosting.as_str();
        for (outcome, count) in Outcome::ALL.into_iter().zip(deployment.outcomes) {
            events.with_label_values(&[name, hosting, outcome.as_str()]).set(count as f64);
        }
        for (cause, count) in Cause::ALL.into_iter().zip(deployment.causes) {
            failures.with_label_values(&[name, hosting, cause.as_str()]).set(count as f64);
        }
        size.with_label_values(&[name, hosting]).set(deployment.size_bytes as f64);
        overflows.with_label_values(&[name, hosting]).set(deployment.overflows as f64);
        if let Some(time) = deployment.last {
            last.with_label_values(&[name, hosting]).set(time.0 as f64 / 1000.0);
        }
    }
    let counts = &report.input;
    for (kind, count) in [
        ("files", counts.files),
        ("bytes", counts.bytes),
        ("lines", counts.lines),
        ("records", counts.records),
        ("events", counts.events),
        ("duplicates", counts.duplicates),
        ("truncated", counts.truncated),
        ("overflows", counts.overflows),
        ("undecodable", counts.undecodable),
        ("oversize", counts.oversize),
        ("damaged", counts.damaged),
    ] {
        input.with_label_values(&[kind]).set(count as f64);
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}
