//! What is done to each element by itself: functions of one number, the unary minus, operators with a scalar.

use super::Stop;
use super::block::{Block, absent, is_absent};
use super::evaluate::View;
use super::labels::NameDrop;
use super::slots::Marks;
use crate::promql::ast::BinaryOp;
use crate::promql::eval::binary::{arithmetic, compare};
use crate::promql::eval::number::{go_max, go_min};
use crate::promql::eval::{calendar, math};
use crate::promql::functions::FunctionId;

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) enum MapFunction {
    /// `-v`
    Negate,
    /// `abs(v)` and the like.
    Math(FunctionId),
    /// `hour(v)` and the like.
    Calendar(FunctionId),
    /// `timestamp(v)` of anything but a selector: the step.
    StepTime,
    /// `clamp(v, min, max)`
    Clamp,
    /// `clamp_min(v, min)`
    ClampMin,
    /// `clamp_max(v, max)`
    ClampMax,
    /// `round(v)`, `round(v, to)`
    Round,
    /// `v + s`
    WithRight(BinaryOp, Comparison),
    /// `s + v`
    WithLeft(BinaryOp, Comparison),
}

/// What a comparison gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    /// The elements for which it holds.
    Filters,
    /// 0 or 1.
    Bool,
}

/// A function, and what it does to names.
#[derive(Debug)]
pub(super) struct Map {
    function: MapFunction,
    /// False for comparisons that filter.
    pub(super) takes_name_off: bool,
    /// Where it does so at once.
    pub(super) drop: Option<NameDrop>,
    collided: Marks,
}

impl Map {
    pub(super) fn new(function: MapFunction, takes_name_off: bool, drops: Drops) -> Self {
        Map { function, takes_name_off, drop: drops.then_drop(), collided: Marks::default() }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (node, grid) = (view.node(0), view.grid);
        let function = self.function;
        let parameter = |index: usize, step: usize| view.scalar(index + 1, step);
        let has_round_to = view.inputs_len() > 1;
        let apply = |value: f64, step: usize| match function {
            MapFunction::Negate => Some(-value),
            MapFunction::Math(id) => Some(math::simple_function(id, value)),
            MapFunction::Calendar(id) => Some(calendar::field(id, value)),
            MapFunction::StepTime => Some(grid.start.plus_ms(step as i64 * grid.step_ms).as_secs_f64()),
            MapFunction::Clamp => clamp(value, parameter(0, step), parameter(1, step)),
            MapFunction::ClampMin => clamp(value, parameter(0, step), f64::INFINITY),
            MapFunction::ClampMax => clamp(value, f64::NEG_INFINITY, parameter(0, step)),
            MapFunction::Round => {
                // Dividing by the inverse loses less than multiplying.
                let inverse = 1.0 / if has_round_to { parameter(0, step) } else { 1.0 };
                Some((value * inverse + 0.5).floor() / inverse)
            }
            MapFunction::WithRight(op, comparison) => operate(op, comparison, value, parameter(0, step), value),
            MapFunction::WithLeft(op, comparison) => operate(op, comparison, parameter(0, step), value, value),
        };
        let era = match &mut self.drop {
            Some(drop) => drop.follow(view.scope.renames(node.naming), node.era, node.block.rows.len()),
            None => node.era,
        };
        self.collided.start();
        out.reset(node.block.steps);
        for (slot, row) in node.block.iter() {
            let places = out.add_row(slot);
            let mut has_any = false;
            for (step, (place, value)) in places.iter_mut().zip(row).enumerate() {
                let value = if is_absent(*value) { None } else { apply(*value, step) };
                has_any |= value.is_some();
                *place = value.unwrap_or_else(absent);
            }
            if !has_any {
                out.pop_row();
            } else if let Some(drop) = self.drop.as_mut().filter(|drop| drop.may_collide()) {
                let renamed = drop.slot(slot, || view.labels(0, slot))?;
                let last = out.rows.len() - 1;
                out.rows[last] = renamed;
                if !self.collided.mark(renamed) {
                    return Err(Stop);
                }
            }
        }
        if !matches!(function, MapFunction::Negate) {
            out.order_by_first_step();
        }
        Ok(era)
    }
}

/// Whether a function takes the metric name off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drops {
    Name,
    Nothing,
}

impl Drops {
    pub(super) fn then_drop(self) -> Option<NameDrop> {
        (self == Drops::Name).then(NameDrop::default)
    }
}

fn clamp(value: f64, min: f64, max: f64) -> Option<f64> {
    if max < min { None } else { Some(go_max(min, go_min(max, value))) }
}

/// What an operator makes of two numbers; a comparison that filters gives `kept`.
pub(super) fn operate(op: BinaryOp, comparison: Comparison, left: f64, right: f64, kept: f64) -> Option<f64> {
    match compare(op, left, right) {
        None => Some(arithmetic(op, left, right)),
        Some(holds) if comparison == Comparison::Bool => Some(f64::from(u8::from(holds))),
        Some(holds) => holds.then_some(kept),
    }
}
