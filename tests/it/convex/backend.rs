//! A backend's log API as it is documented: a ring in memory, a cursor that is a time, a long poll, a clock of its own.
//!
//! After `crates/local_backend/src/logs.rs` and `crates/application/src/function_log.rs` of the Convex backend.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub(crate) const KEY: &str = "quiet-lemur|0123456789abcdefsecret";

/// Completions that are kept.
const RING: usize = 1000;

/// How long a question waits for an answer.
const LONG_POLL: Duration = Duration::from_mins(1);

/// What stands in the ring: its cursor, whether it is a completion, its JSON with structured lines and with plain ones.
#[derive(Clone)]
struct Entry {
    cursor: f64,
    is_completion: bool,
    structured: String,
    plain: String,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) cursor: Option<String>,
    pub(crate) head: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// How it answers instead of as it should.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// Connections are closed before anything is read.
    Gone,
    /// Every question is answered with this.
    Says(u16, String),
    /// Only the log API is.
    LogsSay(u16, String),
    /// Everything else is, without a word; 0 never answers.
    OthersSay(u16),
}

struct State {
    ring: VecDeque<Entry>,
    completions: usize,
    number: u64,
    /// Counts its lives: who waits across one is sent away.
    life: u64,
    clock_ahead_ms: i64,
    /// How far what it tells of the time is ahead of its clock; none tells nothing.
    date_ahead_ms: Option<i64>,
    long_poll: Duration,
    /// What a question that waited in vain is answered with instead of an empty answer; 0 breaks it off.
    in_vain: Option<u16>,
    packs: bool,
    /// Whether the cursor that it tells is the one that it was asked with.
    stands_still: bool,
    mood: Mood,
    info: Option<String>,
    name: Option<String>,
    asked: Vec<Asked>,
    answers: Vec<String>,
    ends: bool,
}

/// The backend. It ends when it is dropped.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
    _end: Arc<End>,
}

struct End(Arc<(Mutex<State>, Condvar)>, SocketAddr);

impl Drop for End {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).ends = true;
        self.0.1.notify_all();
        let _ = TcpStream::connect(self.1);
    }
}

impl Backend {
    /// A self-hosted backend named `quiet-lemur`.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            ring: VecDeque::new(),
            completions: 0,
            number: 0,
            life: 0,
            clock_ahead_ms: 0,
            date_ahead_ms: Some(0),
            long_poll: LONG_POLL,
            in_vain: None,
            packs: false,
            stands_still: false,
            mood: Mood::Well,
            info: Some(r#"{"kind":"selfHosted"}"#.to_owned()),
            name: Some("quiet-lemur".to_owned()),
            asked: Vec::new(),
            answers: Vec::new(),
            ends: false,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.0.lock().unwrap().ends {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        let end = Arc::new(End(Arc::clone(&shared), address));
        Self { address, shared, _end: end }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    /// What it says of itself; none is a backend of before there was such a question.
    pub(crate) fn is(&self, name: Option<&str>, info: Option<&str>) {
        let mut state = self.state();
        (state.name, state.info) = (name.map(str::to_owned), info.map(str::to_owned));
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.state().mood = mood;
        self.shared.1.notify_all();
    }

    /// Sets its clock.
    pub(crate) fn set_clock(&self, ahead_ms: i64) {
        self.state().clock_ahead_ms = ahead_ms;
    }

    /// Sets how far what it tells of the time is ahead of its clock; none tells nothing.
    pub(crate) fn set_date(&self, ahead_ms: Option<i64>) {
        self.state().date_ahead_ms = ahead_ms;
    }

    /// Sets how long a question waits.
    pub(crate) fn set_long_poll(&self, time: Duration) {
        self.state().long_poll = time;
    }

    /// Lets something stand in between that does not wait for as long as the backend.
    pub(crate) fn set_in_vain(&self, status: u16) {
        self.state().in_vain = Some(status);
    }

    /// Lets something in between pack its answers.
    pub(crate) fn pack(&self) {
        self.state().packs = true;
    }

    /// Tells the cursor that it was asked with, or the one behind what it tells.
    pub(crate) fn stand_still(&self, stands_still: bool) {
        self.state().stands_still = stands_still;
    }

    /// Begins anew: who waits is sent away, and the ring is empty.
    pub(crate) fn restart(&self) {
        self.restart_unseen();
        self.state().life += 1;
        self.shared.1.notify_all();
    }

    /// Begins anew behind something that keeps the connections: who waits goes on waiting.
    pub(crate) fn restart_unseen(&self) {
        let mut state = self.state();
        state.ring.clear();
        state.completions = 0;
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// The questions for logs among them.
    pub(crate) fn polls(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path == "/api/stream_function_logs").collect()
    }

    /// The cursors that it has answered, as it wrote them.
    pub(crate) fn cursors(&self) -> Vec<String> {
        self.state().answers.clone()
    }

    /// What the ring holds, as `convex logs --jsonl` would print it.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.state().ring.iter().map(|entry| entry.structured.clone()).collect()
    }

    /// An action that logs one access and ends: an entry as it runs, and one when it has run.
    pub(crate) fn access(&self, outcome: &str) {
        self.action(&[outcome]);
    }

    /// What was logged last of an access, once more in the same bytes.
    pub(crate) fn same_again(&self) {
        let mut state = self.state();
        let mut entry = state.ring.iter().rfind(|entry| !entry.is_completion).unwrap().clone();
        entry.cursor = state.next_cursor();
        state.ring.push_back(entry);
        drop(state);
        self.shared.1.notify_all();
    }

    /// An action that logs several, each in an entry of its own, all within one millisecond and about one blob.
    pub(crate) fn action(&self, outcomes: &[&str]) {
        let mut state = self.state();
        state.number += 1;
        let (number, time) = (state.number, state.wall_ms());
        for outcome in outcomes {
            let level = if *outcome == "direct-failed" { "ERROR" } else { "LOG" };
            let text = line(outcome, number, time);
            let structured = serde_json::json!({
                "messages": [text], "isTruncated": false, "timestamp": time, "level": level, "systemMetadata": null,
            });
            let plain = serde_json::json!(format!("[{level}] {text}"));
            state.push(false, "Action", number, structured, plain);
        }
        state.push(true, "Action", number, serde_json::Value::Null, serde_json::Value::Null);
        drop(state);
        self.shared.1.notify_all();
    }

    /// Queries that log nothing: they fill the ring.
    pub(crate) fn idle_queries(&self, count: usize) {
        let mut state = self.state();
        for _ in 0..count {
            state.number += 1;
            let number = state.number;
            state.push(true, "Query", number, serde_json::Value::Null, serde_json::Value::Null);
        }
        drop(state);
        self.shared.1.notify_all();
    }

    /// One entry that is larger than any bound.
    pub(crate) fn giant(&self, bytes: usize) {
        let mut state = self.state();
        state.number += 1;
        let (number, line) = (state.number, "x".repeat(bytes));
        state.push(
            true,
            "Query",
            number,
            serde_json::json!({"messages": [line], "level": "LOG"}),
            serde_json::Value::Null,
        );
        drop(state);
        self.shared.1.notify_all();
    }
}

impl State {
    fn now_ms(&self) -> f64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_secs() as f64 * 1e3 + f64::from(now.subsec_nanos()) * 1e-6 + self.clock_ahead_ms as f64
    }

