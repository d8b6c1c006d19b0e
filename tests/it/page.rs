//! The status page in a browser: Chromium, without a window.

mod browser;

use self::browser::{Browser, DARK, DESKTOP, PHONE, Screen};
use crate::alert::stage::Stage;
use crate::serve::server::{Server, place, view};
use crate::watch::waiting::wait_until;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use storagewatch::event::{Hosting, Outcome, Timestamp};
use storagewatch::ledger::{PlaceCounts, View};
use storagewatch::row::Row;

/// What the row of a deployment says.
fn row(deployment: &str) -> String {
    format!(
        "[...document.querySelectorAll('#deployments tbody tr')].find((row) => \
         row.querySelector('[data-field=deployment]').textContent === {})",
        json!(deployment)
    )
}

fn cell(deployment: &str, field: &str) -> String {
    format!("{}?.querySelector('[data-field={field}]').textContent", row(deployment))
}

#[test]
fn counts_change_without_a_reload_while_lines_are_written() {
    let mut stage = Stage::new();
    let daemon = Stage::ready(&mut stage.bare(&[]));
    let mut browser = Browser::start();
    browser.open(daemon.address, "/", DESKTOP);
    browser.wait("document.getElementById('live').textContent === 'Live.'");
    assert!(browser.text("main").contains("No deployment is known yet"), "{}", browser.text("main"));
    assert_eq!(browser.text("#headline"), "No alert fires.");
    browser.evaluate("window.wasNotReloaded = true");
    let otter = "happy-otter-123";
    let mut direct = 0;
    for more in [1, 2, 40] {
        stage.write_ago(otter, "direct", more, 0);
        direct += more;
        browser.wait(&format!("{} === '{direct}'", cell(otter, "direct")));
    }
    browser.wait(&format!("{} === 'healthy'", cell(otter, "verdict")));
    // Nobody is told of counts.
    assert_eq!(browser.evaluate("document.getElementById('news').textContent"), "");
    stage.write_ago(otter, "http-fallback", 3, 90_000);
    stage.fail(otter);
    browser.wait("document.getElementById('headline').textContent === '2 alerts fire.'");
    browser.wait(&format!("{} === '1'", cell(otter, "direct-failed")));
    browser.wait("document.querySelectorAll('#failures tbody tr').length === 4");
    browser.wait(&format!("{} === 'investigate'", cell(otter, "verdict")));
    browser.wait("document.title === '(2) storagewatch'");
    let news = browser.evaluate("document.getElementById('news').textContent");
    assert!(news.as_str().unwrap().contains("alert: Storage access failed in happy-otter-123."), "{news}");
    let alerts = browser.text("#firing");
    assert!(alerts.contains("ConvexStorageDirectFailed") && alerts.contains("critical"), "{alerts}");
    let chart = browser.evaluate(&format!("{}.querySelector('svg').getAttribute('aria-label')", row(otter)));
    let chart = chart.as_str().unwrap();
    assert!(
        chart.starts_with("Within the last hour: 43 direct, 3 http-fallback, 1 direct-failed; at most "),
        "{chart}"
    );
    let bars =
        browser.evaluate(&format!("{}.querySelector('svg .direct-failed').getBoundingClientRect().height", row(otter)));
    assert!(bars.as_f64().unwrap() >= 2.0, "a failure is seen: {bars}");
    let failures = browser.text("#failures");
    assert!(failures.contains("kg20000000"), "storage ids are shown: {failures}");
    assert!(browser.text("#sources").contains("up"), "{}", browser.text("#sources"));
    assert!(browser.text("#fresh").contains("less than an hour ago"));
    assert_eq!(browser.evaluate("window.wasNotReloaded"), true);
    browser.check_accessibility();
    for (name, screen) in [("firing", DESKTOP), ("firing-phone", PHONE), ("firing-dark", DARK)] {
        browser.open(daemon.address, "/", screen);
        browser.wait("document.getElementById('live').textContent === 'Live.'");
        browser.picture(name);
        browser.check_width();
    }
    browser.check_quiet(daemon.address);
    // An open page does not keep it from ending.
    let said = daemon.stop();
    browser.wait("document.getElementById('live').textContent.startsWith('Not connected since')");
    assert!(!said.contains("ERROR"), "{said}");
}

