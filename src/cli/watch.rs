//! `storagewatch watch`.

use super::Exit;
use super::options::Fallback;
use crate::alert::Address;
use crate::config::{CommandLine, Config, DeploymentTemplate, LogFormat, LogLevel, Start, Watched};
use crate::config::{alertmanager, file, remote, survey, values};
use anyhow::{anyhow, bail};
use clap::Args;
use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The variable of `--deployment`.
const DEPLOYMENT: &str = "STORAGEWATCH_DEPLOYMENT";

/// What `watch` takes. What is not typed is looked for in the environment, then in the configuration file.
#[derive(Args, Debug)]
#[command(
    mut_arg("deployment", |option| option
        .env(DEPLOYMENT)
        .help("The deployment of records that name none, in what the command line names; {stem} stands for the file's \
               name up to its first dot")),
    mut_arg("hosting", |option| option
        .env("STORAGEWATCH_HOSTING")
        .help("Where deployments run whose records do not say, in what the command line names: cloud, self_hosted or \
               local")),
)]
pub(super) struct Options {
    /// Files, directories (the files in them that end in .log), patterns such as '/var/log/convex/*.log', or '-' for
    /// standard input. What fits later is followed from then on. Without any and without --config or --convex, standard
    /// input is read.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Poll the log API of a deployment, https://NAME.convex.cloud or one's own, with the key in CONVEX_DEPLOY_KEY or
    /// CONVEX_SELF_HOSTED_ADMIN_KEY
    #[arg(long, value_name = "URL", env = "STORAGEWATCH_CONVEX", value_parser = Unrepeated(remote::deployment_url))]
    convex: Option<Arc<str>>,
    /// Read sources and settings from a TOML file; 'storagewatch print config' writes one to begin with
    #[arg(long, value_name = "FILE", env = "STORAGEWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// Where the page, the metrics and the status are served [default: 127.0.0.1:10045]
    #[arg(long, value_name = "ADDR", env = "STORAGEWATCH_LISTEN", value_parser = file::address)]
    listen: Option<SocketAddr>,
    /// Where webhooks are taken in, if the configuration has any; it serves nothing else [default: 127.0.0.1:10046]
    #[arg(long, value_name = "ADDR", env = "STORAGEWATCH_INGEST_LISTEN", value_parser = file::address)]
    ingest_listen: Option<SocketAddr>,
    /// Where counts and positions are kept across restarts [default: $STATE_DIRECTORY, else they are not]
    #[arg(long, value_name = "DIR", env = "STORAGEWATCH_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Where files and logs that are there at the very first start are read from: beginning or end [default: end]
    #[arg(long, value_name = "WHERE", env = "STORAGEWATCH_FROM", hide_possible_values = true)]
    from: Option<Start>,
    /// How long the metrics are served after standard input has ended [default: 0s]
    #[arg(long, value_name = "DURATION", env = "STORAGEWATCH_LINGER", value_parser = values::duration)]
    linger: Option<Duration>,
    #[command(flatten)]
    fallback: Fallback,
    /// How often files are looked at where the file system does not tell of changes [default: 250ms]
    #[arg(long, value_name = "DURATION", env = "STORAGEWATCH_POLL_INTERVAL", value_parser = file::poll_interval)]
    poll_interval: Option<Duration>,
    /// Serve POST /-/reload, which reads the configuration anew [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        env = "STORAGEWATCH_ENABLE_RELOAD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    enable_reload: Option<bool>,
    /// Tell this Alertmanager of alerts, as in http://127.0.0.1:9093, instead of those of the configuration file; several
    /// are told if there are several. An address with a password is named: env:NAME or file:PATH [default: none]
    #[arg(
        long = "alertmanager",
        value_name = "URL",
        env = "STORAGEWATCH_ALERTMANAGER",
        value_delimiter = ',',
        value_parser = Unrepeated(|text| alertmanager(text, Path::new("")))
    )]
    alertmanagers: Option<Vec<Address>>,
    /// How the log on standard error is written: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "STORAGEWATCH_LOG_FORMAT", hide_possible_values = true)]
    log_format: Option<LogFormat>,
    /// What of it is written: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "STORAGEWATCH_LOG_LEVEL", hide_possible_values = true)]
    log_level: Option<LogLevel>,
}

/// Reads an address. It may hold a secret that does not belong there, so a mistake is told without what was typed.
#[derive(Clone)]
struct Unrepeated<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unrepeated<T> {
    type Value = T;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<T, clap::Error> {
        self.parse_ref_(command, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        _: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<T, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "no UTF-8; write an address".to_owned()).and_then(self.0);
        parsed.map_err(|what| {
            let option = arg.and_then(clap::Arg::get_long).unwrap_or_default();
            let variable = arg.and_then(clap::Arg::get_env).filter(|_| source == ValueSource::EnvVariable);
            let variable = variable.map(|name| format!(" in {}", name.display())).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("--{option}{variable}: {what}\n"))
        })
    }
}

/// Runs the command.
pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let command_line = options.command_line()?;
    let config = Config::load(&command_line)?;
    crate::watch::run(config, &command_line)?;
    Ok(Exit::Fine)
}

