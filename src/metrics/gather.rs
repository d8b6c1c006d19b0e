//! From committed counts to families of series.
//!
//! Series that stand for a closed set exist from the start, at 0, so that the first event is an increase. What is held
//! back shows 0 everywhere. A time that is not known yet is no series.

use super::{Kind, Metric};
use crate::alert::Sent;
use crate::event::{Cause, Outcome, Timestamp};
use crate::ledger::{
    COMMIT_BUCKETS, CommitTimes, Exemplar, Place, PlaceCounts, Rotation, SIZE_BUCKETS, Sizes, Skipped, SourceCounts,
    SourceState, View,
};
use crate::probe::Path;
use crate::source::webhook::Answer;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Series, MetricFamily};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the program knows of itself, the ledger aside.
#[derive(Clone, Debug, Default)]
pub struct SelfState {
    /// The program's version.
    pub version: &'static str,
    /// The revision it was built from, or nothing.
    pub revision: &'static str,
    /// Whether the configuration was taken when it was last read.
    pub config_ok: bool,
    /// How often webhooks were answered what, by source.
    pub requests: Vec<(Arc<str>, [u64; Answer::ALL.len()])>,
    /// The process's own metrics, as a collector gathered them.
    pub process: Vec<MetricFamily>,
}

/// One metric with its series.
#[derive(Clone, Debug)]
pub struct Family {
    pub(super) proto: MetricFamily,
    /// What only OpenMetrics can tell, of each series; nothing at all of the process's own metrics.
    pub(super) notes: Vec<Note>,
}

impl Family {
    /// The metric's name.
    pub fn name(&self) -> &str {
        self.proto.name()
    }
}

/// What only OpenMetrics can tell of a series.
#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    pub(super) created: Option<Timestamp>,
    pub(super) exemplar: Option<Exemplar>,
}

impl Note {
    fn created(time: Timestamp) -> Self {
        // A source that was never read has none.
        Self { created: (time != Timestamp::default()).then_some(time), exemplar: None }
    }
}

/// Gathers what is exposed, in the order of [`Metric::ALL`], then the process's own. A metric without series is left out.
pub fn gather(view: &View, own: &SelfState) -> Vec<Family> {
    let mut families = Families(Metric::ALL.iter().map(|metric| Family::new(*metric)).collect());
    for (place, counts) in &view.places {
        families.place(place, counts);
    }
    for ((place, path), (success, Reverse(duration))) in worst(view) {
        let labels = [&*place.deployment, place.hosting.as_str(), path.as_str()];
        families.gauge(Metric::ProbeSuccess, &labels, f64::from(success));
        if let Some(duration) = duration {
            families.gauge(Metric::ProbeDuration, &labels, duration.as_secs_f64());
        }
    }
    for (series, fires) in &*view.alert_series {
        let labels = [series.name.as_str(), &*series.deployment, series.hosting, series.severity.as_str()];
        families.gauge(Metric::AlertFiring, &labels, f64::from(*fires));
    }
    for (receiver, sent) in &view.notifications {
        for (result, count) in Sent::ALL.into_iter().zip(*sent) {
            families.counter(Metric::Notifications, &[&**receiver, result.as_str()], count, Note::default());
        }
    }
    for (name, (counts, state)) in &view.sources {
        families.source(name, counts);
        if !view.retired.contains(name) {
            families.state(name, state);
        }
    }
    for (name, counts) in &own.requests {
        for (answer, count) in Answer::ALL.into_iter().zip(*counts) {
            families.counter(Metric::WebhookRequests, &[name, answer.as_str()], count, Note::default());
        }
    }
    families.histogram(Metric::CommitDuration, &[], durations(&view.commits), Note::default());
    families.gauge(Metric::LedgerUp, &[], f64::from(view.trouble.is_none()));
    families.gauge(Metric::DeploymentsFolded, &[], view.folded as f64);
    families.gauge(Metric::ConfigReload, &[], f64::from(own.config_ok));
    families.gauge(Metric::BuildInfo, &[own.version, own.revision], 1.0);
    let process = own.process.iter().map(|proto| Family { proto: proto.clone(), notes: Vec::new() });
    families.0.into_iter().chain(process).filter(|family| !family.proto.get_metric().is_empty()).collect()
}

/// Whether a path worked and how long it took; the less of two is the worse.
type Fared = (bool, Reverse<Option<Duration>>);

/// How each path of each place fared: where several sources probe it, the worst of it, since no label tells them apart.
fn worst(view: &View) -> BTreeMap<(&Place, Path), Fared> {
    let mut worst = BTreeMap::new();
    for ((place, _), probed) in &view.probes {
        for (path, state) in Path::ALL.into_iter().zip(&probed.paths) {
            let fared = (state.success, Reverse(state.duration));
            worst.entry((place, path)).and_modify(|so_far| *so_far = fared.min(*so_far)).or_insert(fared);
        }
    }
    worst
}

