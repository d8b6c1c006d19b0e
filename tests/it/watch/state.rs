//! A state directory that fails: full, read-only, held by another, damaged or too new. Nothing is ever reset in silence.

use super::daemon::{self, Daemon, Ended};
use super::disk::Disk;
use super::lines::{self, Access};
use super::waiting::{PATIENCE, wait_for, wait_until};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A log and a state directory.
struct Place {
    root: tempfile::TempDir,
    log: PathBuf,
    state: PathBuf,
    lines: u64,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (log, state) = (root.path().join("app.log"), root.path().join("state"));
        fs::write(&log, "").unwrap();
        Self { root, log, state, lines: 0 }
    }

    fn command(&self) -> Command {
        let mut command = daemon::command();
        command.arg(&self.log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(&self.state);
        command
    }

    fn write(&mut self, deployment: &str, count: u64) {
        let mut file = fs::File::options().append(true).open(&self.log).unwrap();
        for _ in 0..count {
            self.lines += 1;
            let access = Access { deployment, outcome: "direct", size_bytes: self.lines };
            file.write_all(lines::access(access, self.lines).as_bytes()).unwrap();
        }
    }

    /// A place with a ledger that has counted three accesses of `tall-heron-1` and was closed.
    fn with_a_ledger() -> (Self, PathBuf) {
        let mut place = Self::new();
        let mut daemon = Daemon::start(&mut place.command());
        daemon.wait_until_ready();
        place.write("tall-heron-1", 3);
        daemon.wait_for_accesses("tall-heron-1", 3);
        daemon.stop();
        let ledger = place.state.join("ledger.redb");
        (place, ledger)
    }
}

