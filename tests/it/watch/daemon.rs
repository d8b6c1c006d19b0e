//! `storagewatch watch` as a child process that does not outlive its test.

use super::exposition::Exposition;
use super::http::Client;
use super::waiting::{PATIENCE, wait_for, wait_until};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The one name under which the tests scrape, so that newborn series wait for one scraper only.
pub(crate) const AGENT: &str = "storagewatch-tests";

/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// The command, without anything of the tester's surroundings.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storagewatch"));
    command.arg("watch").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("STORAGEWATCH_"));
        if is_ours || name == "STATE_DIRECTORY" || name == "NOTIFY_SOCKET" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// A watching process that serves.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    client: Client,
    log: Log,
}

/// One that ended before it served: its status and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

impl Daemon {
    /// Starts the command and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|ended| panic!("it ended, {}:\n{}", ended.status, ended.log))
    }

    /// As [`Daemon::start`], where it may well end instead.
    pub(crate) fn try_start(command: &mut Command) -> Result<Self, Ended> {
        // From the moment of its birth the child is in something that kills it when it is dropped.
        let mut child = Orphan(Some(command.spawn().unwrap()));
        let log = Log::of(child.get().stderr.take().expect("its standard error is a pipe"));
        let found = wait_for("it to listen", PATIENCE, || {
            if let Some(address) = log.text().lines().find_map(address_in) {
                return Ok(Ok(address));
            }
            match child.get().try_wait().unwrap() {
                Some(status) => Ok(Err(status)),
                None => Err(log.text()),
            }
        });
        match found {
            Ok(address) => {
                let child = child.0.take().expect("it was not taken yet");
                Ok(Self { child, address, client: Client::new(address, AGENT), log })
            }
            Err(status) => Err(Ended { status, log: log.to_its_end() }),
        }
    }

    /// Scrapes.
    pub(crate) fn metrics(&mut self) -> Exposition {
        let answer = self.client.get("/metrics");
        let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}; it said:\n{}", self.log()));
        assert_eq!(answer.status, 200, "{}", answer.body);
        Exposition::parse(&answer.body)
    }

    /// Scrapes, where it still answers.
    pub(crate) fn try_metrics(&mut self) -> Option<Exposition> {
        let answer = self.client.get("/metrics").ok().filter(|answer| answer.status == 200);
        answer.map(|answer| Exposition::parse(&answer.body))
    }

    /// The status of a page.
    pub(crate) fn status(&mut self, path: &str) -> u16 {
        self.client.get(path).map_or(0, |answer| answer.status)
    }

    /// Waits until every file was read up to its size at the start.
    pub(crate) fn wait_until_ready(&mut self) {
        wait_until("it to be ready", PATIENCE, || self.status("/-/ready") == 200);
    }

    /// Scrapes until what is wanted is seen; the closure says what it saw instead.
    pub(crate) fn wait_for_metrics(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&Exposition) -> Result<(), String>,
    ) {
        wait_for(what, patience, || {
            let metrics = self.metrics();
            look(&metrics).map_err(|seen| format!("{seen}; it said:\n{}", tail(&self.log(), 20)))
        });
    }

    /// Waits until this many accesses of a deployment are counted. More than that is a fault at once. As long as it goes
    /// on counting, that is waited for.
    pub(crate) fn wait_for_accesses(&mut self, deployment: &str, expected: u64) {
        let mut before = None;
        loop {
            let what = format!("more than {before:?}, of {expected}, accesses of {deployment}");
            let mut counted = 0;
            self.wait_for_metrics(&what, PATIENCE, |metrics| {
                counted = metrics.accesses(deployment);
                assert!(counted <= expected, "{counted} accesses of {deployment} are counted, there were {expected}");
                if counted == expected || Some(counted) > before { Ok(()) } else { Err(format!("{counted}")) }
            });
            if counted == expected {
                return;
            }
            before = Some(counted);
        }
    }

    /// Waits until it has said this so many times. More often than that is a fault.
    ///
    /// What it says comes another way than what it answers, and may come later.
    pub(crate) fn wait_for_words(&self, words: &str, times: usize) {
        let said = wait_for(words, PATIENCE, || {
            let log = self.log();
            let said = log.matches(words).count();
            if said < times { Err(log) } else { Ok(said) }
        });
        assert_eq!(said, times, "'{words}' in:\n{}", self.log());
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &process]).status().unwrap().success());
    }

    /// Asks it to end, which it must do in time and with status 0; returns what it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let began = Instant::now();
        let status = wait_for("it to end after SIGTERM", GRACE, || {
            self.child
                .try_wait()
                .unwrap()
                .ok_or_else(|| format!("it runs after {:?}:\n{}", began.elapsed(), self.log()))
        });
        let log = self.log.to_its_end();
        assert!(status.success(), "{status}:\n{log}");
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test harness shows it beside the failure.
            #[expect(clippy::print_stderr, reason = "what it said is the first thing that one wants to see")]
            {
                eprintln!("watch said last:\n{}", tail(&self.log(), 30));
            }
        }
    }
}

/// A child that is not a [`Daemon`] yet.
struct Orphan(Option<Child>);

impl Orphan {
    fn get(&mut self) -> &mut Child {
        self.0.as_mut().expect("it was not taken yet")
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a process writes to its standard error, read by a thread of its own so that it never has to wait.
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, of a process that has ended.
    fn to_its_end(&self) -> String {
        let ended = || self.reader.as_ref().is_none_or(std::thread::JoinHandle::is_finished);
        wait_until("the end of what it says", PATIENCE, ended);
        self.text()
    }
}

/// The address in the line that says where it listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
