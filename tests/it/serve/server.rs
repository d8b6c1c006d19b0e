//! A server on a port of its own, a client that says exactly what it is told to, and a view with something of everything.

use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use storagewatch::alert::{Alert, Detail, Key, Name, Series};
use storagewatch::attribute::{Attribution, Evidence};
use storagewatch::event::{Cause, Event, Hosting, Layers, Origin, Outcome, Timestamp};
use storagewatch::ledger::{
    Exemplar, Hold, PathState, Place, PlaceCounts, Probed, Reader, Rotation, SCRAPES, Scrape, Skipped, SourceCounts,
    SourceState, View,
};
use storagewatch::policy::{Severity, Verdict};
use storagewatch::row::Row;
use storagewatch::serve::{Serving, serve};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server that stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) scrapes: Receiver<Scrape>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(view: View) -> Self {
        Self::start_with("127.0.0.1:0", view, |_| {})
    }

    pub(crate) fn start_with(address: &str, view: View, change: impl FnOnce(&mut Serving)) -> Self {
        let view = Arc::new(RwLock::new(view));
        let (sender, scrapes) = sync_channel(SCRAPES);
        let mut serving = Serving {
            reader: Reader::new(Arc::clone(&view), sender),
            started: Timestamp(1_795_422_000_000),
            page: Arc::new(RwLock::new(Arc::from("http://watch.example:10045"))),
            created_lines: false,
            reload: None,
            requests: Arc::default(),
            config_ok: Arc::new(AtomicBool::new(true)),
        };
        change(&mut serving);
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let stopped = async { drop(stopped.await) };
                serve(listener, serving, stopped).await.unwrap();
            });
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, view, scrapes, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to stop, and does not wait.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub(crate) fn wait(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    /// What a plain request is answered.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    /// What a request with these headers besides `Host` is answered.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.address), method == "HEAD")
    }

    /// What a head is answered, which `Connection: close` is added to.
    pub(crate) fn raw(&self, head: &str, no_body: bool) -> Answer {
        let mut stream = self.connect();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes, no_body)
    }

    /// Listens to the stream of what changes.
    pub(crate) fn listen(&self) -> Stream {
        let mut stream = self.connect();
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut stream = Stream(BufReader::new(stream));
        let head = stream.lines();
        assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
        assert!(head.iter().any(|line| line == "content-type: text/event-stream"), "{head:?}");
        stream
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A stream of server-sent events.
#[derive(Debug)]
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The lines up to an empty one, or to the end.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end_matches(['\r', '\n']) {
                "" => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// The name and the content of the next message; nothing at the end.
    pub(crate) fn next(&mut self) -> Option<(String, serde_json::Value)> {
        loop {
            // Each message is a chunk of its own, and so are the comments between them.
            let mut size = String::new();
            self.0.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or(0);
            if size == 0 {
                return None;
            }
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).unwrap();
            let text = String::from_utf8(chunk).unwrap();
            let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key).map(str::trim_start));
            if let (Some(name), Some(data)) = (of("event:"), of("data:")) {
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
        }
    }
}

/// An answer, unpacked.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8], no_body: bool) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
        let mut body = bytes[end + 4..].to_vec();
        if no_body {
            assert!(body.is_empty(), "a body where none should be");
        } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            body = unchunked(&body);
        }
        if !no_body && headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        Self { status, headers, body: String::from_utf8(body).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}

/// A name with all that formats and pages must escape.
pub(crate) const NASTY: &str = "a\"b\\c\nd<script>é\u{202e}";

/// When the latest things of the view happened.
pub(crate) const LAST: Timestamp = Timestamp(1_795_422_441_083);

