//! Input that is too long, too deep or too much: it is counted by its reason, and memory stays within bounds.

use crate::support::{report, run};
use std::fmt::Write as _;
use std::io::Write;

const EVENT: &str = "[LOG] 'Storage access: direct' { size: 1 }\n";

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_line_over_the_bound_is_counted_and_the_rest_is_read() {
    let mut text = EVENT.as_bytes().to_vec();
    text.extend(b"[LOG] 'Storage access: direct-failed' '");
    text.extend(std::iter::repeat_n(b'x', 5 * 1024 * 1024));
    text.extend(b"'\n");
    text.extend(EVENT.as_bytes());
    let file = file(&text);
    for more in [&["--jobs", "1"], &["--jobs", "4"]] {
        let input = &report(file.path(), more)["input"];
        assert_eq!(input["oversize"], 1);
        assert_eq!((&input["lines"], &input["events"]), (&3.into(), &2.into()));
        assert_eq!(input["bytes"], text.len());
    }
}

#[test]
fn a_line_just_within_the_bound_is_read() {
    let long = "x".repeat(3 * 1024 * 1024);
    let file = file(format!("[LOG] 'Storage access: direct' '{long}'\n{EVENT}").as_bytes());
    let input = &report(file.path(), &[])["input"];
    assert_eq!((&input["oversize"], &input["events"]), (&0.into(), &2.into()));
}

#[test]
fn a_body_of_many_records_may_be_longer() {
    let event = r#"{"timestamp":1,"topic":"console","message":"'Storage access: direct'","pad":""#;
    let mut body = String::from("[");
    for index in 0..6000 {
        let _ = write!(body, "{}{event}{}\"}}", if index > 0 { "," } else { "" }, "y".repeat(1000));
    }
    body.push(']');
    assert!(body.len() > 6 * 1024 * 1024);
    let file = file(body.as_bytes());
    let input = &report(file.path(), &[])["input"];
    assert_eq!((&input["oversize"], &input["events"], &input["records"]), (&0.into(), &6000.into(), &6000.into()));
}

#[test]
fn a_body_over_its_bound_is_oversize() {
    let mut body = b"[".to_vec();
    body.extend(std::iter::repeat_n(b' ', 65 * 1024 * 1024));
    body.extend(b"]\n");
    body.extend(EVENT.as_bytes());
    let file = file(&body);
    let input = &report(file.path(), &[])["input"];
    assert_eq!((&input["oversize"], &input["events"]), (&1.into(), &1.into()));
}

#[test]
fn depth_and_brackets_without_end_are_survived() {
    for hostile in
        ["[".repeat(1_000_000), "{\"a\":".repeat(200_000), "[{\"a\":[".repeat(100_000), "'".repeat(1_000_001)]
    {
        let text = format!("{hostile} Storage access: direct\n[LOG] {hostile}Storage access: direct\n{EVENT}");
        let file = file(text.as_bytes());
        let input = &report(file.path(), &[])["input"];
        assert!(input["events"].as_u64().unwrap() <= 2, "{input}");
    }
}

#[test]
fn a_record_ends_after_64_lines() {
    let mut text = String::from("[INFO] 'Storage access: http-fallback' {\n");
    for _ in 0..200 {
        text.push_str("  more: 'of it',\n");
    }
    text.push_str(EVENT);
    let report = report(file(text.as_bytes()).path(), &[]);
    assert_eq!((&report["input"]["events"], &report["input"]["truncated"]), (&2.into(), &1.into()));
}

#[test]
fn a_piece_that_never_ends_holds_back_nothing_for_ever() {
    let mut text = String::from("2026-01-30T02:26:40Z stdout P [LOG] 'Storage access: direct-failed'\n");
    for _ in 0..3000 {
        text.push_str("2026-01-30T02:26:40Z stderr F nothing\n");
    }
    text.push_str("2026-01-30T02:26:40Z stderr F [LOG] 'Storage access: direct'\n");
    let report = report(file(text.as_bytes()).path(), &[]);
    assert_eq!(report["input"]["events"], 2);
}

#[test]
fn very_many_names_are_folded_into_one() {
    let mut text = String::new();
    for index in 0..100_050 {
        let _ = writeln!(
            text,
            r#"{{"timestamp":1,"topic":"console","message":"'Storage access: direct'","convex":{{"deployment_name":"d-{index}","deployment_type":"prod"}}}}"#
        );
    }
    let report = report(file(text.as_bytes()).path(), &[]);
    let deployments = report["deployments"].as_array().unwrap();
    assert_eq!(report["input"]["events"], 100_050);
    assert_eq!(deployments.len(), 100_001);
    let other = deployments.iter().find(|deployment| deployment["deployment"] == "__other__").unwrap();
    assert_eq!((&other["hosting"], &other["outcomes"]["direct"]), (&"cloud".into(), &50.into()));
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat() {
    use std::process::{Command, Stdio};
    let mut text = String::new();
    for index in 0..40_000 {
        let _ = writeln!(
            text,
            r#"{{"timestamp":{index},"topic":"console","message":"'Storage access: direct' {{ storageId: 'kg{index}', size: {index} }}","convex":{{"deployment_name":"happy-otter-123"}}}}"#
        );
    }
    let peak = |times: usize, command: &str| {
        let file = file(text.repeat(times).as_bytes());
        // Without reading its output, the program stops when the pipe is full, and its peak can be read.
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("storagewatch"))
            .args([command, file.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak = 0;
        let status = format!("/proc/{}/status", child.id());
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with("VmHWM"));
            let now = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok());
            peak = peak.max(now.unwrap_or(0_u64));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        peak
    };
    for command in ["report", "events"] {
        let (small, large) = (peak(2, command), peak(10, command));
        assert!(small > 1000, "{command}: the peak was not seen");
        assert!(large < small * 2 && large < 200 * 1024, "{command}: {small} KiB, then {large} KiB");
    }
}

#[test]
fn nothing_of_a_log_acts_on_a_terminal() {
    let name = "evil\u{1b}]0;title\u{7}\u{202e}name";
    let text = format!(
        r#"{{"timestamp":1,"topic":"console","message":"'Storage access: direct-failed' {{ error: '\\u001b[2J|<script>' }}","convex":{{"deployment_name":{}}}}}"#,
        serde_json::to_string(name).unwrap()
    );
    for command in [
        &["report", "-"][..],
        &["report", "--format", "markdown", "-"],
        &["report", "--by", "function", "--format", "markdown", "-"],
        &["explain", "-"],
    ] {
        let (_, out, err) = run(command, text.as_bytes());
        let unsafe_char = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!out.contains(unsafe_char) && !err.contains(unsafe_char), "{command:?}: {out:?} {err:?}");
        assert!(!out.contains("<script>") || command[0] != "report" || !command.contains(&"markdown"), "{out}");
    }
}
