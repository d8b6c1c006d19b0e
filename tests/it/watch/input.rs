//! Standard input as a live source, patterns, a graceful end, and a configuration that is read again.

use super::daemon::{self, Daemon};
use super::exposition::ACCESSES;
use super::lines::{self, Access};
use super::waiting::{PATIENCE, wait_until};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn append(path: &Path, deployment: &str, numbers: std::ops::Range<u64>) {
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    for number in numbers {
        let access = Access { deployment, outcome: "http-fallback", size_bytes: number };
        file.write_all(lines::access(access, number).as_bytes()).unwrap();
    }
}

/// Pipes a history through a run that ends by itself, and says what it counted of each outcome.
fn pipe(history: &[u8], state: &Path) -> [u64; 3] {
    let mut command = daemon::command();
    command.args(["-", "--deployment", "quiet-lemur-7", "--linger", "2s", "--listen", "127.0.0.1:0", "--state-dir"]);
    let mut daemon = Daemon::start(command.arg(state).stdin(Stdio::piped()));
    let mut stdin = daemon.child.stdin.take().unwrap();
    stdin.write_all(history).unwrap();
    drop(stdin);
    // It ends two seconds after its input: until then it can be scraped.
    let (mut counts, mut status) = ([0; 3], None);
    wait_until("it to end by itself", PATIENCE, || {
        if let Some(metrics) = daemon.try_metrics() {
            let of = |outcome| metrics.sum(ACCESSES, &[("deployment", "quiet-lemur-7"), ("outcome", outcome)]) as u64;
            counts = lines::OUTCOMES.map(of);
        }
        status = daemon.child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", daemon.log());
    counts
}

#[test]
fn a_history_that_is_piped_twice_counts_once() {
    let samples = crate::support::samples().join("cli-jsonl");
    let state = tempfile::tempdir().unwrap();
    let twice = fs::read(samples.join("history_twice.jsonl")).unwrap();
    assert_eq!(pipe(&twice, state.path()), [2, 0, 1]);
    assert_eq!(pipe(&twice, state.path()), [2, 0, 1], "after a restart");
    let report = crate::support::report(&samples.join("genuine.jsonl"), &["--deployment", "quiet-lemur-7"]);
    let outcomes = &report["deployments"][0]["outcomes"];
    let alone = lines::OUTCOMES.map(|outcome| outcomes[outcome].as_u64().unwrap());
    let state = tempfile::tempdir().unwrap();
    let genuine = fs::read(samples.join("genuine.jsonl")).unwrap();
    assert_eq!(pipe(&genuine, state.path()), alone);
}

#[test]
fn a_pattern_takes_in_the_files_that_appear_later() {
    let root = tempfile::tempdir().unwrap();
    append(&root.path().join("a.log"), "tall-newt-1", 0..5);
    let pattern = root.path().join("*.log");
    let command = || {
        let mut command = daemon::command();
        command.arg(&pattern).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.path().join("state"));
        command
    };
    let mut daemon = Daemon::start(&mut command());
    daemon.wait_until_ready();
    append(&root.path().join("a.log"), "tall-newt-1", 5..7);
    append(&root.path().join("b.log"), "tall-newt-2", 10..13);
    append(&root.path().join("c.txt"), "tall-newt-3", 20..23);
    daemon.wait_for_accesses("tall-newt-1", 2);
    daemon.wait_for_accesses("tall-newt-2", 3);
    daemon.stop();
    append(&root.path().join("d.log"), "tall-newt-4", 30..34);
    let mut daemon = Daemon::start(&mut command());
    daemon.wait_for_accesses("tall-newt-4", 4);
    daemon.wait_for_accesses("tall-newt-1", 2);
    assert!(!daemon.metrics().knows(ACCESSES, &[("deployment", "tall-newt-3")]));
    daemon.stop();
}

#[test]
fn from_the_beginning_where_that_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    append(&log, "tall-newt-1", 0..5);
    let mut command = daemon::command();
    command.arg(&log).args(["--from", "beginning", "--listen", "127.0.0.1:0", "--state-dir"]);
    command.arg(root.path().join("state"));
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_for_accesses("tall-newt-1", 5);
    daemon.stop();
    // Not a second time.
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_until_ready();
    daemon.wait_for_accesses("tall-newt-1", 5);
    daemon.stop();
}

