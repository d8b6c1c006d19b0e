//! Following files, one hazard a test: what is written counts once, whatever becomes of the names.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
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

fn is_there(path: &Path) -> bool {
    path.exists()
}

#[test]
fn what_is_appended_counts() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.check();
    let line = bench.line();
    let (first, rest) = line.split_at(40);
    bench.append("app.log", first);
    bench.turn();
    assert_eq!(bench.found.len(), 3);
    bench.append("app.log", rest);
    bench.check();
    bench.kill();
    bench.write("app.log", 2);
    bench.check();
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.write("app.log", 2);
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 2);
    bench.check();
    bench.write("app.log.1", 2);
    bench.check();
    assert_eq!(bench.rotations, [1, 0, 0]);
}

#[test]
fn several_renames_between_two_looks() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    for round in 0..3 {
        for n in (1..=round).rev() {
            bench.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
        }
        bench.rename("app.log", "app.log.1");
        bench.write("app.log", 3);
    }
    bench.check();
    bench.kill();
    for n in (1..=3).rev() {
        bench.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
    }
    bench.write("app.log", 1);
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 2);
    bench.check();
}

#[test]
fn the_unread_end_of_a_cut_file_is_in_its_copy() {
    for compressed in [false, true] {
        let mut bench = Bench::new();
        bench.write("app.log", 3);
        bench.turn();
        bench.write("app.log", 2);
        bench.copy_and_cut("app.log", "app.log.1");
        if compressed {
            bench.compress("app.log.1");
        }
        bench.write("app.log", 1);
        bench.check();
        bench.write("app.log", 10);
        bench.check();
        assert_eq!((bench.rotations, bench.possible), ([0, 1, 0], 0));
    }
}

#[test]
fn what_may_have_come_between_a_copy_and_a_cut_is_told_where_it_is_likely() {
    for (times, pause_ms, told) in [(10, 50, 1), (9, 50, 0), (20, 500, 0)] {
        let mut bench = Bench::new();
        for _ in 0..times {
            bench.passed += Duration::from_millis(pause_ms);
            bench.write("app.log", 1);
            bench.turn();
        }
        bench.copy_and_cut("app.log", "app.log.1");
        bench.write("app.log", 1);
        bench.check();
        assert_eq!(bench.possible, told, "{times} times, once in {pause_ms} ms");
        // The next cut is another matter.
        bench.copy_and_cut("app.log", "app.log.1");
        bench.check();
        assert_eq!(bench.possible, told);
    }
}

#[test]
fn a_cut_file_that_outgrew_its_size_is_noticed() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.write("app.log", 1);
    bench.copy_and_cut("app.log", "app.log.1");
    bench.write("app.log", 20);
    bench.check();
}

#[test]
fn a_cut_while_nobody_looked() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.kill();
    bench.write("app.log", 1);
    bench.copy_and_cut("app.log", "app.log.1");
    bench.write("app.log", 20);
    bench.check();
}

#[test]
fn a_line_torn_by_a_cut_is_joined() {
    for down in [false, true] {
        let mut bench = Bench::new();
        bench.write("app.log", 3);
        let line = bench.line();
        let (first, rest) = line.split_at(60);
        bench.append("app.log", first);
        bench.turn();
        if down {
            bench.kill();
        }
        bench.copy_and_cut("app.log", "app.log.1");
        bench.append("app.log", rest);
        bench.write("app.log", 1);
        bench.check();
        bench.kill();
        bench.write("app.log", 2);
        bench.check();
    }
}

#[test]
fn what_was_read_and_is_compressed_later_is_not_read_again() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.turn();
    bench.compress("app.log.1");
    bench.check();
    bench.rename("app.log.1.gz", "app.log.2.gz");
    bench.check();
    bench.kill();
    bench.write("app.log", 1);
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.compress("app.log.1");
    bench.check();
}