#[test]
fn a_log_line_full_of_markup_and_script_stays_text() {
    const NASTY: &str =
        "<img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>'\"&amp;{{1}}\u{202e}\u{1b}[31m</td></table>";
    let stage = Stage::new();
    let daemon = Stage::ready(&mut stage.bare(&[]));
    let mut browser = Browser::start();
    browser.open(daemon.address, "/", DESKTOP);
    browser.wait("document.getElementById('live').textContent === 'Live.'");
    let message = json!({"level": "ERROR", "message": "Storage access: direct-failed",
        "metadata": {"storageId": NASTY, "error": NASTY, "size": 1}});
    let line = json!({"topic": "console", "timestamp": jiff::Timestamp::now().as_millisecond(), "log_level": "ERROR",
        "message": format!("'{}'", message.to_string().replace('\\', "\\\\").replace('\'', "\\'")),
        "is_truncated": false, "system_code": null,
        "function": {"type": "action", "path": NASTY, "cached": null, "request_id": NASTY},
        "convex": {"deployment_name": NASTY, "deployment_type": "prod", "project_name": NASTY, "project_slug": NASTY}});
    stage.append(&format!("{line}\n"));
    let shown = NASTY.replace('\u{202e}', "\\u{202e}").replace('\u{1b}', "\\u{1b}");
    let is_harmless = |browser: &mut Browser| {
        for field in [
            "#deployments [data-field=deployment]",
            "#failures [data-field=function]",
            "#failures [data-field=what]",
            "#failures [data-field=storage_id]",
            "#failures [data-field=request_id]",
        ] {
            let text = browser.evaluate(&format!("document.querySelector('{field}').textContent"));
            assert_eq!(text, json!(shown), "{field}");
        }
        let summary = browser.evaluate("document.querySelector('#firing [data-field=summary]').textContent");
        assert_eq!(summary, json!(format!("Storage access failed in {shown}")));
        assert_eq!(browser.evaluate("document.querySelectorAll('img, script:not([src=\"page.js\"])').length"), 0);
        assert_eq!(browser.evaluate("typeof window.ran"), "undefined");
        assert_eq!(browser.evaluate("document.querySelectorAll('table').length"), 5);
        let text = browser.text("body");
        assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
        browser.check_width();
    };
    browser.wait("document.querySelector('#firing li') && document.querySelector('#failures tbody tr')");
    is_harmless(&mut browser);
    browser.check_accessibility();
    // The same of what the server writes.
    for screen in [Screen { script: false, ..DESKTOP }, Screen { script: false, ..PHONE }, PHONE] {
        browser.open(daemon.address, "/", screen);
        is_harmless(&mut browser);
    }
    browser.picture("nasty-phone");
    browser.check_quiet(daemon.address);
}

/// What the page says and draws, relative times aside.
fn said(browser: &mut Browser) -> Value {
    let texts = "[...document.querySelectorAll('main *, header h1, #headline, title')].filter((e) => !e.closest('#filter') && \
                 e.checkVisibility()).map((e) => [e.tagName, e.hidden, e.getAttribute('aria-label'), e.getAttribute('d'), \
                 e.getAttribute('data-is'), e.getAttribute('href'), e.getAttribute('datetime'), e.getAttribute('class'), \
                 e.children.length > 0 || e.className === 'ago' ? null : e.textContent].join(' | '))";
    browser.evaluate(texts)
}

/// Hours full of accesses of every outcome.
fn with_hours(mut view: View) -> View {
    let now = jiff::Timestamp::now().as_millisecond();
    for counts in view.places.values_mut() {
        for minute in 0..58 {
            for (outcome, weight) in Outcome::ALL.into_iter().zip([30, 7, 1, 2]) {
                for _ in 0..minute % 7 * (minute % 11) * weight / 9 {
                    Arc::make_mut(counts).hour.add(Timestamp(now - minute * 60_000), outcome);
                }
            }
        }
    }
    view
}

