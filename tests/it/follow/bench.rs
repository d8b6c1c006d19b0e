//! A bench for the follower: a directory, and what was found in it, in made-up time.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storagewatch::event::{Outcome, Timestamp};
use storagewatch::source::Found;
use storagewatch::source::follow::{Follower, Options};

/// A directory, a follower of `app.log` in it, and what it found: the storage ids of the events, in order.
pub(super) struct Bench {
    directory: tempfile::TempDir,
    /// What is followed: `app.log` unless a test says otherwise.
    pub(super) options: Options,
    /// How much later than now it is.
    pub(super) passed: Duration,
    pub(super) follower: Option<Follower>,
    pub(super) rows: std::collections::BTreeMap<String, String>,
    pub(super) found: Vec<u64>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) deployments: Vec<Option<String>>,
    /// The deployments that the events name.
    pub(super) named: Vec<Option<String>>,
    pub(super) lost: u64,
    pub(super) possible: u64,
    pub(super) skipped: u64,
    pub(super) up: bool,
    pub(super) trouble: Option<Arc<str>>,
    pub(super) bytes: u64,
    /// The most that one batch brought.
    pub(super) most: u64,
    pub(super) rotations: [u64; 3],
    pub(super) next: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        File::create(directory.path().join("app.log")).unwrap();
        let mut bench = Self::of(directory, &["app.log"]);
        bench.turn();
        bench
    }

    /// A bench that has not begun yet.
    pub(super) fn of(directory: tempfile::TempDir, names: &[&str]) -> Self {
        let options = Options {
            name: Arc::from("files"),
            paths: names.iter().map(|name| directory.path().join(name).to_str().unwrap().to_owned()).collect(),
            from_beginning: false,
            deployment: None,
            hosting: None,
            hosting_is_configured: false,
        };
        Self {
            directory,
            options,
            passed: Duration::ZERO,
            follower: None,
            rows: std::collections::BTreeMap::new(),
            found: Vec::new(),
            outcomes: Vec::new(),
            deployments: Vec::new(),
            named: Vec::new(),
            lost: 0,
            possible: 0,
            skipped: 0,
            up: false,
            trouble: None,
            bytes: 0,
            most: 0,
            rotations: [0; 3],
            next: 0,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn line(&mut self) -> String {
        self.next += 1;
        let convex = r#""convex":{"deployment_name":"happy-otter-123","deployment_type":"prod"}"#;
        let message = format!("'Storage access: direct' {{ size: {} }}", self.next);
        format!(
            r#"{{"timestamp":{},{convex},"topic":"console","function":{{"type":"action","path":"a:b","request_id":"r"}},"log_level":"INFO","message":"{message}","system_code":null}}"#,
            1_795_422_440_000_u64 + self.next
        ) + "\n"
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn write(&mut self, name: &str, lines: usize) {
        for _ in 0..lines {
            let line = self.line();
            self.append(name, &line);
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn copy_and_cut(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        OpenOptions::new().write(true).open(self.path(from)).unwrap().set_len(0).unwrap();
    }

    pub(super) fn compress(&self, name: &str) {
        let target = File::create(self.path(&format!("{name}.gz"))).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::fast());
        encoder.write_all(&fs::read(self.path(name)).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Ends the follower as a kill would.
    pub(super) fn kill(&mut self) {
        self.follower = None;
    }

    pub(super) fn turn(&mut self) {
        let mut follower = self.follower.take().unwrap_or_else(|| {
            let rows = self.rows.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            Follower::new(self.options.clone(), rows).unwrap()
        });
        for _ in 0..4 {
            let (found, rows, rotations) = (&mut self.found, &mut self.rows, &mut self.rotations);
            let (outcomes, named) = (&mut self.outcomes, &mut self.named);
            let (lost, possible) = (&mut self.lost, &mut self.possible);
            let (deployments, skipped, up) = (&mut self.deployments, &mut self.skipped, &mut self.up);
            let (bytes, most, trouble) = (&mut self.bytes, &mut self.most, &mut self.trouble);
            let mut send = |batch: storagewatch::source::Batch| {
                for item in batch.found {
                    match item {
                        Found::Event(event) => {
                            outcomes.push(event.outcome);
                            named.push(event.origin.deployment.clone());
                            found.extend(event.size_bytes);
                        }
                        Found::Deployment(origin) => {
                            deployments.push(origin.deployment.clone().or_else(|| batch.given.deployment.clone()));
                        }
                        _ => {}
                    }
                }
                for (name, value) in batch.cursors {
                    match value {
                        Some(value) => rows.insert(name, value),
                        None => rows.remove(&name),
                    };
                }
                *lost += batch.counts.lost_bytes;
                *possible += batch.counts.possible_losses;
                *skipped += batch.counts.skipped.iter().sum::<u64>();
                *bytes += batch.counts.bytes;
                *most = batch.counts.bytes.max(*most);
                *up = batch.state.up;
                *trouble = batch.state.trouble;
                rotations.iter_mut().zip(batch.counts.rotations).for_each(|(sum, more)| *sum += more);
                true
            };
            follower.turn(true, Timestamp(1_795_422_500_000), Instant::now() + self.passed, &mut send);
        }
        self.follower = Some(follower);
    }

    #[track_caller]
    pub(super) fn check(&mut self) {
        self.turn();
        let mut found = self.found.clone();
        found.sort_unstable();
        let expected: Vec<u64> = (1..=self.next).collect();
        let names: Vec<_> = fs::read_dir(self.directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(found, expected, "{names:?}");
        assert_eq!(self.lost, 0);
    }
}
