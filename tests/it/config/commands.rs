//! What the command line and the environment say of a configuration, and what the program prints for others.

use super::check;
use crate::support::{run, storagewatch};

#[test]
fn every_option_of_watch_can_stand_in_the_environment() {
    for (variable, wrong, option) in [
        ("LISTEN", "localhost", "--listen"),
        ("CONVEX", "https://happy-otter-123.convex.site", "--convex"),
        ("INGEST_LISTEN", "localhost", "--ingest-listen"),
        ("FROM", "start", "--from"),
        ("LINGER", "soon", "--linger"),
        ("POLL_INTERVAL", "1h", "--poll-interval"),
        ("ENABLE_RELOAD", "perhaps", "--enable-reload"),
        ("LOG_FORMAT", "xml", "--log-format"),
        ("LOG_LEVEL", "loud", "--log-level"),
        ("DEPLOYMENT", "{name}", "--deployment"),
        ("HOSTING", "heroku", "--hosting"),
        ("ALERTMANAGER", "http://a,http://b:c", "--alertmanager"),
        ("CONFIG", "none.toml", "none.toml: no such file"),
    ] {
        let variable = format!("STORAGEWATCH_{variable}");
        let output = storagewatch().args(["watch"]).env(&variable, wrong).write_stdin("").output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}: {err}");
        assert!(err.contains(option) && err.lines().count() == 1, "{variable}: {err}");
        assert!(err.contains(&format!(" in {variable}")) || variable.ends_with("_CONFIG"), "{variable}: {err}");
    }
    // Set to nothing, as compose files do, is not set.
    let mut command = storagewatch();
    for name in ["CONVEX", "CONFIG", "STATE_DIR", "LINGER", "ALERTMANAGER", "LOG_LEVEL", "ENABLE_RELOAD", "LISTEN"] {
        command.env(format!("STORAGEWATCH_{name}"), "");
    }
    let output = command.args(["watch", "--listen", "127.0.0.1:0"]).write_stdin("").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What is typed goes before the environment: the wrong address is never looked at, the missing file is.
    let output = storagewatch()
        .args(["watch", "--listen", "127.0.0.1:0", "--config", "typed.toml"])
        .env("STORAGEWATCH_LISTEN", "localhost")
        .env("STORAGEWATCH_CONFIG", "environment.toml")
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err, "storagewatch: typed.toml: no such file; check the path\n");
}

#[test]
fn a_wrong_word_for_watch_is_one_line() {
    for (arguments, names) in [
        (&["watch", "no/such/directory/a.log"][..], "no/such/directory/a.log: no such file, and no directory"),
        (&["watch", "a["], "'a[' is no pattern"),
        (&["watch", "--linger", "5", "-"], "'5' is no duration"),
        (&["watch", "--deployment", "{stem}", "-"], "only a file has a name to fill in"),
        (&["watch", "--bogus"], "storagewatch watch --help"),
        (&["check"], "storagewatch check --help"),
        (&["print", "confg"], "config"),
    ] {
        let (status, out, err) = run(arguments, b"");
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(names) && err.lines().count() == 1, "{arguments:?}: {err}");
    }
}

#[test]
fn an_address_with_a_password_is_refused_without_repeating_it_and_may_be_named() {
    let refused =
        "an address with a password is a secret; write env:NAME or file:PATH; see 'storagewatch watch --help'\n";
    for address in ["http://user:hunter2@a:9093", "http://a,http://user:hunter2@b"] {
        let (status, _, err) = run(&["watch", "--alertmanager", address, "-"], b"");
        assert_eq!((status, err), (2, format!("storagewatch: --alertmanager: {refused}")));
        let output = storagewatch().args(["watch", "-"]).env("STORAGEWATCH_ALERTMANAGER", address).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err, format!("storagewatch: --alertmanager in STORAGEWATCH_ALERTMANAGER: {refused}"));
    }
    for address in ["hunter2", "hunter2://a", "http://hunter2@[", "env:hunter-2"] {
        let (status, _, err) = run(&["watch", "--alertmanager", address, "-"], b"");
        assert!(status == 2 && !err.contains("hunter"), "{err}");
    }
    // The way out that it names is one.
    let directory = tempfile::tempdir().unwrap();
    let named = format!("file:{}", directory.path().join("address").display());
    let watch = ["watch", "--listen", "127.0.0.1:0", "--alertmanager", "env:AM", "--alertmanager", &named, "-"];
    let (status, _, err) = run(&watch, b"");
    assert_eq!(status, 0, "{err}");
}

