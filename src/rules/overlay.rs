//! What the rules of a group have recorded in this slot, on top of the store.
//!
//! Later rules of a group read what earlier ones recorded at the same instant, before anything is committed.
//! **Cost.** A selector with `__name__="…"` looks at the samples of that name only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{METRIC_NAME, MatchOp, Matcher, Sample, Series, Timestamp};
use crate::promql::{Querier, QuerierError};

use super::Recorded;

/// A querier that adds uncommitted samples to another.
pub(super) struct Overlay<'a> {
    base: &'a dyn Querier,
    /// By metric name, then in order of label set.
    recorded: BTreeMap<Arc<str>, BTreeMap<crate::model::Labels, Sample>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a dyn Querier) -> Self {
        Overlay { base, recorded: BTreeMap::new() }
    }

    /// Makes `recorded` visible. Of two samples of a series the first stays, as in the store.
    pub(super) fn add(&mut self, recorded: &[Recorded]) {
        for sample in recorded {
            let name = sample.labels.get_arc(METRIC_NAME).cloned().unwrap_or_default();
            let series = self.recorded.entry(name).or_default();
            series
                .entry(sample.labels.clone())
                .or_insert_with(|| Sample { at: sample.at, value: sample.value.clone() });
        }
    }

    fn matching(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Series> {
        let is_name = |matcher: &&Matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
        let by_name: Vec<_> = match matchers.iter().find(is_name) {
            Some(matcher) => self.recorded.get(&matcher.value).into_iter().collect(),
            None => self.recorded.values().collect(),
        };
        by_name
            .into_iter()
            .flatten()
            .filter(|(labels, sample)| {
                (start..=end).contains(&sample.at) && matchers.iter().all(|matcher| matcher.matches_labels(labels))
            })
            .map(|(labels, sample)| Series::new(labels.clone(), vec![sample.clone()]))
            .collect()
    }
}

impl Querier for Overlay<'_> {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let stored = self.base.select(matchers, start, end)?;
        let recorded = self.matching(matchers, start, end);
        if recorded.is_empty() {
            return Ok(stored);
        }
        let mut merged: BTreeMap<_, _> = stored.into_iter().map(|series| (series.labels.clone(), series)).collect();
        for series in recorded {
            let empty = || Series::new(series.labels.clone(), Vec::new());
            let samples = &mut merged.entry(series.labels.clone()).or_insert_with(empty).samples;
            for sample in series.samples {
                // A sample that the store would refuse stays invisible.
                if samples.last().is_none_or(|last| last.at < sample.at) {
                    samples.push(sample);
                }
            }
        }
        Ok(merged.into_values().collect())
    }
}
