//! The configuration file as it is written: what is set, in its own types, and what is not.
//!
//! Enters TOML; leaves a [`File`], or the place of the first mistake. Relative paths begin at the file's own directory,
//! so that a file means the same wherever the program is started.

use super::alert::{self, ALERT, AlertSection};
use super::document::{self, Section, Wrong};
use super::remote::{ConvexSection, ProbeSection};
use super::rules::DeploymentRule;
use super::values::{self, DeploymentTemplate, LogFormat, LogLevel, SourceName, Start, parsed};
use super::webhook::WebhookSection;
use super::{ConfigError, FILES, STDIN, Watched};
use crate::event::Hosting;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where it is served unless something else is said: reached from this machine only.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10_045);
/// Where files are read from that are there at the very first start.
pub const DEFAULT_FROM: Start = Start::End;
/// How long the metrics stay after standard input has ended.
pub const DEFAULT_LINGER: Duration = Duration::ZERO;
/// How often files are looked at.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How the log is written.
pub const DEFAULT_LOG_FORMAT: LogFormat = LogFormat::Text;
/// What of it is written.
pub const DEFAULT_LOG_LEVEL: LogLevel = LogLevel::Info;
/// How many deployments get series of their own.
pub const DEFAULT_MAX_DEPLOYMENTS: usize = 1000;

/// How often files may be looked at: more often burns a processor, less often is no watching.
pub const POLL_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
/// After how long a source may count as silent.
pub(super) const SILENCES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 366);
/// How many deployments may get series of their own; each has about thirty.
const MAX_DEPLOYMENTS: RangeInclusive<usize> = 1..=100_000;

const TOP: [&str; 14] = [
    "listen",
    "ingest_listen",
    "state_dir",
    "from",
    "linger",
    "poll_interval",
    "openmetrics_created",
    "enable_reload",
    "log_format",
    "log_level",
    "source",
    "deployment",
    "alert",
    "limits",
];
const SOURCE: [&str; 4] = ["file", "webhook", "convex", "probe"];
const SOURCE_FILE: [&str; 6] = ["name", "paths", "deployment", "hosting", "silent_after", "from"];
const DEPLOYMENT: [&str; 4] = ["hosting", "expect", "severity", "window"];
const LIMITS: [&str; 1] = ["deployments"];

/// A configuration file. What it does not set is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) ingest_listen: Option<SocketAddr>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) from: Option<Start>,
    pub(super) linger: Option<Duration>,
    pub(super) poll_interval: Option<Duration>,
    pub(super) openmetrics_created: Option<bool>,
    pub(super) enable_reload: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) sources: Vec<SourceSection>,
    pub(super) webhooks: Vec<WebhookSection>,
    pub(super) convex: Vec<ConvexSection>,
    pub(super) probes: Vec<ProbeSection>,
    pub(super) deployments: Vec<DeploymentRule>,
    pub(super) alert: AlertSection,
    pub(super) max_deployments: Option<usize>,
}

/// `[[source.file]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SourceSection {
    pub(super) name: SourceName,
    pub(super) paths: Vec<Watched>,
    pub(super) deployment: Option<DeploymentTemplate>,
    pub(super) hosting: Option<Hosting>,
    pub(super) silent_after: Option<Duration>,
    pub(super) from: Option<Start>,
}

