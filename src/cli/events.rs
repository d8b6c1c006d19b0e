//! `storagewatch events`.

use super::options::{Fallback, Jobs, Paths, Wanted, names, remedy};
use super::output::{Destination, Output, write_json};
use super::progress::Progress;
use super::{Exit, say};
use crate::attribute::{Banners, Given, Known, attribute};
use crate::decode::{Item, Reading};
use crate::dedupe::{Dedupe, KEYS_OF_SAVED_LOGS};
use crate::event::Event;
use crate::filter::Filter;
use crate::read::{self, Collector, Step};
use crate::row::Row;
use crate::scan::Sink;
use crate::source::saved::Input;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What `events` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    paths: Paths,
    /// How events are written [default: by the file's ending, else ndjson]
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to a file, which appears under its name when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    fallback: Fallback,
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line, as they come
    Ndjson,
    /// With a header line
    Csv,
    /// Columns, compressed with zstd
    Parquet,
}

impl Format {
    fn of(path: Option<&PathBuf>) -> Self {
        match path.and_then(|path| path.extension()).and_then(|extension| extension.to_str()) {
            Some("csv") => Self::Csv,
            Some("parquet") => Self::Parquet,
            _ => Self::Ndjson,
        }
    }
}

/// Where rows go.
enum Writer {
    Ndjson(Output),
    #[cfg(feature = "report")]
    Frames(Box<crate::report::frame::EventWriter<Shared>>, Shared),
}

/// An output that a frame's writer and the end of the command both hold.
#[cfg(feature = "report")]
#[derive(Clone)]
struct Shared(std::rc::Rc<std::cell::RefCell<Option<Output>>>);

#[cfg(feature = "report")]
impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().as_mut().map_or(Ok(0), |output| output.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.borrow_mut().as_mut().map_or(Ok(()), Output::flush)
    }
}

impl Writer {
    fn open(format: Format, destination: &Destination) -> anyhow::Result<Self> {
        if format == Format::Ndjson {
            return Ok(Self::Ndjson(destination.open()?));
        }
        #[cfg(not(feature = "report"))]
        anyhow::bail!(
            "CSV and Parquet need the feature 'report', which this program was built without; ask for ndjson"
        );
        #[cfg(feature = "report")]
        {
            use crate::report::frame::EventWriter;
            if format == Format::Parquet && destination.is_terminal() {
                anyhow::bail!("Parquet is not for a terminal: name a file with -o, or redirect the output");
            }
            let shared = Shared(std::rc::Rc::new(std::cell::RefCell::new(Some(destination.open()?))));
            let writer = match format {
                Format::Parquet => EventWriter::parquet(shared.clone())?,
                Format::Csv | Format::Ndjson => EventWriter::csv(shared.clone())?,
            };
            Ok(Self::Frames(Box::new(writer), shared))
        }
    }

    fn write(&mut self, row: Row) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(output) => {
                write_json(&mut *output, &row).map_err(std::io::Error::from)?;
                output.write_all(b"\n")?;
            }
            #[cfg(feature = "report")]
            Self::Frames(writer, _) => writer.write(row)?,
        }
        Ok(())
    }

    /// Shows what was written so far to whoever reads along.
    fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(output) => output.flush()?,
            #[cfg(feature = "report")]
            Self::Frames(..) => {}
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(output) => output.finish(),
            #[cfg(feature = "report")]
            Self::Frames(writer, shared) => {
                writer.finish()?;
                shared.0.borrow_mut().take().map_or(Ok(()), Output::finish)
            }
        }
    }
}

/// What a job holds, in order.
#[derive(Default)]
struct Items {
    items: Vec<Item>,
}

impl Sink for Items {
    fn item(&mut self, item: Item) {
        if !matches!(&item, Item::Record(record) if matches!(record.reading, Reading::Ignored(_))) {
            self.items.push(item);
        }
    }
}

impl Collector for Items {
    type Part = Vec<Item>;

    fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }
}

/// Turns items into rows, in the order of the input.
struct Attributor<'a> {
    given: Given,
    filter: Filter,
    sources: &'a [Arc<str>],
    input: usize,
    banners: Banners,
    known: Known,
    dedupe: Dedupe,
    undated: u64,
    unused: u64,
    broken_off: bool,
}

