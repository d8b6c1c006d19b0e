//! Bytes → lines that can matter. One vectorised search passes over everything else before lines are even split.
//!
//! Enters windows of bytes that end at a line's end; leaves [`Item`]s through the [`Decoder`], and counts. What spans
//! windows (open records, pieces of lines) is the decoder's state and is handed from one scanner to the next.

mod needles;
mod window;

pub use window::{Splitter, Window, first_byte};

use crate::decode::{Decoder, Item, LaneKey, mark_of};
use memchr::{memchr, memrchr};
use needles::Needles;

/// How long a line may be.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// How long a line may be that holds many records: a JSON array, a body of the log API, or an OpenTelemetry export.
pub const MAX_BODY: usize = 64 * 1024 * 1024;

/// The first key of a body of the log API, and that of an OpenTelemetry export.
const BODY_KEYS: [&[u8]; 2] = [b"\"entries\"", b"\"resourceLogs\""];

/// How far above a line the record is looked for that it may belong to, in bytes and in lines of its stream.
pub const LOOKBACK: usize = 16 * 1024;
const LOOKBACK_LINES: usize = crate::decode::MAX_RECORD_LINES as usize;

/// Streams of which it is known at once what is open.
const MAX_KNOWN: usize = 64;

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
    /// Up to where lines have been fed without a gap.
    fed_to: u64,
    /// The streams of which the decoder knows there what is open.
    known: Vec<LaneKey>,
    /// The same, at the end of the lines that were fed before the last gap.
    floor: u64,
    known_at_floor: Vec<LaneKey>,
    /// What stands above this byte is settled: no line below it belongs to a record there.
    settled: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner; its search is compiled once and used for one part after another.
    pub fn new() -> Self {
        Self {
            needles: Needles::new(),
            decoder: Decoder::default(),
            counts: Counts::default(),
            fed_to: 0,
            known: Vec::new(),
            floor: 0,
            known_at_floor: Vec::new(),
            settled: 0,
        }
    }

    /// Begins a part: with what the part before it left open, or at an input's start.
    pub fn begin(&mut self, decoder: Decoder) {
        self.decoder = decoder;
        self.counts = Counts::default();
        self.fed_to = 0;
        self.known.clear();
        self.floor = 0;
        self.known_at_floor.clear();
        self.settled = 0;
    }

    /// Scans a window, whose lines are whole but for the last one of an input.
    pub fn scan(&mut self, window: &Window, sink: &mut impl Sink) {
        let bytes = window.bytes();
        let new = &bytes[window.new_from()..];
        self.counts.bytes += window.passed_over() + new.len() as u64;
        let mut found = self.needles.survey(bytes, window.new_from());
        self.counts.lines += window.oversize() + found.newlines;
        self.counts.lines += u64::from(new.last().is_some_and(|b| *b != b'\n'));
        self.counts.oversize += window.oversize() + found.oversize;

        let mut at = window.new_from();
        while at < bytes.len() {
            if !self.decoder.is_idle() {
                at = self.feed(window, at, sink);
                continue;
            }
            let Some((is_phrase, hit)) = self.needles.next(bytes, at, &mut found) else { break };
            let start = memrchr(b'\n', &bytes[at..hit]).map_or(at, |newline| at + newline + 1);
            let end = line_end(bytes, hit);
            if is_phrase && sink.exact(line_of(bytes, start, end), window.offset(start)) {
                // The decoder would know no more and no less after it.
                self.step_over_gap(window.offset(start));
                self.fed_to = window.offset(end);
                at = end;
            } else {
                at = self.feed(window, start, sink);
            }
        }
    }

    /// Notes that lines were passed over, if they were, before the line at this byte.
    fn step_over_gap(&mut self, offset: u64) {
        if offset != self.fed_to {
            self.floor = self.fed_to;
            self.known_at_floor.clear();
            std::mem::swap(&mut self.known_at_floor, &mut self.known);
        }
    }

    /// Feeds the line that begins here, and returns where the next one does.
    fn feed(&mut self, window: &Window, start: usize, sink: &mut impl Sink) -> usize {
        let bytes = window.bytes();
        let end = line_end(bytes, start);
        let line = line_of(bytes, start, end);
        if is_oversize(line) {
            return end;
        }
        let offset = window.offset(start);
        self.step_over_gap(offset);
        if !self.decoder.feed_or_ask(line, offset, &mut |item| sink.item(item)) {
            let lane = mark_of(line).1;
            if !self.known.contains(&lane) {
                self.show_lines_above(window, start, &lane);
                if self.known.len() < MAX_KNOWN {
                    self.known.push(lane);
                }
            }
            self.decoder.feed(line, offset, &mut |item| sink.item(item));
        }
        self.fed_to = window.offset(end);
        end
    }

    /// Feeds the lines above one that may belong to a record there, from the nearest line of the same stream that
    /// begins a record for certain.
    fn show_lines_above(&mut self, window: &Window, start: usize, lane: &LaneKey) {
        let bytes = window.bytes();
        let known = if self.known_at_floor.contains(lane) { self.floor } else { 0 };
        let known = window.index(known.max(self.settled));
        let floor = start.saturating_sub(LOOKBACK).max(known);
        // Whether the line at the floor is whole there.
        let is_line = floor == known && (floor > 0 || window.offset(0) == 0);
        // A line without any prefix may go on with the record of a prefixed line.
        let takes_all = *lane == LaneKey::default() && self.decoder.is_idle();
        let mut above = Vec::new();
        let mut end = start;
        while above.len() < LOOKBACK_LINES {
            let Some(text) = bytes.get(floor..end.saturating_sub(1)).filter(|_| end > floor) else { break };
            let from = match memrchr(b'\n', text) {
                Some(newline) => floor + newline + 1,
                None if is_line => floor,
                None => break,
            };
            let (strong, of) = mark_of(line_of(bytes, from, end));
            if of == *lane || takes_all {
                above.push((from, end));
            }
            if of == *lane && strong {
                break;
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

    /// Closes what is open in streams that brought nothing since this many lines had been fed; true if there was any.
    pub fn close_quiet(&mut self, fed: u64, sink: &mut impl Sink) -> bool {
        let closed = self.decoder.close_quiet(fed, &mut |item| sink.item(item));
        if closed {
            self.settled = self.fed_to;
        }
        closed
    }

    /// How many lines the decoder was fed.
    pub fn fed(&self) -> u64 {
        self.decoder.fed()
    }

    /// Whether a record or a piece of a line is open.
    pub fn is_open(&self) -> bool {
        !self.decoder.is_idle()
    }

    /// What is open now, and up to which byte everything is settled: with both, another scanner goes on from here.
    pub fn state(&self) -> (Option<&Decoder>, u64) {
        (self.is_open().then_some(&self.decoder), self.settled)
    }

    /// Goes on from a state that was kept.
    pub fn resume(&mut self, decoder: Decoder, settled: u64) {
        self.begin(decoder);
        self.settled = settled;
    }

    /// What was seen since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
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

/// Whether a line exceeds its bound.
pub fn is_oversize(line: &[u8]) -> bool {
    line.len() > MAX_LINE && line.len() > window::bound(line)
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
