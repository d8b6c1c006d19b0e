//! Scans bytes in memory, as a whole or a few at a time.

use std::io::Read;
use storagewatch::decode::{Decoder, Item, Reading};
use storagewatch::read::{self, Collector, Step};
use storagewatch::scan::{Counts, Scanner, Sink, Splitter};
use storagewatch::source::saved::Input;

/// Keeps what it is given.
#[derive(Default)]
pub(crate) struct Items(pub(crate) Vec<Item>);

impl Sink for Items {
    fn item(&mut self, item: Item) {
        self.0.push(item);
    }
}

impl Collector for Items {
    type Part = Vec<Item>;

    fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.0)
    }
}

/// Brings a few bytes at a time: first `first`, then `step` each.
struct Dribble<'a> {
    bytes: &'a [u8],
    first: usize,
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = if self.first > 0 { std::mem::take(&mut self.first) } else { self.step };
        let most = most.min(buffer.len()).min(self.bytes.len());
        buffer[..most].copy_from_slice(&self.bytes[..most]);
        self.bytes = &self.bytes[most..];
        Ok(most)
    }
}

/// What is found when the bytes come in reads of this size.
pub(crate) fn scan_in_steps(bytes: &[u8], first: usize, step: usize) -> (Vec<Item>, Counts) {
    let mut splitter = Splitter::whole(Dribble { bytes, first, step }, false);
    let mut scanner = Scanner::new();
    scanner.begin(Decoder::at_start());
    let mut items = Items::default();
    let mut buffer = Vec::new();
    while let Some(window) = splitter.next_window(buffer) {
        scanner.scan(&window, &mut items);
        buffer = window.into_buffer();
    }
    scanner.finish(&mut items);
    (items.0, scanner.counts())
}

/// What is found when all bytes are there at once.
pub(crate) fn scan(bytes: &[u8]) -> Vec<Item> {
    scan_in_steps(bytes, 0, usize::MAX).0
}

/// What is found when every line is decoded and none is skipped.
pub(crate) fn decode_every_line(bytes: &[u8]) -> Vec<Item> {
    let mut decoder = Decoder::at_start();
    let mut items = Vec::new();
    let mut offset = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        decoder.feed(line.strip_suffix(b"\n").unwrap_or(line), offset, &mut |item| items.push(item));
        offset += line.len() as u64;
    }
    decoder.finish(&mut |item| items.push(item));
    items
}

/// What is found when a file is read in parts of this size by this many workers.
pub(crate) fn scan_in_parts(path: &std::path::Path, jobs: usize, part: u64) -> (Vec<Item>, Counts) {
    let progress = Default::default();
    let options = read::Options { jobs, live: false, everything: false, part, progress: &progress };
    let (mut items, mut total) = (Vec::new(), Counts::default());
    read::read(&[Input::File(path.to_owned())], &options, Items::default, &mut |step| {
        match step {
            Step::Part { counts, part, .. } => {
                total += counts;
                items.extend(part);
            }
            Step::Ended { error, .. } => assert!(error.is_none(), "{error:?}"),
        }
        true
    });
    (items, total)
}

/// The items that count or name a deployment: what is skipped is of no interest.
pub(crate) fn relevant(items: Vec<Item>) -> Vec<Item> {
    items
        .into_iter()
        .filter(|item| {
            !matches!(item, Item::Record(record) if matches!(record.reading, Reading::Ignored(_) | Reading::Undecodable))
        })
        .collect()
}

/// A small generator of numbers, so that a failure can be repeated.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
