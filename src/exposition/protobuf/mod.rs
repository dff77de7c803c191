//! The protobuf format: length-delimited `io.prometheus.client.MetricFamily` messages.
//!
//! In the flow: `scrape` reads what targets answer through [`read_protobuf`], which makes of each metric the samples that a text
//! would have for it, and of native histograms one sample each. Read by hand and not by `prost`: names, labels and exemplars stay
//! in the body until somebody asks for them, so that a scrape that repeats the last one compares keys and nothing more; and
//! messages of two bytes, of which a hostile body may have millions, are never all in memory.
//! **Invariants.** No byte sequence panics. A malformed message is an error for the whole body.
//! **Limits.** [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX) for a metric and for each text of its family,
//! [`LABELS_MAX`](super::LABELS_MAX), [`EXPANDED_BYTES_MAX`](super::EXPANDED_BYTES_MAX). **Cost.** One pass over metrics, two over the
//! fields of a family; in memory, at most some 20 times the current metric.
//! **Source.** Prometheus 3.5 and 3.14, `model/textparse/protobufparse.go`, `prompb/io/prometheus/client/decoder.go`.
//! **Differs:** in a family that mixes classic and native histograms each counts by itself; Prometheus goes by the first one.
//! **Differs:** a staleness marker in the body is an ordinary NaN, as in the text formats; Prometheus ends the series.
//! **Differs:** a classic histogram that contradicts itself (buckets that are not cumulative) does not become a custom one, as in
//! Prometheus 3.5; 3.14 fails the scrape.

mod error;
mod message;
mod reader;
mod wire;

pub use error::ProtobufError;
pub use message::{FamilyHead, NativeCounts, NativeHistogram, ProtobufExemplar};
pub use reader::{HistogramHandling, Item, Measured, ProtobufSample, read_protobuf};

#[cfg(test)]
mod tests;
