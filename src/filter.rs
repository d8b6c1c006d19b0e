//! Which events are wanted: by time, and by patterns on their columns.

use crate::attribute::Attribution;
use crate::event::{Event, Outcome, Timestamp};
use crate::row::{Column, Row, Value, of_deployment, of_record};
use glob::{MatchOptions, Pattern};

/// `COLUMN=PATTERN`.
#[derive(Clone, Debug)]
pub struct Only {
    column: Column,
    pattern: Pattern,
}

impl std::str::FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, pattern) = text.split_once('=').ok_or("expected COLUMN=PATTERN, as in deployment=happy-*")?;
        let column = column.parse()?;
        let pattern = Pattern::new(pattern).map_err(|error| format!("'{pattern}' is no pattern: {error}"))?;
        Ok(Self { column, pattern })
    }
}

impl Only {
    fn accepts(&self, value: Value<'_>) -> bool {
        // A slash is a character like any other in a column.
        let options = MatchOptions { require_literal_separator: false, ..MatchOptions::new() };
        match value {
            Value::Text(text) => self.pattern.matches_with(text, options),
            other => self.pattern.matches_with(&other.to_string(), options),
        }
    }
}

/// What is wanted. Patterns on one column are alternatives; different columns must all fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The earliest moment.
    pub since: Option<Timestamp>,
    /// The moment before which events must lie.
    pub until: Option<Timestamp>,
    only: Vec<Only>,
}

impl Filter {
    /// A filter by time and patterns.
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>, only: Vec<Only>) -> Self {
        Self { since, until, only }
    }

    /// Whether the time alone decides.
    pub fn is_of_time_only(&self) -> bool {
        self.only.is_empty()
    }

    /// Whether an event at this time is wanted; none where it has no time and one is asked for.
    pub fn accepts_time(&self, time: Option<Timestamp>) -> Option<bool> {
        if self.since.is_none() && self.until.is_none() {
            return Some(true);
        }
        time.map(|time| self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until))
    }

    /// Whether the columns that a record fills are wanted.
    pub fn accepts_record(&self, event: &Event, source: &str) -> bool {
        self.accepts(
            |column| !column.is_of_deployment(),
            |column| match column {
                Column::Source => Value::Text(source),
                column => of_record(event, column),
            },
        )
    }

    /// Whether the columns that follow from the deployment are wanted.
    pub fn accepts_deployment(&self, attribution: &Attribution, outcome: Outcome) -> bool {
        self.accepts(Column::is_of_deployment, |column| of_deployment(attribution, outcome, column))
    }

    /// Whether a deployment is wanted whatever its outcomes.
    pub fn accepts_name(&self, attribution: &Attribution) -> bool {
        let of_name = |column: Column| column.is_of_deployment() && column != Column::Verdict;
        self.accepts(of_name, |column| of_deployment(attribution, Outcome::Direct, column))
    }

    /// Whether a whole row is wanted, its time aside.
    pub fn accepts_row(&self, row: &Row) -> bool {
        self.accepts(|_| true, |column| row.value(column))
    }

    fn accepts<'v>(&self, concerns: impl Fn(Column) -> bool, value: impl Fn(Column) -> Value<'v>) -> bool {
        self.only.iter().filter(|only| concerns(only.column)).all(|only| {
            let value = value(only.column);
            self.only.iter().any(|other| other.column == only.column && other.accepts(value))
        })
    }
}
