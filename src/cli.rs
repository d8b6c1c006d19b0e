//! The command line: what can be typed, and what a command's end means to the shell.

mod check;
mod events;
mod explain;
mod options;
mod output;
mod print;
mod probe;
mod progress;
mod report;
mod watch;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It did its work.
    Fine,
    /// What was looked for was found.
    Found,
    /// It could not do all of its work.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Found => Self::from(1),
            Exit::Failed => Self::from(2),
        }
    }
}

/// Counts how Convex applications read their stored blobs, in whatever log the messages reach.
///
/// Each read logs "Storage access: direct", "Storage access: http-fallback" or "Storage access: direct-failed". In
/// Convex Cloud direct access must work; self-hosted, the HTTP fallback is usual; a failure wants a person at once.
#[derive(Debug, Parser)]
#[command(name = "storagewatch", version, max_term_width = 110, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Summarise saved logs: what happened where, what it means, and what to do.
    Report(report::Options),
    /// Write the events themselves: NDJSON, CSV or Parquet.
    Events(events::Options),
    /// Show for each line how it was read, and why it counted or did not.
    Explain(explain::Options),
    /// Follow logs as they are written, and serve what they say as metrics.
    Watch(watch::Options),
    /// Try both ways to a blob through the application's own diagnostic endpoints, and say which works.
    Probe(probe::Options),
    /// Check a configuration file, and print it with every default written out.
    Check(check::Options),
    /// Print what belongs to the program: a configuration, a service, rules, a dashboard, completions, manual pages.
    Print(print::Options),
}

/// What can be typed. A variable that is set to nothing counts as unset: compose files write such.
fn what_can_be_typed() -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let without_empty = move |arg: clap::Arg| {
        if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg }
    };
    let mut command = Arguments::command();
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |command| command.mut_args(without_empty));
    }
    command
}

/// Runs the command that was typed.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let typed: Vec<OsString> = arguments.into_iter().collect();
    let parsed =
        what_can_be_typed().try_get_matches_from(&typed).and_then(|matches| Arguments::from_arg_matches(&matches));
    let command = match parsed {
        Ok(arguments) => arguments.command,
        Err(error) => return usage(&error, &typed),
    };
    let result = match command {
        Command::Report(options) => report::run(&options),
        Command::Events(options) => events::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Watch(options) => watch::run(&options),
        Command::Probe(options) => probe::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Print(options) => print::run(&options),
    };
    match result {
        Ok(exit) => exit,
        Err(error) if is_closed_pipe(&error) => Exit::Fine,
        Err(error) => {
            say(&format!("{error:#}"));
            Exit::Failed
        }
    }
}

/// Says something to the person, beside the product on standard output.
fn say(text: &str) {
    // Nobody is left to be told if this fails.
    let _ = writeln!(io::stderr(), "storagewatch: {}", crate::plain::safe(text));
}

/// Whether an error only says that the reader of our output has gone.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause.to_string().contains("Broken pipe")
    })
}

/// Prints help where it was asked for; a mistake becomes one line that names it and what to do.
fn usage(error: &clap::Error, typed: &[OsString]) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Fine;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return Exit::Failed;
    }
    let text = error.render().to_string();
    let mistake: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let mistake = mistake.join(" ");
    let mistake = mistake.strip_prefix("error: ").unwrap_or(&mistake);
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).filter(|tip| tip.contains("similar"));
    let commands = Arguments::command();
    let command = typed.get(1).and_then(|word| commands.find_subcommand(word));
    let mut line = mistake.to_owned();
    if let Some((option, variable)) = command.and_then(|command| variable(error, command, typed)) {
        line = line.replace(&format!("'{option}'"), &format!("'{option}' in {variable}"));
    }
    if let Some(tip) = tip {
        line.push_str("; ");
        line.push_str(tip);
    }
    line.push_str("; see 'storagewatch");
    line.push_str(&command.map(|command| format!(" {}", command.get_name())).unwrap_or_default());
    line.push_str(" --help'");
    say(&line);
    Exit::Failed
}

/// The option that a mistake is in, and the variable that says so, where it was not typed.
fn variable<'e>(error: &'e clap::Error, command: &clap::Command, typed: &[OsString]) -> Option<(&'e str, String)> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = option.split([' ', '=', '[']).next()?;
    let arg = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| name == format!("--{long}")))?;
    let is_it = |word: &OsString| word.to_string_lossy().split('=').next() == Some(name);
    let variable = arg.get_env()?.to_string_lossy().into_owned();
    (!typed.iter().any(is_it)).then_some((option, variable))
}
