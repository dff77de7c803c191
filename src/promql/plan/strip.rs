//! Metric names taken off at the end of a query, where they are not taken off by each operation (delayed name removal).
//!
//! In the flow: nodes keep the names and say what is to become of them ([`Fate`]); this one, between the plan and its answer, does it.
//! It stops where the names of some results are to stay and those of others to go, and where results come to have the same labels.

use super::Stop;
use super::block::Block;
use super::evaluate::View;
use super::labels::NameDrop;
use super::node::{Fate, Naming};
use super::slots::Marks;
use crate::model::Labels;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Strip {
    goes: bool,
    /// Counts how often `goes` has changed, which changes what slots mean.
    switches: u64,
    drop: NameDrop,
    collided: Marks,
}

impl Strip {
    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let node = view.node(0);
        out.clone_from(&node.block);
        let goes = match node.fate {
            _ if node.naming == Naming::Nameless => false,
            Fate::Stays => false,
            Fate::Goes => true,
            Fate::Differs => return Err(Stop),
        };
        if self.goes != goes {
            self.goes = goes;
            self.switches += 1;
        }
        let mut era = node.era;
        if goes {
            era = self.drop.follow(view.scope.renames(node.naming), era, out.rows.len());
        }
        if goes && self.drop.may_collide() {
            self.collided.start();
            for row in &mut out.rows {
                *row = self.drop.slot(*row, || view.labels(0, *row))?;
                if !self.collided.mark(*row) {
                    return Err(Stop);
                }
            }
        }
        Ok(era ^ (self.switches << 32))
    }

    pub(super) fn labels(&self, slot: u32, input: impl FnOnce() -> Result<Labels, Stop>) -> Result<Labels, Stop> {
        if self.goes { self.drop.labels(slot, input) } else { input() }
    }
}
