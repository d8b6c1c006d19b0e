//! Files that are copied and cut: what is in no copy is read on, and nothing twice.

use super::bench::Bench;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::Duration;

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
                if bench.path(&format!("app.log.{n}")).exists() {
                    bench.rename(&format!("app.log.{n}"), &format!("app.log.{}", n + 1));
                }
            }
            bench.copy_and_cut("app.log", "app.log.1");
            if down && round % 2 == 1 {
                bench.kill();
                bench.check();
                bench.kill();
            }
            if bench.path("app.log.3").exists() && (!down || round % 2 == 1) {
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
fn what_was_written_after_a_cut_may_be_in_another_file_by_now() {
    for (lines, compressed) in [(1, true), (30, true), (1, false), (30, false)] {
        let mut bench = Bench::new();
        bench.write("app.log", 3);
        bench.turn();
        bench.copy_and_cut("app.log", "app.log.2");
        bench.write("app.log", lines);
        if compressed {
            bench.rename("app.log", "app.log.1");
            bench.compress("app.log.1");
        } else {
            fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
        }
        bench.check();
        bench.write("app.log", 2);
        bench.check();
        bench.kill();
        bench.write("app.log", 1);
        bench.check();
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn a_copy_that_is_met_together_with_its_file_before_the_cut() {
    for (cut, compressed) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = Bench::new();
        bench.write("app.log", 3);
        bench.turn();
        bench.kill();
        bench.copy_and_cut("app.log", "app.log.2");
        bench.write("app.log", if compressed { 1000 } else { 30 });
        fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
        if compressed {
            bench.compress("app.log.1");
        }
        bench.check();
        if cut {
            File::create(bench.path("app.log")).unwrap();
        }
        bench.write("app.log", 2);
        bench.check();
        bench.passed += Duration::from_secs(20);
        bench.check();
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn a_line_that_is_begun_makes_no_copy_of_a_rotated_file() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.turn();
    bench.kill();
    bench.rename("app.log", "app.log.2");
    bench.write("app.log", 3);
    bench.rename("app.log", "app.log.1");
    let line = bench.line();
    // As far as all lines are the same.
    let (first, rest) = line.split_at(20);
    bench.append("app.log", first);
    bench.turn();
    assert_eq!(bench.found.len(), 6);
    bench.append("app.log", rest);
    bench.check();
}
