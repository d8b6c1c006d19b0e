//! Recognises records that were read before, by keys of 16 bytes.
//!
//! The latest keys are kept, up to a bound; how many were forgotten is counted, for then a copy may count again.

use crate::event::Identity;
use hashbrown::HashTable;
use sha2::{Digest, Sha256};

/// How many keys saved logs keep.
pub const KEYS_OF_SAVED_LOGS: usize = 4_000_000;

/// The latest keys, oldest first, in a ring, and an index of it. 4 million take about 100 MB; a set of keys beside a
/// queue of them would take twice that.
#[derive(Debug)]
pub struct Dedupe {
    most: usize,
    ring: Vec<u128>,
    /// Where the oldest key stands once the ring is full.
    oldest: usize,
    index: HashTable<u32>,
    forgotten: u64,
}

impl Dedupe {
    /// Keeps at most this many keys.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.clamp(1, u32::MAX as usize),
            ring: Vec::new(),
            oldest: 0,
            index: HashTable::new(),
            forgotten: 0,
        }
    }

    /// Notes a record; true if it was there before.
    pub fn is_repeat(&mut self, deployment: &str, identity: Identity) -> bool {
        self.note(key(deployment, identity))
    }

    /// Notes a key; true if it was there before.
    pub fn note(&mut self, key: u128) -> bool {
        if self.index.find(hash(key), |at| self.ring[*at as usize] == key).is_some() {
            return true;
        }
        let at = if self.ring.len() < self.most {
            self.ring.push(key);
            self.ring.len() - 1
        } else {
            let at = self.oldest;
            let old = self.ring[at];
            if let Ok(entry) = self.index.find_entry(hash(old), |slot| *slot as usize == at) {
                entry.remove();
            }
            self.forgotten += 1;
            self.ring[at] = key;
            self.oldest = (at + 1) % self.most;
            at
        };
        let ring = &self.ring;
        self.index.insert_unique(hash(key), at as u32, |slot| hash(ring[*slot as usize]));
        false
    }

    /// How many keys had to make room for later ones.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// The deployment is part of the key: the same execution in two deployments is two.
pub fn key(deployment: &str, identity: Identity) -> u128 {
    let mut hash = Sha256::new();
    hash.update(identity.0.to_le_bytes());
    hash.update(deployment.as_bytes());
    let digest = hash.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

/// The key is a hash already.
fn hash(key: u128) -> u64 {
    key as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_one_until_it_is_forgotten() {
        let mut dedupe = Dedupe::new(3);
        let mut note = |n| dedupe.is_repeat("a", Identity(n));
        assert_eq!([1, 2, 3, 1, 2].map(&mut note), [false, false, false, true, true]);
        assert_eq!([4, 1, 3].map(&mut note), [false, false, true]);
        assert_eq!(dedupe.forgotten(), 2);
        assert!(!dedupe.is_repeat("b", Identity(3)));
    }
}
