//! What was logged before the start, or was read in another way before, and what of it counts.

use super::backend::{Backend, KEY, Mood};
use super::{POSSIBLE_LOSS, command, command_at, log_before, source_sum, start, wait_for_a_poll};
use crate::support::run;
use crate::watch::daemon::{self, Daemon};
use crate::watch::exposition::ACCESSES;
use crate::watch::waiting::{PATIENCE, wait_until};
use std::time::Duration;

#[test]
fn what_was_polled_counts_once_when_it_is_read_from_its_beginning_by_another_address() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    let mut daemon = start(&backend, Some(state.path()));
    (0..3).for_each(|_| backend.access("direct"));
    backend.action(&["direct-failed", "direct"]);
    daemon.wait_for_accesses("quiet-lemur", 5);
    daemon.kill();
    backend.access("http-fallback");
    let mut other = command_at(&format!("http://localhost:{}", backend.address.port()), Some(state.path()));
    let mut daemon = Daemon::start(other.args(["--from", "beginning"]));
    daemon.wait_for_accesses("quiet-lemur", 6);
    let duplicates = [("reason", "duplicate")];
    assert_eq!(daemon.metrics().sum("storagewatch_source_skipped_total", &duplicates) as u64, 5);
    daemon.stop();
}

#[test]
fn an_address_that_is_polled_again_is_read_on_from_where_it_was_left() {
    let backends = [Backend::start(), Backend::start()];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("storagewatch.toml");
    let configure = |backend: &Backend| {
        let source = format!("[[source.convex]]\nname = \"polled\"\nurl = \"{}\"\nkey = \"env:KEY\"\n", backend.url());
        std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n{source}")).unwrap();
    };
    configure(&backends[0]);
    let launch = || Daemon::start(daemon::command().arg("--config").arg(&file).env("KEY", KEY));
    let mut daemon = launch();
    wait_for_a_poll(&backends[0], 0);
    let mut logged = 0;
    for round in 0..4 {
        let (polled, left) = (&backends[round % 2], &backends[(round + 1) % 2]);
        polled.access("direct");
        logged += 1;
        daemon.wait_for_accesses("quiet-lemur", logged);
        // What it logs while another is polled is read when it is polled again, over a restart as well.
        configure(left);
        let before = left.polls().len();
        if round == 2 {
            daemon.kill();
            daemon = launch();
        } else {
            daemon.signal("HUP");
        }
        wait_for_a_poll(left, before);
        polled.access("direct-failed");
        // Of the other one it is the first that is seen.
        logged += u64::from(round > 0);
        daemon.wait_for_accesses("quiet-lemur", logged);
    }
    daemon.stop();
}

#[test]
fn only_what_was_logged_before_the_start_is_history() {
    let backend = Backend::start();
    (0..7).for_each(|_| log_before(&backend, "direct"));
    // It starts while nobody answers; what is logged meanwhile was logged after the start.
    backend.mood(Mood::Gone);
    let mut daemon = Daemon::start(&mut command(&backend, None));
    std::thread::sleep(Duration::from_millis(50));
    backend.access("direct-failed");
    backend.access("direct");
    backend.mood(Mood::Well);
    daemon.wait_for_accesses("quiet-lemur", 2);
    daemon.stop();

    // Its clock may be another.
    for ahead in [-3_600_000, -1900, 1900, 3_600_000] {
        let backend = Backend::start();
        backend.set_clock(ahead - 60_000);
        backend.access("direct");
        backend.set_clock(ahead);
        let mut daemon = start(&backend, None);
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", 1);
        daemon.stop();
    }

    // Nor need what tells the time be its clock.
    for (clock, date) in [(0, 10_000), (0, 3_600_000), (3_600_000, 3_600_000)] {
        let backend = Backend::start();
        backend.set_clock(clock - 60_000);
        backend.set_date(Some(date));
        backend.access("direct");
        backend.set_clock(clock);
        let mut daemon = start(&backend, None);
        for times in 1..4 {
            backend.access("direct");
            daemon.wait_for_accesses("quiet-lemur", times);
        }
        daemon.stop();
    }

    let mut daemon = Daemon::start(command(&backend, None).args(["--from", "beginning"]));
    daemon.wait_for_accesses("quiet-lemur", 9);
    assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 0);
    daemon.stop();
}

