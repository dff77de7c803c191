//! What the plain evaluator does: parts of an expression that are not known to plans, or whose labels depend on values.
//!
//! Its rows are laid into slots by ordinary hashing, so that the nodes above go on as with any other input. Such are
//! `count_values`, `info()`, `anchored` and `smoothed`, `fill`, `sort_by_label`, the histogram trim operators and functions of
//! native histograms.

use super::Stop;
use super::block::Block;
use super::evaluate::Scope;
use super::node::Fate;
use super::overlay::Overlaid;
use super::slots::{Marks, SlotTable, is_overgrown};
use crate::promql::ast::Expr;
use crate::promql::eval::grid::Grid;
use crate::promql::eval::{PlainRows, rows_inside};

/// A part of an expression that is evaluated plainly.
#[derive(Debug)]
pub(super) struct Dynamic {
    expr: Expr,
    era: u64,
    pub(super) table: SlotTable,
    laid: Marks,
    /// Of the rows of the last evaluation.
    pub(super) fate: Fate,
    /// Of the last evaluation.
    pub(super) peak_samples: usize,
}

impl Dynamic {
    pub(super) fn new(expr: Expr) -> Self {
        Dynamic {
            expr,
            era: 0,
            table: SlotTable::default(),
            laid: Marks::default(),
            fate: Fate::Stays,
            peak_samples: 0,
        }
    }

    /// Gives the era of the result. Stops at errors and native histograms.
    pub(super) fn eval(&mut self, grid: Grid, scope: &Scope<'_>, out: &mut Block) -> Result<u64, Stop> {
        let rows = match scope.overlay {
            Some(overlay) => {
                rows_inside(&self.expr, grid, scope.query, &Overlaid::new(scope.store, overlay), scope.options)
            }
            None => rows_inside(&self.expr, grid, scope.query, scope.store, scope.options),
        };
        let PlainRows { rows, is_noted, peak_samples } = rows.map_err(|_| Stop)?;
        if is_noted {
            scope.note()?;
        }
        self.peak_samples = peak_samples;
        self.fate = match rows.first().map(|first| first.drop_name) {
            Some(goes) if rows.iter().any(|row| row.drop_name != goes) => Fate::Differs,
            Some(true) => Fate::Goes,
            Some(false) | None => Fate::Stays,
        };
        if is_overgrown(self.table.len(), rows.len()) {
            self.era += 1;
            self.table.clear();
        }
        out.reset(grid.len());
        self.laid.start();
        for row in rows {
            let slot = self.table.slot(row.labels);
            // Names that go at the end may have hidden that two rows are the same.
            if self.laid.mark(slot) {
                scope.check_size(out.values.len())?;
            } else {
                return Err(Stop);
            }
            let places = out.add_row(slot);
            for sample in row.samples {
                let step = sample.at.ms_since(grid.start) / grid.step_ms;
                places[step as usize] = sample.value.as_float().ok_or(Stop)?;
            }
        }
        Ok(self.era)
    }
}