#[test]
fn deleted_and_written_anew() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.write("app.log", 2);
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.check();
    bench.write("app.log", 2);
    bench.check();
    assert!(is_there(&bench.path("app.log")));
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.write("app.log", 1);
    bench.check();
}

#[test]
fn a_symbolic_link_that_is_switched() {
    let mut bench = Bench::new();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.write("today", 1);
    std::os::unix::fs::symlink(bench.path("today"), bench.path("app.log")).unwrap();
    bench.check();
    bench.write("today", 2);
    bench.write("tomorrow", 1);
    fs::remove_file(bench.path("app.log")).unwrap();
    std::os::unix::fs::symlink(bench.path("tomorrow"), bench.path("app.log")).unwrap();
    bench.write("today", 1);
    bench.check();
    bench.write("tomorrow", 1);
    bench.check();
}

#[test]
fn history_is_not_counted_at_first_sight() {
    let directory = tempfile::tempdir().unwrap();
    drop(directory);
    let mut bench = Bench::new();
    bench.kill();
    bench.rows.clear();
    bench.write("app.log", 3);
    bench.write("app.log.1", 3);
    bench.turn();
    assert_eq!(bench.found, Vec::<u64>::new());
    let history = bench.next;
    bench.write("app.log", 2);
    bench.turn();
    assert_eq!(bench.found, [history + 1, history + 2]);
}

#[test]
fn a_file_that_was_cut_before_it_was_read() {
    let mut bench = Bench::new();
    bench.write("app.log", 4);
    bench.copy_and_cut("app.log", "app.log.1");
    bench.check();
    bench.write("app.log", 1);
    bench.check();
    bench.write("app.log", 4);
    bench.copy_and_cut("app.log", "app.log.2");
    bench.write("app.log", 1);
    bench.check();
}

#[test]
fn a_copy_that_is_seen_before_the_cut() {
    let mut bench = Bench::new();
    bench.write("app.log", 4);
    fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
    bench.check();
    bench.write("app.log", 2);
    bench.check();
    fs::copy(bench.path("app.log"), bench.path("app.log.2")).unwrap();
    bench.check();
    OpenOptions::new().write(true).open(bench.path("app.log")).unwrap().set_len(0).unwrap();
    bench.check();
    bench.write("app.log", 1);
    bench.check();
}

#[test]
fn cut_again_and_again_with_names_that_move_on() {
    let mut bench = Bench::new();
    for round in 0..6 {
        bench.write("app.log", 3);
        for n in (1..=round).rev() {
            bench.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
        }
        bench.copy_and_cut("app.log", "app.log.1");
        if round % 2 == 0 {
            bench.write("app.log", 1);
            bench.check();
        }
        if round % 3 == 0 {
            bench.kill();
        }
    }
    bench.write("app.log", 1);
    bench.check();
}

#[test]
fn mixed_rotations_while_nobody_looked() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.kill();
    bench.write("app.log", 2);
    bench.copy_and_cut("app.log", "app.log.2");
    bench.write("app.log", 2);
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 2);
    bench.check();
    bench.kill();
    bench.write("app.log", 1);
    bench.rename("app.log", "app.log.0");
    bench.compress("app.log.0");
    bench.write("app.log", 1);
    bench.check();
}

#[test]
fn a_file_under_its_name_only_after_a_while() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.write("app.log", 1);
    bench.rename("app.log", "app.log.1");
    bench.check();
    bench.write("app.log.1", 1);
    bench.check();
    bench.kill();
    bench.write("app.log.1", 1);
    bench.check();
    bench.write("app.log", 1);
    bench.check();
}

/// Writes where it stands, as `prog > app.log` does: once the file was cut, a hole of zeros comes before what follows.
fn write_on(bench: &mut Bench, file: &mut File, lines: usize) {
    for _ in 0..lines {
        let line = bench.line();
        file.write_all(line.as_bytes()).unwrap();
    }
}

