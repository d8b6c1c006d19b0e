//! Whose event it is: the deployment, where it runs, and the evidence for that.
//!
//! Enters what a record says of its origin, what a banner above it said, and what the caller gave; leaves an
//! [`Attribution`]. The first rule that applies decides, in the order of [`Evidence`].

use crate::decode::{Banner, host_of};
use crate::event::{Hosting, Origin, UNKNOWN_DEPLOYMENT};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Which rule decided where a deployment runs, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The configuration says so.
    Config,
    /// The deployment itself said so.
    DeploymentInfo,
    /// A type is stated, which only Convex Cloud does.
    DeploymentType,
    /// The region.
    DeploymentRegion,
    /// The option `--hosting`.
    Option,
    /// A name that only local or self-hosted backends bear.
    Name,
    /// The deployment's address.
    Url,
    /// A `convex` object without type and project.
    ConvexObject,
    /// The prefix of a deploy key.
    Key,
    /// A name of the shape that Convex Cloud gives.
    NameShape,
    /// Nothing.
    None,
}

impl Evidence {
    /// Every rule, the strongest first.
    pub const ALL: [Self; 11] = [
        Self::Config,
        Self::DeploymentInfo,
        Self::DeploymentType,
        Self::DeploymentRegion,
        Self::Option,
        Self::Name,
        Self::Url,
        Self::ConvexObject,
        Self::Key,
        Self::NameShape,
        Self::None,
    ];

    /// The text in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::DeploymentInfo => "deployment_info",
            Self::DeploymentType => "deployment_type",
            Self::DeploymentRegion => "deployment_region",
            Self::Option => "option",
            Self::Name => "name",
            Self::Url => "url",
            Self::ConvexObject => "convex_object",
            Self::Key => "key",
            Self::NameShape => "name_shape",
            Self::None => "none",
        }
    }
}

/// What the caller says of records that say nothing themselves.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Their deployment.
    pub deployment: Option<String>,
    /// Where it runs.
    pub hosting: Option<Hosting>,
}

/// A deployment, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attribution {
    /// The deployment's name, or `unknown`.
    pub deployment: Arc<str>,
    /// Where it runs.
    pub hosting: Hosting,
    /// What decided that.
    pub evidence: Evidence,
    /// `prod`, `dev`, `preview` or `custom`.
    pub deployment_type: Option<String>,
    /// The project.
    pub project: Option<String>,
}

impl Attribution {
    /// Whether nothing says which deployment it is.
    pub fn is_unknown(&self) -> bool {
        &*self.deployment == UNKNOWN_DEPLOYMENT
    }
}

/// Attributes a record by what it says itself and what the caller gave.
pub fn attribute(origin: &Origin, given: &Given) -> Attribution {
    let name = origin.deployment.as_deref().or(given.deployment.as_deref());
    let (hosting, evidence) = place(origin, name, given.hosting);
    Attribution {
        deployment: Arc::from(name.unwrap_or(UNKNOWN_DEPLOYMENT)),
        hosting,
        evidence,
        deployment_type: origin.deployment_type.clone(),
        project: origin.project.clone(),
    }
}

