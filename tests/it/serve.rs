//! The HTTP routes, over real connections.

pub(crate) mod server;

use self::server::{DEADLINE, LAST, Server, place, view};
use crate::watch::waiting::wait_until;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use storagewatch::event::{Hosting, Outcome, Timestamp};
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
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/runbook", "text/html; charset=utf-8"),
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
fn it_is_not_ready_while_commits_have_failed_for_a_minute() {
    let server = Server::start(View { caught_up: true, ..View::default() });
    let fails_for = |millis: i64| {
        let since = jiff::Timestamp::now().as_millisecond() - millis;
        server.view.write().unwrap().failing_since = Some(Timestamp(since));
        server.get("/-/ready")
    };
    assert_eq!(fails_for(0).status, 200);
    let answer = fails_for(60_000);
    assert_eq!((answer.status, answer.body.as_str()), (503, "Counts cannot be made durable.\n"));
    assert_eq!(server.get("/-/healthy").status, 200, "a restart would not mend it");
    server.view.write().unwrap().failing_since = None;
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
    for shown in [
        "happy-otter-123",
        "a&quot;b\\c\\nd&lt;script&gt;é\\u{202e}",
        "&lt;img src=x onerror='alert(1)'&gt;\\u{1b}[31m &amp; &quot;more&quot;",
        "investigate",
        "the last in &lt;b&gt;files&lt;/b&gt;:read",
        "cached 4",
        "kg2fallen",
        "6f1c0aa5",
        "href=\"metrics\"",
        "href=\"api/v1/status\"",
        "href=\"runbook/ConvexStorageDirectFailed\"",
    ] {
        assert!(answer.body.contains(shown), "{shown} is not in\n{}", answer.body);
    }
    let without_own = answer.body.replace("<script src=\"page.js\" defer></script>", "");
    assert_ne!(without_own, answer.body);
    for hidden in ["<script", "<img", "<b>", " style=", "\u{202e}", "\u{1b}"] {
        assert!(!without_own.contains(hidden), "{hidden:?} is in\n{}", answer.body);
    }
}

#[test]
fn pages_may_load_nothing_from_elsewhere_and_run_nothing_but_their_script() {
    let server = Server::start(view());
    for path in ["/", "/runbook"] {
        let answer = server.get(path);
        let policy = answer.header("content-security-policy");
        let mut parts: Vec<&str> = policy.split("; ").collect();
        parts.sort_unstable();
        let expected = [
            "base-uri 'none'",
            "connect-src 'self'",
            "default-src 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "img-src 'self'",
            "require-trusted-types-for 'script'",
            "script-src 'self'",
            "style-src 'self'",
            "trusted-types 'none'",
        ];
        assert_eq!(parts, expected, "{path}");
        assert!(!answer.body.contains("http://") && !answer.body.contains("https://"), "{path}: {}", answer.body);
    }
}

#[test]
fn the_stream_begins_with_everything_and_goes_on_with_what_changes() {
    let server = Server::start(view());
    let mut stream = server.listen();
    let (name, mut whole) = stream.next().unwrap();
    assert_eq!(name, "status");
    let mut status: Value = serde_json::from_str(&server.get("/api/v1/status").body).unwrap();
    for passing in ["now", "minute"] {
        assert!(whole[passing].is_string() && status[passing].is_string());
        (whole[passing], status[passing]) = (Value::Null, Value::Null);
    }
    assert_eq!(whole, status);
    let otter = place("happy-otter-123", Hosting::Cloud);
    let change = |change: &dyn Fn(&mut View)| change(&mut server.view.write().unwrap());
    // The minute may turn meanwhile.
    let mut next = || {
        let (name, mut content) = stream.next().unwrap();
        assert_eq!(name, "change");
        content.as_object_mut().unwrap().remove("minute");
        if content == json!({}) { stream.next().unwrap().1 } else { content }
    };
    let now = jiff::Timestamp::now().as_millisecond();
    change(&|view| {
        let counts = std::sync::Arc::make_mut(view.places.get_mut(&otter).unwrap());
        counts.outcomes[0] = 6;
        counts.hour.add(Timestamp(now), Outcome::Direct);
    });
    let changed = next();
    assert_eq!(changed.as_object().unwrap().keys().collect::<Vec<_>>(), ["deployments"], "{changed}");
    let deployments = changed["deployments"].as_array().unwrap();
    assert_eq!(deployments.len(), 1, "{changed}");
    assert_eq!(
        (&deployments[0]["deployment"], &deployments[0]["outcomes"]["direct"]),
        (&json!("happy-otter-123"), &json!(6))
    );
    let minutes = deployments[0]["last_hour"]["direct"].as_array().unwrap();
    assert_eq!((minutes.len(), minutes.iter().filter(|count| **count == json!(1)).count()), (60, 1), "{minutes:?}");
    change(&|view| {
        view.caught_up = false;
        view.alerts = std::sync::Arc::default();
        view.failures.clear();
        view.sources.get_mut("files").unwrap().1.lag_bytes = 0;
    });
    let changed = next();
    let keys: Vec<_> = changed.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["caught_up", "alerts", "sources", "failures"], "{changed}");
    assert_eq!(
        (&changed["caught_up"], &changed["alerts"], &changed["failures"]),
        (&json!(false), &json!([]), &json!([]))
    );
    assert_eq!(changed["sources"].as_array().unwrap().len(), 1);
    // What is gone takes a whole status.
    change(&|view| view.places.clear());
    let (name, whole) = stream.next().unwrap();
    assert_eq!((name.as_str(), &whole["deployments"]), ("status", &json!([])));
}

