//! A thread that scrapes all the time, as Prometheus does, and goes on after a restart at the next address.

use super::exposition::{ACCESSES, Exposition, Increase};
use super::http::Client;
use super::waiting::{PATIENCE, wait_until};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Scrapes until it is asked for what it saw.
pub(crate) struct Scraper {
    target: Arc<Mutex<Option<SocketAddr>>>,
    scrapes: Arc<AtomicU64>,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Increase>,
}

impl Scraper {
    pub(crate) fn start(user_agent: &'static str, interval: Duration) -> Self {
        let target = Arc::new(Mutex::new(None));
        let (stop, stopped) = mpsc::channel();
        let scrapes = Arc::new(AtomicU64::new(0));
        let (at, made) = (Arc::clone(&target), Arc::clone(&scrapes));
        let thread = std::thread::spawn(move || {
            let (mut increase, mut client) = (Increase::default(), None::<(SocketAddr, Client)>);
            // The last scrape comes after the word to stop.
            loop {
                let ends = !matches!(stopped.recv_timeout(interval), Err(mpsc::RecvTimeoutError::Timeout));
                let address: Option<SocketAddr> = *at.lock().unwrap();
                if let Some(address) = address {
                    if client.as_ref().is_none_or(|(of, _)| *of != address) {
                        client = Some((address, Client::new(address, user_agent)));
                    }
                    let answer = client.as_mut().map(|(_, client)| client.get("/metrics"));
                    if let Some(Ok(answer)) = answer.filter(|answer| answer.as_ref().is_ok_and(|it| it.status == 200)) {
                        increase.add(&Exposition::parse(&answer.body), ACCESSES);
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if ends {
                    return increase;
                }
            }
        });
        Self { target, scrapes, stop, thread }
    }

    /// Where to scrape from now on.
    pub(crate) fn aim(&self, address: SocketAddr) {
        *self.target.lock().unwrap() = Some(address);
    }

    /// Waits for its first look: who comes later than the first event does not see that one as an increase.
    pub(crate) fn wait_for_first(&self) {
        wait_until("the first scrape", PATIENCE, || self.scrapes.load(Ordering::Relaxed) > 0);
    }

    /// Scrapes once more and says what it saw.
    pub(crate) fn finish(self) -> Increase {
        self.stop.send(()).expect("the scraper runs until it is told to stop");
        self.thread.join().expect("the scraper does not panic")
    }
}
