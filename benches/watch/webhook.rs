//! Signed bodies of 128 events as fast as they are answered: how many a second become durable, how soon each is answered,
//! and whether every one of them counts once.

use crate::process::{peak_mib, processor_seconds};
use crate::rig::daemon::{self, Daemon};
use crate::rig::exposition::ACCESSES;
use crate::rig::sender::{BATCH, Sender, array};
use crate::rig::waiting::{PATIENCE, wait_for};
use crate::{Options, Result};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Deployments that post.
const DEPLOYMENTS: usize = 8;

/// What the senders saw.
#[derive(Default)]
struct Seen {
    taken: u64,
    again: u64,
    seconds: Vec<f64>,
}

/// Bodies that differ in one request's id, so that each is one of its own.
struct Bodies {
    body: Vec<u8>,
    /// Where the id stands.
    at: usize,
    next: u64,
}

impl Bodies {
    fn new(sender: usize) -> Self {
        let body = array(&format!("tall-heron-{}", sender % DEPLOYMENTS), 0..BATCH);
        let mark = b"\"request_id\":\"";
        let at = body.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
        Self { body, at, next: (sender as u64) << 32 }
    }

    fn next(&mut self) -> &[u8] {
        self.next += 1;
        self.body[self.at..self.at + 16].copy_from_slice(format!("{:016x}", self.next).as_bytes());
        &self.body
    }
}

/// Posts until the time is over. What is to be tried again is tried again.
fn post(address: SocketAddr, number: usize, until: Instant) -> Seen {
    let mut sender = Sender::new(address, "/ingest/cloud", SECRET);
    let (mut bodies, mut seen) = (Bodies::new(number), Seen::default());
    while Instant::now() < until {
        let body = bodies.next();
        loop {
            let began = Instant::now();
            match sender.post(body).map_or(0, |answer| answer.status) {
                200 => {
                    seen.seconds.push(began.elapsed().as_secs_f64());
                    break;
                }
                _ => seen.again += 1,
            }
        }
        seen.taken += 1;
    }
    seen
}

/// Posts, with the state on each of the file systems, and says whether nothing was lost and nothing counted twice.
pub(crate) fn run(options: &Options) -> Result<bool> {
    println!(
        "\n| state on | connections | bodies | MB | told to try again | lost | twice | bodies/s | events/s | MB/s | median, ms | p99, ms | most, ms | commits/s | bodies a commit | processor, s | peak, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut right = true;
    let mut places = vec![("disk", std::env::temp_dir())];
    if Path::new("/dev/shm").is_dir() {
        places.push(("memory", "/dev/shm".into()));
    }
    for (name, place) in places {
        for connections in &options.connections {
            right &= load(name, &place, *connections, options)?;
        }
    }
    Ok(right)
}

fn load(name: &str, place: &Path, connections: usize, options: &Options) -> Result<bool> {
    let root = tempfile::tempdir_in(place)?;
    let config = root.path().join("watch.toml");
    fs::write(root.path().join("secret"), SECRET)?;
    fs::write(&config, "[[source.webhook]]\nname = \"cloud\"\nsecrets = [\"file:secret\"]\n")?;
    let mut command = daemon::command();
    command.arg("--config").arg(&config).arg("--state-dir").arg(root.path().join("state"));
    let mut daemon = Daemon::start(command.args(["--listen", "127.0.0.1:0", "--ingest-listen", "127.0.0.1:0"]));
    let address = wait_for("the intake", PATIENCE, || {
        let log = daemon.log();
        let found = log.lines().find_map(|line| line.split_once("taken in at http://")?.1.split_once("/ingest/"));
        found.and_then(|(address, _)| address.parse().ok()).ok_or(log)
    });
    let process = daemon.child.id();
    let before = processor_seconds(process);
    let began = Instant::now();
    let until = began + Duration::from_secs(options.load_seconds);
    let (mut seen, size) = (Seen::default(), Bodies::new(0).body.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || post(address, number, until))).collect();
        for thread in threads {
            let one = thread.join().expect("a sender does not panic");
            seen.taken += one.taken;
            seen.again += one.again;
            seen.seconds.extend(one.seconds);
        }
    });
    let wall = began.elapsed().as_secs_f64();
    let after = processor_seconds(process);
    let metrics = daemon.metrics();
    // Nobody scraped before, so nothing is held back.
    let counted = metrics.sum(ACCESSES, &[]) as u64;
    let commits = metrics.sum("storagewatch_ledger_commit_duration_seconds_count", &[]);
    let peak = peak_mib(process);
    daemon.stop();
    seen.seconds.sort_by(f64::total_cmp);
    let at = |part: f64| seen.seconds.get((seen.seconds.len() as f64 * part) as usize).copied().unwrap_or(0.0) * 1e3;
    let most = seen.seconds.last().copied().unwrap_or(0.0) * 1e3;
    let (bodies, expected) = (seen.taken as f64, seen.taken * BATCH);
    let megabytes = bodies * size as f64 / 1e6;
    println!(
        "| {name} | {connections} | {} | {megabytes:.0} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {most:.1} | {:.0} | {:.1} | {:.1} | {peak:.0} |",
        seen.taken,
        seen.again,
        expected.saturating_sub(counted),
        counted.saturating_sub(expected),
        bodies / wall,
        expected as f64 / wall,
        megabytes / wall,
        at(0.5),
        at(0.99),
        commits / wall,
        bodies / commits,
        after[0] + after[1] - before[0] - before[1],
    );
    Ok(counted == expected)
}
