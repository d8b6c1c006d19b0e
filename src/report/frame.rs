//! Frames: what `report --by` and the timeline group, and the batches in which `events` writes CSV and Parquet.

use super::group::{By, Group, Timeline};
use super::{Count, Report};
use crate::event::{Outcome, Timestamp};
use crate::row::{Column as Name, Row, Value};
use polars::prelude::*;
use polars_io::prelude::{CsvWriter, ParquetCompression, ParquetWriter};
use std::io::Write;

/// The widths that a timeline's column may have, in minutes.
const WIDTHS: [i64; 17] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 40320, 525_600];

fn frame(counts: &[Count]) -> PolarsResult<DataFrame> {
    df!(
        "time" => counts.iter().map(|count| count.time.map(|time| time.0)).collect::<Vec<_>>(),
        "function" => counts.iter().map(|count| count.function.as_deref()).collect::<Vec<_>>(),
        "cause" => counts.iter().map(|count| count.cause.map(crate::event::Cause::as_str)).collect::<Vec<_>>(),
        "outcome" => counts.iter().map(|count| count.outcome as u32).collect::<Vec<_>>(),
        "events" => counts.iter().map(|count| count.events).collect::<Vec<_>>(),
        "size_bytes" => counts.iter().map(|count| count.size_bytes).collect::<Vec<_>>(),
    )
}

/// The sums of one group: events by outcome, and sizes.
fn sums() -> Vec<Expr> {
    let of = |outcome: Outcome| {
        let events = when(col("outcome").eq(lit(outcome as u32))).then(col("events")).otherwise(lit(0_u64));
        events.sum().alias(outcome.as_str())
    };
    Outcome::ALL.into_iter().map(of).chain([col("size_bytes").sum()]).collect()
}

fn outcomes(frame: &DataFrame, row: usize) -> PolarsResult<[u64; 4]> {
    let mut counts = [0; 4];
    for (count, outcome) in counts.iter_mut().zip(Outcome::ALL) {
        *count = frame.column(outcome.as_str())?.u64()?.get(row).unwrap_or(0);
    }
    Ok(counts)
}

/// Groups a report's counts.
pub fn group(report: &Report, by: By) -> PolarsResult<Vec<Group>> {
    let key = if by.granularity().is_some() { "time" } else { by.as_str() };
    let mut counts = frame(&report.counts)?.lazy();
    if by == By::Cause {
        counts = counts.filter(col("outcome").eq(lit(Outcome::DirectFailed as u32)));
    }
    let grouped = counts.group_by([col(key)]).agg(sums()).sort([key], SortMultipleOptions::default()).collect()?;
    (0..grouped.height())
        .map(|row| {
            let key = match grouped.column(key)?.get(row)? {
                AnyValue::Int64(millis) => Some(Timestamp(millis).to_string()),
                AnyValue::String(text) => Some(text.to_owned()),
                AnyValue::StringOwned(text) => Some(text.to_string()),
                _ => None,
            };
            let size_bytes = grouped.column("size_bytes")?.u64()?.get(row).unwrap_or(0);
            Ok(Group { key, outcomes: outcomes(&grouped, row)?, size_bytes })
        })
        .collect()
}

