//! Times `storagewatch report --format json` on generated logs, side by side with ripgrep and mawk, and checks its counts.
//!
//! `cargo bench --bench saved_logs -- --size 1G` takes every shape with 1, 20 and 100 % of the records matching; `--help`
//! lists the options. Under `cargo test --benches` the logs are small, and what counts is that the counts agree.
//!
//! A seeded generator writes a log and keeps count of its events. The file is synced, evicted from the page cache and read
//! once. A first round is not timed: it checks all counts and samples memory. Then the programs take turns, each writing
//! to a pipe, and ratios are taken within a round, so that they compare neighbours in time.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the product of this program")]

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

// ------------------------------------------------------------------------------------------------- the generator

/// An access's outcomes. The last stands here for [`ELSE`], as no other outcome is ever logged.
const OUTCOMES: [&str; 4] = ["direct", "http-fallback", "direct-failed", "other"];

/// Where [`calls`] has what is no access.
const ELSE: usize = 3;

/// Events by deployment and outcome, in the order of [`OUTCOMES`].
type Counts = BTreeMap<String, [u64; 4]>;

/// A log on disk and what is in it.
struct Corpus {
    path: PathBuf,
    bytes: u64,
    lines: u64,
    counts: Counts,
}

impl Corpus {
    /// Writes a log that ends with the record that reaches `size` bytes, and syncs it to the disk.
    fn write(path: &Path, shape: Shape, percent: u64, size: u64, seed: u64) -> Result<Self> {
        let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut generator = Generator::new(shape, percent, seed);
        let (mut block, mut bytes, mut lines) = (String::new(), 0, 0);
        while bytes < size {
            block.clear();
            while (block.len() as u64) < MIB.min(size - bytes) {
                generator.put_record(&mut block);
            }
            file.write_all(block.as_bytes())?;
            bytes += block.len() as u64;
            lines += block.bytes().map(|byte| u64::from(byte == b'\n')).sum::<u64>();
        }
        file.sync_all()?;
        Ok(Self { path: path.to_owned(), bytes, lines, counts: generator.counts() })
    }

    fn events(&self) -> u64 {
        self.counts.values().flatten().sum()
    }
}

/// The generator `SplitMix64`: small, fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A document id as Convex makes them.
    fn id(&mut self) -> String {
        let bits = [self.next(), self.next(), self.next()];
        let letter = |at: usize| b"0123456789abcdefghjkmnpqrstvwxyz"[(bits[at / 12] >> (at % 12 * 5) & 31) as usize];
        (0..32).map(|at| char::from(letter(at))).collect()
    }
}

/// A deployment that logs, and the accesses it has logged.
struct Deployment {
    name: String,
    self_hosted: bool,
    /// The `convex` object of a log stream.
    object: String,
    outcomes: [u64; 4],
}

