//! `storagewatch check`.

use super::output::Destination;
use super::{Exit, say};
use crate::alert::notifier::send_test;
use crate::config::File;
use crate::event::Timestamp;
use anyhow::bail;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// What `check` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Send an alert that is marked as a test to every receiver in the file, and say who took it
    #[arg(long)]
    send_test_alert: bool,
}

/// Runs the command. What would surprise is said and spoils nothing: files come and go.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let file = File::load(&options.file)?;
    for surprise in file.survey() {
        say(&format!("{}: {surprise}", options.file.display()));
    }
    if options.send_test_alert {
        return send_test_alert(&file);
    }
    let mut output = Destination::Stdout.open()?;
    output.write_all(file.resolved().as_bytes())?;
    output.finish()?;
    Ok(Exit::Fine)
}

/// Sends a test, and says on standard output who took it. Status 1 says that somebody did not.
fn send_test_alert(file: &File) -> anyhow::Result<Exit> {
    let receivers = file.receivers();
    if receivers.is_empty() {
        bail!("nobody to send an alert to; add 'alertmanagers' or an [[alert.webhook]] below [alert]");
    }
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    let mut output = Destination::Stdout.open()?;
    let mut all_took_it = true;
    for (receiver, result) in send_test(&receivers, &file.page(), now)? {
        match result {
            Ok(()) => writeln!(output, "{receiver}: took it")?,
            Err(error) => {
                all_took_it = false;
                writeln!(output, "{receiver}: did not take it: {error}")?;
            }
        }
    }
    output.finish()?;
    Ok(if all_took_it { Exit::Fine } else { Exit::Found })
}
