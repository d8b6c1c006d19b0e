//! The threads of the sources that are asked over the network: started, reconfigured and stopped together.

use super::alarm::Alarm;
use crate::attribute::Given;
use crate::config::{Config, ConvexSource, Declared, ProbeSource, SourceName, Start};
use crate::ledger::Keeper;
use crate::source::convex::{self, Poller};
use crate::source::probe::{self, Prober};
use crate::source::{Asked, Batch};
use anyhow::Context;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// What asks over the network.
#[derive(Default)]
pub(super) struct Remotes {
    /// Those that do not run.
    resting: HashMap<Arc<str>, Remote>,
    running: Vec<(Arc<str>, JoinHandle<Remote>)>,
    /// Those that a configuration has left out, and another may name again: they go on where they were.
    retired: HashMap<Arc<str>, Remote>,
    stop: watch::Sender<bool>,
}

/// One of them. Each is larger than a pointer by far.
enum Remote {
    Poller(Box<Poller>),
    Prober(Box<Prober>),
}

/// What it is told.
enum Told {
    Poll(convex::Options),
    Probe(probe::Options),
}

impl Remotes {
    /// Sources that go on from what they left in the ledger.
    pub(super) fn new(config: &Config, keeper: &Keeper) -> anyhow::Result<Self> {
        let mut remotes = Self::default();
        for told in told(config) {
            let name = told.name();
            let remote = Remote::new(told, &keeper.cursors(&name))
                .with_context(|| format!("the state holds a row of source '{name}' that cannot be read"))?;
            remotes.resting.insert(name, remote);
        }
        Ok(remotes)
    }

    /// Starts them all.
    pub(super) fn start(
        &mut self,
        alarm: &Alarm,
        send: impl Fn(Batch) -> bool + Clone + Send + 'static,
    ) -> anyhow::Result<()> {
        self.stop.send_replace(false);
        for (name, remote) in self.resting.drain() {
            let (stop, send, alarm) = (self.stop.subscribe(), send.clone(), alarm.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name(format!("ask {name}")).spawn(move || {
                let _alarm = alarm;
                let mut remote = remote;
                runtime.block_on(remote.run(stop, send));
                // Names that are still being looked up are left to themselves.
                runtime.shutdown_background();
                remote
            })?;
            self.running.push((name, thread));
        }
        Ok(())
    }

    /// Stops them all, at once: whoever waits for an answer waits no more.
    pub(super) fn halt(&mut self) {
        self.stop.send_replace(true);
        for (name, thread) in self.running.drain(..) {
            if let Ok(remote) = thread.join() {
                self.resting.insert(name, remote);
            }
        }
    }

    /// Takes up another configuration, while they rest; `left` holds the rows of those that no configuration named.
    pub(super) fn apply(
        &mut self,
        config: &Config,
        left: &mut HashMap<Arc<str>, Vec<(String, String)>>,
    ) -> anyhow::Result<()> {
        let mut old = std::mem::take(&mut self.retired);
        old.extend(self.resting.drain());
        for told in told(config) {
            let name = told.name();
            let remote = match (told, old.remove(&name)) {
                (Told::Poll(options), Some(Remote::Poller(mut poller))) => {
                    poller.reconfigure(options);
                    Remote::Poller(poller)
                }
                (Told::Probe(options), Some(Remote::Prober(mut prober))) => {
                    prober.reconfigure(options);
                    Remote::Prober(prober)
                }
                (told, _) => Remote::new(told, &left.remove(&name).unwrap_or_default())?,
            };
            self.resting.insert(name, remote);
        }
        self.retired = old;
        Ok(())
    }
}

impl Remote {
    fn new(told: Told, rows: &[(String, String)]) -> serde_json::Result<Self> {
        Ok(match told {
            Told::Poll(options) => Self::Poller(Box::new(Poller::new(options, rows)?)),
            Told::Probe(options) => Self::Prober(Box::new(Prober::new(options, rows)?)),
        })
    }

    async fn run(&mut self, stop: watch::Receiver<bool>, send: impl Fn(Batch) -> bool) {
        match self {
            Self::Poller(poller) => poller.run(stop, super::now, send).await,
            Self::Prober(prober) => prober.run(stop, super::now, send).await,
        }
    }
}

impl Told {
    fn name(&self) -> Arc<str> {
        match self {
            Self::Poll(options) => Arc::clone(&options.asked.name),
            Self::Probe(options) => Arc::clone(&options.asked.name),
        }
    }
}

fn told(config: &Config) -> impl Iterator<Item = Told> {
    // Where something else is read, being caught up is that one's to tell.
    let alone = config.sources.is_empty() && config.stdin.is_none();
    let polls = config.convex.iter().map(move |source| Told::Poll(poll(source, alone)));
    let alone = alone && config.convex.is_empty();
    polls.chain(config.probes.iter().map(move |source| Told::Probe(probe_options(source, alone))))
}

fn poll(source: &ConvexSource, tells_readiness: bool) -> convex::Options {
    convex::Options {
        asked: asked(&source.name, &source.url, source.deployment.as_ref(), source.hosting, tells_readiness),
        key: source.key.clone(),
        from_beginning: source.from == Start::Beginning,
    }
}

fn probe_options(source: &ProbeSource, tells_readiness: bool) -> probe::Options {
    probe::Options {
        asked: asked(&source.name, &source.url, source.deployment.as_ref(), source.hosting, tells_readiness),
        interval: source.interval,
    }
}

fn asked(
    name: &SourceName,
    url: &Arc<str>,
    deployment: Option<&String>,
    hosting: Option<Declared>,
    tells_readiness: bool,
) -> Asked {
    let given = Given { deployment: deployment.cloned(), hosting: hosting.map(|declared| declared.hosting) };
    Asked {
        name: Arc::from(name.as_str()),
        url: Arc::clone(url),
        given: Arc::new(given),
        hosting_is_configured: hosting.is_some_and(Declared::is_by_configuration),
        tells_readiness,
    }
}
