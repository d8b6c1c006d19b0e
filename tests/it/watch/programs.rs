//! Random programs of writing, rotating, deleting, killing and starting, against the model of what must be counted.
//!
//! Many directories are followed by one process, each with a program of its own; what happens to the process happens to
//! all. `STORAGEWATCH_MODEL_PROGRAMS=5000` runs more programs than the suite does, `STORAGEWATCH_MODEL_SEED=7` begins
//! with another seed, `STORAGEWATCH_MODEL_REPLAY='numbered; write 1; kill; …'` runs a program that was printed, and
//! `STORAGEWATCH_MODEL_SHRINK=1` with it leaves out what does not matter to its failure.

use super::daemon::{self, Daemon};
use super::directory::{Accesses, Directory, OF_ONE_NAME};
use super::exposition::{ACCESSES, Exposition};
use super::steps::{Manner, Program, Step};
use super::waiting::PATIENCE;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// So many programs run in one process.
const TOGETHER: usize = 60;

/// After so long without a byte the last line of a rotated file counts without its newline; what counts twice does so
/// by then.
const QUIET: Duration = Duration::from_secs(6);

const SIZES: &str = "convex_storage_access_size_bytes_sum";

/// What a scrape tells of every deployment: how many accesses were counted, and the sum of their sizes.
type Counted = BTreeMap<String, (u64, u64)>;

fn counted(metrics: &Exposition) -> Counted {
    let mut counted = Counted::new();
    for (labels, value) in metrics.of(ACCESSES) {
        counted.entry(labels["deployment"].clone()).or_default().0 += value as u64;
    }
    for (labels, value) in metrics.of(SIZES) {
        counted.entry(labels["deployment"].clone()).or_default().1 += value as u64;
    }
    counted
}

/// Which accesses of a directory were counted, where none was counted twice.
fn accesses(directory: &Directory, counted: &Counted) -> Result<Accesses, String> {
    let mut accesses = Accesses::new();
    for (at, deployment) in directory.deployments().enumerate() {
        let (count, sizes) = counted.get(&deployment).copied().unwrap_or_default();
        if u64::from(sizes.count_ones()) != count || sizes >> OF_ONE_NAME != 0 {
            return Err(format!("{deployment}: {count} accesses are counted, of sizes whose sum is {sizes:#b}"));
        }
        accesses.extend((0..OF_ONE_NAME).filter(|bit| sizes >> bit & 1 == 1).map(|bit| at * OF_ONE_NAME + bit));
    }
    Ok(accesses)
}

/// Compares what was counted in a directory with the model.
fn judge(directory: &Directory, counted: &Counted, whole: bool) -> Result<Accesses, String> {
    let (must, may) = (directory.must(whole), directory.may());
    let found = accesses(directory, counted).map_err(|twice| format!("{twice}; must be {must:?}, may be {may:?}"))?;
    let missing: Vec<_> = must.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&may).collect();
    if missing.is_empty() && wrong.is_empty() {
        return Ok(found);
    }
    Err(format!("missing {missing:?}, wrongly counted {wrong:?}; counted {found:?}, must be {must:?}, may be {may:?}"))
}

/// Programs that run together, and how they fare.
struct Batch {
    programs: Vec<Program>,
    directories: Vec<Directory>,
    /// What went wrong, by program; each is followed up to its first failure.
    failures: BTreeMap<usize, String>,
    patience: Duration,
}

