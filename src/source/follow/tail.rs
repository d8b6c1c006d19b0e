//! One file that is followed: opened, read on, and put away again.

mod moves;

use super::super::Found;
use super::super::collect::Collected;
use super::archive::Unpacking;
use super::cursor::{Cursor, Rest};
use super::files::Look;
use super::identity::{HEAD, Print, RECENT, read_at, without_padding};
use super::reader::Reader;
use crate::decode::{Decoder, first_origin};
use crate::event::{Outcome, PHRASE};
use crate::ledger::{Skipped, written};
use crate::scan::{Scanner, Splitter, Window, first_byte};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long a record stays open without a new line in its stream.
const QUIET: Duration = Duration::from_millis(500);

/// How much of a file that is passed over is looked at, at its beginning and before its end.
const LOOKED_AT: usize = 64 * 1024;

/// How much of one file is read before the others have their turn.
const TURN: u64 = 8 * 1024 * 1024;

/// How much of it is read at least, also when it is told to stop: who is started and stopped in a loop must get on.
const LEAST: u64 = 1024 * 1024;

/// A file that was found to have grown so many times within this time is busy. Less often, the moments between a copy
/// and a cut are too few for a write to fall into them.
const BUSY: usize = 10;
const BUSY_WITHIN: Duration = Duration::from_secs(1);

/// A followed file.
pub(super) struct Tail {
    /// Its row's name.
    pub(super) id: u64,
    pub(super) cursor: Cursor,
    open: Option<Open>,
    unpacking: Unpacking,
    /// Whether the source's paths do not lead to it any more.
    pub(super) asleep: bool,
    /// When it last grew.
    pub(super) grown: Instant,
    /// When it was last found to have grown, the latest times of which the oldest comes first.
    growths: VecDeque<Instant>,
    /// Whether nothing is to be kept of it.
    pub(super) forgotten: bool,
    /// Since when it is nowhere to be seen.
    pub(super) missing: Option<Instant>,
    /// Whether the row is to be written although nothing was read.
    pub(super) changed: bool,
    /// Whether it stands under the name that is written, and whether it did when names were last looked at.
    pub(super) is_base: bool,
    pub(super) was_base: bool,
    /// How it looked when it was compared with what is known of it.
    pub(super) checked: Option<Look>,
    /// Whether more may have been written to it before it went missing, while nobody had it open.
    pub(super) unseen_end: bool,
    /// Since when it is cut and its copy was not found.
    pub(super) cut: Option<Instant>,
    /// What was found in it and is still to be handed over.
    pub(super) held_back: Vec<Found>,
    /// Bytes that were there once and that its copy does not hold, and whether there may have been others.
    pub(super) lost: u64,
    pub(super) possibly_lost: bool,
    /// Why it could not be read on.
    pub(super) failing: Option<String>,
    /// Size and time of the last look.
    seen: Option<(u64, SystemTime)>,
}

struct Open {
    splitter: Splitter<Reader>,
    scanner: Scanner,
    /// How many lines had been fed, and when that was seen.
    mark: Option<(Instant, u64)>,
    /// Up to where it was taken for whole.
    finished: Option<u64>,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more is there now.
    AtEnd,
    /// There is more.
    More,
    /// The file is not the one that was read any more.
    Rewritten,
}

impl Tail {
    pub(super) fn new(id: u64, cursor: Cursor, clock: Instant) -> Self {
        Self {
            id,
            cursor,
            open: None,
            unpacking: Unpacking::default(),
            asleep: false,
            grown: clock,
            growths: VecDeque::new(),
            forgotten: false,
            missing: None,
            changed: true,
            is_base: false,
            was_base: false,
            checked: None,
            unseen_end: false,
            cut: None,
            held_back: Vec::new(),
            lost: 0,
            possibly_lost: false,
            failing: None,
            seen: None,
        }
    }

    /// Whether it is written to so often that something may well have come between a copy of it and a cut.
    pub(super) fn is_busy(&self, clock: Instant) -> bool {
        let since = self.growths.front().filter(|_| self.growths.len() == BUSY);
        since.is_some_and(|since| clock.duration_since(*since) <= BUSY_WITHIN)
    }

