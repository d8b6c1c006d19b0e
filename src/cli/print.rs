//! `storagewatch print`.

use super::output::{Destination, Output};
use super::{Arguments, Exit};
use crate::runbook;
use anyhow::bail;
use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use std::io::Write;

/// What `print` takes.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum What {
    /// A configuration to begin with, each setting explained
    Config,
    /// A service unit for systemd, with what to do to install it
    Systemd,
    /// Rules for Prometheus: recordings, and alerts on what storagewatch decides
    Rules(Links),
    /// A dashboard for Grafana
    Dashboard(Links),
    /// A configuration for Alertmanager: routes, grouping, and what mutes what
    AlertmanagerConfig,
    /// What a shell needs to complete the words of a command line
    Completions {
        /// The shell
        shell: Shell,
    },
    /// The manual page of the program, or of one of its commands
    Man {
        /// The command
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

/// Where what is printed links to.
#[derive(Args, Debug)]
struct Links {
    /// Where people reach the status page, which serves the runbook
    #[arg(long, value_name = "URL", default_value = runbook::BASE, value_parser = base_url)]
    url: String,
}

impl Links {
    fn in_text(&self, text: &str) -> String {
        text.replace(runbook::BASE, &self.url)
    }
}

/// Takes an address that stands in YAML, JSON and templates as it is.
fn base_url(typed: &str) -> Result<String, String> {
    let rest = typed.strip_prefix("https://").or_else(|| typed.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
    match rest {
        Some(rest) if !rest.trim_matches('/').is_empty() && rest.chars().all(plain) => {
            Ok(typed.trim_end_matches('/').to_owned())
        }
        _ => Err("expected an address such as https://storagewatch.example.org, without '?' and '#'".to_owned()),
    }
}

const CONFIG: &str = include_str!("print/storagewatch.toml");
const SYSTEMD: &str = include_str!("print/storagewatch.service");
const RULES: &str = include_str!("../../dashboards/prometheus/storagewatch.rules.yml");
const DASHBOARD: &str = include_str!("../../dashboards/grafana/storagewatch.json");
const ALERTMANAGER: &str = include_str!("../../dashboards/alertmanager/alertmanager.yml");

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let mut output = Destination::Stdout.open()?;
    match &options.what {
        What::Config => output.write_all(CONFIG.as_bytes())?,
        What::Systemd => output.write_all(SYSTEMD.as_bytes())?,
        What::Rules(links) => output.write_all(links.in_text(RULES).as_bytes())?,
        What::Dashboard(links) => output.write_all(links.in_text(DASHBOARD).as_bytes())?,
        What::AlertmanagerConfig => output.write_all(ALERTMANAGER.as_bytes())?,
        What::Completions { shell } => completions(*shell, &mut output)?,
        What::Man { command } => man(command.as_deref(), &mut output)?,
    }
    output.finish()?;
    Ok(Exit::Fine)
}

fn completions(shell: Shell, output: &mut Output) -> anyhow::Result<()> {
    // Into memory first: the generator gives up the whole program where the reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "storagewatch", &mut script);
    output.write_all(&script)?;
    Ok(())
}

fn man(name: Option<&str>, output: &mut Output) -> anyhow::Result<()> {
    let mut program = Arguments::command();
    program.build();
    let page = match name {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => bail!("no command is called '{name}'; 'storagewatch --help' lists them"),
        },
    };
    clap_mangen::Man::new(page).render(output)?;
    Ok(())
}
