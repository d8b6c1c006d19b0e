//! Options that read the same in every command that has them.

use super::{Exit, output, say};
use crate::attribute::Given;
use crate::event::{Hosting, Timestamp};
use crate::filter::{Filter, Only};
use crate::source::saved::{self, Input};
use anyhow::bail;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::sync::Arc;

/// What to read.
#[derive(Args, Debug)]
pub(super) struct Paths {
    /// Files, directories, patterns such as '*.log', or '-' for standard input. What is compressed with gzip or zstd is
    /// read as it is. Without any, standard input is read.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

impl Paths {
    /// Finds what to read, and how much of what was named cannot be: that is said, and spoils the exit status.
    pub(super) fn find(&self, command: &str, exit: &mut Exit) -> anyhow::Result<(Vec<Input>, u64)> {
        if self.paths.is_empty() {
            if std::io::stdin().is_terminal() {
                bail!(
                    "nothing to read: name files or directories, as in 'storagewatch {command} /var/log/convex', or pipe a log in"
                );
            }
            return Ok((vec![Input::Stdin], 0));
        }
        let found = saved::find(&self.paths);
        for problem in &found.problems {
            say(&match problem {
                saved::Problem::Unreadable { path, error } => format!("{path}: {}", remedy(error)),
                other => other.to_string(),
            });
            *exit = Exit::Failed;
        }
        for (path, first) in &found.same {
            say(&format!("{}: the same file as {}, read once", path.display(), first.display()));
        }
        Ok((found.inputs, found.problems.len() as u64))
    }
}

/// An error of the system's, with what to do about it.
pub(super) fn remedy(error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "no such file or directory; check the path".to_owned(),
        Kind::PermissionDenied => "permission denied; run as a user who may read it".to_owned(),
        Kind::UnexpectedEof => {
            format!("it breaks off ({error}); what came before counts; fetch the file again")
        }
        Kind::InvalidData | Kind::InvalidInput | Kind::Other => {
            format!("it is damaged ({error}); what came before counts; fetch the file again")
        }
        _ => error.to_string(),
    }
}

/// The names of inputs.
pub(super) fn names(inputs: &[Input]) -> Vec<Arc<str>> {
    inputs.iter().map(|input| Arc::from(input.name().as_str())).collect()
}

/// How many inputs are read at once.
#[derive(Args, Debug)]
pub(super) struct Jobs {
    /// How many threads read [default: one a core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

impl Jobs {
    pub(super) fn count(&self) -> usize {
        self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// What holds for records that say nothing themselves.
#[derive(Args, Debug)]
pub(super) struct Fallback {
    /// The deployment of records that name none; it never overrides one that does
    #[arg(long, value_name = "NAME", value_parser = deployment_name)]
    deployment: Option<String>,
    /// Where deployments run whose records do not say: cloud, self_hosted or local
    #[arg(long, value_name = "HOSTING")]
    hosting: Option<HostingName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum HostingName {
    Cloud,
    #[value(alias = "self-hosted")]
    SelfHosted,
    Local,
}

impl Fallback {
    pub(super) fn given(&self) -> Given {
        Given {
            deployment: self.deployment.clone(),
            hosting: self.hosting.map(|hosting| match hosting {
                HostingName::Cloud => Hosting::Cloud,
                HostingName::SelfHosted => Hosting::SelfHosted,
                HostingName::Local => Hosting::Local,
            }),
        }
    }
}

fn deployment_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err("a deployment's name has 1 to 200 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Which events are wanted.
#[derive(Args, Debug)]
pub(super) struct Wanted {
    /// Only events from this time on: RFC 3339, a day (2026-11-23), or how long ago (2h, 30m, 7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only events whose column fits a pattern, as in deployment=happy-* (repeatable: patterns on one column are
    /// alternatives, different columns must all fit)
    #[arg(long, value_name = "COLUMN=PATTERN")]
    only: Vec<Only>,
}

impl Wanted {
    pub(super) fn filter(&self) -> Filter {
        Filter::new(self.since, self.until, self.only.clone())
    }
}

/// Reads a time as people write it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(time.as_millisecond()));
    }
    if text.len() == "2026-11-23".len()
        && let Ok(day) = text.parse::<jiff::civil::Date>()
        && let Ok(start) = day.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(Timestamp(start.timestamp().as_millisecond()));
    }
    let span = text.parse::<jiff::Span>().ok().filter(|span| span.signum() > 0).ok_or_else(|| {
        "expected a time such as 2026-11-23T08:27:21Z, a day such as 2026-11-23, or how long ago, such as 2h".to_owned()
    })?;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let then = now.checked_sub(span).map_err(|error| error.to_string())?;
    Ok(Timestamp(then.timestamp().as_millisecond()))
}

/// When colours are used.
#[derive(Args, Debug)]
pub(super) struct Colors {
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Colors {
    pub(super) fn wanted(&self, destination: &output::Destination) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                destination.is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}
