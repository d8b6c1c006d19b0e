//! A log, a state directory and a configuration, and the process that watches them.

use crate::watch::daemon::{self, Daemon};
use crate::watch::lines::{Access, access_ago};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// What is called `cloud` in the configuration follows `app.log`, which is there and empty at first.
pub(crate) struct Stage {
    pub(crate) root: tempfile::TempDir,
    pub(crate) log: PathBuf,
    lines: u64,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("app.log");
        fs::write(&log, "").unwrap();
        Self { root, log, lines: 0 }
    }

    /// Writes the configuration: its source, with more keys, and then these tables.
    pub(crate) fn configure(&self, source: &str, tables: &str) {
        let source = format!("[[source.file]]\nname = \"cloud\"\npaths = [\"app.log\"]\n{source}\n");
        fs::write(self.root.path().join("watch.toml"), format!("{source}{tables}")).unwrap();
    }

    /// Names a webhook's address in the file to which the configuration refers.
    pub(crate) fn secret(&self, name: &str, url: &str) {
        fs::write(self.root.path().join(name), format!("{url}\n")).unwrap();
    }

    /// The command with the configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = daemon::command();
        command.arg("--config").arg(self.root.path().join("watch.toml"));
        self.with_state(command)
    }

    /// The command without one: the log alone.
    pub(crate) fn bare(&self, more: &[&str]) -> Command {
        let mut command = daemon::command();
        command.arg(&self.log).args(more);
        self.with_state(command)
    }

    fn with_state(&self, mut command: Command) -> Command {
        command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(self.root.path().join("state"));
        command
    }

    pub(crate) fn start(&self) -> Daemon {
        Self::ready(&mut self.command())
    }

    pub(crate) fn ready(command: &mut Command) -> Daemon {
        let mut daemon = Daemon::start(command);
        daemon.wait_until_ready();
        daemon
    }

    /// Writes accesses that happened some milliseconds ago.
    pub(crate) fn write_ago(&mut self, deployment: &str, outcome: &str, count: u64, ago_ms: i64) {
        let mut text = String::new();
        for _ in 0..count {
            self.lines += 1;
            text.push_str(&access_ago(Access { deployment, outcome, size_bytes: 1 }, self.lines, ago_ms));
        }
        self.append(&text);
    }

    /// Writes a failure that has just happened.
    pub(crate) fn fail(&mut self, deployment: &str) {
        self.write_ago(deployment, "direct-failed", 1, 0);
    }

    pub(crate) fn append(&self, text: &str) {
        let mut file = fs::File::options().append(true).open(&self.log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}
