//! What `watch` is to do: the configuration file, the command line and the defaults, resolved into one [`Config`].
//!
//! Enters a TOML file and what was typed; leaves values of their own types, or one [`ConfigError`] that names the file,
//! the line and the column, says what is wrong and what to do. The command line outranks `STORAGEWATCH_*` variables,
//! which outrank the file, which outranks the defaults. Nothing is ignored: a key that is not known is an error.

mod alert;
pub mod command_line;
mod document;
pub mod file;
pub mod printed;
pub mod remote;
pub mod rules;
pub mod survey;
pub mod values;
pub mod watched;
pub mod webhook;

pub use alert::{Alerting, DEFAULT_MAX_AGE, DEFAULT_WINDOW, WebhookFormat, alertmanager};
pub use command_line::CommandLine;
pub use file::File;
pub use remote::{ConvexSource, ProbeSource};
pub use rules::{Declared, DeploymentRule};
pub use values::{DeploymentTemplate, LogFormat, LogLevel, SourceName, Start};
pub use watched::Watched;
pub use webhook::WebhookSource;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Everything that `watch` is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the page, the metrics and the status are served.
    pub listen: SocketAddr,
    /// Where webhooks are taken in, if there are any.
    pub ingest_listen: SocketAddr,
    /// Where the ledger lies; without it, counts are kept in memory.
    pub state_dir: Option<PathBuf>,
    /// How long the metrics are served after standard input has ended.
    pub linger: Duration,
    /// How often files are looked at where no event of the file system tells of a change.
    pub poll_interval: Duration,
    /// Whether OpenMetrics expositions have `_created` lines.
    pub openmetrics_created: bool,
    /// Whether `POST /-/reload` is served.
    pub enable_reload: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What of it is written.
    pub log_level: LogLevel,
    /// The files to follow. Names differ.
    pub sources: Vec<FileSource>,
    /// The webhooks to take in. Their names differ from those of files too.
    pub webhooks: Vec<WebhookSource>,
    /// Standard input, where it is read.
    pub stdin: Option<StdinSource>,
    /// The deployments to poll. Their names differ from all others, as do those of the next.
    pub convex: Vec<ConvexSource>,
    /// The applications to probe.
    pub probes: Vec<ProbeSource>,
    /// What is said of single deployments, in the order of the file; see [`Config::rule_for`].
    pub deployments: Vec<DeploymentRule>,
    /// What holds for alerts, and who is told.
    pub alerting: Alerting,
    /// How many deployments get series of their own.
    pub max_deployments: usize,
}

/// Files that are followed under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// Its name in metrics, events and cursors.
    pub name: SourceName,
    /// Where the files are.
    pub paths: Vec<Watched>,
    /// The deployment of records that name none.
    pub deployment: Option<DeploymentTemplate>,
    /// Where its deployments run.
    pub hosting: Option<Declared>,
    /// After how long without a line it counts as silent; without it, it never does.
    pub silent_after: Option<Duration>,
    /// Where files that are there at the very first start are read from.
    pub from: Start,
}

/// Standard input as a source.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinSource {
    /// Its name: [`STDIN`].
    pub name: SourceName,
    /// The deployment of records that name none.
    pub deployment: Option<String>,
    /// Where its deployments run.
    pub hosting: Option<Declared>,
}

/// The name of the source that the paths on the command line make. No source in a file may have it.
pub const FILES: &str = "files";
/// The name of standard input as a source. No source in a file may have it.
pub const STDIN: &str = "stdin";

impl Config {
    /// Reads the file that the command line names, if it names one, and lays the command line over it. A reload does
    /// the same again, with the same command line.
    pub fn load(command_line: &CommandLine) -> Result<Self, ConfigError> {
        let file = match &command_line.config {
            Some(path) => File::load(path)?,
            None => File::default(),
        };
        command_line.resolve(file)
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {}", path.display(), reading(error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character in it, from 1.
        column: usize,
        /// What is wrong, and what to do.
        what: String,
    },
    /// What was typed does not make a whole.
    #[error("{0}")]
    Usage(String),
}

fn reading(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file; check the path".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; run as a user who may read it".to_owned(),
        io::ErrorKind::IsADirectory => "a directory; name the file in it".to_owned(),
        _ => error.to_string(),
    }
}
