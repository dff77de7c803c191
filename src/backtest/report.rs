//! All that there is to tell, for the three forms of telling it.

use std::time::Duration;

use crate::model::Timestamp;
use crate::rules::RuleKind;

use super::{Comparison, Figures, Overlaps, Replay, Settings};

/// One or two versions over the same time.
#[derive(Clone, Debug)]
pub struct Report {
    /// The first instant that counts.
    pub start: Timestamp,
    /// The last one.
    pub end: Timestamp,
    /// The distance of slots, where it is the same for all groups.
    pub step: Option<Duration>,
    /// The version asked about, then the one that it is compared with.
    pub versions: Vec<Told>,
    /// The second version is the one before.
    pub comparison: Option<Comparison>,
}

/// A version with its figures.
#[derive(Clone, Debug)]
pub struct Told {
    /// What came out.
    pub replay: Replay,
    /// Of each rule.
    pub figures: Vec<Figures>,
    /// What fired at once.
    pub overlaps: Overlaps,
}

impl Report {
    /// About `replay`, compared with `before`.
    pub fn new(settings: &Settings, replay: Replay, before: Option<Replay>) -> Report {
        let range = (settings.start, settings.end);
        let comparison = before.as_ref().map(|before| Comparison::of(before, &replay, range));
        let told = |replay: Replay| {
            let figures = replay.rules.iter().map(|rule| Figures::of(rule, range)).collect();
            let overlaps = Overlaps::of(&replay, range);
            Told { replay, figures, overlaps }
        };
        let versions = std::iter::once(replay).chain(before).map(told).collect();
        Report { start: settings.start, end: settings.end, step: settings.step, versions, comparison }
    }
}

impl Told {
    /// The alerting rules that were pending or fired, those that fired longest first.
    pub fn active(&self) -> Vec<usize> {
        let mut active: Vec<usize> =
            self.alerts().filter(|index| !self.replay.rules[*index].episodes.is_empty()).collect();
        let rank = |index: &usize| {
            let figures = &self.figures[*index];
            std::cmp::Reverse((figures.firing_for, figures.fired, figures.only_pending))
        };
        active.sort_by_key(rank);
        active
    }

    /// The alerting rules whose condition never held.
    pub fn quiet(&self) -> Vec<usize> {
        self.alerts().filter(|index| self.replay.rules[*index].episodes.is_empty()).collect()
    }

    /// The rules that failed at some slot.
    pub fn failed(&self) -> Vec<usize> {
        (0..self.replay.rules.len()).filter(|index| self.replay.rules[*index].failures.count > 0).collect()
    }

    fn alerts(&self) -> impl Iterator<Item = usize> {
        (0..self.replay.rules.len()).filter(|index| self.replay.rules[*index].kind == RuleKind::Alerting)
    }
}
