//! Any bytes at all: they must be read without a panic, the same however they are cut into reads, and the same by the
//! exact reader as by the decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Read;
use std::sync::Arc;
use storagewatch::decode::{Decoder, Item};
use storagewatch::filter::Filter;
use storagewatch::read::Collector;
use storagewatch::report::{Detail, Reporter, Settings, Tallier, json};
use storagewatch::scan::{Counts, Scanner, Sink, Splitter};

#[derive(Default)]
struct Items(Vec<Item>);

impl Sink for Items {
    fn item(&mut self, item: Item) {
        self.0.push(item);
    }
}

/// Brings a few bytes at a time.
struct Dribble<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.step.min(buffer.len()).min(self.bytes.len());
        buffer[..most].copy_from_slice(&self.bytes[..most]);
        self.bytes = &self.bytes[most..];
        Ok(most)
    }
}

fn scan(bytes: &[u8], step: usize, sink: &mut impl Sink) -> Counts {
    let mut splitter = Splitter::whole(Dribble { bytes, step }, false);
    let mut scanner = Scanner::new();
    scanner.begin(Decoder::at_start());
    let mut buffer = Vec::new();
    while let Some(window) = splitter.next_window(buffer) {
        scanner.scan(&window, sink);
        buffer = window.into_buffer();
    }
    scanner.finish(sink);
    scanner.counts()
}

fn report(bytes: &[u8], exact: bool) -> String {
    let settings =
        Settings { given: Default::default(), filter: Filter::default(), failures: 5, detail: Detail::default() };
    let mut tallier = Tallier::new(&settings);
    if !exact {
        tallier = tallier.decoding_everything();
    }
    let counts = scan(bytes, usize::MAX, &mut tallier);
    let sources = [Arc::from("fuzz")];
    let mut reporter = Reporter::new(&settings, &sources);
    reporter.add(0, counts, tallier.take());
    reporter.end(false);
    json::report(&reporter.finish()).to_string()
}

fuzz_target!(|data: &[u8]| {
    let Some((step, bytes)) = data.split_first() else { return };
    let mut whole = Items::default();
    let counts = scan(bytes, usize::MAX, &mut whole);
    let mut cut = Items::default();
    assert_eq!(counts, scan(bytes, usize::from(*step) + 1, &mut cut));
    assert_eq!(whole.0, cut.0);
    assert_eq!(report(bytes, true), report(bytes, false));
});
