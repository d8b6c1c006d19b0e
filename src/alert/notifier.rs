//! The tasks that send, one a receiver: none waits for another, and none holds up what counts.
//!
//! Enters the latest [`Snapshot`] after each commit, over a channel that keeps one and no more; leaves requests, and
//! notes on the [`Board`]. What is not taken is tried again, later each time, as it stands then. Where several are refused
//! together, each is tried alone: one that a receiver does not want rests, and keeps it from none of the others.

use super::due::{MOST_PATIENCE, Notice, Told};
use super::receiver::{NotTaken, client};
use super::{Alert, Board, Delivered, Delivery, Detail, Key, Name, Receiver, Sent, Snapshot};
use crate::event::Timestamp;
use crate::ledger::Message;
use reqwest::Client;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How soon what was not taken is tried again at first, and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often a task looks at the clock: it may have been set.
const LOOK: Duration = Duration::from_secs(30);

/// What all tasks share.
#[derive(Clone)]
struct Shared {
    board: Arc<Board>,
    /// Tells the ledger that there is something on the board.
    wake: SyncSender<Message>,
    page: Page,
    now: fn() -> Timestamp,
}

/// The address of the status page, as those who are told can use it. The configuration may change it.
pub type Page = Arc<RwLock<Arc<str>>>;

/// The tasks.
pub struct Notifier {
    runtime: Handle,
    shared: Shared,
    /// Made when there is somebody to be told: it takes a while to read the system's certificates.
    client: Option<Client>,
    alerts: watch::Receiver<Snapshot>,
    tasks: Vec<(Receiver, JoinHandle<()>)>,
    /// Where the status page is unless the configuration says otherwise.
    own_page: Arc<str>,
    /// True once what is due is to be sent and nothing more.
    finish: watch::Sender<bool>,
}

impl Notifier {
    /// Nobody is told yet.
    pub fn new(
        runtime: Handle,
        alerts: watch::Receiver<Snapshot>,
        board: Arc<Board>,
        wake: SyncSender<Message>,
        own_page: &str,
        now: fn() -> Timestamp,
    ) -> Self {
        let own_page: Arc<str> = Arc::from(own_page);
        let page = Arc::new(RwLock::new(Arc::clone(&own_page)));
        let shared = Shared { board, wake, page, now };
        let finish = watch::Sender::new(false);
        Self { runtime, shared, client: None, alerts, tasks: Vec::new(), own_page, finish }
    }

    /// The address of the status page.
    pub fn page(&self) -> Page {
        Arc::clone(&self.shared.page)
    }

    /// Tells these receivers from now on, and no others. Whoever is told already goes on.
    pub fn apply(&mut self, receivers: &[Receiver], external_url: Option<&str>) -> anyhow::Result<()> {
        let page = external_url.unwrap_or(&self.own_page);
        *self.shared.page.write().unwrap_or_else(PoisonError::into_inner) = Arc::from(page);
        self.tasks.retain(|(receiver, task)| {
            let stays = receivers.contains(receiver);
            if !stays {
                task.abort();
            }
            stays
        });
        self.shared.board.keep(&receivers.iter().map(|receiver| Arc::clone(&receiver.name)).collect::<Vec<_>>());
        for receiver in receivers {
            if self.tasks.iter().all(|(other, _)| other != receiver) {
                let client = match &self.client {
                    Some(client) => client.clone(),
                    None => self.client.insert(client()?).clone(),
                };
                let (shared, alerts, finish) = (self.shared.clone(), self.alerts.clone(), self.finish.subscribe());
                let task = self.runtime.spawn(tell(receiver.clone(), client, shared, alerts, finish));
                self.tasks.push((receiver.clone(), task));
            }
        }
        Ok(())
    }

    /// Lets what is due be sent, as far as that is done in time, and ends. Not to be called within a runtime.
    pub fn stop(self, grace: Duration) {
        let Self { runtime, tasks, finish, shared, .. } = self;
        let _ = finish.send(true);
        drop(shared);
        runtime.block_on(async {
            let end = tokio::time::Instant::now() + grace;
            for (receiver, mut task) in tasks {
                if tokio::time::timeout_at(end, &mut task).await.is_err() {
                    tracing::warn!("{} has not taken what is due; it is told after the next start", receiver.name);
                    task.abort();
                    let _ = task.await;
                }
            }
        });
    }
}

