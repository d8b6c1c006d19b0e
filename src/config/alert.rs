//! What the configuration says of alerts: how long they last, and who is told.
//!
//! Enters `[alert]`; leaves an [`AlertSection`] with what is set, and resolved, [`Alerting`] with what holds.

use super::document::{Section, Wrong, kind};
use super::values::{self, SourceName, name_of, parsed};
use crate::alert::{Address, Kind, Receiver};
use crate::policy::Severity;
use crate::secret::Secret;
use clap::ValueEnum;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeValue;

/// How long it must be quiet until an alert is resolved.
pub const DEFAULT_WINDOW: Duration = Duration::from_mins(5);
/// For how long after that an Alertmanager is told that it fires. The shipped rules keep an alert for two minutes; a scrape
/// and an evaluation come before.
pub(super) const DEFAULT_KEEP_FIRING_FOR: Duration = Duration::from_mins(3);
/// Events that are older raise no alert.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_hours(24);

/// How long alerts may last.
pub(super) const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);
/// For how long after their resolution an Alertmanager may be told that they fire.
const KEPT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
/// How old events may be that raise one.
const AGES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24 * 366);

pub(super) const ALERT: [&str; 6] =
    ["window", "keep_firing_for", "max_age", "external_url", "alertmanagers", "webhook"];
const WEBHOOK: [&str; 3] = ["name", "url", "format"];

const EXAMPLE: &str = "[\"http://127.0.0.1:9093\"]";

/// What a webhook understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WebhookFormat {
    /// JSON of our own.
    Json,
    /// Slack's.
    Slack,
    /// Discord's.
    Discord,
}

impl WebhookFormat {
    const fn kind(self) -> Kind {
        match self {
            Self::Json => Kind::Json,
            Self::Slack => Kind::Slack,
            Self::Discord => Kind::Discord,
        }
    }
}

/// `[alert]`. What it does not set is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AlertSection {
    pub(super) window: Option<Duration>,
    pub(super) keep_firing_for: Option<Duration>,
    pub(super) max_age: Option<Duration>,
    pub(super) external_url: Option<String>,
    pub(super) alertmanagers: Vec<Address>,
    pub(super) webhooks: Vec<Webhook>,
}

/// `[[alert.webhook]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Webhook {
    pub(super) name: Option<SourceName>,
    pub(super) url: Secret,
    pub(super) format: WebhookFormat,
}

/// What holds for alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    /// How long it must be quiet until an alert is resolved.
    pub window: Duration,
    /// For how long after that an Alertmanager is told that it fires.
    pub keep_firing_for: Duration,
    /// Events that are older raise none.
    pub max_age: Duration,
    /// The address of the status page for those who are told; without it, where it is served.
    pub external_url: Option<String>,
    /// Who is told. Names differ.
    pub receivers: Vec<Receiver>,
}

impl AlertSection {
    pub(super) fn parse(section: &Section<'_>, directory: &Path) -> Result<Self, Wrong> {
        let mut alert = Self {
            window: section.get("window", parsed(window))?,
            keep_firing_for: section.get("keep_firing_for", parsed(|text| values::duration_within(text, &KEPT)))?,
            max_age: section.get("max_age", parsed(|text| values::duration_within(text, &AGES)))?,
            external_url: section.get("external_url", parsed(external_url))?,
            ..Self::default()
        };
        if section.get("alertmanagers", |_| Ok(()))?.is_some() {
            let known = &mut alert.alertmanagers;
            section.each("alertmanagers", EXAMPLE, |value| {
                let text = value.as_str().ok_or_else(|| format!("expected text in quotes, found {}", kind(value)))?;
                let address = alertmanager(text, directory)?;
                if known.contains(&address) {
                    return Err(format!("{address} stands there already; take it out"));
                }
                known.push(address);
                Ok(())
            })?;
        }
        for section in section.sections("webhook", "[[alert.webhook]]", &WEBHOOK)? {
            let url = |text: &str| Secret::parse(text, directory);
            let (url, place) = section.require("url", "\"env:SLACK_URL\"", parsed(url))?;
            let webhook = Webhook {
                name: section.get("name", parsed(SourceName::parse))?,
                url,
                format: section.get("format", values::word)?.unwrap_or(WebhookFormat::Json),
            };
            let name = webhook.receiver_name();
            if alert.webhooks.iter().any(|other| other.receiver_name() == name) {
                let what = format!("[[alert.webhook]]: one above is called '{name}' already; give this one a name");
                return Err(Wrong::new(place.start, what));
            }
            alert.webhooks.push(webhook);
        }
        Ok(alert)
    }

    /// Lays what was typed over it.
    pub(super) fn resolve(self, typed: Option<&[Address]>) -> Alerting {
        let alertmanagers = typed.map_or(self.alertmanagers, <[Address]>::to_vec);
        let mut receivers: Vec<Receiver> = Vec::new();
        for address in alertmanagers {
            let name: Arc<str> = Arc::from(alertmanager_name(&address));
            if receivers.iter().all(|other| other.name != name) {
                receivers.push(Receiver { name, kind: Kind::Alertmanager, address });
            }
        }
        receivers.extend(self.webhooks.into_iter().map(|webhook| Receiver {
            name: Arc::from(webhook.receiver_name()),
            kind: webhook.format.kind(),
            address: Address::Secret(webhook.url),
        }));
        Alerting {
            window: self.window.unwrap_or(DEFAULT_WINDOW),
            keep_firing_for: self.keep_firing_for.unwrap_or(DEFAULT_KEEP_FIRING_FOR),
            max_age: self.max_age.unwrap_or(DEFAULT_MAX_AGE),
            external_url: self.external_url,
            receivers,
        }
    }
}

impl Webhook {
    /// What it is called: its format, unless it has a name.
    pub(super) fn receiver_name(&self) -> String {
        self.name.as_ref().map_or_else(|| name_of(&self.format), ToString::to_string)
    }
}

/// What an Alertmanager is called: where it is, without what is the same for all.
fn alertmanager_name(address: &Address) -> String {
    match address {
        Address::Plain(url) => {
            let scheme = if url.scheme() == "http" { "" } else { "https://" };
            let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}{}{port}{}", url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'))
        }
        Address::Secret(secret) => secret.to_string(),
    }
}

/// Reads where an Alertmanager is, or the name of the secret that says so. It is repeated in no error.
pub fn alertmanager(text: &str, directory: &Path) -> Result<Address, String> {
    if text.starts_with("env:") || text.starts_with("file:") {
        return Secret::parse(text, directory).map(Address::Secret);
    }
    Address::plain(text)
}

fn window(text: &str) -> Result<Duration, String> {
    values::duration_within(text, &WINDOWS)
}

/// An address without what follows it.
fn external_url(text: &str) -> Result<String, String> {
    Address::plain(text).map(|address| address.to_string())
}

/// How urgent alerts are, in the words of the file.
pub(super) fn severity(value: &DeValue<'_>) -> Result<Severity, String> {
    let text = values::text(value)?;
    Severity::ALL
        .into_iter()
        .find(|severity| severity.as_str() == text)
        .ok_or_else(|| format!("'{}' is no severity; write critical, warning or info", text.escape_debug()))
}

/// How long alerts of a deployment last.
pub(super) fn deployment_window(value: &DeValue<'_>) -> Result<Duration, String> {
    parsed(window)(value)
}
