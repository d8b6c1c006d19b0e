//! Files that were moved to where nothing is looked for, or deleted: their writers may write on.

use super::bench::Bench;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

/// Long enough for a file that nobody writes to to be put away.
const A_WHILE: Duration = Duration::from_secs(30);

impl Bench {
    /// Lets time pass, and looks before and after.
    fn wait(&mut self, time: Duration) {
        self.turn();
        self.passed += time;
        self.turn();
    }
}

#[test]
fn what_is_written_late_to_a_file_that_was_moved_anywhere_counts() {
    for to in ["kept/app.log-20261126", "kept/deep/x", "app-of-yesterday.txt"] {
        for killed in [false, true] {
            let mut bench = Bench::new();
            fs::create_dir_all(bench.path("kept/deep")).unwrap();
            bench.write("app.log", 3);
            bench.turn();
            bench.write("app.log", 1);
            bench.rename("app.log", to);
            bench.write("app.log", 2);
            for round in 0..3 {
                bench.wait(A_WHILE);
                if killed {
                    bench.kill();
                }
                bench.write(to, 2);
                bench.write("app.log", 1);
                bench.check();
                assert_eq!(bench.rotations, [1, 0, 0], "{to}, round {round}");
            }
            // The last line without its newline, which comes after all.
            let line = bench.line();
            bench.append(to, line.trim_end());
            bench.turn();
            bench.wait(A_WHILE);
            bench.check();
            bench.append(to, "\n");
            bench.write(to, 1);
            bench.check();
            assert_eq!((bench.possible, bench.skipped), (0, 0), "{to}");
        }
    }
}

#[test]
fn a_file_that_was_moved_while_nobody_looked_is_found_beside_where_it_was_or_below() {
    for to in ["app-of-yesterday.txt", "kept/app.log-20261126"] {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("kept")).unwrap();
        bench.write("app.log", 3);
        bench.turn();
        bench.kill();
        bench.write("app.log", 3);
        bench.rename("app.log", to);
        bench.write("app.log", 2);
        bench.check();
        bench.wait(A_WHILE);
        bench.write(to, 1);
        bench.check();
        assert_eq!((bench.possible, bench.skipped), (0, 0), "{to}");
    }
}

#[test]
fn another_file_under_the_inode_of_one_that_was_moved_is_left_alone() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("kept")).unwrap();
    bench.write("app.log", 3);
    bench.turn();
    bench.rename("app.log", "kept/app");
    bench.write("app.log", 1);
    bench.wait(A_WHILE);
    // Written anew in place, as an editor or another program does.
    let other: String = (0..20).map(|_| Bench::new().line()).collect();
    fs::write(bench.path("kept/app"), other).unwrap();
    bench.check();
    bench.wait(A_WHILE);
    bench.check();
}

#[test]
fn what_is_written_to_a_file_that_was_deleted_counts_for_a_minute() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    let mut writer = OpenOptions::new().append(true).open(bench.path("app.log")).unwrap();
    bench.turn();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.write("app.log", 1);
    for _ in 0..3 {
        bench.wait(A_WHILE);
        let line = bench.line();
        writer.write_all(line.as_bytes()).unwrap();
        bench.check();
    }
    // Then its room on the disk is given back.
    let is_held = |bench: &Bench| {
        let held = format!("{} (deleted)", bench.path("app.log").display());
        let handles = fs::read_dir("/proc/self/fd").unwrap().flatten();
        handles.filter_map(|handle| fs::read_link(handle.path()).ok()).any(|path| path.as_os_str() == held.as_str())
    };
    drop(writer);
    assert!(is_held(&bench));
    bench.wait(Duration::from_secs(61));
    assert!(!is_held(&bench));
    assert_eq!((bench.possible, bench.rotations), (0, [0, 0, 1]));
}

#[test]
fn a_file_that_vanished_while_nobody_looked_may_have_held_more_and_that_is_told_once() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.kill();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.write("app.log", 1);
    for _ in 0..3 {
        bench.turn();
        bench.wait(A_WHILE);
        assert_eq!(bench.possible, 1);
        bench.kill();
    }
    // What was seen to its end before it was deleted is no loss, and neither is what was rotated and packed.
    bench.write("app.log", 1);
    bench.turn();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.wait(A_WHILE);
    bench.kill();
    fs::remove_file(bench.path("app.log.1")).unwrap();
    bench.write("app.log", 2);
    bench.rename("app.log", "app.log.1");
    bench.compress("app.log.1");
    bench.write("app.log", 1);
    bench.turn();
    bench.wait(A_WHILE);
    bench.check();
    assert_eq!(bench.possible, 1);
}

