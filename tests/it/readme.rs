//! What the README tells people to type does what it says.

use std::path::Path;
use std::process::Command;
use storagewatch::metrics::Metric;

/// The shell blocks that are meant to be run as they stand.
fn blocks(readme: &str) -> Vec<&str> {
    readme.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn every_shell_block_of_the_readme_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let program = assert_cmd::cargo::cargo_bin("storagewatch");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let blocks = blocks(&readme);
    assert!(blocks.len() >= 4, "the README's examples are gone");
    for block in blocks {
        for line in block.lines() {
            let output = Command::new("sh").args(["-euc", line]).current_dir(root).env("PATH", &path).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty(), "{line} printed nothing");
        }
    }
}

#[test]
fn every_option_of_the_readme_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut help = String::new();
    for command in ["report", "events", "explain", "watch", "probe", "check", "print"] {
        let (status, out, _) = crate::support::run(&[command, "--help"], b"");
        assert_eq!(status, 0);
        help.push_str(&out);
    }
    let before_speed = readme.split("## Speed").next().unwrap();
    let options = regex::Regex::new("`(?:[a-z]+ )?(--[a-z-]+)").unwrap();
    for option in options.captures_iter(before_speed).map(|found| found.get(1).unwrap().as_str()) {
        // Options of other programs that the README mentions.
        if ["--no-default-features", "--jsonl", "--timestamps", "--prefix", "--history"].contains(&option) {
            continue;
        }
        assert!(help.contains(option), "{option} is in the README but in no help");
    }
}

#[test]
fn the_table_of_metrics_is_the_programs() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let found: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Metric::ALL
        .iter()
        .map(|metric| {
            let labels = metric.labels().join(", ");
            format!("| `{}` | {} | {labels} | {} |", metric.name(), metric.kind().as_str(), metric.help())
        })
        .collect();
    assert_eq!(found, expected, "the README's table of metrics should be:\n{}", expected.join("\n"));
}

#[test]
fn the_table_of_alerts_is_the_runbooks() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(name, _)| name);
    let found: Vec<&str> =
        rows.filter(|name| name.starts_with("ConvexStorage") || name.starts_with("Storagewatch")).collect();
    let expected: Vec<&str> = storagewatch::runbook::PAGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_configuration_of_the_readme_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watch.toml");
        std::fs::write(&path, block).unwrap();
        let (status, _, err) = crate::support::run(&["check", path.to_str().unwrap()], b"");
        assert_eq!(status, 0, "{err}\n{block}");
    }
}
