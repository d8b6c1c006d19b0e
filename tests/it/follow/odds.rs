//! Following what is not a plain file in a plain directory: half-written archives, odd names, files that come late,
//! configurations that change, and very many files.

use super::bench::Bench;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};
use storagewatch::config::DeploymentTemplate;
use storagewatch::event::Outcome;

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_archive_that_is_being_written_is_read_to_its_end() {
    for ending in ["gz", "zst"] {
        let mut bench = Bench::new();
        bench.write("app.log", 2);
        bench.turn();
        let text: String = (0..400).map(|_| bench.line()).collect();
        let packed = if ending == "gz" { gz(text.as_bytes()) } else { zstd::encode_all(text.as_bytes(), 1).unwrap() };
        let name = bench.path(&format!("app.log.1.{ending}"));
        let mut file = OpenOptions::new().append(true).create(true).open(&name).unwrap();
        for part in packed.chunks(packed.len() / 3 + 1) {
            file.write_all(part).unwrap();
            bench.turn();
        }
        bench.check();
        assert_eq!(bench.skipped, 0);
        bench.passed += Duration::from_mins(1);
        bench.check();
        bench.kill();
        bench.check();
        assert_eq!((bench.skipped, bench.possible), (0, 0));
    }
}

#[test]
fn an_archive_that_is_not_yet_as_long_as_what_was_read() {
    let mut bench = Bench::new();
    bench.write("app.log", 400);
    bench.check();
    let more = bench.line();
    bench.append("app.log", &more);
    let packed = gz(&fs::read(bench.path("app.log")).unwrap());
    bench.kill();
    fs::remove_file(bench.path("app.log")).unwrap();
    let name = bench.path("app.log.1.gz");
    let mut file = OpenOptions::new().append(true).create(true).open(&name).unwrap();
    for part in packed.chunks(packed.len() / 3 + 1) {
        file.write_all(part).unwrap();
        bench.turn();
        bench.kill();
        bench.turn();
    }
    bench.write("app.log", 1);
    bench.check();
    assert_eq!((bench.skipped, bench.possible), (0, 0));
}

#[test]
fn an_archive_that_stays_broken_off_is_told() {
    let mut bench = Bench::new();
    let text: String = (0..400).map(|_| bench.line()).collect();
    let packed = gz(text.as_bytes());
    fs::write(bench.path("app.log.1.gz"), &packed[..packed.len() / 2]).unwrap();
    bench.turn();
    assert!(!bench.found.is_empty());
    for _ in 0..3 {
        bench.passed += Duration::from_hours(1);
        bench.turn();
    }
    assert_eq!(bench.skipped, 1);
    bench.kill();
    bench.turn();
    bench.passed += Duration::from_hours(1);
    bench.turn();
    assert_eq!(bench.skipped, 1);
}

#[test]
fn a_file_that_is_cut_back_is_not_read_again() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    let kept = fs::metadata(bench.path("app.log")).unwrap().len();
    bench.write("app.log", 3);
    bench.check();
    OpenOptions::new().write(true).open(bench.path("app.log")).unwrap().set_len(kept).unwrap();
    bench.check();
    bench.write("app.log", 2);
    bench.check();
    bench.kill();
    bench.write("app.log", 2);
    bench.check();
}

#[test]
fn a_line_that_is_begun_in_a_cut_file_is_not_what_was_there_before() {
    let mut bench = Bench::new();
    bench.write("app.log", 3);
    bench.check();
    bench.copy_and_cut("app.log", "app.log.1");
    let line = bench.line();
    let (first, rest) = line.split_at(24);
    bench.append("app.log", first);
    bench.turn();
    bench.append("app.log", rest);
    bench.check();
    assert_eq!(bench.possible, 0);
}

#[test]
fn a_file_without_a_size_is_not_read_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc/version", directory.path().join("app.log")).unwrap();
    let mut bench = Bench::of(directory, &["app.log"]);
    bench.options.from_beginning = true;
    for _ in 0..5 {
        bench.turn();
    }
    let size = fs::read("/proc/version").unwrap().len() as u64;
    assert!(bench.bytes <= size, "{} bytes", bench.bytes);
    assert_eq!(bench.rotations, [0, 0, 0]);
}

