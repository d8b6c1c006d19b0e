//! What must hold for any input: however it is cut, wrapped, skipped over or shared out, the same events come out.

use crate::support::all_samples;
use crate::support::scanning::{Numbers, decode_every_line, relevant, scan, scan_in_parts, scan_in_steps};
use proptest::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use storagewatch::decode::{Item, Reading};
use storagewatch::event::Event;
use storagewatch::filter::Filter;
use storagewatch::read::Collector;
use storagewatch::report::{Detail, Reporter, Settings, Tallier};
use storagewatch::scan::{Scanner, Splitter};

/// The samples that are no archives.
fn plain_samples() -> Vec<(PathBuf, Vec<u8>)> {
    all_samples()
        .into_iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "gz" && extension != "zst"))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .filter(|(_, bytes)| !bytes.starts_with(b"\x1f\x8b") && !bytes.starts_with(b"\x28\xb5\x2f\xfd"))
        .collect()
}

/// Many lines of many samples, one sample's after the other's, and some of them interleaved.
fn mixture(seed: u64, lines: usize) -> Vec<u8> {
    mixture_without(&[], seed, lines)
}

/// The same without samples whose names begin so.
fn mixture_without(names: &[&str], seed: u64, lines: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    // Between long lines a wrapped record's lines lie further apart than is looked back.
    let left_out: Vec<&str> = ["bytes"].iter().chain(names).copied().collect();
    let samples: Vec<Vec<u8>> = plain_samples()
        .into_iter()
        .filter(|(path, bytes)| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            bytes.len() < 20_000 && left_out.iter().all(|left_out| !name.starts_with(left_out))
        })
        .map(|(_, bytes)| bytes)
        .collect();
    let mut text = Vec::new();
    let mut count = 0;
    while count < lines {
        let one = &samples[numbers.below(samples.len())];
        let other = &samples[numbers.below(samples.len())];
        let mut others = other.split_inclusive(|b| *b == b'\n');
        let interleaves = numbers.below(4) == 0;
        for line in one.split_inclusive(|b| *b == b'\n') {
            text.extend_from_slice(line);
            count += 1;
            if interleaves && numbers.below(3) == 0 {
                text.extend_from_slice(others.next().unwrap_or_default());
            }
        }
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    text
}

#[test]
fn a_cut_between_two_reads_changes_nothing() {
    for (path, bytes) in plain_samples() {
        let whole = scan_in_steps(&bytes, 0, usize::MAX);
        for step in [1, 7, 100, 5000] {
            if bytes.len() / step < 5_000 {
                assert_eq!(scan_in_steps(&bytes, 0, step), whole, "{} in steps of {step}", path.display());
            }
        }
        if bytes.len() < 2000 {
            for cut in 1..bytes.len() {
                assert_eq!(scan_in_steps(&bytes, cut, usize::MAX), whole, "{} cut at {cut}", path.display());
            }
        }
    }
}

/// Shows the first difference with the lines around it.
fn assert_same(found: &[Item], expected: &[Item], what: &str, text: &[u8]) {
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    let differs = differs.or_else(|| {
        let shorter = found.len().min(expected.len());
        found.get(shorter).or(expected.get(shorter)).map(|item| (item, item))
    });
    if let Some((found, expected)) = differs {
        let at = found.offset().min(expected.offset()) as usize;
        let around = String::from_utf8_lossy(&text[at.saturating_sub(3000)..text.len().min(at + 1500)]);
        panic!("{what}: found\n{found:?}\nexpected\n{expected:?}\naround byte {at}:\n{around}");
    }
}

#[test]
fn lines_that_are_skipped_are_not_missed() {
    for (path, bytes) in plain_samples() {
        assert_eq!(relevant(scan(&bytes)), relevant(decode_every_line(&bytes)), "{}", path.display());
    }
    for seed in 0..150 {
        let text = mixture(seed, 400);
        // A wrapped record whose first line could not matter comes late where other streams stand between its lines.
        let mut found = relevant(scan(&text));
        found.sort_by_key(Item::offset);
        assert_same(&found, &relevant(decode_every_line(&text)), &format!("mixture {seed}"), &text);
    }
}

