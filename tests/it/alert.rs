//! Alerts as those who are told see them: from a line in a log to what arrives, over restarts, kills and dead receivers.

mod alertmanager;
mod begun;
mod both;
mod receivers;
pub(crate) mod stage;
mod webhooks;

use crate::support::run;
use crate::watch::daemon::Daemon;
use crate::watch::disk::Disk;
use crate::watch::http::Client;
use crate::watch::receiver::Receiver;
use crate::watch::sender::Sender;
use crate::watch::waiting::{PATIENCE, wait_for};
use crate::watch::webhook::intake;
use serde_json::{Value, json};
use stage::Stage;
use std::process::Stdio;
use std::time::Duration;

const FIRING: &str = "storagewatch_alert_firing";
const LEDGER_UP: &str = "storagewatch_ledger_up";
const SENT: &str = "storagewatch_notifications_total";

fn status(daemon: &Daemon) -> Value {
    let answer = Client::new(daemon.address, "storagewatch-tests").get("/api/v1/status").unwrap();
    serde_json::from_str(&answer.body).unwrap()
}

/// Waits until the ledger holds that a receiver took so many requests: before that, a kill may have it told again.
fn wait_for_taken(daemon: &mut Daemon, receiver: &str, count: f64) {
    daemon.wait_for_metrics(&format!("{count} requests that {receiver} took"), PATIENCE, |metrics| {
        let taken = metrics.sum(SENT, &[("receiver", receiver), ("result", "ok")]);
        if (taken - count).abs() < 0.5 { Ok(()) } else { Err(taken.to_string()) }
    });
}

/// Waits until this many alerts of the deployment fire in the metrics.
fn wait_for_firing(daemon: &mut Daemon, alert: &str, expected: f64) {
    daemon.wait_for_metrics(&format!("{alert} to be {expected}"), PATIENCE, |metrics| {
        let fires = metrics.sum(FIRING, &[("alert", alert)]);
        if (fires - expected).abs() < 0.5 { Ok(()) } else { Err(format!("{fires}")) }
    });
}

#[test]
fn an_alertmanager_is_told_without_any_configuration() {
    let mut stage = Stage::new();
    let alertmanager = Receiver::start();
    let daemon = Stage::ready(&mut stage.bare(&["--alertmanager", &alertmanager.url()]));
    let began = jiff::Timestamp::now().as_millisecond();
    stage.fail("happy-otter-123");
    let alerts = alertmanager.wait_for_alerts(1);
    assert_eq!(alertmanager.requests()[0].path, "/api/v2/alerts");
    let alert = &alerts[0];
    assert_eq!(
        alert["labels"],
        json!({"alertname": "ConvexStorageDirectFailed", "deployment": "happy-otter-123", "hosting": "cloud",
               "severity": "critical", "sender": "storagewatch"})
    );
    let page = format!("http://{}", daemon.address);
    assert_eq!(alert["generatorURL"], format!("{page}/#alerts"));
    let time = |key: &str| alert[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let (now, starts, ends) = (jiff::Timestamp::now().as_millisecond(), time("startsAt"), time("endsAt"));
    assert!(began <= starts && starts <= now, "{began} {starts} {now}");
    assert!((starts..=now).contains(&(ends - 4 * 60 * 1000)), "{starts} {ends} {now}");
    let annotations = alert["annotations"].as_object().unwrap();
    assert_eq!(annotations["count"], "1");
    assert_eq!(annotations["first"], annotations["last"]);
    assert_eq!(annotations["function"], "zipProcessor:processZipFile");
    assert_eq!(annotations["cause"], "backend_error");
    assert_eq!(annotations["storage_id"], format!("kg2{:029}", 1));
    assert_eq!(annotations["request_id"], format!("{:016x}", 1));
    assert!(annotations["advice"].as_str().unwrap().starts_with("The backend answered"), "{annotations:?}");
    assert_eq!(annotations["runbook_url"], format!("{page}/runbook/ConvexStorageDirectFailed"));
    // What is shown and scraped agrees with it.
    let shown = &status(&daemon)["alerts"][0];
    assert_eq!(shown["annotations"], alert["annotations"]);
    assert_eq!(shown["since"], alert["startsAt"]);
    daemon.stop();
}

#[test]
fn what_was_written_while_it_was_down_alerts_when_it_is_back() {
    let mut stage = Stage::new();
    let alertmanager = Receiver::start();
    let url = alertmanager.url();
    Stage::ready(&mut stage.bare(&["--alertmanager", &url])).stop();
    stage.write_ago("happy-otter-123", "direct-failed", 1, 6 * 60 * 1000);
    let mut daemon = Stage::ready(&mut stage.bare(&["--alertmanager", &url]));
    let alerts = alertmanager.wait_for_alerts(1);
    assert_eq!(alerts[0]["labels"]["deployment"], "happy-otter-123");
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 1.0);
    // It fires since it is known, and says when it happened.
    let happened = alerts[0]["annotations"]["first"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let age = jiff::Timestamp::now().as_millisecond() - happened.as_millisecond();
    assert!(age >= 6 * 60 * 1000, "{age}");
    // What is older than a day is history, whenever it is read.
    stage.write_ago("old-otter-123", "direct-failed", 1, 25 * 60 * 60 * 1000);
    daemon.wait_for_accesses("old-otter-123", 1);
    stage.fail("new-otter-123");
    let alerts = alertmanager.wait_for_alerts(2);
    assert_eq!(alerts[1]["labels"]["deployment"], "new-otter-123", "{alerts:#?}");
    daemon.stop();
}

#[test]
fn a_million_failures_at_first_sight_alert_nobody() {
    const BACKLOG: u64 = 1_000_000;
    let mut stage = Stage::new();
    let line = "Storage access: direct-failed {\"error\":\"status 500\"}\n";
    stage.append(&line.repeat(BACKLOG as usize));
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure(
        "from = \"beginning\"\ndeployment = \"backlog\"\nhosting = \"cloud\"",
        "[[alert.webhook]]\nurl = \"file:url\"\n",
    );
    let mut daemon = Daemon::start(&mut stage.command());
    daemon.wait_for_metrics("the backlog to be counted", Duration::from_mins(4), |metrics| {
        match metrics.accesses("backlog") {
            BACKLOG => Ok(()),
            other => Err(other.to_string()),
        }
    });
    // What comes now is no history, in the same file.
    stage.fail("happy-otter-123");
    let alerts = webhook.wait_for_alerts(1);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0]["labels"]["deployment"], "happy-otter-123");
    assert!(!daemon.metrics().of(FIRING).any(|(labels, value)| labels["deployment"] == "backlog" && value > 0.0));
    stage.append(line);
    webhook.wait_for("the first that is new", |alerts| {
        alerts.iter().any(|alert| alert["labels"]["deployment"] == "backlog")
    });
    daemon.stop();
}

