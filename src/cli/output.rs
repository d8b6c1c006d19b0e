//! Where the product goes: standard output, or a file that appears only when it is whole.

use crate::plain::is_unsafe;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// How wide anything is written at the most.
const MOST_COLUMNS: u16 = 400;

/// Where to write.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
}

impl Destination {
    pub(super) fn new(file: Option<&Path>) -> Self {
        match file {
            Some(path) if path.as_os_str() != "-" => Self::File(path.to_owned()),
            _ => Self::Stdout,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout) && io::stdout().is_terminal()
    }

    /// How wide the terminal is. Where there is none, a table may be as wide as it needs.
    pub(super) fn width(&self) -> u16 {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = match self {
            Self::Stdout => columns.or_else(|| comfy_table::Table::new().width().filter(|_| self.is_terminal())),
            Self::File(_) => None,
        };
        width.unwrap_or(MOST_COLUMNS).clamp(60, MOST_COLUMNS)
    }

    /// Opens it.
    pub(super) fn open(&self) -> anyhow::Result<Output> {
        match self {
            Self::Stdout => {
                Ok(Output { writer: BufWriter::with_capacity(64 * 1024, Sink::Stdout(io::stdout())), rename: None })
            }
            Self::File(path) => {
                let name = path.file_name().with_context(|| format!("{}: not a file's name", path.display()))?;
                let mut unfinished = name.to_owned();
                unfinished.push(format!(".{}.tmp", std::process::id()));
                let unfinished = path.with_file_name(unfinished);
                let file = File::create(&unfinished).with_context(|| {
                    format!(
                        "{}: cannot be written; check that its directory exists and is yours to write",
                        path.display()
                    )
                })?;
                let rename = Some((unfinished, path.clone()));
                Ok(Output { writer: BufWriter::with_capacity(64 * 1024, Sink::File(file)), rename })
            }
        }
    }

    /// Writes a whole text.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut output = self.open()?;
        output.write_all(text.as_bytes())?;
        output.finish()
    }
}

/// JSON on one line, in which characters that act on a terminal are escaped.
pub(super) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::new();
    write_json(&mut text, value)?;
    text.push(b'\n');
    // The serializer writes UTF-8.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes JSON, in which characters that act on a terminal are escaped.
pub(super) fn write_json(out: impl Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Plain))
}

/// Escapes what JSON may leave as it is and a terminal must not see.
struct Plain;

impl serde_json::ser::Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        if text.is_ascii() || !text.contains(is_unsafe) {
            return out.write_all(text.as_bytes());
        }
        for c in text.chars() {
            let mut bytes = [0; 4];
            if is_unsafe(c) {
                write!(out, "\\u{:04x}", c as u32)?;
            } else {
                out.write_all(c.encode_utf8(&mut bytes).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    File(File),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// An open destination. A file that is not finished leaves nothing behind.
#[derive(Debug)]
pub(super) struct Output {
    writer: BufWriter<Sink>,
    rename: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Ends it: everything is written, and the file appears under its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.writer.flush()?;
        if let Some((unfinished, path)) = self.rename.take() {
            let renamed = std::fs::rename(&unfinished, &path);
            if renamed.is_err() {
                let _ = std::fs::remove_file(&unfinished);
            }
            renamed.with_context(|| format!("{}: cannot be written", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((unfinished, _)) = &self.rename {
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
