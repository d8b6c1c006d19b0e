//! The dashboard is compiled against the types that Grafana publishes: keys that do not exist, and values of a wrong type, are
//! errors there.

use super::{DASHBOARD, dashboard};
use crate::support::node::{compile, read};

fn check(name: &str, dashboard: &str) -> Result<(), String> {
    let source = format!("{}export const dashboard: Shipped = {dashboard};\n", read("tests/it/dashboards/schema.ts"));
    compile(name, &[("dashboard.ts", &source)]).map(drop)
}

#[test]
fn the_dashboard_is_of_grafanas_type() {
    check("dashboard", &read(DASHBOARD)).unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn a_dashboard_that_is_not_is_told() {
    let wrong = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut dashboard = dashboard();
        change(&mut dashboard);
        check("wrong-dashboard", &dashboard.to_string()).unwrap_err()
    };
    let said = wrong(&|dashboard| dashboard["refreshes"] = "30s".into());
    assert!(said.contains("'\"refreshes\"' does not exist"), "{said}");
    let said = wrong(&|dashboard| dashboard["panels"][1]["options"]["colorMode"] = "backgrounds".into());
    assert!(said.contains("\"backgrounds\""), "{said}");
    let said = wrong(&|dashboard| dashboard["panels"][1]["gridPos"]["w"] = "6".into());
    assert!(said.contains("TS2322"), "{said}");
}