fn place(origin: &Origin, name: Option<&str>, option: Option<Hosting>) -> (Hosting, Evidence) {
    let is_local = name.is_some_and(|name| name.starts_with("local-") || name.starts_with("anonymous-"));
    match origin.answered {
        // The command-line client starts the same backend.
        Some(Hosting::SelfHosted) if is_local => return (Hosting::Local, Evidence::DeploymentInfo),
        Some(hosting) => return (hosting, Evidence::DeploymentInfo),
        None => {}
    }
    if origin.deployment_type.is_some() {
        return (Hosting::Cloud, Evidence::DeploymentType);
    }
    if let Some(region) = &origin.region {
        let hosting = match (region.as_str(), is_local) {
            ("local", true) => Hosting::Local,
            ("local", false) => Hosting::SelfHosted,
            _ => Hosting::Cloud,
        };
        return (hosting, Evidence::DeploymentRegion);
    }
    if let Some(hosting) = option {
        return (hosting, Evidence::Option);
    }
    if is_local {
        return (Hosting::Local, Evidence::Name);
    }
    if matches!(name, Some("convex-self-hosted" | "carnitas")) {
        return (Hosting::SelfHosted, Evidence::Name);
    }
    if let Some(hosting) = origin.url.as_deref().and_then(hosting_of_url) {
        return (hosting, Evidence::Url);
    }
    if origin.unregistered {
        return (Hosting::SelfHosted, Evidence::ConvexObject);
    }
    if origin.has_cloud_key {
        return (Hosting::Cloud, Evidence::Key);
    }
    if name.is_some_and(has_cloud_shape) {
        return (Hosting::Cloud, Evidence::NameShape);
    }
    (Hosting::Unknown, Evidence::None)
}

/// Where an address says that a deployment runs. Custom domains say nothing.
fn hosting_of_url(url: &str) -> Option<Hosting> {
    let host = host_of(url);
    let within = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if within("convex.cloud") || within("convex.site") {
        return Some(Hosting::Cloud);
    }
    let private = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
        Err(_) => host == "localhost" || ["localhost", "loc", "local", "internal"].into_iter().any(within),
    };
    private.then_some(Hosting::SelfHosted)
}

/// The deployment that an address in Convex Cloud names: `https://happy-otter-123.convex.cloud`.
pub(crate) fn named_by_url(url: &str) -> Option<String> {
    let host = host_of(url);
    let name = host.strip_suffix(".convex.cloud").or_else(|| host.strip_suffix(".convex.site"))?.split('.').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `adjective-animal-123`: what Convex Cloud calls its deployments. Anybody may choose such a name.
fn has_cloud_shape(name: &str) -> bool {
    let mut parts = name.split('-');
    let (Some(adjective), Some(animal), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    word(adjective) && word(animal) && number.len() >= 3 && number.bytes().all(|b| b.is_ascii_digit())
}

/// The banners that stood above the records of one input, by the stream they stood in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Banners {
    #[serde(with = "pairs")]
    latest: HashMap<Option<Arc<str>>, Banner>,
}

/// Streams whose banners are remembered at the most.
const MAX_BANNERS: usize = 256;

impl Banners {
    /// Notes a banner: an address begins anew, a name adds to the address above it.
    pub fn note(&mut self, lane: Option<Arc<str>>, banner: Banner) {
        if self.latest.len() >= MAX_BANNERS && !self.latest.contains_key(&lane) {
            return;
        }
        let latest = self.latest.entry(lane).or_default();
        if banner.url.is_some() {
            *latest = banner;
        } else {
            latest.deployment = banner.deployment;
        }
    }

    /// Whether none was noted.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// What a record says, with what the banner above it said where it says nothing.
    pub fn complete(&self, origin: &Arc<Origin>) -> Arc<Origin> {
        if origin.deployment.is_some() {
            return Arc::clone(origin);
        }
        match self.latest.get(&origin.lane) {
            Some(banner) => Arc::new(Origin {
                deployment: banner.deployment.clone(),
                url: banner.url.clone(),
                ..Origin::clone(origin)
            }),
            None => Arc::clone(origin),
        }
    }
}

/// Banners as a list of pairs in JSON, whose maps cannot have a key that is no text.
mod pairs {
    use super::Banner;
    use serde::de::{MapAccess, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};
    use std::collections::HashMap;
    use std::fmt;
    use std::sync::Arc;

    type Latest = HashMap<Option<Arc<str>>, Banner>;

    pub(super) fn serialize<S: Serializer>(latest: &Latest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(latest)
    }

    /// Reads pairs, or a map as it was written before there were pairs.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Latest, D::Error> {
        deserializer.deserialize_any(Either)
    }

    struct Either;

    impl<'de> Visitor<'de> for Either {
        type Value = Latest;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("banners by their streams")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Latest, A::Error> {
            let mut latest = Latest::new();
            while let Some((lane, banner)) = pairs.next_element()? {
                latest.insert(lane, banner);
            }
            Ok(latest)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Latest, A::Error> {
            let mut latest = Latest::new();
            while let Some((lane, banner)) = map.next_entry()? {
                latest.insert(Some(lane), banner);
            }
            Ok(latest)
        }
    }
}

/// What is known of each deployment so far: the strongest evidence decides for what comes after it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    strongest: HashMap<Arc<str>, (Evidence, Hosting)>,
}

