//! What a line must hold to matter, searched for in one pass.

use crate::event::{OVERFLOW, PHRASE};
use aho_corasick::{AhoCorasick, packed};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needle {
    /// A storage access message.
    Phrase,
    /// A member of Docker's lines; only those that are pieces matter.
    Stream,
    /// An overflow, a piece of a line, bytes as numbers, or a banner.
    Other,
}

/// The words, each with what it means. Pieces of lines matter because the phrase may be cut in two by them, and byte
/// numbers because they hide it; a journal writes them with or without spaces.
const WORDS: [(&str, Needle); 12] = [
    (PHRASE, Needle::Phrase),
    (OVERFLOW, Needle::Other),
    ("\"stream\":", Needle::Stream),
    (" stdout P", Needle::Other),
    (" stderr P", Needle::Other),
    ("CONTAINER_PARTIAL_MESSAGE", Needle::Other),
    ("\"MESSAGE\":[", Needle::Other),
    ("\"MESSAGE\" : [", Needle::Other),
    ("\"MESSAGE\": [", Needle::Other),
    ("└─", Needle::Other),
    ("\\u2514\\u2500", Needle::Other),
    ("Watching logs for ", Needle::Other),
];

/// A compiled search: vectorised where the processor can (17 GB/s for these twelve words where twelve searches of one
/// word each reach 5), an automaton where it cannot.
pub(super) enum Needles {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Needles {
    #[expect(clippy::expect_used, reason = "a dozen constant words compile; the tests run it")]
    pub(super) fn new() -> Self {
        let words = || WORDS.iter().map(|(word, _)| word);
        match packed::Config::new().builder().extend(words()).build() {
            Some(searcher) => Self::Packed(searcher),
            None => Self::Automaton(AhoCorasick::new(words()).expect("a dozen words compile")),
        }
    }

    /// The first word at or after `from`, and where it stands.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<(Needle, usize)> {
        let found = match self {
            Self::Packed(searcher) => searcher.find_in(bytes, (from..bytes.len()).into()),
            Self::Automaton(automaton) => automaton.find(aho_corasick::Input::new(bytes).range(from..)),
        }?;
        Some((WORDS[found.pattern().as_usize()].1, found.start()))
    }
}

/// Whether a line of Docker's, up to its member `stream`, shows that its `log` ended in a newline.
pub(super) fn is_whole_docker_line(before: &[u8]) -> bool {
    let mut rest = before;
    while let [inner @ .., b' ' | b','] = rest {
        rest = inner;
    }
    matches!(rest, [.., other, b'\\', b'n', b'"'] if *other != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_line_is_whole_where_its_newline_shows() {
        assert!(is_whole_docker_line(br#"{"log":"x\n","#));
        assert!(is_whole_docker_line(br#"{"log": "x\n", "#));
        assert!(!is_whole_docker_line(br#"{"log":"x","#));
        assert!(!is_whole_docker_line(br#"{"log":"x\\n","#));
        assert!(!is_whole_docker_line(b"{"));
    }

    #[test]
    fn both_searches_find_the_same() {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        let text = format!("x{}y", words.join("yz\n"));
        let automaton = Needles::Automaton(AhoCorasick::new(&words).unwrap());
        for from in 0..text.len() {
            let expected = words
                .iter()
                .filter_map(|word| memchr::memmem::find(&text.as_bytes()[from..], word.as_bytes()))
                .min()
                .map(|at| at + from);
            assert_eq!(Needles::new().find(text.as_bytes(), from).map(|f| f.1), expected);
            assert_eq!(automaton.find(text.as_bytes(), from).map(|f| f.1), expected);
        }
    }
}
