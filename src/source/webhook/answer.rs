//! What a request is answered, and how often each answer was given.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// After how many seconds somebody who is told to try again should.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Every answer to a request for an endpoint that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the body holds is durable, or was before.
    Taken,
    /// The body is no JSON, or its end is missing.
    Malformed,
    /// The signature or the key is missing or wrong.
    Unauthorized,
    /// A page in a browser sent it, unsigned.
    Forbidden,
    /// It was no POST.
    NotAPost,
    /// The body did not come in time, or broke off on its way: nobody has seen it whole, so its sender repeats it.
    Incomplete,
    /// The body is larger than it may be.
    TooLarge,
    /// The body is packed in a way that is not understood.
    Encoding,
    /// It could not be made durable yet.
    TryAgain,
}

impl Answer {
    /// Every answer.
    pub const ALL: [Self; 9] = [
        Self::Taken,
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotAPost,
        Self::Incomplete,
        Self::TooLarge,
        Self::Encoding,
        Self::TryAgain,
    ];

    /// The text in labels: the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "200",
            Self::Malformed => "400",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::NotAPost => "405",
            Self::Incomplete => "408",
            Self::TooLarge => "413",
            Self::Encoding => "415",
            Self::TryAgain => "503",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Taken => StatusCode::OK,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotAPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TryAgain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the sender drops what the body held.
    pub(super) const fn loses(self) -> bool {
        matches!(self, Self::Malformed | Self::Unauthorized | Self::TooLarge | Self::Encoding)
    }

    /// What it says to a person.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Taken => "{}\n",
            Self::Malformed => "The body is not JSON, or its end is missing.\n",
            Self::Unauthorized => "The signature or the key is missing or wrong.\n",
            Self::Forbidden => "A web page may not send unsigned bodies.\n",
            Self::NotAPost => "Bodies are posted here.\n",
            Self::Incomplete => "The body did not come whole and in time; send it again.\n",
            Self::TooLarge => "The body is larger than max_body allows.\n",
            Self::Encoding => "Bodies may be sent as they are, or packed with gzip.\n",
            Self::TryAgain => "Not durable yet; send it again.\n",
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.text()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        match self {
            // What receivers of OpenTelemetry and Datadog answer.
            Self::Taken => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::NotAPost => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Encoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            Self::TryAgain => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

/// How often each answer was given since the start of the process, by source and in the order of [`Answer::ALL`]. These
/// counts are not made durable: else strangers could make the disk work.
#[derive(Debug, Default)]
pub struct Requests(RwLock<BTreeMap<Arc<str>, Arc<Counts>>>);

type Counts = [AtomicU64; Answer::ALL.len()];

impl Requests {
    /// Makes a source known, with nothing answered yet.
    pub fn know(&self, source: &Arc<str>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(Arc::clone(source)).or_default();
    }

    /// Counts an answer for a source that is known; returns how often it had been given before.
    pub fn count(&self, source: &str, answer: Answer) -> u64 {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned();
        counts.map_or(0, |counts| counts[answer as usize].fetch_add(1, Ordering::Relaxed))
    }

    /// All of them.
    pub fn all(&self) -> Vec<(Arc<str>, [u64; Answer::ALL.len()])> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let load = |counts: &Counts| std::array::from_fn(|at| counts[at].load(Ordering::Relaxed));
        all.iter().map(|(source, counts)| (Arc::clone(source), load(counts))).collect()
    }
}
