//! Which label set sits in which slot, and how the slots of an input lead to slots of a result.
//!
//! In the flow: a node that changes labels has a [`Renaming`]: the first time an input slot has a number, its labels are
//! materialised, changed and looked up; from then on the way from slot to slot is an array look-up.
//!
//! **Invariants.** While the *era* of a node is the same, a slot means the same label set. An era ends when the input's era
//! ends, or when more slots are remembered than [`FORGET_RATIO`] times those in use: label sets that never come back are
//! forgotten.

use rustc_hash::FxHashMap;

use super::Stop;
use crate::model::Labels;

/// Not looked up yet.
const UNKNOWN: u32 = u32::MAX;

/// How many times as many slots as are in use may be remembered, and how many in any case.
const FORGET_RATIO: usize = 2;
const REMEMBERED_MIN: usize = 4096;

/// A number for each slot of an input.
#[derive(Debug, Default)]
pub(super) struct SlotMap {
    era: Option<u64>,
    numbers: Vec<u32>,
}

impl SlotMap {
    /// Follows the input into `era`; whether everything was forgotten on the way.
    pub(super) fn follow(&mut self, era: u64) -> bool {
        if self.era == Some(era) {
            return false;
        }
        self.numbers.clear();
        self.era.replace(era).is_some()
    }

    pub(super) fn get(&self, slot: u32) -> Option<u32> {
        self.numbers.get(slot as usize).copied().filter(|number| *number != UNKNOWN)
    }

    pub(super) fn set(&mut self, slot: u32, number: u32) {
        if self.numbers.len() <= slot as usize {
            self.numbers.resize(slot as usize + 1, UNKNOWN);
        }
        self.numbers[slot as usize] = number;
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
    }
}

/// Label sets and their numbers.
#[derive(Debug, Default)]
pub(super) struct SlotTable {
    by_labels: FxHashMap<Labels, u32>,
    labels: Vec<Labels>,
}

impl SlotTable {
    pub(super) fn slot(&mut self, labels: Labels) -> u32 {
        let next = self.labels.len() as u32;
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            next
        })
    }

    pub(super) fn labels(&self, slot: u32) -> &Labels {
        &self.labels[slot as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn clear(&mut self) {
        self.by_labels.clear();
        self.labels.clear();
    }
}

/// Whether so much is remembered beside what is in use that it is time to forget.
pub(super) fn is_overgrown(remembered: usize, in_use: usize) -> bool {
    remembered > REMEMBERED_MIN.max(FORGET_RATIO * in_use)
}

/// The way from the slots of an input to slots of new label sets.
#[derive(Debug, Default)]
pub(super) struct Renaming {
    era: u64,
    of: SlotMap,
    pub(super) table: SlotTable,
}

impl Renaming {
    /// Before a pass over `in_use` rows of an input that is in `input_era`.
    pub(super) fn follow(&mut self, input_era: u64, in_use: usize) {
        let forgets = is_overgrown(self.table.len(), in_use);
        if self.of.follow(input_era) || forgets {
            self.era += 1;
            self.of.clear();
            self.table.clear();
        }
    }

    pub(super) fn era(&self) -> u64 {
        self.era
    }

    /// The slot of the label set that `labels` makes for the `input` slot.
    pub(super) fn slot(&mut self, input: u32, labels: impl FnOnce() -> Result<Labels, Stop>) -> Result<u32, Stop> {
        if let Some(slot) = self.of.get(input) {
            return Ok(slot);
        }
        let slot = self.table.slot(labels()?);
        self.of.set(input, slot);
        Ok(slot)
    }
}

/// Marks numbers without having to take the marks off again.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marked: Vec<u64>,
    pass: u64,
}

impl Marks {
    /// Takes all marks off.
    pub(super) fn start(&mut self) {
        self.pass += 1;
    }

    /// Marks `number`; whether it was not marked before.
    pub(super) fn mark(&mut self, number: u32) -> bool {
        if self.marked.len() <= number as usize {
            self.marked.resize(number as usize + 1, 0);
        }
        std::mem::replace(&mut self.marked[number as usize], self.pass) != self.pass
    }

    pub(super) fn is_marked(&self, number: u32) -> bool {
        self.marked.get(number as usize) == Some(&self.pass)
    }
}
