//! Arithmetic of native histograms: scale, add, subtract, compare, detect resets.
//!
//! **Source.** Prometheus `model/histogram/float_histogram.go`.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Value};

use super::native_layout::{Counts, Open};

pub(crate) use super::native_layout::CUSTOM_SCHEMA;

/// One histogram has exponential buckets and the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IncompatibleSchemas;

/// A sum or difference, and what had to be bent for it.
#[derive(Clone, Debug)]
pub(crate) struct Combined {
    pub(crate) histogram: Histogram,
    /// One says that it follows a reset, the other that it does not.
    pub(crate) reset_collision: bool,
    /// The custom bounds differed, so that only those in both are left.
    pub(crate) reconciled: bool,
}

pub(super) fn into_value(histogram: Histogram) -> Value {
    Value::Histogram(Arc::new(histogram))
}

pub(super) fn uses_custom_buckets(histogram: &Histogram) -> bool {
    histogram.schema == CUSTOM_SCHEMA
}

/// Every count and the sum times `factor`; a negative factor makes a gauge.
pub(super) fn scaled(histogram: &Histogram, factor: f64) -> Histogram {
    map_counts(histogram, factor < 0.0, |count| count * factor)
}

/// Every count and the sum divided by `divisor`; dividing by zero leaves no buckets.
pub(super) fn divided(histogram: &Histogram, divisor: f64) -> Histogram {
    let mut result = map_counts(histogram, divisor < 0.0, |count| count / divisor);
    if divisor == 0.0 {
        result.positive_spans.clear();
        result.positive_buckets.clear();
        result.negative_spans.clear();
        result.negative_buckets.clear();
    }
    result
}

fn map_counts(histogram: &Histogram, is_gauge: bool, map: impl Fn(f64) -> f64) -> Histogram {
    let mut result = histogram.clone();
    result.zero_count = map(result.zero_count);
    result.count = map(result.count);
    result.sum = map(result.sum);
    let buckets = result.positive_buckets.iter_mut().chain(&mut result.negative_buckets);
    for count in buckets {
        *count = map(*count);
    }
    if is_gauge {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result
}

pub(crate) fn add(a: &Histogram, b: &Histogram) -> Result<Combined, IncompatibleSchemas> {
    combine(a, b, |left, right| left + right)
}

pub(crate) fn subtract(a: &Histogram, b: &Histogram) -> Result<Combined, IncompatibleSchemas> {
    combine(a, b, |left, right| left - right)
}

fn combine(a: &Histogram, b: &Histogram, op: fn(f64, f64) -> f64) -> Result<Combined, IncompatibleSchemas> {
    let (hint, reset_collision) = combined_hint(a.counter_reset_hint, b.counter_reset_hint);
    let (mut left, mut right) = (Open::of(a), Open::of(b));
    let reconciled = align(&mut left, &mut right)?;
    left.zero_count = op(left.zero_count, right.zero_count);
    left.count = op(left.count, right.count);
    left.sum = op(left.sum, right.sum);
    for (counts, others) in [(&mut left.positive, &right.positive), (&mut left.negative, &right.negative)] {
        for (index, count) in others {
            let slot = counts.entry(*index).or_insert(0.0);
            *slot = op(*slot, *count);
        }
    }
    left.hint = hint;
    Ok(Combined { histogram: left.close(), reset_collision, reconciled })
}

/// Brings two histograms to a layout that both can have; says whether custom bounds were lost for it.
pub(super) fn align(left: &mut Open, right: &mut Open) -> Result<bool, IncompatibleSchemas> {
    let custom = left.schema == CUSTOM_SCHEMA;
    if custom != (right.schema == CUSTOM_SCHEMA) {
        return Err(IncompatibleSchemas);
    }
    if custom {
        if left.custom_values == right.custom_values {
            return Ok(false);
        }
        let shared: Vec<f64> =
            left.custom_values.iter().copied().filter(|bound| right.custom_values.contains(bound)).collect();
        left.reduce_bounds(&shared);
        right.reduce_bounds(&shared);
        return Ok(true);
    }
    while left.zero_threshold != right.zero_threshold {
        let threshold = left.zero_threshold.max(right.zero_threshold);
        left.widen_zero_bucket(threshold);
        right.widen_zero_bucket(threshold);
    }
    let schema = left.schema.min(right.schema);
    left.reduce_schema(schema);
    right.reduce_schema(schema);
    Ok(false)
}

pub(super) fn combined_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    use CounterResetHint::{Gauge, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

/// Whether `current` cannot continue `previous`: a count went down or the layout became finer.
pub(crate) fn is_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.counter_reset_hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if current.count < previous.count {
        return true;
    }
    if uses_custom_buckets(current) != uses_custom_buckets(previous) {
        return uses_custom_buckets(current) || current.schema > previous.schema;
    }
    let (mut open, mut earlier) = (Open::of(current), Open::of(previous));
    if uses_custom_buckets(current) {
        if current.custom_values != previous.custom_values {
            let shared: Vec<f64> =
                current.custom_values.iter().copied().filter(|bound| previous.custom_values.contains(bound)).collect();
            open.reduce_bounds(&shared);
            earlier.reduce_bounds(&shared);
        }
    } else {
        if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
            return true;
        }
        earlier.widen_zero_bucket(current.zero_threshold);
        if earlier.zero_threshold != current.zero_threshold || current.zero_count < earlier.zero_count {
            return true;
        }
        earlier.reduce_schema(current.schema);
    }
    let falls = |now: &Counts, before: &Counts| {
        before.iter().any(|(index, count)| *count > now.get(index).copied().unwrap_or(0.0))
    };
    falls(&open.positive, &earlier.positive) || falls(&open.negative, &earlier.negative)
}

/// Whether two histograms hold the same, hints aside. Floats compare by bits, so that NaN equals itself.
pub(super) fn is_same(a: &Histogram, b: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let totals = |h: &Histogram| bits(&[h.count, h.sum, h.zero_count]);
    let (left, right) = (compacted(a), compacted(b));
    a.schema == b.schema
        && totals(a) == totals(b)
        && a.zero_threshold == b.zero_threshold
        && a.custom_values == b.custom_values
        && left.positive_spans == right.positive_spans
        && left.negative_spans == right.negative_spans
        && bits(&left.positive_buckets) == bits(&right.positive_buckets)
        && bits(&left.negative_buckets) == bits(&right.negative_buckets)
}

/// The same histogram without empty buckets, spans joined.
pub(crate) fn compacted(histogram: &Histogram) -> Histogram {
    Open::of(histogram).close()
}

/// The same histogram at a lower resolution.
pub(crate) fn at_schema(histogram: &Histogram, schema: i32) -> Histogram {
    let mut open = Open::of(histogram);
    open.reduce_schema(schema);
    open.close()
}
