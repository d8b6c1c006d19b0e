//! What one worker counts: events by origin and outcome, and what grouping and the list of failures need.

use super::latest::{Group, Latest, Moment};
use super::{Count, Settings};
use crate::decode::{Banner, Item, Reading, exact};
use crate::event::{Cause, Event, Identity, Origin, Outcome, Timestamp};
use crate::read::Collector;
use crate::scan::Sink;
use std::collections::HashMap;
use std::sync::Arc;

/// Events of one kind, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) events: u64,
    pub(super) size_bytes: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

impl Cell {
    fn count(&mut self, time: Option<Timestamp>, size_bytes: Option<u64>) {
        self.add(Self { events: 1, size_bytes: size_bytes.unwrap_or(0), first: time, last: time });
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.size_bytes = self.size_bytes.saturating_add(other.size_bytes);
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }
}

/// What one origin's records add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) outcomes: [Cell; 4],
    pub(super) causes: [u64; 6],
    pub(super) overflows: u64,
    pub(super) truncated: u64,
}

impl Tally {
    pub(super) fn count(&mut self, event: &Event) {
        self.count_parts(event.outcome, event.cause, event.time, event.size_bytes);
        self.truncated += u64::from(event.truncated);
    }

    fn count_parts(&mut self, outcome: Outcome, cause: Option<Cause>, time: Option<Timestamp>, size: Option<u64>) {
        self.outcomes[outcome as usize].count(time, size);
        if let Some(cause) = cause {
            self.causes[cause as usize] += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, cell) in self.outcomes.iter_mut().zip(other.outcomes) {
            sum.add(cell);
        }
        for (sum, count) in self.causes.iter_mut().zip(other.causes) {
            *sum += count;
        }
        self.overflows += other.overflows;
        self.truncated += other.truncated;
    }
}

/// How wide a span of time is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Granularity {
    Minute,
    Hour,
    Day,
}

impl Granularity {
    /// Every width, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length in milliseconds.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    fn floor(self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.div_euclid(self.millis()) * self.millis())
    }

    fn wider(self) -> Option<Self> {
        match self {
            Self::Minute => Some(Self::Hour),
            Self::Hour => Some(Self::Day),
            Self::Day => None,
        }
    }
}

/// What events are counted by, beside their deployment and outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Spans of time.
    pub time: Option<Granularity>,
    /// Whether spans may be made wider where there are many.
    pub widens: bool,
    /// Functions.
    pub function: bool,
    /// Causes.
    pub cause: bool,
}

impl Detail {
    fn is_nothing(self) -> bool {
        self.time.is_none() && !self.function && !self.cause
    }
}

/// What a cell counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CellKey {
    pub(super) origin: Arc<Origin>,
    pub(super) time: Option<Timestamp>,
    pub(super) function: Option<Arc<str>>,
    pub(super) outcome: Outcome,
    pub(super) cause: Option<Cause>,
}

impl CellKey {
    pub(super) fn at(self, origin: Arc<Origin>) -> Self {
        Self { origin, ..self }
    }

    pub(super) fn count(self, deployment: usize, cell: Cell, granularity: Option<Granularity>) -> Count {
        Count {
            deployment,
            time: self.time.and_then(|time| granularity.map(|granularity| granularity.floor(time))),
            function: self.function,
            outcome: self.outcome,
            cause: self.cause,
            events: cell.events,
            size_bytes: cell.size_bytes,
        }
    }
}

/// Cells that a timeline keeps before it makes its spans wider.
const MANY_CELLS: usize = 50_000;

/// Counts by everything that grouping needs.
#[derive(Debug, Default)]
pub(super) struct Cells {
    detail: Detail,
    cells: HashMap<CellKey, Cell>,
}

impl Cells {
    pub(super) fn new(detail: Detail) -> Self {
        Self { detail, cells: HashMap::new() }
    }

    pub(super) fn granularity(&self) -> Option<Granularity> {
        self.detail.time
    }

    pub(super) fn count(&mut self, event: &Event) {
        let function = event.function.as_deref();
        self.count_parts(&event.origin, event.outcome, event.cause, event.time, event.size_bytes, function);
    }

    fn count_parts(
        &mut self,
        origin: &Arc<Origin>,
        outcome: Outcome,
        cause: Option<Cause>,
        time: Option<Timestamp>,
        size_bytes: Option<u64>,
        function: Option<&str>,
    ) {
        if self.detail.is_nothing() {
            return;
        }
        let key = CellKey {
            origin: Arc::clone(origin),
            time,
            function: function.filter(|_| self.detail.function).map(Arc::from),
            outcome,
            cause: cause.filter(|_| self.detail.cause),
        };
        let mut cell = Cell::default();
        cell.count(None, size_bytes);
        self.add(key, cell);
    }

