//! The runbook: a page an alert, each with the same sections, its commands as they run, and served where the rules link to.

use super::{EXAMPLE, RULES, rules};
use crate::serve::server::{Server, view};
use crate::support::node::read;
use crate::support::{run, samples, storagewatch};
use std::collections::BTreeSet;
use std::path::Path;
use storagewatch::runbook::{BASE, PAGES, page};

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let pages: BTreeSet<&str> = PAGES.iter().map(|(name, _)| *name).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/runbook");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".md").unwrap().to_owned())
        .collect();
    assert_eq!(files, pages.iter().map(|&name| name.to_owned()).collect());
    for path in [RULES, EXAMPLE] {
        let rules = rules(path);
        let alerts: BTreeSet<&str> =
            rules.iter().map(|(name, _)| name.as_str()).filter(|name| !name.contains(':')).collect();
        assert!(alerts.is_subset(&pages), "{path}: {alerts:?}");
        let text = read(path);
        for alert in &alerts {
            let linked = text.matches(&format!("runbook_url: {BASE}/runbook/{alert}\n")).count();
            assert_eq!(linked, rules.iter().filter(|(name, _)| name == alert).count(), "{path}: {alert}");
        }
    }
    let shipped: BTreeSet<String> =
        rules(RULES).into_iter().map(|(name, _)| name).filter(|name| !name.contains(':')).collect();
    assert_eq!(shipped, files);
}

#[test]
fn every_page_says_what_it_means_what_it_does_and_what_to_do() {
    for (name, page) in PAGES {
        let sections: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(sections, [&*format!("# {name}"), "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]);
        for section in page.split("\n## ").skip(1) {
            assert!(section.lines().skip(1).any(|line| line.len() > 20), "{name}: an empty section");
        }
    }
}

#[test]
fn every_command_of_the_runbook_runs() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("storagewatch.toml");
    let (_, example, _) = run(&["print", "config"], b"");
    std::fs::write(&config, example).unwrap();
    let logs = samples().join("log-stream");
    let mut count = 0;
    for (name, page) in PAGES {
        for line in page.lines().filter_map(|line| line.trim().strip_prefix("storagewatch ")) {
            let arguments = line.split(' ').map(|word| match word {
                "/var/log/convex" => logs.to_str().unwrap(),
                "/etc/storagewatch.toml" => config.to_str().unwrap(),
                word => word,
            });
            let output = storagewatch().args(arguments).env("CONVEX_WEBHOOK_SECRET", "secret").output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {line}: {said}");
            count += 1;
        }
    }
    assert!(count >= 10, "the runbook's commands are gone");
}

#[test]
fn the_status_page_serves_the_runbook() {
    let server = Server::start(view());
    for (name, text) in PAGES {
        let answer = server.get(&format!("/runbook/{name}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
        assert_eq!(answer.body, *text);
    }
    let list = server.get("/runbook");
    assert_eq!((list.status, list.header("content-type")), (200, "text/html; charset=utf-8"));
    for (name, _) in PAGES {
        assert!(list.body.contains(&format!("<a href=\"runbook/{name}\">{name}</a>")), "{}", list.body);
    }
    assert!(server.get("/").body.contains("href=\"runbook\""));
    for unknown in ["/runbook/convexstoragedirectfailed", "/runbook/..%2F..%2Fetc%2Fpasswd", "/runbook/%3Cb%3E"] {
        let answer = server.get(unknown);
        assert_eq!(answer.status, 404, "{unknown}");
        assert!(!answer.body.contains("<b>"), "{}", answer.body);
    }
    assert_eq!(page("StoragewatchDown").map(|page| page.starts_with("# StoragewatchDown")), Some(true));
}
