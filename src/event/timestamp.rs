//! Moments as logs write them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A moment, in milliseconds since 1970 in UTC.
#[derive(Clone, Default, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// The years in which a log line can have been written, in milliseconds: 1970 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

impl Timestamp {
    /// Takes milliseconds since 1970, if they fall before the year 10,000.
    pub fn from_millis(millis: f64) -> Option<Self> {
        let whole = millis.floor();
        (whole.is_finite() && TIMES.contains(&(whole as i64))).then_some(Self(whole as i64))
    }

    /// Takes seconds since 1970, with a fraction.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        // The log API's seconds are milliseconds divided by 1000; rounding undoes what the division lost.
        Self::from_millis((seconds * 1000.0).round())
    }

    /// Reads RFC 3339, as applications, container engines and journals write it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let Some(time) = Self::parse_utc_millis(bytes) {
            return Some(time);
        }
        if bytes.len() < 20 || bytes.len() > 40 {
            return None;
        }
        let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        TIMES.contains(&millis).then_some(Self(millis))
    }

    /// The one layout that `Date.prototype.toISOString` writes, which is nearly all there is: `2026-11-23T08:27:21.083Z`.
    pub(crate) fn parse_utc_millis(b: &[u8]) -> Option<Self> {
        if b.len() != 24
            || b[4] != b'-'
            || b[7] != b'-'
            || b[10] != b'T'
            || b[13] != b':'
            || b[16] != b':'
            || b[19] != b'.'
            || b[23] != b'Z'
        {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            b[range].iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second, millis) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let month_length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=12).contains(&month) || !(1..=month_length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // Days from the civil date (Howard Hinnant's algorithm), with March as the first month.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let time = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis;
        TIMES.contains(&time).then_some(Timestamp(time))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => f.pad(&format!("{time:.3}")),
            Err(_) => f.pad("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_agree_with_a_calendar() {
        for text in ["2026-11-23T08:27:21.083Z", "2000-02-29T23:59:59.999Z", "1970-01-01T00:00:00.000Z"] {
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(Timestamp::parse_utc_millis(text.as_bytes()), Some(Timestamp(expected)), "{text}");
            assert_eq!(Timestamp(expected).to_string(), text);
        }
        for wrong in ["2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-23T24:00:00.000Z"] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Timestamp::parse("2026-01-30T02:26:40.123456789Z"), Some(Timestamp(1_769_740_000_123)));
        assert_eq!(Timestamp::parse("2026-01-30T04:26:40+02:00"), Some(Timestamp(1_769_740_000_000)));
    }

    #[test]
    fn seconds_of_the_log_api_lose_no_millisecond() {
        assert_eq!(Timestamp::from_seconds(1_795_422_440.939), Some(Timestamp(1_795_422_440_939)));
        assert_eq!(Timestamp::from_millis(f64::NAN), None);
        assert_eq!(Timestamp::from_millis(1e300), None);
    }
}
