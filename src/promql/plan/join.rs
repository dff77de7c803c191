//! Operators that match elements of two sides: one to one, many to one, one to many.
//!
//! Signatures (the labels that `on` or `ignoring` leave) are numbered once per slot; a step then looks partners up by number.
//! Where the labels of a result depend on the "many" side only, its slot leads to the slot of the result. Where `group_left`
//! takes labels from the other side, they depend on the pair: each slot remembers its last partner and what came of it, and
//! only another partner costs a look-up by labels.
//!
//! Two partners, or two results with the same labels, are errors where both are present at a step: the plan stops.

use super::Stop;
use super::block::{Block, Collector};
use super::evaluate::View;
use super::map::{Comparison, Drops, operate};
use super::set_operation::{Signatures, present};
use super::slots::{Marks, Renaming, SlotMap, SlotTable};
use crate::model::Labels;
use crate::promql::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::promql::eval::matrix::without_metadata;

/// After so many steps it is asked again whether anybody waits.
const STEPS_BETWEEN_LOOKS: usize = 16;

/// A binary operator that matches elements.
#[derive(Debug)]
pub(super) struct Join {
    op: BinaryOp,
    comparison: Comparison,
    drops: Drops,
    matching: VectorMatching,
    signatures: Signatures,
    numbers: [Vec<u32>; 2],
    /// By signature: the step for which it was noted (counted over all passes), the row of the partner.
    partners: Vec<(u64, u32)>,
    steps_done: u64,
    taken: Marks,
    result_marks: Marks,
    results: Results,
    collector: Collector,
}

/// The slots of results.
#[derive(Debug)]
enum Results {
    /// Labels are those of the "many" side: so are the slots.
    Same,
    /// They follow from those of the "many" side.
    OfMany(Renaming),
    /// They depend on the pair.
    OfPair(Pairs),
}

#[derive(Debug, Default)]
struct Pairs {
    era: u64,
    eras: [SlotMap; 2],
    /// By slot of the "many" side: its last partner and the slot of the result.
    last: Vec<Option<(u32, u32)>>,
    table: SlotTable,
}

impl Join {
    /// Whether the labels of a result depend on both partners.
    pub(super) fn depends_on_pair(&self) -> bool {
        matches!(self.results, Results::OfPair(_))
    }

    /// Whether it is a comparison that gives 0 or 1.
    pub(super) fn gives_bool(&self) -> bool {
        self.comparison == Comparison::Bool
    }

    pub(super) fn new(op: BinaryOp, comparison: Comparison, drops: Drops, matching: VectorMatching) -> Self {
        let results = match matching.cardinality {
            Cardinality::OneToOne => Results::OfMany(Renaming::default()),
            _ if !matching.include.is_empty() => Results::OfPair(Pairs::default()),
            _ if drops == Drops::Name => Results::OfMany(Renaming::default()),
            _ => Results::Same,
        };
        Join {
            op,
            comparison,
            drops,
            matching,
            signatures: Signatures::default(),
            numbers: Default::default(),
            partners: Vec::new(),
            steps_done: 0,
            taken: Marks::default(),
            result_marks: Marks::default(),
            results,
            collector: Collector::default(),
        }
    }

    /// Which input is the "many" side: the left one but for `group_right`.
    pub(super) fn many_input(&self) -> usize {
        usize::from(self.matching.cardinality == Cardinality::OneToMany)
    }

    pub(super) fn labels(&self, slot: u32, many: impl FnOnce(u32) -> Result<Labels, Stop>) -> Result<Labels, Stop> {
        match &self.results {
            Results::Same => many(slot),
            Results::OfMany(renaming) => Ok(renaming.table.labels(slot).clone()),
            Results::OfPair(pairs) => Ok(pairs.table.labels(slot).clone()),
        }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let nodes = [0, 1].map(|side| view.node(side));
        let eras = nodes.map(|node| node.era);
        let in_use = nodes.iter().map(|node| node.block.rows.len()).sum();
        if self.signatures.follow(eras, in_use) {
            self.partners.clear();
        }
        for side in [0, 1] {
            self.numbers[side].clear();
            for slot in &nodes[side].block.rows {
                let labels = || view.labels(side, *slot);
                self.numbers[side].push(self.signatures.number(side, *slot, &self.matching, labels)?);
            }
        }
        let many_side = self.many_input();
        let (many, one) = (&nodes[many_side].block, &nodes[1 - many_side].block);
        let era = match &mut self.results {
            Results::Same => eras[many_side],
            Results::OfMany(renaming) => {
                renaming.follow(eras[many_side], in_use);
                renaming.era()
            }
            Results::OfPair(pairs) => pairs.follow(eras, in_use),
        };
        self.collector.start(out, many.steps);
        for step in 0..many.steps {
            if step % STEPS_BETWEEN_LOOKS == 0 {
                view.scope.check_interrupt()?;
            }
            if present(many, step).next().is_some() && self.note_partners(one, 1 - many_side, step)? {
                self.match_step([many, one], step, view, out)?;
            }
        }
        Ok(era)
    }

