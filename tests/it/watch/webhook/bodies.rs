//! Which bodies are taken: how long, how packed, and how broken they may be.

use super::super::sender::{self, Sender, array, json_lines, signature};
use super::super::waiting::{PATIENCE, wait_for};
use super::{CLOUD, FORWARDED, KEY, Place, SECRET, all, cloud, gzip, intake, raw, requests, skipped};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

#[test]
fn an_export_of_opentelemetry_may_be_as_long_as_an_array() {
    let place = Place::new(FORWARDED);
    let mut daemon = place.start();
    let record = |number: u64| {
        let event = sender::event("unnamed", number);
        let attribute = |key: &str| format!(r#"{{"key":"convex.{key}","value":{{"stringValue":"x"}}}}"#);
        format!(
            r#"{{"timeUnixNano":"1795422441083000000","severityText":"INFO","severityNumber":9,"body":{{"stringValue":{}}},"attributes":[{},{},{}]}}"#,
            Value::from(event.split_once(",\"convex\":").map_or(event.clone(), |(event, _)| format!("{event}}}"))),
            attribute("topic"),
            attribute("function.path"),
            attribute("function.type")
        )
    };
    let records: Vec<String> = (0..14_000).map(record).collect();
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"convex.deployment.name","value":{{"stringValue":"tall-heron-1"}}}}]}},"scopeLogs":[{{"scope":{{"name":"convex"}},"logRecords":[{}]}}]}}]}}"#,
        records.join(",")
    );
    assert!((5 << 20..16 << 20).contains(&body.len()), "{}", body.len());
    let mut sender = Sender::new(intake(&daemon), "/ingest/forwarded", "");
    assert_eq!(sender.post_as(&[("X-API-Key", KEY)], body.as_bytes()).unwrap().status, 200);
    daemon.wait_for_accesses("tall-heron-1", 14_000);
    assert_eq!((skipped(&mut daemon, "oversize"), skipped(&mut daemon, "undecodable")), (0, 0));
    daemon.stop();
}

