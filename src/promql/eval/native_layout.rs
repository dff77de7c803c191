//! The layout of native histograms: which bucket an index stands for, and changes of resolution.
//!
//! A histogram is opened into maps from bucket index to count, computed with, and closed again without empty buckets.
//! **Source.** Prometheus `model/histogram/generic.go`, `float_histogram.go`.

use std::collections::BTreeMap;

use super::bounds::exponential as bound;
use crate::model::{CounterResetHint, Histogram, HistogramSpan};

/// The schema of histograms with custom bounds.
pub(crate) const CUSTOM_SCHEMA: i32 = -53;

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

pub(super) type Counts = BTreeMap<i32, f64>;

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

/// All buckets from the lowest to the highest, the zero bucket in its place where its count is above zero; those cut by it begin at its
/// edge.
pub fn all_buckets(histogram: &Histogram) -> Vec<Bucket> {
    let threshold = histogram.zero_threshold;
    let mut buckets = whole_buckets(histogram, histogram.zero_count > 0.0);
    for bucket in &mut buckets {
        if bucket.upper < 0.0 {
            bucket.upper = bucket.upper.min(-threshold).max(bucket.lower);
        } else if bucket.lower > 0.0 {
            bucket.lower = bucket.lower.max(threshold);
        }
    }
    buckets
}

/// All buckets from the lowest to the highest at their full width, the zero bucket in its place where it is asked for.
pub(super) fn whole_buckets(histogram: &Histogram, with_zero: bool) -> Vec<Bucket> {
    let open = Open::of(histogram);
    let negative = open.negative.iter().rev().map(|(index, count)| {
        let (lower, upper) = (-bound(*index, open.schema), -bound(index - 1, open.schema));
        Bucket { lower, upper, count: *count }
    });
    let threshold = histogram.zero_threshold;
    let zero = with_zero.then_some(Bucket { lower: -threshold, upper: threshold, count: histogram.zero_count });
    let positive = open.positive.iter().map(|(index, count)| {
        let (lower, upper) = open.positive_bounds(*index);
        Bucket { lower, upper, count: *count }
    });
    negative.chain(zero).chain(positive).collect()
}

/// A histogram with its buckets as maps.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) hint: CounterResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) positive: Counts,
    pub(super) negative: Counts,
    pub(super) custom_values: Vec<f64>,
}

impl Open {
    pub(super) fn of(histogram: &Histogram) -> Self {
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

    pub(super) fn close(self) -> Histogram {
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

    /// Every count and the sum times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        self.map(|count| count * factor)
    }

    /// Every count and the sum divided by `divisor`.
    pub(super) fn divided(&self, divisor: f64) -> Self {
        self.map(|count| count / divisor)
    }

    fn map(&self, map: impl Fn(f64) -> f64) -> Self {
        let mut result = self.clone();
        let totals = [&mut result.count, &mut result.sum, &mut result.zero_count].into_iter();
        for count in totals.chain(result.positive.values_mut()).chain(result.negative.values_mut()) {
            *count = map(*count);
        }
        result
    }

    pub(super) fn has_infinity(&self) -> bool {
        let totals = [self.count, self.sum, self.zero_count];
        totals.iter().chain(self.positive.values()).chain(self.negative.values()).any(|count| count.is_infinite())
    }

    /// Takes over the custom bounds of `other`, a subset of its own.
    pub(super) fn reduce_bounds_to(&mut self, other: &Open) {
        if self.custom_values != other.custom_values {
            self.reduce_bounds(&other.custom_values);
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

    pub(super) fn reduce_schema(&mut self, schema: i32) {
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
    pub(super) fn reduce_bounds(&mut self, bounds: &[f64]) {
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
    pub(super) fn widen_zero_bucket(&mut self, threshold: f64) {
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
