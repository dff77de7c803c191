//! Aggregations that keep some elements of each group (`topk`, `bottomk`, `limitk`, `limit_ratio`), and sorting.

use std::cmp::Ordering;

use super::Stop;
use super::aggregate::{GroupRows, Grouping};
use super::block::{Block, is_absent};
use super::evaluate::{Scope, View};
use super::slots::Renaming;
use crate::promql::ast::AggregateOp;
use crate::promql::eval::sampling;
use crate::promql::eval::sorting::{ascending_nan_last, descending_nan_last};

/// The first number that does not fit into 64 bits with sign.
const INT64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// An aggregation that keeps elements with their labels.
#[derive(Debug)]
pub(super) struct Rank {
    op: AggregateOp,
    grouping: Grouping,
    groups: Renaming,
    rows: GroupRows,
    /// By slot, for `limit_ratio`: see [`sampling::offset`].
    offsets: Vec<f64>,
    offsets_era: Option<u64>,
    /// The rows that have a number at the step, by group, best first.
    ranked: Vec<u32>,
    /// By row and step.
    chosen: Vec<bool>,
}

impl Rank {
    pub(super) fn new(op: AggregateOp, grouping: Grouping) -> Self {
        Rank {
            op,
            grouping,
            groups: Renaming::default(),
            rows: GroupRows::default(),
            offsets: Vec::new(),
            offsets_era: None,
            ranked: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (node, parameter) = (view.node(0), view.block(1));
        let block = &node.block;
        out.reset(block.steps);
        if !self.keeps_any(parameter, view.scope)? {
            return Ok(node.era);
        }
        self.rows.assign(&mut self.groups, &self.grouping, view)?;
        if self.op == AggregateOp::LimitRatio {
            self.find_offsets(view)?;
        }
        self.chosen.clear();
        self.chosen.resize(block.values.len(), false);
        for step in 0..block.steps {
            self.rank(block, step, parameter.scalar(step));
            for row in &self.ranked {
                self.chosen[*row as usize * block.steps + step] = true;
            }
        }
        if block.steps == 1 {
            self.ranked.iter().for_each(|row| out.push(block.rows[*row as usize], block.at(*row as usize, 0)));
            return Ok(node.era);
        }
        for (index, (slot, row)) in block.iter().enumerate() {
            let chosen = &self.chosen[index * block.steps..][..block.steps];
            if chosen.contains(&true) {
                let places = out.add_row(slot).iter_mut();
                let kept = places.zip(row).zip(chosen).filter(|(_, chosen)| **chosen);
                kept.for_each(|((place, value), _)| *place = *value);
            }
        }
        Ok(node.era)
    }

    /// Whether any parameter keeps any element. Stops at those that are errors.
    fn keeps_any(&self, parameter: &Block, scope: &Scope<'_>) -> Result<bool, Stop> {
        let parameters = parameter.row(0);
        if parameters.iter().any(|parameter| parameter.is_nan()) {
            return Err(Stop);
        }
        let max = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = parameters.iter().copied().fold(f64::INFINITY, f64::min);
        if self.op == AggregateOp::LimitRatio {
            if max > 1.0 || min < -1.0 {
                scope.note()?;
            }
            return Ok(max != 0.0 || min != 0.0);
        }
        if max < 1.0 {
            return Ok(false);
        }
        if min <= -INT64_LIMIT || max >= INT64_LIMIT { Err(Stop) } else { Ok(true) }
    }

    fn find_offsets(&mut self, view: &View<'_>) -> Result<(), Stop> {
        let node = view.node(0);
        if self.offsets_era != Some(node.era) {
            self.offsets_era = Some(node.era);
            self.offsets.clear();
        }
        for slot in &node.block.rows {
            let index = *slot as usize;
            if self.offsets.len() <= index {
                self.offsets.resize(index + 1, f64::NAN);
            }
            if self.offsets[index].is_nan() {
                self.offsets[index] = sampling::offset(&view.labels(0, *slot)?);
            }
        }
        Ok(())
    }

    /// Leaves the rows to keep in `ranked`.
    fn rank(&mut self, block: &Block, step: usize, parameter: f64) {
        let Rank { op, rows, ranked, offsets, .. } = self;
        let group = |row: u32| rows.of_row[row as usize];
        let value = |row: u32| block.at(row as usize, step);
        ranked.clear();
        ranked.extend((0..block.rows.len() as u32).filter(|row| !is_absent(value(*row))));
        match op {
            AggregateOp::LimitRatio => {
                ranked
                    .retain(|row| sampling::is_offset_sampled(offsets[block.rows[*row as usize] as usize], parameter));
                ranked.sort_unstable_by_key(|row| (group(*row), *row));
                return;
            }
            AggregateOp::Topk => sort(ranked, |row| (group(row), value(row)), descending_nan_last),
            AggregateOp::Bottomk => sort(ranked, |row| (group(row), value(row)), ascending_nan_last),
            _ => ranked.sort_unstable_by_key(|row| (group(*row), *row)),
        }
        let k = parameter as usize; // negative and less than one give 0
        let (mut current, mut taken) = (u32::MAX, 0);
        ranked.retain(|row| {
            if current != group(*row) {
                (current, taken) = (group(*row), 0);
            }
            taken += 1;
            taken <= k
        });
    }
}

/// By group, value, and, among equals, row: what a stable sort of each group gives.
fn sort(rows: &mut [u32], key: impl Fn(u32) -> (u32, f64), order: impl Fn(f64, f64) -> Ordering) {
    rows.sort_unstable_by(|a, b| {
        let ((group_a, value_a), (group_b, value_b)) = (key(*a), key(*b));
        group_a.cmp(&group_b).then_with(|| order(value_a, value_b)).then(a.cmp(b))
    });
}

/// `sort`, `sort_desc`, of an instant.
#[derive(Debug)]
pub(super) struct SortByValue {
    pub(super) descending: bool,
    order: Vec<u32>,
}

impl SortByValue {
    pub(super) fn new(descending: bool) -> Self {
        SortByValue { descending, order: Vec::new() }
    }

    /// Gives the era of the result. Stops over several steps, where sorting is said to be without effect.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let block = view.block(0);
        if block.steps != 1 {
            return Err(Stop);
        }
        let order = if self.descending { descending_nan_last } else { ascending_nan_last };
        self.order.clear();
        self.order.extend(0..block.rows.len() as u32);
        sort(&mut self.order, |row| (0, block.at(row as usize, 0)), order);
        out.reset(1);
        self.order.iter().for_each(|row| out.push(block.rows[*row as usize], block.at(*row as usize, 0)));
        Ok(view.node(0).era)
    }
}