/// Fifty deployments: most in Convex Cloud, of each type, and each eighth elsewhere, where there are no types.
fn deployments() -> Vec<Deployment> {
    const ADJECTIVES: [&str; 5] = ["happy", "tall", "quiet", "brave", "curious"];
    const ANIMALS: [&str; 9] = ["otter", "falcon", "lemur", "badger", "heron", "marmot", "walrus", "ibex", "newt"];
    const TYPES: [&str; 8] = ["prod", "prod", "dev", "prod", "preview", "dev", "custom", ""];
    const ELSEWHERE: [&str; 6] =
        ["convex-self-hosted", "artifact-review-local", "staging", "warehouse", "local-acme-review", "anonymous-agent"];
    let deployment = |at: usize| {
        let (kind, project, region) = (TYPES[at % 8], at / 4, ["us-east-1", "eu-west-1"][at % 2]);
        let self_hosted = kind.is_empty();
        let (name, rest) = if self_hosted {
            let rest = r#""deployment_type":null,"deployment_ref":null,"project_name":null,"project_slug":null,"deployment_region":"local""#;
            (ELSEWHERE[at / 8].to_owned(), rest.to_owned())
        } else {
            let rest = format!(
                r#""deployment_type":"{kind}","deployment_ref":"{kind}/{at}","project_name":"Artifact Review {project}","project_slug":"artifact-review-{project}","deployment_region":"aws-{region}""#
            );
            (format!("{}-{}-{}", ADJECTIVES[at % 5], ANIMALS[at % 9], 123 + 19 * at), rest)
        };
        let object = format!(r#"{{"deployment_name":"{name}",{rest}}}"#);
        Deployment { name, self_hosted, object, outcomes: [0; 4] }
    };
    (0..50).map(deployment).collect()
}

/// A function that logs: its letter in text, its path, its type as a log stream and as a record writes it, and its queue.
#[derive(Clone, Copy)]
struct Function(&'static str, &'static str, &'static str, &'static str, &'static str);

const FUNCTIONS: [Function; 3] = [
    Function("A", "zipProcessor:processZipFile", "action", "Action", "null"),
    Function("Q", "artifacts:listByOwner", "query", "Query", "null"),
    Function("M", "artifacts:saveVersion", "mutation", "Mutation", "0"),
];

/// What is logged: the outcome, how often among those of the outcome, the function's letter, the level, and the arguments
/// of the call as the backend renders them, with a bar between. `END` is not a call but a function's end, and what it threw.
/// Where the text has an apostrophe the renderer takes other quotes, and it doubles backslashes. What stands behind `$` is
/// filled in.
const CALLS: &str = r#"
direct 1 A LOG '{"timestamp":"$timeZ","level":"info","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct","metadata":{"storageId":"$id","size":$size,"note":"Production path - optimal performance"}}'
http-fallback 1 A LOG '{"timestamp":"$timeZ","level":"info","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: http-fallback","metadata":{"storageId":"$id","reason":"ECONNREFUSED on direct access (expected in self-hosted)","note":"Using localhost:3211 HTTP workaround"}}'
direct-failed 3 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient network error running storage get url (ECONNREFUSED, 5 attempts)","cause":"fetch failed","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient network error running storage get url (ECONNRESET, 5 attempts)","cause":"fetch failed","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 3 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Transient error while running storage get url: Internal Server Error","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR '{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"read ETIMEDOUT","cause":"read ETIMEDOUT","note":"Unexpected error - not ECONNREFUSED"}}'
direct-failed 1 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Can't read the stored file: 404 Not Found","note":"Unexpected error - not ECONNREFUSED"}}`
direct-failed 1 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Storage access: direct-failed","metadata":{"storageId":"$id","error":"Unexpected token 'I', \\"Internal S\\"... is not valid JSON","note":"Unexpected error - not ECONNREFUSED"}}`
other 20 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Starting ZIP processing","metadata":{"versionId":"$id","storageId":"$id"}}'
other 20 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"Fetching ZIP file from storage"}'
other 12 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP buffer loaded","metadata":{"byteLength":$size,"storageMethod":"direct"}}'
other 4 A DEBUG '{"timestamp":"$timeZ","level":"debug","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP buffer loaded","metadata":{"byteLength":$size,"storageMethod":"http-fallback"}}'
other 4 A ERROR `{"timestamp":"$timeZ","level":"error","topic":"ARTIFACT","context":"zipProcessor.processZipFile","message":"ZIP processing failed","metadata":{"versionId":"$id","error":"Can't find end of central directory : is this a zip file ?"}}`
other 12 M INFO 'Version saved'|{$n  versionId: '$id',$n  storageId: '$id',$n  size: $size$n}
other 12 Q LOG 'Listed artifacts of $id'
other 6 M END
other 5 Q END
other 3 A END
other 2 A END Uncaught Error: Can't find end of central directory : is this a zip file ?
"#;

/// A line of [`CALLS`].
#[derive(Clone, Copy)]
struct Call {
    function: Function,
    level: &'static str,
    arguments: &'static str,
}

/// The calls by outcome, each as often as it is to be drawn.
fn calls() -> [Vec<Call>; 4] {
    let mut calls = [const { vec![] }; 4];
    for line in CALLS.lines().skip(1) {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (outcome, often, letter, level, arguments) = (word(), word(), word(), word(), word());
        let at = OUTCOMES.iter().position(|known| *known == outcome).expect("lines begin with an outcome");
        let function = *FUNCTIONS.iter().find(|function| function.0 == letter).expect("the letter is of a function");
        calls[at].extend((0..often.parse().expect("a number")).map(|_: u32| Call { function, level, arguments }));
    }
    calls
}

/// Writes records one after another, in rising time.
struct Generator {
    shape: Shape,
    percent: u64,
    random: Random,
    time_ms: u64,
    deployments: Vec<Deployment>,
    calls: [Vec<Call>; 4],
}

impl Generator {
    fn new(shape: Shape, percent: u64, seed: u64) -> Self {
        let (deployments, calls) = (deployments(), calls());
        Self { shape, percent, random: Random(seed), time_ms: MONTH_START_MS + 30_441_083, deployments, calls }
    }

    /// What a reader must count so far; where the shape names no deployment, all is of `unknown`.
    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for deployment in self.deployments.iter().filter(|deployment| deployment.outcomes != [0; 4]) {
            let name = if self.shape.names_deployments() { &deployment.name } else { "unknown" };
            let sums = counts.entry(name.to_owned()).or_default();
            sums.iter_mut().zip(deployment.outcomes).for_each(|(sum, count)| *sum += count);
        }
        counts
    }

    /// Appends a record.
    fn put_record(&mut self, out: &mut String) {
        self.time_ms += self.random.below(8);
        let deployment = self.random.below(50) as usize;
        let outcome = if self.random.below(100) < self.percent { self.access(deployment) } else { ELSE };
        let call = self.calls[outcome][self.random.below(self.calls[outcome].len() as u64) as usize];
        let mut record = Record { deployment, call, request: self.random.next(), arguments: vec![] };
        record.arguments = call.arguments.split('|').map(|argument| self.filled(argument, &record)).collect();
        match self.shape {
            Shape::Ndjson | Shape::Jsonl | Shape::Text => self.fill(record.template(self.shape), &record, out),
            Shape::Docker | Shape::DockerNdjson => {
                let lines = self.filled(record.template(self.shape), &record);
                for line in lines.split_inclusive('\n') {
                    record.arguments = vec![line.to_owned()];
                    self.fill(IN_DOCKER, &record, out);
                }
            }
        }
    }

    /// The outcome of a storage access, counted. Fallbacks and failures are rare in the cloud and common elsewhere.
    fn access(&mut self, deployment: usize) -> usize {
        let deployment = &mut self.deployments[deployment];
        let (fallbacks, failures) = if deployment.self_hosted { (60, 10) } else { (1, 2) };
        let outcome = match self.random.below(100) {
            draw if draw < fallbacks => 1,
            draw if draw < fallbacks + failures => 2,
            _ => 0,
        };
        deployment.outcomes[outcome] += 1;
        outcome
    }

    fn filled(&mut self, template: &str, record: &Record) -> String {
        let mut text = String::with_capacity(1024);
        self.fill(template, record, &mut text);
        text
    }

    /// Appends a template with its words filled in.
    fn fill(&mut self, template: &str, record: &Record, out: &mut String) {
        let Record { deployment, call: Call { function, level, .. }, request, arguments } = record;
        let Function(letter, path, kind, udf_type, queue) = function;
        let (time_ms, threw) = (self.time_ms, arguments.first().is_some_and(|error| !error.is_empty()));
        let mut parts = template.split('$');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|character: char| !character.is_ascii_lowercase()).unwrap_or(part.len());
            let (word, rest) = part.split_at(end);
            match word {
                "n" => out.write_char('\n'),
                "id" => write!(out, "{}", self.random.id()),
                "size" => write!(out, "{}", self.random.below(4 << 20)),
                "time" => write!(out, "{}", rfc3339(time_ms)),
                "clock" => write!(out, "{}", twelve_hours(time_ms)),
                "milliseconds" => write!(out, "{time_ms}"),
                // JavaScript writes seconds without zeros at their end.
                "seconds" => write!(out, "{}", time_ms as f64 / 1000.0),
                "convex" => write!(out, "{}", self.deployments[*deployment].object),
                "letter" => write!(out, "{letter}"),
                "path" => write!(out, "{path}"),
                "type" => write!(out, "{kind}"),
                "udf" => write!(out, "{udf_type}"),
                "queue" => write!(out, "{queue}"),
                "level" => write!(out, "{level}"),
                "request" => write!(out, "{request:016x}"),
                // No two records have the same number, nor the same execution.
                "execution" => write!(out, "{:08x}-1111-4111-8111-0000{:08x}", request >> 32, request & 0xffff_ffff),
                "duration" => write!(out, "{:03}", 100 + request % 900),
                "status" => write!(out, "{}", if threw { "failure" } else { "success" }),
                "error" if *level == "END" && threw => write!(out, "\"{}\"", arguments[0]),
                "error" => write!(out, "null"),
                "text" => write!(out, "{}", arguments.join(" ")),
                "message" => put_escaped(&arguments.join(" "), out),
                "messages" => {
                    let put = |(at, argument): (usize, &String)| {
                        out.write_str(if at == 0 { "\"" } else { ",\"" })?;
                        put_escaped(argument, out)?;
                        out.write_str("\"")
                    };
                    arguments.iter().enumerate().try_for_each(put)
                }
                unknown => unreachable!("the templates have no ${unknown}"),
            }
            .expect("a string takes everything");
            out.push_str(rest);
        }
    }
}

