//! History, handed to a live store as the virtual clock goes on.
//!
//! **Cost.** A slice of the history is decoded at a time, of about [`SLICE_SAMPLES`] samples, so that memory does not depend on its length.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::model::{METRIC_NAME, MatchOp, Matcher, Sample, Timestamp};
use crate::rules::reads::{Reads, asks_in_templates, exprs, may_find, written_by};
use crate::rules::{RuleConfig, RuleKind};
use crate::store::{Row, SeriesRef, Store};

use super::Version;

/// Samples that are decoded at once.
pub(super) const SLICE_SAMPLES: usize = 1_000_000;
/// A slice is at least this long, since chunks are decoded whole.
const SLICE_MS_MIN: i64 = 600_000;

/// What some rules read of a history, and how far back.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Selectors, each once.
    selectors: Vec<Vec<Matcher>>,
    /// A template may ask for anything at any time.
    is_unbounded: bool,
    /// See [`Reads::reach_ms`]; `None` if a rule looks at fixed instants or ahead.
    reach_ms: Option<i64>,
}

impl Demand {
    /// What the rules of all `versions` read.
    pub fn of(versions: &[Version]) -> Demand {
        let mut demand = Demand { reach_ms: Some(0), ..Demand::default() };
        for rule in versions.iter().flat_map(Version::rules) {
            demand.is_unbounded |= asks_in_templates(rule);
            for reads in exprs(rule).map(Reads::of) {
                demand.reach_ms = demand.reach_ms.filter(|_| !reads.wanders).map(|reach| reach.max(reads.reach_ms));
                for selector in reads.selectors {
                    if !demand.selectors.contains(&selector) {
                        demand.selectors.push(selector);
                    }
                }
            }
        }
        demand
    }

    /// Whether a rule may read the series with these labels.
    pub fn wants(&self, labels: &crate::model::Labels) -> bool {
        self.is_unbounded
            || self.selectors.iter().any(|selector| selector.iter().all(|matcher| matcher.matches_labels(labels)))
    }

    /// The names of the metrics that are read, in order; `None` if that may be any.
    pub fn names(&self) -> Option<Vec<Arc<str>>> {
        let name_of = |selector: &Vec<Matcher>| {
            let mut equal =
                selector.iter().filter(|matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal);
            equal.next().map(|matcher| matcher.value.clone())
        };
        let names: BTreeSet<Arc<str>> = self.selectors.iter().map(name_of).collect::<Option<_>>()?;
        (!self.is_unbounded).then(|| names.into_iter().collect())
    }

    /// Whether a rule may read the metric of this name.
    fn finds(&self, name: &str) -> bool {
        self.is_unbounded || self.selectors.iter().any(|selector| may_find(selector, name))
    }

    /// How far back the rules look, with the look-back of instant selectors; `None` is without bound.
    pub fn reach_ms(&self, lookback_ms: i64) -> Option<i64> {
        self.reach_ms.filter(|_| !self.is_unbounded).map(|reach| reach.saturating_add(lookback_ms))
    }
}

/// Names that the rules write, and which of them they read.
pub(super) struct Own {
    written: HashSet<Arc<str>>,
    read: HashSet<Arc<str>>,
}

impl Own {
    pub(super) fn of<'a>(rules: impl Iterator<Item = &'a RuleConfig>, demand: &Demand) -> Own {
        let written: HashSet<Arc<str>> = rules
            .flat_map(|rule| match rule.kind {
                RuleKind::Recording => vec![rule.name.clone()],
                RuleKind::Alerting => written_by(rule).into_iter().map(Arc::from).collect(),
            })
            .collect();
        let read = written.iter().filter(|name| demand.finds(name)).cloned().collect();
        Own { written, read }
    }

    /// Whether anything reads what is recorded under `name`.
    pub(super) fn is_read(&self, name: &str) -> bool {
        self.read.contains(name)
    }
}

/// What is left of a history.
pub(super) struct Feed<'a> {
    history: &'a Store,
    live: &'a Store,
    own: &'a Own,
    /// From here on the rules' own series are theirs.
    own_from: Timestamp,
    slice_ms: i64,
    /// No sample before this is left, but for those of `open`.
    loaded: Timestamp,
    open: Vec<(SeriesRef, std::iter::Peekable<std::vec::IntoIter<Sample>>)>,
    rows: Vec<Row>,
    pub(super) samples: u64,
}

impl<'a> Feed<'a> {
    /// Everything from `from` on.
    pub(super) fn new(
        (history, live): (&'a Store, &'a Store),
        (from, own_from, end): (Timestamp, Timestamp, Timestamp),
        own: &'a Own,
        slice_samples: usize,
    ) -> Self {
        let samples = history.stats().samples.max(1) as f64;
        // As if the samples were spread over the time asked about: a guess that costs memory at most.
        let share = slice_samples as f64 / samples;
        let slice_ms = (end.ms_since(from) as f64 * share) as i64;
        Feed {
            history,
            live,
            own,
            own_from,
            slice_ms: slice_ms.max(SLICE_MS_MIN),
            loaded: from,
            open: Vec::new(),
            rows: Vec::new(),
            samples: 0,
        }
    }

    /// Commits all samples up to and including `until`.
    pub(super) fn until(&mut self, until: Timestamp) {
        loop {
            self.hand_over(until);
            if self.loaded > until {
                return;
            }
            self.load();
        }
    }

    fn hand_over(&mut self, until: Timestamp) {
        self.rows.clear();
        for (series, samples) in &mut self.open {
            while let Some(sample) = samples.next_if(|sample| sample.at <= until) {
                self.rows.push(Row::new(*series, sample.at, sample.value));
            }
        }
        if !self.rows.is_empty() {
            self.samples += self.rows.len() as u64;
            self.live.commit(&self.rows);
        }
    }

    /// The next slice; everything of the one before has been handed over.
    fn load(&mut self) {
        let to = self.loaded.plus_ms(self.slice_ms);
        let slice = self.history.select(&[], self.loaded, to);
        self.open.clear();
        for series in slice {
            let is_own = self.own.written.contains(series.labels.metric_name());
            let mut samples = series.samples;
            if is_own {
                samples.retain(|sample| sample.at < self.own_from);
            }
            if !samples.is_empty() {
                self.open.push((self.live.series_ref(&series.labels), samples.into_iter().peekable()));
            }
        }
        self.loaded = to.plus_ms(1);
    }
}
