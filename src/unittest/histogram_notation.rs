//! The notation of native histograms in tests: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use crate::model::{CounterResetHint, Histogram, HistogramSpan};
use crate::promql::eval::native::{add, compacted, subtract};
use crate::source::Span;

use super::series::{SeriesError, signed_number};

/// A histogram as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenHistogram {
    pub(super) histogram: Histogram,
    pub(super) hint_given: bool,
}

/// Reads `{{…}}` at the start of `text`; also gives what follows it. `span` is where the item stands, for errors.
pub(super) fn parse_histogram(text: &str, span: Span) -> Result<(WrittenHistogram, &str), SeriesError> {
    let (inner, rest) = text
        .strip_prefix("{{")
        .and_then(|text| text.split_once("}}"))
        .ok_or_else(|| SeriesError::new(span, "expected a histogram, {{…}}"))?;
    let mut written = WrittenHistogram { histogram: Histogram::default(), hint_given: false };
    let (mut offset, mut negative_offset) = (0, 0);
    let mut entries = inner.trim_start();
    while !entries.is_empty() {
        let (key, after) = entries.split_once(':').ok_or_else(|| unexpected(entries, span))?;
        let (value, next) = split_value(after);
        entries = next.trim_start();
        let float = || one_number(value).ok_or_else(|| unexpected(value, span));
        let integer = || value.parse::<i32>().map_err(|_| unexpected(value, span));
        let list = || numbers(value).ok_or_else(|| unexpected(value, span));
        let histogram = &mut written.histogram;
        match key {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = float()?,
            "count" => histogram.count = float()?,
            "z_bucket" => histogram.zero_count = float()?,
            "z_bucket_w" => histogram.zero_threshold = float()?,
            "custom_values" => histogram.custom_values = list()?,
            "buckets" => histogram.positive_buckets = list()?,
            "offset" => offset = integer()?,
            "n_buckets" => histogram.negative_buckets = list()?,
            "n_offset" => negative_offset = integer()?,
            "counter_reset_hint" => {
                histogram.counter_reset_hint = hint(value).ok_or_else(|| unexpected(value, span))?;
                written.hint_given = true;
            }
            _ => return Err(unexpected(key, span)),
        }
    }
    let histogram = &mut written.histogram;
    histogram.positive_spans = one_span(offset, &histogram.positive_buckets);
    histogram.negative_spans = one_span(negative_offset, &histogram.negative_buckets);
    Ok((written, rest))
}

fn unexpected(text: &str, span: Span) -> SeriesError {
    SeriesError::new(span, format!("unexpected {text:?} in a histogram"))
}

/// The value of an entry and what follows it: up to `]` in a list, else up to white space.
fn split_value(text: &str) -> (&str, &str) {
    if text.starts_with('[') {
        return text.find(']').map_or((text, ""), |end| text.split_at(end + 1));
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

fn one_number(text: &str) -> Option<f64> {
    signed_number(text).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// `[1 2 3]`
fn numbers(text: &str) -> Option<Vec<f64>> {
    text.strip_prefix('[')?.strip_suffix(']')?.split_whitespace().map(one_number).collect()
}

fn hint(text: &str) -> Option<CounterResetHint> {
    match text {
        "unknown" => Some(CounterResetHint::Unknown),
        "reset" => Some(CounterResetHint::Reset),
        "not_reset" => Some(CounterResetHint::NotReset),
        "gauge" => Some(CounterResetHint::Gauge),
        _ => None,
    }
}

fn one_span(offset: i32, buckets: &[f64]) -> Vec<HistogramSpan> {
    match u32::try_from(buckets.len()).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        length => vec![HistogramSpan { offset, length }],
    }
}

/// `first`, and `count` more, each `step` above (or below) the one before.
pub(super) fn stepped(
    first: &Histogram,
    falling: bool,
    step: &Histogram,
    count: usize,
    span: Span,
) -> Result<Vec<Histogram>, SeriesError> {
    let mut histograms = vec![compacted(first)];
    for _ in 0..count {
        let last = &histograms[histograms.len() - 1];
        let next = if falling { subtract(last, step) } else { add(last, step) };
        let next =
            next.map_err(|_| SeriesError::new(span, "histograms with exponential and custom buckets do not add"))?;
        histograms.push(next.histogram);
    }
    Ok(histograms)
}
