//! `events` as a stream: what is written is seen at once, and nobody is waited for who has gone.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

fn start(arguments: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin("storagewatch"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (lines, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn an_event_is_seen_as_soon_as_its_line_is_written() {
    let mut child = start(&["events", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    for outcome in ["direct", "http-fallback", "direct-failed"] {
        writeln!(stdin, "[LOG] 'Storage access: {outcome}' {{ size: 1 }}").unwrap();
        stdin.flush().unwrap();
        let line = lines.recv_timeout(DEADLINE).expect("an event");
        assert!(line.contains(&format!("\"outcome\":\"{outcome}\"")), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_open_record_closes_after_a_quiet_while() {
    let mut child = start(&["events", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    writeln!(stdin, "[ERROR] 'Storage access: direct-failed' Error: fetch failed\n    at x (y.js:1:2)").unwrap();
    stdin.flush().unwrap();
    let line = lines.recv_timeout(DEADLINE).expect("the event, while the pipe is still open");
    assert!(line.contains("\"cause\":\"network\"") && line.contains("Error: fetch failed"), "{line}");
    writeln!(stdin, "[INFO] 'Storage access: http-fallback' {{\n  storageId: 'kg2',").unwrap();
    writeln!(stdin, "  reason: 'r'\n}}\n[LOG] 'Storage access: direct'").unwrap();
    stdin.flush().unwrap();
    let line = lines.recv_timeout(DEADLINE).unwrap();
    assert!(line.contains("\"reason\":\"r\""), "{line}");
    drop(stdin);
    child.wait().unwrap();
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let mut child = start(&["events", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let began = Instant::now();
    // The input stays open: the program must not wait for its end.
    let status = loop {
        let _ = stdin.write_all(b"[LOG] 'Storage access: direct'\n").and_then(|()| stdin.flush());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "it still runs");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
}
