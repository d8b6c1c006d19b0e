//! `storagewatch check`.

use super::output::Destination;
use super::{Exit, say};
use crate::config::File;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// What `check` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command. What would surprise is said and spoils nothing: files come and go.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let file = File::load(&options.file)?;
    for surprise in file.survey() {
        say(&format!("{}: {surprise}", options.file.display()));
    }
    let mut output = Destination::Stdout.open()?;
    output.write_all(file.resolved().as_bytes())?;
    output.finish()?;
    Ok(Exit::Fine)
}
