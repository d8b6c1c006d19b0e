//! Receivers that are dead, refuse, repeat what they were told, or were away.

use super::stage::Stage;
use super::{SENT, told, wait_for_firing};
use crate::watch::receiver::Receiver;
use crate::watch::waiting::{PATIENCE, wait_for};
use std::time::{Duration, Instant};

#[test]
fn nobody_is_told_through_a_proxy_that_the_environment_names() {
    let mut stage = Stage::new();
    let (alertmanager, webhook, proxy) = (Receiver::start(), Receiver::start(), Receiver::start());
    stage.secret("url", &webhook.url());
    stage.configure(
        "",
        &format!("[alert]\nalertmanagers = [\"{}\"]\n[[alert.webhook]]\nurl = \"file:url\"\n", alertmanager.url()),
    );
    let mut command = stage.command();
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(variable, proxy.url());
    }
    let daemon = Stage::ready(command.env_remove("no_proxy").env_remove("NO_PROXY"));
    stage.fail("happy-otter-123");
    alertmanager.wait_for_alerts(1);
    webhook.wait_for_alerts(1);
    daemon.stop();
    assert_eq!(proxy.requests().len(), 0, "{:?}", proxy.requests());
}

#[test]
fn dead_receivers_hold_up_neither_counting_nor_others_nor_the_end() {
    let mut stage = Stage::new();
    let (hanging, refusing, good) = (Receiver::hanging(), Receiver::start(), Receiver::start());
    refusing.answer(404);
    for (name, receiver) in [("hanging", &hanging), ("refusing", &refusing), ("good", &good)] {
        stage.secret(name, &receiver.url());
    }
    let webhook = |name: &str| format!("[[alert.webhook]]\nname = \"{name}\"\nurl = \"file:{name}\"\n");
    // Nobody listens there, and nobody answers.
    let alertmanagers = format!("[alert]\nalertmanagers = [\"http://127.0.0.1:1\", \"{}\"]\n", hanging.url());
    stage.configure(
        "",
        &(alertmanagers + &webhook("hanging") + &webhook("refusing") + &webhook("good") + &webhook("gone")),
    );
    let mut daemon = stage.start();
    stage.fail("happy-otter-1");
    let began = Instant::now();
    good.wait_for_alerts(1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for number in 2..200 {
        stage.fail(&format!("happy-otter-{number}"));
    }
    stage.write_ago("busy-otter-1", "direct", 2000, 0);
    daemon.wait_for_accesses("busy-otter-1", 2000);
    good.wait_for_alerts(199);
    daemon.wait_for_metrics("those who do not take it to be counted", PATIENCE, |metrics| {
        let of = |receiver, result| metrics.sum(SENT, &[("receiver", receiver), ("result", result)]);
        let all = [of("refusing", "refused"), of("127.0.0.1:1", "failed"), of("gone", "failed"), of("good", "ok")];
        if all.iter().all(|count| *count > 0.5) { Ok(()) } else { Err(format!("{all:?}")) }
    });
    let log = daemon.stop();
    assert!(log.contains("refusing did not take a notification"), "{log}");
    assert!(log.contains("it answered 404: no_<service>\\u{1b}"), "{log}");
    assert!(log.contains("gone did not take a notification, it will be tried again: the secret file:"), "{log}");
    // Addresses are secrets.
    assert!(!log.contains(&refusing.address.to_string()), "{log}");
}

#[test]
fn a_secret_address_that_a_receiver_repeats_is_not_said() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    webhook.answer(404);
    webhook.repeat();
    stage.secret("url", &format!("{}/hook/hunter2hunter2", webhook.url()));
    stage.configure("", "[[alert.webhook]]\nurl = \"file:url\"\n");
    let daemon = stage.start();
    stage.fail("happy-otter-1");
    daemon.wait_for_words("it answered 404", 1);
    let log = daemon.stop();
    assert!(log.contains("it answered 404: Cannot POST …\n"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn one_alert_that_a_receiver_refuses_keeps_it_from_no_other() {
    let mut stage = Stage::new();
    let (webhook, alertmanager) = (Receiver::start(), Receiver::start());
    for receiver in [&webhook, &alertmanager] {
        receiver.refuse("bad-otter-1");
    }
    stage.secret("url", &webhook.url());
    stage.configure(
        "",
        &format!("[alert]\nalertmanagers = [\"{}\"]\n[[alert.webhook]]\nurl = \"file:url\"\n", alertmanager.url()),
    );
    let daemon = stage.start();
    // It comes before all others by its name, and is there when they come.
    stage.fail("bad-otter-1");
    webhook.wait_for_alerts(1);
    for number in 1..=20 {
        stage.fail(&format!("good-otter-{number}"));
    }
    for (name, receiver) in [("json", &webhook), ("alertmanager", &alertmanager)] {
        wait_for(&format!("{name} to take all others"), PATIENCE, || {
            let taken =
                receiver.requests().into_iter().filter(|request| !request.body.to_string().contains("bad-otter-1"));
            let taken: std::collections::BTreeSet<String> = taken
                .flat_map(|request| {
                    let list = if request.body.is_array() { &request.body } else { &request.body["alerts"] };
                    list.as_array()
                        .unwrap()
                        .iter()
                        .map(|alert| alert["labels"]["deployment"].to_string())
                        .collect::<Vec<_>>()
                })
                .collect();
            if taken.len() == 20 { Ok(()) } else { Err(format!("{taken:?}")) }
        });
    }
    // The one that is refused is tried again, alone.
    let last = |receiver: &Receiver| {
        let bad = receiver.requests().into_iter().rfind(|request| request.body.to_string().contains("bad-otter-1"));
        bad.unwrap().body.to_string()
    };
    wait_for("it to go alone", PATIENCE, || {
        let body = last(&webhook);
        if body.contains("good-otter") { Err(body) } else { Ok(()) }
    });
    // And is taken where it is not refused any more.
    let refused = webhook.requests().len();
    webhook.refuse("something else");
    wait_for("it to be taken", PATIENCE, || {
        let since = webhook.requests().split_off(refused);
        let taken = since.iter().any(|request| request.body.to_string().contains("bad-otter-1"));
        if taken { Ok(()) } else { Err(format!("{since:?}")) }
    });
    daemon.stop();
}

#[test]
fn one_alert_that_is_refused_again_and_again_delays_no_new_one() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    webhook.refuse("bad-otter-1");
    stage.secret("url", &webhook.url());
    stage.configure("", "[[alert.webhook]]\nurl = \"file:url\"\n");
    let daemon = stage.start();
    stage.fail("bad-otter-1");
    // It rests for four seconds after that.
    webhook.wait_for_alerts(5);
    let began = Instant::now();
    stage.fail("good-otter-1");
    webhook.wait_for("the other", |alerts| told(alerts, "good-otter-1") == 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    daemon.stop();
}

#[test]
fn a_receiver_that_comes_back_is_told_as_things_stand() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    webhook.answer(503);
    stage.secret("url", &webhook.url());
    stage.configure("", "[alert]\nwindow = \"1s\"\n[[alert.webhook]]\nurl = \"file:url\"\n");
    let mut daemon = stage.start();
    stage.fail("happy-otter-1");
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 1.0);
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 0.0);
    let refused = webhook.requests();
    let [first, second, ..] = refused.as_slice() else { panic!("it is not tried again: {refused:?}") };
    assert!(second.at - first.at >= Duration::from_millis(200), "it is tried again without a pause: {refused:?}");
    let tried = refused.len();
    webhook.answer(200);
    let told =
        wait_for("it to be told", PATIENCE, || webhook.requests().get(tried).cloned().ok_or("not yet".to_owned()));
    let alerts = told.body["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0]["status"], "resolved");
    assert_eq!(alerts[0]["count"], 1);
    daemon.stop();
}