impl Attributor<'_> {
    fn take(&mut self, input: usize, item: Item) -> Option<Row> {
        if input != self.input {
            self.input = input;
            self.banners = Banners::default();
        }
        match item {
            Item::Record(record) => match record.reading {
                Reading::Event(event) => return self.event(*event),
                Reading::Undecodable => self.unused += 1,
                Reading::Overflow { .. } | Reading::Ignored(_) => {}
            },
            Item::Banner { lane, banner, .. } => self.banners.note(lane, banner),
            Item::Oversize { .. } => self.unused += 1,
            Item::BrokenOff { .. } => self.broken_off = true,
        }
        None
    }

    fn event(&mut self, mut event: Event) -> Option<Row> {
        if !self.banners.is_empty() {
            event.origin = self.banners.complete(&event.origin);
        }
        let mut attribution = attribute(&event.origin, &self.given);
        self.known.settle(&mut attribution);
        if let Some(identity) = event.identity
            && self.dedupe.is_repeat(&attribution.deployment, identity)
        {
            return None;
        }
        match self.filter.accepts_time(event.time) {
            Some(true) => {}
            Some(false) => return None,
            None => {
                self.undated += 1;
                return None;
            }
        }
        let row = Row { event, attribution, source: Arc::clone(&self.sources[self.input]), expects_direct: false };
        self.filter.accepts_row(&row).then_some(row)
    }
}

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let destination = Destination::new(options.output.as_deref());
    let format = options.format.unwrap_or_else(|| Format::of(options.output.as_ref()));
    let mut exit = Exit::Fine;
    let (inputs, _) = options.paths.find("events", &mut exit)?;
    let sources = names(&inputs);
    let mut writer = Writer::open(format, &destination)?;
    let mut attributor = Attributor {
        given: options.fallback.given(),
        filter: options.wanted.filter(),
        sources: &sources,
        input: 0,
        banners: Banners::default(),
        known: Known::default(),
        dedupe: Dedupe::new(KEYS_OF_SAVED_LOGS),
        undated: 0,
        unused: 0,
        broken_off: false,
    };
    let mut progress = Progress::new(inputs.iter().map(Input::size).sum(), destination.is_terminal());
    let bytes = std::mem::take(&mut progress.read);
    let reading = read::Options {
        jobs: options.jobs.count(),
        live: true,
        everything: false,
        part: read::PART_OF_EVENTS,
        progress: &bytes,
    };
    let mut result = Ok(());
    read::read(&inputs, &reading, Items::default, &mut |step| {
        result = match step {
            Step::Part { input, counts, part } => {
                attributor.unused += counts.oversize;
                let mut rows = part.into_iter().filter_map(|item| attributor.take(input, item));
                rows.try_for_each(|row| writer.write(row)).and_then(|()| writer.flush())
            }
            Step::Ended { input, error, .. } => {
                if let Some(error) = error {
                    say(&format!("{}: {}", sources[input], remedy(error)));
                    exit = Exit::Failed;
                } else if std::mem::take(&mut attributor.broken_off) {
                    say(&format!(
                        "{}: a JSON body breaks off; what came before counts; fetch it again",
                        sources[input]
                    ));
                    exit = Exit::Failed;
                }
                Ok(())
            }
        };
        // A file that cannot be written is taken away again, in good order.
        if let (Err(error), Destination::Stdout) = (&result, &destination) {
            leave_at_once(error, exit);
        }
        progress.read.store(bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        progress.show();
        result.is_ok()
    });
    progress.clear();
    result?;
    writer.finish()?;
    if attributor.undated > 0 {
        say(&format!("{} events without a time were left out, for a time was asked for", attributor.undated));
    }
    if attributor.unused > 0 {
        say(&format!("{} records could not be used; 'storagewatch explain' shows them", attributor.unused));
    }
    Ok(exit)
}

/// The output cannot be written any more, while the thread that reads the input may wait for a line that never comes.
/// A reader that has gone is no error.
#[expect(clippy::exit, reason = "there is no way to wake a thread that waits for standard input")]
fn leave_at_once(error: &anyhow::Error, exit: Exit) {
    if super::is_closed_pipe(error) {
        std::process::exit(exit as i32);
    }
    say(&format!("the events cannot be written: {error:#}"));
    std::process::exit(Exit::Failed as i32);
}
