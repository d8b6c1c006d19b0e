//! `storagewatch report`.

use super::options::{Colors, Fallback, Jobs, Paths, Wanted, names, remedy};
use super::output::{self, Destination};
use super::progress::Progress;
use super::{Exit, say};
use crate::event::Outcome;
use crate::read::{self, Step};
use crate::report::terminal::Style;
use crate::report::{By, Detail, Granularity, Report, Reporter, Settings, Tallier};
use crate::source::saved::Input;
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What `report` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    paths: Paths,
    /// How the report is written
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Write to a file, which appears under its name when it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Count by time, function or cause instead of by deployment
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// How many events that need attention are listed
    #[arg(long, value_name = "N", default_value_t = 20)]
    failures: usize,
    /// End with exit status 1 if there is an event with one of these outcomes
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome)]
    fail_on: Vec<Outcome>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    fallback: Fallback,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    colors: Colors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Table,
    /// For a program
    Json,
    /// For a spreadsheet, a line a deployment
    Csv,
    /// For an incident's notes
    Markdown,
    /// For node_exporter's textfile collector
    Prometheus,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| format!("expected some of {}", Outcome::ALL.map(Outcome::as_str).join(", ")))
}

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    if options.by.is_some() && options.format == Format::Prometheus {
        anyhow::bail!("--by and --format prometheus do not go together; ask for json or csv");
    }
    if options.by.is_some() && cfg!(not(feature = "report")) {
        anyhow::bail!("--by needs the feature 'report', which this program was built without");
    }
    let destination = Destination::new(options.output.as_deref());
    let mut exit = Exit::Fine;
    let (inputs, unreadable) = options.paths.find("report", &mut exit)?;
    let settings = Settings {
        given: options.fallback.given(),
        filter: options.wanted.filter(),
        failures: options.failures,
        detail: detail(options),
    };
    let report = read(&inputs, unreadable, &settings, options, &mut exit);
    if report.undated > 0 {
        say(&format!("{} events without a time were left out, for a time was asked for", report.undated));
    }
    // Whoever has gone does not want the rest; what was found is found.
    match write(&report, options, &destination) {
        Err(error) if !super::is_closed_pipe(&error) => return Err(error),
        _ => {}
    }
    let found = report.count(&options.fail_on) > 0;
    Ok(if found { exit.max(Exit::Found) } else { exit })
}

/// What has to be counted for what is to be shown.
fn detail(options: &Options) -> Detail {
    let mut detail = Detail::default();
    match options.by {
        Some(by) => {
            detail.time = by.granularity();
            detail.function = by == By::Function;
            detail.cause = by == By::Cause;
        }
        None if options.format == Format::Table && cfg!(feature = "report") => {
            detail.time = Some(Granularity::Minute);
            detail.widens = true;
        }
        None => {}
    }
    detail
}

fn read(inputs: &[Input], unreadable: u64, settings: &Settings, options: &Options, exit: &mut Exit) -> Report {
    let sources = names(inputs);
    let total: Option<u64> = inputs.iter().map(Input::size).sum();
    let mut progress = Progress::new(total, false);
    let bytes = std::mem::take(&mut progress.read);
    let reading = read::Options {
        jobs: options.jobs.count(),
        live: false,
        everything: false,
        part: read::PART,
        progress: &bytes,
    };
    let mut reporter = Reporter::new(settings, &sources);
    reporter.note_unreadable(unreadable);
    read::read(inputs, &reading, || Tallier::new(settings), &mut |step| {
        match step {
            Step::Part { input, counts, part } => reporter.add(input, counts, part),
            Step::Ended { input, error, opened } => {
                if let Some(error) = error {
                    say(&format!("{}: {}", sources[input], remedy(error)));
                    *exit = Exit::Failed;
                } else if reporter.is_damaged() {
                    say(&format!(
                        "{}: a JSON body breaks off; what came before counts; fetch it again",
                        sources[input]
                    ));
                    *exit = Exit::Failed;
                }
                if opened {
                    reporter.end(error.is_some());
                } else {
                    reporter.note_unreadable(1);
                }
            }
        }
        progress.read.store(bytes.load(std::sync::atomic::Ordering::Relaxed), std::sync::atomic::Ordering::Relaxed);
        progress.show();
        true
    });
    progress.clear();
    reporter.finish()
}

fn write(report: &Report, options: &Options, destination: &Destination) -> anyhow::Result<()> {
    use crate::report::{json, markdown, metrics, spreadsheet};
    let style = Style { color: options.colors.wanted(destination), width: destination.width() };
    if let Some(by) = options.by {
        return write_groups(report, by, options.format, style, destination);
    }
    let text = match options.format {
        Format::Table => table(report, style)?,
        Format::Json => output::json_line(&json::report(report))?,
        Format::Csv => {
            let mut text = Vec::new();
            spreadsheet::write(report, &mut text)?;
            String::from_utf8(text)?
        }
        Format::Markdown => markdown::text(report),
        Format::Prometheus => metrics::text(report).context("the metrics could not be written")?,
    };
    if destination.is_terminal() && matches!(options.format, Format::Csv | Format::Prometheus) {
        let lines: Vec<String> = text.lines().map(crate::plain::safe).collect();
        return destination.write(&format!("{}\n", lines.join("\n")));
    }
    destination.write(&text)
}

#[cfg(feature = "report")]
fn table(report: &Report, style: Style) -> anyhow::Result<String> {
    let columns = usize::from(style.width).clamp(40, 160) - 36;
    let timeline = crate::report::frame::timeline(report, columns)?;
    Ok(crate::report::terminal::text(report, timeline.as_ref(), style))
}

#[cfg(not(feature = "report"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
fn table(report: &Report, style: Style) -> anyhow::Result<String> {
    Ok(crate::report::terminal::text(report, None, style))
}

#[cfg(feature = "report")]
fn write_groups(
    report: &Report,
    by: By,
    format: Format,
    style: Style,
    destination: &Destination,
) -> anyhow::Result<()> {
    use crate::report::group;
    let groups = crate::report::frame::group(report, by)?;
    let text = match format {
        Format::Json => output::json_line(&group::json(&groups, by))?,
        Format::Csv => group::csv(&groups, by)?,
        Format::Markdown => group::markdown(&groups, by),
        Format::Table | Format::Prometheus => crate::report::terminal::groups(&groups, by.as_str(), style),
    };
    destination.write(&text)
}

#[cfg(not(feature = "report"))]
fn write_groups(_: &Report, _: By, _: Format, _: Style, _: &Destination) -> anyhow::Result<()> {
    anyhow::bail!("--by needs the feature 'report', which this program was built without")
}