impl File {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        // As far as it is text, so that the place of what is not can be told.
        let lossy = String::from_utf8_lossy(&bytes);
        let whole = std::path::absolute(path).map_err(unreadable)?;
        let read = match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, whole.parent().unwrap_or(Path::new(""))),
            Err(error) => Err(Wrong::new(error.valid_up_to(), "not UTF-8; save the file as UTF-8")),
        };
        read.map_err(|wrong| wrong.within(path, &lossy))
    }

    fn parse(text: &str, directory: &Path) -> Result<Self, Wrong> {
        let document = document::parse(text)?;
        let top = Section::new("", &document, 0, &TOP)?;
        let mut file = Self {
            listen: top.get("listen", parsed(address))?,
            ingest_listen: top.get("ingest_listen", parsed(address))?,
            state_dir: top.get("state_dir", parsed(|text| state_dir(text, directory)))?,
            from: top.get("from", values::word)?,
            linger: top.get("linger", parsed(values::duration))?,
            poll_interval: top.get("poll_interval", parsed(poll_interval))?,
            openmetrics_created: top.get("openmetrics_created", values::boolean)?,
            enable_reload: top.get("enable_reload", values::boolean)?,
            log_format: top.get("log_format", values::word)?,
            log_level: top.get("log_level", values::word)?,
            ..Self::default()
        };
        if let Some(source) = top.section("source", &SOURCE)? {
            let mut names = HashSet::new();
            for section in source.sections("file", "[[source.file]]", &SOURCE_FILE)? {
                file.sources.push(SourceSection::parse(&section, directory, &mut names)?);
            }
            for section in source.sections("webhook", "[[source.webhook]]", &WebhookSection::KEYS)? {
                file.webhooks.push(WebhookSection::parse(&section, directory, &mut names)?);
            }
            file.read_remote(&source, directory, &mut names)?;
        }
        let listen = file.listen.unwrap_or(DEFAULT_LISTEN);
        if !file.webhooks.is_empty() && listen.port() != 0 && file.ingest_listen == Some(listen) {
            let what =
                format!("ingest_listen: the page is served at {listen} already; webhooks need an address of their own");
            return Err(top.wrong("ingest_listen", what));
        }
        for (name, at, section) in top.named("deployment", &DEPLOYMENT)? {
            file.deployments.push(DeploymentRule {
                pattern: values::name_pattern(&name).map_err(|what| Wrong::new(at, format!("deployment: {what}")))?,
                hosting: section.get("hosting", values::hosting)?,
                expect_direct: section.get("expect", parsed(expectation))?.is_some(),
                severity: section.get("severity", alert::severity)?,
                window: section.get("window", alert::deployment_window)?,
            });
        }
        if let Some(section) = top.section("alert", &ALERT)? {
            file.alert = AlertSection::parse(&section, directory)?;
        }
        if let Some(limits) = top.section("limits", &LIMITS)? {
            file.max_deployments = limits.get("deployments", |value| values::count(value, MAX_DEPLOYMENTS))?;
        }
        Ok(file)
    }
}

impl SourceSection {
    fn parse(section: &Section<'_>, directory: &Path, names: &mut HashSet<SourceName>) -> Result<Self, Wrong> {
        let name = source_name(section, "\"self-hosted\"", names)?;
        let path = |value: &_| Watched::parse(values::text(value)?, directory);
        Ok(Self {
            name,
            paths: section.each("paths", "[\"/var/log/convex/*.log\"]", path)?,
            deployment: section.get("deployment", parsed(DeploymentTemplate::parse))?,
            hosting: section.get("hosting", values::hosting)?,
            silent_after: section.get("silent_after", parsed(|text| values::duration_within(text, &SILENCES)))?,
            from: section.get("from", values::word)?,
        })
    }
}

/// Reads a source's name, which no other source has.
pub(super) fn source_name(
    section: &Section<'_>,
    example: &str,
    names: &mut HashSet<SourceName>,
) -> Result<SourceName, Wrong> {
    let (name, place) = section.require("name", example, parsed(SourceName::parse))?;
    if [FILES, STDIN].contains(&name.as_str()) {
        let what = "is what the command line's source is called; choose another name";
        return Err(Wrong::new(place.start, format!("name: '{name}' {what}")));
    }
    if !names.insert(name.clone()) {
        let what = format!("name: a source above is called '{name}' already; choose another name");
        return Err(Wrong::new(place.start, what));
    }
    Ok(name)
}

/// Reads an address to listen on.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let shown = text.escape_debug();
        format!(
            "'{shown}' is no address with a port; write one as in {DEFAULT_LISTEN} or [::1]:{}",
            DEFAULT_LISTEN.port()
        )
    })
}

/// Reads how often files are looked at.
pub fn poll_interval(text: &str) -> Result<Duration, String> {
    values::duration_within(text, &POLL_INTERVALS)
}

fn state_dir(text: &str, directory: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("an empty path; name a directory, or leave the key out".to_owned());
    }
    Ok(directory.join(text))
}

fn expectation(text: &str) -> Result<(), String> {
    if text == "direct" {
        return Ok(());
    }
    Err(format!("'{}' cannot be expected; write direct, or leave the key out", text.escape_debug()))
}
