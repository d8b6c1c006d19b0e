//! The model itself: run against the simplest reader there is, one that reads every file anew.

use super::directory::{Accesses, Directory};
use super::steps::{Manner, Naming, Program, Step};
use std::io::Read;
use std::path::Path;

/// The accesses that the plain files of a directory hold, whole lines and a last one without its newline alike.
fn held(path: &Path, name: &str) -> Accesses {
    let mut held = Accesses::new();
    let mut texts = std::collections::BTreeMap::new();
    let entries = [path.to_owned(), path.join("kept")].map(|path| std::fs::read_dir(path).unwrap());
    for entry in entries.into_iter().flatten() {
        // A link's target lies beside it.
        let path = entry.unwrap().path().canonicalize().unwrap();
        if path.is_dir() {
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "gz") {
            let mut text = String::new();
            std::fs::File::open(&path).unwrap().read_to_string(&mut text).unwrap();
            texts.insert(path, text);
        }
    }
    let size = regex::Regex::new(r#"Storage access: [a-z-]+\\",.*\\"size\\":(\d+),"#).unwrap();
    let deployment = regex::Regex::new(&format!(r#""deployment_name":"{name}-(\d+)".*\}}$"#)).unwrap();
    for line in texts.values().flat_map(|text| text.lines()) {
        if let (Some(size), Some(deployment)) = (size.captures(line), deployment.captures(line)) {
            let bit = size[1].parse::<u64>().unwrap().ilog2() as usize;
            held.insert(deployment[1].parse::<usize>().unwrap() * super::directory::OF_ONE_NAME + bit);
        }
    }
    held
}

/// Runs a program without storagewatch, as one that sees nothing before the end.
fn run(program: &Program) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p");
    let mut directory =
        Directory::new(path.clone(), "calm-newt-1".to_owned(), program.naming, program.manner == Manner::Gentle);
    if program.old {
        directory.write_old();
    }
    let old = held(&path, "calm-newt-1");
    for step in program.steps.iter().filter(|step| !step.is_shared()) {
        directory.step(*step, false);
        let found: Accesses = held(&path, "calm-newt-1").difference(&old).copied().collect();
        let (must, may) = (directory.must(true), directory.may());
        // A line without its newline is on the disk before it may count.
        let early: Accesses = found.difference(&may).copied().collect();
        if !must.is_subset(&found) || early.len() > 1 || !must.is_subset(&may) {
            return Err(format!("after {step}: held {found:?}, must {must:?}, may {may:?}"));
        }
        // In a gentle program nothing is ever gone.
        if program.manner == Manner::Gentle && may.difference(&must).count() > 0 {
            return Err(format!("after {step}: must {must:?}, may {may:?}"));
        }
    }
    Ok(())
}

#[test]
fn the_model_knows_what_the_files_hold() {
    for seed in 0..5 {
        for manner in [Manner::Gentle, Manner::Rough] {
            for program in Program::draw(seed, manner, 8) {
                run(&program).unwrap_or_else(|fault| panic!("seed {seed}: {fault}\n{program}"));
            }
        }
    }
}

#[test]
fn what_was_destroyed_need_not_be_counted() {
    let root = tempfile::tempdir().unwrap();
    let mut directory = Directory::new(root.path().join("p"), "calm-newt-1".to_owned(), Naming::Numbered, false);
    let set = |of: &[usize]| of.iter().copied().collect::<Accesses>();
    directory.step(Step::Write(2), false);
    assert_eq!((directory.must(false), directory.may()), (set(&[0, 1]), set(&[0, 1])));
    directory.step(Step::CopyTruncate { late: 1 }, false);
    assert_eq!((directory.must(false), directory.may()), (set(&[0, 1]), set(&[0, 1, 2])));
    directory.step(Step::DeleteOldest, false);
    assert_eq!((directory.must(false), directory.may()), (set(&[]), set(&[0, 1, 2])));
    directory.saw(set(&[1, 2]));
    directory.step(Step::Write(1), false);
    directory.step(Step::Partial(super::steps::Cut::Bare), false);
    assert_eq!((directory.must(true), directory.may()), (set(&[1, 2, 3]), set(&[0, 1, 2, 3])));
    directory.step(Step::Rename { creates: true }, false);
    assert_eq!((directory.must(false), directory.must(true)), (set(&[1, 2, 3]), set(&[1, 2, 3, 4])));
    directory.step(Step::Late(1), false);
    assert_eq!(directory.must(false), set(&[1, 2, 3, 4, 5]));
}