    fn wall_ms(&self) -> i64 {
        self.now_ms() as i64
    }

    /// Strictly rising while it lives.
    fn next_cursor(&self) -> f64 {
        let now = self.now_ms();
        self.ring.back().map_or(now, |last| now.max(last.cursor.next_up()))
    }

    fn push(
        &mut self,
        is_completion: bool,
        kind: &str,
        number: u64,
        structured: serde_json::Value,
        plain: serde_json::Value,
    ) {
        let entry = |lines: serde_json::Value| {
            let lines = if lines.is_null() { serde_json::json!([]) } else { serde_json::json!([lines]) };
            let mut entry = serde_json::json!({
                "kind": if is_completion { "Completion" } else { "Progress" },
                "udfType": kind, "componentPath": null, "identifier": "zipProcessor:processZipFile",
                "timestamp": self.now_ms() / 1e3, "logLines": lines,
                "requestId": format!("{number:016x}"), "executionId": format!("{number:08x}-1111-4111-8111-111111111111"),
            });
            if is_completion {
                let members = entry.as_object_mut().unwrap();
                members.insert("cachedResult".to_owned(), false.into());
                members.insert("executionTime".to_owned(), 0.148.into());
                members.insert("success".to_owned(), serde_json::Value::Null);
                members.insert("error".to_owned(), serde_json::Value::Null);
            }
            entry.to_string()
        };
        let (structured, plain) = (entry(structured), entry(plain));
        let cursor = self.next_cursor();
        self.ring.push_back(Entry { cursor, is_completion, structured, plain });
        self.completions += usize::from(is_completion);
        while self.completions > RING {
            self.completions -= usize::from(self.ring.pop_front().unwrap().is_completion);
        }
    }

    /// What lies behind a cursor, if anything does.
    fn behind(&self, cursor: f64, structured: bool) -> Option<(String, String)> {
        let mut entries = self.ring.iter().filter(|entry| entry.cursor > cursor).peekable();
        entries.peek()?;
        let (mut body, mut last) = (String::from("{\"entries\":["), cursor);
        for (at, entry) in entries.enumerate() {
            body.push_str(if at > 0 { "," } else { "" });
            body.push_str(if structured { &entry.structured } else { &entry.plain });
            last = if self.stands_still { cursor } else { entry.cursor };
        }
        // In digits of its own: whoever reads it as a number and writes it again writes it differently.
        let last = serde_json::to_string(&last).unwrap() + "0";
        let _ = write!(body, "],\"newCursor\":{last}}}");
        Some((body, last))
    }

