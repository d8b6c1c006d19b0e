//! The threads of the sources: started, reconfigured and stopped together.

use super::alarm::Alarm;
use super::remotes::Remotes;
use crate::attribute::Given;
use crate::config::{Config, Declared, FileSource, Watched};
use crate::event::{Origin, Timestamp};
use crate::ledger::{Keeper, Message, Rules, SourceCounts, SourceState};
use crate::source::follow::{Follower, Options};
use crate::source::{Batch, Found, stdin};
use anyhow::Context;
use notify::{EventKind, RecursiveMode, Watcher};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How long the file system may gather changes before they are looked at.
const GATHER: Duration = Duration::from_micros(500);

/// How soon a record that is open is looked at again.
const OPEN: Duration = Duration::from_millis(100);

/// Everything that reads.
pub(super) struct Sources {
    config: Arc<Config>,
    /// Taken away to stop.
    batches: Arc<Mutex<Option<SyncSender<Message>>>>,
    /// Those that do not run.
    followers: HashMap<Arc<str>, Follower>,
    running: Vec<(Arc<str>, JoinHandle<Follower>)>,
    /// The rows of sources that the configuration does not name, or not any more: named again, they go on from there.
    left: HashMap<Arc<str>, Vec<(String, String)>>,
    remotes: Remotes,
    stop: Arc<AtomicBool>,
    /// Rung when a source's thread panics.
    alarm: mpsc::Sender<()>,
}

impl Sources {
    /// Sources that go on from what they left in the ledger.
    pub(super) fn new(
        config: &Arc<Config>,
        keeper: &Keeper,
        batches: SyncSender<Message>,
        alarm: mpsc::Sender<()>,
    ) -> anyhow::Result<Self> {
        let mut followers = HashMap::new();
        for source in &config.sources {
            let options = options(source);
            let name = Arc::clone(&options.name);
            let rows = keeper.cursors(&name);
            let follower = Follower::new(options, rows)
                .with_context(|| format!("the state holds a cursor of source '{name}' that cannot be read"))?;
            followers.insert(name, follower);
        }
        let is_asked = |owner: &str| {
            config.convex.iter().any(|source| source.name.as_str() == owner)
                || config.probes.iter().any(|source| source.name.as_str() == owner)
        };
        let left = keeper.owners().into_iter().filter(|owner| !followers.contains_key(*owner) && !is_asked(owner));
        let left = left.map(|owner| (Arc::from(owner), keeper.cursors(owner))).collect();
        Ok(Self {
            config: Arc::clone(config),
            batches: Arc::new(Mutex::new(Some(batches))),
            followers,
            running: Vec::new(),
            left,
            remotes: Remotes::new(config, keeper)?,
            stop: Arc::default(),
            alarm,
        })
    }

