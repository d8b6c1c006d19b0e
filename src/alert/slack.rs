//! What Slack's incoming webhooks are sent: a line of text and an attachment an alert, in which nothing is markup.
//!
//! Slack reads `&`, `<` and `>` as the beginning of links, mentions and commands (`<!channel>`), and asks to write them as
//! entities. Formatting is switched off wherever Slack lets it be.

use super::alertmanager::origin;
use super::text::{advice, annotations, over, summary};
use super::{Name, Notice};
use crate::event::clip;
use crate::policy::Severity;
use serde_json::{Value, json};

/// Alerts in one message at the most; Slack advises against more than 20 attachments.
pub(super) const AT_ONCE: usize = 10;

/// The longest text of an attachment, in bytes before it is escaped.
const TEXT: usize = 2000;

/// The annotations that become fields, if they are there, and whether they are short.
const FIELDS: [(&str, bool); 9] = [
    ("count", true),
    ("cause", true),
    ("first", true),
    ("last", true),
    ("function", true),
    ("storage_id", true),
    ("request_id", true),
    ("error", false),
    ("advice", false),
];

/// The body.
pub(super) fn body(notices: &[Notice], page: &str) -> Value {
    let firing = notices.iter().filter(|notice| notice.ended.is_none()).count();
    let resolved = notices.len() - firing;
    let missed = notices.iter().filter(|notice| notice.missed).count();
    let missed = if missed > 0 { format!(", {missed} of them not told before") } else { String::new() };
    let text = match (notices, firing) {
        ([only], _) => headline(only),
        (_, 0) => format!("storagewatch: {resolved} alerts are resolved{missed}"),
        (_, _) if resolved == 0 => format!("storagewatch: {firing} alerts fire"),
        (_, _) => format!("storagewatch: {firing} alerts fire, {resolved} are resolved{missed}"),
    };
    json!({
        "text": escaped(&text),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "attachments": notices.iter().map(|notice| attachment(notice, page)).collect::<Vec<_>>(),
    })
}

/// An alert on one line.
pub(super) fn headline(notice: &Notice) -> String {
    let key = &notice.alert.key;
    match (notice.ended, key.name) {
        (_, Name::StoragewatchTest) => summary(&notice.alert),
        (Some(_), _) if notice.missed => format!("{}, over by now: {}", key.severity.as_str(), summary(&notice.alert)),
        (Some(_), _) => format!("resolved: {}", over(&notice.alert)),
        (None, _) => format!("{}: {}", key.severity.as_str(), summary(&notice.alert)),
    }
}

/// What somebody is told beside that who could not be told before.
pub(super) fn late(notice: &Notice) -> Option<String> {
    let ended = notice.ended.filter(|_| notice.missed)?;
    Some(format!("It fired from {} to {ended}, while you could not be told.", notice.alert.since))
}

fn attachment(notice: &Notice, page: &str) -> Value {
    let alert = &notice.alert;
    let annotations = annotations(alert, page);
    let of = |name: &str| annotations.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
    // What to do about it is of no use any more to who knew of it.
    let wanted = |name: &str| name != "advice" || (!notice.is_all_clear() && advice(alert).is_some());
    let fields = FIELDS.iter().filter(|(name, _)| wanted(name)).filter_map(|(name, short)| {
        Some(json!({"title": name.replace('_', " "), "value": escaped(of(name)?), "short": short}))
    });
    let headline = escaped(&headline(notice));
    let description = of("description").unwrap_or_default();
    let text = late(notice).map_or_else(|| description.to_owned(), |late| format!("{late} {description}"));
    json!({
        "color": color(notice),
        "fallback": headline,
        "title": headline,
        "title_link": origin(alert, page),
        "text": escaped(&text),
        "fields": fields.collect::<Vec<_>>(),
        "footer": escaped(alert.key.name.as_str()),
        "mrkdwn_in": [],
    })
}

fn color(notice: &Notice) -> &'static str {
    match (notice.is_all_clear(), notice.alert.key.severity) {
        (true, _) => "good",
        (false, Severity::Critical) => "danger",
        (false, Severity::Warning) => "warning",
        (false, Severity::Info) => "#439fe0",
    }
}

/// A text as Slack shows it letter by letter.
fn escaped(text: &str) -> String {
    clip(text, TEXT).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