#[test]
fn a_history_on_standard_input_alerts_nobody_and_what_comes_next_does() {
    let mut stage = Stage::new();
    stage.write_ago("happy-otter-1", "direct-failed", 100, 6 * 60 * 1000);
    stage.write_ago("happy-otter-2", "direct-failed", 1, 4 * 60 * 1000);
    let alertmanager = Receiver::start();
    let mut command = crate::watch::daemon::command();
    command.args(["-", "--listen", "127.0.0.1:0", "--alertmanager", &alertmanager.url()]);
    let mut daemon = Daemon::start(command.stdin(Stdio::piped()));
    let text = std::fs::read(&stage.log).unwrap();
    // The pipe ends at once: what is due is sent all the same.
    std::io::Write::write_all(&mut daemon.child.stdin.take().unwrap(), &text).unwrap();
    let alerts = alertmanager.wait_for_alerts(1);
    let ended = wait_for("it to end", PATIENCE, || daemon.child.try_wait().unwrap().ok_or(daemon.log()));
    assert!(ended.success(), "{}", daemon.log());
    assert_eq!(alertmanager.alerts().len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0]["labels"]["deployment"], "happy-otter-2");
}

#[test]
fn a_kill_between_commit_and_sending_neither_forgets_nor_repeats() {
    let mut stage = Stage::new();
    let webhook = Receiver::hanging();
    let address = webhook.address;
    stage.secret("url", &webhook.url());
    stage.configure("", "[[alert.webhook]]\nname = \"own\"\nurl = \"file:url\"\n");
    let mut daemon = stage.start();
    stage.fail("happy-otter-1");
    let before = webhook.wait_for_alerts(1);
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 1.0);
    daemon.kill();
    drop(webhook);
    // It arrives after the restart, as the same incident.
    let webhook = Receiver::at(address, 200);
    let mut daemon = stage.start();
    let after = webhook.wait_for_alerts(1);
    assert_eq!((&after[0]["id"], &after[0]["starts_at"]), (&before[0]["id"], &before[0]["starts_at"]));
    wait_for_taken(&mut daemon, "own", 1.0);
    daemon.kill();
    // And not once more after another.
    let mut daemon = stage.start();
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 1.0);
    stage.fail("happy-otter-1");
    daemon.wait_for_accesses("happy-otter-1", 2);
    stage.fail("happy-otter-2");
    let alerts = webhook.wait_for_alerts(2);
    let deployments: Vec<_> = alerts.iter().map(|alert| alert["labels"]["deployment"].clone()).collect();
    assert_eq!(deployments, ["happy-otter-1", "happy-otter-2"]);
    // Both requests, counted over a restart.
    wait_for_taken(&mut daemon, "own", 2.0);
    daemon.stop();
}

