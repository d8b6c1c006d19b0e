//! The summary that lives on a terminal while the program runs.

use crate::event::Outcome;
use crate::ledger::{Reader, View};
use crate::plain::safe;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is drawn.
const EACH: Duration = Duration::from_secs(1);

/// Deployments that are shown.
const ROWS: usize = 20;

/// Draws until it is dropped.
pub(super) struct Summary {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Summary {
    pub(super) fn start(reader: Reader) -> Self {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::spawn(move || {
            let mut height = 0;
            let mut before = None;
            loop {
                let last = matches!(stopped.recv_timeout(EACH), Err(RecvTimeoutError::Disconnected));
                let view = reader.view();
                let lines: u64 = view.sources.values().map(|(counts, _)| counts.lines).sum();
                let rate = before.replace(lines).map_or(0, |before| lines.saturating_sub(before));
                let text = draw(&view, rate);
                let mut out = std::io::stdout().lock();
                let up = if height > 0 { format!("\x1b[{height}A\x1b[J") } else { String::new() };
                let _ = out.write_all(format!("{up}{text}").as_bytes()).and_then(|()| out.flush());
                height = text.lines().count();
                if last {
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Summary {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn draw(view: &View, rate: u64) -> String {
    let mut text = String::new();
    let width =
        view.places.keys().take(ROWS).map(|place| place.deployment.chars().count()).max().unwrap_or(0).clamp(10, 40);
    let _ = write!(text, "{:width$}  {:11}", "deployment", "hosting");
    for outcome in Outcome::ALL {
        let _ = write!(text, "  {outcome:>13}");
    }
    text.push('\n');
    for (place, counts) in view.places.iter().take(ROWS) {
        let name: String = safe(&place.deployment).chars().take(width).collect();
        let _ = write!(text, "{name:width$}  {:11}", place.hosting);
        for count in counts.outcomes {
            let _ = write!(text, "  {count:>13}");
        }
        text.push('\n');
    }
    if view.places.len() > ROWS {
        let _ = writeln!(text, "and {} more", view.places.len() - ROWS);
    }
    let lag: u64 = view.sources.values().map(|(_, state)| state.lag_bytes).sum();
    let _ = writeln!(text, "{rate} lines a second, {lag} bytes to read");
    if let Some(row) = view.failures.front() {
        let time = row.event.time.map(|time| time.to_string()).unwrap_or_default();
        let what = format!(
            "last: {time} {} {} {}",
            row.attribution.deployment,
            row.event.outcome,
            row.event.error.as_deref().unwrap_or_default()
        );
        let _ = writeln!(text, "{}", safe(&what).chars().take(100).collect::<String>());
    }
    if let Some(trouble) = &view.trouble {
        let _ = writeln!(text, "not committed: {}", safe(trouble).chars().take(100).collect::<String>());
    }
    text
}
