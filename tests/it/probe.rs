//! `probe`, and `[[source.probe]]`, against an application with its diagnostic endpoints.

use crate::support::storagewatch;
use crate::watch::daemon::{self, AGENT, Daemon};
use crate::watch::http::Client;
use crate::watch::waiting::{PATIENCE, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const WORKS: &str = r#"{"success":true,"size":34,"type":"text/plain","ms":12}"#;
const REFUSED: &str = r#"{"success":false,"error":"fetch failed","cause":"connect ECONNREFUSED 127.0.0.1:80"}"#;

/// What the application answers, by method and path.
struct Answers {
    made: (u16, String),
    tested: (u16, String),
    /// What is answered of blobs that are gone, and which these are.
    missing: String,
    gone: Vec<String>,
    /// The blob that was asked for last.
    last: String,
    asked: Vec<String>,
}

/// An application. It answers as long as the process lives.
#[derive(Clone)]
struct Application {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

fn tests(direct: &str, http: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-23T08:27:21.083Z","runtime":"node","tests":{{"node_localhost_3211":{{"success":true}},"node_storage_get_direct":{direct},"node_storage_via_http_workaround":{http}}},"env":{{"CONVEX_CLOUD_URL":"(not set)"}}}}"#
    )
}

impl Application {
    fn start(direct: &str, http: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let made = (201, r#"{"storageId":"kg2test","size":34}"#.to_owned());
        let answers = Answers {
            made,
            tested: (200, tests(direct, http)),
            missing: String::new(),
            gone: Vec::new(),
            last: String::new(),
            asked: Vec::new(),
        };
        let answers = Arc::new(Mutex::new(answers));
        let of_server = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(serve(&stream, &of_server));
            }
        });
        Self { address, answers }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.answers.lock().unwrap().asked.clone()
    }

    fn answers(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }
}

