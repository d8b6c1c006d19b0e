//! Mistakes that were made once, each with the input that showed it.

use crate::support::scanning::{decode_every_line, relevant, scan, scan_in_steps};
use crate::support::{report, run, storagewatch};
use serde_json::{Value, json};
use std::io::Write;

fn input(text: &[u8]) -> Value {
    let (_, out, err) = run(&["report", "--format", "json", "-"], text);
    serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))["input"].clone()
}

fn event(outcome: &str) -> Value {
    json!({"timestamp": 1, "topic": "console", "log_level": "LOG", "message": format!("'Storage access: {outcome}'"),
           "convex": {"deployment_name": "happy-otter-123", "deployment_type": "prod"}})
}

#[test]
fn a_bracket_alone_in_the_first_line_swallows_nothing() {
    for first in ["{", "[", "[{", "{\n\"entries\": ["] {
        for line in [
            "1 [CONVEX A(a:b)] [LOG] 'Storage access: direct' { storageId: 'k' }".to_owned(),
            "[LOG] 'Storage access: direct'".to_owned(),
            event("direct").to_string(),
            r#"{"level":"info","message":"Storage access: direct"}"#.to_owned(),
        ] {
            let text = format!("{first}\n{line}\n{line}\n");
            let found = input(text.as_bytes());
            assert!(found["events"].as_u64().unwrap() >= 1, "{text}: {found}");
        }
    }
}

