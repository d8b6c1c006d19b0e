//! Webhooks: who is let in, what counts, what is answered.

mod bodies;
mod settings;

use super::daemon::{self, Daemon};
use super::sender::{BATCH, Sender, array, json_lines, logged_at, signature};
use super::waiting::{PATIENCE, wait_for};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OLD: &str = "fedcba9876543210fedcba9876543210";
const KEY: &str = "a key of a forwarder";

const HOUR: i64 = 3_600_000;

/// A configuration with webhooks, and a state directory.
pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    config: PathBuf,
    pub(crate) state: PathBuf,
}

/// A webhook that takes signed bodies.
pub(crate) const CLOUD: &str = "[[source.webhook]]\nname = \"cloud\"\nsecrets = [\"file:secret\", \"file:old\"]\n";
const FORWARDED: &str = "[[source.webhook]]\nname = \"forwarded\"\nkeys = [\"file:key\"]\n";
const OPEN: &str = "[[source.webhook]]\nname = \"open\"\nallow_unsigned = true\n";

impl Place {
    pub(crate) fn new(config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (path, state) = (root.path().join("watch.toml"), root.path().join("state"));
        for (name, text) in [("secret", SECRET), ("old", OLD), ("key", KEY)] {
            fs::write(root.path().join(name), format!("{text}\n")).unwrap();
        }
        let place = Self { root, config: path, state };
        place.write(config);
        place
    }

    fn write(&self, config: &str) {
        fs::write(&self.config, config).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        self.command_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The command that takes webhooks in at this address.
    pub(crate) fn command_at(&self, intake: SocketAddr) -> Command {
        let mut command = daemon::command();
        command.arg("--config").arg(&self.config).arg("--state-dir").arg(&self.state);
        command.args(["--listen", "127.0.0.1:0", "--ingest-listen", &intake.to_string()]);
        command
    }

    fn start(&self) -> Daemon {
        Daemon::start(&mut self.command())
    }
}

/// Where webhooks are taken in.
pub(crate) fn intake(daemon: &Daemon) -> SocketAddr {
    wait_for("the intake of webhooks", PATIENCE, || {
        let log = daemon.log();
        let found = log.lines().rev().find_map(|line| line.split_once("taken in at http://")?.1.split_once("/ingest/"));
        found.map(|(address, _)| address.parse().unwrap()).ok_or(log)
    })
}

fn cloud(daemon: &Daemon) -> Sender {
    Sender::new(intake(daemon), "/ingest/cloud", SECRET)
}

fn requests(daemon: &mut Daemon, code: &str) -> u64 {
    daemon.metrics().sum("storagewatch_webhook_requests_total", &[("code", code)]) as u64
}

fn skipped(daemon: &mut Daemon, reason: &str) -> u64 {
    daemon.metrics().sum("storagewatch_source_skipped_total", &[("reason", reason)]) as u64
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(crate::support::samples().join(name)).unwrap()
}

/// Everything that was counted, whatever the deployment.
fn all(daemon: &mut Daemon) -> u64 {
    daemon.metrics().sum(super::exposition::ACCESSES, &[]) as u64
}

#[test]
fn captured_signatures_are_right_and_every_variant_is_wrong() {
    let captured = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/watch/captured_signatures.json");
    let captured: Value = serde_json::from_slice(&fs::read(captured).unwrap()).unwrap();
    assert_eq!(captured["secret"], SECRET);
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    let bodies = captured["bodies"].as_object().unwrap();
    assert_eq!(bodies.len(), 3);
    let mut refused = 0;
    for (name, right) in bodies {
        let (body, right) = (sample(&format!("webhook/{name}")), right.as_str().unwrap());
        let mut refuse = |headers: &[&str], body: &[u8]| {
            let headers: Vec<_> = headers.iter().map(|value| ("X-Webhook-Signature", *value)).collect();
            let answer = sender.post_as(&headers, body).unwrap();
            assert_eq!(answer.status, 401, "{name}: {headers:?}");
            assert_eq!(answer.body, "The signature or the key is missing or wrong.\n");
            refused += 1;
        };
        for at in [0, 1, body.len() / 2, body.len() - 1] {
            for bit in [1, 0x80] {
                let mut flipped = body.clone();
                flipped[at] ^= bit;
                refuse(&[right], &flipped);
            }
        }
        refuse(&[right], &body[..body.len() - 1]);
        refuse(&[right], &[&body[..], b"\n"].concat());
        refuse(&[&signature("another secret", &body)], &body);
        // The secret is text, and not the bytes that its digits stand for.
        let hex: String = SECRET
            .as_bytes()
            .chunks(2)
            .map(|pair| char::from(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap() & 0x7f))
            .collect();
        refuse(&[&signature(&hex, &body)], &body);
        refuse(&[], &body);
        refuse(&[""], &body);
        refuse(&["sha256="], &body);
        refuse(&[&right["sha256=".len()..]], &body);
        refuse(&[&right.replace("sha256", "sha1")], &body);
        refuse(&[&right[..right.len() - 1]], &body);
        refuse(&[&right[..right.len() - 2]], &body);
        refuse(&[&format!("{right}0")], &body);
        refuse(&[&format!("{}g", &right[..right.len() - 1])], &body);
        let wrong = signature("another secret", &body);
        refuse(&[right, &wrong], &body);
        refuse(&[&wrong, right], &body);
        refuse(&[&format!("{right}, {wrong}")], &body);
    }
    assert_eq!(requests(&mut daemon, "401"), refused);
    assert!(!daemon.metrics().knows("convex_storage_access_total", &[]), "a refused body makes nothing known");
    for (name, right) in bodies {
        let (body, right) = (sample(&format!("webhook/{name}")), right.as_str().unwrap());
        let answer = sender.post_as(&[("x-webhook-signature", right)], &body).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}\n"), "{name}");
        // A header that a proxy repeats says nothing else.
        let twice = [("x-webhook-signature", right), ("X-Webhook-Signature", right)];
        assert_eq!(sender.post_as(&twice, &body).unwrap().status, 200);
    }
    assert_eq!(requests(&mut daemon, "200"), 6);
    // They were captured more than 24 hours ago.
    assert_eq!((skipped(&mut daemon, "stale"), skipped(&mut daemon, "duplicate")), (4, 1));
    assert_eq!(all(&mut daemon), 0);
    let log = daemon.stop();
    assert!(!log.contains(SECRET) && !log.contains(OLD), "{log}");
}

