//! The series that a rule writes: known by number, with their handles in the store, so that writing them again costs neither
//! labels nor hashing.
//!
//! In the flow: a rule begins a pass, writes its results, and finishes it: what was written in the last good pass and is not
//! written now ends with a staleness marker. A pass that is not finished (since the rule failed) leaves no trace.
//!
//! **Invariants.** No series is written twice in a pass. A handle was looked up when its series was first written or written
//! again after a pause: retention may have removed a series that was not written for long.
//! **Limits.** Numbers of series that are no longer written are kept up to [`KEPT_RATIO`] times those that are.

use rustc_hash::FxHashMap;

use super::Recorded;
use crate::model::{Labels, Timestamp, Value, stale_nan};
use crate::store::{SeriesRef, Store};

/// How many times as many series as were written last may be remembered, and how many in any case.
const KEPT_RATIO: usize = 2;
const KEPT_MIN: usize = 1024;

/// Not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Outputs {
    by_labels: FxHashMap<Labels, u32>,
    outputs: Vec<Output>,
    /// Written in the last good pass, in order.
    last: Vec<u32>,
    /// Memory for the next `last`.
    spare: Vec<u32>,
    /// Written in this pass, with their values.
    next: Vec<(u32, Value)>,
    pass: u64,
    last_good_pass: u64,
    /// By slot of the plan's result, in its era.
    of_slot: Vec<u32>,
    era: Option<u64>,
}

#[derive(Debug)]
struct Output {
    labels: Labels,
    series: Option<SeriesRef>,
    /// The last pass in which it was written.
    pass: u64,
    /// The last good one.
    good_pass: u64,
}

impl Outputs {
    /// Begins a pass.
    pub(super) fn begin(&mut self) {
        self.pass += 1;
        self.next.clear();
        if self.outputs.len() > KEPT_MIN.max(KEPT_RATIO * self.last.len()) {
            self.forget();
        }
    }

    /// Writes the series of a slot of a plan's result. `labels` names it when it is met for the first time.
    ///
    /// # Errors
    /// Those of `labels`. `Ok(false)`: the series has been written in this pass.
    pub(super) fn write_slot<E>(
        &mut self,
        (era, slot): (u64, u32),
        value: Value,
        labels: impl FnOnce() -> Result<Labels, E>,
    ) -> Result<bool, E> {
        if self.era != Some(era) {
            self.era = Some(era);
            self.of_slot.clear();
        }
        if self.of_slot.len() <= slot as usize {
            self.of_slot.resize(slot as usize + 1, UNKNOWN);
        }
        if self.of_slot[slot as usize] == UNKNOWN {
            self.of_slot[slot as usize] = self.number(labels()?);
        }
        Ok(self.write_number(self.of_slot[slot as usize], value))
    }

    /// Writes the series with these labels; `false` if it has been written in this pass.
    pub(super) fn write(&mut self, labels: Labels, value: Value) -> bool {
        let number = self.number(labels);
        self.write_number(number, value)
    }

    /// How many series have been written in this pass.
    pub(super) fn written(&self) -> usize {
        self.next.len()
    }

    /// Ends the pass: its samples, and the ends of the series that were written before and are not now.
    pub(super) fn finish(&mut self, at: Timestamp, store: Option<&Store>) -> Vec<Recorded> {
        let mut recorded = Vec::with_capacity(self.next.len());
        for (number, value) in self.next.drain(..) {
            let output = &mut self.outputs[number as usize];
            if output.series.is_none() || output.good_pass != self.last_good_pass {
                output.series = store.map(|store| store.series_ref(&output.labels));
            }
            output.good_pass = self.pass;
            self.spare.push(number);
            recorded.push(Recorded { labels: output.labels.clone(), series: output.series, at, value });
        }
        let written = recorded.len();
        for number in &self.last {
            let output = &self.outputs[*number as usize];
            if output.good_pass != self.pass {
                let value = Value::Float(stale_nan());
                recorded.push(Recorded { labels: output.labels.clone(), series: output.series, at, value });
            }
        }
        recorded[written..].sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        std::mem::swap(&mut self.last, &mut self.spare);
        self.spare.clear();
        self.last_good_pass = self.pass;
        recorded
    }

