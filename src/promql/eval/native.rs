//! Arithmetic of native histograms: scale, add, subtract, compare, detect resets.
//!
//! Histograms are opened into maps from bucket index to count, computed with, and closed again without empty buckets.
//! **Source.** Prometheus `model/histogram/float_histogram.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, HistogramSpan, Value};
use crate::source::Span;

use super::annotations::Annotations;

/// The schema of histograms with custom bounds.
pub(crate) const CUSTOM_SCHEMA: i32 = -53;

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

/// One bucket, `(lower, upper]` on the positive side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Observations in it.
    pub count: f64,
}

/// Which part of a histogram a bucket belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Negative,
    Zero,
    /// Custom buckets too.
    Positive,
}

type Counts = BTreeMap<i32, f64>;

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
    if uses_custom_buckets(a) != uses_custom_buckets(b) {
        return Err(IncompatibleSchemas);
    }
    let (hint, reset_collision) = combined_hint(a.counter_reset_hint, b.counter_reset_hint);
    let (mut left, mut right) = (Open::of(a), Open::of(b));
    let mut reconciled = false;
    if uses_custom_buckets(a) {
        if a.custom_values != b.custom_values {
            reconciled = true;
            let bounds: Vec<f64> =
                a.custom_values.iter().copied().filter(|bound| b.custom_values.contains(bound)).collect();
            left.reduce_bounds(&bounds);
            right.reduce_bounds(&bounds);
        }
    } else {
        let schema = a.schema.min(b.schema);
        while left.zero_threshold != right.zero_threshold {
            let threshold = left.zero_threshold.max(right.zero_threshold);
            left.widen_zero_bucket(threshold);
            right.widen_zero_bucket(threshold);
        }
        left.reduce_schema(schema);
        right.reduce_schema(schema);
    }
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

