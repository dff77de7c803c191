//! A range vector at one step: one series' samples in a left-open window.

use std::sync::Arc;

use crate::model::{Histogram, Labels, Sample, Timestamp, Value};
use crate::source::Span;

/// What a range function sees.
pub(super) struct Window<'a> {
    /// The series, metric name included.
    pub(super) labels: &'a Labels,
    /// Samples after `start` and not after `end`, without staleness markers; never empty.
    pub(super) samples: &'a [Sample],
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The step; differs from `end` under `offset` and `@`.
    pub(super) at: Timestamp,
    /// What warnings point at.
    pub(super) span: Span,
}

/// A number in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at: Timestamp,
    pub(super) value: f64,
}

impl<'a> Window<'a> {
    pub(super) fn metric(&self) -> &str {
        self.labels.metric_name()
    }

    pub(super) fn floats(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().filter_map(|sample| sample.value.as_float())
    }

    pub(super) fn points(&self) -> Vec<Point> {
        let point = |sample: &Sample| Some(Point { at: sample.at, value: sample.value.as_float()? });
        self.samples.iter().filter_map(point).collect()
    }

    pub(super) fn histograms(&self) -> Vec<&'a Arc<Histogram>> {
        let histogram = |sample: &'a Sample| match &sample.value {
            Value::Histogram(histogram) => Some(histogram),
            Value::Float(_) => None,
        };
        self.samples.iter().filter_map(histogram).collect()
    }

    pub(super) fn has_floats(&self) -> bool {
        self.samples.iter().any(|sample| matches!(sample.value, Value::Float(_)))
    }

    pub(super) fn has_histograms(&self) -> bool {
        self.samples.iter().any(|sample| matches!(sample.value, Value::Histogram(_)))
    }

    /// Seconds the window is long.
    pub(super) fn range_secs(&self) -> f64 {
        self.end.ms_since(self.start) as f64 / 1000.0
    }
}
