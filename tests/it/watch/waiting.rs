//! Waiting for what must come true: looks again and again until a deadline, then says what was seen last.

use std::time::{Duration, Instant};

/// What usually takes milliseconds has this long on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until there is something, and panics with what was seen last if that takes longer than `patience`.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(began.elapsed() < patience, "waited {patience:?} for {what}; seen last: {seen}"),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// As [`wait_for`], for what is either so or not.
pub(crate) fn wait_until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, patience, || if holds() { Ok(()) } else { Err("it is not so".to_owned()) });
}
