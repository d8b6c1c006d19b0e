//! Follows files that others write and rotate: what is appended counts once, whatever becomes of the names.
//!
//! Enters paths and patterns; leaves [`Batch`]es. A file is its inode while it lives, and its content once it was copied
//! or compressed. A poll is the truth; file events only make it come sooner.

mod archive;
mod compare;
mod cursor;
mod files;
mod hand_over;
mod identity;
mod list;
mod meet;
mod reader;
mod stray;
mod tail;

use super::Batch;
use super::collect::Collected;
use crate::attribute::Given;
use crate::config::DeploymentTemplate;
use crate::config::survey::remedy;
use crate::decode::Decoder;
use crate::event::{Hosting, Timestamp};
use crate::ledger::{Rotation, SourceCounts, SourceState, written};
use cursor::Cursor;
use files::{Files, Look, own};
use identity::Inode;
use meet::Neighbourhood;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tail::{Tail, Turn};

/// How long a file that nobody writes to by its name must be quiet before its last line counts without a newline.
const END: Duration = Duration::from_secs(5);

/// How long a file must be quiet before it is put away that no known name leads to any more. If it was deleted, it keeps
/// its room on the disk as long.
const MISSING: Duration = Duration::from_mins(1);

/// Where more than so many of these are open, some are put away as others are.
const HELD: usize = 64;

/// How long the copy of a file that was cut is looked for.
const COPY: Duration = Duration::from_secs(10);

/// How long a file that is gone is remembered: its compressed copy may turn up.
const MEMORY: Duration = Duration::from_hours(24);

/// In so many turns the rest of a file that was cut is read from its copy at once, for a line may go on in the file.
/// Where more is left, it is read as that of any other file.
const REST: usize = 8;

/// Files that are gone and remembered at the most.
const GONE: usize = 4000;

/// Catching up with what was there at the start takes no longer, as far as being ready goes.
const CATCH_UP: Duration = Duration::from_mins(1);

/// The row with the patterns that were looked for before.
const SIGHTS: &str = "sights";

/// What to follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// The source's name.
    pub name: Arc<str>,
    /// Paths and patterns.
    pub paths: Vec<String>,
    /// Whether files that are there at first sight are read from their beginning.
    pub from_beginning: bool,
    /// The deployment of records that name none.
    pub deployment: Option<DeploymentTemplate>,
    /// Where deployments run whose records do not say.
    pub hosting: Option<Hosting>,
    /// Whether that comes from the configuration.
    pub hosting_is_configured: bool,
}

/// What follows one source's files.
pub struct Follower {
    options: Options,
    files: Files,
    tails: Vec<Tail>,
    next_id: u64,
    /// Which files belong to each path that is written, as of the last look at names.
    families: HashMap<PathBuf, Vec<usize>>,
    /// Which files lie in a directory and begin alike, and which directory a path leads to, as of the last look at names
    /// that brought new ones.
    neighbours: HashMap<Neighbourhood, Vec<usize>>,
    directories: HashMap<PathBuf, PathBuf>,
    sights: BTreeSet<String>,
    /// Whether it was seen which files the paths do not lead to any more.
    is_sorted_out: bool,
    /// Copies of files that are followed, and how much of them was compared.
    copies: HashMap<Inode, Look>,
    given: HashMap<PathBuf, Arc<Given>>,
    /// Rows of the source to write or to remove.
    rows: Vec<(String, Option<String>)>,
    collected: Collected,
    buffer: Vec<u8>,
    started: Option<Instant>,
    listed: bool,
    caught_up: bool,
    /// How many files are open that no known name leads to any more.
    missing: usize,
    told: Option<SourceState>,
    told_caught_up: bool,
    /// What was said of problems that are not solved.
    problems: BTreeMap<PathBuf, String>,
    /// What could not be opened or looked at when names were last looked at, and whether that is written.
    unreadable: BTreeMap<PathBuf, (String, bool)>,
    /// Set from elsewhere: a turn then ends with the file that is being read.
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// A follower that goes on from the rows it left in the ledger.
    pub fn new(options: Options, rows: Vec<(String, String)>) -> Result<Self, serde_json::Error> {
        let mut follower = Self {
            files: Files::new(&options.paths),
            options,
            tails: Vec::new(),
            next_id: 1,
            families: HashMap::new(),
            neighbours: HashMap::new(),
            directories: HashMap::new(),
            sights: BTreeSet::new(),
            is_sorted_out: false,
            copies: HashMap::new(),
            given: HashMap::new(),
            rows: Vec::new(),
            collected: Collected::default(),
            buffer: Vec::new(),
            started: None,
            listed: false,
            caught_up: false,
            missing: 0,
            told: None,
            told_caught_up: false,
            problems: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            stop: Arc::default(),
        };
        for (name, value) in rows {
            if name == SIGHTS {
                follower.sights = serde_json::from_str(&value)?;
            } else if let Ok(id) = name.parse() {
                let mut tail = Tail::new(id, serde_json::from_str(&value)?, Instant::now());
                tail.changed = false;
                follower.next_id = follower.next_id.max(id + 1);
                follower.tails.push(tail);
            }
        }
        follower.forget_sights();
        Ok(follower)
    }

