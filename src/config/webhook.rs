//! `[[source.webhook]]`: who may post what to `/ingest/NAME`.
//!
//! Enters a section of the file; leaves a [`WebhookSource`], its secrets by reference only.

use super::Declared;
use super::document::{Section, Wrong};
use super::file::{SILENCES, source_name};
use super::printed::{Lines, hosting, quoted};
use super::values::{self, DeploymentTemplate, SourceName, parsed, size_within, written_size};
use crate::attribute::Evidence;
use crate::event::Hosting;
use crate::secret::{self, Secret, SecretError};
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// Where webhooks are taken in unless something else is said: what makes them reachable stands in front.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10_046);

/// How large a body may be: 128 events of Convex are a tenth of a megabyte as a rule, and some are large.
const DEFAULT_MAX_BODY: usize = 16 << 20;

/// How large a body may be allowed to be: the decoder's own bound, and what the smallest batches need.
const MAX_BODIES: RangeInclusive<usize> = 64 << 10..=crate::scan::MAX_BODY;

/// A webhook that is taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSource {
    /// Its name in metrics and events, and in its path.
    pub name: SourceName,
    /// What bodies are signed with: any of these.
    pub secrets: Vec<Secret>,
    /// What is presented in place of a signature: any of these.
    pub keys: Vec<Secret>,
    /// Whether anybody may post anything.
    pub allow_unsigned: bool,
    /// The deployment of records that name none.
    pub deployment: Option<String>,
    /// Where its deployments run.
    pub hosting: Option<Declared>,
    /// After how long without a body it counts as silent; without it, it never does.
    pub silent_after: Option<Duration>,
    /// How large a body may be, in bytes.
    pub max_body: usize,
}

/// What the secrets and keys of a webhook are.
pub struct Opened {
    /// The secrets.
    pub secrets: Vec<secret::Revealed>,
    /// The keys.
    pub keys: Vec<secret::Revealed>,
}

impl WebhookSource {
    /// Reads the secrets and the keys.
    pub fn open(&self) -> Result<Opened, SecretError> {
        let reveal = |secrets: &[Secret]| secrets.iter().map(Secret::reveal).collect::<Result<_, _>>();
        Ok(Opened { secrets: reveal(&self.secrets)?, keys: reveal(&self.keys)? })
    }

    /// What would surprise.
    pub(super) fn survey(&self, listen: SocketAddr) -> Vec<String> {
        let name = &self.name;
        let all = self.secrets.iter().chain(&self.keys);
        let missing = all.filter_map(|secret| secret.reveal().err());
        let missing = missing.map(|error| format!("source '{name}': {error}; it does not start without"));
        missing.chain(self.surprises()).chain(self.warning(listen)).collect()
    }

    /// What would surprise in its secrets that are there.
    pub(super) fn surprises(&self) -> impl Iterator<Item = String> {
        let said = self.secrets.iter().chain(&self.keys).filter_map(Secret::surprise);
        said.map(|surprise| format!("source '{}': {surprise}", self.name))
    }

    /// What is dangerous.
    pub(super) fn warning(&self, listen: SocketAddr) -> Option<String> {
        let name = &self.name;
        self.allow_unsigned.then(|| {
            format!(
                "source '{name}': ALLOWS UNSIGNED BODIES: whoever reaches http://{listen}/ingest/{name} can make up counts and alerts; give it secrets or keys"
            )
        })
    }
}

/// `[[source.webhook]]` as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WebhookSection {
    name: SourceName,
    secrets: Vec<Secret>,
    keys: Vec<Secret>,
    allow_unsigned: Option<bool>,
    deployment: Option<String>,
    hosting: Option<Hosting>,
    silent_after: Option<Duration>,
    max_body: Option<usize>,
}

impl WebhookSection {
    pub(super) const KEYS: [&str; 8] =
        ["name", "secrets", "keys", "allow_unsigned", "deployment", "hosting", "silent_after", "max_body"];

    pub(super) fn parse(
        section: &Section<'_>,
        directory: &Path,
        names: &mut HashSet<SourceName>,
    ) -> Result<Self, Wrong> {
        let name = source_name(section, "\"cloud\"", names)?;
        if matches!(name.as_str(), "." | "..") {
            let what = format!("name: '{name}' cannot be part of a path; choose another name");
            return Err(section.wrong("name", what));
        }
        let secret = |value: &_| Secret::parse(values::text(value)?, directory);
        let parsed_section = Self {
            name,
            secrets: section.each_if_there("secrets", "[\"env:CONVEX_WEBHOOK_SECRET\"]", secret)?,
            keys: section.each_if_there("keys", "[\"env:INGEST_KEY\"]", secret)?,
            allow_unsigned: section.get("allow_unsigned", values::boolean)?,
            deployment: section.get("deployment", parsed(literal))?,
            hosting: section.get("hosting", values::hosting)?,
            silent_after: section.get("silent_after", parsed(|text| values::duration_within(text, &SILENCES)))?,
            max_body: section.get("max_body", parsed(|text| size_within(text, &MAX_BODIES)))?,
        };
        let Self { secrets, keys, allow_unsigned, .. } = &parsed_section;
        if secrets.is_empty() && keys.is_empty() && *allow_unsigned != Some(true) {
            return Err(section.lacks(
                "has no secrets; add what Convex signs with, as in secrets = [\"env:CONVEX_WEBHOOK_SECRET\"], or what forwarders present, as in keys = [\"env:INGEST_KEY\"]",
            ));
        }
        Ok(parsed_section)
    }

    pub(super) fn resolve(self) -> WebhookSource {
        WebhookSource {
            name: self.name,
            secrets: self.secrets,
            keys: self.keys,
            allow_unsigned: self.allow_unsigned.unwrap_or(false),
            deployment: self.deployment,
            hosting: self.hosting.map(|hosting| Declared { hosting, evidence: Evidence::Config }),
            silent_after: self.silent_after,
            max_body: self.max_body.unwrap_or(DEFAULT_MAX_BODY),
        }
    }

    pub(super) fn write(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let list = |secrets: &[Secret]| {
            let quoted: Vec<String> = secrets.iter().map(|secret| quoted(&secret.to_string())).collect();
            (!quoted.is_empty()).then(|| format!("[{}]", quoted.join(", ")))
        };
        lines.heading("[[source.webhook]]")?;
        lines.line("name", &quoted(self.name.as_str()))?;
        lines.optional("secrets", list(&self.secrets), "signatures count for nothing")?;
        lines.optional("keys", list(&self.keys), "no key is accepted in place of a signature")?;
        lines.setting("allow_unsigned", self.allow_unsigned.map(|yes| yes.to_string()), "false")?;
        lines.optional("deployment", self.deployment.as_deref().map(quoted), "as the records say")?;
        lines.optional("hosting", self.hosting.map(hosting), "as the records say")?;
        lines.silence(self.silent_after)?;
        let max_body = |size: usize| quoted(&written_size(size));
        lines.setting("max_body", self.max_body.map(max_body), &max_body(DEFAULT_MAX_BODY))
    }
}

/// A deployment's name, in full.
fn literal(text: &str) -> Result<String, String> {
    let template = DeploymentTemplate::parse(text)?;
    let name =
        template.literal().ok_or("a webhook has no file's name to fill in; give the deployment's name in full")?;
    Ok(name.to_owned())
}
