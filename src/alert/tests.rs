//! Alerts under a clock that is made up.

mod sources;

use super::board::Notes;
use super::*;
use crate::attribute::{Attribution, Evidence};
use crate::event::{Cause, Event, Layers, Origin};
use crate::ledger::{Place, PlaceCounts, SourceCounts, SourceState};
use crate::row::Row;
use std::time::Duration;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const START: i64 = 1_795_422_000_000;

type Sources = BTreeMap<Arc<str>, (SourceCounts, SourceState)>;

fn event(outcome: Outcome) -> Event {
    Event {
        logged: None,
        time: None,
        outcome,
        cause: (outcome == Outcome::DirectFailed).then_some(Cause::BackendError),
        origin: Arc::new(Origin::default()),
        function: Some("zip:run".to_owned()),
        function_type: None,
        storage_id: Some("kg2".to_owned()),
        size_bytes: None,
        reason: None,
        error: Some("no \u{1b}[31m luck".to_owned()),
        level: None,
        request_id: Some("6f1c".to_owned()),
        execution_id: None,
        format: Layers::default(),
        offset: 0,
        truncated: false,
        identity: None,
    }
}

/// An event that was read of a source, in a place.
fn row(event: Event, source: &str, place: &Place) -> Row {
    let Place { deployment, hosting } = place.clone();
    let (deployment_type, project, evidence) = (None, None, Evidence::None);
    let attribution = Attribution { deployment, hosting, evidence, deployment_type, project };
    Row { event, attribution, source: Arc::from(source), expects_direct: false }
}

fn place(deployment: &str, hosting: Hosting) -> Place {
    Place { deployment: Arc::from(deployment), hosting }
}

fn source(name: &str, silent_after: Option<i64>) -> SourceRules {
    let silent_after = silent_after.map(|millis| Duration::from_millis(millis as u64));
    let is_stdin = name == "stdin";
    SourceRules { name: Arc::from(name), silent_after, may_end: is_stdin, catches_up: !is_stdin, replays: is_stdin }
}

fn rules() -> Rules {
    let deployment = |name: &str| match name {
        "strict" => DeploymentRules {
            expects_direct: true,
            severity: Some(Severity::Info),
            window: Some(Duration::from_mins(1)),
        },
        _ => DeploymentRules::default(),
    };
    let sources = vec![source("files", Some(10 * MINUTE)), source("stdin", None)];
    Rules { deployment: Box::new(deployment), sources, receivers: vec![Arc::from("r")], ..Rules::default() }
}

/// Alerts, and how sources stand.
struct Stage {
    alerts: Alerts,
    sources: Sources,
    committed: BTreeMap<String, String>,
    heard: Option<String>,
}

impl Stage {
    fn new() -> Self {
        let mut stage =
            Self { alerts: Alerts::new(rules()), sources: Sources::new(), committed: BTreeMap::new(), heard: None };
        stage.read("files", 0, START);
        stage
    }

    /// Something is read of a source, which is up and has no more.
    fn read(&mut self, source: &str, bytes: u64, at: i64) {
        let (counts, state) = self.sources.entry(Arc::from(source)).or_default();
        counts.bytes += bytes;
        *state = SourceState { last_read: Some(Timestamp(at)), up: true, ..SourceState::default() };
    }

    fn event(&mut self, now: i64, place: &Place, kind: Option<&str>, outcome: Outcome) {
        let row = row(event(outcome), "files", place);
        self.alerts.event(Timestamp(now), place, kind, Timestamp(now), &row);
    }

    fn tick(&mut self, now: i64) {
        self.alerts.tick(Timestamp(now), &self.sources, true);
        for (row, value) in self.alerts.rows() {
            match value {
                Some(value) => self.committed.insert(row, value),
                None => self.committed.remove(&row),
            };
        }
        self.heard = self.alerts.heard().or(self.heard.take());
        self.alerts.committed(Timestamp(now));
    }

    /// Everything but what was committed is forgotten.
    fn restart(&mut self) {
        self.restart_with(rules());
    }

    fn restart_with(&mut self, rules: Rules) {
        self.alerts = Alerts::new(rules);
        let rows = self.committed.clone().into_iter().collect();
        self.alerts.load(rows, self.heard.as_deref()).unwrap();
        self.sources.values_mut().for_each(|(_, state)| *state = SourceState::default());
    }

