//! The command line as people use it: what it says, where it says it, and how it ends.

use crate::support::{events, report, run, samples, storagewatch};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

const DIRECT: &str = "2026-11-23T08:27:21Z [LOG] 'Storage access: direct' { size: 3 }\n";
const FAILED: &str = "2026-11-23T09:30:00Z [CONVEX A(zip:run)] [ERROR] 'Storage access: direct-failed' { storageId: 'kg2', error: 'fetch failed', cause: 'connect ECONNREFUSED 127.0.0.1:80' }\n";
const FALLBACK: &str = "2026-11-24T10:00:00Z [LOG] 'Storage access: http-fallback' { reason: 'r' }\n";

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn json(arguments: &[&str], input: &str) -> (i32, Value, String) {
    let (status, out, err) = run(arguments, input.as_bytes());
    (status, serde_json::from_str(&out).unwrap_or(Value::Null), err)
}

#[test]
fn a_mistake_is_one_line_that_names_it_and_what_to_do() {
    for (arguments, names) in [
        (&["report", "--bogus"][..], "--bogus"),
        (&["report", "--format", "yaml"], "yaml"),
        (&["report", "--only", "colour=red"], "colour"),
        (&["report", "--since", "yesterdayish"], "--since"),
        (&["report", "--since", "2026-11-23T08:27:22"], "--since"),
        (&["report", "--format", "yaml"], "storagewatch report --help"),
        (&["report", "--fail-on", "failure"], "direct-failed"),
        (&["report", "--jobs", "0"], "--jobs"),
        (&["report", "--by", "hour", "--format", "prometheus"], "--by"),
        (&["reprot"], "reprot"),
        (&["report", "no-such-file.log"], "no-such-file.log: no such file or directory; check the path"),
        (&["report", "no-such-*.log"], "no-such-*.log: no file matches"),
        (&["events", "-o", "no/such/directory/x.ndjson", "-"], "no/such/directory/x.ndjson"),
    ] {
        let (status, _, err) = run(arguments, b"");
        assert_eq!(status, 2, "{arguments:?}: {err}");
        assert!(err.contains(names), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.starts_with("storagewatch: "), "{arguments:?}: {err}");
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    for arguments in [&["--help"][..], &["report", "--help"], &["events", "-h"], &["explain", "--help"], &["--version"]]
    {
        let (status, out, err) = run(arguments, b"");
        assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
        assert!(!out.is_empty());
    }
}

#[test]
fn what_can_be_read_is_reported_beside_what_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let good = write(directory.path(), "good.log", DIRECT);
    let (status, report, err) = json(&["report", "--format", "json", "missing.log", &good], "");
    assert_eq!(status, 2);
    assert!(err.contains("missing.log"), "{err}");
    assert_eq!(report["input"]["events"], 1);
    let (_, out, _) = run(&["report", "missing.log", &good], b"");
    assert!(out.contains("1 input that could not be read") && !out.contains("Nothing was lost"), "{out}");
}

#[test]
fn directories_patterns_links_and_stdin() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "logs/a.log", DIRECT);
    write(at, "logs/deep/b.log", FAILED);
    write(at, "logs/.hidden/c.log", FALLBACK);
    std::os::unix::fs::symlink(at.join("logs/a.log"), at.join("logs/current.log")).unwrap();
    let logs = at.join("logs");
    let found = report(&logs, &[]);
    assert_eq!((&found["input"]["files"], &found["input"]["events"]), (&2.into(), &2.into()));
    let (_, _, err) = run(&["report", logs.to_str().unwrap()], b"");
    assert!(err.contains("the same file as"), "{err}");
    let pattern = format!("{}/*.log", logs.display());
    assert_eq!(report(Path::new(&pattern), &[])["input"]["events"], 1);
    let (status, report, _) = json(&["report", "--format", "json", "-"], DIRECT);
    assert_eq!((status, &report["input"]["events"]), (0, &1.into()));
    let (status, report, _) = json(&["report", "--format", "json"], &[DIRECT, FAILED].concat());
    assert_eq!((status, &report["input"]["events"]), (0, &2.into()));
}

