//! A configuration file with every default written out, as TOML that reads back the same.
//!
//! Enters a [`File`]; leaves text. What the file does not set is marked `# default`, or stands as a comment where it has
//! no default. Of a secret there is only ever the reference.

use super::alert::{self, AlertSection};
use super::file::{self, File, SourceSection};
use super::rules::DeploymentRule;
use super::values::{name_of, written};
use super::webhook;
use crate::event::Hosting;
use clap::ValueEnum;
use std::fmt::{self, Write};
use std::time::Duration;

impl File {
    /// The whole of it, with the defaults.
    pub fn resolved(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = self.write(&mut Lines { text: &mut text });
        text
    }

    fn write(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let duration = |duration: Duration| quoted(&written(duration));
        lines.setting(
            "listen",
            self.listen.map(|at| quoted(&at.to_string())),
            &quoted(&file::DEFAULT_LISTEN.to_string()),
        )?;
        lines.setting(
            "ingest_listen",
            self.ingest_listen.map(|at| quoted(&at.to_string())),
            &quoted(&webhook::DEFAULT_LISTEN.to_string()),
        )?;
        let state_dir = self.state_dir.as_ref().map(|path| quoted(&path.to_string_lossy()));
        lines.optional("state_dir", state_dir, "$STATE_DIRECTORY, else counts are kept in memory")?;
        lines.setting("from", self.from.map(word), &word(file::DEFAULT_FROM))?;
        lines.setting("linger", self.linger.map(duration), &duration(file::DEFAULT_LINGER))?;
        lines.setting("poll_interval", self.poll_interval.map(duration), &duration(file::DEFAULT_POLL_INTERVAL))?;
        lines.setting("openmetrics_created", self.openmetrics_created.map(|yes| yes.to_string()), "false")?;
        lines.setting("enable_reload", self.enable_reload.map(|yes| yes.to_string()), "false")?;
        lines.setting("log_format", self.log_format.map(word), &word(file::DEFAULT_LOG_FORMAT))?;
        lines.setting("log_level", self.log_level.map(word), &word(file::DEFAULT_LOG_LEVEL))?;
        for source in &self.sources {
            source.write(self, lines)?;
        }
        for webhook in &self.webhooks {
            webhook.write(lines)?;
        }
        self.convex.iter().try_for_each(|source| source.write(self, lines))?;
        self.probes.iter().try_for_each(|source| source.write(lines))?;
        for rule in &self.deployments {
            rule.write(lines)?;
        }
        self.alert.write(lines)?;
        lines.heading("[limits]")?;
        let limit = self.max_deployments.map(|limit| limit.to_string());
        lines.setting("deployments", limit, &file::DEFAULT_MAX_DEPLOYMENTS.to_string())
    }
}

impl SourceSection {
    fn write(&self, file: &File, lines: &mut Lines<'_>) -> fmt::Result {
        lines.heading("[[source.file]]")?;
        lines.line("name", &quoted(self.name.as_str()))?;
        let paths: Vec<String> = self.paths.iter().map(|path| quoted(&path.to_string())).collect();
        lines.line("paths", &format!("[{}]", paths.join(", ")))?;
        let deployment = self.deployment.as_ref().map(|name| quoted(name.as_str()));
        lines.optional("deployment", deployment, "as the records say")?;
        lines.optional("hosting", self.hosting.map(hosting), "as the records say")?;
        lines.silence(self.silent_after)?;
        lines.setting("from", self.from.map(word), &word(file.from.unwrap_or(file::DEFAULT_FROM)))
    }
}

impl DeploymentRule {
    fn write(&self, lines: &mut Lines<'_>) -> fmt::Result {
        lines.heading(&format!("[deployment.{}]", quoted(self.pattern.as_str())))?;
        lines.optional("hosting", self.hosting.map(hosting), "as the source or the records say")?;
        let expect = self.expect_direct.then(|| quoted("direct"));
        lines.optional("expect", expect, "what is usual where it runs")?;
        let severity = self.severity.map(|severity| quoted(severity.as_str()));
        lines.optional("severity", severity, "as the policy says")?;
        lines.optional("window", self.window.map(|time| quoted(&written(time))), "as in [alert]")
    }
}

impl AlertSection {
    fn write(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let duration = |duration: Duration| quoted(&written(duration));
        lines.heading("[alert]")?;
        lines.setting("window", self.window.map(duration), &duration(alert::DEFAULT_WINDOW))?;
        let kept = alert::DEFAULT_KEEP_FIRING_FOR;
        lines.setting("keep_firing_for", self.keep_firing_for.map(duration), &duration(kept))?;
        lines.setting("max_age", self.max_age.map(duration), &duration(alert::DEFAULT_MAX_AGE))?;
        lines.optional("external_url", self.external_url.as_deref().map(quoted), "where the page is served")?;
        let alertmanagers: Vec<String> =
            self.alertmanagers.iter().map(|address| quoted(&address.to_string())).collect();
        let set = (!alertmanagers.is_empty()).then(|| format!("[{}]", alertmanagers.join(", ")));
        lines.optional("alertmanagers", set, "none is told")?;
        for webhook in &self.webhooks {
            lines.heading("[[alert.webhook]]")?;
            let name = webhook.name.as_ref().map(|name| quoted(name.as_str()));
            lines.setting("name", name, &quoted(&webhook.receiver_name()))?;
            lines.line("url", &quoted(&webhook.url.to_string()))?;
            lines.line("format", &word(webhook.format))?;
        }
        Ok(())
    }
}

pub(super) struct Lines<'t> {
    text: &'t mut String,
}

impl Lines<'_> {
    pub(super) fn heading(&mut self, heading: &str) -> fmt::Result {
        writeln!(self.text, "\n{heading}")
    }

    pub(super) fn line(&mut self, key: &str, value: &str) -> fmt::Result {
        writeln!(self.text, "{key} = {value}")
    }

    /// A key that always has a value.
    pub(super) fn setting(&mut self, key: &str, set: Option<String>, default: &str) -> fmt::Result {
        match set {
            Some(value) => self.line(key, &value),
            None => writeln!(self.text, "{key} = {default} # default"),
        }
    }

    /// A key that may have none, and what holds then.
    pub(super) fn optional(&mut self, key: &str, set: Option<String>, otherwise: &str) -> fmt::Result {
        match set {
            Some(value) => self.line(key, &value),
            None => writeln!(self.text, "# {key} is not set: {otherwise}"),
        }
    }

    /// After how long a source counts as silent.
    pub(super) fn silence(&mut self, silent_after: Option<Duration>) -> fmt::Result {
        let set = silent_after.map(|time| quoted(&written(time)));
        self.optional("silent_after", set, "silence is never reported")
    }
}

pub(super) fn word<T: ValueEnum>(word: T) -> String {
    quoted(&name_of(&word))
}

pub(super) fn hosting(hosting: Hosting) -> String {
    quoted(hosting.as_str())
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_reads_back() {
        for text in ["", "plain", "a\"b\\c", "tab\t, newline\n, delete\u{7f}, next line\u{85}", "ä€😀"] {
            let line = format!("key = {}", quoted(text));
            let table = super::super::document::parse(&line).unwrap();
            let (_, value) = table.iter().next().unwrap();
            assert_eq!(value.get_ref().as_str(), Some(text), "{line}");
        }
    }
}
