//! The requests that are put to a deployment: who it is, and what it has logged since a cursor.
//!
//! The paths, the header that yields structured lines and the times are those of `crates/local_backend/src/logs.rs` of
//! the Convex backend and of its command-line client.

use crate::event::{Hosting, Origin, Timestamp, clip};
use crate::fetch::{Answer, Body, Bounds, Failure, fetch};
use crate::scan::MAX_BODY;
use crate::secret::Revealed;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;

/// Without a client that the backend knows, it sends lines as text and without their times.
const CLIENT: &str = "npm-cli-1.48.0";

/// The backend answers after 60 seconds at the latest, with nothing if there is nothing.
const POLL: Bounds = Bounds {
    head: Duration::from_secs(75),
    pause: Duration::from_secs(30),
    body: Duration::from_mins(5),
    bytes: MAX_BODY,
};

/// Who it is is worth no long wait.
const HINT: Bounds = Bounds { head: Duration::from_secs(5), ..Bounds::SHORT };

/// Where it says who it is.
const NAME: &str = "/instance_name";
const INFO: &str = "/api/v1/deployment_info";

/// How long a key that was refused is left alone.
const REFUSED: Duration = Duration::from_mins(5);

/// The first wait after a failure, and the longest; each is made up to half as long again, or as short, at random.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The longest name that is taken for a deployment's.
const MAX_NAME: usize = 200;

/// Why a deployment cannot be polled.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// It does not accept the key.
    #[error(
        "it refuses the key (status {status}{code}): make a deploy key in the deployment's settings, self-hosted with \
         generate_admin_key.sh, and put it where {key} says; it is tried again every 5 minutes"
    )]
    Refused { status: u16, code: String, key: String },
    /// There is no key that could be sent.
    #[error("{0}; it is looked for again every 5 minutes")]
    NoKey(String),
    /// Something else answers there.
    #[error("{0}")]
    Elsewhere(String),
    /// It cannot be reached, or answers with an error of its own.
    #[error("{0}")]
    Failed(String),
    /// The answer broke off, or something in between waited for it in vain. Where a question has waited for long, that
    /// may be because there was nothing to answer.
    #[error("{0}")]
    CutShort(String),
}

impl Trouble {
    /// How long to wait before the next attempt, the n-th in a row. `chance` lies between 0 and 1.
    pub(super) fn wait(&self, attempt: u32, chance: f64) -> Duration {
        if matches!(self, Self::Refused { .. } | Self::NoKey(_)) {
            return REFUSED;
        }
        pause(attempt, chance)
    }
}

/// How long to wait for the n-th time in a row. `chance` lies between 0 and 1.
pub(super) fn pause(time: u32, chance: f64) -> Duration {
    let grown = FIRST_WAIT.saturating_mul(1 << time.saturating_sub(1).min(16));
    grown.min(LONGEST_WAIT).mul_f64(0.5 + chance)
}

impl Trouble {
    /// Whether a question that has waited for long may have ended like this because there was nothing to answer.
    pub(super) fn may_be_idleness(&self) -> bool {
        matches!(self, Self::CutShort(_))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        let text = format!("the deployment {failure}");
        if matches!(failure, Failure::BrokenOff(_)) { Self::CutShort(text) } else { Self::Failed(text) }
    }
}

/// A deployment to ask.
pub(super) struct Api<'o> {
    pub(super) client: &'o reqwest::Client,
    pub(super) url: &'o str,
    /// What the key is called, for errors.
    pub(super) key_name: String,
    key: HeaderValue,
    /// Whom the key names, and whether only Convex Cloud has keys like it.
    named: (Option<String>, bool),
}

/// Who answers.
#[derive(Debug, PartialEq)]
pub(super) struct Greeting {
    pub(super) origin: Origin,
    /// Its clock, to the second.
    pub(super) date: Option<Timestamp>,
    /// How far that clock is ahead of ours at the least, in milliseconds: what it has told of the time is up to a second
    /// old, and some time passed on the way.
    pub(super) ahead: i64,
    /// What it should have told of itself and could not.
    pub(super) untold: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    kind: String,
    deployment_type: Option<String>,
    project_slug: Option<String>,
    project_name: Option<String>,
}

