//! Tells files apart whose inodes are new: the copy of a known one, where reading goes on, or another file.

use super::compare::{Likeness, Met};
use super::cursor::{Cursor, Rest};
use super::files::Entry;
use super::identity::{HEAD, Print, agree, head_of, is_distinctive, open_same, read_at};
use super::tail::{Tail, print_at};
use super::{Follower, lose};
use crate::source::saved::decompressed;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// So many of the files that begin like one that is met are compared with it.
const RELATIVES: usize = 64;

/// How many bytes two files of one directory must begin with alike to be compared whatever their names.
const NEIGHBOURS: usize = 64;

/// So much is looked at at once of a file's end.
const CHUNK: u64 = 64 * 1024;

/// A directory, and a file's beginning.
pub(super) type Neighbourhood = (PathBuf, Vec<u8>);

impl Follower {
    /// Meets a file whose inode is new: a copy of a known one, or another. `is_first` says that nothing was looked for
    /// before where it lies.
    pub(super) fn meet(&mut self, entry: &Entry, is_first: bool, clock: Instant) -> io::Result<()> {
        if self.copies.get(&entry.inode) == Some(&entry.look()) {
            return Ok(());
        }
        let (head, compressed) = head_of(&entry.path, entry.inode)?;
        let is_unrecognisable = !compressed && head.len() < 4 && has_archive_name(&entry.path);
        // Of an archive that is only begun nothing can be told yet.
        let is_begun = head.is_empty() && (compressed || !entry.is_base);
        if is_begun || (is_unrecognisable && !entry.is_base) {
            return Ok(());
        }
        let telling = !head.is_empty() && (compressed || is_distinctive(&head));
        if !is_first {
            let relatives = self.relatives(entry, &head);
            let mut met = Met::new(entry, compressed);
            if self.is_adopted(&relatives, &mut met, true, clock)? {
                return Ok(());
            }
            if telling && self.is_copy(&relatives, &mut met, &head)? {
                tracing::debug!("{}: a copy", entry.path.display());
                self.copies.insert(entry.inode, entry.look());
                return Ok(());
            }
            if !telling && !entry.is_base && !self.is_another(&relatives, &mut met, &head)? {
                return Ok(());
            }
        }
        let mut cursor = Cursor::new(entry.path.clone(), entry.base.clone(), entry.inode, head);
        (cursor.compressed, cursor.written) = (compressed, entry.is_base);
        let history = is_first && !(self.options.from_beginning && entry.is_base);
        let file = open_same(&entry.path, entry.inode)?;
        tracing::debug!("{}: a new file, {} bytes", entry.path.display(), entry.size);
        if is_first && !history {
            cursor.history = if compressed { u64::MAX } else { last_line(&file, entry.size)? };
        }
        if history && !compressed {
            cursor.offset = if entry.is_base { last_line(&file, entry.size)? } else { entry.size };
            cursor.print = print_at(&file, cursor.offset)?;
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
        self.know_neighbour(self.tails.len() - 1);
        if compressed && !history {
            self.unpack(self.tails.len() - 1, entry);
        }
        Ok(())
    }

    /// The known files that begin like one that is met, the latest first: those of its family, and those that lay in the
    /// same directory under names that lead nowhere.
    fn relatives(&mut self, entry: &Entry, head: &[u8]) -> Vec<usize> {
        let tails = &self.tails;
        let of_family = |at: &usize| {
            let tail = &tails[*at];
            let known = &tail.cursor.head;
            let common = &head[..head.len().min(known.len())];
            // Of a beginning that tells nothing, a rotated file is the copy if it is all that was there, or if it holds
            // more and is read from its beginning in any case.
            let is_longer = head.len() > known.len() && tail.cut.is_some() && tail.cursor.offset == 0;
            let is_whole = known.len() == head.len() || is_longer;
            let tells = is_distinctive(common) || (!entry.is_base && !known.is_empty() && is_whole);
            tells && agree(known, head)
        };
        let family = self.families.get(&entry.base).into_iter().flatten().rev().copied();
        let mut relatives: Vec<usize> = family.filter(of_family).take(RELATIVES).collect();
        let key = neighbourhood(&mut self.directories, &entry.path, head);
        let neighbours = key.and_then(|key| self.neighbours.get(&key)).into_iter().flatten().rev().copied();
        let is_stranger = |at: &usize| {
            let cursor = &tails[*at].cursor;
            cursor.base != entry.base && is_distinctive(&head[..head.len().min(cursor.head.len())])
        };
        let agrees = |at: &usize| agree(&tails[*at].cursor.head, head);
        relatives.extend(neighbours.take(4 * RELATIVES).filter(is_stranger).filter(agrees).take(RELATIVES));
        relatives
    }

    /// Whether a rotated file certainly holds what was cut, or is gone: then reading goes on there.
    pub(super) fn is_found(&mut self, entry: &Entry, clock: Instant) -> io::Result<bool> {
        if entry.is_base || self.copies.get(&entry.inode) == Some(&entry.look()) {
            return Ok(false);
        }
        let (head, compressed) = head_of(&entry.path, entry.inode)?;
        let relatives = self.relatives(entry, &head);
        self.is_adopted(&relatives, &mut Met::new(entry, compressed), false, clock)
    }

    /// Goes on in a file that holds what was cut, or is gone. `may_doubt` says whether that need not be certain.
    fn is_adopted(
        &mut self,
        relatives: &[usize],
        met: &mut Met<'_>,
        may_doubt: bool,
        clock: Instant,
    ) -> io::Result<bool> {
        let (entry, compressed) = (met.entry, met.compressed);
        let mut homeless = Vec::new();
        for &at in relatives {
            let tail = &self.tails[at];
            if tail.cursor.inode.is_some() && tail.missing.is_none() {
                continue;
            }
            if compressed && !tail.is_open() && self.move_into_archive(at, met)? {
                return Ok(true);
            }
            let tail = &self.tails[at];
            let likeness = met.likeness(tail)?;
            let is_possible = match likeness {
                Likeness::Same | Likeness::Longer => true,
                Likeness::Other => false,
                // More may have been read of a file after it was copied, but not of one that was deleted.
                Likeness::Shorter => tail.missing.is_none() && !entry.is_base,
                // Another program's file may begin alike.
                Likeness::Unknown => tail.cursor.base == entry.base || compressed,
            };
            let is_doubtful = matches!(likeness, Likeness::Shorter | Likeness::Unknown);
            if is_possible && (may_doubt || !is_doubtful) {
                homeless.push((is_doubtful, at));
            }
        }
        // What is certain comes first, and of that what shows most.
        let shown = |at: usize| self.tails[at].cursor.place();
        homeless.sort_by_key(|(is_doubtful, at)| (*is_doubtful, Reverse(if *is_doubtful { 0 } else { shown(*at) })));
        for (is_doubtful, at) in homeless {
            let tail = &mut self.tails[at];
            if tail.is_open() && compressed {
                // The open file is still there to be read.
                let size = tail.file().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
                let end = if is_doubtful { None } else { met.before(size)? };
                tail.cursor.archive = end.map(|(end, before)| (end, Print::before(end, &before)));
                tail.changed = true;
                self.copies.insert(entry.inode, entry.look());
                return Ok(true);
            }
            if tail.adopt(entry, compressed, clock)? {
                tracing::debug!("{}: holds what was read up to {}", entry.path.display(), tail.cursor.offset);
                let (lost, possibly_lost) = (std::mem::take(&mut tail.lost), std::mem::take(&mut tail.possibly_lost));
                lose(&mut self.collected.counts, &entry.path, lost, possibly_lost, "it is a copy that holds less");
                if compressed {
                    tail.cursor.rest = Rest::End;
                    self.unpack(at, entry);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Remembers, of a file of which more was read than was in it when its archive was made, the archive.
    fn move_into_archive(&mut self, at: usize, met: &mut Met<'_>) -> io::Result<bool> {
        let cursor = &self.tails[at].cursor;
        let Some((end, print)) =
            cursor.archive.clone().filter(|(end, print)| *end < cursor.place() && print.fits(*end))
        else {
            return Ok(false);
        };
        let holds = met.before(end + 1)?.is_some_and(|(there, before)| there == end && print.ends(&before));
        if holds {
            tracing::debug!("{}: the archive of a file that is gone", met.entry.path.display());
            self.tails[at].move_into_archive(met.entry, end, print);
        }
        Ok(holds)
    }

    /// Whether a file is the copy of one that is there.
    fn is_copy(&self, relatives: &[usize], met: &mut Met<'_>, head: &[u8]) -> io::Result<bool> {
        let (entry, compressed) = (met.entry, met.compressed);
        let is_written = entry.is_base && !compressed;
        if is_written && head.len() < NEIGHBOURS {
            return Ok(false);
        }
        for &at in relatives {
            let tail = &self.tails[at];
            let is_own = tail.cursor.base == entry.base;
            // What was written under the name before stands under another one now, or is gone.
            if tail.cursor.inode.is_none() || (is_own && is_written) {
                continue;
            }
            let likeness = met.likeness(tail)?;
            let may_be = compressed || (is_own && !entry.is_base);
            let is_copy = match likeness {
                Likeness::Same => true,
                Likeness::Longer | Likeness::Other => false,
                Likeness::Shorter => may_be && tail.missing.is_none(),
                Likeness::Unknown => may_be,
            };
            if is_copy {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets files that were met for the first time together with one that is written, and hold nothing else: that may
    /// be cut any moment now, and what was not read of it by then is in them.
    pub(super) fn take_back_copies(&mut self, new: &[(Entry, usize)]) {
        let written = new.iter().filter(|(entry, _)| entry.is_base).map(|(entry, at)| (&entry.base, *at));
        let written: HashMap<&PathBuf, usize> = written.collect();
        for (entry, copy) in new.iter().filter(|(entry, _)| !entry.is_base) {
            let Some(of) = written.get(&entry.base).map(|at| &self.tails[*at]) else { continue };
            let tail = &self.tails[*copy];
            let may_be = tail.is_unread() && is_distinctive(&tail.cursor.head);
            let agrees = agree(&tail.cursor.head, &of.cursor.head);
            let mut met = Met::new(entry, tail.cursor.compressed);
            if may_be && agrees && met.likeness(of).is_ok_and(|likeness| likeness == Likeness::Same) {
                tracing::debug!("{}: a copy", entry.path.display());
                self.copies.insert(entry.inode, entry.look());
                self.tails[*copy].forget();
            }
        }
    }

    /// Whether a rotated file whose beginning tells nothing is none that is known: unless it is long enough to be told
    /// from all of them, it is a copy as long as the file under the name is the same.
    fn is_another(&self, relatives: &[usize], met: &mut Met<'_>, head: &[u8]) -> io::Result<bool> {
        let base = &met.entry.base;
        let mut told_apart = head.len() == HEAD && !relatives.is_empty();
        for &at in relatives {
            told_apart = told_apart && met.likeness(&self.tails[at])? == Likeness::Other;
        }
        let written = self.family(base).any(|tail| tail.was_base);
        let renamed = self.family(base).any(|tail| tail.was_base && !tail.is_base);
        Ok(told_apart || !written || renamed)
    }

    /// Whether a rotated file holds what was read of this one: then it was cut after it was copied.
    pub(super) fn has_copy(&mut self, at: usize) -> bool {
        let entries = self.files.list();
        let tail = &self.tails[at];
        let is_beside = |entry: &&Entry| entry.base == tail.cursor.base && Some(entry.inode) != tail.cursor.inode;
        entries.iter().filter(is_beside).any(|entry| {
            let head = head_of(&entry.path, entry.inode);
            head.is_ok_and(|(head, compressed)| {
                agree(&head, &tail.cursor.head)
                    && Met::new(entry, compressed).likeness(tail).is_ok_and(|likeness| likeness == Likeness::Same)
            })
        })
    }

    /// Notes where files lie and how they begin, before others are met.
    pub(super) fn know_neighbours(&mut self) {
        self.neighbours.clear();
        self.directories.clear();
        for at in 0..self.tails.len() {
            self.know_neighbour(at);
        }
    }

    fn know_neighbour(&mut self, at: usize) {
        let cursor = &self.tails[at].cursor;
        if let Some(key) = neighbourhood(&mut self.directories, &cursor.path, &cursor.head) {
            self.neighbours.entry(key).or_default().push(at);
        }
    }

    /// Goes on in a compressed file.
    pub(super) fn unpack(&mut self, at: usize, entry: &Entry) {
        match open_same(&entry.path, entry.inode).and_then(decompressed) {
            Ok(Some(reader)) => self.tails[at].unpack(reader),
            Ok(None) => {}
            Err(error) => self.cannot_read(&entry.path, entry.is_base, &error),
        }
    }
}

/// Where a file lies, whatever links lead there, and how it begins; none where that is too short to tell.
fn neighbourhood(directories: &mut HashMap<PathBuf, PathBuf>, path: &Path, head: &[u8]) -> Option<Neighbourhood> {
    let (parent, start) = (path.parent()?, head.get(..NEIGHBOURS)?);
    if let Some(directory) = directories.get(parent) {
        return Some((directory.clone(), start.to_vec()));
    }
    let directory = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    directories.insert(parent.to_owned(), directory.clone());
    Some((directory, start.to_vec()))
}

fn has_archive_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz" || extension == "zst")
}

/// Where the last line begins that has no newline yet.
fn last_line(file: &File, size: u64) -> io::Result<u64> {
    let (mut size, mut bytes) = (size, Vec::new());
    let start = loop {
        let start = size.saturating_sub(CHUNK);
        bytes.clear();
        read_at(file, start, (size - start) as usize, &mut bytes)?;
        // Room that was made ahead.
        if start == 0 || !bytes.iter().all(|b| *b == 0) {
            break start;
        }
        size = start;
    };
    Ok(match memchr::memrchr(b'\n', &bytes) {
        Some(newline) => start + newline as u64 + 1,
        None if start == 0 => 0,
        None => size,
    })
}