#[test]
fn parts_of_a_file_add_up_to_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    for seed in 0..40 {
        let text = mixture(100 + seed, 600);
        let path = directory.path().join(format!("{seed}.log"));
        std::fs::write(&path, &text).unwrap();
        let whole = scan_in_steps(&text, 0, usize::MAX);
        for jobs in [1, 2, 3] {
            let part = 200 + numbers.below(20_000) as u64;
            let (items, counts) = scan_in_parts(&path, jobs, part);
            assert_eq!(counts, whole.1, "mixture {seed}, {jobs} jobs, parts of {part}");
            for (found, expected) in items.iter().zip(&whole.0) {
                assert_eq!(found, expected, "mixture {seed}, {jobs} jobs, parts of {part}");
            }
            assert_eq!(items.len(), whole.0.len(), "mixture {seed}, {jobs} jobs, parts of {part}");
        }
    }
}

#[test]
fn events_come_in_the_order_of_the_input() {
    for seed in 0..40 {
        // A record whose lines a terminal has wrapped before the phrase, or a printer has put on many, comes late where other
        // streams stand between them.
        let text = mixture_without(&["wrapped", "pretty"], 200 + seed, 500);
        let offsets: Vec<u64> = events(&text).iter().map(|event| event.offset).collect();
        assert!(offsets.is_sorted(), "mixture {seed}");
    }
}

fn report(bytes: &[u8], exactly: bool) -> String {
    let settings = Settings {
        given: Default::default(),
        filter: Filter::default(),
        failures: 7,
        detail: Detail { function: true, cause: true, ..Detail::default() },
    };
    let mut tallier = Tallier::new(&settings);
    if !exactly {
        tallier = tallier.decoding_everything();
    }
    let mut splitter = Splitter::whole(bytes, true);
    let mut scanner = Scanner::new();
    scanner.begin(storagewatch::decode::Decoder::at_start());
    while let Some(window) = splitter.next_window(Vec::new()) {
        scanner.scan(&window, &mut tallier);
    }
    scanner.finish(&mut tallier);
    let sources = [Arc::from("test")];
    let mut reporter = Reporter::new(&settings, &sources);
    reporter.add(0, scanner.counts(), tallier.take());
    reporter.end(false);
    let report = reporter.finish();
    let mut counts: Vec<String> = report.counts.iter().map(|count| format!("{count:?}")).collect();
    counts.sort();
    format!("{} {}", storagewatch::report::json::report(&report), counts.join("\n"))
}

/// Lines as Convex writes them today, each a little different.
fn log_stream_lines(numbers: &mut Numbers, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let (outcome, level, metadata) = match numbers.below(4) {
                0 => ("http-fallback", "info", json!({"storageId": "kg2", "reason": "ECONNREFUSED on direct access", "note": "n"})),
                1 => ("direct-failed", "error", json!({"storageId": "kg2", "error": "fetch failed", "cause": "x"})),
                2 => ("direct-failed", "error", json!({"error": "HTTP 503", "note": "n"})),
                _ => ("direct", "info", json!({"storageId": format!("kg{}", numbers.below(1000)), "size": numbers.below(100_000)})),
            };
            let app = json!({"level": level, "topic": "A", "context": "c.d", "message": format!("Storage access: {outcome}")});
            let mut app: serde_json::Map<_, _> = app.as_object().unwrap().clone();
            app.insert("metadata".into(), metadata);
            let millis = numbers.below(1000);
            // The members stand in the order in which the application writes them.
            let app = format!(
                r#"{{"timestamp":"2026-11-23T08:27:21.{millis:03}Z","level":{},"topic":{},"context":{},"message":{},"metadata":{}}}"#,
                app["level"], app["topic"], app["context"], app["message"], app["metadata"]
            );
            let message = serde_json::to_string(&format!("'{app}'")).unwrap();
            let convex = if numbers.below(5) == 0 { String::new() } else {
                format!(r#","convex":{{"deployment_name":"happy-otter-{}","deployment_type":"prod"}}"#, 100 + numbers.below(3))
            };
            format!(
                r#"{{"timestamp":1795422441{millis:03},"topic":"console","function":{{"path":"a:b","type":"action","cached":false,"request_id":"{:016x}","mutation_queue_length":null,"mutation_retry_count":null}},"log_level":"LOG","message":{message},"is_truncated":false,"system_code":null{convex}}}"#,
                numbers.next()
            )
        })
        .collect()
}

