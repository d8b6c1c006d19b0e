//! The ledger's rows on disk: one redb database, one transaction a commit.
//!
//! Enters a [`Write`]: rows to put and to remove; leaves when all of them are durable, or none. An input or output
//! error makes redb refuse everything until the database is opened anew, which the next attempt does.

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The database's name in the state directory.
pub(super) const FILE: &str = "ledger.redb";

/// What this version writes and reads.
const FORMAT: &str = "1";

/// redb's cache, in bytes: the rows are few and small.
const CACHE: usize = 16 * 1024 * 1024;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const PLACES: TableDefinition<'_, &str, &str> = TableDefinition::new("places");
const SOURCES: TableDefinition<'_, &str, &str> = TableDefinition::new("sources");
const KNOWN: TableDefinition<'_, &str, &str> = TableDefinition::new("known");
const CURSORS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("cursors");
const KEYS: TableDefinition<'_, u64, (u128, i64)> = TableDefinition::new("keys");
const ALERTS: TableDefinition<'_, &str, &str> = TableDefinition::new("alerts");
const FAILURES: TableDefinition<'_, u64, &str> = TableDefinition::new("failures");
const BODIES: TableDefinition<'_, u64, (u128, i64)> = TableDefinition::new("bodies");

/// Why the ledger cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process holds it.
    #[error(
        "{path}: another process holds this state; stop it, or give this one a state directory of its own",
        path = path.display()
    )]
    Held {
        /// The database.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "{path}: written by a newer storagewatch (format {found}, this one knows {FORMAT}); install that version, or name \
         another state directory to begin anew",
        path = path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// It is damaged.
    #[error(
        "{path}: the state is damaged ({reason}); restore it from a copy, or move it away to begin anew",
        path = path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("{path}: {reason}; the state directory must be writable and have room", path = path.display())]
    Refused {
        /// The database, or its directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Rows to put and to remove, all at once.
#[derive(Debug, Default)]
pub(super) struct Write {
    pub(super) meta: Vec<(&'static str, String)>,
    pub(super) places: Vec<(String, String)>,
    pub(super) sources: Vec<(String, String)>,
    pub(super) known: Vec<(String, String)>,
    /// By source and name; none removes the row.
    pub(super) cursors: Vec<((String, String), Option<String>)>,
    /// By number: a key and when it was seen.
    pub(super) keys: Vec<(u64, (u128, i64))>,
    /// Keys below this number are dropped.
    pub(super) keys_from: u64,
    /// By what they are about; none removes the row.
    pub(super) alerts: Vec<(String, Option<String>)>,
    /// By number: the latest failures.
    pub(super) failures: Vec<(u64, String)>,
    /// Failures below this number are dropped.
    pub(super) failures_from: u64,
    /// By number: a body's hash and until when it is kept.
    pub(super) bodies: Vec<(u64, (u128, i64))>,
    /// Bodies below this number are dropped, if there is one.
    pub(super) bodies_from: Option<u64>,
}

/// All that is there.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) meta: Vec<(String, String)>,
    pub(super) places: Vec<(String, String)>,
    pub(super) sources: Vec<(String, String)>,
    pub(super) known: Vec<(String, String)>,
    pub(super) cursors: Vec<((String, String), String)>,
    pub(super) keys: Vec<(u64, (u128, i64))>,
    pub(super) alerts: Vec<(String, String)>,
    pub(super) failures: Vec<(u64, String)>,
    pub(super) bodies: Vec<(u64, (u128, i64))>,
}

/// The database, on disk or in memory.
pub(super) struct Store {
    path: Option<PathBuf>,
    database: Option<Database>,
}

impl Store {
    /// Opens the database in a directory, which is made if it is missing; without one, it lives in memory.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, StoreError> {
        let path = match directory {
            Some(directory) => {
                std::fs::create_dir_all(directory)
                    .map_err(|error| StoreError::Refused { path: directory.to_owned(), reason: error.to_string() })?;
                Some(directory.join(FILE))
            }
            None => None,
        };
        let mut store = Self { path, database: None };
        store.begin()?;
        store.database = Some(guarded(&store, || store.checked())?);
        // Written each time, so that a directory that cannot be written to is refused at the start.
        store.commit(&Write { meta: vec![("format", FORMAT.to_owned())], ..Write::default() })?;
        Ok(store)
    }

    /// Makes a new database under another name first: one that is empty under its own is damaged, not new.
    fn begin(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        let refused = |error: io::Error| StoreError::Refused { path: path.clone(), reason: error.to_string() };
        match path.metadata() {
            Ok(metadata) if metadata.len() > 0 => return Ok(()),
            Ok(_) => return Err(StoreError::Damaged { path: path.clone(), reason: "it is empty".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(error)),
        }
        let new = path.with_extension("new");
        let mut store = Self { path: Some(new.clone()), database: None };
        if let Err(error) = new.metadata().map_or(Ok(()), |_| std::fs::remove_file(&new)) {
            return Err(refused(error));
        }
        store.commit(&Write { meta: vec![("format", FORMAT.to_owned())], ..Write::default() })?;
        drop(store);
        std::fs::rename(&new, path).map_err(refused)
    }

    /// The database, if it is one that this version can use.
    fn checked(&self) -> Result<Database, StoreError> {
        let database = self.database()?;
        let read = database.begin_read().map_err(|error| self.error(error))?;
        let found = match read.open_table(META) {
            Ok(table) => table.get("format").map_err(|error| self.error(error))?.map(|found| found.value().to_owned()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(self.error(error)),
        };
        let path = || self.path.clone().unwrap_or_default();
        match found {
            Some(found) if found == FORMAT => Ok(database),
            Some(found) => Err(StoreError::Newer { path: path(), found }),
            None if self.path.is_none() => Ok(database),
            None => Err(StoreError::Damaged { path: path(), reason: "it is another program's".to_owned() }),
        }
    }

    fn database(&self) -> Result<Database, StoreError> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        match &self.path {
            Some(path) => builder.create(path).map_err(|error| self.error(error)),
            None => {
                builder.create_with_backend(redb::backends::InMemoryBackend::new()).map_err(|error| self.error(error))
            }
        }
    }

    fn error(&self, error: impl Into<redb::Error>) -> StoreError {
        let path = self.path.clone().unwrap_or_default();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => StoreError::Held { path },
            redb::Error::UpgradeRequired(version) => StoreError::Newer { path, found: version.to_string() },
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                StoreError::Damaged { path, reason: error.to_string() }
            }
            redb::Error::Io(error) => StoreError::Refused { path, reason: error.to_string() },
            redb::Error::PreviousIo => StoreError::Refused { path, reason: "an earlier write failed".to_owned() },
            other => StoreError::Damaged { path, reason: other.to_string() },
        }
    }

    /// Reads everything.
    pub(super) fn rows(&self) -> Result<Rows, StoreError> {
        guarded(self, || self.read_rows().map_err(|error| self.error(error)))
    }

    fn read_rows(&self) -> Result<Rows, redb::Error> {
        fn texts(table: &impl ReadableTable<&'static str, &'static str>) -> Result<Vec<(String, String)>, redb::Error> {
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_owned(), value.value().to_owned()));
            }
            Ok(rows)
        }
        let mut rows = Rows::default();
        let Some(database) = &self.database else { return Ok(rows) };
        let read = database.begin_read()?;
        rows.meta = texts(&read.open_table(META)?)?;
        rows.places = texts(&read.open_table(PLACES)?)?;
        rows.sources = texts(&read.open_table(SOURCES)?)?;
        rows.known = texts(&read.open_table(KNOWN)?)?;
        for row in read.open_table(CURSORS)?.iter()? {
            let (key, value) = row?;
            let (source, name) = key.value();
            rows.cursors.push(((source.to_owned(), name.to_owned()), value.value().to_owned()));
        }
        for (definition, rows) in [(KEYS, &mut rows.keys), (BODIES, &mut rows.bodies)] {
            for row in read.open_table(definition)?.iter()? {
                let (key, value) = row?;
                rows.push((key.value(), value.value()));
            }
        }
        rows.alerts = texts(&read.open_table(ALERTS)?)?;
        for row in read.open_table(FAILURES)?.iter()? {
            let (key, value) = row?;
            rows.failures.push((key.value(), value.value().to_owned()));
        }
        Ok(rows)
    }

    /// Makes all of it durable, or nothing.
    pub(super) fn commit(&mut self, write: &Write) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.database()?,
        };
        match put(&database, write) {
            Ok(()) => {
                self.database = Some(database);
                Ok(())
            }
            // The next attempt opens it anew.
            Err(error) if self.path.is_some() => Err(self.error(error)),
            Err(error) => {
                self.database = Some(database);
                Err(self.error(error))
            }
        }
    }
}

