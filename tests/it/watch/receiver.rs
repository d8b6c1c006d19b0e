//! Somebody who is told: an HTTP server that keeps what it is sent, and answers as the test wants it to.

use super::waiting::{PATIENCE, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What came, and when.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// What is answered; 0 stands for nothing at all.
    status: AtomicU16,
    /// Whatever says this is refused.
    refused: Mutex<Option<String>>,
    /// Whether what was asked for is repeated in an answer that takes nothing.
    repeats: AtomicBool,
    requests: Mutex<Vec<Request>>,
    over: AtomicBool,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), 200)
    }

    /// One that never answers.
    pub(crate) fn hanging() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), 0)
    }

    pub(crate) fn at(address: SocketAddr, status: u16) -> Self {
        let listener =
            wait_for("the port to be free", PATIENCE, || TcpListener::bind(address).map_err(|e| e.to_string()));
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            status: AtomicU16::new(status),
            refused: Mutex::default(),
            repeats: AtomicBool::new(false),
            requests: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.over.load(Ordering::SeqCst) {
                    return;
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || drop(own.serve(stream.unwrap())));
            }
        });
        Self { address, shared }
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Refuses with a 400 whatever says this, from now on.
    pub(crate) fn refuse(&self, text: &str) {
        *self.shared.refused.lock().unwrap() = Some(text.to_owned());
    }

    /// Repeats what it was asked for where it takes nothing, from now on.
    pub(crate) fn repeat(&self) {
        self.shared.repeats.store(true, Ordering::SeqCst);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was sent so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The alerts in all that it was sent, whatever it answered: those of the body's list, or of its key `alerts`.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let of = |request: Request| -> Vec<Value> {
            let list = if request.body.is_array() { &request.body } else { &request.body["alerts"] };
            list.as_array().cloned().unwrap_or_default()
        };
        self.requests().into_iter().flat_map(of).collect()
    }

    /// Waits until it was sent this many alerts.
    pub(crate) fn wait_for_alerts(&self, count: usize) -> Vec<Value> {
        self.wait_for(&format!("{count} alerts"), |alerts| alerts.len() >= count)
    }

    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        wait_for(what, PATIENCE, || {
            let alerts = self.alerts();
            if holds(&alerts) { Ok(alerts) } else { Err(format!("{alerts:#?}")) }
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // So that it sees it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut first = String::new();
            if stream.read_line(&mut first)? == 0 || self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                match line.split_once(':') {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.trim().parse().unwrap();
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let refused = self.refused.lock().unwrap().clone();
            let is_refused = refused.is_some_and(|text| String::from_utf8_lossy(&body).contains(&text));
            let body = serde_json::from_slice(&body).expect("JSON");
            let text = if self.repeats.load(Ordering::SeqCst) {
                format!("Cannot POST {path}")
            } else {
                "no_<service>\u{1b}".to_owned()
            };
            self.requests.lock().unwrap().push(Request { path, body, at: Instant::now() });
            let status = loop {
                match self.status.load(Ordering::SeqCst) {
                    _ if is_refused => break 400,
                    0 if self.over.load(Ordering::SeqCst) => return Ok(()),
                    0 => std::thread::sleep(Duration::from_millis(10)),
                    status => break status,
                }
            };
            let text = if status == 200 { "" } else { &text };
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            stream.get_mut().write_all(answer.as_bytes())?;
        }
    }
}
