//! Finds files again that stand under no name that is looked for: moved by hand, or by a rotation with names or a
//! directory of its own. Their writers may write on.

use super::Follower;
use super::compare::holds_what_was_read;
use super::files::own;
use super::identity::{Inode, is_distinctive, open_same};
use super::tail::Tail;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{DirEntry, File, read_dir, read_link};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// So many names are looked through for files that were moved.
const NAMES: usize = 20_000;

impl Follower {
    /// Looks after the known files that were not found under the names that are looked for.
    pub(super) fn see_strays(&mut self, found: &HashSet<u64>, clock: Instant) {
        let mut moved = Vec::new();
        for (at, tail) in self.tails.iter_mut().enumerate() {
            if tail.cursor.inode.is_none() || tail.missing.is_some() || found.contains(&tail.id) {
                continue;
            }
            if tail.is_at(&tail.cursor.path) {
                tail.go_on_elsewhere(clock);
            } else if let Some(path) = tail.file().and_then(whereabouts).filter(|path| tail.is_at(path)) {
                tail.move_to(path);
            } else {
                moved.push(at);
            }
        }
        let places = self.search(&moved);
        for at in moved {
            let tail = &mut self.tails[at];
            if let Some(path) = places.get(&at).filter(|path| tail.is_in(path)) {
                tail.move_to(path.clone());
                tail.go_on_elsewhere(clock);
                continue;
            }
            tracing::debug!("{}: gone, it was read up to {}", tail.cursor.path.display(), tail.cursor.offset);
            tail.missing = Some(clock);
            if !tail.is_open() {
                // Its archive, which was only a copy until now, takes its place.
                self.copies.clear();
            }
            let was_seen = !tail.cursor.head.is_empty();
            // While nobody had it open, more may have been written to it.
            tail.unseen_end = was_seen && tail.cursor.written && !tail.is_open() && !tail.asleep;
            // Of one that was deleted and is read, it is known that there is no more.
            if tail.is_read_and_unlinked() {
                (tail.cursor.written, tail.changed) = (false, true);
            }
        }
    }

    /// Where files may stand by now that were put away, in the directories where they were or right below these.
    fn search(&self, moved: &[usize]) -> HashMap<usize, PathBuf> {
        let put_away = moved.iter().copied().filter(|at| !self.tails[*at].is_open());
        let wanted: HashMap<u64, usize> =
            put_away.filter_map(|at| Some((self.tails[at].cursor.inode?.number(), at))).collect();
        let cursors = wanted.values().map(|at| &self.tails[*at].cursor);
        let above: BTreeSet<&Path> =
            cursors.flat_map(|cursor| [cursor.path.parent(), cursor.base.parent()]).flatten().collect();
        let (mut names, mut below, mut places) = (NAMES, BTreeSet::new(), HashMap::new());
        let note = |entry: &DirEntry| Some((*wanted.get(&entry.ino())?, entry.path()));
        for directory in above {
            let entries = entries(directory, &mut names);
            places.extend(entries.iter().filter_map(note));
            let is_directory = |entry: &&DirEntry| entry.file_type().is_ok_and(|is| is.is_dir());
            below.extend(entries.iter().filter(is_directory).map(DirEntry::path));
        }
        for directory in below {
            places.extend(entries(&directory, &mut names).iter().filter_map(note));
        }
        places
    }
}

impl Tail {
    /// Whether this file stands there.
    fn is_at(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|metadata| Some(Inode::of(&metadata)) == self.cursor.inode)
    }

    /// Whether this file stands there, as far as it can be told from one that has its inode by now.
    fn is_in(&self, path: &Path) -> bool {
        self.is_at(path)
            && is_distinctive(&self.cursor.head)
            && (self.cursor.compressed
                || File::open(path).and_then(|file| holds_what_was_read(&self.cursor, &file)).unwrap_or(false))
    }

    fn move_to(&mut self, path: PathBuf) {
        tracing::debug!("{}: stands at {}", self.cursor.path.display(), path.display());
        (self.cursor.path, self.cursor.written, self.changed) = (path, false, true);
    }

    /// Opens a file again that was put away and has grown, or of which something is open.
    fn go_on_elsewhere(&mut self, clock: Instant) {
        let Some(inode) = self.cursor.inode.filter(|_| !self.is_open() && !self.asleep && !self.cursor.compressed)
        else {
            return;
        };
        let Ok(file) = open_same(&self.cursor.path, inode) else { return };
        let has_grown = file.metadata().is_ok_and(|metadata| metadata.len() > self.cursor.place());
        if (has_grown || self.cursor.open.is_some()) && holds_what_was_read(&self.cursor, &file).unwrap_or(false) {
            self.open(file);
            self.grown = clock;
        }
    }
}

/// Where an open file stands by now, as far as the system tells.
fn whereabouts(file: &File) -> Option<PathBuf> {
    read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// The entries of a directory, as many as may still be looked through.
fn entries(directory: &Path, names: &mut usize) -> Vec<DirEntry> {
    let entries: Vec<_> = read_dir(own(directory)).into_iter().flatten().flatten().take(*names).collect();
    *names -= entries.len();
    entries
}
