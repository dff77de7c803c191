//! What happened in the store, so that prepared selections and remembered results need not look at everything again.
//!
//! In the flow: the head notes here what it does; [`super::Selection::refresh`] reads [`ChangeLog`], and
//! [`super::Reader::is_unchanged`] asks [`Touched`].
//!
//! **Invariants.** Entries have consecutive numbers. What the limits have dropped is never reported as "nothing happened".

use std::collections::VecDeque;

use super::SeriesRef;
use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher, Timestamp};

/// Entries kept for selections that lag behind; one that lags further selects anew. A quarter of a million entries are 8 MB
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
    pub(super) pairs: PairBits,
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

/// Two bits for each pair of name and value, so that most of the selections that a changed series does not concern need not look at its
/// labels: of a thousand rules over services, nine hundred and ninety ask for another service.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct PairBits(u64);

impl PairBits {
    /// Of a series.
    pub(super) fn of_labels(labels: &Labels) -> Self {
        labels.iter().fold(PairBits::default(), |bits, label| bits.with(&label.name, &label.value))
    }

    /// Of what each series that passes `matchers` must have.
    pub(super) fn of_matchers(matchers: &[Matcher]) -> Self {
        let needed = matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty());
        needed.fold(PairBits::default(), |bits, matcher| bits.with(&matcher.name, &matcher.value))
    }

    /// Whether a series with these bits may have all that `needed` stands for.
    pub(super) fn may_have(self, needed: PairBits) -> bool {
        self.0 & needed.0 == needed.0
    }

    fn with(self, name: &str, value: &str) -> Self {
        use std::hash::Hasher;
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(name.as_bytes());
        hasher.write_u8(0);
        hasher.write(value.as_bytes());
        let hash = hasher.finish();
        PairBits(self.0 | 1 << (hash >> 58) | 1 << (hash >> 52 & 63))
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
    fn bits_of_pairs_rule_out_most_others_and_never_the_right_one() {
        let series = |service: usize| {
            let pairs =
                [("__name__", "up".to_owned()), ("job", "api".to_owned()), ("service", format!("svc{service}"))];
            PairBits::of_labels(&Labels::from_pairs(pairs))
        };
        let asks = |service: usize| {
            let absent = Matcher::equal("absent", "");
            PairBits::of_matchers(&[Matcher::equal("service", format!("svc{service}")), absent])
        };
        assert!((0..100).all(|service| series(service).may_have(asks(service))));
        let mistaken = (0..10_000).filter(|both| series(both / 100).may_have(asks(both % 100))).count();
        assert!(mistaken < 100 + 400, "{mistaken}");
    }

    #[test]
    fn a_log_that_overflowed_says_so() {
        let (series, name) = (SeriesRef(1), NameHash::of("up"));
        let change = Change { series, name, pairs: PairBits::default(), kind: ChangeKind::Born };
        let mut log = ChangeLog::default();
        (0..LOG_LEN_MAX + 2).for_each(|_| log.push(change));
        assert!(log.since(1).is_none());
        assert_eq!(log.since(2).map(Iterator::count), Some(LOG_LEN_MAX));
        assert_eq!(log.since(log.end()).map(Iterator::count), Some(0));
    }
}
