//! The report for a person: what there is, what needs attention, and what to do.

use super::{Deployment, Group, Report, Timeline};
use crate::event::{Cause, Outcome, Timestamp};
use crate::plain::{bytes, grouped, safe};
use crate::policy::{self, Verdict};
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width};
use std::fmt::Write;

/// How the terminal wants it.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether colours are wanted.
    pub color: bool,
    /// How many columns there are.
    pub width: u16,
}

/// Writes the report.
pub fn text(report: &Report, timeline: Option<&Timeline>, style: Style) -> String {
    let mut text = String::new();
    if report.deployments.is_empty() {
        let _ = writeln!(text, "{}", paint("No storage access events.", "1", style));
    } else {
        let _ = writeln!(text, "{}", headline(report, style));
        let _ = writeln!(text, "\n{}", deployments(report, style));
    }
    if let Some(timeline) = timeline {
        let _ = write!(text, "\n{}", timeline_text(timeline, style));
    }
    if !report.failures.is_empty() {
        let _ = write!(text, "\n{}", failures(report, style));
    }
    let advice = advice(report);
    if !advice.is_empty() {
        let _ = writeln!(text, "\n{}", paint("What to do", "1", style));
        for (names, advice) in advice {
            let names: Vec<String> = names.iter().map(|name| safe(name)).collect();
            let names = match names.len() {
                0..=4 => names.join(", "),
                more => format!("{} and {} more", names[..3].join(", "), more - 3),
            };
            let _ = writeln!(text, "{}", wrapped(&format!("{names}: {advice}"), "  ", style.width));
        }
    }
    let _ = writeln!(text, "\n{}", paint(&wrapped(&quality(report), "", style.width), "2", style));
    text
}

fn headline(report: &Report, style: Style) -> String {
    let gravest = report.deployments.iter().map(Deployment::verdict).min().unwrap_or(Verdict::Healthy);
    let count = |verdict| report.deployments.iter().filter(|deployment| deployment.verdict() == verdict).count();
    let of = |n: usize| {
        if n == 1 { "1 deployment".to_owned() } else { format!("{n} deployments") }
    };
    let says = match gravest {
        Verdict::Investigate => format!("{} to investigate: direct access failed", of(count(gravest))),
        Verdict::Degraded => format!("{} degraded: the HTTP fallback is used in Convex Cloud", of(count(gravest))),
        Verdict::Unrecognised => format!("{} with messages that are not recognised", of(count(gravest))),
        Verdict::Expected => "All as expected: the HTTP fallback is used where that is usual".to_owned(),
        Verdict::Healthy => "Healthy: every access was direct".to_owned(),
    };
    paint(&says, &format!("1;{}", code(gravest)), style)
}

/// The narrowest terminal on which deployments stand in a table, and how much of that is for their names.
const TABLE_WIDTH: usize = 136;
const NAME_WIDTH: usize = 18;

fn deployments(report: &Report, style: Style) -> String {
    let names = report.deployments.iter().map(|deployment| safe(&deployment.attribution.deployment).chars().count());
    let longest = names.max().unwrap_or(0);
    // A name that is broken in two is found by nobody.
    if usize::from(style.width) < TABLE_WIDTH + longest.saturating_sub(NAME_WIDTH) {
        return report.deployments.iter().map(|deployment| card(deployment, style)).collect::<Vec<_>>().join("\n\n");
    }
    let mut table = table(style);
    let has_other = report.count(&[Outcome::Other]) > 0;
    let has_causes = report.count(&[Outcome::DirectFailed]) > 0;
    let mut header = vec!["deployment", "hosting", "direct", "http-fallback", "direct-failed"];
    header.extend(has_other.then_some("other"));
    header.extend(has_causes.then_some("causes"));
    header.extend(["first and last (UTC)", "verdict"]);
    table.set_header(header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for (index, name) in header.iter().enumerate() {
        let constraint = match *name {
            // What may be long takes what is left.
            "deployment" => ColumnConstraint::LowerBoundary(Width::Fixed(longest.clamp(14, 300) as u16 + 1)),
            _ => ColumnConstraint::ContentWidth,
        };
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(constraint).set_padding((0, 1));
        }
    }
    for deployment in &report.deployments {
        let attribution = &deployment.attribution;
        let verdict = deployment.verdict();
        let with_share = |outcome| {
            let count = deployment.of(outcome);
            let text =
                if count == 0 { "0".to_owned() } else { format!("{}\n{}", grouped(count), share(deployment, outcome)) };
            Cell::new(text).set_alignment(CellAlignment::Right)
        };
        let mut name = safe(&attribution.deployment);
        if deployment.overflows > 0 {
            let _ = write!(name, "\n{} log overflows", grouped(deployment.overflows));
        }
        let mut row = vec![
            Cell::new(name),
            Cell::new(format!("{}\nby {}", hosting(deployment), attribution.evidence.as_str())),
            number(deployment.of(Outcome::Direct)),
            with_share(Outcome::HttpFallback),
            with_share(Outcome::DirectFailed),
        ];
        row.extend(has_other.then(|| with_share(Outcome::Other)));
        row.extend(has_causes.then(|| Cell::new(causes(deployment, "\n"))));
        row.push(Cell::new(format!("{}\n{}", day_and_time(deployment.first), day_and_time(deployment.last))));
        row.push(Cell::new(verdict.as_str()).fg(color(verdict)));
        table.add_row(row);
    }
    table.to_string()
}