impl Batch {
    /// Runs programs that share their shared steps, and returns what failed.
    fn run(programs: Vec<Program>, patience: Duration, quiet: Duration) -> BTreeMap<usize, String> {
        let root = tempfile::tempdir().unwrap();
        let gentle = programs[0].manner == Manner::Gentle;
        let directories = programs.iter().enumerate().map(|(at, program)| {
            let path = root.path().join(format!("p{at}"));
            let mut directory = Directory::new(path, format!("quiet-otter-{at}"), program.naming, gentle);
            if program.old {
                directory.write_old();
            }
            directory
        });
        let directories = directories.collect();
        let mut batch = Self { programs, directories, failures: BTreeMap::new(), patience };
        let mut daemon = Some(batch.start(root.path()));
        if let Some(daemon) = &mut daemon {
            daemon.wait_until_ready();
        }
        for at in 0..batch.programs[0].steps.len() {
            match batch.programs[0].steps[at] {
                Step::Kill => daemon.take().into_iter().for_each(Daemon::kill),
                Step::Stop => daemon.take().into_iter().for_each(|daemon| drop(daemon.stop())),
                Step::Start if daemon.is_none() => daemon = Some(batch.start(root.path())),
                Step::Sync => daemon.iter_mut().for_each(|daemon| batch.sync(daemon, false, &format!("step {at}"))),
                Step::Pause(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
                _ => {
                    for (program, directory) in batch.programs.iter().zip(&mut batch.directories) {
                        directory.step(program.steps[at], false);
                    }
                }
            }
        }
        let mut daemon = daemon.unwrap_or_else(|| batch.start(root.path()));
        batch.sync(&mut daemon, true, "the end");
        if !batch.failures.is_empty() {
            return batch.failures;
        }
        std::thread::sleep(quiet);
        batch.check_again(&mut daemon, "a while after the end");
        if gentle {
            batch.check_losses(&mut daemon);
        }
        daemon.stop();
        let mut daemon = batch.start(root.path());
        daemon.wait_until_ready();
        batch.check_again(&mut daemon, "a restart after the end");
        batch.failures
    }

    fn start(&self, root: &Path) -> Daemon {
        let mut command = daemon::command();
        command.args(self.directories.iter().map(Directory::log));
        Daemon::start(command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.join("state")))
    }

