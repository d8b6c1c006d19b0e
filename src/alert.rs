//! Which alerts fire, since when and why, and who has been told.
//!
//! Enters what the ledger counts, as it counts it, the state of sources and receivers, and the time; leaves [`Alert`]s.
//! They are committed with the counts that raised them, so a restart neither forgets nor repeats one. [`notifier`] sends
//! what was committed; the rest of this module is pure.

mod alertmanager;
mod board;
mod discord;
mod due;
mod json;
pub mod notifier;
mod receiver;
mod rules;
mod slack;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod text;

pub use board::{Board, Delivered, Sent};
pub use due::Notice;
pub use receiver::{Address, Kind, Receiver};
pub use rules::{DeploymentRules, Rules, SourceRules};
pub use state::Alerts;
pub use text::{annotations, labels};

use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::policy::Severity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What an alert is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Name {
    /// A direct access failed, where that concerns production first of all.
    ConvexStorageDirectFailed,
    /// A direct access failed on somebody's own backend.
    ConvexStorageDirectFailedSelfHosted,
    /// The fallback was used where direct access is expected.
    ConvexStorageFallbackDegraded,
    /// Nothing was read of a source for as long as the configuration allows.
    ConvexStorageLogsSilent,
    /// A source cannot be read.
    StoragewatchSourceStalled,
    /// Input was not used, or may have been lost.
    StoragewatchSkipping,
    /// Nobody takes notifications.
    StoragewatchNotificationsFailing,
    /// What is counted cannot be made durable.
    StoragewatchLedgerFailing,
    /// None of the above: what `check --send-test-alert` sends.
    StoragewatchTest,
}

impl Name {
    /// Every alert that can fire.
    pub const ALL: [Self; 8] = [
        Self::ConvexStorageDirectFailed,
        Self::ConvexStorageDirectFailedSelfHosted,
        Self::ConvexStorageFallbackDegraded,
        Self::ConvexStorageLogsSilent,
        Self::StoragewatchSourceStalled,
        Self::StoragewatchSkipping,
        Self::StoragewatchNotificationsFailing,
        Self::StoragewatchLedgerFailing,
    ];

    /// The text in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConvexStorageDirectFailed => "ConvexStorageDirectFailed",
            Self::ConvexStorageDirectFailedSelfHosted => "ConvexStorageDirectFailedSelfHosted",
            Self::ConvexStorageFallbackDegraded => "ConvexStorageFallbackDegraded",
            Self::ConvexStorageLogsSilent => "ConvexStorageLogsSilent",
            Self::StoragewatchSourceStalled => "StoragewatchSourceStalled",
            Self::StoragewatchSkipping => "StoragewatchSkipping",
            Self::StoragewatchNotificationsFailing => "StoragewatchNotificationsFailing",
            Self::StoragewatchLedgerFailing => "StoragewatchLedgerFailing",
            Self::StoragewatchTest => "StoragewatchTest",
        }
    }

    /// The outcome that raises it, where one does.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::ConvexStorageDirectFailed | Self::ConvexStorageDirectFailedSelfHosted => Some(Outcome::DirectFailed),
            Self::ConvexStorageFallbackDegraded => Some(Outcome::HttpFallback),
            _ => None,
        }
    }

    /// The severity, where no policy decides it.
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::StoragewatchNotificationsFailing | Self::StoragewatchLedgerFailing => Severity::Critical,
            Self::StoragewatchTest => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// Whether it fires for as long as something is so. The others fire when something has happened, and resolve after
    /// a quiet window.
    pub(crate) const fn is_condition(self) -> bool {
        matches!(
            self,
            Self::ConvexStorageLogsSilent
                | Self::StoragewatchSourceStalled
                | Self::StoragewatchNotificationsFailing
                | Self::StoragewatchLedgerFailing
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an alert is about: at any time there is at most one incident of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub name: Name,
    /// The deployment, where it is about one.
    pub deployment: Option<Arc<str>>,
    /// Where that runs.
    pub hosting: Option<Hosting>,
    /// How urgent it is.
    pub severity: Severity,
    /// The source, where it is about one.
    pub source: Option<Arc<str>>,
}

impl Key {
    /// An alert about a deployment.
    pub fn of_deployment(name: Name, deployment: &Arc<str>, hosting: Hosting, severity: Severity) -> Self {
        Self { name, deployment: Some(Arc::clone(deployment)), hosting: Some(hosting), severity, source: None }
    }

    /// An alert about a source.
    pub fn of_source(name: Name, source: &Arc<str>) -> Self {
        Self { name, deployment: None, hosting: None, severity: name.severity(), source: Some(Arc::clone(source)) }
    }

    /// An alert about the program.
    pub fn own(name: Name) -> Self {
        Self { name, deployment: None, hosting: None, severity: name.severity(), source: None }
    }

    /// What the labels of its series say.
    pub(crate) fn series(&self) -> Series {
        Series {
            name: self.name,
            deployment: self.deployment.clone().unwrap_or_default(),
            hosting: self.hosting.map_or("", Hosting::as_str),
            severity: self.severity,
        }
    }
}

/// A series of `storagewatch_alert_firing`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The alert.
    pub name: Name,
    /// The deployment, or nothing.
    pub deployment: Arc<str>,
    /// The hosting, or nothing.
    pub hosting: &'static str,
    /// The severity.
    pub severity: Severity,
}

/// An incident: an alert from its first event to the end of its resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub key: Key,
    /// When it fired. With the key it names the incident.
    pub since: Timestamp,
    /// How often what raised it has happened since.
    pub count: u64,
    /// When that happened first.
    pub first: Timestamp,
    /// When it happened last.
    pub last: Timestamp,
    /// When that was counted: the quiet window begins there.
    pub counted: Timestamp,
    /// What is known of the latest.
    pub detail: Detail,
    /// When it was resolved.
    pub resolved: Option<Timestamp>,
    /// Until when an Alertmanager is told that it fires, once it is resolved.
    #[serde(default)]
    pub lingers: Timestamp,
    /// What each receiver was told. Whoever stands here and was told nothing yet is still to be told.
    pub deliveries: BTreeMap<Arc<str>, Delivery>,
}

impl Alert {
    /// Whether it fires.
    pub fn is_firing(&self) -> bool {
        self.resolved.is_none()
    }
}

/// What is known of the latest event of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The function.
    pub function: Option<String>,
    /// The cause.
    pub cause: Option<Cause>,
    /// The blob.
    pub storage_id: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// The error, or the reason for the fallback, in the application's words.
    pub error: Option<String>,
    /// What is so, of a source or the program itself.
    pub what: Option<String>,
    /// The deployments, the latest first and each once, where they are counted together with others under a name that is
    /// none of theirs.
    pub folded: Vec<String>,
}

/// What a receiver was told of an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// When it took the news that the alert fires.
    pub told: Option<Timestamp>,
    /// When it took the news that it does not any more.
    pub closed: Option<Timestamp>,
}

/// The alerts that fire, and those that were resolved and of which somebody is still to be told. Cheap to clone.
pub type Snapshot = Arc<Vec<Arc<Alert>>>;

/// Whether nothing has happened to any alert between two snapshots. One that is shared is never changed.
pub(crate) fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    one.len() == other.len() && one.iter().zip(&**other).all(|(one, other)| Arc::ptr_eq(one, other))
}
