//! Saved logs: files, directories, patterns and standard input; plain, gzip or zstd, told apart by their content.
//!
//! Enters what the user named; leaves inputs in a stable order, each opened as a stream of plain bytes, and problems
//! that name the path and the remedy.

use flate2::bufread::GzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What `-` and a pipe are called.
pub const STDIN: &str = "stdin";

/// How much compressed input is read at a time.
const COMPRESSED_READ: usize = 256 * 1024;

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// Its name in events and messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => STDIN.to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Its size on disk, where it has one.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => path.metadata().ok().map(|metadata| metadata.len()),
        }
    }
}

/// Why something the user named cannot be read.
#[derive(Debug, Error)]
pub enum Problem {
    /// A path leads nowhere.
    #[error("{path}: {error}")]
    Unreadable {
        /// The path as given.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A pattern matches nothing.
    #[error("{pattern}: no file matches this pattern")]
    NoMatch {
        /// The pattern as given.
        pattern: String,
    },
    /// A pattern is malformed.
    #[error("{pattern}: not a pattern: {error}")]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        error: glob::PatternError,
    },
}

/// What the user's words lead to.
#[derive(Debug, Default)]
pub struct Found {
    /// What to read, in order.
    pub inputs: Vec<Input>,
    /// What cannot be read.
    pub problems: Vec<Problem>,
    /// Files that were reached twice: read once, under the name that comes second here.
    pub same: Vec<(PathBuf, PathBuf)>,
}

/// Finds what the given words name: `-`, files, directories (walked, hidden entries left out) and patterns.
pub fn find(words: &[String]) -> Found {
    let mut found = Found::default();
    let mut seen = HashMap::new();
    for word in words {
        if word == "-" {
            if !found.inputs.contains(&Input::Stdin) {
                found.inputs.push(Input::Stdin);
            }
            continue;
        }
        let path = Path::new(word);
        match path.metadata() {
            Ok(_) => found.take(path, &mut seen),
            Err(_) if word.contains(['*', '?', '[']) => match glob::glob(word) {
                Ok(paths) => {
                    let before = found.inputs.len() + found.same.len() + found.problems.len();
                    for entry in paths {
                        match entry {
                            Ok(path) => found.take(&path, &mut seen),
                            Err(error) => found.problems.push(Problem::Unreadable {
                                path: error.path().display().to_string(),
                                error: error.into(),
                            }),
                        }
                    }
                    if before == found.inputs.len() + found.same.len() + found.problems.len() {
                        found.problems.push(Problem::NoMatch { pattern: word.clone() });
                    }
                }
                Err(error) => found.problems.push(Problem::BadPattern { pattern: word.clone(), error }),
            },
            Err(error) => found.problems.push(Problem::Unreadable { path: word.clone(), error }),
        }
    }
    found
}

