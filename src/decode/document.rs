//! JSON printed over many lines: a body of the log API or a webhook's, saved and made readable by `jq` or a pretty
//! printer, at an input's beginning or behind a command, a header or other records. Its items are read one by one, so
//! that its size does not matter.

use super::json::{self, Parsed};
use super::shape::read_value;
use super::{Cut, Frame, Item, MAX_RECORD, Output, Reading, matters};
use crate::event::{Layer, Layers};
use serde::{Deserialize, Serialize};

/// Lines with their offsets: those that turned out not to be JSON, or objects that were put on one line.
type Lines = Vec<(Vec<u8>, u64)>;

/// Where an input stands with regard to a document.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) enum Document {
    /// Nothing was read yet, or a document has ended: another may begin.
    Between,
    /// A document is open.
    Inside(Box<Inside>),
    /// The input is no document.
    #[default]
    Done,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Inside {
    /// Where it began.
    offset: u64,
    /// The open brackets.
    stack: Vec<u8>,
    /// How deep its items lie: 0 where it is an item itself, 1 in an array, 2 in a body of the log API.
    items_at: usize,
    /// The item that is open, and the byte of its first line.
    item: Vec<u8>,
    item_offset: u64,
    /// The lines of the item so far, to be read as text should this be no JSON after all.
    lines: Lines,
    oversize: bool,
    in_string: bool,
    escaped: bool,
    /// The last byte that was neither space nor part of a string, or the string's closing quote.
    last: u8,
}

impl Document {
    pub(super) fn at_start() -> Self {
        Self::Between
    }

    pub(super) fn is_inside(&self) -> bool {
        matches!(self, Self::Inside(_))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// A document that begins with a line, before that line is pushed.
    pub(super) fn begun(text: &str, offset: u64) -> Self {
        Self::Inside(Box::new(Inside {
            offset,
            stack: Vec::new(),
            items_at: usize::from(text.trim_start().starts_with('[')),
            item: Vec::new(),
            item_offset: offset,
            lines: Vec::new(),
            oversize: false,
            in_string: false,
            escaped: false,
            last: 0,
        }))
    }

    /// Takes the next line. Returns the lines that are to be read instead.
    pub(super) fn push(&mut self, line: &[u8], offset: u64, output: &mut Output) -> Lines {
        if matches!(self, Self::Between) {
            let text = super::readable(line);
            if text.trim().is_empty() {
                return Vec::new();
            }
            if !begins_document(&text) {
                *self = Self::Done;
                return vec![(line.to_vec(), offset)];
            }
            *self = Self::begun(&text, offset);
        }
        let Self::Inside(inside) = self else {
            return vec![(line.to_vec(), offset)];
        };
        let mut whole = Vec::new();
        if !inside.push(line, offset, output, &mut whole) {
            whole.append(&mut inside.lines);
            *self = Self::Done;
        } else if inside.stack.is_empty() {
            *self = Self::Between;
        }
        whole
    }

    /// Ends the input: what is open is cut. Returns the lines that are to be read as text instead.
    pub(super) fn finish(&mut self, output: &mut Output) -> Lines {
        let Self::Inside(mut inside) = std::mem::take(self) else { return Vec::new() };
        let text = super::readable(&inside.item);
        let frame = Frame { cut: Cut::of(&text), ..inside.frame() };
        if matters(text.as_bytes()) {
            match json::parse(&text) {
                Parsed::Cut(value) => read_value(&value, &frame, output),
                _ => return std::mem::take(&mut inside.lines),
            }
        }
        // A bracket with nothing behind it is no body.
        if inside.items_at > 0 && inside.last != b'[' {
            output.items.push(Item::BrokenOff { offset: inside.offset });
        }
        Vec::new()
    }
}

/// How long a line may be that begins a document.
pub(crate) const MAX_BEGINNING: usize = 64;

/// Whether a document may begin with a line that stands somewhere in an input.
pub(crate) fn may_begin_at(line: &[u8]) -> bool {
    line.len() <= MAX_BEGINNING && matches!(line.first(), Some(b'{' | b'[')) && begins_document(&super::readable(line))
}

/// Whether a line opens JSON and breaks off where a pretty printer does.
fn begins_document(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '['])
        && text.ends_with(['{', '['])
        && text.bytes().all(|b| !b.is_ascii_control())
        && text.replace([' ', '\t'], "").trim_start_matches("{\"entries\":").trim_matches(['{', '[']).is_empty()
}

