//! The terminal on which the summary lives below the program's own log.
//!
//! Both are written through here: before a line of the log the summary is taken away, and behind it drawn again. So neither
//! wipes out the other, whatever the size of the terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use terminal_size::{Height, Width};
use tracing_subscriber::fmt::MakeWriter;

/// The screen, shared by those who write on it.
#[derive(Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    summary: String,
    /// Lines that it takes.
    height: usize,
}

impl Screen {
    /// The screen, where there is one that can be drawn on.
    pub(super) fn find() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        (io::stdout().is_terminal() && !is_dumb).then(Self::default)
    }

    /// How many columns and lines there are now.
    pub(super) fn size() -> (usize, usize) {
        terminal_size::terminal_size()
            .map_or((80, 24), |(Width(columns), Height(lines))| (columns.into(), lines.into()))
    }

    /// Shows a summary in place of the last one. No line of it may be wider than the screen.
    pub(super) fn draw(&self, summary: String) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = shown.redraw(summary);
    }

    /// Leaves the summary as it is, and what comes below it.
    pub(super) fn leave(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Shown::default();
    }
}

impl Shown {
    fn redraw(&mut self, summary: String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.removal().as_bytes())?;
        out.write_all(summary.as_bytes())?;
        self.height = summary.lines().count();
        self.summary = summary;
        out.flush()
    }

    /// What takes the summary away: up to its first line, and all below.
    fn removal(&self) -> String {
        if self.height > 0 { format!("\x1b[{}F\x1b[J", self.height) } else { String::new() }
    }
}

/// One line of the log, on its way to standard error.
pub(super) struct Line(Screen);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut shown = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut out = io::stdout().lock();
            out.write_all(shown.removal().as_bytes())?;
            out.flush()?;
        }
        shown.height = 0;
        io::stderr().lock().write_all(line)?;
        let summary = std::mem::take(&mut shown.summary);
        shown.redraw(summary)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self.clone())
    }
}