/// Something of everything: a deployment in Cloud, one with a nasty name, one that is held back, and two sources.
pub(crate) fn view() -> View {
    let mut view = View { folded: 3, caught_up: true, ..View::default() };
    view.commits.add(0.0007);
    view.commits.add(3.5);
    let mut cloud = PlaceCounts {
        outcomes: [5, 0, 2, 1],
        causes: [1, 0, 0, 1, 0, 0],
        last: [Some(Timestamp(1_795_422_440_000)), None, Some(LAST), None],
        exemplars: [
            Some(Exemplar { request_id: None, storage_id: Some("k".repeat(119)), time: Some(LAST) }),
            None,
            Some(exemplar("6f1c0aa5", "kg2fallen")),
            Some(Exemplar { request_id: Some("no\"time".to_owned()), storage_id: None, time: None }),
        ],
        overflows: 1,
        truncated: 3,
        evidence: Some(Evidence::DeploymentType),
        deployment_type: Some("prod".to_owned()),
        project: Some("artifact-review".to_owned()),
        region: Some("aws-us-east-1".to_owned()),
        created: Timestamp(1_795_422_000_500),
        ..PlaceCounts::default()
    };
    [1_000, 1_024, 2_000_000, 1 << 31].into_iter().for_each(|size| cloud.sizes.add(size));
    let nasty = PlaceCounts { outcomes: [1, 0, 0, 0], created: Timestamp(1_795_422_001_000), ..PlaceCounts::default() };
    let held = PlaceCounts {
        held: Some(Hold { since: LAST, seen_by: Vec::new() }),
        project: Some("newborn".to_owned()),
        ..cloud.clone()
    };
    view.places.insert(place("happy-otter-123", Hosting::Cloud), Arc::new(cloud));
    view.places.insert(place(NASTY, Hosting::SelfHosted), Arc::new(nasty));
    view.places.insert(place("unknown", Hosting::Unknown), Arc::new(held));
    let fails = PathState {
        cause: Some(Cause::ConnectionRefused),
        error: Some(Arc::from("fetch failed: <b>\u{1b}connect ECONNREFUSED 127.0.0.1:80")),
        ..PathState::default()
    };
    let works =
        |millis| PathState { success: true, duration: Some(Duration::from_millis(millis)), ..PathState::default() };
    // Two that cannot be told apart, the worse of which is what is exposed.
    for (source, verdict, paths) in
        [("probe", Verdict::Degraded, [fails, works(12)]), ("another", Verdict::Healthy, [works(3), works(4)])]
    {
        let key = (place("happy-otter-123", Hosting::Cloud), Arc::from(source));
        view.probes.insert(key, Probed { at: LAST, verdict, paths });
    }
    let mut counts = SourceCounts { lines: 100, bytes: 12_345, records: 9, ..SourceCounts::default() };
    counts.created = Timestamp(1_795_422_000_250);
    counts.skip(Skipped::Cached, 4);
    counts.lost_bytes = 17;
    counts.possible_losses = 1;
    counts.rotations[Rotation::Renamed as usize] = 2;
    let state = SourceState {
        lag_bytes: 512,
        begun_bytes: 0,
        last_read: Some(LAST),
        up: true,
        trouble: Some(Arc::from("<b>\u{1b}a.log: permission denied")),
    };
    view.sources.insert(Arc::from("files"), (counts, state));
    view.sources.insert(Arc::from("never read"), Default::default());
    let alert = alert();
    let series = Series {
        name: alert.key.name,
        deployment: Arc::from("happy-otter-123"),
        hosting: "cloud",
        severity: alert.key.severity,
    };
    let quiet = Series { severity: Severity::Warning, ..series.clone() };
    let own = Series { name: Name::StoragewatchSkipping, deployment: Arc::from(""), hosting: "", ..quiet.clone() };
    view.alert_series = Arc::new([(series, true), (quiet, false), (own, false)].into());
    let resolved = Alert { resolved: Some(LAST), since: Timestamp(LAST.0 - 1), ..alert.clone() };
    view.alerts = Arc::new(vec![Arc::new(alert), Arc::new(resolved)]);
    view.notifications.insert(Arc::from("127.0.0.1:9093"), [7, 1, 0]);
    view.failures.push_front(Arc::new(failure()));
    view
}

pub(crate) fn place(name: &str, hosting: Hosting) -> Place {
    Place { deployment: Arc::from(name), hosting }
}

fn alert() -> Alert {
    let deployment = Arc::from("happy-otter-123");
    let name = Name::ConvexStorageDirectFailed;
    Alert {
        key: Key::of_deployment(name, &deployment, Hosting::Cloud, Severity::Critical),
        since: LAST,
        count: 2,
        first: Timestamp(LAST.0 - 2000),
        last: Timestamp(LAST.0 - 1000),
        counted: LAST,
        detail: Detail {
            function: Some("<b>files</b>:read".to_owned()),
            cause: Some(Cause::NotFound),
            request_id: Some("6f1c0aa5".to_owned()),
            ..Detail::default()
        },
        resolved: None,
        lingers: Timestamp(0),
        deliveries: BTreeMap::new(),
    }
}

fn exemplar(request: &str, blob: &str) -> Exemplar {
    Exemplar { request_id: Some(request.to_owned()), storage_id: Some(blob.to_owned()), time: Some(LAST) }
}

fn failure() -> Row {
    let event = Event {
        logged: None,
        time: Some(LAST),
        outcome: Outcome::DirectFailed,
        cause: Some(Cause::ConnectionRefused),
        origin: Arc::new(Origin::default()),
        function: Some("files:read".to_owned()),
        function_type: None,
        storage_id: Some("kg2fallen".to_owned()),
        size_bytes: None,
        reason: None,
        error: Some("<img src=x onerror='alert(1)'>\u{1b}[31m & \"more\"".to_owned()),
        level: None,
        request_id: Some("6f1c0aa5".to_owned()),
        execution_id: None,
        format: Layers::default(),
        offset: 0,
        truncated: false,
        identity: None,
    };
    let attribution = Attribution {
        deployment: Arc::from("happy-otter-123"),
        hosting: Hosting::Cloud,
        evidence: Evidence::DeploymentType,
        deployment_type: Some("prod".to_owned()),
        project: None,
    };
    Row { event, attribution, source: Arc::from("files"), expects_direct: false }
}