#[test]
fn the_exact_reader_reads_what_the_decoder_reads() {
    for (path, bytes) in plain_samples() {
        assert_eq!(report(&bytes, true), report(&bytes, false), "{}", path.display());
    }
    let found_by_fuzzing = include_bytes!("fuzzed/gap_behind_an_exact_line.log");
    assert_eq!(report(found_by_fuzzing, true), report(found_by_fuzzing, false));
    let mut numbers = Numbers(3);
    let lines = log_stream_lines(&mut numbers, 200);
    let text = lines.join("\n");
    assert_eq!(report(text.as_bytes(), true), report(text.as_bytes(), false));
    let pieces: [&[u8]; 14] =
        [b"\"", b"\\", b"'", b"}", b"{", b",", b":", b"1", b"\0", b"\xc3", b" ", b"\\\"", b"direct-failed", b"\r"];
    for round in 0..400 {
        let mut mutated = Vec::new();
        for line in lines.iter().skip(numbers.below(150)).take(20) {
            let mut line = line.clone().into_bytes();
            for _ in 0..numbers.below(3) {
                let at = numbers.below(line.len());
                match numbers.below(4) {
                    0 => {
                        line.remove(at);
                    }
                    1 => line[at] = (numbers.next() & 0x7f) as u8,
                    2 => {
                        let piece = pieces[numbers.below(pieces.len())];
                        line.splice(at..at, piece.iter().copied());
                    }
                    _ => line.truncate(at.max(1)),
                }
            }
            mutated.extend(line);
            mutated.push(b'\n');
        }
        let (exact, decoded) = (report(&mutated, true), report(&mutated, false));
        assert_eq!(exact, decoded, "round {round}:\n{}", String::from_utf8_lossy(&mutated));
    }
}

/// What a record says, apart from where it stood and what brought it.
fn essence(event: &Event) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        event.outcome,
        event.cause,
        (event.function.clone(), event.function_type, event.level.clone()),
        (event.storage_id.clone(), event.size_bytes, event.reason.clone(), event.error.clone()),
        (event.request_id.clone(), event.execution_id.clone(), event.identity),
        (event.origin.deployment.clone(), event.origin.deployment_type.clone()),
        event.truncated,
    )
}