    /// Waits until every directory's accesses are counted as they must be.
    fn sync(&mut self, daemon: &mut Daemon, whole: bool, when: &str) {
        let began = Instant::now();
        loop {
            let counted = counted(&daemon.metrics());
            let mut faults = vec![];
            for (at, directory) in self.directories.iter_mut().enumerate() {
                match judge(directory, &counted, whole) {
                    _ if self.failures.contains_key(&at) => {}
                    Ok(found) => directory.saw(found),
                    Err(fault) => faults.push((at, format!("at {when}: {fault}"))),
                }
            }
            if faults.is_empty() {
                return;
            }
            if began.elapsed() > self.patience {
                self.failures.extend(faults);
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Looks once more, without waiting. What was counted before must still be.
    fn check_again(&mut self, daemon: &mut Daemon, when: &str) {
        let counted = counted(&daemon.metrics());
        for (at, directory) in self.directories.iter_mut().enumerate() {
            match judge(directory, &counted, true) {
                Ok(found) => directory.saw(found),
                Err(fault) => drop(self.failures.entry(at).or_insert_with(|| format!("after {when}: {fault}"))),
            }
        }
    }

    /// No loss may be told where nothing was lost.
    fn check_losses(&mut self, daemon: &mut Daemon) {
        let metrics = daemon.metrics();
        let told = ["storagewatch_source_lost_bytes_total", "storagewatch_source_possible_loss_total"]
            .map(|metric| metrics.sum(metric, &[]));
        if told != [0.0, 0.0] {
            let fault = format!("of all: nothing was lost, and told were {told:?} bytes and possible losses");
            self.failures.entry(0).or_insert(fault);
        }
    }
}

/// Runs batches, some at a time, and panics with all that failed.
fn run_batches(first_seed: u64, manner: Manner, usual: usize) {
    if let Ok(program) = std::env::var("STORAGEWATCH_MODEL_REPLAY") {
        return replay(&program);
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let batches = number("STORAGEWATCH_MODEL_PROGRAMS").map_or(usual, |all| (all as usize / 2).div_ceil(TOGETHER));
    let first_seed = number("STORAGEWATCH_MODEL_SEED").unwrap_or(first_seed);
    let seeds: Vec<_> = (first_seed..).take(batches).collect();
    let mut report = String::new();
    for seeds in seeds.chunks(3) {
        let run = |seed| std::thread::spawn(move || Batch::run(Program::draw(seed, manner, TOGETHER), PATIENCE, QUIET));
        let running: Vec<_> = seeds.iter().map(|&seed| (seed, run(seed))).collect();
        for (seed, batch) in running {
            match batch.join() {
                Ok(failures) => describe(seed, manner, &failures, &mut report),
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().map_or("no text", String::as_str);
                    write!(report, "\nseed {seed}, {manner:?}: {said}\n").unwrap();
                }
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Says what failed and how it can be run again.
fn describe(seed: u64, manner: Manner, failures: &BTreeMap<usize, String>, report: &mut String) {
    let programs = Program::draw(seed, manner, TOGETHER);
    if !failures.is_empty() {
        write!(report, "\nseed {seed}, {manner:?}: {} of {TOGETHER} programs failed\n", failures.len()).unwrap();
    }
    for (at, fault) in failures.iter().take(6) {
        write!(report, "program {at} {fault}\n  STORAGEWATCH_MODEL_REPLAY='{}'\n", programs[*at]).unwrap();
    }
}

/// Runs one program in many directories at once, and shortens it where that is wanted.
fn replay(program: &str) {
    let mut program: Program = program.parse().unwrap();
    let mut failures = replays(vec![program.clone(); 12]);
    if std::env::var_os("STORAGEWATCH_MODEL_SHRINK").is_some() && !failures.is_empty() {
        program = shrink(program);
        failures = replays(vec![program.clone(); 12]);
    }
    let kinds: BTreeSet<_> = failures.values().collect();
    assert!(failures.is_empty(), "{} of 12 failed: {kinds:#?}\n{program}", failures.len());
}

fn replays(programs: Vec<Program>) -> BTreeMap<usize, String> {
    Batch::run(programs, Duration::from_secs(8), QUIET)
}

/// Leaves out what does not matter to a program's failure.
fn shrink(mut program: Program) -> Program {
    let copies = 3;
    let without = |program: &Program, steps: &[usize]| {
        let mut program = program.clone();
        steps.iter().for_each(|at| program.steps[*at] = Step::Rest);
        program
    };
    // Steps of its own, each of them left out in a few directories.
    loop {
        let own = program.steps.iter().enumerate().filter(|(_, step)| !step.is_shared() && **step != Step::Rest);
        let own: Vec<_> = own.map(|(at, _)| at).collect();
        let variants = own.iter().flat_map(|at| vec![without(&program, &[*at]); copies]).collect();
        let idle: BTreeSet<_> = replays(variants).into_keys().map(|failed| own[failed / copies]).collect();
        let idle: Vec<_> = idle.into_iter().collect();
        let shorter = [idle.as_slice(), &idle[idle.len() / 2..], &idle[idle.len().saturating_sub(1)..]];
        let mut shorter = shorter.into_iter().filter(|steps| !steps.is_empty()).map(|steps| without(&program, steps));
        match shorter.find(|shorter| !replays(vec![shorter.clone(); 3 * copies]).is_empty()) {
            Some(shorter) => program = shorter,
            None => break,
        }
    }
    program.steps.retain(|step| *step != Step::Rest);
    for at in (0..program.steps.len()).rev().filter(|at| program.steps[*at].is_shared()).collect::<Vec<_>>() {
        let mut shorter = program.clone();
        shorter.steps.remove(at);
        if !replays(vec![shorter.clone(); 3 * copies]).is_empty() {
            program = shorter;
        }
    }
    program
}

#[test]
fn no_gentle_program_loses_or_doubles_an_access() {
    run_batches(1, Manner::Gentle, 2);
}

#[test]
fn no_rough_program_loses_more_than_it_destroys() {
    run_batches(1001, Manner::Rough, 2);
}
