//! Both ways at once: storagewatch tells Alertmanager itself, and Prometheus tells it what it scraped, by the shipped rules
//! and the shipped route. A person hears of one thing.

use super::stage::Stage;
use crate::watch::alertmanager::Alertmanager;
use crate::watch::receiver::Receiver;
use crate::watch::shipped::{Prometheus, shipped};
use crate::watch::waiting::{PATIENCE, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;

/// The status of each notification so far.
fn statuses(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|request| request.body["status"].as_str().unwrap().to_owned()).collect()
}

fn wait_for_statuses(receiver: &Receiver, what: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    wait_for(what, PATIENCE * 2, || {
        let all = statuses(receiver);
        if holds(&all) { Ok(all) } else { Err(format!("{all:?}")) }
    })
}

/// Who says that something fires, as Alertmanager has it.
fn senders(alertmanager: &Alertmanager) -> BTreeSet<String> {
    let sender = |alert: &Value| alert["labels"]["sender"].as_str().unwrap().to_owned();
    alertmanager
        .active()
        .iter()
        .filter(|alert| alert["labels"]["deployment"] == "happy-otter-123")
        .map(sender)
        .collect()
}

#[test]
fn a_person_hears_once_of_what_storagewatch_and_prometheus_both_tell() {
    let mut stage = Stage::new();
    let (pager, chat) = (Receiver::start(), Receiver::start());
    let config = shipped(
        "alertmanager/alertmanager.yml",
        &[
            ("http://127.0.0.1:5001/pager", &pager.url()),
            ("http://127.0.0.1:5001/chat", &chat.url()),
            ("group_interval: 5m", "group_interval: 5s"),
        ],
    );
    let alertmanager = Alertmanager::configured(stage.root.path(), &config);
    // As shipped, the window is as long as the group's interval, so that the group is looked at just when storagewatch has
    // come to the end and Prometheus has not; what Prometheus says is over by the time that storagewatch says so.
    let alerting = "[alert]\nwindow = \"5s\"\nkeep_firing_for = \"8s\"\n";
    stage.configure("", &format!("{alerting}alertmanagers = [\"{}\"]\n", alertmanager.url()));
    let daemon = stage.start();
    let _prometheus = Prometheus::start(stage.root.path(), daemon.address, alertmanager.address);
    let both: BTreeSet<String> = ["prometheus", "storagewatch"].map(str::to_owned).into();
    for resolved in 0..2 {
        // Of the second one, the resolution of the first is still being told while it begins.
        wait_for("both to tell it", PATIENCE, || {
            if senders(&alertmanager).is_empty()
                && statuses(&pager).iter().filter(|s| *s == "resolved").count() == resolved
            {
                stage.fail("happy-otter-123");
            }
            let senders = senders(&alertmanager);
            if senders == both { Ok(()) } else { Err(format!("{senders:?}")) }
        });
        wait_for_statuses(&pager, "that it fires", |all| all.last().is_some_and(|last| last == "firing"));
        let all = wait_for_statuses(&pager, "its end", |all| all.last().is_some_and(|last| last == "resolved"));
        assert_eq!(all, ["firing", "resolved"].repeat(resolved + 1), "incident {}", resolved + 1);
        wait_for("nobody to say that it fires", PATIENCE, || {
            let senders = senders(&alertmanager);
            if senders.is_empty() { Ok(()) } else { Err(format!("{senders:?}")) }
        });
    }
    // Both senders are one group, and nobody else is told.
    let groups: BTreeSet<String> =
        pager.requests().iter().map(|request| request.body["groupKey"].as_str().unwrap().to_owned()).collect();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(statuses(&chat), [""; 0]);
    daemon.stop();
}
