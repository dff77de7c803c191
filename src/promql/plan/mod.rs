//! Prepared plans: expressions compiled once, evaluated again and again without hashing or allocating.
//!
//! In the flow: a driver owns one [`Engine`] beside its store. Each rule [`Engine::prepare`]s its expression and evaluates it at
//! each slot; what several rules ask for is computed once. A query of the API has an engine of its own, kept in case it comes again; of a
//! range query all steps are evaluated together ([`Engine::eval_range`]), node after node.
//!
//! ```text
//! expression ── compile ──► nodes: equal texts are one node            compile.rs, node.rs
//!                             │
//!            leaves           │        inner nodes                      dynamic.rs
//!   leaf.rs    last samples   │  map.rs         one element at a time    whatever is not known here, and what
//!   window.rs  range vectors  │  aggregate.rs   sum by …                 depends on run-time labels: the plain
//!      │       and subqueries │  join.rs, set_operation.rs, rank.rs …    evaluator, for that part of the tree
//!      ▼ store::Selection     ▼
//!   slots in label order ──► Block: rows of (slot, numbers)             block.rs
//!                            which labels a slot has: slots.rs, labels.rs
//! ```
//!
//! **The plain evaluator is the model.** A plan gives what [`super::eval`] gives, bit for bit and in the same order, or it
//! *stops* ([`Stop`]): at native histograms, at errors, at duplicate label sets, where warnings are asked for. The plain
//! evaluator then answers instead, so that texts and corner cases exist once. A property test holds both together.
//!
//! **Three kinds of node.** *Static*: each slot of the input leads to one slot of the result ([`slots`]). *Several
//! candidates*: `group_left` with labels of the other side remembers the last partner of each slot ([`join`]). *Dynamic*:
//! labels by ordinary hashing ([`dynamic`]).
//!
//! **Metric names.** Operations take the name off their results; where that is delayed to the end of the query, an engine of that
//! dialect keeps names, notes for each node what is to become of them, and takes them off before the answer ([`strip`]).
//!
//! **The store** is held for short pieces of reading. So that a commit in between is not seen by half, a pass at one instant that it concerns
//! begins again, and of several steps each series is read as far as it reached when the selector was begun ([`leaf`]).
//! **Limits.** Samples that come late between the pieces of a pass that has begun again, or of several steps, may be seen of some series only.
//!
//! **Memory of results.** A node's block holds for a grid as long as its inputs hold; a leaf's as long as no commit wrote to its
//! metric at or before the times it read ([`crate::store::Reader`] knows), and no rule of the same group recorded to it.
//! **Life.** Nodes are counted by use; when the last [`Prepared`] of an expression is dropped, the next prepare lets its nodes go,
//! but for those that it takes over.
//! **Cost.** A steady tick is a pass over the rows of each node; changes of the set of series cost in proportion to the changes,
//! but for one merge of an array of slot numbers.

mod absent;
mod aggregate;
mod answer;
mod arena;
mod binary;
mod block;
mod compile;
mod dynamic;
mod evaluate;
mod executor;
mod histogram;
mod join;
mod labels;
mod leaf;
mod map;
mod node;
mod overlay;
mod rank;
mod relabel;
mod repeat;
mod set_operation;
mod slots;
mod strip;
mod subquery;
mod summarised;
mod window;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;

use crate::model::Timestamp;
use crate::store::Store;

use super::ast::{Expr, ValueType};
use super::dialect::Dialect;
use super::eval::evaluator::QueryRange;
use super::eval::grid::Grid;
use super::eval::{EvalError, QueryOptions, QueryResult, eval_instant, eval_range};

pub use answer::Answer;
pub use executor::Executor;
pub use overlay::{Overlaid, Overlay};

use arena::Plans;
use compile::Compiler;
use evaluate::Asked;
use node::{Node, NodeId, Op};

/// Why a plan gives no answer: the plain evaluator must be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stop;