/// One record before it takes a shape.
struct Record {
    deployment: usize,
    call: Call,
    request: u64,
    /// The arguments as rendered, or the error of a function's end.
    arguments: Vec<String>,
}

const STREAM_CALL: &str = r#"{"timestamp":$milliseconds,"topic":"console","function":{"path":"$path","type":"$type","cached":false,"request_id":"$request","mutation_queue_length":$queue,"mutation_retry_count":$queue},"log_level":"$level","message":"$message","is_truncated":false,"system_code":null,"convex":$convex}$n"#;
const STREAM_END: &str = r#"{"timestamp":$milliseconds,"topic":"function_execution","function":{"path":"$path","type":"$type","cached":false,"request_id":"$request","mutation_queue_length":$queue,"mutation_retry_count":$queue},"execution_time_ms":$duration,"status":"$status","error_message":$error,"occ_info":null,"scheduler_info":null,"usage":{"database_read_bytes":$size,"database_write_bytes":0,"database_read_documents":3,"file_storage_read_bytes":0,"file_storage_write_bytes":0,"vector_storage_read_bytes":0,"vector_storage_write_bytes":0,"memory_used_mb":64},"convex":$convex}$n"#;
/// Actions report their lines as they are logged, other functions at their end.
const JSONL_CALL: &str = r#"{"kind":"Progress","udfType":"$udf","componentPath":null,"identifier":"$path","timestamp":$seconds,"logLines":[{"messages":[$messages],"isTruncated":false,"timestamp":$milliseconds,"level":"$level","systemMetadata":null}],"requestId":"$request","executionId":"$execution"}$n"#;
const JSONL_CALL_AND_END: &str = r#"{"kind":"Completion","udfType":"$udf","componentPath":null,"identifier":"$path","logLines":[{"messages":[$messages],"isTruncated":false,"timestamp":$milliseconds,"level":"$level","systemMetadata":null}],"timestamp":$seconds,"cachedResult":false,"caller":"SyncWorker","parentExecutionId":null,"executionTime":0.$duration,"userExecutionTime":null,"success":null,"error":null,"requestId":"$request","executionId":"$execution","usageStats":{"databaseReadBytes":$size,"databaseWriteBytes":0,"databaseReadDocuments":3,"storageReadBytes":0,"storageWriteBytes":0,"vectorIndexReadBytes":0,"vectorIndexWriteBytes":0,"memoryUsedMb":64},"returnBytes":null,"occInfo":null,"willRetry":false,"executionTimestamp":$seconds,"identityType":"user","environment":"isolate"}$n"#;
const JSONL_END: &str = r#"{"kind":"Completion","udfType":"$udf","componentPath":null,"identifier":"$path","logLines":[],"timestamp":$seconds,"cachedResult":false,"caller":"SyncWorker","parentExecutionId":null,"executionTime":0.$duration,"userExecutionTime":null,"success":null,"error":$error,"requestId":"$request","executionId":"$execution","usageStats":{"databaseReadBytes":$size,"databaseWriteBytes":0,"databaseReadDocuments":3,"storageReadBytes":0,"storageWriteBytes":0,"vectorIndexReadBytes":0,"vectorIndexWriteBytes":0,"memoryUsedMb":64},"returnBytes":null,"occInfo":null,"willRetry":false,"executionTimestamp":$seconds,"identityType":"user","environment":"node"}$n"#;
const TEXT_CALL: &str = "$clock [CONVEX $letter($path)] [$level] $text$n";
const TEXT_END: &str = "$clock [CONVEX $letter($path)] Function executed in $duration ms$n";
const TEXT_ERROR: &str =
    "$clock [CONVEX $letter($path)] $text$n    at async handler (../convex/zipProcessor.ts:116:8)$n";
