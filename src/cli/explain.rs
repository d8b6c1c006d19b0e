//! `storagewatch explain`.

use super::options::{Colors, Fallback, Paths, names, remedy};
use super::output::{Destination, Output};
use super::{Exit, say};
use crate::attribute::{Banners, Given, Known, attribute};
use crate::decode::{Decoder, Item, Reading};
use crate::dedupe::{Dedupe, KEYS_OF_SAVED_LOGS};
use crate::event::{Event, clip};
use crate::plain::safe;
use crate::row::{Column, Row, Value};
use crate::scan::{Splitter, is_oversize};
use crate::source::saved::{self, Input, Opened};
use clap::Args;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;

/// How much of a line is shown.
const SHOWN: usize = 200;

/// What `explain` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    fallback: Fallback,
    #[command(flatten)]
    colors: Colors,
}

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let mut exit = Exit::Fine;
    let (inputs, _) = options.paths.find("explain", &mut exit)?;
    let sources = names(&inputs);
    let destination = Destination::Stdout;
    let mut explainer = Explainer {
        given: options.fallback.given(),
        known: Known::default(),
        dedupe: Dedupe::new(KEYS_OF_SAVED_LOGS),
        color: options.colors.wanted(&destination),
        output: destination.open()?,
    };
    for (input, source) in inputs.iter().zip(&sources) {
        if let Err(error) = explainer.input(input, source) {
            match error.downcast_ref::<std::io::Error>() {
                Some(cause) if !super::is_closed_pipe(&error) => {
                    say(&format!("{source}: {}", remedy(cause)));
                    exit = Exit::Failed;
                }
                _ => return Err(error),
            }
        }
    }
    explainer.output.finish()?;
    Ok(exit)
}

/// A line that is not yet explained, and what it began.
struct Line {
    number: u64,
    offset: u64,
    text: String,
    items: Vec<Item>,
}

struct Explainer {
    given: Given,
    known: Known,
    dedupe: Dedupe,
    color: bool,
    output: Output,
}

