//! Who is told, and one request to them.
//!
//! Enters notices; leaves when they were taken, or why not and how soon another attempt makes sense. Addresses may be
//! secrets: they appear in no error and no log.

use super::due::Manner;
use super::{Notice, alertmanager, discord, json, slack};
use crate::event::clip;
use crate::plain::safe;
use crate::secret::Secret;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How long a request may take, and the connection for it.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is repeated of what a receiver says to a request that it does not take, in bytes.
const ANSWER: usize = 200;

/// What stands for a word of a secret address in what a receiver says, and how long such a word is at least, and a part of
/// one, in bytes: `no_service` is no part of what follows `/services/`.
const BLANK: &str = "…";
const WORD: usize = 4;
const PART: usize = 8;

/// What a receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Alertmanager's API.
    Alertmanager,
    /// JSON of our own.
    Json,
    /// Slack's incoming webhooks.
    Slack,
    /// Discord's webhooks.
    Discord,
}

impl Kind {
    pub(super) const fn manner(self) -> Manner {
        match self {
            Self::Alertmanager => Manner::Again,
            Self::Json | Self::Slack | Self::Discord => Manner::Once,
        }
    }

    /// Alerts in one request at the most.
    pub(super) const fn at_once(self) -> usize {
        match self {
            Self::Alertmanager => alertmanager::AT_ONCE,
            Self::Json => json::AT_ONCE,
            Self::Slack => slack::AT_ONCE,
            Self::Discord => discord::AT_ONCE,
        }
    }

    fn body(self, notices: &[Notice], page: &str) -> Value {
        match self {
            Self::Alertmanager => alertmanager::body(notices, page),
            Self::Json => json::body(notices, page),
            Self::Slack => slack::body(notices, page),
            Self::Discord => discord::body(notices, page),
        }
    }
}

/// Where a receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it was written: it holds no secret.
    Plain(Url),
    /// Named, because it is one.
    Secret(Secret),
}

impl Address {
    /// Takes an address that anybody may know.
    pub fn plain(text: &str) -> Result<Self, String> {
        let mut url = url(text)?;
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address with a password is a secret; write env:NAME or file:PATH".to_owned());
        }
        Ok(Self::Plain(url))
    }

    /// Why nobody could be told there now, where that can be seen.
    pub fn trouble(&self) -> Option<String> {
        let Self::Secret(secret) = self else { return None };
        match secret.reveal() {
            Ok(value) => url(value.expose()).err().map(|what| format!("{secret}: {what}")),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

/// Reads an address without repeating it: it may be a secret that stands in the wrong place.
fn url(text: &str) -> Result<Url, String> {
    let example = "write one as in http://127.0.0.1:9093";
    let url = Url::parse(text.trim()).map_err(|error| format!("no address ({error}); {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("no address that begins with http:// or https://; {example}"));
    }
    Ok(url)
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The name in metrics and in the ledger. No two have the same.
    pub name: Arc<str>,
    /// What it understands.
    pub kind: Kind,
    /// Where it is.
    pub address: Address,
}

/// Why notices were not taken.
#[derive(Debug, Error)]
#[error("{what}")]
pub(super) struct NotTaken {
    what: String,
    /// Whether the receiver does not want them, as far as can be told.
    pub(super) refused: bool,
    /// How long it asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl NotTaken {
    /// One that asks to be left alone.
    #[cfg(test)]
    pub(super) fn asking(retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::failed("") }
    }

    fn failed(what: impl Into<String>) -> Self {
        Self { what: what.into(), refused: false, retry_after: None }
    }
}

/// What requests are made with.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirection would carry what is said to somebody whom nobody named.
        .redirect(Policy::none())
        // So would a proxy that the environment names for others.
        .no_proxy()
        .user_agent(concat!("storagewatch/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(1)
        .build()
}

impl Receiver {
    /// Sends notices, in one request.
    pub(super) async fn send(&self, client: &Client, notices: &[Notice], page: &str) -> Result<(), NotTaken> {
        let url = self.url().await.map_err(NotTaken::failed)?;
        let request = client.post(url.clone()).json(&self.kind.body(notices, page));
        let mut answer = request.send().await.map_err(|error| NotTaken::failed(reason(error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
        let said = answer.chunk().await.ok().flatten().unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let said = match &self.address {
            Address::Plain(_) => said.into_owned(),
            Address::Secret(_) => blanked(&said, &url),
        };
        let said = clip(&safe(said.trim()), ANSWER);
        let separator = if said.is_empty() { "" } else { ": " };
        Err(NotTaken {
            what: format!("it answered {}{separator}{said}", status.as_u16()),
            refused: !(status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)),
            retry_after: retry_after.map(|seconds| Duration::from_secs_f64(seconds.min(3600.0))),
        })
    }

    async fn url(&self) -> Result<Url, String> {
        let mut url = match &self.address {
            Address::Plain(url) => url.clone(),
            Address::Secret(secret) => {
                let secret = secret.clone();
                let value = tokio::task::spawn_blocking(move || secret.reveal());
                let value = value.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                url(value.expose()).map_err(|what| format!("{}: {what}", self.address))?
            }
        };
        if self.kind == Kind::Alertmanager {
            let path = format!("{}/{}", url.path().trim_end_matches('/'), alertmanager::ROUTE);
            url.set_path(&path);
        }
        Ok(url)
    }
}

/// An answer without what it repeats of an address: neither the path, nor a word of it, nor a part of such.
fn blanked(answer: &str, url: &Url) -> String {
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let answer = if path.len() > 1 { answer.replace(&path, BLANK) } else { answer.to_owned() };
    let separates = |c: char| !c.is_ascii_alphanumeric();
    let address = url.as_str().to_ascii_lowercase();
    let words: Vec<&str> = address.split(separates).filter(|word| word.len() >= WORD).collect();
    let mut blanked = String::with_capacity(answer.len());
    for part in answer.split_inclusive(separates) {
        let word = part.trim_end_matches(separates);
        let said = word.to_ascii_lowercase();
        let is_part = |word: &&str| said.contains(word) || (said.len() >= PART && word.contains(&said));
        if words.iter().any(is_part) {
            blanked.push_str(BLANK);
            blanked.push_str(part.strip_prefix(word).unwrap_or_default());
        } else {
            blanked.push_str(part);
        }
    }
    blanked
}

/// What went wrong, down to its cause, without the address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_nothing_of_a_secret_address() {
        let url = Url::parse("https://hooks.example/services/T0AB/xYz-12.34/hunter2hunter2?key=a!b").unwrap();
        for (answer, expected) in [
            ("no_<service>", "no_<service>"),
            ("Cannot POST /services/T0AB/xYz-12.34/hunter2hunter2?key=a!b\n", "Cannot POST …\n"),
            ("{\"path\":\"\\/services\\/T0AB\\/hunter2hunter2\"}", "{\"path\":\"\\/…\\/…\\/…\"}"),
            ("no %2FHUNTER2hunter2, ä", "no %…, ä"),
            ("it breaks off: hunter2hu", "it breaks off: …"),
        ] {
            assert_eq!(blanked(answer, &url), expected);
        }
        assert_eq!(blanked("no such path: /", &Url::parse("http://127.0.0.1").unwrap()), "no such path: /");
    }
}
