//! What is followed: a file, a directory, or every file that fits a pattern, now or later.
//!
//! Enters what somebody wrote; leaves the files that are there now. Nothing is read, and what is not there is no error.

use glob::Pattern;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One of the paths of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// A file, or a directory, which stands for the files in it whose names end in `.log`.
    Path(PathBuf),
    /// Files that fit a pattern.
    Pattern(Pattern),
}

/// The files of a directory that are followed.
const IN_DIRECTORY: &str = "*.log";

impl Watched {
    /// Takes a path or pattern as a configuration file has it, relative to that file's directory.
    pub(super) fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        match text {
            "" => Err("an empty path; name a file, a directory or a pattern".to_owned()),
            "-" => Err("standard input is no file; name it on the command line: storagewatch watch -".to_owned()),
            _ if !is_pattern(text) => Ok(Self::Path(directory.join(text))),
            _ => {
                let pattern = Self::pattern(text)?;
                if Path::new(text).is_absolute() || directory.as_os_str().is_empty() {
                    return Ok(pattern);
                }
                match directory.to_str() {
                    Some(directory) => Self::pattern(&format!("{}/{text}", Pattern::escape(directory))),
                    None => Err("this file's directory is not UTF-8; write the pattern from the root on".to_owned()),
                }
            }
        }
    }

    /// Takes a path or pattern as the command line has it: what exists under just that name is meant.
    pub fn from_word(word: &str) -> Result<Self, String> {
        let path = Path::new(word);
        if !is_pattern(word) || path.symlink_metadata().is_ok() {
            return Ok(Self::Path(path.to_owned()));
        }
        Self::pattern(word)
    }

    fn pattern(text: &str) -> Result<Self, String> {
        Pattern::new(text)
            .map(Self::Pattern)
            .map_err(|error| format!("'{text}' is no pattern: {}; correct it", error.msg))
    }

    /// The files that are there now, in the order of their names, and what could not be looked into.
    pub fn find(&self) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
        match self {
            Self::Path(path) if path.is_dir() => {
                let escaped = path.to_str().map(Pattern::escape);
                let (mut found, mut unseen) =
                    escaped.map(|directory| matching(&format!("{directory}/{IN_DIRECTORY}"))).unwrap_or_default();
                found.retain(|file| !file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
                unseen.extend(path.read_dir().err().map(|error| (path.clone(), error)));
                (found, unseen)
            }
            // A link that leads nowhere is there, and cannot be read.
            Self::Path(path) => match path.symlink_metadata() {
                Ok(_) => (vec![path.clone()], Vec::new()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
                Err(error) => (Vec::new(), vec![(path.clone(), error)]),
            },
            Self::Pattern(pattern) => matching(pattern.as_str()),
        }
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matching(pattern: &str) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let (mut found, mut unseen) = (Vec::new(), Vec::new());
    // The pattern was checked when it was read.
    for path in glob::glob(pattern).into_iter().flatten() {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => found.push(path),
            Err(error) => unseen.push((error.path().to_owned(), error.into())),
        }
    }
    (found, unseen)
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Pattern(pattern) => pattern.as_str().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(watched: &Watched) -> Vec<String> {
        watched.find().0.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_directory_stands_for_the_logs_in_it_even_if_it_comes_later() {
        let directory = tempfile::tempdir().unwrap();
        let logs = directory.path().join("logs [1]");
        let watched = Watched::from_word(logs.to_str().unwrap()).unwrap();
        let later = Watched::parse("logs", directory.path()).unwrap();
        assert!(watched.find().0.is_empty() && later.find().0.is_empty());
        let plain = directory.path().join("logs");
        for at in [&logs, &plain] {
            std::fs::create_dir(at).unwrap();
            for name in ["b.log", "a.log", ".c.log", "a.log.1", "a.txt"] {
                std::fs::write(at.join(name), "").unwrap();
            }
            std::fs::create_dir(at.join("d.log")).unwrap();
        }
        assert_eq!(names(&later), ["a.log", "b.log"]);
        assert_eq!(names(&Watched::from_word(logs.to_str().unwrap()).unwrap()), ["a.log", "b.log"]);
        let pattern = Watched::parse("logs/a.log*", directory.path()).unwrap();
        assert_eq!(names(&pattern), ["a.log", "a.log.1"]);
    }

    #[test]
    fn a_directory_that_looks_like_a_pattern_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("od*d");
        std::fs::create_dir(&odd).unwrap();
        std::fs::write(odd.join("a.log"), "").unwrap();
        assert_eq!(names(&Watched::parse("?.log", &odd).unwrap()), ["a.log"]);
        assert!(Watched::parse("a[", &odd).unwrap_err().contains("is no pattern"));
        assert!(Watched::parse("-", &odd).is_err());
    }
}
