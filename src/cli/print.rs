//! `storagewatch print`.

use super::Exit;
use super::output::Destination;
use clap::{Args, ValueEnum};
use std::io::Write;

/// What `print` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// What to print
    #[arg(value_name = "WHAT")]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// A configuration to begin with, each setting explained
    Config,
    /// A service unit for systemd
    Systemd,
}

const CONFIG: &str = include_str!("print/storagewatch.toml");
const SYSTEMD: &str = include_str!("print/storagewatch.service");

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let text = match options.what {
        What::Config => CONFIG,
        What::Systemd => SYSTEMD,
    };
    let mut output = Destination::Stdout.open()?;
    output.write_all(text.as_bytes())?;
    output.finish()?;
    Ok(Exit::Fine)
}