#[test]
fn a_directory_that_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::of(directory, &["logs"]);
    bench.turn();
    fs::create_dir(bench.path("logs")).unwrap();
    bench.write("logs/app.log", 2);
    bench.check();
    bench.kill();
    bench.write("logs/app.log", 2);
    bench.write("logs/other.log", 2);
    bench.check();
    fs::write(bench.path("logs/notes.txt"), "Storage access: direct\n").unwrap();
    bench.write("logs/app.log", 2);
    bench.check();
}

#[test]
fn a_path_that_is_no_longer_configured_is_no_longer_read() {
    for kill in [false, true] {
        let mut bench = Bench::new();
        bench.options.paths.push(bench.path("b.log").to_str().unwrap().to_owned());
        bench.kill();
        bench.write("b.log", 1);
        bench.write("app.log", 1);
        bench.turn();
        bench.found.clear();
        bench.next = 0;
        bench.write("b.log", 1);
        bench.write("app.log", 1);
        bench.check();
        bench.options.paths.pop();
        if kill {
            bench.kill();
        } else {
            bench.follower.as_mut().unwrap().reconfigure(bench.options.clone());
        }
        bench.turn();
        let line = bench.line();
        bench.next -= 1;
        bench.append("b.log", &line);
        for _ in 0..3 {
            bench.check();
            bench.passed += Duration::from_secs(20);
        }
        // Named again, it goes on where it was.
        bench.next += 1;
        bench.options.paths.push(bench.path("b.log").to_str().unwrap().to_owned());
        bench.follower.as_mut().unwrap().reconfigure(bench.options.clone());
        bench.check();
    }
}

#[test]
fn the_state_of_a_source_is_told_again_after_a_reload() {
    let mut bench = Bench::new();
    bench.turn();
    assert!(bench.up);
    bench.up = false;
    bench.follower.as_mut().unwrap().reconfigure(bench.options.clone());
    bench.turn();
    assert!(bench.up);
}

#[test]
fn a_name_that_is_not_unicode_is_kept_over_a_restart() {
    let mut bench = Bench::new();
    let odd = bench.path("x").with_file_name(std::ffi::OsStr::from_bytes(b"a\xffb"));
    fs::rename(bench.path("app.log"), &odd).unwrap();
    std::os::unix::fs::symlink(&odd, bench.path("app.log")).unwrap();
    bench.write("app.log", 3);
    bench.check();
    bench.kill();
    bench.write("app.log", 3);
    bench.check();
}

#[test]
fn the_deployment_in_a_file_s_name_is_known_before_its_first_event() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["first.log", "second.log"] {
        fs::write(directory.path().join(name), "hello\n").unwrap();
    }
    let mut bench = Bench::of(directory, &["*.log"]);
    bench.options.deployment = Some(DeploymentTemplate::parse("{stem}").unwrap());
    bench.turn();
    bench.deployments.sort();
    assert_eq!(bench.deployments, [Some("first".to_owned()), Some("second".to_owned())]);
}

#[test]
fn what_is_no_file_does_no_harm() {
    let mut bench = Bench::new();
    bench.options.paths = vec![bench.path("*.log").to_str().unwrap().to_owned()];
    bench.kill();
    fs::create_dir(bench.path("directory.log")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket.log")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("pipe.log")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", bench.path("zero.log")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.path("nowhere.log")).unwrap();
    std::os::unix::fs::symlink("loop.log", bench.path("loop.log")).unwrap();
    bench.turn();
    bench.write("app.log", 3);
    bench.check();
}

#[test]
fn one_file_under_two_names_counts_once() {
    let mut bench = Bench::new();
    bench.options.paths =
        vec![bench.path("*.log").to_str().unwrap().to_owned(), bench.path("l/*.log").to_str().unwrap().to_owned()];
    bench.kill();
    fs::hard_link(bench.path("app.log"), bench.path("hard.log")).unwrap();
    std::os::unix::fs::symlink("app.log", bench.path("soft.log")).unwrap();
    std::os::unix::fs::symlink(bench.path(""), bench.path("l")).unwrap();
    bench.turn();
    bench.write("soft.log", 1);
    bench.write("hard.log", 1);
    bench.write("app.log", 1);
    bench.check();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.write("app.log.1", 1);
    bench.check();
    fs::remove_file(bench.path("hard.log")).unwrap();
    bench.write("app.log", 1);
    bench.write("app.log.1", 1);
    bench.kill();
    bench.check();
}

