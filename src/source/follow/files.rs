//! Which files there are: those that are named, and those that rotation made of them.

use super::identity::{Inode, bases_of};
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory's time may stand still for as long as this while names change in it.
const GRAIN: Duration = Duration::from_millis(50);

/// How often patterns are looked at anew where a directory's time cannot tell.
const AT_LEAST: Duration = Duration::from_secs(10);

/// How often a directory is looked at until nothing moves in it any more.
const LOOKS: usize = 8;

/// So many directories are watched because a beginning of a pattern leads to them, although they hold no file yet.
const ON_THE_WAY: usize = 512;

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

/// Size and time of a file: an inode with another look may be another file's by now.
pub(super) type Look = (u64, SystemTime);

impl Entry {
    pub(super) fn look(&self) -> Look {
        (self.size, self.modified)
    }
}

/// What is looked for, and what was found last.
pub(super) struct Files {
    patterns: Vec<String>,
    bases: BTreeMap<PathBuf, String>,
    /// The names of the bases in each directory.
    names: BTreeMap<PathBuf, BTreeMap<OsString, PathBuf>>,
    directories: BTreeMap<PathBuf, Option<SystemTime>>,
    listed: SystemTime,
    /// What could not be looked at when names were last looked at.
    unseen: Vec<(PathBuf, io::Error)>,
}

impl Files {
    pub(super) fn new(patterns: &[String]) -> Self {
        let mut files = Self {
            patterns: patterns.to_vec(),
            bases: BTreeMap::new(),
            names: BTreeMap::new(),
            directories: BTreeMap::new(),
            listed: SystemTime::UNIX_EPOCH,
            unseen: Vec::new(),
        };
        files.find();
        files
    }

    /// The paths that are written.
    pub(super) fn bases(&self) -> impl Iterator<Item = &PathBuf> {
        self.bases.keys()
    }

    /// What could not be looked at when names were last looked at.
    pub(super) fn take_unseen(&mut self) -> Vec<(PathBuf, io::Error)> {
        std::mem::take(&mut self.unseen)
    }

