//! Objectives that are shares of time: each slice judged once, then counted like an event.
//!
//! In the flow: [`super::accounting`] lets the slices that have ended be judged after each feed, and asks for windows of them.
//!
//! **Invariants.** Slice `k` of length `s` is `(ks, (k + 1)s]`, from the epoch in UTC. It counts where it lies entirely inside the window
//! and had events.
//! **Cost.** Two look-ups a slice with events, once, and a third after an idle one, however long the idle time; a window of slices is two look-ups, as one of events is.

use std::time::Duration;

use crate::model::Timestamp;

use super::coverage::Coverage;
use super::curve::{Counts, Curve};
use super::snapshot::{Reader, Writer};
use super::spec::{Budgeting, PartIs};

/// The slices of one group that have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    judged: Option<Judge>,
    /// A point at the end of each slice with events: how good it was, and one more slice.
    curve: Curve,
    /// The end of the last slice looked at.
    through: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Judge {
    slice_ms: i64,
    measure: Measure,
    part_is: PartIs,
}

/// How good a slice is.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Whether its ratio of good events reaches the target.
    Target(f64),
    /// Its ratio itself.
    Ratio,
    /// Whether it had so many events; also slices without events are judged, where they were measured.
    Least(f64),
}

impl Slices {
    /// No slice yet; none ever where events are counted.
    pub(super) fn new(budgeting: Budgeting, part_is: PartIs) -> Self {
        let (slice, measure) = match budgeting {
            Budgeting::Occurrences => return Slices::default(),
            Budgeting::TimeSlices { slice, target_ratio } => (slice, Measure::Target(target_ratio)),
            Budgeting::RatioTimeSlices { slice } => (slice, Measure::Ratio),
            Budgeting::Throughput { slice, least } => (slice, Measure::Least(least)),
        };
        Slices { judged: Some(Judge { slice_ms: ms(slice), measure, part_is }), ..Slices::default() }
    }

    /// Judges the slices that end up to `through` by the events of `events`, and by what was measured where idle slices count.
    pub(super) fn advance(&mut self, events: &Curve, measured: &Coverage, through: Timestamp) {
        let Some(judge) = self.judged else { return };
        let first = || events.first_at().map(|at| judge.floor(at.plus_ms(-1)));
        let Some(mut start) = self.through.or_else(first) else { return };
        if let Measure::Least(least) = judge.measure {
            self.advance_measured(events, measured, (judge, least), through);
            return;
        }
        while start.plus_ms(judge.slice_ms) <= through {
            let end = start.plus_ms(judge.slice_ms);
            let counts = events.counts(start, end, judge.part_is);
            if counts.total > 0.0 {
                self.curve.add(end, judge.good(counts), 1.0);
                start = end;
            } else {
                // Nothing happens before the next event, however far away it is.
                let next = events.next_after(end).unwrap_or(through).min(through);
                start = end.max(judge.floor(next.plus_ms(-1)));
            }
        }
        self.through = Some(start);
    }

    /// Every slice that was covered from end to end counts, from the first event on.
    fn advance_measured(
        &mut self,
        events: &Curve,
        measured: &Coverage,
        (judge, least): (Judge, f64),
        through: Timestamp,
    ) {
        let Some(mut start) = self.through.or_else(|| events.first_at().map(|at| judge.floor(at))) else { return };
        while start.plus_ms(judge.slice_ms) <= through {
            let end = start.plus_ms(judge.slice_ms);
            if measured.covered_ms(start, end) == judge.slice_ms {
                let is_good = events.counts(start, end, judge.part_is).total >= least;
                self.curve.add(end, f64::from(u8::from(is_good)), 1.0);
                start = end;
            } else {
                // Nothing counts before the next covered time, however far away it is.
                let next = measured.next_start(start).unwrap_or(through).min(through);
                start = end.max(judge.floor(next));
            }
        }
        self.through = Some(start);
    }

    /// Forgets the slices that end after `at`: their events are counted again.
    pub(super) fn truncate_after(&mut self, at: Timestamp) {
        let Some(judge) = self.judged else { return };
        self.curve.truncate_after(at);
        self.through = self.through.map(|through| through.min(judge.floor(at)));
    }

    /// Writes the slices that end up to `through`.
    pub(super) fn save(&self, through: Timestamp, out: &mut Writer) {
        let kept = self.judged.and_then(|judge| Some(self.through?.min(judge.floor(through))));
        out.instant(kept);
        self.curve.save(through, out);
    }