#[test]
fn what_was_quiet_for_its_window_while_it_was_down_does_not_fire_anew() {
    let mut stage = Stage::new();
    let alertmanager = Receiver::start();
    stage.configure(
        "",
        &format!("[alert]\nwindow = \"2s\"\nkeep_firing_for = \"0s\"\nalertmanagers = [\"{}\"]\n", alertmanager.url()),
    );
    let mut daemon = stage.start();
    stage.fail("happy-otter-1");
    let first = alertmanager.wait_for_alerts(1).remove(0);
    wait_for_taken(&mut daemon, &alertmanager.address.to_string(), 1.0);
    daemon.kill();
    std::thread::sleep(Duration::from_millis(2500));
    let daemon = stage.start();
    let second = alertmanager.wait_for_alerts(2).remove(1);
    assert_eq!(second["startsAt"], first["startsAt"]);
    let ends = second["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(ends <= jiff::Timestamp::now(), "{second}");
    daemon.stop();
}

#[test]
fn a_full_disk_keeps_no_failure_from_being_told() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure("", "[[alert.webhook]]\nurl = \"file:url\"\n");
    let disk = Disk::new(&stage.root.path().join("state"), 6 << 20);
    let mut daemon = Daemon::start(&mut disk.command(&stage.command()));
    daemon.wait_until_ready();
    assert_eq!(daemon.metrics().sum(LEDGER_UP, &[]) as u64, 1);
    let filler = disk.seen_from_outside(daemon.child.id()).join("filler");
    let fill = || {
        let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    };
    // What was set aside before may hold a few commits yet.
    let mut number = 0;
    let uncommitted = wait_for("a failure that finds no room to be told", PATIENCE * 3, || {
        fill();
        number += 1;
        let name = format!("happy-otter-{number}");
        for busy in 0..20 {
            stage.write_ago(&format!("busy-{number}-{busy}"), "direct", 1, 0);
        }
        stage.fail(&name);
        webhook.wait_for(&format!("{name} to be told"), |alerts| told(alerts, &name) == 1);
        let metrics = daemon.metrics();
        let fires = metrics.sum(FIRING, &[("deployment", &name)]) as u64;
        let seen = (metrics.accesses(&name), metrics.sum(LEDGER_UP, &[]) as u64, fires);
        if seen == (0, 0, 1) { Ok(name) } else { Err(format!("{name}: {seen:?}")) }
    });
    std::fs::remove_file(&filler).unwrap();
    daemon.wait_for_accesses(&uncommitted, 1);
    daemon.wait_for_metrics("it to commit again", PATIENCE, |metrics| {
        let up = metrics.sum(LEDGER_UP, &[]);
        if up > 0.5 { Ok(()) } else { Err(up.to_string()) }
    });
    // Who was told of it is not told again, and what comes next is told.
    stage.fail("quick-fox-7");
    let alerts = webhook.wait_for("the next", |alerts| told(alerts, "quick-fox-7") == 1);
    assert_eq!(alerts.len(), number + 1, "{alerts:#?}");
    let log = daemon.stop();
    assert!(log.contains("the ledger commits again"), "{log}");
}

/// How many of these are about a deployment.
fn told(alerts: &[Value], deployment: &str) -> usize {
    alerts.iter().filter(|alert| alert["labels"]["deployment"] == deployment).count()
}

