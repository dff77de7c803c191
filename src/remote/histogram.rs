//! From a histogram on the wire to ours, and why it may be refused.
//!
//! **Source.** Prometheus 3.5 `model/histogram/{histogram,float_histogram,generic}.go`, `Validate`, in whose order things are checked;
//! 3.14 for the check of the schema.

use super::message::{self, Count, Span, ZeroCount};
use crate::model::{CounterResetHint, Histogram, HistogramSpan};
use crate::promql::eval::format_go_float;
use crate::promql::eval::native::CUSTOM_SCHEMA;

/// The schemas of exponential buckets.
const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// No bucket of a float lies further from 1 at the finest schema: 2^1075 smallest, 2^1024 largest, 256 buckets to a doubling.
const BUCKET_INDEX_MAX: i64 = 1 << 20;

/// Ours, or what is wrong with it.
pub(crate) fn read(wire: message::Histogram) -> Result<Histogram, String> {
    let is_custom = wire.schema == CUSTOM_SCHEMA;
    check_schema(wire.schema)?;
    if is_custom { check_custom(&wire) } else { check_exponential(&wire) }?;
    let is_fractional = is_fractional(&wire);
    let counts = |whole: &[i64], fractional: Vec<f64>| if is_fractional { check(fractional) } else { add_up(whole) };
    let negative =
        counts(&wire.negative_deltas, wire.negative_counts).map_err(|error| format!("negative side: {error}"))?;
    if !is_custom && !wire.custom_values.is_empty() {
        return Err("histogram with exponential schema must not have custom bounds".to_owned());
    }
    let positive =
        counts(&wire.positive_deltas, wire.positive_counts).map_err(|error| format!("positive side: {error}"))?;
    let histogram = Histogram {
        counter_reset_hint: match wire.reset_hint {
            1 => CounterResetHint::Reset,
            2 => CounterResetHint::NotReset,
            3 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        zero_count: zero_count(is_fractional, wire.zero_count),
        count: match wire.count {
            Some(Count::Whole(count)) => count as f64,
            Some(Count::Fractional(count)) => count,
            None => 0.0,
        },
        sum: wire.sum,
        positive_spans: spans(&wire.positive_spans),
        negative_spans: spans(&wire.negative_spans),
        positive_buckets: positive,
        negative_buckets: negative,
        custom_values: wire.custom_values,
    };
    if !is_fractional {
        check_count(&histogram)?;
    }
    Ok(histogram)
}

fn is_fractional(wire: &message::Histogram) -> bool {
    matches!(wire.count, Some(Count::Fractional(_)))
}

/// A count of the other kind than the histogram's is not there, as in the source.
fn zero_count(is_fractional: bool, count: Option<ZeroCount>) -> f64 {
    match count {
        Some(ZeroCount::Whole(count)) if !is_fractional => count as f64,
        Some(ZeroCount::Fractional(count)) if is_fractional => count,
        _ => 0.0,
    }
}

fn spans(wire: &[Span]) -> Vec<HistogramSpan> {
    wire.iter().map(|span| HistogramSpan { offset: span.offset, length: span.length }).collect()
}

/// How many buckets of a side have a count.
fn lengths(wire: &message::Histogram) -> (usize, usize) {
    match is_fractional(wire) {
        true => (wire.positive_counts.len(), wire.negative_counts.len()),
        false => (wire.positive_deltas.len(), wire.negative_deltas.len()),
    }
}

fn check_schema(schema: i32) -> Result<(), String> {
    if schema == CUSTOM_SCHEMA || EXPONENTIAL_SCHEMAS.contains(&schema) {
        return Ok(());
    }
    let (min, max) = (EXPONENTIAL_SCHEMAS.start(), EXPONENTIAL_SCHEMAS.end());
    Err(format!(
        "histogram has an invalid schema, which must be between {min} and {max} for exponential buckets, or {CUSTOM_SCHEMA} for \
         custom buckets, got schema {schema}"
    ))
}

fn check_custom(wire: &message::Histogram) -> Result<(), String> {
    let say = |problem: &str| Err(format!("custom buckets: {problem}"));
    check_bounds(&wire.custom_values).or_else(|error| say(&error))?;
    check_spans(&wire.positive_spans, lengths(wire).0, 0).or_else(|error| say(&error))?;
    let needed: i64 = wire.positive_spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
    let bounds = wire.custom_values.len();
    if (bounds as i64) + 1 < needed {
        return say(&format!(
            "only {bounds} custom bounds defined which is insufficient to cover total span length of {needed}: histogram custom \
             bounds are too few"
        ));
    }
    if zero_count(is_fractional(wire), wire.zero_count) != 0.0 {
        return say("must have zero count of 0");
    }
    if wire.zero_threshold != 0.0 {
        return say("must have zero threshold of 0");
    }
    if !wire.negative_spans.is_empty() {
        return say("must not have negative spans");
    }
    if lengths(wire).1 > 0 {
        return say("must not have negative buckets");
    }
    Ok(())
}

fn check_bounds(bounds: &[f64]) -> Result<(), String> {
    let mut previous = f64::NEG_INFINITY;
    for bound in bounds {
        if *bound <= previous {
            let (previous, current) = (fixed(previous), fixed(*bound));
            return Err(format!(
                "previous bound is {previous} and current is {current}: histogram custom bounds must be in strictly increasing order"
            ));
        }
        previous = *bound;
    }
    if previous == f64::INFINITY {
        return Err("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite".to_owned());
    }
    Ok(())
}

/// As Go's `%f` prints it.
fn fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { format_go_float(value) }
}