impl Found {
    fn take(&mut self, path: &Path, seen: &mut HashMap<(u64, u64), PathBuf>) {
        let hidden = |entry: &walkdir::DirEntry| {
            entry.depth() > 0 && entry.file_name().to_str().is_some_and(|name| name.starts_with('.'))
        };
        let walk = walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| !hidden(entry)) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                // A pipe in a directory would be waited for; named by itself it is meant.
                Ok(entry) if entry.depth() > 0 && !entry.file_type().is_file() => {}
                Ok(entry) => self.take_file(entry.into_path(), seen),
                Err(error) => {
                    let path = error.path().unwrap_or(path).display().to_string();
                    self.problems.push(Problem::Unreadable { path, error: error.into() });
                }
            }
        }
    }

    fn take_file(&mut self, path: PathBuf, seen: &mut HashMap<(u64, u64), PathBuf>) {
        if let Some(identity) = identity(&path) {
            if let Some(first) = seen.get(&identity) {
                self.same.push((path, first.clone()));
                return;
            }
            seen.insert(identity, path.clone());
        }
        self.inputs.push(Input::File(path));
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<(u64, u64)> {
    None
}

/// An opened input.
pub enum Opened {
    /// Plain bytes on disk: its lines can be read from any byte on.
    Plain(File, u64),
    /// A stream. `live` ones bring lines as they are written.
    Stream {
        /// The plain bytes.
        reader: Box<dyn Read + Send>,
        /// Whether somebody may still be writing.
        live: bool,
    },
}

/// Opens an input and looks at its first bytes.
pub fn open(input: &Input) -> io::Result<Opened> {
    let path = match input {
        Input::Stdin => return stream(io::stdin(), true),
        Input::File(path) => path,
    };
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() || metadata.len() == 0 {
        // A named pipe, or a file of the kernel's that does not know its size.
        return stream(file, !metadata.is_file());
    }
    let head = read_head(&mut file)?;
    if Kind::of(&head) == Kind::Plain {
        return Ok(Opened::Plain(file, metadata.len()));
    }
    decompress(head, file, false)
}

/// The plain bytes of a file that is compressed; none where it is not.
pub fn decompressed(mut file: File) -> io::Result<Option<Box<dyn Read + Send>>> {
    let head = read_head(&mut file)?;
    if !matches!(Kind::of(&head), Kind::Gzip | Kind::Zstd) {
        return Ok(None);
    }
    match decompress(head, file, false)? {
        Opened::Stream { reader, .. } => Ok(Some(reader)),
        Opened::Plain(..) => Ok(None),
    }
}

fn stream(mut reader: impl Read + Send + 'static, live: bool) -> io::Result<Opened> {
    let head = read_head(&mut reader)?;
    decompress(head, reader, live)
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    /// UTF-16, as Windows shells redirect it; true where the high byte comes first.
    Utf16(bool),
    /// A format that is not read, and the command that unpacks it.
    Foreign(&'static str, &'static str),
}

impl Kind {
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xff, 0xfe, ..] => Self::Utf16(false),
            [0xfe, 0xff, ..] => Self::Utf16(true),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Foreign("xz", "xz -dc"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => Self::Foreign("bzip2", "bzip2 -dc"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Foreign("lz4", "lz4 -dc"),
            [b'P', b'K', 3, 4, ..] => Self::Foreign("a zip archive", "unzip -p"),
            _ => Self::Plain,
        }
    }
}

fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // What a slow writer has written so far is enough, if it cannot be the beginning of an archive.
    while head.len() < 6 {
        let mut byte = [0; 6];
        match reader.read(&mut byte[head.len()..]) {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(&byte[head.len()..][..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

fn decompress(head: Vec<u8>, rest: impl Read + Send + 'static, live: bool) -> io::Result<Opened> {
    let kind = Kind::of(&head);
    let whole = Cursor::new(head).chain(rest);
    let reader: Box<dyn Read + Send> = match kind {
        Kind::Plain => Box::new(whole),
        Kind::Gzip => Box::new(Unpacked::new(Members::new(BufReader::with_capacity(COMPRESSED_READ, whole)))),
        Kind::Zstd => {
            Box::new(Unpacked::new(zstd::Decoder::with_buffer(BufReader::with_capacity(COMPRESSED_READ, whole))?))
        }
        Kind::Utf16(big_endian) => Box::new(Utf16::new(BufReader::new(whole), big_endian)),
        Kind::Foreign(name, command) => {
            let text = format!("{name} is not read here; pipe it in: {command} FILE | storagewatch … -");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    Ok(Opened::Stream { reader, live: live && kind == Kind::Plain })
}

/// UTF-16 as UTF-8.
struct Utf16<R> {
    reader: R,
    big_endian: bool,
    /// The first half of a pair whose second half is still to come.
    high: Option<u16>,
    /// Text that was not taken yet.
    text: Vec<u8>,
}

impl<R: Read> Utf16<R> {
    fn new(reader: R, big_endian: bool) -> Self {
        Self { reader, big_endian, high: None, text: Vec::new() }
    }
}

/// What a compressed file holds, as UTF-8: what it is shows in its first two bytes, once they are asked for.
enum Unpacked<R> {
    /// Not known yet, and the bytes that were read.
    Unknown(Option<R>, Vec<u8>),
    Plain(io::Chain<Cursor<Vec<u8>>, R>),
    Utf16(Utf16<BufReader<io::Chain<Cursor<Vec<u8>>, R>>>),
}

impl<R: Read> Unpacked<R> {
    fn new(reader: R) -> Self {
        Self::Unknown(Some(reader), Vec::new())
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (reader, head) = match self {
                Self::Plain(reader) => return reader.read(buffer),
                Self::Utf16(reader) => return reader.read(buffer),
                Self::Unknown(reader, head) => (reader, head),
            };
            let mut byte = [0];
            let read = match reader {
                Some(reader) if head.len() < 2 => reader.read(&mut byte)?,
                _ => 0,
            };
            head.extend_from_slice(&byte[..read]);
            if read > 0 {
                continue;
            }
            let (Some(reader), head) = (reader.take(), std::mem::take(head)) else { return Ok(0) };
            let kind = Kind::of(&head);
            let whole = Cursor::new(head).chain(reader);
            *self = match kind {
                Kind::Utf16(big_endian) => Self::Utf16(Utf16::new(BufReader::new(whole), big_endian)),
                _ => Self::Plain(whole),
            };
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text.is_empty() {
            let mut bytes = Vec::new();
            let read = self.reader.by_ref().take(8192).read_to_end(&mut bytes)?;
            let units = bytes.chunks(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
            let units =
                units.map(|pair| if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) });
            let mut units: Vec<u16> = self.high.take().into_iter().chain(units).collect();
            if read > 0 && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
                self.high = units.pop();
            }
            let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            self.text = text.into_bytes();
            if read == 0 {
                break;
            }
        }
        let most = buffer.len().min(self.text.len());
        buffer[..most].copy_from_slice(&self.text[..most]);
        self.text.drain(..most);
        Ok(most)
    }
}

/// A gzip file: one member after another, and perhaps the zeros that pad a tape's block.
struct Members<R: BufRead> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut reader) = self.member.take().map(GzDecoder::into_inner) else {
                return Ok(0);
            };
            loop {
                let next = reader.fill_buf()?;
                if next.is_empty() {
                    return Ok(0);
                }
                let zeros = next.iter().take_while(|b| **b == 0).count();
                if zeros < next.len() {
                    if next[zeros] != 0x1f {
                        let text = "what follows the last gzip member is not gzip";
                        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                    }
                    reader.consume(zeros);
                    break;
                }
                reader.consume(zeros);
            }
            self.member = Some(GzDecoder::new(reader));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        gzip_of(text.as_bytes())
    }

    fn gzip_of(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> (String, Option<io::Error>) {
        let Opened::Stream { mut reader, .. } = decompress(bytes, io::empty(), false).unwrap() else { panic!() };
        let mut text = Vec::new();
        let error = reader.read_to_end(&mut text).err();
        (String::from_utf8(text).unwrap(), error)
    }

    #[test]
    fn several_members_padding_and_garbage() {
        let two = [gzip("one\n"), gzip("two\n")].concat();
        assert_eq!(read(two.clone()).0, "one\ntwo\n");
        assert!(read([two.clone(), vec![0; 512]].concat()).1.is_none());
        let (text, error) = read([two.clone(), b"garbage".to_vec()].concat());
        assert_eq!((text.as_str(), error.is_some()), ("one\ntwo\n", true));
        let (text, error) = read(two[..two.len() - 9].to_vec());
        assert!(text.starts_with("one\n") && error.is_some());
    }

    #[test]
    fn utf_16_is_read_as_text() {
        let text = format!("\u{feff}é 💥\n{}\n", "x💥".repeat(5000));
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for packed in [zstd::encode_all(&*little, 1).unwrap(), gzip_of(&little), gzip_of(&big)] {
            assert_eq!(read(packed).0, text);
        }
        assert_eq!(read(little).0, text);
        assert_eq!(read(big).0, text);
    }

    #[test]
    fn foreign_archives_are_named() {
        let error = decompress(b"\xfd7zXZ\0".to_vec(), io::empty(), false).err().unwrap();
        assert!(error.to_string().contains("xz -dc"), "{error}");
    }
}
