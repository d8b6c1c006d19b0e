//! Random programs of writing, rotating, deleting, killing and going on, against the model of what must be counted.
//!
//! Time is made up and nothing waits, so thousands of programs run in seconds and each runs the same way again.
//! `STORAGEWATCH_FOLLOW_PROGRAMS=100000` runs more than the suite does, `STORAGEWATCH_FOLLOW_SEED=7` begins with another
//! seed, and `STORAGEWATCH_FOLLOW_REPLAY='numbered; write 1; kill; …'` runs one that was printed.

use crate::watch::directory::{Accesses, Directory, OF_ONE_NAME};
use crate::watch::steps::{Manner, Program, Step};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use storagewatch::event::Timestamp;
use storagewatch::source::follow::{Follower, Options};
use storagewatch::source::{Batch, Found};

const NAME: &str = "quiet-otter-0";

/// So many turns are made before everything must have been found.
const TURNS: usize = 6;

/// What depends on what happens at the same time fails in one of so many tries.
const TRIES: usize = 5;

/// What follows a directory, and what its ledger holds.
struct Watcher {
    log: String,
    follower: Option<Follower>,
    rows: BTreeMap<String, String>,
    counted: Accesses,
    doubled: Vec<usize>,
    lost: (u64, u64),
    clock: Instant,
    passed: Duration,
}

impl Watcher {
    fn new(directory: &Directory) -> Self {
        let mut watcher = Self {
            log: directory.log().to_str().unwrap().to_owned(),
            follower: None,
            rows: BTreeMap::new(),
            counted: Accesses::new(),
            doubled: vec![],
            lost: (0, 0),
            clock: Instant::now(),
            passed: Duration::ZERO,
        };
        watcher.begin();
        watcher.turns();
        watcher
    }

    /// Begins anew with what the ledger holds.
    fn begin(&mut self) {
        let options = Options {
            name: Arc::from("files"),
            paths: vec![self.log.clone()],
            from_beginning: false,
            deployment: None,
            hosting: None,
            hosting_is_configured: false,
        };
        let rows = self.rows.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.follower = Some(Follower::new(options, rows).unwrap());
    }

    fn turns(&mut self) {
        for _ in 0..TURNS {
            self.turn(true, usize::MAX, &mut |_| ());
        }
    }

    /// A turn of which so many batches are committed. `meanwhile` is called with the number of each.
    fn turn(&mut self, look: bool, commits: usize, meanwhile: &mut impl FnMut(usize)) {
        self.passed += Duration::from_millis(2);
        let mut batches = 0;
        let Some(follower) = &mut self.follower else { return };
        let (rows, counted, doubled, lost) = (&mut self.rows, &mut self.counted, &mut self.doubled, &mut self.lost);
        let mut send = |batch: Batch| {
            if batches == commits {
                return false;
            }
            meanwhile(batches);
            batches += 1;
            for found in batch.found {
                if let Found::Event(event) = found {
                    let name = event.origin.deployment.as_deref().unwrap();
                    let of_name: usize = name.strip_prefix(NAME).unwrap()[1..].parse().unwrap();
                    let access = of_name * OF_ONE_NAME + event.size_bytes.unwrap().ilog2() as usize;
                    if !counted.insert(access) {
                        doubled.push(access);
                    }
                }
            }
            for (name, value) in batch.cursors {
                match value {
                    Some(value) => rows.insert(name, value),
                    None => rows.remove(&name),
                };
            }
            lost.0 += batch.counts.lost_bytes;
            lost.1 += batch.counts.possible_losses;
            true
        };
        follower.turn(look, Timestamp(1_795_422_500_000), self.clock + self.passed, &mut send);
    }

    /// Compares what was counted with the model.
    fn judge(&self, directory: &mut Directory, whole: bool, when: &str) -> Result<(), String> {
        let (must, may) = (directory.must(whole), directory.may());
        let missing: Vec<_> = must.difference(&self.counted).collect();
        let wrong: Vec<_> = self.counted.difference(&may).collect();
        if !missing.is_empty() || !wrong.is_empty() || !self.doubled.is_empty() {
            let (counted, doubled) = (&self.counted, &self.doubled);
            return Err(format!(
                "at {when}: missing {missing:?}, wrong {wrong:?}, doubled {doubled:?}; counted {counted:?}"
            ));
        }
        directory.saw(self.counted.clone());
        Ok(())
    }

    /// Goes on until nothing can come any more, and judges; then begins once more.
    fn end(mut self, directory: &mut Directory, gentle: bool) -> Result<(), String> {
        if self.follower.is_none() {
            self.begin();
        }
        self.turns();
        self.passed += Duration::from_secs(6);
        self.turns();
        self.judge(directory, true, "the end")?;
        self.passed += Duration::from_secs(11);
        self.turns();
        self.judge(directory, true, "a while after the end")?;
        if gentle && self.lost != (0, 0) {
            return Err(format!("nothing was lost, and told were {:?} bytes and possible losses", self.lost));
        }
        self.begin();
        self.turns();
        self.judge(directory, true, "a restart after the end")
    }
}

fn directory(root: &Path, program: &Program) -> Directory {
    let gentle = program.manner == Manner::Gentle;
    let mut directory = Directory::new(root.join("p"), NAME.to_owned(), program.naming, gentle);
    if program.old {
        directory.write_old();
    }
    directory
}

