//! What is counted, as values: per deployment and per source. Everything here is what a commit makes durable, and what
//! a scrape shows.

use super::hour::Hour;
use crate::attribute::Evidence;
use crate::event::{Cause, Hosting, Outcome, Timestamp};
use crate::policy::{Verdict, judge_expecting};
use crate::probe::Path;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The deployment under which those are counted that came after the limit on deployments was reached.
pub const OTHER_DEPLOYMENTS: &str = "__other__";

/// Upper bounds of the buckets of blob sizes, in bytes: powers of four from 1 KiB to 1 GiB.
pub const SIZE_BUCKETS: [u64; 11] =
    [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30];

/// A deployment, and where it runs: what the labels of a series say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The deployment's name, `unknown` or [`OTHER_DEPLOYMENTS`].
    pub deployment: Arc<str>,
    /// Where it runs.
    pub hosting: Hosting,
}

/// What was counted of one deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaceCounts {
    /// Events, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// The `direct-failed` ones among them, in the order of [`Cause::ALL`].
    pub causes: [u64; Cause::ALL.len()],
    /// The sizes of the blobs.
    pub sizes: Sizes,
    /// The time of the latest event of each outcome.
    pub last: [Option<Timestamp>; Outcome::ALL.len()],
    /// An event of each outcome that bears an id.
    pub exemplars: [Option<Exemplar>; Outcome::ALL.len()],
    /// Times that Convex said it had dropped lines.
    pub overflows: u64,
    /// Events read from records that were cut.
    pub truncated: u64,
    /// What decided the hosting.
    pub evidence: Option<Evidence>,
    /// `prod`, `dev`, `preview` or `custom`.
    pub deployment_type: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// When the series came into being.
    pub created: Timestamp,
    /// Set while the series are shown at 0, because a scraper has yet to see them there.
    pub held: Option<Hold>,
    /// Whether the configuration says that direct access is expected; not kept, since it may say otherwise tomorrow.
    #[serde(skip)]
    pub expects_direct: bool,
    /// What happened within the last hour, as far as this run has seen it.
    #[serde(skip)]
    pub hour: Hour,
}

impl PlaceCounts {
    /// What to make of it where it runs: the gravest of what its accesses mean there.
    pub fn verdict(&self, hosting: Hosting) -> Verdict {
        let seen = Outcome::ALL.into_iter().zip(self.outcomes).filter(|(_, count)| *count > 0);
        let kind = self.deployment_type.as_deref();
        let verdicts = seen.map(|(outcome, _)| judge_expecting(self.expects_direct, hosting, kind, outcome).0);
        verdicts.min().unwrap_or(Verdict::Healthy)
    }
}

/// A histogram of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// How many fell into each bucket of [`SIZE_BUCKETS`] and into none below it.
    pub buckets: [u64; SIZE_BUCKETS.len()],
    /// How many there were.
    pub count: u64,
    /// All of them added up, in bytes.
    pub sum: u64,
}

impl Sizes {
    /// Counts one.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(bytes);
        if let Some(bucket) = SIZE_BUCKETS.iter().position(|bound| bytes <= *bound) {
            self.buckets[bucket] += 1;
        }
    }
}

/// One event that stands for others: what leads from a count to a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemplar {
    /// The request.
    pub request_id: Option<String>,
    /// The blob.
    pub storage_id: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
}

/// Which scrapers have seen newborn series at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when they are there.
    pub since: Timestamp,
    /// Who has seen them.
    pub seen_by: Vec<String>,
}

/// Why input was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// It could not be read as any shape.
    Undecodable,
    /// It exceeded a bound.
    Oversize,
    /// It was read before.
    Duplicate,
    /// A cached result, which repeats old lines.
    Cached,
    /// A body whose end is missing.
    BrokenOff,
    /// A key by which a second copy is recognised had to make room early: a copy may count again.
    KeyForgotten,
    /// A signed body of a webhook, older than what is remembered of bodies: it may have counted before.
    Stale,
    /// A body of a webhook that was answered as one never to be taken: its sender drops it.
    Refused,
}

