//! The labels of a slot, materialised from the leaves up: nodes keep them only where they need them to tell slots apart.

use super::Stop;
use super::arena::Plans;
use super::node::{NodeId, Op};
use super::window::Source;
use crate::model::Labels;
use crate::promql::eval::matrix::without_metadata;
use crate::store::{Selection, Store};

/// Finds labels; takes the store's lock for each that it must look up there.
pub(super) struct Namer<'a> {
    plans: &'a Plans,
    store: &'a Store,
}

impl<'a> Namer<'a> {
    pub(super) fn new(plans: &'a Plans, store: &'a Store) -> Self {
        Namer { plans, store }
    }

    /// The labels of `slot` of a node. Stops if its series has gone from the store meanwhile.
    pub(super) fn labels(&self, id: NodeId, slot: u32) -> Result<Labels, Stop> {
        let node = self.plans.node(id);
        let input = |slot: u32| self.labels(node.inputs[0], slot);
        match &node.op {
            Op::Number(_) | Op::Fact(_) | Op::ScalarBinary(_) | Op::ScalarOf | Op::VectorOf => Ok(Labels::empty()),
            Op::Instant(instant) => {
                let series = || self.series_labels(instant.leaf.selection, slot);
                instant.drop.as_ref().map_or_else(series, |drop| drop.labels(slot, series))
            }
            Op::Range(range) => {
                let series = || match &range.source {
                    Source::Leaf(leaf) => self.series_labels(leaf.selection, slot),
                    Source::Subquery(_) => input(slot),
                };
                range.drop.as_ref().map_or_else(series, |drop| drop.labels(slot, series))
            }
            Op::Map(map) => match &map.drop {
                Some(drop) => drop.labels(slot, || input(slot)),
                None => input(slot),
            },
            Op::Aggregate(aggregate) => Ok(aggregate.groups.table.labels(slot).clone()),
            Op::Rank(_) | Op::Sort(_) | Op::Repeat => input(slot),
            Op::Strip(strip) => strip.labels(slot, || input(slot)),
            Op::Join(join) => join.labels(slot, |many| self.labels(node.inputs[join.many_input()], many)),
            Op::Set(set) => set.labels(slot, || input(slot)),
            Op::Relabel(relabel) => Ok(relabel.renaming.table.labels(slot).clone()),
            Op::Classic(classic) => Ok(classic.results.labels(slot).clone()),
            Op::Absent(absent) => Ok(absent.labels.clone()),
            Op::Dynamic(dynamic) => Ok(dynamic.table.labels(slot).clone()),
        }
    }

    pub(super) fn selection(&self, index: usize) -> &'a Selection {
        self.plans.selection(index)
    }

    fn series_labels(&self, selection: usize, slot: u32) -> Result<Labels, Stop> {
        let series = self.plans.selection(selection).series(slot);
        self.store.reader().labels(series).ok_or(Stop)
    }
}

/// Takes what names the metric off labels; see [`super::node::Naming`].
#[derive(Debug, Default)]
pub(super) struct NameDrop {
    /// Whether names differ, so that the result has slots of its own.
    renames: bool,
    renaming: super::slots::Renaming,
    /// Tells apart the eras of both ways.
    switches: u64,
}

impl NameDrop {
    /// Before a pass over `in_use` rows of an input in `input_era`. Gives the era of the result.
    pub(super) fn follow(&mut self, renames: bool, input_era: u64, in_use: usize) -> u64 {
        if self.renames != renames {
            self.renames = renames;
            self.switches += 1;
        }
        if !renames {
            return input_era ^ (self.switches << 48);
        }
        self.renaming.follow(input_era, in_use);
        self.renaming.era() ^ (self.switches << 48)
    }

    pub(super) fn slot(&mut self, input: u32, labels: impl FnOnce() -> Result<Labels, Stop>) -> Result<u32, Stop> {
        if !self.renames {
            return Ok(input);
        }
        self.renaming.slot(input, || Ok(without_metadata(&labels()?)))
    }

    /// Whether two slots of the input may lead to one of the result.
    pub(super) fn may_collide(&self) -> bool {
        self.renames
    }

    pub(super) fn labels(&self, slot: u32, input: impl FnOnce() -> Result<Labels, Stop>) -> Result<Labels, Stop> {
        if self.renames { Ok(self.renaming.table.labels(slot).clone()) } else { Ok(without_metadata(&input()?)) }
    }
}
