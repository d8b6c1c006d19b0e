//! What a receiver is to be told now.
//!
//! Enters the latest alerts, what this receiver took so far, and the time; leaves [`Notice`]s. The latest state wins: what
//! has happened to an alert while nobody was there is told once, as it stands. So nothing queues up.

use super::state::REPEATED;
use super::{Alert, Delivery, Key};
use crate::event::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often an Alertmanager is sent what it knows already, in milliseconds.
const AGAIN: i64 = 60 * 1000;

/// How far ahead an alert that fires ends, unless it is sent again, in milliseconds.
const AHEAD: i64 = 4 * 60 * 1000;

/// An Alertmanager that was away while an alert fired and was resolved is told that it fires for this long, in
/// milliseconds: of what begins as resolved it tells nobody.
const LATE: i64 = 2 * 60 * 1000;

/// How soon news that was refused by itself is tried again, at first and at last, in milliseconds: others go before.
const FIRST_REST: i64 = 250;
const LONGEST_REST: i64 = 30 * 1000;

/// A receiver that asks for more patience than this is tried again all the same.
pub(super) const MOST_PATIENCE: Duration = Duration::from_mins(5);

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Again and again what holds, as an Alertmanager does.
    Again,
    /// Once that an alert fires, and once that it does not any more.
    Once,
}

/// News of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The alert.
    pub alert: Arc<Alert>,
    /// When it was resolved; none while it fires.
    pub ended: Option<Timestamp>,
    /// When it began, as those who are told can take it: never after now, even where the clock was set back since.
    pub starts: Timestamp,
    /// When it ends if nothing further is said, or when it has ended.
    pub ends: Timestamp,
    /// Whether it has ended before those who are told could hear that it fired.
    pub missed: bool,
}

impl Notice {
    /// Whether what they heard of is over, and nothing is left to be done.
    pub(super) fn is_all_clear(&self) -> bool {
        self.ended.is_some() && !self.missed
    }
}

/// What one receiver took so far.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<Key, Account>);

/// What it took of one incident.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    since: Timestamp,
    delivery: Delivery,
    /// When it was last sent it, by this process.
    sent: Option<Timestamp>,
    refusal: Refusal,
}

/// Whether news was refused, and what follows from it.
#[derive(Clone, Copy, Debug, Default)]
struct Refusal {
    /// It was among others that were refused with it, or it was refused itself: it goes alone.
    alone: bool,
    /// How often it was refused by itself.
    count: u32,
    /// For how long it rests, in milliseconds, and when it is tried again.
    rest: i64,
    next: Timestamp,
}

impl Refusal {
    /// For how long it rests yet. A clock that was set back must not prolong it.
    fn rest(self, now: Timestamp) -> Option<i64> {
        Some(self.next.0 - now.0).filter(|left| (1..=self.rest).contains(left))
    }
}

impl Told {
    /// What is due now, and in how many milliseconds something is due if nothing changes.
    pub(super) fn due(
        &mut self,
        receiver: &str,
        manner: Manner,
        alerts: &[Arc<Alert>],
        now: Timestamp,
    ) -> (Vec<Notice>, Option<i64>) {
        // What has gone from the ledger was told, or is too old to tell.
        let mut old = std::mem::take(&mut self.0);
        let (mut due, mut wait) = (Vec::new(), None::<i64>);
        for alert in alerts {
            // Whoever does not stand in it does not want to know.
            let Some(committed) = alert.deliveries.get(receiver) else { continue };
            let account = old.remove(&alert.key).filter(|account| account.since == alert.since);
            let account = account.unwrap_or(Account {
                since: alert.since,
                delivery: *committed,
                sent: None,
                refusal: Refusal::default(),
            });
            self.0.insert(alert.key.clone(), account);
            let next = match (next(alert, account, manner, now), account.refusal.rest(now)) {
                (Next::Now(_), Some(left)) => Next::In(left),
                (next, _) => next,
            };
            match next {
                Next::Now(ended) => {
                    let ends = ended.unwrap_or(Timestamp(now.0 + AHEAD));
                    let starts = alert.since.min(now).min(ends);
                    let missed = ended.is_some() && account.delivery.told.is_none();
                    due.push(Notice { alert: Arc::clone(alert), ended, starts, ends, missed });
                }
                Next::In(left) => wait = Some(wait.map_or(left, |wait| wait.min(left))),
                Next::Never => {}
            }
        }
        (due, wait)
    }

    /// What of it goes into one request with so many at the most: one that nobody takes together with others goes alone,
    /// and after them.
    pub(super) fn together(&self, mut due: Vec<Notice>, at_once: usize) -> Vec<Notice> {
        let alone = |notice: &Notice| self.0.get(&notice.alert.key).is_some_and(|account| account.refusal.alone);
        if due.iter().all(alone) {
            due.truncate(1);
        } else {
            due.retain(|notice| !alone(notice));
            due.truncate(at_once);
        }
        due
    }