    /// Takes these series for written in the last good pass: they were, before a restart.
    pub(super) fn assume_written(&mut self, series: impl Iterator<Item = Labels>) {
        debug_assert!(self.last.is_empty(), "BUG: something has been written");
        self.last = series.map(|labels| self.number(labels)).collect();
    }

    /// What the last good pass wrote, to go back to.
    pub(super) fn written_last(&self) -> Vec<u32> {
        self.last.clone()
    }

    /// How many series that were.
    pub(super) fn written_last_len(&self) -> usize {
        self.last.len()
    }

    /// Undoes the pass that was finished last: `before` counts as written in it.
    pub(super) fn go_back(&mut self, before: Vec<u32>) {
        for number in &self.last {
            self.outputs[*number as usize].good_pass = 0;
        }
        for number in &before {
            self.outputs[*number as usize].good_pass = self.last_good_pass;
        }
        self.last = before;
    }

    /// Forgets everything; gives what was written in the last good pass.
    pub(super) fn take(&mut self) -> Vec<Labels> {
        let taken = std::mem::take(self);
        taken.last.iter().map(|number| taken.outputs[*number as usize].labels.clone()).collect()
    }

    /// Forgets which slots of a plan's result lead where: the plan will be another one.
    pub(super) fn forget_slots(&mut self) {
        self.era = None;
    }

    fn number(&mut self, labels: Labels) -> u32 {
        let next = self.outputs.len() as u32;
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.outputs.push(Output { labels: labels.clone(), series: None, pass: 0, good_pass: 0 });
            next
        })
    }

    fn write_number(&mut self, number: u32, value: Value) -> bool {
        let output = &mut self.outputs[number as usize];
        if output.pass == self.pass {
            return false;
        }
        output.pass = self.pass;
        self.next.push((number, value));
        true
    }

    fn forget(&mut self) {
        let last_good_pass = self.last_good_pass;
        self.outputs.retain(|output| output.good_pass == last_good_pass);
        self.by_labels = self.outputs.iter().map(|output| output.labels.clone()).zip(0..).collect();
        self.last = (0..self.outputs.len() as u32).collect();
        self.era = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_again_ends_once() {
        let mut outputs = Outputs::default();
        let labels = |name: &str| Labels::from_pairs([("__name__", name.to_owned())]);
        let mut pass = |names: &[&str]| {
            outputs.begin();
            assert!(names.iter().all(|name| outputs.write(labels(name), 1.0.into())));
            let show = |recorded: &Recorded| {
                let mark = if recorded.value.is_stale() { "!" } else { "" };
                format!("{}{mark}", recorded.labels)
            };
            outputs.finish(Timestamp::EPOCH, None).iter().map(show).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(pass(&["b", "a", "c"]), "b a c");
        assert_eq!(pass(&["a"]), "a b! c!");
        assert_eq!(pass(&["a", "b"]), "a b");
        outputs.begin();
        assert!(outputs.write(labels("x"), 1.0.into()) && !outputs.write(labels("x"), 2.0.into()));
        outputs.begin();
        assert_eq!(outputs.finish(Timestamp::EPOCH, None).len(), 2, "both end, and the pass that failed left nothing");
        assert!(outputs.take().is_empty());
    }

    #[test]
    fn series_of_the_past_are_forgotten() {
        let mut outputs = Outputs::default();
        for number in 0..10_000 {
            outputs.begin();
            let labels = || Ok::<_, ()>(Labels::from_pairs([("n", number.to_string())]));
            assert_eq!(outputs.write_slot((1, number), 1.0.into(), labels), Ok(true));
            outputs.finish(Timestamp::EPOCH, None);
            assert!(outputs.outputs.len() <= KEPT_MIN + 1);
        }
    }
}
