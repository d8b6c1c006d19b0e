//! A real Alertmanager as a child process that does not outlive its test.

use super::http::Client;
use super::receiver::Receiver;
use super::waiting::{PATIENCE, wait_until};
use serde_json::Value;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An Alertmanager that notifies at once, grouped as the shipped route groups.
pub(crate) struct Alertmanager {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Alertmanager {
    pub(crate) fn start(directory: &Path, receiver: &Receiver) -> Self {
        let text = format!(
            "route:\n  receiver: test\n  group_by: [alertname, deployment, hosting, severity]\n  group_wait: 0s\n  group_interval: 1s\n\
             receivers:\n  - name: test\n    webhook_configs: [{{url: '{}/', send_resolved: true}}]\n",
            receiver.url()
        );
        Self::configured(directory, &text)
    }

    /// One with a configuration of its own.
    pub(crate) fn configured(directory: &Path, text: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = directory.join("alertmanager.yml");
        fs::write(&config, text).unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.join("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--log.level=warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("alertmanager.log")).unwrap())
            .spawn()
            .expect("this test runs Debian's prometheus-alertmanager, which tests/run installs");
        let alertmanager = Self { child, address };
        wait_until("Alertmanager to be ready", PATIENCE, || {
            Client::new(address, "tests").get("/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        alertmanager
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds, resolved alerts aside.
    pub(crate) fn active(&self) -> Vec<Value> {
        let answer = Client::new(self.address, "tests").get("/api/v2/alerts").unwrap();
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
