//! One HTTP request, with everything bounded: how long it may take to be answered, how long the answer may pause, how
//! large it may be.
//!
//! Enters a request; leaves an [`Answer`], whatever its status, or a [`Failure`] in a sentence without the request's
//! address and headers, so that no key and no cursor shows. Redirects are not followed and no proxy is used: a key goes to
//! nobody else.

use crate::event::{Timestamp, clip};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, DATE, HeaderMap, HeaderValue, LOCATION};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// How much of what exceeds the bound is kept of its end.
const TAIL: usize = 512;

/// How much of the name of an encoding is told.
const MAX_ENCODING: usize = 64;

/// The bounds of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long until its head is there.
    pub(crate) head: Duration,
    /// How long between two pieces of its body.
    pub(crate) pause: Duration,
    /// How long its body may take altogether.
    pub(crate) body: Duration,
    /// How many bytes its body may have.
    pub(crate) bytes: usize,
}

impl Bounds {
    /// For an answer that is short and comes at once.
    pub(crate) const SHORT: Self = Self {
        head: Duration::from_secs(15),
        pause: Duration::from_secs(10),
        body: Duration::from_secs(15),
        bytes: 64 * 1024,
    };
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The clock of who answered, to the second.
    pub(crate) date: Option<Timestamp>,
    /// Where it says that something else is.
    pub(crate) location: Option<String>,
    pub(crate) body: Body,
}

/// What an answer holds.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// It exceeded its bound; this is its end.
    TooLarge(Vec<u8>),
}

impl Body {
    /// The text, if it is whole.
    pub(crate) fn text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Whole(bytes) => Some(String::from_utf8_lossy(bytes)),
            Self::TooLarge(_) => None,
        }
    }
}

/// Why nothing came back.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Nothing listens there, or it is not reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing came for too long.
    #[error("did not answer within {0:?}")]
    Late(Duration),
    /// It is packed, although that was not asked for.
    #[error("answers with Content-Encoding '{0}', which it was asked not to use; is something else in between?")]
    Packed(String),
    /// The answer broke off, or is none of HTTP.
    #[error("broke off before its answer was there: {0}")]
    BrokenOff(String),
}

/// A client whose connections are few, that follows nobody, and that goes through no proxy that the environment names.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    let as_it_is = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    reqwest::Client::builder()
        .default_headers(as_it_is)
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("storagewatch/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends a request and reads its answer.
pub(crate) async fn fetch(request: reqwest::RequestBuilder, bounds: Bounds) -> Result<Answer, Failure> {
    let head = timeout(bounds.head, request.send()).await.map_err(|_| Failure::Late(bounds.head))?;
    let mut response = head.map_err(|error| {
        let is_connect = error.is_connect();
        let text = reason(&error.without_url());
        if is_connect { Failure::Unreachable(text) } else { Failure::BrokenOff(text) }
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers());
    let date = text(headers, &DATE).and_then(|date| parse_date(&date));
    let location = text(headers, &LOCATION);
    if let Some(encoding) = text(headers, &CONTENT_ENCODING).filter(|encoding| !is_plain(encoding)) {
        return Err(Failure::Packed(clip(&encoding, MAX_ENCODING)));
    }
    let body = timeout(bounds.body, read(&mut response, bounds)).await.map_err(|_| Failure::Late(bounds.body))??;
    Ok(Answer { status, date, location, body })
}

async fn read(response: &mut reqwest::Response, bounds: Bounds) -> Result<Body, Failure> {
    let (mut bytes, mut is_whole) = (Vec::new(), true);
    loop {
        let piece = timeout(bounds.pause, response.chunk()).await.map_err(|_| Failure::Late(bounds.pause))?;
        let Some(piece) = piece.map_err(|error| Failure::BrokenOff(reason(&error.without_url())))? else { break };
        bytes.extend_from_slice(&piece);
        is_whole &= bytes.len() <= bounds.bytes;
        if !is_whole && bytes.len() > TAIL {
            bytes.drain(..bytes.len() - TAIL);
            bytes.shrink_to(bounds.bytes.min(1 << 20));
        }
    }
    Ok(if is_whole { Body::Whole(bytes) } else { Body::TooLarge(bytes) })
}

fn is_plain(encoding: &str) -> bool {
    let encoding = encoding.trim();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// An error and what is behind it, each once.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// Reads the header `Date`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer() {
        assert_eq!(parse_date("Tue, 24 Nov 2026 20:59:18 GMT"), Some(Timestamp(1_795_553_958_000)));
        assert_eq!(parse_date("yesterday"), None);
    }
}