const IN_DOCKER: &str = r#"{"log":"$message","stream":"stdout","time":"$time123456Z"}$n"#;

impl Record {
    fn template(&self, shape: Shape) -> &'static str {
        let (ends, threw) = (self.call.level == "END", !self.call.arguments.is_empty());
        match shape {
            Shape::Ndjson | Shape::DockerNdjson if ends => STREAM_END,
            Shape::Ndjson | Shape::DockerNdjson => STREAM_CALL,
            Shape::Jsonl if ends => JSONL_END,
            Shape::Jsonl if self.call.function.0 == "A" => JSONL_CALL,
            Shape::Jsonl => JSONL_CALL_AND_END,
            Shape::Text | Shape::Docker if ends && threw => TEXT_ERROR,
            Shape::Text | Shape::Docker if ends => TEXT_END,
            Shape::Text | Shape::Docker => TEXT_CALL,
        }
    }
}

/// Writes the text of a JSON string. The generator makes no control character but the newline.
fn put_escaped(text: &str, out: &mut String) -> std::fmt::Result {
    for piece in text.split_inclusive(['"', '\\', '\n']) {
        match (piece.strip_suffix(['"', '\\']), piece.strip_suffix('\n')) {
            (Some(plain), _) if piece.ends_with('"') => write!(out, "{plain}\\\"")?,
            (Some(plain), _) => write!(out, "{plain}\\\\")?,
            (_, Some(plain)) => write!(out, "{plain}\\n")?,
            _ => out.write_str(piece)?,
        }
    }
    Ok(())
}

