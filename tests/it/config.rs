//! The configuration: what is refused and how that is said, what is resolved, and what goes before what.

mod commands;
mod mistakes;

use crate::support::run;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storagewatch::attribute::Evidence;
use storagewatch::config::{CommandLine, Config, Declared, DeploymentTemplate, LogFormat, LogLevel, Start, Watched};
use storagewatch::event::Hosting;

const SOURCE: &str = "[[source.file]]\nname = \"a\"\npaths = [\"*.log\"]\n";

struct Written {
    directory: tempfile::TempDir,
    path: PathBuf,
}

fn write(text: impl AsRef<[u8]>) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watch.toml");
    std::fs::write(&path, text).unwrap();
    Written { directory, path }
}

fn check(text: impl AsRef<[u8]>) -> (i32, String, String) {
    let written = write(text);
    let (status, out, err) = run(&["check", written.path.to_str().unwrap()], b"");
    let directory = written.directory.path().to_str().unwrap();
    (status, out.replace(directory, "DIR"), err.replace(directory, "DIR"))
}

fn load(text: &str, command_line: CommandLine) -> Config {
    let written = write(text);
    Config::load(&CommandLine { config: Some(written.path), ..command_line }).unwrap()
}

#[test]
fn what_is_resolved_shows_every_default_and_reads_back_the_same() {
    let text = "poll_interval = \"1 second\"\nstate_dir = \"state\"\nfrom = \"beginning\"\n\
                [[source.file]]\nname = \"a\"\npaths = [\"logs/*.log\", \"/tmp/none-[0-9].log\", \"od\\\"d\"]\n\
                [[source.file]]\nname = \"b\"\npaths = [\"b.log\"]\ndeployment = \"{stem}\"\nhosting = \"local\"\n\
                silent_after = \"90m\"\nfrom = \"end\"\n\
                [[source.webhook]]\nname = \"c\"\nsecrets = [\"env:NONE_OF_OURS\", \"file:old\"]\n\
                [[source.webhook]]\nname = \"d\"\nkeys = [\"file:key\"]\nallow_unsigned = true\nmax_body = \"1024KiB\"\n\
                deployment = \"calm-owl-7\"\nhosting = \"cloud\"\nsilent_after = \"1h\"\n\
                [[source.convex]]\nurl = \"https://happy-otter-123.convex.cloud/\"\nkey = \"file:key\"\n\
                [[source.probe]]\nurl = \"https://happy-otter-123.convex.cloud\"\ndeployment = \"x\"\nhosting = \"cloud\"\n\
                [deployment.\"happy-*\"]\nhosting = \"cloud\"\nseverity = \"warning\"\nwindow = \"600s\"\n\
                [deployment.calm-owl-7]\nexpect = \"direct\"\n\
                [alert]\nwindow = \"60s\"\nalertmanagers = [\"http://127.0.0.1:9093/\", \"env:PATH\"]\n\
                [[alert.webhook]]\nurl = \"env:PATH\"\nformat = \"slack\"\n";
    let (status, resolved, _) = check(text);
    let expected = "\
listen = \"127.0.0.1:10045\" # default
ingest_listen = \"127.0.0.1:10046\" # default
state_dir = \"DIR/state\"
from = \"beginning\"
linger = \"0s\" # default
poll_interval = \"1s\"
openmetrics_created = false # default
enable_reload = false # default
log_format = \"text\" # default
log_level = \"info\" # default

[[source.file]]
name = \"a\"
paths = [\"DIR/logs/*.log\", \"/tmp/none-[0-9].log\", \"DIR/od\\\"d\"]
# deployment is not set: as the records say
# hosting is not set: as the records say
# silent_after is not set: silence is never reported
from = \"beginning\" # default

[[source.file]]
name = \"b\"
paths = [\"DIR/b.log\"]
deployment = \"{stem}\"
hosting = \"local\"
silent_after = \"1h 30m\"
from = \"end\"

[[source.webhook]]
name = \"c\"
secrets = [\"env:NONE_OF_OURS\", \"file:DIR/old\"]
# keys is not set: no key is accepted in place of a signature
allow_unsigned = false # default
# deployment is not set: as the records say
# hosting is not set: as the records say
# silent_after is not set: silence is never reported
max_body = \"16MiB\" # default

[[source.webhook]]
name = \"d\"
# secrets is not set: signatures count for nothing
keys = [\"file:DIR/key\"]
allow_unsigned = true
deployment = \"calm-owl-7\"
hosting = \"cloud\"
silent_after = \"1h\"
max_body = \"1MiB\"

[[source.convex]]
name = \"happy-otter-123.convex.cloud\" # default
url = \"https://happy-otter-123.convex.cloud\"
key = \"file:DIR/key\"
# deployment is not set: as the deployment says
# hosting is not set: as the deployment says
# silent_after is not set: silence is never reported
from = \"beginning\" # default

[[source.probe]]
name = \"probe-happy-otter-123.convex.site\" # default
url = \"https://happy-otter-123.convex.site\"
interval = \"5m\" # default
deployment = \"x\"
hosting = \"cloud\"

[deployment.\"happy-*\"]
hosting = \"cloud\"
# expect is not set: what is usual where it runs
severity = \"warning\"
window = \"10m\"

[deployment.\"calm-owl-7\"]
# hosting is not set: as the source or the records say
expect = \"direct\"
# severity is not set: as the policy says
# window is not set: as in [alert]

[alert]
window = \"1m\"
keep_firing_for = \"3m\" # default
max_age = \"24h\" # default
# external_url is not set: where the page is served
alertmanagers = [\"http://127.0.0.1:9093\", \"env:PATH\"]

[[alert.webhook]]
name = \"slack\" # default
url = \"env:PATH\"
format = \"slack\"

[limits]
deployments = 1000 # default
";
    assert_eq!((status, resolved.as_str()), (0, expected));
    let absolute = resolved.replace("DIR/", "/tmp/");
    let (_, again, _) = check(&absolute);
    assert_eq!(again, absolute.replace(" # default", ""));
    let meant = |text: &str| load(text, CommandLine::default());
    assert_eq!(meant(&absolute), meant(&again));
}

#[test]
fn what_would_surprise_is_said_and_spoils_nothing() {
    let written = write("");
    let at = |name: &str| written.directory.path().join(name);
    std::fs::write(at("a.log"), "").unwrap();
    std::os::unix::fs::symlink(at("round.log"), at("round.log")).unwrap();
    let second = SOURCE.replace("\"a\"", "\"b\"").replace("*.log", "a.log\", \"later.log");
    let second = format!("{second}[[source.convex]]\nurl = \"http://127.0.0.1:3210\"\nkey = \"file:no-key\"\n");
    std::fs::write(&written.path, format!("{SOURCE}{second}")).unwrap();
    let (status, out, err) = run(&["check", written.path.to_str().unwrap()], b"");
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("[[source.file]]"));
    for part in [
        "round.log: cannot be read",
        "source 'a' has it already",
        "later.log: no such file yet",
        "no-key cannot be read",
    ] {
        assert!(err.contains(part), "{part} is missing:\n{err}");
    }
    assert_eq!(err.lines().count(), 4, "{err}");
    assert!(check("").2.contains("no source; add a [[source.file]] or another"));
    let (status, out, err) =
        check("[[source.webhook]]\nname = \"c\"\nsecrets = [\"env:NONE_OF_OURS\"]\nallow_unsigned = true\n");
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("[[source.webhook]]"));
    assert!(err.contains("the secret env:NONE_OF_OURS is not set"), "{err}");
    assert!(
        err.contains("source 'c': ALLOWS UNSIGNED BODIES: whoever reaches http://127.0.0.1:10046/ingest/c"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 2, "{err}");
}

#[test]
fn the_command_line_goes_before_the_file_and_the_file_before_the_defaults() {
    let defaults = load(SOURCE, CommandLine::default());
    assert_eq!(defaults.listen.to_string(), "127.0.0.1:10045");
    assert_eq!(defaults.ingest_listen.to_string(), "127.0.0.1:10046");
    assert_eq!((defaults.state_dir, defaults.sources[0].from), (None, Start::End));
    assert_eq!((defaults.linger, defaults.poll_interval), (Duration::ZERO, Duration::from_millis(250)));
    assert_eq!((defaults.enable_reload, defaults.openmetrics_created), (false, false));
    assert_eq!((defaults.log_format, defaults.log_level), (LogFormat::Text, LogLevel::Info));
    assert_eq!(defaults.max_deployments, 1000);

    let text = format!(
        "listen = \"127.0.0.1:1\"\ningest_listen = \"127.0.0.1:3\"\nstate_dir = \"/file\"\nlinger = \"1s\"\npoll_interval = \"1s\"\nfrom = \"beginning\"\n\
         enable_reload = true\nopenmetrics_created = true\nlog_format = \"json\"\nlog_level = \"debug\"\n\
         limits.deployments = 5\n{SOURCE}{}from = \"end\"\n",
        SOURCE.replace("\"a\"", "\"b\"")
    );
    let service = CommandLine { service_state_dir: Some("/service".into()), ..CommandLine::default() };
    let file = load(&text, service.clone());
    assert_eq!((file.listen.port(), file.ingest_listen.port(), file.state_dir), (1, 3, Some("/file".into())));
    assert_eq!(file.sources.iter().map(|source| source.from).collect::<Vec<_>>(), [Start::Beginning, Start::End]);
    assert_eq!((file.linger, file.poll_interval), (Duration::from_secs(1), Duration::from_secs(1)));
    assert_eq!((file.enable_reload, file.openmetrics_created), (true, true));
    assert_eq!((file.log_format, file.log_level), (LogFormat::Json, LogLevel::Debug));
    assert_eq!(file.max_deployments, 5);
    assert_eq!(load(SOURCE, service.clone()).state_dir, Some("/service".into()));

    let typed = load(
        &text,
        CommandLine {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            ingest_listen: Some("127.0.0.1:4".parse().unwrap()),
            state_dir: Some("/typed".into()),
            from: Some(Start::End),
            linger: Some(Duration::from_secs(2)),
            poll_interval: Some(Duration::from_secs(2)),
            enable_reload: Some(false),
            log_format: Some(LogFormat::Text),
            log_level: Some(LogLevel::Error),
            ..service
        },
    );
    assert_eq!((typed.listen.port(), typed.ingest_listen.port(), typed.state_dir), (2, 4, Some("/typed".into())));
    assert!(typed.sources.iter().all(|source| source.from == Start::End));
    assert_eq!((typed.linger, typed.poll_interval), (Duration::from_secs(2), Duration::from_secs(2)));
    assert_eq!((typed.enable_reload, typed.log_format, typed.log_level), (false, LogFormat::Text, LogLevel::Error));
}

#[test]
fn paths_of_the_command_line_are_a_source_of_their_own() {
    let text = format!("{SOURCE}hosting = \"cloud\"\ndeployment = \"x\"\n");
    let typed = CommandLine {
        paths: vec![Watched::from_word("/tmp/none-*.log").unwrap()],
        stdin: true,
        deployment: Some(DeploymentTemplate::parse("mine").unwrap()),
        hosting: Some(Hosting::SelfHosted),
        ..CommandLine::default()
    };
    let config = load(&text, typed.clone());
    let said = |hosting, evidence| Some(Declared { hosting, evidence });
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["a", "files"]);
    assert_eq!(config.sources[0].hosting, said(Hosting::Cloud, Evidence::Config));
    assert_eq!(config.sources[1].hosting, said(Hosting::SelfHosted, Evidence::Option));
    let stdin = config.stdin.as_ref().unwrap();
    assert_eq!((stdin.name.as_str(), stdin.deployment.as_deref()), ("stdin", Some("mine")));
    assert_eq!(
        config.known_deployments(),
        [("x", said(Hosting::Cloud, Evidence::Config)), ("mine", said(Hosting::SelfHosted, Evidence::Option))]
    );

    let refused = |command_line: CommandLine| Config::load(&command_line).unwrap_err().to_string();
    let stem = Some(DeploymentTemplate::parse("{stem}").unwrap());
    assert!(refused(CommandLine { deployment: stem, ..typed }).contains("only a file has a name to fill in"));
    assert!(refused(CommandLine::default()).contains("nothing to watch: name files"));
    let hosting = Some(Hosting::Cloud);
    let config = Some(write(SOURCE).path);
    assert!(
        refused(CommandLine { hosting, ..CommandLine::default() }).contains("write them in the configuration file")
    );
    assert!(refused(CommandLine { config, ..CommandLine::default() }).contains("no such file"));
    let empty = write("");
    let error = refused(CommandLine { config: Some(empty.path), ..CommandLine::default() });
    assert!(
        error.ends_with(
            "nothing to watch; add a [[source.file]] or another source to it, or name files beside --config"
        ),
        "{error}"
    );
}

#[test]
fn an_exact_name_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter() {
    let text = format!(
        "{SOURCE}[deployment.\"*\"]\n[deployment.\"happy-*\"]\nhosting = \"cloud\"\n\
         [deployment.\"happy-otter-[0-9][0-9][0-9]\"]\nexpect = \"direct\"\n\
         [deployment.happy-otter-123]\nhosting = \"self_hosted\"\n\
         [deployment.\"zzz?\"]\n[deployment.\"zz?z\"]\n"
    );
    let config = load(&text, CommandLine::default());
    let rule = |name: &str| config.rule_for(name).unwrap().pattern.as_str();
    assert_eq!(rule("happy-otter-123"), "happy-otter-123");
    assert_eq!(rule("happy-otter-124"), "happy-otter-[0-9][0-9][0-9]");
    assert_eq!(rule("happy-fox-1"), "happy-*");
    assert_eq!(rule("calm-owl-7"), "*");
    assert_eq!(rule("zzzz"), "zzz?", "of two as long as each other the first");
    assert!(load(SOURCE, CommandLine::default()).rule_for("calm-owl-7").is_none());

    let source = Some(Declared { hosting: Hosting::Local, evidence: Evidence::Option });
    let declared = |name: &str| config.declared(name, source).unwrap();
    assert_eq!(declared("happy-fox-1"), Declared { hosting: Hosting::Cloud, evidence: Evidence::Config });
    assert_eq!(declared("happy-otter-124").hosting, Hosting::Local, "a rule without hosting leaves it to the source");
    assert_eq!(config.known_deployments().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["happy-otter-123"]);
}

#[test]
fn the_stem_of_a_file_names_its_deployment() {
    let config = load(&format!("{SOURCE}deployment = \"{{stem}}\"\n"), CommandLine::default());
    let template = config.sources[0].deployment.as_ref().unwrap();
    assert_eq!(template.name_for(Path::new("/var/log/happy-otter-123.log")).as_deref(), Some("happy-otter-123"));
    assert_eq!(template.literal(), None);
    assert!(config.known_deployments().is_empty());
}
