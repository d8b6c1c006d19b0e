//! The log API of a deployment as a live source: what its functions log counts as it is logged.
//!
//! Enters an address and a key; leaves batches. The backend keeps what was logged in memory, each entry behind a
//! cursor that is a time of its own clock and only rises while it runs; it answers with all that lies behind the cursor
//! it is told. The cursor becomes durable with the counts, so no key of a record is needed to count it once.
//!
//! A backend that was started anew with its clock set back gives new entries cursors that lie before ours, and would
//! never show them. Where its clock stands before our cursor, or it did not answer as it should, all it keeps is read
//! again, and what stands behind the last entry that was seen is new; where that entry is not there, all of it is.

mod answer;
mod api;

use super::collect::Collected;
use super::{Asked, Batch, Found, TROUBLE};
use crate::decode::Decoder;
use crate::event::{Identity, Origin, Timestamp, clip};
use crate::fetch::{self, Body};
use crate::ledger::{Skipped, SourceCounts, SourceState};
use crate::plain::safe;
use crate::scan::{Scanner, Splitter};
use crate::secret::Secret;
use answer::Answer;
use api::{Api, Greeting, Trouble};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The row that a source keeps.
const ROW: &str = "poll";

/// A question that is not refused for so long waits for something to be logged, unless something is wrong already.
const SETTLED: Duration = Duration::from_secs(2);

/// Who has nothing to tell holds the question; who says so sooner than this is left alone for a while.
const SOON: Duration = Duration::from_secs(1);
const BREATH: Duration = Duration::from_millis(250);

/// A clock that is said to be further ahead of ours, in milliseconds, is believed as far as its entries show it.
const AHEAD: i64 = 3000;

/// Addresses that were polled before and of which it is kept how far.
const OTHERS: usize = 8;

/// What to poll, and what is known of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The deployment.
    pub asked: Asked,
    /// Where its key is.
    pub key: Secret,
    /// Whether what it keeps at the very first start counts.
    pub from_beginning: bool,
}

/// How far a deployment was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    url: String,
    /// When it was first to be polled, by our clock, in milliseconds.
    start: i64,
    /// The cursor behind the last entry that was read, as it came.
    cursor: Option<String>,
    /// What that entry is recognised by.
    last: Option<String>,
    /// How many equal ones were read last.
    #[serde(default)]
    equal: Option<usize>,
    /// Whether it was asked for what it kept at the start: what it tells since is news.
    #[serde(default)]
    is_past_history: bool,
}

/// The row: how far was read at the address that is polled, and at those that were polled before.
#[derive(Serialize, Deserialize)]
struct Row<P, O> {
    #[serde(flatten)]
    place: P,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    others: Option<O>,
}

/// Polls one deployment.
pub struct Poller {
    options: Options,
    place: Option<Place>,
    /// How far deployments were read that were polled before, the latest first.
    others: VecDeque<Place>,
    origin: Arc<Origin>,
    scanner: Scanner,
    attempts: u32,
    /// Whether it may have been started anew while nobody asked it.
    looks_back: bool,
    up: bool,
    /// What went wrong last.
    trouble: Option<Arc<str>>,
    /// What is wrong, as far as it was said.
    said: BTreeSet<String>,
    said_loss: bool,
    said_still: bool,
    said_untold: bool,
}

/// Why polling ends.
enum End {
    Trouble(Trouble),
    /// Nobody takes batches any more.
    Gone,
}

impl<T: Into<Trouble>> From<T> for End {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

impl Poller {
    /// A poller that goes on from the rows it left.
    pub fn new(options: Options, rows: &[(String, String)]) -> Result<Self, serde_json::Error> {
        let row = rows.iter().find(|(name, _)| name == ROW);
        let row = row.map(|(_, row)| serde_json::from_str::<Row<Place, VecDeque<Place>>>(row)).transpose()?;
        let mut others = VecDeque::new();
        let place = row.and_then(|row| {
            others = row.others.unwrap_or_default();
            turn_to(&options.asked.url, Some(row.place), &mut others)
        });
        Ok(Self {
            place,
            others,
            options,
            origin: Arc::default(),
            scanner: Scanner::new(),
            attempts: 0,
            looks_back: true,
            up: false,
            trouble: None,
            said: BTreeSet::new(),
            said_loss: false,
            said_still: false,
            said_untold: false,
        })
    }

