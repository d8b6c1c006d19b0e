//! The rules of Grafana's dashboard-linter, by their names there, and that each of them can fail; then what the
//! dashboard must answer.

use super::{dashboard, panels};
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Kinds of panels that show queries.
const SHOWING: [&str; 4] = ["stat", "state-timeline", "table", "timeseries"];

/// Units of Grafana that the dashboard uses; each is in Grafana's list of value formats.
const UNITS: [&str; 10] =
    ["short", "percentunit", "bytes", "Bps", "s", "ops", "reqps", "string", "dateTimeFromNow", "dateTimeAsIso"];

/// A selector of series: a name with its matchers, and what follows it.
static SELECTOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}(\[[^\]]*\])?").unwrap());

/// A name that belongs to a metric, whatever follows.
static METRIC: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:convex_storage|storagewatch|process)_[a-z0-9_]+|\bup\b").unwrap());

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn variables(dashboard: &Value) -> &[Value] {
    dashboard["templating"]["list"].as_array().unwrap()
}

fn variable<'a>(dashboard: &'a Value, name: &str) -> Option<&'a Value> {
    variables(dashboard).iter().find(|variable| variable["name"] == name)
}

fn templated(datasource: &Value) -> bool {
    ["$datasource", "${datasource}"].contains(&text(datasource, "uid"))
}

/// Everything that the linter would say, as `rule: where`.
fn lint(dashboard: &Value) -> Vec<String> {
    let mut said = Vec::new();
    let mut expect = |rule: &str, place: &str, kept: bool| {
        if !kept {
            said.push(format!("{rule}: {place}"));
        }
    };
    expect("uneditable-dashboard", "editable", dashboard["editable"] == false);
    let sources: Vec<&Value> =
        variables(dashboard).iter().filter(|variable| variable["type"] == "datasource").collect();
    let named = sources.len() == 1 && sources[0]["name"] == "datasource" && sources[0]["label"] == "Data source";
    expect("template-datasource-rule", "datasource", named && sources[0]["query"] == "prometheus");
    for name in ["job", "instance"] {
        let rule = format!("template-{name}-rule");
        let title = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let kept = variable(dashboard, name).is_some_and(|variable| {
            templated(&variable["datasource"])
                && variable["type"] == "query"
                && variable["label"] == *title
                && variable["multi"] == true
                && variable["includeAll"] == true
                && variable["allValue"] == ".+"
        });
        expect(&rule, name, kept);
    }
    let label_values = Regex::new(r"^label_values\(([a-z_]+)(\{[^}]*\})?, [a-z_]+\)$").unwrap();
    for variable in variables(dashboard).iter().filter(|variable| variable["type"] == "query") {
        let query = text(&variable["query"], "query");
        let plain = label_values.is_match(query) && variable["definition"] == *query;
        expect("template-label-promql-rule", text(variable, "name"), plain);
        expect("template-on-time-change-reload-rule", text(variable, "name"), variable["refresh"] == 2);
    }
    for panel in panels(dashboard) {
        let (kind, title) = (text(panel, "type"), text(panel, "title"));
        if kind == "row" {
            expect("panel-title-description-rule", "a row", !title.is_empty());
            continue;
        }
        let described = !title.is_empty() && !text(panel, "description").is_empty();
        expect("panel-title-description-rule", title, described);
        expect("panel-datasource-rule", title, templated(&panel["datasource"]));
        expect("panel-units-rule", title, UNITS.contains(&text(&panel["fieldConfig"]["defaults"], "unit")));
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        expect("panel-no-targets-rule", title, SHOWING.contains(&kind) && !targets.is_empty());
        for target in &targets {
            expect("panel-datasource-rule", title, templated(&target["datasource"]));
            lint_query(title, text(target, "expr"), &mut expect);
        }
    }
    said
}