    pub(super) fn add(&mut self, mut key: CellKey, cell: Cell) {
        if self.detail.is_nothing() {
            return;
        }
        key.time = key.time.and_then(|time| self.detail.time.map(|granularity| granularity.floor(time)));
        self.cells.entry(key).or_default().add(cell);
        if self.cells.len() > MANY_CELLS
            && self.detail.widens
            && let Some(wider) = self.detail.time.and_then(Granularity::wider)
        {
            self.detail.time = Some(wider);
            for (key, cell) in std::mem::take(&mut self.cells) {
                self.add(key, cell);
            }
        }
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = (CellKey, Cell)> + use<> {
        std::mem::take(&mut self.cells).into_iter()
    }
}

/// What a job held between two banners.
#[derive(Debug)]
pub(super) struct Segment {
    /// The banner above it.
    pub(super) banner: Option<(Option<Arc<str>>, Banner)>,
    pub(super) tallies: Vec<(Arc<Origin>, Tally)>,
    pub(super) cells: Cells,
    pub(super) latest: Vec<(Group, Vec<Moment>)>,
    /// Events that may be copies of earlier ones: that shows only where everything comes together.
    pub(super) identified: Vec<Event>,
    pub(super) overflows: Vec<(Arc<Origin>, Option<Identity>, u64)>,
}

/// What one job held.
#[derive(Debug, Default)]
pub struct Part {
    pub(super) records: u64,
    pub(super) undecodable: u64,
    pub(super) oversize: u64,
    pub(super) broken_off: bool,
    pub(super) undated: u64,
    pub(super) segments: Vec<Segment>,
}

/// Origins that a worker remembers by their bytes at the most.
const MAX_ORIGINS: usize = 4096;

/// Counts what a worker finds.
pub struct Tallier<'a> {
    settings: &'a Settings,
    part: Part,
    banner: Option<(Option<Arc<str>>, Banner)>,
    /// This segment's tallies, and where each origin's stands.
    tallies: Vec<(Arc<Origin>, Tally)>,
    slots: HashMap<Arc<Origin>, usize>,
    /// `convex` objects by their bytes, and what is known of each; the first is that of lines without any.
    by_bytes: hashbrown::HashMap<Box<[u8]>, usize>,
    known: Vec<Known>,
    segment: u64,
    cells: Cells,
    latest: Latest,
    identified: Vec<Event>,
    overflows: Vec<(Arc<Origin>, Option<Identity>, u64)>,
    reader: exact::Reader,
    /// Whether lines may be read by their exact bytes: not where their columns are looked at.
    reads_exactly: bool,
}

/// The known origin of lines without a `convex` object.
const NO_ORIGIN: usize = 0;

/// An origin, and where its events are counted in this segment.
struct Known {
    origin: Arc<Origin>,
    segment: u64,
    slot: usize,
    fallback: Option<usize>,
    failed: Option<usize>,
}

impl Known {
    fn new(origin: Arc<Origin>) -> Self {
        Self { origin, segment: 0, slot: 0, fallback: None, failed: None }
    }
}

