//! What Prometheus is shown: both formats letter by letter, then read by promtool. Prometheus itself reads them in
//! `metrics/prometheus.rs`.

mod prometheus;

use crate::serve::server::{NASTY, Server, view};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use storagewatch::event::{Cause, Outcome};
use storagewatch::ledger::{Rotation, Skipped, View};
use storagewatch::metrics::{Family, Format, Metric, SelfState, gather};
use storagewatch::source::webhook::Answer;

/// The exposition of a view by a program whose version never changes.
fn written(view: &View, format: Format) -> String {
    let own =
        SelfState { version: "1.2.3", revision: "abc", config_ok: true, requests: requests(), process: Vec::new() };
    format.write(&gather(view, &own)).unwrap()
}

/// What webhooks were answered.
fn requests() -> Vec<(Arc<str>, [u64; Answer::ALL.len()])> {
    vec![(Arc::from("cloud"), [7, 0, 2, 0, 0, 0, 0, 0, 1])]
}

fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let difference = text.lines().zip(golden.lines()).find(|(is, should)| is != should);
    assert!(text == golden, "not as in {}: {difference:?}; UPDATE_GOLDEN=1 writes what is\n{text}", path.display());
}

#[test]
fn the_text_format() {
    check_golden("view.txt", &written(&view(), Format::Text));
}

#[test]
fn the_openmetrics_format() {
    check_golden("view.openmetrics", &written(&view(), Format::OpenMetrics { created: true }));
}

#[test]
fn without_deployments_there_is_no_series_of_one() {
    for format in [Format::Text, Format::OpenMetrics { created: true }] {
        let text = written(&View::default(), format);
        assert!(!text.contains("convex_storage_"), "{text}");
        assert!(text.contains("storagewatch_build_info{version=\"1.2.3\",revision=\"abc\"} 1\n"), "{text}");
    }
}

#[test]
fn every_series_of_a_closed_set_is_there_at_zero() {
    let text = written(&view(), Format::Text);
    let zero = |series: String| assert!(text.contains(&format!("\n{series} 0\n")), "{series} is not 0 in\n{text}");
    // A deployment that is held back, with counts of its own, and a source that was never read.
    let place = "deployment=\"unknown\",hosting=\"unknown\"";
    for outcome in Outcome::ALL {
        zero(format!("convex_storage_access_total{{{place},outcome=\"{outcome}\"}}"));
    }
    for cause in Cause::ALL {
        zero(format!("convex_storage_access_failures_total{{{place},cause=\"{cause}\"}}"));
    }
    for suffix in ["count", "sum"] {
        zero(format!("convex_storage_access_size_bytes_{suffix}{{{place}}}"));
    }
    zero(format!("convex_storage_access_size_bytes_bucket{{{place},le=\"+Inf\"}}"));
    zero(format!("convex_storage_log_overflows_total{{{place}}}"));
    zero(format!("convex_storage_truncated_events_total{{{place}}}"));
    for reason in Skipped::ALL {
        zero(format!("storagewatch_source_skipped_total{{source=\"never read\",reason=\"{}\"}}", reason.as_str()));
    }
    for kind in Rotation::ALL {
        zero(format!("storagewatch_source_rotations_total{{source=\"never read\",kind=\"{}\"}}", kind.as_str()));
    }
    zero("storagewatch_source_up{source=\"never read\"}".to_owned());
    // What is not known is not there at all.
    for absent in [
        format!("convex_storage_access_last_timestamp_seconds{{{place}"),
        "storagewatch_source_last_read_timestamp_seconds{source=\"never read\"".to_owned(),
    ] {
        assert!(!text.contains(&absent), "{absent}");
    }
    let open = written(&view(), Format::OpenMetrics { created: false });
    assert!(!open.lines().any(|line| line.contains(place) && line.contains(" # ")), "an exemplar of what is held back");
}

#[test]
fn all_metrics_are_in_the_table_and_all_of_the_table_is_exposed() {
    let families = gather(&view(), &SelfState { requests: requests(), ..SelfState::default() });
    let exposed: BTreeSet<&str> = families.iter().map(Family::name).collect();
    let table: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(exposed, table);
    assert_eq!(table.len(), Metric::ALL.len(), "a name stands twice");
    let server = Server::start(view());
    for line in server.get("/metrics").body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let metric = Metric::ALL.iter().find(|metric| metric.name() == name);
        assert!(metric.map_or(name.starts_with("process_"), |metric| metric.kind().as_str() == kind), "{line}");
    }
}

#[test]
fn promtool_finds_nothing_to_object_to() {
    let server = Server::start(view());
    let text = server.get("/metrics").body;
    assert!(text.contains("process_cpu_seconds_total") && text.contains("le=\"1024\"} 2"), "{text}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the Debian package prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn what_labels_hold_is_escaped() {
    assert!(NASTY.contains(['"', '\\', '\n']));
    let escaped = "deployment=\"a\\\"b\\\\c\\nd<script>é\u{202e}\",hosting=\"self_hosted\"";
    for format in [Format::Text, Format::OpenMetrics { created: false }] {
        let text = written(&view(), format);
        assert!(text.contains(&format!("convex_storage_access_total{{{escaped},outcome=\"direct\"}} 1\n")), "{text}");
    }
}
