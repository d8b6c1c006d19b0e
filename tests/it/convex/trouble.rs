//! A deployment that does not answer as it should: what is said of it, when it is up, and that nothing is missed.

use super::backend::{Backend, KEY, Mood};
use super::{POSSIBLE_LOSS, UP, command, source_sum, start, wait_for_a_poll};
use crate::watch::daemon::{self, Daemon};
use crate::watch::waiting::{PATIENCE, wait_until};
use std::time::{Duration, Instant};

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
