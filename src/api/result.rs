//! Query results as JSON.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/json_codec.go`, `promql/value.go`.

use std::time::Duration;

use super::json::Json;
use crate::model::{Histogram, Sample, Series, Timestamp, Value, format_float};
use crate::promql::eval::native::CUSTOM_SCHEMA;
use crate::promql::eval::{Bucket, QueryStats, QueryValue, VectorElement, all_buckets};

/// Keeps the first `limit` elements and says whether there were more.
pub(super) fn cut(value: &mut QueryValue, limit: usize) -> bool {
    let length = match value {
        QueryValue::Vector(elements) => {
            let length = elements.len();
            elements.truncate(limit);
            length
        }
        QueryValue::Matrix(series) => {
            let length = series.len();
            series.truncate(limit);
            length
        }
        QueryValue::Scalar { .. } | QueryValue::String { .. } => 0,
    };
    length > limit
}

/// How long the parts of a query took.
#[derive(Clone, Copy)]
pub(super) struct QueryTimes {
    /// Until a slot was free.
    pub(super) queued: Duration,
    /// From the first to the last look at samples.
    pub(super) evaluated: Duration,
}

/// `{"timings":…,"samples":…}`
pub(super) fn write_stats(json: &mut Json, times: QueryTimes, stats: &QueryStats, by_step: &[(Timestamp, u64)]) {
    let QueryTimes { queued, evaluated } = times;
    json.object(|json| {
        json.key("timings").object(|json| {
            for (key, time) in [
                ("evalTotalTime", evaluated),
                ("resultSortTime", Duration::ZERO),
                ("queryPreparationTime", Duration::ZERO),
                ("innerEvalTime", evaluated),
                ("execQueueTime", queued),
                ("execTotalTime", queued + evaluated),
            ] {
                json.key(key).number(time.as_secs_f64());
            }
        });
        json.key("samples").object(|json| {
            if !by_step.is_empty() {
                json.key("totalQueryableSamplesPerStep").list(by_step, |json, (at, count)| {
                    json.array(|json| {
                        json.number(at.as_secs_f64());
                        json.integer(*count);
                    });
                });
            }
            json.key("totalQueryableSamples").integer(stats.total_samples);
            json.key("peakSamples").integer(stats.peak_samples as u64);
        });
    });
}

/// `{"resultType":…,"result":…}`, and what `more` adds.
pub(super) fn write_value(json: &mut Json, value: &QueryValue, more: impl FnOnce(&mut Json)) {
    let result_type = match value {
        QueryValue::Scalar { .. } => "scalar",
        QueryValue::String { .. } => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    json.object(|json| {
        json.key("resultType").string(result_type);
        json.key("result");
        match value {
            QueryValue::Scalar { at, value } => write_pair(json, *at, &format_float(*value)),
            QueryValue::String { at, value } => write_pair(json, *at, value),
            QueryValue::Vector(elements) => json.list(elements, write_element),
            QueryValue::Matrix(series) => json.list(series, write_series),
        }
        more(json);
    });
}

/// Scalars and strings: their time is an ordinary JSON float, unlike that of samples.
fn write_pair(json: &mut Json, at: Timestamp, text: &str) {
    json.array(|json| {
        json.number(at.as_secs_f64());
        json.string(text);
    });
}

fn write_element(json: &mut Json, element: &VectorElement) {
    json.object(|json| {
        json.key("metric").labels(&element.labels);
        match &element.value {
            Value::Float(value) => {
                json.key("value");
                write_float_sample(json, element.at, *value);
            }
            Value::Histogram(histogram) => {
                json.key("histogram");
                write_histogram_sample(json, element.at, histogram);
            }
        }
    });
}

fn write_series(json: &mut Json, series: &Series) {
    let float = |sample: &Sample| Some((sample.at, sample.value.as_float()?));
    let histogram = |sample: &Sample| match &sample.value {
        Value::Histogram(histogram) => Some((sample.at, histogram.clone())),
        Value::Float(_) => None,
    };
    json.object(|json| {
        json.key("metric").labels(&series.labels);
        let mut floats = series.samples.iter().filter_map(float).peekable();
        if floats.peek().is_some() {
            json.key("values").list(floats, |json, (at, value)| write_float_sample(json, at, value));
        }
        let mut histograms = series.samples.iter().filter_map(histogram).peekable();
        if histograms.peek().is_some() {
            json.key("histograms").list(histograms, |json, (at, value)| write_histogram_sample(json, at, &value));
        }
    });
}

fn write_float_sample(json: &mut Json, at: Timestamp, value: f64) {
    json.array(|json| {
        json.sample_time(at);
        json.sample_value(value);
    });
}

fn write_histogram_sample(json: &mut Json, at: Timestamp, histogram: &Histogram) {
    json.array(|json| {
        json.sample_time(at);
        json.object(|json| {
            json.key("count").sample_value(histogram.count);
            json.key("sum").sample_value(histogram.sum);
            let buckets: Vec<Bucket> =
                all_buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0).collect();
            if !buckets.is_empty() {
                json.key("buckets").list(buckets, |json, bucket| {
                    json.array(|json| {
                        json.integer(bounds_of(histogram, &bucket) as u8);
                        for value in [bucket.lower, bucket.upper, bucket.count] {
                            json.sample_value(value);
                        }
                    });
                });
            }
        });
    });
}

/// Which ends belong to a bucket, by its number in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    /// `(lower, upper]`: positive and custom buckets.
    UpperOnly = 0,
    /// `[lower, upper)`: negative buckets.
    LowerOnly = 1,
    /// `[lower, upper]`: the zero bucket, and the first custom one.
    Both = 3,
}

fn bounds_of(histogram: &Histogram, bucket: &Bucket) -> Bounds {
    // The first custom bucket has no lower end to leave out.
    let is_custom = histogram.schema == CUSTOM_SCHEMA;
    if (is_custom && bucket.lower == f64::NEG_INFINITY) || (!is_custom && bucket.lower == -bucket.upper) {
        Bounds::Both
    } else if !is_custom && bucket.upper <= 0.0 {
        Bounds::LowerOnly
    } else {
        Bounds::UpperOnly
    }
}