fn serve(stream: &TcpStream, answers: &Mutex<Answers>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut answers = answers.lock().unwrap();
    let asked = head.split(" HTTP/").next().unwrap().to_owned();
    answers.asked.push(asked.clone());
    let says_its_length = head.to_ascii_lowercase().contains("\r\ncontent-length: 0\r\n");
    let (status, body) = match asked.split('?').next().unwrap() {
        "POST /debug/storage-blob" if !says_its_length => (411, "Length Required".to_owned()),
        "POST /debug/storage-blob" => answers.made.clone(),
        "GET /debug/node-network-test" => {
            asked.split('=').next_back().unwrap().clone_into(&mut answers.last);
            if answers.gone.contains(&answers.last) { (200, answers.missing.clone()) } else { answers.tested.clone() }
        }
        _ => (404, "No matching routes found".to_owned()),
    };
    let mut out = stream;
    write!(out, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Runs the command: status, standard output, standard error.
fn probe(url: &str, more: &[&str]) -> (i32, String, String) {
    let mut command = storagewatch();
    // Nobody is asked by a proxy, and nobody listens there.
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(proxy, "http://127.0.0.1:1");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = command.args(["probe", url]).args(more).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_status_says_whether_the_path_that_should_work_does() {
    for (direct, http, more, status, verdict) in [
        (WORKS, REFUSED, &[][..], 0, "healthy"),
        (REFUSED, WORKS, &[], 0, "expected"),
        (REFUSED, WORKS, &["--hosting", "self_hosted"], 0, "expected"),
        (REFUSED, WORKS, &["--expect", "direct"], 1, "degraded"),
        (WORKS, REFUSED, &["--expect", "direct"], 0, "healthy"),
        (REFUSED, WORKS, &["--hosting", "cloud"], 1, "degraded"),
        (REFUSED, REFUSED, &[], 1, "investigate"),
        (WORKS, WORKS, &["--hosting", "cloud"], 0, "healthy"),
    ] {
        let application = Application::start(direct, http);
        let (is, out, err) = probe(&application.url(), &[more, &["--format", "json"]].concat());
        assert_eq!(is, status, "{direct} {http} {more:?}: {out}{err}");
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["verdict"], verdict, "{out}");
        assert_eq!(answer["paths"]["direct"]["success"], direct == WORKS, "{out}");
        assert_eq!(answer["paths"]["http"]["success"], http == WORKS, "{out}");
        assert_eq!(answer["storage_id"], "kg2test");
        assert_eq!(application.asked(), ["POST /debug/storage-blob", "GET /debug/node-network-test?storageId=kg2test"]);
    }
}

#[test]
fn a_detour_of_which_nothing_is_said_does_not_hide_that_direct_access_fails() {
    for (direct, more, status, said) in [
        (REFUSED, &["--hosting", "cloud"][..], 1, "the application does not say"),
        (REFUSED, &["--hosting", "self_hosted", "--expect", "direct"], 1, "the application does not say"),
        (REFUSED, &[], 2, "without tests.node_storage_via_http_workaround; direct access does not work: fetch failed"),
        (WORKS, &["--hosting", "cloud"], 2, "without tests.node_storage_via_http_workaround; direct access works"),
    ] {
        let application = Application::start(direct, "null");
        let (is, out, err) = probe(&application.url(), more);
        assert_eq!(is, status, "{out}{err}");
        assert!(format!("{out}{err}").contains(said), "{out}{err}");
        if status == 1 {
            let (_, out, _) = probe(&application.url(), &[more, &["--format", "json"]].concat());
            let answer: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(
                (&answer["paths"]["http"]["success"], &answer["paths"]["http"]["cause"]),
                (&Value::Null, &Value::Null)
            );
            assert_eq!(
                (&answer["paths"]["direct"]["success"], &answer["verdict"]),
                (&false.into(), &"investigate".into())
            );
        }
    }
}

#[test]
fn a_person_is_told_which_path_works_why_and_what_to_do() {
    let reworded = r#"{"success":false,"error":"Transient network error running storage get url (ECONNREFUSED, 5 attempts)","cause":"fetch \u001b[31mfailed\u202e"}"#;
    let application = Application::start(reworded, WORKS);
    let (status, out, err) = probe(&application.url(), &["--storage-id", "kg2mine"]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert_eq!(application.asked(), ["GET /debug/node-network-test?storageId=kg2mine"], "no blob is created");
    for told in [
        "direct      does not work: connection_refused",
        "http        works, 34 bytes in 12 ms",
        "hosting     self_hosted, by url",
        "error   Transient network error",
        r"cause   fetch \u{1b}[31mfailed\u{202e}",
        "usual where the backend is not Convex Cloud's",
        // The application's helper would not take the detour.
        "2026-07-28",
    ] {
        assert!(out.contains(told), "no {told}: {out}");
    }
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'), "{out}");
    let (_, out, _) = probe(&application.url(), &["--storage-id", "kg2mine", "--format", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["created"], false);
    assert_eq!(answer["paths"]["direct"]["cause"], "connection_refused");
    assert!(!out.contains('\u{202e}'), "{out}");
}

#[test]
fn what_goes_wrong_is_one_line_with_what_to_do() {
    let application = Application::start(WORKS, WORKS);
    let said = |change: fn(&mut Answers)| {
        application.answers(change);
        let (status, out, err) = probe(&application.url(), &[]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        let lines: Vec<&str> = err.lines().filter(|line| !line.contains("created the test blob")).collect();
        assert_eq!(lines.len(), 1, "{err}");
        lines[0].to_owned()
    };
    let missing = said(|answers| answers.made = (404, "No matching routes found".to_owned()));
    for told in ["POST /debug/storage-blob", "GET /debug/node-network-test?storageId=", "convex.site", "3211"] {
        assert!(missing.contains(told), "no {told}: {missing}");
    }
    let error = said(|answers| answers.made = (200, "<html>".to_owned()));
    assert!(error.contains("without a storageId"), "{error}");
    let error = said(|answers| answers.made = (200, "{\"storageId\":\"a b\\n\"}".to_owned()));
    assert!(error.contains("whose storageId is none"), "{error}");
    let error = said(|answers| {
        answers.made = (201, r#"{"storageId":"kg2test","size":34}"#.to_owned());
        answers.tested = (500, r#"{"error":"ArgumentValidationError\u001b[2J","stack":"…"}"#.to_owned());
    });
    assert!(error.contains("status 500: ArgumentValidationError") && !error.contains('\u{1b}'), "{error}");
    let error = said(|answers| answers.tested = (200, "not JSON".to_owned()));
    assert!(error.contains("not JSON"), "{error}");
    let error = said(|answers| answers.tested = (200, "{\"tests\":{}}".to_owned()));
    assert!(error.contains("tests.node_storage_get_direct"), "{error}");
    let error = said(|answers| answers.tested = (200, format!("\"{}\"", "x".repeat(1 << 20))));
    assert!(error.contains("too large"), "{error}");
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, _, err) = probe(&format!("http://{free}"), &[]);
    assert_eq!(status, 2);
    assert!(err.contains("cannot be reached") && err.contains("refused") && err.lines().count() == 1, "{err}");
    for wrong in ["here", "ftp://x", "http://user:hunter2@x"] {
        let (status, _, err) = probe(wrong, &[]);
        assert!(status == 2 && err.lines().count() == 1 && !err.contains("hunter2"), "{err}");
    }
}

#[test]
fn a_blob_that_was_deleted_is_made_once_more_and_a_storage_that_keeps_none_fails() {
    const GONE: &str = r#"{"success":false,"size":0,"type":null,"ms":3}"#;
    const NOT_FOUND: &str = r#"{"success":false,"status":404,"ms":5}"#;
    let application = Application::start(WORKS, WORKS);
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("storagewatch.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[[source.probe]]\nname = \"probed\"\nurl = \"{}\"\ninterval = \"1s\"\n",
        application.url()
    );
    std::fs::write(&file, text).unwrap();
    let start = || Daemon::start(daemon::command().arg("--config").arg(&file));
    let wait_for = |daemon: &mut Daemon, sum: u64| {
        daemon.wait_for_metrics("the paths", PATIENCE, |metrics| {
            let seen = metrics.knows(SUCCESS, &[]).then(|| metrics.sum(SUCCESS, &[]) as u64);
            if seen == Some(sum) { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    let made = || application.asked().iter().filter(|asked| asked.starts_with("POST")).count();
    let mut daemon = start();
    wait_for(&mut daemon, 2);
    for (round, blob) in [(2, "kg2second"), (3, "kg2third")] {
        application.answers(|answers| {
            answers.made.1 = format!(r#"{{"storageId":"{blob}","size":34}}"#);
            answers.gone.push(answers.last.clone());
            answers.missing = tests(GONE, NOT_FOUND);
        });
        wait_until("another blob", PATIENCE, || application.asked().last().unwrap().ends_with(blob));
        wait_until("some more trials", PATIENCE, || {
            application.asked().iter().filter(|asked| asked.ends_with(blob)).count() > 2
        });
        wait_for(&mut daemon, 2);
        assert_eq!(made(), round, "{:?}", application.asked());
    }
    daemon.wait_for_words("the test blob is gone", 2);
    // Whatever is made is gone at once: that is a failure, and no blob is made again and again.
    application.answers(|answers| answers.tested.1 = tests(GONE, NOT_FOUND));
    wait_for(&mut daemon, 0);
    let trials = application.asked().len();
    wait_until("some more trials", PATIENCE, || application.asked().len() > trials + 2);
    daemon.kill();
    let mut daemon = start();
    wait_for(&mut daemon, 0);
    let trials = application.asked().len();
    wait_until("some more trials", PATIENCE, || application.asked().len() > trials + 2);
    assert_eq!(made(), 4, "{:?}", application.asked());
    daemon.stop();
}

/// The rows of a list of the status that are of these sources, in their order.
fn status(daemon: &mut Daemon, list: &str) -> Vec<Value> {
    let answer = Client::new(daemon.address, AGENT).get("/api/v1/status").unwrap();
    let status: Value = serde_json::from_str(&answer.body).unwrap();
    status[list].as_array().unwrap().clone()
}

#[test]
fn applications_that_tell_no_name_hide_neither_each_other_nor_why_they_fail() {
    let long = "é".repeat(400);
    let failing = format!(r#"{{"success":false,"error":"{long}","ms":7}}"#);
    let (one, other) = (Application::start(REFUSED, WORKS), Application::start(&failing, &failing));
    let healthy = Application::start(WORKS, WORKS);
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("storagewatch.toml");
    let section = |name: &str, application: &Application| {
        format!("[[source.probe]]\nname = \"{name}\"\nurl = \"{}\"\ninterval = \"1h\"\n", application.url())
    };
    let sections = [section("first", &one), section("second", &other), section("third", &healthy)].concat();
    std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\n{sections}")).unwrap();
    let mut daemon = Daemon::start(daemon::command().arg("--config").arg(&file));
    wait_until("all of them to be shown", PATIENCE, || status(&mut daemon, "probes").len() == 3);
    let probes = status(&mut daemon, "probes");
    let told = |at: usize| {
        let probe = &probes[at];
        assert_eq!(probe["deployment"], "unknown", "{probe}");
        assert!(probe["time"].as_str().unwrap().ends_with('Z'), "{probe}");
        (probe["source"].as_str().unwrap(), probe["verdict"].as_str().unwrap())
    };
    assert_eq!([0, 1, 2].map(told), [("first", "expected"), ("second", "investigate"), ("third", "healthy")]);
    let error = "fetch failed: connect ECONNREFUSED 127.0.0.1:80";
    let paths = serde_json::json!({
        "direct": {"success": false, "duration_seconds": null, "cause": "connection_refused", "error": error},
        "http": {"success": true, "duration_seconds": 0.012, "cause": null, "error": null},
    });
    assert_eq!(probes[0]["paths"], paths);
    let said = probes[1]["paths"]["direct"]["error"].as_str().unwrap();
    assert!((250..=303).contains(&said.len()), "{said}");
    // No label tells them apart: the worst is exposed.
    let metrics = daemon.metrics();
    for path in ["direct", "http"] {
        let labels = [("deployment", "unknown"), ("hosting", "self_hosted"), ("path", path)];
        assert!(metrics.knows(SUCCESS, &labels), "{metrics:?}");
        assert_eq!(metrics.sum(SUCCESS, &labels) as u64, 0, "{path}");
    }
    assert_eq!(metrics.of(SUCCESS).count(), 2, "{metrics:?}");
    let said = daemon.stop();
    assert!(said.contains("sources 'first', 'second', 'third': no address tells"), "{said}");
}

const SUCCESS: &str = "convex_storage_probe_success";

#[test]
fn as_a_source_it_makes_one_blob_ever_and_shows_each_path() {
    let application = Application::start(REFUSED, WORKS);
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("storagewatch.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[[source.probe]]\nname = \"probed\"\nurl = \"{}\"\ninterval = \"1s\"\ndeployment = \"quiet-lemur\"\n",
        application.url()
    );
    std::fs::write(&file, text).unwrap();
    let start = || Daemon::start(daemon::command().arg("--config").arg(&file));
    let wait_for = |daemon: &mut Daemon, direct: Option<f64>, http: Option<f64>| {
        daemon.wait_for_metrics("the paths", PATIENCE, |metrics| {
            let value = |path| {
                let labels = [("deployment", "quiet-lemur"), ("hosting", "self_hosted"), ("path", path)];
                metrics.knows(SUCCESS, &labels).then(|| metrics.sum(SUCCESS, &labels))
            };
            let seen = (value("direct"), value("http"));
            if seen == (direct, http) { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    let mut daemon = start();
    wait_for(&mut daemon, Some(0.0), Some(1.0));
    let metrics = daemon.metrics();
    let duration = "convex_storage_probe_duration_seconds";
    assert_eq!(
        metrics.of(duration).map(|(labels, value)| (labels["path"].clone(), value)).collect::<Vec<_>>(),
        [("http".to_owned(), 0.012)]
    );
    assert!(metrics.sum("storagewatch_source_up", &[("source", "probed")]) > 0.0);
    assert!(daemon.status("/-/ready") == 200);
    application.answers(|answers| answers.tested.1 = tests(WORKS, WORKS));
    wait_for(&mut daemon, Some(1.0), Some(1.0));
    // What cannot be asked is no failure of a path.
    application.answers(|answers| answers.tested.0 = 503);
    wait_for(&mut daemon, None, None);
    assert_eq!(daemon.metrics().sum("storagewatch_source_up", &[("source", "probed")]) as u64, 0);
    wait_until("it to say so", PATIENCE, || daemon.log().contains("status 503"));
    application.answers(|answers| answers.tested.0 = 200);
    wait_for(&mut daemon, Some(1.0), Some(1.0));
    daemon.kill();
    let mut daemon = start();
    wait_for(&mut daemon, Some(1.0), Some(1.0));
    let said = daemon.stop();
    assert!(!said.contains("status 503"), "{said}");
    let made = application.asked().iter().filter(|asked| asked.starts_with("POST")).count();
    assert_eq!(made, 1, "{:?}", application.asked());
}