#[test]
fn a_writer_that_goes_on_where_it_stood_when_its_file_was_cut() {
    for down in [false, true] {
        let mut bench = Bench::new();
        let mut file = OpenOptions::new().write(true).open(bench.path("app.log")).unwrap();
        for round in 0..6 {
            write_on(&mut bench, &mut file, 30);
            if !down {
                bench.check();
            }
            for n in [2, 1] {
                if is_there(&bench.path(&format!("app.log.{n}"))) {
                    bench.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
                }
            }
            bench.copy_and_cut("app.log", "app.log.1");
            if down && round % 2 == 1 {
                bench.kill();
                bench.check();
                bench.kill();
            }
            if is_there(&bench.path("app.log.3")) && (!down || round % 2 == 1) {
                fs::remove_file(bench.path("app.log.3")).unwrap();
            }
            write_on(&mut bench, &mut file, 11);
            if !down {
                bench.check();
            }
        }
        bench.check();
        bench.passed += Duration::from_secs(20);
        bench.check();
    }
}

/// A record of several lines, and where its first one ends.
fn long_record(bench: &mut Bench) -> (String, String) {
    bench.next += 1;
    let head = "11/23/2026, 8:27:21 AM [CONVEX A(zip:run)] [LOG] 'Storage access: direct-failed' {\n".to_owned();
    (head, format!("  storageId: 'kg1',\n  size: {}\n}}\n", bench.next))
}

#[test]
fn a_record_that_is_open_at_a_cut_goes_on_in_the_file() {
    for down in [false, true] {
        let mut bench = Bench::new();
        bench.write("app.log", 2);
        let (head, rest) = long_record(&mut bench);
        bench.append("app.log", &head);
        bench.turn();
        if down {
            bench.kill();
        }
        bench.copy_and_cut("app.log", "app.log.1");
        if !down {
            bench.turn();
            bench.kill();
        }
        bench.append("app.log", &rest);
        bench.write("app.log", 1);
        bench.check();
    }
}

#[test]
fn a_record_that_is_open_at_a_cut_without_a_copy_is_closed() {
    let mut bench = Bench::new();
    bench.write("app.log", 2);
    let (head, rest) = long_record(&mut bench);
    bench.append("app.log", &(head + &rest.replace("\n}\n", ",\n  note: 'n'\n")));
    bench.turn();
    File::create(bench.path("app.log")).unwrap();
    bench.write("app.log", 1);
    bench.turn();
    bench.passed += Duration::from_secs(11);
    bench.check();
    bench.kill();
    bench.check();
}

#[test]
fn a_file_with_a_banner_is_not_read_again_after_a_restart() {
    for banner in
        ["\u{258c} \u{2514}\u{2500} http://127.0.0.1:3210\n", "Watching logs for dev deployment happy-otter-123...\n"]
    {
        let mut bench = Bench::new();
        bench.append("app.log", banner);
        bench.write("app.log", 3);
        bench.check();
        for _ in 0..2 {
            bench.kill();
            bench.check();
            bench.append("app.log", banner);
            bench.write("app.log", 2);
            bench.check();
        }
        assert_eq!(bench.rows.len(), 2, "a row of the file, and one of what was seen: {:?}", bench.rows);
    }
}

#[test]
fn a_banner_in_what_is_passed_over_names_what_follows_it() {
    let banner = |name: &str| format!("Watching logs for dev deployment {name}...\n");
    let filler = "nothing\n".repeat(20_000);
    for (history, expected) in [
        (banner("happy-otter-123"), "happy-otter-123"),
        (banner("happy-otter-123") + &filler, "happy-otter-123"),
        (banner("happy-otter-123") + &filler + &banner("proud-bee-456") + "x\n", "proud-bee-456"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("app.log"), history).unwrap();
        let mut bench = Bench::of(directory, &["app.log"]);
        bench.turn();
        bench.kill();
        bench.next = 1;
        bench.append("app.log", "[LOG] 'Storage access: direct' { size: 1 }\n");
        bench.check();
        assert_eq!(bench.named, [Some(expected.to_owned())]);
    }
}
