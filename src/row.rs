//! An event as a row of the table `events`: what `events` writes, what `failures` lists, and what filters look at.

use crate::attribute::Attribution;
use crate::event::{Event, Outcome, Timestamp};
use crate::policy::{Severity, Verdict, judge, judge_expecting};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::str::FromStr;

/// The columns of the table, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub enum Column {
    Time,
    Deployment,
    Hosting,
    DeploymentType,
    Project,
    Outcome,
    Cause,
    Verdict,
    Function,
    FunctionType,
    StorageId,
    SizeBytes,
    Reason,
    Error,
    Level,
    RequestId,
    ExecutionId,
    Format,
    Source,
    Offset,
}

impl Column {
    /// Every column, in the order in which they are written.
    pub const ALL: [Self; 20] = [
        Self::Time,
        Self::Deployment,
        Self::Hosting,
        Self::DeploymentType,
        Self::Project,
        Self::Outcome,
        Self::Cause,
        Self::Verdict,
        Self::Function,
        Self::FunctionType,
        Self::StorageId,
        Self::SizeBytes,
        Self::Reason,
        Self::Error,
        Self::Level,
        Self::RequestId,
        Self::ExecutionId,
        Self::Format,
        Self::Source,
        Self::Offset,
    ];

    /// The key in NDJSON and the name in CSV, Parquet and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Deployment => "deployment",
            Self::Hosting => "hosting",
            Self::DeploymentType => "deployment_type",
            Self::Project => "project",
            Self::Outcome => "outcome",
            Self::Cause => "cause",
            Self::Verdict => "verdict",
            Self::Function => "function",
            Self::FunctionType => "function_type",
            Self::StorageId => "storage_id",
            Self::SizeBytes => "size_bytes",
            Self::Reason => "reason",
            Self::Error => "error",
            Self::Level => "level",
            Self::RequestId => "request_id",
            Self::ExecutionId => "execution_id",
            Self::Format => "format",
            Self::Source => "source",
            Self::Offset => "offset",
        }
    }

    /// Whether the value follows from the deployment, about which the whole input may say more than one record.
    pub const fn is_of_deployment(self) -> bool {
        matches!(self, Self::Deployment | Self::Hosting | Self::DeploymentType | Self::Project | Self::Verdict)
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|column| column.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("'{text}' is no column; there are {}", names.join(", "))
        })
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Text.
    Text(&'a str),
    /// A whole number.
    Number(u64),
    /// A moment.
    Time(Timestamp),
    /// The layers of a record.
    Layers(&'a crate::event::Layers),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Layers(layers) => layers.fmt(f),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Time(time) => serializer.collect_str(time),
            Self::Layers(layers) => serializer.collect_str(layers),
        }
    }
}

/// An event with its deployment and its source.
#[derive(Clone, Debug)]
pub struct Row {
    /// The event.
    pub event: Event,
    /// Whose it is.
    pub attribution: Attribution,
    /// The name of the source.
    pub source: std::sync::Arc<str>,
    /// Whether the configuration says that direct access is expected in its deployment.
    pub expects_direct: bool,
}

impl Row {
    /// What to make of the event.
    pub fn verdict(&self) -> Verdict {
        self.judgement().0
    }

    /// What to make of the event, and how urgent it is.
    pub fn judgement(&self) -> (Verdict, Option<Severity>) {
        let kind = self.attribution.deployment_type.as_deref();
        judge_expecting(self.expects_direct, self.attribution.hosting, kind, self.event.outcome)
    }

    /// The value in a column.
    pub fn value(&self, column: Column) -> Value<'_> {
        if column == Column::Verdict {
            return Value::Text(self.verdict().as_str());
        }
        if column.is_of_deployment() {
            return of_deployment(&self.attribution, self.event.outcome, column);
        }
        if column == Column::Source {
            return Value::Text(&self.source);
        }
        of_record(&self.event, column)
    }
}

/// The value in a column that a record itself fills.
pub fn of_record(event: &Event, column: Column) -> Value<'_> {
    fn optional(text: Option<&String>) -> Value<'_> {
        text.map_or(Value::Null, |text| Value::Text(text))
    }
    match column {
        Column::Time => event.time.map_or(Value::Null, Value::Time),
        Column::Outcome => Value::Text(event.outcome.as_str()),
        Column::Cause => event.cause.map_or(Value::Null, |cause| Value::Text(cause.as_str())),
        Column::Function => optional(event.function.as_ref()),
        Column::FunctionType => event.function_type.map_or(Value::Null, |kind| Value::Text(kind.as_str())),
        Column::StorageId => optional(event.storage_id.as_ref()),
        Column::SizeBytes => event.size_bytes.map_or(Value::Null, Value::Number),
        Column::Reason => optional(event.reason.as_ref()),
        Column::Error => optional(event.error.as_ref()),
        Column::Level => optional(event.level.as_ref()),
        Column::RequestId => optional(event.request_id.as_ref()),
        Column::ExecutionId => optional(event.execution_id.as_ref()),
        Column::Format => Value::Layers(&event.format),
        Column::Offset => Value::Number(event.offset),
        Column::Deployment
        | Column::Hosting
        | Column::DeploymentType
        | Column::Project
        | Column::Verdict
        | Column::Source => Value::Null,
    }
}

/// The value in a column that follows from the deployment.
pub fn of_deployment(attribution: &Attribution, outcome: Outcome, column: Column) -> Value<'_> {
    match column {
        Column::Deployment => Value::Text(&attribution.deployment),
        Column::Hosting => Value::Text(attribution.hosting.as_str()),
        Column::DeploymentType => attribution.deployment_type.as_deref().map_or(Value::Null, Value::Text),
        Column::Project => attribution.project.as_deref().map_or(Value::Null, Value::Text),
        Column::Verdict => {
            Value::Text(judge(attribution.hosting, attribution.deployment_type.as_deref(), outcome).0.as_str())
        }
        _ => Value::Null,
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Column::ALL.len()))?;
        for column in Column::ALL {
            map.serialize_entry(column.as_str(), &self.value(column))?;
        }
        map.end()
    }
}
