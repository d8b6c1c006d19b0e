//! A real Prometheus that scrapes every second: the first event of a new deployment is an increase, whoever else scrapes
//! and whatever happens to the process meanwhile.

use super::daemon::{self, Daemon};
use super::exposition::{ACCESSES, Exposition};
use super::http::Client;
use super::lines::{self, Access};
use super::scraper::Scraper;
use super::waiting::{PATIENCE, wait_for, wait_until};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A port that nobody listens on at the moment.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A Prometheus with one target.
struct Prometheus {
    child: Child,
    client: Client,
    log: PathBuf,
}

impl Prometheus {
    fn start(directory: &Path, target: SocketAddr) -> Self {
        let address = free_address();
        let (config, log) = (directory.join("prometheus.yml"), directory.join("prometheus.log"));
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{{job_name: watch, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("this test runs Debian's prometheus, which tests/run installs");
        let mut prometheus = Self { child, client: Client::new(address, "storagewatch-tests"), log };
        wait_until("Prometheus to be ready", PATIENCE, || {
            prometheus.client.get("/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        prometheus.wait_for("sum_over_time(up[1m])", 3.0);
        prometheus
    }

    /// The value of an expression that has one, now.
    fn value(&mut self, expression: &str) -> Result<f64, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-()".contains(&byte);
        let encoded: String = expression
            .bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let answer = self.client.get(&format!("/api/v1/query?query={encoded}")).map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let result = &body["data"]["result"];
        let value = result[0]["value"][1].as_str().and_then(|value| value.parse().ok());
        value.filter(|_| result.as_array().is_some_and(|all| all.len() == 1)).ok_or(answer.body)
    }

    fn wait_for(&mut self, expression: &str, least: f64) {
        wait_for(&format!("{expression} to be at least {least}"), PATIENCE, || match self.value(expression) {
            Ok(value) if value >= least - 1e-9 => Ok(()),
            Ok(value) => Err(value.to_string()),
            Err(error) => Err(format!("{error}\n{}", fs::read_to_string(&self.log).unwrap_or_default())),
        });
    }

    /// What the first accesses of a deployment must become.
    fn wait_for_increase(&mut self, deployment: &str, accesses: u64) {
        let series = format!("{ACCESSES}{{deployment=\"{deployment}\",outcome=\"direct-failed\"}}");
        self.wait_for(&format!("increase({series}[1m])"), accesses as f64);
        let most = self.value(&format!("max_over_time({series}[1m])")).unwrap();
        assert!((most - accesses as f64).abs() < 1e-9, "{deployment}: {most} of {accesses}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A followed log, and a Prometheus that has scraped its counts a few times.
struct Stage {
    root: tempfile::TempDir,
    address: SocketAddr,
    number: u64,
}

impl Stage {
    fn new() -> (Self, Daemon, Prometheus) {
        let stage = Self { root: tempfile::tempdir().unwrap(), address: free_address(), number: 0 };
        fs::write(stage.root.path().join("app.log"), "").unwrap();
        let mut daemon = stage.start();
        wait_until("it to be ready", PATIENCE, || daemon.status("/-/ready") == 200);
        let prometheus = Prometheus::start(stage.root.path(), stage.address);
        (stage, daemon, prometheus)
    }

    fn start(&self) -> Daemon {
        let mut command = daemon::command();
        command.arg(self.root.path().join("app.log")).arg("--state-dir").arg(self.root.path().join("state"));
        Daemon::start(command.args(["--listen", &self.address.to_string()]))
    }

    fn write(&mut self, deployment: &str, count: u64) {
        let mut text = String::new();
        for _ in 0..count {
            self.number += 1;
            let access = Access { deployment, outcome: "direct-failed", size_bytes: 1 };
            text.push_str(&lines::access(access, self.number));
        }
        let file = fs::File::options().append(true).open(self.root.path().join("app.log"));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn the_first_event_of_a_new_deployment_is_an_increase() {
    let (mut stage, daemon, mut prometheus) = Stage::new();
    for (deployment, accesses) in [("brave-heron-1", 1), ("brave-heron-2", 5), ("brave-heron-3", 1)] {
        stage.write(deployment, accesses);
        prometheus.wait_for_increase(deployment, accesses);
    }
    daemon.stop();
}

#[test]
fn a_second_slower_scraper_sees_the_increase_too() {
    let (mut stage, daemon, mut prometheus) = Stage::new();
    let slow = Scraper::start("slow-agent/1.0", Duration::from_millis(2300));
    slow.aim(stage.address);
    std::thread::sleep(Duration::from_millis(2500));
    for (deployment, accesses) in [("brave-heron-1", 1), ("brave-heron-2", 3)] {
        stage.write(deployment, accesses);
        prometheus.wait_for_increase(deployment, accesses);
    }
    let seen = slow.finish();
    assert_eq!((seen.sum as u64, seen.falls.len()), (4, 0), "{seen:?}");
    daemon.stop();
}

#[test]
fn a_scrape_by_hand_does_not_spoil_the_increase() {
    let (mut stage, daemon, mut prometheus) = Stage::new();
    let mut curl = Client::new(stage.address, "curl/7.88.1");
    for at in 0..4 {
        let deployment = format!("brave-heron-{at}");
        stage.write(&deployment, 1);
        // By hand it is seen first, whenever Prometheus does not happen to come between.
        wait_for("the series to be there", PATIENCE, || {
            let page = curl.get("/metrics").map_err(|error| error.to_string())?;
            let knows = Exposition::parse(&page.body).knows(ACCESSES, &[("deployment", &deployment)]);
            if knows { Ok(()) } else { Err("it is not".to_owned()) }
        });
        prometheus.wait_for_increase(&deployment, 1);
    }
    daemon.stop();
}

#[test]
fn a_restart_does_not_spoil_the_increase() {
    let (mut stage, daemon, mut prometheus) = Stage::new();
    let mut daemon = Some(daemon);
    for at in 0..6 {
        let deployment = format!("brave-heron-{at}");
        stage.write(&deployment, 1);
        std::thread::sleep(Duration::from_millis(at * 170));
        let before = daemon.take().expect("it was started");
        if at % 2 == 0 {
            before.kill();
        } else {
            before.stop();
        }
        daemon = Some(stage.start());
        prometheus.wait_for_increase(&deployment, 1);
    }
    daemon.into_iter().for_each(|daemon| drop(daemon.stop()));
}