#[test]
fn nothing_to_read_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let empty = write(directory.path(), "empty.log", "");
    let (status, out, _) = run(&["report", &empty], b"");
    assert_eq!(status, 0);
    assert!(out.contains("No storage access events") && out.contains("1 file, 0 lines"), "{out}");
    let nothing = tempfile::tempdir().unwrap();
    let (status, out, _) = run(&["report", nothing.path().to_str().unwrap()], b"");
    assert_eq!(status, 0);
    assert!(out.contains("0 files"), "{out}");
}

#[test]
fn an_archive_that_breaks_off_counts_up_to_there() {
    let directory = tempfile::tempdir().unwrap();
    let lines: String = (0..20_000).map(|n| format!("[LOG] 'Storage access: direct' {{ size: {n} }}\n")).collect();
    let whole = gzip(lines.as_bytes());
    let cut = write(directory.path(), "cut.log.gz", &whole[..whole.len() / 2]);
    for command in ["report", "events"] {
        let (status, out, err) = run(&[command, &cut], b"");
        assert_eq!(status, 2, "{command}");
        assert!(err.contains("cut.log.gz") && err.contains("breaks off"), "{err}");
        assert!(out.len() > 200, "{command}: what came before counts");
    }
    let report = report(Path::new(&cut), &[]);
    let events = report["input"]["events"].as_u64().unwrap();
    assert_eq!(report["input"]["damaged"], 1);
    assert!(events > 1000 && events < 20_000, "{events}");
    let foreign = write(directory.path(), "a.log.xz", b"\xfd7zXZ\0rest");
    let (status, _, err) = run(&["report", &foreign], b"");
    assert!(status == 2 && err.contains("xz -dc"), "{err}");
}

#[test]
fn exit_statuses() {
    let directory = tempfile::tempdir().unwrap();
    let failed = write(directory.path(), "failed.log", [DIRECT, FAILED].concat());
    let status = |arguments: &[&str]| run(arguments, b"").0;
    assert_eq!(status(&["report", &failed]), 0);
    assert_eq!(status(&["report", "--fail-on", "http-fallback", &failed]), 0);
    assert_eq!(status(&["report", "--fail-on", "http-fallback,direct-failed", &failed]), 1);
    assert_eq!(status(&["report", "--fail-on", "direct-failed", &failed, "missing.log"]), 2);
}

#[test]
fn filters_by_time_and_column() {
    let all = [DIRECT, FAILED, FALLBACK, "[LOG] 'Storage access: direct'\n"].concat();
    let count = |more: &[&str]| {
        let arguments: Vec<&str> =
            ["report", "--format", "json", "-"].into_iter().chain(more.iter().copied()).collect();
        let (_, report, err) = json(&arguments, &all);
        (report["input"]["events"].as_u64().unwrap(), err)
    };
    assert_eq!(count(&[]).0, 4);
    let (events, err) = count(&["--since", "2026-11-23T09:00:00Z"]);
    assert_eq!(events, 2);
    assert!(err.contains("1 event"), "{err}");
    assert_eq!(count(&["--since", "2026-11-23", "--until", "2026-11-24"]).0, 2);
    assert_eq!(count(&["--only", "outcome=direct*"]).0, 3);
    assert_eq!(count(&["--only", "outcome=direct", "--only", "outcome=http-*"]).0, 3);
    assert_eq!(count(&["--only", "outcome=direct*", "--only", "function=zip:*"]).0, 1);
    assert_eq!(count(&["--only", "cause=connection_refused"]).0, 1);
    assert_eq!(count(&["--only", "hosting=cloud", "--hosting", "cloud"]).0, 4);
    assert_eq!(count(&["--only", "verdict=degraded", "--hosting", "cloud"]).0, 1);
    assert_eq!(count(&["--only", "deployment=unknown"]).0, 4);
    assert_eq!(count(&["--only", "deployment=happy-*", "--deployment", "happy-otter-123"]).0, 4);
}

#[test]
fn options_never_override_a_record() {
    let sample = samples().join("log-stream/self_hosted.jsonl");
    let own = report(&sample, &[]);
    let told = report(&sample, &["--deployment", "other", "--hosting", "cloud"]);
    for (own, told) in own["deployments"].as_array().unwrap().iter().zip(told["deployments"].as_array().unwrap()) {
        if own["evidence"] == "deployment_type" || own["evidence"] == "deployment_region" {
            assert_eq!((&own["deployment"], &own["hosting"]), (&told["deployment"], &told["hosting"]));
        }
    }
    let given = json(&["report", "--format", "json", "--deployment", "mine", "--hosting", "self_hosted"], FAILED).1;
    assert_eq!(given["deployments"][0]["deployment"], "mine");
    assert_eq!(given["deployments"][0]["hosting"], "self_hosted");
    assert_eq!(given["deployments"][0]["evidence"], "option");
}

