//! What a file is known by: device and inode while it lives, and what it holds when it was copied or compressed.

use super::super::saved::decompressed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// How much of a file's beginning is remembered.
pub(super) const HEAD: usize = 2048;

/// How many bytes before the place reached are compared.
pub(super) const RECENT: usize = 1024;

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Inode {
    device: u64,
    inode: u64,
}

impl Inode {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Whether a file is on the same device.
    pub(super) fn is_beside(self, metadata: &Metadata) -> bool {
        self.device == metadata.dev()
    }

    /// The number that a directory shows.
    pub(super) fn number(self) -> u64 {
        self.inode
    }
}

/// A hash of the bytes before a place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    length: u64,
    hash: String,
}

impl Print {
    /// The bytes before a place in what was read.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        Self { length: bytes.len() as u64, hash: format!("{:032x}", u128::from_be_bytes(half)) }
    }

    /// The end of what was read before a place of a file. Bytes that were carried over from another file are no part of
    /// it.
    pub(super) fn before(place: u64, read: &[u8]) -> Self {
        let length = RECENT.min(usize::try_from(place).unwrap_or(usize::MAX));
        Self::of(&read[read.len().saturating_sub(length)..])
    }

    /// Whether a place has bytes before it that can be compared, all of them the file's own.
    pub(super) fn fits(&self, place: u64) -> bool {
        !self.is_empty() && self.length <= place
    }

    /// Whether a text ends with these bytes.
    pub(super) fn ends(&self, text: &[u8]) -> bool {
        let start = usize::try_from(self.length).ok().and_then(|length| text.len().checked_sub(length));
        start.is_some_and(|start| Self::of(&text[start..]) == *self)
    }

    /// Whether there is nothing to compare.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a file holds these bytes before a place, as far as that can be told: there may be nothing to compare, or
    /// bytes that were carried over from another file are part of it.
    pub(super) fn stands_before(&self, place: u64, file: &File) -> io::Result<bool> {
        if self.length == 0 || self.length > place {
            return Ok(true);
        }
        let mut bytes = Vec::new();
        read_at(file, place - self.length, self.length as usize, &mut bytes)?;
        Ok(Self::of(&bytes) == *self)
    }
}

/// Whether two beginnings are the same as far as the shorter one goes.
pub(super) fn agree(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(a, b)| a == b)
}

/// Whether a beginning tells one file from another: lines that are all the same do not, nor does a single one that
/// bears no time or number, nor the hole that a cut leaves before what is written where the writer stood.
pub(super) fn is_distinctive(head: &[u8]) -> bool {
    let head = &head[head.iter().position(|b| *b != 0).unwrap_or(head.len())..];
    if head.iter().all(|b| head.first() == Some(b)) {
        return false;
    }
    let mut lines = head.split_inclusive(|b| *b == b'\n');
    let Some(first) = lines.next() else { return false };
    let mut others = lines.peekable();
    if others.peek().is_none() {
        return first.iter().filter(|b| b.is_ascii_digit()).count() >= 10 || head.len() >= HEAD;
    }
    !others.all(|line| first.starts_with(line))
}

/// Opens a file that was seen under a name; not found, if another has come under that name since.
pub(super) fn open_same(path: &Path, inode: Inode) -> io::Result<File> {
    let file = File::open(path)?;
    if Inode::of(&file.metadata()?) == inode { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Bytes read from a file, as far as they are written: who makes room ahead leaves zeros up to the file's end.
pub(super) fn without_padding<'a>(file: &File, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    if bytes.last() != Some(&0) {
        return Ok(bytes);
    }
    let mut last = Vec::new();
    read_at(file, file.metadata()?.len().saturating_sub(1), 1, &mut last)?;
    let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    Ok(if last == [0] { &bytes[..written] } else { bytes })
}

/// The beginning of a file, decompressed if need be, and whether it is compressed.
pub(super) fn head_of(path: &Path, inode: Inode) -> io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    if let Some(reader) = decompressed(open_same(path, inode)?)? {
        // What is being compressed right now breaks off; what is there counts.
        let _ = reader.take(HEAD as u64).read_to_end(&mut head);
        return Ok((head, true));
    }
    let file = open_same(path, inode)?;
    read_at(&file, 0, HEAD, &mut head)?;
    Ok((without_padding(&file, &head)?.to_vec(), false))
}

