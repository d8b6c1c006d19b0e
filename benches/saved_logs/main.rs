//! Times `storagewatch report --format json` on generated logs, side by side with ripgrep and mawk, and checks its counts.
//!
//! `cargo bench --bench saved_logs -- --size 1G` takes every shape with 1, 20 and 100 % of the records matching; `--help`
//! lists the options. Under `cargo test --benches` the logs are small, and what counts is that the counts agree.
//!
//! A seeded generator writes a log and keeps count of its events. The file is synced, evicted from the page cache and read
//! once. A first round is not timed: it checks all counts and samples memory. Then the programs take turns, each writing
//! to a pipe, and ratios are taken within a round, so that they compare neighbours in time.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the product of this program")]

mod corpus;
mod measure;

use corpus::{Corpus, OUTCOMES};
use measure::{MAWK, Measured, agree, command, done_with, settle, settled_corpus, storagewatch, take_turns};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MIB: u64 = 1 << 20;

const HELP: &str = "\
Times `storagewatch report --format json` on generated logs and checks its counts.

  --size SIZE          bytes of each log, with K, M or G (64M)
  --shapes LIST        ndjson, docker, docker-ndjson, jsonl, text (all)
  --matching LIST      percent of the records that are storage accesses (1,20,100)
  --runs N             timed rounds (5)
  --seed N             seed of the generator (1)
  --dir DIR            write the logs there and keep them
  --bin PATH           another storagewatch to time
  --compressed         also gzip and zstd, against decompression alone
  --flat               also ndjson of four times the size, which must not need more memory
  --generate SHAPE     only write one log, with one --matching share (20), to --output FILE
";

/// Ends with 0 where all counts agree with the generator's, 1 where some do not, 2 where the work could not be done.
fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| options.as_ref().map_or(Ok(true), run)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("saved_logs: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does what was asked for and says whether all counts agreed.
fn run(options: &Options) -> Result<bool> {
    if let Some((shape, output)) = &options.generate {
        let corpus = Corpus::write(output, *shape, options.matching[0], options.size, options.seed)?;
        eprintln!("{} lines of {} bytes; {OUTCOMES:?}: {:?}", corpus.lines, corpus.bytes, corpus.counts);
        return Ok(true);
    }
    fs::metadata(&options.binary).map_err(|error| format!("{}: {error}", options.binary.display()))?;
    fs::create_dir_all(&options.directory).map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let agreed = compare_with_others(options).and_then(|agreed| {
        Ok(if options.compressed { compare_with_decompression(options)? && agreed } else { agreed })
    });
    if !options.keep {
        fs::remove_dir_all(&options.directory)?;
    }
    agreed
}

struct Options {
    size: u64,
    shapes: Vec<Shape>,
    matching: Vec<u64>,
    runs: usize,
    seed: u64,
    directory: PathBuf,
    /// Whether the logs stay.
    keep: bool,
    binary: PathBuf,
    compressed: bool,
    flat: bool,
    generate: Option<(Shape, PathBuf)>,
}

impl Options {
    /// Reads the arguments; nothing is returned where help was asked for.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = arguments.peekable();
        // `cargo bench` passes `--bench`; `cargo test --benches` passes nothing.
        let (size, runs) = if arguments.peek().is_some() { (64 * MIB, 5) } else { (MIB, 1) };
        let mut options = Self {
            size,
            shapes: Shape::ALL.to_vec(),
            matching: vec![],
            runs,
            seed: 1,
            directory: std::env::temp_dir().join(format!("storagewatch-bench-{}", std::process::id())),
            keep: false,
            binary: env!("CARGO_BIN_EXE_storagewatch").into(),
            compressed: false,
            flat: false,
            generate: None,
        };
        let (mut shape, mut output) = (None, None);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} takes a value"));
            match name.as_str() {
                "--bench" => {}
                "--help" | "-h" => {
                    print!("{HELP}");
                    return Ok(None);
                }
                "--compressed" => options.compressed = true,
                "--flat" => options.flat = true,
                "--size" => options.size = parse_size(&value()?)?,
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--seed" => options.seed = value()?.parse()?,
                "--dir" => (options.directory, options.keep) = (value()?.into(), true),
                "--bin" => options.binary = value()?.into(),
                "--shapes" => options.shapes = value()?.split(',').map(Shape::parse).collect::<Result<_>>()?,
                "--matching" => options.matching = value()?.split(',').map(parse_percent).collect::<Result<_>>()?,
                "--generate" => shape = Some(Shape::parse(&value()?)?),
                "--output" => output = Some(PathBuf::from(value()?)),
                _ => return Err(format!("{name} is not an option; --help lists them").into()),
            }
        }
        if shape.is_some() != output.is_some() || shape.is_some() && options.matching.len() > 1 {
            return Err("--generate takes one --matching share and --output FILE".into());
        }
        options.generate = shape.zip(output);
        if options.matching.is_empty() {
            options.matching = if options.generate.is_some() { vec![20] } else { vec![1, 20, 100] };
        }
        Ok(Some(options))
    }
}

