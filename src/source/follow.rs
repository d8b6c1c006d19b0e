//! Follows files that others write and rotate: what is appended counts once, whatever becomes of the names.
//!
//! Enters paths and patterns; leaves [`Batch`]es. A file is its inode while it lives, and its content once it was copied
//! or compressed. A poll is the truth; file events only make it come sooner.

mod archive;
mod files;
mod identity;
mod reader;
mod tail;

use super::Batch;
use super::collect::Collected;
use crate::attribute::Given;
use crate::config::DeploymentTemplate;
use crate::event::{Hosting, Timestamp};
use crate::ledger::{Rotation, SourceState};
use files::{Entry, Files, Look};
use identity::{Inode, agree, head_of, is_distinctive, open_same, read_at};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tail::{Cursor, Rest, Tail, Turn};

/// How long a file that nobody writes to by its name must be quiet before its last line counts without a newline.
const END: Duration = Duration::from_secs(5);

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
    told: Option<SourceState>,
    told_caught_up: bool,
    problems: BTreeSet<String>,
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
            told: None,
            told_caught_up: false,
            problems: BTreeSet::new(),
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
        let sights = serde_json::to_string(&self.sights).ok().map(|sights| (SIGHTS.to_owned(), sights));
        let tails = self.tails.iter_mut().filter(|tail| !tail.forgotten).map(Tail::row);
        sights.into_iter().chain(tails.filter_map(|(name, row)| Some((name, row?)))).collect()
    }

    /// A pattern that is not looked for any more is new when it comes back.
    fn forget_sights(&mut self) {
        let paths = &self.options.paths;
        let had = self.sights.len();
        self.sights.retain(|path| paths.contains(path));
        if self.sights.len() < had {
            self.rows.push((SIGHTS.to_owned(), serde_json::to_string(&self.sights).ok()));
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

    fn base_has_changed(&self) -> bool {
        let followed: HashSet<Inode> =
            self.tails.iter().filter(|tail| tail.is_base).filter_map(|tail| tail.cursor.inode).collect();
        let mut inodes = self.files.bases().filter_map(|base| base.metadata().ok()).filter(Metadata::is_file);
        inodes.any(|metadata| !followed.contains(&Inode::of(&metadata)))
    }

    /// Puts files away that a changed configuration does not name any more: they are there, and not looked for. What
    /// is known of them is kept, so that they go on if they are named again.
    fn sort_out(&mut self) {
        if std::mem::replace(&mut self.is_sorted_out, true) {
            return;
        }
        let mut left_out = HashSet::new();
        for tail in &mut self.tails {
            tail.asleep = false;
            if !self.files.is_base(&tail.cursor.base) && tail.cursor.base.is_file() {
                left_out.insert(tail.cursor.base.clone());
            }
        }
        if left_out.is_empty() {
            return;
        }
        // Some may only just have come.
        self.files.list();
        for tail in &mut self.tails {
            if left_out.contains(&tail.cursor.base) && !self.files.is_base(&tail.cursor.base) {
                tail.sleep();
            }
        }
    }

    /// Finds out which files there are, and which of them are known.
    fn list(&mut self, clock: Instant) {
        self.listed = true;
        let first_sight: BTreeSet<String> =
            self.options.paths.iter().filter(|path| !self.sights.contains(*path)).cloned().collect();
        let entries = self.files.list();
        self.sort_out();
        let inodes: HashSet<Inode> = entries.iter().map(|entry| entry.inode).collect();
        self.copies.retain(|inode, _| inodes.contains(inode));
        let mut unknown = Vec::new();
        let had_bases: Vec<PathBuf> =
            self.tails.iter().filter(|tail| tail.is_base).map(|tail| tail.cursor.base.clone()).collect();
        for tail in &mut self.tails {
            tail.is_base = false;
            tail.look_at_head();
        }
        let mut found = HashSet::new();
        let mut known = HashMap::new();
        self.families.clear();
        for (at, tail) in self.tails.iter().enumerate() {
            tail.cursor.inode.map(|inode| known.entry(inode).or_insert(at));
            self.families.entry(tail.cursor.base.clone()).or_default().push(at);
        }
        for entry in entries {
            match known.get(&entry.inode).copied() {
                Some(at) if self.is_blank(at, &entry) => {
                    // The inode of an empty file may be a copy's by now.
                    (self.tails[at].forgotten, self.tails[at].cursor.inode) = (true, None);
                    unknown.push(entry);
                }
                Some(at) => match self.still_is(at, &entry) {
                    Ok(true) => {
                        found.insert(self.tails[at].id);
                        self.see(at, &entry, clock);
                    }
                    Ok(false) => {
                        let tail = &mut self.tails[at];
                        let (path, offset) = (entry.path.display(), tail.cursor.offset);
                        tracing::debug!("{path}: not the file any more that was read up to {offset}");
                        let was_written = tail.was_base || tail.cursor.path == tail.cursor.base;
                        tail.orphan(clock);
                        if !was_written {
                            // Nobody cuts a rotated file: it was deleted, and its inode is used again.
                            (tail.cut, tail.missing) = (None, Some(clock));
                        }
                        self.copies.clear();
                        unknown.push(entry);
                    }
                    // What cannot be read now is looked at again.
                    Err(error) => {
                        let tail = &mut self.tails[at];
                        (tail.is_base, tail.missing) = (entry.is_base, None);
                        found.insert(tail.id);
                        self.complain(&entry.path, &error);
                    }
                },
                None => unknown.push(entry),
            }
        }
        for tail in &mut self.tails {
            let elsewhere =
                || tail.cursor.path.metadata().is_ok_and(|data| Some(Inode::of(&data)) == tail.cursor.inode);
            if !found.contains(&tail.id) && tail.cursor.inode.is_some() && tail.missing.is_none() && !elsewhere() {
                tracing::debug!("{}: gone, it was read up to {}", tail.cursor.path.display(), tail.cursor.offset);
                tail.missing = Some(clock);
            } else if !found.contains(&tail.id)
                && !tail.is_open()
                && !tail.asleep
                && tail.missing.is_none()
                && tail.cursor.inode.is_some()
            {
                // A file that only a symbolic link led to.
                if let Some(inode) = tail.cursor.inode
                    && let Ok(file) = open_same(&tail.cursor.path, inode)
                {
                    tail.open(file);
                }
            }
        }
        unknown.sort_by_key(|entry| (entry.is_base, entry.modified));
        for entry in unknown {
            if let Err(error) = self.meet(&entry, &first_sight, clock) {
                self.complain(&entry.path, &error);
            }
        }
        let mut rotations = [0; Rotation::ALL.len()];
        let followed: HashSet<&PathBuf> =
            self.tails.iter().filter(|tail| tail.is_base).map(|tail| &tail.cursor.base).collect();
        for base in had_bases {
            let is_followed = followed.contains(&base);
            let old = self.family(&base).find(|tail| tail.was_base && !tail.is_base);
            if let Some(old) = old {
                let kind = if old.missing.is_some() || !is_followed { Rotation::Removed } else { Rotation::Renamed };
                if old.cursor.inode.is_some() && !old.asleep {
                    rotations[kind as usize] += 1;
                }
            }
        }
        self.collected.counts.rotations.iter_mut().zip(rotations).for_each(|(count, more)| *count += more);
        for tail in &mut self.tails {
            tail.was_base = tail.is_base;
        }
        if !first_sight.is_empty() {
            self.sights.extend(first_sight);
            self.rows.push((SIGHTS.to_owned(), serde_json::to_string(&self.sights).ok()));
        }
    }

    /// The files that belong to a path that is written.
    fn family(&self, base: &PathBuf) -> impl Iterator<Item = &Tail> {
        self.families.get(base).into_iter().flatten().filter_map(|at| self.tails.get(*at))
    }

    /// Whether hardly more is known of a file than its inode, and it holds something by now: under another name it may
    /// as well be another file.
    fn is_blank(&self, at: usize, entry: &Entry) -> bool {
        let tail = &self.tails[at];
        let has_moved = tail.cursor.path != entry.path;
        let nothing = !tail.is_open() && !is_distinctive(&tail.cursor.head);
        nothing
            && (has_moved || (!entry.is_base && tail.cursor.offset == 0))
            && entry.size > tail.cursor.head.len() as u64
            && head_of(&entry.path, entry.inode).is_ok_and(|(head, _)| is_distinctive(&head))
    }

    /// Whether a file that bears the inode of a known one is that one.
    fn still_is(&self, at: usize, entry: &Entry) -> io::Result<bool> {
        let tail = &self.tails[at];
        if tail.is_open() || tail.checked == Some(entry.look()) {
            return Ok(true);
        }
        let (head, compressed) = head_of(&entry.path, entry.inode)?;
        let alike = compressed == tail.cursor.compressed && head.starts_with(&tail.cursor.head);
        Ok(alike && (compressed || tail.cursor.is_in(&open_same(&entry.path, entry.inode)?)?))
    }

    /// Notes where a known file stands now, and opens it if it has grown or is written.
    fn see(&mut self, at: usize, entry: &Entry, clock: Instant) {
        let tail = &mut self.tails[at];
        tail.is_base = entry.is_base;
        tail.missing = None;
        tail.asleep = false;
        if tail.cursor.path != entry.path {
            tail.cursor.path.clone_from(&entry.path);
            tail.changed = true;
        }
        if tail.wants_unpacking(entry.look()) {
            self.unpack(at, entry);
        }
        let tail = &mut self.tails[at];
        tail.checked = Some(entry.look());
        if tail.is_open() || tail.cursor.compressed {
            return;
        }
        if entry.is_base || entry.size > tail.cursor.place() {
            match open_same(&entry.path, entry.inode) {
                Ok(file) => {
                    tail.open(file);
                    tail.grown = clock;
                }
                Err(error) => self.complain(&entry.path, &error),
            }
        }
    }

    /// Meets a file whose inode is new: a copy of a known one, or another.
    fn meet(&mut self, entry: &Entry, first_sight: &BTreeSet<String>, clock: Instant) -> io::Result<()> {
        if self.copies.get(&entry.inode) == Some(&entry.look()) {
            return Ok(());
        }
        let (head, compressed) = head_of(&entry.path, entry.inode)?;
        let is_unrecognisable = !compressed && head.len() < 4 && has_archive_name(&entry.path);
        if (head.is_empty() || is_unrecognisable) && !entry.is_base {
            return Ok(());
        }
        let related = |tail: &Tail| {
            let known = &tail.cursor.head;
            let common = &head[..head.len().min(known.len())];
            // Of a beginning that tells nothing, a rotated file is the copy if it is all that was there, or if it is read
            // from its beginning in any case.
            let is_whole = known.len() == head.len() || (tail.cut.is_some() && tail.cursor.offset == 0);
            let tells = is_distinctive(common) || (!entry.is_base && !known.is_empty() && is_whole);
            tells && agree(known, &head)
        };
        let family = self.families.get(&entry.base).cloned().unwrap_or_default();
        let is_first = first_sight.contains(&entry.pattern);
        let telling = !head.is_empty() && (compressed || is_distinctive(&head));
        if !is_first {
            // What was cut, or is gone, lives on here.
            let homeless = |tail: &Tail| tail.cursor.inode.is_none() || tail.missing.is_some();
            let is_candidate = |at: &usize| related(&self.tails[*at]) && homeless(&self.tails[*at]);
            let mut candidates: Vec<usize> = family.iter().copied().filter(is_candidate).collect();
            candidates.sort_by_key(|at| std::cmp::Reverse(self.tails[*at].id));
            for at in candidates {
                let tail = &mut self.tails[at];
                if tail.is_open() && compressed {
                    // The open file is still there to be read.
                    self.copies.insert(entry.inode, entry.look());
                    return Ok(());
                }
                if tail.adopt(entry, compressed, clock)? {
                    tracing::debug!("{}: holds what was read up to {}", entry.path.display(), tail.cursor.offset);
                    let counts = &mut self.collected.counts;
                    counts.lost_bytes += std::mem::take(&mut tail.lost);
                    counts.possible_losses += u64::from(std::mem::take(&mut tail.possibly_lost));
                    if compressed {
                        tail.cursor.rest = Rest::End;
                        self.unpack(at, entry);
                    }
                    return Ok(());
                }
            }
            let copied = telling && self.family(&entry.base).any(|tail| related(tail) && tail.cursor.inode.is_some());
            if copied && !(entry.is_base && head.len() < 64) {
                tracing::debug!("{}: a copy", entry.path.display());
                self.copies.insert(entry.inode, entry.look());
                return Ok(());
            }
        }
        if !telling && !entry.is_base && !is_first {
            // Nothing in it tells it from a copy: it is one, unless the file under the name has changed.
            let written = self.family(&entry.base).any(|tail| tail.was_base);
            let renamed = self.family(&entry.base).any(|tail| tail.was_base && !tail.is_base);
            if written && !renamed {
                return Ok(());
            }
        }
        let mut cursor = Cursor::new(entry.path.clone(), entry.base.clone(), entry.inode, head);
        cursor.compressed = compressed;
        let history = is_first && !(self.options.from_beginning && entry.is_base);
        let file = open_same(&entry.path, entry.inode)?;
        tracing::debug!("{}: a new file, {} bytes", entry.path.display(), entry.size);
        if is_first && !history {
            cursor.history = if compressed { u64::MAX } else { last_line(&file, entry.size)? };
        }
        if history && !compressed {
            cursor.offset = if entry.is_base { last_line(&file, entry.size)? } else { entry.size };
            let start = cursor.offset.saturating_sub(reader::RECENT as u64);
            let mut before = Vec::new();
            read_at(&file, start, (cursor.offset - start) as usize, &mut before)?;
            cursor.print = identity::Print::of(&before);
        }
        let mut tail = Tail::new(self.next_id, cursor, clock);
        self.next_id += 1;
        (tail.is_base, tail.checked) = (entry.is_base, Some(entry.look()));
        if history && entry.is_base {
            tail.name(&file);
        }
        if compressed && !history {
            tail.cursor.rest = Rest::End;
        }
        if !compressed && (entry.is_base || tail.cursor.place() < entry.size) {
            tail.open(file);
        }
        self.families.entry(entry.base.clone()).or_default().push(self.tails.len());
        self.tails.push(tail);
        if compressed && !history {
            self.unpack(self.tails.len() - 1, entry);
        }
        Ok(())
    }

    /// Goes on in a compressed file.
    fn unpack(&mut self, at: usize, entry: &Entry) {
        match open_same(&entry.path, entry.inode).and_then(super::saved::decompressed) {
            Ok(Some(reader)) => self.tails[at].unpack(reader),
            Ok(None) => {}
            Err(error) => self.complain(&entry.path, &error),
        }
    }

    /// Reads on in one file; true if there is more.
    fn read(&mut self, at: usize, clock: Instant) -> bool {
        let tail = &mut self.tails[at];
        let mut collected = Collected::with(tail.cursor.banners.clone());
        collected.found = std::mem::take(&mut tail.held_back);
        let mut result = Ok(Turn::AtEnd);
        if tail.is_unpacking() {
            result = tail.read_archive(&mut self.buffer, &mut collected, clock);
        } else if tail.has_changed() {
            result = tail.read(&mut self.buffer, &mut collected, clock);
        }
        tail.close_quiet(&mut collected, clock);
        tail.give_up_the_rest(&mut collected, clock);
        let quiet = clock.duration_since(tail.grown) >= END;
        if quiet && !tail.is_base && tail.is_open() && matches!(result, Ok(Turn::AtEnd)) {
            tail.finish(&mut self.buffer, &mut collected);
            tail.close();
        }
        collected.make_history(tail.cursor.history);
        if !collected.banners.is_empty() {
            tail.cursor.banners.clone_from(&collected.banners);
        }
        collected.counts.add(&std::mem::take(&mut self.collected.counts));
        collected.found.splice(0..0, std::mem::take(&mut self.collected.found));
        self.collected = collected;
        match result {
            Ok(Turn::AtEnd) => false,
            Ok(Turn::More) => true,
            Ok(Turn::Rewritten) => {
                self.cut(at, clock);
                true
            }
            Err(error) => {
                let path = self.tails[at].cursor.path.clone();
                self.complain(&path, &error);
                false
            }
        }
    }

    /// A file was cut and is written anew: what was not read of it may be in a copy.
    fn cut(&mut self, at: usize, clock: Instant) {
        self.collected.counts.rotations[Rotation::Truncated as usize] += 1;
        let old = &mut self.tails[at];
        let Some(Ok(file)) = old.file().map(File::try_clone) else { return };
        let unread = old.lag();
        if old.go_back(&file).unwrap_or(false) {
            tracing::debug!("{}: was cut back to {}", old.cursor.path.display(), old.cursor.offset);
            self.collected.counts.lost_bytes += unread;
            self.collected.counts.possible_losses += 1;
            return;
        }
        tracing::debug!("{}: was cut, it was read up to {}", old.cursor.path.display(), old.cursor.offset);
        let (Some(inode), banners) = (old.cursor.inode, self.collected.banners.clone()) else { return };
        let mut cursor = Cursor::new(old.cursor.path.clone(), old.cursor.base.clone(), inode, Vec::new());
        cursor.banners = banners;
        let (id, is_base) = (old.id, old.is_base);
        old.orphan(clock);
        let mut tail = Tail::new(self.next_id, cursor, clock);
        self.next_id += 1;
        (tail.is_base, tail.was_base) = (is_base, is_base);
        // Its place is taken before others are looked for.
        self.tails.push(tail);
        let new = self.tails.len() - 1;
        self.copies.clear();
        self.list(clock);
        let mut carried = Vec::new();
        if let Some(at) = self.tails.iter().position(|tail| tail.id == id)
            && self.tails[at].is_open()
        {
            let is_at_end = (0..REST).any(|_| !self.read(at, clock));
            let whole = is_at_end && self.tails[at].cut.is_none();
            if whole {
                carried = self.tails[at].take_partial();
                self.tails[at].changed = true;
            }
        }
        let tail = &mut self.tails[new];
        tail.close();
        tail.cursor.carried = carried;
        tail.cursor.offset = 0;
        tail.open(file);
        tail.changed = true;
    }

    /// Forgets files that are gone, and gives up copies that were not found.
    fn forget(&mut self, clock: Instant) {
        let gone = self.tails.iter().filter(|tail| !tail.is_open() && !tail.is_unpacking());
        let mut gone: Vec<_> = gone.filter_map(|tail| Some((tail.missing?, tail.id, &tail.cursor.base))).collect();
        if gone.len() > GONE {
            // A directory that is not there may be mounted again.
            let is_there: HashMap<_, _> =
                gone.iter().filter_map(|(_, _, base)| base.parent()).map(|parent| (parent, parent.is_dir())).collect();
            gone.retain(|(_, _, base)| base.parent().is_some_and(|parent| is_there.get(parent) == Some(&true)));
        }
        // Where too many files come and go, those that have been gone for longest are forgotten early.
        let too_old = gone.len().checked_sub(GONE + 1).map(|at| {
            let (since, id, _) = *gone.select_nth_unstable(at).1;
            (since, id)
        });
        let rows = &mut self.rows;
        let counts = &mut self.collected.counts;
        self.tails.retain_mut(|tail| {
            let gone_since = tail.cut.or(tail.missing).filter(|_| !tail.is_open());
            if gone_since.is_some_and(|since| clock.duration_since(since) > COPY) {
                counts.lost_bytes += tail.lag();
                tail.cursor.size = tail.cursor.place();
                if tail.cut.take().is_some() {
                    counts.possible_losses += 1;
                    tail.missing = Some(clock);
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

    /// The rows of all files of which something has changed: what belongs together is kept together.
    fn changed_rows(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(self.tails.iter_mut().filter(|tail| tail.changed).map(Tail::row));
        rows
    }

    /// Hands over what was found in one file, with its cursor.
    fn hand_over(&mut self, at: usize, now: Timestamp, send: &mut impl FnMut(Batch) -> bool) -> bool {
        if !self.tails[at].changed && self.rows.is_empty() && self.collected.is_empty() {
            return true;
        }
        let rows = self.changed_rows();
        let base = self.tails[at].cursor.base.clone();
        let given = self.given(&base);
        self.send(rows, given, now, send)
    }

    fn send(
        &mut self,
        cursors: Vec<(String, Option<String>)>,
        given: Arc<Given>,
        now: Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> bool {
        let collected = std::mem::take(&mut self.collected);
        let state = self.state((collected.counts.bytes > 0).then_some(now));
        self.told = Some(SourceState { last_read: None, ..state });
        send(Batch {
            source: Arc::clone(&self.options.name),
            found: collected.found,
            given,
            hosting_is_configured: self.options.hosting_is_configured,
            counts: collected.counts,
            cursors,
            state,
            caught_up: self.caught_up,
            read_at: now,
        })
    }

    /// Tells how the source stands, where that has changed.
    fn tell(&mut self, now: Timestamp, send: &mut impl FnMut(Batch) -> bool) {
        let rows = self.changed_rows();
        let is_new = self.told != Some(self.state(None)) || (self.caught_up && !self.told_caught_up);
        if is_new || !rows.is_empty() || !self.collected.is_empty() {
            self.told_caught_up = self.caught_up;
            let given = self.given(&PathBuf::new());
            self.send(rows, given, now, send);
        }
    }

    fn state(&self, last_read: Option<Timestamp>) -> SourceState {
        let lag_bytes = self.tails.iter().filter(|tail| tail.missing.is_none() || tail.is_open()).map(Tail::lag).sum();
        SourceState { lag_bytes, last_read, up: self.tails.iter().any(|tail| tail.is_base && tail.is_open()) }
    }

    fn given(&mut self, base: &PathBuf) -> Arc<Given> {
        if let Some(given) = self.given.get(base) {
            return Arc::clone(given);
        }
        let given = Arc::new(Given {
            deployment: self.options.deployment.as_ref().and_then(|template| template.name_for(base)),
            hosting: self.options.hosting,
        });
        self.given.insert(base.clone(), Arc::clone(&given));
        given
    }

    /// Says once what cannot be read.
    fn complain(&mut self, path: &Path, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            // Names are changing right now: they are looked at again.
            self.listed = false;
            return;
        }
        let text = format!("{}: {error}", path.display());
        if self.problems.len() < 1000 && self.problems.insert(text.clone()) {
            tracing::warn!("{text}");
        }
    }
}

fn has_archive_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz" || extension == "zst")
}

/// Where the last line begins that has no newline yet.
fn last_line(file: &File, size: u64) -> io::Result<u64> {
    let start = size.saturating_sub(64 * 1024);
    let mut bytes = Vec::new();
    read_at(file, start, (size - start) as usize, &mut bytes)?;
    Ok(match memchr::memrchr(b'\n', &bytes) {
        Some(newline) => start + newline as u64 + 1,
        None if start == 0 => 0,
        None => size,
    })
}
