//! Runs the program and reads what it says.

pub(crate) mod node;
pub(crate) mod prometheus;
pub(crate) mod scanning;

use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The program, without anything of the tester's terminal.
pub(crate) fn storagewatch() -> Command {
    let mut command = Command::cargo_bin("storagewatch").unwrap();
    command.env_remove("NO_COLOR").env_remove("COLUMNS").env("TERM", "dumb").timeout(std::time::Duration::from_mins(2));
    command
}

/// What a run left: exit status, standard output, standard error.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let output = storagewatch().args(arguments).write_stdin(input).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// The report on a file as JSON, whatever the exit status.
pub(crate) fn report(path: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["report", "--format", "json", path.to_str().unwrap()];
    arguments.extend(more);
    let (_, out, err) = run(&arguments, b"");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

/// The events of a file.
pub(crate) fn events(path: &Path, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["events", path.to_str().unwrap()];
    arguments.extend(more);
    let (_, out, _) = run(&arguments, b"");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where the samples lie.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// Every sample, in a stable order.
pub(crate) fn all_samples() -> Vec<PathBuf> {
    // Those that break off are kept apart: a report on the samples should end well.
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged");
    let mut found: Vec<PathBuf> = walk(&samples())
        .into_iter()
        .chain(walk(&damaged))
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !name.ends_with(".expected.json") && !name.ends_with(".md") && !name.ends_with(".ts")
        })
        .collect();
    found.sort();
    assert!(found.len() > 20, "the samples are gone");
    found
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path) } else { vec![path] }
        })
        .collect()
}