    fn firing(&self) -> Vec<Name> {
        self.alerts.snapshot().iter().filter(|alert| alert.is_firing()).map(|alert| alert.key.name).collect()
    }

    fn only(&self) -> Arc<Alert> {
        let all = self.alerts.snapshot();
        assert_eq!(all.len(), 1, "{all:?}");
        Arc::clone(&all[0])
    }

    fn take_it_all(&mut self, at: i64) {
        let closed = |alert: &Alert| !alert.is_firing();
        let all = self.alerts.snapshot();
        let delivered = all.iter().map(|alert| Delivered {
            receiver: Arc::from("r"),
            key: alert.key.clone(),
            since: alert.since,
            closed: closed(alert),
            at: Timestamp(at),
        });
        let failing = [(Arc::from("r"), None)].into();
        let notes = Notes { delivered: delivered.collect(), failing, ..Notes::default() };
        self.alerts.notes(notes);
    }
}

#[test]
fn the_policy_decides_what_fires_and_how_urgent_it_is() {
    use {Hosting as H, Name as N, Outcome as O, Severity as S};
    for (hosting, kind, outcome, expected) in [
        (H::Cloud, None, O::DirectFailed, Some((N::ConvexStorageDirectFailed, S::Critical))),
        (H::Cloud, Some("preview"), O::DirectFailed, Some((N::ConvexStorageDirectFailed, S::Warning))),
        (H::Unknown, None, O::DirectFailed, Some((N::ConvexStorageDirectFailed, S::Critical))),
        (H::SelfHosted, None, O::DirectFailed, Some((N::ConvexStorageDirectFailedSelfHosted, S::Warning))),
        (H::Local, None, O::DirectFailed, Some((N::ConvexStorageDirectFailedSelfHosted, S::Info))),
        (H::Cloud, None, O::HttpFallback, Some((N::ConvexStorageFallbackDegraded, S::Warning))),
        (H::SelfHosted, None, O::HttpFallback, None),
        (H::Unknown, None, O::HttpFallback, None),
        (H::Cloud, None, O::Direct, None),
        (H::Cloud, None, O::Other, None),
    ] {
        let mut stage = Stage::new();
        stage.event(START, &place("a", hosting), kind, outcome);
        let found: Vec<_> = stage.alerts.snapshot().iter().map(|a| (a.key.name, a.key.severity)).collect();
        assert_eq!(found, Vec::from_iter(expected), "{hosting} {kind:?} {outcome}");
    }
    // What the configuration says of a deployment goes before.
    let mut stage = Stage::new();
    stage.event(START, &place("strict", H::SelfHosted), None, O::HttpFallback);
    let key = stage.only().key.clone();
    assert_eq!((key.name, key.severity), (N::ConvexStorageFallbackDegraded, S::Info));
}

#[test]
fn an_incident_lasts_until_its_window_is_quiet() {
    let mut stage = Stage::new();
    let otter = place("happy-otter-123", Hosting::Cloud);
    for second in [0, 100, 399] {
        stage.event(START + second * SECOND, &otter, None, Outcome::DirectFailed);
        stage.tick(START + second * SECOND);
    }
    stage.tick(START + 399 * SECOND + 5 * MINUTE - 1);
    let alert = stage.only();
    assert!(alert.is_firing());
    assert_eq!((alert.since.0, alert.count), (START, 3));
    assert_eq!((alert.first.0, alert.last.0), (START, START + 399 * SECOND));
    stage.tick(START + 399 * SECOND + 5 * MINUTE + EACH);
    assert_eq!(stage.only().resolved, Some(Timestamp(START + 399 * SECOND + 5 * MINUTE + EACH)));
    // A deployment's own window.
    let mut stage = Stage::new();
    stage.event(START, &place("strict", Hosting::Cloud), None, Outcome::DirectFailed);
    stage.tick(START + 59 * SECOND);
    assert_eq!(stage.firing().len(), 1);
    stage.tick(START + 60 * SECOND);
    assert_eq!(stage.firing(), []);
}

const EACH: i64 = 100;

