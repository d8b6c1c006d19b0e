//! Reads saved inputs on all cores, and hands what was found on in the order of the input.
//!
//! One thread opens inputs and hands out jobs; workers scan them; the caller's thread merges. A job is a part of a plain
//! file, which its worker reads by itself, or a window of a stream. Where one job leaves a record open, the next one
//! was scanned as if nothing were: it is scanned again from what is open.

use crate::decode::Decoder;
use crate::scan::{Counts, Scanner, Sink, Splitter, Window, first_byte};
use crate::source::saved::{self, Input, Opened};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How much of a plain file is one job.
pub const PART: u64 = 8 * 1024 * 1024;

/// The same where each event is kept until its job is merged.
pub const PART_OF_EVENTS: u64 = 256 * 1024;

/// Jobs under way for each worker: what waits for an earlier one is kept in memory.
const JOBS_PER_WORKER: usize = 4;

/// A window this large holds a line of many records.
const LARGE_WINDOW: usize = 4 * 1024 * 1024;

/// How long a record of a live stream stays open without a new line.
const QUIET: Duration = Duration::from_millis(500);

/// Collects what one worker finds, job by job.
pub trait Collector: Sink + Send {
    /// What one job leaves.
    type Part: Send;

    /// Hands over what was collected since the last call.
    fn take(&mut self) -> Self::Part;
}

/// What the caller's thread is told, in the order of the inputs.
pub enum Step<'a, P> {
    /// What a part of an input held.
    Part {
        /// Which input.
        input: usize,
        /// What was seen.
        counts: Counts,
        /// What was collected.
        part: P,
    },
    /// The input ends here.
    Ended {
        /// Which input.
        input: usize,
        /// What kept it from being read, or ended it early.
        error: Option<&'a io::Error>,
        /// Whether it could be opened.
        opened: bool,
    },
}

/// How to read.
pub struct Options<'a> {
    /// How many workers.
    pub jobs: usize,
    /// Whether records of live streams close after a while without lines.
    pub live: bool,
    /// Every record is decoded, not only those that can matter.
    pub everything: bool,
    /// How much of a plain file is one job: [`PART`], if nothing speaks for less.
    pub part: u64,
    /// Bytes of the inputs read so far, as they lie on disk or come in.
    pub progress: &'a AtomicU64,
}

enum Work {
    /// The lines that begin in a part of a file.
    Part { file: Arc<File>, start: u64, stop: u64 },
    /// Lines of a stream.
    Window(Window),
    /// Nothing more: the input ends.
    Nothing,
}

struct Job {
    number: u64,
    input: usize,
    work: Work,
    first: bool,
    last: bool,
    /// Whether somebody may still be writing the input.
    live: bool,
    /// How many buffers it stands for.
    buffers: usize,
    error: Option<io::Error>,
}

struct Done<P> {
    job: Job,
    counts: Counts,
    part: P,
    open: Option<Decoder>,
    error: Option<io::Error>,
}

/// Reads all inputs. `merge` returns false to stop early.
pub fn read<C: Collector>(
    inputs: &[Input],
    options: &Options<'_>,
    collector: impl Fn() -> C + Sync,
    merge: &mut dyn FnMut(Step<'_, C::Part>) -> bool,
) {
    let workers = options.jobs.max(1);
    let stop = AtomicBool::new(false);
    let under_way = workers * JOBS_PER_WORKER;
    let (jobs, waiting) = sync_channel::<Job>(under_way);
    let waiting = Mutex::new(waiting);
    let (done, results) = channel::<Done<C::Part>>();
    // A buffer for each job that may be under way: who has none waits.
    let (spare, buffers) = channel::<Vec<u8>>();
    for _ in 0..under_way {
        let _ = spare.send(Vec::new());
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (jobs, buffers) = (jobs, buffers);
            let _ = hand_out(inputs, &jobs, &buffers, &stop, options);
        });
        for _ in 0..workers {
            let done = done.clone();
            let (waiting, collector) = (&waiting, &collector);
            scope.spawn(move || work(waiting, &done, collector(), options));
        }
        drop(done);
        let mut merger = Merger { options, open: None, live: false, error: None, again: None, collector: &collector };
        merger.run(&results, &spare, merge);
        // Whoever still works finds nobody to tell, and stops.
        stop.store(true, Ordering::Relaxed);
        drop(spare);
        drop(results);
    });
}

