//! How a followed file goes on elsewhere: in a copy, in an archive, from the place that it was cut to, or not at all.

use super::{Open, Tail, print_at};
use crate::source::follow::cursor::Rest;
use crate::source::follow::files::Entry;
use crate::source::follow::identity::{HEAD, Print, RECENT, agree, is_distinctive, open_same, read_at};
use std::fs::File;
use std::io;
use std::time::{Instant, SystemTime};

impl Tail {
    /// The file under its inode is another one now: what this one held can only be in a copy.
    pub(in crate::source::follow) fn orphan(&mut self, clock: Instant) {
        self.close();
        (self.cursor.inode, self.cursor.written) = (None, false);
        (self.is_base, self.was_base) = (false, false);
        self.cut = Some(clock);
        // Nothing was ever seen in it.
        self.forgotten = self.cursor.head.is_empty() && self.cursor.offset == 0;
        self.changed = true;
    }

    /// Nothing is to be kept of it.
    pub(in crate::source::follow) fn forget(&mut self) {
        self.close();
        self.cursor.inode = None;
        (self.forgotten, self.changed) = (true, true);
    }

    /// Takes a file for the copy of this one, if it is; then reading goes on there.
    pub(in crate::source::follow) fn adopt(
        &mut self,
        entry: &Entry,
        compressed: bool,
        clock: Instant,
    ) -> io::Result<bool> {
        if !compressed {
            let file = open_same(&entry.path, entry.inode)?;
            let size = file.metadata()?.len();
            if size < self.cursor.place() {
                // What is written anew, and what was deleted, may begin alike.
                if self.cursor.inode.is_some() || self.missing.is_some() || entry.is_base {
                    return Ok(false);
                }
                // More was written and read after the copy was made, and then perhaps still more.
                self.possibly_lost = true;
                self.cursor.carried.clear();
                self.cursor.offset = size;
                self.cursor.print = print_at(&file, size)?;
                self.cursor.head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            } else if self.cursor.is_surely_in(&file)? {
                self.lost = self.cursor.size.saturating_sub(size);
                // More may have been seen of a line that was begun than was copied.
                self.cursor.head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
                self.close();
                self.open(file);
            } else {
                return Ok(false);
            }
            self.cursor.size = size;
        }
        self.cursor.inode = Some(entry.inode);
        self.cursor.path.clone_from(&entry.path);
        self.cursor.compressed = compressed;
        self.asleep = false;
        (self.cursor.written, self.cursor.archive) = (entry.is_base, None);
        (self.missing, self.unseen_end) = (None, false);
        (self.cut, self.checked, self.changed) = (None, Some(entry.look()), true);
        self.grown = clock;
        self.seen = None;
        Ok(true)
    }

    /// Remembers the archive that was made of this file up to a place, instead of the file.
    pub(in crate::source::follow) fn move_into_archive(&mut self, entry: &Entry, end: u64, print: Print) {
        let cursor = &mut self.cursor;
        (cursor.inode, cursor.archive, cursor.compressed) = (Some(entry.inode), None, true);
        cursor.path.clone_from(&entry.path);
        cursor.carried.clear();
        (cursor.offset, cursor.print) = (end, print);
        (cursor.rest, cursor.open, cursor.written) = (Rest::None, None, false);
        (self.missing, self.unseen_end) = (None, false);
        (self.checked, self.changed) = (Some(entry.look()), true);
    }

    /// Whether the file is found to be another one than was read, if it has changed since it was looked at last.
    pub(in crate::source::follow) fn is_cut(&mut self) -> bool {
        let Some(metadata) = self.file().and_then(|file| file.metadata().ok()) else { return false };
        let now = (metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        if self.seen == Some(now) {
            return false;
        }
        let begins_anew = self.open.as_ref().is_some_and(|open| self.begins_anew(open).unwrap_or(false));
        begins_anew
            || self.open.as_mut().is_some_and(|open| {
                let reader = open.splitter.reader();
                reader.look_again().is_ok() && reader.rewritten
            })
    }

    /// Whether a file of which nothing was read yet has another beginning than it had.
    pub(super) fn begins_anew(&self, open: &Open) -> io::Result<bool> {
        if open.splitter.reader_ref().place() > 0 || self.cursor.head.is_empty() {
            return Ok(false);
        }
        let mut head = Vec::new();
        read_at(open.splitter.reader_ref().file(), 0, self.cursor.head.len(), &mut head)?;
        Ok(head != self.cursor.head)
    }

    /// Whether a file holds a part of what was read, as far as that can be told.
    pub(in crate::source::follow) fn may_go_back(&self, file: &File) -> io::Result<bool> {
        let size = file.metadata()?.len();
        if size == 0 || size >= self.cursor.place() || !self.cursor.carried.is_empty() {
            return Ok(false);
        }
        let mut head = Vec::new();
        read_at(file, 0, HEAD, &mut head)?;
        let common = &head[..head.len().min(self.cursor.head.len())];
        // A line that is only begun may be any that begins like the one that was there.
        let lines = &common[..memchr::memrchr(b'\n', common).map_or(0, |newline| newline + 1)];
        if !is_distinctive(lines) || !agree(&head, &self.cursor.head) {
            return Ok(false);
        }
        // What is still kept of what was read tells for certain.
        let Some(open) = &self.open else { return Ok(true) };
        let kept = [open.splitter.before(), open.splitter.partial()].concat();
        let from = self.read_to().saturating_sub(kept.len() as u64);
        let start = size.saturating_sub(RECENT as u64).max(from);
        let (Some(first), Some(last)) = (start.checked_sub(from), size.checked_sub(start)) else { return Ok(true) };
        let mut there = Vec::new();
        read_at(file, start, last as usize, &mut there)?;
        Ok(kept.get(first as usize..(first + last) as usize).is_none_or(|kept| kept == there))
    }

    /// Goes back to the end of a file that was cut to a part of what was read.
    pub(in crate::source::follow) fn go_back(&mut self, file: &File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let print = print_at(file, size)?;
        self.open = None;
        self.cursor.head.truncate(size as usize);
        (self.cursor.open, self.cursor.offset, self.cursor.settled) = (None, size, size);
        (self.cursor.size, self.cursor.print) = (size, print);
        self.cursor.history = self.cursor.history.min(size);
        self.open(file.try_clone()?);
        (self.seen, self.changed) = (None, true);
        Ok(())
    }
}