#[test]
fn arrays_and_json_lines_count_alike_and_any_of_the_secrets_signs() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    assert_eq!(sender.status(&array("tall-heron-1", 0..BATCH)), 200);
    // What was answered is shown.
    assert_eq!(daemon.metrics().accesses("tall-heron-1"), BATCH);
    let mut old = Sender::new(intake(&daemon), "/ingest/cloud", OLD);
    assert_eq!(old.status(&json_lines("tall-heron-1", 0..BATCH)), 200);
    assert_eq!(daemon.metrics().accesses("tall-heron-1"), 2 * BATCH);
    let with_newline = [json_lines("tall-heron-1", 500..501), b"\n".to_vec()].concat();
    assert_eq!(sender.status(&with_newline), 200);
    let one = String::from_utf8(array("tall-heron-1", 0..1)).unwrap();
    let indented: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(sender.status(format!("{indented:#}").as_bytes()), 200);
    let metrics = daemon.metrics();
    assert_eq!(metrics.accesses("tall-heron-1"), 2 * BATCH + 2);
    let of_source = |metric: &str| metrics.sum(metric, &[("source", "cloud")]) as u64;
    assert_eq!(of_source("storagewatch_source_records_total"), 2 * BATCH + 2);
    assert_eq!(of_source("storagewatch_source_up"), 1);
    assert!(metrics.knows("storagewatch_source_last_read_timestamp_seconds", &[("source", "cloud")]));
    assert!(metrics.knows("convex_storage_deployment_info", &[("deployment_type", "prod"), ("hosting", "cloud")]));
    daemon.stop();
}

#[test]
fn the_verification_event_is_answered_and_makes_the_deployment_known() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    // There is nothing to catch up with.
    daemon.wait_until_ready();
    let mut sender = cloud(&daemon);
    let metrics = daemon.metrics();
    for code in ["200", "400", "401", "403", "405", "408", "413", "415", "503"] {
        let labels = [("source", "cloud"), ("code", code)];
        assert!(metrics.knows("storagewatch_webhook_requests_total", &labels), "{code} is not there from the start");
    }
    assert_eq!(sender.status(&sample("webhook/verification.body")), 200);
    let metrics = daemon.metrics();
    let series = [("deployment", "happy-animal-123"), ("hosting", "cloud"), ("outcome", "direct-failed")];
    assert!(metrics.knows("convex_storage_access_total", &series));
    assert_eq!(metrics.sum("convex_storage_access_total", &[]) as u64, 0);
    // Other topics are taken, and say whose they are.
    let other = br#"{"timestamp":1,"topic":"scheduler_stats","convex":{"deployment_name":"calm-owl-7"}}"#;
    assert_eq!(sender.status(other), 200);
    assert!(daemon.metrics().knows("convex_storage_access_total", &[("deployment", "calm-owl-7")]));
    assert_eq!(sender.status(b"[]"), 200);
    daemon.stop();
}

