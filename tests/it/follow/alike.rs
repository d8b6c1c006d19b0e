//! Following files that begin alike, and files whose rotated names look like those of other logs.

use super::bench::Bench;
use std::fs::{self, File};
use std::time::Duration;

/// More than is remembered of a file's beginning.
fn banner() -> String {
    (0..60).map(|n| format!("banner {n:04} the same text at each start of the server\n")).collect()
}

/// Follows other paths than `app.log`.
fn follow(bench: &mut Bench, names: &[&str]) {
    bench.options.paths = names.iter().map(|name| bench.path(name).to_str().unwrap().to_owned()).collect();
    bench.kill();
    bench.turn();
}

/// Makes room for `app.log.1`, and keeps three.
fn shift(bench: &Bench) {
    for n in [3, 2, 1] {
        for ending in ["", ".gz"] {
            let name = format!("app.log.{n}{ending}");
            if !bench.path(&name).exists() {
            } else if n == 3 {
                fs::remove_file(bench.path(&name)).unwrap();
            } else {
                bench.rename(&name, &format!("app.log.{}{ending}", n + 1));
            }
        }
    }
}

/// Lines without a time, which all logs begin with.
fn write_plain(bench: &mut Bench, name: &str, lines: usize) {
    for _ in 0..lines {
        bench.next += 1;
        bench.append(name, &format!("Storage access: direct {{ size: {} }}\n", bench.next));
    }
}

#[test]
fn each_new_file_begins_with_the_same_text() {
    for compressed in [false, true] {
        for looks in [1, 2, 3] {
            let mut bench = Bench::new();
            bench.append("app.log", &banner());
            bench.turn();
            for round in 0..7 {
                bench.write("app.log", 60);
                if round % looks == 0 {
                    bench.check();
                } else {
                    bench.kill();
                }
                shift(&bench);
                bench.rename("app.log", "app.log.1");
                bench.append("app.log", &banner());
                if round % 2 == 0 && looks == 1 {
                    bench.turn();
                }
                bench.write("app.log", 5);
                if compressed {
                    bench.compress("app.log.1");
                }
                if round % looks == 0 {
                    bench.check();
                }
            }
            bench.check();
            assert!(bench.up);
        }
    }
}

