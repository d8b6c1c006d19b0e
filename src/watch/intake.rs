//! The intake of webhooks: a listener that is open while the configuration names a webhook, and the thread that hands
//! deliveries on to the ledger.
//!
//! A configuration is put to use in two steps. What can fail (secrets that cannot be read, an address that is taken)
//! comes first and changes nothing.

use crate::attribute::Given;
use crate::config::{Config, Declared, WebhookSource};
use crate::ledger::Message;
use crate::serve::accept;
use crate::source::webhook::{Credentials, Endpoint, Ingest, Requests};
use anyhow::Context;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Connections at a time.
const CONNECTIONS: usize = 256;

/// How long requests under way are waited for at a stop.
const FINISH: Duration = Duration::from_secs(3);

/// What takes webhooks in.
pub(super) struct Intake {
    runtime: Handle,
    ingest: Arc<Ingest>,
    open: Option<Open>,
    handing_on: Option<JoinHandle<()>>,
}

/// An open listener.
struct Open {
    /// As it is configured.
    address: SocketAddr,
    /// Dropped to stop.
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

/// A configuration that can be put to use.
pub(super) struct Prepared {
    address: SocketAddr,
    endpoints: Vec<Endpoint>,
    unsigned: Vec<String>,
    /// Where another listener is needed than the one that is open.
    listener: Option<TcpListener>,
}

impl Intake {
    /// An intake that is closed.
    pub(super) fn new(runtime: &Handle, requests: Arc<Requests>, ledger: SyncSender<Message>) -> anyhow::Result<Self> {
        let (ingest, mut deliveries) = Ingest::new(requests, super::now);
        let hand_on = move || {
            while let Some(delivery) = deliveries.blocking_recv() {
                if ledger.send(delivery).is_err() {
                    return;
                }
            }
        };
        let handing_on = std::thread::Builder::new().name("webhooks".to_owned()).spawn(hand_on)?;
        Ok(Self { runtime: runtime.clone(), ingest, open: None, handing_on: Some(handing_on) })
    }

    /// Reads the secrets and binds the address, if another one is needed.
    pub(super) fn prepare(&self, config: &Config) -> anyhow::Result<Prepared> {
        let address = config.ingest_listen;
        let endpoints = config.webhooks.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
        let unsigned = config.webhooks.iter().filter(|webhook| webhook.allow_unsigned);
        let unsigned = unsigned.map(|webhook| webhook.name.to_string()).collect();
        let is_open = self.open.as_ref().is_some_and(|open| open.address == address);
        let listener = (!endpoints.is_empty() && !is_open).then(|| listen(address)).transpose()?;
        Ok(Prepared { address, endpoints, unsigned, listener })
    }

    /// Takes requests by this configuration from now on.
    pub(super) fn apply(&mut self, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { address, endpoints, unsigned, listener } = prepared;
        for name in unsigned {
            tracing::warn!(
                "webhook '{name}' ALLOWS UNSIGNED BODIES: whoever reaches http://{address}/ingest/{name} can make up \
                 counts and alerts; give it secrets or keys"
            );
        }
        if endpoints.is_empty() || listener.is_some() {
            self.open = None;
        }
        self.ingest.configure(endpoints);
        if let Some(listener) = listener {
            let _runtime = self.runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tracing::info!("webhooks are taken in at http://{}/ingest/NAME", listener.local_addr()?);
            let (stop, stopped) = oneshot::channel::<()>();
            let served = self.runtime.spawn(accept(listener, self.ingest.router(), CONNECTIONS, async {
                let _ = stopped.await;
            }));
            self.open = Some(Open { address, stop, served });
        }
        Ok(())
    }

    /// Takes nothing any more. Requests under way are answered, if the ledger commits in time.
    pub(super) fn stop(&mut self) {
        if let Some(Open { stop, mut served, .. }) = self.open.take() {
            drop(stop);
            let served_in_time = self.runtime.block_on(async { timeout(FINISH, &mut served).await });
            if served_in_time.is_err() {
                served.abort();
            }
        }
        self.ingest.close();
        if let Some(thread) = self.handing_on.take() {
            let _ = thread.join();
        }
    }
}

fn endpoint(webhook: &WebhookSource) -> anyhow::Result<Endpoint> {
    let name = webhook.name.as_str();
    let opened = webhook.open().with_context(|| format!("source '{name}'"))?;
    Ok(Endpoint {
        name: Arc::from(name),
        credentials: Credentials::new(&opened.secrets, &opened.keys, webhook.allow_unsigned),
        given: Arc::new(Given {
            deployment: webhook.deployment.clone(),
            hosting: webhook.hosting.map(|declared| declared.hosting),
        }),
        hosting_is_configured: webhook.hosting.is_some_and(Declared::is_by_configuration),
        max_body: webhook.max_body,
    })
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    bind().with_context(|| {
        format!("{address}: cannot listen there for webhooks; choose another address with --ingest-listen")
    })
}
