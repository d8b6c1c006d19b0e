//! What a line must hold to matter.
//!
//! The phrase and an overflow are searched for everywhere, each by a search for one word, the fastest there is
//! (about 50 GB/s within a core's cache). What hides the phrase (pieces of lines, bytes given as numbers) and banners
//! take a search for a dozen words, at a third of that; it passes over lines that begin like Convex's own JSON, in which
//! none of it can stand.

use crate::decode::{MAX_BEGINNING, may_begin_at};
use crate::event::{OVERFLOW, PHRASE};
use aho_corasick::{AhoCorasick, packed};
use memchr::memmem::Finder;
use memchr::{memchr_iter, memrchr};

/// The words that hide the phrase or name a deployment. A journal writes them with or without spaces.
const WORDS: [&str; 11] = [
    STREAM,
    ESCAPED_STREAM,
    " stdout P",
    " stderr P",
    "CONTAINER_PARTIAL_MESSAGE",
    "\"MESSAGE\":[",
    "\"MESSAGE\" : [",
    "\"MESSAGE\": [",
    "└─",
    "\\u2514\\u2500",
    "Watching logs for ",
];

/// A member of Docker's lines; only those that are pieces matter.
const STREAM: &str = "\"stream\":";

/// The same, where the line stands in an envelope of JSON.
const ESCAPED_STREAM: &str = "\\\"stream\\\":";

/// Whether a line begins as those do that Convex or the application writes without any envelope. The lengths are known
/// to the compiler, so that each is a comparison of words.
#[inline]
fn begins_like_convex(line: &[u8]) -> bool {
    line.first_chunk() == Some(b"{\"timestamp\":")
        || line.first_chunk() == Some(b"{\"kind\":\"")
        || line.first_chunk() == Some(b"{\"_timestamp\":")
}

/// A compiled search.
pub(super) struct Needles {
    phrase: Finder<'static>,
    overflow: Finder<'static>,
    words: Words,
}

/// A search for several words: vectorised where the processor can, an automaton where it cannot.
enum Words {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Words {
    #[expect(clippy::expect_used, reason = "a few constant words compile; the tests run it")]
    fn new() -> Self {
        match packed::Config::new().builder().extend(WORDS).build() {
            Some(searcher) => Self::Packed(searcher),
            None => Self::Automaton(AhoCorasick::new(WORDS).expect("a few words compile")),
        }
    }

    fn find(&self, bytes: &[u8], from: usize, to: usize) -> Option<(&'static str, usize)> {
        let found = match self {
            Self::Packed(searcher) => searcher.find_in(bytes, (from..to).into()),
            Self::Automaton(automaton) => automaton.find(aho_corasick::Input::new(bytes).range(from..to)),
        }?;
        Some((WORDS[found.pattern().as_usize()], found.start()))
    }
}

/// What one pass over a window's new bytes found.
#[derive(Default)]
pub(super) struct Found {
    /// How many newlines there are.
    pub(super) newlines: u64,
    /// How many lines exceed their bound.
    pub(super) oversize: u64,
    /// Where words stand that make their lines matter, in order.
    words: Vec<usize>,
    /// How many of them have been passed.
    passed: usize,
    /// Where lines begin with which printed JSON may begin, in order, and how many have been passed.
    brackets: Vec<usize>,
    brackets_passed: usize,
    phrase: Next,
    overflow: Next,
}

/// Where the next hit of a search lies.
#[derive(Clone, Copy, Default)]
enum Next {
    /// Not searched for yet.
    #[default]
    Unknown,
    At(usize),
    Nowhere,
}

impl Next {
    fn from(self, at: usize, search: impl FnOnce() -> Option<usize>) -> Self {
        match self {
            Self::At(found) if found >= at => self,
            Self::Nowhere => self,
            Self::Unknown | Self::At(_) => search().map_or(Self::Nowhere, |found| Self::At(at + found)),
        }
    }

    fn index(self) -> usize {
        if let Self::At(found) = self { found } else { usize::MAX }
    }
}

impl Found {
    /// Notes what a line's length and its first bytes show. A length that shows nothing, as most do, costs one
    /// comparison.
    #[inline]
    fn line(&mut self, start: usize, line: &[u8]) {
        const SHORT: usize = MAX_BEGINNING + 1;
        if line.len().wrapping_sub(SHORT) > super::MAX_LINE - SHORT
            && (line.len() > super::MAX_LINE || matches!(line.first(), Some(b'{' | b'[')))
        {
            self.odd_line(start, line);
        }
    }

    #[inline(never)]
    fn odd_line(&mut self, start: usize, line: &[u8]) {
        self.oversize += u64::from(super::is_oversize(line));
        if may_begin_at(line) {
            self.brackets.push(start);
        }
    }
}

impl Needles {
    pub(super) fn new() -> Self {
        Self { phrase: Finder::new(PHRASE), overflow: Finder::new(OVERFLOW), words: Words::new() }
    }

