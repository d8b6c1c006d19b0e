//! Random programs of writing, rotating, deleting, killing and going on, against the model of what must be counted.
//!
//! Time is made up and nothing waits, so thousands of programs run in seconds and each runs the same way again.
//! `STORAGEWATCH_FOLLOW_PROGRAMS=100000` runs more than the suite does, `STORAGEWATCH_FOLLOW_SEED=7` begins with another
//! seed, and `STORAGEWATCH_FOLLOW_REPLAY='numbered; write 1; kill; …'` runs one that was printed.

use crate::watch::directory::{Accesses, Directory, OF_ONE_NAME};
use crate::watch::steps::{Manner, Program, Step};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storagewatch::event::Timestamp;
use storagewatch::source::follow::{Follower, Options};
use storagewatch::source::{Batch, Found};

const NAME: &str = "quiet-otter-0";

/// So many turns are made before everything must have been found.
const TURNS: usize = 6;

/// A directory, what follows it, and what its ledger holds.
struct World {
    directory: Directory,
    follower: Option<Follower>,
    rows: BTreeMap<String, String>,
    counted: Accesses,
    doubled: Vec<usize>,
    lost: (u64, u64),
    clock: Instant,
    passed: Duration,
}

impl World {
    fn run(program: &Program) -> Result<(), String> {
        let root = tempfile::tempdir().unwrap();
        let gentle = program.manner == Manner::Gentle;
        let mut directory = Directory::new(root.path().join("p"), NAME.to_owned(), program.naming, gentle);
        if program.old {
            directory.write_old();
        }
        let mut world = Self {
            directory,
            follower: None,
            rows: BTreeMap::new(),
            counted: Accesses::new(),
            doubled: vec![],
            lost: (0, 0),
            clock: Instant::now(),
            passed: Duration::ZERO,
        };
        world.begin();
        world.turns();
        for (at, step) in program.steps.iter().enumerate() {
            if std::env::var_os("TRACE").is_some() {
                world.trace(&step.to_string());
            }
            match *step {
                // It dies between two commits.
                Step::Kill => {
                    world.turn(at % 2 == 0, at % 4);
                    world.follower = None;
                }
                Step::Stop => {
                    world.turn(true, usize::MAX);
                    world.follower = None;
                }
                Step::Start if world.follower.is_none() => {
                    world.begin();
                    world.turn(true, usize::MAX);
                }
                Step::Sync if world.follower.is_some() => {
                    world.turns();
                    world.judge(false, &format!("step {at}"))?;
                }
                Step::Pause(milliseconds) => {
                    world.passed += Duration::from_millis(milliseconds);
                    world.turn(milliseconds % 3 > 0, usize::MAX);
                }
                _ => world.directory.step(*step, false),
            }
        }
        if world.follower.is_none() {
            world.begin();
        }
        world.turns();
        if std::env::var_os("TRACE").is_some() {
            world.trace("end");
        }
        world.passed += Duration::from_secs(6);
        world.turns();
        world.judge(true, "the end")?;
        world.passed += Duration::from_secs(11);
        world.turns();
        world.judge(true, "a while after the end")?;
        if gentle && world.lost != (0, 0) {
            return Err(format!("nothing was lost, and told were {:?} bytes and possible losses", world.lost));
        }
        world.follower = None;
        world.begin();
        world.turns();
        world.judge(true, "a restart after the end")
    }

    fn trace(&self, what: &str) {
        let dir = self.directory.log().parent().unwrap().to_owned();
        for e in std::fs::read_dir(&dir).unwrap() {
            let e = e.unwrap();
            let m = e.metadata().unwrap();
            println!("   {:?} ino {} size {}", e.file_name(), std::os::unix::fs::MetadataExt::ino(&m), m.len());
        }
        for (k, v) in &self.rows {
            let v: serde_json::Value = serde_json::from_str(v).unwrap();
            println!("   row {k}: {} ino {} off {} size {} head {} gz {}", v["path"].as_str().unwrap_or("").rsplit('/').next().unwrap(), v["inode"]["inode"], v["offset"], v["size"], v["head"].as_str().unwrap_or("").len()/2, v["compressed"]);
        }
        println!("   counted {:?} doubled {:?} lost {:?}", self.counted, self.doubled, self.lost);
        println!("-- {what}");
    }

    fn begin(&mut self) {
        let options = Options {
            name: Arc::from("files"),
            paths: vec![self.directory.log().to_str().unwrap().to_owned()],
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
            self.turn(true, usize::MAX);
        }
    }

    /// A turn of which so many batches are committed.
    fn turn(&mut self, look: bool, mut commits: usize) {
        self.passed += Duration::from_millis(20);
        let Some(follower) = &mut self.follower else { return };
        let (rows, counted, doubled, lost) = (&mut self.rows, &mut self.counted, &mut self.doubled, &mut self.lost);
        let mut send = |batch: Batch| {
            if commits == 0 {
                return false;
            }
            commits -= 1;
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
    fn judge(&mut self, whole: bool, when: &str) -> Result<(), String> {
        let (must, may) = (self.directory.must(whole), self.directory.may());
        let missing: Vec<_> = must.difference(&self.counted).collect();
        let wrong: Vec<_> = self.counted.difference(&may).collect();
        if !missing.is_empty() || !wrong.is_empty() || !self.doubled.is_empty() {
            let (counted, doubled) = (&self.counted, &self.doubled);
            return Err(format!(
                "at {when}: missing {missing:?}, wrong {wrong:?}, doubled {doubled:?}; counted {counted:?}"
            ));
        }
        self.directory.saw(self.counted.clone());
        Ok(())
    }
}

/// Leaves out of a program what does not matter to its failure.
fn shrink(mut program: Program) -> Program {
    let mut at = program.steps.len();
    while at > 0 {
        at = at.min(program.steps.len()) - 1;
        let mut shorter = program.clone();
        shorter.steps.remove(at);
        if World::run(&shorter).is_err() {
            (program, at) = (shorter, at + 3);
        }
    }
    program
}

fn run_programs(manner: Manner, first_seed: u64, usual: u64) {
    if let Ok(program) = std::env::var("STORAGEWATCH_FOLLOW_REPLAY") {
        let program: Program = program.parse().unwrap();
        if program.manner == manner
            && let Err(fault) = World::run(&program)
        {
            let short = shrink(program);
            panic!("{fault}\n{short}: {:?}", World::run(&short));
        }
        return;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number("STORAGEWATCH_FOLLOW_PROGRAMS").unwrap_or(usual);
    let first = number("STORAGEWATCH_FOLLOW_SEED").unwrap_or(first_seed);
    let mut failures = vec![];
    for seed in first..first + count {
        for program in Program::draw(seed, manner, 1) {
            if World::run(&program).is_err() {
                failures.push((seed, program));
            }
        }
    }
    let shown = failures.iter().take(8).map(|(seed, program)| {
        let short = shrink(program.clone());
        format!("\nseed {seed}: {:?}\n  STORAGEWATCH_FOLLOW_REPLAY='{short}'", World::run(&short))
    });
    assert!(failures.is_empty(), "{} of {count} failed{}", failures.len(), shown.collect::<String>());
}

#[test]
fn no_gentle_program_loses_or_doubles_an_access() {
    run_programs(Manner::Gentle, 1, 500);
}

#[test]
fn no_rough_program_loses_more_than_it_destroys() {
    run_programs(Manner::Rough, 1_000_001, 500);
}
