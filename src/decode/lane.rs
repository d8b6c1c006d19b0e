//! What is open in one stream of an input: several services, containers or outputs may be interleaved in it.

use super::envelope::DOCKER_PIECE;
use super::openness::{Open, Openness};
use super::shape::looks_like_json;
use super::{Frame, MAX_RECORD, MAX_RECORD_LINES};
use crate::event::Layer;
use serde::{Deserialize, Serialize};

/// Streams with something open that are kept apart at the most.
pub(super) const MAX_LANES: usize = 64;

/// After how many lines of other streams the rest of something open is no longer waited for.
const PATIENCE: u64 = 1024;

/// Which stream of an input.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LaneKey {
    /// What stands around each of its lines, where that is an envelope of which no line is without.
    #[serde(default)]
    pub(super) envelope: Option<Layer>,
    /// The service, container or unit.
    pub(super) owner: Box<str>,
    /// Its output.
    pub(super) stream: Box<str>,
}

/// What is open in a stream.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// A line whose end its envelope has yet to bring.
    pub(super) piece: Option<Piece>,
    /// A record that goes on.
    pub(super) open: Option<OpenRecord>,
}

impl Lane {
    pub(super) fn is_idle(&self) -> bool {
        self.piece.is_none() && self.open.is_none()
    }

    /// The byte at which the oldest thing that is open begins.
    pub(super) fn first_offset(&self) -> Option<u64> {
        let piece = self.piece.as_ref().map(|piece| piece.frame.offset);
        let open = self.open.as_ref().map(|open| open.frame.offset);
        piece.into_iter().chain(open).min()
    }

    /// Whether a line without a prefix goes on with the record that is open here: time stamps and syslog headers
    /// stand before a record's first line only.
    pub(super) fn takes_raw_lines(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.frame.layers.iter().all(|layer| matches!(layer, Layer::Timestamps | Layer::Syslog))
        })
    }

    /// Whether the piece that is held is a line without its newline, since another record begins with `next`.
    pub(super) fn is_whole_before(&self, next: &str) -> bool {
        use super::head::{Head, Mark};
        self.piece.as_ref().is_some_and(|piece| {
            piece.lost_newline
                && piece.text.len() < DOCKER_PIECE
                && (looks_like_json(next) || Head::of(next).mark() == Mark::Strong || Head::of(next) == Head::Phrase)
                && !looks_like_json(&piece.text)
        })
    }
}

/// A line that its envelope brings in pieces.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    text: String,
    frame: Frame<'static>,
    overflowed: bool,
    /// Whether nothing but a missing newline says that it is a piece.
    lost_newline: bool,
    began: u64,
    last_fed: u64,
}

impl Piece {
    pub(super) fn new(text: &str, frame: &Frame<'_>, fed: u64) -> Self {
        Self {
            text: text.to_owned(),
            frame: frame.clone().into_owned(),
            overflowed: false,
            lost_newline: frame.layers.iter().last() == Some(Layer::Docker),
            began: fed,
            last_fed: fed,
        }
    }

    pub(super) fn push(&mut self, text: &str, fed: u64) {
        self.last_fed = fed;
        if self.overflowed || self.text.len() + text.len() > MAX_RECORD {
            self.overflowed = true;
            self.text = String::new();
        } else {
            self.text.push_str(text);
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The whole line, or where it began if it was too long.
    pub(super) fn join(self) -> Result<(String, Frame<'static>), u64> {
        if self.overflowed { Err(self.frame.offset) } else { Ok((self.text, self.frame)) }
    }

    pub(super) fn is_stale(&self, fed: u64) -> bool {
        fed - self.last_fed > PATIENCE || fed - self.began > 4 * PATIENCE
    }
}

/// A record whose literal, object or error is not closed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OpenRecord {
    pub(super) text: String,
    pub(super) frame: Frame<'static>,
    pub(super) openness: Openness,
    /// Whether a terminal broke one of its lines.
    pub(super) wrapped: bool,
    lines: u32,
    last_fed: u64,
}

impl OpenRecord {
    pub(super) fn new(text: &str, frame: &Frame<'_>, openness: Openness, fed: u64) -> Self {
        Self {
            text: text.to_owned(),
            frame: frame.clone().into_owned(),
            openness,
            wrapped: false,
            lines: 1,
            last_fed: fed,
        }
    }

    /// Whether a line without a mark of its own belongs to the record.
    pub(super) fn takes(&self, line: &str) -> bool {
        self.lines < MAX_RECORD_LINES && self.text.len() + line.len() < MAX_RECORD && self.openness.takes(line)
    }

    pub(super) fn push(&mut self, line: &str, fed: u64) {
        if self.openness.now() == Open::Literal {
            self.wrapped = true;
        } else {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.openness.push(line);
        self.lines += 1;
        self.last_fed = fed;
    }

    pub(super) fn is_stale(&self, fed: u64) -> bool {
        fed - self.last_fed > PATIENCE
    }

    /// How many lines had been fed when the last of its own came.
    pub(super) fn last_fed(&self) -> u64 {
        self.last_fed
    }
}