#[test]
fn the_last_line_of_a_renamed_file_may_come_in_pieces() {
    let mut bench = Bench::new();
    bench.write("app.log", 2);
    let line = bench.line();
    bench.turn();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    for start in (0..line.len()).step_by(40) {
        bench.append("app.log.1", &line[start..line.len().min(start + 40)]);
        bench.wait(Duration::from_secs(3));
    }
    bench.check();
}

#[test]
fn an_archive_takes_the_place_of_the_file_that_it_was_made_of() {
    for (late, killed) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut bench = Bench::new();
        bench.write("app.log", 3);
        let mut writer = OpenOptions::new().append(true).open(bench.path("app.log")).unwrap();
        bench.turn();
        bench.rename("app.log", "app.log.1");
        bench.compress("app.log.1");
        bench.write("app.log", 1);
        bench.check();
        for _ in 0..late {
            let line = bench.line();
            writer.write_all(line.as_bytes()).unwrap();
        }
        bench.check();
        if killed {
            bench.kill();
        } else {
            bench.wait(Duration::from_secs(61));
        }
        bench.check();
        // More than a day later nothing is remembered of the file but what its archive tells.
        for name in ["app.log.2.gz", "app.log.3.gz"] {
            bench.wait(Duration::from_hours(25));
            bench.kill();
            bench.check();
            let old = if name.contains('2') { "app.log.1.gz" } else { "app.log.2.gz" };
            bench.rename(old, name);
            bench.copy_and_cut("app.log", "app.log.1");
            bench.write("app.log", 1);
            bench.check();
        }
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn many_files_that_were_deleted_are_held_as_far_as_there_is_room() {
    let mut bench = Bench::new();
    bench.options.paths = vec![bench.path("*.log").to_str().unwrap().to_owned()];
    bench.kill();
    bench.turn();
    let mut writers = Vec::new();
    for at in 0..70 {
        let name = format!("{at}.log");
        bench.write(&name, 1);
        writers.push(OpenOptions::new().append(true).open(bench.path(&name)).unwrap());
    }
    bench.check();
    for at in 0..70 {
        fs::remove_file(bench.path(&format!("{at}.log"))).unwrap();
    }
    bench.wait(Duration::from_secs(10));
    // Of those that were put away nothing more is seen.
    let before = bench.found.len();
    for (at, writer) in writers.iter_mut().enumerate() {
        let line = bench.line();
        writer.write_all(line.as_bytes()).unwrap();
        bench.next -= u64::from(at < 6);
    }
    bench.turn();
    assert_eq!(bench.found.len() - before, 64);
}

#[test]
fn what_is_known_to_have_ended_is_no_loss() {
    // Deleted while it was followed, and all of it was read; then a restart.
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.turn();
    bench.kill();
    bench.wait(A_WHILE);
    assert_eq!(bench.possible, 0);
    // No longer configured, and deleted later.
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    let mut options = bench.options.clone();
    options.paths = vec![bench.path("other.log").to_str().unwrap().to_owned()];
    bench.follower.as_mut().unwrap().reconfigure(options);
    bench.turn();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.wait(A_WHILE);
    assert_eq!(bench.possible, 0);
    // Written over before it is deleted.
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.check();
    for _ in 0..3 {
        fs::write(bench.path("app.log.1"), "\u{1}".repeat(3000)).unwrap();
        bench.turn();
    }
    fs::remove_file(bench.path("app.log.1")).unwrap();
    bench.wait(A_WHILE);
    bench.check();
    assert_eq!((bench.possible, bench.rotations), (0, [1, 0, 0]));
}

#[test]
fn a_directory_that_went_with_its_log_may_have_held_more() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("pod")).unwrap();
    fs::write(directory.path().join("pod/app.log"), "").unwrap();
    let mut bench = Bench::of(directory, &["*/app.log"]);
    bench.turn();
    bench.write("pod/app.log", 3);
    bench.check();
    bench.kill();
    fs::remove_dir_all(bench.path("pod")).unwrap();
    bench.wait(A_WHILE);
    assert_eq!(bench.possible, 1);
}