    /// Notes that the receiver refused these. Which of several it refuses shows when each goes alone; one that it refuses
    /// alone rests, longer each time, or as long as the receiver asks. Leaves whether that is known of it already.
    pub(super) fn refused(&mut self, notices: &[Notice], now: Timestamp, asked: Option<Duration>) -> bool {
        for notice in notices {
            if let Some(account) = self.0.get_mut(&notice.alert.key) {
                account.refusal.alone = true;
            }
        }
        let [only] = notices else { return false };
        let Some(account) = self.0.get_mut(&only.alert.key) else { return false };
        let refusal = &mut account.refusal;
        let asked = asked.map_or(0, |asked| asked.min(MOST_PATIENCE).as_millis() as i64);
        refusal.rest = (FIRST_REST << refusal.count.min(16)).min(LONGEST_REST).max(asked);
        refusal.next = Timestamp(now.0 + refusal.rest);
        refusal.count = refusal.count.saturating_add(1);
        refusal.count > 1
    }

    /// Notes that the receiver took these; leaves those of which the ledger does not know.
    pub(super) fn took<'n>(&mut self, notices: &'n [Notice], now: Timestamp) -> Vec<&'n Notice> {
        let mut news = Vec::new();
        for notice in notices {
            let Some(account) = self.0.get_mut(&notice.alert.key) else { continue };
            account.sent = Some(now);
            account.refusal = Refusal::default();
            let phase = if notice.ended.is_some() { &mut account.delivery.closed } else { &mut account.delivery.told };
            if phase.is_none() {
                *phase = Some(now);
                news.push(notice);
            }
        }
        news
    }
}

enum Next {
    /// To be sent, as firing or as ended at a time.
    Now(Option<Timestamp>),
    /// In so many milliseconds.
    In(i64),
    /// Unless something changes.
    Never,
}