    /// The header that tells the time, if any does.
    fn date(&self) -> String {
        let told = self.date_ahead_ms.map(|ahead| {
            let now = jiff::Timestamp::from_millisecond(self.wall_ms() + ahead).unwrap();
            now.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string()
        });
        told.unwrap_or_default()
    }
}

/// A line as the application's helper logs it and the Node executor renders it.
fn line(outcome: &str, number: u64, time: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(time).unwrap();
    let detail = match outcome {
        "direct" => format!(r#""size":{},"note":"Production path - optimal performance""#, 1000 + number),
        "http-fallback" => r#""reason":"ECONNREFUSED on direct access (expected in self-hosted)""#.to_owned(),
        "direct-failed" => r#""error":"Transient network error running storage get url (ECONNREFUSED, 5 attempts)","cause":"fetch failed""#.to_owned(),
        other => panic!("{other}"),
    };
    format!(
        r#"'{{"timestamp":"{time:.3}","level":"info","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: {outcome}","metadata":{{"storageId":"kg2{number:029}",{detail}}}}}'"#
    )
}

/// Answers one question after another.
fn serve(stream: &TcpStream, shared: &(Mutex<State>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        if shared.0.lock().unwrap().mood == Mood::Gone {
            return Ok(());
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
        let cursor = cursor.map(|cursor| cursor.replace("%2B", "+"));
        let asked = Asked { path: path.to_owned(), cursor, head: head.clone() };
        let Some((status, body)) = answer(&asked, shared) else { return Ok(()) };
        let (date, packs) = {
            let state = shared.0.lock().unwrap();
            (state.date(), state.packs)
        };
        let encoding = if packs { "Content-Encoding: gzip\r\n" } else { "" };
        let mut out = stream;
        let location = if (300..400).contains(&status) { "Location: https://elsewhere.example/\r\n" } else { "" };
        write!(
            out,
            "HTTP/1.1 {status} X\r\n{date}Content-Type: application/json\r\n{location}{encoding}Content-Length: {}\r\n\r\n",
            body.len()
        )?;
        out.write_all(body.as_bytes())?;
    }
}

fn answer(asked: &Asked, (state, changed): &(Mutex<State>, Condvar)) -> Option<(u16, String)> {
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let is_logs = asked.path == "/api/stream_function_logs";
    match &state.mood {
        Mood::Gone => return None,
        Mood::Says(status, body) => return Some((*status, body.clone())),
        Mood::LogsSay(status, body) if is_logs => return Some((*status, body.clone())),
        Mood::OthersSay(0) if !is_logs => {
            drop(changed.wait_while(state, |state| !state.ends && state.mood == Mood::OthersSay(0)));
            return None;
        }
        Mood::OthersSay(status) if !is_logs => return Some((*status, String::new())),
        _ => {}
    }
    let not_found = || Some((404, "{\"code\":\"NotFound\",\"message\":\"not found\"}".to_owned()));
    if asked.path == "/instance_name" {
        return state.name.clone().map_or_else(not_found, |name| Some((200, name)));
    }
    let is_known = matches!(asked.path.as_str(), "/api/v1/deployment_info" | "/api/stream_function_logs");
    if !is_known {
        return not_found();
    }
    if asked.header("Authorization") != Some(&format!("Convex {KEY}")) {
        return Some((
            403,
            "{\"code\":\"BadDeployKey\",\"message\":\"The provided deploy key was invalid\"}".to_owned(),
        ));
    }
    if !is_logs {
        return state.info.clone().map_or_else(not_found, |info| Some((200, info)));
    }
    let text = asked.cursor.as_deref().unwrap_or_default();
    let Ok(cursor) = text.parse::<f64>() else {
        return Some((400, "{\"code\":\"BadQueryArgs\",\"message\":\"no cursor\"}".to_owned()));
    };
    let structured = asked.header("Convex-Client").is_some_and(|client| client.starts_with("npm-cli-"));
    let (life, deadline) = (state.life, Instant::now() + state.long_poll);
    loop {
        if state.ends || state.mood == Mood::Gone {
            return None;
        }
        if state.life != life {
            return Some((500, "{\"code\":\"InternalServerError\",\"message\":\"shutting down\"}".to_owned()));
        }
        if let Some((body, last)) = state.behind(cursor, structured) {
            state.answers.push(last);
            return Some((200, body));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if let Some(status) = state.in_vain {
                return (status > 0).then(|| (status, "<html>time-out".to_owned()));
            }
            let same = serde_json::to_string(&cursor).unwrap();
            return Some((200, format!("{{\"entries\":[],\"newCursor\":{same}}}")));
        }
        state = changed.wait_timeout(state, left).unwrap().0;
    }
}