/// Opens the inputs and cuts them into jobs. An error means that nobody wants any more.
fn hand_out(
    inputs: &[Input],
    jobs: &SyncSender<Job>,
    buffers: &Receiver<Vec<u8>>,
    stop: &AtomicBool,
    options: &Options<'_>,
) -> Result<(), Gone> {
    let progress = options.progress;
    let mut number = 0;
    let spare = || buffers.recv().map_err(|_| Gone);
    for (input, source) in inputs.iter().enumerate() {
        let mut first = true;
        let mut send = |work: Work, last: bool, live: bool, buffers: usize, error: Option<io::Error>| {
            if stop.load(Ordering::Relaxed) {
                return Err(Gone);
            }
            let job = Job { number, input, work, first, last, live, buffers, error };
            number += 1;
            first = false;
            jobs.send(job).map_err(|_| Gone)
        };
        match saved::open(source) {
            Err(error) => {
                spare()?;
                send(Work::Nothing, true, false, 1, Some(error))?;
            }
            Ok(Opened::Plain(file, size)) => {
                let file = Arc::new(file);
                let mut start = 0;
                while start < size {
                    spare()?;
                    let stop = start.saturating_add(options.part.max(1)).min(size);
                    let end = stop == size;
                    let stop = if end { u64::MAX } else { stop };
                    send(Work::Part { file: Arc::clone(&file), start, stop }, end, false, 1, None)?;
                    let next = if end { size } else { stop };
                    progress.fetch_add(next - start, Ordering::Relaxed);
                    start = next;
                }
            }
            Ok(Opened::Stream { reader, live }) => {
                let mut splitter = Splitter::whole(Counted { reader, progress }, !live);
                loop {
                    let buffer = spare()?;
                    let Some(window) = splitter.next_window(buffer) else {
                        break send(Work::Nothing, true, live, 1, splitter.take_error())?;
                    };
                    let mut taken = 1;
                    if window.bytes().len() > LARGE_WINDOW {
                        // Few of those are under way at a time.
                        while taken + 2 < options.jobs.max(1) * JOBS_PER_WORKER {
                            spare()?;
                            taken += 1;
                        }
                    }
                    send(Work::Window(window), false, live, taken, None)?;
                }
            }
        }
    }
    Ok(())
}

/// The other side has hung up.
struct Gone;

/// Counts what was read.
struct Counted<'a, R> {
    reader: R,
    progress: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn work<C: Collector>(
    waiting: &Mutex<Receiver<Job>>,
    done: &Sender<Done<C::Part>>,
    mut collector: C,
    options: &Options<'_>,
) {
    let mut scanner = Scanner::new();
    let mut buffer = Vec::new();
    loop {
        // The lock is held while waiting: whoever holds it is the one to be woken.
        let Ok(job) = waiting.lock().map_or_else(|_| Err(()), |jobs| jobs.recv().map_err(|_| ())) else {
            return;
        };
        let decoder = begin(job.first, options);
        let result = scan(job, decoder, &mut scanner, &mut collector, &mut buffer);
        if done.send(result).is_err() {
            return;
        }
    }
}

fn begin(first: bool, options: &Options<'_>) -> Decoder {
    let decoder = if first { Decoder::at_start() } else { Decoder::default() };
    if options.everything { decoder.of_everything() } else { decoder }
}

