//! What a webhook of one's own is sent: an object with the alerts of which there is news.

use super::alertmanager::{object, origin};
use super::text::{annotations, labels};
use super::{Name, Notice};
use serde_json::{Value, json};

/// The version of the body. It changes when a key does or means something else.
const VERSION: u32 = 1;

/// Alerts in one request at the most.
pub(super) const AT_ONCE: usize = 100;

/// The body.
pub(super) fn body(notices: &[Notice], page: &str) -> Value {
    let alert = |notice: &Notice| {
        let alert = &notice.alert;
        json!({
            "id": id(notice),
            "status": if notice.ended.is_some() { "resolved" } else { "firing" },
            "test": alert.key.name == Name::StoragewatchTest,
            "starts_at": notice.starts.to_string(),
            "ends_at": notice.ended.map(|ended| ended.to_string()),
            "count": alert.count,
            "labels": object(labels(alert)),
            "annotations": object(annotations(alert, page)),
            "url": origin(alert, page),
        })
    };
    json!({
        "version": VERSION,
        "storagewatch": env!("CARGO_PKG_VERSION"),
        "alerts": notices.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// The same for all news of one incident, and of no other.
fn id(notice: &Notice) -> String {
    use sha2::{Digest, Sha256};
    let alert = &notice.alert;
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&alert.key).unwrap_or_default());
    hash.update(alert.since.0.to_le_bytes());
    let bytes = hash.finalize().iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{bytes:032x}")
}