/// Deployments whose evidence is remembered at the most.
const MAX_KNOWN: usize = 100_000;

impl Known {
    /// Takes up what was known before.
    pub fn learn(&mut self, deployment: Arc<str>, evidence: Evidence, hosting: Hosting) {
        self.strongest.insert(deployment, (evidence, hosting));
    }

    /// Applies what is known to an attribution, and learns from it: true if that changed what is known.
    pub fn settle(&mut self, attribution: &mut Attribution) -> bool {
        if attribution.is_unknown() {
            return false;
        }
        let said = (attribution.evidence, attribution.hosting);
        if let Some(known) = self.strongest.get_mut(&attribution.deployment) {
            if known.0 <= said.0 {
                (attribution.evidence, attribution.hosting) = *known;
                return false;
            }
            *known = said;
            return true;
        }
        if self.strongest.len() < MAX_KNOWN {
            self.strongest.insert(Arc::clone(&attribution.deployment), said);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origin: Origin, option: Option<Hosting>, hosting: Hosting, evidence: Evidence) {
        let given = Given { deployment: None, hosting: option };
        let found = attribute(&origin, &given);
        assert_eq!((found.hosting, found.evidence), (hosting, evidence), "{origin:?}");
    }

    fn named(name: &str) -> Origin {
        Origin { deployment: Some(name.to_owned()), ..Origin::default() }
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let region = |region: &str, name: &str| Origin { region: Some(region.to_owned()), ..named(name) };
        let url = |url: &str| Origin { url: Some(url.to_owned()), ..Origin::default() };
        let typed = Origin { deployment_type: Some("dev".to_owned()), ..region("local", "local-x") };
        check(typed, Some(Hosting::Local), Hosting::Cloud, Evidence::DeploymentType);
        check(region("aws-us-east-1", "x"), Some(Hosting::Local), Hosting::Cloud, Evidence::DeploymentRegion);
        check(region("local", "happy-otter-123"), None, Hosting::SelfHosted, Evidence::DeploymentRegion);
        check(region("local", "anonymous-agent"), None, Hosting::Local, Evidence::DeploymentRegion);
        check(named("local-a-b"), Some(Hosting::Cloud), Hosting::Cloud, Evidence::Option);
        check(named("local-a-b"), None, Hosting::Local, Evidence::Name);
        check(named("carnitas"), None, Hosting::SelfHosted, Evidence::Name);
        check(url("https://happy.convex.cloud"), None, Hosting::Cloud, Evidence::Url);
        check(url("https://happy.eu-west-1.convex.site/x"), None, Hosting::Cloud, Evidence::Url);
        check(url("http://mark.convex.cloud.loc"), None, Hosting::SelfHosted, Evidence::Url);
        check(url("http://127.0.0.1:3210"), None, Hosting::SelfHosted, Evidence::Url);
        check(url("http://[::1]:3210"), None, Hosting::SelfHosted, Evidence::Url);
        check(url("https://172.20.0.3"), None, Hosting::SelfHosted, Evidence::Url);
        check(url("https://convex.example.com"), None, Hosting::Unknown, Evidence::None);
        check(url("https://notconvex.cloud"), None, Hosting::Unknown, Evidence::None);
        let object = Origin { unregistered: true, ..named("happy-otter-123") };
        check(object, None, Hosting::SelfHosted, Evidence::ConvexObject);
        check(named("happy-otter-123"), None, Hosting::Cloud, Evidence::NameShape);
        let answered = |hosting, name| Origin { answered: Some(hosting), ..region("local", name) };
        check(answered(Hosting::Cloud, "x"), Some(Hosting::Local), Hosting::Cloud, Evidence::DeploymentInfo);
        check(answered(Hosting::SelfHosted, "happy-otter-123"), None, Hosting::SelfHosted, Evidence::DeploymentInfo);
        check(answered(Hosting::SelfHosted, "anonymous-x"), None, Hosting::Local, Evidence::DeploymentInfo);
        let keyed = |url: &str| Origin { has_cloud_key: true, url: Some(url.to_owned()), ..named("x") };
        check(keyed("https://convex.example.com"), None, Hosting::Cloud, Evidence::Key);
        check(keyed("http://10.0.0.5:3210"), None, Hosting::SelfHosted, Evidence::Url);
        check(named("artifact-review-local"), None, Hosting::Unknown, Evidence::None);
        check(Origin::default(), None, Hosting::Unknown, Evidence::None);
    }

    #[test]
    fn an_address_in_the_cloud_names_its_deployment() {
        let named = |url| named_by_url(url).unwrap_or_default();
        assert_eq!(named("https://happy-otter-123.convex.cloud"), "happy-otter-123");
        assert_eq!(named("https://happy-otter-123.eu-west-1.convex.site/x"), "happy-otter-123");
        assert_eq!(named("http://mark.convex.cloud.loc"), "");
        assert_eq!(named("https://convex.cloud"), "");
    }

    #[test]
    fn stronger_evidence_holds_for_what_follows() {
        let mut known = Known::default();
        let mut settle = |mut attribution: Attribution| {
            known.settle(&mut attribution);
            attribution.hosting
        };
        let given = Given::default();
        let weak = attribute(&named("happy-otter-123"), &given);
        let strong = attribute(&Origin { region: Some("local".to_owned()), ..named("happy-otter-123") }, &given);
        assert_eq!(settle(weak.clone()), Hosting::Cloud);
        assert_eq!(settle(strong), Hosting::SelfHosted);
        assert_eq!(settle(weak), Hosting::SelfHosted);
    }

    #[test]
    fn a_banner_names_what_follows_in_its_stream() {
        let mut banners = Banners::default();
        let lane: Option<Arc<str>> = Some("a-1".into());
        banners.note(lane.clone(), Banner { url: Some("http://127.0.0.1:3210".to_owned()), deployment: None });
        banners.note(lane.clone(), Banner { url: None, deployment: Some("local-x".to_owned()) });
        let complete = |origin: Origin| banners.complete(&Arc::new(origin));
        let inside = complete(Origin { lane, ..Origin::default() });
        assert_eq!((inside.deployment.as_deref(), inside.url.is_some()), (Some("local-x"), true));
        assert_eq!(complete(Origin::default()).deployment, None);
        assert_eq!(complete(named("other")).deployment.as_deref(), Some("other"));
    }

    #[test]
    fn banners_are_kept_with_and_without_a_stream() {
        let banner = |name: &str| Banner { url: None, deployment: Some(name.to_owned()) };
        let mut banners = Banners::default();
        banners.note(None, banner("a"));
        banners.note(Some("b-1".into()), banner("b"));
        let kept = serde_json::to_string(&banners).unwrap();
        let again: Banners = serde_json::from_str(&kept).unwrap();
        assert_eq!(again.latest, banners.latest);
        let older = r#"{"latest":{"b-1":{"url":null,"deployment":"b"}}}"#;
        let older: Banners = serde_json::from_str(older).unwrap();
        assert_eq!(older.latest, HashMap::from([(Some("b-1".into()), banner("b"))]));
    }
}
