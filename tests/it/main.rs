//! One test binary, a file a hazard.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::default_trait_access,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test that cannot go on has failed, and its texts are its own"
)]

mod alert;
mod bounds;
mod command_line;
mod config;
mod convex;
mod dashboards;
mod follow;
mod helper;
mod metrics;
mod page;
mod probe;
mod properties;
mod readme;
mod regressions;
mod samples;
mod serve;
mod streaming;
mod support;
mod watch;
