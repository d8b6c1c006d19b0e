//! Secrets and reloads: what is said of a wrong configuration, and what a right one changes.

use super::super::daemon::Daemon;
use super::super::sender::{Sender, array};
use super::super::waiting::{PATIENCE, wait_for};
use super::{CLOUD, FORWARDED, KEY, OLD, Place, SECRET, cloud, intake};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Reads the configuration again, and says whether it was taken.
fn reload(daemon: &mut Daemon, place: &Place, config: &str, secret: &str) -> bool {
    place.write(config);
    fs::write(place.root.path().join("secret"), secret).unwrap();
    let said = |daemon: &Daemon| {
        ["read again and is in use", "was not taken"].map(|words| daemon.log().matches(words).count())
    };
    let before = said(daemon);
    daemon.signal("HUP");
    let after = wait_for("the reload", PATIENCE, || {
        Some(said(daemon)).filter(|now| *now != before).ok_or_else(|| daemon.log())
    });
    let taken = daemon.metrics().sum("storagewatch_config_last_reload_successful", &[]) as u64;
    assert_eq!(taken == 1, after[0] > before[0]);
    taken == 1
}

#[test]
fn a_reload_takes_up_webhooks_and_secrets_and_a_wrong_one_changes_nothing() {
    let file = "[[source.file]]\nname = \"logs\"\npaths = [\"none.log\"]\n";
    let place = Place::new(file);
    let mut daemon = place.start();
    assert!(!daemon.log().contains("taken in"), "no webhook, no listener");
    assert!(reload(&mut daemon, &place, &format!("{file}{CLOUD}"), SECRET));
    let metrics = daemon.metrics();
    assert!(metrics.knows("storagewatch_webhook_requests_total", &[("source", "cloud")]));
    daemon.wait_for_metrics("the webhook to be up", PATIENCE, |metrics| {
        let up = metrics.sum("storagewatch_source_up", &[("source", "cloud")]) as u64;
        if up == 1 { Ok(()) } else { Err(up.to_string()) }
    });
    let address = intake(&daemon);
    let status = |secret: &str, number: u64| {
        let body = array("tall-heron-1", number..number + 1);
        Sender::new(address, "/ingest/cloud", secret).post(&body).map_or(0, |answer| answer.status)
    };
    assert_eq!([status(SECRET, 0), status(OLD, 1), status("new", 2)], [200, 200, 401]);
    // Another secret joins, the old one goes.
    let one = "[[source.webhook]]\nname = \"cloud\"\nsecrets = [\"file:secret\"]\n";
    assert!(reload(&mut daemon, &place, &format!("{file}{one}"), "new"));
    assert_eq!([status(SECRET, 3), status(OLD, 4), status("new", 5)], [401, 401, 200]);
    // A secret that is not there: nothing changes.
    assert!(!reload(&mut daemon, &place, &format!("{file}{one}"), ""));
    assert_eq!(status("new", 6), 200);
    // The last webhook goes, and its listener with it; then both are back.
    assert!(reload(&mut daemon, &place, file, "new"));
    assert_eq!(status("new", 7), 0);
    assert!(reload(&mut daemon, &place, &format!("{file}{one}"), "new"));
    let address = wait_for("another intake", PATIENCE, || {
        Some(intake(&daemon)).filter(|at| *at != address).ok_or_else(|| daemon.log())
    });
    assert_eq!(Sender::new(address, "/ingest/cloud", "new").status(&array("tall-heron-1", 8..9)), 200);
    daemon.wait_for_accesses("tall-heron-1", 5);
    daemon.stop();
}