impl Inside {
    fn frame(&self) -> Frame<'static> {
        let layers = match self.items_at {
            1 => Layers::default().and(Layer::Array),
            2 => Layers::default().and(Layer::Entries),
            _ => Layers::default(),
        };
        Frame { layers, ..Frame::outermost(self.item_offset) }
    }

    /// Follows a line; false if it cannot be JSON. Items that are whole objects by themselves are left in `whole`, to be
    /// read like a line.
    fn push(&mut self, line: &[u8], offset: u64, output: &mut Output, whole: &mut Lines) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let readable = super::readable(line);
        let line = if self.stack.is_empty() { readable.as_bytes() } else { line };
        self.lines.push((line.to_vec(), offset));
        for &b in line {
            if self.in_string {
                match b {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                self.keep(b);
                continue;
            }
            if !self.may_follow(b) {
                return false;
            }
            if !b.is_ascii_whitespace() {
                self.last = b;
            }
            match b {
                b'{' | b'[' => {
                    if self.stack.len() == self.items_at {
                        self.item.clear();
                        self.item_offset = offset;
                        self.oversize = false;
                    }
                    if self.stack.len() > 120 {
                        return false;
                    }
                    self.stack.push(b);
                    self.keep(b);
                    if self.items_at == 0 && b == b'[' && self.stack.len() == 2 && is_entries(&self.item) {
                        self.items_at = 2;
                        self.item.clear();
                        self.lines.clear();
                    }
                }
                b'}' | b']' => {
                    let inside_item = self.stack.len() > self.items_at;
                    let Some(open) = self.stack.pop() else { return false };
                    if (open == b'{') != (b == b'}') {
                        return false;
                    }
                    self.keep(b);
                    if inside_item && self.stack.len() == self.items_at {
                        self.end_item(output, whole);
                    }
                }
                b'"' => {
                    self.in_string = true;
                    self.keep(b);
                }
                _ => self.keep(b),
            }
        }
        self.keep(b' ');
        // A string of JSON does not go over a line's end.
        !self.in_string
    }

    /// Whether a byte can follow what came before it, in JSON. Text with brackets in it soon has one that cannot.
    fn may_follow(&self, b: u8) -> bool {
        let in_object = self.stack.last() == Some(&b'{');
        match b {
            b'{' | b'[' if in_object => self.last == b':',
            b'{' | b'[' if !self.stack.is_empty() => matches!(self.last, b'[' | b','),
            b'{' | b'[' => matches!(self.last, 0 | b'[' | b',' | b'}' | b']'),
            b'"' if in_object => matches!(self.last, b'{' | b',' | b':'),
            b'"' => matches!(self.last, b'[' | b','),
            b':' => in_object && self.last == b'"',
            b'}' | b']' | b',' | b'-' | b'+' | b'.' => true,
            _ => b.is_ascii_whitespace() || b.is_ascii_digit() || b"truefalsnE".contains(&b),
        }
    }

    fn keep(&mut self, b: u8) {
        if self.stack.len() + usize::from(matches!(b, b'}' | b']')) <= self.items_at {
            return;
        }
        if self.item.len() >= MAX_RECORD {
            self.oversize = true;
            self.lines.clear();
        } else {
            self.item.push(if b == b'\t' { b' ' } else { b });
        }
    }

    fn end_item(&mut self, output: &mut Output, whole: &mut Lines) {
        self.lines.clear();
        let item = std::mem::take(&mut self.item);
        if self.oversize {
            output.items.push(Item::Oversize { offset: self.item_offset });
            return;
        }
        if self.items_at == 0 {
            // It may be an envelope, or a record of any kind.
            whole.push((item, self.item_offset));
            return;
        }
        if !matters(&item) {
            return;
        }
        let text = super::readable(&item);
        let frame = self.frame();
        match json::parse(&text) {
            Parsed::Whole(value, _) => read_value(&value, &frame, output),
            _ => output.add(&frame, Reading::Undecodable),
        }
    }
}

/// Whether the text before an array is the beginning of a body of the log API.
fn is_entries(before: &[u8]) -> bool {
    let plain: Vec<u8> = before.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    plain == b"{\"entries\":["
}
