//! Who scrapes, and which newborn series they have yet to see at 0.
//!
//! A counter that appears with its first value already in it is no increase to Prometheus. So a newborn series stays at
//! 0 until everybody who scraped of late has seen it there.

use super::Scrape;
use super::counts::{Hold, Place};
use crate::event::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who has not scraped for this long is not waited for, in milliseconds.
const OF_LATE: u64 = 5 * 60 * 1000;

/// Nothing is held longer, in milliseconds.
const AT_MOST: u64 = 2 * 60 * 1000;

/// How old what is kept of the scrapers may get, in milliseconds.
const SAVED_EACH: i64 = 60 * 1000;

/// Scrapers that are told apart at the most.
const MAX_SCRAPERS: usize = 64;

/// The scrapers of late, and what is held.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Scrapers {
    latest: BTreeMap<String, Timestamp>,
    #[serde(default)]
    held: BTreeSet<Place>,
    #[serde(skip)]
    saved: Timestamp,
}

impl Scrapers {
    /// Notes that somebody scraped.
    pub(super) fn note(&mut self, scrape: Scrape) {
        self.latest.insert(scrape.scraper, scrape.at);
        if self.latest.len() > MAX_SCRAPERS
            && let Some(oldest) = self.latest.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone())
        {
            self.latest.remove(&oldest);
        }
    }

    /// Forgets of those who have seen something whoever is not told apart any more: they may be any number.
    pub(super) fn prune(&self, hold: &mut Hold) {
        hold.seen_by.retain(|scraper| self.latest.contains_key(scraper));
    }

    /// Holds a newborn place, if anybody scraped of late.
    pub(super) fn hold(&mut self, place: &Place, now: Timestamp) -> bool {
        let anybody = self.of_late(now).next().is_some();
        if anybody {
            self.held.insert(place.clone());
        }
        anybody
    }

    /// Whether nobody ever scraped.
    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Whether what is kept of them is old.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now.0 - self.saved.0 > SAVED_EACH && self.latest.values().any(|at| *at > self.saved)
    }

    /// Notes that they are being kept.
    pub(super) fn saved(&mut self, now: Timestamp) {
        self.saved = now;
    }

    /// What is held.
    pub(super) fn held(&self) -> Vec<Place> {
        self.held.iter().cloned().collect()
    }

    /// Whether anything is held.
    pub(super) fn is_awaited(&self) -> bool {
        !self.held.is_empty()
    }

    /// Holds a place no longer.
    pub(super) fn forget(&mut self, place: &Place) {
        self.held.remove(place);
    }

    /// Whether everybody of late has seen what is held, or it was held for long enough.
    pub(super) fn have_seen(&self, hold: &Hold, now: Timestamp) -> bool {
        // A clock that was set back must not hold anything back for as long.
        now.0.abs_diff(hold.since.0) >= AT_MOST || self.of_late(now).all(|scraper| hold.seen_by.contains(scraper))
    }

    fn of_late(&self, now: Timestamp) -> impl Iterator<Item = &String> {
        self.latest.iter().filter(move |(_, at)| now.0.abs_diff(at.0) <= OF_LATE).map(|(scraper, _)| scraper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hosting;

    fn place() -> Place {
        Place { deployment: "a".into(), hosting: Hosting::Cloud }
    }

    fn scrape(scraper: &str, at: i64) -> Scrape {
        Scrape { scraper: scraper.to_owned(), at: Timestamp(at), held: Vec::new() }
    }

    #[test]
    fn everybody_of_late_must_have_seen_it() {
        let mut scrapers = Scrapers::default();
        assert!(!scrapers.hold(&place(), Timestamp(0)), "nobody scraped yet");
        scrapers.note(scrape("1", 0));
        let late = OF_LATE as i64;
        scrapers.note(scrape("2", late));
        assert!(scrapers.hold(&place(), Timestamp(late)));
        let mut hold = Hold { since: Timestamp(late), seen_by: vec!["1".to_owned()] };
        assert!(!scrapers.have_seen(&hold, Timestamp(late + 1)));
        hold.seen_by.push("2".to_owned());
        assert!(scrapers.have_seen(&hold, Timestamp(late + 1)));
        hold.seen_by.clear();
        assert!(!scrapers.have_seen(&hold, Timestamp(late + AT_MOST as i64 - 1)));
        assert!(scrapers.have_seen(&hold, Timestamp(late + AT_MOST as i64)));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_back() {
        let (now, hour) = (Timestamp(100 * 3_600_000), 3_600_000);
        let mut scrapers = Scrapers::default();
        scrapers.note(scrape("1", now.0 + hour));
        let hold = Hold { since: Timestamp(now.0 + hour), seen_by: Vec::new() };
        assert!(scrapers.have_seen(&hold, now));
        assert!(!scrapers.hold(&place(), now), "nobody scraped of late, as far as this clock goes");
    }

    #[test]
    fn those_who_have_seen_it_are_as_few_as_those_who_are_told_apart() {
        let mut scrapers = Scrapers::default();
        let mut hold = Hold::default();
        for n in 0..1000 {
            scrapers.note(scrape(&n.to_string(), n));
            hold.seen_by.push(n.to_string());
            scrapers.prune(&mut hold);
        }
        assert_eq!(hold.seen_by.len(), MAX_SCRAPERS);
    }
}
