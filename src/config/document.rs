//! A TOML document whose every key and value knows where it stands.
//!
//! Enters the text of a file; leaves [`Section`]s, from which keys are taken by name, and for whatever is wrong the
//! place and a sentence. A key that a section does not know is refused before any other is read.

use super::ConfigError;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong, at a byte of the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    at: usize,
    what: String,
}

impl Wrong {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    /// Names the file, the line and the column.
    pub(super) fn within(self, path: &Path, text: &str) -> ConfigError {
        let before = text.get(..self.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError::Wrong {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what: self.what,
        }
    }
}

/// Reads the document.
pub(super) fn parse(text: &str) -> Result<DeTable<'_>, Wrong> {
    DeTable::parse(text).map(Spanned::into_inner).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        Wrong::new(at, format!("not TOML: {message}; correct what stands here"))
    })
}

/// A table of the document, whose keys are all known.
pub(super) struct Section<'d> {
    /// As the file writes it: `[limits]`; empty for the top level.
    name: String,
    table: &'d DeTable<'d>,
    at: usize,
}

impl<'d> Section<'d> {
    /// Takes a table that may have these keys and no others.
    pub(super) fn new(name: &str, table: &'d DeTable<'d>, at: usize, known: &[&str]) -> Result<Self, Wrong> {
        let unknown = table.keys().filter(|key| !known.contains(&&**key.get_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let within = if name.is_empty() { String::new() } else { format!(" in {name}") };
            let advice = match nearest(key.get_ref(), known) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known there: {}", known.join(", ")),
            };
            let what = format!("unknown key '{}'{within}; {advice}", key.get_ref().escape_debug());
            return Err(Wrong::new(key.span().start, what));
        }
        Ok(Self { name: name.to_owned(), table, at })
    }

    /// Where it begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What a key is set to.
    pub(super) fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(&DeValue<'d>) -> Result<T, String>,
    ) -> Result<Option<T>, Wrong> {
        self.spanned(key).map(|value| read(value.get_ref()).map_err(|what| wrong_value(key, value, &what))).transpose()
    }

    /// What a key is set to that cannot be left out.
    pub(super) fn require<T>(
        &self,
        key: &str,
        example: &str,
        read: impl FnOnce(&DeValue<'d>) -> Result<T, String>,
    ) -> Result<(T, Range<usize>), Wrong> {
        match (self.get(key, read)?, self.spanned(key)) {
            (Some(value), Some(place)) => Ok((value, place.span())),
            _ => Err(Wrong::new(self.at, format!("{} has no {key}; add one, as in {key} = {example}", self.name))),
        }
    }

    /// The elements of an array that has at least one.
    pub(super) fn each<T>(
        &self,
        key: &str,
        example: &str,
        mut read: impl FnMut(&DeValue<'d>) -> Result<T, String>,
    ) -> Result<Vec<T>, Wrong> {
        let (elements, place) = self.require(key, example, |value| match value {
            DeValue::Array(elements) => Ok(elements.iter().cloned().collect::<Vec<_>>()),
            other => Err(format!("expected an array, as in {example}, found {}", kind(other))),
        })?;
        if elements.is_empty() {
            return Err(Wrong::new(place.start, format!("{key}: empty; name at least one, as in {key} = {example}")));
        }
        elements
            .iter()
            .map(|element| read(element.get_ref()).map_err(|what| wrong_value(key, element, &what)))
            .collect()
    }

    /// As [`Section::each`], of an array that may be left out.
    pub(super) fn each_if_there<T>(
        &self,
        key: &str,
        example: &str,
        read: impl FnMut(&DeValue<'d>) -> Result<T, String>,
    ) -> Result<Vec<T>, Wrong> {
        if self.spanned(key).is_some() { self.each(key, example, read) } else { Ok(Vec::new()) }
    }

    /// Says what is wrong with a key's value.
    pub(super) fn wrong(&self, key: &str, what: impl Into<String>) -> Wrong {
        Wrong::new(self.spanned(key).map_or(self.at, |value| value.span().start), what)
    }

    /// Says what is missing here.
    pub(super) fn lacks(&self, what: &str) -> Wrong {
        Wrong::new(self.at, format!("{} {what}", self.name))
    }

    /// A table within this one.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Option<Section<'_>>, Wrong> {
        let Some(value) = self.spanned(key) else { return Ok(None) };
        let table = self.table(key)?;
        Section::new(&format!("[{key}]"), table, value.span().start, known).map(Some)
    }

    /// The tables of an array of tables, `[[name]]`.
    pub(super) fn sections(&self, key: &str, name: &str, known: &[&str]) -> Result<Vec<Section<'_>>, Wrong> {
        let Some(value) = self.spanned(key) else { return Ok(Vec::new()) };
        let expected = |found: &Spanned<DeValue<'_>>| {
            let what = format!("expected tables that begin with {name}, found {}", kind(found.get_ref()));
            Wrong::new(found.span().start, format!("{key}: {what}; write the two brackets on both sides"))
        };
        let DeValue::Array(tables) = value.get_ref() else { return Err(expected(value)) };
        let section = |element: &'d Spanned<DeValue<'d>>| match element.get_ref() {
            DeValue::Table(table) => Section::new(name, table, element.span().start, known),
            _ => Err(expected(element)),
        };
        tables.iter().map(section).collect()
    }

