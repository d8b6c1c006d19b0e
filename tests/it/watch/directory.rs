//! A directory in which a program's steps are carried out, and the model of it: which file holds which accesses, hence
//! which of them must be counted and which may be.
//!
//! An access must be counted if it was seen counted or a file holds it whole. It may be counted if it was written and
//! nothing holds it any more. What lay there before the first start must not be counted, nor what was never finished.

use super::lines::{self, Access, OUTCOMES};
use super::steps::{Cut, Naming, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Accesses, by their numbers within a directory.
pub(crate) type Accesses = BTreeSet<usize>;

/// As many accesses bear one deployment's name. The size of each is a power of two of its own, so that the sum of sizes
/// tells which of them were counted, and is small enough to be exact as a floating-point number.
pub(crate) const OF_ONE_NAME: usize = 48;

/// A rotated file may be written to for so long. What comes later may come after it was given up.
const LATE: Duration = Duration::from_secs(3);

/// Beginnings of names under which nothing is looked for.
const ELSEWHERE: [&str; 2] = ["kept/", "app-of-"];

/// A file of the model.
#[derive(Debug, Default)]
struct File {
    accesses: Vec<usize>,
    /// Its last line has no newline.
    ends_open: bool,
    packed: bool,
}

/// A line that was begun: its access, what is missing, and how it was cut.
#[derive(Debug)]
struct Begun {
    access: usize,
    rest: String,
    cut: Cut,
}

/// A directory, and what is known of it.
pub(crate) struct Directory {
    path: PathBuf,
    name: String,
    naming: Naming,
    /// How many rotated files stay.
    keep: usize,
    /// Whether nothing may be done that could lose a line.
    gentle: bool,
    files: BTreeMap<String, File>,
    /// The file that is written to. It need not be there.
    current: String,
    begun: Option<Begun>,
    renamed: Option<(String, Instant)>,
    rotations: usize,
    lines: u64,
    written: usize,
    /// They were there before the first start.
    old: Accesses,
    /// They were seen counted.
    sure: Accesses,
    /// They end a rotated file without a newline, and so count only after a while.
    slow: Accesses,
    /// They were written so late that nothing is promised.
    doubtful: Accesses,
    /// They were begun and never finished.
    left: Accesses,
}

impl Directory {
    pub(crate) fn new(path: PathBuf, name: String, naming: Naming, gentle: bool) -> Self {
        fs::create_dir_all(path.join("kept")).unwrap();
        let mut directory = Self {
            path,
            name,
            naming,
            keep: if gentle { usize::MAX } else { 4 },
            gentle,
            files: BTreeMap::new(),
            current: "app.log".to_owned(),
            begun: None,
            renamed: None,
            rotations: 0,
            lines: 0,
            written: 0,
            old: Accesses::new(),
            sure: Accesses::new(),
            slow: Accesses::new(),
            doubtful: Accesses::new(),
            left: Accesses::new(),
        };
        if naming == Naming::Linked {
            directory.switch();
        }
        directory
    }

    /// Writes what is there before storagewatch is started for the first time.
    pub(crate) fn write_old(&mut self) {
        for step in [Step::Write(1), Step::Rename { creates: false }, Step::Compress, Step::Write(1)] {
            self.step(step, true);
        }
        for step in [Step::Rename { creates: false }, Step::Write(2)] {
            self.step(step, true);
        }
        self.old = (0..self.written).collect();
        self.renamed = None;
    }

    /// The path that is followed.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("app.log")
    }

    /// The deployments whose accesses were written here.
    pub(crate) fn deployments(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.written.div_ceil(OF_ONE_NAME)).map(|at| self.deployment(at))
    }

    fn deployment(&self, at: usize) -> String {
        format!("{}-{at}", self.name)
    }

    /// What must be counted by now; `whole` is true after a wait that was long enough for a last line without newline.
    pub(crate) fn must(&self, whole: bool) -> Accesses {
        let held = self.files.values().filter(|file| !file.packed).flat_map(|file| &file.accesses).copied();
        let fast = held.filter(|access| whole || !self.slow.contains(access));
        let promised = fast.filter(|access| !self.old.contains(access) && !self.doubtful.contains(access));
        promised.chain(self.sure.iter().copied()).collect()
    }

    /// What may be counted at all.
    pub(crate) fn may(&self) -> Accesses {
        let begun = self.begun.as_ref().map(|begun| begun.access);
        let whole = (0..self.written).filter(|access| Some(*access) != begun && !self.left.contains(access));
        whole.filter(|access| !self.old.contains(access)).collect()
    }

    /// Notes what was seen counted.
    pub(crate) fn saw(&mut self, counted: Accesses) {
        self.sure.extend(counted);
    }

    /// Carries out a step, on the disk and in the model. `gzip`ping in a gentle program waits until all was seen counted.
    pub(crate) fn step(&mut self, step: Step, at_first: bool) {
        match step {
            Step::Write(count) => self.write(count),
            Step::Partial(cut) => self.begin(cut),
            Step::Finish => self.finish(),
            Step::Rename { .. } | Step::Switch if self.naming == Naming::Linked => self.switch(),
            Step::Rename { creates } => self.rename(creates),
            Step::Move if self.naming == Naming::Linked => self.switch(),
            Step::Move => self.move_elsewhere(),
            Step::Thrice => {
                for _ in 0..3 {
                    self.write(2);
                    self.rename(false);
                }
                self.write(1);
            }
            Step::Late(count) => self.write_late(count),
            Step::Compress => self.compress(at_first),
            Step::DeleteOldest => self.delete_oldest(),
            Step::CopyTruncate { .. } | Step::Regrow | Step::Delete | Step::Recreate
                if self.naming == Naming::Linked =>
            {
                self.switch();
            }
            Step::CopyTruncate { late } => self.copy_and_truncate(late),
            Step::Regrow => {
                let size = fs::metadata(self.log()).map_or(0, |file| file.len());
                self.copy_and_truncate(0);
                // A line has more than 900 bytes.
                self.write(1 + (size / 900) as usize);
            }
            Step::Delete => self.delete(),
            Step::Recreate => {
                self.delete();
                self.write(2);
            }
            _ => {}
        }
    }

    fn line(&mut self) -> (usize, String) {
        let access = self.written;
        self.written += 1;
        self.lines += 1;
        let (deployment, size_bytes) = (self.deployment(access / OF_ONE_NAME), 1 << (access % OF_ONE_NAME));
        let outcome = OUTCOMES[access % 3];
        (access, lines::access(Access { deployment: &deployment, outcome, size_bytes }, self.lines))
    }

    /// Appends to a file, making it where it is not there.
    fn append(&mut self, name: &str, text: &str, accesses: &[usize]) {
        let file = fs::File::options().append(true).create(true).open(self.path.join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
        let file = self.files.entry(name.to_owned()).or_default();
        file.accesses.extend(accesses);
        file.ends_open = if text.is_empty() { file.ends_open } else { !text.ends_with('\n') };
    }

    fn write(&mut self, count: usize) {
        self.finish();
        let current = self.current.clone();
        self.write_to(&current, count);
    }

    fn write_to(&mut self, name: &str, count: usize) -> Vec<usize> {
        let (mut text, mut accesses) = (String::new(), vec![]);
        for _ in 0..count {
            let (access, line) = self.line();
            text.push_str(&line);
            accesses.push(access);
            if access % 2 == 0 {
                self.lines += 1;
                text.push_str(&lines::noise(&self.deployment(0), self.lines));
            }
        }
        self.append(name, &text, &accesses);
        accesses
    }

    fn begin(&mut self, cut: Cut) {
        self.finish();
        let (access, line) = self.line();
        let phrase = line.find("Storage access").expect("it is an access");
        let at = match cut {
            Cut::Stub => 1 + access * 37 % phrase,
            Cut::Deep => phrase + access * 53 % (line.len() - phrase - 1),
            Cut::Bare => line.len() - 1,
        };
        let current = self.current.clone();
        self.append(&current, &line[..at], &[]);
        self.begun = Some(Begun { access, rest: line[at..].to_owned(), cut });
    }

    fn finish(&mut self) {
        if let Some(begun) = self.begun.take() {
            let current = self.current.clone();
            self.append(&current, &begun.rest, &[begun.access]);
        }
    }

    /// Before the file is copied or deleted: what could be mistaken for an event is finished, less than that is left.
    fn finish_or_leave(&mut self) {
        match self.begun.take_if(|begun| begun.cut == Cut::Stub) {
            Some(begun) => drop(self.left.insert(begun.access)),
            None => self.finish(),
        }
    }

    /// After the file was renamed to this: the writer, who has it open, finishes the line there or has gone.
    fn finish_in(&mut self, name: &str) {
        let Some(begun) = self.begun.take() else { return };
        match begun.cut {
            Cut::Stub if begun.access % 2 == 0 => drop(self.left.insert(begun.access)),
            Cut::Bare if begun.access % 2 == 0 => {
                self.slow.insert(begun.access);
                self.append(name, "", &[begun.access]);
            }
            _ => self.append(name, &begun.rest, &[begun.access]),
        }
    }

    /// Makes room for a rotated file and says its name.
    fn shift(&mut self) -> String {
        self.rotations += 1;
        self.renamed = None;
        if self.naming != Naming::Numbered {
            while self.rotated().len() >= self.keep {
                self.delete_oldest();
            }
            return format!("app.log-2026{:02}{:02}", 1 + self.rotations / 28, 1 + self.rotations % 28);
        }
        let rotated = self.rotated();
        for (at, name) in rotated.iter().enumerate().rev() {
            if at + 1 >= self.keep {
                fs::remove_file(self.path.join(name)).unwrap();
                self.files.remove(name);
                continue;
            }
            let to = format!("app.log.{}{}", at + 2, if name.ends_with(".gz") { ".gz" } else { "" });
            fs::rename(self.path.join(name), self.path.join(&to)).unwrap();
            let file = self.files.remove(name).expect("it was listed");
            self.files.insert(to, file);
        }
        "app.log.1".to_owned()
    }

    /// The names of the rotated files, newest first.
    fn rotated(&self) -> Vec<String> {
        let is_rotated =
            |name: &&String| **name != self.current && !ELSEWHERE.iter().any(|beginning| name.starts_with(beginning));
        let mut names: Vec<_> = self.files.keys().filter(is_rotated).cloned().collect();
        match self.naming {
            Naming::Numbered => names.sort_by_key(|name| {
                let number = name.trim_start_matches("app.log.").trim_end_matches(".gz");
                number.parse::<usize>().expect("names end in numbers")
            }),
            Naming::Dated | Naming::Linked => names.reverse(),
        }
        // Numbers may have gaps, where an old file was deleted; shifting closes them.
        names
    }

    fn rename(&mut self, creates: bool) {
        if !self.files.contains_key(&self.current) {
            return;
        }
        let to = self.shift();
        fs::rename(self.log(), self.path.join(&to)).unwrap();
        let file = self.files.remove(&self.current).expect("it is there");
        self.files.insert(to.clone(), file);
        if creates {
            let current = self.current.clone();
            self.append(&current, "", &[]);
        }
        self.finish_in(&to);
        self.renamed = Some((to, Instant::now()));
    }

    /// Moves the file, if something in it was seen counted: one that nobody ever saw is found by nobody.
    fn move_elsewhere(&mut self) {
        let is_known = |file: &File| file.accesses.iter().any(|access| self.sure.contains(access));
        if !self.files.get(&self.current).is_some_and(is_known) {
            return;
        }
        self.rotations += 1;
        let to = format!("{}{}", ELSEWHERE[self.rotations % 2], self.rotations);
        fs::rename(self.log(), self.path.join(&to)).unwrap();
        let file = self.files.remove(&self.current).expect("it is there");
        self.files.insert(to.clone(), file);
        self.finish_in(&to);
        self.renamed = Some((to, Instant::now()));
    }

    /// Lets the link point to a new file.
    fn switch(&mut self) {
        let before = self.files.contains_key(&self.current).then(|| self.current.clone());
        let to = self.shift();
        self.append(&to, "", &[]);
        let link = self.path.join("link");
        std::os::unix::fs::symlink(&to, &link).unwrap();
        fs::rename(&link, self.log()).unwrap();
        self.current = to;
        if let Some(before) = before {
            self.finish_in(&before);
            self.renamed = Some((before, Instant::now()));
        }
    }

    fn write_late(&mut self, count: usize) {
        let Some((name, at)) = self.renamed.clone() else { return };
        let Some(file) = self.files.get(&name).filter(|file| !file.packed) else { return };
        if file.ends_open {
            let slow: Vec<_> = file.accesses.iter().filter(|access| self.slow.contains(access)).copied().collect();
            self.append(&name, "\n", &[]);
            slow.iter().for_each(|access| {
                self.slow.remove(access);
            });
        }
        let accesses = self.write_to(&name, count);
        if at.elapsed() > LATE {
            self.doubtful.extend(accesses);
        }
    }

    fn copy_and_truncate(&mut self, late: usize) {
        if !self.files.contains_key(&self.current) {
            return;
        }
        self.finish_or_leave();
        let (to, current) = (self.shift(), self.current.clone());
        fs::copy(self.log(), self.path.join(&to)).unwrap();
        let file = &self.files[&current];
        let copy = File { accesses: file.accesses.clone(), ends_open: file.ends_open, packed: false };
        if late > 0 {
            let newline = if file.ends_open { "\n" } else { "" };
            self.append(&current, newline, &[]);
            self.write_to(&current, late);
        }
        fs::File::options().write(true).open(self.log()).unwrap().set_len(0).unwrap();
        self.files.insert(current, File::default());
        self.files.insert(to, copy);
    }

    fn compress(&mut self, at_first: bool) {
        let plain = self.rotated().into_iter().find(|name| !self.files[name].packed);
        let Some(name) = plain else { return };
        let all_seen = self.files[&name].accesses.iter().all(|at| self.sure.contains(at) || self.old.contains(at));
        if self.gentle && !all_seen && !at_first {
            return;
        }
        let status = std::process::Command::new("gzip").arg(self.path.join(&name)).status().unwrap();
        assert!(status.success(), "gzip {name}");
        let file = self.files.remove(&name).expect("it was listed");
        self.files.insert(format!("{name}.gz"), File { packed: true, ..file });
        if self.renamed.as_ref().is_some_and(|(renamed, _)| *renamed == name) {
            self.renamed = None;
        }
    }

    fn delete(&mut self) {
        if self.files.contains_key(&self.current) {
            self.finish_or_leave();
            fs::remove_file(self.log()).unwrap();
            self.files.remove(&self.current);
        }
    }

    fn delete_oldest(&mut self) {
        if let Some(name) = self.rotated().pop() {
            fs::remove_file(self.path.join(&name)).unwrap();
            self.files.remove(&name);
            if self.renamed.as_ref().is_some_and(|(renamed, _)| *renamed == name) {
                self.renamed = None;
            }
        }
    }
}
