//! What the configuration says of single deployments, and which of it holds for one.
//!
//! Enters a deployment's name; leaves the one rule that decides: an exact name before any pattern, then the longest
//! pattern, and of two as long as each other the one that stands first in the file.

use super::Config;
use crate::attribute::Evidence;
use crate::event::Hosting;
use crate::policy::Severity;
use glob::Pattern;
use std::time::Duration;

/// Where somebody said that a deployment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Where.
    pub hosting: Hosting,
    /// Who said so: [`Evidence::Config`] for the file, [`Evidence::Option`] for the command line.
    pub evidence: Evidence,
}

impl Declared {
    /// Whether the configuration says so, and not the command line.
    pub fn is_by_configuration(self) -> bool {
        self.evidence == Evidence::Config
    }
}

/// `[deployment."happy-*"]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentRule {
    /// Whose names it holds for.
    pub pattern: Pattern,
    /// Where they run.
    pub hosting: Option<Hosting>,
    /// Whether anything but direct access is a fault there, whatever is usual where they run.
    pub expect_direct: bool,
    /// How urgent their alerts are, whatever the policy says.
    pub severity: Option<Severity>,
    /// How long it must be quiet there until an alert is resolved.
    pub window: Option<Duration>,
}

impl DeploymentRule {
    /// The deployment's name, where it is for a single one.
    pub fn exact(&self) -> Option<&str> {
        (!self.pattern.as_str().contains(['*', '?', '['])).then(|| self.pattern.as_str())
    }
}

impl Config {
    /// The rule for a deployment: the exact name, else the longest pattern, else the first of those. It stands alone:
    /// what it leaves out is not filled in from another rule.
    pub fn rule_for(&self, deployment: &str) -> Option<&DeploymentRule> {
        let fitting = self.deployments.iter().enumerate().filter(|(_, rule)| rule.pattern.matches(deployment));
        fitting
            .max_by_key(|(at, rule)| (rule.exact().is_some(), rule.pattern.as_str().len(), std::cmp::Reverse(*at)))
            .map(|(_, rule)| rule)
    }

    /// Where a deployment runs as far as somebody said so: its rule, else what was said of the source.
    pub fn declared(&self, deployment: &str, source: Option<Declared>) -> Option<Declared> {
        let rule = self.rule_for(deployment).and_then(|rule| rule.hosting);
        rule.map(|hosting| Declared { hosting, evidence: Evidence::Config }).or(source)
    }

    /// The deployments that are known before anything was read, each once: those with a rule to their name, and those
    /// that a source is told it has.
    pub fn known_deployments(&self) -> Vec<(&str, Option<Declared>)> {
        let ruled = self.deployments.iter().filter_map(|rule| Some((rule.exact()?, None)));
        let files =
            self.sources.iter().filter_map(|source| Some((source.deployment.as_ref()?.literal()?, source.hosting)));
        let webhooks =
            self.webhooks.iter().filter_map(|webhook| Some((webhook.deployment.as_deref()?, webhook.hosting)));
        let stdin = self.stdin.iter().filter_map(|stdin| Some((stdin.deployment.as_deref()?, stdin.hosting)));
        let polled = self.convex.iter().filter_map(|source| Some((source.deployment.as_deref()?, source.hosting)));
        let mut known: Vec<(&str, Option<Declared>)> = Vec::new();
        // What a source says comes first, so that the first mention of a name has the most to say.
        for (name, source) in files.chain(webhooks).chain(stdin).chain(polled).chain(ruled) {
            if known.iter().all(|(seen, _)| *seen != name) {
                known.push((name, self.declared(name, source)));
            }
        }
        known
    }
}
