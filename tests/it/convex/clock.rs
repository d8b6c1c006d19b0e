//! A backend whose clock is not what it was hides nothing.

use super::backend::{Backend, Mood};
use super::{POSSIBLE_LOSS, source_sum, start, wait_for_a_poll};
use crate::watch::daemon::Daemon;
use crate::watch::waiting::{PATIENCE, wait_until};
use std::time::Duration;

#[test]
fn a_clock_that_was_set_back_over_a_restart_and_has_caught_up_hides_nothing() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    let mut daemon = start(&backend, Some(state.path()));
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    let anew_while_nobody_asks = |backend: &Backend| {
        backend.set_clock(-60_000);
        backend.restart();
        backend.access("direct-failed");
        backend.access("direct");
        backend.set_clock(0);
    };
    // While it is not asked, for it does not answer.
    backend.mood(Mood::Gone);
    wait_until("it to be missed", PATIENCE, || daemon.log().contains("broke off") || daemon.log().contains("reached"));
    std::thread::sleep(Duration::from_secs(6));
    anew_while_nobody_asks(&backend);
    backend.mood(Mood::Well);
    daemon.wait_for_accesses("quiet-lemur", 3);
    backend.access("http-fallback");
    daemon.wait_for_accesses("quiet-lemur", 4);
    // While nobody is there to ask.
    daemon.kill();
    anew_while_nobody_asks(&backend);
    let mut daemon = start(&backend, Some(state.path()));
    daemon.wait_for_accesses("quiet-lemur", 6);
    let read = |daemon: &mut Daemon| daemon.metrics().sum("storagewatch_source_records_total", &[]) as u64;
    let records = read(&mut daemon);
    // Nothing is new: nothing counts, however often it is looked through.
    for _ in 0..2 {
        daemon.kill();
        let polls = backend.polls().len();
        daemon = start(&backend, Some(state.path()));
        wait_until("a look back, and on", PATIENCE, || backend.polls().len() > polls + 1);
        assert_eq!(read(&mut daemon), records);
    }
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 7);
    daemon.stop();
}

#[test]
fn a_backend_that_is_back_at_once_with_its_clock_behind_hides_nothing() {
    // Who answers for it tells another time than its cursors, or none.
    for date in [None, Some(3_600_000)] {
        let backend = Backend::start();
        backend.set_date(date);
        let mut daemon = start(&backend, None);
        backend.set_clock(3_700_000);
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", 1);
        let anew = |clock: i64, restart: fn(&Backend)| {
            backend.set_clock(clock);
            restart(&backend);
            backend.access("direct-failed");
            backend.access("direct");
        };
        // Who waits is sent away.
        wait_for_a_poll(&backend, 1);
        anew(100_000, Backend::restart);
        daemon.wait_for_accesses("quiet-lemur", 3);
        // A connection breaks off that had waited for long.
        backend.set_long_poll(Duration::from_millis(2500));
        backend.set_in_vain(0);
        let polls = backend.polls().len();
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", 4);
        wait_for_a_poll(&backend, polls);
        anew(0, Backend::restart_unseen);
        daemon.wait_for_accesses("quiet-lemur", 6);
        assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 0);
        daemon.stop();
    }
}
