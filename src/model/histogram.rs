//! Native histograms: exponential and custom buckets, always with float counts.
//!
//! Integer histograms of the wire are converted on arrival: PromQL computes in floats, and counts below 2^53 stay exact.
//! **Source.** Prometheus `model/histogram/float_histogram.go`.

/// What is known of a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CounterResetHint {
    /// Nothing: compare the two.
    #[default]
    Unknown,
    /// This histogram starts after a reset.
    Reset,
    /// This histogram continues the one before it.
    NotReset,
    /// A gauge histogram: resets have no meaning.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramSpan {
    /// Empty buckets since the end of the span before (for the first span: the index of its first bucket).
    pub offset: i32,
    /// Buckets in the span.
    pub length: u32,
}

/// A native histogram. Bucket counts are absolute, not deltas.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    /// See [`CounterResetHint`].
    pub counter_reset_hint: CounterResetHint,
    /// Resolution, -4 to 8: each power of two has `2^schema` buckets; -53: custom bounds in `custom_values`.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum; the staleness marker here ends the series.
    pub sum: f64,
    /// Runs of positive (or custom) buckets.
    pub positive_spans: Vec<HistogramSpan>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<HistogramSpan>,
    /// Counts of the buckets in `positive_spans`.
    pub positive_buckets: Vec<f64>,
    /// Counts of the buckets in `negative_spans`.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without the last `+Inf`.
    pub custom_values: Vec<f64>,
}
