//! What `/metrics` says, as samples, and what can be asked of it.

use std::collections::BTreeMap;

/// A series: its name and labels as they are written.
pub(crate) type Series = String;

/// One scrape: every series' value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposition(pub(crate) BTreeMap<Series, f64>);

impl Exposition {
    /// Reads the text format. What is no sample is skipped; a sample without a number is a fault of who wrote it.
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap_or(f64::NAN) };
            assert!(!value.is_nan(), "no number: {line}");
            (series.to_owned(), value)
        });
        let all: Vec<_> = samples.collect();
        let count = all.len();
        let samples: BTreeMap<_, _> = all.into_iter().collect();
        assert_eq!(samples.len(), count, "a series stands there twice:\n{text}");
        Self(samples)
    }

    /// The series of one metric: their labels and values.
    pub(crate) fn of(&self, metric: &str) -> impl Iterator<Item = (BTreeMap<String, String>, f64)> {
        self.0
            .range(metric.to_owned()..)
            .take_while(move |(series, _)| series.starts_with(metric))
            .filter(move |(series, _)| series[metric.len()..].is_empty() || series[metric.len()..].starts_with('{'))
            .map(|(series, value)| (labels(series), *value))
    }

    /// The sum of a metric over the series with these labels.
    pub(crate) fn sum(&self, metric: &str, wanted: &[(&str, &str)]) -> f64 {
        self.of(metric).filter(|(labels, _)| has(labels, wanted)).map(|(_, value)| value).sum()
    }

    /// Whether there is a series with these labels.
    pub(crate) fn knows(&self, metric: &str, wanted: &[(&str, &str)]) -> bool {
        self.of(metric).any(|(labels, _)| has(&labels, wanted))
    }

    /// How many accesses of a deployment were counted, whatever their outcome.
    pub(crate) fn accesses(&self, deployment: &str) -> u64 {
        self.sum(ACCESSES, &[("deployment", deployment)]) as u64
    }

    /// How many were counted by deployment and outcome, without those that are 0.
    pub(crate) fn counts(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for (labels, value) in self.of(ACCESSES).filter(|(_, value)| *value > 0.0) {
            *counts.entry((labels["deployment"].clone(), labels["outcome"].clone())).or_default() += value as u64;
        }
        counts
    }
}

/// The metric that counts.
pub(crate) const ACCESSES: &str = "convex_storage_access_total";

fn has(labels: &BTreeMap<String, String>, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|label| label == value))
}

/// The labels of a series, unescaped.
fn labels(series: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some((_, mut rest)) = series.split_once('{') else { return labels };
    while let Some((name, more)) = rest.split_once("=\"") {
        let (mut value, mut characters) = (String::new(), more.char_indices());
        let mut end = more.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| if escaped == 'n' { '\n' } else { escaped })),
                plain => value.push(plain),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &more[end..];
    }
    labels
}

/// What a server that stores every scrape makes of a counter: `increase()` over all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Increase {
    latest: BTreeMap<Series, f64>,
    /// What the series rose by, all of them together. What a series starts with does not count.
    pub(crate) sum: f64,
    /// Each time that a series fell or was no longer there: what it was, and what it became.
    pub(crate) falls: Vec<String>,
    /// How many scrapes there were.
    pub(crate) scrapes: u64,
}

impl Increase {
    /// Adds a scrape.
    pub(crate) fn add(&mut self, scrape: &Exposition, metric: &str) {
        self.scrapes += 1;
        let of_metric = |series: &str| series.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'));
        for (series, value) in scrape.0.range(metric.to_owned()..).take_while(|(series, _)| series.starts_with(metric))
        {
            if !of_metric(series) {
                continue;
            }
            if let Some(before) = self.latest.insert(series.clone(), *value) {
                let fell = *value < before;
                self.sum += if fell { *value } else { value - before };
                if fell {
                    self.falls.push(format!("{series} fell from {before} to {value}"));
                }
            }
        }
        let gone: Vec<_> = self.latest.keys().filter(|series| !scrape.0.contains_key(*series)).cloned().collect();
        for series in gone {
            let before = self.latest.remove(&series);
            self.falls.push(format!("{series} is gone, it was {before:?}"));
        }
    }
}

#[test]
fn samples_are_read_with_their_labels() {
    let text = "# HELP x y\n# TYPE x counter\nx_total{a=\"1\",b=\"q\\\"\\\\,}\"} 3\nx_total{a=\"2\",b=\"\"} 4.5\nx_total_more 7\n";
    let exposition = Exposition::parse(text);
    assert!((exposition.sum("x_total", &[]) - 7.5).abs() < 1e-9, "{exposition:?}");
    assert!((exposition.sum("x_total", &[("b", "q\"\\,}")]) - 3.0).abs() < 1e-9, "{exposition:?}");
    assert!(exposition.knows("x_total_more", &[]) && !exposition.knows("x_total", &[("a", "3")]));
}

#[test]
fn the_first_sample_of_a_series_is_no_increase() {
    let mut increase = Increase::default();
    for text in
        ["c{a=\"1\"} 5\n", "c{a=\"1\"} 7\nc{a=\"2\"} 1\nd 8\n", "c{a=\"1\"} 3\nc{a=\"2\"} 2\n", "c{a=\"1\"} 3\n"]
    {
        increase.add(&Exposition::parse(text), "c");
    }
    assert!((increase.sum - (2.0 + 3.0 + 1.0)).abs() < 1e-9, "{increase:?}");
    assert_eq!(increase.falls.len(), 2, "{increase:?}");
}