#[test]
fn odd_bytes_between_lines() {
    let mut bench = Bench::new();
    bench.append("app.log", "\0\0\0\0\r\n\r\r\n\n\n");
    bench.write("app.log", 1);
    let line = bench.line().replace('\n', "\r\n");
    bench.append("app.log", &line);
    bench.append("app.log", &"x".repeat(5_000_000));
    bench.turn();
    bench.append("app.log", "\n");
    bench.write("app.log", 1);
    bench.check();
    bench.kill();
    bench.append("app.log", &"\0".repeat(5_000_000));
    bench.turn();
    bench.kill();
    bench.append("app.log", "\n");
    bench.write("app.log", 1);
    bench.check();
    let line = bench.line();
    bench.append("app.log", line.trim_end());
    bench.turn();
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", 1);
    bench.turn();
    bench.passed += Duration::from_secs(6);
    bench.check();
}

/// How long a few turns over so many files take, of which each has something new.
fn time_for(files: usize) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..files {
        fs::write(directory.path().join(format!("{n}.log")), format!("{n} {}\n", 1_795_422_440_000_usize + n)).unwrap();
    }
    let mut bench = Bench::of(directory, &["*.log"]);
    let began = Instant::now();
    bench.turn();
    for n in 0..files {
        bench.append(&format!("{n}.log"), "more\n");
    }
    bench.turn();
    bench.kill();
    bench.turn();
    began.elapsed()
}

#[test]
fn many_files_cost_no_more_than_they_are() {
    let few = time_for(250);
    let many = time_for(4000);
    // Sixteen times as many: quadratic would be 256.
    assert!(many < few * 64, "{few:?} for 250 files, {many:?} for 4000");
}

#[test]
fn files_that_come_and_go_are_not_remembered_without_end() {
    let mut bench = Bench::new();
    bench.options.paths = vec![bench.path("*.log").to_str().unwrap().to_owned()];
    bench.kill();
    bench.turn();
    for n in 0..5 {
        for name in 0..1000 {
            bench.write(&format!("{n}-{name}.log"), 1);
        }
        bench.turn();
        for name in 0..1000 {
            fs::remove_file(bench.path(&format!("{n}-{name}.log"))).unwrap();
        }
        bench.passed += Duration::from_secs(6);
        bench.check();
    }
    assert!(bench.rows.len() < 4500, "{} rows", bench.rows.len());
}

#[test]
fn what_is_left_of_a_cut_file_is_read_part_by_part() {
    let mut bench = Bench::new();
    bench.write("app.log", 2);
    bench.turn();
    let filler = format!("{}\n", "x".repeat(1023)).repeat(100 * 1024);
    bench.append("app.log", &filler);
    bench.write("app.log", 2);
    bench.copy_and_cut("app.log", "app.log.1");
    bench.write("app.log", 2);
    for _ in 0..5 {
        bench.turn();
    }
    bench.check();
    assert!(bench.most < 80 << 20, "{}", bench.most);
    assert_eq!(bench.possible, 0);
}

#[test]
fn a_large_archive_is_read_part_by_part() {
    let mut bench = Bench::new();
    let mut text = format!("{}\n", "x".repeat(1023)).repeat(60 * 1024);
    text += &bench.line();
    fs::write(bench.path("app.log.1.gz"), gz(text.as_bytes())).unwrap();
    bench.turn();
    bench.kill();
    for _ in 0..3 {
        bench.turn();
    }
    bench.check();
    assert!(bench.most < 20 << 20, "{}", bench.most);
    assert_eq!(bench.bytes, text.len() as u64);
}