    /// Reads what [`Slices::save`] wrote of slices of `budgeting`.
    pub(super) fn load(budgeting: Budgeting, part_is: PartIs, input: &mut Reader<'_>) -> Option<Slices> {
        let (through, curve) = (input.instant()?, Curve::load(input)?);
        Some(Slices { through, curve, ..Slices::new(budgeting, part_is) })
    }

    /// Forgets what no window that begins at or after `at` can see.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        self.curve.drop_before(at);
    }

    /// The slices inside `(start, end]`.
    pub(super) fn counts(&self, start: Timestamp, end: Timestamp) -> Counts {
        let Some(judge) = self.judged else { return Counts::default() };
        // A slice that begins before the window ends after its first boundary there.
        let first = judge.floor(start.plus_ms(judge.slice_ms - 1));
        self.curve.counts(first.min(end), end, PartIs::Good)
    }
}

impl Judge {
    /// The last boundary at or before `at`.
    fn floor(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_ms(at.as_ms().div_euclid(self.slice_ms) * self.slice_ms)
    }

    fn good(&self, counts: Counts) -> f64 {
        let ratio = counts.good / counts.total;
        match self.measure {
            Measure::Target(target_ratio) => f64::from(u8::from(ratio >= target_ratio)),
            Measure::Ratio => ratio,
            Measure::Least(least) => f64::from(u8::from(counts.total >= least)),
        }
    }
}

fn ms(slice: Duration) -> i64 {
    i64::try_from(slice.as_millis()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000)
    }

    /// Events at second 30 of minutes 1, 2, 3 and 5: none, half and a tenth of them bad, then none again.
    fn events() -> Curve {
        let mut curve = Curve::default();
        for (secs, bad) in [(90, 0.0), (150, 5.0), (210, 1.0), (330, 0.0)] {
            curve.add(at(secs), bad, 10.0);
        }
        curve
    }

    fn check(budgeting: Budgeting, (start, end): (i64, i64), good: f64, total: f64) {
        let mut slices = Slices::new(budgeting, PartIs::Bad);
        let events = events();
        for through in [100, 130, 240, 300, 400] {
            slices.advance(&events, &Coverage::default(), at(through));
        }
        // What came late changes nothing that was settled.
        slices.truncate_after(at(200));
        slices.advance(&events, &Coverage::default(), at(400));
        let counts = slices.counts(at(start), at(end));
        assert_eq!((counts.good, counts.total), (good, total), "{budgeting:?} {start}..{end}");
    }

    #[test]
    fn only_whole_slices_with_events_count() {
        let slices = Budgeting::TimeSlices { slice: MINUTE, target_ratio: 0.9 };
        check(slices, (0, 400), 3.0, 4.0);
        check(slices, (60, 180), 1.0, 2.0);
        check(slices, (61, 180), 0.0, 1.0);
        check(slices, (60, 179), 1.0, 1.0);
        check(slices, (61, 179), 0.0, 0.0);
        check(slices, (240, 300), 0.0, 0.0);
        let ratios = Budgeting::RatioTimeSlices { slice: MINUTE };
        check(ratios, (0, 240), 2.4, 3.0);
        check(Budgeting::Occurrences, (0, 400), 0.0, 0.0);
    }

    #[test]
    fn a_measured_slice_without_enough_events_is_bad() {
        let mut measured = Coverage::default();
        measured.add(at(0), at(310));
        measured.add(at(3_600), at(3_700));
        let mut slices = Slices::new(Budgeting::Throughput { slice: MINUTE, least: 10.0 }, PartIs::Bad);
        slices.advance(&events(), &measured, at(4_000));
        // Minutes 1, 2 and 3 had ten events, 4 none; from minute 5 on nothing is measured but the minute after an hour.
        let counts = slices.counts(at(0), at(4_000));
        assert_eq!((counts.good, counts.total), (3.0, 5.0));
    }

    #[test]
    fn idle_time_costs_nothing() {
        let mut events = Curve::default();
        let far = i64::MAX / 4_000;
        for secs in [-far, -30, 30, far] {
            events.add(at(secs), 0.0, 1.0);
        }
        let mut slices = Slices::new(Budgeting::RatioTimeSlices { slice: MINUTE }, PartIs::Bad);
        slices.advance(&events, &Coverage::default(), at(far + 60));
        assert_eq!(slices.counts(at(-far - 120), at(far + 120)).total, 4.0);
        assert_eq!(slices.counts(at(-60), at(60)).total, 2.0);
    }
}
