//! The log API as a source, against a backend that answers as the documented one does: every access counts once, whatever
//! happens to the backend, to its clock and to `watch`.

pub(crate) mod backend;
mod client;
mod tls;

use crate::support::run;
use crate::watch::daemon::{self, Daemon};
use crate::watch::exposition::ACCESSES;
use crate::watch::waiting::{PATIENCE, wait_until};
use backend::{Backend, KEY, Mood};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// `watch --convex`, with the key where the tools of Convex look for it.
fn command(backend: &Backend, state: Option<&Path>) -> Command {
    command_at(&backend.url(), state)
}

fn command_at(url: &str, state: Option<&Path>) -> Command {
    let mut command = daemon::command();
    command.args(["--listen", "127.0.0.1:0", "--convex", url]);
    command.env("CONVEX_SELF_HOSTED_ADMIN_KEY", KEY).env_remove("CONVEX_DEPLOY_KEY");
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    if let Some(state) = state {
        command.arg("--state-dir").arg(state);
    }
    command
}

/// Logs a minute ago: what is logged within the second before a start counts as logged after it.
fn log_before(backend: &Backend, outcome: &str) {
    backend.set_clock(-60_000);
    backend.access(outcome);
    backend.set_clock(0);
}

/// Waits until it waits for something to be logged.
fn wait_for_a_poll(backend: &Backend, before: usize) {
    wait_until("a question for logs", PATIENCE, || backend.polls().len() > before);
}

fn start(backend: &Backend, state: Option<&Path>) -> Daemon {
    let before = backend.polls().len();
    let daemon = Daemon::start(&mut command(backend, state));
    wait_for_a_poll(backend, before);
    daemon
}

fn source_sum(daemon: &mut Daemon, metric: &str) -> f64 {
    daemon.metrics().sum(metric, &[])
}

const POSSIBLE_LOSS: &str = "storagewatch_source_possible_loss_total";
const UP: &str = "storagewatch_source_up";

#[test]
fn every_access_counts_once_over_kills_restarts_and_a_clock_set_back() {
    let backend = Backend::start();
    // Who asks in the instant of a restart that closes no connection looks at the clock again after an empty answer.
    backend.set_long_poll(Duration::from_secs(4));
    let state = tempfile::tempdir().unwrap();
    log_before(&backend, "direct");
    let mut daemon = start(&backend, Some(state.path()));
    let mut logged = 0;
    let log = |backend: &Backend, times: u64| {
        for _ in 0..times {
            ["direct", "http-fallback", "direct-failed"].iter().for_each(|outcome| backend.access(outcome));
        }
        times * 3
    };
    for round in 0..8 {
        logged += log(&backend, 5);
        if round % 2 == 0 {
            daemon.wait_for_accesses("quiet-lemur", logged);
        }
        // Killed with what was counted and not committed, and with what was committed and not acknowledged.
        daemon.kill();
        logged += log(&backend, 4);
        daemon = start(&backend, Some(state.path()));
        daemon.wait_for_accesses("quiet-lemur", logged);
        // Started anew: the ring is empty, and who waits is answered with 500.
        let before = backend.polls().len();
        backend.restart();
        logged += log(&backend, 3);
        wait_for_a_poll(&backend, before);
        daemon.wait_for_accesses("quiet-lemur", logged);
        // The clock is set back while it runs: cursors go on rising.
        backend.set_clock(-(round + 1) * 600_000);
        logged += log(&backend, 3);
        daemon.wait_for_accesses("quiet-lemur", logged);
        daemon.kill();
        logged += log(&backend, 1);
        daemon = start(&backend, Some(state.path()));
        daemon.wait_for_accesses("quiet-lemur", logged);
        // And started anew with its clock behind: what it logs now lies before every cursor that was given out, and
        // who asks just then does not notice.
        let before = backend.polls().len();
        backend.restart();
        logged += log(&backend, 2);
        wait_for_a_poll(&backend, before);
        daemon.wait_for_accesses("quiet-lemur", logged);
        // The same while nobody polls.
        daemon.kill();
        backend.set_clock(-(round + 1) * 600_000 - 300_000);
        backend.restart();
        logged += log(&backend, 2);
        daemon = start(&backend, Some(state.path()));
        logged += log(&backend, 1);
        daemon.wait_for_accesses("quiet-lemur", logged);
    }
    let metrics = daemon.metrics();
    for outcome in ["direct", "http-fallback", "direct-failed"] {
        let labels = [("deployment", "quiet-lemur"), ("hosting", "self_hosted"), ("outcome", outcome)];
        assert_eq!(metrics.sum(ACCESSES, &labels) as u64, logged / 3, "{outcome}");
    }
    let refused = [("deployment", "quiet-lemur"), ("cause", "connection_refused")];
    assert_eq!(metrics.sum("convex_storage_access_failures_total", &refused) as u64, logged / 3);
    assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 0);
    let said = daemon.stop();
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn the_cursor_goes_back_letter_by_letter_with_the_client_that_yields_structured_lines() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    let mut daemon = start(&backend, Some(state.path()));
    for times in 1..=20 {
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", times);
    }
    let last = backend.cursors().pop();
    wait_until("the next question", PATIENCE, || backend.polls().pop().is_some_and(|poll| poll.cursor == last));
    let polls = backend.polls().len();
    daemon.kill();
    let daemon = start(&backend, Some(state.path()));
    let given = backend.cursors();
    let asked = backend.polls();
    assert!(given.iter().any(|cursor| cursor.contains('.')), "{given:?}");
    // It may have been started anew meanwhile: once, all that it keeps is looked through.
    assert_eq!(asked[polls].cursor.as_deref(), Some("0"), "after a kill");
    wait_until("the question after that", PATIENCE, || backend.polls().len() > polls + 1);
    let asked = backend.polls();
    assert_eq!(asked[polls + 1].cursor.as_ref(), given.last(), "after a kill");
    for poll in asked[1..].iter().filter(|poll| poll.cursor.as_deref() != Some("0")) {
        assert!(given.contains(poll.cursor.as_ref().unwrap()), "{poll:?} was never given out: {given:?}");
    }
    for poll in &asked {
        assert!(poll.header("Convex-Client").is_some_and(|client| client.starts_with("npm-cli-1.")), "{poll:?}");
        assert_eq!(poll.header("Authorization"), Some(&*format!("Convex {KEY}")));
    }
    let name = backend.asked().into_iter().find(|asked| asked.path == "/instance_name").unwrap();
    assert_eq!(name.header("Authorization"), None, "whoever needs no key gets none");
    daemon.stop();
}

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

