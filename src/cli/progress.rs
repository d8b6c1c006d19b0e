//! How far reading has come, for a person who waits: on a terminal, once it has taken a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a person is not told anything.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Progress {
    /// Bytes read, as they lie on disk.
    pub(super) read: AtomicU64,
    began: Instant,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Progress {
    /// Progress over inputs of this total size, where it is known. None is shown while the product goes to the same
    /// terminal.
    pub(super) fn new(total: Option<u64>, output_is_terminal: bool) -> Self {
        let wanted = std::io::stderr().is_terminal() && !output_is_terminal;
        Self { read: AtomicU64::new(0), began: Instant::now(), total, bar: None, wanted }
    }

    /// Shows where it stands.
    pub(super) fn show(&mut self) {
        if !self.wanted || self.began.elapsed() < PATIENCE {
            return;
        }
        let (total, began) = (self.total, self.began);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = match total {
                Some(total) => ProgressBar::new(total),
                None => ProgressBar::new_spinner(),
            };
            let template = match total {
                Some(_) => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                None => "{spinner} {bytes}, {bytes_per_sec}",
            };
            let bar = bar.with_elapsed(began.elapsed());
            bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(self.read.load(Ordering::Relaxed));
    }

    /// Takes it off the terminal.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
