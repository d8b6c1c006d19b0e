//! The HTTP server: the status page, the metrics, the state of things.
//!
//! Enters a bound listener, a reader of the ledger and a stop signal; leaves answers. Nothing here reads a request's
//! body, and a client that is slow to ask or to take its answer, or too many of them, cannot hold it up for ever. The routes are in
//! `routes`, what every request must pass in `guard`.

mod assets;
mod guard;
mod page;
mod patience;
mod routes;
mod status;
mod stream;

use crate::alert::notifier::Page;
use crate::event::Timestamp;
use crate::ledger::Reader;
use crate::source::webhook::Requests;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections that are served at a time. Further ones wait in the system's queue.
const CONNECTIONS: usize = 64;

/// How long a client may take to send a request's head, and how long a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);

/// How long answers under way may take once the server stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait where the system gives no connection, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    accept(listener, router, Room { connections: CONNECTIONS, head_timeout: HEAD_TIMEOUT }, stop).await;
    Ok(())
}

/// What clients may take up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Connections that are served at a time. Further ones wait in the system's queue.
    pub(crate) connections: usize,
    /// How long a client may take to send a request's head, and how long a connection may idle between requests.
    pub(crate) head_timeout: Duration,
}

/// Serves a router until `stop`.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    room: Room,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, told) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < room.connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, router.clone(), room.head_timeout, told.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // Idle connections close at once; what takes longer is an answer under way, or a client that never asks.
    drop(stopping);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(FINISH_TIMEOUT, finished).await.is_err() {
        tracing::debug!("answers were still under way");
    }
}

/// Serves one connection until it closes, and once the server stops, until the answer under way is finished.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    head_timeout: Duration,
    mut stopping: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router.layer(axum::Extension(ConnectInfo(peer))));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(patience::Patient::new(stream)), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection broke");
    }
}