/// A deployment on a narrow terminal.
fn card(deployment: &Deployment, style: Style) -> String {
    let verdict = deployment.verdict();
    let attribution = &deployment.attribution;
    let mut text = format!(
        "{}  {}\n  hosting     {}, by {}\n",
        paint(&safe(&attribution.deployment), "1", style),
        paint(verdict.as_str(), code(verdict), style),
        hosting(deployment),
        attribution.evidence.as_str()
    );
    for outcome in Outcome::ALL {
        let count = deployment.of(outcome);
        if outcome != Outcome::Other || count > 0 {
            let _ =
                writeln!(text, "  {:<13} {:>9}  {:>8}", outcome.as_str(), grouped(count), share(deployment, outcome));
        }
    }
    if deployment.of(Outcome::DirectFailed) > 0 {
        let _ = writeln!(text, "  causes      {}", causes(deployment, ", "));
    }
    if deployment.overflows > 0 {
        let _ = writeln!(text, "  overflows   {}: events may be missing", grouped(deployment.overflows));
    }
    let _ = write!(text, "  seen (UTC)  {} to {}", day_and_time(deployment.first), day_and_time(deployment.last));
    text
}

fn hosting(deployment: &Deployment) -> String {
    let attribution = &deployment.attribution;
    match &attribution.deployment_type {
        Some(kind) => format!("{} {}", attribution.hosting, safe(kind)),
        None => attribution.hosting.to_string(),
    }
}

/// Writes what was grouped.
pub fn groups(groups: &[Group], by: &str, style: Style) -> String {
    let mut table = table(style);
    let header = [by, "direct", "http-fallback", "direct-failed", "other", "events", "size_bytes"];
    table.set_header(header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for group in groups {
        let mut row = vec![Cell::new(group.key.as_deref().map_or("-".to_owned(), safe))];
        row.extend(group.outcomes.iter().map(|count| number(*count)));
        row.push(number(group.events()));
        row.push(number(group.size_bytes));
        table.add_row(row);
    }
    format!("{table}\n")
}

fn failures(report: &Report, style: Style) -> String {
    let mut text = paint("Needs attention, the latest first", "1", style);
    text.push('\n');
    for row in &report.failures {
        let event = &row.event;
        let (verdict, severity) = row.judgement();
        let mut line = format!(
            "  {}  {}  {}",
            event.time.map_or("no time".to_owned(), |time| time.to_string()),
            safe(&row.attribution.deployment),
            paint(event.outcome.as_str(), code(verdict), style),
        );
        if let Some(severity) = severity {
            let _ = write!(line, " ({})", severity.as_str());
        }
        let _ = writeln!(text, "{line}");
        let mut details = Vec::new();
        details.extend(event.function.as_ref().map(|function| format!("function {}", safe(function))));
        details.extend(event.storage_id.as_ref().map(|id| format!("storage id {}", safe(id))));
        details.extend(event.request_id.as_ref().map(|id| format!("request {}", safe(id))));
        details.push(format!("{}, byte {}", safe(&row.source), event.offset));
        let _ = writeln!(text, "{}", wrapped(&details.join(", "), "      ", style.width));
        let reason = event.error.as_deref().or(event.reason.as_deref());
        match (event.cause, reason) {
            (Some(cause), Some(reason)) => {
                let told = format!("{cause}: {}", safe(&crate::event::clip(reason, 400)));
                let _ = writeln!(text, "{}", wrapped(&told, "      ", style.width));
            }
            (Some(cause), None) => {
                let _ = writeln!(text, "      {cause}");
            }
            (None, Some(reason)) => {
                let told = safe(&crate::event::clip(reason, 400));
                let _ = writeln!(text, "{}", wrapped(&told, "      ", style.width));
            }
            (None, None) => {}
        }
    }
    text
}

fn timeline_text(timeline: &Timeline, style: Style) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut text = paint(&format!("By time, {} a column (UTC)", timeline.width_in_words()), "1", style);
    text.push('\n');
    for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
        let counts: Vec<u64> = timeline.columns.iter().map(|column| column[index]).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        if most == 0 {
            continue;
        }
        let bars: String = counts
            .iter()
            .map(|count| match count {
                0 => ' ',
                count => BARS[((count * 8).div_ceil(most) as usize).clamp(1, 8) - 1],
            })
            .collect();
        let bars = match outcome {
            Outcome::Direct => paint(&bars, "32", style),
            Outcome::HttpFallback => paint(&bars, "33", style),
            Outcome::DirectFailed | Outcome::Other => paint(&bars, "31", style),
        };
        let _ = writeln!(text, "  {:<13} {bars} at most {most}", outcome.as_str());
    }
    let (first, last) = (day_and_time(Some(timeline.first)), day_and_time(Some(timeline.last())));
    let width = timeline.columns.len();
    if width > first.len() + last.len() {
        let _ = writeln!(text, "  {:<13} {first}{:>width$}", "", last, width = width - first.len());
    } else {
        let _ = writeln!(text, "  {:<13} {first} to {last}", "");
    }
    text
}