impl Explainer {
    fn input(&mut self, input: &Input, source: &Arc<str>) -> anyhow::Result<()> {
        let reader: Box<dyn Read + Send> = match saved::open(input)? {
            Opened::Plain(file, _) => {
                use std::io::Seek;
                let mut file = file;
                file.rewind()?;
                Box::new(file)
            }
            Opened::Stream { reader, .. } => reader,
        };
        let mut splitter = Splitter::whole(reader, false);
        let mut decoder = Decoder::at_start().of_everything();
        let mut banners = Banners::default();
        let mut lines = VecDeque::new();
        let mut number = 0;
        let mut buffer = Vec::new();
        while let Some(window) = splitter.next_window(std::mem::take(&mut buffer)) {
            for _ in 0..window.oversize() {
                number += 1;
                writeln!(self.output, "{source}:{number}  longer than the bounds, passed over")?;
            }
            let bytes = window.bytes();
            let mut at = window.new_from();
            while at < bytes.len() {
                let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline);
                number += 1;
                let offset = window.offset(at);
                let shown = String::from_utf8_lossy(&bytes[at..end]);
                let text = safe(&clip(shown.trim_start_matches('\u{feff}').trim_end_matches('\r'), SHOWN));
                if is_oversize(&bytes[at..end]) {
                    lines.push_back(Line { number, offset, text, items: vec![Item::Oversize { offset }] });
                    at = end + 1;
                    continue;
                }
                lines.push_back(Line { number, offset, text, items: Vec::new() });
                decoder.feed(&bytes[at..end], offset, &mut |item| place(&mut lines, item));
                if decoder.is_settled() {
                    self.explain(&mut lines, source, &mut banners)?;
                }
                at = end + 1;
            }
            self.output.flush()?;
            buffer = window.into_buffer();
        }
        decoder.finish(&mut |item| place(&mut lines, item));
        self.explain(&mut lines, source, &mut banners)?;
        match splitter.take_error() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Explains lines of which nothing is open any more.
    fn explain(&mut self, lines: &mut VecDeque<Line>, source: &Arc<str>, banners: &mut Banners) -> anyhow::Result<()> {
        let mut began = None;
        for line in lines.drain(..) {
            let place = self.paint("2", &format!("{source}:{}, byte {}", line.number, line.offset));
            writeln!(self.output, "{place}  {}", line.text)?;
            if line.items.is_empty() {
                let why = match began {
                    Some(number) => format!("goes on with what line {number} began"),
                    None if line.text.trim().is_empty() => "empty".to_owned(),
                    None => "no record".to_owned(),
                };
                writeln!(self.output, "    {why}")?;
                continue;
            }
            began = Some(line.number);
            for item in line.items {
                let told = self.tell(item, source, banners);
                writeln!(self.output, "    {told}")?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, item: Item, source: &Arc<str>, banners: &mut Banners) -> String {
        match item {
            Item::Banner { lane, banner, .. } => {
                let says = [banner.deployment.clone(), banner.url.clone()].into_iter().flatten();
                let told = format!("banner: what follows is of {}", safe(&says.collect::<Vec<_>>().join(", ")));
                banners.note(lane, banner);
                told
            }
            Item::Oversize { .. } => self.paint("33", "oversize: longer than the bounds, passed over"),
            Item::BrokenOff { .. } => self.paint("33", "damaged: the body breaks off here"),
            Item::Record(record) => {
                let layers = record.format.to_string();
                let layers = if layers.is_empty() { "json".to_owned() } else { layers };
                match record.reading {
                    Reading::Event(event) => self.tell_event(*event, source, banners),
                    Reading::Overflow { origin, .. } => {
                        let attribution = attribute(&banners.complete(&origin), &self.given);
                        let name = safe(&attribution.deployment);
                        self.paint("33", &format!("{layers}: a log overflow of {name}: events may be missing"))
                    }
                    Reading::Ignored(why) if record.count > 1 => {
                        format!("{layers}: {} records not counted: {why}", record.count)
                    }
                    Reading::Ignored(why) => format!("{layers}: not counted: {why}"),
                    Reading::Undecodable => self.paint("33", &format!("{layers}: undecodable: its JSON is broken")),
                }
            }
        }
    }

    fn tell_event(&mut self, mut event: Event, source: &Arc<str>, banners: &Banners) -> String {
        event.origin = banners.complete(&event.origin);
        let mut attribution = attribute(&event.origin, &self.given);
        self.known.settle(&mut attribution);
        if let Some(identity) = event.identity
            && self.dedupe.is_repeat(&attribution.deployment, identity)
        {
            return format!("{}: not counted: a copy of a record that was read before", event.format);
        }
        let evidence = attribution.evidence.as_str();
        let truncated = event.truncated;
        let row = Row { event, attribution, source: Arc::clone(source), expects_direct: false };
        let skipped = [Column::Format, Column::Source, Column::Offset, Column::Outcome];
        let values: Vec<String> = Column::ALL
            .into_iter()
            .filter(|column| !skipped.contains(column) && row.value(*column) != Value::Null)
            .map(|column| match column {
                Column::Hosting => format!("hosting={} (by {evidence})", row.value(column)),
                column => format!("{}={}", column.as_str(), safe(&clip(&row.value(column).to_string(), SHOWN))),
            })
            .collect();
        let counted = self.paint("32", &format!("counted: {}", row.event.outcome));
        let cut = if truncated { ", truncated" } else { "" };
        format!("{}: {counted}{cut}, {}", row.event.format, values.join(", "))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Puts an item with the line that it began on.
fn place(lines: &mut VecDeque<Line>, item: Item) {
    let at = lines.partition_point(|line| line.offset <= item.offset());
    if let Some(line) = at.checked_sub(1).and_then(|at| lines.get_mut(at)) {
        line.items.push(item);
    }
}