fn next(alert: &Alert, account: Account, manner: Manner, now: Timestamp) -> Next {
    let Delivery { told, closed } = account.delivery;
    let at = |time: i64, ended| if now.0 >= time { Next::Now(ended) } else { Next::In(time - now.0) };
    // A clock that was set back must not stop it.
    let again = |sent: Timestamp, ended| if sent > now { Next::Now(ended) } else { at(sent.0 + AGAIN, ended) };
    match (manner, alert.resolved) {
        (Manner::Once, None) if told.is_none() => Next::Now(None),
        (Manner::Once, Some(resolved)) if closed.is_none() => Next::Now(Some(resolved)),
        (Manner::Once, _) => Next::Never,
        (Manner::Again, None) => match account.sent {
            None => Next::Now(None),
            Some(sent) => again(sent, None),
        },
        (Manner::Again, Some(resolved)) => {
            let Some(told) = told else { return Next::Now(None) };
            let ended = if resolved > now {
                // The clock was set back, and what comes after the resolution is far.
                now
            } else {
                // Told late, it fires a while for this receiver.
                let late = if told > resolved { told.0 + LATE } else { resolved.0 };
                Timestamp(late).max(alert.lingers)
            };
            match (closed, account.sent) {
                (None, sent) if now < ended => match sent.map_or(Next::Now(None), |sent| again(sent, None)) {
                    Next::In(left) => Next::In(left.min(ended.0 - now.0)),
                    next => next,
                },
                (None, _) => Next::Now(Some(ended)),
                (Some(closed), _) if now.0 - closed.0 >= REPEATED => Next::Never,
                (Some(_), Some(sent)) => again(sent, Some(ended)),
                (Some(_), None) => Next::Now(Some(ended)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Detail, Name};

    const SECOND: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND;

    fn alert(since: i64, resolved: Option<i64>) -> Arc<Alert> {
        let (since, resolved) = (Timestamp(since), resolved.map(Timestamp));
        let deliveries = [(Arc::from("r"), Delivery::default())].into();
        let key = Key::own(Name::StoragewatchSkipping);
        let detail = Detail::default();
        Arc::new(Alert {
            key,
            since,
            count: 1,
            first: since,
            last: since,
            counted: since,
            detail,
            resolved,
            lingers: Timestamp(0),
            deliveries,
        })
    }

    /// A receiver that takes everything, and when it was told what: none while it fires, else when it ended.
    struct Receiver {
        told: Told,
        manner: Manner,
        got: Vec<(i64, Option<i64>)>,
        missed: Vec<bool>,
    }

    impl Receiver {
        fn new(manner: Manner) -> Self {
            Self { told: Told::default(), manner, got: Vec::new(), missed: Vec::new() }
        }

        fn look(&mut self, alert: &Arc<Alert>, now: i64) -> Option<i64> {
            let (due, wait) = self.told.due("r", self.manner, std::slice::from_ref(alert), Timestamp(now));
            self.told.took(&due, Timestamp(now));
            self.got.extend(due.iter().map(|notice| (now, notice.ended.map(|ended| ended.0))));
            self.missed.extend(due.iter().map(|notice| notice.missed));
            wait
        }
    }

    #[test]
    fn an_alertmanager_is_told_each_minute_and_five_minutes_of_the_end() {
        let mut receiver = Receiver::new(Manner::Again);
        for second in 0..=150 {
            receiver.look(&alert(0, None), second * SECOND);
        }
        assert_eq!(receiver.got, [(0, None), (MINUTE, None), (2 * MINUTE, None)]);
        receiver.got.clear();
        let end = 150 * SECOND + 1;
        for second in 151..=900 {
            receiver.look(&alert(0, Some(end)), second * SECOND);
        }
        let times: Vec<i64> = receiver.got.iter().map(|(at, _)| at / SECOND).collect();
        assert_eq!(times, [151, 211, 271, 331, 391]);
        assert!(receiver.got.iter().all(|(_, ended)| *ended == Some(end)));
    }

    #[test]
    fn a_webhook_is_told_once_of_the_beginning_and_once_of_the_end() {
        let mut receiver = Receiver::new(Manner::Once);
        for second in 0..100 {
            receiver.look(&alert(0, None), second * SECOND);
        }
        for second in 100..900 {
            receiver.look(&alert(0, Some(100_000)), second * SECOND);
        }
        assert_eq!(receiver.got, [(0, None), (100_000, Some(100_000))]);
        assert_eq!(receiver.missed, [false, false]);
    }

    #[test]
    fn a_new_incident_ends_the_resolution_of_the_old() {
        for manner in [Manner::Again, Manner::Once] {
            let mut receiver = Receiver::new(manner);
            receiver.look(&alert(0, None), 0);
            receiver.look(&alert(0, Some(10)), 10);
            receiver.look(&alert(20, None), 20);
            assert_eq!(receiver.got, [(0, None), (10, Some(10)), (20, None)], "{manner:?}");
        }
    }

    #[test]
    fn an_alertmanager_that_was_away_hears_first_that_it_fired() {
        let mut receiver = Receiver::new(Manner::Again);
        let gone = alert(0, Some(5));
        let end = 10 * MINUTE + LATE;
        assert_eq!(receiver.look(&gone, 10 * MINUTE), None);
        assert_eq!(receiver.look(&gone, 11 * MINUTE - 1), Some(1));
        receiver.look(&gone, 11 * MINUTE);
        assert_eq!(receiver.look(&gone, end - 1), Some(1));
        receiver.look(&gone, end);
        assert_eq!(receiver.got, [(10 * MINUTE, None), (11 * MINUTE, None), (end, Some(end))]);
        // A webhook is told what became of it.
        let mut webhook = Receiver::new(Manner::Once);
        webhook.look(&gone, 10 * MINUTE);
        assert_eq!(webhook.got, [(10 * MINUTE, Some(5))]);
        assert_eq!(webhook.missed, [true]);
    }

    #[test]
    fn an_alertmanager_is_told_that_it_fires_until_what_prometheus_says_is_over() {
        let mut gone = Alert::clone(&alert(0, Some(100 * SECOND)));
        gone.lingers = Timestamp(280 * SECOND);
        let gone = Arc::new(gone);
        let (mut alertmanager, mut webhook) = (Receiver::new(Manner::Again), Receiver::new(Manner::Once));
        for receiver in [&mut alertmanager, &mut webhook] {
            for second in 0..100 {
                receiver.look(&alert(0, None), second * SECOND);
            }
            for second in 100..=700 {
                receiver.look(&gone, second * SECOND);
            }
        }
        let got: Vec<_> =
            alertmanager.got.iter().map(|(at, ended)| (at / SECOND, ended.map(|at| at / SECOND))).collect();
        let firing = [0, 60, 120, 180, 240].map(|at| (at, None));
        let over = [280, 340, 400, 460, 520].map(|at| (at, Some(280)));
        assert_eq!(got, [firing, over].concat());
        // A webhook does not wait for that.
        assert_eq!(webhook.got, [(0, None), (100 * SECOND, Some(100 * SECOND))]);
    }

    #[test]
    fn nothing_begins_after_now_or_after_its_end() {
        for (since, first, resolved, later) in
            [(100, 10, None, 2 * MINUTE), (100, 10, Some(101), 11), (0, 10, Some(20), 30)]
        {
            let mut told = Told::default();
            for (now, resolved) in [(first, None), (later, resolved)] {
                let (due, _) = told.due("r", Manner::Again, &[alert(since, resolved)], Timestamp(now));
                told.took(&due, Timestamp(now));
                let [notice] = due.as_slice() else { panic!("{since} {now}: {due:?}") };
                assert_eq!(notice.ended.is_some(), resolved.is_some());
                assert!(notice.starts.0 <= now && notice.starts <= notice.ends, "{now}: {notice:?}");
                assert!(notice.ended.is_none_or(|ended| ended.0 <= now), "{now}: {notice:?}");
            }
        }
    }

    #[test]
    fn what_was_committed_as_told_is_not_told_again() {
        let mut known = Alert::clone(&alert(0, None));
        let delivery = Delivery { told: Some(Timestamp(1)), closed: None };
        known.deliveries.insert(Arc::from("r"), delivery);
        let known = Arc::new(known);
        let mut webhook = Receiver::new(Manner::Once);
        webhook.look(&known, 10);
        assert_eq!(webhook.got, []);
        // To an Alertmanager it is the same alert still.
        let mut alertmanager = Receiver::new(Manner::Again);
        assert_eq!(alertmanager.look(&known, 10), None);
        assert_eq!(alertmanager.look(&known, 11), Some(MINUTE - 1));
        assert_eq!(alertmanager.got, [(10, None)]);
        // Nor is anybody told who was not there when it was resolved.
        let mut other = Told::default();
        assert_eq!(other.due("new", Manner::Once, &[known], Timestamp(20)), (vec![], None));
    }

    fn named(name: Name) -> Arc<Alert> {
        let mut alert = Alert::clone(&alert(0, None));
        alert.key = Key::own(name);
        Arc::new(alert)
    }

    #[test]
    fn what_is_refused_rests_and_holds_up_no_other() {
        let all = [Name::StoragewatchSourceStalled, Name::StoragewatchSkipping, Name::StoragewatchNotificationsFailing];
        let all = all.map(named);
        let refused = |notices: &[Notice]| notices.iter().any(|notice| notice.alert.key == all[0].key);
        let mut told = Told::default();
        let mut requests = Vec::new();
        let mut known = Vec::new();
        for now in 0..1000 {
            let now = Timestamp(now);
            let (due, wait) = told.due("r", Manner::Once, &all, now);
            if due.is_empty() {
                assert!(wait.is_some(), "it is not tried again");
                continue;
            }
            let batch = told.together(due, 2);
            requests.push((now.0, batch.iter().map(|notice| notice.alert.key.name).collect::<Vec<_>>()));
            if refused(&batch) {
                known.push(told.refused(&batch, now, None));
            } else {
                told.took(&batch, now);
            }
        }
        let [bad, good, other] = all.each_ref().map(|alert| alert.key.name);
        let expected = [
            (0, vec![bad, good]),
            (1, vec![other]),
            (2, vec![bad]),
            (3, vec![good]),
            (252, vec![bad]),
            (752, vec![bad]),
        ];
        assert_eq!(requests, expected);
        assert_eq!(known, [false, false, true, true]);
        // It rests no longer than that, even where the clock was set back.
        for _ in 0..100 {
            told.refused(
                &[Notice {
                    alert: Arc::clone(&all[0]),
                    ended: None,
                    starts: Timestamp(0),
                    ends: Timestamp(0),
                    missed: false,
                }],
                Timestamp(1000),
                None,
            );
        }
        let due = |told: &mut Told, now: i64| told.due("r", Manner::Once, &all[..1], Timestamp(now)).0.len();
        assert_eq!(due(&mut told, 1000 + LONGEST_REST - 1), 0);
        assert_eq!(due(&mut told, 1000 + LONGEST_REST), 1);
        assert_eq!(due(&mut told, 500), 1);
        // What was taken goes with others again.
        let (taken, _) = told.due("r", Manner::Once, &all[..1], Timestamp(500));
        told.took(&taken, Timestamp(500));
        assert_eq!(told.together([taken.clone(), taken].concat(), 2).len(), 2);
    }

    #[test]
    fn what_is_refused_rests_as_long_as_is_asked_for_within_reason() {
        for (asked, expected) in [(90, 90), (7200, 300)] {
            let mut told = Told::default();
            let alert = alert(0, None);
            let mut due = |now: i64| {
                let (due, _) = told.due("r", Manner::Once, std::slice::from_ref(&alert), Timestamp(now));
                told.refused(&due, Timestamp(now), Some(Duration::from_secs(asked)));
                due.len()
            };
            assert_eq!([0, expected * SECOND - 1, expected * SECOND].map(&mut due), [1, 0, 1]);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let mut receiver = Receiver::new(Manner::Again);
        receiver.look(&alert(0, None), 100 * MINUTE);
        receiver.look(&alert(0, None), MINUTE);
        receiver.look(&alert(0, None), 2 * MINUTE);
        assert_eq!(receiver.got, [(100 * MINUTE, None), (MINUTE, None), (2 * MINUTE, None)]);
    }
}
