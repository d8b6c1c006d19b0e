//! The thread that keeps the ledger: it takes batches, counts them, commits, and publishes what was committed.
//!
//! Batches that wait while a commit is under way go into the next one together. Where a commit fails, what was counted
//! stays in memory, unpublished, and goes into the next attempt. Alerts alone do not wait for it: a failure must reach
//! somebody even where the disk is full, and that it may be told again after a restart is the lesser evil.

mod counting;
mod rows;

use super::bodies::Bodies;
use super::counts::{Place, PlaceCounts, SourceCounts, SourceState};
use super::scrapers::Scrapers;
use super::store::{Rows, Store, StoreError};
use super::{Scrape, View};
use crate::alert::{self, Alerts, Board, Snapshot};
use crate::attribute::{Evidence, Known};
use crate::dedupe::Dedupe;
use crate::event::{Hosting, Timestamp};
use crate::row::Row;
use crate::source::{Batch, Delivery};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Keys of records that are kept.
const KEYS: usize = 1_000_000;

/// A key that makes room earlier than this after it was seen is counted, in milliseconds.
const KEY_AGE: i64 = 7 * 24 * 3600 * 1000;

/// Batches in one commit at the most.
const GROUP: usize = 256;

/// Deliveries that wait for one commit. Further ones are not taken, so that a disk that fails for long fills no memory.
const MAX_DELIVERIES: usize = 4096;

/// Failures that are remembered for the page.
const FAILURES: usize = 20;

/// How often scrapes are looked at while newborn series wait for them, and otherwise.
const WHILE_HELD: Duration = Duration::from_millis(20);
const AT_REST: Duration = Duration::from_millis(500);

/// Deployments that are counted together with others and still told apart, to know how many they are.
const MAX_FOLDED: usize = 100_000;

/// What is said of a deployment by its name.
type ByName<T> = Box<dyn Fn(&str) -> T + Send>;

/// What the configuration says of deployments.
pub struct Rules {
    /// Where a deployment runs, by its name.
    pub hosting: ByName<Option<Hosting>>,
    /// Whether the configuration names it: such deployments are never counted together with others.
    pub is_named: ByName<bool>,
    /// How many deployments there may be.
    pub max_deployments: usize,
    /// What it says of alerts.
    pub alerts: alert::Rules,
}

/// What the keeper is told.
pub enum Message {
    /// Something was read.
    Batch(Box<Batch>),
    /// Something was read, and somebody waits for its commit.
    Delivery(Box<Delivery>),
    /// The configuration has changed.
    Rules(Box<Rules>),
    /// There is something on the board.
    Notified,
    /// To be answered when everything before it was committed and published, or could not be.
    Flush(SyncSender<()>),
}

/// The ledger's state, and how it becomes durable.
pub struct Keeper {
    store: Store,
    rules: Rules,
    places: BTreeMap<Place, Arc<PlaceCounts>>,
    sources: BTreeMap<Arc<str>, SourceCounts>,
    known: Known,
    dedupe: Dedupe,
    next_key: u64,
    keys_seen: HashMap<u64, i64>,
    bodies: Bodies,
    scrapers: Scrapers,
    deployments: HashSet<Arc<str>>,
    folded: HashSet<Arc<str>>,
    /// Published, except for what is pending.
    view: Arc<RwLock<View>>,
    next: View,
    pending: Pending,
    cursors: Vec<((String, String), String)>,
    alerts: Alerts,
    /// Where those who send find what was committed, and where they leave word.
    sent: watch::Sender<Snapshot>,
    board: Arc<Board>,
    next_failure: u64,
    /// Sources of which nothing was known before this run and that have not caught up: what they cannot use is history.
    first_sight: HashSet<Arc<str>>,
    /// When what is being counted is counted.
    now: Timestamp,
    /// To be answered after the next commit.
    flushes: Vec<SyncSender<()>>,
}

/// What was counted since the last commit that succeeded.
#[derive(Default)]
struct Pending {
    places: BTreeSet<Place>,
    sources: BTreeSet<Arc<str>>,
    known: BTreeMap<Arc<str>, (Evidence, Hosting)>,
    cursors: BTreeMap<(String, String), Option<String>>,
    keys: Vec<(u64, (u128, i64))>,
    failures: VecDeque<(u64, Arc<Row>)>,
    notifications: bool,
    bodies: Vec<(u64, (u128, i64))>,
    /// Who waits for the commit.
    deliveries: Vec<oneshot::Sender<()>>,
    something: bool,
}

