//! Logs that are rotated, copied and torn, and a process that is killed: what was written, and what was counted of it.

use crate::Options;
use crate::rig::daemon::{self, Daemon};
use crate::rig::exposition::ACCESSES;
use crate::rig::scraper::Scraper;
use crate::writer::{Counts, Habit, Writer, Written};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to the process meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    Killed,
    /// The log is renamed while it is down.
    KilledAndRenamed,
}

const SCENARIOS: [(&str, Habit, Fate); 10] = [
    ("append only", Habit::Append, Fate::Lives),
    ("writes torn inside lines", Habit::Tear, Fate::Lives),
    ("rename and create", Habit::Rename, Fate::Lives),
    ("rename, late writes to the old file", Habit::RenameAndWriteOn, Fate::Lives),
    ("three renames within 100 ms", Habit::RenameThrice, Fate::Lives),
    ("a rename every 0.25 s", Habit::RenameOften, Fate::Lives),
    ("copytruncate right after a write", Habit::CopyAfterWrite, Fate::Lives),
    ("copytruncate, at once larger again", Habit::CopyAndRegrow, Fate::Lives),
    ("kill -9, writing goes on", Habit::Append, Fate::Killed),
    ("kill -9, and a rename while down", Habit::Append, Fate::KilledAndRenamed),
];

/// How long the counts may take after the last line.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing more must come then: the end of a rotated file is waited for 5 seconds.
const QUIET: Duration = Duration::from_secs(7);

/// How long it is down.
const DOWN: Duration = Duration::from_millis(400);

/// What came of a scenario.
struct Outcome {
    habit: Habit,
    written: Written,
    counted: Counts,
    lost_bytes: f64,
    possible_losses: f64,
    increase: f64,
    falls: Vec<String>,
}

/// Runs the scenarios and says whether nothing was lost, counted twice or hidden.
pub(crate) fn run(options: &Options) -> bool {
    println!(
        "\n| scenario | lines/s | lines | accesses | held nowhere | counted | lost | twice | told lost, bytes | possible losses | by increase() | falls |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut right = true;
    for &rate in &options.rates {
        for (name, habit, fate) in SCENARIOS {
            if options.only.as_ref().is_some_and(|word| !name.contains(word)) {
                continue;
            }
            let outcome = play(options, rate, habit, fate);
            right &= outcome.show(name, rate);
        }
    }
    println!(
        "\nHeld nowhere are the accesses written between a copy and the truncation. Of `increase()` there must be as many as are counted."
    );
    right
}

impl Outcome {
    fn show(&self, name: &str, rate: u64) -> bool {
        let Written { lines, accesses, held_nowhere, bytes_held_nowhere } = &self.written;
        let sum = |counts: &Counts| counts.values().sum::<u64>();
        let less = |one: &Counts, other: &Counts| {
            one.iter()
                .map(|(key, count)| count.saturating_sub(other.get(key).copied().unwrap_or_default()))
                .sum::<u64>()
        };
        let (lost, twice) = (less(accesses, &self.counted), less(&self.counted, accesses));
        let (all, counted, nowhere) = (sum(accesses), sum(&self.counted), sum(held_nowhere));
        let (told, possible, increase) = (self.lost_bytes, self.possible_losses, self.increase);
        println!(
            "| {name} | {rate} | {lines} | {all} | {nowhere} | {counted} | {lost} | {twice} | {told} | {possible} | {increase} | {} |",
            self.falls.len()
        );
        let mut faults = vec![];
        if lost > nowhere {
            faults.push(format!("{lost} accesses are lost, {nowhere} are held nowhere"));
        }
        if twice > 0 {
            faults.push(format!("{twice} accesses are counted twice"));
        }
        // Of a file that is cut while it is written to all the time, nobody can know that nothing was lost.
        let is_cut = matches!(self.habit, Habit::CopyAfterWrite | Habit::CopyAndRegrow);
        if told > *bytes_held_nowhere as f64 || (!is_cut && possible > 0.0) {
            faults.push(format!("{told} bytes and {possible} times are told lost, {bytes_held_nowhere} bytes can be"));
        }
        if lost > 0 && told + possible == 0.0 {
            faults.push(format!("{lost} accesses are lost and nothing is told"));
        }
        if (increase - counted as f64).abs() > 0.5 {
            faults.push(format!("increase() sees {increase} of {counted} accesses"));
        }
        faults.extend(self.falls.iter().cloned());
        for fault in &faults {
            eprintln!("{name} at {rate}: {fault}");
        }
        faults.is_empty()
    }
}

fn start(log: &Path, state: &Path) -> Daemon {
    Daemon::start(daemon::command().arg(log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state))
}

fn play(options: &Options, rate: u64, habit: Habit, fate: Fate) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    let logs = root.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let (log, state) = (logs.join("app.log"), root.path().join("state"));
    let lines = options.lines.unwrap_or_else(|| 20_000.max(5 * rate));
    let mut daemon = start(&log, &state);
    daemon.wait_until_ready();
    let scraper = Scraper::start(daemon::AGENT, Duration::from_millis(70));
    scraper.aim(daemon.address);
    scraper.wait_for_first();
    let (ends, renames) = (AtomicBool::new(false), AtomicBool::new(false));
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writer = Writer::new(&log, rate);
            writer.write_all(lines, habit, || renames.swap(false, Ordering::Relaxed));
            ends.store(true, Ordering::Relaxed);
            writer.written
        });
        // Between the kills it lives for a fifth of the time.
        let life = Duration::from_secs_f64(lines as f64 / rate as f64 / 5.0);
        while fate != Fate::Lives && !ends.load(Ordering::Relaxed) {
            thread::sleep(life);
            daemon.child.kill().unwrap();
            daemon.child.wait().unwrap();
            thread::sleep(DOWN / 2);
            renames.store(fate == Fate::KilledAndRenamed, Ordering::Relaxed);
            thread::sleep(DOWN / 2);
            daemon = start(&log, &state);
            scraper.aim(daemon.address);
        }
        writer.join().unwrap()
    });
    let counted = settled_counts(&mut daemon, &written);
    let metrics = daemon.metrics();
    let seen = scraper.finish();
    let sum = |metric: &str| metrics.sum(metric, &[]);
    let (lost_bytes, possible_losses) =
        (sum("storagewatch_source_lost_bytes_total"), sum("storagewatch_source_possible_loss_total"));
    daemon.stop();
    Outcome { habit, written, counted, lost_bytes, possible_losses, increase: seen.sum, falls: seen.falls }
}

/// The counts once they are complete, or have not changed for long; and after another while, in which none may come.
fn settled_counts(daemon: &mut Daemon, written: &Written) -> Counts {
    let all: u64 = written.accesses.values().sum();
    let least = all - written.held_nowhere.values().sum::<u64>();
    let began = Instant::now();
    loop {
        let counted = daemon.metrics().sum(ACCESSES, &[]) as u64;
        if counted >= least || began.elapsed() > PATIENCE {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(QUIET);
    daemon.metrics().counts()
}
