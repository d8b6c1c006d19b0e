//! What was typed, and in `STORAGEWATCH_*` variables, laid over what the file says.
//!
//! Enters a [`File`] and a [`CommandLine`]; leaves the resolved [`Config`], in which nothing is left open.

use super::file::{self, File, SourceSection};
use super::webhook::{self, WebhookSection, WebhookSource};
use super::{Config, ConfigError, ConvexSource, Declared, FILES, FileSource, STDIN, SourceName, StdinSource, Watched};
use super::{DeploymentTemplate, LogFormat, LogLevel, Start};
use crate::alert::Address;
use crate::attribute::Evidence;
use crate::event::Hosting;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What was typed. What was not is none, and then the file decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandLine {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--ingest-listen`.
    pub ingest_listen: Option<SocketAddr>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// The directory that the service manager made, of `$STATE_DIRECTORY`: for where nothing else names one.
    pub service_state_dir: Option<PathBuf>,
    /// `--from`: for every source, whatever the file says of it.
    pub from: Option<Start>,
    /// `--linger`.
    pub linger: Option<Duration>,
    /// `--poll-interval`.
    pub poll_interval: Option<Duration>,
    /// `--enable-reload`.
    pub enable_reload: Option<bool>,
    /// `--alertmanager`: instead of those of the file.
    pub alertmanagers: Option<Vec<Address>>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// The files to follow beside those of the file.
    pub paths: Vec<Watched>,
    /// Whether standard input is read.
    pub stdin: bool,
    /// `--convex`.
    pub convex: Option<Arc<str>>,
    /// `--deployment`, for these paths and standard input.
    pub deployment: Option<DeploymentTemplate>,
    /// `--hosting`, for these paths and standard input.
    pub hosting: Option<Hosting>,
}

impl CommandLine {
    /// Lays the command line over a file.
    pub fn resolve(&self, file: File) -> Result<Config, ConfigError> {
        let own = !self.paths.is_empty() || self.stdin || self.convex.is_some();
        if !own && (self.deployment.is_some() || self.hosting.is_some()) {
            return Err(ConfigError::Usage(
                "--deployment and --hosting are for what the command line names, and it names nothing; write them in the configuration file".to_owned(),
            ));
        }
        let no_file = self.stdin || self.convex.is_some();
        if no_file && self.deployment.as_ref().is_some_and(|name| name.literal().is_none()) {
            return Err(ConfigError::Usage(
                "only a file has a name to fill in, not standard input or --convex; give its deployment's name in full"
                    .to_owned(),
            ));
        }
        let from = self.from.or(file.from).unwrap_or(file::DEFAULT_FROM);
        let hosting = self.hosting.map(|hosting| Declared { hosting, evidence: Evidence::Option });
        let mut sources: Vec<FileSource> =
            file.sources.into_iter().map(|section| section.resolve(self.from, from)).collect();
        if !self.paths.is_empty() {
            sources.push(FileSource {
                name: SourceName::own(FILES),
                paths: self.paths.clone(),
                deployment: self.deployment.clone(),
                hosting,
                silent_after: None,
                from,
            });
        }
        let stdin = self.stdin.then(|| StdinSource {
            name: SourceName::own(STDIN),
            deployment: self.deployment.as_ref().and_then(|name| name.literal()).map(str::to_owned),
            hosting,
        });
        let webhooks: Vec<WebhookSource> = file.webhooks.into_iter().map(WebhookSection::resolve).collect();
        let mut convex: Vec<ConvexSource> =
            file.convex.into_iter().map(|section| section.resolve(self.from, from)).collect();
        let probes: Vec<_> = file.probes.into_iter().map(super::remote::ProbeSection::resolve).collect();
        if let Some(url) = &self.convex {
            let deployment = self.deployment.as_ref().and_then(|name| name.literal()).map(str::to_owned);
            let typed = super::remote::typed(url, deployment, hosting, from, &convex)?;
            if sources.iter().any(|source| source.name == typed.name) {
                let what = format!("--convex: a source of the configuration is called '{}' already", typed.name);
                return Err(ConfigError::Usage(what));
            }
            convex.push(typed);
        }
        if sources.is_empty() && webhooks.is_empty() && stdin.is_none() && convex.is_empty() && probes.is_empty() {
            return Err(ConfigError::Usage(nothing_to_watch(self.config.as_ref())));
        }
        Ok(Config {
            listen: self.listen.or(file.listen).unwrap_or(file::DEFAULT_LISTEN),
            ingest_listen: self.ingest_listen.or(file.ingest_listen).unwrap_or(webhook::DEFAULT_LISTEN),
            state_dir: self.state_dir.clone().or(file.state_dir).or_else(|| self.service_state_dir.clone()),
            linger: self.linger.or(file.linger).unwrap_or(file::DEFAULT_LINGER),
            poll_interval: self.poll_interval.or(file.poll_interval).unwrap_or(file::DEFAULT_POLL_INTERVAL),
            openmetrics_created: file.openmetrics_created.unwrap_or(false),
            enable_reload: self.enable_reload.or(file.enable_reload).unwrap_or(false),
            log_format: self.log_format.or(file.log_format).unwrap_or(file::DEFAULT_LOG_FORMAT),
            log_level: self.log_level.or(file.log_level).unwrap_or(file::DEFAULT_LOG_LEVEL),
            sources,
            webhooks,
            stdin,
            convex,
            probes,
            deployments: file.deployments,
            alerting: file.alert.resolve(self.alertmanagers.as_deref()),
            max_deployments: file.max_deployments.unwrap_or(file::DEFAULT_MAX_DEPLOYMENTS),
        })
    }
}

impl SourceSection {
    fn resolve(self, typed: Option<Start>, general: Start) -> FileSource {
        FileSource {
            name: self.name,
            paths: self.paths,
            deployment: self.deployment,
            hosting: self.hosting.map(|hosting| Declared { hosting, evidence: Evidence::Config }),
            silent_after: self.silent_after,
            from: typed.or(self.from).unwrap_or(general),
        }
    }
}

fn nothing_to_watch(config: Option<&PathBuf>) -> String {
    match config {
        Some(path) => format!(
            "{}: nothing to watch; add a [[source.file]] or another source to it, or name files beside --config",
            path.display()
        ),
        None => "nothing to watch: name files, as in 'storagewatch watch /var/log/convex/*.log', give --convex URL or --config FILE, or pipe a log in".to_owned(),
    }
}