/// Scans one job from what the job before it left open.
fn scan<C: Collector>(
    mut job: Job,
    decoder: Decoder,
    scanner: &mut Scanner,
    collector: &mut C,
    buffer: &mut Vec<u8>,
) -> Done<C::Part> {
    scanner.begin(decoder);
    let mut error = None;
    match &job.work {
        Work::Part { file, start, stop } => {
            let from = if *start > 0 { first_byte(*start) } else { 0 };
            let mut splitter = Splitter::part(At { file, at: from }, *start, *stop);
            while let Some(window) = splitter.next_window(std::mem::take(buffer)) {
                scanner.scan(&window, collector);
                *buffer = window.into_buffer();
            }
            error = splitter.take_error();
        }
        Work::Window(window) => scanner.scan(window, collector),
        Work::Nothing => {}
    }
    if job.last {
        scanner.finish(collector);
    }
    let error = error.or(job.error.take());
    Done { counts: scanner.counts(), part: collector.take(), open: scanner.take_open(), job, error }
}

/// A file read from a byte on, without moving anybody else's place in it.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl Read for At<'_> {
    #[cfg(unix)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }

    #[cfg(not(unix))]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::windows::fs::FileExt;
        let read = self.file.seek_read(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

struct Merger<'a, C: Collector, F: Fn() -> C> {
    options: &'a Options<'a>,
    /// What the last job left open.
    open: Option<Decoder>,
    /// Whether somebody may still be writing what was merged last.
    live: bool,
    /// What kept a part of the input from being read.
    error: Option<io::Error>,
    /// What scans jobs again.
    again: Option<(Scanner, C, Vec<u8>)>,
    collector: &'a F,
}

impl<C: Collector, F: Fn() -> C> Merger<'_, C, F> {
    fn run(
        &mut self,
        results: &Receiver<Done<C::Part>>,
        spare: &Sender<Vec<u8>>,
        merge: &mut dyn FnMut(Step<'_, C::Part>) -> bool,
    ) {
        let mut early = BTreeMap::new();
        let mut next = 0;
        let mut input = 0;
        loop {
            let done = if self.options.live && self.live && self.open.is_some() {
                match results.recv_timeout(QUIET) {
                    Ok(done) => done,
                    Err(RecvTimeoutError::Timeout) => {
                        if !self.close_records(input, merge) {
                            return;
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match results.recv() {
                    Ok(done) => done,
                    Err(_) => return,
                }
            };
            early.insert(done.job.number, done);
            while let Some(done) = early.remove(&next) {
                next += 1;
                input = done.job.input;
                if !self.merge(done, spare, merge) {
                    return;
                }
            }
        }
    }

    fn merge(
        &mut self,
        mut done: Done<C::Part>,
        spare: &Sender<Vec<u8>>,
        merge: &mut dyn FnMut(Step<'_, C::Part>) -> bool,
    ) -> bool {
        if let Some(open) = self.open.take() {
            let (scanner, collector, buffer) =
                self.again.get_or_insert_with(|| (Scanner::new(), (self.collector)(), Vec::new()));
            done.job.error = done.error;
            done = scan(done.job, open, scanner, collector, buffer);
        }
        self.error = self.error.take().or(done.error);
        self.live = done.job.live;
        let input = done.job.input;
        let goes_on = merge(Step::Part { input, counts: done.counts, part: done.part });
        self.open = done.open;
        let buffer = match &mut done.job.work {
            Work::Window(window) => std::mem::take(window).into_buffer(),
            _ => Vec::new(),
        };
        let _ = spare.send(if buffer.len() > LARGE_WINDOW { Vec::new() } else { buffer });
        for _ in 1..done.job.buffers {
            let _ = spare.send(Vec::new());
        }
        if done.job.last {
            self.open = None;
            let error = self.error.take();
            let opened = !(done.job.first && error.is_some() && matches!(done.job.work, Work::Nothing));
            return merge(Step::Ended { input, error: error.as_ref(), opened }) && goes_on;
        }
        goes_on
    }

    fn close_records(&mut self, input: usize, merge: &mut dyn FnMut(Step<'_, C::Part>) -> bool) -> bool {
        let Some(mut decoder) = self.open.take() else {
            return true;
        };
        let (_, collector, _) = self.again.get_or_insert_with(|| (Scanner::new(), (self.collector)(), Vec::new()));
        decoder.close_records(&mut |item| collector.item(item));
        let part = collector.take();
        self.open = (!decoder.is_idle()).then_some(decoder);
        merge(Step::Part { input, counts: Counts::default(), part })
    }
}
