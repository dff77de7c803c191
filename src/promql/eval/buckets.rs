//! Classic histograms: quantiles and fractions of cumulative buckets.
//!
//! Within a bucket observations are taken to lie evenly.

/// A cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::promql) struct ClassicBucket {
    /// `le`.
    pub(in crate::promql) upper: f64,
    pub(in crate::promql) count: f64,
}

/// What was corrected to make the counts grow with the bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::promql) struct Forced {
    pub(in crate::promql) lowest_bucket: f64,
    pub(in crate::promql) highest_bucket: f64,
    pub(in crate::promql) largest_difference: f64,
}

/// Relative differences below this are rounding and no one's concern.
const SMALL_DELTA_RATIO: f64 = 1e-12;

/// The quantile `q` of at least one bucket, and what was corrected; `buckets` are left in order. NaN without a `+Inf` bucket, without observations,
/// or with one bucket only.
pub(in crate::promql) fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !sort_and_join(buckets) {
        return (f64::NAN, None);
    }
    let forced = ensure_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * observations;
    // A rank that is NaN lies behind all of them, as in the source.
    let index = buckets[..last].partition_point(|bucket| bucket.count < rank || rank.is_nan());
    let value = if index == last {
        buckets[last - 1].upper
    } else if index == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let bucket = buckets[index];
        let (lower, below) = if index == 0 { (0.0, 0.0) } else { (buckets[index - 1].upper, buckets[index - 1].count) };
        lower + (bucket.upper - lower) * ((rank - below) / (bucket.count - below))
    };
    (value, forced)
}

/// The fraction of observations between `lower` and `upper`.
pub(in crate::promql) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !sort_and_join(buckets) {
        return f64::NAN;
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / observations
}

/// How many observations lie below `value`.
fn rank_of(value: f64, buckets: &[ClassicBucket]) -> f64 {
    let observations = buckets[buckets.len() - 1].count;
    let mut bucket_start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    for bucket in buckets {
        if bucket_start >= value {
            return f64::min(below, observations);
        }
        if bucket.upper > value {
            // Nothing can be interpolated in a bucket without lower bound: all of it counts.
            let rank = if bucket_start == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - bucket_start) / (bucket.upper - bucket_start)
            };
            return if rank > observations { observations } else { rank };
        }
        below = bucket.count;
        bucket_start = bucket.upper;
    }
    observations
}

/// Sorts by bound and adds up equal bounds; whether the last bound is `+Inf`.
fn sort_and_join(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|bucket| bucket.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|later, earlier| {
        let is_same = later.upper == earlier.upper;
        if is_same {
            earlier.count += later.count;
        }
        is_same
    });
    true
}

fn ensure_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut highest = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == highest {
            continue;
        }
        if super::almost_equal(highest, bucket.count, SMALL_DELTA_RATIO) {
            bucket.count = highest;
        } else if bucket.count < highest {
            let start =
                Forced { lowest_bucket: f64::INFINITY, highest_bucket: f64::NEG_INFINITY, largest_difference: 0.0 };
            let forced = forced.get_or_insert(start);
            forced.lowest_bucket = forced.lowest_bucket.min(bucket.upper);
            forced.highest_bucket = forced.highest_bucket.max(bucket.upper);
            forced.largest_difference = forced.largest_difference.max(highest - bucket.count);
            bucket.count = highest;
        } else {
            highest = bucket.count;
        }
    }
    forced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        pairs.iter().map(|(upper, count)| ClassicBucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_interpolate() {
        let inf = f64::INFINITY;
        let check = |q, pairs: &[(f64, f64)], expected: f64| {
            let (value, _) = quantile(q, &mut buckets(pairs));
            assert!(value == expected || (value.is_nan() && expected.is_nan()), "{q} of {pairs:?}: {value}");
        };
        check(0.5, &[(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 1.0);
        check(0.75, &[(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 1.5);
        check(0.25, &[(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 0.5);
        check(1.0, &[(1.0, 10.0), (2.0, 20.0), (inf, 30.0)], 2.0);
        check(0.1, &[(-1.0, 10.0), (2.0, 20.0), (inf, 20.0)], -1.0);
        check(0.5, &[(1.0, 10.0), (2.0, 20.0)], f64::NAN);
        check(0.5, &[(inf, 20.0)], f64::NAN);
        check(0.5, &[(1.0, 0.0), (inf, 0.0)], f64::NAN);
    }

    #[test]
    fn counts_are_made_monotonic() {
        let (value, forced) = quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 8.0), (f64::INFINITY, 20.0)]));
        assert_eq!(value, 1.0);
        assert_eq!(forced, Some(Forced { lowest_bucket: 2.0, highest_bucket: 2.0, largest_difference: 2.0 }));
    }

    #[test]
    fn fractions() {
        let pairs = [(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        assert_eq!(fraction(1.0, 2.0, &mut buckets(&pairs)), 0.5);
        assert_eq!(fraction(0.5, 1.5, &mut buckets(&pairs)), 0.375);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &mut buckets(&pairs)), 1.0);
        assert_eq!(fraction(2.0, 1.0, &mut buckets(&pairs)), 0.0);
    }
}
