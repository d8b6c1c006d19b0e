//! What posts webhooks: bodies as Convex makes them, and a sender that behaves as Convex's does.

use super::http::{Answer, Client};
use super::lines::{self, Access, OUTCOMES};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Events in a body at the most.
pub(crate) const BATCH: u64 = 128;

/// How often Convex tries at the most, and for how long each time.
const ATTEMPTS: u32 = 6;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The header with a body's signature.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A storage access as an object of a log stream, logged now.
pub(crate) fn event(deployment: &str, number: u64) -> String {
    logged_at(deployment, number, jiff::Timestamp::now().as_millisecond())
}

/// The same, logged then.
pub(crate) fn logged_at(deployment: &str, number: u64, milliseconds: i64) -> String {
    let outcome = OUTCOMES[number as usize % OUTCOMES.len()];
    let line = lines::access(Access { deployment, outcome, size_bytes: number }, number);
    let (_, rest) = line.trim_end().split_once(',').unwrap();
    format!("{{\"timestamp\":{milliseconds},{rest}")
}

/// A body of storage accesses, as an array.
pub(crate) fn array(deployment: &str, numbers: Range<u64>) -> Vec<u8> {
    let events: Vec<String> = numbers.map(|number| event(deployment, number)).collect();
    format!("[{}]", events.join(",")).into_bytes()
}

/// The same, an object a line.
pub(crate) fn json_lines(deployment: &str, numbers: Range<u64>) -> Vec<u8> {
    let events: Vec<String> = numbers.map(|number| event(deployment, number)).collect();
    events.join("\n").into_bytes()
}

/// Posts signed bodies to one webhook.
pub(crate) struct Sender {
    client: Client,
    path: String,
    secret: String,
    /// What Convex waits between attempts is multiplied with this.
    pub(crate) haste: f64,
    numbers: u64,
}

/// What became of a body, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// Refused for good.
    Dropped(u16),
    /// Tried as often as it may be.
    GivenUp,
}

impl Sender {
    pub(crate) fn new(address: SocketAddr, path: &str, secret: &str) -> Self {
        let client = Client::new(address, "Convex/1.0").with_timeout(TIMEOUT);
        Self { client, path: path.to_owned(), secret: secret.to_owned(), haste: 1.0, numbers: 1 }
    }

    /// Posts a body once.
    pub(crate) fn post(&mut self, body: &[u8]) -> io::Result<Answer> {
        let signature = signature(&self.secret, body);
        self.post_as(&[("x-webhook-signature", &signature)], body)
    }

    /// Posts a body once, with these headers.
    pub(crate) fn post_as(&mut self, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.client.post(&self.path, headers, body)
    }

    /// The status that a body is answered with.
    pub(crate) fn status(&mut self, body: &[u8]) -> u16 {
        self.post(body).unwrap().status
    }

    /// Delivers a body as Convex does: the same bytes up to six times, with pauses that grow; whatever is neither 4xx nor
    /// 5xx is a success; a 4xx that does not mean "later" ends it.
    pub(crate) fn deliver(&mut self, body: &[u8]) -> Fate {
        for attempt in 0..ATTEMPTS {
            if let Ok(answer) = self.post(body) {
                match answer.status {
                    408 | 421 | 425 | 429 | 500.. => {}
                    refused @ 400.. => return Fate::Dropped(refused),
                    _ => return Fate::Delivered,
                }
            }
            if attempt + 1 < ATTEMPTS {
                let most = Duration::from_secs(1 << attempt).min(Duration::from_mins(1));
                std::thread::sleep(most.mul_f64(self.haste * self.random()));
            }
        }
        Fate::GivenUp
    }

    /// Between 0 and 1.
    fn random(&mut self) -> f64 {
        self.numbers = self.numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.numbers >> 40) as f64 / f64::from(1 << 24)
    }

    /// Chooses its pauses differently from other senders.
    pub(crate) fn with_pauses_of(mut self, seed: u64) -> Self {
        self.numbers = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self
    }
}
