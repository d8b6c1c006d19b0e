//! A thread that scrapes all the time, as Prometheus does, and goes on after a restart at the next address.

use super::exposition::{ACCESSES, Exposition, Increase};
use super::http::Client;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Scrapes until it is asked for what it saw.
pub(crate) struct Scraper {
    target: Arc<Mutex<Option<SocketAddr>>>,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Increase>,
}

impl Scraper {
    pub(crate) fn start(user_agent: &'static str, interval: Duration) -> Self {
        let target = Arc::new(Mutex::new(None));
        let (stop, stopped) = mpsc::channel();
        let at = Arc::clone(&target);
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
                    }
                }
                if ends {
                    return increase;
                }
            }
        });
        Self { target, stop, thread }
    }

    /// Where to scrape from now on.
    pub(crate) fn aim(&self, address: SocketAddr) {
        *self.target.lock().unwrap() = Some(address);
    }

    /// Scrapes once more and says what it saw.
    pub(crate) fn finish(self) -> Increase {
        self.stop.send(()).expect("the scraper runs until it is told to stop");
        self.thread.join().expect("the scraper does not panic")
    }
}