#[test]
fn help_names_every_option_and_its_variable() {
    let (status, out, err) = run(&["watch", "--help"], b"");
    assert_eq!((status, err.as_str()), (0, ""));
    let flat = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for option in [
        "convex",
        "config",
        "listen",
        "ingest-listen",
        "state-dir",
        "from",
        "linger",
        "deployment",
        "hosting",
        "poll-interval",
        "enable-reload",
        "alertmanager",
        "log-format",
        "log-level",
    ] {
        let variable = option.replace('-', "_").to_uppercase();
        assert!(flat.contains(&format!("--{option}")), "{option}: {out}");
        assert!(flat.contains(&format!("[env: STORAGEWATCH_{variable}=]")), "{option}: {out}");
    }
    assert!(!run(&["report", "--help"], b"").1.contains("STORAGEWATCH_"), "only watch is told by the environment");
    for command in ["check", "print"] {
        let (status, out, err) = run(&[command, "--help"], b"");
        assert_eq!((status, err.as_str()), (0, ""));
        let usage = out.lines().find(|line| line.starts_with(&format!("Usage: storagewatch {command} ")));
        assert!(usage.is_some_and(|usage| usage.ends_with('>')), "{out}");
    }
}

#[test]
fn what_is_printed_is_what_is_accepted() {
    let (status, example, _) = run(&["print", "config"], b"");
    assert_eq!(status, 0);
    let (status, resolved, err) = check(&example);
    assert_eq!(status, 0, "{err}");
    // What is set in the example is the default, and what is commented out is right too.
    let (_, defaults, _) = check("");
    for line in defaults.lines().filter_map(|line| line.strip_suffix(" # default")) {
        assert!(resolved.contains(&format!("{line}\n")), "{line} is not in the example");
    }
    let setting = regex::Regex::new(r"(?m)^# (\[|[a-z_]+ = )").unwrap();
    let (status, resolved, err) = check(setting.replace_all(&example, "$1").as_ref());
    assert_eq!(status, 0, "{err}");
    assert!(!resolved.contains(" is not set") && !resolved.contains("# default"), "the example lacks: {resolved}");
}

#[test]
fn the_unit_for_systemd_fits_the_program() {
    let (status, unit, _) = run(&["print", "systemd"], b"");
    assert_eq!(status, 0);
    for line in [
        "Type=notify",
        "WatchdogSec=30",
        "StateDirectory=storagewatch",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        "TimeoutStopSec=10",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line} is missing");
    }
    // The command that it runs is one: only its configuration is not there.
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let arguments: Vec<&str> =
        command.split(' ').skip(1).map(|word| word.strip_prefix("/etc").unwrap_or(word)).collect();
    let (status, _, err) = run(&arguments, b"");
    assert_eq!(
        (status, err.as_str()),
        (2, "storagewatch: /storagewatch/storagewatch.toml: no such file; check the path\n")
    );
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let printed = |arguments: &[&str]| {
        let (status, out, err) = run(&[&["print"], arguments].concat(), b"");
        assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
        out
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in ["report", "watch", "check", "poll-interval"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let program = printed(&["man"]);
    for command in ["report", "events", "explain", "watch", "probe", "check", "print"] {
        assert!(program.contains(&format!("storagewatch\\-{command}(1)")), "{command}: {program}");
        assert!(printed(&["man", command]).contains(&format!(".TH storagewatch-{command} 1")), "{command}");
    }
    let (status, _, err) = run(&["print", "man", "wtach"], b"");
    assert_eq!((status, err.lines().count()), (2, 1), "{err}");
}
