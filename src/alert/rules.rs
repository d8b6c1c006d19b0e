//! What the configuration says of alerts, and which alert an event raises.

use super::{Detail, Key, Name};
use crate::event::{Hosting, Outcome, Timestamp, clip};
use crate::ledger::{Place, PlaceCounts};
use crate::policy::{Severity, Verdict, judge_expecting};
use crate::row::Row;
use std::sync::Arc;
use std::time::Duration;

/// A text that is kept of an event, in bytes.
const TEXT: usize = 300;

/// What is said of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentRules {
    /// Whether direct access is expected there, whatever is usual.
    pub expects_direct: bool,
    /// How urgent its alerts are, whatever the policy says.
    pub severity: Option<Severity>,
    /// How long it must be quiet until its alerts are resolved, if not as long as usual.
    pub window: Option<Duration>,
}

/// What is said of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRules {
    /// Its name.
    pub name: Arc<str>,
    /// After how long without a line it counts as silent.
    pub silent_after: Option<Duration>,
    /// Whether it may end: that is no fault then.
    pub may_end: bool,
    /// Whether it says when it has read what it held at first sight: what of that cannot be used is history, too.
    pub catches_up: bool,
    /// Whether it repeats what was read elsewhere before, so that what is older than the window is history.
    pub replays: bool,
}

/// What the configuration says of alerts.
pub struct Rules {
    /// What it says of a deployment, by its name.
    pub deployment: Box<dyn Fn(&str) -> DeploymentRules + Send>,
    /// How long it must be quiet until an alert is resolved.
    pub window: Duration,
    /// For how long after that an Alertmanager is told that it fires: what Prometheus says of it is over by then. Else
    /// a group that is looked at in between would be told anew.
    pub keep_firing_for: Duration,
    /// Events that are older raise none.
    pub max_age: Duration,
    /// The sources that are read.
    pub sources: Vec<SourceRules>,
    /// Who is to be told, by name.
    pub receivers: Vec<Arc<str>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            deployment: Box::new(|_| DeploymentRules::default()),
            window: Duration::from_mins(5),
            keep_firing_for: Duration::from_mins(3),
            max_age: Duration::from_hours(24),
            sources: Vec::new(),
            receivers: Vec::new(),
        }
    }
}

impl Rules {
    /// How long it must be quiet until an alert is resolved, in milliseconds.
    pub(super) fn window_of(&self, deployment: Option<&str>) -> i64 {
        let own = deployment.and_then(|name| (self.deployment)(name).window);
        own.unwrap_or(self.window).as_millis() as i64
    }

    /// Whether an event is too old to raise an alert. Where times are repeated, what is older than the window is.
    pub(crate) fn is_history(&self, source: &str, deployment: &str, time: Timestamp, now: Timestamp) -> bool {
        let replays = self.sources.iter().any(|rules| rules.replays && *rules.name == *source);
        let age = now.0 - time.0;
        age > self.max_age.as_millis() as i64 || (replays && age > self.window_of(Some(deployment)))
    }

    /// The alert that an outcome raises in a place, where it does.
    pub(crate) fn raised(&self, place: &Place, deployment_type: Option<&str>, outcome: Outcome) -> Option<Key> {
        let rules = (self.deployment)(&place.deployment);
        let (verdict, severity) = judge_expecting(rules.expects_direct, place.hosting, deployment_type, outcome);
        let name = match (verdict, place.hosting) {
            (Verdict::Investigate, Hosting::Cloud | Hosting::Unknown) => Name::ConvexStorageDirectFailed,
            (Verdict::Investigate, Hosting::SelfHosted | Hosting::Local) => Name::ConvexStorageDirectFailedSelfHosted,
            (Verdict::Degraded, _) => Name::ConvexStorageFallbackDegraded,
            (Verdict::Unrecognised | Verdict::Expected | Verdict::Healthy, _) => return None,
        };
        Some(Key::of_deployment(name, &place.deployment, place.hosting, rules.severity.or(severity)?))
    }

    /// The alerts that a place can raise: their series are there before they fire.
    pub(super) fn possible<'r>(&'r self, place: &'r Place, counts: &'r PlaceCounts) -> impl Iterator<Item = Key> + 'r {
        let kind = counts.deployment_type.as_deref();
        Outcome::ALL.into_iter().filter_map(move |outcome| self.raised(place, kind, outcome))
    }
}

/// What is kept of an event, counted in a place.
pub(crate) fn detail(row: &Row, place: &Place) -> Detail {
    let (event, deployment) = (&row.event, &row.attribution.deployment);
    let folded = (*deployment != place.deployment).then(|| clip(deployment, TEXT));
    let text = |text: &Option<String>| text.as_deref().map(|text| clip(text, TEXT));
    Detail {
        function: text(&event.function),
        cause: event.cause,
        storage_id: text(&event.storage_id),
        request_id: text(&event.request_id),
        error: text(&event.error).or_else(|| text(&event.reason)),
        what: None,
        folded: folded.into_iter().collect(),
    }
}
