//! Samples that are recorded but not yet stored, on top of the store.
//!
//! In the flow: a rule group adds what its rules record at a slot; later rules of the group read it at the same slot, before
//! anything is committed. Leaves of plans look up their series here; the plain evaluator reads through [`Overlaid`].
//!
//! **Invariants.** Of two samples of a series the first stays, as in the store. A sample that the store would refuse, since the
//! series has a newer one or one of the same time, stays invisible.
//! **Cost.** A selector with `__name__="…"` looks at the samples of that name only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher, Sample, Series, Timestamp, Value};
use crate::promql::{Querier, QuerierError};
use crate::store::SeriesRef;

/// Gives each state of each overlay a number of its own.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// One sample.
#[derive(Clone, Debug)]
pub(super) struct Uncommitted {
    /// The series in the store, where that is known: only those are seen by plans.
    pub(super) series: Option<SeriesRef>,
    pub(super) sample: Sample,
}

/// Recorded samples. See the [module](self).
#[derive(Debug, Default)]
pub struct Overlay {
    /// 0 while it is empty.
    version: u64,
    /// By metric name, then in order of label set.
    recorded: BTreeMap<Arc<str>, BTreeMap<Labels, Uncommitted>>,
}

impl Overlay {
    /// Makes a sample visible. `series` is its handle in the store, if it has one.
    pub fn add(&mut self, labels: &Labels, series: Option<SeriesRef>, at: Timestamp, value: Value) {
        self.version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        let name = labels.get_arc(METRIC_NAME).cloned().unwrap_or_default();
        let uncommitted = || Uncommitted { series, sample: Sample { at, value } };
        self.recorded.entry(name).or_default().entry(labels.clone()).or_insert_with(uncommitted);
    }

    /// Grows with each change and differs from that of any other overlay; 0 if it is empty.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What could pass `matchers`, as far as the metric name tells.
    pub(super) fn candidates(&self, matchers: &[Matcher]) -> impl Iterator<Item = (&Labels, &Uncommitted)> {
        let is_name = |matcher: &&Matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
        let name = matchers.iter().find(is_name).map(|matcher| matcher.value.clone());
        let names = match name {
            Some(name) => self.recorded.range(name.clone()..=name),
            None => self.recorded.range::<Arc<str>, _>(..),
        };
        names.flat_map(|(_, samples)| samples)
    }
}

/// A querier with an overlay on top.
#[derive(Clone, Copy)]
pub struct Overlaid<'a> {
    base: &'a dyn Querier,
    overlay: &'a Overlay,
}

impl<'a> Overlaid<'a> {
    /// Puts `overlay` on top of `base`.
    pub fn new(base: &'a dyn Querier, overlay: &'a Overlay) -> Self {
        Overlaid { base, overlay }
    }
}

impl Querier for Overlaid<'_> {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let stored = self.base.select(matchers, start, end)?;
        let is_selected = |(labels, recorded): &(&Labels, &Uncommitted)| {
            (start..=end).contains(&recorded.sample.at) && matchers.iter().all(|m| m.matches_labels(labels))
        };
        let mut recorded = self.overlay.candidates(matchers).filter(is_selected).peekable();
        if recorded.peek().is_none() {
            return Ok(stored);
        }
        let mut merged: BTreeMap<Labels, Series> =
            stored.into_iter().map(|series| (series.labels.clone(), series)).collect();
        for (labels, Uncommitted { sample, .. }) in recorded {
            let series = merged.entry(labels.clone()).or_insert_with(|| Series::new(labels.clone(), Vec::new()));
            if series.samples.last().is_none_or(|last| last.at < sample.at) {
                series.samples.push(sample.clone());
            }
        }
        Ok(merged.into_values().collect())
    }
}