#[test]
fn the_terminal_report_says_what_matters() {
    let all = [DIRECT, FAILED, FALLBACK].concat();
    let (_, out, err) = run(&["report", "-"], all.as_bytes());
    assert_eq!(err, "");
    for part in [
        "1 deployment to investigate",
        "unknown",
        "by none",
        "33.3 %",
        "connection_refused",
        "2026-11-23T09:30:00.000Z",
        "function zip:run",
        "storage id kg2",
        "fetch failed",
        "2026-07-28",
        "socat",
        "--hosting",
        "Nothing was lost",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours where there is no terminal");
    let (_, out, _) = run(&["report", "--color", "always", "-"], all.as_bytes());
    assert!(out.contains("\u{1b}[1;31m"), "{out}");
    let narrow = storagewatch().env("COLUMNS", "80").args(["report", "-"]).write_stdin(all).output().unwrap();
    let narrow = String::from_utf8(narrow.stdout).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 100), "{narrow}");
}

#[test]
fn the_other_formats() {
    let all = [DIRECT, FAILED, FALLBACK].concat();
    let (_, csv, _) = run(&["report", "--format", "csv", "-"], all.as_bytes());
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<String> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    let row = rows.records().next().unwrap().unwrap();
    let cell = |name: &str| row.get(header.iter().position(|column| column == name).unwrap()).unwrap();
    assert_eq!((cell("deployment"), cell("direct"), cell("direct-failed")), ("unknown", "1", "1"));
    assert_eq!((cell("cause_connection_refused"), cell("verdict")), ("1", "investigate"));
    let (_, markdown, _) = run(&["report", "--format", "markdown", "-"], all.as_bytes());
    assert!(markdown.contains("| unknown | unknown | none | 1 | 1 | 1 | 0 |"), "{markdown}");
    let (_, text, _) = run(&["report", "--format", "prometheus", "-"], all.as_bytes());
    assert!(text.contains(
        "convex_storage_report_events{deployment=\"unknown\",hosting=\"unknown\",outcome=\"direct-failed\"} 1"
    ));
    let mut promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("promtool, from the distribution's package prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("storagewatch.prom");
    run(&["report", "--format", "prometheus", "-o", path.to_str().unwrap(), "-"], all.as_bytes());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn events_have_every_column_and_the_order_of_the_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "a.log", [FALLBACK, DIRECT, FAILED].concat());
    let found = events(Path::new(&path), &[]);
    let outcomes: Vec<&str> = found.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["http-fallback", "direct", "direct-failed"]);
    let keys: Vec<&String> = found[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 20);
    assert_eq!(found[2]["offset"], FALLBACK.len() + DIRECT.len());
    assert_eq!(found[2]["source"], path);
    assert_eq!(found[0]["cause"], Value::Null);
    let (_, out, _) = run(&["events", &path], b"");
    let first = out.lines().next().unwrap();
    assert!(first.starts_with("{\"time\":\"2026-11-24T10:00:00.000Z\",\"deployment\":"), "{first}");
}

#[test]
fn a_history_that_was_written_twice_counts_once() {
    let directory = tempfile::tempdir().unwrap();
    let history = std::fs::read(samples().join("cli-jsonl/genuine.jsonl")).unwrap();
    let once = report(Path::new(&write(directory.path(), "once.jsonl", &history)), &[]);
    write(directory.path(), "logs/a.jsonl", &history);
    write(directory.path(), "logs/b.jsonl.gz", gzip(&history));
    let twice = report(&directory.path().join("logs"), &[]);
    assert_eq!(once["deployments"][0]["outcomes"], twice["deployments"][0]["outcomes"]);
    assert_eq!(twice["input"]["duplicates"], once["input"]["events"]);
    let named = report(&directory.path().join("logs"), &["--deployment", "a"]);
    assert_eq!(named["input"]["events"], once["input"]["events"]);
}

