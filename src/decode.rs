//! Candidate lines → records: unwraps layer by layer until a log message is left, and joins what spans lines.
//!
//! Enters one line at a time, with its offset; leaves [`Item`]s in the order of the records' first lines. Knows no
//! clock, no file and no deployment but what the lines say. The shapes are recognised by their content alone.

mod ansi;
mod convex;
mod decoder;
mod document;
mod envelope;
pub(crate) mod exact;
mod first;
mod head;
pub(crate) mod json;
mod lane;
mod message;
mod openness;
mod shape;
mod wrapped;

pub use convex::cli_text::Banner;
pub(crate) use convex::cli_text::host_of;
pub use decoder::Decoder;
pub(crate) use decoder::{goes_on_with, mark_of};
pub(crate) use document::{MAX_BEGINNING, may_begin_at};
pub use first::{body_origin, first_origin};
pub(crate) use message::cause::classify;

use crate::event::{Event, Identity, Layer, Layers, OVERFLOW, Origin, PHRASE, Timestamp};
use json::Json;
pub(crate) use lane::LaneKey;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// How long the joined text of one record may get, in bytes.
pub const MAX_RECORD: usize = 4 * 1024 * 1024;

/// How many lines of its own stream a record may go on for.
pub const MAX_RECORD_LINES: u32 = 64;

/// What decoding leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// A record, and what it was read as.
    Record(Record),
    /// A banner that names the deployment of what follows it in its stream.
    Banner {
        /// The byte of its line.
        offset: u64,
        /// The stream, where an envelope tells several apart.
        lane: Option<Arc<str>>,
        /// What it says.
        banner: Banner,
    },
    /// A record that exceeded a bound and was passed over.
    Oversize {
        /// The byte of its first line.
        offset: u64,
    },
    /// A body of several records whose end is missing.
    BrokenOff {
        /// The byte of its first line.
        offset: u64,
    },
}

impl Item {
    /// The byte of the first line.
    pub fn offset(&self) -> u64 {
        match self {
            Item::Record(record) => record.offset,
            Item::Banner { offset, .. } | Item::Oversize { offset } | Item::BrokenOff { offset } => *offset,
        }
    }
}

/// One log entry after unwrapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The byte of its first line.
    pub offset: u64,
    /// The layers it was unwrapped through.
    pub format: Layers,
    /// What it was read as.
    pub reading: Reading,
    /// For how many records of one line that do not count, all for the same reason, it stands.
    pub count: u64,
}

/// What a record was read as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reading {
    /// It reports a storage access.
    Event(Box<Event>),
    /// Convex dropped lines of the function.
    Overflow {
        /// What the record says of its deployment.
        origin: Arc<Origin>,
        /// When.
        time: Option<Timestamp>,
        /// What makes a second copy recognisable.
        identity: Option<Identity>,
    },
    /// It does not count.
    Ignored(Ignored),
    /// It could not be read.
    Undecodable,
}

/// Why a record does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ignored {
    /// Its message does not begin with the phrase.
    OtherMessage,
    /// A log stream event of another topic.
    Topic,
    /// A cached result repeats old lines.
    Cached,
    /// A line of Convex's own.
    System,
    /// A function's execution without log lines.
    NoLines,
    /// The backend's own tracing.
    Tracing,
    /// The text of an error.
    ErrorText,
    /// A printed object is no message.
    PrintedObject,
    /// The client's own words about a function.
    ClientText,
    /// JSON of another kind.
    OtherJson,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherMessage => "its message does not begin with \"Storage access: \"",
            Self::Topic => "a log stream event of another topic than console",
            Self::Cached => "a cached result, which repeats old lines",
            Self::System => "a line of Convex's own, not of the application",
            Self::NoLines => "a function's execution without log lines",
            Self::Tracing => "the backend's own tracing, not the application's console",
            Self::ErrorText => "the text of an error",
            Self::PrintedObject => "a printed object is no message",
            Self::ClientText => "the command-line client's own words",
            Self::OtherJson => "JSON of no known shape",
        })
    }
}

