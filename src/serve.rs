//! The HTTP server: the status page, the metrics, the state of things.
//!
//! Enters a bound listener, a reader of the ledger and a stop signal; leaves answers. Nothing here reads a request's
//! body. The routes are in `routes`, what every request must pass in `guard`, who may stay connected in `connections`.

mod assets;
mod connections;
mod guard;
mod page;
mod patience;
mod routes;
mod status;
mod stream;

pub(crate) use connections::accept;

use crate::alert::notifier::Page;
use crate::event::Timestamp;
use crate::ledger::Reader;
use crate::source::webhook::Requests;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// Connections that are served at a time.
const CONNECTIONS: usize = 64;

/// What the routes show and use.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What was committed, and where scrapes are noted.
    pub reader: Reader,
    /// When the program started.
    pub started: Timestamp,
    /// The address of the status page, as alerts give it.
    pub page: Page,
    /// Whether OpenMetrics says when series came into being.
    pub created_lines: bool,
    /// Who reloads the configuration, where that is enabled.
    pub reload: Option<Reload>,
    /// How often webhooks were answered what.
    pub requests: Arc<Requests>,
    /// Whether the configuration was taken when it was last read. Who reloads sets it.
    pub config_ok: Arc<AtomicBool>,
}

/// Where wishes to reload are sent: each is a place for the answer. One that finds the queue full is refused.
pub type Reload = mpsc::Sender<oneshot::Sender<Result<(), ReloadError>>>;

/// Why the configuration was not reloaded. The old one stays.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReloadError {
    /// The new one is wrong: what is to be corrected.
    #[error("{0}")]
    Wrong(String),
    /// It could not be read or put to use.
    #[error("{0}")]
    Failed(String),
}

/// Serves until `stop`, then finishes the answers under way.
pub async fn serve(
    listener: TcpListener,
    serving: Serving,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let local_only = listener.local_addr()?.ip().to_canonical().is_loopback();
    let (stopping, told) = watch::channel(());
    let router = routes::router(serving, told, local_only);
    let stop = async move {
        stop.await;
        drop(stopping);
    };
    accept(listener, router, CONNECTIONS, stop).await;
    Ok(())
}
