//! The two requests of a probe: make a test blob, and have it read both ways.

use crate::event::clip;
use crate::fetch::{Answer, Bounds, Failure, fetch};
use reqwest::header::CONTENT_LENGTH;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// The endpoints, as the application has them.
const MAKE: &str = "/debug/storage-blob";
const TEST: &str = "/debug/node-network-test";

/// The executor tries a refused connection five times, with pauses of up to 16 seconds; both paths are tried in turn.
const TESTING: Bounds = Bounds {
    head: Duration::from_secs(90),
    pause: Duration::from_secs(10),
    body: Duration::from_secs(30),
    bytes: 1024 * 1024,
};

/// The longest id that is taken for a blob's.
const MAX_ID: usize = 256;

/// How much of an error's text is shown.
const MAX_SAID: usize = 300;

/// A blob to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blob {
    pub(crate) id: String,
    /// Its size, where it is known.
    pub(crate) size_bytes: Option<u64>,
}

/// Why there is no result.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Nobody answered.
    #[error("{url} {failure}")]
    Unanswered { url: String, failure: Failure },
    /// The application has no such endpoint.
    #[error(
        "{url} has no {endpoint} (status {status}): the application has to have the diagnostic endpoints POST {MAKE} and \
         GET {TEST}?storageId=…, and the address be the one of its HTTP actions: https://NAME.convex.site, self-hosted \
         usually port 3211"
    )]
    Missing { url: String, endpoint: &'static str, status: u16 },
    /// The endpoint failed.
    #[error("{url}{endpoint} answers with status {status}{said}")]
    Failed { url: String, endpoint: &'static str, status: u16, said: String },
    /// The answer makes no sense.
    #[error("{url}{endpoint} answers with something {what}")]
    Strange { url: String, endpoint: &'static str, what: String },
    /// The application does not say how both paths fared.
    #[error("{url}{TEST} answers with something {}", partial.what)]
    Partial { url: String, partial: Box<super::Partial> },
}

/// Makes a test blob.
pub(crate) async fn make(client: &reqwest::Client, url: &str) -> Result<Blob, AskError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        storage_id: String,
        size: Option<u64>,
    }
    // Something in between may want to know that nothing follows.
    let request = client.post(format!("{url}{MAKE}")).header(CONTENT_LENGTH, 0);
    let answered = fetch(request, Bounds::SHORT).await;
    let text = text(url, MAKE, "POST /debug/storage-blob", answered)?;
    let strange = |what: String| AskError::Strange { url: url.to_owned(), endpoint: MAKE, what };
    let made: Made = serde_json::from_str(&text).map_err(|error| strange(format!("without a storageId ({error})")))?;
    if !is_id(&made.storage_id) {
        return Err(strange("whose storageId is none".to_owned()));
    }
    Ok(Blob { id: made.storage_id, size_bytes: made.size })
}

/// Has the blob read both ways, and returns what the application answers.
pub(crate) async fn test(client: &reqwest::Client, url: &str, blob: &Blob) -> Result<super::Probe, AskError> {
    let request = client.get(format!("{url}{TEST}")).query(&[("storageId", &blob.id)]);
    let text = text(url, TEST, "GET /debug/node-network-test", fetch(request, TESTING).await)?;
    let partial = |partial| AskError::Partial { url: url.to_owned(), partial: Box::new(partial) };
    super::Probe::read(&text, blob.size_bytes).map_err(partial)
}

/// Whether a text can be a blob's id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn text(
    url: &str,
    path: &'static str,
    endpoint: &'static str,
    answered: Result<Answer, Failure>,
) -> Result<String, AskError> {
    let url = url.to_owned();
    let answer = match answered {
        Ok(answer) => answer,
        Err(failure) => return Err(AskError::Unanswered { url, failure }),
    };
    match (answer.status, answer.body.text()) {
        (200..=299, Some(text)) => Ok(text.into_owned()),
        (200..=299, None) => Err(AskError::Strange { url, endpoint: path, what: "too large".to_owned() }),
        (status @ (404 | 405), _) => Err(AskError::Missing { url, endpoint, status }),
        (status @ 300..=399, _) => {
            let said = answer.location.map(|to| format!(", a redirect to {}; probe that address", clip(&to, MAX_SAID)));
            Err(AskError::Failed { url, endpoint: path, status, said: said.unwrap_or_default() })
        }
        (status, text) => {
            let said = text.as_deref().and_then(said).unwrap_or_default();
            Err(AskError::Failed { url, endpoint: path, status, said })
        }
    }
}

/// The error that an endpoint tells in its answer.
fn said(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        error: String,
    }
    let said: Said = serde_json::from_str(text).ok()?;
    Some(format!(": {}", clip(&said.error, MAX_SAID)))
}