/// Reads up to `length` bytes from a place on.
pub(super) fn read_at(file: &File, at: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(())
}

/// Whether a name is one that rotation gives to a file: `app.log.1`, `app.log-20261124.gz`, `app-20261124.log`.
pub(super) fn is_rotation_of(base: &OsStr, name: &OsStr) -> bool {
    let (Some(base), Some(name)) = (base.to_str(), name.to_str()) else { return false };
    let plain = [".gz", ".zst"].into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    if let Some(rest) = plain.strip_prefix(base) {
        return (rest.is_empty() && plain != name) || is_mark(rest);
    }
    let Some((stem, extension)) = base.rsplit_once('.') else { return false };
    let Some(rest) = plain.strip_prefix(stem) else { return false };
    let Some(rest) = rest.strip_suffix(extension).and_then(|rest| rest.strip_suffix('.')) else { return false };
    // A short number may as well be another instance's.
    is_mark(rest) && rest.bytes().filter(u8::is_ascii_digit).count() >= 8
}

/// The names of which rotation may have made this one.
pub(super) fn bases_of(name: &OsStr) -> impl Iterator<Item = String> {
    let text = name.to_str().unwrap_or_default();
    let plain = [".gz", ".zst"].into_iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(text);
    let with_mark = marks(plain).map(str::to_owned);
    let (stem, extension) = plain.rsplit_once('.').unwrap_or_default();
    let before_extension = marks(stem).map(move |stem| format!("{stem}.{extension}"));
    let bases: BTreeSet<String> = with_mark.chain(before_extension).chain([plain.to_owned()]).collect();
    bases.into_iter().filter(move |base| is_rotation_of(OsStr::new(base), name))
}

/// What stands before each place where a mark may begin.
fn marks(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(['.', '-', '_']).filter_map(|(at, _)| name.get(..at))
}

/// `.1`, `-20261124`, `.old`.
fn is_mark(rest: &str) -> bool {
    let Some(mark) = rest.strip_prefix(['.', '-', '_']) else { return false };
    matches!(mark, "old" | "bak" | "prev" | "last" | "rotated" | "copy")
        || (mark.bytes().any(|b| b.is_ascii_digit())
            && mark.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b':' | b'T' | b'Z' | b'+')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files() {
        let is = |name: &str| is_rotation_of(OsStr::new("app.log"), OsStr::new(name));
        for name in [
            "app.log.1",
            "app.log.12.gz",
            "app.log-20261124",
            "app.log.old",
            "app-2026-11-24T10-00-00.log",
            "app.log.gz",
        ] {
            assert!(is(name), "{name}");
        }
        for name in ["app.log", "app2.log", "app-2.log", "app-worker.log", "app.logs", "other.log.1", "app.log.d"] {
            assert!(!is(name), "{name}");
        }
    }

    #[test]
    fn a_name_leads_back_to_all_that_it_may_come_from() {
        let names = [
            "app.log",
            "app.log.1",
            "app-20261124.log",
            "app.log.1-2.gz",
            "a",
            "a.gz",
            "a.",
            "a.1.",
            ".1",
            "",
            "app.log-2026.11.24",
        ];
        for name in names {
            let found: Vec<String> = bases_of(OsStr::new(name)).collect();
            for base in names.into_iter().chain(["app.log.1-2", "app.log-2026", "app.log-2026.11"]) {
                let is = is_rotation_of(OsStr::new(base), OsStr::new(name));
                assert_eq!(found.iter().any(|found| found == base), is, "{base} of {name}");
            }
        }
    }

    #[test]
    fn equal_lines_tell_nothing() {
        assert!(is_distinctive(b"{\"timestamp\":1795422440939}\n"));
        assert!(!is_distinctive(b"a\na\na\n"));
        assert!(!is_distinctive(b"a\n"));
        assert!(!is_distinctive(b"a\na\na"));
        assert!(!is_distinctive(b""));
        assert!(!is_distinctive(&[0; HEAD]));
        assert!(!is_distinctive(&[b'x'; HEAD]));
        assert!(!is_distinctive(b"\0\0\0a\n"));
        assert!(is_distinctive(b"\0\0\0{\"timestamp\":1795422440939}\n"));
        assert!(is_distinctive(b"a\nb\na\n"));
        assert!(is_distinctive(b"a\na\nb\n"));
    }
}
