//! The decoder: takes lines, keeps what is open between them, and hands on what they hold.

mod mark;
mod pieces;
mod values;

pub(crate) use mark::{goes_on_with, mark_of};

use super::document::{Document, may_begin_at};
use super::envelope;
use super::head::{Head, Mark};
use super::lane::{self, Lane, LaneKey, OpenRecord};
use super::openness::{Open, Openness};
use super::shape;
use super::{Cut, Frame, Item, Output, Reading, Record, ansi, convex, matters, readable};
use crate::event::Origin;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Records that one line may hold: a body of the log API at its largest has a tenth of that.
const MAX_RECORDS: usize = 200_000;

/// Items that wait for a record which began before them, at the most; then the order of the input gives way.
const MAX_WAITING: usize = 1024;

/// Decodes one input's lines. What is open between two lines is its state; a decoder without any is idle, and then
/// lines that cannot matter need not be shown to it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Decoder {
    lanes: Vec<(LaneKey, Lane)>,
    /// Items that wait for a record that began before them.
    waiting: Vec<Item>,
    document: Document,
    /// Whether records that cannot matter are decoded too.
    everything: bool,
    /// Lines fed so far.
    fed: u64,
    /// The lane that the last line with a prefix of text went to.
    last_prefixed: Option<LaneKey>,
    /// Whether a line that may belong to a record above it is to be given back, and whether one was.
    asks: bool,
    asked: bool,
    /// Whether items are handed on as they come, instead of in the order of the input.
    at_once: bool,
    /// Whether the origin of the next value is wanted, and what it is.
    names: bool,
    named: Option<Origin>,
}

impl Decoder {
    /// A decoder for the beginning of an input.
    pub fn at_start() -> Self {
        Self { document: Document::at_start(), ..Self::default() }
    }

    /// Decodes records that cannot matter too, so that each line can be explained.
    #[must_use]
    pub fn of_everything(mut self) -> Self {
        self.everything = true;
        self
    }

    /// Hands items on as they come: nothing waits for a record of another stream that is still open.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Notes what each value says of its origin.
    pub(super) fn naming(mut self) -> Self {
        self.names = true;
        self
    }

    /// What the first value since the last call said of its origin.
    pub(super) fn take_named(&mut self) -> Option<Origin> {
        self.named.take()
    }

    /// How many lines were fed so far.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// Closes the records to which nothing was added since this many lines had been fed; true if there were any. Pieces
    /// of lines still wait for their rest.
    pub fn close_quiet(&mut self, fed: u64, sink: &mut impl FnMut(Item)) -> bool {
        let mut closed = false;
        for at in 0..self.lanes.len() {
            if self.lanes[at].1.open.as_ref().is_some_and(|open| open.last_fed() <= fed) {
                self.close(at, true);
                closed = true;
            }
        }
        self.release(sink);
        closed
    }