impl Family {
    fn new(metric: Metric) -> Self {
        let mut proto = MetricFamily::default();
        proto.set_name(metric.name().to_owned());
        proto.set_help(metric.help().to_owned());
        proto.set_field_type(metric.kind().proto());
        Self { proto, notes: Vec::new() }
    }
}

/// A family for each metric of the table, in its order.
struct Families(Vec<Family>);

impl Families {
    fn place(&mut self, place: &Place, committed: &PlaceCounts) {
        let labels = [&*place.deployment, place.hosting.as_str()];
        let [deployment, hosting] = labels;
        let newborn;
        let counts = if committed.held.is_some() {
            newborn = PlaceCounts { created: committed.created, ..PlaceCounts::default() };
            &newborn
        } else {
            committed
        };
        let note = Note::created(counts.created);
        for (i, outcome) in Outcome::ALL.into_iter().enumerate() {
            let labels = [deployment, hosting, outcome.as_str()];
            let note = Note { exemplar: counts.exemplars[i].clone(), ..note.clone() };
            self.counter(Metric::Accesses, &labels, counts.outcomes[i], note);
            if let Some(time) = counts.last[i] {
                self.gauge(Metric::LastAccess, &labels, seconds(time));
            }
        }
        for (cause, count) in Cause::ALL.into_iter().zip(counts.causes) {
            self.counter(Metric::Failures, &[deployment, hosting, cause.as_str()], count, note.clone());
        }
        self.histogram(Metric::Sizes, &labels, sizes(&counts.sizes), note.clone());
        self.counter(Metric::Overflows, &labels, counts.overflows, note.clone());
        self.counter(Metric::Truncated, &labels, counts.truncated, note);
        let [kind, project, region] = [&committed.deployment_type, &committed.project, &committed.region]
            .map(|text| text.as_deref().unwrap_or_default());
        self.gauge(Metric::DeploymentInfo, &[deployment, hosting, kind, project, region], 1.0);
    }

    fn source(&mut self, name: &str, counts: &SourceCounts) {
        let note = Note::created(counts.created);
        for (metric, count) in [
            (Metric::SourceLines, counts.lines),
            (Metric::SourceBytes, counts.bytes),
            (Metric::SourceRecords, counts.records),
            (Metric::SourceLostBytes, counts.lost_bytes),
            (Metric::SourcePossibleLoss, counts.possible_losses),
        ] {
            self.counter(metric, &[name], count, note.clone());
        }
        for (reason, count) in Skipped::ALL.into_iter().zip(counts.skipped) {
            self.counter(Metric::SourceSkipped, &[name, reason.as_str()], count, note.clone());
        }
        for (kind, count) in Rotation::ALL.into_iter().zip(counts.rotations) {
            self.counter(Metric::SourceRotations, &[name, kind.as_str()], count, note.clone());
        }
    }

    fn state(&mut self, name: &str, state: &SourceState) {
        self.gauge(Metric::SourceLag, &[name], state.lag_bytes as f64);
        self.gauge(Metric::SourceUp, &[name], f64::from(state.up));
        if let Some(time) = state.last_read {
            self.gauge(Metric::SourceLastRead, &[name], seconds(time));
        }
    }

    fn counter(&mut self, metric: Metric, labels: &[&str], count: u64, note: Note) {
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        self.add(metric, Kind::Counter, labels, note, |series| series.set_counter(counter));
    }

    fn gauge(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.add(metric, Kind::Gauge, labels, Note::default(), |series| series.set_gauge(gauge));
    }

    fn histogram(&mut self, metric: Metric, labels: &[&str], histogram: Histogram, note: Note) {
        self.add(metric, Kind::Histogram, labels, note, |series| series.set_histogram(histogram));
    }

    fn add(&mut self, metric: Metric, kind: Kind, labels: &[&str], note: Note, set: impl FnOnce(&mut Series)) {
        debug_assert!(metric.kind() == kind && metric.labels().len() == labels.len(), "{metric:?}");
        let pairs = metric.labels().iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut series = Series::from_label(pairs.collect());
        set(&mut series);
        let family = &mut self.0[metric as usize];
        family.proto.mut_metric().push(series);
        family.notes.push(note);
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1000.0
}

fn sizes(sizes: &Sizes) -> Histogram {
    let bounds = SIZE_BUCKETS.iter().map(|bound| *bound as f64);
    histogram(bounds.zip(sizes.buckets), sizes.count, sizes.sum as f64)
}

fn durations(times: &CommitTimes) -> Histogram {
    histogram(COMMIT_BUCKETS.into_iter().zip(times.buckets), times.count, times.sum_seconds)
}

/// Adds the buckets up: each holds what the ones below it hold.
fn histogram(buckets: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) -> Histogram {
    let mut below = 0;
    let cumulative = buckets.map(|(bound, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(cumulative.collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    histogram
}
