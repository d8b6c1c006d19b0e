//! A log that another process appends to as fast as it can: what following it costs, beside mtail.

use crate::process::{peak_mib, processor_seconds};
use crate::rig::daemon::{self, AGENT, Daemon};
use crate::rig::exposition::{ACCESSES, Exposition};
use crate::rig::http::Client;
use crate::rig::lines::{self, Access, OUTCOMES};
use crate::{Options, Result};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// As much is generated, and written again and again.
const POOL: usize = 32 << 20;

/// As much is written at once.
const BLOCK: usize = 256 << 10;

/// A program that stands still for so long has stopped counting.
const PATIENCE: Duration = Duration::from_mins(1);

/// Counts the same by the same labels.
const MTAIL: &str = r#"counter accesses by deployment, outcome

/"message\\":\\"Storage access: (?P<outcome>[A-Za-z0-9_-]+).*"deployment_name":"(?P<deployment>[^"]+)"/ {
  accesses[$deployment][$outcome]++
}
"#;

/// What a round took.
struct Round {
    wall_seconds: f64,
    processor_seconds: [f64; 2],
    peak_mib: f64,
    counted: u64,
}

/// The other process: makes its lines, waits for a word, and writes. It says how much it wrote.
pub(crate) fn append(path: &Path, options: &Options) -> Result<()> {
    let mut pool = String::with_capacity(POOL + 4096);
    let (mut number, mut accesses) = (0, 0_u64);
    let mut ends = vec![];
    while pool.len() < POOL {
        number += 1;
        let deployment = format!("happy-otter-{}", number % 20);
        if number * 7919 % 100 < options.matching {
            accesses += 1;
            let outcome = OUTCOMES[(number / 100 % 3) as usize];
            pool.push_str(&lines::access(Access { deployment: &deployment, outcome, size_bytes: number }, number));
        } else {
            // Without the phrase: those that quote it cost more.
            pool.push_str(&lines::noise(&deployment, number / 3 * 4 + number % 3));
        }
        ends.push(pool.len());
    }
    let mut file = File::options().append(true).open(path)?;
    println!("ready");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word)?;
    let (mut bytes, mut times) = (0, 0);
    let began = Instant::now();
    while bytes < options.size {
        pool.as_bytes().chunks(BLOCK).try_for_each(|block| file.write_all(block))?;
        bytes += pool.len() as u64;
        times += 1;
    }
    println!("{} {} {} {}", bytes, times * ends.len() as u64, times * accesses, began.elapsed().as_secs_f64());
    Ok(())
}

/// Starts the other process; the word that it waits for is not said yet.
fn writer(path: &Path, options: &Options) -> Result<(Child, BufReader<impl Read + use<>>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--append")
        .arg(path)
        .args(["--size", &options.size.to_string(), "--matching", &options.matching.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    output.read_line(&mut String::new())?;
    Ok((child, output))
}

/// Lets the log grow while a program follows it, and waits until it has counted everything.
fn follow(
    process: u32,
    path: &Path,
    options: &Options,
    mut counted: impl FnMut() -> Option<u64>,
) -> Result<(Round, Grown)> {
    let (mut child, mut output) = writer(path, options)?;
    let before = processor_seconds(process);
    let began = Instant::now();
    child.stdin.take().ok_or("no input")?.write_all(b"go\n")?;
    let reading = thread::spawn(move || {
        let mut line = String::new();
        output.read_line(&mut line).map(|_| line)
    });
    let (mut grown, mut latest, mut moved) = (None, 0, Instant::now());
    let mut reading = Some(reading);
    let wall_seconds = loop {
        if let Some(done) = reading.take_if(|thread| thread.is_finished()) {
            grown = Some(Grown::parse(&done.join().map_err(|_| "the writer's output was not read")??)?);
        }
        let now = counted().unwrap_or(latest);
        if now != latest {
            (latest, moved) = (now, Instant::now());
        }
        let is_complete = grown.as_ref().is_some_and(|grown: &Grown| latest >= grown.accesses);
        if is_complete || moved.elapsed() > PATIENCE {
            break began.elapsed().as_secs_f64();
        }
        thread::sleep(Duration::from_millis(10));
    };
    child.wait()?;
    let after = processor_seconds(process);
    let used = [after[0] - before[0], after[1] - before[1]];
    let round = Round { wall_seconds, processor_seconds: used, peak_mib: peak_mib(process), counted: latest };
    Ok((round, grown.ok_or("the writer has not ended")?))
}

/// What the other process wrote.
struct Grown {
    bytes: u64,
    lines: u64,
    accesses: u64,
    seconds: f64,
}

impl Grown {
    fn parse(line: &str) -> Result<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [bytes, lines, accesses, seconds] = words[..] else {
            return Err(format!("the writer says {line:?}").into());
        };
        Ok(Self {
            bytes: bytes.parse()?,
            lines: lines.parse()?,
            accesses: accesses.parse()?,
            seconds: seconds.parse()?,
        })
    }
}

/// Takes turns with mtail, and prints what each took.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let with_mtail = Command::new("mtail").arg("--version").output().is_ok();
    println!(
        "\n| program | MiB | lines | accesses | counted | written in, s | counted after, s | processor, s | user | kernel | MB per processor second | peak, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut right = true;
    let mut ratios = vec![];
    for _ in 0..options.runs {
        let (ours, grown) = follow_with_storagewatch(options)?;
        right &= ours.counted == grown.accesses;
        ours.show("storagewatch", &grown);
        if with_mtail {
            let (theirs, grown) = follow_with_mtail(options)?;
            theirs.show("mtail", &grown);
            ratios.push((ours.processor() / theirs.processor(), ours.wall_seconds / theirs.wall_seconds));
        }
    }
    for (processor, wall) in &ratios {
        println!("\nOf mtail's processor time {processor:.3}, of its wall time {wall:.3}.");
    }
    if !with_mtail {
        println!("\nmtail is not installed.");
    }
    Ok(right)
}

impl Round {
    fn processor(&self) -> f64 {
        self.processor_seconds.iter().sum()
    }

    fn show(&self, program: &str, grown: &Grown) {
        let [user, kernel] = self.processor_seconds;
        let (mib, processor) = (grown.bytes >> 20, self.processor());
        let speed = grown.bytes as f64 / 1e6 / processor;
        println!(
            "| {program} | {mib} | {} | {} | {} | {:.2} | {:.2} | {processor:.2} | {user:.2} | {kernel:.2} | {speed:.0} | {:.0} |",
            grown.lines, grown.accesses, self.counted, grown.seconds, self.wall_seconds, self.peak_mib
        );
    }
}

fn follow_with_storagewatch(options: &Options) -> Result<(Round, Grown)> {
    let root = tempfile::tempdir()?;
    let log = root.path().join("app.log");
    fs::write(&log, "")?;
    let mut command = daemon::command();
    command.arg(&log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.path().join("state"));
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_until_ready();
    let process = daemon.child.id();
    let result = follow(process, &log, options, || Some(daemon.metrics().sum(ACCESSES, &[]) as u64))?;
    daemon.stop();
    Ok(result)
}

/// A child that is killed when it is no longer needed.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow_with_mtail(options: &Options) -> Result<(Round, Grown)> {
    let root = tempfile::tempdir()?;
    let (log, program) = (root.path().join("app.log"), root.path().join("accesses.mtail"));
    fs::write(&log, "")?;
    fs::write(&program, MTAIL)?;
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new("mtail")
        .arg("--progs")
        .arg(&program)
        .arg("--logs")
        .arg(&log)
        .args(["--address", "127.0.0.1", "--port", &address.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = Killed(child);
    let mut client = Client::new(address, AGENT);
    let began = Instant::now();
    while !client.get("/metrics").is_ok_and(|answer| answer.status == 200) {
        if began.elapsed() > PATIENCE {
            return Err("mtail does not serve".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    // It looks for its logs every quarter of a second.
    thread::sleep(Duration::from_secs(1));
    let counted = || {
        let page = client.get("/metrics").ok().filter(|answer| answer.status == 200)?;
        let ours: String = page.body.lines().filter(|line| line.starts_with("accesses{")).map(line_with_end).collect();
        Some(Exposition::parse(&ours).sum("accesses", &[]) as u64)
    };
    follow(child.0.id(), &log, options, counted)
}

fn line_with_end(line: &str) -> String {
    format!("{line}\n")
}
