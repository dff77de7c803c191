//! When every target of a group was down at once.
//!
//! In the flow: [`super::accounting`] notes it scrape by scrape; [`super::figures`] asks, so that a total outage pages as soon as a hundred
//! percent of errors would have.
//!
//! **Invariants.** Outages do not overlap and increase in time.

use std::collections::VecDeque;

use crate::model::Timestamp;

/// The outages of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages(VecDeque<Outage>);

#[derive(Clone, Copy, Debug)]
struct Outage {
    /// The last success before.
    since: Timestamp,
    /// When the last target had failed.
    seen_at: Timestamp,
    /// The first success after.
    end: Option<Timestamp>,
}

impl Outages {
    /// Whether no outage lasts.
    pub(super) fn is_over(&self) -> bool {
        self.0.back().is_none_or(|last| last.end.is_some())
    }

    /// All targets have failed at `seen_at`; one had succeeded at `since`.
    pub(super) fn begin(&mut self, since: Timestamp, seen_at: Timestamp) {
        self.0.push_back(Outage { since, seen_at, end: None });
    }

    /// A target has succeeded.
    pub(super) fn end(&mut self, at: Timestamp) {
        if let Some(last) = self.0.back_mut().filter(|last| last.end.is_none()) {
            last.end = Some(at);
        }
    }

    /// The last success before the outage that lasts at `at`.
    pub(super) fn at(&self, at: Timestamp) -> Option<Timestamp> {
        let known = self.0.iter().rfind(|outage| outage.seen_at <= at)?;
        known.end.is_none_or(|end| end > at).then_some(known.since)
    }

    /// Forgets what was noted after `at`.
    pub(super) fn truncate_after(&mut self, at: Timestamp) {
        self.0.retain(|outage| outage.seen_at <= at);
        if let Some(last) = self.0.back_mut() {
            last.end = last.end.filter(|end| *end <= at);
        }
    }

    /// Forgets what was over before `at`.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        self.0.retain(|outage| outage.end.is_none_or(|end| end >= at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_when_it_is_seen_to_the_first_success() {
        let at = Timestamp::from_ms;
        let mut outages = Outages::default();
        outages.begin(at(10), at(30));
        outages.end(at(50));
        outages.end(at(60));
        outages.begin(at(70), at(90));
        let seen = [29, 30, 49, 50, 89, 90, 1000].map(|ms| outages.at(at(ms)).map(Timestamp::as_ms));
        assert_eq!(seen, [None, Some(10), Some(10), None, None, Some(70), Some(70)]);
        outages.truncate_after(at(49));
        assert_eq!(outages.at(at(99)), Some(at(10)), "its end is taken back");
        outages.end(at(55));
        outages.drop_before(at(56));
        assert_eq!(outages.at(at(40)), None);
    }
}
