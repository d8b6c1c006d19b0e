//! What happened within the last hour, minute by minute: what the small charts show.
//!
//! Counted with everything else and shown once that is committed, but not kept over a restart.

use crate::event::{Outcome, Timestamp};

/// Minutes that are told apart.
pub const MINUTES: usize = 60;

/// Milliseconds in one.
const MINUTE: i64 = 60_000;

/// Counts of the latest minutes, each in the order of [`Outcome::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// The latest minute that anything was counted in, since 1970.
    latest: i64,
    /// A ring: each minute has its place, whichever hour it belongs to.
    counts: [[u32; Outcome::ALL.len()]; MINUTES],
}

impl Default for Hour {
    fn default() -> Self {
        Self { latest: i64::MIN, counts: [[0; Outcome::ALL.len()]; MINUTES] }
    }
}

impl Hour {
    /// Counts an event in the minute in which it happened, unless an hour has passed between that and the latest.
    pub fn add(&mut self, at: Timestamp, outcome: Outcome) {
        let minute = at.0.div_euclid(MINUTE);
        if minute > self.latest {
            let passed = minute.saturating_sub(self.latest).min(MINUTES as i64);
            (minute - passed + 1..=minute)
                .for_each(|minute| self.counts[place(minute)] = <[u32; Outcome::ALL.len()]>::default());
            self.latest = minute;
        } else if self.latest.saturating_sub(minute) >= MINUTES as i64 {
            return;
        }
        let count = &mut self.counts[place(minute)][outcome as usize];
        *count = count.saturating_add(1);
    }

    /// The counts of each minute of the hour that ends with the minute of `now`, oldest first; nothing where there are
    /// none.
    pub fn until(&self, now: Timestamp) -> Option<[[u32; Outcome::ALL.len()]; MINUTES]> {
        let last = now.0.div_euclid(MINUTE);
        let first = last - MINUTES as i64 + 1;
        if self.latest < first {
            return None;
        }
        let mut hour = [[0; Outcome::ALL.len()]; MINUTES];
        for (counts, minute) in hour.iter_mut().zip(first..) {
            if minute <= self.latest && minute > self.latest - MINUTES as i64 {
                *counts = self.counts[place(minute)];
            }
        }
        hour.iter().flatten().any(|count| *count > 0).then_some(hour)
    }
}

fn place(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp(minute * MINUTE + 17)
    }

    /// The minutes, counted back from now, in which there are direct accesses, and how many.
    fn direct(hour: &Hour, now: i64) -> Vec<(usize, u32)> {
        let counts = hour.until(at(now)).unwrap_or([[0; 4]; MINUTES]);
        (0..MINUTES).rev().map(|minute| (MINUTES - 1 - minute, counts[minute][0])).filter(|(_, n)| *n > 0).collect()
    }

    #[test]
    fn minutes_come_and_go() {
        let mut hour = Hour::default();
        assert_eq!(hour.until(at(0)), None);
        hour.add(at(1000), Outcome::Direct);
        hour.add(at(1000), Outcome::Direct);
        hour.add(at(1003), Outcome::Direct);
        assert_eq!(direct(&hour, 1003), [(0, 1), (3, 2)]);
        assert_eq!(direct(&hour, 1059), [(56, 1), (59, 2)]);
        assert_eq!(direct(&hour, 1060), [(57, 1)]);
        assert_eq!(hour.until(at(1063)), None);
        hour.add(at(1062), Outcome::Direct);
        assert_eq!(direct(&hour, 1062), [(0, 1), (59, 1)]);
        hour.add(at(5000), Outcome::Direct);
        assert_eq!(direct(&hour, 5000), [(0, 1)]);
    }

    #[test]
    fn what_comes_late_counts_in_its_minute_or_nowhere() {
        let mut hour = Hour::default();
        hour.add(at(1000), Outcome::Direct);
        hour.add(at(941), Outcome::Direct);
        hour.add(at(940), Outcome::Direct);
        assert_eq!(direct(&hour, 1000), [(0, 1), (59, 1)]);
        hour.add(Timestamp(i64::MIN), Outcome::Direct);
        assert_eq!(direct(&hour, 1000), [(0, 1), (59, 1)]);
    }

    #[test]
    fn outcomes_are_told_apart() {
        let mut hour = Hour::default();
        hour.add(at(7), Outcome::DirectFailed);
        assert_eq!(hour.until(at(7)).unwrap()[MINUTES - 1], [0, 0, 1, 0]);
    }
}
