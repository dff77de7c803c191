//! Aggregations to one number per group: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`, `quantile`.
//!
//! Which group a slot belongs to is looked up once; a pass then adds each number to the state of its group, in the order in which
//! the plain evaluator adds them.

use std::sync::Arc;

use super::Stop;
use super::block::{Block, absent, is_absent};
use super::evaluate::View;
use super::slots::Renaming;
use crate::promql::ast::AggregateOp;
use crate::promql::eval::aggregate::{GroupVariance, group_labels};
use crate::promql::eval::statistics::{self, Mean};
use crate::store::CompensatedSum;

/// An aggregation.
#[derive(Debug)]
pub(super) struct Aggregate {
    op: AggregateOp,
    grouping: Grouping,
    pub(super) groups: Renaming,
    /// The states of groups, where the operation has no type of its own for them.
    state: State,
    rows: GroupRows,
    sorted: Vec<f64>,
    members: Vec<u32>,
}

/// The labels of `by` or `without`.
#[derive(Clone, Debug)]
pub(super) struct Grouping {
    pub(super) labels: Vec<Arc<str>>,
    pub(super) without: bool,
}

/// Which group each row of the input belongs to, groups numbered in order of their first rows.
#[derive(Debug, Default)]
pub(super) struct GroupRows {
    /// By slot of the group: the pass in which it was met, and its number.
    met: Vec<(u64, u32)>,
    pass: u64,
    /// By row.
    pub(super) of_row: Vec<u32>,
    /// The slot of each group, by number.
    pub(super) slots: Vec<u32>,
}

impl GroupRows {
    /// Groups the rows of `input`.
    pub(super) fn assign(&mut self, groups: &mut Renaming, grouping: &Grouping, view: &View<'_>) -> Result<(), Stop> {
        let node = view.node(0);
        groups.follow(node.era, node.block.rows.len());
        self.pass += 1;
        self.of_row.clear();
        self.slots.clear();
        for slot in &node.block.rows {
            let group =
                groups.slot(*slot, || Ok(group_labels(&view.labels(0, *slot)?, &grouping.labels, grouping.without)))?;
            if self.met.len() <= group as usize {
                self.met.resize(group as usize + 1, (0, 0));
            }
            let met = &mut self.met[group as usize];
            if met.0 != self.pass {
                *met = (self.pass, self.slots.len() as u32);
                self.slots.push(group);
            }
            self.of_row.push(met.1);
        }
        Ok(())
    }
}

/// One state for each group and step.
#[derive(Debug, Default)]
struct State {
    sums: Vec<Sum>,
    means: Vec<(Mean, bool)>,
    numbers: Vec<Option<f64>>,
    variances: Vec<(GroupVariance, bool)>,
}

/// A compensated sum that starts with its first term; `None` before.
type Sum = Option<CompensatedSum>;

