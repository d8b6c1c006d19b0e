//! The report as Markdown, for an incident's notes.

use super::{Report, terminal};
use crate::event::Outcome;
use crate::row::{Column, Row};
use std::fmt::Write;

/// Writes the report.
pub fn text(report: &Report) -> String {
    let mut text = String::from("# Storage access\n\n");
    let _ = writeln!(text, "{}\n", escape(&terminal::quality(report)));
    if report.deployments.is_empty() {
        text.push_str("No storage access events.\n");
        return text;
    }
    text.push_str("| deployment | hosting | evidence | direct | http-fallback | direct-failed | other | first | last | verdict |\n");
    text.push_str("|---|---|---|---:|---:|---:|---:|---|---|---|\n");
    for deployment in &report.deployments {
        let attribution = &deployment.attribution;
        let time = |time: Option<crate::event::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            escape(&attribution.deployment),
            attribution.hosting,
            attribution.evidence.as_str(),
            Outcome::ALL.map(|outcome| deployment.of(outcome).to_string()).join(" | "),
            [time(deployment.first), time(deployment.last)].join(" | "),
            deployment.verdict().as_str(),
        );
    }
    if !report.failures.is_empty() {
        text.push_str("\n## Needs attention\n\n| time | deployment | outcome | cause | function | storage id | error |\n|---|---|---|---|---|---|---|\n");
        for row in &report.failures {
            let _ = writeln!(text, "| {} |", cells(row).join(" | "));
        }
    }
    let advice = terminal::advice(report);
    if !advice.is_empty() {
        text.push_str("\n## What to do\n\n");
        for (deployments, advice) in advice {
            let _ = writeln!(text, "* {}: {}", escape(&deployments.join(", ")), escape(advice));
        }
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let value = |column| escape(&row.value(column).to_string());
    let mut cells: Vec<String> =
        [Column::Time, Column::Deployment, Column::Outcome, Column::Cause, Column::Function, Column::StorageId]
            .into_iter()
            .map(value)
            .collect();
    let error = row.event.error.as_deref().or(row.event.reason.as_deref()).unwrap_or_default();
    cells.push(escape(&crate::event::clip(error, 160)));
    cells
}

/// Takes from a text what would be markup, a cell's end or a line's end in Markdown, or HTML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '@' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if crate::plain::is_unsafe(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
