//! An exemplar as OpenMetrics allows it: from an event's ids to at most 128 characters of labels.

use crate::ledger::Exemplar;

/// How many characters the names and values of an exemplar's labels may have together, by the specification.
const LIMIT: usize = 128;

/// The labels of an exemplar: both ids where they fit, else the one that does. Nothing where there is none.
pub(super) fn labels(exemplar: &Exemplar) -> Vec<(&'static str, &str)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: Option<usize>, blob: Option<usize>, expected: &[&str]) {
        // Characters count, not bytes.
        let text = |length: Option<usize>| length.map(|length| "ä".repeat(length));
        let exemplar = Exemplar { request_id: text(request), storage_id: text(blob), time: None };
        let names: Vec<&str> = labels(&exemplar).into_iter().map(|(name, _)| name).collect();
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