#[test]
fn half_a_character_in_a_text_loses_no_event() {
    let message = |metadata: &str| {
        format!(r#"{{"level":"error","topic":"A","message":"Storage access: direct-failed","metadata":{metadata}}}"#)
    };
    let app = message(r#"{"storageId":"kg2","file":"holiday \ud83d","error":"fetch failed"}"#);
    let literal = format!("'{}'", app.replace('\\', "\\\\"));
    let mut stream = event("direct");
    stream["message"] = literal.clone().into();
    for text in [
        app.clone(),
        stream.to_string(),
        format!("[{stream},{stream}]"),
        format!("1 [CONVEX A(a:b)] [ERROR] {literal}"),
        json!({"log": format!("[ERROR] {literal}\n"), "stream": "stdout"}).to_string(),
    ] {
        let found = input(text.as_bytes());
        let expected = if text.starts_with('[') && !text.starts_with("[E") { 2 } else { 1 };
        assert_eq!((&found["events"], &found["undecodable"]), (&expected.into(), &0.into()), "{text}");
    }
    let unreadable = format!("[ERROR] '{}'", message(r#"{"error":bad}"#));
    let found = input(unreadable.as_bytes());
    assert_eq!((&found["events"], &found["undecodable"]), (&0.into(), &1.into()));
}

#[test]
fn blanks_before_json_hide_nothing() {
    let line = event("direct").to_string();
    let docker = json!({"log": format!(" {line}\n"), "stream": "stdout", "time": "2026-01-30T02:26:40Z"});
    for (text, events) in [
        (format!(" [{line},{line}]"), 2),
        (format!("\t{line}"), 1),
        (format!("{line}\n {line}\n  \t{line}"), 3),
        (format!("x\n {docker}\n{docker}"), 2),
        (format!("2026-01-30T02:26:40Z stdout F  {line}"), 1),
        (r#" {"entries":[{"logLines":["[LOG] 'Storage access: direct'"]}],"newCursor":1}"#.to_owned(), 1),
        // What is printed over several lines keeps them.
        (format!("[LOG] 'Storage access: direct' {{\n  list: [\n    {line}\n  ]\n}}\n"), 1),
        (format!("[LOG] 'x' {{\n  list: [\n    {line}\n  ]\n}}\n"), 0),
        (format!("2026-01-30T02:26:40Z [LOG] 'x' {{\n  list: [\n    {line}\n  ]\n}}\n"), 0),
        (format!("[ERROR] 'x' Error: y\n    at z\n  {line}\n{line}\n"), 1),
    ] {
        let found = input(text.as_bytes());
        assert_eq!((&found["events"], &found["undecodable"]), (&events.into(), &0.into()), "{text}");
        assert_eq!(relevant(scan(text.as_bytes())), relevant(decode_every_line(text.as_bytes())), "{text}");
    }
}

#[test]
fn pieces_of_docker_s_lines_are_found_in_a_journal() {
    let piece = |text: &str| json!({"log": text, "stream": "stdout", "time": "2026-01-30T02:26:40Z"}).to_string();
    let journal = |line: String| json!({"__CURSOR": "s", "MESSAGE": line, "_SYSTEMD_UNIT": "u"}).to_string();
    let text = format!(
        "{}\n{}\n{}\n",
        journal(piece("nothing\n")),
        journal(piece("[LOG] 'Storage acc")),
        journal(piece("ess: direct'\n"))
    );
    assert_eq!(input(text.as_bytes())["events"], 1);
}

#[test]
fn text_that_another_program_puts_before_json_hides_nothing() {
    let line = event("direct").to_string();
    let app = r#"{"level":"info","topic":"A","message":"Storage access: direct"}"#;
    for (text, expected) in [
        (format!("123:{line}"), 1),
        (format!("logs/stream.jsonl:12:{line}\nlogs/stream.jsonl:13:{line}"), 2),
        (format!("2026-11-23T08:27:21Z {{app=\"convex\"}} {line}"), 1),
        (format!("pod-x container {app}"), 1),
        // Somebody's text stays that.
        (format!("[LOG] 'x {line}'"), 0),
        (format!("text '{line}"), 0),
        (format!("text {line} and more"), 0),
        (r#"text {"level":"info","message":"Storage access: direct"}"#.to_owned(), 0),
        (r#"text {"message":"Storage access: direct"}"#.to_owned(), 0),
        (format!("Error: y {line}"), 0),
    ] {
        assert_eq!(input(text.as_bytes())["events"], expected, "{text}");
    }
}

#[test]
fn printed_json_may_stand_behind_anything() {
    let events = vec![event("direct"); 30];
    let array = serde_json::to_string_pretty(&events).unwrap();
    let entry =
        json!({"kind": "Completion", "executionId": "e", "logLines": vec!["[LOG] 'Storage access: direct'"; 30]});
    let body = serde_json::to_string_pretty(&json!({"entries": [entry], "newCursor": 1})).unwrap();
    let one = serde_json::to_string_pretty(&event("direct")).unwrap();
    let line = event("direct").to_string();
    for (text, expected) in [
        (format!("$ curl -s https://x | jq .\n{array}\n"), 30),
        (format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}", array.replace('\n', "\r\n")), 30),
        (format!("{line}\n{array}\n{line}\n{body}\n{line}\n{one}\n{one}\n{line}\n"), 66),
        (format!("[]\n{array}\n"), 30),
        (format!("x\n{}\n", body.replacen("{\n  \"entries\"", "{\"entries\"", 1)), 30),
        (format!("{}{array}\n{}{body}\n", "nothing\n".repeat(40_000), "nothing\n".repeat(40_000)), 60),
        // A bracket that begins nothing hides nothing.
        (format!("x\n[\n{line}\n{line}\n"), 2),
        (format!("x\n{{\n{line}\n{line}\n"), 2),
        (format!("x\n[\n[LOG] 'Storage access: direct'\n{array}\n"), 31),
        (format!("x\n{{\n  storageId: 'kg2'\n}}\n{array}\n["), 30),
        ("x\n[\n{\n\"a\": 1\n},\n  \"Storage access: direct\",\n[LOG] 'Storage access: direct'\n".to_owned(), 1),
        // It may belong to the text of an error.
        ("[ERROR] 'x' Error: y\n{\n  \"level\": \"x\",\n  \"message\": \"Storage access: direct\"\n}\n".to_owned(), 0),
    ] {
        let found = input(text.as_bytes());
        let counts = (&found["events"], &found["undecodable"], &found["damaged"]);
        let beginning: String = text.chars().take(200).collect();
        assert_eq!(counts, (&expected.into(), &0.into(), &0.into()), "{beginning}");
        assert_eq!(relevant(scan(text.as_bytes())), relevant(decode_every_line(text.as_bytes())), "{beginning}");
    }
}

#[test]
fn printed_json_may_have_any_line_ends() {
    let body = serde_json::to_string_pretty(&vec![event("direct"); 10]).unwrap();
    for text in [body.clone(), body.replace('\n', "\r\n")] {
        assert_eq!(input(text.as_bytes())["events"], 10);
    }
    let journal = json!({"__REALTIME_TIMESTAMP": "1769740000000000", "MESSAGE": "[LOG] 'Storage access: direct'"});
    let text = serde_json::to_string_pretty(&journal).unwrap();
    assert_eq!(input(format!("{text}\n{text}\n").as_bytes())["events"], 2);
}

#[test]
fn printed_json_that_cannot_be_put_together_is_not_hidden() {
    let body = serde_json::to_string_pretty(&vec![event("direct"); 10]).unwrap();
    let found = input(format!("hello\n{body}\n").as_bytes());
    assert!(found["events"].as_u64().unwrap() + found["undecodable"].as_u64().unwrap() >= 9, "{found}");
}

#[test]
fn an_error_in_one_stream_is_followed_through_the_others() {
    let mut text = String::from(
        "plain start\na-1  | 1 [CONVEX A(a:b)] Uncaught Error: x\n\
         b-1  | [LOG] 'Storage access: direct' { storageId: 'k' }\n\
         a-1  | Storage access: direct\na-1  |     at f (x.ts:1:1)\n",
    );
    assert_eq!(relevant(scan(text.as_bytes())).len(), 1);
    text.push_str("a-1  | 2 [CONVEX A(a:b)] Uncaught Error: y\n");
    for line in 0..32 {
        text.push_str(&format!("a-1  | more {line}\nb-1  | x\nc-1  | y\nd-1  | z\n"));
    }
    text.push_str("a-1  | Storage access: direct-failed\na-1  |     at f (x.ts:1:1)\n");
    assert_eq!(relevant(scan(text.as_bytes())), relevant(decode_every_line(text.as_bytes())));
    assert_eq!(relevant(scan(text.as_bytes())).len(), 1);
}

#[test]
fn an_envelope_of_another_stream_closes_nothing() {
    let docker = json!({"log": "[LOG] 'noise'\n", "stream": "stdout", "time": "2026-01-30T02:26:40Z"});
    let text = format!("plain start\n[LOG] 'wrapped text that is\n{docker}\n'Storage access: direct'\n");
    assert_eq!(relevant(scan(text.as_bytes())), relevant(decode_every_line(text.as_bytes())));
}

#[test]
fn envelopes_glued_on_one_line_are_all_opened() {
    let docker = |outcome: &str| json!({"log": format!("[LOG] 'Storage access: {outcome}'\n"), "stream": "stdout", "time": "2026-01-30T02:26:40Z"});
    let text = format!("{}{}{}\n", docker("direct"), docker("http-fallback"), docker("direct-failed"));
    assert_eq!(input(text.as_bytes())["events"], 3);
}

#[test]
fn the_bound_of_a_line_does_not_depend_on_where_it_lies() {
    for over in [-10_i64, 10, 200_000] {
        for before in [0, 1000, 3_995_900] {
            let mut text = "x".repeat(99).into_bytes();
            text.push(b'\n');
            let mut text = text.repeat(before / 100);
            let line = "[LOG] 'Storage access: direct' '";
            text.extend_from_slice(line.as_bytes());
            text.resize(text.len() + (4 * 1024 * 1024 - line.len() as i64 - 1 + over) as usize, b'q');
            text.extend_from_slice(b"'\n");
            for step in [usize::MAX, 100_000] {
                let (items, counts) = scan_in_steps(&text, 0, step);
                let expected = if over > 0 { (0, 1) } else { (1, 0) };
                assert_eq!((relevant(items).len(), counts.oversize), expected, "{over} over, behind {before}, {step}");
            }
        }
    }
}

#[test]
fn a_long_line_over_the_end_of_a_part_is_passed_over_in_one_go() {
    let mut text =
        b"a line of a hundred bytes or so, before the one that has no end for a while                        \n"
            .repeat(41_400);
    text.resize(text.len() + 30 * 1024 * 1024, b'z');
    text.extend_from_slice(b"\n[LOG] 'Storage access: direct'\n");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&text).unwrap();
    let found = report(file.path(), &[]);
    assert_eq!((&found["input"]["oversize"], &found["input"]["events"]), (&1.into(), &1.into()));
    assert_eq!(found["input"]["lines"], 41_402);
}

#[test]
fn what_stands_before_the_objects_of_an_array_hides_nothing() {
    let event = event("direct").to_string();
    for before in ["null", "5,-1e3", "true, \"a ] b\\\"\"", "[]", "[[],5]", "{}", "\"x\",[null,{}]"] {
        let text = format!("[{before},{event}, {event}]\n{event}\n");
        let found = input(text.as_bytes());
        assert_eq!((&found["events"], &found["undecodable"]), (&3.into(), &0.into()), "{text}: {found}");
    }
    let found = input(format!("[[{event}],[[{event}]]]\n").as_bytes());
    assert_eq!((&found["events"], &found["undecodable"]), (&2.into(), &0.into()), "{found}");
    // Tags, and what JavaScript prints, are no JSON.
    for (text, events) in [
        ("[5, { message: 'Storage access: direct' }]", 0),
        ("[ERROR] {\"level\":\"info\",\"message\":\"Storage access: direct\"}", 1),
    ] {
        let found = input(format!("{text}\n").as_bytes());
        assert_eq!((&found["events"], &found["undecodable"]), (&events.into(), &0.into()), "{text}: {found}");
    }
}

#[test]
fn an_element_that_is_nested_too_deep_hides_nothing_behind_it() {
    let event = event("direct").to_string();
    for depth in [130, 5000] {
        let array = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let object = format!("{}\"]}}\\\"\"{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let known = format!("{},\"deep\":{array}}}", event.strip_suffix('}').unwrap());
        for (deep, events) in [(&array, 0), (&object, 0), (&known, 1)] {
            for text in [format!("[{event},{deep},{event}]"), format!("[{deep}, {event},{event}]")] {
                let found = input(format!("{text}\n{event}\n").as_bytes());
                assert_eq!(found["events"], 3 + events, "{depth}: {found}");
                assert_eq!((&found["undecodable"], &found["damaged"]), (&1.into(), &0.into()), "{depth}: {found}");
            }
        }
        let found = input(format!("{object}{event} {event}\n").as_bytes());
        assert_eq!((&found["events"], &found["undecodable"]), (&2.into(), &1.into()), "{depth}: {found}");
    }
}

#[test]
fn very_many_records_on_one_line_are_bounded() {
    let mut text = String::from("[{\"level\":\"x\",\"message\":\"Storage access: direct\"}");
    text.push_str(&",{}".repeat(1_000_000));
    text.push_str("]\n");
    let (items, _) = scan_in_steps(text.as_bytes(), 0, usize::MAX);
    assert!(items.len() < 10, "{}", items.len());
    assert_eq!(relevant(items).len(), 1);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_directory_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(directory.path().join("a.log"), "[LOG] 'Storage access: direct'\n").unwrap();
    assert_eq!(report(directory.path(), &[])["input"]["events"], 1);
}

#[test]
fn a_reader_that_has_gone_does_not_take_back_what_was_found() {
    for (arguments, expected) in [
        (&["report", "--fail-on", "direct-failed", "-"][..], 1),
        (&["report", "--fail-on", "direct-failed", "-", "no-such-file"], 2),
    ] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("storagewatch"))
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(b"[LOG] 'Storage access: direct-failed'\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn json_shows_a_terminal_nothing_it_would_act_on() {
    let mut event = event("direct-failed");
    event["convex"]["deployment_name"] = "a\u{9b}2J\u{202e}b".into();
    for arguments in [&["report", "--format", "json", "-"][..], &["events", "-"]] {
        let output = storagewatch().args(arguments).write_stdin(event.to_string()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            !text.contains(['\u{9b}', '\u{202e}']) && text.contains("\\u009b") && text.contains("\\u202e"),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        let name = value.get("deployment").or(value.pointer("/deployments/0/deployment")).unwrap();
        assert_eq!(name, "a\u{9b}2J\u{202e}b");
    }
}
