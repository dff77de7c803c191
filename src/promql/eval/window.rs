//! A range vector at one step: one series' samples in a left-open window.

use std::sync::Arc;

use crate::model::{Counted, Histogram, Labels, Sample, StartTime, Timestamp, Value};
use crate::source::Span;

/// What a range function sees.
pub(super) struct Window<'a> {
    /// The series, metric name included.
    pub(super) labels: &'a Labels,
    /// Samples after `start` and not after `end`, without staleness markers; never empty.
    pub(super) samples: &'a [Sample],
    /// Since when they have counted; as long as the samples or shorter.
    pub(super) starts: &'a [Option<StartTime>],
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The step; differs from `end` under `offset` and `@`.
    pub(super) at: Timestamp,
    /// What warnings point at.
    pub(super) span: Span,
}

/// A number in a window.
#[derive(Clone, Copy, Debug)]
pub(in crate::promql) struct Point {
    pub(in crate::promql) at: Timestamp,
    pub(in crate::promql) value: f64,
}

impl<'a> Window<'a> {
    pub(super) fn metric(&self) -> &str {
        self.labels.metric_name()
    }

    /// When the sample at `index` was taken, and since when it has counted.
    pub(super) fn counted(&self, index: usize) -> Counted {
        Counted { start: self.starts.get(index).copied().flatten(), at: self.samples[index].at }
    }

    /// Whether start times tell that the counter began anew between the sample at `index` and the one before it.
    pub(super) fn starts_anew(&self, index: usize) -> bool {
        index < self.starts.len() && self.counted(index).is_reset_after(self.counted(index - 1))
    }

    /// Whether a sample claims time that the one before it has counted.
    pub(super) fn has_overlap(&self) -> bool {
        (1..self.starts.len()).any(|index| self.counted(index).overlaps(self.counted(index - 1)))
    }

    /// The first sample's start, if the window can be measured from there: the count was zero then.
    pub(super) fn zero_at(&self) -> Option<Timestamp> {
        let start = self.starts.first().copied().flatten()?.at();
        (self.start < start && start < self.samples[0].at).then_some(start)
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
