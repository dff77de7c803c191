//! From an exposed histogram to the one that is stored: checked, and no finer than the job allows.
//!
//! **Source.** Prometheus 3.5 `scrape/scrape.go` (`pickSchema`), `scrape/target.go` (`bucketLimitAppender`, `maxSchemaAppender`),
//! in whose order it is done.

use std::sync::Arc;

use super::config::ScrapeConfig;
use super::error::ScrapeError;
use crate::exposition::{Measured, NativeCounts, NativeHistogram};
use crate::model::{Histogram, HistogramSpan, Value};
use crate::promql::eval::native::{CUSTOM_SCHEMA, at_schema, compacted};
use crate::remote::message::{self, Count, Span, ZeroCount};
use crate::remote::read_histogram;

/// The lowest and the highest resolution.
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;
/// The number of a gauge among the hints on the wire.
const GAUGE_HINT: i32 = 3;

/// The highest resolution whose buckets grow by at least `factor`.
pub(super) fn schema_of_factor(factor: f64) -> i32 {
    if factor.is_nan() || factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX)) as i32
}

/// The value to store.
pub(super) fn value(measured: Measured, config: &ScrapeConfig) -> Result<Value, ScrapeError> {
    let histogram = match measured {
        Measured::Float(value) => return Ok(Value::Float(value)),
        Measured::Custom(custom) => *custom,
        Measured::Native(native) => {
            let checked = read_histogram(wire(*native)).map_err(ScrapeError::Sample)?;
            let finest = compacted(&checked);
            if finest.schema > config.histogram_schema_max {
                at_schema(&finest, config.histogram_schema_max)
            } else {
                finest
            }
        }
    };
    let histogram = within(histogram, config.histogram_buckets_max)?;
    Ok(Value::Histogram(Arc::new(histogram)))
}

/// At the highest resolution at which it has no more than `buckets_max` buckets.
fn within(mut histogram: Histogram, buckets_max: u64) -> Result<Histogram, ScrapeError> {
    let is_over = |histogram: &Histogram| {
        let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
        buckets_max > 0 && buckets as u64 > buckets_max
    };
    while is_over(&histogram) {
        if histogram.schema == CUSTOM_SCHEMA || histogram.schema <= SCHEMA_MIN {
            return Err(ScrapeError::BucketLimit);
        }
        histogram = at_schema(&histogram, histogram.schema - 1);
    }
    Ok(histogram)
}

/// As a remote write would send it, so that both doors check the same.
fn wire(native: NativeHistogram) -> message::Histogram {
    let spans = |spans: Vec<HistogramSpan>| {
        spans.into_iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
    };
    let unfilled = message::Histogram {
        sum: native.sum,
        schema: native.schema,
        zero_threshold: native.zero_threshold,
        negative_spans: spans(native.negative_spans),
        positive_spans: spans(native.positive_spans),
        reset_hint: if native.is_gauge { GAUGE_HINT } else { 0 },
        ..message::Histogram::default()
    };
    match native.counts {
        NativeCounts::Whole { count, zero_count, positive, negative } => message::Histogram {
            count: Some(Count::Whole(count)),
            zero_count: Some(ZeroCount::Whole(zero_count)),
            positive_deltas: positive,
            negative_deltas: negative,
            ..unfilled
        },
        NativeCounts::Fractional { count, zero_count, positive, negative } => message::Histogram {
            count: Some(Count::Fractional(count)),
            zero_count: Some(ZeroCount::Fractional(zero_count)),
            positive_counts: positive,
            negative_counts: negative,
            ..unfilled
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_pick_resolutions_as_prometheus() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.002, 8),
            (1.003, 7),
            (1.1, 2),
            (1.2, 1),
            (2.0, 0),
            (4.0, -1),
            (1e9, -4),
            (f64::NAN, 8),
        ] {
            assert_eq!(schema_of_factor(factor), schema, "{factor}");
        }
    }

    #[test]
    fn resolution_falls_until_the_buckets_fit() {
        let wide = |schema, buckets: usize| Histogram {
            schema,
            positive_spans: vec![HistogramSpan { offset: 1, length: buckets as u32 }],
            positive_buckets: vec![1.0; buckets],
            ..Histogram::default()
        };
        let check = |histogram: Histogram, limit, expected: Result<(i32, usize), ScrapeError>| {
            let got = within(histogram, limit).map(|got| (got.schema, got.positive_buckets.len()));
            assert_eq!(got, expected);
        };
        check(wide(2, 16), 0, Ok((2, 16)));
        check(wide(2, 16), 16, Ok((2, 16)));
        check(wide(2, 16), 8, Ok((1, 8)));
        check(wide(2, 16), 3, Ok((-1, 2)));
        check(wide(-4, 3), 2, Err(ScrapeError::BucketLimit));
        check(wide(CUSTOM_SCHEMA, 3), 2, Err(ScrapeError::BucketLimit));
    }
}
