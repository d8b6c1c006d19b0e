//! Alerts about sources: silent, stalled, or with input that cannot be used.

use super::super::*;
use super::{MINUTE, SECOND, START, Stage, rules, source};
use crate::ledger::{Skipped, SourceCounts, SourceState};

#[test]
fn a_source_that_was_heard_of_for_too_long_is_silent_until_it_is_heard_again() {
    let mut stage = Stage::new();
    for second in 0..600 {
        stage.tick(START + second * SECOND);
    }
    assert_eq!(stage.firing(), []);
    stage.tick(START + 600 * SECOND);
    assert_eq!(stage.firing(), [Name::ConvexStorageLogsSilent]);
    assert_eq!(stage.only().key.source.as_deref(), Some("files"));
    // A restart changes nothing in that: neither before it has looked, nor after.
    stage.restart();
    for second in 601..640 {
        stage.tick(START + second * SECOND);
        assert_eq!(stage.firing(), [Name::ConvexStorageLogsSilent], "{second}");
    }
    assert_eq!(stage.only().since.0, START + 600 * SECOND);
    stage.read("files", 1, START + 640 * SECOND);
    stage.tick(START + 640 * SECOND);
    assert_eq!(stage.firing(), []);
    // That it was heard is known after a restart, too.
    stage.restart();
    for second in 641..900 {
        stage.sources.get_mut("files").unwrap().1.up = true;
        stage.tick(START + second * SECOND);
        assert_eq!(stage.firing(), [], "{second}");
    }
}

#[test]
fn what_was_heard_before_silence_did_not_matter_for_a_while_is_forgotten() {
    let matters = rules;
    let does_not = || Rules { sources: vec![source("files", None)], ..rules() };
    let day = 24 * 60 * MINUTE;
    for restarts in [false, true] {
        let mut stage = Stage::new();
        stage.tick(START);
        if restarts {
            stage.restart_with(does_not());
        } else {
            stage.alerts.set_rules(does_not());
        }
        stage.tick(START + SECOND);
        // A day later it matters again.
        stage.restart_with(matters());
        for second in 0..60 {
            stage.tick(START + day + second * SECOND);
            assert_eq!(stage.firing(), [], "{restarts} {second}");
        }
    }
}

#[test]
fn silence_is_not_told_before_what_was_written_meanwhile_is_read() {
    let mut stage = Stage::new();
    stage.tick(START);
    stage.restart();
    // It was down for an hour; reading on takes a moment.
    let back = START + 60 * MINUTE;
    stage.tick(back);
    stage.tick(back + SECOND);
    assert_eq!(stage.firing(), []);
    stage.read("files", 1, back + SECOND);
    stage.tick(back + 5 * SECOND);
    assert_eq!(stage.firing(), []);
}

#[test]
fn a_source_stalls_that_is_down_or_behind_for_five_minutes() {
    for (up, lag_bytes) in [(false, 0), (true, 100)] {
        let mut stage = Stage::new();
        stage.alerts.set_rules(Rules { sources: vec![source("files", None)], ..rules() });
        stage.tick(START);
        stage.sources.get_mut("files").unwrap().1 = SourceState { lag_bytes, up, ..SourceState::default() };
        for second in 1..300 {
            stage.tick(START + second * SECOND);
            assert_eq!(stage.firing(), [], "{second}");
        }
        stage.tick(START + 301 * SECOND);
        assert_eq!(stage.firing(), [Name::StoragewatchSourceStalled]);
        // A restart does not end it as long as the source is as it was.
        stage.restart();
        stage.alerts.set_rules(Rules { sources: vec![source("files", None)], ..rules() });
        stage.sources.get_mut("files").unwrap().1 = SourceState { lag_bytes, up, ..SourceState::default() };
        stage.tick(START + 302 * SECOND);
        assert_eq!(stage.firing(), [Name::StoragewatchSourceStalled]);
        stage.read("files", 1, START + 303 * SECOND);
        stage.tick(START + 303 * SECOND);
        assert_eq!(stage.firing(), []);
    }
}

#[test]
fn a_line_without_its_end_stalls_nothing_and_one_that_is_whole_does() {
    for (begun_bytes, expected) in [(100, &[][..]), (99, &[Name::StoragewatchSourceStalled])] {
        let mut stage = Stage::new();
        stage.alerts.set_rules(Rules { sources: vec![source("files", None)], ..rules() });
        for second in 0..400 {
            stage.sources.get_mut("files").unwrap().1 =
                SourceState { lag_bytes: 100, begun_bytes, up: true, ..SourceState::default() };
            stage.tick(START + second * SECOND);
        }
        assert_eq!(stage.firing(), expected, "{begun_bytes}");
    }
}

#[test]
fn a_source_that_is_behind_and_moves_does_not_stall() {
    let mut stage = Stage::new();
    for second in 0..1000 {
        stage.read("files", 1, START + second * SECOND);
        stage.sources.get_mut("files").unwrap().1.lag_bytes = 1 << 30;
        stage.tick(START + second * SECOND);
    }
    // Nor does one, in a machine that has slept.
    stage.tick(START + 5000 * SECOND);
    assert_eq!(stage.firing(), []);
}

#[test]
fn sources_that_are_gone_from_the_configuration_alert_nobody() {
    let mut stage = Stage::new();
    for second in 0..=600 {
        stage.tick(START + second * SECOND);
    }
    assert_eq!(stage.firing(), [Name::ConvexStorageLogsSilent]);
    stage.alerts.set_rules(Rules { sources: Vec::new(), ..rules() });
    stage.tick(START + 601 * SECOND);
    assert_eq!(stage.firing(), []);
}

#[test]
fn input_that_is_skipped_alerts_and_copies_do_not() {
    let mut stage = Stage::new();
    let files: Arc<str> = Arc::from("files");
    let mut counts = SourceCounts::default();
    for reason in [Skipped::Duplicate, Skipped::Cached] {
        counts.skip(reason, 9);
    }
    stage.alerts.counted(Timestamp(START), &files, &counts);
    assert_eq!(stage.firing(), []);
    counts.skip(Skipped::Oversize, 2);
    counts.lost_bytes = 77;
    counts.skip(Skipped::KeyForgotten, 1);
    stage.alerts.counted(Timestamp(START), &files, &counts);
    let alert = stage.only();
    assert_eq!((alert.key.name, alert.count), (Name::StoragewatchSkipping, 4));
    let what = alert.detail.what.as_deref().unwrap();
    let said = "2 skipped as oversize, 1 keys forgotten early, so that a repetition could count twice, 77 bytes lost";
    assert!(what.contains(said), "{what}");
}
