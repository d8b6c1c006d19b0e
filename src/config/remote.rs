//! The sources that are asked over the network: `[[source.convex]]` and `[[source.probe]]`, and the same from the
//! command line.
//!
//! Enters sections of the file and what was typed; leaves resolved sources. An address is checked when it is read: one
//! that cannot be right is a mistake of whoever wrote it.

use super::document::{Section, Wrong};
use super::file::SILENCES;
use super::printed::{Lines, hosting, quoted, word};
use super::values::{self, SourceName, Start, parsed, written};
use super::{ConfigError, Declared, FILES, File, STDIN, file};
use crate::attribute::{Evidence, Given, attribute, named_by_url};
use crate::event::{Hosting, Origin};
use crate::secret::Secret;
use reqwest::Url;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SOURCE_CONVEX: [&str; 7] = ["name", "url", "key", "deployment", "hosting", "silent_after", "from"];
pub(super) const SOURCE_PROBE: [&str; 5] = ["name", "url", "interval", "deployment", "hosting"];

/// How often an application is probed, unless something else is said.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(5);

/// How often it may be: each probe runs an action and reads a blob twice.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// A deployment whose log API is polled.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvexSource {
    /// Its name in metrics, events and cursors.
    pub name: SourceName,
    /// Where it answers, without a slash at the end.
    pub url: Arc<str>,
    /// Where its key is.
    pub key: Secret,
    /// Its name, where it does not tell it itself.
    pub deployment: Option<String>,
    /// Where it runs.
    pub hosting: Option<Declared>,
    /// After how long without an entry it counts as silent.
    pub silent_after: Option<Duration>,
    /// Whether what it keeps at the very first start counts.
    pub from: Start,
}

/// An application that is probed.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSource {
    /// Its name in metrics and cursors.
    pub name: SourceName,
    /// Where its HTTP actions are, without a slash at the end.
    pub url: Arc<str>,
    /// How often.
    pub interval: Duration,
    /// Its deployment's name, where no address tells it.
    pub deployment: Option<String>,
    /// Where it runs.
    pub hosting: Option<Declared>,
}

/// `[[source.convex]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConvexSection {
    name: SourceName,
    is_named: bool,
    url: Arc<str>,
    key: Secret,
    deployment: Option<String>,
    hosting: Option<Hosting>,
    silent_after: Option<Duration>,
    from: Option<Start>,
}

/// `[[source.probe]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProbeSection {
    name: SourceName,
    is_named: bool,
    url: Arc<str>,
    interval: Option<Duration>,
    deployment: Option<String>,
    hosting: Option<Hosting>,
}

impl File {
    /// Reads the sections of both kinds.
    pub(super) fn read_remote(
        &mut self,
        source: &Section<'_>,
        directory: &Path,
        names: &mut HashSet<SourceName>,
    ) -> Result<(), Wrong> {
        let mut urls = HashSet::new();
        for section in source.sections("convex", "[[source.convex]]", &SOURCE_CONVEX)? {
            let example = "\"https://happy-otter-123.convex.cloud\"";
            let (url, place) = section.require("url", example, parsed(deployment_url))?;
            if !urls.insert(Arc::clone(&url)) {
                let what = "url: a source above polls this deployment already; each would count what it logs";
                return Err(Wrong::new(place.start, what));
            }
            let key = |text: &str| Secret::parse(text, directory);
            let (name, is_named) = name(&section, names, &url, "")?;
            self.convex.push(ConvexSection {
                name,
                is_named,
                key: section.require("key", "\"env:CONVEX_DEPLOY_KEY\"", parsed(key))?.0,
                deployment: section.get("deployment", parsed(values::deployment_name))?,
                hosting: section.get("hosting", values::hosting)?,
                silent_after: section.get("silent_after", parsed(|text| values::duration_within(text, &SILENCES)))?,
                from: section.get("from", values::word)?,
                url,
            });
        }
        for section in source.sections("probe", "[[source.probe]]", &SOURCE_PROBE)? {
            let (url, _) = section.require("url", "\"https://happy-otter-123.convex.site\"", parsed(actions_url))?;
            let (name, is_named) = name(&section, names, &url, "probe-")?;
            self.probes.push(ProbeSection {
                name,
                is_named,
                interval: section.get("interval", parsed(|text| values::duration_within(text, &INTERVALS)))?,
                deployment: section.get("deployment", parsed(values::deployment_name))?,
                hosting: section.get("hosting", values::hosting)?,
                url,
            });
        }
        Ok(())
    }
}

