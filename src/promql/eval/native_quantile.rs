//! Native histograms: quantiles, fractions, variance.
//!
//! Within an exponential bucket observations are taken to lie evenly on a logarithmic scale, within the zero bucket and
//! within custom buckets evenly. NaN observations are counted but lie in no bucket.

use crate::model::Histogram;

use super::elementary::{exp2, log2};
use super::native::uses_custom_buckets;
use super::native_layout::{Bucket, all_buckets};
use super::number::CompensatedSum;

/// What there is to say about NaN observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NanNote {
    /// The quantile lies among them.
    ResultIsNan,
    /// They push the quantile up.
    Skewed,
}

/// The quantile `q`.
pub(super) fn quantile(q: f64, histogram: &Histogram) -> (f64, Option<NanNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let may_have_nan = histogram.sum.is_nan();
    let forward = may_have_nan || q < 0.5;
    let mut buckets = all_buckets(histogram);
    let in_buckets: f64 = buckets.iter().map(|bucket| bucket.count).sum();
    // From the nearer end, to lose less.
    let mut rank = if forward { q * histogram.count } else { (1.0 - q) * histogram.count };
    if !forward {
        buckets.reverse();
    }
    let mut count = 0.0;
    let mut found = Bucket { lower: 0.0, upper: 0.0, count: 0.0 };
    for bucket in buckets.into_iter().filter(|bucket| bucket.count != 0.0) {
        found = bucket;
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    let custom = uses_custom_buckets(histogram);
    if custom && found.lower == f64::NEG_INFINITY {
        if found.upper <= 0.0 {
            return (found.upper, None);
        }
        found.lower = 0.0;
    } else if custom && found.upper == f64::INFINITY {
        return (found.lower, None);
    } else if !custom && found.lower < 0.0 && found.upper > 0.0 {
        found = one_sided(found, histogram);
    }
    count = f64::min(count, histogram.count);
    if count < rank {
        return if may_have_nan { (f64::NAN, Some(NanNote::ResultIsNan)) } else { (found.upper, None) };
    }
    rank = if forward { rank - (count - found.count) } else { count - rank };
    let note = (may_have_nan && in_buckets < histogram.count).then_some(NanNote::Skewed);
    (interpolated(found, rank / found.count, custom), note)
}

/// The zero bucket of a histogram without negative (or positive) buckets ends at zero.
fn one_sided(bucket: Bucket, histogram: &Histogram) -> Bucket {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => Bucket { lower: 0.0, ..bucket },
        (false, true) => Bucket { upper: 0.0, ..bucket },
        _ => bucket,
    }
}

fn interpolated(bucket: Bucket, fraction: f64, custom: bool) -> f64 {
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (log_lower, log_upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 {
        exp2(log_lower + (log_upper - log_lower) * fraction)
    } else {
        -exp2(log_upper + (log_lower - log_upper) * (1.0 - fraction))
    }
}

/// The fraction of observations between `lower` and `upper`, and whether NaN observations were left out.
pub(super) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let buckets = all_buckets(histogram);
    let mut observations = histogram.count;
    let mut has_nan = false;
    if histogram.sum.is_nan() {
        observations = buckets.iter().map(|bucket| bucket.count).sum();
        has_nan = observations < histogram.count;
    }
    let rank = |value: f64| f64::min(rank_of(value, &buckets, histogram), observations);
    ((rank(upper) - rank(lower)) / histogram.count, has_nan)
}

fn rank_of(value: f64, buckets: &[Bucket], histogram: &Histogram) -> f64 {
    let mut below = 0.0;
    for bucket in buckets {
        let is_zero_bucket = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bucket = if is_zero_bucket { one_sided(*bucket, histogram) } else { *bucket };
        if bucket.lower >= value {
            return below;
        }
        if bucket.upper > value {
            if bucket.lower == f64::NEG_INFINITY {
                return bucket.count;
            }
            return below
                + bucket.count * fraction_below(&bucket, value, uses_custom_buckets(histogram) || is_zero_bucket);
        }
        below += bucket.count;
    }
    f64::INFINITY
}

/// The share of a bucket's observations below `value`, which lies in it.
pub(super) fn fraction_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let [log_lower, log_upper, log_value] = [bucket.lower, bucket.upper, value].map(|bound| log2(bound.abs()));
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}

/// The variance, each observation taken to lie at the (geometric) mean of its bucket.
pub(super) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut total = CompensatedSum::default();
    for bucket in all_buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0) {
        let value = if uses_custom_buckets(histogram) {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = value - mean;
        total = total.plus(bucket.count * delta * delta);
    }
    total.total() / histogram.count
}
