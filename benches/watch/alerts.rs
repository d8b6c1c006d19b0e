//! From the writing of a failure to its arrival: at a webhook, at whoever a real Alertmanager notifies, which waits for
//! nothing (`group_wait: 0s`), and the same through a real Prometheus that scrapes and evaluates the shipped rules each
//! second. Each failure is the first of its deployment.

use crate::Options;
use crate::rig::alertmanager::Alertmanager;
use crate::rig::daemon::{self, Daemon};
use crate::rig::lines::{self, Access};
use crate::rig::receiver::Receiver;
use crate::rig::shipped::Prometheus;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// How long the last failure may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the first news of each deployment came.
fn arrivals(receiver: &Receiver) -> HashMap<String, Instant> {
    let mut first = HashMap::new();
    for request in receiver.requests() {
        for alert in request.body["alerts"].as_array().into_iter().flatten() {
            let deployment = alert["labels"]["deployment"].as_str().map(str::to_owned);
            if alert["status"] == "firing" {
                first.entry(deployment.unwrap_or_default()).or_insert(request.at);
            }
        }
    }
    first
}

/// Measures, and says whether every failure arrived.
pub(crate) fn run(options: &Options) -> bool {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    fs::write(&log, "").unwrap();
    let (notified, webhook) = (Receiver::start(), Receiver::start());
    let alertmanager = Alertmanager::start(root.path(), &notified);
    let (scraped, beside) = (Receiver::start(), root.path().join("prometheus"));
    fs::create_dir(&beside).unwrap();
    let of_prometheus = Alertmanager::start(&beside, &scraped);
    fs::write(root.path().join("url"), webhook.url()).unwrap();
    let config = format!(
        "[[source.file]]\nname = \"app\"\npaths = [\"app.log\"]\n[alert]\nalertmanagers = [\"{}\"]\n[[alert.webhook]]\nurl = \"file:url\"\n",
        alertmanager.url()
    );
    fs::write(root.path().join("watch.toml"), config).unwrap();
    let mut command = daemon::command();
    command.arg("--config").arg(root.path().join("watch.toml")).args(["--listen", "127.0.0.1:0", "--state-dir"]);
    let mut daemon = Daemon::start(command.arg(root.path().join("state")));
    daemon.wait_until_ready();
    let _prometheus = Prometheus::start(&beside, daemon.address, of_prometheus.address);
    // It reads its configuration and scrapes for the first time.
    thread::sleep(Duration::from_secs(5));
    let mut file = File::options().append(true).open(&log).unwrap();
    let mut random = 7_u64;
    let mut written = Vec::new();
    for number in 0..options.failures {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros(20_000 + (random >> 33) % 30_000));
        let deployment = format!("fresh-otter-{number}");
        let access = Access { deployment: &deployment, outcome: "direct-failed", size_bytes: 1 };
        let line = lines::access_ago(access, number, 0);
        let began = Instant::now();
        file.write_all(line.as_bytes()).unwrap();
        written.push((deployment, began));
    }
    let began = Instant::now();
    let all = |receiver: &Receiver| arrivals(receiver).len() as u64 >= options.failures;
    while began.elapsed() < PATIENCE && !(all(&notified) && all(&webhook) && all(&scraped)) {
        thread::sleep(Duration::from_millis(10));
    }
    println!("\n| failures | way | arrived | median, ms | 99 of 100, ms | longest, ms |");
    println!("|--:|---|--:|--:|--:|--:|");
    let mut right = true;
    let ways = [
        ("webhook", &webhook),
        ("Alertmanager and its receiver", &notified),
        ("Prometheus, Alertmanager and its receiver", &scraped),
    ];
    for (way, receiver) in ways {
        let arrived = arrivals(receiver);
        let took = written
            .iter()
            .filter_map(|(deployment, began)| Some((*arrived.get(deployment)? - *began).as_secs_f64() * 1e3));
        let mut took: Vec<f64> = took.collect();
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)));
        let [median, most, longest] = [0.5, 0.99, 1.0].map(|share| at(share).copied().unwrap_or(f64::NAN));
        println!("| {} | {way} | {} | {median:.2} | {most:.2} | {longest:.2} |", options.failures, took.len());
        right &= took.len() as u64 == options.failures;
    }
    daemon.stop();
    right
}
