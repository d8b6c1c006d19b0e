//! Watching: sources, the ledger and the server put together, from the start to a stop that loses nothing.
//!
//! One thread a source, one for the ledger, a small runtime for HTTP and signals. Batches go one way, over one bounded
//! channel: a source that is faster than the disk waits there. To stop, the intake of webhooks ends first, while the
//! ledger still commits what its senders wait for, then the other sources, then the ledger commits what it was handed,
//! then the server.

mod alarm;
mod intake;
mod remotes;
mod screen;
mod sources;
mod summary;

use crate::alert::notifier::Notifier;
use crate::alert::{self, DeploymentRules, SourceRules};
use crate::config::{CommandLine, Config, LogFormat, SourceName};
use crate::event::{Hosting, Timestamp};
use crate::ledger::{Keeper, Message, Reader, Rules, SCRAPES};
use crate::plain::safe;
use crate::serve::{ReloadError, Serving, serve};
use crate::source::webhook::Requests;
use anyhow::Context;
use intake::Intake;
use screen::Screen;
use sources::Sources;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait for the ledger; a source that finds no room waits.
const BATCHES: usize = 64;

/// Wishes to reload that wait.
const RELOADS: usize = 4;

/// How long what is due may take to be sent when everything stops.
const LAST_WORD: Duration = Duration::from_millis(1500);

/// How long a stop may take, before what is left is given up.
const STOP: Duration = Duration::from_millis(4500);

/// Watches until a signal or the end of standard input.
pub fn run(config: Config, command_line: &CommandLine) -> anyhow::Result<()> {
    let screen = Screen::find();
    start_log(&config, screen.clone());
    for surprise in config.survey() {
        tracing::warn!("{}", safe(&surprise));
    }
    raise_open_files();
    let config = Arc::new(config);
    let keeper = Keeper::open(config.state_dir.as_deref(), rules(&config))?;
    if config.state_dir.is_none() {
        tracing::warn!("counts are kept in memory and end with this process; --state-dir keeps them");
    }
    let (batches, messages) = sync_channel(BATCHES);
    let (scrapes, scraped) = sync_channel(SCRAPES);
    let reader = Reader::new(keeper.view(), scrapes);
    let (alerts, board) = keeper.outbox();
    let wake = batches.clone();
    let (alarm, mut alarms) = mpsc::channel(1);
    let mut sources = Sources::new(&config, &keeper, batches.clone(), alarm)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let requests = Arc::new(Requests::default());
    let mut intake = Intake::new(runtime.handle(), Arc::clone(&requests), batches)?;
    let webhooks = intake.prepare(&config)?;
    let listener = runtime
        .block_on(TcpListener::bind(config.listen))
        .with_context(|| format!("{}: cannot listen there; choose another address with --listen", config.listen))?;
    let address = listener.local_addr()?;
    let mut notifier = Notifier::new(runtime.handle().clone(), alerts, board, wake.clone(), &page_at(address), now);
    notifier.apply(&config.alerting.receivers, config.alerting.external_url.as_deref())?;
    // Whoever reads that it listens may ask it to stop.
    let (mut terminate, mut interrupt, mut hangup) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    tracing::info!("listening on http://{address}");
    // Dropped when the ledger's thread ends, however it does.
    let (alive, mut dead) = oneshot::channel::<()>();
    let ledger = std::thread::Builder::new()
        .name("ledger".to_owned())
        .spawn(move || {
            let _alive = alive;
            keeper.run(&messages, &scraped, now);
        })
        .context("no thread for the ledger")?;

    let config_ok = Arc::new(AtomicBool::new(true));
    let (reload, mut reloads) = mpsc::channel::<oneshot::Sender<Result<(), ReloadError>>>(RELOADS);
    let serving = Serving {
        reader: reader.clone(),
        started: now(),
        page: notifier.page(),
        created_lines: config.openmetrics_created,
        reload: config.enable_reload.then_some(reload.clone()),
        requests,
        config_ok: Arc::clone(&config_ok),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let server = runtime.spawn(serve(listener, serving, async {
        let _ = stopped.await;
    }));
    let summary = screen.map(|screen| summary::Summary::start(reader.clone(), screen));
    let ended = sources.start()?;
    intake.apply(webhooks)?;
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);

    let linger = config.linger;
    let is_sound = runtime.block_on(async {
        let mut watchdog = tokio::time::interval(watchdog());
        let mut ended = ended;
        let mut lingering = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = &mut dead => break,
                Some(()) = alarms.recv() => return Ok(false),
                _ = hangup.recv() => {
                    let _ = apply(command_line, &mut sources, &mut intake, &mut notifier, &config_ok);
                }
                Some(answer) = reloads.recv() => {
                    let _ = answer.send(apply(command_line, &mut sources, &mut intake, &mut notifier, &config_ok));
                }
                _ = watchdog.tick() => {
                    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
                }
                Ok(()) = &mut ended, if lingering.is_none() => lingering = Some(Box::pin(tokio::time::sleep(linger))),
                () = async { if let Some(sleep) = &mut lingering { sleep.await } }, if lingering.is_some() => break,
            }
        }
        anyhow::Ok(true)
    })?;

    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    let (done, finished) = sync_channel(1);
    std::thread::spawn(move || {
        intake.stop();
        sources.stop();
        // What was handed over last may have raised an alert.
        let (flush, flushed) = sync_channel(1);
        if wake.send(Message::Flush(flush)).is_ok() {
            let _ = flushed.recv_timeout(LAST_WORD);
        }
        notifier.stop(LAST_WORD);
        drop(wake);
        let _ = done.send(ledger.join().is_ok());
    });
    let committed = finished.recv_timeout(STOP).unwrap_or(false);
    drop(summary);
    let _ = stop.send(());
    let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(1), server).await });
    runtime.shutdown_background();
    let trouble = reader.view().trouble.or_else(|| {
        let late = || format!("it took longer than {STOP:?}; what files hold is read again from the last commit on");
        (!committed).then(late)
    });
    anyhow::ensure!(trouble.is_none(), "not everything was committed: {}", trouble.unwrap_or_default());
    anyhow::ensure!(
        is_sound,
        "a source has failed (see above): start again, and it goes on where it stood; please report this"
    );
    Ok(())
}

