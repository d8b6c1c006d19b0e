//! A secret is named, never written: `env:NAME` or `file:PATH`.
//!
//! Enters such a reference; leaves, at the moment it is needed, the value, which nothing shows by accident. Whatever
//! else stands where a reference should is taken for a secret, and is not repeated in the error.

use serde::{Serialize, Serializer};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where a secret is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `env:NAME`, a variable of the environment, without the newlines at its end.
    Env(String),
    /// `file:PATH`, a file's content without the newlines at its end.
    File(PathBuf),
}

/// The largest secret that is read: a file that is larger is some other file.
const MAX_BYTES: u64 = 64 * 1024;

impl Secret {
    /// Takes a reference as people write it; a relative path begins at `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        let first_fits = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let all_fit = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match text.split_once(':') {
            Some(("env", name)) if first_fits(name) && all_fit(name) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(directory.join(path))),
            _ => Err("a secret is never written here; write env:NAME or file:PATH".to_owned()),
        }
    }

    /// Reads the value. A file is read anew each time, so that a rotated secret is taken up.
    pub fn reveal(&self) -> Result<Revealed, SecretError> {
        let value = match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(value) => value,
                Err(std::env::VarError::NotPresent) => return Err(self.error("not set; set the variable")),
                Err(std::env::VarError::NotUnicode(_)) => return Err(self.error("not UTF-8")),
            },
            Self::File(path) => {
                let mut bytes = Vec::new();
                let file = std::fs::File::open(path).map_err(|error| self.unreadable(error))?;
                file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
                if bytes.len() as u64 > MAX_BYTES {
                    return Err(self.error("larger than 64 KiB; name the file that holds the secret"));
                }
                String::from_utf8(bytes).map_err(|_| self.error("not UTF-8"))?
            }
        };
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        if value.is_empty() { Err(self.error("empty; put the secret there")) } else { Ok(Revealed(value)) }
    }

    /// What about its value would surprise, if it has one. It is taken as it is.
    pub fn surprise(&self) -> Option<String> {
        let value = self.reveal().ok()?;
        let value = value.expose();
        let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
        let has = match value {
            _ if value.trim() != value => "blanks around it",
            _ if ['"', '\'', '`'].into_iter().any(is_quoted) => "quotes around it",
            _ => return None,
        };
        Some(format!("the secret {self} has {has}, and they are taken for a part of it; remove them if they are none"))
    }

    fn error(&self, problem: &'static str) -> SecretError {
        SecretError::Unusable { secret: self.clone(), problem }
    }

    fn unreadable(&self, error: io::Error) -> SecretError {
        SecretError::Unreadable { secret: self.clone(), error }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a secret has no value.
#[derive(Debug, Error)]
pub enum SecretError {
    /// There is none, or none that could be used.
    #[error("the secret {secret} is {problem}")]
    Unusable {
        /// Which.
        secret: Secret,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Its file cannot be read.
    #[error("the secret {secret} cannot be read: {error}")]
    Unreadable {
        /// Which.
        secret: Secret,
        /// What the system said.
        error: io::Error,
    },
}

/// A secret's value. It has no `Display` and is not serialised; whoever wants it says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed(String);

impl Revealed {
    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revealed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_and_a_value_never() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "hunter2\r\n").unwrap();
        let secret = Secret::parse("file:key", directory.path()).unwrap();
        let value = secret.reveal().unwrap();
        assert_eq!(value.expose(), "hunter2");
        let shown = format!("{value:?} {secret:?} {secret} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("file:"), "{shown}");
        let variable = Secret::parse("env:PATH", directory.path()).unwrap();
        assert_eq!((variable.to_string().as_str(), variable.reveal().is_ok()), ("env:PATH", true));
    }

    #[test]
    fn blanks_and_quotes_around_a_value_are_taken_and_told() {
        let directory = tempfile::tempdir().unwrap();
        for (written, value, told) in [
            ("hunter2\n\r\n", "hunter2", None),
            ("hunter 2", "hunter 2", None),
            (" hunter2\n", " hunter2", Some("blanks")),
            ("hunter2\t\r\n", "hunter2\t", Some("blanks")),
            ("\n\"hunter2", "\n\"hunter2", Some("blanks")),
            ("\"hunter2\"\n", "\"hunter2\"", Some("quotes")),
            ("'hunter2'", "'hunter2'", Some("quotes")),
            ("'hunter2\"", "'hunter2\"", None),
            ("'", "'", None),
        ] {
            std::fs::write(directory.path().join("key"), written).unwrap();
            let secret = Secret::parse("file:key", directory.path()).unwrap();
            assert_eq!(secret.reveal().unwrap().expose(), value);
            let surprise = secret.surprise();
            assert!(!surprise.as_ref().is_some_and(|said| said.contains("hunter")), "{surprise:?}");
            assert!(surprise.as_ref().is_none_or(|said| told.is_some_and(|told| said.contains(told))), "{surprise:?}");
            assert_eq!(surprise.is_some(), told.is_some(), "{written:?}");
        }
        let missing = Secret::parse("file:missing", directory.path()).unwrap();
        assert_eq!(missing.surprise(), None);
    }

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        for literal in ["hunter2", "", "env:", "env:A-B", "env:1A", "file:", "ENV:PATH", "https://hunter2"] {
            let error = Secret::parse(literal, Path::new("/")).unwrap_err();
            assert!(!error.contains("hunter2") && error.contains("env:NAME or file:PATH"), "{error}");
        }
    }

    #[test]
    fn what_has_no_value_says_which_and_why() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("empty"), "\n").unwrap();
        std::fs::write(directory.path().join("large"), vec![b'x'; 65 * 1024]).unwrap();
        for (reference, why) in [
            ("file:missing", "cannot be read"),
            ("file:empty", "is empty"),
            ("file:large", "larger"),
            ("env:STORAGEWATCH_TEST_NO_SUCH_VARIABLE", "is not set"),
        ] {
            let error = Secret::parse(reference, directory.path()).unwrap().reveal().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
