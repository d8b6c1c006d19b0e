//! The application's diagnostic endpoints as a live source: every so often, whether each path to a blob works.
//!
//! One test blob is made ever, and one more where somebody has deleted it; its id is kept in the ledger. What cannot be asked is not shown as a failure of a path:
//! then the source is down, and the paths have no values.

use super::{Asked, Batch, Found, TROUBLE};
use crate::event::{Origin, Timestamp, clip};
use crate::fetch;
use crate::ledger::{PathState, SourceState};
use crate::plain::safe;
use crate::probe::ask::{self, AskError, Blob};
use crate::probe::{Path, Probe};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The row that a source keeps.
const ROW: &str = "blob";

/// How much is kept of what an application says of a path that fails, in bytes.
const SAID: usize = 300;

/// What to probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// The application, at the address of its HTTP actions.
    pub asked: Asked,
    /// How often.
    pub interval: Duration,
}

/// The blob, and where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    url: String,
    blob: Blob,
    /// Whether it took the place of one that was gone, and nobody has read it yet: where it is gone too, storage fails.
    #[serde(default)]
    is_substitute: bool,
}

/// Probes one application.
pub struct Prober {
    options: Options,
    kept: Option<Kept>,
    said: Option<String>,
}

impl Prober {
    /// A prober that goes on from the rows it left.
    pub fn new(options: Options, rows: &[(String, String)]) -> Result<Self, serde_json::Error> {
        let row = rows.iter().find(|(name, _)| name == ROW);
        let kept = row.map(|(_, row)| serde_json::from_str::<Kept>(row)).transpose()?;
        Ok(Self { kept: kept.filter(|kept| *kept.url == *options.asked.url), options, said: None })
    }

    /// Goes on under another configuration.
    pub fn reconfigure(&mut self, options: Options) {
        if options.asked.url != self.options.asked.url {
            self.kept = None;
        }
        self.said = None;
        self.options = options;
    }

    /// Probes until it is told to stop, or `send` returns false.
    pub async fn run(
        &mut self,
        mut stop: watch::Receiver<bool>,
        now: impl Fn() -> Timestamp,
        mut send: impl FnMut(Batch) -> bool,
    ) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work(&now, &mut send) => {}
        }
    }

    async fn work(&mut self, now: &impl Fn() -> Timestamp, send: &mut impl FnMut(Batch) -> bool) {
        let client = match fetch::client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!("source '{}': no HTTP client: {error}", self.options.asked.name);
                return;
            }
        };
        loop {
            let result = self.probe(&client, now, send).await;
            if let Err(error) = &result {
                let text = error.to_string();
                if self.said.as_ref() != Some(&text) {
                    tracing::error!("source '{}': {}", self.options.asked.name, safe(&text));
                    self.said = Some(text);
                }
            } else if self.said.take().is_some() {
                tracing::info!("source '{}': the application answers again", self.options.asked.name);
            }
            if !send(self.batch(result.ok(), now())) {
                return;
            }
            sleep(self.options.interval).await;
        }
    }

    async fn probe(
        &mut self,
        client: &reqwest::Client,
        now: &impl Fn() -> Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<Probe, AskError> {
        let Some(kept) = &mut self.kept else { return self.probe_anew(false, client, now, send).await };
        let probe = ask::test(client, &self.options.asked.url, &kept.blob).await?;
        if !probe.is_without_blob() {
            kept.is_substitute &= Path::ALL.iter().all(|path| !probe.tried(*path).success);
        } else if !kept.is_substitute {
            // Somebody tidied up storage; that is no failure of it.
            tracing::info!("source '{}': the test blob is gone; another one is made", self.options.asked.name);
            return self.probe_anew(true, client, now, send).await;
        }
        Ok(probe)
    }

    /// Probes with a blob that is made for it.
    async fn probe_anew(
        &mut self,
        is_substitute: bool,
        client: &reqwest::Client,
        now: &impl Fn() -> Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<Probe, AskError> {
        let url = Arc::clone(&self.options.asked.url);
        let blob = ask::make(client, &url).await?;
        self.kept = Some(Kept { url: url.to_string(), blob: blob.clone(), is_substitute });
        // Kept before it is used. Where nobody takes it, the next batch is not taken either.
        let _ = send(Batch { found: Vec::new(), ..self.batch(None, now()) });
        let probe = ask::test(client, &url, &blob).await?;
        if let Some(kept) = &mut self.kept {
            kept.is_substitute &= Path::ALL.iter().all(|path| !probe.tried(*path).success);
        }
        Ok(probe)
    }

    fn batch(&self, probe: Option<Probe>, read_at: Timestamp) -> Batch {
        let up = probe.is_some();
        let origin = probe.as_ref().map_or_else(Origin::default, |probe| self.origin(probe));
        let paths = probe.map(|probe| {
            Path::ALL.map(|path| {
                let tried = probe.tried(path);
                PathState {
                    success: tried.success,
                    duration: tried.duration,
                    cause: tried.class(),
                    error: tried.said().map(|said| Arc::from(clip(&said, SAID))),
                }
            })
        });
        let found = vec![Found::Probe { origin: Arc::new(origin), paths }];
        let trouble = self.said.as_deref().filter(|_| !up).map(|text| Arc::from(clip(text, TROUBLE)));
        let state = SourceState { lag_bytes: 0, begun_bytes: 0, last_read: up.then_some(read_at), up, trouble };
        self.options.asked.batch(found, self.kept.as_ref().map(|kept| (ROW, kept)), state, read_at)
    }

    fn origin(&self, probe: &Probe) -> Origin {
        let mut origin = probe.origin(&self.options.asked.url, &self.options.asked.given);
        // Whoever configured a probe knows the name better than an address does.
        if self.options.asked.given.deployment.is_some() {
            origin.deployment.clone_from(&self.options.asked.given.deployment);
        }
        origin
    }
}