impl Keeper {
    /// Opens the ledger in a directory, or in memory.
    pub fn open(directory: Option<&Path>, mut rules: Rules) -> Result<Self, StoreError> {
        let store = Store::open(directory)?;
        let rows = if directory.is_some() { store.rows()? } else { Rows::default() };
        let alerts = Alerts::new(std::mem::take(&mut rules.alerts));
        let mut keeper = Self {
            store,
            rules,
            places: BTreeMap::new(),
            sources: BTreeMap::new(),
            known: Known::default(),
            dedupe: Dedupe::new(KEYS),
            next_key: 0,
            keys_seen: HashMap::new(),
            bodies: Bodies::default(),
            scrapers: Scrapers::default(),
            deployments: HashSet::new(),
            folded: HashSet::new(),
            view: Arc::default(),
            next: View::default(),
            pending: Pending::default(),
            cursors: Vec::new(),
            alerts,
            sent: watch::Sender::default(),
            board: Arc::default(),
            next_failure: 0,
            first_sight: HashSet::new(),
            now: Timestamp::default(),
            flushes: Vec::new(),
        };
        keeper.load(rows).map_err(|(row, reason)| StoreError::Damaged {
            path: directory.unwrap_or(Path::new("")).join(super::store::FILE),
            reason: format!("row {row}: {reason}"),
        })?;
        keeper.expect();
        keeper.retire();
        keeper.next.alerts = keeper.alerts.snapshot();
        keeper.publish(None);
        Ok(keeper)
    }

    /// The rows that a source left here.
    pub fn cursors(&self, source: &str) -> Vec<(String, String)> {
        let own = self.cursors.iter().filter(|((owner, _), _)| owner == source);
        own.map(|((_, name), value)| (name.clone(), value.clone())).collect()
    }

    /// The sources that left rows here.
    pub fn owners(&self) -> BTreeSet<&str> {
        self.cursors.iter().map(|((owner, _), _)| owner.as_str()).collect()
    }

    /// What is published.
    pub fn view(&self) -> Arc<RwLock<View>> {
        Arc::clone(&self.view)
    }

    /// What was committed of alerts, and where those who send leave word.
    pub fn outbox(&self) -> (watch::Receiver<Snapshot>, Arc<Board>) {
        (self.sent.subscribe(), Arc::clone(&self.board))
    }

