//! From the series of a classic histogram to one native histogram with its bounds as custom buckets.
//!
//! **Source.** Prometheus 3.5 `util/convertnhcb/convertnhcb.go`.

use crate::model::{CounterResetHint, Histogram, HistogramSpan, MetricKind};

/// The schema of histograms with custom bounds.
const CUSTOM_SCHEMA: i32 = -53;
/// Empty buckets within a span that are kept where all counts are whole numbers.
const WHOLE_GAP_MAX: u32 = 2;
/// From here on not every whole number is a float.
const WHOLE_END: f64 = 9_223_372_036_854_775_808.0;

/// What is known of a classic histogram so far, in any order.
#[derive(Clone, Debug, Default)]
pub struct ClassicHistogram {
    /// Upper bound and observations up to it, in order of bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    contradicts_itself: bool,
}

impl ClassicHistogram {
    /// Takes the observations up to `bound`. The first value for a bound counts.
    pub fn set_bucket(&mut self, bound: f64, count: f64) {
        let index = self.buckets.partition_point(|(known, _)| *known < bound);
        if self.buckets.get(index).is_some_and(|(known, _)| *known == bound) {
            return;
        }
        let before = index.checked_sub(1).map(|before| self.buckets[before].1);
        let after = self.buckets.get(index).map(|(_, after)| *after);
        if bound.is_nan()
            || count < 0.0
            || before.is_some_and(|before| count < before)
            || after.is_some_and(|after| count > after)
        {
            self.contradicts_itself = true;
            return;
        }
        self.buckets.insert(index, (bound, count));
    }

    /// Takes the number of all observations.
    pub fn set_count(&mut self, count: f64) {
        self.contradicts_itself |= count < 0.0;
        self.count = Some(count);
    }

    /// Takes the sum of all observations.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The same as a native histogram; `None` where it contradicts itself. `kind` is that of its family.
    pub fn convert(mut self, kind: MetricKind) -> Option<Histogram> {
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let all = self.buckets.last().expect("BUG: there is a last bucket").1;
        let is_lowest = |(bound, _): &(f64, f64)| *bound == f64::NEG_INFINITY;
        if self.contradicts_itself || count != all || self.buckets.first().is_some_and(is_lowest) {
            return None;
        }
        let is_whole = |value: f64| value.trunc() == value && value < WHOLE_END;
        let gap_max = if self.buckets.iter().all(|(_, count)| is_whole(*count)) { WHOLE_GAP_MAX } else { 0 };
        let mut before = 0.0;
        let counts = self.buckets.iter().map(|(_, up_to)| up_to - std::mem::replace(&mut before, *up_to));
        let (positive_spans, positive_buckets) = lay_out(counts, gap_max);
        let bounds = &self.buckets[..self.buckets.len() - 1];
        Some(Histogram {
            counter_reset_hint: match kind {
                MetricKind::GaugeHistogram => CounterResetHint::Gauge,
                _ => CounterResetHint::Unknown,
            },
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            custom_values: bounds.iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        })
    }
}

/// Spans of the buckets that hold something; up to `gap_max` empty ones in a row do not part a span.
fn lay_out(counts: impl Iterator<Item = f64>, gap_max: u32) -> (Vec<HistogramSpan>, Vec<f64>) {
    let (mut spans, mut buckets): (Vec<HistogramSpan>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut gap = 0u32;
    for count in counts {
        if count == 0.0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= gap_max => {
                span.length += gap + 1;
                buckets.extend((0..gap).map(|_| 0.0));
            }
            _ => spans.push(HistogramSpan { offset: i32::try_from(gap).unwrap_or(i32::MAX), length: 1 }),
        }
        buckets.push(count);
        gap = 0;
    }
    (spans, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans, counts and bounds.
    type Layout<'a> = (&'a [(i32, u32)], &'a [f64], &'a [f64]);

    fn check(buckets: &[(f64, f64)], count: Option<f64>, expected: Option<Layout<'_>>) {
        let mut classic = ClassicHistogram::default();
        for (bound, count) in buckets {
            classic.set_bucket(*bound, *count);
        }
        count.into_iter().for_each(|count| classic.set_count(count));
        let got = classic.convert(MetricKind::Histogram);
        let got = got.map(|got| {
            let spans: Vec<(i32, u32)> = got.positive_spans.iter().map(|span| (span.offset, span.length)).collect();
            (spans, got.positive_buckets, got.custom_values)
        });
        let expected = expected.map(|(spans, counts, bounds)| (spans.to_vec(), counts.to_vec(), bounds.to_vec()));
        assert_eq!(got, expected, "{buckets:?} {count:?}");
    }

    #[test]
    fn bounds_become_custom_buckets() {
        let inf = f64::INFINITY;
        check(&[(1.0, 2.0), (5.0, 3.0), (inf, 4.0)], Some(4.0), Some((&[(0, 3)], &[2.0, 1.0, 1.0], &[1.0, 5.0])));
        check(&[(5.0, 3.0), (1.0, 2.0)], None, Some((&[(0, 2)], &[2.0, 1.0], &[1.0, 5.0])));
        check(&[(1.0, 2.0)], Some(2.0), Some((&[(0, 1)], &[2.0], &[1.0])));
        check(&[], Some(3.0), Some((&[(0, 1)], &[3.0], &[])));
        check(&[(1.0, 2.0), (1.0, 7.0)], None, Some((&[(0, 1)], &[2.0], &[1.0])));
        // Whole counts keep short gaps, others none.
        let gaps = [(1.0, 1.0), (2.0, 1.0), (3.0, 2.0), (4.0, 2.0), (5.0, 2.0), (6.0, 2.0), (inf, 3.0)];
        let bounds = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        check(&gaps, None, Some((&[(0, 3), (3, 1)], &[1.0, 0.0, 1.0, 1.0], bounds)));
        check(&[(1.0, 0.5), (2.0, 0.5), (inf, 1.0)], None, Some((&[(0, 1), (1, 1)], &[0.5, 0.5], &[1.0, 2.0])));
    }

    #[test]
    fn contradictions_are_left_alone() {
        check(&[(1.0, 3.0), (2.0, 2.0)], None, None);
        check(&[(2.0, 2.0), (1.0, 3.0)], None, None);
        check(&[(f64::INFINITY, 2.0)], Some(3.0), None);
        check(&[(1.0, -1.0)], None, None);
        check(&[(f64::NAN, 1.0)], None, None);
        check(&[(f64::NEG_INFINITY, 1.0), (1.0, 2.0)], None, None);
        check(&[(1.0, f64::NAN)], None, None);
    }
}
