//! Saved logs → a summary: counts by deployment, what needs attention, and how good the data is.
//!
//! Workers tally what they find job by job; the tallies are merged in the order of the input, and at the end
//! each deployment is placed by the strongest evidence in the whole of it.

mod latest;
mod tally;

#[cfg(feature = "report")]
pub mod frame;
pub mod group;
pub mod json;
pub mod markdown;
pub mod metrics;
pub mod spreadsheet;
pub mod terminal;

pub use group::{By, Group, Timeline};
pub use tally::{Detail, Granularity, Tallier};

use crate::attribute::{Attribution, Banners, Given, attribute};
use crate::dedupe::{Dedupe, KEYS_OF_SAVED_LOGS};
use crate::event::{Cause, Event, Origin, Outcome, Timestamp};
use crate::filter::Filter;
use crate::policy::{Verdict, judge};
use crate::row::Row;
use crate::scan::Counts;
use latest::{Latest, Moment};
use std::collections::HashMap;
use std::sync::Arc;
use tally::{Cell, Cells, Part, Tally};

/// The name under which deployments are counted that are too many.
pub const OTHER_DEPLOYMENTS: &str = "__other__";

/// Deployments that a report tells apart at the most.
pub const MAX_DEPLOYMENTS: usize = 100_000;

/// What was read, and what could not be used.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each is what its name says; the README has the table")]
pub struct InputCounts {
    pub files: u64,
    pub bytes: u64,
    pub lines: u64,
    pub records: u64,
    pub events: u64,
    pub duplicates: u64,
    pub truncated: u64,
    pub overflows: u64,
    pub undecodable: u64,
    pub oversize: u64,
    pub damaged: u64,
}

/// One deployment's line of the report.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Whose.
    pub attribution: Attribution,
    /// Events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
    /// `direct-failed` events by cause, in the order of [`Cause::ALL`].
    pub causes: [u64; 6],
    /// The blobs' sizes, added up.
    pub size_bytes: u64,
    /// How often Convex dropped log lines.
    pub overflows: u64,
    /// The first event's time.
    pub first: Option<Timestamp>,
    /// The last event's time.
    pub last: Option<Timestamp>,
}

impl Deployment {
    /// How many events.
    pub fn events(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many events with this outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        Outcome::ALL.iter().zip(self.outcomes).filter(|(o, _)| **o == outcome).map(|(_, n)| n).sum()
    }

    /// The gravest verdict of its events.
    pub fn verdict(&self) -> Verdict {
        let kind = self.attribution.deployment_type.as_deref();
        let verdicts = Outcome::ALL.iter().zip(self.outcomes).filter(|(_, count)| *count > 0);
        verdicts.map(|(outcome, _)| judge(self.attribution.hosting, kind, *outcome).0).min().unwrap_or(Verdict::Healthy)
    }
}

/// A count by time, function and cause, before anything is grouped.
#[derive(Clone, Debug)]
pub struct Count {
    /// Which deployment, as an index into [`Report::deployments`].
    pub deployment: usize,
    /// The beginning of the span of time, where events had one.
    pub time: Option<Timestamp>,
    /// The function, where it was asked for.
    pub function: Option<Arc<str>>,
    /// The outcome.
    pub outcome: Outcome,
    /// The cause, where it was asked for.
    pub cause: Option<Cause>,
    /// How many.
    pub events: u64,
    /// Their blobs' sizes, added up.
    pub size_bytes: u64,
}

/// The summary.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was read.
    pub input: InputCounts,
    /// By deployment, sorted by name.
    pub deployments: Vec<Deployment>,
    /// The latest events that need attention, the newest first.
    pub failures: Vec<Row>,
    /// What `report --by` and the timeline group.
    pub counts: Vec<Count>,
    /// How wide the counts' spans of time are.
    pub granularity: Option<Granularity>,
    /// Events without a time that were left out because a time was asked for.
    pub undated: u64,
    /// Inputs that could not be read at all.
    pub unreadable: u64,
    /// Keys of records that had to make room: copies of older records may have counted again.
    pub forgotten: u64,
}

impl Report {
    /// The first event's time.
    pub fn first(&self) -> Option<Timestamp> {
        self.deployments.iter().filter_map(|deployment| deployment.first).min()
    }

    /// The last event's time.
    pub fn last(&self) -> Option<Timestamp> {
        self.deployments.iter().filter_map(|deployment| deployment.last).max()
    }

    /// How many events had one of these outcomes.
    pub fn count(&self, outcomes: &[Outcome]) -> u64 {
        outcomes.iter().map(|outcome| self.deployments.iter().map(|d| d.of(*outcome)).sum::<u64>()).sum()
    }
}

/// What a report is made of, and of what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What holds for records that say nothing themselves.
    pub given: Given,
    /// Which events are wanted.
    pub filter: Filter,
    /// How many failures are listed.
    pub failures: usize,
    /// What counts are kept for grouping.
    pub detail: Detail,
}

