//! Latency from classic histograms: which bucket holds the good events, and what is said where there is none.
//!
//! In the flow: [`super::accounting`] asks [`Threshold::role`] for each bucket's series and pairs buckets with totals by [`Threshold::stem`].
//!
//! **Invariants.** An event counts only where the bucket of the threshold stands beside its total, at the same target and instant. A total
//! without the bucket would count every event as bad, a bucket without its total as good; both count nothing and are told of
//! ([`MissingBucket`]).
//! **Units.** Bounds are seconds, as in the label `le`; thresholds are ms.

use std::fmt;
use std::sync::Arc;

use crate::model::{Label, Labels, METRIC_NAME};
use crate::source::format_duration;

use super::spec::{Indicator, TotalIs};

/// The label with a bucket's upper bound.
pub(super) const BOUND: &str = "le";

/// What an indicator of latency looks for.
#[derive(Clone, Debug)]
pub(super) struct Threshold {
    histogram: Arc<str>,
    bound_secs: f64,
    threshold_ms: i64,
    total_is: TotalIs,
}

impl Threshold {
    /// `None` for other indicators.
    pub(super) fn of(indicator: &Indicator) -> Option<Self> {
        let Indicator::Latency { buckets, total_is, threshold_ms, .. } = indicator else { return None };
        let bound_secs = *threshold_ms as f64 / 1000.0;
        Some(Threshold {
            histogram: buckets.text.clone(),
            bound_secs,
            threshold_ms: *threshold_ms,
            total_is: *total_is,
        })
    }

    /// The upper bound of a bucket's series, compared by value: `0.3`, `0.30` and `3e-1` are one. `None` where it is no number.
    pub(super) fn bound(&self, labels: &Labels) -> Option<f64> {
        labels.get(BOUND)?.parse().ok()
    }

    /// Whether `bound` is the one of the threshold.
    pub(super) fn is_met_by(&self, bound: f64) -> bool {
        bound == self.bound_secs
    }

    /// What a bucket and its total have in common within a target.
    pub(super) fn stem(&self, labels: &Labels, group: &Labels) -> Labels {
        match self.total_is {
            TotalIs::Count => labels.filtered(|Label { name, .. }| !matches!(&**name, BOUND | METRIC_NAME)),
            TotalIs::Other => group.clone(),
        }
    }

    /// Says that the bucket is missing among `bounds`.
    pub(super) fn missing(&self, bounds: &Bounds) -> MissingBucket {
        MissingBucket {
            histogram: self.histogram.clone(),
            threshold_ms: self.threshold_ms,
            below: bounds.below,
            above: bounds.above,
        }
    }
}

/// The bounds next to the threshold among those present.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    below: Option<f64>,
    above: Option<f64>,
}

impl Bounds {
    /// Takes notice of a bucket that is not the threshold's.
    pub(super) fn add(&mut self, bound: f64, threshold: &Threshold) {
        if bound < threshold.bound_secs {
            self.below = Some(self.below.map_or(bound, |below| below.max(bound)));
        } else if bound > threshold.bound_secs {
            self.above = Some(self.above.map_or(bound, |above| above.min(bound)));
        }
    }
}

/// Why a latency cannot be told: no bucket ends at the threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingBucket {
    /// The buckets' selector.
    pub histogram: Arc<str>,
    /// The threshold, in ms.
    pub threshold_ms: i64,
    /// The nearest bound below it, in seconds.
    pub below: Option<f64>,
    /// The nearest bound above it, in seconds; may be infinite.
    pub above: Option<f64>,
}

impl fmt::Display for MissingBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.threshold_ms as f64 / 1000.0;
        let threshold = format_duration(std::time::Duration::from_millis(self.threshold_ms.unsigned_abs()));
        write!(f, "{} has no bucket with le={:?} (threshold {threshold})", self.histogram, secs.to_string())?;
        let bound = |bound: f64| if bound.is_infinite() { "\"+Inf\"".to_owned() } else { format!("\"{bound}\"") };
        match (self.below, self.above) {
            (Some(below), Some(above)) => write!(f, "; the nearest are le={} and le={}", bound(below), bound(above)),
            (Some(only), None) | (None, Some(only)) => write!(f, "; the nearest is le={}", bound(only)),
            (None, None) => write!(f, "; it has no buckets at all"),
        }
    }
}