#[test]
fn what_was_read_before_the_end_is_committed() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    append(&log, "tall-newt-1", 0..1);
    let mut command = daemon::command();
    command.arg(&log).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.path().join("state"));
    let mut written = 0;
    for round in 1..=10 {
        let mut daemon = Daemon::start(&mut command);
        daemon.wait_until_ready();
        append(&log, "tall-newt-1", round * 100..round * 100 + 50);
        written += 50;
        // It is asked to end while it reads, or before it has begun to.
        let said = daemon.stop();
        assert!(!said.contains("panicked"), "{said}");
    }
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_for_accesses("tall-newt-1", written);
    daemon.stop();
}

#[test]
fn a_wrong_configuration_does_not_replace_a_right_one() {
    let root = tempfile::tempdir().unwrap();
    let (log, file) = (root.path().join("app.log"), root.path().join("storagewatch.toml"));
    append(&log, "tall-newt-1", 0..0);
    let state = root.path().join("state");
    let (log_path, state) = (log.display(), state.display());
    let right = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = \"{state}\"\n\n[[source.file]]\nname = \"app\"\npaths = [\"{log_path}\"]\n"
    );
    fs::write(&file, &right).unwrap();
    let mut daemon = Daemon::start(daemon::command().arg("--config").arg(&file));
    daemon.wait_until_ready();
    let reloaded = "storagewatch_config_last_reload_successful";
    let wait_for_reload = |daemon: &mut Daemon, expected: f64| {
        daemon.wait_for_metrics(&format!("{reloaded} {expected}"), PATIENCE, |metrics| {
            let seen: Vec<_> = metrics.of(reloaded).map(|(_, value)| value).collect();
            if seen == [expected] { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    };
    wait_for_reload(&mut daemon, 1.0);
    for (round, wrong) in ["such = \"key\"\n", "[[source.file]]\nname = 5\n", "listen = \n"].into_iter().enumerate() {
        let round = round as u64;
        fs::write(&file, format!("{wrong}{right}")).unwrap();
        daemon.signal("HUP");
        wait_for_reload(&mut daemon, 0.0);
        append(&log, "tall-newt-1", round..round + 1);
        daemon.wait_for_accesses("tall-newt-1", round + 1);
        wait_until("it to name the file", PATIENCE, || daemon.log().contains(&file.display().to_string()));
        fs::write(&file, &right).unwrap();
        daemon.signal("HUP");
        wait_for_reload(&mut daemon, 1.0);
    }
    daemon.stop();
}

#[test]
fn a_source_that_is_left_out_for_a_while_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (log, other) = (root.path().join("app.log"), root.path().join("other.log"));
    let file = root.path().join("storagewatch.toml");
    append(&log, "tall-newt-2", 0..0);
    append(&other, "tall-newt-3", 0..0);
    let state = root.path().join("state");
    let source =
        |name: &str, path: &Path| format!("[[source.file]]\nname = \"{name}\"\npaths = [\"{}\"]\n", path.display());
    let write = |sources: &[String]| {
        let top = format!("listen = \"127.0.0.1:0\"\nstate_dir = \"{}\"\n\n", state.display());
        fs::write(&file, top + &sources.concat()).unwrap();
    };
    let (app, old) = (source("app", &log), source("old", &other));
    let start = || Daemon::start(daemon::command().arg("--config").arg(&file));
    let reload = |daemon: &mut Daemon, sources: &[String], times: usize| {
        write(sources);
        daemon.signal("HUP");
        wait_until("the configuration to be in use", PATIENCE, || {
            daemon.log().matches("was read again and is in use").count() == times
        });
    };
    write(&[app.clone(), old.clone()]);
    let mut daemon = start();
    daemon.wait_until_ready();
    append(&log, "tall-newt-2", 0..3);
    append(&other, "tall-newt-3", 0..1);
    daemon.wait_for_accesses("tall-newt-2", 3);
    daemon.wait_for_accesses("tall-newt-3", 1);
    reload(&mut daemon, std::slice::from_ref(&old), 1);
    append(&log, "tall-newt-2", 3..5);
    reload(&mut daemon, &[app.clone(), old.clone()], 2);
    daemon.wait_for_accesses("tall-newt-2", 5);
    daemon.wait_for_metrics("both sources to be up after a reload", PATIENCE, |metrics| {
        let up: Vec<f64> = metrics.of("storagewatch_source_up").map(|(_, value)| value).collect();
        if up == [1.0, 1.0] { Ok(()) } else { Err(format!("{up:?}")) }
    });
    daemon.stop();
    // Left out over a restart, too.
    write(std::slice::from_ref(&old));
    let mut daemon = start();
    daemon.wait_until_ready();
    append(&log, "tall-newt-2", 5..7);
    reload(&mut daemon, &[app, old], 1);
    daemon.wait_for_accesses("tall-newt-2", 7);
    daemon.kill();
    let mut daemon = start();
    daemon.wait_until_ready();
    append(&log, "tall-newt-2", 7..8);
    daemon.wait_for_accesses("tall-newt-2", 8);
    daemon.stop();
}

#[test]
fn a_stop_in_the_middle_of_a_backlog_is_quick_and_goes_on_from_there() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    let access = Access { deployment: "tall-newt-1", outcome: "http-fallback", size_bytes: 1 };
    // Written with other names in between, so that none of it can be read in passing.
    let some: String =
        (0..1000).map(|number| lines::access(access, number).replace("\"topic\"", "\"x\":0,\"topic\"")).collect();
    let mut file = fs::File::create(&log).unwrap();
    (0..100).for_each(|_| file.write_all(some.as_bytes()).unwrap());
    let mut command = daemon::command();
    command.arg(&log).args(["--listen", "127.0.0.1:0", "--from", "beginning", "--state-dir"]);
    command.arg(root.path().join("state"));
    let (mut stops, mut before) = (0, 0);
    while before < 100_000 {
        let mut daemon = Daemon::start(&mut command);
        wait_until("some more of it", PATIENCE, || {
            let counted = daemon.metrics().accesses("tall-newt-1");
            assert!(before <= counted && counted <= 100_000, "{counted} after {before}");
            let is_more = counted > before;
            before = before.max(counted);
            is_more || before == 100_000
        });
        // Within five seconds, with status 0.
        daemon.stop();
        stops += 1;
        assert!(stops < 100, "{before}");
    }
    assert!(stops > 1, "it was read before it could be stopped");
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_until_ready();
    daemon.wait_for_accesses("tall-newt-1", 100_000);
    daemon.stop();
}

