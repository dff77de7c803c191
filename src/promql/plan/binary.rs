//! Operators on numbers: two scalars to one.

use super::block::{Block, is_absent};
use super::evaluate::View;
use crate::promql::ast::BinaryOp;
use crate::promql::eval::binary::{arithmetic, compare};
use crate::promql::eval::number::{go_max, go_min};

/// What is made of two numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScalarBinary {
    /// `a + b`; comparisons give 0 or 1.
    Operator(BinaryOp),
    /// `max_of(a, b)`.
    MaxOf,
    /// `min_of(a, b)`.
    MinOf,
}

impl ScalarBinary {
    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            ScalarBinary::Operator(op) => match compare(op, left, right) {
                Some(holds) => f64::from(u8::from(holds)),
                None => arithmetic(op, left, right),
            },
            ScalarBinary::MaxOf => go_max(left, right),
            ScalarBinary::MinOf => go_min(left, right),
        }
    }
}

/// Gives the era of the result, which never changes.
pub(super) fn scalars(operator: ScalarBinary, view: &View<'_>, out: &mut Block) -> u64 {
    out.reset(view.grid.len());
    let row = out.add_row(0);
    for (step, place) in row.iter_mut().enumerate() {
        *place = operator.apply(view.scalar(0, step), view.scalar(1, step));
    }
    0
}

/// `scalar()`: the one number there is, else NaN. Gives the era of the result, which never changes.
pub(super) fn scalar_of(view: &View<'_>, out: &mut Block) -> u64 {
    let block = view.block(0);
    out.reset(view.grid.len());
    let row = out.add_row(0);
    for (step, place) in row.iter_mut().enumerate() {
        let mut present = (0..block.rows.len()).map(|index| block.at(index, step)).filter(|value| !is_absent(*value));
        *place = match (present.next(), present.next()) {
            (Some(value), None) => value,
            _ => f64::NAN,
        };
    }
    0
}
