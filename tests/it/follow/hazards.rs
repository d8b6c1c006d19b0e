//! Following files, one hazard a test: what is written counts once, whatever becomes of the names.

use super::bench::Bench;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

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
    assert!(bench.path("app.log").exists());
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

#[test]
fn a_writer_may_make_room_ahead() {
    for room in [900, 64 * 1024, 1024 * 1024] {
        let mut bench = Bench::new();
        let file = OpenOptions::new().write(true).open(bench.path("app.log")).unwrap();
        let mut end = 0;
        for round in 0..12 {
            if end + 600 > file.metadata().unwrap().len() {
                file.set_len(end + room).unwrap();
                bench.turn();
            }
            let line = bench.line();
            file.write_all_at(line.as_bytes(), end).unwrap();
            end += line.len() as u64;
            if round == 6 {
                bench.kill();
            }
            bench.check();
        }
        file.set_len(end).unwrap();
        bench.check();
        bench.rename("app.log", "app.log.1");
        bench.write("app.log", 1);
        bench.check();
        bench.passed += Duration::from_secs(20);
        bench.check();
        assert_eq!((bench.possible, bench.rotations), (0, [1, 0, 0]));
    }
}

#[test]
fn what_was_written_before_the_first_look_ends_where_the_room_begins_that_was_made_ahead() {
    for room in [900, 1024 * 1024] {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = Bench::of(directory, &["app.log"]);
        bench.write("app.log", 3);
        let file = OpenOptions::new().write(true).open(bench.path("app.log")).unwrap();
        let end = file.metadata().unwrap().len();
        file.set_len(end + room).unwrap();
        bench.turn();
        let line = bench.line();
        file.write_all_at(line.as_bytes(), end).unwrap();
        bench.turn();
        assert_eq!(bench.found, [4], "{room}");
    }
}