#[test]
fn a_body_that_was_sent_twice_counts_once() {
    let place = Place::new(&format!("{CLOUD}{FORWARDED}"));
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    let body = array("tall-heron-1", 0..5);
    for _ in 0..3 {
        assert_eq!(sender.status(&body), 200);
    }
    assert_eq!((daemon.metrics().accesses("tall-heron-1"), skipped(&mut daemon, "duplicate")), (5, 2));
    // Within a body nothing is taken for a copy.
    let event = logged_at("tall-heron-2", 7, jiff::Timestamp::now().as_millisecond());
    assert_eq!(sender.status(format!("[{event},{event}]").as_bytes()), 200);
    daemon.wait_for_accesses("tall-heron-2", 2);
    // It is recognised after a kill, whatever way it comes, packed or not.
    daemon.kill();
    let mut daemon = place.start();
    assert_eq!(cloud(&daemon).status(&body), 200);
    let mut forwarder = Sender::new(intake(&daemon), "/ingest/forwarded", "");
    let packed = gzip(&body);
    let headers = [("Authorization", "Bearer a key of a forwarder"), ("Content-Encoding", "gzip")];
    assert_eq!(forwarder.post_as(&headers, &packed).unwrap().status, 200);
    assert_eq!((daemon.metrics().accesses("tall-heron-1"), skipped(&mut daemon, "duplicate")), (5, 4));
    daemon.stop();
}

#[test]
fn copies_that_are_under_way_at_the_same_time_count_once() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    let address = intake(&daemon);
    for round in 0..20 {
        let body = array("tall-heron-1", round * 10..round * 10 + 10);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(Sender::new(address, "/ingest/cloud", SECRET).status(&body), 200));
            }
        });
        assert_eq!(daemon.metrics().accesses("tall-heron-1"), (round + 1) * 10);
    }
    assert_eq!(skipped(&mut daemon, "duplicate"), 20 * 7);
    daemon.stop();
}

#[test]
fn a_signed_body_is_stale_when_all_its_accesses_are() {
    let place = Place::new(&format!("{CLOUD}{FORWARDED}"));
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    let now = jiff::Timestamp::now().as_millisecond();
    let body = |times: &[i64]| {
        let events: Vec<_> = times.iter().enumerate().map(|(i, at)| logged_at("tall-heron-1", i as u64, *at)).collect();
        format!("[{}]", events.join(",")).into_bytes()
    };
    for (times, counts, stale) in [
        (&[now - 25 * HOUR][..], 0, 1),
        (&[now - 25 * HOUR, now - 48 * HOUR], 0, 2),
        (&[now - 25 * HOUR, now - 23 * HOUR], 2, 2),
        (&[now - 23 * HOUR], 3, 2),
        (&[now + 48 * HOUR], 4, 2),
    ] {
        assert_eq!(sender.status(&body(times)), 200, "{times:?}");
        daemon.wait_for_accesses("tall-heron-1", counts);
        assert_eq!(skipped(&mut daemon, "stale"), stale, "{times:?}");
    }
    // Who forwards what was kept for long has no signature.
    let mut forwarder = Sender::new(intake(&daemon), "/ingest/forwarded", "");
    assert_eq!(forwarder.post_as(&[("X-API-Key", KEY)], &body(&[now - 25 * HOUR])).unwrap().status, 200);
    daemon.wait_for_accesses("tall-heron-1", 5);
    assert_eq!(skipped(&mut daemon, "stale"), 2);
    daemon.stop();
}

#[test]
fn forwarders_present_a_key_and_post_shapes_of_their_own_below_the_name() {
    let place = Place::new(&format!("{CLOUD}{FORWARDED}"));
    let mut daemon = place.start();
    let bearer = format!("Bearer {KEY}");
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        Sender::new(intake(&daemon), path, "").post_as(headers, body).unwrap().status
    };
    let shapes = [
        ("/ingest/forwarded/v1/datasets/convex/ingest", ("Authorization", bearer.as_str()), "axiom/nested.json"),
        ("/ingest/forwarded/api/v2/logs", ("DD-API-KEY", KEY), "datadog/array.json"),
        ("/ingest/forwarded/i/v1/logs", ("authorization", bearer.as_str()), "otlp/posthog.jsonl"),
        ("/ingest/forwarded", ("x-api-key", KEY), "log-stream-v1/axiom_and_datadog.jsonl"),
    ];
    for (path, key, name) in shapes {
        let body = sample(name);
        for wrong in ["Bearer another", "Bearer ", "Bearer", "Basic YTpi", KEY] {
            assert_eq!(post(path, &[("Authorization", wrong)], &body), 401, "{name}: {wrong}");
        }
        for wrong in ["another", "", &KEY[1..], &KEY.to_uppercase()] {
            assert_eq!(post(path, &[("DD-API-KEY", wrong)], &body), 401, "{name}: {wrong}");
        }
        assert_eq!(post(path, &[], &body), 401);
        assert_eq!(post(path, &[("x-webhook-signature", &signature(KEY, &body))], &body), 401, "a key signs nothing");
        assert_eq!(post(&path.replace("forwarded", "cloud"), &[key], &body), 401, "another webhook's key");
        assert_eq!(post(path, &[key], &body), 200, "{name}");
    }
    let mut expected = std::collections::BTreeMap::new();
    for (_, _, name) in shapes {
        for event in crate::support::events(&crate::support::samples().join(name), &[]) {
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            *expected.entry((text("deployment"), text("outcome"))).or_default() += 1_u64;
        }
    }
    assert!(expected.len() > 3);
    wait_for("the counts", PATIENCE, || {
        Some(daemon.metrics().counts()).filter(|is| *is == expected).ok_or_else(|| daemon.log())
    });
    daemon.stop();
}

