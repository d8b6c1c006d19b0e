//! Node, and what tests/node/install fetched for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where tests/node/install puts the packages.
pub(crate) fn packages() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("node");
    assert!(
        directory.join("installed").exists(),
        "the tests need packages of npm: run tests/run, or tests/node/install"
    );
    directory
}

fn node(arguments: &[&str]) -> Output {
    Command::new("node").args(arguments).output().expect("node, of the Debian package nodejs, which tests/run installs")
}

/// A file of the project.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Compiles TypeScript that lies beside the packages it takes its types from. Returns where the output went.
pub(crate) fn compile(name: &str, files: &[(&str, &str)]) -> Result<PathBuf, String> {
    let packages = packages();
    let directory = packages.join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let compiler = packages.join("node_modules/typescript/bin/tsc");
    let output = directory.join("compiled");
    let mut arguments = vec![compiler.to_str().unwrap(), "--outDir", output.to_str().unwrap()];
    arguments.extend(["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noUnusedLocals"]);
    // What Convex's own template of a configuration says.
    arguments.extend(["--target", "es2021", "--lib", "es2022,dom", "--module", "esnext"]);
    arguments.extend(["--moduleResolution", "bundler", "--isolatedModules", "--skipLibCheck"]);
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| directory.join(name)).collect();
    for (path, (_, text)) in paths.iter().zip(files) {
        fs::write(path, text).unwrap();
        arguments.push(path.to_str().unwrap());
    }
    let compiled = node(&arguments);
    let said = String::from_utf8_lossy(&compiled.stdout).into_owned();
    if compiled.status.success() { Ok(output) } else { Err(said) }
}
