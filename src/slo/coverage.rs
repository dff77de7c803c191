//! The time that was covered by scrapes, as spans.
//!
//! In the flow: [`super::fold`] and [`super::accounting`] add a span per scrape; [`super::figures`] asks how much of a window is covered.
//!
//! **Invariants.** Spans are disjoint, do not touch, and increase.
//! **Cost.** Adding at the end is O(log n); a window is a binary search and a walk over the gaps in it. 16 bytes a gap in scraping.

use std::collections::VecDeque;

use crate::model::Timestamp;

use super::snapshot::{Reader, Writer};

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

    /// The parts of `start..end` that are not covered, in order.
    pub(super) fn gaps(&self, start: Timestamp, end: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let first = self.spans.partition_point(|(_, span_end)| *span_end <= start);
        let (mut gaps, mut seen) = (Vec::new(), start);
        for (span_start, span_end) in self.spans.range(first..).take_while(|(span_start, _)| *span_start < end) {
            if *span_start > seen {
                gaps.push((seen, *span_start));
            }
            seen = *span_end;
        }
        if seen < end {
            gaps.push((seen, end));
        }
        gaps
    }

    /// The start of the first span.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.spans.front().map(|(start, _)| *start)
    }

    /// The start of the first span that begins after `at`.
    pub(super) fn next_start(&self, at: Timestamp) -> Option<Timestamp> {
        self.spans.get(self.spans.partition_point(|(start, _)| *start <= at)).map(|(start, _)| *start)
    }

    /// Whether `at` is covered; the end of a span is not.
    pub(super) fn covers(&self, at: Timestamp) -> bool {
        let past = self.spans.partition_point(|(start, _)| *start <= at);
        past.checked_sub(1).is_some_and(|index| at < self.spans[index].1)
    }

    /// The end of the last span.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.spans.back().map(|(_, end)| *end)
    }

    /// The start of the last event at or before `at` whose span of `covers_ms` was added; within joined spans, `at` itself at the latest.
    pub(super) fn last_before(&self, at: Timestamp, covers_ms: i64) -> Option<Timestamp> {
        let past = self.spans.partition_point(|(start, _)| *start <= at);
        let (_, end) = self.spans.get(past.checked_sub(1)?)?;
        Some(end.plus_ms(-covers_ms).min(at))
    }

    /// Forgets the spans that end before `at`.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        let past = self.spans.partition_point(|(_, end)| *end < at);
        self.spans.drain(..past);
    }

    /// Writes the spans.
    pub(super) fn save(&self, out: &mut Writer) {
        out.unsigned(self.spans.len() as u64);
        for (start, end) in &self.spans {
            out.signed(start.as_ms());
            out.signed(end.as_ms());
        }
    }

    /// Reads what [`Coverage::save`] wrote.
    pub(super) fn load(input: &mut Reader<'_>) -> Option<Coverage> {
        let mut coverage = Coverage::default();
        for _ in 0..input.count()? {
            let (start, end) = (Timestamp::from_ms(input.signed()?), Timestamp::from_ms(input.signed()?));
            coverage.add(start, end);
        }
        Some(coverage)
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
    fn coverage_joins_and_measures() {
        let mut coverage = Coverage::default();
        for (start, end) in [(0, 5), (10, 15), (3, 8), (20, 25), (8, 10), (30, 31)] {
            coverage.add(at(start), at(end));
        }
        assert_eq!(coverage.spans, [(at(0), at(15)), (at(20), at(25)), (at(30), at(31))]);
        for (start, end, secs) in [(0, 40, 21), (-5, 3, 3), (14, 22, 3), (15, 20, 0), (31, 99, 0)] {
            assert_eq!(coverage.covered_ms(at(start), at(end)), secs * 1000, "{start}..{end}");
        }
        for (start, end, gaps) in
            [(0, 40, &[(15, 20), (25, 30), (31, 40)][..]), (-5, 16, &[(-5, 0), (15, 16)]), (21, 24, &[])]
        {
            let gaps: Vec<_> = gaps.iter().map(|(start, end)| (at(*start), at(*end))).collect();
            assert_eq!(coverage.gaps(at(start), at(end)), gaps, "{start}..{end}");
        }
        coverage.add(at(1), at(29));
        assert_eq!(coverage.spans, [(at(0), at(29)), (at(30), at(31))]);
    }
}