impl Options {
    /// What was typed, as values: it is laid over the configuration file at the start and at every reload.
    fn command_line(&self) -> anyhow::Result<CommandLine> {
        let given = self.fallback.given();
        let deployment = given.deployment.as_deref().map(DeploymentTemplate::parse).transpose();
        let is_of_variable = std::env::var(DEPLOYMENT).is_ok_and(|set| Some(set) == given.deployment);
        let variable = if is_of_variable { format!(" in {DEPLOYMENT}") } else { String::new() };
        Ok(CommandLine {
            config: self.config.clone(),
            listen: self.listen,
            ingest_listen: self.ingest_listen,
            state_dir: self.state_dir.clone(),
            service_state_dir: std::env::var_os("STATE_DIRECTORY").and_then(|list| first_directory(&list)),
            from: self.from,
            linger: self.linger,
            poll_interval: self.poll_interval,
            enable_reload: self.enable_reload,
            alertmanagers: self.alertmanagers.clone(),
            log_format: self.log_format,
            log_level: self.log_level,
            paths: self.files()?,
            stdin: self.reads_stdin()?,
            convex: self.convex.clone(),
            deployment: deployment.map_err(|what| anyhow!("--deployment{variable}: {what}"))?,
            hosting: given.hosting,
        })
    }

    fn files(&self) -> anyhow::Result<Vec<Watched>> {
        let mut files = Vec::new();
        for word in self.paths.iter().filter(|word| *word != "-") {
            let watched = Watched::from_word(word).map_err(|what| anyhow!(what))?;
            if let Watched::Path(path) = &watched
                && survey::leads_nowhere(path)
            {
                bail!("{word}: no such file, and no directory that it could appear in; check the path");
            }
            if !files.contains(&watched) {
                files.push(watched);
            }
        }
        Ok(files)
    }

    fn reads_stdin(&self) -> anyhow::Result<bool> {
        if self.paths.is_empty() && self.config.is_none() && self.convex.is_none() {
            if std::io::stdin().is_terminal() {
                bail!(
                    "nothing to watch: name files, as in 'storagewatch watch /var/log/convex/*.log', give --convex URL or --config FILE, or pipe a log in"
                );
            }
            return Ok(true);
        }
        Ok(self.paths.iter().any(|word| word == "-"))
    }
}

/// The first of the directories that a service manager lists.
fn first_directory(list: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(list).next().filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hosting;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        options: Options,
    }

    fn typed(words: &str) -> anyhow::Result<CommandLine> {
        Typed::try_parse_from(std::iter::once("watch").chain(words.split_whitespace()))?.options.command_line()
    }

    #[test]
    fn what_is_typed_becomes_values() {
        let all = "/tmp/*.log /tmp/*.log - --config c.toml --listen [::1]:9 --ingest-listen [::1]:8 --state-dir s --from beginning --linger 1m30s \
                   --deployment {stem} --hosting self_hosted --poll-interval 1s --enable-reload --log-format json \
                   --log-level debug --alertmanager http://a:9093 --alertmanager http://b/am/";
        let service_state_dir = typed("-").unwrap().service_state_dir;
        let expected = CommandLine {
            config: Some("c.toml".into()),
            listen: Some("[::1]:9".parse().unwrap()),
            ingest_listen: Some("[::1]:8".parse().unwrap()),
            state_dir: Some("s".into()),
            service_state_dir,
            from: Some(Start::Beginning),
            linger: Some(Duration::from_secs(90)),
            poll_interval: Some(Duration::from_secs(1)),
            enable_reload: Some(true),
            alertmanagers: Some(["http://a:9093", "http://b/am"].map(|url| Address::plain(url).unwrap()).to_vec()),
            log_format: Some(LogFormat::Json),
            log_level: Some(LogLevel::Debug),
            paths: vec![Watched::from_word("/tmp/*.log").unwrap()],
            stdin: true,
            convex: None,
            deployment: Some(DeploymentTemplate::parse("{stem}").unwrap()),
            hosting: Some(Hosting::SelfHosted),
        };
        assert_eq!(typed(all).unwrap(), expected);
        assert_eq!(typed("--enable-reload=no -").unwrap().enable_reload, Some(false));
        assert_eq!(typed("-").unwrap().enable_reload, None);
        // A word after the flag is a path.
        assert_eq!(typed("--enable-reload /tmp/a.log").unwrap().paths.len(), 1);
        assert!(!typed("--config c.toml").unwrap().stdin);
        let polled = typed("--convex http://127.0.0.1:3210/").unwrap();
        assert_eq!((polled.convex.as_deref(), polled.stdin), (Some("http://127.0.0.1:3210"), false));
    }

    #[test]
    fn a_file_may_appear_later_but_not_without_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        assert!(typed(&at("later.log")).is_ok());
        assert!(typed(&at("none/*.log")).is_ok());
        let error = typed(&at("none/later.log")).unwrap_err().to_string();
        assert!(error.contains("no such file, and no directory"), "{error}");
    }

    #[test]
    fn the_first_state_directory_is_ours() {
        let first = |list: &str| first_directory(OsStr::new(list));
        assert_eq!(first("/var/lib/a:/var/lib/b"), Some(PathBuf::from("/var/lib/a")));
        assert_eq!(first("/var/lib/a"), Some(PathBuf::from("/var/lib/a")));
        assert_eq!(first(""), None);
    }
}