#[test]
fn a_source_that_was_taken_out_of_the_configuration_keeps_its_counts_and_stands_nowhere() {
    let place = Place::new(&format!("{CLOUD}{FORWARDED}"));
    let mut daemon = place.start();
    assert_eq!(cloud(&daemon).status(&array("tall-heron-1", 0..5)), 200);
    daemon.wait_for_accesses("tall-heron-1", 5);
    let stands = |daemon: &mut Daemon, source: &str| {
        let metrics = daemon.metrics();
        let knows = |name: &str| metrics.knows(&format!("storagewatch_source_{name}"), &[("source", source)]);
        assert!(knows("lines_total") && knows("skipped_total"), "counters never end: {source}");
        let gauges = ["up", "lag_bytes", "last_read_timestamp_seconds"].map(knows);
        let status = crate::watch::http::Client::new(daemon.address, "x").get("/api/v1/status").unwrap().body;
        let status: Value = serde_json::from_str(&status).unwrap();
        let shown = status["sources"].as_array().unwrap().iter().any(|shown| shown["source"] == source);
        (gauges, shown)
    };
    assert_eq!(stands(&mut daemon, "cloud"), ([true; 3], true));
    assert!(reload(&mut daemon, &place, FORWARDED, SECRET));
    let gone = |daemon: &mut Daemon| {
        wait_for("it to be gone", PATIENCE, || {
            let stands = stands(daemon, "cloud");
            if stands == ([false; 3], false) { Ok(()) } else { Err(format!("{stands:?}")) }
        });
    };
    gone(&mut daemon);
    assert_eq!(stands(&mut daemon, "forwarded"), ([true, true, false], true));
    daemon.kill();
    let mut daemon = place.start();
    gone(&mut daemon);
    // Named again, it is there again.
    assert!(reload(&mut daemon, &place, &format!("{CLOUD}{FORWARDED}"), SECRET));
    wait_for("it to be back", PATIENCE, || {
        let stands = stands(&mut daemon, "cloud");
        if stands == ([true, true, false], true) { Ok(()) } else { Err(format!("{stands:?}")) }
    });
    assert!(daemon.metrics().sum("storagewatch_source_up", &[("source", "cloud")]) > 0.0);
    daemon.stop();
}

#[test]
fn a_secret_that_is_not_there_is_an_error_at_the_start_and_no_secret_is_shown() {
    let place = Place::new(CLOUD);
    fs::remove_file(place.root.path().join("old")).unwrap();
    let ended = Daemon::try_start(&mut place.command()).err().expect("it does not start");
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    let line = ended.log.lines().find(|line| line.starts_with("storagewatch: ")).unwrap();
    assert!(line.contains("source 'cloud'") && line.contains("/old cannot be read"), "{line}");
    let checked = Command::new(env!("CARGO_BIN_EXE_storagewatch")).arg("check").arg(&place.config).output().unwrap();
    let (out, err) = (String::from_utf8(checked.stdout).unwrap(), String::from_utf8(checked.stderr).unwrap());
    assert!(
        checked.status.success() && out.contains("secrets = [\"file:") && err.contains("/old cannot be read"),
        "{err}"
    );
    for secret in [SECRET, OLD, KEY] {
        assert!(!format!("{out}{err}{}", ended.log).contains(secret));
    }
}

#[test]
fn a_secret_is_taken_without_the_newline_at_its_end_and_what_else_is_odd_about_it_is_told() {
    let place = Place::new(
        "[[source.webhook]]\nname = \"cloud\"\nsecrets = [\"env:WITH_NEWLINE\", \"env:BLANK\"]\nkeys = [\"env:QUOTED\"]\n\
         [[source.convex]]\nname = \"polled\"\nurl = \"http://127.0.0.1:1\"\nkey = \"env:BLANK\"\n",
    );
    let odd =
        [("WITH_NEWLINE", format!("{SECRET}\r\n")), ("BLANK", format!(" {OLD}\n")), ("QUOTED", format!("'{KEY}'"))];
    let daemon = Daemon::start(place.command().envs(odd.clone()));
    let body = array("tall-heron-1", 0..1);
    assert_eq!(cloud(&daemon).status(&body), 200);
    assert_eq!(Sender::new(intake(&daemon), "/ingest/cloud", OLD).status(&body), 401);
    assert_eq!(Sender::new(intake(&daemon), "/ingest/cloud", &format!(" {OLD}")).status(&body), 200);
    let told = [
        "source 'cloud': the secret env:BLANK has blanks around it",
        "source 'polled': the secret env:BLANK has blanks around it",
        "source 'cloud': the secret env:QUOTED has quotes around it",
    ];
    told.iter().for_each(|told| daemon.wait_for_words(told, 1));
    let mut check = Command::new(env!("CARGO_BIN_EXE_storagewatch"));
    let checked = check.arg("check").arg(&place.config).envs(odd).output().unwrap();
    let err = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.success() && told.iter().all(|told| err.contains(told)), "{err}");
    let said = format!("{err}{}", daemon.stop());
    assert!(!said.contains("WITH_NEWLINE") && [SECRET, OLD, KEY].iter().all(|secret| !said.contains(secret)), "{said}");
}