/// Merges what the workers tallied.
pub struct Reporter<'a> {
    settings: &'a Settings,
    sources: &'a [Arc<str>],
    input: InputCounts,
    /// The input that is being read, and the banners in it.
    current: usize,
    banners: Banners,
    damaged: bool,
    tallies: HashMap<Arc<Origin>, Tally>,
    cells: Cells,
    latest: Latest,
    dedupe: Dedupe,
    undated: u64,
    unreadable: u64,
}

impl<'a> Reporter<'a> {
    /// Begins a report on sources with these names.
    pub fn new(settings: &'a Settings, sources: &'a [Arc<str>]) -> Self {
        Self {
            settings,
            sources,
            input: InputCounts::default(),
            current: 0,
            banners: Banners::default(),
            damaged: false,
            tallies: HashMap::new(),
            cells: Cells::new(settings.detail),
            latest: Latest::new(settings.failures),
            dedupe: Dedupe::new(KEYS_OF_SAVED_LOGS),
            undated: 0,
            unreadable: 0,
        }
    }

    /// Notes inputs that could not be read at all.
    pub fn note_unreadable(&mut self, count: u64) {
        self.unreadable += count;
    }

    /// Adds what a part of an input held.
    pub fn add(&mut self, input: usize, counts: Counts, part: Part) {
        if input != self.current {
            self.current = input;
            self.banners = Banners::default();
        }
        self.input.bytes += counts.bytes;
        self.input.lines += counts.lines;
        self.input.oversize += counts.oversize + part.oversize;
        self.input.records += part.records;
        self.input.undecodable += part.undecodable;
        self.damaged |= part.broken_off;
        self.undated += part.undated;
        for mut segment in part.segments {
            if let Some((lane, banner)) = segment.banner.take() {
                self.banners.note(lane, banner);
            }
            for (origin, tally) in segment.tallies {
                let origin = self.settle(origin);
                self.tallies.entry(origin).or_default().add(&tally);
            }
            for (key, cell) in segment.cells.take() {
                let origin = self.settle(key.origin.clone());
                self.cells.add(key.at(origin), cell);
            }
            for (key, latest) in segment.latest {
                let group = key.settled(|origin| self.settle(origin));
                for moment in latest {
                    self.latest.add(&group, Moment { input, ..moment });
                }
            }
            for event in segment.identified {
                self.identified(event, input);
            }
            for (origin, identity, count) in segment.overflows {
                let origin = self.settle(origin);
                if let Some(identity) = identity {
                    let name = attribute(&origin, &self.settings.given).deployment;
                    if self.dedupe.is_repeat(&name, identity) {
                        self.input.duplicates += 1;
                        continue;
                    }
                }
                self.tallies.entry(origin).or_default().overflows += count;
            }
        }
    }

    /// An event that may be the copy of an earlier one.
    fn identified(&mut self, mut event: Event, input: usize) {
        event.origin = self.settle(Arc::clone(&event.origin));
        if let Some(identity) = event.identity {
            let name = attribute(&event.origin, &self.settings.given).deployment;
            if self.dedupe.is_repeat(&name, identity) {
                self.input.duplicates += 1;
                return;
            }
        }
        match self.settings.filter.accepts_time(event.time) {
            Some(true) => {}
            Some(false) => return,
            None => {
                self.undated += 1;
                return;
            }
        }
        if !self.settings.filter.accepts_record(&event, &self.sources[input]) {
            return;
        }
        self.tallies.entry(Arc::clone(&event.origin)).or_default().count(&event);
        self.cells.count(&event);
        self.latest.offer(Box::new(event), input, self.settings.filter.is_of_time_only());
    }

    /// An origin with what the banner above it said. Of origins that are too many, only what places them is kept.
    fn settle(&self, origin: Arc<Origin>) -> Arc<Origin> {
        let origin = if self.banners.is_empty() { origin } else { self.banners.complete(&origin) };
        if self.tallies.len() < MAX_DEPLOYMENTS || self.tallies.contains_key(&origin) {
            return origin;
        }
        Arc::new(Origin {
            deployment: Some(OTHER_DEPLOYMENTS.to_owned()),
            project: None,
            lane: None,
            ..Origin::clone(&origin)
        })
    }

    /// Notes that an input has ended; `damaged` if it broke off.
    pub fn end(&mut self, damaged: bool) -> bool {
        self.input.files += 1;
        let damaged = damaged || std::mem::take(&mut self.damaged);
        self.input.damaged += u64::from(damaged);
        damaged
    }

