//! A point, its value, and the stream it belongs to.

use std::sync::Arc;

use super::{Histogram, Labels, StartTimes, Timestamp};

/// The bit pattern of the NaN that marks the end of a series. Any other NaN is an ordinary value.
/// **Source.** Prometheus `model/value/value.go`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker. Compares bits, since all NaNs differ from themselves.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What a sample holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A plain number, also the staleness marker.
    Float(f64),
    /// A native histogram. Shared, since windows and results copy samples.
    Histogram(Arc<Histogram>),
}

impl Value {
    /// Whether this ends its series.
    pub fn is_stale(&self) -> bool {
        match self {
            Value::Float(value) => is_stale(*value),
            Value::Histogram(histogram) => is_stale(histogram.sum),
        }
    }

    /// The number, unless this is a histogram.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Histogram(_) => None,
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

/// A value at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: Value,
}

impl Sample {
    /// A number at an instant.
    pub fn float(at: Timestamp, value: f64) -> Self {
        Sample { at, value: Value::Float(value) }
    }
}

/// A label set and its samples in strictly increasing order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What identifies the series, its metric name included.
    pub labels: Labels,
    /// Strictly increasing in time.
    pub samples: Vec<Sample>,
    /// Since when each sample has counted, where that is known; a column of its own, since few series have it.
    pub starts: StartTimes,
}

impl Series {
    /// A series whose samples do not say since when they have counted.
    pub fn new(labels: Labels, samples: Vec<Sample>) -> Self {
        Series { labels, samples, starts: StartTimes::NONE }
    }

    /// Takes the staleness markers out.
    pub fn drop_stale(&mut self) {
        if !self.starts.is_empty() {
            self.starts.retain(|index| !self.samples[index].value.is_stale());
        }
        self.samples.retain(|sample| !sample.value.is_stale());
    }
}
