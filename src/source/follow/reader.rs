//! Reads a file that somebody is writing, and notices when it is no longer the file that was read.
//!
//! Each read is followed by a second look at the bytes before it. If they have changed, the file was cut and written
//! anew, and what was read is not handed on: that is how a file that has outgrown its old size is told from one that
//! grew.

use super::identity::{HEAD, Print, RECENT, read_at, without_padding};
use crate::decode::goes_on_with;
use memchr::memchr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// How much of a first line is looked at to see whether it is the rest of one that was begun before the file was cut.
const FIRST_LINE: usize = 64 * 1024;

/// A file, read from a byte on.
pub(super) struct Reader {
    file: File,
    /// Bytes that stand before the file's own: the beginning of a line that was left over when the file was cut.
    carried: Vec<u8>,
    /// The place reached, counted from the first byte carried.
    at: u64,
    /// The bytes before that place.
    recent: Vec<u8>,
    /// The file's beginning, as it was seen or read.
    head: Vec<u8>,
    /// What must stand before a place that was reached earlier, until it was found there.
    expected: Option<(u64, Print)>,
    /// Whether an end of the file is an end, and not a pause.
    pub(super) ends: bool,
    /// Whether the file ends in room that its writer made ahead.
    pub(super) padded: bool,
    /// Set once the file is found to be shorter than what was read, or different.
    pub(super) rewritten: bool,
}

impl Reader {
    /// A reader that stands at a byte, of a file before which other bytes are to be read; `head` is how it
    /// begins, and `expected` what it must hold before a place that lies further on.
    pub(super) fn new(file: File, carried: Vec<u8>, at: u64, head: Vec<u8>, expected: (u64, Print)) -> Self {
        Self {
            file,
            carried,
            at,
            recent: Vec::new(),
            head,
            expected: Some(expected),
            ends: false,
            padded: false,
            rewritten: false,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes that stand before the file's own.
    pub(super) fn carried(&self) -> &[u8] {
        &self.carried
    }

    /// The bytes before the place reached, carried ones included.
    pub(super) fn recent(&self) -> &[u8] {
        &self.recent
    }

    /// The file's beginning, as far as it is known.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Notes how a file begins of which nothing was read yet.
    pub(super) fn expect_head(&mut self, head: &[u8]) {
        self.head = head.to_vec();
    }

    /// Whether bytes from the place reached agree with the file's beginning, of which more becomes known.
    fn begins_with(&mut self, new: &[u8]) -> bool {
        let Some(known) = self.head.get(self.place().min(HEAD as u64) as usize..) else { return true };
        let common = known.len().min(new.len());
        if known[..common] != new[..common] {
            return false;
        }
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&new[common..new.len().min(common + room)]);
        true
    }

    /// Finds out whether the line that was left over goes on in the file; false if that cannot be told yet.
    fn join(&mut self) -> io::Result<bool> {
        let is_decided = self.carried.is_empty() || self.carried.ends_with(b"\n") || self.place() > 0;
        if is_decided {
            return Ok(true);
        }
        let mut first = Vec::new();
        read_at(&self.file, 0, FIRST_LINE, &mut first)?;
        let end = memchr(b'\n', &first);
        if end.is_none() && first.len() < FIRST_LINE && !self.ends {
            return Ok(false);
        }
        if !goes_on_with(&self.carried, &first[..end.unwrap_or(first.len())]) {
            self.carried.push(b'\n');
        }
        Ok(true)
    }

    /// How many bytes of the file itself were read.
    pub(super) fn place(&self) -> u64 {
        self.at.saturating_sub(self.carried.len() as u64)
    }

    /// Whether the file still holds the bytes before the place reached, and what it held when it was read earlier.
    fn is_same(&self) -> io::Result<bool> {
        if let Some((place, print)) = &self.expected
            && !print.stands_before(*place, &self.file)?
        {
            return Ok(false);
        }
        let place = self.place();
        let length = self.recent.len().min(place as usize);
        let mut again = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut again[filled..], place - length as u64 + filled as u64)? {
                0 => return Ok(false),
                read => filled += read,
            }
        }
        Ok(self.recent.ends_with(&again))
    }

    /// Looks whether the file was cut since the last read, although it has not grown.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.rewritten |= !self.is_same()?;
        Ok(())
    }

    /// Whether the system makes the file up as it is read, as in /proc: then its size says nothing.
    fn is_without_size(&self) -> io::Result<bool> {
        let mut byte = [0];
        Ok(self.file.read_at(&mut byte, 0)? > 0 && self.file.metadata()?.len() == 0)
    }

    fn pause(&self) -> io::Result<usize> {
        if self.ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rewritten {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.at == self.carried.len() as u64 && !self.join()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = if self.at < self.carried.len() as u64 {
            let rest = &self.carried[self.at as usize..];
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            read
        } else {
            let place = self.place();
            let read = self.file.read_at(buffer, place)?;
            if read == 0 {
                if self.file.metadata()?.len() < place && !self.is_without_size()? {
                    self.rewritten = true;
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                return self.pause();
            }
            if !self.is_same()? {
                self.rewritten = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let written = without_padding(&self.file, &buffer[..read])?.len();
            self.padded = written < read;
            if written == 0 {
                return self.pause();
            }
            written
        };
        let new = &buffer[..read];
        if self.at >= self.carried.len() as u64 && !self.begins_with(new) {
            self.rewritten = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.at += read as u64;
        let place = self.place();
        // From here on the bytes before the place reached tell.
        self.expected.take_if(|(expected, _)| *expected <= place);
        if read >= RECENT {
            self.recent.clear();
            self.recent.extend_from_slice(&new[read - RECENT..]);
        } else {
            let keep = (RECENT - read).min(self.recent.len());
            self.recent.drain(..self.recent.len() - keep);
            self.recent.extend_from_slice(new);
        }
        Ok(read)
    }
}
