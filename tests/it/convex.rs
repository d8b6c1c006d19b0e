//! The log API as a source, against a backend that answers as the documented one does: every access counts once, whatever
//! happens to the backend, to its clock and to `watch`.

pub(crate) mod backend;
mod client;
mod clock;
mod history;
mod tls;
mod trouble;

use crate::watch::daemon::{self, Daemon};
use crate::watch::exposition::ACCESSES;
use crate::watch::waiting::{PATIENCE, wait_until};
use backend::{Backend, KEY, Mood};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
fn without_a_key_the_command_line_says_where_one_goes() {
    let mut command = crate::support::storagewatch();
    command.env_remove("CONVEX_DEPLOY_KEY").env_remove("CONVEX_SELF_HOSTED_ADMIN_KEY");
    let output = command.args(["watch", "--convex", "https://happy-otter-123.convex.cloud"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("CONVEX_DEPLOY_KEY") && said.contains("CONVEX_SELF_HOSTED_ADMIN_KEY"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