    /// Starts them all. What is returned resolves when standard input has ended, if it is read.
    pub(super) fn start(&mut self) -> anyhow::Result<oneshot::Receiver<()>> {
        self.introduce();
        // Once only: it runs on over a reload, and its state with it.
        if let Some(source) = &self.config.stdin {
            self.introduce_at(source.name.as_str(), Vec::new(), None, super::now());
        }
        self.follow()?;
        let (ended, end) = oneshot::channel();
        match &self.config.stdin {
            Some(source) => {
                let name: Arc<str> = Arc::from(source.name.as_str());
                let given = Given { deployment: source.deployment.clone(), hosting: source.hosting.map(|h| h.hosting) };
                let batches = Arc::clone(&self.batches);
                let configured = source.hosting.is_some_and(Declared::is_by_configuration);
                let alarm = Alarm::new(self.alarm.clone());
                std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                    let _alarm = alarm;
                    stdin::run(name, given, configured, super::now, |batch| send(&batches, batch));
                    let _ = ended.send(());
                })?;
            }
            // Nobody waits for an end that cannot come.
            None => std::mem::forget(ended),
        }
        Ok(end)
    }

    /// Makes known what the configuration names.
    fn introduce(&self) {
        let read_at = super::now();
        let mut names: Vec<(&str, Option<Declared>)> = self.config.known_deployments();
        let of_files = self.config.sources.iter().map(|source| &source.name);
        let of_webhooks = self.config.webhooks.iter().map(|source| &source.name);
        let polled = self.config.convex.iter().map(|source| &source.name);
        let probed = self.config.probes.iter().map(|source| &source.name);
        let of_streams = of_files.chain(of_webhooks).chain(polled).chain(probed);
        for source in of_streams.clone() {
            self.introduce_at(source.as_str(), Vec::new(), None, read_at);
        }
        let Some(first) = of_streams.clone().next() else { return };
        for (name, declared) in names.drain(..) {
            let origin = Arc::new(Origin { deployment: Some(name.to_owned()), ..Origin::default() });
            self.introduce_at(first.as_str(), vec![Found::Deployment(origin)], declared, read_at);
        }
    }

    fn introduce_at(&self, source: &str, found: Vec<Found>, declared: Option<Declared>, read_at: Timestamp) {
        let is_webhook = self.config.webhooks.iter().any(|webhook| webhook.name.as_str() == source);
        let batch = Batch {
            source: Arc::from(source),
            found,
            given: Arc::new(Given { deployment: None, hosting: declared.map(|declared| declared.hosting) }),
            hosting_is_configured: declared.is_some_and(Declared::is_by_configuration),
            counts: SourceCounts::default(),
            cursors: Vec::new(),
            // A webhook can be posted to from the start, and where there is nothing else, nothing was there before.
            state: SourceState { up: is_webhook, ..SourceState::default() },
            caught_up: self.config.sources.is_empty()
                && self.config.stdin.is_none()
                && self.config.convex.is_empty()
                && self.config.probes.is_empty(),
            read_at,
        };
        send(&self.batches, batch);
    }

    fn follow(&mut self) -> anyhow::Result<()> {
        self.stop = Arc::default();
        for (name, follower) in self.followers.drain() {
            let stop = Arc::clone(&self.stop);
            let batches = Arc::clone(&self.batches);
            let poll = self.config.poll_interval;
            let alarm = Alarm::new(self.alarm.clone());
            let thread = std::thread::Builder::new().name(format!("follow {name}")).spawn(move || {
                let _alarm = alarm;
                follow(follower, stop, poll, |batch| send(&batches, batch))
            })?;
            self.running.push((name, thread));
        }
        let batches = Arc::clone(&self.batches);
        self.remotes.start(&Alarm::new(self.alarm.clone()), move |batch| send(&batches, batch))
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.remotes.halt();
        for (name, thread) in self.running.drain(..) {
            if let Ok(follower) = thread.join() {
                self.followers.insert(name, follower);
            }
        }
    }

    /// Goes on with another configuration. The ledger hears its rules when nothing reads by the old ones any more, and
    /// before anything reads by the new ones.
    pub(super) fn apply(&mut self, config: &Arc<Config>, rules: Rules) -> anyhow::Result<()> {
        if (config.listen, &config.state_dir) != (self.config.listen, &self.config.state_dir) {
            tracing::warn!("'listen' and 'state_dir' take a restart");
        }
        self.halt();
        self.config = Arc::clone(config);
        let mut old = std::mem::take(&mut self.followers);
        for source in &config.sources {
            let options = options(source);
            let name = Arc::clone(&options.name);
            let follower = match old.remove(&name) {
                Some(mut follower) => {
                    follower.reconfigure(options);
                    follower
                }
                None => Follower::new(options, self.left.remove(&name).unwrap_or_default())?,
            };
            self.followers.insert(name, follower);
        }
        self.left.extend(old.into_iter().map(|(name, follower)| (name, follower.rows())));
        self.remotes.apply(config, &mut self.left)?;
        self.tell(Message::Rules(Box::new(rules)));
        self.introduce();
        self.follow()
    }

    /// Tells the ledger something.
    fn tell(&self, message: Message) {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(batches) = batches {
            let _ = batches.send(message);
        }
    }

    /// Ends them all; nothing is handed over after that.
    pub(super) fn stop(&mut self) {
        self.halt();
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The pattern of the files that are meant.
fn pattern(watched: &Watched) -> String {
    match watched {
        Watched::Path(path) => path.to_string_lossy().into_owned(),
        Watched::Pattern(pattern) => pattern.as_str().to_owned(),
    }
}

fn send(batches: &Mutex<Option<SyncSender<Message>>>, batch: Batch) -> bool {
    let batches = batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
    batches.is_some_and(|batches| batches.send(Message::Batch(Box::new(batch))).is_ok())
}

fn options(source: &FileSource) -> Options {
    Options {
        name: Arc::from(source.name.as_str()),
        paths: source.paths.iter().map(pattern).collect(),
        from_beginning: source.from == crate::config::Start::Beginning,
        deployment: source.deployment.clone(),
        hosting: source.hosting.map(|hosting| hosting.hosting),
        hosting_is_configured: source.hosting.is_some_and(Declared::is_by_configuration),
    }
}

/// Follows one source's files until it is stopped.
fn follow(
    mut follower: Follower,
    stop: Arc<AtomicBool>,
    poll: Duration,
    mut send: impl FnMut(Batch) -> bool,
) -> Follower {
    let look = Arc::new(AtomicBool::new(false));
    let (wake, woken) = sync_channel(1);
    let mut watched = Events::new(&wake, &look);
    follower.stop_with(Arc::clone(&stop));
    loop {
        watched.renew(follower.directories());
        let more = follower.turn(look.swap(false, Ordering::Relaxed), super::now(), Instant::now(), &mut send);
        if stop.load(Ordering::Relaxed) {
            return follower;
        }
        if !more {
            wait(&woken, if follower.is_waiting() { OPEN.min(poll) } else { poll }, &stop);
        }
    }
}

/// Waits for a change or a time, but not for long once everything is to stop.
fn wait(woken: &Receiver<()>, most: Duration, stop: &AtomicBool) {
    let step = Duration::from_millis(250);
    let mut left = most;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        if woken.recv_timeout(left.min(step)).is_ok() {
            std::thread::sleep(GATHER);
            return;
        }
        left = left.saturating_sub(step);
    }
}

/// The directories whose events wake the follower. Where there are none, as on a network, polling does alone.
struct Events {
    watcher: Option<notify::RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Events {
    fn new(wake: &SyncSender<()>, look: &Arc<AtomicBool>) -> Self {
        let (wake, look) = (wake.clone(), Arc::clone(look));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let kind = event.map_or(EventKind::Any, |event| event.kind);
            match kind {
                // Reading is what we do ourselves.
                EventKind::Access(_) => return,
                EventKind::Modify(notify::event::ModifyKind::Data(_)) => {}
                _ => look.store(true, Ordering::Relaxed),
            }
            let _ = wake.try_send(());
        });
        if let Err(error) = &watcher {
            tracing::warn!("no events of the file system ({error}); files are polled");
        }
        Self { watcher: watcher.ok(), directories: BTreeSet::new() }
    }

    fn renew(&mut self, directories: BTreeSet<PathBuf>) {
        if directories == self.directories {
            return;
        }
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.directories.difference(&directories) {
            let _ = watcher.unwatch(gone);
        }
        for new in directories.difference(&self.directories) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::debug!("{}: no events ({error}); polled", new.display());
            }
        }
        self.directories = directories;
    }
}
