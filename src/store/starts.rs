//! Since when the samples of a series have counted, as a list of changes in time.
//!
//! In the flow: a series notes the start time of each sample that has one; a select lays them beside its samples. A counter's
//! start changes when its process restarts, so the list is as long as the process has had lives, whatever the number of samples.
//!
//! **Invariants.** Times strictly increase; the first entry has a start time; no two neighbours say the same.
//! **Cost.** Nothing for a series without start times; [`CHANGE_BYTES`] a change. A delta series changes at each sample.

use crate::model::{Sample, StartTime, StartTimes, Timestamp};

/// What one change takes.
pub(super) const CHANGE_BYTES: u64 = size_of::<Change>() as u64;

/// From this sample on until the next change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    from: Timestamp,
    start: Option<StartTime>,
}

impl Change {
    /// The time of the first sample, and its start time.
    pub(super) fn into_parts(self) -> (Timestamp, Option<StartTime>) {
        (self.from, self.start)
    }
}

/// The start times of a series.
#[derive(Debug, Default)]
pub(super) struct StartChanges(Vec<Change>);

impl StartChanges {
    /// Notes that of the sample at `at`, which is the newest. Returns how many bytes that took.
    pub(super) fn note(&mut self, at: Timestamp, start: Option<StartTime>) -> u64 {
        if self.0.last().and_then(|change| change.start) == start {
            return 0;
        }
        self.0.push(Change { from: at, start });
        CHANGE_BYTES
    }

    /// Drops what only samples before `before` need. Returns how many bytes that gave back.
    pub(super) fn truncate(&mut self, before: Timestamp) -> u64 {
        let past = self.0.partition_point(|change| change.from <= before);
        let mut gone = past.saturating_sub(1);
        gone += usize::from(self.0.get(gone).is_some_and(|change| change.start.is_none()));
        self.0.drain(..gone);
        gone as u64 * CHANGE_BYTES
    }

    /// Forgets the changes at and after `from`. Returns how many bytes that gave back.
    pub(super) fn cut(&mut self, from: Timestamp) -> u64 {
        let kept = self.0.partition_point(|change| change.from < from);
        (self.0.drain(kept..).len() as u64) * CHANGE_BYTES
    }

    /// The start time of the sample at `at`.
    pub(super) fn at(&self, at: Timestamp) -> Option<StartTime> {
        let past = self.0.partition_point(|change| change.from <= at);
        past.checked_sub(1).and_then(|index| self.0[index].start)
    }

    /// The changes that samples in `start..=end` need.
    pub(super) fn take(&self, start: Timestamp, end: Timestamp) -> Vec<Change> {
        let from = self.0.partition_point(|change| change.from <= start).saturating_sub(1);
        let to = self.0.partition_point(|change| change.from <= end).max(from);
        self.0[from..to].to_vec()
    }

    /// Bytes of all changes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * CHANGE_BYTES
    }
}

/// The start time of each of `samples`, for whose range `changes` were taken.
pub(super) fn beside(samples: &[Sample], changes: &[Change]) -> StartTimes {
    if changes.is_empty() {
        return StartTimes::NONE;
    }
    let mut past = 0;
    let start_of = |sample: &Sample| {
        while changes.get(past).is_some_and(|change| change.from <= sample.at) {
            past += 1;
        }
        past.checked_sub(1).and_then(|index| changes[index].start)
    };
    samples.iter().map(start_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn notes_changes_alone_and_gives_each_sample_its_own() {
        let mut changes = StartChanges::default();
        let starts = [0, 0, 5, 5, 5, 42, 0, 0, 61];
        let taken: u64 =
            (0..).zip(starts).map(|(index, ms)| changes.note(at(index * 10), StartTime::new(at(ms)))).sum();
        assert_eq!((taken, changes.bytes()), (4 * CHANGE_BYTES, 4 * CHANGE_BYTES));
        let check = |changes: &StartChanges, from: i64, to: i64, expected: &[i64]| {
            let samples: Vec<Sample> = (from..=to).map(|index| Sample::float(at(index * 10), 1.0)).collect();
            let beside = beside(&samples, &changes.take(at(from * 10), at(to * 10)));
            let found: Vec<i64> =
                (0..samples.len()).map(|index| beside.get(index).map_or(0, |start| start.at().as_ms())).collect();
            assert_eq!(found, expected, "{from}..={to}");
        };
        check(&changes, 0, 8, &starts);
        check(&changes, 3, 5, &[5, 5, 42]);
        check(&changes, 0, 1, &[0, 0]);
        check(&changes, 6, 7, &[0, 0]);
        assert_eq!(changes.truncate(at(35)), 0);
        check(&changes, 4, 8, &[5, 42, 0, 0, 61]);
        // What stands at the cut has no start time, so nothing before it is needed either.
        assert_eq!(changes.truncate(at(65)), 3 * CHANGE_BYTES);
        check(&changes, 7, 8, &[0, 61]);
    }
}
