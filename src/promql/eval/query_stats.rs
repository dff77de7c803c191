//! What a query has read and held: `stats=` of the HTTP API.
//!
//! **Source.** Prometheus 3.5 `util/stats/query_stats.go`, and `promql/engine.go` for where it counts: a window counts whole at
//! each step although steps share samples, a subquery's windows count instead of what the subquery read, a histogram counts as
//! many floats as it is large.

use crate::model::Timestamp;

/// Samples that a query has read and held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples that selectors and windows gave, over all steps.
    pub total_samples: u64,
    /// The most samples held at a time, which `--query.max-samples` bounds.
    pub peak_samples: usize,
    /// [`QueryStats::total_samples`] by step.
    pub by_step: Vec<(Timestamp, u64)>,
}

impl QueryStats {
    /// Nothing yet, with a place for each of `steps`.
    pub(super) fn of_steps(steps: impl Iterator<Item = Timestamp>) -> Self {
        QueryStats { by_step: steps.map(|step| (step, 0)).collect(), ..QueryStats::default() }
    }

    /// Notes `samples` read for the step at `index`. What is evaluated on another grid than the query's has no steps.
    pub(super) fn read(&mut self, index: usize, samples: usize) {
        self.total_samples += samples as u64;
        if let Some((_, count)) = self.by_step.get_mut(index) {
            *count += samples as u64;
        }
    }

    pub(super) fn hold(&mut self, samples: usize) {
        self.peak_samples = self.peak_samples.max(samples);
    }
}
