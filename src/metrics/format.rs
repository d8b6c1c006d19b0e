//! The two formats, and which of them a scraper prefers: from an `Accept` header to a [`Format`].

use super::{Family, openmetrics};
use prometheus::TextEncoder;

/// How the exposition is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, 0.0.4. It has neither exemplars nor times of creation.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics {
        /// Whether to say of each counter and histogram when it came into being. Prometheus stores these as series.
        created: bool,
    },
}

impl Format {
    /// What stands in `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics { .. } => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that an `Accept` header prefers. Text, where it does not care or wants something else entirely.
    pub fn preferred(accept: &str, created: bool) -> Self {
        let text = preference(accept, "text", "plain", "0.0.4");
        let open = preference(accept, "application", "openmetrics-text", "1.0.0");
        if open.quality > 0 && open > text { Self::OpenMetrics { created } } else { Self::Text }
    }

    /// Writes the families.
    pub fn write(self, families: &[Family]) -> prometheus::Result<String> {
        let mut text = String::new();
        match self {
            Self::Text => {
                for family in families {
                    TextEncoder::new().encode_utf8(std::slice::from_ref(&family.proto), &mut text)?;
                }
            }
            Self::OpenMetrics { created } => openmetrics::write(families, created, &mut text),
        }
        Ok(text)
    }
}

/// How much a media type is wanted; of two that are wanted alike, the one that was named more closely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    /// In thousandths.
    quality: u16,
    closeness: u8,
}

/// What a header says of a media type in a version. The closest range decides (RFC 9110, 12.5.1).
fn preference(accept: &str, kind: &str, subtype: &str, version: &str) -> Preference {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
        let mut closeness = match (range_kind, range_subtype) {
            ("*", "*") => 1,
            (a, "*") if a.eq_ignore_ascii_case(kind) => 2,
            (a, b) if a.eq_ignore_ascii_case(kind) && b.eq_ignore_ascii_case(subtype) => 3,
            _ => return None,
        };
        let mut quality = 1000;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                quality =
                    value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(0, |q: f32| (q * 1000.0) as u16);
            } else if name.eq_ignore_ascii_case("version") {
                if value != version {
                    return None;
                }
                closeness += 1;
            }
        }
        Some(Preference { quality, closeness })
    });
    ranges.max_by_key(|range| (range.closeness, range.quality)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrapers_that_there_are() {
        let check = |accept: &str, open: bool| {
            let format = Format::preferred(accept, false);
            assert_eq!(format, if open { Format::OpenMetrics { created: false } } else { Format::Text }, "{accept}");
        };
        // Prometheus 2.42, the same with native histograms, and 3.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            true,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
             application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            true,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            true,
        );
        // A browser, curl, a program that says nothing.
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false);
        check("*/*", false);
        check("", false);
        check("text/plain", false);
        check("application/openmetrics-text", true);
        check("application/openmetrics-text, */*", true);
        check("Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.9, text/*; q=0.8", true);
        check("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8", false);
        check("application/openmetrics-text;version=0.0.1", false);
        check("application/openmetrics-text;version=1.0.0;q=0", false);
        check("application/openmetrics-text;q=0, */*", false);
        check("application/openmetrics-text;q=nan, text/plain;q=0", false);
        check("application/json", false);
    }
}
