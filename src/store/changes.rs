//! What happened in the store, so that prepared selections and remembered results need not look at everything again.
//!
//! In the flow: the head notes here what it does; [`super::Selection::refresh`] reads [`ChangeLog`], and
//! [`super::Reader::is_unchanged`] asks [`Touched`].
//!
//! **Invariants.** Entries have consecutive numbers. What the limits have dropped is never reported as "nothing happened".

use std::collections::VecDeque;

use super::SeriesRef;
use crate::model::{Labels, METRIC_NAME, Timestamp};

/// Entries kept for selections that lag behind; one that lags further selects anew. A quarter of a million entries are 6 MB
/// and a whole turnover of a large store.
const LOG_LEN_MAX: usize = 1 << 18;

/// Entries kept of each [`Touched`]. Only commits since the last evaluation are asked about.
const TOUCHED_LEN_MAX: usize = 16;

/// A series that has been idle this long, measured by the newest sample of the store, is reported when it goes on. Longer than
/// usual scrape intervals, so that living series report nothing.
pub(super) const IDLE_MS: i64 = 15 * 60 * 1000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChangeKind {
    Born,
    /// It had ended or been idle for [`IDLE_MS`], and has a new sample.
    Woken,
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) series: SeriesRef,
    pub(super) name: NameHash,
    pub(super) kind: ChangeKind,
}

/// A number for a metric name. Equal names have equal numbers; different ones may, by chance, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct NameHash(u64);

impl NameHash {
    pub(super) fn of(name: &str) -> Self {
        use std::hash::Hasher;
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(name.as_bytes());
        NameHash(hasher.finish())
    }

    pub(super) fn of_labels(labels: &Labels) -> Self {
        NameHash::of(labels.get(METRIC_NAME).unwrap_or(""))
    }
}

/// The last changes to the set of series.
#[derive(Default)]
pub(super) struct ChangeLog {
    /// The number of the first entry.
    first: u64,
    entries: VecDeque<Change>,
}

impl ChangeLog {
    pub(super) fn push(&mut self, change: Change) {
        if self.entries.len() == LOG_LEN_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(change);
    }

    /// The number of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entries from number `from` on; `None` if some of them are no longer there.
    pub(super) fn since(&self, from: u64) -> Option<impl Iterator<Item = &Change>> {
        let skipped = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.entries.range(skipped.min(self.entries.len())..))
    }
}

/// The oldest time that commits since some epoch wrote to.
///
/// A stack of (epoch, oldest time written in it or later): times increase from front to back, so that the first entry after an
/// epoch holds the answer for it.
#[derive(Default)]
pub(super) struct Touched {
    entries: VecDeque<(u64, Timestamp)>,
    /// Of this epoch and those before nothing is known.
    forgotten: u64,
}

impl Touched {
    /// A sample at `at` was written in `epoch`, which is not older than the last one noted.
    pub(super) fn note(&mut self, epoch: u64, at: Timestamp) {
        if self.entries.back().is_some_and(|(last, oldest)| *last == epoch && *oldest <= at) {
            return;
        }
        while self.entries.back().is_some_and(|(_, oldest)| *oldest >= at) {
            self.entries.pop_back();
        }
        self.entries.push_back((epoch, at));
        if self.entries.len() > TOUCHED_LEN_MAX
            && let Some((epoch, _)) = self.entries.pop_front()
        {
            self.forgotten = epoch;
        }
    }

    /// Whether no epoch after `since` wrote at or before `through`, as far as that is still known.
    pub(super) fn is_unchanged(&self, since: u64, through: Timestamp) -> bool {
        let after = self.entries.iter().find(|(epoch, _)| *epoch > since);
        since >= self.forgotten && after.is_none_or(|(_, oldest)| *oldest > through)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_knows_the_oldest_write_since() {
        let mut touched = Touched::default();
        let at = Timestamp::from_ms;
        for (epoch, ms) in [(1, 10), (2, 30), (3, 20), (5, 40)] {
            touched.note(epoch, at(ms));
        }
        for (since, through_ms, expected) in
            [(0, 9, true), (0, 10, false), (1, 19, true), (1, 20, false), (3, 39, true), (3, 40, false), (5, 99, true)]
        {
            assert_eq!(touched.is_unchanged(since, at(through_ms)), expected, "{since} {through_ms}");
        }
        for epoch in 6..100 {
            touched.note(epoch, at(100 + epoch as i64));
        }
        assert!(!touched.is_unchanged(5, at(1)), "what is forgotten may have changed");
        assert!(touched.is_unchanged(98, at(198)));
    }

    #[test]
    fn a_log_that_overflowed_says_so() {
        let change = Change { series: SeriesRef(1), name: NameHash::of("up"), kind: ChangeKind::Born };
        let mut log = ChangeLog::default();
        (0..LOG_LEN_MAX + 2).for_each(|_| log.push(change));
        assert!(log.since(1).is_none());
        assert_eq!(log.since(2).map(Iterator::count), Some(LOG_LEN_MAX));
        assert_eq!(log.since(log.end()).map(Iterator::count), Some(0));
    }
}