#[test]
fn the_page_says_the_same_without_its_script() {
    let mut full = with_hours(view());
    full.trouble = Some("no space left".to_owned());
    full.caught_up = false;
    let mut long = Row::clone(full.failures.front().unwrap());
    long.event.error = Some("otter 🦦 \u{2066}".repeat(100));
    full.failures.push_back(Arc::new(long));
    for shown in [full, View::default()] {
        let server = Server::start(shown);
        let mut browser = Browser::start();
        // The charts move on with the minute, so where it turns in between they are compared again.
        for attempt in 0.. {
            browser.open(server.address, "/", Screen { script: false, ..DESKTOP });
            let without = said(&mut browser);
            browser.open(server.address, "/", DESKTOP);
            browser.wait("document.getElementById('live').textContent === 'Live.'");
            let with = said(&mut browser);
            assert!(without.as_array().unwrap().len() > 12, "{without:#}");
            if with == without {
                break;
            }
            assert!(attempt < 1, "without the script:\n{without:#}\nwith it:\n{with:#}");
        }
        browser.check_quiet(server.address);
    }
}

#[test]
fn contrast_labels_and_width_are_right_on_every_screen() {
    for (name, shown) in [("everything", with_hours(view())), ("nothing", View { caught_up: true, ..View::default() })]
    {
        let server = Server::start(shown);
        let mut browser = Browser::start();
        let dark_phone = Screen { dark: true, ..PHONE };
        let plain = Screen { script: false, ..DESKTOP };
        for (kind, screen) in [
            ("-narrow", Screen { width: 1220, ..DESKTOP }),
            ("", DESKTOP),
            ("-phone", PHONE),
            ("-dark", DARK),
            ("-dark-phone", dark_phone),
        ] {
            browser.open(server.address, "/", screen);
            browser.wait("document.getElementById('live').textContent === 'Live.'");
            browser.picture(&format!("{name}{kind}"));
            browser.check_accessibility();
            browser.check_width();
        }
        let dark = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        browser.open(server.address, "/", plain);
        assert_ne!(dark, browser.evaluate("getComputedStyle(document.body).backgroundColor"));
        browser.open(server.address, "/runbook", DESKTOP);
        browser.check_width();
        browser.check_quiet(server.address);
    }
}

#[test]
fn an_error_has_room_beside_long_ids() {
    let stage = Stage::new();
    let daemon = Stage::ready(&mut stage.bare(&["--deployment", &"happy-otter-123-".repeat(4), "--hosting", "cloud"]));
    let error = "Transient error while running storage get url: Internal Server Error ".repeat(4);
    let (function, id) = ("artifacts/processing/zip:processZipFile", "kg2e0tcv7k1hq4tvpw3gf9jz8s7g1m5d".repeat(4));
    stage.append(&format!(
        "{}\n",
        json!({"timestamp": 1_795_422_441_000_u64, "topic": "console", "log_level": "ERROR",
               "function": {"path": function, "type": "action", "request_id": &id},
               "message": format!("'Storage access: direct-failed' {{ storageId: '{id}', error: '{error}' }}")})
    ));
    let mut browser = Browser::start();
    for screen in [Screen { width: 1220, ..DESKTOP }, DESKTOP, PHONE] {
        browser.open(daemon.address, "/", screen);
        browser.wait("document.querySelector('#failures td.error')?.textContent.startsWith('Transient error')");
        browser.picture(&format!("long-ids-{}", screen.width));
        let width = browser.evaluate("document.querySelector('#failures td.error').getBoundingClientRect().width");
        assert!(width.as_f64() >= Some(230.0), "{}: {width}", screen.width);
        browser.check_width();
    }
    daemon.stop();
}