fn lint_query(title: &str, query: &str, expect: &mut impl FnMut(&str, &str, bool)) {
    let balanced = [('(', ')'), ('{', '}'), ('[', ']')]
        .iter()
        .all(|(open, close)| query.matches(*open).count() == query.matches(*close).count());
    // Prometheus itself judges the rest, in live.rs.
    expect("target-promql-rule", title, balanced && !query.is_empty());
    let selectors: BTreeSet<usize> = SELECTOR.captures_iter(query).map(|found| found.get(1).unwrap().start()).collect();
    for name in METRIC.find_iter(query) {
        // A name without matchers matches every job.
        expect("target-job-rule", title, selectors.contains(&name.start()));
    }
    for selector in SELECTOR.captures_iter(query) {
        let (name, matchers, range) = (&selector[1], &selector[2], selector.get(3).map_or("", |range| range.as_str()));
        let before = query[..selector.get(0).unwrap().start()].trim_end_matches('(');
        let function = before.rsplit(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default();
        expect("target-job-rule", title, matchers.contains(r#"job=~"$job""#));
        expect("target-instance-rule", title, matchers.contains(r#"instance=~"$instance""#));
        if ["rate", "irate"].contains(&function) {
            expect("target-rate-interval-rule", title, range == "[$__rate_interval]");
        }
        let counter = ["_total", "_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix));
        if counter {
            let aggregated = ["rate", "irate", "increase"].contains(&function) && !range.is_empty();
            expect("target-counter-agg-rule", title, aggregated);
        }
    }
}

#[test]
fn the_linter_has_nothing_to_say() {
    assert_eq!(lint(&dashboard()), Vec::<String>::new());
}

#[test]
fn each_rule_of_the_linter_can_fail() {
    let list = "/templating/list";
    for (rule, pointer, value) in [
        ("uneditable-dashboard", "/editable".to_owned(), json!(true)),
        ("template-datasource-rule", format!("{list}/0/name"), json!("prometheus")),
        ("template-job-rule", format!("{list}/1/multi"), json!(false)),
        ("template-instance-rule", format!("{list}/2/allValue"), json!(".*")),
        ("template-label-promql-rule", format!("{list}/3/query/query"), json!("hosting")),
        ("template-on-time-change-reload-rule", format!("{list}/4/refresh"), json!(1)),
        ("panel-title-description-rule", "/panels/1/description".to_owned(), json!("")),
        ("panel-datasource-rule", "/panels/1/datasource/uid".to_owned(), json!("a1b2c3")),
        ("panel-units-rule", "/panels/1/fieldConfig/defaults/unit".to_owned(), json!("pieces")),
        ("panel-no-targets-rule", "/panels/1/targets".to_owned(), json!([])),
        ("target-promql-rule", "/panels/1/targets/0/expr".to_owned(), json!("sum(")),
        ("target-job-rule", "/panels/1/targets/0/expr".to_owned(), json!("up")),
        ("target-instance-rule", "/panels/1/targets/0/expr".to_owned(), json!(r#"up{job=~"$job"}"#)),
        (
            "target-rate-interval-rule",
            "/panels/1/targets/0/expr".to_owned(),
            json!(r#"rate(a_total{job=~"$job"}[5m])"#),
        ),
        ("target-counter-agg-rule", "/panels/1/targets/0/expr".to_owned(), json!(r#"sum(a_total{job=~"$job"})"#)),
    ] {
        let mut broken = dashboard();
        *broken.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        let said = lint(&broken);
        assert!(said.iter().any(|line| line.starts_with(&format!("{rule}: "))), "{rule}: {said:?}");
    }
}

#[test]
fn it_answers_from_top_to_bottom() {
    let dashboard = dashboard();
    let rows: Vec<&str> =
        panels(&dashboard).iter().filter(|panel| panel["type"] == "row").map(|panel| text(panel, "title")).collect();
    assert_eq!(
        rows,
        [
            "Is anything failing in Cloud now?",
            "Which deployment, since when?",
            "Why?",
            "How much goes through the fallback, and what does it cost?",
            "Which deployments are there?",
            "Is the monitor itself healthy?",
        ]
    );
}

#[test]
fn deployments_and_hostings_are_chosen_by_several() {
    let dashboard = dashboard();
    for name in ["deployment", "hosting"] {
        let variable = variable(&dashboard, name).unwrap();
        assert_eq!((&variable["multi"], &variable["includeAll"]), (&json!(true), &json!(true)), "{name}");
    }
    // Where a metric has these labels, each query of it filters by them, so that a choice holds everywhere.
    for (title, query) in super::queries(&dashboard) {
        for selector in SELECTOR.captures_iter(&query).filter(|selector| selector[1].starts_with("convex_storage_")) {
            for choice in [r#"deployment=~"$deployment""#, r#"hosting=~"$hosting""#] {
                assert!(selector[2].contains(choice), "{title}: {query}");
            }
        }
    }
}

#[test]
fn panels_have_a_number_and_a_place_of_their_own() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24 && w > 0 && h > 0, "{panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} overlaps", panel["title"]);
        }
    }
}

#[test]
fn links_lead_to_the_status_page_and_the_runbook() {
    let dashboard = dashboard();
    let links: Vec<&str> = dashboard["links"].as_array().unwrap().iter().map(|link| text(link, "url")).collect();
    assert_eq!(links, ["${storagewatch}/", "${storagewatch}/runbook"]);
    assert!(dashboard.to_string().contains("${storagewatch}/runbook/${__value.text}"));
    let annotation = &dashboard["annotations"]["list"][0];
    assert!(templated(&annotation["datasource"]) && annotation["enable"] == true);
    assert!(text(&annotation["target"], "expr").contains("storagewatch_alert_firing"));
}

#[test]
fn what_overlaps_is_not_added_up() {
    let mut seen = 0;
    for panel in panels(&dashboard()) {
        let overlaps = panel["targets"].to_string().contains("increase(")
            && panel["targets"].to_string().contains("[$__rate_interval]");
        if overlaps {
            seen += 1;
            let calcs = panel["options"]["legend"]["calcs"].to_string();
            assert!(
                !calcs.contains("sum"),
                "{}: an event is in several of the points that are added up",
                panel["title"]
            );
            assert_eq!(panel["interval"], "1m", "{}", panel["title"]);
        }
    }
    assert!(seen >= 7, "the panels are gone");
}

#[test]
fn replicas_are_not_added_up() {
    let adds = Regex::new(r"sum(?: by \([^)]*\))? ?\((?:increase|rate)\((\w+)").unwrap();
    for (title, query) in super::queries(&dashboard()) {
        for found in adds.captures_iter(&query) {
            // A quantile and a mean are the same of twice as many.
            let is_of_histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| found[1].ends_with(suffix));
            assert!(is_of_histogram, "{title}: {query}");
        }
    }
}
