//! The small values of a configuration, each read from what people write.
//!
//! Enters a text or a TOML value; leaves a value of its own type, or a sentence that says what was expected.

use super::document::kind;
use crate::event::Hosting;
use clap::ValueEnum;
use glob::Pattern;
use jiff::SignedDuration;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeValue;

/// Where a file that is there at the very first start is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// Its first byte: what it holds already counts.
    Beginning,
    /// Its end: only what is written from now on counts.
    End,
}

/// How the log on standard error is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person
    Text,
    /// For a program, an object a line
    Json,
}

/// What of the log is written: this and what is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What stops it
    Error,
    /// What a person should look at
    Warn,
    /// What it does
    Info,
    /// Why, with samples of what could not be read
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The level in the terms of `tracing`.
    pub const fn filter(self) -> tracing::level_filters::LevelFilter {
        use tracing::level_filters::LevelFilter;
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// A source's name: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`, since it becomes a label and part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// Takes a name as people write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Arc::from(text)))
        } else {
            Err("expected 1 to 64 of the characters A-Z, a-z, 0-9, '_', '.' and '-'".to_owned())
        }
    }

    /// The name of the source that the program makes itself.
    pub(super) fn own(text: &'static str) -> Self {
        Self(Arc::from(text))
    }

    /// The text in labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The one thing that braces may hold in a deployment's name.
const STEM: &str = "{stem}";

/// The longest name that a deployment may have, in bytes.
const MAX_NAME: usize = 200;

/// A deployment's name, or what makes one from a file's name: `{stem}` stands for that name without its directory,
/// up to its first dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentTemplate(String);

impl DeploymentTemplate {
    /// Takes a name or template as people write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !is_name(text) {
            return Err(format!("expected a deployment's name of 1 to {MAX_NAME} characters"));
        }
        if text.replace(STEM, "").contains(['{', '}']) {
            return Err(format!("'{text}' has braces around something else than stem; only {STEM} is filled in"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name, where it is the same for every file.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(STEM)).then_some(&*self.0)
    }

    /// The name for the records of one file; nothing where the file's name does not make one.
    pub fn name_for(&self, file: &Path) -> Option<String> {
        if let Some(name) = self.literal() {
            return Some(name.to_owned());
        }
        let name = file.file_name()?.to_str()?;
        let hidden = usize::from(name.starts_with('.'));
        let dot = name.bytes().skip(hidden).position(|b| b == b'.').map_or(name.len(), |dot| dot + hidden);
        let filled = self.0.replace(STEM, name.get(..dot)?);
        is_name(&filled).then_some(filled)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a deployment's name that is written in full.
pub(super) fn deployment_name(text: &str) -> Result<String, String> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected a deployment's name of 1 to {MAX_NAME} characters"))
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Reads a duration such as `1h`, `250ms` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| format!("'{}' is no duration; write one as in 250ms, 30s, 10m or 1h 30m", text.escape_debug()))
}

/// Reads a duration that lies within bounds.
pub fn duration_within(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration(text)?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("'{text}' is out of bounds; write {} to {}", written(*bounds.start()), written(*bounds.end())))
}

/// Units of sizes, the largest first.
const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// Reads a size that lies within bounds, such as `512KiB` or `16MiB`.
pub(super) fn size_within(text: &str, bounds: &RangeInclusive<usize>) -> Result<usize, String> {
    let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let size = unit.and_then(|(number, shift)| number.trim_end().parse::<usize>().ok()?.checked_mul(1 << shift));
    let Some(size) = size else {
        return Err(format!("'{}' is no size; write one as in 512KiB or 16MiB", text.escape_debug()));
    };
    if bounds.contains(&size) {
        return Ok(size);
    }
    Err(format!(
        "'{text}' is out of bounds; write {} to {}",
        written_size(*bounds.start()),
        written_size(*bounds.end())
    ))
}

/// A size as it is written.
pub(super) fn written_size(size: usize) -> String {
    let unit = UNITS.iter().find(|(_, shift)| size.is_multiple_of(1 << shift));
    unit.map_or_else(|| size.to_string(), |(unit, shift)| format!("{}{unit}", size >> shift))
}