impl Skipped {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Undecodable,
        Self::Oversize,
        Self::Duplicate,
        Self::Cached,
        Self::BrokenOff,
        Self::KeyForgotten,
        Self::Stale,
        Self::Refused,
    ];

    /// The text in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Oversize => "oversize",
            Self::Duplicate => "duplicate",
            Self::Cached => "cached",
            Self::BrokenOff => "broken_off",
            Self::KeyForgotten => "key_forgotten",
            Self::Stale => "stale",
            Self::Refused => "refused",
        }
    }
}

/// How a followed file gave way to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rotation {
    /// Another file stands under its name.
    Renamed,
    /// It was cut to nothing, after a copy was made or not.
    Truncated,
    /// It is gone.
    Removed,
}

impl Rotation {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Renamed, Self::Truncated, Self::Removed];

    /// The text in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::Truncated => "truncated",
            Self::Removed => "removed",
        }
    }
}

/// What was counted of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceCounts {
    /// Lines read.
    pub lines: u64,
    /// Bytes read, uncompressed.
    pub bytes: u64,
    /// Records decoded from lines that could matter.
    pub records: u64,
    /// What was not used, in the order of [`Skipped::ALL`].
    #[serde(deserialize_with = "as_far_as_known")]
    pub skipped: [u64; Skipped::ALL.len()],
    /// Bytes that are known to have been written and that nothing holds any more.
    pub lost_bytes: u64,
    /// Times that something may have been lost and nothing can tell how much.
    pub possible_losses: u64,
    /// Rotations, in the order of [`Rotation::ALL`].
    pub rotations: [u64; Rotation::ALL.len()],
    /// When the source was first read.
    pub created: Timestamp,
}

impl SourceCounts {
    /// Adds what another count holds.
    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.records += other.records;
        self.lost_bytes += other.lost_bytes;
        self.possible_losses += other.possible_losses;
        self.skipped.iter_mut().zip(other.skipped).for_each(|(count, more)| *count += more);
        self.rotations.iter_mut().zip(other.rotations).for_each(|(count, more)| *count += more);
    }

    /// Counts input that was not used.
    pub fn skip(&mut self, reason: Skipped, count: u64) {
        self.skipped[reason as usize] += count;
    }
}

/// Counts by reason, from a state whose version knew fewer reasons: those that came later are at 0.
fn as_far_as_known<'de, D, const N: usize>(deserializer: D) -> Result<[u64; N], D::Error>
where
    D: serde::Deserializer<'de>,
{
    let known = Vec::<u64>::deserialize(deserializer)?;
    let mut counts = [0; N];
    counts.iter_mut().zip(known).for_each(|(count, known)| *count = known);
    Ok(counts)
}

/// How a source stands at the moment; not kept over a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceState {
    /// Bytes that are there and were not read yet.
    pub lag_bytes: u64,
    /// How many of them begin a line whose end is not there: they were seen, and wait for it.
    pub begun_bytes: u64,
    /// When something was last read.
    pub last_read: Option<Timestamp>,
    /// Whether all of it can be read.
    pub up: bool,
    /// Why it, or a part of it, cannot.
    pub trouble: Option<Arc<str>>,
}

/// How the ways to a blob fared when one source last tried them; not kept over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// When.
    pub at: Timestamp,
    /// What to make of it where the deployment runs.
    pub verdict: Verdict,
    /// In the order of [`Path::ALL`].
    pub paths: [PathState; Path::ALL.len()],
}

/// How a way to a blob fared when it was last tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathState {
    /// Whether the blob was read.
    pub success: bool,
    /// How long it took, where that is known.
    pub duration: Option<Duration>,
    /// Why it was not read, where it was not.
    pub cause: Option<Cause>,
    /// What the application said of that, at no great length.
    pub error: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_knew_fewer_reasons_is_read() {
        let counts: SourceCounts = serde_json::from_str("{\"lines\":7,\"skipped\":[1,2,3]}").unwrap();
        assert_eq!((counts.lines, counts.skipped[Skipped::Duplicate as usize]), (7, 3));
        assert_eq!(counts.skipped[Skipped::Stale as usize], 0);
        let whole = SourceCounts { skipped: [9; Skipped::ALL.len()], ..SourceCounts::default() };
        let again: SourceCounts = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(again, whole);
    }
}
