//! `storagewatch probe`.

use super::options::Fallback;
use super::output::{Destination, json_line};
use super::{Exit, say};
use crate::attribute::{Attribution, attribute};
use crate::config::remote;
use crate::plain::safe;
use crate::policy::Verdict;
use crate::probe::ask::{self, AskError, Blob};
use crate::probe::{Path, Probe, Tried};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// What `probe` takes.
#[derive(Args, Debug)]
#[command(
    mut_arg("deployment", |option| option.help("The deployment's name, where no address tells it")),
    mut_arg("hosting", |option| option
        .help("Where it runs: cloud, self_hosted or local; without it, the address says, as far as it does")),
)]
pub(super) struct Options {
    /// Where the application's HTTP actions are: https://NAME.convex.site, or one's own, usually on port 3211
    #[arg(value_name = "URL")]
    url: String,
    /// Read this blob; without it, a test blob is created
    #[arg(long, value_name = "ID", value_parser = storage_id)]
    storage_id: Option<String>,
    /// What has to work, whatever is usual where the application runs
    #[arg(long, value_name = "PATH")]
    expect: Option<Expected>,
    #[command(flatten)]
    fallback: Fallback,
    /// How the result is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    /// Direct access: then a detour over HTTP is a fault
    Direct,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// For a program
    Json,
}

/// What was found, and where.
struct Finding {
    url: Arc<str>,
    blob: Blob,
    was_created: bool,
    probe: Probe,
    place: Attribution,
    expects_direct: bool,
}

/// Runs the command: status 1 where the path that should work does not.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finding = runtime.block_on(find(options))?;
    let text = match options.format {
        Format::Text => finding.text(),
        Format::Json => json_line(&finding.json())?,
    };
    Destination::Stdout.write(&text)?;
    Ok(match finding.verdict() {
        Verdict::Investigate | Verdict::Degraded => Exit::Found,
        _ => Exit::Fine,
    })
}

async fn find(options: &Options) -> anyhow::Result<Finding> {
    // Not checked where words are: a mistake there is repeated, and an address may hold a secret.
    let url = remote::actions_url(&options.url).map_err(|what| anyhow!(what))?;
    let client = crate::fetch::client().context("no HTTP client")?;
    let (blob, was_created) = match &options.storage_id {
        Some(id) => (Blob { id: id.clone(), size_bytes: None }, false),
        None => (ask::make(&client, &url).await?, true),
    };
    if was_created {
        say(&format!("created the test blob {}; --storage-id {0} reads it again", blob.id));
    }
    let (probe, doubt) = match ask::test(&client, &url, &blob).await {
        Ok(probe) => (probe, None),
        Err(AskError::Partial { url, mut partial }) => match partial.probe.take() {
            Some(probe) => (*probe, Some(AskError::Partial { url, partial })),
            None => return Err(AskError::Partial { url, partial }.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let given = options.fallback.given();
    let place = attribute(&probe.origin(&url, &given), &given);
    let expects_direct = options.expect == Some(Expected::Direct);
    // What is not known of the detour does not matter where there should be none.
    if let Some(doubt) = doubt.filter(|_| probe.direct.success || !Probe::must_be_direct(&place, expects_direct)) {
        return Err(doubt.into());
    }
    Ok(Finding { url, blob, was_created, probe, place, expects_direct })
}

impl Finding {
    fn verdict(&self) -> Verdict {
        self.probe.verdict(&self.place, self.expects_direct)
    }

    fn text(&self) -> String {
        let place = &self.place;
        let mut text = format!(
            "{}  {}\n  deployment  {}\n  hosting     {}, by {}\n  blob        {}{}\n",
            self.url,
            self.verdict().as_str(),
            safe(&place.deployment),
            place.hosting,
            place.evidence.as_str(),
            safe(&self.blob.id),
            if self.was_created { ", created for this" } else { "" },
        );
        for path in Path::ALL {
            let tried = self.probe.tried(path);
            // Writing into a String does not fail.
            let _ = writeln!(text, "  {:<10}  {}", path.as_str(), summary(tried));
            for (name, said) in [("error", &tried.error), ("cause", &tried.cause)] {
                if let Some(said) = said.as_ref().filter(|_| !tried.success) {
                    let _ = writeln!(text, "      {name}   {}", safe(said));
                }
            }
        }
        for advice in self.probe.advice(place.hosting, self.expects_direct) {
            let _ = writeln!(text, "{advice}");
        }
        text
    }

    fn json(&self) -> Value {
        let path = |path: Path| {
            let tried = self.probe.tried(path);
            let value = json!({
                "success": (!tried.untested).then_some(tried.success),
                "cause": tried.class().map(crate::event::Cause::as_str),
                "error": tried.error,
                "error_cause": tried.cause,
                "size_bytes": tried.size_bytes,
                "duration_seconds": tried.duration.map(|duration| duration.as_secs_f64()),
            });
            (path.as_str().to_owned(), value)
        };
        json!({
            "storagewatch": env!("CARGO_PKG_VERSION"),
            "url": &*self.url,
            "deployment": &*self.place.deployment,
            "hosting": self.place.hosting.as_str(),
            "evidence": self.place.evidence.as_str(),
            "storage_id": self.blob.id,
            "created": self.was_created,
            "paths": Path::ALL.map(path).into_iter().collect::<Map<_, _>>(),
            "outcome": self.probe.outcome().as_str(),
            "verdict": self.verdict().as_str(),
            "advice": self.probe.advice(self.place.hosting, self.expects_direct),
        })
    }
}

fn summary(tried: &Tried) -> String {
    if tried.untested {
        return "the application does not say".to_owned();
    }
    if let Some(cause) = tried.class() {
        return format!("does not work: {cause}");
    }
    let size = tried.size_bytes.map(|size| format!(", {size} bytes")).unwrap_or_default();
    let time = tried.duration.map(|time| format!(" in {} ms", time.as_millis())).unwrap_or_default();
    format!("works{size}{time}")
}

fn storage_id(text: &str) -> Result<String, String> {
    if ask::is_id(text) {
        return Ok(text.to_owned());
    }
    Err("expected the id that the application calls storageId".to_owned())
}
