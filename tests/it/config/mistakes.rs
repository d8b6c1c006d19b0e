//! What is refused, and how that is said.

use super::{SOURCE, check};
use crate::support::run;

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