#[test]
fn each_file_that_is_cut_begins_again_with_the_same_text() {
    for (compressed, pause) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = Bench::new();
        bench.append("app.log", &banner());
        bench.turn();
        for _ in 0..7 {
            bench.write("app.log", 60);
            bench.check();
            shift(&bench);
            bench.copy_and_cut("app.log", "app.log.1");
            if compressed {
                bench.compress("app.log.1");
            }
            if pause {
                bench.turn();
            }
            bench.append("app.log", &banner());
            bench.write("app.log", 5);
            bench.check();
        }
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn a_file_that_is_written_again_with_the_same_beginning() {
    let mut bench = Bench::new();
    bench.append("app.log", &banner());
    bench.write("app.log", 20);
    bench.check();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.append("app.log", &banner());
    bench.write("app.log", 2);
    bench.check();
    write_plain(&mut bench, "app.log", 3);
    bench.check();
}

#[test]
fn numbers_before_the_ending_of_a_name() {
    for copies in [false, true] {
        let mut bench = Bench::new();
        bench.append("app.log", "start 1795422440000\n");
        follow(&mut bench, &["*.log"]);
        bench.write("app.log", 20);
        bench.check();
        for round in 0..4 {
            if bench.path("app.1.log").exists() {
                bench.rename("app.1.log", "app.2.log");
            }
            if copies {
                bench.copy_and_cut("app.log", "app.1.log");
            } else {
                bench.rename("app.log", "app.1.log");
            }
            bench.write("app.log", 5);
            bench.check();
            if bench.path("app.2.log").exists() {
                let packed = bench.path("app.2.log.gz");
                if packed.exists() {
                    fs::remove_file(&packed).unwrap();
                }
                bench.compress("app.2.log");
            }
            bench.check();
            if round % 2 == 1 {
                bench.kill();
                bench.check();
            }
        }
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn a_pattern_that_matches_rotated_files_whose_log_is_away_for_a_moment() {
    let mut bench = Bench::new();
    follow(&mut bench, &["app.log*"]);
    bench.write("app.log", 50);
    bench.check();
    bench.rename("app.log", "app.log.1");
    bench.check();
    bench.compress("app.log.1");
    bench.check();
    bench.write("app.log", 7);
    bench.check();
}

#[test]
fn a_log_and_a_link_to_it_are_followed() {
    for copies in [false, true] {
        let mut bench = Bench::new();
        fs::create_dir(bench.path("pods")).unwrap();
        fs::create_dir(bench.path("links")).unwrap();
        bench.write("pods/0.log", 1);
        std::os::unix::fs::symlink(bench.path("pods/0.log"), bench.path("links/a.log")).unwrap();
        follow(&mut bench, &["app.log", "links/*.log", "pods/*.log*"]);
        bench.found = vec![1];
        bench.write("pods/0.log", 50);
        bench.check();
        if copies {
            bench.copy_and_cut("pods/0.log", "pods/0.log.20261125-231502");
        } else {
            bench.rename("pods/0.log", "pods/0.log.20261125-231502");
        }
        bench.write("pods/0.log", 5);
        bench.check();
        let text = fs::read(bench.path("pods/0.log.20261125-231502")).unwrap();
        let part = File::create(bench.path("pods/0.log.20261125-231502.tmp")).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(part, flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        bench.turn();
        encoder.finish().unwrap();
        bench.turn();
        bench.rename("pods/0.log.20261125-231502.tmp", "pods/0.log.20261125-231502.gz");
        fs::remove_file(bench.path("pods/0.log.20261125-231502")).unwrap();
        bench.check();
        bench.passed += Duration::from_secs(20);
        bench.write("pods/0.log", 5);
        bench.check();
    }
}

#[test]
fn what_a_cut_left_over_stands_before_the_compressed_file_too() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    let line = bench.line();
    let (first, rest) = line.split_at(60);
    bench.append("app.log", first);
    bench.turn();
    bench.copy_and_cut("app.log", "app.log.1");
    bench.append("app.log", rest);
    bench.write("app.log", 2);
    bench.check();
    bench.kill();
    bench.write("app.log", 2);
    bench.rename("app.log.1", "app.log.2");
    bench.rename("app.log", "app.log.1");
    bench.compress("app.log.1");
    bench.write("app.log", 1);
    bench.check();
}

/// Two lines as a service prints them when it begins.
const BEGINNING: &str = "Starting artifact service, log level info, storage http, workers 4, build abc\n\
    Listening for requests from the queue\n";

#[test]
fn a_file_that_goes_on_where_another_one_ends_is_no_copy() {
    for down in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.log"), BEGINNING).unwrap();
        let mut bench = Bench::of(directory, &["*.log"]);
        bench.turn();
        if down {
            bench.kill();
        }
        bench.append("b.log", BEGINNING);
        bench.check();
        bench.write("b.log", 10);
        bench.check();
        bench.write("a.log", 1);
        bench.write("b.log", 1);
        bench.check();
        assert_eq!(bench.possible, 0);
    }
}

#[test]
fn a_copy_that_was_made_while_nobody_looked_may_hold_more_than_its_file_by_now() {
    for cuts in [1, 2] {
        let mut bench = Bench::new();
        bench.append("app.log", BEGINNING);
        bench.turn();
        bench.write("app.log", 1);
        bench.check();
        bench.copy_and_cut("app.log", "app.log.9");
        bench.append("app.log", BEGINNING);
        bench.check();
        bench.kill();
        bench.write("app.log", 2);
        for at in (1..=cuts).rev() {
            bench.copy_and_cut("app.log", &format!("app.log.{at}"));
            bench.append("app.log", BEGINNING);
        }
        bench.check();
        bench.passed += Duration::from_secs(20);
        bench.check();
    }
}