#[test]
fn from_the_beginning_only_what_was_logged_before_the_start_alerts_nobody() {
    let firing = |daemon: &mut Daemon| daemon.metrics().sum("storagewatch_alert_firing", &[]) as u64;
    let fails = |daemon: &mut Daemon| {
        daemon.wait_for_metrics("an alert", PATIENCE, |metrics| {
            let alert = [("alert", "ConvexStorageDirectFailedSelfHosted"), ("deployment", "quiet-lemur")];
            if metrics.sum("storagewatch_alert_firing", &alert) > 0.0 { Ok(()) } else { Err("none fires".to_owned()) }
        });
    };
    for ahead in [0, -3_600_000, 3_600_000] {
        let logs_before = |backend: &Backend| {
            backend.set_clock(ahead - 60_000);
            backend.access("direct-failed");
            backend.set_clock(ahead);
        };
        // Nothing was kept: whatever comes is news, also before the first question has waited for long.
        let backend = Backend::start();
        backend.set_clock(ahead);
        let before = backend.polls().len();
        let mut daemon = Daemon::start(command(&backend, None).args(["--from", "beginning"]));
        wait_for_a_poll(&backend, before);
        backend.access("direct-failed");
        fails(&mut daemon);
        daemon.stop();

        // What was kept is history, and what comes after it is none.
        let backend = Backend::start();
        logs_before(&backend);
        let mut daemon = Daemon::start(command(&backend, None).args(["--from", "beginning"]));
        daemon.wait_for_accesses("quiet-lemur", 1);
        assert_eq!(firing(&mut daemon), 0);
        backend.access("direct-failed");
        fails(&mut daemon);
        daemon.stop();

        // Where it could not be asked at first, both come in one answer.
        let backend = Backend::start();
        logs_before(&backend);
        backend.mood(Mood::Gone);
        let mut daemon = Daemon::start(command(&backend, None).args(["--from", "beginning"]));
        wait_until("a first attempt", PATIENCE, || daemon.log().contains("broke off"));
        backend.access("direct-failed");
        backend.mood(Mood::Well);
        daemon.wait_for_accesses("quiet-lemur", 2);
        fails(&mut daemon);
        daemon.stop();
    }
}

#[test]
fn a_history_that_comes_after_the_first_answer_is_none() {
    let backend = Backend::start();
    backend.set_long_poll(Duration::from_millis(100));
    let before = backend.polls().len();
    let mut daemon = Daemon::start(command(&backend, None).args(["--from", "beginning"]));
    wait_for_a_poll(&backend, before + 1);
    // By its own clock it was logged before the start; it was not there when it was asked.
    log_before(&backend, "direct-failed");
    daemon.wait_for_metrics("an alert", PATIENCE, |metrics| {
        if metrics.sum("storagewatch_alert_firing", &[]) > 0.0 { Ok(()) } else { Err("none fires".to_owned()) }
    });
    daemon.stop();
}

#[test]
fn a_history_that_was_piped_in_before_counts_once() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    (0..5).for_each(|_| backend.access("direct"));
    let history = backend.entries().join("\n") + "\n";
    let state_dir = state.path().to_str().unwrap();
    let piped = ["watch", "-", "--listen", "127.0.0.1:0", "--state-dir", state_dir, "--deployment", "quiet-lemur"];
    assert_eq!(run(&piped, history.as_bytes()).0, 0);
    backend.access("http-fallback");
    let mut daemon = Daemon::start(command(&backend, Some(state.path())).args(["--from", "beginning"]));
    daemon.wait_for_metrics("the one that is new", PATIENCE, |metrics| {
        let fallbacks = metrics.sum(ACCESSES, &[("outcome", "http-fallback")]) as u64;
        if fallbacks == 1 { Ok(()) } else { Err(format!("{fallbacks}")) }
    });
    assert_eq!(daemon.metrics().sum(ACCESSES, &[("outcome", "direct")]) as u64, 5);
    assert_eq!(source_sum(&mut daemon, "storagewatch_source_skipped_total") as u64, 5);
    daemon.stop();
}