#[test]
fn what_happens_after_a_resolution_is_a_new_incident() {
    let mut stage = Stage::new();
    let otter = place("happy-otter-123", Hosting::Cloud);
    stage.event(START, &otter, None, Outcome::DirectFailed);
    let first = stage.only();
    stage.tick(START + 6 * MINUTE);
    stage.take_it_all(START + 6 * MINUTE);
    // Even where the clock was set back to before it.
    stage.event(START - MINUTE, &otter, None, Outcome::DirectFailed);
    let second = stage.only();
    assert!(second.is_firing() && second.since > first.since && second.since.0 > START + 6 * MINUTE);
    assert_eq!(second.count, 1);
    assert_eq!(second.deliveries, [(Arc::from("r"), Delivery::default())].into());
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_an_alert_for_ever() {
    let mut stage = Stage::new();
    stage.event(START + 600 * MINUTE, &place("a", Hosting::Cloud), None, Outcome::DirectFailed);
    stage.tick(START + 600 * MINUTE);
    stage.tick(START);
    assert_eq!(stage.firing().len(), 1);
    stage.tick(START + 5 * MINUTE);
    assert_eq!(stage.firing(), []);
}

#[test]
fn history_alerts_nobody() {
    let mut stage = Stage::new();
    let otter = place("happy-otter-123", Hosting::Cloud);
    let mut at = |source: &str, age: i64| {
        let failed = row(event(Outcome::DirectFailed), source, &otter);
        let (now, time) = (Timestamp(START), Timestamp(START - age));
        stage.alerts.event(now, &otter, None, time, &failed);
        std::mem::replace(&mut stage.alerts, Alerts::new(rules())).snapshot().len()
    };
    assert_eq!(at("files", 6 * MINUTE), 1, "what was written while it was down");
    assert_eq!(at("files", 24 * 60 * MINUTE), 1);
    assert_eq!(at("files", 24 * 60 * MINUTE + 1), 0, "older than max_age");
    assert_eq!(at("stdin", 5 * MINUTE), 1);
    assert_eq!(at("stdin", 5 * MINUTE + 1), 0, "replayed, and older than the window");
}

#[test]
fn a_restart_neither_forgets_nor_repeats() {
    let mut stage = Stage::new();
    let otter = place("happy-otter-123", Hosting::Cloud);
    stage.event(START, &otter, None, Outcome::DirectFailed);
    stage.tick(START);
    let before = stage.only();
    stage.restart();
    assert_eq!(stage.only(), before);
    assert_eq!(stage.only().deliveries, [(Arc::from("r"), Delivery::default())].into());
    stage.take_it_all(START + 1);
    stage.tick(START + SECOND);
    stage.restart();
    let told = Delivery { told: Some(Timestamp(START + 1)), closed: None };
    assert_eq!(stage.only().deliveries, [(Arc::from("r"), told)].into());
    stage.event(START + MINUTE, &otter, None, Outcome::DirectFailed);
    assert_eq!((stage.only().since, stage.only().count), (before.since, 2));
}

#[test]
fn what_nobody_took_is_kept_for_a_day_and_what_was_taken_for_five_minutes() {
    for (taken, minutes) in [(true, 5), (false, 24 * 60)] {
        let mut stage = Stage::new();
        stage.alerts.set_rules(Rules { sources: Vec::new(), keep_firing_for: Duration::ZERO, ..rules() });
        stage.event(START, &place("a", Hosting::Cloud), None, Outcome::DirectFailed);
        let resolved = START + 5 * MINUTE;
        stage.tick(resolved);
        if taken {
            stage.take_it_all(resolved + 1);
        }
        stage.tick(resolved + minutes * MINUTE - EACH);
        assert_eq!(stage.alerts.snapshot().len(), 1, "{taken}");
        stage.tick(resolved + minutes * MINUTE);
        assert_eq!(stage.alerts.snapshot().len(), 0, "{taken}");
        assert!(stage.committed.is_empty(), "{:?}", stage.committed);
    }
}

#[test]
fn what_an_alertmanager_is_told_longer_is_kept_longer() {
    let mut stage = Stage::new();
    stage.alerts.set_rules(Rules { sources: Vec::new(), ..rules() });
    stage.event(START, &place("a", Hosting::Cloud), None, Outcome::DirectFailed);
    let resolved = START + 5 * MINUTE;
    stage.tick(resolved);
    let alert = stage.only();
    assert_eq!((alert.resolved, alert.lingers), (Some(Timestamp(resolved)), Timestamp(resolved + 3 * MINUTE)));
    stage.take_it_all(resolved + 3 * MINUTE);
    stage.tick(resolved + 8 * MINUTE - EACH);
    assert_eq!(stage.alerts.snapshot().len(), 1);
    stage.tick(resolved + 8 * MINUTE);
    assert_eq!(stage.alerts.snapshot().len(), 0);
}

#[test]
fn an_alert_of_an_older_ledger_is_read() {
    let mut stage = Stage::new();
    stage.event(START, &place("a", Hosting::Cloud), None, Outcome::DirectFailed);
    stage.tick(START);
    let alert = stage.only();
    for value in stage.committed.values_mut() {
        let older = value.replace(",\"lingers\":0", "");
        assert_ne!(older, *value);
        *value = older;
    }
    stage.restart();
    assert_eq!(stage.only(), alert);
}

#[test]
fn other_receivers_are_told_what_fires_and_not_what_was_over_before() {
    let mut stage = Stage::new();
    stage.event(START, &place("old", Hosting::Cloud), None, Outcome::DirectFailed);
    stage.tick(START + 6 * MINUTE);
    stage.event(START + 6 * MINUTE, &place("new", Hosting::Cloud), None, Outcome::DirectFailed);
    stage.alerts.set_rules(Rules { receivers: vec![Arc::from("other")], ..rules() });
    for alert in &*stage.alerts.snapshot() {
        let told: Vec<&str> = alert.deliveries.keys().map(|receiver| &**receiver).collect();
        let expected: &[&str] = if alert.is_firing() { &["other"] } else { &[] };
        assert_eq!(told, expected, "{alert:?}");
    }
}

#[test]
fn nobody_taking_notifications_for_five_minutes_is_told_to_everybody() {
    let mut stage = Stage::new();
    stage.alerts.set_rules(Rules { receivers: vec![Arc::from("r"), Arc::from("s")], sources: Vec::new(), ..rules() });
    let stand = |r: Option<i64>, s: Option<i64>| {
        let failing = [("r", r), ("s", s)].map(|(name, since)| (Arc::from(name), since.map(Timestamp)));
        Notes { failing: failing.into(), ..Notes::default() }
    };
    let mut at = |now: i64, notes: Notes| {
        stage.alerts.notes(notes);
        stage.tick(now);
        stage.firing()
    };
    let now = START + 10 * MINUTE;
    assert_eq!(at(now, stand(Some(START), None)), [], "one takes them");
    assert_eq!(at(now + 1000, stand(Some(START), Some(now - 5 * MINUTE + 1001))), []);
    assert_eq!(at(now + 2000, stand(Some(START), Some(now - 5 * MINUTE))), [Name::StoragewatchNotificationsFailing]);
    assert_eq!(at(now + 3000, stand(None, Some(now - 5 * MINUTE))), []);
}

#[test]
fn a_ledger_that_fails_for_a_minute_alerts_until_it_commits_again() {
    let mut stage = Stage::new();
    stage.alerts.set_rules(Rules { sources: Vec::new(), ..rules() });
    let fails = |since: i64| Some((Timestamp(since), "no space left".to_owned()));
    let mut at = |now: i64, fails: Option<(Timestamp, String)>| {
        stage.alerts.ledger_fails(fails);
        stage.tick(now);
        stage.firing()
    };
    assert_eq!(at(START, fails(START)), []);
    assert_eq!(at(START + MINUTE - 1, fails(START)), []);
    assert_eq!(at(START + MINUTE + EACH, fails(START)), [Name::StoragewatchLedgerFailing]);
    // After a restart it must fail anew, or it is over.
    assert_eq!(at(START + MINUTE + 2 * EACH, fails(START + MINUTE)), [Name::StoragewatchLedgerFailing]);
    assert_eq!(at(START + MINUTE + 3 * EACH, None), []);
    let alert = stage.only();
    let what = alert.detail.what.as_deref().unwrap();
    assert!(what.ends_with("could be made durable: no space left."), "{what}");
    assert_eq!(alert.key.severity, Severity::Critical);
}

#[test]
fn the_series_are_there_before_an_alert_fires() {
    let mut stage = Stage::new();
    let counts = |kind: Option<&str>| {
        Arc::new(PlaceCounts { deployment_type: kind.map(str::to_owned), ..PlaceCounts::default() })
    };
    let (cloud, own) = (place("c", Hosting::Cloud), place("strict", Hosting::SelfHosted));
    let places = BTreeMap::from([(cloud.clone(), counts(Some("dev"))), (own, counts(None))]);
    let show = |series: BTreeMap<Series, bool>| -> Vec<String> {
        let text = |(s, fires): (Series, bool)| {
            format!("{} {} {} {} {}", s.name, s.deployment, s.hosting, s.severity.as_str(), u8::from(fires))
        };
        series.into_iter().map(text).collect()
    };
    let before = [
        "ConvexStorageDirectFailed c cloud warning 0",
        "ConvexStorageDirectFailedSelfHosted strict self_hosted info 0",
        "ConvexStorageFallbackDegraded c cloud info 0",
        "ConvexStorageFallbackDegraded strict self_hosted info 0",
        "ConvexStorageLogsSilent   warning 0",
        "StoragewatchSourceStalled   warning 0",
        "StoragewatchSkipping   warning 0",
        "StoragewatchNotificationsFailing   critical 0",
        "StoragewatchLedgerFailing   critical 0",
    ];
    assert_eq!(show(stage.alerts.series(&places).unwrap()), before);
    assert_eq!(stage.alerts.series(&places), None, "nothing has changed");
    stage.event(START, &cloud, Some("dev"), Outcome::DirectFailed);
    let firing = show(stage.alerts.series(&places).unwrap());
    assert_eq!(firing[0], "ConvexStorageDirectFailed c cloud warning 1");
    assert_eq!(firing[1..], before[1..]);
}

#[test]
fn what_an_alert_says() {
    let mut stage = Stage::new();
    let otter = place("happy-otter-123", Hosting::Cloud);
    stage.event(START, &otter, None, Outcome::DirectFailed);
    stage.event(START + MINUTE, &otter, None, Outcome::DirectFailed);
    let alert = stage.only();
    let of = |name: &str| {
        let found = annotations(&alert, "http://watch:1").into_iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value).unwrap_or_default()
    };
    assert_eq!(
        labels(&alert),
        [
            ("alertname", "ConvexStorageDirectFailed"),
            ("deployment", "happy-otter-123"),
            ("hosting", "cloud"),
            ("severity", "critical"),
            ("sender", "storagewatch"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    );
    assert_eq!(of("summary"), "Storage access failed in happy-otter-123");
    assert_eq!(
        of("description"),
        "2 storage accesses failed (hosting: cloud), from 2026-11-23T08:20:00.000Z to 2026-11-23T08:21:00.000Z, the last \
         in zip:run; cause: backend_error."
    );
    assert_eq!(of("runbook_url"), "http://watch:1/runbook/ConvexStorageDirectFailed");
    assert_eq!((of("count"), of("function"), of("storage_id")), ("2".into(), "zip:run".into(), "kg2".into()));
    assert_eq!((of("cause"), of("request_id")), ("backend_error".into(), "6f1c".into()));
    assert_eq!(of("error"), "no \\u{1b}[31m luck");
    assert!(of("advice").starts_with("The backend answered"), "{}", of("advice"));
}

#[test]
fn an_alert_about_deployments_that_are_counted_together_names_them() {
    let mut stage = Stage::new();
    let other = place("__other__", Hosting::Cloud);
    let mut fail = |name: &str, at: i64| {
        let row = row(event(Outcome::DirectFailed), "files", &place(name, Hosting::Cloud));
        stage.alerts.event(Timestamp(START + SECOND), &other, None, Timestamp(START + at), &row);
        stage.only()
    };
    let of = |alert: &Alert, name: &str| {
        let found = annotations(alert, "http://watch:1").into_iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value).unwrap_or_default()
    };
    let first = fail("happy-otter-1", 0);
    assert_eq!(of(&first, "summary"), "Storage access failed in happy-otter-1 (counted in __other__)");
    assert_eq!(of(&first, "deployments"), "happy-otter-1");
    assert!(of(&first, "description").ends_with("; deployments: happy-otter-1."), "{}", of(&first, "description"));
    fail("happy-otter-2", 1);
    // One that is older than what is known already is named, too.
    let third = fail("happy-\u{1b}-3", -1);
    assert_eq!(labels(&third), labels(&first));
    assert_eq!(of(&third, "summary"), "Storage access failed in happy-\\u{1b}-3 and others (counted in __other__)");
    assert_eq!(of(&third, "deployments"), "happy-\\u{1b}-3, happy-otter-2, happy-otter-1");
    let last = (0..50).map(|number| fail(&format!("otter-{number}"), number)).last().unwrap();
    assert_eq!(last.detail.folded.len(), 10);
    assert!(of(&last, "deployments").starts_with("otter-49, otter-48, "), "{}", of(&last, "deployments"));
    assert!(of(&last, "deployments").ends_with(", otter-40 and perhaps others"), "{}", of(&last, "deployments"));
}
