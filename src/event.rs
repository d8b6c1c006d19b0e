//! The words of the program as types: what a record reports, whose it is, and when.
//!
//! Closed sets carry `ALL` and `as_str`; the text that labels, columns and messages use stands nowhere else.

mod layer;
mod timestamp;

pub use layer::{Layer, Layers, MAX_LAYERS};
pub use timestamp::Timestamp;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The words with which every storage access message begins.
pub const PHRASE: &str = "Storage access: ";

/// The words with which Convex says that it dropped log lines of a function.
pub const OVERFLOW: &str = "Log overflow (maximum";

/// The name that stands where nothing says which deployment an event belongs to.
pub const UNKNOWN_DEPLOYMENT: &str = "unknown";

/// How one storage access went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The blob was read from storage.
    Direct,
    /// The direct read was refused and the deployment's own HTTP endpoint served the blob.
    HttpFallback,
    /// The read failed and the action threw.
    DirectFailed,
    /// A word after the prefix that none of the three messages uses, or one that a cut may have shortened.
    Other,
}

impl Outcome {
    /// Every outcome, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Direct, Self::HttpFallback, Self::DirectFailed, Self::Other];

    /// The word in the log, in labels and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::HttpFallback => "http-fallback",
            Self::DirectFailed => "direct-failed",
            Self::Other => "other",
        }
    }

    /// Reads the whole word that follows [`PHRASE`].
    pub fn from_word(word: &str) -> Self {
        match word {
            "direct" => Self::Direct,
            "http-fallback" => Self::HttpFallback,
            "direct-failed" => Self::DirectFailed,
            _ => Self::Other,
        }
    }
}

/// Why a direct access failed, read from the `error` and `cause` that the application logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing listened at the address the action called back to.
    ConnectionRefused,
    /// Another failure of the network: a reset, a time-out, a name that was not found.
    Network,
    /// The backend answered, with an error of its own.
    BackendError,
    /// The blob does not exist.
    NotFound,
    /// Something else.
    Other,
    /// The record names neither an error nor a cause.
    Unstated,
}

impl Cause {
    /// Every cause, in the order in which they are tried.
    pub const ALL: [Self; 6] =
        [Self::ConnectionRefused, Self::Network, Self::BackendError, Self::NotFound, Self::Other, Self::Unstated];

    /// The text in labels and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::Network => "network",
            Self::BackendError => "backend_error",
            Self::NotFound => "not_found",
            Self::Other => "other",
            Self::Unstated => "unstated",
        }
    }
}

/// Where a deployment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hosting {
    /// Convex Cloud.
    Cloud,
    /// A backend that somebody runs themselves.
    SelfHosted,
    /// A backend that the command-line client started on a developer's machine.
    Local,
    /// Nothing says.
    Unknown,
}

impl Hosting {
    /// Every hosting.
    pub const ALL: [Self; 4] = [Self::Cloud, Self::SelfHosted, Self::Local, Self::Unknown];

    /// The text in labels, columns and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::SelfHosted => "self_hosted",
            Self::Local => "local",
            Self::Unknown => "unknown",
        }
    }
}

/// What kind of Convex function logged a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FunctionType {
    /// A query.
    Query,
    /// A mutation.
    Mutation,
    /// An action.
    Action,
    /// An HTTP action.
    HttpAction,
}

impl FunctionType {
    /// The text in columns: the log stream's own.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Action => "action",
            Self::HttpAction => "http_action",
        }
    }

    /// Reads every spelling in use: log streams (`http_action`, legacy `httpAction`), records (`HttpAction`) and the
    /// letter that the command-line client prints.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "query" | "Query" | "Q" => Some(Self::Query),
            "mutation" | "Mutation" | "M" => Some(Self::Mutation),
            "action" | "Action" | "A" => Some(Self::Action),
            "http_action" | "httpAction" | "HttpAction" | "H" => Some(Self::HttpAction),
            _ => None,
        }
    }
}

macro_rules! display_as_str {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}
display_as_str!(Outcome, Cause, Hosting, FunctionType);

/// What a record says of the deployment that it came from. Absent values were absent or null.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The deployment's name.
    pub deployment: Option<String>,
    /// `prod`, `dev`, `preview` or `custom`: only Convex Cloud states one.
    pub deployment_type: Option<String>,
    /// The project's slug, or its name.
    pub project: Option<String>,
    /// The region: `local` for every backend outside Convex Cloud.
    pub region: Option<String>,
    /// The deployment's address, from the command-line client's banner.
    pub url: Option<String>,
    /// Whether a `convex` object was there in which both type and project are null.
    pub unregistered: bool,
    /// Where the deployment itself said that it runs, when it was asked.
    #[serde(default)]
    pub answered: Option<Hosting>,
    /// Whether it takes a key that only Convex Cloud has: `prod:…`, `dev:…`, `preview:…`.
    #[serde(default)]
    pub has_cloud_key: bool,
    /// Which of several interleaved streams of one input the record stood in, for records that name no deployment:
    /// a banner in that stream names it.
    pub lane: Option<Arc<str>>,
}

/// A record that reports a storage access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened: the application's own time, else the record's, else the envelope's.
    pub time: Option<Timestamp>,
    /// When it was logged: the record's time, else the envelope's, whatever the application says.
    #[serde(default)]
    pub logged: Option<Timestamp>,
    /// How the access went.
    pub outcome: Outcome,
    /// Why it failed; only where the outcome is `direct-failed`.
    pub cause: Option<Cause>,
    /// What the record says of its deployment.
    pub origin: Arc<Origin>,
    /// The function's path, `module:name`, or `METHOD /path` of an HTTP action.
    pub function: Option<String>,
    /// The function's kind.
    pub function_type: Option<FunctionType>,
    /// The blob.
    pub storage_id: Option<String>,
    /// The blob's size.
    pub size_bytes: Option<u64>,
    /// Why the fallback was used, in the application's words.
    pub reason: Option<String>,
    /// What went wrong, in the application's words.
    pub error: Option<String>,
    /// Convex's level, or the application's where there is no other.
    pub level: Option<String>,
    /// The request that ran the function.
    pub request_id: Option<String>,
    /// The execution within it.
    pub execution_id: Option<String>,
    /// The layers the record was unwrapped through.
    pub format: Layers,
    /// The byte of the record's first line in its source.
    pub offset: u64,
    /// Whether the record was cut and only its beginning could be read.
    pub truncated: bool,
    /// What makes a second copy of the record recognisable; only entries of the log API have it.
    pub identity: Option<Identity>,
}

/// A 16-byte hash of what identifies a record of the log API, its deployment aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity(pub u128);

/// Cuts a text that a log line brought to `max` bytes at a character's edge.
pub fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut clipped = text.get(..end).unwrap_or_default().to_owned();
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_keeps_characters_whole() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("ääääääää", 8), "ää…");
    }
}