/// Tells one receiver whatever it is to be told.
async fn tell(
    receiver: Receiver,
    client: Client,
    shared: Shared,
    mut alerts: watch::Receiver<Snapshot>,
    mut finish: watch::Receiver<bool>,
) {
    let mut told = Told::default();
    // How many requests in a row had no answer or a bad one, and whether the last one was not taken.
    let (mut failures, mut in_trouble) = (0, false);
    loop {
        let finishing = *finish.borrow_and_update();
        let snapshot = Arc::clone(&alerts.borrow_and_update());
        let now = (shared.now)();
        let (due, wait) = told.due(&receiver.name, receiver.kind.manner(), &snapshot, now);
        if due.is_empty() {
            if finishing {
                return;
            }
            let pause = wait.map_or(LOOK, |wait| Duration::from_millis(wait.max(1) as u64).min(LOOK));
            tokio::select! {
                changed = alerts.changed() => if changed.is_err() { return },
                changed = finish.changed() => if changed.is_err() { return },
                () = sleep(pause) => {}
            }
            continue;
        }
        let due = told.together(due, receiver.kind.at_once());
        let page = Arc::clone(&shared.page.read().unwrap_or_else(PoisonError::into_inner));
        match receiver.send(&client, &due, &page).await {
            Ok(()) => {
                if in_trouble {
                    tracing::info!("{} takes notifications again", receiver.name);
                }
                (failures, in_trouble) = (0, false);
                let at = (shared.now)();
                let news = told.took(&due, at).into_iter();
                shared.note(&receiver, Sent::Ok, news.map(|notice| delivered(&receiver, notice, at)).collect());
            }
            Err(error) => {
                let is_known = error.refused && told.refused(&due, (shared.now)(), error.retry_after);
                if is_known && !in_trouble {
                    // It takes others, so that it does not take this one says nothing new of it.
                    tracing::debug!("{} still refuses {}: {error}", receiver.name, due[0].alert.key.name);
                    shared.board.count(&receiver.name, Sent::Refused);
                    continue;
                }
                if in_trouble {
                    tracing::debug!("{} did not take a notification: {error}", receiver.name);
                } else {
                    tracing::warn!("{} did not take a notification, it will be tried again: {error}", receiver.name);
                }
                in_trouble = true;
                failures = if error.refused { 0 } else { failures + 1 };
                shared.note(&receiver, if error.refused { Sent::Refused } else { Sent::Failed }, Vec::new());
                if finishing && error.refused {
                    continue;
                }
                if finishing {
                    return;
                }
                // Whoever refuses one may want the next, which does not wait for it.
                let pause = if error.refused { FIRST_PAUSE } else { pause(failures, &error) };
                tokio::select! {
                    changed = finish.changed() => if changed.is_err() { return },
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

impl Shared {
    fn note(&self, receiver: &Receiver, result: Sent, delivered: Vec<Delivered>) {
        self.board.note(&receiver.name, result, (self.now)(), delivered);
        // Where there is no room, the ledger is at work and looks by itself.
        let _ = self.wake.try_send(Message::Notified);
    }
}

fn delivered(receiver: &Receiver, notice: &Notice, at: Timestamp) -> Delivered {
    Delivered {
        receiver: Arc::clone(&receiver.name),
        key: notice.alert.key.clone(),
        since: notice.alert.since,
        closed: notice.ended.is_some(),
        at,
    }
}

/// How long to wait after so many failures.
fn pause(failures: u32, error: &NotTaken) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16));
    let own = doubled.min(LONGEST_PAUSE);
    error.retry_after.map_or(own, |asked| asked.clamp(own, MOST_PATIENCE.max(own)))
}

/// Whether a receiver took it, or why not.
pub type Taken = Result<(), String>;

/// Sends every receiver an alert that is marked as a test, at the same time, and says what became of it.
pub fn send_test(receivers: &[Receiver], page: &str, now: Timestamp) -> anyhow::Result<Vec<(Arc<str>, Taken)>> {
    let key = Key::own(Name::StoragewatchTest);
    let what = "This is a test that somebody sent with 'storagewatch check --send-test-alert'. Nothing is wrong.";
    let detail = Detail { what: Some(what.to_owned()), ..Detail::default() };
    let deliveries = receivers.iter().map(|receiver| (Arc::clone(&receiver.name), Delivery::default())).collect();
    let (since, resolved, lingers) = (now, None, now);
    let alert =
        Alert { key, since, count: 1, first: now, last: now, counted: now, detail, resolved, lingers, deliveries };
    // It ends by itself.
    let ends = Timestamp(now.0 + 4 * 60 * 1000);
    let notice = Notice { alert: Arc::new(alert), ended: None, starts: now, ends, missed: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = client()?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for receiver in receivers.iter().cloned() {
            let (client, notice, page) = (client.clone(), notice.clone(), page.to_owned());
            tasks.push(tokio::spawn(async move {
                let notices = [notice];
                let sent = timeout(Duration::from_secs(20), receiver.send(&client, &notices, &page)).await;
                let sent =
                    sent.map_or_else(|_| Err("no answer in time".to_owned()), |sent| sent.map_err(|e| e.to_string()));
                (Arc::clone(&receiver.name), sent)
            }));
        }
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await?);
        }
        Ok(results)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_later_each_time_and_as_late_as_is_asked_for() {
        let after = |failures, asked: Option<u64>| {
            let error = NotTaken::asking(asked.map(Duration::from_secs));
            pause(failures, &error).as_millis()
        };
        assert_eq!(
            [1, 2, 3, 7, 8, 100].map(|failures| after(failures, None)),
            [250, 500, 1000, 16_000, 30_000, 30_000]
        );
        assert_eq!(after(1, Some(7)), 7_000);
        assert_eq!(after(1, Some(0)), 250, "not at once");
        assert_eq!(after(1, Some(3600)), 300_000, "nor in an hour");
    }
}
