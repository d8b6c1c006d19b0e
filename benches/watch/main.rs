//! Follows logs with `storagewatch watch` while they are written and rotated, and checks that every access counts once;
//! measures what following costs and how soon a line is counted.
//!
//! `cargo bench --bench watch -- scenarios` runs the rotations and kills, `-- throughput` a log that grows at full speed,
//! side by side with mtail where it is installed, `-- idle` a hundred quiet logs, `-- latency` one line after another,
//! `-- alerts` one failure after another through a real Alertmanager, `-- webhook` signed bodies as fast as they are answered;
//! without a word all are run, and `--help` lists the options. Under `cargo test --benches` all is small, and what counts is
//! that the counts are right.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the product of this program")]
#![allow(clippy::unwrap_used, clippy::string_slice, reason = "a measurement that cannot go on has failed")]

mod alerts;
mod idle;
mod latency;
mod process;
mod rig;
mod scenarios;
mod throughput;
mod webhook;
mod writer;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str = "\
Follows logs with `storagewatch watch` and checks its counts.

  scenarios            rotations, copies and kills, each line counted once
  throughput           a log that grows at full speed, beside mtail where that is installed
  idle                 a hundred quiet logs
  latency              how soon a line that is written is counted
  alerts               how soon whoever an Alertmanager notifies hears of a failure
  webhook              signed bodies of 128 events, as fast as they are answered

  --rate N             lines a second of the scenarios (2000 and 20000)
  --lines N            lines of each scenario (20000, or those of five seconds if more) and of the latency (1000)
  --failures N         failures of the alerts (200)
  --only WORD          only scenarios whose name contains this
  --size SIZE          bytes that the log grows by, with K, M or G (1G)
  --matching N         percent of its lines that are storage accesses (1)
  --runs N             rounds of the throughput (3)
  --seconds N          how long nothing happens (60)
  --connections N      connections over which bodies are posted (1, 8 and 64)
  --load-seconds N     how long they are (20)
";

/// Ends with 0 where all counts are right, 1 where some are not, 2 where the work could not be done.
fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| options.as_ref().map_or(Ok(true), run)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("watch: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does what was asked for and says whether all counts were right.
fn run(options: &Options) -> Result<bool> {
    if let Some(path) = &options.append {
        throughput::append(path, options)?;
        return Ok(true);
    }
    let wanted = |word: &str| options.words.is_empty() || options.words.iter().any(|given| given == word);
    let mut right = true;
    if wanted("scenarios") {
        right &= scenarios::run(options);
    }
    if wanted("throughput") {
        right &= throughput::run(options)?;
    }
    if wanted("idle") {
        idle::run(options);
    }
    if wanted("latency") {
        right &= latency::run(options);
    }
    if wanted("alerts") {
        right &= alerts::run(options);
    }
    if wanted("webhook") {
        right &= webhook::run(options)?;
    }
    Ok(right)
}

/// What was asked for.
struct Options {
    words: Vec<String>,
    rates: Vec<u64>,
    lines: Option<u64>,
    failures: u64,
    only: Option<String>,
    size: u64,
    matching: u64,
    runs: usize,
    seconds: u64,
    connections: Vec<usize>,
    load_seconds: u64,
    /// This process is the one that appends.
    append: Option<std::path::PathBuf>,
}

impl Options {
    /// Reads the arguments; nothing is returned where help was asked for.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = arguments.peekable();
        let mut options = Self {
            words: vec![],
            rates: vec![2_000, 20_000],
            lines: None,
            failures: 200,
            only: None,
            size: 1 << 30,
            matching: 1,
            runs: 3,
            seconds: 60,
            connections: vec![1, 8, 64],
            load_seconds: 20,
            append: None,
        };
        // `cargo bench` passes `--bench`; `cargo test --benches` passes nothing.
        if arguments.peek().is_none() {
            let small = Self {
                rates: vec![4_000],
                lines: Some(2_000),
                failures: 20,
                size: 8 << 20,
                runs: 1,
                seconds: 1,
                connections: vec![8],
                load_seconds: 1,
                ..options
            };
            return Ok(Some(small));
        }
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} takes a value"));
            match name.as_str() {
                "--bench" => {}
                "--help" | "-h" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                "--rate" => options.rates = vec![value()?.parse::<u64>()?.max(1)],
                "--lines" => options.lines = Some(value()?.parse()?),
                "--failures" => options.failures = value()?.parse::<u64>()?.max(1),
                "--only" => options.only = Some(value()?),
                "--size" => options.size = parse_size(&value()?)?,
                "--matching" => options.matching = value()?.parse::<u64>()?.clamp(1, 100),
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.seconds = value()?.parse()?,
                "--connections" => options.connections = vec![value()?.parse::<usize>()?.max(1)],
                "--load-seconds" => options.load_seconds = value()?.parse()?,
                "--append" => options.append = Some(value()?.into()),
                "scenarios" | "throughput" | "idle" | "latency" | "alerts" | "webhook" => options.words.push(name),
                _ => return Err(format!("{name} is not an option; --help lists them").into()),
            }
        }
        Ok(Some(options))
    }
}

/// Bytes, with K, M or G.
fn parse_size(text: &str) -> Result<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let unit = units.iter().find_map(|(unit, shift)| text.strip_suffix(unit).map(|number| (number, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    Ok(number.parse::<u64>()? << shift)
}
