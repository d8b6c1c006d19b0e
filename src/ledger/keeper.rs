//! The thread that keeps the ledger: it takes batches, counts them, commits, and publishes what was committed.
//!
//! Batches that wait while a commit is under way go into the next one together. Where a commit fails, what was counted
//! stays in memory, unpublished, and goes into the next attempt.

use super::bodies::Bodies;
use super::counts::{Exemplar, Hold, OTHER_DEPLOYMENTS, Place, PlaceCounts, Skipped, SourceCounts, SourceState};
use super::scrapers::Scrapers;
use super::store::{Rows, Store, StoreError, Write};
use super::{Scrape, View};
use crate::alert::{self, Alerts, Board, Snapshot};
use crate::attribute::{Attribution, Evidence, Known, attribute};
use crate::dedupe::{self, Dedupe};
use crate::event::{Event, Hosting, Identity, Origin, Outcome, Timestamp};
use crate::policy::Verdict;
use crate::row::Row;
use crate::source::{Batch, Delivery, Found};
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
        keeper.next.alerts = keeper.alerts.snapshot();
        keeper.publish(None);
        Ok(keeper)
    }

    fn load(&mut self, rows: Rows) -> Result<(), (String, serde_json::Error)> {
        for (key, value) in rows.places {
            let place: Place = serde_json::from_str(&key).map_err(|error| (key.clone(), error))?;
            let counts = serde_json::from_str(&value).map_err(|error| (key, error))?;
            self.deployments.insert(Arc::clone(&place.deployment));
            self.places.insert(place, Arc::new(counts));
        }
        for (key, value) in rows.sources {
            let counts = serde_json::from_str(&value).map_err(|error| (key.clone(), error))?;
            self.sources.insert(Arc::from(key), counts);
        }
        for (key, value) in rows.known {
            let (evidence, hosting) = serde_json::from_str(&value).map_err(|error| (key.clone(), error))?;
            self.known.learn(Arc::from(key), evidence, hosting);
        }
        for (number, (key, seen)) in rows.keys {
            self.dedupe.note(key);
            self.keys_seen.insert(number, seen);
            self.next_key = number + 1;
        }
        self.bodies = Bodies::of(rows.bodies);
        let mut heard = None;
        for (key, value) in rows.meta {
            match key.as_str() {
                "scrapers" => self.scrapers = serde_json::from_str(&value).map_err(|error| (key, error))?,
                "notifications" => {
                    self.next.notifications = serde_json::from_str(&value).map_err(|error| (key, error))?;
                }
                "heard" => heard = Some(value),
                _ => {}
            }
        }
        self.alerts.load(rows.alerts, heard.as_deref())?;
        for (number, value) in rows.failures {
            let (event, attribution, source, expects_direct) =
                serde_json::from_str(&value).map_err(|error| (format!("failure {number}"), error))?;
            self.next.failures.push_front(Arc::new(Row { event, attribution, source, expects_direct }));
            self.next_failure = number + 1;
        }
        self.next.failures.truncate(FAILURES);
        self.next.places = self.places.clone();
        self.next.sources = self
            .sources
            .iter()
            .map(|(name, counts)| (Arc::clone(name), (counts.clone(), SourceState::default())))
            .collect();
        self.cursors = rows.cursors;
        Ok(())
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

    fn take(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.count(*batch),
            Message::Delivery(delivery) => self.deliver(*delivery),
            Message::Rules(mut rules) => {
                self.alerts.set_rules(std::mem::take(&mut rules.alerts));
                self.rules = *rules;
                self.expect();
                self.pending.something = true;
            }
            // What is on the board is taken before each commit.
            Message::Notified => {}
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    fn count(&mut self, mut batch: Batch) {
        self.pending.something = true;
        for found in std::mem::take(&mut batch.found) {
            match found {
                Found::Event(event) => self.event(*event, &mut batch, false),
                Found::History(event) => self.event(*event, &mut batch, true),
                Found::Overflow { origin, identity } => {
                    let attribution = self.attribution(&origin, &batch);
                    if !self.is_repeat(identity, &attribution, &mut batch) {
                        self.place(&attribution, &origin, batch.read_at).1.overflows += 1;
                    }
                }
                Found::Deployment(origin) => {
                    let attribution = self.attribution(&origin, &batch);
                    self.place(&attribution, &origin, batch.read_at);
                }
                Found::Probe { origin, paths } => {
                    self.next.probes.retain(|_, (source, _)| *source != batch.source);
                    if let Some(paths) = paths {
                        let Attribution { deployment, hosting, .. } = self.attribution(&origin, &batch);
                        let place = Place { deployment, hosting };
                        self.next.probes.insert(place, (Arc::clone(&batch.source), paths));
                    }
                }
            }
        }
        let mut rules = self.alerts.rules().sources.iter();
        if !self.sources.contains_key(&batch.source)
            && rules.any(|rules| rules.catches_up && rules.name == batch.source)
        {
            self.first_sight.insert(Arc::clone(&batch.source));
        }
        if batch.caught_up {
            self.first_sight.remove(&batch.source);
        }
        if !self.first_sight.contains(&batch.source) {
            self.alerts.counted(self.now, &batch.source, &batch.counts);
        }
        let counts = self
            .sources
            .entry(Arc::clone(&batch.source))
            .or_insert_with(|| SourceCounts { created: batch.read_at, ..SourceCounts::default() });
        counts.add(&batch.counts);
        self.pending.sources.insert(Arc::clone(&batch.source));
        let state = &mut self.next.sources.entry(Arc::clone(&batch.source)).or_default().1;
        let last_read = batch.state.last_read.max(state.last_read);
        *state = batch.state;
        state.last_read = last_read;
        self.next.caught_up |= batch.caught_up;
        for (name, value) in batch.cursors {
            self.pending.cursors.insert((batch.source.to_string(), name), value);
        }
    }

    /// Counts what a sender delivers again and again until it hears of the commit: once.
    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { mut batch, hash, newest, is_signed, committed } = delivery;
        if self.pending.deliveries.len().max(self.pending.bodies.len()) >= MAX_DELIVERIES {
            // Whoever waits sees that nothing will come.
            return;
        }
        if self.bodies.knows(hash) {
            batch.turn_away(Skipped::Duplicate);
        } else if is_signed && newest.is_some_and(|newest| Bodies::is_forgotten(newest, batch.read_at)) {
            batch.turn_away(Skipped::Stale);
        } else {
            let (row, had_to_go) = self.bodies.note(hash, newest, batch.read_at);
            self.pending.bodies.push(row);
            batch.counts.skip(Skipped::KeyForgotten, u64::from(had_to_go));
        }
        self.count(batch);
        self.pending.deliveries.push(committed);
    }

    fn event(&mut self, mut event: Event, batch: &mut Batch, is_history: bool) {
        let attribution = self.attribution(&event.origin, batch);
        if self.is_repeat(event.identity, &attribution, batch) {
            return;
        }
        // A time in the future is somebody's wrong clock.
        let time = event.time.map_or(batch.read_at, |time| time.min(batch.read_at));
        event.time.get_or_insert(batch.read_at);
        let origin = Arc::clone(&event.origin);
        let (place, counts) = self.place(&attribution, &origin, batch.read_at);
        let outcome = event.outcome as usize;
        counts.outcomes[outcome] += 1;
        counts.hour.add(time, event.outcome);
        if event.outcome == Outcome::DirectFailed
            && let Some(cause) = event.cause
        {
            counts.causes[cause as usize] += 1;
        }
        counts.truncated += u64::from(event.truncated);
        if let Some(size) = event.size_bytes {
            counts.sizes.add(size);
        }
        counts.last[outcome] = counts.last[outcome].max(Some(time));
        if event.request_id.is_some() || event.storage_id.is_some() {
            counts.exemplars[outcome] = Some(Exemplar {
                request_id: event.request_id.clone(),
                storage_id: event.storage_id.clone(),
                time: Some(time),
            });
        }
        let expects_direct = counts.expects_direct;
        let row = Row { event, attribution, source: Arc::clone(&batch.source), expects_direct };
        if !matches!(row.verdict(), Verdict::Investigate | Verdict::Degraded) {
            return;
        }
        if !is_history {
            let kind = self.places.get(&place).and_then(|counts| counts.deployment_type.as_deref());
            self.alerts.event(self.now, &batch.source, &place, kind, time, &row.event);
        }
        let row = Arc::new(row);
        self.next.failures.push_front(Arc::clone(&row));
        self.next.failures.truncate(FAILURES);
        self.pending.failures.push_back((self.next_failure, row));
        self.next_failure += 1;
        while self.pending.failures.len() > FAILURES {
            self.pending.failures.pop_front();
        }
    }

    fn attribution(&mut self, origin: &Origin, batch: &Batch) -> Attribution {
        let mut attribution = attribute(origin, &batch.given);
        let configured = (self.rules.hosting)(&attribution.deployment)
            .or(batch.given.hosting.filter(|_| batch.hosting_is_configured));
        if let Some(hosting) = configured {
            (attribution.hosting, attribution.evidence) = (hosting, Evidence::Config);
        } else if self.known.settle(&mut attribution) {
            let known = (attribution.evidence, attribution.hosting);
            self.pending.known.insert(Arc::clone(&attribution.deployment), known);
        }
        attribution
    }

    fn is_repeat(&mut self, identity: Option<Identity>, attribution: &Attribution, batch: &mut Batch) -> bool {
        let Some(identity) = identity else { return false };
        let key = dedupe::key(&attribution.deployment, identity);
        if self.dedupe.note(key) {
            batch.counts.skip(Skipped::Duplicate, 1);
            return true;
        }
        let seen = batch.read_at.0;
        self.pending.keys.push((self.next_key, (key, seen)));
        // While nothing can be committed, those pile up that a commit would drop at once.
        if self.pending.keys.len() >= 2 * KEYS {
            self.pending.keys.drain(..KEYS);
        }
        self.keys_seen.insert(self.next_key, seen);
        self.next_key += 1;
        if let Some(oldest) = self.next_key.checked_sub(KEYS as u64 + 1)
            && self.keys_seen.remove(&oldest).is_some_and(|then| seen - then < KEY_AGE)
        {
            batch.counts.skip(Skipped::KeyForgotten, 1);
        }
        false
    }

    /// The counts of a place, which is born if it is new.
    fn place(&mut self, attribution: &Attribution, origin: &Origin, now: Timestamp) -> (Place, &mut PlaceCounts) {
        let mut place = Place { deployment: Arc::clone(&attribution.deployment), hosting: attribution.hosting };
        let is_new = !self.places.contains_key(&place) && !self.deployments.contains(&place.deployment);
        if is_new && self.deployments.len() >= self.rules.max_deployments && !(self.rules.is_named)(&place.deployment) {
            if self.folded.len() < MAX_FOLDED {
                self.folded.insert(Arc::clone(&place.deployment));
            }
            place.deployment = Arc::from(OTHER_DEPLOYMENTS);
        } else if is_new {
            self.deployments.insert(Arc::clone(&place.deployment));
        }
        let is_other = &*place.deployment == OTHER_DEPLOYMENTS;
        self.pending.places.insert(place.clone());
        let (scrapers, alerts) = (&mut self.scrapers, &mut self.alerts);
        let counts = Arc::make_mut(self.places.entry(place.clone()).or_insert_with(|| {
            let held = scrapers.hold(&place, now);
            let held = held.then(|| Hold { since: now, seen_by: Vec::new() });
            let expects_direct = (alerts.rules().deployment)(&place.deployment).expects_direct;
            alerts.places_changed();
            Arc::new(PlaceCounts { created: now, held, expects_direct, ..PlaceCounts::default() })
        }));
        if !is_other {
            counts.evidence = Some(attribution.evidence);
            for (slot, said) in [
                (&mut counts.deployment_type, &attribution.deployment_type),
                (&mut counts.project, &attribution.project),
                (&mut counts.region, &origin.region),
            ] {
                if said.is_some() && slot != said {
                    slot.clone_from(said);
                    alerts.places_changed();
                }
            }
        }
        (place, counts)
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
                self.bodies.forget_gone();
                let alerts = self.alerts.committed(self.now);
                self.publish(alerts);
            }
            Err(error) => {
                let text = error.to_string();
                if self.next.trouble.as_ref() != Some(&text) {
                    tracing::error!("not committed, will try again: {text}");
                }
                // Who has given up waiting needs no answer.
                self.pending.deliveries.retain(|committed| !committed.is_closed());
                self.next.trouble = Some(text.clone());
                self.view.write().unwrap_or_else(PoisonError::into_inner).trouble = Some(text);
                // A full disk does not empty within a moment.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn write(&self) -> Write {
        // What is counted here has nothing that JSON could not say.
        fn json(value: &impl serde::Serialize) -> String {
            serde_json::to_string(value).unwrap_or_default()
        }
        let pending = &self.pending;
        let mut meta = Vec::new();
        if !self.scrapers.is_empty() {
            meta.push(("scrapers", json(&self.scrapers)));
        }
        if pending.notifications {
            meta.push(("notifications", json(&self.next.notifications)));
        }
        meta.extend(self.alerts.heard().map(|heard| ("heard", heard)));
        let failure = |(number, row): &(u64, Arc<Row>)| {
            (*number, json(&(&row.event, &row.attribution, &row.source, row.expects_direct)))
        };
        Write {
            meta,
            places: pending.places.iter().filter_map(|p| Some((json(p), json(&**self.places.get(p)?)))).collect(),
            sources: pending.sources.iter().filter_map(|s| Some((s.to_string(), json(self.sources.get(s)?)))).collect(),
            known: pending.known.iter().map(|(name, known)| (name.to_string(), json(known))).collect(),
            cursors: pending.cursors.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            keys: pending.keys.clone(),
            keys_from: self.next_key.saturating_sub(KEYS as u64),
            alerts: self.alerts.rows(),
            failures: pending.failures.iter().map(failure).collect(),
            failures_from: self.next_failure.saturating_sub(FAILURES as u64),
            bodies: pending.bodies.clone(),
            bodies_from: self.bodies.gone(),
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