    /// The tables of a table whose keys are chosen freely, in the order of the document, each with its key.
    pub(super) fn named(&self, key: &str, known: &[&str]) -> Result<Vec<(String, usize, Section<'_>)>, Wrong> {
        if self.spanned(key).is_none() {
            return Ok(Vec::new());
        }
        let mut entries: Vec<_> = self.table(key)?.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let section = |(name, value): (&'d Spanned<_>, &'d Spanned<DeValue<'d>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            let shown = format!("[{key}.\"{}\"]", name.escape_debug());
            let at = value.span().start;
            match value.get_ref() {
                DeValue::Table(table) => Ok((name.to_string(), at, Section::new(&shown, table, at, known)?)),
                other => Err(Wrong::new(at, format!("expected a table, found {}; write {shown}", kind(other)))),
            }
        };
        entries.into_iter().map(section).collect()
    }

    fn table(&self, key: &str) -> Result<&'d DeTable<'d>, Wrong> {
        match self.spanned(key) {
            Some(value) => value.get_ref().as_table().ok_or_else(|| {
                let what = format!("{key}: expected a table, found {}; write [{key}]", kind(value.get_ref()));
                Wrong::new(value.span().start, what)
            }),
            None => Err(Wrong::new(self.at, format!("{} has no {key}; add it", self.name))),
        }
    }

    fn spanned(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.table.iter().find_map(|(name, value)| (name.get_ref() == key).then_some(value))
    }
}

fn wrong_value(key: &str, value: &Spanned<DeValue<'_>>, what: &str) -> Wrong {
    Wrong::new(value.span().start, format!("{key}: {what}"))
}

/// What a value is, for a sentence.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that was probably meant.
fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let (distance, near) = known.iter().map(|near| (distance(word, near), *near)).min()?;
    (distance <= near.len().div_ceil(3).min(3)).then_some(near)
}

/// How many letters have to be put in, taken out, exchanged or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let exchanged = last[column] + usize::from(letter != *other);
            let mut least = exchanged.min(last[column + 1] + 1).min(current[column] + 1);
            if column > 0 && Some(*other) == previous && to[column - 1] == letter {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_that_was_probably_meant() {
        let known = ["listen", "state_dir", "linger", "from"];
        for (word, near) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("state-dir", Some("state_dir")),
            ("form", Some("from")),
            ("severity", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let place = |text: &str, at: usize| match Wrong::new(at, "x").within(Path::new("c.toml"), text) {
            ConfigError::Wrong { line, column, .. } => (line, column),
            other => panic!("{other}"),
        };
        assert_eq!(place("a", 0), (1, 1));
        assert_eq!(place("a\nöä = 1", 6), (2, 3));
        assert_eq!(place("a\n", 2), (2, 1));
        assert_eq!(place("", 9), (1, 1));
    }
}
