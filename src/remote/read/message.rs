//! The messages of remote read as they stand on the wire.

use bytes::Bytes;
use prost::Message;

use crate::remote::message::{LabelV1, SeriesV1};

/// An answer with samples.
pub(super) const SAMPLES: i32 = 0;
/// An answer with chunks.
pub(super) const CHUNKS: i32 = 1;

/// A chunk of numbers.
pub(super) const XOR: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(super) queries: Vec<Query>,
    /// In order of preference; none: samples.
    #[prost(int32, repeated, tag = "2")]
    pub(super) accepted: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Query {
    #[prost(int64, tag = "1")]
    pub(super) start_ms: i64,
    #[prost(int64, tag = "2")]
    pub(super) end_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(super) matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelMatcher {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    #[prost(int32, tag = "1")]
    pub(super) op: i32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    /// One for each query.
    #[prost(message, repeated, tag = "1")]
    pub(super) results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<SeriesV1>,
}

/// A frame of an answer with chunks.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Chunked {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<ChunkedSeries>,
    #[prost(int64, tag = "2")]
    pub(super) query_index: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChunkedSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<LabelV1>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub(super) chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Chunk {
    #[prost(int64, tag = "1")]
    pub(super) min_ms: i64,
    #[prost(int64, tag = "2")]
    pub(super) max_ms: i64,
    /// 1 numbers, 2 histograms, 3 histograms with fractional counts.
    #[prost(int32, tag = "3")]
    pub(super) encoding: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) data: Bytes,
}
