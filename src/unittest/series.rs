//! The notation of series in tests: `up{job="a"} 0+1x10 _ stale`.
//!
//! In the flow: scripts of [`super::promqltest`] and the `input_series` of rule tests are written in it.
//! **Source.** Prometheus `docs/configuration/unit_testing_rules.md`, section "series".

use std::fmt;
use std::sync::Arc;

use crate::model::{Histogram, Labels, stale_nan};
use crate::source::{Span, parse_duration};

use super::histogram_notation::{parse_histogram, stepped};
use super::metric_notation::parse_metric;

/// A series may not have more values than this: `0x99999999999` must not take all memory.
pub const VALUES_MAX: usize = 10_000_000;

/// What stands at one position.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// `_`: no sample.
    Missing,
    /// A number, or `stale`: the staleness marker.
    Float(f64),
    /// `{{…}}`.
    Histogram {
        /// As written.
        histogram: Arc<Histogram>,
        /// Whether `counter_reset_hint` was written, so that it is to be compared.
        hint_given: bool,
    },
}

/// A series and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDescription {
    /// Metric name and labels.
    pub labels: Labels,
    /// One for each position, from the first instant on.
    pub values: Vec<SeriesValue>,
}

/// What is wrong, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesError {
    /// Bytes of the text handed in.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

impl SeriesError {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        SeriesError { span, message: message.into() }
    }
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SeriesError {}

/// Reads `metric{label="value"} values`.
pub fn parse_series(text: &str) -> Result<SeriesDescription, SeriesError> {
    let (labels, end) = parse_metric(text)?;
    let rest = &text[end..];
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return Err(SeriesError::new(Span::new(end, text.len()), "expected a space between series and values"));
    }
    let values = parse_values(rest).map_err(|error| SeriesError { span: error.span.shifted(end), ..error })?;
    Ok(SeriesDescription { labels, values })
}

/// Reads `metric{label="value"}` and nothing after it.
pub fn parse_labels(text: &str) -> Result<Labels, SeriesError> {
    let (labels, end) = parse_metric(text)?;
    if text[end..].trim().is_empty() {
        Ok(labels)
    } else {
        Err(SeriesError::new(Span::new(end, text.len()), "unexpected text after the series"))
    }
}

/// Reads `0+1x10 _ stale {{schema:0 count:1}}`.
pub fn parse_values(text: &str) -> Result<Vec<SeriesValue>, SeriesError> {
    let mut values = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        if at == text.len() {
            return Ok(values);
        }
        let end = item_end(text, at)?;
        let item = &text[at..end];
        let span = Span::new(at, end);
        let repeated = if item.starts_with("{{") { histogram_item(item, span)? } else { float_item(item, span)? };
        if values.len() + repeated.len() > VALUES_MAX {
            return Err(SeriesError::new(span, format!("more than {VALUES_MAX} values")));
        }
        values.extend(repeated);
        at = end;
    }
}

/// Where the item that starts at `at` ends: at white space outside `{{…}}`.
fn item_end(text: &str, at: usize) -> Result<usize, SeriesError> {
    let mut end = at;
    while end < text.len() && !text[end..].starts_with(char::is_whitespace) {
        if text[end..].starts_with("{{") {
            let close = text[end..].find("}}");
            let close = close.ok_or_else(|| SeriesError::new(Span::new(end, text.len()), "missing }}"))?;
            end += close + 2;
        } else {
            end += text[end..].chars().next().map_or(0, char::len_utf8);
        }
    }
    Ok(end)
}

fn float_item(item: &str, span: Span) -> Result<Vec<SeriesValue>, SeriesError> {
    let unexpected =
        || SeriesError::new(span, format!("unexpected {item:?} in series values, expected a number or \"stale\""));
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { repetitions(rest, span)? };
        return Ok(vec![SeriesValue::Missing; count]);
    }
    let (first, rest) = if let Some(rest) = item.strip_prefix("stale") {
        (stale_nan(), rest)
    } else {
        signed_number(item).ok_or_else(unexpected)?
    };
    if rest.is_empty() {
        return Ok(vec![SeriesValue::Float(first)]);
    }
    let (step, rest) = if rest.starts_with('x') {
        (None, rest)
    } else {
        let (step, rest) = signed_number(rest).filter(|_| rest.starts_with(['+', '-'])).ok_or_else(unexpected)?;
        (Some(step), rest)
    };
    let count = repetitions(rest, span)? + 1; // `0x3` is 0 and three more
    let mut value = first;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(SeriesValue::Float(value));
        value = step.map_or(value, |step| value + step);
    }
    Ok(values)
}