    /// Whether a path that is written was found, when names were last looked at.
    pub(super) fn is_base(&self, path: &Path) -> bool {
        self.bases.contains_key(path)
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
        let mut unseen = Vec::new();
        for pattern in &self.patterns {
            let path = Path::new(pattern);
            if path.is_dir() {
                directories.extend([own(path)]);
                directories.extend(path.parent().map(own));
                let listing = std::fs::read_dir(path).map_err(|error| unseen.push((path.to_owned(), error)));
                let logs = listing.into_iter().flatten().flatten().map(|entry| entry.file_name());
                let logs = logs.filter(|name| is_log(name));
                matches.extend(logs.map(|name| (path.join(name), pattern.clone())));
                continue;
            }
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
            directories.extend(directories_on_the_way(path, &fixed));
            let found = glob::glob(pattern).into_iter().flatten();
            let seen_before = unseen.len();
            for found in found.filter_map(|found| found.map_err(|error| unseen.push(whole(error))).ok()) {
                directories.extend(found.parent().map(own));
                matches.insert(found, pattern.clone());
            }
            // What cannot be looked at now, for want of descriptors perhaps, holds what it held.
            for (unseen, _) in &unseen[seen_before..] {
                let held = self.bases.iter().filter(|(base, of)| *of == pattern && base.starts_with(unseen));
                let held: Vec<&PathBuf> = held.map(|(base, _)| base).filter(|base| base.is_file()).collect();
                directories.extend(held.iter().filter_map(|base| base.parent()).map(own));
                matches.extend(held.into_iter().map(|base| (base.clone(), pattern.clone())));
            }
        }
        // A pattern may match what rotation made of another match.
        let is_rotated = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| bases_of(name).any(|base| matches.contains_key(&path.with_file_name(base))))
        };
        let rotated: HashSet<PathBuf> = matches.keys().filter(|path| is_rotated(path)).cloned().collect();
        matches.retain(|path, _| !rotated.contains(path));
        self.names.clear();
        for path in matches.keys() {
            if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
                self.names.entry(own(directory)).or_default().insert(name.to_owned(), path.clone());
            }
        }
        // What rotation makes of a file that a link leads to lies beside the file.
        for path in matches.keys().filter(|path| path.is_symlink()) {
            let Ok(target) = path.canonicalize() else { continue };
            if let (Some(directory), Some(name)) = (target.parent(), target.file_name())
                && target.is_file()
            {
                let names = self.names.entry(own(directory)).or_default();
                names.entry(name.to_owned()).or_insert_with(|| path.clone());
                directories.insert(own(directory));
            }
        }
        unseen.extend(matches.keys().filter_map(|base| Some((base.clone(), base.metadata().err()?))));
        unseen.retain(|(_, error)| error.kind() != io::ErrorKind::NotFound);
        self.unseen = unseen;
        self.bases = matches;
        self.directories =
            directories.into_iter().map(|directory| (modified(&directory), directory)).map(|(t, d)| (d, t)).collect();
    }

    /// Finds all files anew: those that are written and those beside them.
    pub(super) fn list(&mut self) -> Vec<Entry> {
        self.find();
        let mut found: BTreeMap<Inode, Entry> = BTreeMap::new();
        for directory in self.directories.keys() {
            for entry in self.list_settled(directory) {
                match found.entry(entry.inode) {
                    Slot::Occupied(mut known) if entry.is_base && !known.get().is_base => drop(known.insert(entry)),
                    Slot::Occupied(_) => {}
                    Slot::Vacant(free) => drop(free.insert(entry)),
                }
            }
        }
        found.into_values().collect()
    }

    /// Lists a directory until two looks agree: while names move on, one look may see a file twice or not at all.
    fn list_settled(&self, directory: &Path) -> Vec<Entry> {
        let mut entries = self.list_once(directory);
        for _ in 0..LOOKS {
            let again = self.list_once(directory);
            let is_same = entries.len() == again.len()
                && entries.iter().zip(&again).all(|(one, other)| (&one.path, one.inode) == (&other.path, other.inode));
            entries = again;
            if is_same {
                break;
            }
        }
        entries
    }

    /// The files of one directory, in the order of their names.
    fn list_once(&self, directory: &Path) -> Vec<Entry> {
        let Some(bases) = self.names.get(directory) else { return Vec::new() };
        let mut files: Vec<(&PathBuf, Option<OsString>)> = bases.values().map(|base| (base, None)).collect();
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let rotated = bases_of(&name).filter_map(|base| bases.get(OsStr::new(base.as_str())));
            files.extend(rotated.map(|base| (base, Some(name.clone()))));
        }
        files.sort();
        let found = files.into_iter().filter_map(|(base, rotated)| {
            let pattern = self.bases.get(base)?;
            match rotated {
                None => entry(base, base, pattern, true),
                Some(name) => entry(&directory.join(name), base, pattern, false),
            }
        });
        found.collect()
    }
}

/// The directories that the beginnings of a pattern lead to: what comes in them may lead to a file.
fn directories_on_the_way(pattern: &Path, fixed: &Path) -> Vec<PathBuf> {
    let beginnings = pattern.ancestors().skip(1).take_while(|beginning| *beginning != fixed);
    let beginnings: Vec<&str> = beginnings.filter_map(Path::to_str).filter(|text| !text.is_empty()).collect();
    let found = beginnings.into_iter().rev().filter_map(|beginning| glob::glob(beginning).ok());
    found.flatten().filter_map(Result::ok).filter(|path| path.is_dir()).take(ON_THE_WAY).collect()
}

/// Whether a directory that is named stands for a file in it.
fn is_log(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".log") && !name.starts_with(b".")
}

/// What a pattern ran into, and where.
fn whole(error: glob::GlobError) -> (PathBuf, io::Error) {
    (error.path().to_owned(), error.into())
}

/// A directory's path, `.` where it is empty.
pub(super) fn own(directory: &Path) -> PathBuf {
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