/// The name that a section has, else one after its address.
fn name(
    section: &Section<'_>,
    names: &mut HashSet<SourceName>,
    url: &str,
    prefix: &str,
) -> Result<(SourceName, bool), Wrong> {
    let given = section.get("name", parsed(SourceName::parse))?;
    let is_named = given.is_some();
    let name = given.unwrap_or_else(|| name_of(url, prefix));
    if [FILES, STDIN].contains(&name.as_str()) {
        let what = "is what the command line's source is called; choose another name";
        return Err(Wrong::new(section.at(), format!("name: '{name}' {what}")));
    }
    if !names.insert(name.clone()) {
        let what = format!("name: a source above is called '{name}' already; choose another name");
        return Err(Wrong::new(section.at(), what));
    }
    Ok((name, is_named))
}

/// A source's name after its address: the host, and the port where one is given.
fn name_of(url: &str, prefix: &str) -> SourceName {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = prefix.chars().chain(host.chars().map(fit)).take(64).collect();
    SourceName::parse(&name).unwrap_or_else(|_| SourceName::own("convex"))
}

impl ConvexSection {
    pub(super) fn resolve(self, typed: Option<Start>, general: Start) -> ConvexSource {
        ConvexSource {
            name: self.name,
            url: self.url,
            key: self.key,
            deployment: self.deployment,
            hosting: self.hosting.map(|hosting| Declared { hosting, evidence: Evidence::Config }),
            silent_after: self.silent_after,
            from: typed.or(self.from).unwrap_or(general),
        }
    }

    pub(super) fn write(&self, file: &File, lines: &mut Lines<'_>) -> fmt::Result {
        lines.heading("[[source.convex]]")?;
        let name = quoted(self.name.as_str());
        lines.setting("name", self.is_named.then(|| name.clone()), &name)?;
        lines.line("url", &quoted(&self.url))?;
        lines.line("key", &quoted(&self.key.to_string()))?;
        lines.optional("deployment", self.deployment.as_deref().map(quoted), "as the deployment says")?;
        lines.optional("hosting", self.hosting.map(hosting), "as the deployment says")?;
        lines.silence(self.silent_after)?;
        lines.setting("from", self.from.map(word), &word(file.from.unwrap_or(file::DEFAULT_FROM)))
    }

    pub(super) fn survey(&self) -> Vec<String> {
        surprises(&self.name, &self.url, &self.key)
    }
}

impl ConvexSource {
    pub(super) fn survey(&self) -> Vec<String> {
        surprises(&self.name, &self.url, &self.key)
    }
}

/// Says that a key is missing or odd, or that others may read it on its way.
fn surprises(name: &SourceName, url: &str, key: &Secret) -> Vec<String> {
    let missing =
        key.reveal().err().map(|error| format!("source '{name}': {error}; nothing is polled until it is there"));
    let origin = Origin { url: Some(url.to_owned()), ..Origin::default() };
    let is_near = attribute(&origin, &Given::default()).hosting == Hosting::SelfHosted;
    let plain = url.starts_with("http://") && !is_near;
    let plain = plain
        .then(|| format!("source '{name}': {url}: the key goes there in plain text; write https if it can be had"));
    let odd = key.surprise().map(|surprise| format!("source '{name}': {surprise}"));
    missing.into_iter().chain(odd).chain(plain).collect()
}

