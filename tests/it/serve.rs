//! The HTTP routes, over real connections.

pub(crate) mod server;

use self::server::{DEADLINE, LAST, Server, place, view};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use storagewatch::event::Hosting;
use storagewatch::ledger::View;
use storagewatch::serve::ReloadError;

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

#[test]
fn the_routes() {
    let server = Server::start(view());
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/-/healthy", "text/plain; charset=utf-8"),
        ("/-/ready", "text/plain; charset=utf-8"),
        ("/api/v1/status", "application/json"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let head = server.request("HEAD", path, &[]);
        assert_eq!((head.status, head.header("content-type")), (200, kind), "HEAD {path}");
        let wrong = server.request("POST", path, &[]);
        assert_eq!((wrong.status, wrong.header("allow")), (405, "GET,HEAD"), "POST {path}");
        assert!(wrong.body.contains("not allowed"), "{wrong:?}");
    }
    let missing = server.get("/nothing");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/metrics"), "{missing:?}");
    let wrong = server.get("/-/reload");
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST"));
    for answer in [server.get("/"), missing, wrong] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    }
}

#[test]
fn it_is_ready_once_it_has_caught_up() {
    let server = Server::start(View::default());
    let answer = server.get("/-/ready");
    assert_eq!((answer.status, answer.body.as_str()), (503, "It still reads what was there at the start.\n"));
    assert_eq!(server.get("/-/healthy").status, 200);
    server.view.write().unwrap().caught_up = true;
    assert_eq!(server.get("/-/ready").status, 200);
}