#[test]
fn an_answer_with_nothing_in_it_changes_nothing() {
    let backend = Backend::start();
    backend.set_long_poll(Duration::from_millis(100));
    let mut daemon = start(&backend, None);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    let last = backend.cursors().pop();
    wait_until("a few empty answers", PATIENCE, || {
        backend.polls().iter().rev().take_while(|poll| poll.cursor == last).count() > 5
    });
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("storagewatch_source_lines_total", &[]) as u64, 1, "one answer was not empty");
    assert_eq!(metrics.sum(UP, &[]) as u64, 1);
    assert!(daemon.status("/-/ready") == 200);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 2);
    let said = daemon.stop();
    assert!(!said.contains("ERROR") && !said.contains("again"), "{said}");
}

#[test]
fn who_has_nothing_to_tell_and_says_so_at_once_is_not_asked_without_end() {
    let backend = Backend::start();
    backend.set_long_poll(Duration::ZERO);
    let mut daemon = start(&backend, None);
    let (polls, began) = (backend.polls().len(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let asked = backend.polls().len() - polls;
    assert!((2..12).contains(&asked), "{asked} questions within {:?}", began.elapsed());
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    daemon.stop();
}

#[test]
fn what_does_not_wait_for_so_long_in_between_is_no_trouble() {
    for status in [502, 504, 0] {
        let backend = Backend::start();
        backend.set_long_poll(Duration::from_millis(2500));
        backend.set_in_vain(status);
        let mut daemon = start(&backend, None);
        daemon.wait_for_metrics("it to be up", PATIENCE, |metrics| {
            if metrics.sum(UP, &[]) > 0.0 { Ok(()) } else { Err("it is down".to_owned()) }
        });
        let before = backend.polls().len();
        wait_until("more questions", PATIENCE, || {
            assert!(source_sum(&mut daemon, UP) > 0.0, "{status}: {}", daemon.log());
            backend.polls().len() > before + 1
        });
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", 1);
        assert!(!daemon.log().contains("ERROR"), "{status}: {}", daemon.log());
        // Where nobody answers at all, that is the trouble.
        backend.mood(Mood::Gone);
        wait_until("it to say so", PATIENCE, || daemon.log().contains("broke off"));
        daemon.stop();
    }
}

#[test]
fn a_packed_answer_is_told_for_what_it_is() {
    let backend = Backend::start();
    let daemon = start(&backend, None);
    let asked = backend.asked();
    assert!(asked.iter().all(|asked| asked.header("Accept-Encoding") == Some("identity")), "{asked:?}");
    backend.pack();
    backend.restart();
    wait_until("it to say so", PATIENCE, || daemon.log().contains("Content-Encoding 'gzip'"));
    daemon.stop();
}

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
fn equal_lines_of_one_execution_are_as_many_events() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    backend.action(&["direct", "direct", "http-fallback", "direct"]);
    let mut daemon = Daemon::start(command(&backend, Some(state.path())).args(["--from", "beginning"]));
    daemon.wait_for_accesses("quiet-lemur", 4);
    backend.action(&["direct", "direct"]);
    daemon.wait_for_accesses("quiet-lemur", 6);
    daemon.stop();
}

#[test]
fn entries_that_are_equal_to_the_last_one_that_was_read_are_new_over_a_kill() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    let mut daemon = start(&backend, Some(state.path()));
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    let mut logged = 1;
    for times in 1..4 {
        for _ in 0..times {
            backend.same_again();
            logged += 1;
            daemon.wait_for_accesses("quiet-lemur", logged);
        }
        daemon.kill();
        (0..times).for_each(|_| backend.same_again());
        logged += times;
        daemon = start(&backend, Some(state.path()));
        daemon.wait_for_accesses("quiet-lemur", logged);
    }
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

#[test]
fn what_the_ring_may_have_dropped_is_counted_as_a_possible_loss() {
    let backend = Backend::start();
    let state = tempfile::tempdir().unwrap();
    let mut daemon = start(&backend, Some(state.path()));
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    daemon.kill();
    // Almost a ring is no loss.
    backend.idle_queries(900);
    backend.access("direct");
    let mut daemon = start(&backend, Some(state.path()));
    daemon.wait_for_accesses("quiet-lemur", 2);
    assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 0);
    daemon.kill();
    backend.access("direct");
    backend.idle_queries(1000);
    backend.access("direct-failed");
    let mut daemon = start(&backend, Some(state.path()));
    daemon.wait_for_accesses("quiet-lemur", 3);
    assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 1);
    let said = daemon.stop();
    assert!(said.contains("may be lost"), "{said}");
}

