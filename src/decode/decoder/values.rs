//! Lines that hold JSON: values one after another, and bodies of many records.

use super::super::json::{self, Parsed};
use super::super::lane::OpenRecord;
use super::super::openness::Open;
use super::super::shape::{self, Body};
use super::super::{Cut, Frame, Item, Output, Reading, envelope, first, matters};
use super::{Decoder, MAX_RECORDS};
use crate::event::Layer;
use std::borrow::Cow;

impl Decoder {
    /// Reads a line that looks like JSON: values one after another, glued together or not. `line` has the blanks before
    /// it, too: with them it may be a part of what is printed above it.
    pub(super) fn json(&mut self, text: &str, line: &str, frame: &Frame<'_>) {
        let is_indented = text.len() < line.len();
        if is_indented || !shape::is_certainly_json(text) {
            if self.asks && self.open_at(&frame.key()).is_none() && matters(text.as_bytes()) {
                self.asked = true;
                return;
            }
            let key = if is_indented { self.key_of_unmarked(frame) } else { frame.key() };
            let belongs =
                |open: &OpenRecord| if is_indented { open.takes(line) } else { open.openness.now() == Open::Literal };
            if self.open_at(&key).is_some_and(belongs) {
                return self.text(line, frame);
            }
        }
        let text: Cow<'_, str> = if text.contains('\t') { text.replace('\t', " ").into() } else { text.into() };
        let mut rest = text.as_ref();
        let relevant = self.everything || matters(rest.as_bytes());
        let mut output = Output::default();
        while rest.starts_with(['{', '[']) {
            if output.items.len() > MAX_RECORDS {
                output.items.push(Item::Oversize { offset: frame.offset });
                rest = "";
                break;
            }
            rest = match Body::of(rest) {
                Some(body) => self.body(&body, relevant, frame, &mut output),
                None => match json::parse(rest) {
                    Parsed::Whole(value, rest) => {
                        let frame = Frame { cut: Cut::Whole, ..frame.clone() };
                        // With more behind it, the line cannot be given back.
                        self.asks &= is_separator(rest);
                        self.value(&value, relevant, &frame, &mut output);
                        rest
                    }
                    Parsed::Cut(value) => {
                        let frame = Frame { cut: Cut::of(rest), ..frame.clone() };
                        self.value(&value, relevant, &frame, &mut output);
                        ""
                    }
                    Parsed::Deep(value) => {
                        let frame = Frame { cut: Cut::of(rest), ..frame.clone() };
                        let rest = json::behind(rest).unwrap_or_default();
                        self.asks &= is_separator(rest);
                        self.value(&value, relevant, &frame, &mut output);
                        rest
                    }
                    Parsed::Invalid => break,
                },
            };
            rest = rest.trim_start_matches([' ', ',', ';']);
        }
        if !is_separator(rest) {
            self.close_at(frame);
            if relevant && matters(rest.as_bytes()) {
                output.add(frame, Reading::Undecodable);
            }
        }
        self.waiting.append(&mut output.items);
    }

    /// Reads the records of a body one by one and returns what follows it.
    fn body<'t>(&mut self, body: &Body<'t>, relevant: bool, frame: &Frame<'_>, output: &mut Output) -> &'t str {
        let frame = Frame { cut: Cut::Whole, ..frame.inside(body.layer) };
        self.asks = false;
        let mut rest = body.items;
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if output.items.len() > MAX_RECORDS {
                output.items.push(Item::Oversize { offset: frame.offset });
                return "";
            }
            if let Some(after) = rest.strip_prefix(']') {
                if body.layer != Layer::Entries {
                    return after;
                }
                // The log API's cursor follows its entries.
                if let Some(end) = after.find('}') {
                    return after.get(end + 1..).unwrap_or_default();
                }
                rest = "";
            }
            match json::parse(rest) {
                Parsed::Whole(value, after) => {
                    self.value(&value, relevant, &frame, output);
                    rest = after;
                    continue;
                }
                Parsed::Deep(value) => {
                    let cut = Frame { cut: Cut::Behind, ..frame.clone() };
                    let before = output.items.len();
                    self.value(&value, relevant, &cut, output);
                    if !output.items.iter().skip(before).any(is_undecodable) {
                        output.add(&frame, Reading::Undecodable);
                    }
                    let Some(after) = json::behind(rest) else { return "" };
                    rest = after;
                    continue;
                }
                Parsed::Cut(value) => {
                    let cut = Frame { cut: Cut::of(rest), ..frame.clone() };
                    self.value(&value, relevant, &cut, output);
                }
                Parsed::Invalid if rest.is_empty() => {}
                Parsed::Invalid => return rest,
            }
            output.items.push(Item::BrokenOff { offset: frame.offset });
            return "";
        }
    }

    /// Opens the envelope that a value is, or reads it. An array within a body holds records as the body does.
    fn value(&mut self, value: &json::Json<'_>, relevant: bool, frame: &Frame<'_>, output: &mut Output) {
        if let Some(items) = value.as_array() {
            for (at, item) in items.iter().enumerate() {
                let cut = if at + 1 == items.len() { frame.cut } else { Cut::Whole };
                self.value(item, relevant, &Frame { cut, ..frame.clone() }, output);
            }
            return;
        }
        if let Some(opened) = envelope::open_json(value) {
            self.waiting.append(&mut output.items);
            return self.enveloped(opened, frame, false);
        }
        if self.names && self.named.is_none() && value.is_object() {
            self.named = Some(first::origin_in(value, frame));
        }
        self.close_at(frame);
        if relevant {
            shape::read_value(value, frame, output);
        }
    }
}

fn is_undecodable(item: &Item) -> bool {
    matches!(item, Item::Record(record) if matches!(record.reading, Reading::Undecodable))
}

/// Whether nothing stands between two values but what separates them.
fn is_separator(rest: &str) -> bool {
    rest.trim_start_matches([' ', ',', ';', ']']).is_empty()
}