/// The prepared plans of a process and what they remember. See the [module](self).
pub struct Engine {
    store: Arc<Store>,
    delays_name_removal: bool,
    executor: Option<Arc<dyn Executor>>,
    plans: Mutex<Plans>,
}

/// An expression that an [`Engine`] knows. Dropping it lets its nodes go.
#[derive(Clone, Debug)]
pub struct Prepared {
    engine: Arc<()>,
    expr: Arc<Expr>,
    /// `None`: all of it is the plain evaluator's.
    root: Option<NodeId>,
    /// Counted: see [`arena::Plans::sweep`].
    _use: Arc<()>,
}

/// For which instant an answer is wanted, and how.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The instant.
    pub at: Timestamp,
    /// Samples on top of those of the store.
    pub overlay: Option<&'a Overlay>,
    /// As the plain evaluator takes them.
    pub options: &'a QueryOptions<'a>,
    /// See [`Notes`].
    pub notes: Notes,
}

/// For which steps an answer is wanted, and how.
#[derive(Clone, Copy)]
pub struct RangeQuestion<'a> {
    /// The first step.
    pub start: Timestamp,
    /// No step is later.
    pub end: Timestamp,
    /// From step to step; less than a millisecond counts as one.
    pub step: Duration,
    /// As the plain evaluator takes them.
    pub options: &'a QueryOptions<'a>,
    /// See [`Notes`].
    pub notes: Notes,
}

/// What is said about an answer besides the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notes {
    /// Nobody reads warnings.
    Ignored,
    /// An answer about which there is something to say is left to the plain evaluator.
    Wanted,
}

impl Engine {
    /// An engine without plans, for the language as it is without feature flags.
    pub fn new(store: Arc<Store>) -> Self {
        Engine::of_dialect(store, &Dialect::default())
    }

    /// As [`Engine::new`], for another dialect. What is evaluated with options of a dialect that drops names at another time is left
    /// to the plain evaluator.
    pub fn of_dialect(store: Arc<Store>, dialect: &Dialect) -> Self {
        let delays_name_removal = dialect.delayed_name_removal;
        let plans = Mutex::new(Plans::new(delays_name_removal));
        Engine { store, delays_name_removal, executor: None, plans }
    }

