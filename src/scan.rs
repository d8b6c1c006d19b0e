//! Bytes → lines that can matter. One vectorised search passes over everything else before lines are even split.
//!
//! Enters windows of bytes that end at a line's end; leaves [`Item`]s through the [`Decoder`], and counts. What spans
//! windows (open records, pieces of lines) is the decoder's state and is handed from one scanner to the next.

mod needles;
mod window;

pub use window::{Splitter, Window, first_byte};

use crate::decode::{Decoder, Item, mark_of};
use memchr::{memchr, memrchr};
use needles::Needles;

/// How long a line may be.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// How long a line may be that holds many records: a JSON array, or a body of the log API.
pub const MAX_BODY: usize = 64 * 1024 * 1024;

/// How far above a line the record is looked for that it may belong to, in bytes and in lines.
pub const LOOKBACK: usize = 16 * 1024;
const LOOKBACK_LINES: u32 = crate::decode::MAX_RECORD_LINES;

/// What was seen, whether it mattered or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines, a last one without newline included.
    pub lines: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Lines longer than the bounds.
    pub oversize: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.oversize += other.oversize;
    }
}

/// Takes what a scan finds.
pub trait Sink {
    /// A decoded item.
    fn item(&mut self, item: Item);

    /// A line that holds the phrase while nothing is open. A sink that can read it from its exact bytes, with the same
    /// result as the decoder, says true; then the decoder does not see it.
    fn exact(&mut self, _line: &[u8], _offset: u64) -> bool {
        false
    }
}

/// Scans one input, or a part of it.
pub struct Scanner {
    needles: Needles,
    decoder: Decoder,
    counts: Counts,
    /// The byte at which the decoder became idle: nothing above it needs to be looked at again.
    idle_since: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner; its search is compiled once and used for one part after another.
    pub fn new() -> Self {
        Self { needles: Needles::new(), decoder: Decoder::default(), counts: Counts::default(), idle_since: 0 }
    }

    /// Begins a part: with what the part before it left open, or at an input's start.
    pub fn begin(&mut self, decoder: Decoder) {
        self.decoder = decoder;
        self.counts = Counts::default();
        self.idle_since = 0;
    }

    /// Scans a window, whose lines are whole but for the last one of an input.
    pub fn scan(&mut self, window: &Window, sink: &mut impl Sink) {
        let bytes = window.bytes();
        let new = &bytes[window.new_from()..];
        self.counts.bytes += window.passed_over() + new.len() as u64;
        let mut found = self.needles.survey(bytes, window.new_from());
        self.counts.lines += window.oversize() + found.newlines;
        self.counts.lines += u64::from(new.last().is_some_and(|b| *b != b'\n'));
        self.counts.oversize += window.oversize();

        let mut at = window.new_from();
        while at < bytes.len() {
            if !self.decoder.is_idle() {
                let end = line_end(bytes, at);
                self.decoder.feed(line_of(bytes, at, end), window.offset(at), &mut |item| sink.item(item));
                at = end;
                self.idle_since = window.offset(at);
                continue;
            }
            let Some((is_phrase, hit)) = self.needles.next(bytes, at, &mut found) else {
                break;
            };
            let start = memrchr(b'\n', &bytes[at..hit]).map_or(at, |newline| at + newline + 1);
            let end = line_end(bytes, hit);
            let line = line_of(bytes, start, end);
            let offset = window.offset(start);
            if !(is_phrase && sink.exact(line, offset))
                && !self.decoder.feed_or_ask(line, offset, &mut |item| sink.item(item))
            {
                self.show_lines_above(window, start);
                self.decoder.feed(line, offset, &mut |item| sink.item(item));
            }
            at = end;
            self.idle_since = window.offset(at);
        }
    }

    /// Feeds the lines above one that may belong to a record there, from the nearest line of the same stream that
    /// begins a record for certain.
    fn show_lines_above(&mut self, window: &Window, start: usize) {
        let bytes = window.bytes();
        let lane = mark_of(line_of(bytes, start, line_end(bytes, start))).1;
        let floor = start.saturating_sub(LOOKBACK).max(window.index(self.idle_since));
        let mut above = Vec::new();
        let mut end = start;
        for _ in 0..LOOKBACK_LINES {
            // A line is only looked at where the whole of it lies within bounds.
            let Some(text) = bytes.get(floor..end.saturating_sub(1)).filter(|_| end > floor) else {
                break;
            };
            let from = match memrchr(b'\n', text) {
                Some(newline) => floor + newline + 1,
                None if floor == window.index(self.idle_since) && (floor > 0 || window.offset(0) == 0) => floor,
                None => break,
            };
            let (strong, of) = mark_of(line_of(bytes, from, end));
            if of == lane {
                above.push((from, end));
                if strong {
                    break;
                }
            }
            end = from;
        }
        for (from, end) in above.into_iter().rev() {
            self.decoder.feed_context(line_of(bytes, from, end), window.offset(from));
        }
    }

    /// Ends the input: what is open is closed.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        self.decoder.finish(&mut |item| sink.item(item));
    }

    /// What was seen since the beginning of the part.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the part leaves open.
    pub fn take_open(&mut self) -> Option<Decoder> {
        let decoder = std::mem::take(&mut self.decoder);
        (!decoder.is_idle()).then_some(decoder)
    }
}

/// The index behind the newline that ends the line around `at`.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1)
}

/// A line without its newline.
fn line_of(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    let line = &bytes[start..end];
    line.strip_suffix(b"\n").unwrap_or(line)
}
