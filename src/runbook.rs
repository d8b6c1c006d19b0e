//! The runbook: a page for each alert, which says what it means and what to do.
//!
//! Enters an alert's name; leaves its page as Markdown, for a person. The shipped rules link to where the status page
//! serves it.

/// Where the status page and the runbook are served unless configured otherwise: what the shipped rules link to.
pub const BASE: &str = "http://127.0.0.1:10045";

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../dashboards/runbook/", $name, ".md"))),)*]
    };
}

/// Every alert with its page.
pub const PAGES: &[(&str, &str)] = pages! {
    "ConvexStorageDirectFailed"
    "ConvexStorageDirectFailedSelfHosted"
    "ConvexStorageFallbackDegraded"
    "ConvexStorageLogsSilent"
    "ConvexStorageProbeFailing"
    "StoragewatchSourceStalled"
    "StoragewatchSkipping"
    "StoragewatchNotificationsFailing"
    "StoragewatchLedgerFailing"
    "StoragewatchDown"
};

/// The page of an alert.
pub fn page(alert: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == alert).map(|(_, page)| *page)
}
