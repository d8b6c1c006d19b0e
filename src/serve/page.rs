//! The status page: a view as HTML, without scripts. What logs brought is shown as text, whatever it contains.

use super::status::verdict;
use crate::alert::annotations;
use crate::event::{Outcome, Timestamp};
use crate::ledger::{Skipped, View};
use crate::report::terminal::safe;
use crate::row::{Column, Row};
use crate::runbook;
use std::fmt::Write;

/// What the page may load: nothing, its own style aside.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}\
table{border-collapse:collapse;margin-bottom:2rem}th,td{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}\
td.number{text-align:right;font-variant-numeric:tabular-nums}.trouble{color:#a00}";

/// The columns of the latest failures.
const FAILURE: [Column; 8] = [
    Column::Time,
    Column::Deployment,
    Column::Outcome,
    Column::Cause,
    Column::Verdict,
    Column::Function,
    Column::Error,
    Column::RequestId,
];

/// The whole page.
pub(super) fn page(view: &View, started: Timestamp) -> String {
    let mut html =
        String::from("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>storagewatch</title>\n");
    let _ = write!(html, "<style>{STYLE}</style>\n<h1>storagewatch</h1>\n<p>Version {}", env!("CARGO_PKG_VERSION"));
    let caught_up = if view.caught_up { "caught up" } else { "still reading what was there at the start" };
    let _ = writeln!(html, ", since {started}, {caught_up}.");
    html.push_str("<a href=\"metrics\">Metrics</a>, <a href=\"api/v1/status\">status as JSON</a>, <a href=\"runbook\">runbook</a>\n");
    if let Some(trouble) = &view.trouble {
        let _ = writeln!(html, "<p class=\"trouble\">Counts cannot be made durable: {}", text(trouble));
    }
    html.push_str("<h2 id=\"alerts\">Alerts</h2>\n");
    alerts(view, &mut html);
    html.push_str("<h2>Deployments</h2>\n");
    deployments(view, &mut html);
    html.push_str("<h2>Sources</h2>\n");
    sources(view, &mut html);
    html.push_str("<h2>Latest failures</h2>\n");
    head(FAILURE.map(Column::as_str), &mut html);
    view.failures.iter().for_each(|row| failure(row, &mut html));
    html.push_str("</table>\n</html>\n");
    html
}

/// The runbook's pages, by alert.
pub(super) fn runbook() -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>storagewatch runbook</title>\n",
    );
    let _ = write!(html, "<style>{STYLE}</style>\n<h1>Runbook</h1>\n<ul>\n");
    for (alert, _) in runbook::PAGES {
        let _ = writeln!(html, "<li><a href=\"runbook/{alert}\">{alert}</a>");
    }
    html.push_str("</ul>\n</html>\n");
    html
}

fn alerts(view: &View, html: &mut String) {
    let mut firing = view.alerts.iter().filter(|alert| alert.is_firing()).peekable();
    if firing.peek().is_none() {
        html.push_str("<p>None fires.\n");
        return;
    }
    head(["alert", "severity", "since", "count", "last", "about", "advice"], html);
    for alert in firing {
        let annotations = annotations(alert, "");
        let of = |wanted: &str| annotations.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
        let _ = write!(html, "<tr><td>{}<td>{}<td>{}", alert.key.name, alert.key.severity.as_str(), alert.since);
        let _ = write!(html, "<td class=\"number\">{}<td>{}", alert.count, alert.last);
        let _ = writeln!(
            html,
            "<td>{}<td>{}",
            text(&format!("{}. {}", of("summary"), of("description"))),
            text(of("advice"))
        );
    }
    html.push_str("</table>\n");
}

fn deployments(view: &View, html: &mut String) {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    let columns = ["deployment", "hosting", "verdict"].into_iter().chain(outcomes).chain(["overflows", "last"]);
    head(columns, html);
    for (place, counts) in &view.places {
        let verdict = verdict(place, counts);
        let _ = write!(html, "<tr><td>{}<td>{}<td>{}", text(&place.deployment), place.hosting, verdict.as_str());
        for count in counts.outcomes.iter().chain([&counts.overflows]) {
            let _ = write!(html, "<td class=\"number\">{count}");
        }
        let _ = writeln!(html, "<td>{}", time(counts.last.into_iter().flatten().max()));
    }
    html.push_str("</table>\n");
}

fn sources(view: &View, html: &mut String) {
    head(["source", "up", "lines", "records", "bytes", "behind", "lost bytes", "skipped", "last read"], html);
    for (name, (counts, state)) in &view.sources {
        let _ = write!(html, "<tr><td>{}<td>{}", text(name), if state.up { "yes" } else { "no" });
        for count in [counts.lines, counts.records, counts.bytes, state.lag_bytes, counts.lost_bytes] {
            let _ = write!(html, "<td class=\"number\">{count}");
        }
        let skipped = Skipped::ALL.into_iter().zip(counts.skipped).filter(|(_, count)| *count > 0);
        let skipped: Vec<String> = skipped.map(|(reason, count)| format!("{} {count}", reason.as_str())).collect();
        let _ = writeln!(html, "<td>{}<td>{}", skipped.join(", "), time(state.last_read));
    }
    html.push_str("</table>\n");
}

fn failure(row: &Row, html: &mut String) {
    html.push_str("<tr>");
    for column in FAILURE {
        let _ = write!(html, "<td>{}", text(&row.value(column).to_string()));
    }
    html.push('\n');
}

fn head<'a>(columns: impl IntoIterator<Item = &'a str>, html: &mut String) {
    html.push_str("<table><tr>");
    for column in columns {
        let _ = write!(html, "<th>{column}");
    }
    html.push('\n');
}

fn time(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// A text that a log brought, as text in HTML: neither markup nor marks that reorder what stands around it.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in safe(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
