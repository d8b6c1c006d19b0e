//! What grouped counts look like, however they were grouped.

use super::Granularity;
use crate::event::{Outcome, Timestamp};
use serde::Serialize;
use std::fmt::Write;

/// What `report --by` groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Minutes, in UTC.
    Minute,
    /// Hours, in UTC.
    Hour,
    /// Days, in UTC.
    Day,
    /// Functions.
    Function,
    /// Causes of `direct-failed`.
    Cause,
}

impl By {
    /// The name of the group's column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Function => "function",
            Self::Cause => "cause",
        }
    }

    /// The span of time, if it is one.
    pub const fn granularity(self) -> Option<Granularity> {
        match self {
            Self::Minute => Some(Granularity::Minute),
            Self::Hour => Some(Granularity::Hour),
            Self::Day => Some(Granularity::Day),
            Self::Function | Self::Cause => None,
        }
    }
}

/// One group's counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What its events have in common; none where they lack it.
    pub key: Option<String>,
    /// Events by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
    /// The blobs' sizes, added up.
    pub size_bytes: u64,
}

impl Group {
    /// How many events.
    pub fn events(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}

/// Counts over time, in equal columns.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Where the first column begins.
    pub first: Timestamp,
    /// How wide a column is, in milliseconds.
    pub width_millis: i64,
    /// Events by outcome.
    pub columns: Vec<[u64; 4]>,
}

impl Timeline {
    /// Where the last column begins.
    pub fn last(&self) -> Timestamp {
        Timestamp(self.first.0 + self.width_millis * (self.columns.len() as i64 - 1))
    }

    /// How wide a column is, for a person.
    pub fn width_in_words(&self) -> String {
        let (count, unit) = match self.width_millis / 60_000 {
            minutes if minutes % 1440 == 0 => (minutes / 1440, "day"),
            minutes if minutes % 60 == 0 => (minutes / 60, "hour"),
            minutes => (minutes, "minute"),
        };
        if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
    }
}

/// The groups as JSON: `{"by":"hour","groups":[{"hour":…,"direct":…}]}`.
pub fn json(groups: &[Group], by: By) -> serde_json::Value {
    let rows = groups.iter().map(|group| {
        let mut row = serde_json::Map::new();
        row.insert(by.as_str().to_owned(), group.key.clone().into());
        for (outcome, count) in Outcome::ALL.into_iter().zip(group.outcomes) {
            row.insert(outcome.to_string(), count.into());
        }
        row.insert("events".to_owned(), group.events().into());
        row.insert("size_bytes".to_owned(), group.size_bytes.into());
        serde_json::Value::Object(row)
    });
    serde_json::json!({
        "storagewatch": env!("CARGO_PKG_VERSION"),
        "by": by.as_str(),
        "groups": rows.collect::<Vec<_>>(),
    })
}

fn header(by: By) -> Vec<&'static str> {
    [by.as_str()].into_iter().chain(Outcome::ALL.map(Outcome::as_str)).chain(["events", "size_bytes"]).collect()
}

fn cells(group: &Group) -> Vec<String> {
    let key = group.key.clone().unwrap_or_default();
    let counts = group.outcomes.into_iter().chain([group.events(), group.size_bytes]);
    [key].into_iter().chain(counts.map(|count| count.to_string())).collect()
}

/// The groups as CSV.
pub fn csv(groups: &[Group], by: By) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header(by))?;
    for group in groups {
        writer.write_record(cells(group))?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(csv::IntoInnerError::into_error)?)?)
}

/// The groups as a Markdown table.
pub fn markdown(groups: &[Group], by: By) -> String {
    let mut text = format!("| {} |\n|---|{}\n", header(by).join(" | "), "---:|".repeat(6));
    for group in groups {
        let cells: Vec<String> = cells(group).iter().map(|cell| super::markdown::escape(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}