    /// The rows that another follower needs to go on where this one stands.
    pub fn rows(mut self) -> Vec<(String, String)> {
        let sights = written(&self.sights).map(|sights| (SIGHTS.to_owned(), sights));
        let tails = self.tails.iter_mut().filter_map(Tail::row);
        sights.into_iter().chain(tails.filter_map(|(name, row)| Some((name, row?)))).collect()
    }

    /// A pattern that is not looked for any more is new when it comes back.
    fn forget_sights(&mut self) {
        let paths = &self.options.paths;
        let had = self.sights.len();
        self.sights.retain(|path| paths.contains(path));
        if self.sights.len() < had {
            self.rows.extend(written(&self.sights).map(|sights| (SIGHTS.to_owned(), Some(sights))));
        }
    }

    /// Goes on with other paths or names.
    pub fn reconfigure(&mut self, options: Options) {
        self.files = Files::new(&options.paths);
        self.options = options;
        self.given.clear();
        self.copies.clear();
        self.listed = false;
        self.is_sorted_out = false;
        // The ledger may have been told otherwise meanwhile.
        self.told = None;
        self.forget_sights();
    }

    /// What says that turns are to end early.
    pub fn stop_with(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// The directories in which files are looked for.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        self.files.directories()
    }

    /// Looks for files, reads what is new, and hands it over. `look` says that names have changed. Returns true if there
    /// is more to do at once; `send` returns false to stop. `now` and `clock` are the time.
    pub fn turn(&mut self, look: bool, now: Timestamp, clock: Instant, send: &mut impl FnMut(Batch) -> bool) -> bool {
        let started = *self.started.get_or_insert(clock);
        if look || !self.listed || self.files.have_changed() || self.base_has_changed() {
            self.list(clock);
            // Before anything is read, so that what is known of all files becomes durable at once.
            self.tell(now, send);
        }
        self.missing = self.tails.iter().filter(|tail| tail.missing.is_some() && tail.is_open()).count();
        let mut more = false;
        for at in 0..self.tails.len() {
            more |= self.read(at, clock);
            if !self.hand_over(at, now, send) {
                return false;
            }
            // The others have their turn after a restart.
            if self.stop.load(Ordering::Relaxed) {
                return true;
            }
        }
        self.forget(clock);
        self.caught_up |= !more || clock.duration_since(started) > CATCH_UP;
        self.tell(now, send);
        more
    }

    /// Whether something is open that the next turn may have to close.
    pub fn is_waiting(&self) -> bool {
        self.tails.iter().any(Tail::has_open_record)
    }

    /// Reads on in one file; true if there is more.
    fn read(&mut self, at: usize, clock: Instant) -> bool {
        self.inherit(at, clock);
        let stop = Arc::clone(&self.stop);
        let turn = self.read_on(at, clock, &stop);
        if turn == Turn::Rewritten {
            self.cut(at, clock);
        }
        turn != Turn::AtEnd
    }

    /// Reads on in one file.
    fn read_on(&mut self, at: usize, clock: Instant, stop: &AtomicBool) -> Turn {
        let tail = &mut self.tails[at];
        let mut collected = Collected::with(tail.cursor.banners.clone());
        collected.found = std::mem::take(&mut tail.held_back);
        let mut result = Ok(Turn::AtEnd);
        if tail.is_unpacking() {
            result = tail.read_archive(&mut self.buffer, &mut collected, clock);
        } else if tail.has_changed() {
            result = tail.read(&mut self.buffer, &mut collected, clock, stop);
        }
        tail.close_quiet(&mut collected, clock);
        tail.give_up_the_rest(&mut collected, clock);
        if tail.gone_since().is_some_and(|since| clock.duration_since(since) > COPY) {
            tail.give_up_open(&mut collected);
        }
        let quiet = clock.duration_since(tail.grown);
        if quiet >= END && !tail.is_base && tail.is_open() && matches!(result, Ok(Turn::AtEnd)) {
            tail.finish(&mut self.buffer, &mut collected);
            // It was seen to its end.
            tail.changed |= std::mem::take(&mut tail.cursor.written);
            if tail.missing.is_none() {
                tail.close();
            } else if quiet >= MISSING || self.missing > HELD {
                tail.close();
                self.missing = self.missing.saturating_sub(1);
                tail.missing = Some(clock);
                // Its archive, which was only a copy until now, takes its place.
                self.copies.clear();
                self.listed = false;
            }
        }
        collected.make_history(tail.cursor.history);
        if !collected.banners.is_empty() {
            tail.cursor.banners.clone_from(&collected.banners);
        }
        collected.counts.add(&std::mem::take(&mut self.collected.counts));
        collected.found.splice(0..0, std::mem::take(&mut self.collected.found));
        self.collected = collected;
        self.tails[at].failing = result.as_ref().err().map(ToString::to_string);
        result.unwrap_or_else(|error| {
            let path = self.tails[at].cursor.path.clone();
            self.complain(&path, &error);
            Turn::AtEnd
        })
    }

