//! Whether a file that is met holds what a known one holds: files may begin alike for long, and only what stands further
//! on tells them apart.
//!
//! Enters a file and one that is known; leaves whether they hold the same as far as the shorter one goes.

use super::cursor::Cursor;
use super::files::Entry;
use super::identity::{Inode, RECENT, open_same, read_at};
use super::tail::Tail;
use crate::source::saved::decompressed;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much is compared of the beginnings of files of which nothing was read.
const BEGINNING: usize = 256 * 1024;

/// How much is unpacked of one file to be compared, at the most.
const UNPACKED: u64 = 512 * 1024 * 1024;

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// One holds what the other one holds, as far as the shorter one goes.
    Same,
    /// The file that is met goes on where the known one ends, which is as long as it ever was.
    Longer,
    /// They hold different things.
    Other,
    /// The file that is met ends before the place up to which the known one was read, of which no more is left.
    Shorter,
    /// There is nothing to compare, or not yet.
    Unknown,
}

/// What stands before a place of a file, and where that place is: where the file is shorter, at its end.
pub(super) type Before = Option<(u64, Vec<u8>)>;

/// A file that is met.
pub(super) struct Met<'a> {
    pub(super) entry: &'a Entry,
    pub(super) compressed: bool,
    /// What was looked up before: each place of a compressed file costs unpacking all that stands before it.
    known: HashMap<u64, Before>,
    budget: u64,
}

impl<'a> Met<'a> {
    pub(super) fn new(entry: &'a Entry, compressed: bool) -> Self {
        Self { entry, compressed, known: HashMap::new(), budget: UNPACKED }
    }

    /// Whether the file holds what a known one holds.
    pub(super) fn likeness(&mut self, tail: &Tail) -> io::Result<Likeness> {
        let (cursor, place) = (&tail.cursor, tail.cursor.place());
        // The file itself tells more than what is remembered of it, unless it was cut.
        if let Some(file) = plain_file(tail)
            && let size = file.metadata()?.len()
            && size > 0
            && holds_what_was_read(cursor, &file)?
        {
            let Some((end, before)) = self.before(size)? else { return Ok(Likeness::Unknown) };
            let mut there = Vec::new();
            read_at(&file, end - before.len() as u64, before.len(), &mut there)?;
            let is_same = there == before;
            if is_same && !self.is_longer_than(size)? {
                return Ok(Likeness::Same);
            }
            // It may have grown, or be cut right now.
            let now = file.metadata()?.len();
            if now >= size && holds_what_was_read(cursor, &file)? {
                let is_longer = is_same && self.is_longer_than(now)?;
                return Ok(if is_longer {
                    Likeness::Longer
                } else if is_same {
                    Likeness::Same
                } else {
                    Likeness::Other
                });
            }
        }
        if cursor.print.fits(place) {
            return self.likeness_at_place(cursor);
        }
        match cursor.inode.filter(|_| cursor.compressed && tail.missing.is_none()) {
            Some(inode) => self.begins_like(&cursor.path, inode),
            None => Ok(Likeness::Unknown),
        }
    }

    fn is_longer_than(&mut self, size: u64) -> io::Result<bool> {
        Ok(self.before(size + 1)?.is_some_and(|(end, _)| end > size))
    }

    /// Whether a compressed file may be the known one, as far as what was read of that is remembered.
    pub(super) fn holds_what_was_read_of(&mut self, tail: &Tail) -> io::Result<bool> {
        let can_tell = tail.cursor.print.fits(tail.cursor.place());
        Ok(!can_tell || matches!(self.likeness_at_place(&tail.cursor)?, Likeness::Same | Likeness::Unknown))
    }

    fn likeness_at_place(&mut self, cursor: &Cursor) -> io::Result<Likeness> {
        let place = cursor.place();
        Ok(match self.before(place)? {
            Some((end, before)) if end == place && cursor.print.ends(&before) => Likeness::Same,
            Some((end, _)) if end == place => Likeness::Other,
            Some(_) => Likeness::Shorter,
            None => Likeness::Unknown,
        })
    }

    /// Compares beginnings that are longer than those that are remembered.
    fn begins_like(&self, path: &Path, inode: Inode) -> io::Result<Likeness> {
        let (one, other) = (beginning(&self.entry.path, self.entry.inode)?, beginning(path, inode)?);
        let common = one.len().min(other.len());
        Ok(match one[..common] == other[..common] {
            false => Likeness::Other,
            true if one.len() == other.len() && common < BEGINNING => Likeness::Same,
            true => Likeness::Unknown,
        })
    }

    /// What stands before a place, and where that is.
    pub(super) fn before(&mut self, place: u64) -> io::Result<Before> {
        if let Some(known) = self.known.get(&place) {
            return Ok(known.clone());
        }
        let file = open_same(&self.entry.path, self.entry.inode)?;
        let before = if self.compressed {
            self.unpack(file, place)?
        } else {
            let end = file.metadata()?.len().min(place);
            let start = end.saturating_sub(RECENT as u64);
            let mut bytes = Vec::new();
            read_at(&file, start, (end - start) as usize, &mut bytes)?;
            Some((start + bytes.len() as u64, bytes))
        };
        self.known.insert(place, before.clone());
        Ok(before)
    }

    /// What stands before a place of a compressed file; none where it is still being written, or is too long.
    fn unpack(&mut self, file: File, place: u64) -> io::Result<Before> {
        let Some(reader) = decompressed(file)?.filter(|_| place <= self.budget) else { return Ok(None) };
        let mut reader = reader.take(place);
        let (mut before, mut buffer, mut end) = (Vec::new(), vec![0; 64 * 1024], 0);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    end += read as u64;
                    before.extend_from_slice(&buffer[..read]);
                    before.drain(..before.len().saturating_sub(RECENT));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(None),
            }
        }
        self.budget -= end;
        Ok(Some((end, before)))
    }
}

/// A known file that can be read as it is.
fn plain_file(tail: &Tail) -> Option<File> {
    if tail.cursor.compressed {
        return None;
    }
    match tail.file() {
        Some(file) => file.try_clone().ok(),
        None => open_same(&tail.cursor.path, tail.cursor.inode?).ok(),
    }
}

/// Whether a file still holds what was read of it.
pub(super) fn holds_what_was_read(cursor: &Cursor, file: &File) -> io::Result<bool> {
    let mut head = Vec::new();
    read_at(file, 0, cursor.head.len(), &mut head)?;
    Ok(head == cursor.head && cursor.is_in(file)?)
}

/// A long beginning of a file, as far as it can be read.
fn beginning(path: &Path, inode: Inode) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match decompressed(open_same(path, inode)?)? {
        Some(reader) => drop(reader.take(BEGINNING as u64).read_to_end(&mut bytes)),
        None => read_at(&open_same(path, inode)?, 0, BEGINNING, &mut bytes)?,
    }
    Ok(bytes)
}
