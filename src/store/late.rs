//! Samples that came out of order, beside their series until they are merged into it.
//!
//! In the flow: a commit that may be late puts here what is older than the newest sample of its series and does not fit into its open run;
//! reads look here too; the series takes them in when it seals a run, when there are [`PENDING_MAX`], and when the driver calls
//! [`Store::settle`](super::Store::settle).
//!
//! **Why a side run.** A sealed chunk is compressed, and the ordinals of all samples after an insertion change. Merged one by one, each
//! late sample would decode and seal again what lies between it and now; a run of them does that once.
//! **Invariants.** Times strictly increase, and none is also in the series: the first sample of an instant stays. Until it is merged, a late
//! sample is answered with "scan" where summaries and edges would be, so what is shown is exact at any moment.
//! **Cost.** Nothing for a series without late samples but a pointer. A merge takes about 40 ns a sample from the oldest late one on.
//! **Differs:** of two late samples of one instant, or a late one beside one that came in time, the first stays; Prometheus keeps both and
//! shows one of them.

use std::collections::VecDeque;

use super::SeriesRef;
use super::selection::Window;
use crate::model::{Sample, StartTime, StartTimes, Timestamp, Value, is_stale};

/// Late samples of a series that are merged at the latest. As many as a chunk has, so that merging costs as little for each.
pub(super) const PENDING_MAX: usize = 120;

/// Amendments kept for those who follow them; who lags further must look at everything.
const AMENDMENTS_MAX: usize = 1 << 16;

/// A sample that comes this long after the newest of all has come is late, even if it is the newest of its series: others have looked there.
pub(super) const BEHIND_MS: i64 = 60_000;

/// The late samples of one series.
#[derive(Debug, Default)]
pub(super) struct Late {
    pending: Vec<LateSample>,
    /// How many ever came.
    count: u64,
    /// The oldest that a disk may not have.
    unsaved: Option<Timestamp>,
}

/// A sample and since when it has counted.
#[derive(Clone, Debug)]
pub(super) struct LateSample {
    pub(super) sample: Sample,
    pub(super) start: Option<StartTime>,
}

impl Late {
    /// Notes that a late sample was put elsewhere.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.count += 1;
        self.unsaved = Some(self.unsaved.map_or(at, |unsaved| unsaved.min(at)));
    }

    /// Keeps a late sample; `false` if there is one of this instant.
    pub(super) fn insert(&mut self, late: LateSample) -> bool {
        let at = late.sample.at;
        let Err(place) = self.pending.binary_search_by_key(&at, |late| late.sample.at) else { return false };
        self.pending.insert(place, late);
        self.note(at);
        true
    }

    /// All that is to be merged, oldest first. Nothing is left.
    pub(super) fn take(&mut self) -> Vec<LateSample> {
        std::mem::take(&mut self.pending)
    }

    /// Those in `start..=end`.
    pub(super) fn inside(&self, start: Timestamp, end: Timestamp) -> &[LateSample] {
        let from = self.pending.partition_point(|late| late.sample.at < start);
        let to = self.pending.partition_point(|late| late.sample.at <= end).max(from);
        &self.pending[from..to]
    }

    /// Drops those before `before` and gives them.
    pub(super) fn truncate(&mut self, before: Timestamp) -> impl Iterator<Item = LateSample> {
        let gone = self.pending.partition_point(|late| late.sample.at < before);
        self.pending.drain(..gone)
    }

    pub(super) fn pending(&self) -> &[LateSample] {
        &self.pending
    }

    /// How many have come and are merged.
    pub(super) fn merged(&self) -> u64 {
        self.count - self.pending.len() as u64
    }

    /// The oldest that a disk may not have.
    pub(super) fn unsaved(&self) -> Option<Timestamp> {
        self.unsaved
    }

    /// A disk has all that were merged when there were `merged`.
    pub(super) fn confirm(&mut self, merged: u64) {
        // Otherwise more came meanwhile: what is written twice costs less than what is missing.
        if self.count == merged {
            self.unsaved = None;
        }
    }
}

/// Adds late samples to those of a window.
pub(super) fn add_to_window(late: &[LateSample], window: &mut Window) {
    for LateSample { sample, .. } in late {
        match &sample.value {
            Value::Float(value) => {
                let place = window.at.partition_point(|at| *at < sample.at);
                window.at.insert(place, sample.at);
                window.values.insert(place, *value);
            }
            Value::Histogram(histogram) if is_stale(histogram.sum) => window.has_histogram_ends = true,
            Value::Histogram(_) => window.has_histograms = true,
        }
    }
}

/// Lays late samples among those of a series.
pub(super) fn add_to_samples(late: Vec<LateSample>, samples: &mut Vec<Sample>, starts: &mut StartTimes) {
    if late.is_empty() {
        return;
    }
    let counted = (0..).zip(samples.drain(..)).map(|(index, sample)| LateSample { sample, start: starts.get(index) });
    let mut all: Vec<LateSample> = counted.chain(late).collect();
    all.sort_by_key(|late| late.sample.at);
    *starts = all.iter().map(|late| late.start).collect();
    samples.extend(all.into_iter().map(|late| late.sample));
}

/// A series got a sample that is older than its newest, or than the newest of all by [`BEHIND_MS`]: what was computed from it for times from
/// there on has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amendment {
    /// Which.
    pub series: SeriesRef,
    /// The time of the late sample.
    pub at: Timestamp,
}

/// The last amendments, numbered one after the other.
#[derive(Debug, Default)]
pub(super) struct Amendments {
    /// The number of the first.
    first: u64,
    entries: VecDeque<Amendment>,
}

impl Amendments {
    pub(super) fn push(&mut self, amendment: Amendment) {
        if self.entries.len() == AMENDMENTS_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(amendment);
    }

    /// See [`Store::amendments`](super::Store::amendments).
    pub(super) fn since(&self, cursor: &mut u64) -> Option<Vec<Amendment>> {
        let end = self.first + self.entries.len() as u64;
        let from = std::mem::replace(cursor, end);
        let skipped = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.entries.range(skipped.min(self.entries.len())..).copied().collect())
    }
}

#[cfg(test)]
mod tests;