/// What was read, and what could not be used, in a sentence.
pub fn quality(report: &Report) -> String {
    let input = &report.input;
    let plural =
        |count: u64, one: &str, many: &str| format!("{} {}", grouped(count), if count == 1 { one } else { many });
    let mut text = format!(
        "Read {}, {} ({}): {}, {}.",
        plural(input.files, "file", "files"),
        plural(input.lines, "line", "lines"),
        bytes(input.bytes),
        plural(input.records, "record that could matter", "records that could matter"),
        plural(input.events, "event", "events"),
    );
    let mut flaws = Vec::new();
    let mut flaw = |count: u64, one: &str, many: &str| {
        if count > 0 {
            flaws.push(plural(count, one, many));
        }
    };
    flaw(report.unreadable, "input that could not be read", "inputs that could not be read");
    flaw(input.damaged, "input broke off", "inputs broke off");
    flaw(input.truncated, "event from a cut record", "events from cut records");
    flaw(input.overflows, "log overflow: events may be missing", "log overflows: events may be missing");
    flaw(input.undecodable, "record that could not be decoded", "records that could not be decoded");
    flaw(input.oversize, "line over the bounds", "lines over the bounds");
    flaw(input.duplicates, "copy of a record dropped", "copies of records dropped");
    flaw(report.undated, "event without a time left out", "events without a time left out");
    flaw(report.forgotten, "record forgotten for comparison", "records forgotten for comparison");
    if flaws.is_empty() {
        text.push_str(" Nothing was lost.");
    } else {
        let _ = write!(text, " Of note: {}.", flaws.join("; "));
    }
    text
}

/// The advice for what was found, each with the deployments it concerns.
pub fn advice(report: &Report) -> Vec<(Vec<String>, &'static str)> {
    let mut all: Vec<(Vec<String>, &'static str)> = Vec::new();
    let mut give = |name: &str, advice: Option<&'static str>| {
        let Some(advice) = advice else { return };
        match all.iter_mut().find(|(_, known)| *known == advice) {
            Some((names, _)) if names.last().is_none_or(|last| last != name) => names.push(name.to_owned()),
            Some(_) => {}
            None => all.push((vec![name.to_owned()], advice)),
        }
    };
    for deployment in &report.deployments {
        let attribution = &deployment.attribution;
        for (cause, count) in Cause::ALL.into_iter().zip(deployment.causes) {
            if count > 0 {
                let outcome = Outcome::DirectFailed;
                give(&attribution.deployment, policy::advice(attribution.hosting, outcome, Some(cause)));
            }
        }
        for outcome in [Outcome::HttpFallback, Outcome::Other] {
            if deployment.of(outcome) > 0 {
                give(&attribution.deployment, policy::advice(attribution.hosting, outcome, None));
            }
        }
    }
    all
}

fn causes(deployment: &Deployment, separator: &str) -> String {
    let causes = Cause::ALL.into_iter().zip(deployment.causes).filter(|(_, count)| *count > 0);
    causes.map(|(cause, count)| format!("{cause} {}", grouped(count))).collect::<Vec<_>>().join(separator)
}

fn table(style: Style) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic).set_width(style.width);
    if style.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn number(count: u64) -> Cell {
    Cell::new(grouped(count)).set_alignment(CellAlignment::Right)
}

fn share(deployment: &Deployment, outcome: Outcome) -> String {
    match (deployment.of(outcome), deployment.events()) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, all) if part * 1000 < all => "<0.1 %".to_owned(),
        (part, all) => format!("{:.1} %", part as f64 * 100.0 / all as f64),
    }
}

fn day_and_time(time: Option<Timestamp>) -> String {
    time.map_or("-".to_owned(), |time| {
        let text = time.to_string();
        text.get(..19).unwrap_or(&text).replace('T', " ")
    })
}

fn color(verdict: Verdict) -> Color {
    match verdict {
        Verdict::Investigate => Color::Red,
        Verdict::Degraded | Verdict::Unrecognised => Color::Yellow,
        Verdict::Expected => Color::Cyan,
        Verdict::Healthy => Color::Green,
    }
}

fn code(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Investigate => "31",
        Verdict::Degraded | Verdict::Unrecognised => "33",
        Verdict::Expected => "36",
        Verdict::Healthy => "32",
    }
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Breaks a text at spaces to a terminal's width, each line behind an indent.
fn wrapped(text: &str, indent: &str, width: u16) -> String {
    let width = usize::from(width).clamp(40, 160);
    let mut lines = vec![indent.to_owned()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.len() > indent.len() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{indent}{word}"));
        } else {
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