#[test]
fn unsigned_bodies_are_taken_only_where_that_is_allowed_and_then_it_is_said_aloud() {
    let place = Place::new(&format!("{CLOUD}{OPEN}deployment = \"calm-owl-7\"\nhosting = \"self_hosted\"\n"));
    let mut daemon = place.start();
    let address = intake(&daemon);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        Sender::new(address, "/ingest/open", "").post_as(headers, body).unwrap().status
    };
    let line = br#"{"timestamp":"2026-11-23T08:27:21.083Z","level":"info","topic":"ARTIFACT","message":"Storage access: direct"}"#;
    assert_eq!(post(&[], line), 200);
    daemon.wait_for_accesses("calm-owl-7", 1);
    assert!(daemon.metrics().knows("convex_storage_access_total", &[("hosting", "self_hosted")]));
    // A page in a browser can reach a loopback address; it cannot hide that it is a page.
    let body = array("calm-owl-7", 0..1);
    assert_eq!(post(&[("Origin", "https://evil.example")], &body), 403);
    assert_eq!(post(&[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], &body), 403);
    assert_eq!(daemon.metrics().accesses("calm-owl-7"), 1);
    let log = daemon.stop();
    assert_eq!(log.matches("ALLOWS UNSIGNED BODIES").count(), 1, "{log}");
    assert!(!log.contains("'cloud' ALLOWS"), "{log}");
}

#[test]
fn the_intake_serves_webhooks_under_any_host_and_nothing_else_and_the_page_serves_none() {
    let place = Place::new(CLOUD);
    let daemon = place.start();
    let address = intake(&daemon);
    let body = array("tall-heron-1", 0..1);
    let sign = signature(SECRET, &body);
    let ask = |method: &str, path: &str, host: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Webhook-Signature: {sign}\r\n");
        raw(address, format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body)
    };
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/ingest", "/ingest/", "/ingest/other"] {
        let answer = ask("POST", path, "localhost");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    // Who posts to a webhook that is not there loses what it posts; that is said, and not for each.
    ask("POST", "/ingest/other", "localhost");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(method, "/ingest/cloud", "localhost");
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST"), "{method}: {answer}");
    }
    // What stands in front of it sends the name under which the world knows it.
    for host in ["hooks.example.com", "127.0.0.1:10046"] {
        assert!(ask("POST", "/ingest/cloud", host).starts_with("HTTP/1.1 200"), "{host}");
    }
    let page = Sender::new(daemon.address, "/ingest/cloud", SECRET).post(&body).unwrap();
    assert_eq!(page.status, 404);
    let log = daemon.stop();
    assert_eq!(log.matches("answered 404: no webhook is at /ingest/").count(), 1, "{log}");
}

#[test]
fn a_stop_answers_what_is_under_way() {
    let place = Place::new(CLOUD);
    let daemon = place.start();
    let address = intake(&daemon);
    let body = array("tall-heron-1", 0..BATCH);
    let sign = signature(SECRET, &body);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /ingest/cloud HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: {sign}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..100]).unwrap();
    // It has begun to read; then it is told to stop, and then the rest comes.
    std::thread::sleep(Duration::from_millis(100));
    daemon.signal("TERM");
    daemon.wait_for_words("stopping", 1);
    stream.write_all(&body[100..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    daemon.stop();
    let mut daemon = place.start();
    assert_eq!(daemon.metrics().accesses("tall-heron-1"), BATCH);
    daemon.stop();
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Sends bytes as they are, and reads until the other side closes or has answered.
fn raw(address: SocketAddr, head: &[u8], body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    stream.write_all(head).unwrap();
    stream.write_all(body).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