#[test]
fn a_refused_key_is_told_once_with_what_to_do_and_left_alone() {
    let backend = Backend::start();
    let mut wrong = command(&backend, None);
    wrong.env("CONVEX_SELF_HOSTED_ADMIN_KEY", "quiet-lemur|wrong-and-hidden");
    let mut daemon = Daemon::start(&mut wrong);
    wait_for_a_poll(&backend, 0);
    wait_until("it to say so", PATIENCE, || daemon.log().contains("refuses the key"));
    // Everything else is tried again within a second.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(backend.polls().len(), 1);
    assert_eq!(source_sum(&mut daemon, UP) as u64, 0);
    assert!(daemon.status("/-/ready") == 200, "a source that is down keeps nobody waiting");
    let said = daemon.stop();
    assert_eq!(said.matches("refuses the key").count(), 1, "{said}");
    for told in ["403, BadDeployKey", "deploy key", "env:CONVEX_SELF_HOSTED_ADMIN_KEY", "every 5 minutes"] {
        assert!(said.contains(told), "no {told}: {said}");
    }
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn each_trouble_is_told_once_and_counting_goes_on_after_it() {
    let backend = Backend::start();
    let mut daemon = start(&backend, None);
    let mut logged = 0;
    for (mood, told) in [
        (Mood::Gone, "broke off before its answer"),
        (Mood::Says(502, "<html>bad gateway".to_owned()), "status 502"),
        (Mood::LogsSay(404, "not found".to_owned()), "there is no log API at http://"),
        (Mood::LogsSay(200, "<html>welcome</html>".to_owned()), "but not as the log API does"),
        (Mood::LogsSay(200, "{\"entries\":[],\"newCursor\":\"7\"}".to_owned()), "its newCursor is no number"),
        (Mood::LogsSay(301, String::new()), "redirects to https://elsewhere.example/"),
    ] {
        let polls = backend.asked().len();
        backend.mood(mood.clone());
        backend.restart();
        wait_until(told, PATIENCE, || daemon.log().contains(told));
        if mood != Mood::Gone {
            wait_until("a few attempts", PATIENCE, || backend.asked().len() > polls + 2);
        }
        assert_eq!(source_sum(&mut daemon, UP) as u64, 0, "{mood:?}");
        backend.mood(Mood::Well);
        backend.access("direct");
        logged += 1;
        daemon.wait_for_accesses("quiet-lemur", logged);
        daemon.wait_for_metrics("it to be up", PATIENCE, |metrics| {
            if metrics.sum(UP, &[]) > 0.0 { Ok(()) } else { Err("it is down".to_owned()) }
        });
        daemon.wait_for_words(told, 1);
    }
    let said = daemon.stop();
    assert!(said.contains("answers again"), "{said}");
}

#[test]
fn a_deployment_that_failed_is_up_again_when_it_answers_and_not_while_it_hangs() {
    let backend = Backend::start();
    backend.mood(Mood::LogsSay(503, String::new()));
    let mut daemon = start(&backend, None);
    daemon.wait_for_words("status 503", 1);
    let polls = backend.polls().len();
    backend.mood(Mood::Well);
    wait_for_a_poll(&backend, polls);
    // Nothing is logged, and nothing is answered: this may go on for ever.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(source_sum(&mut daemon, UP) as u64, 0);
    assert!(!daemon.log().contains("answers again"), "{}", daemon.log());
    backend.access("direct");
    daemon.wait_for_words("answers again", 1);
    daemon.wait_for_accesses("quiet-lemur", 1);
    assert_eq!(source_sum(&mut daemon, UP) as u64, 1);
    daemon.stop();
}

#[test]
fn the_deployment_is_known_by_its_own_answer_before_its_first_event() {
    let cloud = r#"{"kind":"cloud","teamId":4,"projectId":17,"projectName":"Artifact Review","projectSlug":"artifact-review","id":2021,"deploymentType":"prod","reference":null}"#;
    for (name, info, hosting, kind, project) in [
        (Some("happy-otter-123"), Some(cloud), "cloud", "prod", "artifact-review"),
        (Some("happy-otter-123"), Some(r#"{"kind":"selfHosted"}"#), "self_hosted", "", ""),
        (Some("local-team-project"), Some(r#"{"kind":"selfHosted"}"#), "local", "", ""),
        // Backends of before the question, and such that say nothing at all: the key names them, the address places them.
        (Some("happy-otter-123"), None, "self_hosted", "", ""),
        (None, None, "self_hosted", "", ""),
        (Some("<html> a page"), None, "self_hosted", "", ""),
    ] {
        let backend = Backend::start();
        backend.is(name, info);
        let expected = name.filter(|name| !name.contains('<')).unwrap_or("quiet-lemur");
        let mut daemon = start(&backend, None);
        let labels = [("deployment", expected), ("hosting", hosting)];
        daemon.wait_for_metrics("the deployment", PATIENCE, |metrics| {
            let known = metrics.knows(ACCESSES, &labels);
            if known { Ok(()) } else { Err(format!("no {labels:?} in {metrics:?}")) }
        });
        let metrics = daemon.metrics();
        assert_eq!(metrics.of(ACCESSES).count(), 4, "one deployment, each of its outcomes: {metrics:?}");
        assert_eq!(metrics.sum(ACCESSES, &[]) as u64, 0);
        let told = [("deployment", expected), ("hosting", hosting), ("deployment_type", kind), ("project", project)];
        assert!(metrics.knows("convex_storage_deployment_info", &told), "{metrics:?}");
        daemon.stop();
    }
}

#[test]
fn a_deployment_that_does_not_say_who_it_is_is_polled_all_the_same_and_asked_again() {
    for status in [503, 0] {
        let backend = Backend::start();
        backend.is(Some("happy-otter-123"), Some(r#"{"kind":"selfHosted"}"#));
        backend.mood(Mood::OthersSay(status));
        let mut daemon = start(&backend, None);
        backend.access("direct");
        // Its key says who it may be.
        daemon.wait_for_accesses("quiet-lemur", 1);
        daemon.wait_for_words("/instance_name: the deployment", 1);
        daemon.wait_for_words("/api/v1/deployment_info: the deployment", 1);
        daemon.wait_for_words("it is polled as deployment quiet-lemur and asked again", 1);
        assert_eq!(source_sum(&mut daemon, UP) as u64, 1);
        backend.mood(Mood::Well);
        backend.set_long_poll(Duration::from_millis(300));
        backend.access("direct");
        daemon.wait_for_words("deployment happy-otter-123", 1);
        let before = daemon.metrics().accesses("happy-otter-123");
        backend.access("direct");
        daemon.wait_for_accesses("happy-otter-123", before + 1);
        daemon.wait_for_words("asked again", 1);
        // Who was known once remains so.
        backend.mood(Mood::OthersSay(status));
        backend.restart();
        let polls = backend.polls().len();
        wait_for_a_poll(&backend, polls);
        backend.access("direct");
        daemon.wait_for_accesses("happy-otter-123", before + 2);
        daemon.stop();
    }
}

#[test]
fn an_answer_beyond_every_bound_is_passed_over_and_said() {
    let backend = Backend::start();
    let mut daemon = start(&backend, None);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    backend.giant(65 * 1024 * 1024);
    daemon.wait_for_metrics("a possible loss", Duration::from_mins(1), |metrics| {
        let losses = metrics.sum(POSSIBLE_LOSS, &[]) as u64;
        if losses == 1 { Ok(()) } else { Err(format!("{losses}")) }
    });
    assert_eq!(daemon.metrics().sum("storagewatch_source_skipped_total", &[("reason", "oversize")]) as u64, 1);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 2);
    daemon.stop();
}

#[test]
fn what_is_told_again_because_the_cursor_stands_still_counts_once() {
    let backend = Backend::start();
    let mut daemon = start(&backend, None);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    backend.stand_still(true);
    for times in 2..4 {
        let polls = backend.polls().len();
        backend.access("direct-failed");
        daemon.wait_for_accesses("quiet-lemur", times);
        wait_for_a_poll(&backend, polls + 1);
    }
    daemon.wait_for_words("a newCursor that does not lie behind", 1);
    let (polls, began) = (backend.polls().len(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let asked = backend.polls().len() - polls;
    assert!(asked < 10, "{asked} questions within {:?}", began.elapsed());
    backend.stand_still(false);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 4);
    backend.access("http-fallback");
    daemon.wait_for_accesses("quiet-lemur", 5);
    assert_eq!(source_sum(&mut daemon, POSSIBLE_LOSS) as u64, 1);
    let said = daemon.stop();
    assert_eq!(said.matches("a newCursor that does not lie behind").count(), 1, "{said}");
}

#[test]
fn a_question_that_hangs_keeps_nobody_from_stopping_or_reloading() {
    let backend = Backend::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("storagewatch.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[[source.convex]]\nname = \"polled\"\nurl = \"{}\"\nkey = \"env:CONVEX_SELF_HOSTED_ADMIN_KEY\"\n",
        backend.url()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = daemon::command();
    command.arg("--config").arg(&file).env("CONVEX_SELF_HOSTED_ADMIN_KEY", KEY);
    let mut daemon = Daemon::start(&mut command);
    wait_for_a_poll(&backend, 0);
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    for round in 2..5 {
        let (before, began) = (backend.polls().len(), Instant::now());
        daemon.signal("HUP");
        wait_for_a_poll(&backend, before);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        backend.access("direct");
        daemon.wait_for_accesses("quiet-lemur", round);
    }
    assert!(daemon.metrics().knows(UP, &[("source", "polled")]));
    let began = Instant::now();
    daemon.stop();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn without_a_key_the_command_line_says_where_one_goes() {
    let mut command = crate::support::storagewatch();
    command.env_remove("CONVEX_DEPLOY_KEY").env_remove("CONVEX_SELF_HOSTED_ADMIN_KEY");
    let output = command.args(["watch", "--convex", "https://happy-otter-123.convex.cloud"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("CONVEX_DEPLOY_KEY") && said.contains("CONVEX_SELF_HOSTED_ADMIN_KEY"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_deployment_that_falls_silent_is_told() {
    let backend = Backend::start();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("watch.toml");
    let source = format!("[[source.convex]]\nname = \"polled\"\nurl = \"{}\"\n", backend.url());
    std::fs::write(&config, format!("{source}key = \"env:KEY\"\nsilent_after = \"1s\"\n")).unwrap();
    let mut command = daemon::command();
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&config).env("KEY", KEY);
    let mut daemon = Daemon::start(&mut command);
    let silence = [("alert", "ConvexStorageLogsSilent")];
    let mut wait = |what: &str, expected: f64| {
        daemon.wait_for_metrics(what, PATIENCE, |metrics| {
            let fires = metrics.sum("storagewatch_alert_firing", &silence);
            if (fires - expected).abs() < 0.5 { Ok(()) } else { Err(fires.to_string()) }
        });
    };
    // It answers, and has nothing to tell.
    wait("its silence to be told", 1.0);
    backend.access("direct");
    wait("it to speak again", 0.0);
    daemon.stop();
}
