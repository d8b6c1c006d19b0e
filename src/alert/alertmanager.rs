//! What an Alertmanager is sent: the bodies of its API, version 2, `POST /api/v2/alerts`.

use super::text::{annotations, labels};
use super::{Alert, Name, Notice};
use serde_json::{Map, Value, json};

/// The route below an Alertmanager's address.
pub(super) const ROUTE: &str = "api/v2/alerts";

/// Alerts in one request at the most.
pub(super) const AT_ONCE: usize = 200;

/// The body. The page is where the alert comes from.
pub(super) fn body(notices: &[Notice], page: &str) -> Value {
    let alert = |notice: &Notice| {
        json!({
            "labels": object(labels(&notice.alert)),
            "annotations": object(annotations(&notice.alert, page)),
            "startsAt": notice.starts.to_string(),
            "endsAt": notice.ends.to_string(),
            "generatorURL": origin(&notice.alert, page),
        })
    };
    notices.iter().map(alert).collect()
}

/// The status page, and what in it.
pub(super) fn origin(alert: &Alert, page: &str) -> String {
    let anchor = if alert.key.name == Name::StoragewatchTest { "" } else { "#alerts" };
    format!("{page}/{anchor}")
}

pub(super) fn object(pairs: Vec<(&'static str, String)>) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
