//! Prometheus itself scrapes a server in both formats, and is asked what it understood.

use crate::serve::server::{DEADLINE, LAST, NASTY, Server, place, view};
use crate::support::prometheus::{Prometheus, encoded};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use storagewatch::event::Hosting;

/// A Prometheus with these scrape jobs.
fn start(directory: &Path, jobs: &[(&str, SocketAddr)]) -> Prometheus {
    let jobs: Vec<Value> = jobs
        .iter()
        .map(|(name, target)| json!({"job_name": name, "static_configs": [{"targets": [target.to_string()]}]}))
        .collect();
    let global = json!({"scrape_interval": "200ms", "scrape_timeout": "200ms"});
    Prometheus::start(directory, &json!({"global": global, "scrape_configs": jobs}))
}

/// Stands between Prometheus and a server and wants the text format, which Prometheus 2.42 cannot be told to want.
fn text_only(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let Ok(mut upstream) = TcpStream::connect(server) else { return };
            let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nConnection: close\r\n\r\n";
            upstream.write_all(head.as_bytes()).unwrap();
            let _ = std::io::copy(&mut upstream, &mut &stream);
        }
    });
    address
}

/// The value of the one series, of those found, that has these labels.
fn value<'a>(found: &'a [Value], labels: &[(&str, &str)]) -> &'a str {
    let matching = |series: &&Value| labels.iter().all(|(name, value)| series["metric"][name] == *value);
    let matching: Vec<&Value> = found.iter().filter(matching).collect();
    assert_eq!(matching.len(), 1, "{labels:?} in {found:#?}");
    matching[0]["value"][1].as_str().unwrap()
}

#[test]
fn prometheus_understands_both_formats_alike() {
    let mut shown = view();
    let control = "\0\r\t\u{7f}\u{85}";
    shown.places.insert(place(control, Hosting::Local), Default::default());
    let server = Server::start_with("127.0.0.1:0", shown, |serving| serving.created_lines = true);
    let directory = tempfile::tempdir().unwrap();
    let jobs = [("open", server.address), ("text", text_only(server.address))];
    let mut prometheus = start(directory.path(), &jobs);

    let accesses = prometheus.query("convex_storage_access_total", 2 * 4 * 4);
    for job in ["open", "text"] {
        for (deployment, outcome, expected) in [
            ("happy-otter-123", "direct", "5"),
            ("happy-otter-123", "http-fallback", "0"),
            ("happy-otter-123", "direct-failed", "2"),
            (NASTY, "direct", "1"),
            (control, "direct", "0"),
            ("unknown", "direct-failed", "0"),
        ] {
            let labels = [("job", job), ("deployment", deployment), ("outcome", outcome)];
            assert_eq!(value(&accesses, &labels), expected, "{labels:?}");
        }
    }
    for (query, series, expected) in [
        ("convex_storage_access_failures_total{cause='not_found',deployment='happy-otter-123'}", 2, "1"),
        ("convex_storage_access_size_bytes_count{hosting='cloud'}", 2, "4"),
        ("convex_storage_access_size_bytes_sum{hosting='cloud'}", 2, "2149485672"),
        ("convex_storage_access_size_bytes_bucket{hosting='cloud',le=~'4194304([.]0)?'}", 2, "3"),
        ("convex_storage_access_size_bytes_bucket{hosting='cloud',le='+Inf'}", 2, "4"),
        ("convex_storage_access_last_timestamp_seconds{outcome='direct-failed'}", 2, "1795422441.083"),
        ("convex_storage_deployment_info{deployment_type='prod',project='artifact-review'}", 2, "1"),
        ("storagewatch_source_skipped_total{source='files',reason='cached'}", 2, "4"),
        ("storagewatch_ledger_commit_duration_seconds_bucket{le='2.5'}", 2, "1"),
        ("storagewatch_deployments_folded", 2, "3"),
        ("process_open_fds > bool 0", 2, "1"),
        ("convex_storage_access_created{outcome='direct',hosting='cloud',job='open'}", 1, "1795422000.5"),
    ] {
        for found in prometheus.query(query, series) {
            assert_eq!(found["value"][1], expected, "{query}: {found}");
        }
    }
    assert!(prometheus.query("up == 1", 2).len() == 2);

    let path =
        format!("/api/v1/query_exemplars?query={}&start=0&end=9999999999", encoded("convex_storage_access_total"));
    let exemplar = prometheus.wait(&path, |data| {
        let failed = |series: &&Value| series["seriesLabels"]["outcome"] == "direct-failed";
        data.as_array()?.iter().find(failed)?["exemplars"].get(0).cloned()
    });
    assert_eq!(exemplar["labels"], json!({"request_id": "6f1c0aa5", "storage_id": "kg2fallen"}));
    assert_eq!(exemplar["timestamp"].as_f64(), Some(LAST.0 as f64 / 1000.0));
    let scrape = server.scrapes.recv_timeout(DEADLINE).unwrap();
    assert!(scrape.scraper.starts_with("127.0.0.1 "), "{scrape:?}");
}