    /// A file was cut and is written anew: what was not read of it may be in a copy.
    fn cut(&mut self, at: usize, clock: Instant) {
        if let Some(new) = self.replace(at, clock) {
            self.list(clock);
            self.inherit(new, clock);
        }
    }

    /// Takes what is in a file that was cut for another one, which goes on with what the old one left open once that was
    /// looked for: its place is taken, and its beginning known, before others are met. None if it is read on from its
    /// new end.
    fn replace(&mut self, at: usize, clock: Instant) -> Option<usize> {
        let old = &mut self.tails[at];
        // Nobody cuts a rotated file: it was written over, to be deleted.
        if !old.is_base {
            tracing::debug!("{}: written over, it was read up to {}", old.cursor.path.display(), old.cursor.offset);
            old.orphan(clock);
            (old.cut, old.missing) = (None, Some(clock));
            self.copies.clear();
            return None;
        }
        self.collected.counts.rotations[Rotation::Truncated as usize] += 1;
        let file = old.file()?.try_clone().ok()?;
        let unread = old.lag();
        if old.may_go_back(&file).unwrap_or(false) && !self.has_copy(at) && self.tails[at].go_back(&file).is_ok() {
            let old = &self.tails[at];
            tracing::debug!("{}: was cut back to {}", old.cursor.path.display(), old.cursor.offset);
            lose(&mut self.collected.counts, &old.cursor.path, unread, true, "it was shortened");
            return None;
        }
        let old = &mut self.tails[at];
        tracing::debug!("{}: was cut, it was read up to {}", old.cursor.path.display(), old.cursor.offset);
        // What was written between the copy and the cut is in no file, and nobody can have seen it.
        let is_busy = old.is_busy(clock);
        let why = "it was cut while it was written to all the time; what comes between a copy and a cut is in neither";
        lose(&mut self.collected.counts, &old.cursor.path, 0, is_busy, why);
        let inode = old.cursor.inode?;
        let mut cursor = Cursor::new(old.cursor.path.clone(), old.cursor.base.clone(), inode, Vec::new());
        (cursor.written, cursor.heir_of) = (old.cursor.written, Some(old.id));
        cursor.banners.clone_from(&old.cursor.banners);
        let (missing, is_base, was_base) = (old.missing, old.is_base, old.was_base);
        old.orphan(clock);
        let mut tail = Tail::new(self.next_id, cursor, clock);
        self.next_id += 1;
        (tail.missing, tail.is_base, tail.was_base) = (missing, is_base, was_base);
        tail.open(file);
        tail.look_at_head();
        self.families.entry(tail.cursor.base.clone()).or_default().push(self.tails.len());
        self.tails.push(tail);
        self.copies.clear();
        Some(self.tails.len() - 1)
    }

    /// Goes on with what the file left open that stood here until it was cut.
    fn inherit(&mut self, at: usize, clock: Instant) {
        let Some(id) = self.tails[at].cursor.heir_of.take() else { return };
        let (carried, open) = self.read_rest(id, clock);
        let tail = &mut self.tails[at];
        tail.changed = true;
        let file = tail.file().and_then(|file| file.try_clone().ok()).filter(|_| tail.cursor.offset == 0);
        let Some(file) = file.filter(|_| open.is_some() || !carried.is_empty()) else { return };
        tail.close();
        tail.cursor.carried = carried;
        tail.cursor.open = open.or_else(|| tail.cursor.open.take());
        tail.open(file);
    }

    /// Reads the rest of a file that was cut from its copy, where that was found: what is left of a line, and a record
    /// that is still open, go on in the file that was cut.
    fn read_rest(&mut self, id: u64, clock: Instant) -> (Vec<u8>, Option<Decoder>) {
        let Some(at) = self.tails.iter().position(|tail| tail.id == id) else { return Default::default() };
        // What belongs together is read together, also right before a stop. A copy that is not what it seemed has its own
        // turn.
        let on = AtomicBool::new(false);
        let is_at_end = !self.tails[at].is_open()
            || (0..REST).map(|_| self.read_on(at, clock, &on)).find(|turn| *turn != Turn::More) == Some(Turn::AtEnd);
        let tail = &mut self.tails[at];
        if !is_at_end || tail.cut.is_some() || tail.cursor.compressed {
            return Default::default();
        }
        tail.changed = true;
        (tail.take_partial(), tail.cursor.open.take())
    }

