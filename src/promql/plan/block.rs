//! What a node gives: numbers in rows, one row for each slot that has any.
//!
//! ```text
//!             step 0   step 1   step 2
//! slot 4        1.0      2.0      3.0      rows = [4, 7, 5], in the order of the result
//! slot 7        8.0       ·        ·       · is ABSENT
//! slot 5         ·       0.5      0.5
//! ```
//!
//! **Invariants.** No slot has two rows. A row has a number at one step at least. The order of rows is that in which the plain
//! evaluator gives its rows, since sums depend on it. [`ABSENT`] is the staleness marker, which no result holds: selectors drop
//! it, and arithmetic gives quiet NaNs only.

use crate::model::{is_stale, stale_nan};

/// See the module: no number.
pub(super) fn absent() -> f64 {
    stale_nan()
}

/// Whether `value` is no number.
pub(super) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// Rows of numbers. See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) rows: Vec<u32>,
    /// Row after row, `steps` for each.
    pub(super) values: Vec<f64>,
    pub(super) steps: usize,
}

impl Block {
    /// Empties it and keeps its memory.
    pub(super) fn reset(&mut self, steps: usize) {
        self.rows.clear();
        self.values.clear();
        self.steps = steps;
    }

    /// What its memory takes, used or not.
    pub(super) fn held_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<f64>()
    }

    /// Adds a row of [`absent`] and gives it to be filled.
    pub(super) fn add_row(&mut self, slot: u32) -> &mut [f64] {
        self.rows.push(slot);
        let start = self.values.len();
        self.values.resize(start + self.steps, absent());
        &mut self.values[start..]
    }

    /// Adds a row of one step.
    pub(super) fn push(&mut self, slot: u32, value: f64) {
        debug_assert_eq!(self.steps, 1);
        self.rows.push(slot);
        self.values.push(value);
    }

    /// Takes the last row back.
    pub(super) fn pop_row(&mut self) {
        self.rows.pop();
        self.values.truncate(self.rows.len() * self.steps);
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.steps..][..self.steps]
    }

    /// Slots and their numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[f64])> {
        self.rows.iter().copied().zip(self.values.chunks_exact(self.steps.max(1)))
    }

    /// The number of row `index` at `step`.
    pub(super) fn at(&self, index: usize, step: usize) -> f64 {
        self.values[index * self.steps + step]
    }

    /// The numbers of a scalar node, which has one row.
    pub(super) fn scalar(&self, step: usize) -> f64 {
        self.values[step]
    }

    /// Orders the rows by their first steps, as they come when a result is collected step by step.
    pub(super) fn order_by_first_step(&mut self) {
        if self.steps <= 1 {
            return;
        }
        let first = |row: &[f64]| row.iter().position(|value| !is_absent(*value)).unwrap_or(usize::MAX);
        let firsts: Vec<usize> = self.iter().map(|(_, row)| first(row)).collect();
        if firsts.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|index| firsts[*index]);
        let values = order.iter().flat_map(|index| self.row(*index)).copied().collect();
        self.rows = order.iter().map(|index| self.rows[*index]).collect();
        self.values = values;
    }
}

/// Builds a block step by step, where rows appear as they are first met.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// By slot: in which pass it was met, and in which row it is.
    met: Vec<(u64, u32)>,
    pass: u64,
}

/// A slot has two numbers at one step.
#[derive(Debug)]
pub(super) struct Collision;

impl Collector {
    /// Starts a block.
    pub(super) fn start(&mut self, block: &mut Block, steps: usize) {
        block.reset(steps);
        self.pass += 1;
    }

    /// Notes a number of `slot` at `step`.
    pub(super) fn set(&mut self, block: &mut Block, slot: u32, step: usize, value: f64) -> Result<(), Collision> {
        if self.met.len() <= slot as usize {
            self.met.resize(slot as usize + 1, (0, 0));
        }
        let (pass, row) = self.met[slot as usize];
        if pass != self.pass {
            self.met[slot as usize] = (self.pass, block.rows.len() as u32);
            block.add_row(slot)[step] = value;
            return Ok(());
        }
        let place = &mut block.values[row as usize * block.steps + step];
        if !is_absent(*place) {
            return Err(Collision);
        }
        *place = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_appear_step_by_step() {
        let (mut block, mut collector) = (Block::default(), Collector::default());
        collector.start(&mut block, 2);
        for (slot, step, value) in [(3, 0, 1.0), (1, 1, 2.0), (3, 1, 3.0)] {
            collector.set(&mut block, slot, step, value).unwrap();
        }
        assert!(collector.set(&mut block, 1, 1, 9.0).is_err());
        assert_eq!(block.rows, [3, 1]);
        assert_eq!((block.row(0), block.at(1, 1), is_absent(block.at(1, 0))), (&[1.0, 3.0][..], 2.0, true));

        let mut unordered = Block { rows: vec![1, 3], values: vec![absent(), 2.0, 1.0, 3.0], steps: 2 };
        unordered.order_by_first_step();
        assert_eq!(unordered.rows, [3, 1]);
        assert_eq!(unordered.row(0), [1.0, 3.0]);
    }
}