/// The first of November 2026. Records are so dense that a log of 300 GiB ends within the month.
const MONTH_START_MS: u64 = 1_793_491_200_000;

/// Day of the month, hour, minute, second and millisecond, in UTC.
fn clock(time_ms: u64) -> [u64; 5] {
    let (since_ms, second) = (time_ms - MONTH_START_MS, (time_ms - MONTH_START_MS) / 1000);
    [1 + second / 86_400, second / 3600 % 24, second / 60 % 60, second % 60, since_ms % 1000]
}

/// RFC 3339 without the zone.
fn rfc3339(time_ms: u64) -> String {
    let [day, hour, minute, second, millisecond] = clock(time_ms);
    format!("2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}")
}

/// As an American client prints it.
fn twelve_hours(time_ms: u64) -> String {
    let [day, hour, minute, second, _] = clock(time_ms);
    format!("11/{day}/2026, {}:{minute:02}:{second:02} {}", (hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" })
}

// ------------------------------------------------------------------------------------------------- the measuring

/// Writes a log and brings it into the state of one that was written long ago.
fn settled_corpus(options: &Options, shape: Shape, percent: u64, size: u64) -> Result<Corpus> {
    let path = options.directory.join(format!("{}_{percent}_{}M.log", shape.as_str(), size / MIB));
    let corpus = Corpus::write(&path, shape, percent, size, options.seed)?;
    settle(&path)?;
    Ok(corpus)
}

fn done_with(options: &Options, path: &Path) -> Result<()> {
    if options.keep { Ok(()) } else { Ok(fs::remove_file(path)?) }
}

/// Evicts a file from the page cache and reads it once: pages as their writer left them read up to 2.5 times slower.
fn settle(path: &Path) -> Result<()> {
    let of = format!("of={}", path.display());
    let mut dd = Command::new("dd");
    dd.args([&of, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]).stdin(Stdio::null()).stderr(Stdio::null());
    if !dd.status().is_ok_and(|status| status.success()) {
        eprintln!("{} was not evicted from the page cache: its times may be too high", path.display());
    }
    drain(File::open(path)?)?;
    Ok(())
}

/// Reads to the end, and keeps the first MiB.
fn drain(mut reader: impl Read) -> Result<String> {
    let (mut kept, mut block) = (vec![], vec![0; MIB as usize]);
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(String::from_utf8_lossy(&kept).into_owned()),
            length if kept.len() < block.len() => kept.extend_from_slice(&block[..length]),
            _ => {}
        }
    }
}

