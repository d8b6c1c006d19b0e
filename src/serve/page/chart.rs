//! The last hour as a small chart: a bar a minute, accesses that worked above the line, those that failed below.
//!
//! The script draws the same (`page.js`), so what is changed here is changed there.

use crate::event::Outcome;
use crate::ledger::MINUTES;
use crate::plain::grouped;
use maud::{Markup, html};
use std::fmt::Write;

/// Counts of each minute, oldest first.
pub(super) type Minutes = [[u32; Outcome::ALL.len()]; MINUTES];

/// Where the line is, and how far bars go up and down from it, in the chart's own units. A bar takes 3 of the 4 that a
/// minute has.
const LINE: u64 = 30;
const UP: u64 = 26;
const DOWN: u64 = 10;

/// What can be seen: less would be no bar.
const LEAST: u64 = 4;

/// The chart; without counts an empty one.
pub(super) fn chart(minutes: Option<&Minutes>) -> Markup {
    html! {
        svg.chart data-field="chart" role="img" aria-label=(label(minutes)) viewBox="0 0 240 44" preserveAspectRatio="none" {
            @for (outcome, path) in Outcome::ALL.into_iter().zip(paths(minutes)) { path class=(outcome) d=(path) {} }
            line x1="0" x2="240" y1=(LINE) y2=(LINE) {}
        }
    }
}

/// What the chart shows, in words.
fn label(minutes: Option<&Minutes>) -> String {
    let Some(minutes) = minutes else { return "No accesses within the last hour".to_owned() };
    let of = |outcome: Outcome| minutes.iter().map(|minute| u64::from(minute[outcome as usize])).sum::<u64>();
    let sums = Outcome::ALL.into_iter().map(|outcome| (outcome, of(outcome))).filter(|(_, sum)| *sum > 0);
    let sums: Vec<String> = sums.map(|(outcome, sum)| format!("{} {outcome}", grouped(sum))).collect();
    let most = minutes.iter().map(|minute| minute.iter().copied().map(u64::from).sum::<u64>()).max().unwrap_or(0);
    format!("Within the last hour: {}; at most {} in a minute", sums.join(", "), grouped(most))
}

/// The bars of each outcome.
fn paths(minutes: Option<&Minutes>) -> [String; Outcome::ALL.len()] {
    let mut paths = <[String; Outcome::ALL.len()]>::default();
    let Some(minutes) = minutes else { return paths };
    let [direct, fallback, failed, other] = Outcome::ALL.map(|outcome| outcome as usize);
    let peak = minutes.iter().map(|minute| sum(minute, direct, fallback).max(sum(minute, failed, other))).max();
    let peak = peak.unwrap_or(0).max(1);
    for (place, minute) in minutes.iter().enumerate() {
        let mut at = LINE;
        for outcome in [direct, fallback] {
            if minute[outcome] > 0 {
                let height = height(minute[outcome], UP, peak);
                let _ = write!(paths[outcome], "M{} {at}h3v-{height}h-3z", place * 4);
                at = at.saturating_sub(height);
            }
        }
        let mut at = LINE;
        for outcome in [failed, other] {
            if minute[outcome] > 0 {
                let height = height(minute[outcome], DOWN, peak);
                let _ = write!(paths[outcome], "M{} {at}h3v{height}h-3z", place * 4);
                at += height;
            }
        }
    }
    paths
}

fn sum(minute: &[u32; Outcome::ALL.len()], one: usize, another: usize) -> u64 {
    u64::from(minute[one]) + u64::from(minute[another])
}

fn height(count: u32, room: u64, peak: u64) -> u64 {
    (u64::from(count) * room).div_ceil(peak).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_share_a_scale_and_none_is_invisible() {
        let mut minutes = [[0; 4]; MINUTES];
        minutes[0] = [1000, 0, 0, 0];
        minutes[59] = [500, 500, 1, 0];
        assert_eq!(
            paths(Some(&minutes)),
            ["M0 30h3v-26h-3zM236 30h3v-13h-3z", "M236 17h3v-13h-3z", "M236 30h3v4h-3z", ""]
        );
        let words = "Within the last hour: 1,500 direct, 500 http-fallback, 1 direct-failed; at most 1,001 in a minute";
        assert_eq!(label(Some(&minutes)), words);
    }

    #[test]
    fn nothing_is_an_empty_chart() {
        assert_eq!(paths(None), [""; 4]);
        assert_eq!(label(None), "No accesses within the last hour");
    }
}
