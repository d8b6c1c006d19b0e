//! Lines that an envelope brings, whole or in pieces that are joined here.

use super::super::envelope::{self, End, Opened};
use super::super::lane::Piece;
use super::super::{Cut, Frame, Item, shape};
use super::{Decoder, join_names};

impl Decoder {
    /// Joins the pieces of a line, then goes on with it.
    pub(super) fn enveloped(&mut self, opened: Opened<'_>, outer: &Frame<'_>, prefix: bool) {
        let frame = Frame {
            layers: outer.layers.and(opened.layer),
            time: opened.time.or(outer.time),
            owner: join_names(&outer.owner, opened.owner),
            stream: join_names(&outer.stream, opened.stream),
            offset: outer.offset,
            cut: outer.cut,
        };
        let key = frame.key();
        if prefix {
            self.last_prefixed = Some(key.clone());
        }
        let payload = opened.payload.as_ref();
        if let Some(at) = self.lane_at(&key).filter(|at| self.lanes[*at].1.piece.is_some()) {
            if opened.end == End::More || !self.lanes[at].1.is_whole_before(payload) {
                return self.add_piece(at, payload, opened.end);
            }
            self.end_piece(at, false);
        }
        let unfinished = match opened.end {
            End::Line => false,
            End::More => true,
            End::NoNewline => frame.cut == Cut::Whole && !shape::is_whole(payload),
        };
        if unfinished {
            let at = self.lane(&key);
            self.lanes[at].1.piece = Some(Piece::new(payload, &frame, self.fed));
            return;
        }
        // A journal's entry may hold several lines.
        self.asks &= !payload.contains('\n');
        let mut lines = payload.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mut frame = frame.clone();
            if lines.peek().is_some() {
                // Only the last one can have been cut.
                frame.cut = Cut::Whole;
            }
            self.unwrap(line.strip_suffix('\r').unwrap_or(line), frame);
        }
    }

    fn add_piece(&mut self, at: usize, payload: &str, end: End) {
        // Its pieces are gone once they are joined: the line cannot be given back.
        self.asks = false;
        let Some(piece) = &mut self.lanes[at].1.piece else {
            return;
        };
        piece.push(payload, self.fed);
        let ends = match end {
            End::Line => true,
            End::More => false,
            End::NoNewline => payload.len() < envelope::DOCKER_PIECE && shape::is_whole(piece.text()),
        };
        if ends {
            self.end_piece(at, false);
        }
    }

    /// Goes on with a line whose pieces have come together, or whose rest is `missing`.
    pub(super) fn end_piece(&mut self, at: usize, missing: bool) {
        self.asks = false;
        let Some(piece) = self.lanes[at].1.piece.take() else {
            return;
        };
        match piece.join() {
            Ok((text, mut frame)) => {
                if missing && frame.cut == Cut::Whole {
                    frame.cut = Cut::InText;
                }
                for line in text.split('\n') {
                    self.unwrap(line.strip_suffix('\r').unwrap_or(line), frame.clone());
                }
            }
            Err(offset) => self.waiting.push(Item::Oversize { offset }),
        }
    }
}