/// Reads the configuration again and puts it to use, if it is right.
fn apply(
    command_line: &CommandLine,
    sources: &mut Sources,
    intake: &mut Intake,
    notifier: &mut Notifier,
    config_ok: &AtomicBool,
) -> Result<(), ReloadError> {
    let result = Config::load(command_line).map_err(|error| ReloadError::Wrong(error.to_string())).and_then(|config| {
        let config = Arc::new(config);
        let failed = |error: anyhow::Error| ReloadError::Failed(format!("{error:#}"));
        let webhooks = intake.prepare(&config).map_err(failed)?;
        sources.apply(&config, rules(&config)).map_err(failed)?;
        intake.apply(webhooks).map_err(failed)?;
        let alerting = &config.alerting;
        let applied = notifier.apply(&alerting.receivers, alerting.external_url.as_deref());
        applied.map_err(|error| ReloadError::Failed(error.to_string()))
    });
    config_ok.store(result.is_ok(), Ordering::Relaxed);
    match &result {
        Ok(()) => tracing::info!("the configuration was read again and is in use"),
        Err(error) => tracing::error!("the configuration was not taken, the old one stays: {error}"),
    }
    result
}

/// The address of the status page, as those who are told of alerts can use it.
fn page_at(listening: SocketAddr) -> String {
    if !listening.ip().is_unspecified() {
        return format!("http://{listening}");
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "localhost" } else { name.trim() };
    format!("http://{name}:{}", listening.port())
}

/// What the configuration says of alerts.
fn alert_rules(config: &Arc<Config>) -> alert::Rules {
    let of_deployments = Arc::clone(config);
    let of = |name: &SourceName, silent_after| SourceRules {
        name: Arc::from(name.as_str()),
        silent_after,
        may_end: false,
        catches_up: false,
        replays: false,
    };
    let files = config.sources.iter();
    let files = files.map(|source| SourceRules { catches_up: true, ..of(&source.name, source.silent_after) });
    let stdin = config.stdin.iter();
    let stdin = stdin.map(|source| SourceRules { may_end: true, replays: true, ..of(&source.name, None) });
    let webhooks = config.webhooks.iter().map(|source| of(&source.name, source.silent_after));
    let polled = config.convex.iter().map(|source| of(&source.name, source.silent_after));
    let probed = config.probes.iter().map(|source| of(&source.name, None));
    alert::Rules {
        deployment: Box::new(move |name| {
            let rule = of_deployments.rule_for(name);
            rule.map_or_else(DeploymentRules::default, |rule| DeploymentRules {
                expects_direct: rule.expect_direct,
                severity: rule.severity,
                window: rule.window,
            })
        }),
        window: config.alerting.window,
        keep_firing_for: config.alerting.keep_firing_for,
        max_age: config.alerting.max_age,
        sources: files.chain(stdin).chain(webhooks).chain(polled).chain(probed).collect(),
        receivers: config.alerting.receivers.iter().map(|receiver| Arc::clone(&receiver.name)).collect(),
    }
}

fn rules(config: &Arc<Config>) -> Rules {
    let (of_hosting, of_names) = (Arc::clone(config), Arc::clone(config));
    let names: Vec<String> = config.known_deployments().into_iter().map(|(name, _)| name.to_owned()).collect();
    Rules {
        hosting: Box::new(move |name| -> Option<Hosting> { of_hosting.rule_for(name)?.hosting }),
        is_named: Box::new(move |name| {
            of_names.rule_for(name).is_some() || names.iter().any(|deployment| deployment == name)
        }),
        max_deployments: config.max_deployments,
        alerts: alert_rules(config),
    }
}

fn start_log(config: &Config, screen: Option<Screen>) {
    let log = tracing_subscriber::fmt()
        .with_max_level(config.log_level.filter())
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // Where it goes elsewhere than the summary, it goes by itself.
    let screen = screen.filter(|_| std::io::stderr().is_terminal());
    // A second call in one process finds the log started.
    let _ = match (config.log_format, screen) {
        (LogFormat::Text, Some(screen)) => log.with_writer(screen).try_init(),
        (LogFormat::Text, None) => log.with_writer(std::io::stderr).try_init(),
        (LogFormat::Json, Some(screen)) => log.with_writer(screen).json().flatten_event(true).try_init(),
        (LogFormat::Json, None) => log.with_writer(std::io::stderr).json().flatten_event(true).try_init(),
    };
}

/// Lets as many files be open as the system allows: each followed file takes one, and two while it is rotated.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => tracing::debug!("{:?} files may be open", limit.maximum),
        Err(error) => tracing::debug!("no more than {:?} files may be open: {error}", limit.current),
    }
}

/// How often the service manager wants to hear that the program lives.
fn watchdog() -> Duration {
    let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
    micros.map_or(Duration::from_hours(1), |micros| Duration::from_micros(micros / 2).max(Duration::from_millis(100)))
}

/// The clock on the wall.
fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
