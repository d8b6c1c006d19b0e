//! The connections of a listener: a bounded number, of which none is kept that leads to nothing.
//!
//! Enters a listener, a router and a stop signal. Clients may be silent, slow to ask or slow to take an answer, and they may
//! be many. While there is room each has its time; where there is none, the connection that was given nothing for longest
//! makes room for the next, so that whoever asks is answered.

use super::patience::{Headway, Patient};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep, timeout};

/// For how long a connection must have been given nothing to make room for another: a request is answered sooner.
const IDLE: Duration = Duration::from_secs(1);

/// How soon it is looked again for a connection that can make room.
const LOOK: Duration = Duration::from_millis(100);

/// How long answers under way may take once the server stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait where the system gives no connection, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client that has connected may take to send its first request's head.
const FIRST_HEAD: Duration = Duration::from_secs(10);

/// How long a connection may idle between requests, and the head of a further one take: longer than senders and scrapers
/// wait from one to the next, for a connection that is closed in that very moment looks like an error to them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);

/// Serves a router on so many connections at a time, until `stop`.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    most: usize,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, told) = watch::channel(());
    let mut connections = Connections::default();
    let mut stop = pin!(stop);
    loop {
        let has_room = connections.make_room(most);
        tokio::select! {
            () = &mut stop => break,
            () = connections.ended() => {}
            () = sleep(LOOK), if !has_room => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    let (router, told) = (router.clone(), told.clone());
                    connections.serve(stream, |stream| connection(stream, peer, router, told));
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
    let finished = async { while connections.tasks.join_next().await.is_some() {} };
    if timeout(FINISH_TIMEOUT, finished).await.is_err() {
        tracing::debug!("answers were still under way");
    }
}

/// Those that are served.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    alive: HashMap<Id, (AbortHandle, Headway)>,
}

impl Connections {
    fn serve<F: Future<Output = ()> + Send + 'static>(&mut self, stream: TcpStream, served: impl FnOnce(Patient) -> F) {
        let headway = Headway::default();
        let task = self.tasks.spawn(served(Patient::new(stream, headway.clone())));
        self.alive.insert(task.id(), (task, headway));
    }

    /// Waits for a connection to end; for ever where there is none.
    async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => drop(self.alive.remove(&id)),
            Some(Err(error)) => drop(self.alive.remove(&error.id())),
            None => std::future::pending().await,
        }
    }

    /// Whether there is room for another connection. Where there was none, the one that has been idle for longest is given up.
    fn make_room(&mut self, most: usize) -> bool {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.alive.remove(&id);
        }
        if self.alive.len() < most {
            return true;
        }
        let idle = self.alive.iter().map(|(id, (_, headway))| (headway.idle(), *id)).max();
        if let Some((idle, id)) = idle
            && idle >= IDLE
            && let Some((task, _)) = self.alive.remove(&id)
        {
            task.abort();
        }
        self.alive.len() < most
    }
}

/// Serves one connection until it closes, and once the server stops, until the answer under way is finished.
async fn connection(stream: Patient, peer: SocketAddr, router: Router, mut stopping: watch::Receiver<()>) {
    let asked = Arc::new(AtomicBool::new(false));
    let ask = {
        let asked = Arc::clone(&asked);
        move |request: Request, next: Next| {
            asked.store(true, Ordering::Relaxed);
            next.run(request)
        }
    };
    let router = router.layer(axum::Extension(ConnectInfo(peer))).layer(from_fn(ask));
    let service = TowerToHyperService::new(router);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let silence = async {
        sleep(FIRST_HEAD).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence => return tracing::debug!(%peer, "a connection was silent"),
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection broke");
    }
}