/// Counts by deployment and outcome in any shape. `quote` is the quote around a deployment's name in it.
const MAWK: &str = r#"
    BEGIN { key = "deployment_name" quote ":" quote }
    at = index($0, "Storage access: ") {
        word = substr($0, at + 16, 40); match(word, /^[A-Za-z0-9_-]+/); outcome = substr(word, 1, RLENGTH); name = "unknown"
        if (at = index($0, key)) { rest = substr($0, at + length(key), 64); name = substr(rest, 1, index(rest, quote) - 1) }
        count[name " " outcome]++
    }
    END { for (pair in count) print pair, count[pair] }
"#;

fn command(program: impl AsRef<Path>, arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).env_remove("RIPGREP_CONFIG_PATH");
    command
}

fn storagewatch(options: &Options, path: &Path) -> Command {
    command(&options.binary, &["report", "--format", "json"], path)
}

/// What a program did. Of one that is not installed there are no seconds.
#[derive(Default)]
struct Measured {
    /// Wall-clock time, of each round.
    seconds: Vec<f64>,
    /// The peak of resident memory, where it was sampled.
    peak_mib: Option<f64>,
    output: String,
}

impl Measured {
    fn time(&self) -> String {
        median(self.seconds.clone()).map_or("not installed".to_owned(), |seconds| format!("{seconds:.3}"))
    }

    /// The median of the rounds' ratios to another program.
    fn ratio_to(&self, other: &Self) -> String {
        let ratios = self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other);
        median(ratios.collect()).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
    }

    fn speed(&self, bytes: u64) -> String {
        median(self.seconds.clone()).map_or("–".to_owned(), |seconds| format!("{:.2}", bytes as f64 / 1e9 / seconds))
    }

    fn peak(&self) -> String {
        self.peak_mib.map_or("–".to_owned(), |peak| format!("{peak:.0}"))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// Runs programs in turns: a round to look at them, then the timed ones.
fn take_turns<const N: usize>(mut commands: [Command; N], runs: usize) -> Result<[Measured; N]> {
    let mut all = [const { None }; N];
    for (command, measured) in commands.iter_mut().zip(&mut all) {
        *measured = execute(command, true)?.map(|first| Measured { seconds: vec![], ..first });
        command.stderr(Stdio::null());
    }
    for _ in 0..runs {
        for (command, measured) in commands.iter_mut().zip(&mut all) {
            if let (Some(measured), Some(once)) = (measured, execute(command, false)?) {
                measured.seconds.extend(once.seconds);
            }
        }
    }
    Ok(all.map(Option::unwrap_or_default))
}

/// Runs a program to its end, from before it is spawned until it has been waited for; sampling its memory costs it time.
fn execute(command: &mut Command, watched: bool) -> Result<Option<Measured>> {
    let start = Instant::now();
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        spawned => spawned?,
    };
    let (process, ended) = (child.id(), AtomicBool::new(false));
    let (status, measured) = thread::scope(|scope| {
        let sampler = watched.then(|| scope.spawn(|| sample_peak(process, &ended)));
        let output = child.stdout.take().map_or(Ok(String::new()), drain);
        let status = child.wait();
        let seconds = vec![start.elapsed().as_secs_f64()];
        ended.store(true, Ordering::Relaxed);
        let peak_mib = sampler.and_then(|sampler| sampler.join().ok()?);
        (status, output.map(|output| Measured { seconds, peak_mib, output }))
    });
    match status? {
        status if status.success() => Ok(Some(measured?)),
        status => Err(format!("{status}: {command:?}").into()),
    }
}

