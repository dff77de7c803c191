//! `absent`, `absent_over_time`: one element where the input has none.

use super::block::{Block, is_absent};
use super::evaluate::View;
use crate::model::Labels;

/// The labels that the argument pins down.
pub(super) struct Absent {
    pub(super) labels: Labels,
}

/// Gives the era of the result, which never changes.
pub(super) fn eval(view: &View<'_>, out: &mut Block) -> u64 {
    let (input, steps) = (view.block(0), view.grid.len());
    out.reset(steps);
    let is_empty = |step: usize| (0..input.rows.len()).all(|row| is_absent(input.at(row, step)));
    if steps == 1 {
        if input.rows.is_empty() {
            out.push(0, 1.0);
        }
    } else if (0..steps).any(is_empty) {
        let row = out.add_row(0);
        (0..steps).filter(|step| is_empty(*step)).for_each(|step| row[step] = 1.0);
    }
    0
}
