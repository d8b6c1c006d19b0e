//! The latest events that may need attention.
//!
//! Whether a fallback needs any is known only once its deployment is placed, at the end. So a few are kept for each
//! group of which that may turn out true as a whole.

use crate::decode::{Decoder, Item, Reading};
use crate::event::{Event, Origin, Outcome, Timestamp};
use crate::row::Row;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// A group of which the latest are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// Failures, which need attention wherever they happen.
    Failed,
    /// Fallbacks of deployments that are in Convex Cloud by their own word.
    CloudFallback,
    /// One deployment's.
    Of(Arc<Origin>, Outcome),
}

/// Groups that are kept apart at the most; the oldest events of further ones are not listed.
const MAX_GROUPS: usize = 4096;

impl Group {
    /// The group of an event; none where it can need no attention. `together` if only the time decides what is wanted.
    pub(super) fn of(origin: &Arc<Origin>, outcome: Outcome, together: bool) -> Option<Self> {
        match outcome {
            Outcome::Direct | Outcome::Other => None,
            Outcome::DirectFailed if together => Some(Self::Failed),
            Outcome::HttpFallback if together && origin.deployment_type.is_some() => Some(Self::CloudFallback),
            _ => Some(Self::Of(Arc::clone(origin), outcome)),
        }
    }

    pub(super) fn settled(&self, settle: impl Fn(Arc<Origin>) -> Arc<Origin>) -> Self {
        match self {
            Self::Of(origin, outcome) => Self::Of(settle(Arc::clone(origin)), *outcome),
            other => other.clone(),
        }
    }
}

/// An event that was seen, when and where: decoded, or as the bytes of its line.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) time: Option<Timestamp>,
    pub(super) input: usize,
    pub(super) offset: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Event(Box<Event>),
    /// A line that is a record by itself.
    Line(Vec<u8>),
}

impl Moment {
    fn order(&self) -> (Option<Timestamp>, usize, u64) {
        (self.time, self.input, self.offset)
    }

    fn into_event(self) -> Option<Box<Event>> {
        let line = match self.what {
            What::Event(event) => return Some(event),
            What::Line(line) => line,
        };
        let mut decoder = Decoder::default();
        let mut found = None;
        let mut sink = |item| {
            if let Item::Record(record) = item
                && let Reading::Event(event) = record.reading
            {
                found = Some(event);
            }
        };
        decoder.feed(&line, self.offset, &mut sink);
        decoder.finish(&mut sink);
        found
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// The latest events of each group.
#[derive(Debug)]
pub(super) struct Latest {
    most: usize,
    groups: Vec<(Group, BinaryHeap<Reverse<Moment>>)>,
    /// Where each group stands.
    places: HashMap<Group, usize>,
}

impl Latest {
    pub(super) fn new(most: usize) -> Self {
        Self { most, groups: Vec::new(), places: HashMap::new() }
    }

    /// Where a group stands, until what was kept is taken; none where there are too many.
    pub(super) fn place(&mut self, group: &Group) -> Option<usize> {
        if let Some(place) = self.places.get(group) {
            return Some(*place);
        }
        if self.most == 0 || self.groups.len() >= MAX_GROUPS {
            return None;
        }
        self.groups.push((group.clone(), BinaryHeap::new()));
        self.places.insert(group.clone(), self.groups.len() - 1);
        Some(self.groups.len() - 1)
    }

    pub(super) fn add(&mut self, group: &Group, moment: Moment) {
        let Some(place) = self.place(group) else {
            return;
        };
        let heap = &mut self.groups[place].1;
        if heap.len() < self.most {
            heap.push(Reverse(moment));
        } else if heap.peek().is_some_and(|oldest| oldest.0 < moment) {
            heap.pop();
            heap.push(Reverse(moment));
        }
    }

    /// Offers an event that was read whole.
    pub(super) fn offer(&mut self, event: Box<Event>, input: usize, together: bool) {
        if let Some(group) = Group::of(&event.origin, event.outcome, together) {
            let moment = Moment { time: event.time, input, offset: event.offset, what: What::Event(event) };
            self.add(&group, moment);
        }
    }

    /// Offers an event by its line to the group at this place. The line is copied only if it is among the latest, and
    /// into the buffer of the one that makes room for it.
    pub(super) fn offer_line(&mut self, place: usize, time: Timestamp, offset: u64, line: &[u8]) {
        let Some((_, heap)) = self.groups.get_mut(place) else {
            return;
        };
        let order = (Some(time), 0, offset);
        if heap.len() < self.most {
            heap.push(Reverse(Moment { time: Some(time), input: 0, offset, what: What::Line(line.to_vec()) }));
        } else if let Some(mut oldest) = heap.peek_mut().filter(|oldest| oldest.0.order() < order) {
            let moment = &mut oldest.0;
            (moment.time, moment.offset) = (Some(time), offset);
            match &mut moment.what {
                What::Line(buffer) => {
                    buffer.clear();
                    buffer.extend_from_slice(line);
                }
                what @ What::Event(_) => *what = What::Line(line.to_vec()),
            }
        }
    }

    /// Takes out what was kept.
    pub(super) fn take(&mut self) -> Vec<(Group, Vec<Moment>)> {
        self.places.clear();
        self.groups.drain(..).map(|(group, heap)| (group, heap.into_iter().map(|moment| moment.0).collect())).collect()
    }

    /// The newest of all that are wanted, the newest first.
    pub(super) fn newest(&mut self, most: usize, wanted: impl Fn(&Event, usize) -> Option<Row>) -> Vec<Row> {
        let mut moments: Vec<Moment> = self.take().into_iter().flat_map(|(_, moments)| moments).collect();
        moments.sort_by(|a, b| b.cmp(a));
        moments
            .into_iter()
            .filter_map(|moment| {
                let input = moment.input;
                wanted(&*moment.into_event()?, input)
            })
            .take(most)
            .collect()
    }
}
