//! What an exposition says about a metric family besides its samples.

use std::sync::Arc;

/// The type of a metric, as its exposition declares it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MetricKind {
    /// Not declared.
    #[default]
    Unknown,
    /// Only grows, or restarts at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets that only grow, classic or native.
    Histogram,
    /// Buckets that go up and down.
    GaugeHistogram,
    /// Quantiles computed by the target.
    Summary,
    /// A constant 1 whose labels are the information.
    Info,
    /// One 0 or 1 for each state.
    StateSet,
}

impl MetricKind {
    /// The word of `# TYPE` lines and of the metadata API.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Unknown => "unknown",
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::GaugeHistogram => "gaugehistogram",
            MetricKind::Summary => "summary",
            MetricKind::Info => "info",
            MetricKind::StateSet => "stateset",
        }
    }

    /// What [`MetricKind::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        use MetricKind::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
        let all = [Unknown, Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
        all.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Type, help and unit of a metric family.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Metadata {
    /// Its type.
    pub kind: MetricKind,
    /// Its help text; may be empty.
    pub help: Arc<str>,
    /// Its unit; mostly empty.
    pub unit: Arc<str>,
}
