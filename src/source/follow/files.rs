//! Which files there are: those that are named, and those that rotation made of them.

use super::identity::{Inode, is_rotation_of};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory's time may stand still for as long as this while names change in it.
const GRAIN: Duration = Duration::from_millis(50);

/// How often patterns are looked at anew where a directory's time cannot tell.
const AT_LEAST: Duration = Duration::from_secs(10);

/// A file that is there.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The path under which it is, or was, written.
    pub(super) base: PathBuf,
    /// The word that led to it.
    pub(super) pattern: String,
    pub(super) inode: Inode,
    pub(super) size: u64,
    pub(super) is_base: bool,
    pub(super) modified: SystemTime,
}

/// What is looked for, and what was found last.
pub(super) struct Files {
    patterns: Vec<String>,
    bases: BTreeMap<PathBuf, String>,
    directories: BTreeMap<PathBuf, Option<SystemTime>>,
    listed: SystemTime,
}

impl Files {
    pub(super) fn new(patterns: &[String]) -> Self {
        let mut files = Self {
            patterns: patterns.to_vec(),
            bases: BTreeMap::new(),
            directories: BTreeMap::new(),
            listed: SystemTime::UNIX_EPOCH,
        };
        files.find();
        files
    }

    /// The paths that are written.
    pub(super) fn bases(&self) -> impl Iterator<Item = &PathBuf> {
        self.bases.keys()
    }

    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        self.directories.keys().cloned().collect()
    }

    /// Whether names may have changed in a directory since the last listing.
    pub(super) fn have_changed(&self) -> bool {
        let elapsed = self.listed.elapsed().unwrap_or(AT_LEAST);
        elapsed >= AT_LEAST
            || self.directories.iter().any(|(directory, then)| {
                let now = modified(directory);
                now != *then
                    || now.is_some_and(|now| {
                        self.listed.duration_since(now).is_ok_and(|age| age < GRAIN) && elapsed > GRAIN
                    })
            })
    }

    fn find(&mut self) {
        self.listed = SystemTime::now();
        let mut matches: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut directories = BTreeSet::new();
        for pattern in &self.patterns {
            let path = Path::new(pattern);
            let is_pattern = pattern.contains(['*', '?', '[']) && !path.exists();
            if !is_pattern {
                directories.extend(path.parent().map(own));
                matches.insert(path.to_owned(), pattern.clone());
                continue;
            }
            let fixed: PathBuf = path
                .components()
                .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
                .collect();
            directories.insert(own(&fixed));
            for found in glob::glob(pattern).into_iter().flatten().flatten() {
                directories.extend(found.parent().map(own));
                matches.insert(found, pattern.clone());
            }
        }
        // A pattern may match what rotation made of another match.
        let names: BTreeSet<PathBuf> = matches.keys().cloned().collect();
        self.bases = matches
            .into_iter()
            .filter(|(path, _)| {
                !names.iter().any(|base| {
                    base.parent() == path.parent()
                        && base.file_name().zip(path.file_name()).is_some_and(|(base, name)| is_rotation_of(base, name))
                })
            })
            .collect();
        self.directories =
            directories.into_iter().map(|directory| (modified(&directory), directory)).map(|(t, d)| (d, t)).collect();
    }

    /// Finds all files anew: those that are written and those beside them.
    pub(super) fn list(&mut self) -> Vec<Entry> {
        self.find();
        let mut names: BTreeMap<PathBuf, Vec<OsString>> = BTreeMap::new();
        for directory in self.directories.keys() {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            names.insert(directory.clone(), entries.map(|entry| entry.file_name()).collect());
        }
        let mut found: BTreeMap<Inode, Entry> = BTreeMap::new();
        for (base, pattern) in &self.bases {
            if let Some(entry) = entry(base, base, pattern, true) {
                found.insert(entry.inode, entry);
            }
            let (Some(directory), Some(base_name)) = (base.parent().map(own), base.file_name()) else { continue };
            for name in names.get(&directory).into_iter().flatten().filter(|name| is_rotation_of(base_name, name)) {
                if let Some(entry) = entry(&directory.join(name), base, pattern, false) {
                    found.entry(entry.inode).or_insert(entry);
                }
            }
        }
        found.into_values().collect()
    }
}

/// A directory's path, `.` where it is empty.
fn own(directory: &Path) -> PathBuf {
    if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn entry(path: &Path, base: &Path, pattern: &str, is_base: bool) -> Option<Entry> {
    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    // What a link leads to is where the file is found again.
    let path = if path.is_symlink() { path.canonicalize().ok()? } else { path.to_owned() };
    Some(Entry {
        path,
        base: base.to_owned(),
        pattern: pattern.to_owned(),
        inode: Inode::of(&metadata),
        size: metadata.len(),
        is_base,
        modified: metadata.modified().ok()?,
    })
}