    /// Forgets files that are gone, and gives up copies that were not found.
    fn forget(&mut self, clock: Instant) {
        let gone = self.tails.iter().filter(|tail| !tail.is_open() && !tail.is_unpacking());
        let mut gone: Vec<_> = gone.filter_map(|tail| Some((tail.missing?, tail.id, &tail.cursor.base))).collect();
        if gone.len() > GONE {
            // A directory that is not there may be mounted again.
            let parents: BTreeMap<_, _> = gone.iter().map(|(_, _, base)| (base.parent(), *base)).collect();
            let is_there: HashMap<_, _> =
                parents.into_iter().map(|(parent, base)| (parent, is_mounted(base))).collect();
            gone.retain(|(_, _, base)| is_there.get(&base.parent()) == Some(&true));
        }
        // Where too many files come and go, those that have been gone for longest are forgotten early.
        let too_old = gone.len().checked_sub(GONE + 1).map(|at| {
            let (since, id, _) = *gone.select_nth_unstable(at).1;
            (since, id)
        });
        let rows = &mut self.rows;
        let counts = &mut self.collected.counts;
        self.tails.retain_mut(|tail| {
            if tail.gone_since().is_some_and(|since| clock.duration_since(since) > COPY) {
                let was_cut = tail.cut.take().is_some();
                let has_vanished = !was_cut && tail.unseen_end && is_gone(&tail.cursor.base, tail.cursor.inode);
                let why =
                    if was_cut { "it was cut, and no copy was found" } else { "it is gone, and no copy was found" };
                lose(counts, &tail.cursor.path, tail.lag(), was_cut || has_vanished, why);
                tail.cursor.size = tail.cursor.place();
                if was_cut {
                    tail.missing = Some(clock);
                } else if has_vanished {
                    (tail.unseen_end, tail.cursor.written, tail.changed) = (false, false, true);
                }
            }
            let is_old =
                |since| clock.duration_since(since) > MEMORY || too_old.is_some_and(|old| (since, tail.id) <= old);
            let gone = !tail.is_open() && !tail.is_unpacking() && tail.missing.is_some_and(is_old);
            if gone || tail.forgotten {
                rows.push((tail.id.to_string(), None));
            }
            !gone && !tail.forgotten
        });
    }

    /// Notes that a file, or what leads to files, cannot be read until names are looked at again.
    fn cannot_read(&mut self, path: &Path, is_base: bool, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unreadable.insert(path.to_owned(), (remedy(error), is_base));
        }
        self.complain(path, error);
    }

    /// Forgets problems that are solved: when they come back they are said again.
    fn forget_problems(&mut self) {
        if self.problems.is_empty() {
            return;
        }
        let failing: HashSet<&PathBuf> =
            self.tails.iter().filter(|tail| tail.failing.is_some()).map(|tail| &tail.cursor.path).collect();
        let unreadable = &self.unreadable;
        self.problems.retain(|path, _| unreadable.contains_key(path) || failing.contains(path));
    }

    /// Says once what cannot be read.
    fn complain(&mut self, path: &Path, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            // Names are changing right now: they are looked at again.
            self.listed = false;
            return;
        }
        let why = remedy(error);
        let is_known = self.problems.get(path) == Some(&why);
        if !is_known && (self.problems.len() < 1000 || self.problems.contains_key(path)) {
            tracing::warn!("{}: {why}", path.display());
            self.problems.insert(path.to_owned(), why);
        }
    }
}

/// Counts what is lost of a file, or may be, and says why.
fn lose(counts: &mut SourceCounts, path: &Path, bytes: u64, may_be_more: bool, why: &str) {
    counts.lost_bytes += bytes;
    counts.possible_losses += u64::from(may_be_more);
    match (bytes, may_be_more) {
        (0, false) => {}
        (0, true) => tracing::warn!("{}: something may be lost: {why}", path.display()),
        (bytes, _) => tracing::warn!("{}: {bytes} bytes that were there are lost: {why}", path.display()),
    }
}

/// Whether the directory is there that a file was in.
fn is_mounted(base: &Path) -> bool {
    base.parent().is_some_and(|parent| own(parent).is_dir())
}

/// Whether a file is gone for good: what is left of its path is on its device, and can be looked at.
fn is_gone(base: &Path, inode: Option<Inode>) -> bool {
    let is_there = base
        .ancestors()
        .map(|path| own(path).metadata())
        .find(|found| found.as_ref().err().is_none_or(|error| error.kind() != io::ErrorKind::NotFound));
    is_there.and_then(Result::ok).is_some_and(|metadata| inode.is_some_and(|inode| inode.is_beside(&metadata)))
}