    /// Finds out whose the file's first record is, although it is not counted.
    pub(super) fn name(&mut self, file: &File) {
        let mut bytes = Vec::new();
        if read_at(file, 0, LOOKED_AT, &mut bytes).is_ok() {
            let origin = first_origin(&bytes);
            self.cursor.named = origin.is_some();
            self.held_back.extend(origin.map(Found::Deployment));
        }
        // The banners above what is passed over name what follows it: that at the top, and the latest.
        let end = self.cursor.offset;
        let mut passed = Collected::default();
        for start in BTreeSet::from([0, end.saturating_sub(LOOKED_AT as u64)]) {
            let length = (end - start).min(LOOKED_AT as u64) as usize;
            if read_at(file, start, length, &mut bytes).is_ok() {
                Scanner::new().scan(&Window::whole(std::mem::take(&mut bytes)), &mut passed);
            }
        }
        self.cursor.banners = passed.banners;
    }

    /// Whether there may be something to read.
    pub(super) fn has_changed(&mut self) -> bool {
        let Some(metadata) = self.file().and_then(|file| file.metadata().ok()) else { return false };
        let now = (metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        let last = self.seen.replace(now);
        if last.is_some_and(|last| last.0 == now.0 && last.1 != now.1) {
            let _ = self.look_again();
        }
        last != Some(now) || metadata.len() > self.read_to()
    }

    /// Whether nothing was read of it yet, now or before.
    pub(super) fn is_unread(&self) -> bool {
        self.cursor.offset == 0 && self.read_to() == 0 && self.cursor.carried.is_empty()
    }

    fn read_to(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.splitter.reader_ref().place())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether no name leads to the open file any more, and all of it was read.
    pub(super) fn is_read_and_unlinked(&self) -> bool {
        let metadata = self.file().and_then(|file| file.metadata().ok());
        metadata.is_some_and(|metadata| metadata.nlink() == 0 && metadata.len() <= self.cursor.place())
    }

    /// The open file's size and place.
    pub(super) fn file(&self) -> Option<&File> {
        self.open.as_ref().map(|open| open.splitter.reader_ref().file())
    }

    /// Goes on from the cursor.
    pub(super) fn open(&mut self, file: File) {
        let start = self.cursor.offset;
        let from = if start > 0 { first_byte(start) } else { 0 };
        let expected = (self.cursor.place(), self.cursor.print.clone());
        let reader = Reader::new(file, self.cursor.carried.clone(), from, self.cursor.head.clone(), expected);
        let scanner = self.cursor.scanner();
        self.open = Some(Open { splitter: Splitter::resume(reader, start), scanner, mark: None, finished: None });
    }

    /// Puts the file away; the cursor says how to go on.
    pub(super) fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.cursor.keep(&open.scanner);
        }
        self.unpacking.put_away(&mut self.cursor);
    }

    /// Puts the file away until the source's paths lead to it again.
    pub(super) fn sleep(&mut self) {
        self.close();
        (self.asleep, self.changed) = (true, true);
    }

    /// Whether a record may yet have to be closed.
    pub(super) fn has_open_record(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.scanner.is_open() && self.cursor.offset > 0)
    }

    /// What was read of a line whose end is not there.
    pub(super) fn partial(&self) -> &[u8] {
        self.open.as_ref().map(|open| open.splitter.partial()).unwrap_or_default()
    }

    /// Gives up the line whose end is not there, to go on elsewhere.
    pub(super) fn take_partial(&mut self) -> Vec<u8> {
        let partial = self.partial().to_vec();
        self.cursor.offset += partial.len() as u64;
        if let Some(open) = self.open.as_ref().filter(|_| !partial.is_empty()) {
            self.cursor.print = Print::before(self.cursor.place(), open.splitter.reader_ref().recent());
        }
        self.close();
        partial
    }

    /// Looks at the beginning of a file of which nothing was read yet: a copy of it is told by that.
    pub(super) fn look_at_head(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.splitter.reader_ref().place() == 0) else { return };
        let mut head = Vec::new();
        let file = open.splitter.reader_ref().file();
        let is_read = read_at(file, 0, HEAD, &mut head).is_ok();
        let written = without_padding(file, &head).map_or(0, <[u8]>::len);
        head.truncate(written);
        if is_read && head.len() > self.cursor.head.len() && head.starts_with(&self.cursor.head) {
            open.splitter.reader().expect_head(&head);
            self.cursor.head = head;
            self.changed = true;
        }
    }

    /// Bytes that are there and were not counted.
    pub(super) fn lag(&self) -> u64 {
        if self.cursor.compressed || self.asleep {
            return 0;
        }
        self.cursor.size.saturating_sub(self.cursor.place())
    }

    /// Reads on, until it is told to stop. `buffer` is lent.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        collected: &mut Collected,
        now: Instant,
        stop: &AtomicBool,
    ) -> io::Result<Turn> {
        if let Some(open) = &self.open
            && self.begins_anew(open)?
        {
            return Ok(Turn::Rewritten);
        }
        let Some(open) = &mut self.open else { return Ok(Turn::AtEnd) };
        let metadata = open.splitter.reader_ref().file().metadata()?;
        let (began, place) = (open.splitter.offset(), open.splitter.reader_ref().place());
        let mut turn = Turn::More;
        while open.splitter.offset() - began < TURN {
            let Some(window) = open.splitter.next_window(std::mem::take(buffer)) else { break };
            if open.splitter.reader().rewritten {
                turn = Turn::Rewritten;
            }
            if window.is_empty() {
                *buffer = window.into_buffer();
                turn = if turn == Turn::More { Turn::AtEnd } else { turn };
                break;
            }
            if !self.cursor.named && window.offset(window.new_from()) == 0 {
                let origin = first_origin(window.bytes());
                self.cursor.named = origin.is_some();
                collected.found.extend(origin.map(|origin| Found::Deployment(collected.banners.complete(&origin))));
            }
            open.scanner.scan(&window, collected);
            *buffer = window.into_buffer();
            open.mark = None;
            let is_enough = open.splitter.offset() - began >= LEAST;
            if turn == Turn::Rewritten || (is_enough && stop.load(Ordering::Relaxed)) {
                break;
            }
        }
        // Also by a part of a line.
        if open.splitter.reader_ref().place() > place {
            self.grown = now;
        }
        if open.splitter.offset() > began {
            self.growths.push_back(now);
            if self.growths.len() > BUSY {
                self.growths.pop_front();
            }
        }
        collected.seen(open.scanner.take_counts());
        if let Some(error) = open.splitter.take_error() {
            return Err(error);
        }
        self.note_place();
        if turn != Turn::Rewritten {
            // A size that was seen before the file was found to be the same still.
            let is_padded = self.open.as_ref().is_some_and(|open| open.splitter.reader_ref().padded);
            self.cursor.size = if is_padded { self.read_to() } else { metadata.len() };
        }
        Ok(turn)
    }

    /// Looks whether a file that has not grown was cut.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.splitter.reader().look_again())
    }

    fn note_place(&mut self) {
        let Some(open) = &self.open else { return };
        let offset = open.splitter.offset();
        let carried = open.splitter.reader_ref().carried();
        if carried.len() != self.cursor.carried.len() {
            self.cursor.carried = carried.to_vec();
        }
        // Until the lines before it were read again, the splitter stands above the cursor.
        if offset > self.cursor.offset {
            self.cursor.offset = offset;
            // Of a line that is passed over the splitter keeps nothing.
            let (before, recent) = (open.splitter.before(), open.splitter.reader_ref().recent());
            let is_passed_over = before.len() < recent.len() && open.splitter.partial().is_empty();
            self.cursor.print = Print::before(self.cursor.place(), if is_passed_over { recent } else { before });
            self.changed = true;
        }
        let head = open.splitter.reader_ref().head();
        if head.len() > self.cursor.head.len() {
            self.cursor.head = head.to_vec();
            self.changed = true;
        }
    }

    /// Closes records whose stream has fallen silent; true if there may be others to close.
    pub(super) fn close_quiet(&mut self, collected: &mut Collected, now: Instant) {
        let Some(open) = &mut self.open else { return };
        if !open.scanner.is_open() {
            open.mark = None;
            return;
        }
        let fed = open.scanner.fed();
        let (since, then) = *open.mark.get_or_insert((now, fed));
        if now.duration_since(since) >= QUIET {
            if open.scanner.close_quiet(then, collected) {
                self.changed = true;
            }
            open.mark = Some((now, fed));
        }
    }

    /// Takes the last line without its newline, and closes all that is open: nothing more is expected.
    pub(super) fn finish(&mut self, buffer: &mut Vec<u8>, collected: &mut Collected) {
        let place = self.read_to();
        let Some(open) = self.open.as_mut().filter(|open| open.finished != Some(place)) else { return };
        open.finished = Some(place);
        // The word that such a line ends with may be only the beginning of what was meant.
        let is_doubtful = ends_with_an_outcome(open.splitter.partial());
        let (from, known) = (open.splitter.offset(), collected.found.len());
        open.splitter.reader().ends = true;
        while let Some(window) = open.splitter.next_window(std::mem::take(buffer)) {
            open.scanner.scan(&window, collected);
            *buffer = window.into_buffer();
        }
        open.splitter.reader().ends = false;
        open.splitter.go_on();
        open.scanner.finish(collected);
        collected.seen(open.scanner.take_counts());
        for found in collected.found[known..].iter_mut().filter(|_| is_doubtful) {
            if let Found::Event(event) = found
                && event.offset >= from
            {
                (event.outcome, event.cause, event.truncated) = (Outcome::Other, None, true);
            }
        }
        self.note_place();
        let offset = self.cursor.offset;
        open_anew(&mut self.open, offset);
        self.changed = true;
    }

    /// Whether a compressed file is to be opened: its end is wanted, and it has changed since it broke off.
    pub(super) fn wants_unpacking(&self, look: Look) -> bool {
        let is_wanted = self.cursor.compressed && self.cursor.rest != Rest::None;
        is_wanted && self.unpacking.is_due(self.checked != Some(look))
    }

    /// Goes on in a compressed file.
    pub(super) fn unpack(&mut self, reader: Box<dyn Read + Send>) {
        self.unpacking.begin(&mut self.cursor, reader);
    }

    /// Whether a compressed file is being read.
    pub(super) fn is_unpacking(&self) -> bool {
        self.unpacking.is_under_way()
    }

    /// Reads on in a compressed file.
    pub(super) fn read_archive(
        &mut self,
        buffer: &mut Vec<u8>,
        collected: &mut Collected,
        now: Instant,
    ) -> io::Result<Turn> {
        self.changed |= self.is_unpacking();
        self.unpacking.read(&mut self.cursor, TURN, buffer, collected, now)
    }

    /// Since when what it held is nowhere to be read.
    pub(super) fn gone_since(&self) -> Option<Instant> {
        self.cut.or(self.missing).filter(|_| !self.is_open())
    }

    /// Closes the records that were open when the file was put away: their rest does not come.
    pub(super) fn give_up_open(&mut self, collected: &mut Collected) {
        if self.cursor.open.is_some() && !self.is_unpacking() {
            self.cursor.scanner().finish(collected);
            self.changed = true;
        }
    }

    /// Tells once of a compressed file whose end does not come.
    pub(super) fn give_up_the_rest(&mut self, collected: &mut Collected, now: Instant) {
        if self.cursor.rest == Rest::End && self.unpacking.is_late(now) {
            collected.counts.skip(Skipped::BrokenOff, 1);
            (self.cursor.rest, self.changed) = (Rest::Told, true);
        }
    }

    /// The row that is kept: without a value if nothing is to be kept any more, none if it stays as it is.
    pub(super) fn row(&mut self) -> Option<(String, Option<String>)> {
        self.changed = false;
        if self.forgotten {
            return Some((self.id.to_string(), None));
        }
        if let Some(open) = &self.open {
            self.cursor.keep(&open.scanner);
        }
        Some((self.id.to_string(), Some(written(&self.cursor)?)))
    }
}

/// What stands before a place of a file.
pub(super) fn print_at(file: &File, place: u64) -> io::Result<Print> {
    let start = place.saturating_sub(RECENT as u64);
    let mut before = Vec::new();
    read_at(file, start, (place - start) as usize, &mut before)?;
    Ok(Print::of(&before))
}

/// Whether a text ends with the outcome of an access, of which more may be missing.
fn ends_with_an_outcome(text: &[u8]) -> bool {
    let is_of_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let word = text.iter().rev().take_while(|b| is_of_word(b)).count();
    text[..text.len() - word].ends_with(PHRASE.as_bytes())
}

/// After an end, what follows begins afresh.
fn open_anew(open: &mut Option<Open>, offset: u64) {
    if let Some(open) = open {
        open.scanner.resume(Decoder::default().at_once(), offset);
        open.mark = None;
    }
}
