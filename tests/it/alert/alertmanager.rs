//! A real Alertmanager between storagewatch and those who are told.

use super::stage::Stage;
use crate::watch::alertmanager::Alertmanager;
use crate::watch::receiver::Receiver;
use crate::watch::waiting::{PATIENCE, wait_for, wait_until};
use serde_json::Value;

/// The notifications so far: the status of the group, its deployment, and since when its first alert fires.
fn notifications(receiver: &Receiver) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |body: &Value| {
        (text(&body["status"]), text(&body["groupLabels"]["deployment"]), text(&body["alerts"][0]["startsAt"]))
    };
    receiver.requests().iter().map(|request| of(&request.body)).collect()
}

#[test]
fn an_incident_is_notified_once_resolved_once_and_a_new_one_is_new() {
    let mut stage = Stage::new();
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::start(stage.root.path(), &receiver);
    stage.configure(
        "",
        &format!("[alert]\nwindow = \"3s\"\nkeep_firing_for = \"0s\"\nalertmanagers = [\"{}\"]\n", alertmanager.url()),
    );
    let daemon = stage.start();
    let statuses = |count: usize| {
        wait_for(&format!("{count} notifications"), PATIENCE, || {
            let all = notifications(&receiver);
            if all.len() >= count { Ok(all) } else { Err(format!("{all:?}; {:?}", alertmanager.active())) }
        })
    };
    stage.fail("happy-otter-123");
    statuses(1);
    // More of the same is no news.
    stage.fail("happy-otter-123");
    statuses(2);
    // While the resolution is still repeated, a new incident begins, and is not closed by it.
    stage.fail("happy-otter-123");
    let all = statuses(3);
    assert_eq!(all.iter().map(|(status, ..)| status.as_str()).collect::<Vec<_>>(), ["firing", "resolved", "firing"]);
    assert!(all.iter().all(|(_, deployment, _)| deployment == "happy-otter-123"), "{all:?}");
    assert_eq!(all[0].2, all[1].2, "the same incident");
    assert!(all[2].2 != all[0].2, "another one");
    let active = alertmanager.active();
    assert_eq!(active.len(), 1, "{active:#?}");
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time(active[0]["startsAt"].as_str().unwrap()), time(&all[2].2));
    let all = statuses(4);
    assert_eq!((all[3].0.as_str(), &all[3].2), ("resolved", &all[2].2));
    daemon.stop();
}

#[test]
fn a_restart_in_an_incident_is_no_news() {
    let mut stage = Stage::new();
    let receiver = Receiver::start();
    let alertmanager = Alertmanager::start(stage.root.path(), &receiver);
    stage.configure("", &format!("[alert]\nalertmanagers = [\"{}\"]\n", alertmanager.url()));
    let daemon = stage.start();
    stage.fail("happy-otter-1");
    receiver.wait_for_alerts(1);
    let before = alertmanager.active();
    daemon.kill();
    let mut daemon = stage.start();
    let sent = |daemon: &mut crate::watch::daemon::Daemon| daemon.metrics().sum(super::SENT, &[("result", "ok")]);
    wait_until("it to be sent again", PATIENCE, || sent(&mut daemon) > 0.5);
    stage.fail("happy-otter-2");
    let all = wait_for("the other deployment", PATIENCE, || {
        let all = notifications(&receiver);
        if all.len() >= 2 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    assert_eq!((all[0].1.as_str(), all[1].1.as_str(), all.len()), ("happy-otter-1", "happy-otter-2", 2));
    let after = alertmanager.active();
    let same = after.iter().find(|alert| alert["fingerprint"] == before[0]["fingerprint"]).unwrap();
    assert_eq!(same["startsAt"], before[0]["startsAt"]);
    daemon.stop();
}
