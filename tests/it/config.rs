//! The configuration: what is refused and how that is said, what is resolved, and what goes before what.

use crate::support::{run, storagewatch};
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
fn a_mistake_is_one_line_that_says_where_what_and_what_to_do() {
    let known = "listen, ingest_listen, state_dir, from, linger, poll_interval, openmetrics_created, enable_reload, log_format, \
                 log_level, source, deployment, alert, limits";
    let source = |more: &str| format!("{SOURCE}{more}");
    let polled = |more: &str| format!("[[source.convex]]\nurl = \"http://127.0.0.1:3210\"\nkey = \"env:KEY\"\n{more}");
    let webhook = |more: &str| format!("[[source.webhook]]\nname = \"x\"\n{more}");
    for (text, expected) in [
        // Syntax.
        ("listen 5", "1:8: not TOML: key with no value, expected `=`; correct what stands here"),
        ("a = 1\na = 2", "2:1: not TOML: duplicate key; correct what stands here"),
        ("[limits", "1:8: not TOML: unclosed table, expected `]`; correct what stands here"),
        // Keys.
        ("lisen = \"x\"", "1:1: unknown key 'lisen'; did you mean 'listen'?"),
        ("# ä\n\n  state-dir = 1", "3:3: unknown key 'state-dir'; did you mean 'state_dir'?"),
        ("listen = 1\nweather = \"fine\"", &format!("2:1: unknown key 'weather'; known there: {known}")),
        ("[limits]\ndeployment = 5", "2:1: unknown key 'deployment' in [limits]; did you mean 'deployments'?"),
        ("[[source.webhok]]\nname = \"x\"", "1:10: unknown key 'webhok' in [source]; did you mean 'webhook'?"),
        (&source("pahts = []"), "4:1: unknown key 'pahts' in [[source.file]]; did you mean 'paths'?"),
        (
            "[deployment.\"happy-*\"]\nweather = \"fine\"",
            "2:1: unknown key 'weather' in [deployment.\"happy-*\"]; known there: hosting, expect, severity, window",
        ),
        // Types.
        ("listen = 5", "1:10: listen: expected text in quotes, found a number; put quotes around it"),
        ("enable_reload = \"yes\"", "1:17: enable_reload: expected true or false, found text; write it without quotes"),
        ("limits = 3", "1:10: limits: expected a table, found a number; write [limits]"),
        ("deployment = 1", "1:14: deployment: expected a table, found a number; write [deployment]"),
        ("[deployment]\nx = 1", "2:5: expected a table, found a number; write [deployment.\"x\"]"),
        (
            "[source.file]\nname = \"a\"",
            "1:1: file: expected tables that begin with [[source.file]], found a table; write the two brackets on both sides",
        ),
        (
            "[[source.file]]\nname = \"a\"\npaths = \"x\"",
            "3:9: paths: expected an array, as in [\"/var/log/convex/*.log\"], found text",
        ),
        // Values.
        (
            "listen = \"localhost\"",
            "1:10: listen: 'localhost' is no address with a port; write one as in 127.0.0.1:10045 or [::1]:10045",
        ),
        ("state_dir = \"\"", "1:13: state_dir: an empty path; name a directory, or leave the key out"),
        ("from = \"start\"", "1:8: from: 'start' is not known here; write beginning or end"),
        ("log_format = \"xml\"", "1:14: log_format: 'xml' is not known here; write text or json"),
        ("linger = \"5\"", "1:10: linger: '5' is no duration; write one as in 250ms, 30s, 10m or 1h 30m"),
        ("linger = \"-5s\"", "1:10: linger: '-5s' is no duration; write one as in 250ms, 30s, 10m or 1h 30m"),
        ("poll_interval = \"1h\"", "1:17: poll_interval: '1h' is out of bounds; write 10ms to 1m"),
        ("[limits]\ndeployments = 0", "2:15: deployments: expected a whole number; write 1 to 100000"),
        // Sources.
        ("[[source.file]]\npaths = [\"a\"]", "1:1: [[source.file]] has no name; add one, as in name = \"self-hosted\""),
        (
            "[[source.file]]\nname = \"a\"",
            "1:1: [[source.file]] has no paths; add one, as in paths = [\"/var/log/convex/*.log\"]",
        ),
        (
            "[[source.file]]\nname = \"a b\"\npaths = [\"a\"]",
            "2:8: name: expected 1 to 64 of the characters A-Z, a-z, 0-9, '_', '.' and '-'",
        ),
        (
            "[[source.file]]\nname = \"files\"\npaths = [\"a\"]",
            "2:8: name: 'files' is what the command line's source is called; choose another name",
        ),
        (&source(SOURCE), "5:8: name: a source above is called 'a' already; choose another name"),
        (
            "[[source.file]]\nname = \"a\"\npaths = []",
            "3:9: paths: empty; name at least one, as in paths = [\"/var/log/convex/*.log\"]",
        ),
        (
            "[[source.file]]\nname = \"a\"\npaths = [\"a\", \"\"]",
            "3:15: paths: an empty path; name a file, a directory or a pattern",
        ),
        (
            "[[source.file]]\nname = \"a\"\npaths = [\"a[\"]",
            "3:10: paths: 'a[' is no pattern: invalid range pattern; correct it",
        ),
        (
            &source("deployment = \"{name}\""),
            "4:14: deployment: '{name}' has braces around something else than stem; only {stem} is filled in",
        ),
        (&source("hosting = \"heroku\""), "4:11: hosting: 'heroku' is no hosting; write cloud, self_hosted or local"),
        (&source("silent_after = \"0s\""), "4:16: silent_after: '0s' is out of bounds; write 1s to 8784h"),
        // Webhooks.
        (
            "listen = \"127.0.0.1:9\"\ningest_listen = \"127.0.0.1:9\"\n[[source.webhook]]\nname = \"x\"\nallow_unsigned = true",
            "2:17: ingest_listen: the page is served at 127.0.0.1:9 already; webhooks need an address of their own",
        ),
        (
            "[[source.webhook]]\nname = \"x\"",
            "1:1: [[source.webhook]] has no secrets; add what Convex signs with, as in secrets = [\"env:CONVEX_WEBHOOK_SECRET\"], or what forwarders present, as in keys = [\"env:INGEST_KEY\"]",
        ),
        (
            "[[source.webhook]]\nname = \"x\"\nallow_unsigned = false",
            "1:1: [[source.webhook]] has no secrets; add what Convex signs with, as in secrets = [\"env:CONVEX_WEBHOOK_SECRET\"], or what forwarders present, as in keys = [\"env:INGEST_KEY\"]",
        ),
        (
            &webhook("secrets = [\"0123456789abcdef\"]"),
            "3:12: secrets: a secret is never written here; write env:NAME or file:PATH",
        ),
        (
            &webhook("secrets = [\"env:A\"]\nkeys = [\"env:B\", \"hunter2\"]"),
            "4:18: keys: a secret is never written here; write env:NAME or file:PATH",
        ),
        (
            &webhook("secrets = []"),
            "3:11: secrets: empty; name at least one, as in secrets = [\"env:CONVEX_WEBHOOK_SECRET\"]",
        ),
        (&webhook("secret = [\"env:A\"]"), "3:1: unknown key 'secret' in [[source.webhook]]; did you mean 'secrets'?"),
        (
            &webhook("secrets = [\"env:A\"]\nmax_body = \"1GiB\""),
            "4:12: max_body: '1GiB' is out of bounds; write 64KiB to 64MiB",
        ),
        (
            &webhook("secrets = [\"env:A\"]\ndeployment = \"{stem}\""),
            "4:14: deployment: a webhook has no file's name to fill in; give the deployment's name in full",
        ),
        (
            &format!("{SOURCE}[[source.webhook]]\nname = \"a\"\nsecrets = [\"env:A\"]"),
            "5:8: name: a source above is called 'a' already; choose another name",
        ),
        (
            &webhook("secrets = [\"env:A\"]").replace("\"x\"", "\"..\""),
            "2:8: name: '..' cannot be part of a path; choose another name",
        ),
        // Sources that are asked.
        (
            "[[source.convex]]\nkey = \"env:KEY\"",
            "1:1: [[source.convex]] has no url; add one, as in url = \"https://happy-otter-123.convex.cloud\"",
        ),
        (
            "[[source.convex]]\nurl = \"http://127.0.0.1:3210\"",
            "1:1: [[source.convex]] has no key; add one, as in key = \"env:CONVEX_DEPLOY_KEY\"",
        ),
        (
            "[[source.convex]]\nurl = \"http://127.0.0.1:3210\"\nkey = \"prod:happy|hunter2\"",
            "3:7: key: a secret is never written here; write env:NAME or file:PATH",
        ),
        (
            "[[source.convex]]\nurl = \"https://happy-otter-123.convex.site\"",
            "2:7: url: HTTP actions are served there, the log API is at https://happy-otter-123.convex.cloud",
        ),
        (&polled(&polled("")), "5:7: url: a source above polls this deployment already; each would count what it logs"),
        (
            &polled("[[source.probe]]\nname = \"127.0.0.1-3210\"\nurl = \"http://127.0.0.1:3211\""),
            "4:1: name: a source above is called '127.0.0.1-3210' already; choose another name",
        ),
        (
            "[[source.probe]]\nurl = \"here\"",
            "2:7: url: 'here' is no address (relative URL without a base); write one as in https://happy-otter-123.convex.cloud or http://127.0.0.1:3210",
        ),
        (
            "[[source.probe]]\nurl = \"http://127.0.0.1:3211\"\ninterval = \"1ms\"",
            "3:12: interval: '1ms' is out of bounds; write 1s to 24h",
        ),
        (&polled("form = \"end\""), "4:1: unknown key 'form' in [[source.convex]]; did you mean 'from'?"),
        // Deployments.
        (
            "[deployment.\"a[\"]\nhosting = \"cloud\"",
            "1:1: deployment: 'a[' is no pattern: invalid range pattern; correct or escape it",
        ),
        (
            "[deployment.a]\nexpect = \"fallback\"",
            "2:10: expect: 'fallback' cannot be expected; write direct, or leave the key out",
        ),
        (
            "[deployment.a]\nseverity = \"page\"",
            "2:12: severity: 'page' is no severity; write critical, warning or info",
        ),
        ("[deployment.a]\nwindow = \"0s\"", "2:10: window: '0s' is out of bounds; write 1s to 168h"),
        // Alerts.
        ("[alert]\nwindow = \"200h\"", "2:10: window: '200h' is out of bounds; write 1s to 168h"),
        ("[alert]\nmax_age = \"1s\"", "2:11: max_age: '1s' is out of bounds; write 1m to 8784h"),
        ("[alert]\nalertmanager = \"x\"", "2:1: unknown key 'alertmanager' in [alert]; did you mean 'alertmanagers'?"),
        (
            "[alert]\nalertmanagers = \"http://a\"",
            "2:17: alertmanagers: expected an array, as in [\"http://127.0.0.1:9093\"], found text",
        ),
        (
            "[alert]\nalertmanagers = [\"a:9093\"]",
            "2:18: alertmanagers: no address that begins with http:// or https://; write one as in http://127.0.0.1:9093",
        ),
        (
            "[alert]\nalertmanagers = [\"http://user:hunter2@a\"]",
            "2:18: alertmanagers: an address with a password is a secret; write env:NAME or file:PATH",
        ),
        (
            "[alert]\nalertmanagers = [\"http://a\", \"http://a/\"]",
            "2:30: alertmanagers: http://a stands there already; take it out",
        ),
        (
            "[[alert.webhook]]\nformat = \"slack\"",
            "1:1: [[alert.webhook]] has no url; add one, as in url = \"env:SLACK_URL\"",
        ),
        (
            "[[alert.webhook]]\nurl = \"https://hooks.slack.com/services/hunter2\"",
            "2:7: url: a secret is never written here; write env:NAME or file:PATH",
        ),
        (
            "[[alert.webhook]]\nurl = \"env:A\"\nformat = \"teams\"",
            "3:10: format: 'teams' is not known here; write json or slack or discord",
        ),
        (
            "[[alert.webhook]]\nurl = \"env:A\"\n[[alert.webhook]]\nurl = \"env:B\"",
            "4:7: [[alert.webhook]]: one above is called 'json' already; give this one a name",
        ),
    ] {
        let (status, out, err) = check(text);
        assert_eq!(err, format!("storagewatch: DIR/watch.toml:{expected}\n"), "{text}");
        assert_eq!((status, out.as_str()), (2, ""), "{text}");
    }
    let (status, _, err) = check(b"listen = \"127.0.0.1:1\"\n# \xff");
    assert_eq!((status, err.as_str()), (2, "storagewatch: DIR/watch.toml:2:3: not UTF-8; save the file as UTF-8\n"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    for (path, why) in [(directory.path().join("none.toml"), "no such file"), (directory.path().into(), "a directory")]
    {
        let (status, _, err) = run(&["check", path.to_str().unwrap()], b"");
        assert_eq!(status, 2, "{err}");
        assert!(err.starts_with(&format!("storagewatch: {}: {why}; ", path.display())), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
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
