//! The result of a plan, readable while the engine is held.

use parking_lot::MutexGuard;

use super::arena::Plans;
use super::block::is_absent;
use super::labels::Namer;
use super::node::NodeId;
use crate::model::{Labels, Sample, Series, Timestamp};
use crate::promql::ast::ValueType;
use crate::promql::eval::grid::Grid;
use crate::promql::eval::{QueryResult, QueryStats, QueryValue, VectorElement};
use crate::store::Store;

/// The elements of a result, at one instant or at all steps of a range. It holds the engine: drop it soon.
pub struct Answer<'e> {
    plans: MutexGuard<'e, Plans>,
    root: NodeId,
    store: &'e Store,
}

impl<'e> Answer<'e> {
    pub(super) fn new(plans: MutexGuard<'e, Plans>, root: NodeId, store: &'e Store) -> Self {
        Answer { plans, root, store }
    }

    /// While this is the same, a slot means the same label set.
    pub fn era(&self) -> u64 {
        self.plans.node(self.root).era
    }

    /// Slot and number of each element, in the order of the result.
    pub fn elements(&self) -> impl Iterator<Item = (u32, f64)> {
        let block = &self.plans.node(self.root).block;
        block.rows.iter().copied().zip(block.values.iter().copied())
    }

    /// How many series with data its parts read, one by one: of a part that is evaluated plainly, those that it gave.
    pub fn series_read(&self) -> usize {
        fn below(plans: &Plans, id: NodeId) -> usize {
            let node = plans.node(id);
            match node.inputs.as_slice() {
                [] if node.value_type == ValueType::Vector => node.block.rows.len(),
                inputs => inputs.iter().map(|input| below(plans, *input)).sum(),
            }
        }
        below(&self.plans, self.root)
    }

    /// The labels of a slot; `None` if its series has gone from the store since it was read.
    pub fn labels(&self, slot: u32) -> Option<Labels> {
        Namer::new(&self.plans, self.store).labels(self.root, slot).ok()
    }

    /// As the plain evaluator gives it for the steps of `grid`, without statistics; `None` as for [`Answer::labels`].
    pub(super) fn to_matrix(&self, grid: Grid) -> Option<QueryResult> {
        let namer = Namer::new(&self.plans, self.store);
        let mut all = Vec::new();
        for (slot, row) in self.plans.node(self.root).block.iter() {
            let present = row.iter().zip(grid.steps()).filter(|(value, _)| !is_absent(**value));
            let mut samples = Vec::with_capacity(row.len());
            samples.extend(present.map(|(value, at)| Sample::float(at, *value)));
            all.push(Series::new(namer.labels(self.root, slot).ok()?, samples));
        }
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        let value = QueryValue::Matrix(all);
        Some(QueryResult { value, warnings: Vec::new(), infos: Vec::new(), stats: QueryStats::default() })
    }

    /// As the plain evaluator gives it, without statistics; `None` as for [`Answer::labels`].
    pub(super) fn to_result(&self, at: Timestamp) -> Option<QueryResult> {
        let namer = Namer::new(&self.plans, self.store);
        let value = match self.plans.node(self.root).value_type {
            ValueType::Scalar => QueryValue::Scalar { at, value: self.elements().next()?.1 },
            _ => {
                let element = |(slot, value): (u32, f64)| {
                    let labels = namer.labels(self.root, slot).ok()?;
                    Some(VectorElement { labels, at, value: value.into() })
                };
                QueryValue::Vector(self.elements().map(element).collect::<Option<_>>()?)
            }
        };
        Some(QueryResult { value, warnings: Vec::new(), infos: Vec::new(), stats: QueryStats::default() })
    }
}
