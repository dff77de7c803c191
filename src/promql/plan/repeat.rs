//! What `@` fixes: evaluated at the first step, the same at all steps.

use super::Stop;
use super::block::{Block, is_absent};
use super::evaluate::View;

/// Gives the era of the result.
pub(super) fn eval(view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
    let node = view.node(0);
    view.scope.check_size(node.block.rows.len().saturating_mul(view.grid.len()))?;
    out.reset(view.grid.len());
    for (slot, value) in node.block.iter() {
        if !is_absent(value[0]) {
            out.add_row(slot).fill(value[0]);
        }
    }
    Ok(node.era)
}
