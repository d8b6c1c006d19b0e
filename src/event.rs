//! The words of the program as types: what a record reports, whose it is, and when.
//!
//! Closed sets carry `ALL` and `as_str`; the text that labels, columns and messages use stands nowhere else.

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
display_as_str!(Outcome, Cause, Hosting, FunctionType, Layer);

/// A moment, in milliseconds since 1970 in UTC.
#[derive(Clone, Default, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// The years in which a log line can have been written, in milliseconds: 1970 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

impl Timestamp {
    /// Takes milliseconds since 1970, if they fall before the year 10,000.
    pub fn from_millis(millis: f64) -> Option<Self> {
        let whole = millis.floor();
        (whole.is_finite() && TIMES.contains(&(whole as i64))).then_some(Self(whole as i64))
    }

    /// Takes seconds since 1970, with a fraction.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        // The log API's seconds are milliseconds divided by 1000; rounding undoes what the division lost.
        Self::from_millis((seconds * 1000.0).round())
    }

    /// Reads RFC 3339, as applications, container engines and journals write it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let Some(time) = Self::parse_utc_millis(bytes) {
            return Some(time);
        }
        if bytes.len() < 20 || bytes.len() > 40 {
            return None;
        }
        let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        TIMES.contains(&millis).then_some(Self(millis))
    }

    /// The one layout that `Date.prototype.toISOString` writes, which is nearly all there is: `2026-11-23T08:27:21.083Z`.
    pub(crate) fn parse_utc_millis(b: &[u8]) -> Option<Self> {
        if b.len() != 24
            || b[4] != b'-'
            || b[7] != b'-'
            || b[10] != b'T'
            || b[13] != b':'
            || b[16] != b':'
            || b[19] != b'.'
            || b[23] != b'Z'
        {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            b[range].iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second, millis) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let month_length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=12).contains(&month) || !(1..=month_length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // Days from the civil date (Howard Hinnant's algorithm), with March as the first month.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let time = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis;
        TIMES.contains(&time).then_some(Timestamp(time))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => f.pad(&format!("{time:.3}")),
            Err(_) => f.pad("?"),
        }
    }
}

/// One layer that a record was unwrapped through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// Docker's `json-file` driver.
    Docker,
    /// A time stamp before the line, as `docker logs -t` and `kubectl logs --timestamps` print it.
    Timestamps,
    /// A service's name before the line, as `docker compose logs` prints it.
    Compose,
    /// Kubernetes' container runtime interface.
    Cri,
    /// `journalctl -o json`.
    Journald,
    /// RFC 3164, RFC 5424, or `journalctl`'s short form.
    Syslog,
    /// A JSON array of records: a webhook's body.
    Array,
    /// A body of the log API.
    Entries,
    /// Axiom's wrapping of a log stream event.
    Axiom,
    /// Datadog's wrapping of a log stream event.
    Datadog,
    /// OpenTelemetry's logs, as PostHog receives them.
    Otlp,
    /// A log stream event.
    LogStream,
    /// A log stream event as it was before May 2024.
    LogStreamV1,
    /// An entry of the log API, or of `convex logs --jsonl`.
    ConvexRecord,
    /// A line that the Node executor hands to the backend.
    NodeExecutor,
    /// A line that Convex's command-line client prints.
    ConvexText,
    /// A console line without Convex's prefix: `[LOG] …`.
    Console,
    /// The application's own JSON.
    AppJson,
    /// Text without any prefix.
    Text,
    /// The backend's own tracing.
    Tracing,
    /// What the command-line client prints above the logs it follows.
    Banner,
}

impl Layer {
    /// The name in the column `format`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Timestamps => "timestamps",
            Self::Compose => "compose",
            Self::Cri => "cri",
            Self::Journald => "journald",
            Self::Syslog => "syslog",
            Self::Array => "array",
            Self::Entries => "entries",
            Self::Axiom => "axiom",
            Self::Datadog => "datadog",
            Self::Otlp => "otlp",
            Self::LogStream => "log-stream",
            Self::LogStreamV1 => "log-stream-v1",
            Self::ConvexRecord => "convex-record",
            Self::NodeExecutor => "node-executor",
            Self::ConvexText => "convex-text",
            Self::Console => "console",
            Self::AppJson => "app-json",
            Self::Text => "text",
            Self::Tracing => "tracing",
            Self::Banner => "banner",
        }
    }
}

/// How many layers are unwrapped at the most.
pub const MAX_LAYERS: usize = 12;

/// The layers of a record, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Layers {
    layers: [Option<Layer>; MAX_LAYERS],
}

impl Layers {
    /// Adds the next layer inwards. Past [`MAX_LAYERS`] nothing is added.
    #[must_use]
    pub fn and(mut self, layer: Layer) -> Self {
        if let Some(free) = self.layers.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(layer);
        }
        self
    }

    /// The layers, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Layer> + '_ {
        self.layers.iter().flatten().copied()
    }

    /// Whether there is room for no further layer.
    pub fn is_full(&self) -> bool {
        self.layers[MAX_LAYERS - 1].is_some()
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, layer) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(">")?;
            }
            f.write_str(layer.as_str())?;
        }
        Ok(())
    }
}

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
    fn times_agree_with_a_calendar() {
        for text in ["2026-11-23T08:27:21.083Z", "2000-02-29T23:59:59.999Z", "1970-01-01T00:00:00.000Z"] {
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(Timestamp::parse_utc_millis(text.as_bytes()), Some(Timestamp(expected)), "{text}");
            assert_eq!(Timestamp(expected).to_string(), text);
        }
        for wrong in ["2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-23T24:00:00.000Z"] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Timestamp::parse("2026-01-30T02:26:40.123456789Z"), Some(Timestamp(1_769_740_000_123)));
        assert_eq!(Timestamp::parse("2026-01-30T04:26:40+02:00"), Some(Timestamp(1_769_740_000_000)));
    }

    #[test]
    fn seconds_of_the_log_api_lose_no_millisecond() {
        assert_eq!(Timestamp::from_seconds(1_795_422_440.939), Some(Timestamp(1_795_422_440_939)));
        assert_eq!(Timestamp::from_millis(f64::NAN), None);
        assert_eq!(Timestamp::from_millis(1e300), None);
    }

    #[test]
    fn clip_keeps_characters_whole() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("ääääääää", 8), "ää…");
    }
}
