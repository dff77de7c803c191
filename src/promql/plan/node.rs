//! A node: an operation, the nodes it reads, its last result.
//!
//! **Naming.** Many operations take the metric name off their results. Where all series of an input have the same name, the
//! label sets stay distinct and the slots of the input serve for the result too; where names differ, two series may come to
//! have the same labels, and the node needs slots of its own. [`Naming`] says which is the case.

use super::absent::Absent;
use super::aggregate::Aggregate;
use super::binary::ScalarBinary;
use super::block::Block;
use super::dynamic::Dynamic;
use super::histogram::ClassicHistograms;
use super::join::Join;
use super::leaf::Instant;
use super::map::Map;
use super::rank::{Rank, SortByValue};
use super::relabel::Relabel;
use super::set_operation::SetOperation;
use super::strip::Strip;
use super::window::RangeFunction;
use crate::promql::ast::ValueType;
use crate::promql::eval::evaluator::QueryRange;
use crate::promql::eval::grid::Grid;
use crate::promql::functions::FunctionId;

/// Where a node stands among all nodes.
pub(super) type NodeId = usize;

/// What the label sets of a node's slots say of the metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Naming {
    /// None of them has a metric name.
    Nameless,
    /// All have the same.
    OneName,
    /// They may differ.
    ManyNames,
}

/// What becomes of the metric names of a node's results at the end of a query, where names are taken off there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// They stay.
    Stays,
    /// They go.
    Goes,
    /// Those of some results stay.
    Differs,
}

/// By which equal nodes find each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    /// The expression, as the printer writes it.
    pub(super) text: String,
    /// Tells the nodes of one expression apart.
    pub(super) role: &'static str,
    /// The grid on which it is evaluated: see [`super::compile`].
    pub(super) path: String,
}

/// A node. See the [module](self).
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) inputs: Vec<NodeId>,
    pub(super) naming: Naming,
    pub(super) value_type: ValueType,
    /// Changes when a slot may have come to mean another label set.
    pub(super) era: u64,
    pub(super) fate: Fate,
    pub(super) block: Block,
    pub(super) memo: Memo,
    pub(super) key: Key,
    /// How many nodes and prepared expressions read it.
    pub(super) uses: usize,
}

/// For what the block holds.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// The last round in which it was found to hold.
    pub(super) round: u64,
    /// The grid, and the query to whose range `start()` and `end()` refer: subqueries of different ones may have the same grid.
    /// `None` while it holds for nothing.
    pub(super) made_for: Option<(Grid, QueryRange)>,
    /// Differs for different results.
    pub(super) version: u64,
    /// The versions of the inputs from which it was made.
    pub(super) inputs: Vec<u64>,
    /// Before the first sample was read.
    pub(super) epoch: u64,
    /// Of the overlay, if it may have been read.
    pub(super) overlay: u64,
    /// The most samples that the plain evaluator would have held at a time inside this node, results apart.
    pub(super) peak_samples: usize,
}

/// What a node does; each in a file of its own.
pub(super) enum Op {
    /// A number as written.
    Number(f64),
    /// `time()`, `pi()`, `start()`, … and calendar functions without argument.
    Fact(FunctionId),
    /// Two numbers to one.
    ScalarBinary(ScalarBinary),
    /// `scalar(v)`.
    ScalarOf,
    /// `vector(s)`, whose result is its input.
    VectorOf,
    /// An instant selector, or `timestamp()` of one.
    Instant(Box<Instant>),
    /// A function of a range selector.
    Range(Box<RangeFunction>),
    /// Each element by itself.
    Map(Box<Map>),
    /// `sum` and the like.
    Aggregate(Box<Aggregate>),
    /// `topk` and the like.
    Rank(Box<Rank>),
    /// `sort`, `sort_desc`.
    Sort(Box<SortByValue>),
    /// A binary operator that matches elements.
    Join(Box<Join>),
    /// `and`, `or`, `unless`.
    Set(Box<SetOperation>),
    /// `label_replace`, `label_join`.
    Relabel(Box<Relabel>),
    /// `histogram_quantile`, `histogram_fraction`.
    Classic(Box<ClassicHistograms>),
    /// `absent`, `absent_over_time`.
    Absent(Absent),
    /// A result of the first step, at all steps.
    Repeat,
    /// Takes metric names off at the end of a query.
    Strip(Box<Strip>),
    /// What the plain evaluator does.
    Dynamic(Box<Dynamic>),
}