/// A report's counts over time, in at most this many columns; none where there is no span of time.
pub fn timeline(report: &Report, most: usize) -> PolarsResult<Option<Timeline>> {
    let times = || report.counts.iter().filter_map(|count| count.time);
    let (Some(first), Some(last), Some(granularity)) = (times().min(), times().max(), report.granularity) else {
        return Ok(None);
    };
    let most = most.max(1) as i64;
    let fits = |width: &i64| (last.0.div_euclid(*width) - first.0.div_euclid(*width)) < most;
    let width = WIDTHS.into_iter().map(|minutes| minutes * 60_000).filter(|width| *width >= granularity.millis());
    let width = width.clone().find(fits).or(width.max()).unwrap_or(granularity.millis());
    let first = first.0.div_euclid(width) * width;
    let columns = (last.0 - first) / width + 1;
    if columns < 2 {
        return Ok(None);
    }
    let column = ((col("time") - lit(first)) / lit(width)).cast(DataType::Int64).alias("column");
    let grouped =
        frame(&report.counts)?.lazy().filter(col("time").is_not_null()).group_by([column]).agg(sums()).collect()?;
    let mut counts = vec![[0; 4]; columns as usize];
    for row in 0..grouped.height() {
        if let AnyValue::Int64(column) = grouped.column("column")?.get(row)?
            && let Some(place) = counts.get_mut(column as usize)
        {
            *place = outcomes(&grouped, row)?;
        }
    }
    Ok(Some(Timeline { first: Timestamp(first), width_millis: width, columns: counts }))
}

/// Events that are written together: a row group in Parquet.
const BATCH: usize = 64 * 1024;

enum Writer<W: Write> {
    Csv(Box<polars_io::csv::write::BatchedWriter<W>>),
    Parquet(Box<polars_io::parquet::write::BatchedWriter<W>>),
}

/// Writes events as CSV or Parquet, a batch at a time.
pub struct EventWriter<W: Write> {
    writer: Writer<W>,
    rows: Vec<Row>,
}

impl<W: Write> EventWriter<W> {
    /// Begins a CSV file.
    pub fn csv(out: W) -> PolarsResult<Self> {
        let empty = events(&[])?;
        let writer = CsvWriter::new(out).with_datetime_format(Some("%Y-%m-%dT%H:%M:%S%.3fZ".into()));
        Ok(Self { writer: Writer::Csv(Box::new(writer.batched(empty.schema())?)), rows: Vec::new() })
    }

    /// Begins a Parquet file.
    pub fn parquet(out: W) -> PolarsResult<Self> {
        let empty = events(&[])?;
        let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Zstd(None));
        Ok(Self { writer: Writer::Parquet(Box::new(writer.batched(empty.schema())?)), rows: Vec::new() })
    }

    /// Adds an event.
    pub fn write(&mut self, row: Row) -> PolarsResult<()> {
        self.rows.push(row);
        if self.rows.len() < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> PolarsResult<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let frame = events(&self.rows)?;
        self.rows.clear();
        match &mut self.writer {
            Writer::Csv(writer) => writer.write_batch(&frame),
            Writer::Parquet(writer) => writer.write_batch(&frame),
        }
    }

    /// Writes what is left, and the end of the file.
    pub fn finish(mut self) -> PolarsResult<()> {
        self.flush()?;
        match &mut self.writer {
            Writer::Csv(writer) => writer.finish(),
            Writer::Parquet(writer) => writer.finish().map(|_| ()),
        }
    }
}

/// The table `events`.
fn events(rows: &[Row]) -> PolarsResult<DataFrame> {
    let columns = Name::ALL
        .into_iter()
        .map(|name| {
            let values = rows.iter().map(|row| row.value(name));
            let series = match name {
                Name::Time => {
                    let millis = values.map(|value| if let Value::Time(time) = value { Some(time.0) } else { None });
                    let series = Series::new(name.as_str().into(), millis.collect::<Vec<Option<i64>>>());
                    series.cast(&DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)))?
                }
                Name::SizeBytes | Name::Offset => {
                    let numbers = values.map(|value| if let Value::Number(n) = value { Some(n) } else { None });
                    Series::new(name.as_str().into(), numbers.collect::<Vec<Option<u64>>>())
                }
                _ => {
                    let texts = values.map(|value| match value {
                        Value::Null => None,
                        value => Some(value.to_string()),
                    });
                    Series::new(name.as_str().into(), texts.collect::<Vec<Option<String>>>())
                }
            };
            Ok(series.into())
        })
        .collect::<PolarsResult<Vec<Column>>>()?;
    DataFrame::new(rows.len(), columns)
}
