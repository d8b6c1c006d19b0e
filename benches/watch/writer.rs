//! Writes a log at a given rate, rotates it as a scenario says, and knows what it wrote and what no file holds any more.

use crate::rig::lines::{self, Access, OUTCOMES};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Accesses by deployment and outcome.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

/// So many lines have a deployment of their own among them, so that a loss in one place and a repeat in another show.
const BLOCK: u64 = 2_500;

/// As many rotated files stay.
const KEPT: u32 = 10;

/// Lines are written so many times a second.
const WRITES_A_SECOND: u64 = 400;

/// What is done to the log beside writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Append,
    Tear,
    Rename,
    RenameAndWriteOn,
    RenameThrice,
    RenameOften,
    CopyAfterWrite,
    CopyAndRegrow,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    pub(crate) accesses: Counts,
    /// Those of them that no file holds: written after the copy was made and before the file was truncated.
    pub(crate) held_nowhere: Counts,
    pub(crate) bytes_held_nowhere: u64,
}

/// A log and who writes it.
pub(crate) struct Writer {
    log: PathBuf,
    file: File,
    number: u64,
    random: u64,
    began: Instant,
    rate: u64,
    rotated: Instant,
    rotations: u64,
    /// Bytes since the last rotation.
    grown: usize,
    pub(crate) written: Written,
}

impl Writer {
    pub(crate) fn new(log: &Path, rate: u64) -> Self {
        let now = Instant::now();
        Self {
            log: log.to_owned(),
            file: append_to(log),
            number: 0,
            random: 1,
            began: now,
            rate,
            rotated: now,
            rotations: 0,
            grown: 0,
            written: Written::default(),
        }
    }

    /// Writes so many lines. `before_each` is called before each write, and says whether to rename the log at once.
    pub(crate) fn write_all(&mut self, lines: u64, habit: Habit, mut before_each: impl FnMut() -> bool) {
        let at_once = self.rate.div_ceil(WRITES_A_SECOND);
        (self.began, self.rotated) = (Instant::now(), Instant::now());
        while self.written.lines < lines {
            if before_each() {
                self.rename();
            }
            let text = self.draw(at_once.min(lines - self.written.lines));
            self.put(&text, habit == Habit::Tear);
            self.rotate(habit);
            self.keep_pace();
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound
    }

    /// The next lines, which count as written.
    fn draw(&mut self, count: u64) -> String {
        let mut text = String::new();
        for _ in 0..count {
            self.number += 1;
            self.written.lines += 1;
            let deployment = self.deployment();
            if self.below(2) == 0 {
                let outcome = OUTCOMES[self.below(3)];
                let access = Access { deployment: &deployment, outcome, size_bytes: self.number };
                text.push_str(&lines::access(access, self.number));
                *self.written.accesses.entry((deployment, outcome.to_owned())).or_default() += 1;
            } else {
                text.push_str(&lines::noise(&deployment, self.number));
            }
        }
        text
    }

    /// Every other line is of one of four deployments, the others of one that is only met for a while.
    fn deployment(&self) -> String {
        if self.number.is_multiple_of(2) {
            return format!("happy-otter-{}", self.number / 2 % 4);
        }
        format!("quiet-lemur-{}", self.number / BLOCK)
    }

    fn put(&mut self, text: &str, torn: bool) {
        self.grown += text.len();
        let mut rest = text.as_bytes();
        while torn && rest.len() > 1 {
            let (piece, others) = rest.split_at(1 + self.below(rest.len() - 1).min(700));
            self.file.write_all(piece).unwrap();
            rest = others;
            if self.below(8) == 0 {
                thread::sleep(Duration::from_micros(200));
            }
        }
        self.file.write_all(rest).unwrap();
    }

    /// Waits until the next line is due.
    fn keep_pace(&self) {
        let due = self.began + Duration::from_secs_f64(self.written.lines as f64 / self.rate as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    fn rotate(&mut self, habit: Habit) {
        let every = match habit {
            Habit::Append | Habit::Tear => return,
            Habit::RenameOften => Duration::from_millis(250),
            Habit::CopyAfterWrite | Habit::CopyAndRegrow => Duration::from_millis(500),
            _ => Duration::from_secs(1),
        };
        if self.rotated.elapsed() < every {
            return;
        }
        self.rotated = Instant::now();
        self.rotations += 1;
        match habit {
            Habit::RenameAndWriteOn => self.rename_and_write_on(),
            Habit::RenameThrice => {
                for _ in 0..3 {
                    self.rename();
                    let text = self.draw(3);
                    self.put(&text, false);
                    thread::sleep(Duration::from_millis(25));
                }
            }
            Habit::CopyAfterWrite => self.copy_and_truncate(self.rotations.is_multiple_of(3)),
            Habit::CopyAndRegrow => {
                let size = self.grown;
                self.copy_and_truncate(false);
                // At once there is more than before.
                let mut text = String::new();
                while text.len() <= size + size / 4 {
                    text.push_str(&self.draw(8));
                }
                self.put(&text, false);
            }
            _ => self.rename(),
        }
    }

    fn shift(&self) {
        let name = |number: u32| PathBuf::from(format!("{}.{number}", self.log.display()));
        for number in (1..=KEPT).rev() {
            if name(number).exists() {
                fs::rename(name(number), name(number + 1)).unwrap();
            }
        }
        let _ = fs::remove_file(name(KEPT + 1));
    }

    fn newest(&self) -> PathBuf {
        PathBuf::from(format!("{}.1", self.log.display()))
    }

    fn rename(&mut self) {
        self.shift();
        fs::rename(&self.log, self.newest()).unwrap();
        self.file = append_to(&self.log);
        self.grown = 0;
    }

    /// The log is renamed and made anew, and for a while lines are still written to the old one.
    fn rename_and_write_on(&mut self) {
        self.shift();
        fs::rename(&self.log, self.newest()).unwrap();
        let new = append_to(&self.log);
        for _ in 0..8 {
            let text = self.draw(self.rate / 100);
            self.put(&text, true);
            thread::sleep(Duration::from_millis(10));
        }
        self.file = new;
        self.grown = 0;
    }

    /// As logrotate's `copytruncate`; `late` lines come between the copy and the truncation.
    fn copy_and_truncate(&mut self, late: bool) {
        self.shift();
        fs::copy(&self.log, self.newest()).unwrap();
        if late {
            let before = self.written.accesses.clone();
            let text = self.draw(4);
            self.put(&text, false);
            self.written.bytes_held_nowhere += text.len() as u64;
            for (key, count) in &self.written.accesses {
                let more = count - before.get(key).copied().unwrap_or_default();
                *self.written.held_nowhere.entry(key.clone()).or_default() += more;
            }
        }
        self.file.set_len(0).unwrap();
        self.grown = 0;
    }
}

fn append_to(log: &Path) -> File {
    File::options().append(true).create(true).open(log).unwrap()
}