impl ProbeSection {
    pub(super) fn resolve(self) -> ProbeSource {
        ProbeSource {
            name: self.name,
            url: self.url,
            interval: self.interval.unwrap_or(DEFAULT_INTERVAL),
            deployment: self.deployment,
            hosting: self.hosting.map(|hosting| Declared { hosting, evidence: Evidence::Config }),
        }
    }

    pub(super) fn write(&self, lines: &mut Lines<'_>) -> fmt::Result {
        lines.heading("[[source.probe]]")?;
        let name = quoted(self.name.as_str());
        lines.setting("name", self.is_named.then(|| name.clone()), &name)?;
        lines.line("url", &quoted(&self.url))?;
        let interval = |interval| quoted(&written(interval));
        lines.setting("interval", self.interval.map(interval), &interval(DEFAULT_INTERVAL))?;
        lines.optional("deployment", self.deployment.as_deref().map(quoted), "as the address says")?;
        lines.optional("hosting", self.hosting.map(hosting), "as the address says")
    }
}

/// Says that several applications may look like one: no name is given, and no address tells it.
fn nameless<'p>(probes: impl Iterator<Item = (&'p SourceName, &'p str, &'p Option<String>)>) -> Option<String> {
    let nameless = probes.filter(|(_, url, deployment)| deployment.is_none() && named_by_url(url).is_none());
    let names: Vec<String> = nameless.map(|(name, ..)| format!("'{name}'")).collect();
    (names.len() > 1).then(|| {
        format!(
            "sources {}: no address tells their deployments' names; unless the applications do, all are shown as \
             'unknown'; give each a deployment",
            names.join(", ")
        )
    })
}

impl ProbeSection {
    pub(super) fn survey(probes: &[Self]) -> Option<String> {
        nameless(probes.iter().map(|probe| (&probe.name, &*probe.url, &probe.deployment)))
    }
}

impl ProbeSource {
    pub(super) fn survey(probes: &[Self]) -> Option<String> {
        nameless(probes.iter().map(|probe| (&probe.name, &*probe.url, &probe.deployment)))
    }
}

/// The variables that Convex's own tools take a key from: of a deployment in the cloud, and of one's own.
pub const DEPLOY_KEY: &str = "CONVEX_DEPLOY_KEY";
/// As [`DEPLOY_KEY`].
pub const ADMIN_KEY: &str = "CONVEX_SELF_HOSTED_ADMIN_KEY";

/// The deployment that the command line names, with the key that is there for it.
pub(super) fn typed(
    url: &Arc<str>,
    deployment: Option<String>,
    hosting: Option<Declared>,
    from: Start,
    others: &[ConvexSource],
) -> Result<ConvexSource, ConfigError> {
    let is_cloud = crate::attribute::named_by_url(url).is_some();
    // Where both are there, an address in the cloud wants the one, any other the other.
    let variables = if is_cloud { [DEPLOY_KEY, ADMIN_KEY] } else { [ADMIN_KEY, DEPLOY_KEY] };
    let is_set = |variable: &&str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let Some(variable) = variables.into_iter().find(is_set) else {
        return Err(ConfigError::Usage(format!(
            "--convex: no key; put one into {DEPLOY_KEY} (a deploy key) or {ADMIN_KEY} (self-hosted)"
        )));
    };
    let name = name_of(url, "");
    if others.iter().any(|other| other.name == name || other.url == *url) {
        return Err(ConfigError::Usage(format!(
            "--convex: the configuration polls {url} already, or calls another source '{name}'; name it in one place"
        )));
    }
    Ok(ConvexSource {
        name,
        url: Arc::clone(url),
        key: Secret::Env(variable.to_owned()),
        deployment,
        hosting,
        silent_after: None,
        from,
    })
}

/// Reads a deployment's address.
pub fn deployment_url(text: &str) -> Result<Arc<str>, String> {
    let url = address(text)?;
    match url.strip_suffix(".convex.site") {
        Some(name) => Err(format!("HTTP actions are served there, the log API is at {name}.convex.cloud")),
        None => Ok(url.into()),
    }
}

