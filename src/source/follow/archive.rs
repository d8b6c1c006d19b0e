//! Reads a compressed file part by part, also one that somebody is still writing.
//!
//! Enters the decompressed stream and where reading goes on; leaves windows of whole lines. Where the stream breaks off,
//! the line that it broke off in is not handed on: the rest may yet come.

use super::super::Found;
use super::super::collect::Collected;
use super::cursor::{Cursor, Rest};
use super::identity::Print;
use super::tail::Turn;
use crate::decode::{first_origin, goes_on_with};
use crate::scan::{Scanner, Splitter, Window, first_byte};
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// How many bytes that were read before are passed over in one turn.
const PASS_OVER: u64 = 32 * 1024 * 1024;

/// How long the end of a compressed file is waited for, from when it last grew, until it is told as missing.
const BROKEN_OFF: Duration = Duration::from_mins(1);

/// How far the reading of a file is that is compressed, and none where it is not.
#[derive(Default)]
pub(super) struct Unpacking {
    archive: Option<Archive>,
    /// Since when it breaks off.
    broken_off: Option<Instant>,
}

/// A compressed file that is being read.
struct Archive {
    splitter: Splitter<Unpacked>,
    scanner: Scanner,
}

/// The plain bytes, behind those that were read before.
struct Unpacked {
    reader: Box<dyn Read + Send>,
    pass_over: u64,
    /// How many may be passed over in this turn.
    budget: u64,
    broken: Option<io::Error>,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.broken.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        while self.pass_over > 0 {
            let most = buffer.len().min(usize::try_from(self.pass_over).unwrap_or(usize::MAX));
            if self.budget == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match self.unpack(&mut buffer[..most])? {
                0 => return Ok(0),
                read => {
                    self.pass_over -= read as u64;
                    self.budget = self.budget.saturating_sub(read as u64);
                }
            }
        }
        self.unpack(buffer)
    }
}

impl Unpacked {
    /// Reads on. An error is kept, so that what stands before it is not taken for the end.
    fn unpack(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            self.broken = Some(error);
            io::ErrorKind::WouldBlock.into()
        })
    }
}

impl Unpacking {
    /// Whether it is being read.
    pub(super) fn is_under_way(&self) -> bool {
        self.archive.is_some()
    }

    /// Whether it may be opened: where it broke off, it must have changed since.
    pub(super) fn is_due(&self, has_changed: bool) -> bool {
        self.archive.is_none() && (self.broken_off.is_none() || has_changed)
    }

    /// Whether its end has been missing for so long that it will not come.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.broken_off.is_some_and(|since| now.duration_since(since) > BROKEN_OFF)
    }

    /// Goes on from the cursor.
    pub(super) fn begin(&mut self, cursor: &mut Cursor, reader: Box<dyn Read + Send>) {
        let scanner = cursor.scanner();
        let carried = &mut cursor.carried;
        if cursor.offset == 0 && !carried.is_empty() && !carried.ends_with(b"\n") {
            let first = cursor.head.split(|b| *b == b'\n').next().unwrap_or_default();
            if !goes_on_with(carried, first) {
                carried.push(b'\n');
            }
        }
        // What was left over from another file stands before it, compressed or not.
        let reader = Box::new(io::Cursor::new(carried.clone()).chain(reader));
        self.archive = Some(Archive::new(reader, cursor.offset, scanner));
    }

    /// Reads up to about `most` bytes of lines.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor,
        most: u64,
        buffer: &mut Vec<u8>,
        collected: &mut Collected,
        now: Instant,
    ) -> io::Result<Turn> {
        let Some(archive) = &mut self.archive else { return Ok(Turn::AtEnd) };
        let (named, before) = (&mut cursor.named, cursor.offset);
        let result = archive.read(most, buffer, |window, scanner| {
            if !*named && window.offset(window.new_from()) == 0 && !window.is_empty() {
                *named = true;
                collected.found.extend(first_origin(window.bytes()).map(Found::Deployment));
            }
            scanner.scan(window, collected);
        });
        if archive.splitter.offset() > before {
            cursor.offset = archive.splitter.offset();
            cursor.print = Print::before(cursor.place(), archive.splitter.before());
            self.broken_off = None;
        }
        if matches!(result, Ok(Turn::AtEnd)) {
            archive.scanner.finish(collected);
            cursor.rest = Rest::None;
        }
        collected.seen(archive.scanner.take_counts());
        cursor.keep(&archive.scanner);
        match result {
            Ok(Turn::AtEnd) => (self.archive, cursor.open, self.broken_off) = (None, None, None),
            Err(_) => {
                self.archive = None;
                self.broken_off.get_or_insert(now);
            }
            Ok(_) => {}
        }
        result
    }

    /// Puts the file away; the cursor says how to go on.
    pub(super) fn put_away(&mut self, cursor: &mut Cursor) {
        if let Some(archive) = self.archive.take() {
            cursor.keep(&archive.scanner);
        }
    }
}

impl Archive {
    /// Goes on behind the first `start` bytes.
    fn new(reader: Box<dyn Read + Send>, start: u64, scanner: Scanner) -> Self {
        let pass_over = if start > 0 { first_byte(start) } else { 0 };
        let unpacked = Unpacked { reader, pass_over, budget: 0, broken: None };
        Self { splitter: Splitter::resume(unpacked, start), scanner }
    }

    /// Reads up to about `most` bytes of lines.
    fn read(
        &mut self,
        most: u64,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(&Window, &mut Scanner),
    ) -> io::Result<Turn> {
        self.splitter.reader().budget = PASS_OVER;
        let began = self.splitter.offset();
        while self.splitter.offset().saturating_sub(began) < most {
            let Some(window) = self.splitter.next_window(std::mem::take(buffer)) else { return Ok(Turn::AtEnd) };
            let is_empty = window.is_empty();
            take(&window, &mut self.scanner);
            *buffer = window.into_buffer();
            if let Some(error) = self.splitter.reader().broken.take() {
                return Err(error);
            }
            if is_empty && self.splitter.reader_ref().budget == 0 {
                break;
            }
        }
        Ok(Turn::More)
    }
}