#[test]
fn the_stream_takes_a_bounded_number_of_listeners_and_none_of_other_sites() {
    let server = Server::start(view());
    let foreign = server.request("GET", "/api/v1/events", &["Origin: https://evil.example"]);
    assert_eq!(foreign.status, 403);
    let mut listeners: Vec<_> = (0..16).map(|_| server.listen()).collect();
    let refused = server.get("/api/v1/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "10"));
    assert_eq!(server.get("/metrics").status, 200);
    // A place is free as soon as a listener is gone and that is noticed.
    drop(listeners.pop());
    wait_until("a free place", DEADLINE, || {
        // Something is sent, so that it is noticed.
        server.view.write().unwrap().folded += 1;
        server.request("HEAD", "/api/v1/events", &[]).status == 200
    });
}

#[test]
fn what_changes_often_is_sent_a_few_times_a_second_and_a_slow_reader_gets_the_latest() {
    let server = Server::start(view());
    let mut stream = server.listen();
    stream.next().unwrap();
    let began = Instant::now();
    let mut messages = 0;
    let mut last = 0;
    while began.elapsed().as_millis() < 1500 {
        for _ in 0..1000 {
            server.view.write().unwrap().folded += 1;
        }
        let (_, changed) = stream.next().unwrap();
        let folded = changed["deployments_folded"].as_u64().unwrap_or(last);
        assert!(folded >= last, "{changed}");
        last = folded;
        messages += 1;
    }
    let most = |time: Duration| time.as_millis() / 250 + 2;
    assert!(messages <= most(began.elapsed()), "{messages} messages within {:?}", began.elapsed());
    let began = Instant::now();
    // Nobody reads for a while, and much changes: what comes then is few messages, and the last has the last.
    for _ in 0..200 {
        server.view.write().unwrap().folded += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let expected = server.view.read().unwrap().folded;
    let mut late = 0;
    while last < expected {
        last = stream.next().unwrap().1["deployments_folded"].as_u64().unwrap_or(last);
        late += 1;
    }
    assert!(late <= most(began.elapsed()), "{late} messages for 200 changes within {:?}", began.elapsed());
}

#[test]
fn listeners_that_read_nothing_delay_neither_others_nor_the_end() {
    let mut full = view();
    for number in 0..1000 {
        full.places.insert(place(&format!("happy-otter-{number}"), Hosting::Cloud), std::sync::Arc::default());
    }
    let mut server = Server::start(full);
    // They ask and never read; a status of a thousand deployments is more than a connection holds.
    let deaf: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = server.connect();
            write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).unwrap();
            stream
        })
        .collect();
    let mut stream = server.listen();
    assert_eq!(stream.next().unwrap().1["deployments"].as_array().unwrap().len(), 1002);
    server.view.write().unwrap().folded += 1;
    assert!(stream.next().is_some());
    assert_eq!(server.get("/metrics").status, 200);
    server.tell_to_stop();
    let began = Instant::now();
    while stream.next().is_some() {}
    assert!(began.elapsed().as_millis() < 4000, "a stream ends when the server does: {:?}", began.elapsed());
    server.wait();
    assert!(began.elapsed().as_millis() < 6000, "{:?}", began.elapsed());
    drop(deaf);
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

#[test]
fn clients_that_say_nothing_make_room_for_those_that_ask() {
    let server = Server::start(view());
    let mut listener = server.listen();
    listener.next().unwrap();
    // Silent ones, those that never finish what they ask, and those that asked once and stay.
    let mut idle: Vec<_> = (0..150)
        .map(|number| {
            let mut client = server.connect();
            let said = ["", "GET /metr", "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"][number % 3];
            client.write_all(said.as_bytes()).unwrap();
            client
        })
        .collect();
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(server.get("/metrics").status, 200);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        idle.extend((0..20).map(|_| server.connect()));
    }
}
