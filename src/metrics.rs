//! What Prometheus is shown.
//!
//! Enters what was committed, as a [`View`](crate::ledger::View), and what the program knows of itself; leaves a text
//! in the [`Format`] that the scraper prefers. The table below is the one place that names a metric, its help and its
//! labels: nothing is exposed that is not in it, the process's own numbers aside.

mod format;
mod gather;
mod openmetrics;

pub use format::Format;
pub use gather::{Family, SelfState, gather};

use prometheus::proto::MetricType;

/// The revision that the program was built from: what `STORAGEWATCH_REVISION` said at the time, or nothing.
pub const REVISION: &str = match option_env!("STORAGEWATCH_REVISION") {
    Some(revision) => revision,
    None => "",
};

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They never fall.
    Counter,
    /// They rise and fall.
    Gauge,
    /// They are counted by size.
    Histogram,
}

impl Kind {
    /// The text in the table of the README, and in the exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    const fn proto(self) -> MetricType {
        match self {
            Self::Counter => MetricType::COUNTER,
            Self::Gauge => MetricType::GAUGE,
            Self::Histogram => MetricType::HISTOGRAM,
        }
    }
}

macro_rules! metrics {
    ($($metric:ident: $kind:ident $name:literal [$($label:literal)*] $help:literal)*) => {
        /// Every metric, in the order in which they are exposed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// The whole table.
            pub const ALL: &[Self] = &[$(Self::$metric,)*];

            /// The name, as rules and dashboards use it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$metric => $name,)* }
            }

            /// How its values behave.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$metric => Kind::$kind,)* }
            }

            /// The names of its labels, in the order in which values are given.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$metric => &[$($label,)*],)* }
            }

            /// What it means.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$metric => $help,)* }
            }
        }
    };
}

metrics! {
    Accesses: Counter "convex_storage_access_total" ["deployment" "hosting" "outcome"]
        "Storage accesses that were logged, by outcome."
    Failures: Counter "convex_storage_access_failures_total" ["deployment" "hosting" "cause"]
        "Storage accesses that failed (the outcome direct-failed), by cause."
    Sizes: Histogram "convex_storage_access_size_bytes" ["deployment" "hosting"]
        "Sizes of the accessed blobs, where the record states one."
    LastAccess: Gauge "convex_storage_access_last_timestamp_seconds" ["deployment" "hosting" "outcome"]
        "Time of the latest storage access of each outcome, in seconds since 1970."
    Overflows: Counter "convex_storage_log_overflows_total" ["deployment" "hosting"]
        "Times that Convex said it had dropped log lines of a function: accesses may be missing there."
    Truncated: Counter "convex_storage_truncated_events_total" ["deployment" "hosting"]
        "Storage accesses that were read from records that had been cut."
    DeploymentInfo: Gauge "convex_storage_deployment_info" ["deployment" "hosting" "deployment_type" "project" "region"]
        "Always 1; the labels say what is known of a deployment."
    ProbeSuccess: Gauge "convex_storage_probe_success" ["deployment" "hosting" "path"]
        "Whether a probe last read its blob on this path: 1 or 0; absent while the application does not answer."
    ProbeDuration: Gauge "convex_storage_probe_duration_seconds" ["deployment" "hosting" "path"]
        "How long that took, by the application's clock; absent where the path failed before it was timed."
    AlertFiring: Gauge "storagewatch_alert_firing" ["alert" "deployment" "hosting" "severity"]
        "Whether an alert fires: 1 or 0. Alerts about sources and the program itself name no deployment."
    Notifications: Counter "storagewatch_notifications_total" ["receiver" "result"]
        "Requests to receivers of notifications, by whether they were taken."
    SourceLines: Counter "storagewatch_source_lines_total" ["source"]
        "Lines read."
    SourceBytes: Counter "storagewatch_source_bytes_total" ["source"]
        "Bytes read, uncompressed."
    SourceRecords: Counter "storagewatch_source_records_total" ["source"]
        "Records decoded from lines that could matter."
    SourceSkipped: Counter "storagewatch_source_skipped_total" ["source" "reason"]
        "Input that was not used, by reason."
    SourceLostBytes: Counter "storagewatch_source_lost_bytes_total" ["source"]
        "Bytes that are known to have been written and that were gone before they could be read."
    SourcePossibleLoss: Counter "storagewatch_source_possible_loss_total" ["source"]
        "Times that something may have been lost and nothing can tell how much."
    SourceLag: Gauge "storagewatch_source_lag_bytes" ["source"]
        "Bytes that are there and were not read yet."
    SourceLastRead: Gauge "storagewatch_source_last_read_timestamp_seconds" ["source"]
        "Time at which something was last read, in seconds since 1970."
    SourceUp: Gauge "storagewatch_source_up" ["source"]
        "Whether the source can be read: 1 or 0."
    SourceRotations: Counter "storagewatch_source_rotations_total" ["source" "kind"]
        "Times that a followed file gave way to another, by kind."
    WebhookRequests: Counter "storagewatch_webhook_requests_total" ["source" "code"]
        "Requests of webhooks that were answered since the program started, by status."
    CommitDuration: Histogram "storagewatch_ledger_commit_duration_seconds" []
        "How long it took to make counts durable."
    LedgerUp: Gauge "storagewatch_ledger_up" []
        "Whether counts can be made durable: 1, or 0 while the last commit has failed."
    DeploymentsFolded: Gauge "storagewatch_deployments_folded" []
        "Deployments that are counted together, because there were too many."
    ConfigReload: Gauge "storagewatch_config_last_reload_successful" []
        "Whether the configuration was taken when it was last read: 1 or 0."
    BuildInfo: Gauge "storagewatch_build_info" ["version" "revision"]
        "Always 1; the labels say which program this is."
}