fn check_exponential(wire: &message::Histogram) -> Result<(), String> {
    let (positive, negative) = lengths(wire);
    check_spans(&wire.positive_spans, positive, 1).map_err(|error| format!("positive side: {error}"))?;
    check_spans(&wire.negative_spans, negative, 1).map_err(|error| format!("negative side: {error}"))
}

/// The spans from number `from` on follow the one before, so their offset is a gap.
fn check_spans(spans: &[Span], buckets: usize, from: usize) -> Result<(), String> {
    if let Some(index) = (from..spans.len()).find(|index| spans[*index].offset < 0) {
        let (number, offset) = (index + 1, spans[index].offset);
        return Err(format!(
            "span number {number} with offset {offset}: histogram has a span whose offset is negative"
        ));
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != buckets as u64 {
        return Err(format!(
            "spans need {needed} buckets, have {buckets} buckets: histogram spans specify different number of buckets than provided"
        ));
    }
    let mut end = 0;
    for span in spans {
        end += i64::from(span.offset) + i64::from(span.length);
        if end.abs() > BUCKET_INDEX_MAX {
            return Err(format!("spans reach bucket {end}: no number lies there"));
        }
    }
    Ok(())
}

fn check(counts: Vec<f64>) -> Result<Vec<f64>, String> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(index) => Err(negative_count(index, &format_go_float(counts[index]))),
        None => Ok(counts),
    }
}

fn add_up(deltas: &[i64]) -> Result<Vec<f64>, String> {
    let mut count = 0i64;
    let mut counts = Vec::with_capacity(deltas.len());
    for (index, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(negative_count(index, &count.to_string()));
        }
        counts.push(count as f64);
    }
    Ok(counts)
}

fn negative_count(index: usize, count: &str) -> String {
    let number = index + 1;
    format!(
        "bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )
}

/// Buckets and count must agree; observations of NaN are in the count only.
fn check_count(histogram: &Histogram) -> Result<(), String> {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let found = buckets.sum::<f64>() + histogram.zero_count;
    let say = |rule: &str| {
        let count = histogram.count;
        Err(format!("{found} observations found in buckets, but the Count field is {count}: {rule}"))
    };
    if histogram.sum.is_nan() {
        if found > histogram.count {
            return say(
                "histogram's observation count should be at least the number of observations found in the buckets",
            );
        }
    } else if found != histogram.count {
        return say(
            "histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(count: u64, deltas: &[i64]) -> message::Histogram {
        message::Histogram {
            count: Some(Count::Whole(count)),
            positive_spans: vec![Span { offset: -2, length: deltas.len() as u32 }],
            positive_deltas: deltas.to_vec(),
            ..Default::default()
        }
    }

    fn custom(bounds: &[f64], counts: &[f64]) -> message::Histogram {
        message::Histogram {
            count: Some(Count::Fractional(counts.iter().sum())),
            schema: CUSTOM_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_counts: counts.to_vec(),
            custom_values: bounds.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn whole_counts_are_sums_of_deltas() {
        let read = read(whole(7, &[1, 2, -2, 1])).unwrap();
        assert_eq!(read.positive_buckets, [1.0, 3.0, 1.0, 2.0]);
        assert_eq!((read.count, read.positive_spans[0].offset), (7.0, -2));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let spans = |spans: &[(i32, u32)]| message::Histogram {
            positive_spans: spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect(),
            ..whole(2, &[1, 0])
        };
        for (wire, error) in [
            (whole(6, &[1, 2, -2, 1]), "7 observations found in buckets, but the Count field is 6"),
            (whole(0, &[1, -2]), "positive side: bucket number 2 has observation count of -1"),
            (custom(&[1.0], &[1.0, -0.5]), "positive side: bucket number 2 has observation count of -0.5"),
            (custom(&[1.0, 1.0], &[1.0]), "custom buckets: previous bound is 1.000000 and current is 1.000000"),
            (custom(&[f64::INFINITY], &[1.0]), "custom buckets: last +Inf bound must not be"),
            (
                custom(&[1.0], &[1.0, 1.0, 1.0]),
                "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3",
            ),
            (message::Histogram { schema: 9, ..whole(0, &[]) }, "histogram has an invalid schema"),
            (
                message::Histogram { custom_values: vec![1.0], ..whole(0, &[]) },
                "histogram with exponential schema must not",
            ),
            (
                message::Histogram { zero_threshold: 1.0, ..custom(&[1.0], &[1.0]) },
                "custom buckets: must have zero threshold of 0",
            ),
            (spans(&[(0, 1), (-1, 1)]), "positive side: span number 2 with offset -1"),
            (spans(&[(0, 3)]), "positive side: spans need 3 buckets, have 2 buckets"),
            (spans(&[(0, u32::MAX), (0, u32::MAX)]), "positive side: spans need 8589934590 buckets"),
            (spans(&[(i32::MAX, 1), (i32::MAX, 1)]), "positive side: spans reach bucket 2147483648"),
        ] {
            let got = read(wire).expect_err(error);
            assert!(got.starts_with(error), "{got}");
        }
    }
}
