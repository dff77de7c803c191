//! The last evaluations of a rule, for people who wonder what it does.
//!
//! **Limits.** [`OUTCOMES_KEPT`] evaluations a rule, about 1 KiB.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

/// Evaluations that are remembered of each rule; vmalert's default.
pub const OUTCOMES_KEPT: usize = 20;

/// One evaluation of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleOutcome {
    /// Its slot.
    pub slot: Timestamp,
    /// How long it took; zero unless the driver measures it.
    pub duration: Duration,
    /// Series with data that the expression read. One that several parts read counts for each; of a part that several rules share,
    /// the series that it gave.
    pub series_in: u64,
    /// Elements of the result.
    pub series_out: u64,
    /// Why it failed.
    pub error: Option<Arc<str>>,
}

/// The newest [`OUTCOMES_KEPT`] evaluations. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct RuleOutcomes(Arc<Mutex<VecDeque<RuleOutcome>>>);

impl RuleOutcomes {
    pub(super) fn push(&self, outcome: RuleOutcome) {
        let mut outcomes = self.0.lock();
        if outcomes.len() == OUTCOMES_KEPT {
            outcomes.pop_front();
        }
        outcomes.push_back(outcome);
    }

    /// The oldest first.
    pub fn to_vec(&self) -> Vec<RuleOutcome> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let outcomes = RuleOutcomes::default();
        for slot in 0..100 {
            let slot = Timestamp::from_ms(slot);
            outcomes.push(RuleOutcome { slot, duration: Duration::ZERO, series_in: 0, series_out: 0, error: None });
        }
        let slots: Vec<i64> = outcomes.to_vec().iter().map(|outcome| outcome.slot.as_ms()).collect();
        assert_eq!(slots, (80..100).collect::<Vec<i64>>());
    }
}
