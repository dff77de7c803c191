//! Durations as Prometheus writes them: `5m`, `1h30m`, `250ms`.
//!
//! **Source.** Prometheus common `model/time.go`: units from large to small, each at most once; `0` needs no unit;
//! a year is 365 days.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Why a text is not a duration. Its text is Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing was written.
    Empty,
    /// Not of the form `1h30m`.
    Malformed(String),
    /// A unit that does not exist, and the whole text.
    UnknownUnit(String, String),
    /// More than 2^63 - 1 nanoseconds (about 292 years).
    OutOfRange,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Empty => f.write_str("empty duration string"),
            DurationError::Malformed(text) => write!(f, "not a valid duration string: {text:?}"),
            DurationError::UnknownUnit(unit, text) => write!(f, "unknown unit {unit:?} in duration {text:?}"),
            DurationError::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads `1h30m`. Units must come from large to small, each at most once.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut total_ms: u64 = 0;
    let mut rest = text;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        if digits == 0 || letters == 0 {
            return Err(malformed());
        }
        let unit = &after[..letters];
        let index = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned(), text.to_owned()))?;
        if index < next_unit {
            return Err(malformed());
        }
        next_unit = index + 1;
        let count: u64 = rest[..digits].parse().map_err(|_| malformed())?;
        total_ms = count
            .checked_mul(UNITS[index].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= i64::MAX as u64 / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        rest = &after[letters..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// Prints as Prometheus does: years and weeks only where they divide the whole, since 90d reads better than 12w6d; `0s` for zero.
/// Parts under a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (index, (unit, unit_ms)) in UNITS.iter().enumerate() {
        let whole_only = index < 2;
        if whole_only && !ms.is_multiple_of(*unit_ms) {
            continue;
        }
        let count = ms / unit_ms;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            ms -= count * unit_ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, secs, printed) in [
            ("5m", 300, "5m"),
            ("1h30m", 5400, "1h30m"),
            ("90m", 5400, "1h30m"),
            ("1d", 86_400, "1d"),
            ("36h", 129_600, "1d12h"),
            ("90d", 7_776_000, "90d"),
            ("1w", 604_800, "1w"),
            ("30d", 2_592_000, "30d"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_secs(secs), "{text}");
            assert_eq!(format_duration(duration), printed, "{text}");
        }
        assert_eq!(parse_duration("1s5ms").unwrap(), Duration::from_millis(1005));
    }

    #[test]
    fn refuses() {
        for text in ["", "5", "m", "5m1h", "1m1m", "-5m", "1.5h", "5 m", "1x", "5M"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let unknown = parse_duration("1.5h").unwrap_err().to_string();
        assert_eq!(unknown, "unknown unit \".\" in duration \"1.5h\"");
        assert_eq!(parse_duration("9999999y"), Err(DurationError::OutOfRange));
    }
}