/// Reads the address of an application's HTTP actions. That of its deployment is taken for it, in the cloud.
pub fn actions_url(text: &str) -> Result<Arc<str>, String> {
    let url = address(text)?;
    let actions = url.strip_suffix(".convex.cloud").map(|name| format!("{name}.convex.site"));
    Ok(actions.unwrap_or(url).into())
}

/// An address without anything behind its path, and without a slash at the end.
fn address(text: &str) -> Result<String, String> {
    let shown = || text.escape_debug().to_string();
    let example = "write one as in https://happy-otter-123.convex.cloud or http://127.0.0.1:3210";
    let url = Url::parse(text).map_err(|error| format!("'{}' is no address ({error}); {example}", shown()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it may be a secret.
        return Err("an address does not hold a name or password; leave that out".to_owned());
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("'{}' is no address of HTTP; {example}", shown()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("'{}' has something behind its path; {example}", shown()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_people_copy() {
        let read = |text: &str| deployment_url(text).map(|url| url.to_string());
        assert_eq!(
            read("https://Happy-Otter-123.convex.cloud/").as_deref(),
            Ok("https://happy-otter-123.convex.cloud")
        );
        assert_eq!(read("http://127.0.0.1:3210").as_deref(), Ok("http://127.0.0.1:3210"));
        assert_eq!(read("http://[::1]:3210/base/").as_deref(), Ok("http://[::1]:3210/base"));
        assert!(read("https://happy-otter-123.convex.site").unwrap_err().contains("happy-otter-123.convex.cloud"));
        for wrong in ["", "happy-otter-123", "127.0.0.1:3210", "ftp://x/", "file:///etc", "http://x/?a", "http://x/#a"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let error = read("https://user:hunter2@x").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        let actions = |text: &str| actions_url(text).unwrap().to_string();
        assert_eq!(actions("https://a-b-1.convex.cloud"), "https://a-b-1.convex.site");
        assert_eq!(actions("http://127.0.0.1:3211/"), "http://127.0.0.1:3211");
    }

    #[test]
    fn a_key_in_plain_text_is_a_surprise_outside_ones_own_network() {
        let said = |url: &str| {
            let name = SourceName::parse("x").unwrap();
            surprises(&name, url, &Secret::Env("PATH".to_owned())).concat()
        };
        assert!(said("http://convex.example.com").contains("plain text"));
        assert!(said("http://happy-otter-123.convex.cloud").contains("plain text"));
        for fine in
            ["https://convex.example.com", "http://127.0.0.1:3210", "http://backend.internal", "http://10.0.0.5"]
        {
            assert_eq!(said(fine), "", "{fine}");
        }
    }

    #[test]
    fn several_probes_that_nobody_can_tell_apart_are_a_surprise() {
        let said = |probes: &[(&str, Option<&str>)]| {
            let named: Vec<_> =
                probes.iter().map(|(url, name)| (name_of(url, ""), url, name.map(str::to_owned))).collect();
            nameless(named.iter().map(|(name, url, deployment)| (name, **url, deployment))).unwrap_or_default()
        };
        let (one, other) = ("http://10.0.0.5:3211", "http://10.0.0.6:3211");
        let both = said(&[(one, None), ("https://happy-otter-123.convex.site", None), (other, None)]);
        assert!(both.contains("'10.0.0.5-3211', '10.0.0.6-3211'") && !both.contains("otter"), "{both}");
        assert_eq!(said(&[(one, None), (other, Some("quiet-lemur"))]), "");
        assert_eq!(said(&[(one, None)]), "");
    }

    #[test]
    fn a_source_without_a_name_is_called_after_its_address() {
        let name = |url: &str, prefix: &str| name_of(url, prefix).to_string();
        assert_eq!(name("https://happy-otter-123.convex.cloud", ""), "happy-otter-123.convex.cloud");
        assert_eq!(name("http://[::1]:3211/x", "probe-"), "probe----1--3211-x");
        assert_eq!(name(&format!("http://{}", "a".repeat(90)), ""), "a".repeat(64));
    }
}
