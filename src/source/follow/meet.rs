//! Tells files apart whose inodes are new: the copy of a known one, where reading goes on, or another file.

use super::Follower;
use super::cursor::{Cursor, Rest};
use super::files::Entry;
use super::identity::{agree, head_of, is_distinctive, open_same, read_at};
use super::tail::{Tail, print_at};
use crate::source::saved::decompressed;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

impl Follower {
    /// Meets a file whose inode is new: a copy of a known one, or another.
    pub(super) fn meet(&mut self, entry: &Entry, first_sight: &BTreeSet<String>, clock: Instant) -> io::Result<()> {
        if self.copies.get(&entry.inode) == Some(&entry.look()) {
            return Ok(());
        }
        let (head, compressed) = head_of(&entry.path, entry.inode)?;
        let is_unrecognisable = !compressed && head.len() < 4 && has_archive_name(&entry.path);
        if (head.is_empty() || is_unrecognisable) && !entry.is_base {
            return Ok(());
        }
        let related = |tail: &Tail| {
            let known = &tail.cursor.head;
            let common = &head[..head.len().min(known.len())];
            // Of a beginning that tells nothing, a rotated file is the copy if it is all that was there, or if it holds
            // more and is read from its beginning in any case.
            let is_longer = head.len() > known.len() && tail.cut.is_some() && tail.cursor.offset == 0;
            let is_whole = known.len() == head.len() || is_longer;
            let tells = is_distinctive(common) || (!entry.is_base && !known.is_empty() && is_whole);
            tells && agree(known, &head)
        };
        let family = self.families.get(&entry.base).cloned().unwrap_or_default();
        let is_first = first_sight.contains(&entry.pattern);
        let telling = !head.is_empty() && (compressed || is_distinctive(&head));
        if !is_first {
            // What was cut, or is gone, lives on here.
            let homeless = |tail: &Tail| tail.cursor.inode.is_none() || tail.missing.is_some();
            let is_candidate = |at: &usize| related(&self.tails[*at]) && homeless(&self.tails[*at]);
            let mut candidates: Vec<usize> = family.iter().copied().filter(is_candidate).collect();
            candidates.sort_by_key(|at| std::cmp::Reverse(self.tails[*at].id));
            for at in candidates {
                let tail = &mut self.tails[at];
                if tail.is_open() && compressed {
                    // The open file is still there to be read.
                    self.copies.insert(entry.inode, entry.look());
                    return Ok(());
                }
                if tail.adopt(entry, compressed, clock)? {
                    tracing::debug!("{}: holds what was read up to {}", entry.path.display(), tail.cursor.offset);
                    let counts = &mut self.collected.counts;
                    counts.lost_bytes += std::mem::take(&mut tail.lost);
                    counts.possible_losses += u64::from(std::mem::take(&mut tail.possibly_lost));
                    if compressed {
                        tail.cursor.rest = Rest::End;
                        self.unpack(at, entry);
                    }
                    return Ok(());
                }
            }
            let copied = telling && self.family(&entry.base).any(|tail| related(tail) && tail.cursor.inode.is_some());
            if copied && !(entry.is_base && head.len() < 64) {
                tracing::debug!("{}: a copy", entry.path.display());
                self.copies.insert(entry.inode, entry.look());
                return Ok(());
            }
        }
        if !telling && !entry.is_base && !is_first {
            // Nothing in it tells it from a copy: it is one, unless the file under the name has changed.
            let written = self.family(&entry.base).any(|tail| tail.was_base);
            let renamed = self.family(&entry.base).any(|tail| tail.was_base && !tail.is_base);
            if written && !renamed {
                return Ok(());
            }
        }
        let mut cursor = Cursor::new(entry.path.clone(), entry.base.clone(), entry.inode, head);
        cursor.compressed = compressed;
        let history = is_first && !(self.options.from_beginning && entry.is_base);
        let file = open_same(&entry.path, entry.inode)?;
        tracing::debug!("{}: a new file, {} bytes", entry.path.display(), entry.size);
        if is_first && !history {
            cursor.history = if compressed { u64::MAX } else { last_line(&file, entry.size)? };
        }
        if history && !compressed {
            cursor.offset = if entry.is_base { last_line(&file, entry.size)? } else { entry.size };
            cursor.print = print_at(&file, cursor.offset)?;
        }
        let mut tail = Tail::new(self.next_id, cursor, clock);
        self.next_id += 1;
        (tail.is_base, tail.checked) = (entry.is_base, Some(entry.look()));
        if history && entry.is_base {
            tail.name(&file);
        }
        if compressed && !history {
            tail.cursor.rest = Rest::End;
        }
        if !compressed && (entry.is_base || tail.cursor.place() < entry.size) {
            tail.open(file);
        }
        self.families.entry(entry.base.clone()).or_default().push(self.tails.len());
        self.tails.push(tail);
        if compressed && !history {
            self.unpack(self.tails.len() - 1, entry);
        }
        Ok(())
    }

    /// Goes on in a compressed file.
    pub(super) fn unpack(&mut self, at: usize, entry: &Entry) {
        match open_same(&entry.path, entry.inode).and_then(decompressed) {
            Ok(Some(reader)) => self.tails[at].unpack(reader),
            Ok(None) => {}
            Err(error) => self.complain(&entry.path, &error),
        }
    }
}

fn has_archive_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz" || extension == "zst")
}

/// Where the last line begins that has no newline yet.
fn last_line(file: &File, size: u64) -> io::Result<u64> {
    let start = size.saturating_sub(64 * 1024);
    let mut bytes = Vec::new();
    read_at(file, start, (size - start) as usize, &mut bytes)?;
    Ok(match memchr::memrchr(b'\n', &bytes) {
        Some(newline) => start + newline as u64 + 1,
        None if start == 0 => 0,
        None => size,
    })
}
