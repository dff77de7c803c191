//! `</` and `>/`: cuts a native histogram at a value (experimental).
//!
//! The bucket that holds the value is split as `histogram_quantile` would interpolate in it; the sum is estimated anew from
//! the middles of what is left. Of a bucket without an end nothing is known but its finite edge.
//! **Source.** Prometheus `model/histogram/float_histogram.go`, `TrimBuckets`.

use crate::model::Histogram;

use super::native::uses_custom_buckets;
use super::native_layout::{Bucket, Place, map_buckets};
use super::native_quantile::fraction_below;

/// Which side stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// The observations below `limit`.
pub(super) fn keep_below(histogram: &Histogram, limit: f64) -> Histogram {
    trimmed(histogram, Keep::Below, limit)
}

/// The observations above `limit`.
pub(super) fn keep_above(histogram: &Histogram, limit: f64) -> Histogram {
    trimmed(histogram, Keep::Above, limit)
}

fn trimmed(histogram: &Histogram, keep: Keep, limit: f64) -> Histogram {
    let linear = uses_custom_buckets(histogram);
    let has = |counts: &[f64]| counts.iter().any(|count| *count != 0.0);
    let sides = (has(&histogram.negative_buckets), has(&histogram.positive_buckets));
    let (mut count, mut sum, mut is_trimmed) = (0.0, 0.0, false);
    let mut result = map_buckets(histogram, |place, bucket| {
        let (kept, middle) = match place {
            Place::Zero => split_zero_bucket(bucket, keep, limit, sides),
            _ => split_bucket(bucket, keep, limit, linear),
        };
        count += kept;
        // An empty remainder has no middle worth a NaN.
        sum += if kept == 0.0 { 0.0 } else { middle * kept };
        is_trimmed |= kept != bucket.count;
        kept
    });
    if !is_trimmed {
        return histogram.clone();
    }
    result.count = count;
    result.sum = sum;
    result
}

/// How much of a bucket stays, and its middle.
fn split_bucket(bucket: &Bucket, keep: Keep, limit: f64, linear: bool) -> (f64, f64) {
    let Bucket { lower, upper, count } = *bucket;
    let (is_all_kept, is_all_cut) = match keep {
        Keep::Below => (upper <= limit, lower >= limit),
        Keep::Above => (lower >= limit, upper <= limit),
    };
    if is_all_kept {
        return (count, middle(lower, upper, linear));
    }
    if is_all_cut {
        return (0.0, 0.0);
    }
    if lower == f64::NEG_INFINITY {
        return split_lowest(bucket, keep, limit);
    }
    if upper == f64::INFINITY {
        // What lies beyond `limit` is unknown: it goes if it may be above, and stays, at `limit`, if it may.
        return if keep == Keep::Below { (0.0, 0.0) } else { (count, limit) };
    }
    let below = count * fraction_below(bucket, limit, linear);
    match keep {
        Keep::Below => (below, middle(lower, limit, linear)),
        Keep::Above => (count - below, middle(limit, upper, linear)),
    }
}

/// The custom bucket without lower bound: it begins at zero if it ends above.
fn split_lowest(bucket: &Bucket, keep: Keep, limit: f64) -> (f64, f64) {
    let Bucket { upper, count, .. } = *bucket;
    match keep {
        Keep::Below if limit > 0.0 && upper.is_finite() => (count * limit / upper, limit / 2.0),
        Keep::Below if upper <= 0.0 => (count, limit),
        Keep::Above if limit >= 0.0 && upper.is_finite() => (count * (1.0 - limit / upper), (limit + upper) / 2.0),
        _ => (0.0, 0.0),
    }
}

/// The zero bucket of a histogram with one side only ends at zero on the other.
fn split_zero_bucket(bucket: &Bucket, keep: Keep, limit: f64, sides: (bool, bool)) -> (f64, f64) {
    let (lower, upper) = match sides {
        (true, false) => (bucket.lower, 0.0),
        (false, true) => (0.0, bucket.upper),
        _ => (bucket.lower, bucket.upper),
    };
    let (from, to) = match keep {
        Keep::Below => (lower, upper.min(limit)),
        Keep::Above => (lower.max(limit), upper),
    };
    if (from, to) == (lower, upper) {
        return (bucket.count, (lower + upper) / 2.0);
    }
    if from >= to {
        return (0.0, 0.0);
    }
    (bucket.count * ((to - from) / (upper - lower)), (from + to) / 2.0)
}

fn middle(lower: f64, upper: f64, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) => {
            if upper > 0.0 {
                upper / 2.0
            } else {
                upper
            }
        }
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => (lower * upper).abs().sqrt().copysign(if lower < 0.0 { -1.0 } else { 1.0 }),
    }
}