#[test]
fn deployments_beyond_the_limit_are_named() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure("", "[alert]\nwindow = \"5s\"\n[limits]\ndeployments = 1\n[[alert.webhook]]\nurl = \"file:url\"\n");
    let mut daemon = stage.start();
    stage.write_ago("happy-otter-1", "direct", 1, 0);
    daemon.wait_for_accesses("happy-otter-1", 1);
    stage.fail("happy-otter-2");
    let alert = webhook.wait_for_alerts(1).remove(0);
    assert_eq!(alert["labels"]["deployment"], "__other__");
    assert_eq!(alert["annotations"]["summary"], "Storage access failed in happy-otter-2 (counted in __other__)");
    stage.fail("happy-otter-3");
    daemon
        .wait_for_words("an alert fires: Storage access failed in happy-otter-3 and others (counted in __other__)", 1);
    // More of the same is no news.
    stage.fail("happy-otter-2");
    let resolved = webhook.wait_for_alerts(2).remove(1);
    assert_eq!(resolved["annotations"]["deployments"], "happy-otter-2, happy-otter-3");
    assert_eq!(daemon.stop().matches("an alert fires").count(), 2);
}

#[test]
fn the_configuration_of_a_deployment_goes_before_the_policy() {
    let mut stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure(
        "",
        "[deployment.strict]\nhosting = \"self_hosted\"\nexpect = \"direct\"\nwindow = \"1s\"\n\
         [deployment.\"calm-*\"]\nseverity = \"info\"\n[deployment.usual]\nhosting = \"self_hosted\"\n\
         [[alert.webhook]]\nurl = \"file:url\"\n",
    );
    let mut daemon = stage.start();
    let series = [("deployment", "strict"), ("alert", "ConvexStorageFallbackDegraded"), ("severity", "warning")];
    assert!(daemon.metrics().knows(FIRING, &series), "it is there before it fires");
    let usual = [("deployment", "usual"), ("alert", "ConvexStorageFallbackDegraded")];
    assert!(!daemon.metrics().knows(FIRING, &usual));
    stage.write_ago("usual", "http-fallback", 1, 0);
    stage.write_ago("strict", "http-fallback", 1, 0);
    let alert = webhook.wait_for_alerts(1).remove(0);
    assert_eq!(alert["labels"]["alertname"], "ConvexStorageFallbackDegraded");
    assert_eq!(alert["labels"]["deployment"], "strict");
    assert!(alert["annotations"]["advice"].as_str().unwrap().contains("expect = \"direct\""), "{alert}");
    let status = status(&daemon);
    let verdict = |name: &str| {
        let all = status["deployments"].as_array().unwrap();
        all.iter().find(|deployment| deployment["deployment"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!((verdict("strict"), verdict("usual")), (json!("degraded"), json!("expected")));
    assert_eq!(status["failures"][0]["verdict"], "degraded");
    // Its window is a second, that of others five minutes.
    let resolved = webhook.wait_for_alerts(2).remove(1);
    assert_eq!((&resolved["id"], &resolved["status"]), (&alert["id"], &json!("resolved")));
    stage.fail("calm-owl-7");
    let calm = webhook.wait_for_alerts(3).remove(2);
    assert_eq!((&calm["labels"]["severity"], &calm["labels"]["hosting"]), (&json!("info"), &json!("cloud")));
    daemon.stop();
}

#[test]
fn what_fires_and_what_is_resolved_is_in_the_log() {
    let stage = Stage::new();
    stage.configure("deployment = \"happy-otter-123\"\nhosting = \"cloud\"", "[alert]\nwindow = \"1s\"\n");
    let mut daemon = stage.start();
    stage.append("Storage access: direct-failed {\"error\":\"status 500\",\"storageId\":\"kg2\\u001b[31m\"}\n");
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 1.0);
    wait_for_firing(&mut daemon, "ConvexStorageDirectFailed", 0.0);
    let log = daemon.stop();
    let line = |what: &str| log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {log}"));
    let fires = line("an alert fires: Storage access failed in happy-otter-123");
    for word in [
        "WARN",
        "ConvexStorageDirectFailed",
        "severity=\"critical\"",
        "deployment=\"happy-otter-123\"",
        "hosting=\"cloud\"",
        "cause=\"backend_error\"",
        "storage_id=\"kg2",
    ] {
        assert!(fires.contains(word), "no {word}: {fires}");
    }
    assert!(!log.contains('\u{1b}'), "{log}");
    let resolved = line("an alert is resolved: no storage access has failed in happy-otter-123 of late");
    assert!(resolved.contains("INFO") && resolved.contains("count=1"), "{resolved}");
    // Once each, whatever is shown and told meanwhile.
    assert_eq!((log.matches("an alert fires").count(), log.matches("an alert is resolved").count()), (1, 1), "{log}");
}

#[test]
fn a_source_that_falls_silent_is_told_and_one_that_speaks_again() {
    let stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure("silent_after = \"1s\"", "[[alert.webhook]]\nurl = \"file:url\"\n");
    let mut daemon = stage.start();
    let alert = webhook.wait_for_alerts(1).remove(0);
    assert_eq!(
        alert["labels"],
        json!({"alertname": "ConvexStorageLogsSilent", "severity": "warning", "source": "cloud", "sender": "storagewatch"})
    );
    wait_for_firing(&mut daemon, "ConvexStorageLogsSilent", 1.0);
    stage.append("anything\n");
    let resolved = webhook.wait_for_alerts(2).remove(1);
    assert_eq!(resolved["status"], "resolved");
    daemon.stop();
}

#[test]
fn input_that_cannot_be_used_alerts() {
    let stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure("", "[alert]\nwindow = \"1s\"\n[[alert.webhook]]\nurl = \"file:url\"\n");
    let daemon = stage.start();
    stage.append(&format!("{}\n", "x".repeat(5 << 20)));
    let alerts = webhook.wait_for_alerts(2);
    assert_eq!(alerts[0]["labels"]["alertname"], "StoragewatchSkipping");
    assert!(alerts[0]["annotations"]["description"].as_str().unwrap().contains("1 skipped as oversize"), "{alerts:#?}");
    assert_eq!(alerts[1]["status"], "resolved");
    daemon.stop();
}

#[test]
fn a_reload_changes_who_is_told() {
    let mut stage = Stage::new();
    let (old, new) = (Receiver::start(), Receiver::start());
    stage.secret("old", &old.url());
    stage.secret("new", &new.url());
    let webhook = |name: &str| format!("[[alert.webhook]]\nname = \"{name}\"\nurl = \"file:{name}\"\n");
    stage.configure("", &webhook("old"));
    let daemon = stage.start();
    stage.fail("happy-otter-1");
    old.wait_for_alerts(1);
    stage.configure("", &format!("[deployment.\"*\"]\nseverity = \"info\"\n{}", webhook("new")));
    daemon.signal("HUP");
    // What fires is told to who comes, and to nobody who is gone.
    let first = new.wait_for_alerts(1).remove(0);
    assert_eq!(
        (&first["labels"]["deployment"], &first["labels"]["severity"]),
        (&json!("happy-otter-1"), &json!("critical"))
    );
    stage.fail("happy-otter-2");
    let second = new.wait_for_alerts(2).remove(1);
    assert_eq!(
        (&second["labels"]["deployment"], &second["labels"]["severity"]),
        (&json!("happy-otter-2"), &json!("info"))
    );
    assert_eq!(old.alerts().len(), 1);
    daemon.stop();
}

#[test]
fn the_latest_failures_are_kept_over_a_restart() {
    let mut stage = Stage::new();
    let mut daemon = Stage::ready(&mut stage.bare(&[]));
    stage.write_ago("happy-otter-1", "direct-failed", 30, 0);
    daemon.wait_for_accesses("happy-otter-1", 30);
    let before = status(&daemon)["failures"].clone();
    assert_eq!(before.as_array().unwrap().len(), 20);
    daemon.kill();
    let daemon = Stage::ready(&mut stage.bare(&[]));
    assert_eq!(status(&daemon)["failures"], before);
    stage.fail("happy-otter-2");
    wait_for("the next", PATIENCE, || {
        let failures = status(&daemon)["failures"].clone();
        let next = failures[0]["deployment"] == "happy-otter-2" && failures[1] == before[0];
        if next && failures.as_array().unwrap().len() == 20 { Ok(()) } else { Err(failures.to_string()) }
    });
    daemon.stop();
}

#[test]
fn a_failure_dated_in_the_future_does_not_stay_on_top() {
    let mut stage = Stage::new();
    let mut daemon = Stage::ready(&mut stage.bare(&[]));
    stage.write_ago("future-otter-1", "direct-failed", 1, -60 * 60 * 1000);
    daemon.wait_for_accesses("future-otter-1", 1);
    stage.fail("happy-otter-2");
    daemon.wait_for_accesses("happy-otter-2", 1);
    let failures = status(&daemon)["failures"].clone();
    let deployments = [0, 1].map(|index| failures[index]["deployment"].as_str().unwrap().to_owned());
    assert_eq!(deployments, ["happy-otter-2", "future-otter-1"], "{failures:#}");
    let time = failures[1]["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time <= jiff::Timestamp::now(), "{failures:#}");
    daemon.stop();
}

#[test]
fn a_test_alert_is_marked_as_one() {
    let stage = Stage::new();
    let (own, alertmanager, broken) = (Receiver::start(), Receiver::start(), Receiver::start());
    broken.answer(403);
    stage.secret("own", &format!("{}/hunter2", own.url()));
    stage.secret("broken", &format!("{}/hunter2", broken.url()));
    let alerting = format!(
        "[alert]\nexternal_url = \"https://watch.example/sw/\"\nalertmanagers = [\"{}/am\"]\n[[alert.webhook]]\nurl = \"file:own\"\n",
        alertmanager.url()
    );
    stage.configure("", &alerting);
    let path = stage.root.path().join("watch.toml");
    let send = || run(&["check", path.to_str().unwrap(), "--send-test-alert"], b"");
    let (status, out, err) = send();
    assert_eq!(status, 0, "{out}{err}");
    assert_eq!(out, format!("{}/am: took it\njson: took it\n", alertmanager.address));
    let told = own.alerts().remove(0);
    assert_eq!((&told["test"], &told["status"]), (&json!(true), &json!("firing")));
    assert_eq!(told["labels"], json!({"alertname": "StoragewatchTest", "severity": "info", "sender": "storagewatch"}));
    assert!(told["annotations"]["summary"].as_str().unwrap().starts_with("Test: "), "{told}");
    assert_eq!(told["annotations"].get("runbook_url"), None, "there is no such page: {told}");
    assert_eq!(told["url"], "https://watch.example/sw/");
    assert_eq!(alertmanager.requests()[0].path, "/am/api/v2/alerts");
    assert_eq!(alertmanager.alerts()[0]["labels"]["alertname"], "StoragewatchTest");
    stage.configure("", &format!("{alerting}[[alert.webhook]]\nname = \"broken\"\nurl = \"file:broken\"\n"));
    let (status, out, err) = send();
    assert_eq!(status, 1, "{out}{err}");
    stage.secret("own", "hunter2");
    let (_, _, said) = run(&["check", path.to_str().unwrap()], b"");
    assert!(said.contains("/own: no address (") && !said.contains("hunter2"), "{said}");
    assert!(out.contains("broken: did not take it: it answered 403: no_<service>\\u{1b}\n"), "{out}");
    assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{out}{err}");
    stage.configure("", "");
    let (status, _, err) = send();
    assert_eq!(status, 2);
    assert!(err.contains("nobody to send an alert to; add 'alertmanagers'"), "{err}");
}

#[test]
fn a_webhook_that_refuses_bodies_alerts() {
    let stage = Stage::new();
    let told = Receiver::start();
    stage.secret("url", &told.url());
    stage.secret("secret", "the secret");
    let ingest =
        "ingest_listen = \"127.0.0.1:0\"\n[[source.webhook]]\nname = \"stream\"\nsecrets = [\"file:secret\"]\n";
    let alerting = "[alert]\nwindow = \"7s\"\n[[alert.webhook]]\nurl = \"file:url\"\n";
    std::fs::write(stage.root.path().join("watch.toml"), format!("{ingest}{alerting}")).unwrap();
    let mut daemon = stage.start();
    let mut sender = Sender::new(intake(&daemon), "/ingest/stream", "another secret");
    assert_eq!(sender.status(b"[]"), 401);
    let alert = told.wait_for_alerts(1).remove(0);
    assert_eq!(
        alert["labels"],
        json!({"alertname": "StoragewatchSkipping", "severity": "warning", "source": "stream", "sender": "storagewatch"})
    );
    assert!(alert["annotations"]["description"].as_str().unwrap().contains("1 skipped as refused"), "{alert:#}");
    // However fast they come, the ledger hears of them together.
    (0..100).for_each(|_| assert_eq!(sender.status(b"[]"), 401));
    let commits = |daemon: &mut Daemon| daemon.metrics().sum("storagewatch_ledger_commit_duration_seconds_count", &[]);
    let before = commits(&mut daemon);
    daemon.wait_for_metrics("all of them", PATIENCE, |metrics| {
        let refused = metrics.sum("storagewatch_source_skipped_total", &[("reason", "refused")]);
        if (refused - 101.0).abs() < 0.5 { Ok(()) } else { Err(refused.to_string()) }
    });
    assert!(commits(&mut daemon) - before < 20.0, "a commit for each");
    // What the sender tries again is not lost, and a page that is asked for was never sent.
    assert_eq!(Client::new(intake(&daemon), "a browser").get("/ingest/stream").unwrap().status, 405);
    let resolved = told.wait_for_alerts(2).remove(1);
    assert_eq!((&resolved["status"], &resolved["count"]), (&json!("resolved"), &json!(101)));
    daemon.stop();
}
