//! What is kept of a file over a restart: who it is, and how far it was read.

use super::identity::{Inode, Print};
use crate::attribute::Banners;
use crate::decode::Decoder;
use crate::scan::Scanner;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// What is kept of a file: who it is and how far it was read.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Where it was last seen.
    #[serde(with = "path")]
    pub(super) path: PathBuf,
    /// The path under which it is, or was, written.
    #[serde(with = "path")]
    pub(super) base: PathBuf,
    /// None once it was cut: what it held is found again only in a copy.
    pub(super) inode: Option<Inode>,
    /// Its beginning.
    #[serde(with = "hex")]
    pub(super) head: Vec<u8>,
    /// Up to where its lines were counted, carried bytes included.
    pub(super) offset: u64,
    /// What stands before that.
    pub(super) print: Print,
    /// The beginning of a line that stood at the end of a file that was cut, and goes on here.
    #[serde(with = "hex")]
    pub(super) carried: Vec<u8>,
    /// The largest size seen.
    pub(super) size: u64,
    /// Whether it is compressed.
    pub(super) compressed: bool,
    /// What is missing of it, where it is compressed.
    #[serde(default)]
    pub(super) rest: Rest,
    /// Up to where an archive holds it that was made while it was open, and what stands before that.
    #[serde(default)]
    pub(super) archive: Option<(u64, Print)>,
    /// Whether its deployment is known.
    pub(super) named: bool,
    /// Whether it stood under the name that is written when it was last seen.
    #[serde(default)]
    pub(super) written: bool,
    /// What begins before this byte was there at first sight, and is history.
    #[serde(default)]
    pub(super) history: u64,
    pub(super) settled: u64,
    pub(super) open: Option<Decoder>,
    /// The row of the file that stood here until it was cut: what it left open goes on here, once its rest was read.
    #[serde(default)]
    pub(super) heir_of: Option<u64>,
    pub(super) banners: Banners,
}

/// What was not read yet of a compressed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rest {
    /// Nothing, or nothing that is wanted.
    #[default]
    None,
    /// Its end, which may still have to be written.
    End,
    /// Its end, and that was told as skipped.
    Told,
}

impl Cursor {
    pub(super) fn new(path: PathBuf, base: PathBuf, inode: Inode, head: Vec<u8>) -> Self {
        Self {
            path,
            base,
            inode: Some(inode),
            head,
            offset: 0,
            print: Print::default(),
            carried: Vec::new(),
            size: 0,
            compressed: false,
            rest: Rest::None,
            archive: None,
            named: false,
            written: false,
            history: 0,
            settled: 0,
            open: None,
            heir_of: None,
            banners: Banners::default(),
        }
    }

    /// How far the file itself was read.
    pub(super) fn place(&self) -> u64 {
        self.offset.saturating_sub(self.carried.len() as u64)
    }

    /// Whether a file holds what was read of this one.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        let place = self.place();
        if file.metadata()?.len() < place {
            return Ok(false);
        }
        self.print.stands_before(place, file)
    }

    /// Whether another file certainly holds what was read of this one: where something was read of it, there must be
    /// something to compare.
    pub(super) fn is_surely_in(&self, file: &File) -> io::Result<bool> {
        let can_tell = self.place() == 0 || !self.carried.is_empty() || !self.print.is_empty();
        Ok(can_tell && self.is_in(file)?)
    }

    pub(super) fn scanner(&mut self) -> Scanner {
        let mut scanner = Scanner::new();
        let fresh = if self.offset == 0 { Decoder::at_start() } else { Decoder::default() };
        scanner.resume(self.open.take().unwrap_or(fresh).at_once(), self.settled);
        scanner
    }

    pub(super) fn keep(&mut self, scanner: &Scanner) {
        let (open, settled) = scanner.state();
        self.open = open.cloned();
        self.settled = settled;
    }
}

/// Bytes as text in JSON.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
        serializer.serialize_str(&digits.map(char::from).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
        let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
        text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

/// A path as text in JSON, or as its bytes where it is none.
mod path {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => text.into(),
            Either::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Banner;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_cursor_that_holds_all_it_can_is_kept_as_it_is() {
        let file = tempfile::tempfile().unwrap();
        let inode = Inode::of(&file.metadata().unwrap());
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/x/\xff.log".to_vec()));
        let mut cursor = Cursor::new(odd, "/x/app.log".into(), inode, b"\x00\xffhead".to_vec());
        cursor.print = Print::of(b"before");
        (cursor.offset, cursor.size, cursor.history, cursor.settled) = (u64::MAX, 7, 8, 9);
        cursor.carried = b"begun".to_vec();
        (cursor.compressed, cursor.named, cursor.rest) = (true, true, Rest::Told);
        let banner = |lane: Option<&str>| (lane.map(Into::into), Banner { url: Some("u".into()), deployment: None });
        for (lane, banner) in [banner(None), banner(Some("backend-1"))] {
            cursor.banners.note(lane, banner);
        }
        let mut decoder = Decoder::default();
        for line in [
            "2026-01-30T02:26:40Z stdout P [LOG] 'Storage",
            "backend-1  | [LOG] 'Storage access: direct' {",
            r#"{"kind":"Completion","identityType":"x","timestamp":1.5,"executionId":"e","logLines":["[LOG] 'Storage access: direct'"]}"#,
            "[LOG] 'Storage access: direct' {",
        ] {
            decoder.feed(line.as_bytes(), 0, &mut |_| {});
        }
        assert!(!decoder.is_settled());
        cursor.open = Some(decoder);
        let kept = serde_json::to_string(&cursor).unwrap();
        let again: Cursor = serde_json::from_str(&kept).unwrap();
        assert_eq!(again.path, cursor.path);
        // A map has no order, so that texts are compared as values.
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let mut pairs = [value(&kept), value(&serde_json::to_string(&again).unwrap())];
        for kept in &mut pairs {
            kept["banners"]["latest"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        assert_eq!(pairs[0], pairs[1]);
    }
}