impl<'o> Api<'o> {
    pub(super) fn new(
        client: &'o reqwest::Client,
        url: &'o str,
        key_name: String,
        key: &Revealed,
    ) -> Result<Self, Trouble> {
        let unusable = |_| Trouble::NoKey(format!("what {key_name} says holds characters that no key has"));
        let mut header = HeaderValue::from_str(&format!("Convex {}", key.expose())).map_err(unusable)?;
        header.set_sensitive(true);
        let named = named_by(key.expose());
        Ok(Self { client, url, key_name, key: header, named })
    }

    /// Asks who it is. Backends that cannot tell are known by their key or address, as far as these tell: that something
    /// is wrong with these questions is no reason not to ask for logs.
    pub(super) async fn greet(&self, now: &impl Fn() -> Timestamp) -> Greeting {
        let with_key = |request: reqwest::RequestBuilder| request.header(AUTHORIZATION, &self.key);
        let (name, info) = tokio::join!(
            async {
                let hint = self.hint(NAME, |request| request).await;
                // Without a clock of its own it is taken to have ours, about.
                let ahead = hint.1.map_or(-1000, |date| date.0 - now().0);
                (hint, ahead)
            },
            self.hint(INFO, with_key)
        );
        let (((name, date), ahead), (info, _)) = (name, info);
        let untold: Vec<&str> =
            [&name, &info].into_iter().filter_map(|told| told.as_ref().err()).map(|s| &**s).collect();
        let untold = (!untold.is_empty()).then(|| untold.join("; "));
        let name = name.ok().flatten().filter(|text| is_name(text));
        let info = info.ok().flatten().and_then(|text| serde_json::from_str::<Info>(&text).ok());
        Greeting { origin: self.origin(name, info), date, ahead, untold }
    }

    /// What one of these questions is answered, or why it is not, and when.
    async fn hint(
        &self,
        path: &str,
        with: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> (Result<Option<String>, String>, Option<Timestamp>) {
        match fetch(with(self.client.get(format!("{}{path}", self.url))), HINT).await {
            Ok(answer) => (told(&answer).map_err(|trouble| format!("{path}: {trouble}")), answer.date),
            Err(failure) => (Err(format!("{path}: the deployment {failure}")), None),
        }
    }

    /// Asks what time it is there, to the second. Whoever does not say has none.
    pub(super) async fn clock(&self) -> Option<Timestamp> {
        fetch(self.client.get(format!("{}{NAME}", self.url)), Bounds::SHORT).await.ok()?.date
    }

    fn origin(&self, name: Option<String>, info: Option<Info>) -> Origin {
        let (by_key, has_cloud_key) = self.named.clone();
        let name = name.or(by_key).or_else(|| crate::attribute::named_by_url(self.url));
        let mut origin = Origin { url: Some(self.url.to_owned()), has_cloud_key, ..Origin::default() };
        if let Some(info) = info {
            origin.answered = match info.kind.as_str() {
                "cloud" => Some(Hosting::Cloud),
                "selfHosted" => Some(Hosting::SelfHosted),
                _ => None,
            };
            let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| clip(&text, MAX_NAME));
            origin.deployment_type = text(info.deployment_type);
            origin.project = text(info.project_slug).or(text(info.project_name));
        }
        origin.deployment = name;
        origin
    }

    /// Fetches what was logged after a cursor; waits up to a minute for it.
    pub(super) async fn poll(&self, cursor: &str) -> Result<Body, Trouble> {
        let request = self.client.get(format!("{}/api/stream_function_logs", self.url)).query(&[("cursor", cursor)]);
        let request = request.header(AUTHORIZATION, &self.key).header("Convex-Client", CLIENT);
        let answer = fetch(request, POLL).await?;
        match answer.status {
            200 => Ok(answer.body),
            status @ (401 | 403) => Err(Trouble::Refused { status, code: code(&answer), key: self.key_name.clone() }),
            404 | 405 => Err(Trouble::Elsewhere(format!(
                "there is no log API at {}; its address is the deployment's own: https://NAME.convex.cloud (not \
                 .convex.site), self-hosted usually port 3210",
                self.url
            ))),
            300..=399 => Err(Trouble::Elsewhere(format!(
                "{} redirects to {}; write the address that answers itself",
                self.url,
                clip(answer.location.as_deref().unwrap_or("nowhere"), MAX_NAME)
            ))),
            status => {
                let text = format!("the deployment answers with status {status}{}", code(&answer));
                Err(if matches!(status, 502 | 504) { Trouble::CutShort(text) } else { Trouble::Failed(text) })
            }
        }
    }