fn events(bytes: &[u8]) -> Vec<Event> {
    scan(bytes)
        .into_iter()
        .filter_map(|item| match item {
            Item::Record(record) => match record.reading {
                Reading::Event(event) => Some(*event),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

type Envelope = (&'static str, fn(&str) -> String);

/// Every envelope, around one line.
const ENVELOPES: [Envelope; 14] = [
    ("docker", |line| json!({"log": format!("{line}\n"), "stream": "stdout", "time": TIME}).to_string()),
    ("docker with spaces", |line| {
        format!(r#"{{"log": {}, "stream": "stderr", "time": "{TIME}"}}"#, json!(format!("{line}\n")))
    }),
    ("docker in pieces", |line| {
        let half = middle(line);
        let piece = |text: &str| json!({"log": text, "stream": "stdout", "time": TIME}).to_string();
        if half == 0 {
            return piece(&format!("{line}\n"));
        }
        format!("{}\n{}", piece(&line[..half]), piece(&format!("{}\n", &line[half..])))
    }),
    ("timestamps", |line| format!("{TIME} {line}")),
    ("compose", |line| format!("convex-logs-1  | {line}")),
    ("compose with timestamps", |line| format!("convex-logs-1  | {TIME} {line}")),
    ("compose in colour", |line| format!("\u{1b}[36mconvex-logs-1  | \u{1b}[0m{line}")),
    ("cri", |line| format!("{TIME} stdout F {line}")),
    ("cri in pieces", |line| {
        let half = middle(line);
        format!("{TIME} stdout P {}\n{TIME} stdout F {}", &line[..half], &line[half..])
    }),
    ("journald", |line| {
        json!({"MESSAGE": line, "CONTAINER_NAME": "a", "__REALTIME_TIMESTAMP": "1769740000000000"}).to_string()
    }),
    ("journald with bytes", |line| json!({"__CURSOR": "s", "MESSAGE": line.as_bytes()}).to_string()),
    ("journald, short", |line| format!("Jan 30 02:26:40 host convex[123]: {line}")),
    ("rfc 3164", |line| format!("<34>Jan 30 02:26:40 host convex[123]: {line}")),
    ("rfc 5424", |line| {
        format!("<165>1 {TIME} host convex 12 - [x y=\"]\\\"\"] \u{feff}{line}").replace("\"]\\\"\"]", "\"\\]\"]")
    }),
];

const TIME: &str = "2026-01-30T02:26:40.123456789Z";

/// A place to break a line in two, in the middle of the phrase where it has it.
fn middle(line: &str) -> usize {
    let mut at = line.find("Storage access").map_or(line.len() / 2, |at| at + 7);
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[test]
fn an_envelope_changes_nothing_about_the_event() {
    let records = [
        r#"11/23/2026, 8:27:21 AM [CONVEX A(zip:run)] [LOG] '{"timestamp":"2026-11-23T08:27:21.083Z","level":"info","message":"Storage access: direct","metadata":{"storageId":"kg2","size":5}}'"#,
        "[CONVEX A(zip:run)] [INFO] 'Storage access: http-fallback' {\n  storageId: 'kg2',\n  reason: 'é refused'\n}",
        "[ERROR] 'Storage access: direct-failed' Error: fetch failed\n    at x (y.js:1:2)\n    at z (y.js:3:4)",
        "[INFO] Storage access: http-fallback {\n  storageId: \"kg2...\",\n  reason: \"r\"\n}",
        r#"[LOG] Storage access: direct {"storageId":"kg2...","size":2418}"#,
        r#"{"timestamp":1795422441083,"topic":"console","function":{"path":"a:b","type":"action","cached":false,"request_id":"d0"},"log_level":"LOG","message":"'Storage access: direct' { size: 7 }","is_truncated":false,"system_code":null,"convex":{"deployment_name":"happy-otter-123","deployment_type":"prod"}}"#,
        r#"{"_timestamp":1795422441083,"_topic":"_console","_functionPath":"a:b","_functionType":"action","_functionCached":false,"message":"[ERROR] 'Storage access: direct-failed' { error: 'HTTP 503' }"}"#,
        r#"{"kind":"Progress","udfType":"Action","identifier":"a:b","timestamp":1795422440.939,"logLines":[{"messages":["'Storage access: direct'","{ size: 3 }"],"isTruncated":false,"timestamp":1795422441083,"level":"LOG","systemMetadata":null}],"requestId":"d0","executionId":"e1"}"#,
        r#"{"timestamp":"2026-11-23T08:27:21.083Z","level":"error","topic":"A","context":"c","message":"Storage access: direct-failed","metadata":{"error":"it's \"refused\" ECONNREFUSED"}}"#,
        r#"[{"timestamp":1,"topic":"console","message":"'Storage access: direct'"},{"timestamp":2,"topic":"console","message":"'Storage access: odd'"}]"#,
    ];
    for record in records {
        let bare = events(record.as_bytes());
        assert!(!bare.is_empty(), "{record}");
        for (name, wrap) in ENVELOPES {
            // Whatever stands around it, the record is the same.
            let noise = wrap("[LOG] 'something else'");
            let wrapped: Vec<String> = record.lines().map(wrap).collect();
            let wrapped = format!("{noise}\n{}\n{noise}\n", wrapped.join("\n"));
            let found: Vec<_> = events(wrapped.as_bytes()).iter().map(essence).collect();
            let expected: Vec<_> = bare.iter().map(essence).collect();
            assert_eq!(found, expected, "{name}:\n{wrapped}");
        }
    }
}

/// Bytes that look like logs: pieces of what matters, and noise.
fn log_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(b"Storage access: direct".to_vec()),
        Just(b"Storage access: ".to_vec()),
        Just(b"Log overflow (maximum 256)".to_vec()),
        Just(b"[CONVEX A(a:b)] [LOG] ".to_vec()),
        Just(b"[LOG] ".to_vec()),
        Just(b"{\"log\":\"".to_vec()),
        Just(b"\\n\",\"stream\":\"stdout\"}".to_vec()),
        Just(b"\",\"stream\":\"stdout\"}".to_vec()),
        Just(b"2026-01-30T02:26:40Z stdout P ".to_vec()),
        Just(b"2026-01-30T02:26:40Z stdout F ".to_vec()),
        Just(b"{\"MESSAGE\":[83,116]}".to_vec()),
        Just(b"a-1  | ".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\n  ".to_vec()),
        Just(b"{".to_vec()),
        Just(b"}".to_vec()),
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b"'".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"Error: x\n    at y".to_vec()),
        Just("▌ └─ https://happy-otter-123.convex.cloud\n".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_is_read_without_a_panic_and_the_same_however_it_comes(bytes in log_like(), step in 1_usize..50) {
        let whole = scan_in_steps(&bytes, 0, usize::MAX);
        prop_assert_eq!(&scan_in_steps(&bytes, 0, step), &whole);
        prop_assert_eq!(report(&bytes, true), report(&bytes, false));
    }
}
