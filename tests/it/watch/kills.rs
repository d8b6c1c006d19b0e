//! Killed again and again, at any moment, while lines are written and files rotate: every access counts once, and no
//! counter ever falls.

use super::daemon::{self, Daemon};
use super::lines::{self, Access, OUTCOMES};
use super::scraper::Scraper;
use crate::support::scanning::Numbers;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KILLS: usize = 200;
const DEPLOYMENTS: usize = 6;

/// What was written, by deployment and outcome.
type Written = BTreeMap<(String, String), u64>;

/// Appends to a file, often in the middle of a line, and rotates it now and then, by renaming or by copying.
fn write_until(ends: &AtomicBool, directory: &Path, copies: bool) -> Written {
    let (mut numbers, mut written) = (Numbers(31), Written::new());
    let log = directory.join("app.log");
    let mut file = append_to(&log);
    let mut rotated = Instant::now();
    let mut number = 0;
    while !ends.load(Ordering::Relaxed) {
        let mut text = String::new();
        for _ in 0..=numbers.below(8) {
            number += 1;
            let (deployment, outcome) = (format!("brave-ibex-{}", number % 6), OUTCOMES[numbers.below(3)]);
            let access = Access { deployment: &deployment, outcome, size_bytes: number };
            text.push_str(&lines::access(access, number));
            text.push_str(&lines::noise(&deployment, number));
            *written.entry((deployment, outcome.to_owned())).or_default() += 1;
        }
        let (begun, rest) = text.as_bytes().split_at(numbers.below(text.len()));
        file.write_all(begun).unwrap();
        std::thread::sleep(Duration::from_millis(numbers.next() % 4));
        file.write_all(rest).unwrap();
        if rotated.elapsed() > Duration::from_millis(700) {
            rotated = Instant::now();
            shift(directory);
            if copies {
                fs::copy(&log, directory.join("app.log.1")).unwrap();
                file.set_len(0).unwrap();
            } else {
                fs::rename(&log, directory.join("app.log.1")).unwrap();
                file = append_to(&log);
            }
        }
        std::thread::sleep(Duration::from_millis(numbers.next() % 6));
    }
    written
}

/// Ends the writing when it is dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn append_to(log: &Path) -> File {
    File::options().append(true).create(true).open(log).unwrap()
}

/// Renames `app.log.1` to `app.log.2` and so on. None is deleted: how much a process reads in its short life is not said.
fn shift(directory: &Path) {
    let name = |number: usize| directory.join(format!("app.log.{number}"));
    let mut first_free = 1;
    while name(first_free).exists() {
        first_free += 1;
    }
    for number in (1..first_free).rev() {
        fs::rename(name(number), name(number + 1)).unwrap();
    }
}

fn start(log: &PathBuf, state: &Path) -> Daemon {
    Daemon::start(daemon::command().arg(log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(state))
}

/// Kills, and in the end compares what was counted with what was written.
fn kill_at_random(copies: bool, seed: u64) {
    let root = tempfile::tempdir().unwrap();
    let logs = root.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let (log, state) = (logs.join("app.log"), root.path().join("state"));
    let mut numbers = Numbers(seed);
    let (scraper, ends) = (Scraper::start(daemon::AGENT, Duration::from_millis(10)), AtomicBool::new(false));
    let mut daemon = start(&log, &state);
    daemon.wait_until_ready();
    scraper.aim(daemon.address);
    scraper.wait_for_first();
    let (written, mut daemon) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&ends, &logs, copies));
        let end = End(&ends);
        for _ in 0..KILLS {
            scraper.aim(daemon.address);
            std::thread::sleep(Duration::from_millis(numbers.next() % 160));
            daemon.kill();
            std::thread::sleep(Duration::from_millis(numbers.next() % 40));
            daemon = start(&log, &state);
        }
        scraper.aim(daemon.address);
        drop(end);
        (writer.join().unwrap(), daemon)
    });
    let all: u64 = written.values().sum();
    for deployment in 0..DEPLOYMENTS {
        let deployment = format!("brave-ibex-{deployment}");
        let expected = written.iter().filter(|((of, _), _)| *of == deployment).map(|(_, count)| count).sum();
        daemon.wait_for_accesses(&deployment, expected);
    }
    assert_eq!(daemon.metrics().counts(), written);
    let seen = scraper.finish();
    assert!(seen.falls.is_empty(), "of {} scrapes: {:?}", seen.scrapes, seen.falls);
    assert_eq!(seen.sum as u64, all, "what increase() makes of {} scrapes", seen.scrapes);
    let metrics = daemon.metrics();
    let [lost, possible] = ["storagewatch_source_lost_bytes_total", "storagewatch_source_possible_loss_total"]
        .map(|metric| metrics.sum(metric, &[]));
    assert!(lost == 0.0, "nothing was lost, and {lost} bytes are told");
    // Where it is cut while it is written to all the time, nobody can know.
    assert!(copies || possible == 0.0, "nothing can have been lost, and {possible} possible losses are told");
    daemon.stop();
}

#[test]
fn kills_while_files_are_renamed_change_no_count() {
    kill_at_random(false, 11);
}

#[test]
fn kills_while_files_are_copied_and_truncated_change_no_count() {
    kill_at_random(true, 12);
}