/// Runs a program step by step.
fn run(program: &Program) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let mut directory = directory(root.path(), program);
    let mut watcher = Watcher::new(&directory);
    let mut steps = program.steps.iter().enumerate().peekable();
    while let Some((at, step)) = steps.next() {
        match *step {
            // It dies between two commits.
            Step::Kill => {
                watcher.turn(at % 2 == 0, at % 4, &mut |_| ());
                watcher.follower = None;
            }
            Step::Stop => {
                watcher.turn(true, usize::MAX, &mut |_| ());
                watcher.follower = None;
            }
            Step::Start if watcher.follower.is_none() => {
                watcher.begin();
                watcher.turn(true, usize::MAX, &mut |_| ());
            }
            Step::Sync if watcher.follower.is_some() => {
                watcher.turns();
                watcher.judge(&mut directory, false, &format!("step {at}"))?;
            }
            Step::Pause(milliseconds) => {
                watcher.passed += Duration::from_millis(milliseconds);
                // What comes next may come while files are looked at and read.
                let next = steps.next_if(|(_, step)| milliseconds % 2 == 0 && !step.is_shared());
                let mut next = next.map(|(_, step)| *step);
                watcher.turn(milliseconds % 3 > 0, usize::MAX, &mut |batch| {
                    if let Some(step) = next.take_if(|_| batch == milliseconds as usize / 2 % 4) {
                        directory.step(step, false);
                    }
                });
                next.into_iter().for_each(|step| directory.step(step, false));
            }
            _ => directory.step(*step, false),
        }
    }
    watcher.end(&mut directory, program.manner == Manner::Gentle)
}

/// Runs a program beside a watcher that never waits.
fn run_beside(program: &Program) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let mut directory = directory(root.path(), program);
    let watcher = Mutex::new(Watcher::new(&directory));
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                watcher.lock().unwrap().turn(true, usize::MAX, &mut |_| ());
                std::thread::yield_now();
            }
        });
        let result = program.steps.iter().enumerate().try_for_each(|(at, step)| {
            match *step {
                Step::Kill | Step::Stop => watcher.lock().unwrap().follower = None,
                Step::Start => {
                    let mut watcher = watcher.lock().unwrap();
                    if watcher.follower.is_none() {
                        watcher.begin();
                    }
                }
                Step::Sync => {
                    let mut watcher = watcher.lock().unwrap();
                    if watcher.follower.is_some() {
                        watcher.turns();
                        return watcher.judge(&mut directory, false, &format!("step {at}"));
                    }
                }
                Step::Pause(milliseconds) => std::thread::sleep(Duration::from_micros(milliseconds * 10)),
                _ => directory.step(*step, false),
            }
            Ok(())
        });
        ends.store(true, Ordering::Relaxed);
        result
    })?;
    watcher.into_inner().unwrap().end(&mut directory, program.manner == Manner::Gentle)
}

type Runner = fn(&Program) -> Result<(), String>;

/// Leaves out of a program what does not matter to its failure.
fn shrink(mut program: Program, run: Runner) -> Program {
    let mut at = program.steps.len();
    while at > 0 {
        at = at.min(program.steps.len()) - 1;
        let mut shorter = program.clone();
        shorter.steps.remove(at);
        if (0..TRIES).any(|_| run(&shorter).is_err()) {
            (program, at) = (shorter, at + 3);
        }
    }
    program
}

fn run_programs(run: Runner, manner: Manner, first_seed: u64, usual: u64) {
    if let Ok(program) = std::env::var("STORAGEWATCH_FOLLOW_REPLAY") {
        let program: Program = program.parse().unwrap();
        if program.manner == manner
            && let Some(fault) = (0..TRIES).find_map(|_| run(&program).err())
        {
            panic!("{fault}\n{}", shrink(program, run));
        }
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number("STORAGEWATCH_FOLLOW_PROGRAMS").unwrap_or(usual);
    let first = number("STORAGEWATCH_FOLLOW_SEED").unwrap_or(first_seed);
    let mut failures = vec![];
    for seed in first..first + count {
        for program in Program::draw(seed, manner, 1) {
            if let Err(fault) = run(&program) {
                failures.push((seed, program, fault));
            }
        }
    }
    let shown = failures.iter().take(5).map(|(seed, program, fault)| {
        let short = shrink(program.clone(), run);
        format!("\nseed {seed}: {fault}\n  STORAGEWATCH_FOLLOW_REPLAY='{short}'")
    });
    assert!(failures.is_empty(), "{} of {count} failed{}", failures.len(), shown.collect::<String>());
}

#[test]
fn no_gentle_program_loses_or_doubles_an_access() {
    run_programs(run, Manner::Gentle, 1, 300);
}

#[test]
fn no_rough_program_loses_more_than_it_destroys() {
    run_programs(run, Manner::Rough, 1_000_001, 300);
}

#[test]
fn no_gentle_program_does_while_it_looks() {
    run_programs(run_beside, Manner::Gentle, 1, 100);
}

#[test]
fn no_rough_program_does_while_it_looks() {
    run_programs(run_beside, Manner::Rough, 1_000_001, 100);
}