    /// With threads to read many series side by side.
    #[must_use]
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Engine { executor: Some(executor), ..self }
    }

    /// Whether `prepared` was prepared by this engine, and not before it lost its plans to a panic.
    pub fn knows(&self, prepared: &Prepared) -> bool {
        Arc::ptr_eq(&self.plans().identity, &prepared.engine)
    }

    /// The plans; new ones if an evaluation panicked half-way: that costs the evaluation and what was prepared, and nothing else.
    fn plans(&self) -> MutexGuard<'_, Plans> {
        let mut plans = self.plans.lock();
        if plans.is_evaluating {
            *plans = Plans::new(self.delays_name_removal);
        }
        plans
    }

    /// The store it reads.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Compiles `expr` for evaluation at single instants.
    pub fn prepare(&self, expr: &Expr) -> Prepared {
        self.prepare_settled(expr, expr.for_query(0, 0).ok().as_deref())
    }

    /// `settled` is `expr` with all durations computed; `None` if that is an error.
    fn prepare_settled(&self, expr: &Expr, settled: Option<&Expr>) -> Prepared {
        let mut plans = self.plans();
        // In this order, so that what was prepared last and let go since lends its nodes.
        let prepared = settled.and_then(|settled| plans.add_root(settled));
        plans.sweep();
        let (root, token) = prepared.unzip();
        Prepared { engine: plans.identity.clone(), expr: Arc::new(expr.clone()), root, _use: token.unwrap_or_default() }
    }

    /// How many nodes there are, each counted once however many expressions read it.
    pub fn nodes_len(&self) -> usize {
        self.plans().nodes_len()
    }

    /// About how many bytes the plans hold: what was selected, and the last results.
    pub fn held_bytes(&self) -> usize {
        self.plans().held_bytes()
    }

    /// The answer; `None` if the plain evaluator must be asked, as for what this engine does not know.
    pub fn eval(&self, prepared: &Prepared, question: &Question<'_>) -> Option<Answer<'_>> {
        let Question { at, overlay, options, notes } = *question;
        let query = QueryRange { start: at, end: at, step_ms: 0 };
        let executor = self.executor.as_deref();
        self.ask(prepared, &Asked { grid: Grid::instant(at), query, overlay, options, notes, executor })
    }

    fn ask(&self, prepared: &Prepared, asked: &Asked<'_>) -> Option<Answer<'_>> {
        let root = prepared.root?;
        let mut plans = self.plans();
        if !Arc::ptr_eq(&plans.identity, &prepared.engine) {
            return None;
        }
        plans.is_evaluating = true;
        let outcome = plans.eval_root(root, asked, &self.store);
        plans.is_evaluating = false;
        outcome.ok()?;
        Some(Answer::new(plans, root, &self.store))
    }

    /// As [`eval_range`]: by a plan where it can, else plainly. A plan counts no statistics.
    pub fn eval_range(&self, expr: &Expr, question: &RangeQuestion<'_>) -> Result<QueryResult, EvalError> {
        let RangeQuestion { start, end, step, options, .. } = *question;
        match self.planned_range(expr, question) {
            Some(result) => Ok(result),
            None => eval_range(expr, start, end, step, &*self.store, options),
        }
    }

    /// As [`Engine::eval_instant`]; `None` where the plain evaluator must be asked.
    pub fn planned_instant(&self, prepared: &Prepared, question: &Question<'_>) -> Option<QueryResult> {
        self.eval(prepared, question)?.to_result(question.at)
    }

    /// As [`Engine::eval_range`]; `None` where the plain evaluator must be asked.
    pub fn planned_range(&self, expr: &Expr, question: &RangeQuestion<'_>) -> Option<QueryResult> {
        let RangeQuestion { start, end, step, options, notes } = *question;
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let settled = expr.for_query(step_ms, end.ms_since(start)).ok()?;
        let prepared = self.prepare_settled(expr, Some(&settled));
        let grid = Grid::range(start, end, step_ms);
        let query = QueryRange { start, end, step_ms };
        let executor = self.executor.as_deref();
        self.ask(&prepared, &Asked { grid, query, overlay: None, options, notes, executor })?.to_matrix(grid)
    }

    /// As [`eval_instant`]: by the plan where it can, else plainly. A plan counts no statistics.
    pub fn eval_instant(&self, prepared: &Prepared, question: &Question<'_>) -> Result<QueryResult, EvalError> {
        let Question { at, overlay, options, .. } = *question;
        if let Some(result) = self.planned_instant(prepared, question) {
            return Ok(result);
        }
        match overlay {
            Some(overlay) => eval_instant(&prepared.expr, at, &Overlaid::new(&*self.store, overlay), options),
            None => eval_instant(&prepared.expr, at, &*self.store, options),
        }
    }
}

/// How a plan holds the result of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each series of the input always leads to the same one of the result.
    Static,
    /// A series of the result has labels of the other side, which may change: the last partner is remembered.
    Candidates,
    /// The plain evaluator's, labels by hashing.
    Dynamic,
}

/// How the parts of `expr` are held, by their text. A part without an entry belongs to one that is evaluated as a whole.
pub(super) fn kinds(expr: &Expr) -> FxHashMap<String, Kind> {
    let mut plans = Plans::default();
    Compiler::new(&mut plans).compile(expr);
    let kind = |node: &Node| match &node.op {
        Op::Dynamic(_) => Kind::Dynamic,
        Op::Join(join) if join.depends_on_pair() => Kind::Candidates,
        _ => Kind::Static,
    };
    plans.all_nodes().map(|node| (node.key.text.clone(), kind(node))).collect()
}

/// Whether a value of this type is one element or many per step.
fn is_planned(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Scalar | ValueType::Vector)
}

#[cfg(test)]
mod tests;
