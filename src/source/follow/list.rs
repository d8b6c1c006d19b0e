//! Finds out which files there are and which of them are known, and puts away what is not followed any more.
//!
//! Enters the entries of all directories; leaves each known file's standing, and hands the others to `meet`.

use super::compare::Met;
use super::files::Entry;
use super::identity::{Inode, head_of, is_distinctive, open_same};
use super::tail::Tail;
use super::{Follower, SIGHTS};
use crate::ledger::{Rotation, written};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

/// How often names are looked at until no file is cut meanwhile.
const LOOKS: usize = 8;

impl Follower {
    pub(super) fn base_has_changed(&self) -> bool {
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
    pub(super) fn list(&mut self, clock: Instant) {
        self.listed = true;
        let first_sight: BTreeSet<String> =
            self.options.paths.iter().filter(|path| !self.sights.contains(*path)).cloned().collect();
        let entries = self.list_files(clock);
        self.unreadable.clear();
        for (path, error) in self.files.take_unseen() {
            self.cannot_read(&path, true, &error);
        }
        self.sort_out();
        let inodes: HashSet<Inode> = entries.iter().map(|entry| entry.inode).collect();
        self.copies.retain(|inode, _| inodes.contains(inode));
        let mut unknown = Vec::new();
        let had_bases: BTreeSet<PathBuf> =
            self.tails.iter().filter(|tail| tail.is_base).map(|tail| tail.cursor.base.clone()).collect();
        for tail in &mut self.tails {
            tail.is_base = false;
            tail.look_at_head();
        }
        let mut found = HashSet::new();
        let mut cut = HashMap::new();
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
                    self.tails[at].forget();
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
                        let was_written = tail.cursor.written;
                        tail.orphan(clock);
                        if was_written {
                            cut.insert(entry.inode, tail.id);
                        } else {
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
                        self.cannot_read(&entry.path, entry.is_base, &error);
                    }
                },
                None => unknown.push(entry),
            }
        }
        self.see_strays(&found, clock);
        unknown.sort_by_key(|entry| (entry.is_base, entry.modified));
        if !unknown.is_empty() {
            self.know_neighbours();
        }
        // What another pattern led to before is no new sight.
        let known_bases: HashSet<PathBuf> = self.tails.iter().map(|tail| tail.cursor.base.clone()).collect();
        // A file that holds what another one may hold, too, is found before that is taken for it.
        if self.tails.iter().any(|tail| tail.cursor.inode.is_none() || tail.missing.is_some()) {
            unknown.retain(|entry| !self.is_found(entry, clock).unwrap_or(false));
        }
        let mut new = Vec::new();
        for entry in unknown {
            let met = self.tails.len();
            let is_first = first_sight.contains(&entry.pattern) && !known_bases.contains(&entry.base);
            if let Err(error) = self.meet(&entry, is_first, clock) {
                self.cannot_read(&entry.path, entry.is_base, &error);
            }
            if let Some(tail) = self.tails.get_mut(met) {
                tail.cursor.heir_of = cut.remove(&entry.inode);
                new.push((entry, met));
            }
        }
        self.take_back_copies(&new);
        self.forget_problems();
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
            self.rows.extend(written(&self.sights).map(|sights| (SIGHTS.to_owned(), Some(sights))));
        }
    }

    /// All files that are there, when none of those that are read was found to be another one: what they hold now may be
    /// in a copy by now.
    fn list_files(&mut self, clock: Instant) -> Vec<Entry> {
        let mut entries = self.files.list();
        for _ in 0..LOOKS {
            let cut: Vec<usize> = (0..self.tails.len()).filter(|at| self.tails[*at].is_cut()).collect();
            if cut.is_empty() {
                break;
            }
            for at in cut {
                self.replace(at, clock);
            }
            entries = self.files.list();
        }
        entries
    }

    /// The files that belong to a path that is written.
    pub(super) fn family(&self, base: &PathBuf) -> impl Iterator<Item = &Tail> {
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
        if !alike || !compressed {
            return Ok(alike && tail.cursor.is_in(&open_same(&entry.path, entry.inode)?)?);
        }
        // Unpacking costs: after a restart, a file that stands where it stood is not looked into.
        let is_where_it_was = tail.checked.is_none() && tail.cursor.path == entry.path;
        Ok(is_where_it_was || Met::new(entry, compressed).holds_what_was_read_of(tail)?)
    }

    /// Notes where a known file stands now, and opens it if it has grown or is written.
    fn see(&mut self, at: usize, entry: &Entry, clock: Instant) {
        let tail = &mut self.tails[at];
        tail.is_base = entry.is_base;
        tail.missing = None;
        tail.asleep = false;
        if tail.cursor.path != entry.path || tail.cursor.written != entry.is_base {
            tail.cursor.path.clone_from(&entry.path);
            (tail.cursor.written, tail.changed) = (entry.is_base, true);
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
                Err(error) => self.cannot_read(&entry.path, entry.is_base, &error),
            }
        }
    }
}
