//! From the writing of a line to its count in `/metrics`, one line at a time.

use crate::Options;
use crate::rig::daemon::{self, AGENT, Daemon};
use crate::rig::http::Client;
use crate::rig::lines::{self, Access};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const DEPLOYMENT: &str = "quiet-otter-1";
const SERIES: &str = "convex_storage_access_total{deployment=\"quiet-otter-1\",hosting=\"cloud\",outcome=\"direct\"} ";
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes lines at random moments, and returns when each was written.
fn write(log: &Path, lines: u64) -> Vec<Instant> {
    let mut file = File::options().append(true).open(log).unwrap();
    let mut random = 7_u64;
    (1..=lines)
        .map(|number| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            thread::sleep(Duration::from_micros(5_000 + (random >> 33) % 15_000));
            let access = Access { deployment: DEPLOYMENT, outcome: "direct", size_bytes: number };
            let line = lines::access(access, number);
            let began = Instant::now();
            file.write_all(line.as_bytes()).unwrap();
            began
        })
        .collect()
}

/// The count in a page.
fn count(page: &str) -> u64 {
    let at = page.find(SERIES);
    let value = at.and_then(|at| page[at + SERIES.len()..].lines().next());
    value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

/// Measures, and says whether every line was counted once.
pub(crate) fn run(options: &Options) -> bool {
    let lines = options.lines.unwrap_or(1_000);
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    fs::write(&log, "").unwrap();
    let mut command = daemon::command();
    command.arg(&log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.path().join("state"));
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_until_ready();
    // The first line makes the series, which are held at 0 until they were scraped.
    let first = lines::access(Access { deployment: DEPLOYMENT, outcome: "direct", size_bytes: 1 }, 0);
    fs::write(&log, first).unwrap();
    daemon.wait_for_accesses(DEPLOYMENT, 1);
    let mut client = Client::new(daemon.address, AGENT);
    let mut seen: Vec<Instant> = vec![];
    let (written, scrapes) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&log, lines));
        let (mut scrapes, mut moved) = (0_u64, Instant::now());
        while (seen.len() as u64) < lines && moved.elapsed() < PATIENCE {
            let page = client.get("/metrics").unwrap().body;
            let now = Instant::now();
            scrapes += 1;
            while (seen.len() as u64) < count(&page).saturating_sub(1) {
                seen.push(now);
                moved = now;
            }
        }
        (writer.join().unwrap(), scrapes)
    });
    let mut took: Vec<_> =
        written.iter().zip(&seen).map(|(from, to)| to.duration_since(*from).as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)));
    let [median, most, longest] = [0.5, 0.99, 1.0].map(|share| at(share).copied().unwrap_or(f64::NAN));
    println!("\n| lines | counted | median, ms | 99 of 100, ms | longest, ms | scrapes |");
    println!("|--:|--:|--:|--:|--:|--:|");
    println!("| {lines} | {} | {median:.2} | {most:.2} | {longest:.2} | {scrapes} |", seen.len());
    daemon.stop();
    seen.len() as u64 == lines
}
