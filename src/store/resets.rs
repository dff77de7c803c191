//! The counter resets of one series, oldest first: each with the value before it.
//!
//! In the flow: sealing a run notes its resets; `rate` and `increase` add up those of a window, left to right as Prometheus does, without
//! reading a sample.
//!
//! **Invariants.** A reset has the ordinal of the later sample of its pair, so those of the pairs inside a window are a range of
//! ordinals: after its first sample, up to its last. The pair across the border of two runs counts with the later run.
//! **Limits.** A run with more than [`NOTED_MAX`] resets is no counter; its ordinals are noted as *dense*, and a window that touches
//! them must be scanned. So the list costs at most 64 bytes a run.

/// Resets of one run that are noted one by one.
const NOTED_MAX: usize = 4;

/// See the module head.
#[derive(Clone, Debug, Default)]
pub(super) struct Resets {
    noted: Vec<Reset>,
    /// Ranges of ordinals, apart from each other, in order: from, to (both inside).
    dense: Vec<(u64, u64)>,
}

/// The resets of one run, which include that of the pair across the border to the run before.
#[derive(Clone, Debug, PartialEq)]
pub enum RunResets {
    /// Of each the number of the later sample among the live ones of the run, and the value before.
    Few(Vec<(u8, f64)>),
    /// More than are noted one by one.
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Reset {
    /// Of the later sample.
    ordinal: u64,
    /// The value before.
    before: f64,
}

impl Resets {
    /// Notes those among `live`, the live values of a run whose first has the number `ordinal`; `before` is the live value before it.
    pub(super) fn note(&mut self, ordinal: u64, before: Option<f64>, live: impl Iterator<Item = f64> + Clone) {
        let earlier = before.into_iter().chain(live.clone());
        let from = if before.is_some() { ordinal } else { ordinal + 1 };
        let later = live.clone().skip(usize::from(before.is_none()));
        let pairs = (from..).zip(earlier.zip(later));
        let resets = pairs.filter(|(_, (earlier, later))| later < earlier);
        let count = resets.clone().count();
        if count <= NOTED_MAX {
            self.noted.reserve_exact(count);
            self.noted.extend(resets.map(|(ordinal, (before, _))| Reset { ordinal, before }));
            return;
        }
        self.note_dense(ordinal, ordinal + live.count() as u64 - 1);
    }

    fn note_dense(&mut self, first: u64, end: u64) {
        match self.dense.last_mut().filter(|(_, last)| last + 1 == first) {
            Some((_, last)) => *last = end,
            None => self.dense.push((first, end)),
        }
    }

    /// Notes what [`Resets::of_run`] said of a run of `live` samples, whose first has the number `ordinal`.
    pub(super) fn note_run(&mut self, ordinal: u64, live: u64, resets: &RunResets) {
        match resets {
            RunResets::Few(few) => {
                self.noted.reserve_exact(few.len());
                let noted =
                    few.iter().map(|(index, before)| Reset { ordinal: ordinal + u64::from(*index), before: *before });
                self.noted.extend(noted);
            }
            RunResets::Many => self.note_dense(ordinal, ordinal + live.max(1) - 1),
        }
    }

    /// What is noted of a run of `live` samples, whose first has the number `ordinal`.
    pub(super) fn of_run(&self, ordinal: u64, live: u64) -> RunResets {
        let end = ordinal + live;
        let dense = self.dense.partition_point(|(_, last)| *last < ordinal);
        if live > 0 && self.dense.get(dense).is_some_and(|(first, _)| *first < end) {
            return RunResets::Many;
        }
        let from = self.noted.partition_point(|reset| reset.ordinal < ordinal);
        let inside = self.noted[from..].iter().take_while(|reset| reset.ordinal < end);
        RunResets::Few(inside.map(|reset| ((reset.ordinal - ordinal) as u8, reset.before)).collect())
    }

    /// The values before the resets of the pairs inside `first..=last`, in order. `None`: scan.
    pub(super) fn between(&self, first: u64, last: u64) -> Option<impl Iterator<Item = f64>> {
        let dense = self.dense.partition_point(|(_, end)| *end <= first);
        if self.dense.get(dense).is_some_and(|(start, _)| *start <= last) {
            return None;
        }
        let from = self.noted.partition_point(|reset| reset.ordinal <= first);
        Some(self.noted[from..].iter().take_while(move |reset| reset.ordinal <= last).map(|reset| reset.before))
    }

    /// Forgets those before `ordinal`.
    pub(super) fn truncate(&mut self, ordinal: u64) {
        self.noted.drain(..self.noted.partition_point(|reset| reset.ordinal < ordinal));
        self.dense.drain(..self.dense.partition_point(|(_, end)| *end < ordinal));
    }

    /// Forgets those from `ordinal` on.
    pub(super) fn cut(&mut self, ordinal: u64) {
        self.noted.truncate(self.noted.partition_point(|reset| reset.ordinal < ordinal));
        self.dense.truncate(self.dense.partition_point(|(start, _)| *start < ordinal));
        if let Some((_, end)) = self.dense.last_mut() {
            *end = (*end).min(ordinal - 1);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.noted) + size_of_val(&*self.dense)
    }
}
