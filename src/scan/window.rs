//! Cuts a stream of bytes into windows that end at a line's end, with a little of what stood before them.

use super::{BODY_KEYS, LOOKBACK, MAX_BODY, MAX_LINE};
use memchr::{memchr, memrchr};
use std::io::{self, Read};

/// How much is read at a time: what fits into a core's own cache together with what the search needs.
pub(super) const READ: usize = 256 * 1024;

/// How much of a stream goes to a worker at a time: less would wake it more often than it is worth.
const STREAM_WINDOW: usize = 1024 * 1024;

/// Whole lines of an input, behind at most [`LOOKBACK`] bytes that were in the window before.
#[derive(Debug, Default)]
pub struct Window {
    buffer: Vec<u8>,
    end: usize,
    new_from: usize,
    base: u64,
    passed_over: u64,
    oversize: u64,
}

impl Window {
    /// A whole input that is in memory already.
    pub fn whole(bytes: Vec<u8>) -> Self {
        Self { end: bytes.len(), buffer: bytes, ..Self::default() }
    }

    /// The bytes, those of the window before included.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.end]
    }

    /// Where the new bytes begin.
    pub fn new_from(&self) -> usize {
        self.new_from
    }

    /// Whether nothing new is in it and nothing was passed over.
    pub fn is_empty(&self) -> bool {
        self.new_from == self.end && self.passed_over == 0
    }

    /// The input's byte at an index.
    pub fn offset(&self, index: usize) -> u64 {
        self.base + index as u64
    }

    /// The index of an input's byte, 0 where it lies before the window.
    pub fn index(&self, offset: u64) -> usize {
        offset.saturating_sub(self.base) as usize
    }

    /// Bytes that were passed over before the window, for they belong to lines that are too long.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// How many lines were too long.
    pub fn oversize(&self) -> u64 {
        self.oversize
    }

    /// The buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Reads an input, or the lines that begin in a part of it.
pub struct Splitter<R> {
    reader: R,
    /// Bytes that were read but not handed out, behind those of the last window.
    tail: Vec<u8>,
    /// Where in `tail` the bytes begin that were not handed out.
    new_from: usize,
    /// The input's byte at which `tail` begins.
    base: u64,
    /// Lines that begin at this byte or later belong to the next part.
    stop: u64,
    /// How many bytes of a line that is not whole yet are known to hold no newline.
    searched: usize,
    skip: Skip,
    /// How much a window waits for, where what one read brings is less.
    fill: usize,
    ended: bool,
    error: Option<io::Error>,
}

/// Whether bytes are passed over up to the next newline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// They belong to a line that is too long.
    LongLine,
    /// They belong to a line that began in the part before.
    OthersLine,
}

impl<R: Read> Splitter<R> {
    /// Reads a whole input. Where it does not `fill` its windows, what each read brings is handed on at once.
    pub fn whole(reader: R, fills: bool) -> Self {
        let fill = if fills { STREAM_WINDOW } else { 0 };
        Self {
            reader,
            tail: Vec::new(),
            new_from: 0,
            base: 0,
            stop: u64::MAX,
            searched: 0,
            skip: Skip::Nothing,
            fill,
            ended: false,
            error: None,
        }
    }

    /// Reads the lines that begin in `start..stop`, from a reader that stands at [`first_byte`] of `start`.
    pub fn part(reader: R, start: u64, stop: u64) -> Self {
        let mut splitter = Self { stop, fill: READ / 2, ..Self::whole(reader, true) };
        if start > 0 {
            splitter.base = first_byte(start);
            // The byte before the part tells whether a line begins with it.
            splitter.new_from = (start - 1 - splitter.base) as usize;
            splitter.skip = Skip::OthersLine;
        }
        splitter
    }

    /// Goes on with an input whose lines up to `offset` were handed out, from a reader that stands at [`first_byte`] of
    /// it. A reader that has nothing more for now says `WouldBlock`, and the window then is empty.
    pub fn resume(reader: R, offset: u64) -> Self {
        Self { fill: 0, ..Self::part(reader, offset, u64::MAX) }
    }

    /// The input's byte up to which lines were handed out or passed over.
    pub fn offset(&self) -> u64 {
        self.base + self.new_from as u64
    }

    /// What was read of a line whose end is not there yet.
    pub fn partial(&self) -> &[u8] {
        self.tail.get(self.new_from..).unwrap_or_default()
    }

    /// What stood before that, as far as it is kept.
    pub fn before(&self) -> &[u8] {
        &self.tail[..self.new_from.min(self.tail.len())]
    }

    /// The reader.
    pub fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The reader, to look at.
    pub fn reader_ref(&self) -> &R {
        &self.reader
    }

    /// Goes on behind an end of the input, for more was written after it.
    pub fn go_on(&mut self) {
        self.ended = false;
    }

