//! Windows over the results of an expression, `f(expression[1h:15s])`: the expression is evaluated on a grid of its own, once for
//! the windows of all outer steps.

use super::block::{Block, is_absent};
use super::evaluate::Scope;
use crate::model::Timestamp;
use crate::promql::ast::{AtModifier, Subquery};
use crate::promql::eval::grid::Grid;
use crate::store::Window;

/// Where the windows of a subquery lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubqueryWindows {
    range_ms: i64,
    step_ms: Option<i64>,
    pub(super) offset_ms: i64,
    pub(super) at: Option<AtModifier>,
}

impl SubqueryWindows {
    pub(super) fn of(subquery: &Subquery) -> Self {
        let Subquery { range_ms, step_ms, offset_ms, at, .. } = *subquery;
        SubqueryWindows { range_ms, step_ms, offset_ms, at }
    }

    /// The grid of the expression, which may be empty.
    pub(super) fn grid(&self, outer: Grid, scope: &Scope<'_>) -> Grid {
        let reference = |step| scope.query.reference(self.at, self.offset_ms, step);
        let step_ms = self.step_ms.unwrap_or(scope.subquery_step_ms());
        Grid::subquery(reference(outer.start), reference(outer.end), self.range_ms, step_ms)
    }
}

/// Lays the numbers of a row into the columns of `window`, in place of what they held.
pub(super) fn lay_row(block: &Block, row: usize, times: &[Timestamp], window: &mut Window) {
    window.clear();
    let present = times.iter().zip(block.row(row)).filter(|(_, value)| !is_absent(**value));
    for (at, value) in present {
        window.at.push(*at);
        window.values.push(*value);
    }
}