    /// Works until nobody can send any more; then what is pending is committed.
    pub fn run(mut self, messages: &Receiver<Message>, scrapes: &Receiver<Scrape>, now: impl Fn() -> Timestamp) {
        // What was quiet for long enough meanwhile is resolved before anybody is told that it fires still.
        self.now = now();
        self.alerts.tick(self.now, &self.next.sources, self.next.caught_up);
        self.commit();
        self.sent.send_replace(Arc::clone(&self.next.alerts));
        loop {
            let wait = if self.scrapers.is_awaited() { WHILE_HELD } else { AT_REST };
            let first = messages.recv_timeout(wait);
            self.now = now();
            for scrape in scrapes.try_iter() {
                self.note(scrape);
            }
            match first {
                Ok(message) => {
                    self.take(message);
                    for message in messages.try_iter().take(GROUP) {
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.hear();
                    self.commit();
                    return;
                }
            }
            let now = now();
            self.now = now;
            self.bodies.expire(now);
            self.release(now);
            self.hear();
            self.alerts.tick(now, &self.next.sources, self.next.caught_up);
            // Who scrapes is known after a restart, too.
            if self.scrapers.is_stale(now) {
                self.scrapers.saved(now);
                self.pending.something = true;
            }
            self.commit();
            for flush in self.flushes.drain(..) {
                let _ = flush.try_send(());
            }
        }
    }

    /// Takes what those who send have left word of.
    fn hear(&mut self) {
        let mut notes = self.board.take();
        for (receiver, sent) in std::mem::take(&mut notes.sent) {
            let counts = self.next.notifications.entry(receiver).or_default();
            counts.iter_mut().zip(sent).for_each(|(count, more)| *count += more);
            self.pending.notifications = true;
        }
        self.alerts.notes(notes);
    }

    /// Puts to use what the configuration says of deployments that are there.
    fn expect(&mut self) {
        for (place, counts) in &mut self.places {
            let expects_direct = (self.alerts.rules().deployment)(&place.deployment).expects_direct;
            if counts.expects_direct != expects_direct {
                Arc::make_mut(counts).expects_direct = expects_direct;
                self.pending.places.insert(place.clone());
                self.pending.something = true;
            }
        }
        for receiver in &self.alerts.rules().receivers {
            self.next.notifications.entry(Arc::clone(receiver)).or_default();
        }
    }

    /// Lets go of how sources stand that the configuration does not name: their counts stay, since counters never end.
    fn retire(&mut self) {
        let rules = &self.alerts.rules().sources;
        let is_read = |name: &Arc<str>| rules.iter().any(|rules| rules.name == *name);
        self.next.retired = self.next.sources.keys().filter(|name| !is_read(name)).cloned().collect();
        self.next.probes.retain(|(_, source), _| is_read(source));
        for name in &self.next.retired {
            if let Some((_, state)) = self.next.sources.get_mut(name) {
                *state = SourceState::default();
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.count(*batch),
            Message::Delivery(delivery) => self.deliver(*delivery),
            Message::Rules(mut rules) => {
                self.alerts.set_rules(std::mem::take(&mut rules.alerts));
                self.rules = *rules;
                self.expect();
                self.retire();
                self.pending.something = true;
            }
            // What is on the board is taken before each commit.
            Message::Notified => {}
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    fn note(&mut self, scrape: Scrape) {
        let held = scrape.held.clone();
        let scraper = scrape.scraper.clone();
        self.scrapers.note(scrape);
        for place in &held {
            if let Some(counts) = self.places.get_mut(place)
                && let Some(hold) = &mut Arc::make_mut(counts).held
                && !hold.seen_by.contains(&scraper)
            {
                hold.seen_by.push(scraper.clone());
                self.scrapers.prune(hold);
                self.pending.places.insert(place.clone());
                self.pending.something = true;
            }
        }
    }

    /// Lets newborn series show what was counted, where everybody has seen them at 0.
    fn release(&mut self, now: Timestamp) {
        for place in self.scrapers.held() {
            let Some(counts) = self.places.get_mut(&place) else { continue };
            let free = counts.held.as_ref().is_none_or(|hold| self.scrapers.have_seen(hold, now));
            if free {
                Arc::make_mut(counts).held = None;
                self.scrapers.forget(&place);
                self.pending.places.insert(place);
                self.pending.something = true;
            }
        }
    }

    fn commit(&mut self) {
        if !self.pending.something && !self.pending.notifications && !self.alerts.has_changed() {
            return;
        }
        let write = self.write();
        let began = Instant::now();
        match self.store.commit(&write) {
            Ok(()) => {
                self.next.commits.add(began.elapsed().as_secs_f64());
                if self.next.trouble.take().is_some() {
                    tracing::info!("the ledger commits again");
                }
                self.next.failing_since = None;
                self.alerts.ledger_fails(None);
                self.bodies.forget_gone();
                let alerts = self.alerts.committed(self.now);
                self.publish(alerts);
            }
            Err(error) => {
                self.not_committed(error.to_string());
                // A full disk does not empty within a moment.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// Says why nothing was committed, and has alerts told and shown as they stand in memory.
    fn not_committed(&mut self, why: String) {
        if self.next.trouble.as_ref() != Some(&why) {
            tracing::error!("not committed, will try again: {why}");
        }
        // Who has given up waiting needs no answer.
        self.pending.deliveries.retain(|committed| !committed.is_closed());
        // A clock that was set back must not delay it.
        let since = self.next.failing_since.map_or(self.now, |since| since.min(self.now));
        self.alerts.ledger_fails(Some((since, why.clone())));
        (self.next.trouble, self.next.failing_since) = (Some(why), Some(since));
        if let Some(series) = self.alerts.series(&self.places) {
            self.next.alert_series = Arc::new(series);
        }
        let alerts = self.alerts.snapshot();
        let has_changed = !alert::is_same(&alerts, &self.next.alerts);
        if has_changed {
            self.next.alerts = Arc::clone(&alerts);
        }
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.trouble.clone_from(&self.next.trouble);
            view.failing_since = self.next.failing_since;
            view.alerts = Arc::clone(&self.next.alerts);
            view.alert_series = Arc::clone(&self.next.alert_series);
        }
        if has_changed {
            self.sent.send_replace(alerts);
        }
    }

    /// Shows what was committed, then has it told, where alerts have changed.
    fn publish(&mut self, alerts: Option<Snapshot>) {
        let pending = std::mem::take(&mut self.pending);
        for place in pending.places {
            if let Some(counts) = self.places.get(&place) {
                self.next.places.insert(place, Arc::clone(counts));
            }
        }
        for source in pending.sources {
            if let (Some(counts), Some(next)) = (self.sources.get(&source), self.next.sources.get_mut(&source)) {
                next.0.clone_from(counts);
            }
        }
        self.next.folded = self.folded.len() as u64;
        if let Some(series) = self.alerts.series(&self.places) {
            self.next.alert_series = Arc::new(series);
        }
        if let Some(alerts) = &alerts {
            self.next.alerts = Arc::clone(alerts);
        }
        self.view.write().unwrap_or_else(PoisonError::into_inner).clone_from(&self.next);
        if let Some(alerts) = alerts {
            self.sent.send_replace(alerts);
        }
        for committed in pending.deliveries {
            let _ = committed.send(());
        }
    }
}