#[test]
fn keys_and_a_screen_reader_reach_everything() {
    let server = Server::start(with_hours(view()));
    let mut browser = Browser::start();
    for screen in [DESKTOP, PHONE] {
        browser.open(server.address, "/", screen);
        browser.wait("document.getElementById('live').textContent === 'Live.'");
        let focused = "[document.activeElement.textContent || document.activeElement.id, \
                       getComputedStyle(document.activeElement).outlineStyle, \
                       document.activeElement.getBoundingClientRect().left >= 0]";
        for expected in
            ["Skip to the content", "ConvexStorageDirectFailed", "wanted", "Runbook", "Metrics", "Status as JSON"]
        {
            browser.press("Tab");
            assert_eq!(browser.evaluate(focused), json!([expected, "solid", true]));
        }
        // Laid out as cards or not, they are tables.
        let told = browser.accessibility();
        for part in [
            "heading \"Alerts\" [level=2]",
            "heading \"ConvexStorageDirectFailed critical\" [level=3]",
            "table \"Accesses by deployment since counting began, and within the last hour\"",
            "columnheader \"direct-failed\"",
            "rowheader \"happy-otter-123 artifact-review, prod 1 log overflow, 3 truncated\"",
            "img \"Within the last hour: ",
            "searchbox \"Filter\"",
            "table \"The latest accesses that want attention, newest first\"",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
    browser.check_quiet(server.address);
}

#[test]
fn of_a_thousand_deployments_those_that_fail_come_first_and_each_can_be_found() {
    let mut shown = view();
    shown.places.clear();
    for number in 0..1000 {
        let failed = u64::from(number % 100 == 99);
        let counts = PlaceCounts { outcomes: [number, 0, failed, 0], ..PlaceCounts::default() };
        shown.places.insert(place(&format!("happy-otter-{number}"), Hosting::Cloud), Arc::new(counts));
    }
    // It fires, so it comes before those that have failed at some time.
    shown.places.insert(place("happy-otter-123", Hosting::Cloud), Arc::default());
    let server = Server::start(with_hours(shown));
    let mut browser = Browser::start();
    let names =
        "[...document.querySelectorAll('#deployments tbody th [data-field=deployment]')].map((e) => e.textContent)";
    for screen in [Screen { script: false, ..DESKTOP }, PHONE, DESKTOP] {
        browser.open(server.address, "/", screen);
        if screen.script {
            browser.wait("document.getElementById('live').textContent === 'Live.'");
        }
        let first = browser.evaluate(names);
        let first = first.as_array().unwrap();
        assert_eq!(first.len(), 50);
        assert_eq!(first[..3], [json!("happy-otter-123"), json!("happy-otter-199"), json!("happy-otter-299")]);
        assert_eq!((&first[9], &first[10]), (&json!("happy-otter-99"), &json!("happy-otter-999")));
        assert_eq!(browser.text("#rest summary"), "950 more deployments");
        assert_eq!(browser.evaluate("document.querySelectorAll('#more tbody tr').length"), 950);
        assert!(!browser.text("main").contains("happy-otter-777"));
        browser.check_width();
    }
    browser.picture("thousand");
    browser.evaluate("document.getElementById('wanted').focus()");
    browser.type_in("OTTER-77");
    browser.wait("document.getElementById('found').textContent === '11 found'");
    assert!(browser.text("main").contains("happy-otter-777"));
    assert!(!browser.text("#some").contains("happy-otter-199"));
    browser.check_accessibility();
    // What begins to fail comes to the top, without a reload.
    for _ in 0..8 {
        browser.press("Backspace");
    }
    browser.wait("document.getElementById('found').textContent === ''");
    let failing = PlaceCounts { outcomes: [777, 0, 1, 0], ..PlaceCounts::default() };
    server.view.write().unwrap().places.insert(place("happy-otter-777", Hosting::Cloud), Arc::new(failing));
    browser.wait(&format!("{names}.includes('happy-otter-777')"));
    browser.check_quiet(server.address);
}

#[test]
fn where_there_is_no_place_to_listen_the_page_asks() {
    let server = Server::start(view());
    let listeners: Vec<_> = (0..16).map(|_| server.listen()).collect();
    let mut browser = Browser::start();
    browser.open(server.address, "/", DESKTOP);
    browser.wait("document.getElementById('live').textContent === 'Updated every 10 seconds.'");
    server.view.write().unwrap().places.insert(place("brave-newt-1", Hosting::Cloud), Arc::default());
    browser.wait(&format!("{} === 'healthy'", cell("brave-newt-1", "verdict")));
    drop(listeners);
    wait_until("the page to listen", Duration::from_secs(40), || {
        browser.evaluate("document.getElementById('live').textContent") == "Live."
    });
}
