//! The measuring: runs programs in turn, and compares what they counted.

use crate::corpus::{Corpus, Counts, OUTCOMES};
use crate::*;

/// Writes a log and brings it into the state of one that was written long ago.
pub(crate) fn settled_corpus(options: &Options, shape: Shape, percent: u64, size: u64) -> Result<Corpus> {
    let path = options.directory.join(format!("{}_{percent}_{}M.log", shape.as_str(), size / MIB));
    let corpus = Corpus::write(&path, shape, percent, size, options.seed)?;
    settle(&path)?;
    Ok(corpus)
}

pub(crate) fn done_with(options: &Options, path: &Path) -> Result<()> {
    if options.keep { Ok(()) } else { Ok(fs::remove_file(path)?) }
}

/// Evicts a file from the page cache and reads it once: pages as their writer left them read up to 2.5 times slower.
pub(crate) fn settle(path: &Path) -> Result<()> {
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
pub(crate) fn drain(mut reader: impl Read) -> Result<String> {
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
pub(crate) const MAWK: &str = r#"
    BEGIN { key = "deployment_name" quote ":" quote }
    at = index($0, "Storage access: ") {
        word = substr($0, at + 16, 40); match(word, /^[A-Za-z0-9_-]+/); outcome = substr(word, 1, RLENGTH); name = "unknown"
        if (at = index($0, key)) { rest = substr($0, at + length(key), 64); name = substr(rest, 1, index(rest, quote) - 1) }
        count[name " " outcome]++
    }
    END { for (pair in count) print pair, count[pair] }
"#;

pub(crate) fn command(program: impl AsRef<Path>, arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).env_remove("RIPGREP_CONFIG_PATH");
    command
}

pub(crate) fn storagewatch(options: &Options, path: &Path) -> Command {
    command(&options.binary, &["report", "--format", "json"], path)
}

/// What a program did. Of one that is not installed there are no seconds.
#[derive(Default)]
pub(crate) struct Measured {
    /// Wall-clock time, of each round.
    pub(crate) seconds: Vec<f64>,
    /// The peak of resident memory, where it was sampled.
    pub(crate) peak_mib: Option<f64>,
    pub(crate) output: String,
}

impl Measured {
    pub(crate) fn time(&self) -> String {
        median(self.seconds.clone()).map_or("not installed".to_owned(), |seconds| format!("{seconds:.3}"))
    }

    /// The median of the rounds' ratios to another program.
    pub(crate) fn ratio_to(&self, other: &Self) -> String {
        let ratios = self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other);
        median(ratios.collect()).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
    }

    pub(crate) fn speed(&self, bytes: u64) -> String {
        median(self.seconds.clone()).map_or("–".to_owned(), |seconds| format!("{:.2}", bytes as f64 / 1e9 / seconds))
    }

    pub(crate) fn peak(&self) -> String {
        self.peak_mib.map_or("–".to_owned(), |peak| format!("{peak:.0}"))
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// Runs programs in turns: a round to look at them, then the timed ones.
pub(crate) fn take_turns<const N: usize>(mut commands: [Command; N], runs: usize) -> Result<[Measured; N]> {
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
pub(crate) fn execute(command: &mut Command, watched: bool) -> Result<Option<Measured>> {
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
pub(crate) fn sample_peak(process: u32, ended: &AtomicBool) -> Option<f64> {
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
pub(crate) fn counts_in_report(report: &str) -> Option<Counts> {
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
pub(crate) fn number(json: &str, key: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!(r#""{key}":"#))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// The counts that the mawk script prints: deployment, outcome and number in each line.
pub(crate) fn counts_in_lines(lines: &str) -> Option<Counts> {
    let mut counts = Counts::new();
    for line in lines.lines() {
        let [name, outcome, number] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let at = OUTCOMES.iter().position(|known| *known == outcome)?;
        counts.entry(name.to_owned()).or_default()[at] = number.parse().ok()?;
    }
    Some(counts)
}

/// Compares what the programs counted with what the generator wrote, and names what differs.
pub(crate) fn agree(corpus: &Corpus, ours: &Measured, rg: &Measured, mawk: &Measured) -> bool {
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

pub(crate) fn differences(program: &str, written: &Counts, counted: Option<Counts>) -> Vec<String> {
    let Some(counted) = counted else {
        return vec![format!("the output of {program} is not as expected")];
    };
    let names: BTreeSet<_> = written.keys().chain(counted.keys()).collect();
    let differ = names.into_iter().filter(|&name| written.get(name) != counted.get(name));
    let of = |counts: &Counts, name| counts.get(name).copied().unwrap_or_default();
    let fault = |name| format!("{program} counts {:?} for {name}, not {:?}", of(&counted, name), of(written, name));
    differ.map(fault).collect()
}
