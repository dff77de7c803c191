//! Since when a sample has been counted: OpenMetrics' `_created`, OTLP's start time.
//!
//! In the flow: scrapes, remote writes and test scripts bring them, the store keeps them beside the samples, and `rate`,
//! `increase`, `irate`, `resets` and `start_timestamp()` read them where `use-start-timestamps` is on.
//! **Invariant.** The epoch means "not known", in Prometheus as here, so that an absent one takes no space of its own.
//! **Cost.** A series without start times carries an empty column: no allocation.
//! **Source.** Prometheus 3.14 `promql/functions.go`, `isStartTimestampReset`, `checkStartTimeOverlap`.

use std::num::NonZeroI64;

use super::Timestamp;

/// The instant at which the count in a sample was zero, in milliseconds since the epoch, which itself is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StartTime(NonZeroI64);

impl StartTime {
    /// `None` for the epoch.
    pub const fn new(at: Timestamp) -> Option<Self> {
        match NonZeroI64::new(at.as_ms()) {
            Some(ms) => Some(StartTime(ms)),
            None => None,
        }
    }

    /// When.
    pub const fn at(self) -> Timestamp {
        Timestamp::from_ms(self.0.get())
    }
}

/// The start times of a series' samples, by position; shorter than the samples where the last ones have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartTimes(Vec<Option<StartTime>>);

impl StartTimes {
    /// No sample has one.
    pub const NONE: StartTimes = StartTimes(Vec::new());

    /// Whether no sample has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That of the sample at `index`.
    pub fn get(&self, index: usize) -> Option<StartTime> {
        self.0.get(index).copied().flatten()
    }

    /// Notes that of the sample at `index`. The indices of successive calls rise.
    pub fn put(&mut self, index: usize, start: Option<StartTime>) {
        debug_assert!(index >= self.0.len(), "BUG: start times are noted in order");
        if start.is_some() {
            self.0.resize(index, None);
            self.0.push(start);
        }
    }

    /// Those of the samples `first..past`, as far as there are any.
    pub fn range(&self, first: usize, past: usize) -> &[Option<StartTime>] {
        let past = past.min(self.0.len());
        &self.0[first.min(past)..past]
    }

    /// Those of the samples that `is_kept` names by position, which move up.
    pub fn retain(&mut self, mut is_kept: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.0.retain(|_| {
            index += 1;
            is_kept(index - 1)
        });
    }

    /// Forgets them, without giving back the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<Option<StartTime>>()
    }
}

impl FromIterator<Option<StartTime>> for StartTimes {
    fn from_iter<I: IntoIterator<Item = Option<StartTime>>>(starts: I) -> Self {
        let mut times = StartTimes::default();
        starts.into_iter().enumerate().for_each(|(index, start)| times.put(index, start));
        times
    }
}

/// When a sample was taken, and since when it has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Since when, where that is known.
    pub start: Option<StartTime>,
    /// Until when: the sample's own time.
    pub at: Timestamp,
}

impl Counted {
    /// Whether the counter began anew between `earlier` and this sample.
    ///
    /// A start at the earlier sample's own time is that of a delta; or of a counter whose start nobody knows, which says the
    /// same of each sample: there the earlier sample's start is absent, its own time, or later.
    pub fn is_reset_after(&self, earlier: Counted) -> bool {
        let Some(start) = self.start.map(StartTime::at).filter(|start| *start < self.at) else { return false };
        start > earlier.at
            || start == earlier.at && earlier.start.is_some_and(|earlier_start| earlier_start.at() < earlier.at)
    }

    /// Whether this sample claims time that `earlier` has counted, without being its continuation.
    pub fn overlaps(&self, earlier: Counted) -> bool {
        self.start != earlier.start && self.start.is_some_and(|start| start.at() < earlier.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(ms: i64) -> Option<StartTime> {
        StartTime::new(Timestamp::from_ms(ms))
    }

    #[test]
    fn resets_and_overlaps() {
        let check = |earlier: (i64, i64), later: (i64, i64), expected: (bool, bool)| {
            let [a, b] = [earlier, later].map(|(ms, at)| Counted { start: start(ms), at: Timestamp::from_ms(at) });
            assert_eq!((b.is_reset_after(a), b.overlaps(a)), expected, "{earlier:?} {later:?}");
        };
        check((0, 60), (0, 120), (false, false));
        check((5, 60), (5, 120), (false, false));
        check((5, 60), (90, 120), (true, false));
        // A delta, then three ways not to know when a counter began.
        check((5, 60), (60, 120), (true, false));
        check((0, 60), (60, 120), (false, false));
        check((60, 60), (60, 120), (false, false));
        check((70, 60), (60, 120), (false, false));
        check((5, 60), (120, 120), (false, false));
        check((5, 60), (130, 120), (false, false));
        check((5, 60), (10, 120), (false, true));
        check((0, 60), (10, 120), (false, true));
    }

    #[test]
    fn a_column_costs_nothing_until_a_start_time_comes() {
        assert_eq!(size_of::<Option<StartTime>>(), 8);
        let mut times: StartTimes = [None, None].into_iter().collect();
        assert!(times.is_empty() && times.range(0, 2).is_empty());
        times.put(2, start(7));
        assert_eq!((times.get(0), times.get(2), times.get(9)), (None, start(7), None));
        assert_eq!(times.range(1, 9), [None, start(7)]);
        times.retain(|index| index > 0);
        assert_eq!(times.range(0, 9), [None, start(7)]);
    }
}