#[test]
fn explain_gives_the_reason_at_the_layer_where_it_stopped() {
    let text = [
        "backend-1  | 11/23/2026, 8:27:21 AM [CONVEX A(zip:run)] [LOG] '{\"level\":\"info\",\"message\":\"Storage access: direct\"}'",
        "{\"timestamp\":1,\"topic\":\"function_execution\",\"error_message\":\"Storage access: direct\"}",
        "{\"timestamp\":1,\"topic\":\"console\",\"function\":{\"cached\":true},\"message\":\"'Storage access: direct'\"}",
        "[LOG] 'said Storage access: direct'",
        "[INFO] 'Storage access: http-fallback' {",
        "  storageId: 'kg2'",
        "}",
        "{\"broken Storage access: direct",
    ]
    .join("\n");
    let (status, out, _) = run(&["explain", "-"], text.as_bytes());
    assert_eq!(status, 0);
    for part in [
        "compose>convex-text>app-json: counted: direct",
        "log-stream: not counted: a log stream event of another topic",
        "log-stream: not counted: a cached result",
        "console: not counted: its message does not begin with",
        "console: counted: http-fallback",
        "goes on with what line 5 began",
        "undecodable",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
}

#[cfg(feature = "report")]
mod frames {
    use super::*;
    use polars::prelude::*;

    #[test]
    fn groups_by_time_function_and_cause() {
        let all = [DIRECT, FAILED, FALLBACK, "[LOG] 'Storage access: direct'\n"].concat();
        let groups = |by: &str| json(&["report", "--by", by, "--format", "json", "-"], &all).1["groups"].clone();
        let day = groups("day");
        assert_eq!(day.as_array().unwrap().len(), 3, "{day}");
        assert_eq!((&day[1]["day"], &day[1]["direct"]), (&"2026-11-23T00:00:00.000Z".into(), &1.into()));
        assert_eq!((&day[0]["day"], &day[0]["events"]), (&Value::Null, &1.into()));
        assert_eq!(groups("hour").as_array().unwrap().len(), 4);
        let function = groups("function");
        assert_eq!((&function[1]["function"], &function[1]["direct-failed"]), (&"zip:run".into(), &1.into()));
        let cause = groups("cause");
        assert_eq!((&cause[0]["cause"], &cause[0]["events"]), (&"connection_refused".into(), &1.into()));
        assert_eq!(cause.as_array().unwrap().len(), 1);
        let (_, csv, _) = run(&["report", "--by", "day", "--format", "csv", "-"], all.as_bytes());
        assert!(csv.starts_with("day,direct,http-fallback,direct-failed,other,events,size_bytes\n"), "{csv}");
    }

    #[test]
    fn a_timeline_is_drawn_where_there_is_a_span_of_time() {
        let (_, out, _) = run(&["report", "-"], [DIRECT, FAILED, FALLBACK].concat().as_bytes());
        assert!(out.contains("By time, ") && out.contains('█'), "{out}");
        let (_, out, _) = run(&["report", "-"], DIRECT.as_bytes());
        assert!(!out.contains("By time"), "{out}");
    }

    #[test]
    fn csv_and_parquet_hold_what_ndjson_holds() {
        let directory = tempfile::tempdir().unwrap();
        let sample = samples().join("mixed");
        let rows = events(&sample, &[]);
        let csv = directory.path().join("events.csv");
        let parquet = directory.path().join("events.parquet");
        for path in [&csv, &parquet] {
            let (status, out, _) = run(&["events", sample.to_str().unwrap(), "-o", path.to_str().unwrap()], b"");
            assert_eq!((status, out.as_str()), (0, ""));
        }
        let frame = ParquetReader::new(std::fs::File::open(&parquet).unwrap()).finish().unwrap();
        assert_eq!(frame.height(), rows.len());
        let outcomes: Vec<String> =
            frame.column("outcome").unwrap().str().unwrap().iter().map(|text| text.unwrap().to_owned()).collect();
        let expected: Vec<&str> = rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, expected);
        assert_eq!(
            frame.column("time").unwrap().dtype(),
            &DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))
        );
        let mut reader = csv::Reader::from_path(&csv).unwrap();
        let header = reader.headers().unwrap().clone();
        for (record, row) in reader.records().zip(&rows) {
            let record = record.unwrap();
            for (name, cell) in header.iter().zip(&record) {
                let expected = match &row[name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(cell, expected, "{name}");
            }
        }
    }
}