impl<'a> Tallier<'a> {
    /// A worker's counts.
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            part: Part::default(),
            banner: None,
            tallies: Vec::new(),
            slots: HashMap::new(),
            by_bytes: hashbrown::HashMap::new(),
            known: vec![Known::new(Arc::default())],
            segment: 1,
            cells: Cells::new(settings.detail),
            latest: Latest::new(settings.failures),
            identified: Vec::new(),
            overflows: Vec::new(),
            reader: exact::Reader::default(),
            reads_exactly: settings.filter.is_of_time_only(),
        }
    }

    /// Decodes every line, however common it is.
    #[must_use]
    pub fn decoding_everything(mut self) -> Self {
        self.reads_exactly = false;
        self
    }

    fn slot(&mut self, origin: &Arc<Origin>) -> usize {
        if let Some(slot) = self.slots.get(origin) {
            return *slot;
        }
        self.tallies.push((Arc::clone(origin), Tally::default()));
        self.slots.insert(Arc::clone(origin), self.tallies.len() - 1);
        self.tallies.len() - 1
    }

    fn end_segment(&mut self) {
        self.segment += 1;
        self.slots.clear();
        self.part.segments.push(Segment {
            banner: self.banner.take(),
            tallies: std::mem::take(&mut self.tallies),
            cells: std::mem::replace(&mut self.cells, Cells::new(self.settings.detail)),
            latest: self.latest.take(),
            identified: std::mem::take(&mut self.identified),
            overflows: std::mem::take(&mut self.overflows),
        });
    }

    fn event(&mut self, event: Box<Event>) {
        if event.identity.is_some() || !self.settings.filter.is_of_time_only() {
            self.identified.push(*event);
            return;
        }
        if !self.accepts_time(event.time) {
            return;
        }
        let slot = self.slot(&event.origin);
        self.tallies[slot].1.count(&event);
        self.cells.count(&event);
        self.latest.offer(event, 0, true);
    }

    fn accepts_time(&mut self, time: Option<Timestamp>) -> bool {
        let accepts = self.settings.filter.accepts_time(time);
        self.part.undated += u64::from(accepts.is_none());
        accepts == Some(true)
    }

    /// What is known of a `convex` object by its bytes; none where they are no JSON.
    fn known(&mut self, convex: &[u8]) -> Option<usize> {
        let index = if let Some(index) = self.by_bytes.get(convex) {
            *index
        } else {
            let origin = Arc::new(exact::origin(convex)?);
            if self.by_bytes.len() >= MAX_ORIGINS {
                self.by_bytes.clear();
                self.known.truncate(1);
            }
            self.known.push(Known::new(origin));
            self.by_bytes.insert(convex.into(), self.known.len() - 1);
            self.known.len() - 1
        };
        Some(index)
    }

    /// Finds the places in this segment of what an origin's events are counted in.
    fn place(&mut self, index: usize) {
        let origin = Arc::clone(&self.known[index].origin);
        let slot = self.slot(&origin);
        let mut group = |outcome| Group::of(&origin, outcome, true).and_then(|group| self.latest.place(&group));
        let (fallback, failed) = (group(Outcome::HttpFallback), group(Outcome::DirectFailed));
        let known = &mut self.known[index];
        (known.slot, known.fallback, known.failed, known.segment) = (slot, fallback, failed, self.segment);
    }
}

impl Sink for Tallier<'_> {
    fn item(&mut self, item: Item) {
        match item {
            Item::Record(record) => {
                self.part.records += record.count;
                match record.reading {
                    Reading::Event(event) => self.event(event),
                    Reading::Overflow { origin, time, identity } => {
                        // Without a time it may have been then: what may be missing is not hidden.
                        if self.settings.filter.accepts_time(time) != Some(false) {
                            self.overflows.push((origin, identity, 1));
                        }
                    }
                    Reading::Undecodable => self.part.undecodable += 1,
                    Reading::Ignored(_) => {}
                }
            }
            Item::Banner { lane, banner, .. } => {
                self.end_segment();
                self.banner = Some((lane, banner));
            }
            Item::Oversize { .. } => self.part.oversize += 1,
            Item::BrokenOff { .. } => self.part.broken_off = true,
        }
    }

    fn exact(&mut self, line: &[u8], offset: u64) -> bool {
        if !self.reads_exactly {
            return false;
        }
        let Some(event) = self.reader.read(line) else {
            return false;
        };
        let index = match event.convex {
            Some(convex) => match self.known(convex) {
                Some(index) => index,
                None => return false,
            },
            None => NO_ORIGIN,
        };
        self.part.records += 1;
        if !self.accepts_time(Some(event.time)) {
            return true;
        }
        if self.known[index].segment != self.segment {
            self.place(index);
        }
        let known = &self.known[index];
        self.tallies[known.slot].1.count_parts(event.outcome, event.cause, Some(event.time), event.size_bytes);
        self.cells.count_parts(
            &known.origin,
            event.outcome,
            event.cause,
            Some(event.time),
            event.size_bytes,
            Some(self.reader.function(event.mould)),
        );
        let place = match event.outcome {
            Outcome::HttpFallback => known.fallback,
            Outcome::DirectFailed => known.failed,
            Outcome::Direct | Outcome::Other => None,
        };
        if let Some(place) = place {
            self.latest.offer_line(place, event.time, offset, line);
        }
        true
    }
}

impl Collector for Tallier<'_> {
    type Part = Part;

    fn take(&mut self) -> Part {
        self.end_segment();
        std::mem::take(&mut self.part)
    }
}