/// It must not start: status 2, and one line that names the path and says what is wrong.
fn check_refusal(started: Result<Daemon, Ended>, path: &Path, words: &[&str]) {
    let ended = started.err().expect("it does not start");
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    let lines: Vec<_> = ended.log.lines().filter(|line| line.starts_with("storagewatch: ")).collect();
    assert_eq!(lines.len(), 1, "one line says why: {}", ended.log);
    assert!(lines[0].contains(&path.display().to_string()), "no {}: {}", path.display(), lines[0]);
    let line = lines[0].to_lowercase();
    assert!(words.iter().any(|word| line.contains(word)), "none of {words:?}: {line}");
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn a_full_disk_delays_counts_and_loses_none() {
    let mut place = Place::new();
    let disk = Disk::new(&place.state, 6 << 20);
    let mut daemon = Daemon::start(&mut disk.command(&place.command()));
    daemon.wait_until_ready();
    place.write("tall-heron-1", 3);
    daemon.wait_for_accesses("tall-heron-1", 3);
    // Another's file takes all the room there is.
    let filler = disk.seen_from_outside(daemon.child.id()).join("filler");
    let fill = || {
        let mut file = fs::File::options().append(true).create(true).open(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    // What was set aside before may hold a few commits; then the counts stand still.
    let began = Instant::now();
    let (mut written, mut stands) = (0, false);
    while !stands {
        assert!(began.elapsed() < PATIENCE * 2, "{written} accesses found room on a full disk");
        fill();
        for _ in 0..10 {
            place.write(&format!("tall-heron-{}", 2 + written % 600), 1);
            written += 1;
        }
        let waits = Instant::now();
        loop {
            let counted = daemon.metrics().sum(super::exposition::ACCESSES, &[]) as u64;
            if counted == 3 + written {
                break;
            }
            if waits.elapsed() > Duration::from_secs(4) {
                stands = true;
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    wait_until("it to say why nothing is counted", PATIENCE, || daemon.log().to_lowercase().contains("no space left"));
    assert_eq!(daemon.status("/-/healthy"), 200, "it still runs");
    assert_eq!(daemon.metrics().accesses("tall-heron-1"), 3, "what was counted is still shown");
    place.write("tall-heron-1", 2);
    fs::remove_file(&filler).unwrap();
    daemon.wait_for_accesses("tall-heron-1", 5);
    daemon.wait_for_metrics("all accesses to be counted", PATIENCE, |metrics| {
        let counted = metrics.sum(super::exposition::ACCESSES, &[]) as u64;
        assert!(counted <= 5 + written, "{counted} are counted, {} were written", 5 + written);
        if counted == 5 + written { Ok(()) } else { Err(format!("{counted} of {}", 5 + written)) }
    });
    let before = daemon.metrics().counts();
    daemon.stop();
    // In a namespace the disk has gone with the process.
    if disk.seen_from_outside(0) == place.state {
        let mut daemon = Daemon::start(&mut disk.command(&place.command()));
        daemon.wait_until_ready();
        assert_eq!(daemon.metrics().counts(), before);
        daemon.stop();
    }
}

#[test]
fn a_read_only_state_directory_is_an_error() {
    let place = Place::new();
    let mut disk = Disk::new(&place.state, 4 << 20);
    disk.protect();
    let started = Daemon::try_start(&mut disk.command(&place.command()));
    check_refusal(started, &place.state, &["read-only", "permission", "cannot be written"]);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_an_error() {
    let mut place = Place::new();
    fs::write(place.root.path().join("file"), "").unwrap();
    place.state = place.root.path().join("file/state");
    check_refusal(Daemon::try_start(&mut place.command()), &place.state.clone(), &["not a directory", "exists"]);
}

#[test]
fn a_state_directory_has_one_holder() {
    let mut place = Place::new();
    let mut first = Daemon::start(&mut place.command());
    first.wait_until_ready();
    let refused = Daemon::try_start(&mut place.command());
    check_refusal(refused, &place.state, &["another", "already", "in use", "locked", "held"]);
    place.write("tall-heron-1", 2);
    first.wait_for_accesses("tall-heron-1", 2);
    // Its death frees the directory, however it died.
    first.kill();
    let mut second = Daemon::start(&mut place.command());
    second.wait_for_accesses("tall-heron-1", 2);
    second.stop();
}

#[test]
fn a_damaged_ledger_is_an_error_and_stays_as_it_is() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("its head overwritten", |bytes| bytes[..4096].iter_mut().for_each(|byte| *byte ^= 0x5a)),
        ("cut to half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("another file", |bytes| *bytes = b"this is no ledger\n".repeat(100)),
        ("emptied", Vec::clear),
    ];
    for (what, damage) in damages {
        let (place, ledger) = Place::with_a_ledger();
        let mut bytes = fs::read(&ledger).unwrap();
        damage(&mut bytes);
        fs::write(&ledger, &bytes).unwrap();
        let started = Daemon::try_start(&mut place.command());
        assert!(started.is_err(), "{what}: it starts as if nothing had been");
        check_refusal(started, &ledger, &["damaged", "corrupt", "not a ledger", "cannot be read", "invalid"]);
        assert!(fs::read(&ledger).unwrap() == bytes, "{what}: the ledger was written to");
    }
}

#[test]
fn a_ledger_of_a_newer_version_is_an_error_and_stays_as_it_is() {
    let (place, ledger) = Place::with_a_ledger();
    let meta = redb::TableDefinition::<&str, &str>::new("meta");
    {
        let database = redb::Database::open(&ledger).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(meta).unwrap().insert("format", "999").unwrap();
        write.commit().unwrap();
    }
    for _ in 0..2 {
        check_refusal(Daemon::try_start(&mut place.command()), &ledger, &["newer"]);
    }
    let read = redb::ReadableDatabase::begin_read(&redb::Database::open(&ledger).unwrap()).unwrap();
    assert_eq!(read.open_table(meta).unwrap().get("format").unwrap().unwrap().value(), "999");
}

#[test]
fn without_its_log_a_ledger_still_shows_its_counts() {
    let (place, _) = Place::with_a_ledger();
    fs::remove_file(&place.log).unwrap();
    let mut daemon = Daemon::start(&mut place.command());
    let seen = wait_for("its counts", PATIENCE, || match daemon.metrics().accesses("tall-heron-1") {
        0 => Err("0".to_owned()),
        counted => Ok(counted),
    });
    assert_eq!(seen, 3);
    daemon.stop();
}
