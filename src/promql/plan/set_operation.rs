//! `and`, `or`, `unless`: by presence of signatures alone.

use rustc_hash::FxHashMap;

use super::Stop;
use super::block::{Block, Collector, is_absent};
use super::evaluate::View;
use super::slots::{Marks, SlotMap, SlotTable, is_overgrown};
use crate::model::Labels;
use crate::promql::ast::{BinaryOp, VectorMatching};
use crate::promql::eval::matching::signature;

/// Numbers for the labels by which both sides are matched.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    numbers: FxHashMap<Labels, u32>,
    of: [SlotMap; 2],
}

impl Signatures {
    /// Before a pass over the inputs; whether everything was forgotten.
    pub(super) fn follow(&mut self, eras: [u64; 2], in_use: usize) -> bool {
        let forgets = is_overgrown(self.numbers.len(), in_use);
        let [left, right] = &mut self.of;
        if !(left.follow(eras[0]) | right.follow(eras[1])) && !forgets {
            return false;
        }
        left.clear();
        right.clear();
        self.numbers.clear();
        true
    }

    /// The number of a slot of the left (0) or right (1) side.
    pub(super) fn number(
        &mut self,
        side: usize,
        slot: u32,
        matching: &VectorMatching,
        labels: impl FnOnce() -> Result<Labels, Stop>,
    ) -> Result<u32, Stop> {
        if let Some(number) = self.of[side].get(slot) {
            return Ok(number);
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(signature(&labels()?, matching)).or_insert(next);
        self.of[side].set(slot, number);
        Ok(number)
    }
}

/// A set operator.
#[derive(Debug)]
pub(super) struct SetOperation {
    op: BinaryOp,
    matching: VectorMatching,
    signatures: Signatures,
    /// By row, of both sides.
    numbers: [Vec<u32>; 2],
    present: Marks,
    collector: Collector,
    /// The slots of `or`, by side; the other operators use those of the left side.
    union: Union,
}

#[derive(Debug, Default)]
struct Union {
    era: u64,
    of: [SlotMap; 2],
    table: SlotTable,
}

impl SetOperation {
    pub(super) fn new(op: BinaryOp, matching: VectorMatching) -> Self {
        SetOperation {
            op,
            matching,
            signatures: Signatures::default(),
            numbers: Default::default(),
            present: Marks::default(),
            collector: Collector::default(),
            union: Union::default(),
        }
    }

    /// Whether results come from both sides.
    pub(super) fn is_union(&self) -> bool {
        self.op == BinaryOp::Or
    }

    pub(super) fn labels(&self, slot: u32, left: impl FnOnce() -> Result<Labels, Stop>) -> Result<Labels, Stop> {
        if self.is_union() { Ok(self.union.table.labels(slot).clone()) } else { left() }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let nodes = [0, 1].map(|side| view.node(side));
        let eras = nodes.map(|node| node.era);
        let in_use = nodes.iter().map(|node| node.block.rows.len()).sum();
        self.signatures.follow(eras, in_use);
        for side in [0, 1] {
            self.numbers[side].clear();
            for slot in &nodes[side].block.rows {
                let labels = || view.labels(side, *slot);
                self.numbers[side].push(self.signatures.number(side, *slot, &self.matching, labels)?);
            }
        }
        let [left, right] = nodes.map(|node| &node.block);
        if self.is_union() {
            self.union.follow(eras, in_use);
            return self.unite([left, right], view, out);
        }
        self.collector.start(out, left.steps);
        for step in 0..left.steps {
            self.present.start();
            let present = present(right, step);
            present.for_each(|(row, _)| {
                self.present.mark(self.numbers[1][row]);
            });
            for (row, value) in self::present(left, step) {
                if self.present.is_marked(self.numbers[0][row]) == (self.op == BinaryOp::And) {
                    self.collector.set(out, left.rows[row], step, value).map_err(|_| Stop)?;
                }
            }
        }
        Ok(eras[0])
    }

    fn unite(&mut self, [left, right]: [&Block; 2], view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        self.collector.start(out, left.steps);
        for step in 0..left.steps {
            self.present.start();
            for (row, value) in present(left, step) {
                self.present.mark(self.numbers[0][row]);
                let slot = self.union.slot(0, left.rows[row], || view.labels(0, left.rows[row]))?;
                self.collector.set(out, slot, step, value).map_err(|_| Stop)?;
            }
            for (row, value) in present(right, step) {
                if !self.present.is_marked(self.numbers[1][row]) {
                    let slot = self.union.slot(1, right.rows[row], || view.labels(1, right.rows[row]))?;
                    self.collector.set(out, slot, step, value).map_err(|_| Stop)?;
                }
            }
        }
        Ok(self.union.era)
    }
}

impl Union {
    fn follow(&mut self, eras: [u64; 2], in_use: usize) {
        let forgets = is_overgrown(self.table.len(), in_use);
        let [left, right] = &mut self.of;
        if left.follow(eras[0]) | right.follow(eras[1]) | forgets {
            left.clear();
            right.clear();
            self.table.clear();
            self.era += 1;
        }
    }

    fn slot(&mut self, side: usize, slot: u32, labels: impl FnOnce() -> Result<Labels, Stop>) -> Result<u32, Stop> {
        if let Some(slot) = self.of[side].get(slot) {
            return Ok(slot);
        }
        let united = self.table.slot(labels()?);
        self.of[side].set(slot, united);
        Ok(united)
    }
}

/// The rows that have a number at `step`, and the number.
pub(super) fn present(block: &Block, step: usize) -> impl Iterator<Item = (usize, f64)> {
    let values = (0..block.rows.len()).map(move |row| (row, block.at(row, step)));
    values.filter(|(_, value)| !is_absent(*value))
}