static FIND_PHRASE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PHRASE));
static FIND_OVERFLOW: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OVERFLOW));

/// Whether a text can hold an event or an overflow at all.
fn matters(text: &[u8]) -> bool {
    FIND_PHRASE.find(text).is_some() || FIND_OVERFLOW.find(text).is_some()
}

/// How a record's end is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Cut {
    /// It is not.
    Whole,
    /// It is missing, somewhere behind the last text that was read.
    Behind,
    /// It is missing within the last text that was read.
    InText,
}

impl Cut {
    /// Where a cut JSON text broke off.
    fn of(text: &str) -> Self {
        if json::ends_in_open_string(text) { Self::InText } else { Self::Behind }
    }

    /// The same cut, seen from a text that it did not reach.
    fn behind(self) -> Self {
        if self == Self::InText { Self::Behind } else { self }
    }
}

/// What is known of a line on its way inwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Frame<'a> {
    layers: Layers,
    time: Option<Timestamp>,
    /// The service, container or unit that wrote it.
    owner: Cow<'a, str>,
    /// Its output.
    stream: Cow<'a, str>,
    offset: u64,
    cut: Cut,
}

impl Frame<'_> {
    /// A line as it stands in its input.
    fn outermost(offset: u64) -> Frame<'static> {
        Frame {
            layers: Layers::default(),
            time: None,
            owner: Cow::Borrowed(""),
            stream: Cow::Borrowed(""),
            offset,
            cut: Cut::Whole,
        }
    }

    fn inside(&self, layer: Layer) -> Self {
        Self { layers: self.layers.and(layer), ..self.clone() }
    }

    /// Whether the cut fell into this member of a value.
    fn is_cut_in(&self, value: &Json<'_>, key: &str) -> bool {
        self.cut == Cut::InText && value.last_key() == Some(key)
    }

    fn key(&self) -> LaneKey {
        let envelope = self.layers.iter().find(|layer| matches!(layer, Layer::Docker | Layer::Cri | Layer::Journald));
        LaneKey { envelope, owner: self.owner.as_ref().into(), stream: self.stream.as_ref().into() }
    }

    fn into_owned(self) -> Frame<'static> {
        Frame {
            layers: self.layers,
            time: self.time,
            owner: Cow::Owned(self.owner.into_owned()),
            stream: Cow::Owned(self.stream.into_owned()),
            offset: self.offset,
            cut: self.cut,
        }
    }
}

/// The items of one candidate.
#[derive(Default)]
struct Output {
    items: Vec<Item>,
}

impl Output {
    fn add(&mut self, frame: &Frame<'_>, reading: Reading) {
        if let (Reading::Ignored(_), Some(Item::Record(last))) = (&reading, self.items.last_mut())
            && (last.offset, last.format) == (frame.offset, frame.layers)
            && last.reading == reading
        {
            last.count += 1;
            return;
        }
        self.items.push(Item::Record(Record { offset: frame.offset, format: frame.layers, reading, count: 1 }));
    }
}

/// A line as text: without a byte order mark, padding of NULs and a carriage return; bytes that are no text replaced.
fn readable(line: &[u8]) -> Cow<'_, str> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let mut line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    while let [b'\0', rest @ ..] = line {
        line = rest;
    }
    while let [rest @ .., b'\0' | b'\r'] = line {
        line = rest;
    }
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    // Tabs are space and escapes begin terminal codes; other control characters would make JSON unreadable.
    let foreign = |b: u8| b < b' ' && !matches!(b, b'\t' | 0x1b | 0x07 | b'\n');
    if text.bytes().fold(false, |any, b| any | foreign(b)) {
        Cow::Owned(text.replace(|c| u8::try_from(c).is_ok_and(foreign), "\u{fffd}"))
    } else {
        text
    }
}
