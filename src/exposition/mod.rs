//! The formats of metrics: bytes in, samples out; and our own metrics, values in, text out.
//!
//! In the flow: `scrape` reads what targets answer through [`Parser`] and [`read_protobuf`]; `api` answers `/metrics` with [`write_text`]. The
//! parser borrows from the body: a series is its bytes until somebody asks for its labels, so that a scrape that repeats
//! the last one costs a comparison and a number per line ([`Parser::next_expecting`]).
//! **Invariants.** No byte sequence panics. A malformed line is an error for the whole body, never a line left out.
//! **Units.** Timestamps are milliseconds since the epoch; OpenMetrics writes seconds, cut (not rounded) to milliseconds.
//! **Limits.** [`ENTRY_BYTES_MAX`], [`LABELS_MAX`]: what a hostile target can make of one line. **Cost.** One pass.
//! Measured by `cargo bench --bench exposition`, one run on 2 busy cores, of pages like node_exporter's (174 kB), kube-state-metrics' (1.9 MB)
//! and one of 100,000 counters (9 MB), where counting lines with `memchr` does 11, 16 and 14 GiB/s: a page that is as expected 2.4, 5.8 and
//! 2.5 GiB/s (270 instructions a sample over all three), with only the texts of series expected 1.2, 2.0 and 0.9 (520), checked without expecting
//! anything 0.3, 0.5 and 0.3 (2,460), with every label set taken apart 0.2, 0.1 and 0.2 (6,030). prometheus-parse 0.2.5 does 0.04 on the first.
//! **Source.** Prometheus 3.5 `model/textparse`, asked by serving it a hundred odd bodies (`tests.rs` has the table).
//! `_created` lines are ordinary series, as in Prometheus without its start-timestamp feature flag.
//! **Differs:** leading blanks of a line are skipped in the text format; Prometheus makes them part of the metric's name.
//! **Differs:** an error of a line tells line and column; a line above [`ENTRY_BYTES_MAX`] is one.
//! **Differs:** a NUL byte at the start of a line is an error; Prometheus takes it for the end of the body.
//! **Differs:** `{foo,a="b"}` is an error; Prometheus takes `o` for the metric's name.
//! **Differs:** an empty metric or label name is an error of its line, even where relabelling would have removed it.

mod classic;
mod content_type;
mod error;
mod family;
mod label_set;
mod number;
mod parser;
pub mod promlint;
mod protobuf;
mod write;

pub use classic::ClassicHistogram;
pub use content_type::{BodyFormat, ContentTypeError, Format};
pub use error::{ParseError, Problem};
pub use family::{Family, FamilyKind, Point};
pub use label_set::{LabelPair, LabelPairs};
pub use parser::{Entry, Exemplar, Parser, Repeat, Series};
pub use protobuf::{
    FamilyHead, HistogramHandling, Item, Measured, NativeCounts, NativeHistogram, ProtobufError, ProtobufExemplar,
    ProtobufSample, read_protobuf,
};
pub use write::{TEXT_CONTENT_TYPE, write_text};

/// Bytes of one entry (a series with its labels, a help text). Real series stay below 10 KB.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Labels of one series or exemplar. Real series have fewer than 50.
pub const LABELS_MAX: usize = 1024;
/// Bytes of what tells the series of a protobuf body apart. It names a family once and a text in every line, so that a short body
/// could stand for endless ones; this is as long as a text may be where nothing else is configured.
pub const EXPANDED_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests;
