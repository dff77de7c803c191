//! The line `metric{label="value"}@st -30s-1mx2 _ 0` before a series: since when each of its samples has counted.
//!
//! Each item is a duration from the sample's time, mostly negative; `_` says nothing of its sample. `-1mx2` is -1m and twice
//! more, `-30s-1mx2` is -30s, -1m30s, -2m30s. **Source.** Prometheus 3.14 `promql/promqltest/test.go`, `parseSTSequence`.

use crate::model::Labels;
use crate::source::parse_duration;
use crate::unittest::series::{SeriesDescription, VALUES_MAX, parse_labels};

/// A line as read, until its series comes.
pub(super) struct StartLine<'a> {
    line: &'a str,
    labels: Labels,
    starts_ms: Vec<Option<i64>>,
}

impl<'a> StartLine<'a> {
    /// `None` if `line` is another one.
    pub(super) fn parse(line: &'a str) -> Result<Option<Self>, String> {
        let Some((word, items)) = line.split_once(char::is_whitespace) else { return Ok(None) };
        let Some(metric) = word.strip_suffix("@st") else { return Ok(None) };
        let labels = parse_labels(metric).map_err(|error| format!("{line}: {error}"))?;
        let mut starts_ms = Vec::new();
        for item in items.split_whitespace() {
            let (first, step, count) =
                parse_item(item).ok_or_else(|| format!("{line}: invalid start time {item:?}"))?;
            if starts_ms.len() + count > VALUES_MAX {
                return Err(format!("{line}: more than {VALUES_MAX} start times"));
            }
            let nth = |index: usize| first.map(|first| first + step * index as i64);
            starts_ms.extend((0..count).map(nth));
        }
        Ok(Some(StartLine { line, labels, starts_ms }))
    }

    /// The start times, if they are those of `series`.
    pub(super) fn of(self, series: &SeriesDescription) -> Result<Vec<Option<i64>>, String> {
        if self.labels != series.labels {
            return Err(self.error("does not match the metric of the sample line after it"));
        }
        let (starts, values) = (self.starts_ms.len(), series.values.len());
        if starts != values {
            return Err(self.error(&format!("has {starts} values but its sample line has {values}")));
        }
        Ok(self.starts_ms)
    }

    pub(super) fn error(&self, what: &str) -> String {
        format!("{}: the @st line {what}", self.line)
    }
}

/// The first value, the step and the number of values of `-30s-1mx2`.
fn parse_item(item: &str) -> Option<(Option<i64>, i64, usize)> {
    let repeated = |text: &str| text.strip_prefix('x')?.parse().ok().filter(|count| *count < VALUES_MAX);
    if let Some(rest) = item.strip_prefix('_') {
        return Some((None, 0, if rest.is_empty() { 1 } else { repeated(rest)? }));
    }
    let (first, rest) = signed_duration(item)?;
    if rest.is_empty() {
        return Some((Some(first), 0, 1));
    }
    let (step, rest) = if rest.starts_with(['+', '-']) { signed_duration(rest)? } else { (0, rest) };
    // `-1mx2` is -1m and two more.
    Some((Some(first), step, repeated(rest)? + 1))
}

/// Milliseconds, and what follows.
fn signed_duration(text: &str) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_alphanumeric() || c == 'x').unwrap_or(unsigned.len());
    let ms = i64::try_from(parse_duration(&unsigned[..end]).ok()?.as_millis()).ok()?;
    Some((if text.starts_with('-') { -ms } else { ms }, &unsigned[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unittest::series::parse_series;

    #[test]
    fn reads_and_refuses() {
        let read = |line: &str, series: &str| -> Result<Vec<Option<i64>>, String> {
            let line = StartLine::parse(line)?.expect("a line of start times");
            line.of(&parse_series(series).expect("a series"))
        };
        let check = |items: &str, expected: &[Option<i64>]| {
            let values = "1 ".repeat(expected.len());
            assert_eq!(
                read(&format!("a{{b=\"c\"}}@st {items}"), &format!("a{{b=\"c\"}} {values}")).as_deref(),
                Ok(expected)
            );
        };
        check("_ -30s 1ms 0 +1m", &[None, Some(-30_000), Some(1), Some(0), Some(60_000)]);
        check("_x2 -1mx1", &[None, None, Some(-60_000), Some(-60_000)]);
        check("-30s-1mx2 0+1sx1", &[-30_000, -90_000, -150_000, 0, 1_000].map(Some));
        let refused = |line: &str, series: &str, part: &str| {
            let error = read(line, series).expect_err(line);
            assert!(error.contains(part), "{error}");
        };
        refused("a@st 0 0", "a 1", "has 2 values but its sample line has 1");
        refused("a@st 0", "b 1", "does not match");
        refused("a@st 1x", "a 1", "invalid start time \"1x\"");
        refused("a@st 1m-1m", "a 1", "invalid start time");
        assert!(StartLine::parse("a 0 1").expect("no error").is_none());
    }
}
