//! What the plain evaluator does: parts of an expression that are not known to plans, or whose labels depend on values.
//!
//! Its rows are laid into slots by ordinary hashing, so that the nodes above go on as with any other input. Such are
//! `count_values`, `info()`, subqueries, `anchored` and `smoothed`, `fill`, `sort_by_label`, the histogram trim operators and
//! functions of native histograms.

use super::Stop;
use super::block::Block;
use super::evaluate::Scope;
use super::overlay::Overlaid;
use super::slots::{SlotTable, is_overgrown};
use crate::promql::ast::Expr;
use crate::promql::eval::grid::Grid;
use crate::promql::eval::rows_inside;

/// A part of an expression that is evaluated plainly.
#[derive(Debug)]
pub(super) struct Dynamic {
    expr: Expr,
    era: u64,
    pub(super) table: SlotTable,
}

impl Dynamic {
    pub(super) fn new(expr: Expr) -> Self {
        Dynamic { expr, era: 0, table: SlotTable::default() }
    }

    /// Gives the era of the result. Stops at errors and native histograms.
    pub(super) fn eval(&mut self, grid: Grid, scope: &Scope<'_>, out: &mut Block) -> Result<u64, Stop> {
        let rows = match scope.overlay {
            Some(overlay) => {
                rows_inside(&self.expr, grid, scope.query, &Overlaid::new(scope.store, overlay), scope.options)
            }
            None => rows_inside(&self.expr, grid, scope.query, scope.store, scope.options),
        };
        let (rows, is_noted) = rows.map_err(|_| Stop)?;
        if is_noted {
            scope.note()?;
        }
        if is_overgrown(self.table.len(), rows.len()) {
            self.era += 1;
            self.table.clear();
        }
        out.reset(grid.len());
        for row in rows {
            let places = out.add_row(self.table.slot(row.labels));
            for sample in row.samples {
                let step = sample.at.ms_since(grid.start) / grid.step_ms;
                places[step as usize] = sample.value.as_float().ok_or(Stop)?;
            }
        }
        Ok(self.era)
    }
}
