//! The counters of one group over time: `C(t)` as points, and the time that was covered.
//!
//! In the flow: [`super::accounting`] appends; [`super::figures`] asks for windows. A window `(t - w, t]` is `C(t) - C(t - w)`, each
//! read as "the value at or before".
//!
//! **Invariants.** Points strictly increase in time. Covered spans are disjoint, do not touch and increase.
//! **Cost.** A look-up is a binary search over the points kept: O(log n), whatever the window's length. 24 bytes a point; one point for
//! each scrape that changed the counts, so 30 days of one target scraped every 15 s are 4 MiB. Spans cost 16 bytes a gap in scraping.

use std::collections::VecDeque;

use crate::model::Timestamp;

/// Event counts since the beginning of the curve.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Events of the indicator's partial counter.
    pub(super) part: f64,
    /// All events.
    pub(super) total: f64,
}

/// `C(t)`: a step function that never falls.
#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    points: VecDeque<(Timestamp, Totals)>,
}

impl Curve {
    /// Adds events at `at`, which is not before the last point. Nothing added makes no point.
    pub(super) fn add(&mut self, at: Timestamp, part: f64, total: f64) {
        if part == 0.0 && total == 0.0 {
            return;
        }
        let last = self.points.back().copied();
        let before = last.map_or(Totals::default(), |(_, totals)| totals);
        let after = Totals { part: before.part + part, total: before.total + total };
        match self.points.back_mut() {
            Some((last_at, totals)) if *last_at == at => *totals = after,
            last => {
                assert!(last.is_none_or(|(last_at, _)| *last_at < at), "BUG: events must be fed in order of time");
                self.points.push_back((at, after));
            }
        }
    }

    /// The value at or before `at`; nothing before the first point.
    pub(super) fn at(&self, at: Timestamp) -> Totals {
        let after = self.points.partition_point(|(point_at, _)| *point_at <= at);
        after.checked_sub(1).map_or(Totals::default(), |index| self.points[index].1)
    }

    /// Removes the points after `at`.
    pub(super) fn truncate_after(&mut self, at: Timestamp) {
        self.points.truncate(self.points.partition_point(|(point_at, _)| *point_at <= at));
    }

    /// Forgets what no look-up at or after `at` can see: all points before the last one at or before it.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        let after = self.points.partition_point(|(point_at, _)| *point_at <= at);
        self.points.drain(..after.saturating_sub(1));
    }

    /// How many points are kept.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// The instant of the last point.
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.points.back().map(|(at, _)| *at)
    }
}

/// Spans of time in which something was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Coverage {
    spans: VecDeque<(Timestamp, Timestamp)>,
}

impl Coverage {
    /// Adds the span from `start` to `end`, joining those that it touches. Cheap at the end of what is there.
    pub(super) fn add(&mut self, start: Timestamp, end: Timestamp) {
        let first = self.spans.partition_point(|(_, span_end)| *span_end < start);
        let mut joined = (start, end);
        let mut past = first;
        while let Some((span_start, span_end)) = self.spans.get(past).filter(|(span_start, _)| *span_start <= end) {
            joined = (joined.0.min(*span_start), joined.1.max(*span_end));
            past += 1;
        }
        if past == first + 1 {
            self.spans[first] = joined;
        } else {
            self.spans.drain(first..past);
            self.spans.insert(first, joined);
        }
    }

    /// Adds all spans of `other`.
    pub(super) fn merge(&mut self, other: &Coverage) {
        other.spans.iter().for_each(|(start, end)| self.add(*start, *end));
    }

    /// How many milliseconds of `start..end` are covered.
    pub(super) fn covered_ms(&self, start: Timestamp, end: Timestamp) -> i64 {
        let first = self.spans.partition_point(|(_, span_end)| *span_end <= start);
        self.spans
            .range(first..)
            .take_while(|(span_start, _)| *span_start < end)
            .map(|(span_start, span_end)| (*span_end).min(end).ms_since((*span_start).max(start)))
            .sum()
    }

    /// The end of the last span.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.spans.back().map(|(_, end)| *end)
    }

    /// Forgets the spans that end before `at`.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        let past = self.spans.partition_point(|(_, end)| *end < at);
        self.spans.drain(..past);
    }

    /// Whether nothing is covered.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000)
    }

    #[test]
    fn a_curve_answers_at_or_before() {
        let mut curve = Curve::default();
        for (secs, part, total) in [(10, 0.0, 5.0), (20, 1.0, 5.0), (20, 0.0, 1.0), (30, 0.0, 0.0), (40, 2.0, 2.0)] {
            curve.add(at(secs), part, total);
        }
        let totals = |curve: &Curve, secs| (curve.at(at(secs)).part, curve.at(at(secs)).total);
        assert_eq!(curve.len(), 3);
        assert_eq!([9, 10, 19, 20, 39, 40].map(|secs| totals(&curve, secs).1), [0.0, 5.0, 5.0, 11.0, 11.0, 13.0]);
        curve.drop_before(at(25));
        assert_eq!((curve.len(), totals(&curve, 25)), (2, (1.0, 11.0)), "one point before is kept");
        curve.truncate_after(at(39));
        assert_eq!(totals(&curve, 99), (1.0, 11.0));
    }

    #[test]
    fn coverage_joins_and_measures() {
        let mut coverage = Coverage::default();
        for (start, end) in [(0, 5), (10, 15), (3, 8), (20, 25), (8, 10), (30, 31)] {
            coverage.add(at(start), at(end));
        }
        assert_eq!(coverage.spans, [(at(0), at(15)), (at(20), at(25)), (at(30), at(31))]);
        for (start, end, secs) in [(0, 40, 21), (-5, 3, 3), (14, 22, 3), (15, 20, 0), (31, 99, 0)] {
            assert_eq!(coverage.covered_ms(at(start), at(end)), secs * 1000, "{start}..{end}");
        }
        coverage.add(at(1), at(29));
        assert_eq!(coverage.spans, [(at(0), at(29)), (at(30), at(31))]);
    }
}