/// A duration as it is written.
pub(crate) fn written(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{}s", duration.as_secs()), |d| format!("{d:#}"))
}

/// Reads a pattern of deployments' names.
pub(super) fn name_pattern(text: &str) -> Result<Pattern, String> {
    if !is_name(text) {
        return Err(format!("expected a deployment's name or a pattern of 1 to {MAX_NAME} characters"));
    }
    Pattern::new(text).map_err(|error| format!("'{text}' is no pattern: {}; correct or escape it", error.msg))
}

/// Where a deployment runs, in the words of the file.
pub(super) fn hosting(value: &DeValue<'_>) -> Result<Hosting, String> {
    let stated = [Hosting::Cloud, Hosting::SelfHosted, Hosting::Local];
    let text = text(value)?;
    stated
        .into_iter()
        .find(|hosting| hosting.as_str() == text)
        .ok_or_else(|| format!("'{}' is no hosting; write cloud, self_hosted or local", text.escape_debug()))
}

/// A text.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("expected text in quotes, found {}; put quotes around it", kind(value)))
}

/// A text that is read further.
pub(super) fn parsed<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| parse(text(value)?)
}

/// Yes or no.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("expected true or false, found {}; write it without quotes", kind(value)))
}

/// A whole number within bounds.
pub(super) fn count(value: &DeValue<'_>, bounds: RangeInclusive<usize>) -> Result<usize, String> {
    value
        .as_integer()
        .and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok())
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| format!("expected a whole number; write {} to {}", bounds.start(), bounds.end()))
}

/// One of a closed set of words.
pub(super) fn word<T: ValueEnum>(value: &DeValue<'_>) -> Result<T, String> {
    let text = text(value)?;
    T::from_str(text, false).map_err(|_| {
        let words: Vec<String> = T::value_variants().iter().map(name_of).collect();
        format!("'{}' is not known here; write {}", text.escape_debug(), words.join(" or "))
    })
}

/// The text of one of a closed set of words.
pub(super) fn name_of<T: ValueEnum>(word: &T) -> String {
    word.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_is_the_name_up_to_its_first_dot() {
        let name = |template: &str, file: &str| DeploymentTemplate::parse(template).unwrap().name_for(Path::new(file));
        assert_eq!(name("{stem}", "/var/log/happy-otter-123.log").as_deref(), Some("happy-otter-123"));
        assert_eq!(name("{stem}", "happy-otter-123.log.1.gz").as_deref(), Some("happy-otter-123"));
        assert_eq!(name("{stem}", "plain").as_deref(), Some("plain"));
        assert_eq!(name("{stem}", "/x/.hidden.log").as_deref(), Some(".hidden"));
        assert_eq!(name("eu-{stem}-prod", "a.log").as_deref(), Some("eu-a-prod"));
        assert_eq!(name("mine", "a.log").as_deref(), Some("mine"));
        assert_eq!(name("{stem}", "/").as_deref(), None);
        assert_eq!(name("{stem}", "a\nb.log").as_deref(), None);
        assert_eq!(name("{stem}", &"a".repeat(201)).as_deref(), None);
        for wrong in ["", "{other}", "{stem", "stem}", "{{stem}}", "a\nb"] {
            assert!(DeploymentTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_what_people_write() {
        for (text, millis) in [("250ms", 250), ("1h 30m", 5_400_000), ("0s", 0), ("24h", 86_400_000), ("1.5s", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "5", "-5s", "1y", "soon", "1h ago"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(written(Duration::from_mins(90)), "1h 30m");
        assert_eq!(written(Duration::ZERO), "0s");
    }

    #[test]
    fn sizes_are_what_people_write() {
        let size = |text: &str| size_within(text, &(1024..=1 << 26));
        for (text, bytes) in [("1KiB", 1 << 10), ("512 KiB", 512 << 10), ("16MiB", 16 << 20), ("64MiB", 64 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(written_size(bytes), text.replace(' ', ""));
        }
        for wrong in ["", "16", "16MB", "MiB", "-1KiB", "1.5MiB", "99999999999999999999GiB", "18446744073709551615GiB"]
        {
            assert!(size(wrong).unwrap_err().contains("is no size"), "{wrong}");
        }
        assert_eq!(size("1GiB").unwrap_err(), "'1GiB' is out of bounds; write 1KiB to 64MiB");
    }

    #[test]
    fn source_names_are_fit_for_labels_and_paths() {
        for right in ["a", "self-hosted", "A.b_c-9", &"x".repeat(64)] {
            assert_eq!(SourceName::parse(right).unwrap().as_str(), right);
        }
        for wrong in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(SourceName::parse(wrong).is_err(), "{wrong}");
        }
    }
}
