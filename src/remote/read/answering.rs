//! Answers others: our samples, as many series as their matchers find.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::SAMPLES_MAX;
use super::message::{LabelMatcher, Query, QueryResult, Request, Response, SAMPLES};
use crate::model::{
    CounterResetHint, Histogram, HistogramSpan, Label, Labels, MatchOp, Matcher, Series, Timestamp, Value,
};
use crate::remote::message::{self as wire, Count, LabelV1, SeriesV1, Span, ZeroCount};
use crate::remote::{DECODED_BYTES_MAX, ENCODED_BYTES_MAX};
use crate::store::Store;

/// Counts below this are exact as floats and as integers.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Answers from a store.
pub struct Answering {
    /// The samples.
    pub store: Arc<Store>,
    /// Added to every series, as federation does; what asks for them finds ours.
    pub external_labels: Labels,
}

/// Why a request is not answered: the status, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRefusal(pub u16, pub String);

fn bad(text: impl ToString) -> ReadRefusal {
    ReadRefusal(400, text.to_string())
}

impl Answering {
    /// The body of the answer, by snappy, to the body of a request.
    pub fn answer(&self, body: &[u8]) -> Result<Vec<u8>, ReadRefusal> {
        let request = read(body)?;
        if !request.accepted.is_empty() && !request.accepted.contains(&SAMPLES) {
            return Err(bad("server does not support any of the requested response types: only SAMPLES"));
        }
        let mut left = SAMPLES_MAX;
        let mut response = Response::default();
        for query in request.queries {
            let found = self.find(&query)?;
            let count: usize = found.iter().map(|series| series.samples.len()).sum();
            left = left.checked_sub(count).ok_or_else(|| bad(format!("exceeded sample limit ({SAMPLES_MAX})")))?;
            let series = found.into_iter().map(|series| self.encode(series));
            response.results.push(QueryResult { series: series.collect() });
        }
        let message = response.encode_to_vec();
        let compressed = snap::raw::Encoder::new().compress_vec(&message);
        compressed.map_err(|error| ReadRefusal(500, error.to_string()))
    }

    fn find(&self, query: &Query) -> Result<Vec<Series>, ReadRefusal> {
        let mut matchers = Vec::with_capacity(query.matchers.len());
        for LabelMatcher { op, name, value } in &query.matchers {
            let op = match op {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Regex,
                3 => MatchOp::NotRegex,
                _ => return Err(bad("invalid matcher type")),
            };
            let is_ours = op == MatchOp::Equal && self.external_labels.get(name) == Some(value);
            if !is_ours {
                matchers.push(Matcher::new(op, name.as_str(), value.as_str()).map_err(bad)?);
            }
        }
        let (start, end) = (Timestamp::from_ms(query.start_ms), Timestamp::from_ms(query.end_ms));
        Ok(self.store.select(&matchers, start, end))
    }

    fn encode(&self, series: Series) -> SeriesV1 {
        let missing = self.external_labels.iter().filter(|label| series.labels.get(&label.name).is_none());
        let mut labels: Vec<&Label> = series.labels.iter().chain(missing).collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let mut encoded = SeriesV1 {
            labels: labels.iter().map(|l| LabelV1 { name: bytes(&l.name), value: bytes(&l.value) }).collect(),
            ..SeriesV1::default()
        };
        for sample in &series.samples {
            let timestamp = sample.at.as_ms();
            match &sample.value {
                Value::Float(value) => {
                    encoded.samples.push(wire::Sample { value: *value, timestamp, start_timestamp: 0 });
                }
                Value::Histogram(histogram) => encoded.histograms.push(encode_histogram(histogram, timestamp)),
            }
        }
        encoded
    }
}

fn read(body: &[u8]) -> Result<Request, ReadRefusal> {
    if body.len() > ENCODED_BYTES_MAX || snap::raw::decompress_len(body).map_err(bad)? > DECODED_BYTES_MAX {
        return Err(bad("the request is too long"));
    }
    let message = snap::raw::Decoder::new().decompress_vec(body).map_err(bad)?;
    Request::decode(Bytes::from(message)).map_err(bad)
}

fn encode_histogram(histogram: &Histogram, timestamp: i64) -> wire::Histogram {
    let spans = |spans: &[HistogramSpan]| spans.iter().map(|s| Span { offset: s.offset, length: s.length }).collect();
    let mut encoded = wire::Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        positive_spans: spans(&histogram.positive_spans),
        reset_hint: match histogram.counter_reset_hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::Reset => 1,
            CounterResetHint::NotReset => 2,
            CounterResetHint::Gauge => 3,
        },
        timestamp,
        custom_values: histogram.custom_values.clone(),
        ..wire::Histogram::default()
    };
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    // Ranges of histograms with fractional counts that are answered as samples make Prometheus 3.5 fail.
    let is_whole = buckets.chain([&histogram.count, &histogram.zero_count]).all(|count| is_whole(*count));
    if is_whole {
        encoded.count = Some(Count::Whole(histogram.count as u64));
        encoded.zero_count = Some(ZeroCount::Whole(histogram.zero_count as u64));
        encoded.negative_deltas = deltas(&histogram.negative_buckets);
        encoded.positive_deltas = deltas(&histogram.positive_buckets);
    } else {
        encoded.count = Some(Count::Fractional(histogram.count));
        encoded.zero_count = Some(ZeroCount::Fractional(histogram.zero_count));
        encoded.negative_counts = histogram.negative_buckets.clone();
        encoded.positive_counts = histogram.positive_buckets.clone();
    }
    encoded
}

/// Whether a count and its distance to another one are exact as integers.
fn is_whole(count: f64) -> bool {
    count.fract() == 0.0 && (0.0..WHOLE_MAX).contains(&count)
}

fn deltas(counts: &[f64]) -> Vec<i64> {
    let before = std::iter::once(0).chain(counts.iter().map(|count| *count as i64));
    counts.iter().zip(before).map(|(count, before)| *count as i64 - before).collect()
}