/// redb asserts what it expects of its own file. A damaged one is the user's trouble, and no bug to print a stack for.
fn guarded<T>(store: &Store, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.unwrap_or_else(|_| {
        Err(StoreError::Damaged {
            path: store.path.clone().unwrap_or_default(),
            reason: "its pages contradict each other".to_owned(),
        })
    })
}

fn put(database: &Database, write: &Write) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        for (definition, rows) in [(PLACES, &write.places), (SOURCES, &write.sources), (KNOWN, &write.known)] {
            let mut table = transaction.open_table(definition)?;
            for (key, value) in rows {
                table.insert(key.as_str(), value.as_str())?;
            }
        }
        let mut meta = transaction.open_table(META)?;
        for (key, value) in &write.meta {
            meta.insert(*key, value.as_str())?;
        }
        let mut cursors = transaction.open_table(CURSORS)?;
        for ((source, name), value) in &write.cursors {
            match value {
                Some(value) => cursors.insert((source.as_str(), name.as_str()), value.as_str())?,
                None => cursors.remove((source.as_str(), name.as_str()))?,
            };
        }
        let mut keys = transaction.open_table(KEYS)?;
        for (number, key) in &write.keys {
            keys.insert(number, key)?;
        }
        if !write.keys.is_empty() && write.keys_from > 0 {
            keys.retain_in(..write.keys_from, |_, _| false)?;
        }
        let mut alerts = transaction.open_table(ALERTS)?;
        for (key, value) in &write.alerts {
            match value {
                Some(value) => alerts.insert(key.as_str(), value.as_str())?,
                None => alerts.remove(key.as_str())?,
            };
        }
        let mut failures = transaction.open_table(FAILURES)?;
        for (number, value) in &write.failures {
            failures.insert(number, value.as_str())?;
        }
        if !write.failures.is_empty() && write.failures_from > 0 {
            failures.retain_in(..write.failures_from, |_, _| false)?;
        }
        let mut bodies = transaction.open_table(BODIES)?;
        for (number, body) in &write.bodies {
            bodies.insert(number, body)?;
        }
        if let Some(from) = write.bodies_from {
            bodies.retain_in(..from, |_, _| false)?;
        }
    }
    transaction.commit()?;
    Ok(())
}