    /// Goes on under another configuration.
    pub fn reconfigure(&mut self, options: Options) {
        if options.asked.url != self.options.asked.url {
            self.place = turn_to(&options.asked.url, self.place.take(), &mut self.others);
            self.origin = Arc::default();
            self.looks_back = true;
        }
        // What is wrong is said again: somebody may have tried to mend it.
        self.said.clear();
        self.options = options;
    }

    /// Polls until it is told to stop, or `send` returns false.
    pub async fn run(
        &mut self,
        mut stop: watch::Receiver<bool>,
        now: impl Fn() -> Timestamp,
        mut send: impl FnMut(Batch) -> bool,
    ) {
        self.up = false;
        // What is under way is dropped with its connection: between two batches nothing is held that is not asked for again.
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work(&now, &mut send) => {}
        }
    }

    async fn work(&mut self, now: &impl Fn() -> Timestamp, send: &mut impl FnMut(Batch) -> bool) {
        if self.place.is_none() {
            self.place = Some(Place {
                url: self.options.asked.url.to_string(),
                start: now().0,
                cursor: None,
                last: None,
                equal: None,
                is_past_history: false,
            });
            // Kept at once: after a kill it is still this start from which on everything counts.
            if self.hand_over(Vec::new(), SourceCounts::default(), false, now(), send).is_err() {
                return;
            }
        }
        let client = match fetch::client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!("source '{}': no HTTP client: {error}", self.options.asked.name);
                return;
            }
        };
        loop {
            let Err(End::Trouble(trouble)) = self.poll(&client, now, send).await else { return };
            self.attempts += 1;
            self.up = false;
            let text = trouble.to_string();
            self.trouble = Some(Arc::from(clip(&text, TROUBLE)));
            // Details change from one attempt to the next; each kind of trouble is said once.
            let kind = text.split(": ").next().unwrap_or_default();
            if self.said.insert(kind.to_owned()) {
                tracing::error!("source '{}': {}", self.options.asked.name, safe(&text));
            }
            if self.hand_over(Vec::new(), SourceCounts::default(), false, now(), send).is_err() {
                return;
            }
            sleep(trouble.wait(self.attempts, chance())).await;
        }
    }

    /// Polls until something goes wrong.
    async fn poll(
        &mut self,
        client: &reqwest::Client,
        now: &impl Fn() -> Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<std::convert::Infallible, End> {
        let (url, secret) = (Arc::clone(&self.options.asked.url), self.options.key.clone());
        let key = secret.reveal().map_err(|error| Trouble::NoKey(error.to_string()))?;
        let api = Api::new(client, &url, secret.to_string(), &key)?;
        let mut greeting = api.greet(now).await;
        let (date, ahead) = (greeting.date, greeting.ahead);
        let start = self.place.as_ref().map_or(0, |place| place.start + ahead);
        let mut cursor = self.first_cursor(start);
        // What tells the time need not be the clock that cursors are of, and would hide what is logged until ours is there.
        let mut doubted = if ahead > AHEAD { self.doubted(start - ahead, &mut cursor) } else { None };
        let may_hide = |place: Option<&Place>, date: Option<Timestamp>| {
            let cursor = place.and_then(|place| place.cursor.as_ref()?.parse::<f64>().ok());
            // It is told to the second, and no cursor lies ahead of it as it should run.
            date.zip(cursor).is_some_and(|(date, cursor)| ((date.0 + 1000) as f64) < cursor)
        };
        let hides = may_hide(self.place.as_ref(), date);
        // However soon it is back: its clock may be another, and what is told of the time may be somebody else's.
        self.looks_back |= self.attempts > 0;
        let mut looks_back = self.looks_back && self.knows_last() && !hides;
        let mut reads_again = hides || looks_back;
        // Whether its clock was looked at since something was last asked for with our cursor and answered.
        let mut is_checked = reads_again;
        // How many answers in a row had entries and left the cursor where it was.
        let mut still = 0;
        if greeting.untold.is_none() {
            self.meet(&greeting, now, send)?;
        }
        // It is asked again who it is, ever less often, between two questions for logs.
        let (mut greetings, mut greeted_at) = (1, Instant::now());
        loop {
            if greeting.untold.is_some() && self.up && greeted_at.elapsed() > api::pause(greetings, 0.5) {
                greeting = api.greet(now).await;
                (greetings, greeted_at) = (greetings + 1, Instant::now());
                self.meet(&greeting, now, send)?;
            }
            let asked = if reads_again { "0" } else { cursor.as_str() };
            let asked_at = Instant::now();
            let mut rest = Duration::ZERO;
            let body = {
                let mut poll = std::pin::pin!(api.poll(asked));
                if let Ok(answered) = timeout(SETTLED, &mut poll).await {
                    answered?
                } else {
                    // Whatever it kept it would have told; but who failed before may just as well hang now.
                    doubted = None;
                    if self.attempts == 0 {
                        self.meet(&greeting, now, send)?;
                        self.end_history(now, send)?;
                        self.is_up(now, send)?;
                    }
                    // Nothing is logged, or nothing is shown: it may have been started anew between two questions.
                    let checked = std::mem::replace(&mut is_checked, true);
                    if !checked && may_hide(self.place.as_ref(), api.clock().await) {
                        reads_again = true;
                        continue;
                    }
                    match poll.await {
                        // Something in between does not wait for so long, or it was started anew. Where the deployment
                        // itself answers, there is nothing to tell.
                        Err(trouble) if trouble.may_be_idleness() => {
                            let hides = may_hide(self.place.as_ref(), api.alive(trouble).await?);
                            looks_back |= self.knows_last() && !hides && !reads_again;
                            reads_again |= hides || looks_back;
                            is_checked = reads_again;
                            self.is_up(now, send)?;
                            continue;
                        }
                        answered => answered?,
                    }
                }
            };
            is_checked &= reads_again;
            // Who could not say who it is is known by its logs.
            self.meet(&greeting, now, send)?;
            match body {
                Body::Whole(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let answer = Answer::parse(&text).map_err(|error| not_the_api(&url, &error))?;
                    if let Some(told) = doubted.take()
                        && let Ok(last) = answer.cursor.parse::<f64>()
                        && last > (now().0 + AHEAD) as f64
                    {
                        // Its clock is ahead of ours, and that was there before.
                        cursor = if last < told as f64 { answer.cursor.to_owned() } else { told.to_string() };
                        continue;
                    }
                    if answer.is_empty() {
                        self.end_history(now, send)?;
                        rest = if asked_at.elapsed() < SOON { BREATH } else { rest };
                    } else {
                        // Who asks from the same place again is told the same again, and once more when it has moved on.
                        let (moves, overlaps) = (answer.moves_on_from(asked), still > 0);
                        still = if moves { 0 } else { still + 1 };
                        answer.cursor.clone_into(&mut cursor);
                        self.take(answer, reads_again || !moves || overlaps, start, now(), send)?;
                        reads_again = false;
                        if still == 1 {
                            self.stands_still(now(), send)?;
                        }
                        rest = if moves { rest } else { api::pause(still, chance()) };
                    }
                    (looks_back, self.looks_back) = (false, false);
                }
                // What was passed over before stands in the way of a look back, and not behind the cursor.
                Body::TooLarge(_) if looks_back => {
                    (reads_again, looks_back, self.looks_back) = (false, false, false);
                    continue;
                }
                Body::TooLarge(tail) => {
                    let end = answer::cursor_at_end(&tail).ok_or_else(|| not_the_api(&url, "it is too large"))?;
                    cursor.clone_from(&end);
                    self.pass_over(end, now(), send)?;
                    reads_again = false;
                }
            }
            self.is_up(now, send)?;
            sleep(rest).await;
        }
    }

    /// Whether there is an entry to recognise. Without one there is nothing to look back to.
    fn knows_last(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.last.is_some())
    }

    /// Where to begin: behind what was read, else at everything that is kept, or at our start on the deployment's clock.
    fn first_cursor(&self, start: i64) -> String {
        let cursor = self.place.as_ref().and_then(|place| place.cursor.clone());
        let first = if self.options.from_beginning { 0 } else { start.max(0) };
        cursor.unwrap_or_else(|| first.to_string())
    }

    /// Begins at our start on our own clock, where nothing but the time that is told says when that was on theirs. Returns
    /// that time.
    fn doubted(&self, start: i64, cursor: &mut String) -> Option<i64> {
        let is_known = self.options.from_beginning || self.place.as_ref().is_some_and(|place| place.cursor.is_some());
        let told = cursor.parse().ok().filter(|_| !is_known)?;
        *cursor = start.to_string();
        Some(told)
    }

    /// Notes that there is no history, or none any more.
    fn end_history(&mut self, now: &impl Fn() -> Timestamp, send: &mut impl FnMut(Batch) -> bool) -> Result<(), End> {
        match &mut self.place {
            Some(place) if !place.is_past_history => place.is_past_history = true,
            _ => return Ok(()),
        }
        self.hand_over(Vec::new(), SourceCounts::default(), false, now(), send)
    }

    /// Makes the deployment known, before its first event: as it says itself, or else as was known before, or else as its
    /// key and address say.
    fn meet(
        &mut self,
        greeting: &Greeting,
        now: &impl Fn() -> Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<(), End> {
        let (origin, source) = (&greeting.origin, &self.options.asked.name);
        let is_known = *self.origin != Origin::default();
        let name = if is_known && greeting.untold.is_some() { &self.origin.deployment } else { &origin.deployment };
        let name = name.as_deref().or(self.options.asked.given.deployment.as_deref());
        let name = name.unwrap_or("without a name").escape_debug();
        match &greeting.untold {
            Some(untold) if !std::mem::replace(&mut self.said_untold, true) => {
                tracing::warn!(
                    "source '{source}': {}; it is polled as deployment {name} and asked again",
                    safe(untold)
                );
            }
            Some(_) => {}
            None => self.said_untold = false,
        }
        if *self.origin == *origin || (is_known && greeting.untold.is_some()) {
            return Ok(());
        }
        tracing::info!("source '{source}': deployment {name}");
        self.origin = Arc::new(origin.clone());
        let found = vec![Found::Deployment(Arc::clone(&self.origin))];
        self.hand_over(found, SourceCounts::default(), false, now(), send)
    }

    /// Notes that the deployment answers.
    fn is_up(&mut self, now: &impl Fn() -> Timestamp, send: &mut impl FnMut(Batch) -> bool) -> Result<(), End> {
        self.attempts = 0;
        if !std::mem::take(&mut self.said).is_empty() {
            tracing::info!("source '{}': the deployment answers again", self.options.asked.name);
        }
        if std::mem::replace(&mut self.up, true) {
            return Ok(());
        }
        self.hand_over(Vec::new(), SourceCounts::default(), false, now(), send)
    }

    /// Counts what an answer holds. What the deployment logged before `start`, by its own clock, is history where it is
    /// told at the first opportunity.
    fn take(
        &mut self,
        mut answer: Answer<'_>,
        again: bool,
        start: i64,
        read_at: Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<(), End> {
        let Some(place) = &mut self.place else { return Err(End::Gone) };
        let was_past = std::mem::replace(&mut place.is_past_history, true) || place.last.is_some();
        let is_first = !was_past;
        let (last, equal) = answer.last().unzip();
        // Equal entries may come in several answers.
        let goes_on = !again && last == place.last && answer.is_of_one();
        let before = if goes_on { place.equal } else { Some(0) };
        // Where the seam is seen, nothing is missing at it.
        let has_seam = again && place.last.as_ref().is_some_and(|last| answer.drop_up_to(last, place.equal));
        let is_whole = has_seam || (is_first && self.options.from_beginning);
        let may_miss = !is_whole && answer.is_full();
        place.last = last;
        place.equal = before.zip(equal).map(|(before, equal)| before + equal);
        place.cursor = Some(answer.cursor.to_owned());
        // From the end, nothing is history: what was logged before and ends now belongs to what ends now.
        let history = if self.options.from_beginning { start } else { i64::MIN };
        // Read again without a seam, it was all logged since, or else its entries are written differently now: then they
        // are known by what they say.
        let may_repeat = is_first || (again && !has_seam);
        let was_read = !answer.is_empty();
        let (found, mut counts) = if was_read {
            self.read(&answer, may_repeat.then_some(Timestamp(if is_first { history } else { i64::MIN })))
        } else {
            Default::default()
        };
        counts.possible_losses += u64::from(may_miss);
        if may_miss && !std::mem::replace(&mut self.said_loss, true) {
            tracing::warn!(
                "source '{}': as many completions as the backend keeps came at once; earlier ones may be lost (said once; \
                 storagewatch_source_possible_loss_total counts)",
                self.options.asked.name
            );
        }
        self.up = true;
        self.hand_over(found, counts, was_read, read_at, send)
    }

    /// Tells that the cursor does not move: nobody knows what else that hides.
    fn stands_still(&mut self, read_at: Timestamp, send: &mut impl FnMut(Batch) -> bool) -> Result<(), End> {
        if !std::mem::replace(&mut self.said_still, true) {
            tracing::warn!(
                "source '{}': the log API tells entries and a newCursor that does not lie behind the one that was asked \
                 for; what is told again counts once, and it is asked less often; is something else in between? (said \
                 once; storagewatch_source_possible_loss_total counts)",
                self.options.asked.name
            );
        }
        let counts = SourceCounts { possible_losses: 1, ..SourceCounts::default() };
        self.hand_over(Vec::new(), counts, false, read_at, send)
    }

    /// Goes past an answer that exceeds every bound.
    fn pass_over(
        &mut self,
        cursor: String,
        read_at: Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<(), End> {
        let Some(place) = &mut self.place else { return Err(End::Gone) };
        place.cursor = Some(cursor);
        place.is_past_history = true;
        let mut counts = SourceCounts { possible_losses: 1, ..SourceCounts::default() };
        counts.skip(Skipped::Oversize, 1);
        tracing::warn!("source '{}': an answer of more than 64 MiB was passed over", self.options.asked.name);
        self.hand_over(Vec::new(), counts, true, read_at, send)
    }

    /// Decodes the entries. They name no deployment: it is the one that answered.
    ///
    /// What comes behind a cursor that was committed with the counts is new, whatever it looks like, so its records count
    /// without identities: two equal lines are two events. Their identities are noted after them, for whoever reads the
    /// same deployment from its beginning by another address or under another name. What is told first of all keeps
    /// them, since it may have been read that way, or piped in, before; of two equal lines in it the second has none. Of
    /// it, what was logged before `start` alerts nobody.
    fn read(&mut self, answer: &Answer<'_>, start: Option<Timestamp>) -> (Vec<Found>, SourceCounts) {
        let line = answer.line();
        let mut collected = Collected::default();
        self.scanner.begin(Decoder::at_start());
        let mut splitter = Splitter::whole(line.as_bytes(), true);
        let mut buffer = Vec::new();
        while let Some(window) = splitter.next_window(std::mem::take(&mut buffer)) {
            self.scanner.scan(&window, &mut collected);
            buffer = window.into_buffer();
        }
        self.scanner.finish(&mut collected);
        collected.seen(self.scanner.take_counts());
        let (mut seen, mut noted) = (HashSet::new(), Vec::new());
        let mut keep = |identity: &mut Option<Identity>| match start {
            Some(_) => *identity = identity.take().filter(|identity| seen.insert(*identity)),
            None => noted.extend(identity.take()),
        };
        for found in &mut collected.found {
            match found {
                Found::Event(event) | Found::History(event) => {
                    event.origin = Arc::clone(&self.origin);
                    keep(&mut event.identity);
                }
                Found::Overflow { origin, identity } => {
                    *origin = Arc::clone(&self.origin);
                    keep(identity);
                }
                Found::Counted { .. } | Found::Deployment(_) | Found::Probe { .. } => {}
            }
        }
        let counted = noted.into_iter().map(|identity| Found::Counted { origin: Arc::clone(&self.origin), identity });
        collected.found.extend(counted);
        if let Some(start) = start {
            collected.make_history_of(|event| event.logged.or(event.time).is_none_or(|logged| logged < start));
        }
        (collected.found, collected.counts)
    }

    /// Hands over what was found with how far was read.
    fn hand_over(
        &mut self,
        found: Vec<Found>,
        counts: SourceCounts,
        was_read: bool,
        read_at: Timestamp,
        send: &mut impl FnMut(Batch) -> bool,
    ) -> Result<(), End> {
        let others = (!self.others.is_empty()).then_some(&self.others);
        let row = self.place.as_ref().map(|place| Row { place, others });
        let row = row.as_ref().map(|row| (ROW, row));
        let trouble = self.trouble.clone().filter(|_| !self.up);
        let state =
            SourceState { lag_bytes: 0, begun_bytes: 0, last_read: was_read.then_some(read_at), up: self.up, trouble };
        let mut batch = self.options.asked.batch(found, row, state, read_at);
        batch.counts = counts;
        // A deployment that is down keeps nobody from what the others tell.
        batch.caught_up &= self.up || self.attempts > 0;
        if send(batch) { Ok(()) } else { Err(End::Gone) }
    }
}

/// Puts one place aside and finds that of an address, if it was polled before.
fn turn_to(url: &str, place: Option<Place>, others: &mut VecDeque<Place>) -> Option<Place> {
    others.extend(place);
    others.rotate_right(1.min(others.len()));
    let at = others.iter().position(|place| place.url == url);
    let found = at.and_then(|at| others.remove(at));
    others.truncate(OTHERS);
    found
}

fn not_the_api(url: &str, error: &str) -> Trouble {
    Trouble::Elsewhere(format!("{url} answers, but not as the log API does: {error}; is something else in between?"))
}

/// Something between 0 and 1, so that many who failed together do not come back together.
fn chance() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u32) / f64::from(u32::MAX)
}