#[test]
fn a_copy_that_is_shorter_than_the_beginning_that_was_seen_ends_the_search() {
    let mut bench = Bench::new();
    bench.write("app.log", 1);
    bench.turn();
    // The copy is made, more is written and read, and only then is the file cut.
    fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
    let line = bench.line();
    bench.append("app.log", &line[..40]);
    bench.turn();
    OpenOptions::new().write(true).open(bench.path("app.log")).unwrap().set_len(0).unwrap();
    bench.turn();
    bench.next -= 1;
    bench.write("app.log", 1);
    bench.turn();
    let mut found = bench.found.clone();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}

#[test]
fn what_cannot_be_read_is_told_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("app.log"), "").unwrap();
    // Nobody can read a link that leads to itself, whoever runs this.
    let broken = directory.path().join("broken.log");
    std::os::unix::fs::symlink(&broken, &broken).unwrap();
    std::fs::create_dir(directory.path().join("logs")).unwrap();
    let mut bench = Bench::of(directory, &["app.log", "*.log", "logs"]);
    bench.turn();
    let trouble = bench.trouble.clone().expect("it is told");
    assert!(trouble.contains("broken.log: cannot be read: ") && !trouble.contains("more"), "{trouble}");
    assert!(!bench.up, "a part of it is missing");
    // What can be read is.
    bench.write("app.log", 2);
    bench.check();
    std::fs::remove_file(&broken).unwrap();
    bench.write("broken.log", 1);
    bench.check();
    assert_eq!((bench.up, bench.trouble.clone()), (true, None));
}

#[test]
fn a_rotation_while_the_paths_are_changed_is_no_first_sight() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.log"), "").unwrap();
    let mut bench = Bench::of(directory, &["a.log"]);
    bench.turn();
    bench.kill();
    bench.write("a.log", 3);
    bench.rename("a.log", "a.log.1");
    bench.write("a.log", 5);
    bench.options.paths = vec![bench.path("*.log").to_str().unwrap().to_owned()];
    bench.check();
}

#[test]
fn what_rotation_makes_of_a_file_behind_a_link_is_found() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("pods")).unwrap();
    fs::create_dir(bench.path("links")).unwrap();
    fs::write(bench.path("pods/0.log"), "").unwrap();
    std::os::unix::fs::symlink(bench.path("pods/0.log"), bench.path("links/a.log")).unwrap();
    bench.options.paths = vec![bench.path("links/*.log").to_str().unwrap().to_owned()];
    bench.kill();
    bench.turn();
    bench.write("pods/0.log", 3);
    bench.check();
    bench.kill();
    for n in 1..4 {
        bench.write("pods/0.log", 5);
        bench.rename("pods/0.log", &format!("pods/0.log.2026112{n}-231502"));
    }
    bench.compress("pods/0.log.20261122-231502");
    bench.write("pods/0.log", 1);
    bench.check();
    bench.kill();
    bench.check();
}

#[test]
fn directories_on_the_way_of_a_pattern_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("pods/p1/c")).unwrap();
    let mut bench = Bench::of(directory, &["pods/*/*/*.log"]);
    bench.turn();
    let watched = bench.follower.as_ref().unwrap().directories();
    for way in ["pods", "pods/p1", "pods/p1/c"] {
        assert!(watched.contains(&bench.path(way)), "{way} of {watched:?}");
    }
    bench.write("pods/p1/c/0.log", 2);
    bench.check();
}

#[test]
fn a_word_that_a_rotation_may_have_cut_is_no_outcome() {
    for (begun, rest, outcome) in [("direct", "-failed", Outcome::Other), ("direct ", "", Outcome::Direct)] {
        let mut bench = Bench::new();
        bench.write("app.log", 1);
        bench.append("app.log", &format!("Storage access: {begun}"));
        bench.turn();
        bench.rename("app.log", "app.log.1");
        bench.append("app.log", "x\n");
        bench.turn();
        bench.passed += Duration::from_secs(6);
        bench.turn();
        bench.append("app.log.1", &format!("{rest} {{ size: 2 }}\n"));
        bench.turn();
        assert_eq!(bench.outcomes, [Outcome::Direct, outcome]);
    }
}