    /// Whether nothing is open: no record, no piece of a line, no document that may yet begin or go on.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.document.is_done()
            && !self.everything
            && self.lanes.iter().all(|(_, lane)| lane.is_idle())
    }

    /// Whether every line that was fed has been accounted for.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && !self.document.is_inside() && self.lanes.iter().all(|(_, lane)| lane.is_idle())
    }

    /// Takes the next line, without its newline.
    pub fn feed(&mut self, line: &[u8], offset: u64, sink: &mut impl FnMut(Item)) {
        self.take(line, offset);
        self.release(sink);
    }

    /// Takes the next line, unless it matters and may belong to a record above it that was passed over: then false, and
    /// the caller shows the lines above before it feeds this one.
    pub(crate) fn feed_or_ask(&mut self, line: &[u8], offset: u64, sink: &mut impl FnMut(Item)) -> bool {
        self.asks = true;
        self.asked = false;
        self.take(line, offset);
        self.asks = false;
        if self.asked {
            self.fed -= 1;
            return false;
        }
        self.release(sink);
        true
    }

    /// Takes a line that stands above the first one that matters, only to know what it leaves open.
    pub(crate) fn feed_context(&mut self, line: &[u8], offset: u64) {
        let known = self.waiting.len();
        self.line(line, offset);
        self.waiting.truncate(known);
    }

    /// Closes the records that are open, after a while without lines; pieces of lines still wait for their rest.
    pub fn close_records(&mut self, sink: &mut impl FnMut(Item)) {
        for at in 0..self.lanes.len() {
            self.close(at, true);
        }
        self.release(sink);
    }

    /// Closes all that is open, at the end of an input.
    pub fn finish(&mut self, sink: &mut impl FnMut(Item)) {
        let mut output = Output::default();
        let again = self.document.finish(&mut output);
        self.waiting.append(&mut output.items);
        for (line, offset) in again {
            self.line(&line, offset);
        }
        while let Some(at) = self.lanes.iter().position(|(_, lane)| lane.piece.is_some()) {
            self.end_piece(at, true);
        }
        self.close_records(sink);
    }

    fn take(&mut self, line: &[u8], offset: u64) {
        self.fed += 1;
        self.expire();
        if self.document.is_done() {
            if !may_begin_at(line) || self.goes_on_in_literal() {
                return self.line(line, offset);
            }
            if self.asks && self.open_at(&LaneKey::default()).is_none() {
                self.asked = true;
                return;
            }
            self.close_at(&Frame::outermost(offset));
            self.document = Document::begun(&readable(line), offset);
        }
        // What stands above is known: all of it was fed.
        self.asks = false;
        let mut output = Output::default();
        let text_after_all = self.document.push(line, offset, &mut output);
        self.waiting.append(&mut output.items);
        for (line, offset) in text_after_all {
            self.line(&line, offset);
        }
    }

    /// Reads text that stands by itself in a value: whatever it opens ends with it.
    pub(super) fn read_lines(mut self, text: &str, frame: &Frame<'_>, output: &mut Output) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            // Only the last one can have been cut.
            let cut = if lines.peek().is_some() { Cut::Whole } else { frame.cut };
            self.unwrap(line.strip_suffix('\r').unwrap_or(line), Frame { cut, ..frame.clone() });
        }
        self.finish(&mut |item| output.items.push(item));
    }

    /// Whether a bracket alone on its line may belong to what is open: a wrapped literal, or the text of an error.
    fn goes_on_in_literal(&self) -> bool {
        let open = self.open_at(&LaneKey::default()).map(|open| open.openness.now());
        matches!(open, Some(Open::Literal | Open::Error))
    }

    fn line(&mut self, line: &[u8], offset: u64) {
        self.unwrap(&readable(line), Frame::outermost(offset));
    }

    /// Passes on what no earlier record holds back, in the order of the records' first lines.
    fn release(&mut self, sink: &mut impl FnMut(Item)) {
        if self.waiting.is_empty() {
            return;
        }
        if !self.waiting.is_sorted_by_key(Item::offset) {
            self.waiting.sort_by_key(Item::offset);
        }
        let oldest = self.lanes.iter().filter_map(|(_, lane)| lane.first_offset()).min();
        let held_back = oldest.filter(|_| self.waiting.len() <= MAX_WAITING && !self.at_once);
        let free =
            held_back.map_or(self.waiting.len(), |oldest| self.waiting.partition_point(|item| item.offset() < oldest));
        self.waiting.drain(..free).for_each(sink);
    }

    /// Takes one layer off and goes on inside it.
    fn unwrap(&mut self, text: &str, frame: Frame<'_>) {
        let text = ansi::strip(text);
        if frame.layers.is_full() {
            return;
        }
        if let Some(opened) = envelope::open_text(&text) {
            self.enveloped(opened, &frame, true);
        } else if let Some(json) = shape::json_in(&text) {
            self.json(json, &text, &frame);
        } else {
            self.text(&text, &frame);
        }
    }

    /// Closes the record that is open in a line's stream: the line begins another.
    fn close_at(&mut self, frame: &Frame<'_>) {
        if let Some(at) = self.lane_at(&frame.key()) {
            self.close(at, true);
        }
    }

    /// The stream with whose record a line goes on that has no mark of its own: without any prefix, that may be the one
    /// of the prefixed line above it.
    fn key_of_unmarked(&self, frame: &Frame<'_>) -> LaneKey {
        let key = frame.key();
        let is_bare = frame.layers.iter().next().is_none() && self.open_at(&key).is_none();
        let takes_raw = |last: &&LaneKey| self.lane_at(last).is_some_and(|at| self.lanes[at].1.takes_raw_lines());
        self.last_prefixed.as_ref().filter(|_| is_bare).filter(takes_raw).cloned().unwrap_or(key)
    }

    /// Takes a line of text: the continuation of an open record, or a new one.
    fn text(&mut self, text: &str, frame: &Frame<'_>) {
        let head = Head::of(text);
        let key = if head.mark() == Mark::None { self.key_of_unmarked(frame) } else { frame.key() };
        if self.asks && head.mark() == Mark::None && self.open_at(&frame.key()).is_none() && matters(text.as_bytes()) {
            self.asked = true;
            return;
        }
        if let Some(at) = self.lane_at(&key)
            && let Some(open) = &mut self.lanes[at].1.open
        {
            let may_belong = match (head.mark(), open.openness.now()) {
                (Mark::Strong, _) => false,
                (Mark::Weak, now) => matches!(now, Open::Literal | Open::Error),
                (Mark::None, _) => true,
            };
            if may_belong && open.takes(text) {
                open.push(text, self.fed);
                if open.openness.now() == Open::Nothing {
                    self.close(at, false);
                }
                return;
            }
            self.close(at, true);
        }
        let openness = match &head {
            Head::Convex(prefixed) => match shape::split_arguments(prefixed.rest) {
                Some(arguments) => Openness::of(arguments),
                None if prefixed.is_client_text() => Openness::default(),
                None => Openness::error(),
            },
            Head::Level { arguments, .. } => Openness::of(arguments),
            Head::Phrase | Head::Bracket => Openness::of(text),
            Head::Error => Openness::error(),
            Head::Banner(banner) => {
                let lane = (!frame.owner.is_empty()).then(|| convex::lane_name(&frame.owner));
                self.waiting.push(Item::Banner { offset: frame.offset, lane, banner: banner.clone() });
                return;
            }
            Head::Tracing | Head::Plain => Openness::default(),
        };
        if openness.now() == Open::Nothing || frame.cut != Cut::Whole || shape::is_cut_short(text) {
            let cut = matches!(openness.now(), Open::Literal | Open::Object) || frame.cut != Cut::Whole;
            let mut output = Output::default();
            shape::read_text(text, frame, cut, self.everything, &mut output);
            self.waiting.append(&mut output.items);
            return;
        }
        let at = self.lane(&key);
        self.lanes[at].1.open = Some(OpenRecord::new(text, frame, openness, self.fed));
    }

    /// Reads the record that is open in a lane. `early` says that its end did not show.
    fn close(&mut self, at: usize, early: bool) {
        let Some(open) = self.lanes[at].1.open.take() else {
            return;
        };
        let unfinished = early && matches!(open.openness.now(), Open::Literal | Open::Object);
        let mut output = Output::default();
        shape::read_text(&open.text, &open.frame, unfinished, self.everything, &mut output);
        for item in &mut output.items {
            if let Item::Record(Record { reading: Reading::Event(event), .. }) = item {
                event.truncated |= open.wrapped;
            }
        }
        self.waiting.append(&mut output.items);
    }

    /// Gives up waiting for the rest of records and pieces whose stream has fallen silent.
    fn expire(&mut self) {
        for at in 0..self.lanes.len() {
            if self.lanes[at].1.piece.as_ref().is_some_and(|piece| piece.is_stale(self.fed)) {
                self.end_piece(at, true);
            }
            if self.lanes[at].1.open.as_ref().is_some_and(|open| open.is_stale(self.fed)) {
                self.close(at, true);
            }
        }
        if self.lanes.len() > lane::MAX_LANES {
            self.lanes.retain(|(_, lane)| !lane.is_idle());
        }
    }

    /// The record that is open in a stream.
    fn open_at(&self, key: &LaneKey) -> Option<&OpenRecord> {
        self.lane_at(key).and_then(|at| self.lanes[at].1.open.as_ref())
    }

    fn lane_at(&self, key: &LaneKey) -> Option<usize> {
        self.lanes.iter().position(|(k, _)| k == key)
    }

    /// The lane with this key; where there are too many, the oldest gives way.
    fn lane(&mut self, key: &LaneKey) -> usize {
        if let Some(at) = self.lane_at(key) {
            return at;
        }
        if self.lanes.len() > lane::MAX_LANES {
            self.end_piece(0, true);
            self.close(0, true);
            self.lanes.remove(0);
        }
        self.lanes.push((key.clone(), Lane::default()));
        self.lanes.len() - 1
    }
}

/// The name of a stream within a stream.
fn join_names<'a>(outer: &str, inner: Cow<'a, str>) -> Cow<'a, str> {
    match (outer.is_empty(), inner.is_empty()) {
        (true, _) => inner,
        (false, true) => Cow::Owned(outer.to_owned()),
        (false, false) => Cow::Owned(format!("{outer} {inner}")),
    }
}