#[test]
fn a_loopback_address_answers_local_names_only() {
    let server = Server::start(view());
    let status = |head: &str| server.raw(head, false).status;
    for host in ["localhost", "watch.localhost:1", "127.0.0.1:10045", "[::1]:10045"] {
        assert_eq!(status(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n")), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:10045", "10.0.0.1", ""] {
        for path in ["/", "/metrics", "/nothing"] {
            let answer = server.raw(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"), false);
            assert_eq!(answer.status, 403, "{host}");
            assert!(answer.body.contains("local names only"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
    assert_eq!(status("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n"), 403);
    assert_eq!(status("GET /metrics HTTP/1.1\r\n"), 400);
    assert_eq!(status("GET /metrics HTTP/1.0\r\n"), 400);
    assert_eq!(status("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"), 400);
    // Where anybody can connect, a name protects nothing.
    let open = Server::start_with("0.0.0.0:0", view(), |_| {});
    assert_eq!(open.raw("GET /metrics HTTP/1.1\r\nHost: watch.example\r\n", false).status, 200);
}

#[test]
fn the_format_and_its_packing_are_the_scrapers_choice() {
    let server = Server::start(view());
    let plain = server.request("GET", "/metrics", &[OPEN]);
    assert_eq!(plain.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(plain.body.ends_with("# EOF\n") && !plain.body.contains("_created"), "{}", plain.body);
    assert_eq!(plain.header("content-encoding"), "");
    let packed = server.request("GET", "/metrics", &[OPEN, "Accept-Encoding: gzip"]);
    assert_eq!(packed.header("content-encoding"), "gzip");
    let own = |text: &str| text.lines().filter(|line| !line.contains("process_")).count();
    assert_eq!(own(&packed.body), own(&plain.body));
    assert_eq!(server.request("GET", "/metrics", &["Accept-Encoding: gzip;q=0"]).header("content-encoding"), "");
    let created = Server::start_with("127.0.0.1:0", view(), |serving| serving.created_lines = true);
    assert!(created.request("GET", "/metrics", &[OPEN]).body.contains("convex_storage_access_created{"));
}

#[test]
fn a_scrape_is_noted_when_it_was_answered() {
    let server = Server::start(view());
    let agent = format!("User-Agent: Prometheus/2.42.0 {}", "x".repeat(100));
    assert_eq!(server.request("HEAD", "/metrics", &[&agent]).status, 200);
    assert_eq!(server.request("POST", "/metrics", &[&agent]).status, 405);
    assert_eq!(server.raw("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n", false).status, 403);
    assert_eq!(server.get("/api/v1/status").status, 200);
    assert_eq!(server.request("GET", "/metrics", &[&agent]).status, 200);
    let scrape = server.scrapes.recv_timeout(DEADLINE).unwrap();
    assert!(scrape.scraper.starts_with("127.0.0.1 Prometheus/2.42.0 xxx"), "{scrape:?}");
    assert_eq!(scrape.scraper.len(), "127.0.0.1 ".len() + 64);
    assert_eq!(scrape.held, [place("unknown", Hosting::Unknown)]);
    let age = jiff::Timestamp::now().as_millisecond() - scrape.at.0;
    assert!((0..DEADLINE.as_millis() as i64).contains(&age), "{scrape:?}");
    assert!(server.scrapes.try_recv().is_err(), "only that one");
}

#[test]
fn a_reload_is_asked_for_and_its_result_told() {
    let disabled = Server::start(view());
    let answer = disabled.request("POST", "/-/reload", &[]);
    assert_eq!((answer.status, answer.body.as_str()), (403, "Reloading by HTTP is not enabled.\n"));

    let (wishes, mut asked) = tokio::sync::mpsc::channel(1);
    let server = Server::start_with("127.0.0.1:0", view(), |serving| serving.reload = Some(wishes));
    let results = [
        (Ok(()), 200, "The configuration was reloaded.\n"),
        (Err(ReloadError::Wrong("line 3: unknown key 'lisen'".to_owned())), 400, "line 3: unknown key 'lisen'\n"),
        (Err(ReloadError::Failed("permission denied".to_owned())), 500, "permission denied\n"),
    ];
    for (result, status, text) in results {
        std::thread::scope(|scope| {
            scope.spawn(|| asked.blocking_recv().unwrap().send(result).unwrap());
            let answer = server.request("POST", "/-/reload", &[]);
            assert_eq!((answer.status, answer.body.as_str()), (status, text));
        });
    }
    assert_eq!(server.request("POST", "/-/reload", &["Origin: https://evil.example"]).status, 403);
    assert!(asked.try_recv().is_err(), "a foreign page's wish is not passed on");
    drop(asked);
    assert_eq!(server.request("POST", "/-/reload", &[]).status, 500);
}

#[test]
fn the_status_shows_what_was_committed() {
    let mut shown = view();
    shown.trouble = Some("no space left".to_owned());
    let server = Server::start(shown);
    let status: Value = serde_json::from_str(&server.get("/api/v1/status").body).unwrap();
    assert_eq!(status["storagewatch"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["started"], "2026-11-23T08:20:00.000Z");
    assert_eq!(status["caught_up"], true);
    assert_eq!(status["trouble"], "no space left");
    assert_eq!(status["config_ok"], true);
    let deployments = status["deployments"].as_array().unwrap();
    let named = |name: &str| deployments.iter().find(|deployment| deployment["deployment"] == name).unwrap();
    let cloud = named("happy-otter-123");
    assert_eq!(cloud["hosting"], "cloud");
    assert_eq!(cloud["evidence"], "deployment_type");
    assert_eq!(cloud["deployment_type"], "prod");
    assert_eq!(cloud["project"], "artifact-review");
    assert_eq!(cloud["outcomes"], json!({"direct": 5, "http-fallback": 0, "direct-failed": 2, "other": 1}));
    assert_eq!(cloud["causes"], json!({"connection_refused": 1, "not_found": 1}));
    assert_eq!(cloud["last"]["direct-failed"], LAST.to_string());
    assert_eq!(cloud["last"]["other"], Value::Null);
    assert_eq!(cloud["verdict"], "investigate");
    assert_eq!(named("unknown")["outcomes"]["direct-failed"], 2, "held back from scrapes, not from here");
    assert_eq!(named(server::NASTY)["verdict"], "healthy");
    assert_eq!(named(server::NASTY)["evidence"], Value::Null);
    let files = &status["sources"][0];
    assert_eq!((&files["source"], &files["up"], &files["lag_bytes"]), (&json!("files"), &json!(true), &json!(512)));
    assert_eq!(files["skipped"]["cached"], 4);
    assert_eq!(files["rotations"]["renamed"], 2);
    assert_eq!(files["last_read"], LAST.to_string());
    let alerts = status["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1, "what is resolved is not shown: {alerts:?}");
    let alert = &alerts[0];
    assert_eq!((&alert["name"], &alert["severity"]), (&json!("ConvexStorageDirectFailed"), &json!("critical")));
    assert_eq!((&alert["deployment"], &alert["hosting"]), (&json!("happy-otter-123"), &json!("cloud")));
    assert_eq!((&alert["source"], &alert["count"]), (&Value::Null, &json!(2)));
    assert_eq!(alert["since"], LAST.to_string());
    assert_eq!(alert["last"], "2026-11-23T08:27:20.083Z");
    assert_eq!(alert["annotations"]["cause"], "not_found");
    let runbook = "http://watch.example:10045/runbook/ConvexStorageDirectFailed";
    assert_eq!(alert["annotations"]["runbook_url"], runbook);
    assert_eq!(status["failures"][0]["request_id"], "6f1c0aa5");
    assert_eq!(status["failures"][0]["verdict"], "investigate");
}

#[test]
fn the_page_shows_log_texts_as_text() {
    let server = Server::start(view());
    let answer = server.get("/");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{answer:?}");
    for shown in [
        "happy-otter-123",
        "a&quot;b\\c\\nd&lt;script&gt;é\\u{202e}",
        "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;\\u{1b}[31m &amp; &quot;more&quot;",
        "investigate",
        "ConvexStorageDirectFailed<td>critical",
        "the last in &lt;b&gt;files&lt;/b&gt;:read",
        "cached 4",
        "href=\"metrics\"",
        "href=\"api/v1/status\"",
    ] {
        assert!(answer.body.contains(shown), "{shown} is not in\n{}", answer.body);
    }
    for hidden in ["<script", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!answer.body.contains(hidden), "{hidden:?} is in\n{}", answer.body);
    }
}

#[test]
fn a_body_that_nobody_reads_holds_nothing_up() {
    let server = Server::start(view());
    let answer = server.request("POST", "/-/reload", &["Content-Length: 100000000000"]);
    assert_eq!(answer.status, 403);
}

#[test]
fn stopping_waits_for_answers_and_not_for_idle_connections() {
    let (wishes, mut asked) = tokio::sync::mpsc::channel(1);
    let mut server = Server::start_with("127.0.0.1:0", view(), |serving| serving.reload = Some(wishes));
    let mut idle = server.connect();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut some = [0; 15];
    idle.read_exact(&mut some).unwrap();
    let _silent = server.connect();
    let mut busy = server.connect();
    busy.write_all(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let answer = asked.blocking_recv().unwrap();
    server.tell_to_stop();
    // Nobody new is served, and the answer under way is waited for.
    let began = Instant::now();
    while std::net::TcpStream::connect(server.address).is_ok() {
        assert!(began.elapsed() < DEADLINE, "it still accepts connections");
        std::thread::yield_now();
    }
    answer.send(Ok(())).unwrap();
    let mut text = String::new();
    busy.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("reloaded.\n"), "{text}");
    let began = Instant::now();
    server.wait();
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
}

#[test]
fn clients_that_never_read_their_answers_do_not_lock_others_out() {
    let server = Server::start(view());
    let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4000);
    let greedy: Vec<_> = (0..64)
        .map(|_| {
            let mut client = server.connect();
            let requests = requests.clone();
            std::thread::spawn(move || {
                client.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                let _ = client.write_all(requests.as_bytes());
                client
            })
        })
        .collect();
    let greedy: Vec<_> = greedy.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(server.get("/-/healthy").status, 200);
    drop(greedy);
}
