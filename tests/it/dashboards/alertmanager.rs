//! The shipped configuration in a real Alertmanager: what storagewatch and Prometheus both say is said once.

use crate::serve::server::{Answer, DEADLINE};
use crate::support::node::read;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// An Alertmanager that ends when it is dropped.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
}

impl Alertmanager {
    /// Starts one whose receivers are at this address.
    fn start(directory: &Path, receiver: SocketAddr) -> Self {
        let shipped = read("dashboards/alertmanager/alertmanager.yml");
        let changed = shipped
            .replace("http://127.0.0.1:5001/", &format!("http://{receiver}/"))
            // As long as a person has, and too long for a test.
            .replace("group_interval: 5m", "group_interval: 1s");
        assert!(changed.matches(&receiver.to_string()).count() == 2 && changed.contains("group_interval: 1s"));
        let config = directory.join("alertmanager.yml");
        std::fs::write(&config, changed).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--log.level=warn"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-alertmanager, of the Debian package of that name, which tests/run installs");
        let alertmanager = Self { child, address };
        let began = Instant::now();
        while alertmanager.request("GET", "/-/ready", "").is_none_or(|answer| answer.status != 200) {
            assert!(began.elapsed() < DEADLINE, "Alertmanager is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        alertmanager
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Some(Answer::parse(&bytes, false))
    }

    /// Sends an alert that fires, as both senders do.
    fn post(&self, deployment: &str, severity: &str, sender: &str) {
        let labels = json!({
            "alertname": "ConvexStorageDirectFailed", "deployment": deployment, "hosting": "cloud",
            "severity": severity, "sender": sender,
        });
        let answer = self.request("POST", "/api/v2/alerts", &json!([{"labels": labels}]).to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A receiver: whom each notification went to, and what it said.
fn receiver() -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, notifications) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let head: Vec<String> =
                reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length =
                head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let path = head[0].split(' ').nth(1).unwrap().to_owned();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = sender.send((path, serde_json::from_slice(&body).unwrap()));
        }
    });
    (address, notifications)
}

/// Whom the next notification went to, and the deployments and senders of its alerts.
fn next(notifications: &Receiver<(String, Value)>) -> (String, Vec<(String, String)>) {
    let (path, body) = notifications.recv_timeout(DEADLINE).expect("a notification");
    let text = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap().to_owned();
    let alerts = body["alerts"].as_array().unwrap();
    (path, alerts.iter().map(|alert| (text(alert, "deployment"), text(alert, "sender"))).collect())
}

fn expected(path: &str, deployment: &str, senders: &[&str]) -> (String, Vec<(String, String)>) {
    (path.to_owned(), senders.iter().map(|sender| (deployment.to_owned(), (*sender).to_owned())).collect())
}

#[test]
fn what_both_say_is_notified_once_and_what_one_says_is_notified() {
    let directory = tempfile::tempdir().unwrap();
    let (address, notifications) = receiver();
    let alertmanager = Alertmanager::start(directory.path(), address);
    alertmanager.post("happy-otter-123", "critical", "storagewatch");
    assert_eq!(next(&notifications), expected("/pager", "happy-otter-123", &["storagewatch"]));
    // Prometheus says it, too, a scrape and an evaluation later: nobody is told again. What it alone says is notified, and two
    // of those take longer than the group's interval.
    alertmanager.post("happy-otter-123", "critical", "prometheus");
    for deployment in ["quick-fox-7", "quick-fox-8", "quick-fox-9"] {
        alertmanager.post(deployment, "critical", "prometheus");
        assert_eq!(next(&notifications), expected("/pager", deployment, &["prometheus"]));
    }
    // Of another severity, and to nobody.
    alertmanager.post("brave-heron-9", "info", "storagewatch");
    alertmanager.post("brave-heron-9", "warning", "storagewatch");
    assert_eq!(next(&notifications), expected("/chat", "brave-heron-9", &["storagewatch"]));
}