    /// What ended the input early.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// The next window, in a buffer that may have been used before; none at the end.
    pub fn next_window(&mut self, mut buffer: Vec<u8>) -> Option<Window> {
        if self.ended {
            return None;
        }
        let mut window = Window::default();
        let mut filled = self.tail.len();
        let mut brought = 0;
        if buffer.len() < filled + READ {
            buffer.resize(filled + READ, 0);
        }
        buffer[..filled].copy_from_slice(&self.tail);
        // Behind `searched`, no newline is known.
        let mut searched = (self.new_from + std::mem::take(&mut self.searched)).min(filled);
        loop {
            if buffer.len() < filled + READ / 4 {
                buffer.resize(buffer.len() * 2, 0);
            }
            let here = self.base + filled as u64;
            // Past the stop only the end of one line is wanted.
            let most = if here < self.stop { self.stop - here } else { READ as u64 / 16 };
            let room = buffer.len() - filled;
            let read = match self.reader.read(&mut buffer[filled..filled + room.min(most.min(READ as u64) as usize)]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What was read of the line that is being written waits for the rest.
                    let end = self.new_from.min(filled);
                    self.searched = filled - end;
                    return Some(self.hand_out(window, buffer, end, filled));
                }
                Err(error) => {
                    self.error = Some(error);
                    0
                }
            };
            if read == 0 {
                let end = if self.skip == Skip::OthersLine { self.new_from.min(filled) } else { filled };
                self.ended = true;
                return Some(self.hand_out(window, buffer, end, end));
            }
            filled += read;
            brought += read;
            if self.skip == Skip::OthersLine && filled <= self.new_from {
                // The byte before the part is not there yet.
                continue;
            }
            if self.skip != Skip::Nothing {
                let from = self.new_from.min(filled);
                let newline = memchr(b'\n', &buffer[from..filled]);
                let skipped = newline.map_or(filled - from, |newline| newline + 1);
                if self.skip == Skip::LongLine {
                    window.passed_over += skipped as u64;
                }
                let next = self.base + (from + skipped) as u64;
                if newline.is_none() {
                    // Nothing of such a line is kept.
                    self.ended = self.skip == Skip::OthersLine && next >= self.stop;
                    self.base = next;
                    filled = 0;
                    self.new_from = 0;
                    if self.ended {
                        return Some(self.hand_out(window, buffer, 0, 0));
                    }
                    continue;
                }
                self.skip = Skip::Nothing;
                self.new_from = from + skipped;
                searched = self.new_from;
                if next >= self.stop {
                    self.ended = true;
                    return Some(self.hand_out(window, buffer, self.new_from, self.new_from));
                }
            }
            let past_stop = self.base + filled as u64 >= self.stop;
            if past_stop {
                // The end of the line that the stop fell into, or of the last line before it.
                let last = ((self.stop - self.base) as usize - 1).max(searched);
                if let Some(newline) = memchr(b'\n', &buffer[last..filled]) {
                    self.ended = true;
                    let end = last + newline + 1;
                    return Some(self.hand_out(window, buffer, end, end));
                }
            }
            if let Some(newline) = memrchr(b'\n', &buffer[searched..filled]) {
                if !past_stop && brought < self.fill {
                    continue;
                }
                return Some(self.hand_out(window, buffer, searched + newline + 1, filled));
            }
            searched = filled;
            if filled - self.new_from > bound(&buffer[self.new_from..filled]) {
                window.oversize += 1;
                window.passed_over += (filled - self.new_from) as u64;
                self.skip = Skip::LongLine;
                self.base += filled as u64;
                filled = 0;
                self.new_from = 0;
                searched = 0;
            }
        }
    }

    /// Splits the buffer behind `end`: what follows is kept for the next window, with the bytes before it.
    fn hand_out(&mut self, mut window: Window, buffer: Vec<u8>, end: usize, filled: usize) -> Window {
        let keep_from = end.saturating_sub(LOOKBACK);
        self.tail.clear();
        self.tail.extend_from_slice(&buffer[keep_from..filled]);
        window.base = self.base;
        window.new_from = self.new_from.min(end);
        window.end = end;
        window.buffer = buffer;
        self.base += keep_from as u64;
        self.new_from = end - keep_from;
        window
    }
}

/// The byte from which a part is read, so that the lines above its first one can be looked at.
pub fn first_byte(start: u64) -> u64 {
    start.saturating_sub(LOOKBACK as u64 + 1)
}

/// How long a line that begins like this may be.
pub(super) fn bound(line: &[u8]) -> usize {
    let first = |text: &[u8]| text.iter().position(|b| !matches!(b, b' ' | b'\t'));
    let line = &line[first(line).unwrap_or(0)..];
    let is_body = match line {
        [b'[', rest @ ..] => first(&rest[..rest.len().min(64)]).is_none_or(|at| matches!(rest[at], b'{' | b'[' | b']')),
        [b'{', rest @ ..] => first(rest).is_some_and(|at| BODY_KEYS.iter().any(|key| rest[at..].starts_with(key))),
        _ => false,
    };
    if is_body { MAX_BODY } else { MAX_LINE }
}