    /// Notes the elements of the "one" side by signature; whether there are any.
    fn note_partners(&mut self, one: &Block, side: usize, step: usize) -> Result<bool, Stop> {
        self.steps_done += 1;
        let mut has_any = false;
        for (row, _) in present(one, step) {
            let number = self.numbers[side][row] as usize;
            if self.partners.len() <= number {
                self.partners.resize(number + 1, (0, 0));
            }
            if self.partners[number].0 == self.steps_done {
                return Err(Stop);
            }
            self.partners[number] = (self.steps_done, row as u32);
            has_any = true;
        }
        Ok(has_any)
    }

    fn match_step(
        &mut self,
        [many, one]: [&Block; 2],
        step: usize,
        view: &View<'_>,
        out: &mut Block,
    ) -> Result<(), Stop> {
        let many_side = self.many_input();
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        self.taken.start();
        self.result_marks.start();
        for (row, value) in present(many, step) {
            let number = self.numbers[many_side][row];
            let partner = self.partners.get(number as usize).filter(|(noted, _)| *noted == self.steps_done);
            let Some(&(_, partner)) = partner else { continue };
            if is_one_to_one && !self.taken.mark(number) {
                return Err(Stop);
            }
            let other = one.at(partner as usize, step);
            let (left, right) = if many_side == 0 { (value, other) } else { (other, value) };
            let result = operate(self.op, self.comparison, left, right, left);
            // In one-to-one matching only results that stay must differ in their labels, else all.
            if is_one_to_one && result.is_none() {
                continue;
            }
            let slots = [many.rows[row], one.rows[partner as usize]];
            let slot = self.result_slot(slots, view)?;
            if !self.result_marks.mark(slot) {
                return Err(Stop);
            }
            if let Some(result) = result {
                self.collector.set(out, slot, step, result).map_err(|_| Stop)?;
            }
        }
        Ok(())
    }

    fn result_slot(&mut self, [many, one]: [u32; 2], view: &View<'_>) -> Result<u32, Stop> {
        let many_side = self.many_input();
        let (drops, matching) = (self.drops, &self.matching);
        let many_labels = || {
            let labels = view.labels(many_side, many)?;
            Ok(if drops == Drops::Name { without_metadata(&labels) } else { labels })
        };
        match &mut self.results {
            Results::Same => Ok(many),
            Results::OfMany(renaming) => renaming.slot(many, || {
                let labels = many_labels()?;
                Ok(match matching.cardinality {
                    Cardinality::OneToOne => {
                        labels.filtered(|label| matching.labels.contains(&label.name) == matching.on)
                    }
                    _ => labels,
                })
            }),
            Results::OfPair(pairs) => pairs.slot([many, one], || {
                let one = view.labels(1 - many_side, one)?;
                let mut builder = many_labels()?.to_builder();
                for name in &matching.include {
                    builder.set(name.clone(), one.get(name).unwrap_or(""));
                }
                Ok(builder.build())
            }),
        }
    }
}

impl Pairs {
    fn follow(&mut self, eras: [u64; 2], in_use: usize) -> u64 {
        let [left, right] = &mut self.eras;
        if left.follow(eras[0]) | right.follow(eras[1]) | super::slots::is_overgrown(self.table.len(), in_use) {
            self.era += 1;
            self.last.clear();
            self.table.clear();
        }
        self.era
    }

    fn slot(&mut self, [many, one]: [u32; 2], labels: impl FnOnce() -> Result<Labels, Stop>) -> Result<u32, Stop> {
        if self.last.len() <= many as usize {
            self.last.resize(many as usize + 1, None);
        }
        if let Some((partner, slot)) = self.last[many as usize]
            && partner == one
        {
            return Ok(slot);
        }
        let slot = self.table.slot(labels()?);
        self.last[many as usize] = Some((one, slot));
        Ok(slot)
    }
}
