//! Bounds on what a store takes in, and what is refused at them.
//!
//! In the flow: scrapes and remote writes ask [`Store::admit`](super::Store::admit) for a handle; what rules and objectives record is never refused.
//! A driver calls [`Store::relieve`](super::Store::relieve) now and then.
//!
//! **Invariants.** Series that are there go on: only new ones are refused. When memory is short, what nothing reads goes first: its
//! history, then the series themselves; new ones that nothing reads are refused at the limit, those that rules read an eighth above it.
//! Those that objectives read have a quarter more of each limit to themselves: a flood elsewhere does not make an objective blind, and a
//! flood of its own does not end the process.
//! **Limits.** [`JOBS_MAX`] jobs whose refusals are counted by name.
//! **Units.** Bytes as [`super::Memory`] counts them; the process holds more (bodies, caches, plans).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::demand::Rank;

/// Jobs whose refusals are counted by name; those of further ones are counted together, under the empty name.
pub const JOBS_MAX: usize = 1000;

/// Bounds on what a store takes in. `u64::MAX` is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of samples, summaries and index.
    pub memory_bytes: u64,
    /// Series in all.
    pub series: u64,
    /// Series with the same value of the label `job`.
    pub series_per_job: u64,
}

impl Limits {
    /// No bound at all.
    pub const NONE: Limits = Limits { memory_bytes: u64::MAX, series: u64::MAX, series_per_job: u64::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::NONE
    }
}

/// Why a new series is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Denial {
    /// Nothing reads it, and only what is read is taken in.
    Unread,
    /// There are as many series as there may be.
    Series,
    /// Of its job there are.
    Job,
    /// Memory is short.
    Memory,
}

impl Denial {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Denial::Unread => "unread",
            Denial::Series => "series_limit",
            Denial::Job => "job_limit",
            Denial::Memory => "memory_limit",
        }
    }

    /// The setting that says how much is too much.
    pub fn setting(self) -> &'static str {
        match self {
            Denial::Unread => "storage.mode",
            Denial::Series => "storage.series-limit",
            Denial::Job => "storage.series-limit-per-job",
            Denial::Memory => "storage.memory-limit",
        }
    }
}

/// How many series there are, and how much they take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fill {
    pub(super) memory_bytes: u64,
    pub(super) series: u64,
    /// Of the job of the new one.
    pub(super) of_job: u64,
}

impl Limits {
    /// Why a new series of this rank is not taken in.
    pub(super) fn denial(&self, rank: Rank, fill: Fill) -> Option<Denial> {
        let reserve = |limit: u64, part: Option<u64>| limit.saturating_add(part.map_or(0, |part| limit / part));
        let (memory_part, count_part) = match rank {
            Rank::Unread => (None, None),
            Rank::Rule => (Some(8), None),
            Rank::Slo => (Some(4), Some(4)),
        };
        if fill.of_job >= reserve(self.series_per_job, count_part) {
            Some(Denial::Job)
        } else if fill.series >= reserve(self.series, count_part) {
            Some(Denial::Series)
        } else if fill.memory_bytes >= reserve(self.memory_bytes, memory_part) {
            Some(Denial::Memory)
        } else {
            None
        }
    }
}

/// What was refused, by job.
#[derive(Debug, Default)]
pub(super) struct Denials(BTreeMap<(Arc<str>, Denial), u64>);

impl Denials {
    pub(super) fn note(&mut self, job: &str, denial: Denial) {
        let is_new = !self.0.contains_key(&(Arc::from(job), denial));
        let job = if is_new && self.0.len() >= JOBS_MAX { "" } else { job };
        *self.0.entry((Arc::from(job), denial)).or_default() += 1;
    }

    pub(super) fn all(&self) -> Vec<(Arc<str>, Denial, u64)> {
        self.0.iter().map(|((job, denial), count)| (job.clone(), *denial, *count)).collect()
    }
}

/// What [`Store::relieve`](super::Store::relieve) has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relief {
    /// What nothing reads is kept for this long now, which is less than the retention time.
    pub unread_kept: Option<Duration>,
    /// Series that nothing read and that are gone.
    pub removed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_decides_who_is_refused_first() {
        let limits = Limits { memory_bytes: 800, series: 80, series_per_job: 40 };
        let denial = |rank, memory_bytes, series, of_job| limits.denial(rank, Fill { memory_bytes, series, of_job });
        for (memory, series, of_job, expected) in [
            (799, 79, 39, [None, None, None]),
            (800, 0, 0, [Some(Denial::Memory), None, None]),
            (900, 0, 0, [Some(Denial::Memory), Some(Denial::Memory), None]),
            (1000, 0, 0, [Some(Denial::Memory); 3]),
            (0, 80, 0, [Some(Denial::Series), Some(Denial::Series), None]),
            (0, 100, 0, [Some(Denial::Series); 3]),
            (0, 80, 40, [Some(Denial::Job), Some(Denial::Job), None]),
            (0, 80, 50, [Some(Denial::Job); 3]),
        ] {
            let found = [Rank::Unread, Rank::Rule, Rank::Slo].map(|rank| denial(rank, memory, series, of_job));
            assert_eq!(found, expected, "{memory} {series} {of_job}");
        }
        assert_eq!(Limits::NONE.denial(Rank::Unread, Fill { memory_bytes: u64::MAX - 1, series: 9, of_job: 9 }), None);
    }

    #[test]
    fn refusals_of_too_many_jobs_are_counted_together() {
        let mut denials = Denials::default();
        (0..JOBS_MAX + 5).for_each(|job| denials.note(&format!("job {job}"), Denial::Job));
        denials.note("job 3", Denial::Job);
        let all = denials.all();
        assert_eq!(all.len(), JOBS_MAX + 1);
        assert_eq!((&*all[0].0, all[0].2), ("", 5));
        assert_eq!(all.iter().map(|(.., count)| count).sum::<u64>(), JOBS_MAX as u64 + 6);
    }
}