fn histogram_item(item: &str, span: Span) -> Result<Vec<SeriesValue>, SeriesError> {
    let (first, rest) = parse_histogram(item, span)?;
    let value =
        |histogram: Histogram| SeriesValue::Histogram { histogram: Arc::new(histogram), hint_given: first.hint_given };
    if rest.is_empty() {
        return Ok(vec![value(first.histogram.clone())]);
    }
    if rest.starts_with('x') {
        return Ok(vec![value(first.histogram.clone()); repetitions(rest, span)? + 1]);
    }
    let sign = rest.chars().next().filter(|sign| matches!(sign, '+' | '-'));
    let sign = sign.ok_or_else(|| SeriesError::new(span, format!("unexpected {rest:?} after a histogram")))?;
    let (step, rest) = parse_histogram(&rest[1..], span)?;
    let histograms = stepped(&first.histogram, sign == '-', &step.histogram, repetitions(rest, span)?, span)?;
    Ok(histograms.into_iter().map(value).collect())
}

/// `x5`.
fn repetitions(text: &str, span: Span) -> Result<usize, SeriesError> {
    let count = text.strip_prefix('x').and_then(|digits| digits.parse().ok()).filter(|count| *count < VALUES_MAX);
    count.ok_or_else(|| SeriesError::new(span, format!("invalid repetition {text:?} in series values")))
}

/// A number with or without sign, and what follows it. Durations are their seconds.
pub(super) fn signed_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (value, rest) = number(unsigned)?;
    Some((if text.starts_with('-') { -value } else { value }, rest))
}

fn number(text: &str) -> Option<(f64, &str)> {
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
            return Some((value, &text[3..]));
        }
    }
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
    let mut end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    if text[end..].starts_with(|c: char| c.is_ascii_alphabetic() && c != 'x' && !c.eq_ignore_ascii_case(&'e')) {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() || c == 'x').unwrap_or(text.len());
        return Some((parse_duration(&text[..end]).ok()?.as_secs_f64(), &text[end..]));
    }
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        end = text.len() - digits.len() + length;
    }
    let value = text[..end].replace('_', "").parse().ok()?;
    Some((value, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values() {
        let check = |text: &str, expected: &[Option<f64>]| {
            let values = parse_values(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let floats: Vec<Option<u64>> = values
                .iter()
                .map(|value| match value {
                    SeriesValue::Missing => None,
                    SeriesValue::Float(value) => Some(value.to_bits()),
                    SeriesValue::Histogram { .. } => panic!("{text}: a histogram"),
                })
                .collect();
            assert_eq!(floats, expected.iter().map(|value| value.map(f64::to_bits)).collect::<Vec<_>>(), "{text}");
        };
        check("", &[]);
        check("1 2.5 -3", &[Some(1.0), Some(2.5), Some(-3.0)]);
        check("1+2x2", &[Some(1.0), Some(3.0), Some(5.0)]);
        check("1-2x2", &[Some(1.0), Some(-1.0), Some(-3.0)]);
        check("-2+4x1", &[Some(-2.0), Some(2.0)]);
        check("7x2 _ _x2", &[Some(7.0), Some(7.0), Some(7.0), None, None, None]);
        check(
            "stale Inf -Inf +inf",
            &[Some(stale_nan()), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(f64::INFINITY)],
        );
        check("1e3 1e-2 2e+1x1", &[Some(1000.0), Some(0.01), Some(20.0), Some(20.0)]);
    }

    #[test]
    fn refuses_with_position() {
        let check = |text: &str, start: usize, message: &str| {
            let error = parse_series(text).expect_err(text);
            assert_eq!((error.span.start, error.message.contains(message)), (start, true), "{text}: {error}");
        };
        check("up 1 two", 5, "expected a number");
        check("up 1x", 3, "repetition");
        check("up 1x99999999999", 3, "repetition");
        check("up{job=\"a\" 1", 11, "expected");
        check("up {{count:1", 3, "missing }}");
        check("up {{cuont:1}}", 3, "cuont");
    }
}