fn parse_size(text: &str) -> Result<u64> {
    let (digits, unit) = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((digits, "K")) => (digits, 1 << 10),
        Some((digits, "M")) => (digits, MIB),
        Some((digits, "G")) => (digits, 1 << 30),
        _ => (text, 1),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.ok_or_else(|| format!("{text} is not a size such as 64M or 1G").into())
}

fn parse_percent(text: &str) -> Result<u64> {
    let percent = text.parse().ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| format!("{text} is not a percentage from 1 to 100").into())
}

/// How the same records are written down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Log stream V2, an object a line.
    Ndjson,
    /// The text of `convex logs --success` in docker's json-file, which wraps each of its lines.
    Docker,
    /// Log stream V2 in docker's json-file.
    DockerNdjson,
    /// The records of `convex logs --jsonl`.
    Jsonl,
    /// The text of `convex logs --success`.
    Text,
}

impl Shape {
    const ALL: [Self; 5] = [Self::Ndjson, Self::Docker, Self::DockerNdjson, Self::Jsonl, Self::Text];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Docker => "docker",
            Self::DockerNdjson => "docker-ndjson",
            Self::Jsonl => "jsonl",
            Self::Text => "text",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|shape| shape.as_str() == text);
        found.ok_or_else(|| format!("{text} is not a shape; --help lists them").into())
    }

    fn names_deployments(self) -> bool {
        matches!(self, Self::Ndjson | Self::DockerNdjson)
    }
}

/// Every shape and share against ripgrep, which only counts lines, and mawk, which counts the same.
fn compare_with_others(options: &Options) -> Result<bool> {
    println!(
        "| shape | matching | MiB | storagewatch, s | rg, s | mawk, s | of rg | of mawk | GB/s | peak, MiB | rg's | mawk's |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut agreed = true;
    let larger = options.flat.then_some((Shape::Ndjson, 4 * options.size));
    for (shape, size) in options.shapes.iter().map(|&shape| (shape, options.size)).chain(larger) {
        for &percent in &options.matching {
            let corpus = settled_corpus(options, shape, percent, size)?;
            let path = &corpus.path;
            let quote = if shape == Shape::DockerNdjson { r#"quote=\\""# } else { r#"quote=""# };
            let [ours, rg, mawk] = take_turns(
                [
                    storagewatch(options, path),
                    command("rg", &["-c", "Storage access: "], path),
                    command("mawk", &["-v", quote, MAWK], path),
                ],
                options.runs,
            )?;
            let (name, mib, time, speed) = (shape.as_str(), corpus.bytes / MIB, ours.time(), ours.speed(corpus.bytes));
            let (rg_time, mawk_time, of_rg, of_mawk) =
                (rg.time(), mawk.time(), ours.ratio_to(&rg), ours.ratio_to(&mawk));
            let [peak, rg_peak, mawk_peak] = [&ours, &rg, &mawk].map(Measured::peak);
            println!(
                "| {name} | {percent} % | {mib} | {time} | {rg_time} | {mawk_time} | {of_rg} | {of_mawk} | {speed} | {peak} | {rg_peak} | {mawk_peak} |"
            );
            agreed &= agree(&corpus, &ours, &rg, &mawk);
            done_with(options, path)?;
        }
    }
    println!(
        "\nMedians of {} rounds. Peaks of resident memory are sampled each millisecond, in a round of its own;",
        options.runs
    );
    println!("rg maps the file, so that the file's pages are part of its peak.");
    Ok(agreed)
}

/// Compressed logs against decompression alone.
fn compare_with_decompression(options: &Options) -> Result<bool> {
    println!(
        "\n| ndjson in | matching | MiB | plain MiB | storagewatch, s | decompression, s | of it | plain GB/s | peak, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut agreed = true;
    for &percent in &options.matching {
        let corpus = settled_corpus(options, Shape::Ndjson, percent, options.size)?;
        for (program, level) in [("gzip", "-6"), ("zstd", "-3")] {
            let path = corpus.path.with_extension(program);
            let packed = command(program, &["-c", level], &corpus.path).stdout(File::create(&path)?).status();
            if packed.is_ok_and(|status| status.success()) {
                settle(&path)?;
                let commands = [storagewatch(options, &path), command(program, &["-dc"], &path)];
                let [ours, alone] = take_turns(commands, options.runs)?;
                let (mib, plain, speed) =
                    (fs::metadata(&path)?.len() / MIB, corpus.bytes / MIB, ours.speed(corpus.bytes));
                let (time, alone_time, ratio, peak) = (ours.time(), alone.time(), ours.ratio_to(&alone), ours.peak());
                println!(
                    "| {program} {level} | {percent} % | {mib} | {plain} | {time} | {alone_time} | {ratio} | {speed} | {peak} |"
                );
                agreed &= agree(&corpus, &ours, &Measured::default(), &Measured::default());
            } else {
                println!("| {program} {level} | {percent} % | not installed | | | | | | |");
            }
            done_with(options, &path)?;
        }
        done_with(options, &corpus.path)?;
    }
    println!(
        "\nDecompression alone is `gzip -dc` or `zstd -dc` into a pipe that is drained: storagewatch has no command for it."
    );
    Ok(agreed)
}