    /// Asks for the time after a question was cut short: whoever is well tells it, else that was the trouble.
    pub(super) async fn alive(&self, trouble: Trouble) -> Result<Option<Timestamp>, Trouble> {
        let answered = fetch(self.client.get(format!("{}{NAME}", self.url)), Bounds::SHORT).await;
        match answered.map(|answer| (answer.date, told(&answer).is_ok())) {
            Ok((date, true)) => Ok(date),
            _ => Err(trouble),
        }
    }
}

/// What was answered, if the question was known; an error of the server's own is a trouble.
fn told(answer: &Answer) -> Result<Option<String>, Trouble> {
    match answer.status {
        200 => Ok(answer.body.text().map(|text| text.trim().to_owned())),
        status @ (429 | 500..) => {
            Err(Trouble::Failed(format!("the deployment answers with status {status}{}", code(answer))))
        }
        _ => Ok(None),
    }
}

/// The code that Convex gives an error, to be put behind its status.
fn code(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Code {
        code: String,
    }
    let code = answer.body.text().and_then(|text| serde_json::from_str::<Code>(&text).ok());
    let is_word = |code: &String| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    code.map(|code| code.code).filter(is_word).map_or_else(String::new, |code| format!(", {code}"))
}

/// Whom a key names (`prod:happy-otter-123|…`, `my-backend|…`), and whether it is one of Convex Cloud's.
fn named_by(key: &str) -> (Option<String>, bool) {
    let Some((head, _)) = key.split_once('|') else { return (None, false) };
    let (name, is_cloud) = match head.split_once(':') {
        Some(("prod" | "dev" | "preview", name)) => (name, true),
        Some(_) => return (None, false),
        None => (head, false),
    };
    // A preview's key names a team and a project.
    (Some(name.to_owned()).filter(|name| is_name(name) && !name.contains(':')), is_cloud)
}

/// Whether a text can be a deployment's name, and not some page.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@' | '/' | '+' | '~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_left_alone_for_five_minutes_and_everything_else_is_tried_soon() {
        let refused = Trouble::Refused { status: 403, code: String::new(), key: "env:KEY".to_owned() };
        let failed = Trouble::Failed("x".to_owned());
        for attempt in [1, 2, 100] {
            assert_eq!(refused.wait(attempt, 0.9), Duration::from_mins(5));
        }
        assert_eq!(failed.wait(1, 0.0), Duration::from_millis(250));
        assert_eq!(failed.wait(1, 1.0), Duration::from_millis(750));
        assert_eq!(failed.wait(3, 0.5), Duration::from_secs(2));
        assert_eq!(failed.wait(u32::MAX, 1.0), Duration::from_secs(30));
        let text = refused.to_string();
        assert!(text.contains("env:KEY") && text.contains("deploy key") && text.contains("5 minutes"), "{text}");
    }

    #[test]
    fn a_name_is_no_page_and_no_object() {
        for name in ["happy-otter-123", "convex-self-hosted", "local-team_1-x.y", "ünï-1"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "{\"code\":\"NotFound\"}", "\"otter\"", "<html>", "[]", "a b", "a\u{202e}b", &"a".repeat(201)]
        {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn a_key_tells_whose_it_is() {
        let named = |key: &str| {
            let (name, is_cloud) = named_by(key);
            (name.unwrap_or_default(), is_cloud)
        };
        assert_eq!(named("prod:happy-otter-123|abc"), ("happy-otter-123".to_owned(), true));
        assert_eq!(named("dev:happy-otter-123|abc"), ("happy-otter-123".to_owned(), true));
        assert_eq!(named("preview:team:project|abc"), (String::new(), true));
        assert_eq!(named("project:team:project|abc"), (String::new(), false));
        assert_eq!(named("artifact-review-local|0123"), ("artifact-review-local".to_owned(), false));
        assert_eq!(named("nothing"), (String::new(), false));
    }
}