fn combined_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    use CounterResetHint::{Gauge, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

/// The running sum of several histograms.
#[derive(Clone, Debug)]
pub(super) struct Total {
    sum: Histogram,
    count: f64,
}

impl Total {
    pub(super) fn into_sum(self) -> Histogram {
        self.sum
    }

    pub(super) fn mean(&self) -> Histogram {
        divided(&self.sum, self.count)
    }
}

/// Adds up at least one histogram; says what had to be bent.
pub(super) fn sum<'h>(
    mut histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    span: Span,
    notes: &mut Annotations,
) -> Result<Total, IncompatibleSchemas> {
    let first = histograms.next().expect("BUG: a sum of no histograms");
    let mut total = Total { sum: compacted(first), count: 1.0 };
    let (mut reconciled, mut mixed) = (false, None);
    let mut hints = vec![first.counter_reset_hint];
    for histogram in histograms {
        hints.push(histogram.counter_reset_hint);
        total.count += 1.0;
        match add(&total.sum, histogram) {
            Ok(combined) => {
                reconciled |= combined.reconciled;
                total.sum = combined.histogram;
            }
            Err(error) => {
                mixed = Some(error);
                break;
            }
        }
    }
    if hints.contains(&CounterResetHint::Reset) && hints.contains(&CounterResetHint::NotReset) {
        notes.reset_collision(span, "aggregation");
    }
    if reconciled {
        notes.reconciled_bounds(span, "aggregation");
    }
    mixed.map_or(Ok(total), Err)
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
pub(super) fn at_schema(histogram: &Histogram, schema: i32) -> Histogram {
    let mut open = Open::of(histogram);
    open.reduce_schema(schema);
    open.close()
}

/// The same layout with new counts; those of zero vanish. Buckets have their full width, whatever the zero bucket covers.
pub(super) fn map_buckets(histogram: &Histogram, mut map: impl FnMut(Place, &Bucket) -> f64) -> Histogram {
    let mut open = Open::of(histogram);
    let mut positive = std::mem::take(&mut open.positive);
    for (index, count) in &mut positive {
        let (lower, upper) = open.positive_bounds(*index);
        *count = map(Place::Positive, &Bucket { lower, upper, count: *count });
    }
    for (index, count) in &mut open.negative {
        let (lower, upper) = (-bound(*index, open.schema), -bound(index - 1, open.schema));
        *count = map(Place::Negative, &Bucket { lower, upper, count: *count });
    }
    if open.zero_count > 0.0 {
        let threshold = open.zero_threshold;
        let bucket = Bucket { lower: -threshold, upper: threshold, count: open.zero_count };
        open.zero_count = map(Place::Zero, &bucket);
    }
    open.positive = positive;
    open.close()
}

/// All buckets from the lowest to the highest, the zero bucket in its place; those cut by it begin at its edge.
pub fn all_buckets(histogram: &Histogram) -> Vec<Bucket> {
    let open = Open::of(histogram);
    let threshold = histogram.zero_threshold;
    let mut buckets: Vec<Bucket> = Vec::new();
    for (index, count) in open.negative.iter().rev() {
        let (lower, upper) = (-bound(*index, open.schema), -bound(index - 1, open.schema));
        buckets.push(Bucket { lower, upper: upper.min(-threshold).max(lower), count: *count });
    }
    if histogram.zero_count > 0.0 {
        buckets.push(Bucket { lower: -threshold, upper: threshold, count: histogram.zero_count });
    }
    for (index, count) in &open.positive {
        let (mut lower, upper) = open.positive_bounds(*index);
        if lower > 0.0 && lower < threshold {
            lower = threshold;
        }
        buckets.push(Bucket { lower, upper, count: *count });
    }
    buckets
}

/// A histogram with its buckets as maps.
struct Open {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    count: f64,
    sum: f64,
    positive: Counts,
    negative: Counts,
    custom_values: Vec<f64>,
}

impl Open {
    fn of(histogram: &Histogram) -> Self {
        Open {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            count: histogram.count,
            sum: histogram.sum,
            positive: counts(&histogram.positive_spans, &histogram.positive_buckets),
            negative: counts(&histogram.negative_spans, &histogram.negative_buckets),
            custom_values: histogram.custom_values.clone(),
        }
    }

    fn close(self) -> Histogram {
        let (positive_spans, positive_buckets) = spans(&self.positive);
        let (negative_spans, negative_buckets) = spans(&self.negative);
        Histogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: self.custom_values,
        }
    }

    fn positive_bounds(&self, index: i32) -> (f64, f64) {
        if self.schema != CUSTOM_SCHEMA {
            return (bound(index - 1, self.schema), bound(index, self.schema));
        }
        let custom = |index: i32| usize::try_from(index).ok().and_then(|index| self.custom_values.get(index).copied());
        let lower = if index == 0 { f64::NEG_INFINITY } else { custom(index - 1).unwrap_or(f64::INFINITY) };
        (lower, custom(index).unwrap_or(f64::INFINITY))
    }

    fn reduce_schema(&mut self, schema: i32) {
        if schema >= self.schema || self.schema == CUSTOM_SCHEMA {
            return;
        }
        let shift = self.schema - schema;
        for side in [&mut self.positive, &mut self.negative] {
            let mut reduced = Counts::new();
            for (index, count) in std::mem::take(side) {
                *reduced.entry(((index - 1) >> shift) + 1).or_insert(0.0) += count;
            }
            *side = reduced;
        }
        self.schema = schema;
    }

    /// Keeps only the custom bounds `bounds`, a subset of its own.
    fn reduce_bounds(&mut self, bounds: &[f64]) {
        let mut reduced = Counts::new();
        for (index, count) in &self.positive {
            let upper = self.positive_bounds(*index).1;
            let target = bounds.partition_point(|bound| *bound < upper);
            *reduced.entry(i32::try_from(target).expect("BUG: more than 2^31 bounds")).or_insert(0.0) += count;
        }
        self.positive = reduced;
        self.custom_values = bounds.to_vec();
    }

    /// Moves what lies below `threshold` into the zero bucket, and widens that further if it would cut a bucket that is
    /// not empty.
    fn widen_zero_bucket(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let mut widest = threshold;
        loop {
            let reach = |counts: &Counts, widest: f64| {
                let cut = counts.iter().filter(|(index, count)| {
                    let (lower, upper) = (bound(**index - 1, self.schema), bound(**index, self.schema));
                    **count != 0.0 && lower < widest && upper > widest
                });
                cut.map(|(index, _)| bound(*index, self.schema)).fold(widest, f64::max)
            };
            let wider = reach(&self.negative, reach(&self.positive, widest));
            if wider == widest {
                break;
            }
            widest = wider;
        }
        let schema = self.schema;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|index, count| {
                let is_inside = bound(*index - 1, schema) < widest;
                if is_inside {
                    self.zero_count += *count;
                }
                !is_inside
            });
        }
        self.zero_threshold = widest;
    }
}

/// The upper bound of the exponential bucket `index`.
fn bound(index: i32, schema: i32) -> f64 {
    // Exact for whole exponents; the last finite bucket ends at the largest float.
    let value = if schema <= 0 {
        2f64.powi(index.saturating_mul(1 << -schema))
    } else {
        let per_octave = 1 << schema;
        let fraction = f64::from(index.rem_euclid(per_octave)) / f64::from(per_octave);
        let octave = index.div_euclid(per_octave);
        if octave >= 1024 && fraction == 0.0 && octave == 1024 {
            f64::INFINITY
        } else {
            fraction.exp2() * 2f64.powi(octave)
        }
    };
    let is_last = if schema <= 0 { index.saturating_mul(1 << -schema) == 1024 } else { index == 1024 << schema };
    if is_last { f64::MAX } else { value }
}

fn counts(spans: &[HistogramSpan], buckets: &[f64]) -> Counts {
    let mut counts = Counts::new();
    let mut buckets = buckets.iter();
    let mut index = 0i32;
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = buckets.next() else { return counts };
            counts.insert(index, *count);
            index = index.saturating_add(1);
        }
    }
    counts
}

fn spans(counts: &Counts) -> (Vec<HistogramSpan>, Vec<f64>) {
    let mut spans: Vec<HistogramSpan> = Vec::new();
    let mut buckets = Vec::new();
    let mut next_index = 0;
    for (index, count) in counts.iter().filter(|(_, count)| **count != 0.0) {
        match spans.last_mut() {
            Some(span) if *index == next_index => span.length += 1,
            _ => spans.push(HistogramSpan { offset: index - next_index, length: 1 }),
        }
        buckets.push(*count);
        next_index = index + 1;
    }
    (spans, buckets)
}