    /// Goes over the lines from `from` on.
    pub(super) fn survey(&self, bytes: &[u8], from: usize) -> Found {
        let mut found = Found::default();
        let mut start = from;
        // Where lines begin that are not known to be plain, one after another.
        let mut other = None;
        for newline in memchr_iter(b'\n', &bytes[from..]) {
            found.newlines += 1;
            self.line(bytes, start, &mut other, &mut found);
            found.line(start, &bytes[start..from + newline]);
            start = from + newline + 1;
        }
        if start < bytes.len() {
            self.line(bytes, start, &mut other, &mut found);
            found.line(start, &bytes[start..]);
        }
        if let Some(other) = other {
            self.words_in(bytes, other, bytes.len(), &mut found.words);
        }
        found
    }

    #[inline]
    fn line(&self, bytes: &[u8], start: usize, other: &mut Option<usize>, found: &mut Found) {
        if begins_like_convex(&bytes[start..]) {
            if let Some(other) = other.take() {
                self.words_in(bytes, other, start, &mut found.words);
            }
        } else if other.is_none() {
            *other = Some(start);
        }
    }

    fn words_in(&self, bytes: &[u8], from: usize, to: usize, hits: &mut Vec<usize>) {
        let mut at = from;
        while let Some((word, hit)) = self.words.find(bytes, at, to) {
            at = hit + 1;
            if word == STREAM || word == ESCAPED_STREAM {
                let start = memrchr(b'\n', &bytes[from..hit]).map_or(from, |newline| from + newline + 1);
                if is_whole_docker_line(&bytes[start..hit]) {
                    continue;
                }
            }
            hits.push(hit);
        }
    }

    /// The next hit at or after `at`, and whether it is the phrase.
    pub(super) fn next(&self, bytes: &[u8], at: usize, found: &mut Found) -> Option<(bool, usize)> {
        found.phrase = found.phrase.from(at, || self.phrase.find(&bytes[at..]));
        found.overflow = found.overflow.from(at, || self.overflow.find(&bytes[at..]));
        while found.words.get(found.passed).is_some_and(|hit| *hit < at) {
            found.passed += 1;
        }
        while found.brackets.get(found.brackets_passed).is_some_and(|start| *start < at) {
            found.brackets_passed += 1;
        }
        let word = found.words.get(found.passed).copied().unwrap_or(usize::MAX);
        let word = word.min(found.brackets.get(found.brackets_passed).copied().unwrap_or(usize::MAX));
        let phrase = found.phrase.index();
        let first = phrase.min(found.overflow.index()).min(word);
        (first != usize::MAX).then_some((first == phrase, first))
    }
}

/// Whether a line of Docker's, up to its member `stream`, shows that its `log` ended in a newline.
fn is_whole_docker_line(before: &[u8]) -> bool {
    let mut rest = before;
    while let [inner @ .., b' ' | b','] = rest {
        rest = inner;
    }
    match rest {
        [.., other, b'\\', b'n', b'"'] => *other != b'\\',
        [.., other, b'\\', b'\\', b'n', b'\\', b'"'] => *other != b'\\',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_line_is_whole_where_its_newline_shows() {
        assert!(is_whole_docker_line(br#"{"log":"x\n","#));
        assert!(is_whole_docker_line(br#"{"log": "x\n", "#));
        assert!(is_whole_docker_line(br#"{\"log\":\"x\\n\","#));
        assert!(!is_whole_docker_line(br#"{\"log\":\"x\\\\n\","#));
        assert!(!is_whole_docker_line(br#"{"log":"x","#));
        assert!(!is_whole_docker_line(br#"{"log":"x\\n","#));
        assert!(!is_whole_docker_line(b"{"));
    }

    #[test]
    fn every_word_is_found_where_it_stands() {
        let automaton = Words::Automaton(AhoCorasick::new(WORDS).unwrap());
        let needles = Needles::new();
        for word in WORDS.into_iter().chain([PHRASE, OVERFLOW]) {
            let text = format!("{{\"timestamp\":1}}\nx {word} y\n{{\"kind\":1}}\n");
            let expected = text.find(word);
            let mut found = needles.survey(text.as_bytes(), 0);
            assert_eq!(found.newlines, 3);
            let hit = needles.next(text.as_bytes(), 0, &mut found);
            assert_eq!(hit, expected.map(|at| (word == PHRASE, at)), "{word}");
            assert_eq!(needles.next(text.as_bytes(), hit.unwrap().1 + 1, &mut found), None, "{word}");
            if WORDS.contains(&word) {
                assert_eq!(automaton.find(text.as_bytes(), 0, text.len()).map(|hit| hit.1), expected);
            }
        }
    }
}