#[test]
fn bodies_are_bounded_as_they_come_and_unpacked() {
    let place = Place::new(&format!("{CLOUD}max_body = \"64KiB\"\n{FORWARDED}max_body = \"64KiB\"\n"));
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    let fits = json_lines("tall-heron-1", 0..30);
    assert!(fits.len() < 64 << 10);
    assert_eq!(sender.status(&fits), 200);
    let mut just = fits.clone();
    just.resize(64 << 10, b' ');
    let last = just.len() - 1;
    assert_eq!(sender.status(&just), 200);
    just.push(b' ');
    assert_eq!(sender.status(&just), 413);
    // It is not read to see that it is too large, and its sender hears of it while it still writes.
    assert_eq!(sender.status(&vec![b' '; 8 << 20]), 413);
    let chunked = b"POST /ingest/cloud HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: sha256=\
        0000000000000000000000000000000000000000000000000000000000000000\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat().repeat(4);
    let answer = raw(intake(&daemon), chunked, &[chunk, b"0\r\n\r\n".to_vec()].concat());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let mut forwarder = Sender::new(intake(&daemon), "/ingest/forwarded", "");
    let mut post = |encoding: &str, body: &[u8]| {
        forwarder.post_as(&[("DD-API-KEY", KEY), ("Content-Encoding", encoding)], body).unwrap().status
    };
    just.truncate(last + 1);
    assert_eq!(post("gzip", &gzip(&just)), 200, "a repeat");
    // A megabyte of blanks is a kilobyte, packed.
    let bomb = gzip(&vec![b' '; 32 << 20]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(post("gzip", &bomb), 413);
    assert_eq!(post("gzip", &fits), 400, "it is not packed");
    let packed = gzip(&json_lines("tall-heron-1", 40..70));
    assert_eq!(post("gzip", &packed[..packed.len() / 2]), 400, "its end is missing");
    for encoding in ["br", "zstd", "deflate", "gzip, gzip"] {
        assert_eq!(post(encoding, &packed), 415, "{encoding}");
    }
    assert_eq!(post("GZIP", &packed), 200);
    assert_eq!(daemon.metrics().accesses("tall-heron-1"), 30 + 30 + 30);
    daemon.stop();
}

#[test]
fn what_is_no_whole_json_is_refused_and_counts_nothing() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    let mut sender = cloud(&daemon);
    let whole = array("tall-heron-1", 0..3);
    let lines = json_lines("tall-heron-1", 3..6);
    let event = sender::event("tall-heron-1", 1);
    let among = |between: &str| format!("[{event}{between}{event}]");
    let (wordy, not_a_number, endless) = (among(",words,"), among(",{\"n\":NaN},"), format!("[{event},]"));
    let (trailing, unfinished) =
        (format!("[{event}]words}}"), format!("{},\"n\":}}", event.strip_suffix('}').unwrap()));
    let nothing: [&[u8]; 16] = [
        wordy.as_bytes(),
        not_a_number.as_bytes(),
        endless.as_bytes(),
        trailing.as_bytes(),
        unfinished.as_bytes(),
        b"[{'topic':'console','message':'Storage access: direct'}]",
        b"[{]}",
        b"",
        b" \n",
        b"null",
        b"\"Storage access: direct\"",
        b"Storage access: direct",
        b"{",
        b"]",
        &whole[..whole.len() - 1],
        &lines[..lines.len() - 1],
    ];
    for body in nothing {
        assert_eq!(sender.status(body), 400, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(sender.status(&whole[..whole.len() / 2]), 400);
    assert_eq!(all(&mut daemon), 0);
    assert_eq!(requests(&mut daemon, "400"), 17);
    // What comes again whole counts as it should.
    assert_eq!((sender.status(&whole), sender.status(&lines)), (200, 200));
    daemon.wait_for_accesses("tall-heron-1", 6);
    // One line among others that cannot be read is no reason to lose the others.
    let broken =
        [b"{\"message\":\"'Storage access: direct\" oops}\n".to_vec(), json_lines("tall-heron-1", 9..11)].concat();
    assert_eq!(sender.status(&broken), 200);
    daemon.wait_for_accesses("tall-heron-1", 8);
    assert_eq!(skipped(&mut daemon, "undecodable"), 1);
    daemon.stop();
}

#[test]
fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    // Nor is one that says nothing at all, though anybody may connect.
    let mut silent = TcpStream::connect(intake(&daemon)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = TcpStream::connect(intake(&daemon)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /ingest/cloud HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: {}\r\nContent-Length: 100\r\n\r\n[",
        signature(SECRET, b"")
    );
    let began = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!((8..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(requests(&mut daemon, "408"), 1);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it is closed");
    daemon.stop();
}

#[test]
fn a_sender_that_breaks_off_loses_nothing_and_is_no_refusal() {
    let place = Place::new(CLOUD);
    let mut daemon = place.start();
    let body = array("tall-heron-1", 0..5);
    let sign = signature(SECRET, &body);
    let head = format!("POST /ingest/cloud HTTP/1.1\r\nHost: x\r\nX-Webhook-Signature: {sign}\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n10000\r\n");
    for head in [format!("{head}Content-Length: {}\r\n\r\n", body.len()), chunked] {
        let before = requests(&mut daemon, "408");
        let mut stream = TcpStream::connect(intake(&daemon)).unwrap();
        stream.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat()).unwrap();
        drop(stream);
        wait_for("the answer to be counted", PATIENCE, || {
            let now = requests(&mut daemon, "408");
            if now == before + 1 { Ok(()) } else { Err(daemon.log()) }
        });
    }
    assert_eq!(cloud(&daemon).status(&body), 200, "it comes again");
    daemon.wait_for_accesses("tall-heron-1", 5);
    let metrics = daemon.metrics();
    assert_eq!((requests(&mut daemon, "400"), skipped(&mut daemon, "refused")), (0, 0));
    assert_eq!(metrics.sum("storagewatch_alert_firing", &[]) as u64, 0, "nothing was lost");
    daemon.stop();
}
