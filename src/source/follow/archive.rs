//! Reads a compressed file part by part, also one that somebody is still writing.
//!
//! Enters the decompressed stream and where reading goes on; leaves windows of whole lines. Where the stream breaks off,
//! the line that it broke off in is not handed on: the rest may yet come.

use super::tail::Turn;
use crate::scan::{Scanner, Splitter, Window, first_byte};
use std::io::{self, Read};

/// How many bytes that were read before are passed over in one turn.
const PASS_OVER: u64 = 32 * 1024 * 1024;

/// A compressed file that is being read.
pub(super) struct Archive {
    splitter: Splitter<Unpacked>,
    pub(super) scanner: Scanner,
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

impl Archive {
    /// Goes on behind the first `start` bytes.
    pub(super) fn new(reader: Box<dyn Read + Send>, start: u64, scanner: Scanner) -> Self {
        let pass_over = if start > 0 { first_byte(start) } else { 0 };
        let unpacked = Unpacked { reader, pass_over, budget: 0, broken: None };
        Self { splitter: Splitter::resume(unpacked, start), scanner }
    }

    /// Up to where lines were handed out. It lies before the start until the bytes before the start were read again.
    pub(super) fn offset(&self) -> u64 {
        self.splitter.offset()
    }

    /// What stands before that, as far as it is kept.
    pub(super) fn before(&self) -> &[u8] {
        self.splitter.before()
    }

    /// Reads up to about `most` bytes of lines.
    pub(super) fn read(
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