/// Reads the high-water mark of a process each millisecond until it has ended. The kernel keeps the mark, so what is missed
/// is what came after the last reading; where there is no `/proc`, there is none.
fn sample_peak(process: u32, ended: &AtomicBool) -> Option<f64> {
    let read = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(mark.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    };
    let mut peak = None;
    while !ended.load(Ordering::Relaxed) {
        peak = read().or(peak);
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

/// The counts in a report. Names hold neither spaces nor escapes, so that no parser is needed.
fn counts_in_report(report: &str) -> Option<Counts> {
    let deployments = report.split_once(r#""deployments":["#)?.1.split_once(r#""failures":"#)?.0;
    let read = |text: &str| {
        let (name, rest) = text.split_once('"')?;
        let outcomes = rest.split_once(r#""outcomes":{"#)?.1.split_once('}')?.0;
        let [direct, fallback, failed, other] = OUTCOMES.map(|outcome| number(outcomes, outcome));
        Some((name.to_owned(), [direct?, fallback?, failed?, other?]))
    };
    deployments.split(r#"{"deployment":""#).skip(1).map(read).collect()
}

/// The number behind the first such key.
fn number(json: &str, key: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!(r#""{key}":"#))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// The counts that the mawk script prints: deployment, outcome and number in each line.
fn counts_in_lines(lines: &str) -> Option<Counts> {
    let mut counts = Counts::new();
    for line in lines.lines() {
        let [name, outcome, number] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let at = OUTCOMES.iter().position(|known| *known == outcome)?;
        counts.entry(name.to_owned()).or_default()[at] = number.parse().ok()?;
    }
    Some(counts)
}

/// Compares what the programs counted with what the generator wrote, and names what differs.
fn agree(corpus: &Corpus, ours: &Measured, rg: &Measured, mawk: &Measured) -> bool {
    let report: String = ours.output.split_whitespace().collect();
    let mut faults = differences("storagewatch", &corpus.counts, counts_in_report(&report));
    for (key, written) in [("bytes", corpus.bytes), ("lines", corpus.lines), ("events", corpus.events())] {
        if number(&report, key) != Some(written) {
            faults.push(format!("storagewatch does not report {written} {key}"));
        }
    }
    if !mawk.seconds.is_empty() {
        faults.extend(differences("mawk", &corpus.counts, counts_in_lines(&mawk.output)));
    }
    if !rg.seconds.is_empty() && rg.output.trim() != corpus.events().to_string() {
        faults.push(format!("rg counts {} lines, not {}", rg.output.trim(), corpus.events()));
    }
    for fault in &faults {
        eprintln!("{}: {fault}", corpus.path.display());
    }
    faults.is_empty()
}

fn differences(program: &str, written: &Counts, counted: Option<Counts>) -> Vec<String> {
    let Some(counted) = counted else {
        return vec![format!("the output of {program} is not as expected")];
    };
    let names: BTreeSet<_> = written.keys().chain(counted.keys()).collect();
    let differ = names.into_iter().filter(|&name| written.get(name) != counted.get(name));
    let of = |counts: &Counts, name| counts.get(name).copied().unwrap_or_default();
    let fault = |name| format!("{program} counts {:?} for {name}, not {:?}", of(&counted, name), of(written, name));
    differ.map(fault).collect()
}

// ------------------------------------------------------------------------------------------------- the tables

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
