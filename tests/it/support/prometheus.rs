//! A real Prometheus on a free port, and what it answers.

use crate::serve::server::{Answer, DEADLINE};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A Prometheus that ends when it is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: std::path::PathBuf,
}

impl Prometheus {
    /// Starts one with this configuration; what it names by a relative path lies in the directory.
    pub(crate) fn start(directory: &Path, config: &Value) -> Self {
        let text = config.to_string();
        let config = directory.join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = directory.join("log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .spawn()
            .expect("prometheus, of the Debian package of that name, which tests/run installs");
        Self { child, address, log }
    }

    /// What the API answers, or nothing while it does not.
    pub(crate) fn ask(&self, path_and_query: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("GET {path_and_query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let answer = Answer::parse(&bytes, false);
        (answer.status == 200).then(|| serde_json::from_str::<Value>(&answer.body).unwrap()["data"].clone())
    }

    /// The series that a query gives, as soon as there are as many as expected.
    pub(crate) fn query(&mut self, query: &str, expected: usize) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", encoded(query));
        self.wait(&path, |data| Some(data["result"].as_array()?.clone()).filter(|series| series.len() == expected))
    }

    pub(crate) fn wait<T>(&mut self, path: &str, check: impl Fn(&Value) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let data = self.ask(path);
            if let Some(found) = data.as_ref().and_then(&check) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > DEADLINE {
                let targets = self.ask("/api/v1/targets");
                let log = std::fs::read_to_string(&self.log).unwrap();
                panic!("{path}: {data:#?}\nended: {ended:?}\ntargets: {targets:#?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A query for a path, still readable where that goes wrong.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02x}") })
        .collect()
}