impl Aggregate {
    pub(super) fn new(op: AggregateOp, grouping: Grouping) -> Self {
        Aggregate {
            op,
            grouping,
            groups: Renaming::default(),
            state: State::default(),
            rows: GroupRows::default(),
            sorted: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        use AggregateOp as A;
        self.rows.assign(&mut self.groups, &self.grouping, view)?;
        let block = view.block(0);
        let (rows, state) = (&self.rows, &mut self.state);
        let steps = block.steps;
        match self.op {
            A::Sum => {
                let start = CompensatedSum::starting_with;
                let add = |sum: &mut Sum, value| *sum = Some(sum.map_or_else(|| start(value), |sum| sum.plus(value)));
                fold(block, rows, &mut state.sums, add);
                write(rows, &state.sums, |sum| sum.map(CompensatedSum::total), steps, out);
            }
            A::Avg => {
                let add = |(mean, any): &mut (Mean, bool), value| (mean.push(value), *any = true).1;
                fold(block, rows, &mut state.means, add);
                write(rows, &state.means, |(mean, any)| any.then(|| mean.total()), steps, out);
            }
            A::Stddev | A::Stdvar => {
                let add = |(variance, any): &mut (GroupVariance, bool), value| (variance.push(value), *any = true).1;
                fold(block, rows, &mut state.variances, add);
                let root = |variance: f64| if self.op == A::Stddev { variance.sqrt() } else { variance };
                write(rows, &state.variances, |(variance, any)| any.then(|| root(variance.total())), steps, out);
            }
            A::Count | A::Group | A::Min | A::Max => {
                let numbers = &mut state.numbers;
                match self.op {
                    A::Count => fold(block, rows, numbers, |n, _| *n = Some(n.unwrap_or(0.0) + 1.0)),
                    A::Group => fold(block, rows, numbers, |n, _| *n = Some(1.0)),
                    A::Min => fold(block, rows, numbers, |n, value| keep(n, value, |min| min > value)),
                    _ => fold(block, rows, numbers, |n, value| keep(n, value, |max| max < value)),
                }
                write(rows, numbers, |n| *n, steps, out);
            }
            A::Quantile => {
                let parameter = view.block(1);
                if (0..block.steps).any(|step| !(0.0..=1.0).contains(&parameter.scalar(step))) {
                    view.scope.note()?;
                }
                self.quantiles(block, parameter, out);
            }
            _ => unreachable!("BUG: {:?} does not make one number of a group", self.op),
        }
        out.order_by_first_step();
        Ok(self.groups.era())
    }

    fn quantiles(&mut self, block: &Block, parameter: &Block, out: &mut Block) {
        let GroupRows { of_row, slots, .. } = &self.rows;
        self.members.clear();
        self.members.extend(0..block.rows.len() as u32);
        self.members.sort_unstable_by_key(|row| (of_row[*row as usize], *row));
        out.reset(block.steps);
        let mut rest = self.members.as_slice();
        for (group, slot) in slots.iter().enumerate() {
            let len = rest.partition_point(|row| of_row[*row as usize] as usize == group);
            let (members, others) = rest.split_at(len);
            rest = others;
            let places = out.add_row(*slot);
            for (step, place) in places.iter_mut().enumerate() {
                self.sorted.clear();
                let values = members.iter().map(|row| block.at(*row as usize, step));
                self.sorted.extend(values.filter(|value| !is_absent(*value)));
                if !self.sorted.is_empty() {
                    *place = statistics::quantile(parameter.scalar(step), &mut self.sorted);
                }
            }
        }
    }
}

/// Takes `value` for the extreme if `is_beaten` by it; NaN yields to any number.
fn keep(extreme: &mut Option<f64>, value: f64, is_beaten: impl Fn(f64) -> bool) {
    if extreme.is_none_or(|extreme| is_beaten(extreme) || extreme.is_nan()) {
        *extreme = Some(value);
    }
}

/// Adds each number to the state of its group and step.
fn fold<S: Default + Clone>(block: &Block, rows: &GroupRows, states: &mut Vec<S>, add: impl Fn(&mut S, f64)) {
    let steps = block.steps;
    states.clear();
    states.resize(rows.slots.len() * steps, S::default());
    if steps == 1 {
        for (group, value) in rows.of_row.iter().zip(&block.values) {
            add(&mut states[*group as usize], *value);
        }
        return;
    }
    for (group, (_, row)) in rows.of_row.iter().zip(block.iter()) {
        let states = &mut states[*group as usize * steps..][..steps];
        let present = states.iter_mut().zip(row).filter(|(_, value)| !is_absent(**value));
        present.for_each(|(state, value)| add(state, *value));
    }
}

/// Writes what became of the states.
fn write<S>(rows: &GroupRows, states: &[S], total: impl Fn(&S) -> Option<f64>, steps: usize, out: &mut Block) {
    out.reset(steps);
    for (slot, states) in rows.slots.iter().zip(states.chunks_exact(steps.max(1))) {
        let places = out.add_row(*slot);
        places.iter_mut().zip(states).for_each(|(place, state)| *place = total(state).unwrap_or_else(absent));
    }
}