    /// Whether the input that is being read broke off within a body.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Ends the report: places each deployment by the strongest evidence, and leaves out what is not wanted.
    pub fn finish(self) -> Report {
        let mut attributions: Vec<(Attribution, Arc<Origin>)> =
            self.tallies.keys().map(|origin| (attribute(origin, &self.settings.given), Arc::clone(origin))).collect();
        // The map has no order: what is said first decides where the evidence is equal, and that is the name order.
        attributions.sort_by(|a, b| {
            (&a.0.deployment, a.0.evidence, a.0.hosting, &a.0.deployment_type, &a.0.project).cmp(&(
                &b.0.deployment,
                b.0.evidence,
                b.0.hosting,
                &b.0.deployment_type,
                &b.0.project,
            ))
        });
        let mut deployments: Vec<Deployment> = Vec::new();
        let mut place = HashMap::new();
        for (attribution, origin) in attributions {
            match deployments.last_mut() {
                Some(last) if last.attribution.is_same_as(&attribution) => {
                    let known = &mut last.attribution;
                    known.deployment_type = known.deployment_type.take().or(attribution.deployment_type);
                    known.project = known.project.take().or(attribution.project);
                }
                _ => deployments.push(Deployment::new(attribution)),
            }
            place.insert(origin, deployments.len() - 1);
        }
        for (origin, index) in &place {
            let deployment = &mut deployments[*index];
            if let Some(tally) = self.tallies.get(origin) {
                let filter = &self.settings.filter;
                // The verdict is known only now that the deployment is placed.
                deployment.take(tally, |outcome, attribution| filter.accepts_deployment(attribution, outcome));
            }
        }
        self.finish_with(deployments, &place)
    }

    fn finish_with(mut self, mut deployments: Vec<Deployment>, place: &HashMap<Arc<Origin>, usize>) -> Report {
        let filter = &self.settings.filter;
        let failures = self.latest.newest(self.settings.failures, |event, input| {
            let attribution = deployments[*place.get(&event.origin)?].attribution.clone();
            let row = Row {
                event: event.clone(),
                attribution,
                source: Arc::clone(&self.sources[input]),
                expects_direct: false,
            };
            let grave = matches!(row.verdict(), Verdict::Investigate | Verdict::Degraded);
            (grave && filter.accepts_row(&row)).then_some(row)
        });
        let granularity = self.cells.granularity();
        let counts: Vec<Count> = self
            .cells
            .take()
            .filter_map(|(key, cell)| {
                let deployment = *place.get(&key.origin)?;
                let wanted = filter.accepts_deployment(&deployments[deployment].attribution, key.outcome);
                wanted.then(|| key.count(deployment, cell, granularity))
            })
            .collect();
        let shown: Vec<bool> = deployments.iter().map(|d| d.events() > 0 || d.overflows > 0).collect();
        let mut new_index = Vec::with_capacity(shown.len());
        let mut next = 0;
        for show in &shown {
            new_index.push(next);
            next += usize::from(*show);
        }
        let counts =
            counts.into_iter().map(|count| Count { deployment: new_index[count.deployment], ..count }).collect();
        let mut at = 0;
        deployments.retain(|_| {
            at += 1;
            shown[at - 1]
        });
        self.input.events = deployments.iter().map(Deployment::events).sum();
        self.input.overflows = deployments.iter().map(|d| d.overflows).sum();
        self.input.truncated = place
            .iter()
            .filter_map(|(origin, index)| Some((self.tallies.get(origin)?, *index)))
            .filter(|(_, index)| shown[*index])
            .map(|(tally, _)| tally.truncated)
            .sum();
        Report {
            input: self.input,
            deployments,
            failures,
            counts,
            granularity,
            undated: self.undated,
            unreadable: self.unreadable,
            forgotten: self.dedupe.forgotten(),
        }
    }
}

impl Attribution {
    /// Whether two attributions are of one deployment. Those whose name is unknown are told apart by where they run,
    /// so that a source that is known to be self-hosted hides nothing of another.
    fn is_same_as(&self, other: &Self) -> bool {
        let is_no_name = self.is_unknown() || &*self.deployment == OTHER_DEPLOYMENTS;
        self.deployment == other.deployment && (!is_no_name || self.hosting == other.hosting)
    }
}

impl Deployment {
    fn new(attribution: Attribution) -> Self {
        Self { attribution, outcomes: [0; 4], causes: [0; 6], size_bytes: 0, overflows: 0, first: None, last: None }
    }

    fn take(&mut self, tally: &Tally, wanted: impl Fn(Outcome, &Attribution) -> bool) {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            if !wanted(outcome, &self.attribution) {
                continue;
            }
            let Cell { events, size_bytes, first, last } = tally.outcomes[index];
            self.outcomes[index] += events;
            self.size_bytes = self.size_bytes.saturating_add(size_bytes);
            self.first = [self.first, first].into_iter().flatten().min();
            self.last = [self.last, last].into_iter().flatten().max();
            if outcome == Outcome::DirectFailed {
                for (sum, count) in self.causes.iter_mut().zip(tally.causes) {
                    *sum += count;
                }
            }
        }
        if wanted(Outcome::Direct, &self.attribution) || self.outcomes.iter().any(|count| *count > 0) {
            self.overflows += tally.overflows;
        }
    }
}