#[test]
fn standard_input_is_read_on_over_a_reload() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("storagewatch.toml");
    fs::write(&file, "listen = \"127.0.0.1:0\"\n").unwrap();
    let mut daemon = Daemon::start(daemon::command().arg("-").arg("--config").arg(&file).stdin(Stdio::piped()));
    let mut stdin = daemon.child.stdin.take().unwrap();
    let up = |daemon: &mut Daemon| daemon.metrics().sum("storagewatch_source_up", &[("source", "stdin")]) as u64;
    for round in 0..3 {
        let access = Access { deployment: "quiet-lemur-7", outcome: "direct", size_bytes: 1 };
        stdin.write_all(lines::access(access, round).as_bytes()).unwrap();
        daemon.wait_for_accesses("quiet-lemur-7", round + 1);
        let taken = daemon.log().matches("read again and is in use").count();
        daemon.signal("HUP");
        wait_until("the reload", PATIENCE, || daemon.log().matches("read again and is in use").count() > taken);
        assert_eq!(up(&mut daemon), 1, "after reload {round}: {}", daemon.log());
    }
    drop(stdin);
    wait_until("its end with its input", PATIENCE, || {
        daemon.child.try_wait().unwrap().is_some_and(|status| status.success())
    });
}

#[test]
fn more_files_are_followed_than_may_be_open_at_first() {
    let root = tempfile::tempdir().unwrap();
    let name = |number: u64| root.path().join(format!("{number}.log"));
    (0..200).for_each(|number| fs::write(name(number), "").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 100 && exec \"$0\" \"$@\""]).arg(daemon::command().get_program());
    command.args(["watch", "--listen", "127.0.0.1:0"]).arg(root.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut daemon = Daemon::start(command.stderr(Stdio::piped()));
    daemon.wait_until_ready();
    (0..200).for_each(|number| append(&name(number), "tall-newt-1", number..number + 1));
    daemon.wait_for_accesses("tall-newt-1", 200);
    let said = daemon.stop();
    assert!(!said.contains("too many open files") && !said.contains("Too many open files"), "{said}");
}

#[test]
fn of_what_may_be_lost_the_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("app.log");
    fs::write(&log, "").unwrap();
    let mut daemon = Daemon::start(daemon::command().arg(&log).args(["--listen", "127.0.0.1:0"]));
    daemon.wait_until_ready();
    append(&log, "tall-newt-1", 0..3);
    daemon.wait_for_accesses("tall-newt-1", 3);
    let file = fs::File::options().write(true).open(&log).unwrap();
    file.set_len(file.metadata().unwrap().len() * 2 / 3).unwrap();
    daemon.wait_for_words(&format!("{}: something may be lost: it was shortened", log.display()), 1);
    daemon.stop();
}
