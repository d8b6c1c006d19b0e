//! Writes families in OpenMetrics 1.0: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
//!
//! A counter's family is named without `_total`, exemplars stand behind the counts they belong to, and the end is
//! marked, so that a scraper knows an exposition that was cut off. Info metrics stay gauges.

use super::gather::{Family, Note, seconds};
use crate::ledger::Exemplar;
use prometheus::proto::{LabelPair, Metric as Series, MetricType};
use std::fmt::{Display, Write};

/// The units that a name can end in.
const UNITS: [&str; 2] = ["bytes", "seconds"];

/// How many characters the names and values of an exemplar's labels may have together, by the specification.
const LIMIT: usize = 128;

/// Writes everything, end mark included; with `created`, when each counter and histogram came into being.
pub(super) fn write(families: &[Family], created: bool, text: &mut String) {
    for family in families {
        let kind = family.proto.get_field_type();
        let full = family.proto.name();
        let name = if kind == MetricType::COUNTER { full.strip_suffix("_total").unwrap_or(full) } else { full };
        head(name, kind, family.proto.help(), text);
        for (i, series) in family.proto.get_metric().iter().enumerate() {
            let no_note = Note::default();
            let note = family.notes.get(i).unwrap_or(&no_note);
            match kind {
                MetricType::COUNTER => {
                    sample(name, "_total", series, None, series.get_counter().get_value(), text);
                    if let Some(exemplar) = &note.exemplar {
                        write_exemplar(exemplar, text);
                    }
                    text.push('\n');
                }
                MetricType::HISTOGRAM => histogram(name, series, text),
                _ => {
                    sample(name, "", series, None, series.get_gauge().get_value(), text);
                    text.push('\n');
                }
            }
            if let Some(time) = note.created.filter(|_| created) {
                sample(name, "_created", series, None, seconds(time), text);
                text.push('\n');
            }
        }
    }
    text.push_str("# EOF\n");
}

fn head(name: &str, kind: MetricType, help: &str, text: &mut String) {
    let kind = match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    };
    let _ = writeln!(text, "# TYPE {name} {kind}");
    let unit = UNITS.into_iter().find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
    if let Some(unit) = unit {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let _ = write!(text, "# HELP {name} ");
    escape(help, text);
    text.push('\n');
}

fn histogram(name: &str, series: &Series, text: &mut String) {
    let histogram = series.get_histogram();
    for bucket in histogram.get_bucket() {
        // Bounds are numbers of the kind that has a point, `1024.0`: that is how Debug writes them.
        let bound = format!("{:?}", bucket.upper_bound());
        sample(name, "_bucket", series, Some(("le", &bound)), bucket.cumulative_count(), text);
        text.push('\n');
    }
    let count = histogram.get_sample_count();
    sample(name, "_bucket", series, Some(("le", "+Inf")), count, text);
    text.push('\n');
    sample(name, "_count", series, None, count, text);
    text.push('\n');
    sample(name, "_sum", series, None, histogram.get_sample_sum(), text);
    text.push('\n');
}

/// A sample without its line's end. What Rust writes for a finite number is a number there, and there are no others.
fn sample(
    name: &str,
    suffix: &str,
    series: &Series,
    more: Option<(&str, &str)>,
    value: impl Display,
    text: &mut String,
) {
    let _ = write!(text, "{name}{suffix}");
    let pairs = series.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
    let mut pairs = pairs.chain(more).peekable();
    if pairs.peek().is_some() {
        labels(pairs, text);
    }
    let _ = write!(text, " {value}");
}

fn write_exemplar(exemplar: &Exemplar, text: &mut String) {
    let ids = exemplar_labels(exemplar);
    if ids.is_empty() {
        return;
    }
    text.push_str(" # ");
    labels(ids.into_iter(), text);
    text.push_str(" 1");
    if let Some(time) = exemplar.time {
        let _ = write!(text, " {}", seconds(time));
    }
}

/// The labels of an exemplar: both ids where they fit, else the one that does. Nothing where there is none.
fn exemplar_labels(exemplar: &Exemplar) -> Vec<(&'static str, &str)> {
    let request = exemplar.request_id.as_deref().map(|id| ("request_id", id));
    let blob = exemplar.storage_id.as_deref().map(|id| ("storage_id", id));
    let length = |(name, value): (&str, &str)| name.len() + value.chars().count();
    let mut left = LIMIT;
    let mut labels = Vec::with_capacity(2);
    for label in [request, blob].into_iter().flatten() {
        if let Some(rest) = left.checked_sub(length(label)) {
            left = rest;
            labels.push(label);
        }
    }
    labels
}

fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, text: &mut String) {
    text.push('{');
    for (i, (name, value)) in pairs.enumerate() {
        text.push_str(if i > 0 { "," } else { "" });
        text.push_str(name);
        text.push_str("=\"");
        escape(value, text);
        text.push('"');
    }
    text.push('}');
}

/// Escapes what would end a label's value or a line.
fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: Option<usize>, blob: Option<usize>, expected: &[&str]) {
        // Characters count, not bytes.
        let text = |length: Option<usize>| length.map(|length| "ä".repeat(length));
        let exemplar = Exemplar { request_id: text(request), storage_id: text(blob), time: None };
        let names: Vec<&str> = exemplar_labels(&exemplar).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{request:?} {blob:?}");
    }

    #[test]
    fn the_ids_that_fit_are_told() {
        check(None, None, &[]);
        check(Some(16), Some(32), &["request_id", "storage_id"]);
        check(Some(16), Some(128 - 16 - 20), &["request_id", "storage_id"]);
        check(Some(16), Some(128 - 16 - 19), &["request_id"]);
        check(Some(118), None, &["request_id"]);
        check(Some(119), Some(32), &["storage_id"]);
        check(Some(119), Some(119), &[]);
    }
}
