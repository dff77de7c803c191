//! The words of the field as types: instants, label sets, matchers, samples, histograms, alerts.
//!
//! In the flow: every other module speaks in these; this one names none of them.
//! **No I/O, no clock, no evaluation.** Times are milliseconds since the epoch.

mod alert;
mod exemplar;
mod fingerprint;
mod format;
mod histogram;
mod labels;
mod matcher;
mod metadata;
mod quote;
mod regex;
mod sample;
mod start_time;
mod timestamp;
pub mod wire;

pub use self::regex::{Anchoring, Pattern, PatternError, Replacement};
pub use alert::Alert;
pub use exemplar::Exemplar;
pub use fingerprint::Fingerprint;
pub use format::{format_exponent, format_float};
pub use histogram::{CounterResetHint, Histogram, HistogramSpan};
pub use labels::{Label, Labels, LabelsBuilder, is_legacy_name};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricKind};
pub use quote::{is_printable, quote, quote_bytes, quote_char, unescape};
pub use sample::{STALE_NAN_BITS, Sample, Series, Value, is_stale, stale_nan};
pub use start_time::{Counted, StartTime, StartTimes};
pub use timestamp::Timestamp;

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that names an alert.
pub const ALERT_NAME: &str = "alertname";
