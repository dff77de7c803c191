//! The messages of both versions of remote write, as they stand on the wire.
//!
//! Version 1 spells labels out in every series; version 2 refers to a table of texts. Samples and histograms are the same in both.
//! Texts are bytes here: senders may send what is no UTF-8, which costs them that series and not the request.
//! **Source.** Prometheus 3.5 `prompb/remote.proto`, `prompb/types.proto`, `prompb/io/prometheus/write/v2/types.proto`; 3.14 for
//! the start timestamps of samples.

use bytes::Bytes;
use prost::{Message, Oneof};

/// Number of the field of [`RequestV1`] and [`RequestV2`] that holds their series, and of the others.
pub(super) mod field {
    pub(in crate::remote) const V1_SERIES: u32 = 1;
    pub(in crate::remote) const V1_METADATA: u32 = 3;
    pub(in crate::remote) const V2_SYMBOLS: u32 = 4;
    pub(in crate::remote) const V2_SERIES: u32 = 5;
}

/// A whole request of version 1, `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct RequestV1 {
    /// Each with labels and samples of its own.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<SeriesV1>,
    /// Of metric families, independent of the series.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetadataV1>,
}

/// A series of version 1.
#[derive(Clone, PartialEq, Message)]
pub struct SeriesV1 {
    /// In order of name, the metric name included.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<LabelV1>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Traces that stand for its samples.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<ExemplarV1>,
    /// In order of time.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A name and its value.
#[derive(Clone, PartialEq, Message)]
pub struct LabelV1 {
    /// UTF-8, not empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// UTF-8.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// A number at an instant.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The staleness marker included.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// When its counter started, in milliseconds; 0: not known. Version 2 of newer senders only.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// An example of what a sample counts.
#[derive(Clone, PartialEq, Message)]
pub struct ExemplarV1 {
    /// Which trace.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<LabelV1>,
    /// Its value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// Type, help and unit of a metric family.
#[derive(Clone, PartialEq, Message)]
pub struct MetadataV1 {
    /// Number of its type; see `MetricKind` in the source.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Its name.
    #[prost(bytes = "bytes", tag = "2")]
    pub family: Bytes,
    /// Its help text.
    #[prost(bytes = "bytes", tag = "4")]
    pub help: Bytes,
    /// Its unit.
    #[prost(bytes = "bytes", tag = "5")]
    pub unit: Bytes,
}

/// A whole request of version 2, `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, Message)]
pub struct RequestV2 {
    /// All texts; the first is empty.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub symbols: Vec<Bytes>,
    /// Each refers to the texts.
    #[prost(message, repeated, tag = "5")]
    pub series: Vec<SeriesV2>,
}

/// A series of version 2.
#[derive(Clone, PartialEq, Message)]
pub struct SeriesV2 {
    /// Names and values by turns.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// In order of time.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Traces that stand for its samples.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<ExemplarV2>,
    /// Of its metric family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<MetadataV2>,
    /// When its counter started, in milliseconds; 0: not known. Older senders; newer ones say it with each sample.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// An example of what a sample counts.
#[derive(Clone, PartialEq, Message)]
pub struct ExemplarV2 {
    /// Names and values by turns.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// Its value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// Type, help and unit of the series' metric family.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MetadataV2 {
    /// Number of its type, as in version 1.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Its help text.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// Its unit.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}

/// A native histogram with whole or with fractional counts.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// All observations; its kind is that of all counts.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Of all observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Resolution; -53: custom bounds.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Half the width of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Where the negative buckets lie.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<Span>,
    /// Whole counts, each as its difference from the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Fractional counts.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Where the positive buckets lie.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<Span>,
    /// Whole counts, each as its difference from the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Fractional counts.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// 0 unknown, 1 after a reset, 2 no reset, 3 gauge.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    /// When it started to count, in milliseconds; 0: not known. Version 2 of newer senders only.
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}

/// A count, whole or fractional.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum Count {
    /// Whole.
    #[prost(uint64, tag = "1")]
    Whole(u64),
    /// Fractional.
    #[prost(double, tag = "2")]
    Fractional(f64),
}

/// The count of the zero bucket, whole or fractional.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum ZeroCount {
    /// Whole.
    #[prost(uint64, tag = "6")]
    Whole(u64),
    /// Fractional.
    #[prost(double, tag = "7")]
    Fractional(f64),
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Span {
    /// Empty buckets since the end of the span before; of the first one, where it starts.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Buckets in it.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}
