//! Requests that were refused, on their way to the ledger: their senders drop what they held, so somebody must hear of it.
//!
//! Enters one refusal at a time; leaves their number by source, at once for the first and then every few seconds. Who may
//! post nothing can post as fast as the network allows: that must not make the disk work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the ledger hears of a source's refusals.
pub(super) const EACH: Duration = Duration::from_secs(5);

/// Those of which the ledger has not heard. A source stands here for as long as somebody sees to it that it will.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Arc<str>, u64>>);

impl Refusals {
    /// Adds one; true where nobody sees to this source yet, and the caller has to.
    pub(super) fn add(&self, source: &Arc<str>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !all.contains_key(source);
        *all.entry(Arc::clone(source)).or_default() += 1;
        is_first
    }

    /// Takes those of a source. Where there are none, whoever asks need not see to it any longer.
    pub(super) fn take(&self, source: &str) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.get_mut(source).map(std::mem::take).filter(|count| *count > 0);
        if count.is_none() {
            all.remove(source);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sees_to_a_source_until_nothing_comes_any_more() {
        let (refusals, a, b) = (Refusals::default(), Arc::from("a"), Arc::from("b"));
        assert_eq!([refusals.add(&a), refusals.add(&a), refusals.add(&b)], [true, false, true]);
        assert_eq!(refusals.take("a"), Some(2));
        assert!(!refusals.add(&a), "it is still seen to");
        assert_eq!([refusals.take("a"), refusals.take("a"), refusals.take("b")], [Some(1), None, Some(1)]);
        assert!(refusals.add(&a));
    }
}
