//! The summary that lives on a terminal while the program runs.

use super::screen::Screen;
use crate::event::Outcome;
use crate::ledger::{Place, PlaceCounts, Reader, View};
use crate::plain::{bytes, grouped, safe};
use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

/// How often it is drawn.
const EACH: Duration = Duration::from_secs(1);

/// Deployments that are shown at the most.
const ROWS: usize = 20;

/// Lines that are not deployments: a heading, how many more there are, the rate, the alerts, the last failure, trouble, and one
/// that stays free for the cursor.
const OTHER_LINES: usize = 7;

/// How wide the counts are, in the order of [`Outcome::ALL`].
const WIDTHS: [usize; Outcome::ALL.len()] = [11, 13, 13, 7];

/// How wide the hosting is, and how wide a name may get.
const HOSTING: usize = 11;
const NAME: usize = 40;

/// Draws until it is dropped.
pub(super) struct Summary {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Summary {
    pub(super) fn start(reader: Reader, screen: Screen) -> Self {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::spawn(move || {
            let mut before = None;
            loop {
                let last = matches!(stopped.recv_timeout(EACH), Err(RecvTimeoutError::Disconnected));
                let view = reader.view();
                let lines: u64 = view.sources.values().map(|(counts, _)| counts.lines).sum();
                let rate = before.replace(lines).map_or(0, |before| lines.saturating_sub(before));
                screen.draw(draw(&view, rate, Screen::size()));
                if last {
                    return screen.leave();
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

/// Writes the summary so that it fits into so many columns and lines.
fn draw(view: &View, rate: u64, (columns, lines): (usize, usize)) -> String {
    // A line that fills the last column may wrap.
    let columns = columns.saturating_sub(1).max(1);
    let mut text = String::new();
    let mut line = |line: &str| {
        let _ = writeln!(text, "{}", cut(&safe(line), columns).trim_end());
    };
    let longest = view.places.keys().map(|place| width_of(&safe(&place.deployment))).max().unwrap_or(0).clamp(10, NAME);
    // A name is worth more than what else there is no room for.
    let with = |outcomes: usize| longest + WIDTHS.iter().take(outcomes).map(|width| width + 2).sum::<usize>();
    let has_hosting = columns >= with(WIDTHS.len()) + HOSTING + 2;
    let outcomes = if columns >= with(WIDTHS.len()) { WIDTHS.len() } else { WIDTHS.len() - 1 };
    let width = longest.saturating_sub(with(outcomes).saturating_sub(columns)).max(10);
    let row = |name: &str, hosting: &str, counts: [String; Outcome::ALL.len()]| {
        let name = cut(&safe(name), width);
        let mut row = format!("{name}{:padding$}", "", padding = width - width_of(&name));
        if has_hosting {
            let _ = write!(row, "  {hosting:HOSTING$}");
        }
        for (count, width) in counts.iter().zip(WIDTHS).take(outcomes) {
            let _ = write!(row, "  {count:>width$}");
        }
        row
    };
    line(&row("deployment", "hosting", Outcome::ALL.map(|outcome| outcome.to_string())));
    let mut places: Vec<(&Place, &Arc<PlaceCounts>)> = view.places.iter().collect();
    // Those first that want attention, and of these the busiest.
    places.sort_by_key(|(place, counts)| (counts.verdict(place.hosting), Reverse(counts.outcomes.iter().sum::<u64>())));
    let rows = lines.saturating_sub(OTHER_LINES).clamp(1, ROWS);
    for (place, counts) in places.iter().take(rows) {
        line(&row(&place.deployment, place.hosting.as_str(), counts.outcomes.map(|count| count.to_string())));
    }
    if places.len() > rows {
        line(&format!("and {} more", grouped((places.len() - rows) as u64)));
    }
    let lag: u64 = view.sources.values().map(|(_, state)| state.lag_bytes).sum();
    let down = view.sources.values().filter(|(_, state)| !state.up).count();
    let behind = if lag > 0 { format!(", {} behind", bytes(lag)) } else { String::new() };
    let sources = if down > 0 { format!(", {down} of {} sources down", view.sources.len()) } else { String::new() };
    line(&format!("{} lines a second{behind}{sources}", grouped(rate)));
    let firing: Vec<_> = view.alerts.iter().filter(|alert| alert.is_firing()).collect();
    if let Some(first) = firing.iter().min_by_key(|alert| alert.key.severity) {
        let folded = first.detail.folded.first().map(String::as_str);
        let of = folded.or(first.key.deployment.as_deref()).or(first.key.source.as_deref()).unwrap_or_default();
        let more = if firing.len() > 1 { format!(" and {} more", firing.len() - 1) } else { String::new() };
        line(&format!("{} alert: {} {of}{more}", first.key.severity.as_str(), first.key.name));
    }
    if let Some(failure) = view.latest_failures().first() {
        let time = failure.event.time.map(|time| time.to_string()).unwrap_or_default();
        let error = failure.event.error.as_deref().or(failure.event.reason.as_deref()).unwrap_or_default();
        line(&format!("last: {time} {} {} {error}", failure.attribution.deployment, failure.event.outcome));
    }
    if let Some(trouble) = &view.trouble {
        line(&format!("not committed: {trouble}"));
    }
    text
}

/// How many columns a text takes at the most: some letters and signs take two, some none.
fn width_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    // It makes a picture, which is wide, of the sign before it.
    if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(0) }
}

/// As much of a text as fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    let mut left = Some(columns);
    text.chars()
        .take_while(|c| {
            left = left.and_then(|left| left.checked_sub(width(*c)));
            left.is_some()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hosting;
    use unicode_width::UnicodeWidthStr;

    fn view(deployments: usize) -> View {
        let mut view = View { trouble: Some("no space left on the device ".repeat(9)), ..View::default() };
        for number in 0..deployments {
            let place = Place { deployment: Arc::from(format!("happy-otter-{number:03}")), hosting: Hosting::Cloud };
            let failed = u64::from(number == 77);
            let counts = PlaceCounts { outcomes: [number as u64, 0, failed, 0], ..PlaceCounts::default() };
            view.places.insert(place, Arc::new(counts));
        }
        view
    }

    #[test]
    fn it_fits_the_screen_whatever_its_size() {
        for (columns, lines) in [(80, 24), (40, 10), (20, 5), (200, 60), (1, 1)] {
            for deployments in [0, 1, 100] {
                let text = draw(&view(deployments), 7, (columns, lines));
                assert!(text.lines().all(|line| line.chars().count() < columns.max(2)), "{columns}: {text}");
                assert!(text.lines().count() < lines.max(8), "{lines}: {text}");
            }
        }
    }

    #[test]
    fn what_is_wide_or_has_no_width_fits_too() {
        let mut view = view(1);
        view.trouble = Some("装置に空き領域がありません".repeat(9));
        for name in ["幸せなカワウソ", &"獺".repeat(30), "❤\u{fe0f}❤\u{fe0f}", "o\u{308}tter"] {
            let place = Place { deployment: Arc::from(name), hosting: Hosting::Cloud };
            view.places.insert(place, Arc::default());
        }
        for size in [200, 100, 80, 60, 40, 33, 20, 2, 1] {
            let text = draw(&view, 7, (size, 24));
            assert!(text.lines().all(|line| line.width() < size.max(2)), "{size}: {text}");
        }
        // The columns of counts stand one below the other, whatever the names.
        let text = draw(&view, 7, (200, 24));
        let ends: Vec<usize> = text.lines().take(6).map(width_of).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}: {text}");
    }

    #[test]
    fn what_fails_comes_first() {
        let text = draw(&view(100), 1234, (80, 24));
        let second = text.lines().nth(1).unwrap();
        assert!(second.starts_with("happy-otter-077") && !second.contains("cloud"), "{text}");
        assert!(text.contains("\nand 83 more\n1,234 lines a second\n"), "{text}");
        assert!(draw(&view(1), 0, (90, 24)).contains("  cloud  "));
        let narrow = draw(&view(1), 0, (60, 24));
        assert!(narrow.contains("\nhappy-otter-000 ") && !narrow.contains("other"), "{narrow}");
    }
}
