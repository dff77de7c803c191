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
        let end = ordinal + live.count() as u64 - 1;
        match self.dense.last_mut().filter(|(_, last)| last + 1 == ordinal) {
            Some((_, last)) => *last = end,
            None => self.dense.push((ordinal, end)),
        }
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

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.noted) + size_of_val(&*self.dense)
    }
}
