//! Which bodies were taken already: a sender that did not hear of it sends the same bytes again.
//!
//! Enters a body's hash; leaves whether it was there before. A hash is kept until 24 hours after the body came, or after
//! the newest record in it where that is later, so that at every moment a signed body is either known or older than what
//! is known. Rows are numbered as they come, so that those whose time is over stand at the beginning.

use crate::event::Timestamp;
use hashbrown::HashTable;
use std::collections::VecDeque;

/// How long a body is known, in milliseconds.
const KEPT: i64 = 24 * 3600 * 1000;

/// How much longer its row stays, for a body's age is taken a moment before it is looked for.
const SLACK: i64 = 60 * 1000;

/// How many are known at the most: 11 a second for 24 hours, in about 50 MB.
const MOST: usize = 1_000_000;

/// Hashes of bodies, the oldest first.
#[derive(Default)]
pub(super) struct Bodies {
    /// Each with the time until which it is kept.
    kept: VecDeque<(u128, i64)>,
    /// The number of the first of them.
    first: u64,
    /// Their numbers, by their hashes.
    index: HashTable<u64>,
    /// Whether rows below `first` may still be on disk.
    gone: bool,
}

impl Bodies {
    /// What was kept on disk, in the order of the numbers.
    pub(super) fn of(rows: Vec<(u64, (u128, i64))>) -> Self {
        let Some((last, _)) = rows.last() else { return Self::default() };
        let first = (last + 1).saturating_sub(rows.len() as u64);
        let mut bodies = Self { first, ..Self::default() };
        for (_, (hash, until)) in rows {
            bodies.push(hash, until);
        }
        bodies
    }

    /// Whether a body was there before.
    pub(super) fn knows(&self, hash: u128) -> bool {
        let Self { kept, first, index, .. } = self;
        index.find(short(hash), |number| hash_of(kept, *first, *number) == hash).is_some()
    }

    /// Whether a body with this newest record may have been forgotten.
    pub(super) fn is_forgotten(newest: Timestamp, now: Timestamp) -> bool {
        newest.0 < now.0 - KEPT
    }

    /// Keeps a body that is not known. Returns its row, and whether another had to make room before its time.
    pub(super) fn note(&mut self, hash: u128, newest: Option<Timestamp>, now: Timestamp) -> ((u64, (u128, i64)), bool) {
        let full = self.kept.len() >= MOST;
        if full {
            self.pop();
        }
        // A clock that is a day ahead is no clock.
        let newest = newest.unwrap_or_default().0.clamp(now.0, now.0 + KEPT);
        let until = newest + KEPT + SLACK;
        (self.push(hash, until), full)
    }

    /// Lets go what need not be known any longer.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.kept.front().is_some_and(|(_, until)| *until <= now.0) {
            self.pop();
        }
    }

    /// The number below which rows are to be removed from disk, if there may be any.
    pub(super) fn gone(&self) -> Option<u64> {
        self.gone.then_some(self.first)
    }

    /// Notes that they were removed.
    pub(super) fn forget_gone(&mut self) {
        self.gone = false;
    }

    fn push(&mut self, hash: u128, until: i64) -> (u64, (u128, i64)) {
        let number = self.first + self.kept.len() as u64;
        self.kept.push_back((hash, until));
        let Self { kept, first, index, .. } = self;
        index.insert_unique(short(hash), number, |number| short(hash_of(kept, *first, *number)));
        (number, (hash, until))
    }

    fn pop(&mut self) {
        let Some((hash, _)) = self.kept.front() else { return };
        if let Ok(entry) = self.index.find_entry(short(*hash), |number| *number == self.first) {
            entry.remove();
        }
        self.kept.pop_front();
        self.first += 1;
        self.gone = true;
    }
}

fn hash_of(kept: &VecDeque<(u128, i64)>, first: u64, number: u64) -> u128 {
    kept.get((number - first) as usize).map_or(0, |(hash, _)| *hash)
}

/// The hash's own bits serve the index.
fn short(hash: u128) -> u64 {
    hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_422_441_000);

    fn later(millis: i64) -> Timestamp {
        Timestamp(NOW.0 + millis)
    }

    #[test]
    fn a_body_is_known_for_24_hours_after_it_came_and_after_its_newest_record() {
        let mut bodies = Bodies::default();
        bodies.note(1, None, NOW);
        bodies.note(2, Some(later(-5000)), NOW);
        bodies.note(3, Some(later(60_000)), NOW);
        bodies.expire(later(KEPT + SLACK - 1));
        assert_eq!([1, 2, 3, 4].map(|hash| bodies.knows(hash)), [true, true, true, false]);
        assert_eq!(bodies.gone(), None);
        bodies.expire(later(KEPT + SLACK));
        assert_eq!([1, 2, 3].map(|hash| bodies.knows(hash)), [false, false, true]);
        assert_eq!(bodies.gone(), Some(2));
        assert!(!Bodies::is_forgotten(later(60_000), later(KEPT + 59_999)));
        bodies.forget_gone();
        bodies.expire(later(KEPT + SLACK + 60_000));
        assert!(!bodies.knows(3) && Bodies::is_forgotten(later(60_000), later(KEPT + 60_001)));
        assert_eq!(bodies.gone(), Some(3));
    }

    #[test]
    fn a_signed_body_is_known_or_stale_whatever_its_clock_says() {
        for ahead in [-2 * KEPT, -KEPT, -1, 0, 1, KEPT / 2, KEPT] {
            let mut bodies = Bodies::default();
            let newest = later(ahead);
            bodies.note(7, Some(newest), NOW);
            for after in (0..5 * KEPT).step_by(SLACK as usize / 3) {
                // It came a while before the row is looked for.
                let came = later(after - SLACK / 2);
                bodies.expire(later(after));
                assert!(bodies.knows(7) || Bodies::is_forgotten(newest, came), "{ahead} {after}");
            }
        }
    }

    #[test]
    fn rows_that_were_kept_are_known_again_and_numbered_on() {
        let mut bodies = Bodies::default();
        let rows: Vec<_> = (0..10).map(|hash| bodies.note(hash, None, later(hash as i64)).0).collect();
        let mut again = Bodies::of(rows[4..].to_vec());
        assert!((4..10).all(|hash| again.knows(hash)) && !again.knows(3));
        assert_eq!(again.note(11, None, NOW).0.0, 10);
        again.expire(later(KEPT + SLACK + 6));
        assert_eq!((again.gone(), again.knows(6), again.knows(7)), (Some(7), false, true));
        assert_eq!(Bodies::of(Vec::new()).note(5, None, NOW).0.0, 0);
    }

    #[test]
    fn what_has_to_make_room_is_told() {
        let mut bodies = Bodies::default();
        for hash in 0..MOST as u128 {
            assert!(!bodies.note(hash, None, NOW).1);
        }
        assert!(bodies.note(u128::MAX, None, NOW).1);
        assert!(!bodies.knows(0) && bodies.knows(1) && bodies.knows(u128::MAX));
    }
}
