//! One evaluation: the nodes below a root, inputs first, each only where its last result does not hold any more.
//!
//! A *round* is one query on one grid, one epoch of the store and one state of the overlay: what was found to hold in it needs no second
//! look. In a new round a node with inputs holds if the versions of their results are those it was made from; a leaf holds if
//! the store says that nothing was written to its metric up to the times it reads.
//!
//! **Limits.** `--query.max-samples` bounds what the plain evaluator holds at a time. A plan holds other things at other times, so
//! it computes an upper bound of what the plain evaluator would have held; where that is above the limit, it stops and lets the plain
//! evaluator find out. An interrupt is looked at before each node and between the pieces of reading.

use super::absent;
use super::arena::Plans;
use super::binary;
use super::block::Block;
use super::executor::Executor;
use super::labels::Namer;
use super::leaf::Leaf;
use super::node::{Fate, Naming, Node, NodeId, Op};
use super::overlay::Overlay;
use super::repeat;
use super::window::Source;
use super::{Notes, Stop};
use crate::model::{Labels, Timestamp};
use crate::promql::eval::QueryOptions;
use crate::promql::eval::calendar;
use crate::promql::eval::evaluator::QueryRange;
use crate::promql::eval::grid::Grid;
use crate::promql::eval::selector::duration_ms;
use crate::promql::functions::FunctionId;
use crate::store::{Reader, Store};

/// The label names that are dropped together with the metric name, beside it.
const METADATA: [&str; 2] = ["__type__", "__unit__"];

/// What of the options changes results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    lookback_ms: i64,
    subquery_step_ms: i64,
    use_start_timestamps: bool,
    notes: Notes,
}

/// What is asked of a root.
pub(super) struct Asked<'a> {
    pub(super) grid: Grid,
    pub(super) query: QueryRange,
    pub(super) overlay: Option<&'a Overlay>,
    pub(super) options: &'a QueryOptions<'a>,
    pub(super) notes: Notes,
    pub(super) executor: Option<&'a dyn Executor>,
}

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Round {
    number: u64,
    made_for: Option<(Grid, QueryRange)>,
    epoch: u64,
    overlay: u64,
}

/// What is the same for all nodes of an evaluation.
pub(super) struct Scope<'a> {
    pub(super) store: &'a Store,
    pub(super) overlay: Option<&'a Overlay>,
    pub(super) options: &'a QueryOptions<'a>,
    pub(super) query: QueryRange,
    pub(super) lookback_ms: i64,
    pub(super) notes: Notes,
    pub(super) executor: Option<&'a dyn Executor>,
    round: u64,
    /// Of the store when the round began.
    epoch: u64,
    /// Whether series may differ in [`METADATA`] only.
    has_metadata: bool,
}

impl Scope<'_> {
    /// Stops if there is something to say and somebody to listen.
    pub(super) fn note(&self) -> Result<(), Stop> {
        if self.notes == Notes::Wanted { Err(Stop) } else { Ok(()) }
    }

    /// Whether taking metric names off may make label sets of such an input equal.
    pub(super) fn renames(&self, naming: Naming) -> bool {
        naming == Naming::ManyNames || self.has_metadata
    }

    pub(super) fn overlay_version(&self) -> u64 {
        self.overlay.map_or(0, Overlay::version)
    }

    /// Stops if nobody waits any more; the plain evaluator will say why.
    pub(super) fn check_interrupt(&self) -> Result<(), Stop> {
        let is_over = self.options.interrupt.is_some_and(|interrupt| interrupt().is_some());
        if is_over { Err(Stop) } else { Ok(()) }
    }

    /// Stops at more values than a query may hold.
    pub(super) fn check_size(&self, values: usize) -> Result<(), Stop> {
        if values > self.options.max_samples { Err(Stop) } else { Ok(()) }
    }

    pub(super) fn subquery_step_ms(&self) -> i64 {
        duration_ms(self.options.default_subquery_step)
    }
}

impl Plans {
    /// Evaluates `root`; the result then stands in its block.
    pub(super) fn eval_root(&mut self, root: NodeId, asked: &Asked<'_>, store: &Store) -> Result<(), Stop> {
        let Asked { grid, query, overlay, options, notes, executor } = *asked;
        // It was compiled for the other way.
        if options.delayed_name_removal != self.delays_name_removal {
            return Err(Stop);
        }
        self.settle(Settings {
            lookback_ms: duration_ms(options.lookback_delta),
            subquery_step_ms: duration_ms(options.default_subquery_step),
            use_start_timestamps: options.use_start_timestamps,
            notes,
        });
        let (epoch, has_metadata) = {
            let reader = store.reader();
            (reader.epoch(), METADATA.iter().any(|name| reader.has_label(name)))
        };
        let overlay_version = overlay.map_or(0, Overlay::version);
        let round = Round { number: self.round.number, made_for: Some((grid, query)), epoch, overlay: overlay_version };
        if round != self.round {
            self.round = Round { number: round.number + 1, ..round };
        }
        let scope = Scope {
            store,
            overlay,
            options,
            query,
            lookback_ms: duration_ms(options.lookback_delta),
            notes,
            executor,
            round: self.round.number,
            epoch,
            has_metadata,
        };
        self.eval(root, grid, &scope)?;
        scope.check_size(self.held_bound(root).0)
    }

    /// Upper bounds of the samples that the plain evaluator would hold at a time while it evaluates a node, and of its result.
    fn held_bound(&self, id: NodeId) -> (usize, usize) {
        let node = self.node(id);
        let (mut held, mut peak) = (0usize, 0usize);
        for input in &node.inputs {
            let (of_input, result) = self.held_bound(*input);
            peak = peak.max(held.saturating_add(of_input));
            held = held.saturating_add(result);
        }
        let result = node.block.values.len();
        // The elements of a step are held beside those of the inputs and of the result.
        let within = held.saturating_mul(2).saturating_add(result).saturating_add(node.memo.peak_samples);
        (peak.max(within), result)
    }

    /// Forgets all results if they were made under other settings.
    fn settle(&mut self, settings: Settings) {
        if self.settings != Some(settings) {
            self.settings = Some(settings);
            self.all_nodes().for_each(|node| node.memo.made_for = None);
        }
    }

    fn eval(&mut self, id: NodeId, grid: Grid, scope: &Scope<'_>) -> Result<(), Stop> {
        let memo = &self.node(id).memo;
        if memo.round == scope.round && memo.made_for == Some((grid, scope.query)) {
            return Ok(());
        }
        let mut node = self.take(id);
        let result = self.eval_node(&mut node, grid, scope);
        if result.is_err() {
            node.memo.made_for = None;
        }
        self.put_back(id, node);
        result
    }

    fn eval_node(&mut self, node: &mut Node, grid: Grid, scope: &Scope<'_>) -> Result<(), Stop> {
        scope.check_interrupt()?;
        scope.check_size(grid.len())?;
        for (index, input) in node.inputs.iter().enumerate() {
            let grid = match &node.op {
                Op::Repeat => Grid::instant(grid.start),
                Op::Range(range) if index == 0 => range.source.grid(grid, scope),
                _ => grid,
            };
            self.eval(*input, grid, scope)?;
        }
        let versions = node.inputs.iter().map(|input| self.node(*input).memo.version);
        let wanted = Some((grid, scope.query));
        let holds = node.memo.made_for == wanted
            && versions.clone().eq(node.memo.inputs.iter().copied())
            && self.holds(node, grid, scope);
        if !holds {
            node.memo.inputs.clear();
            node.memo.inputs.extend(versions);
            node.memo.made_for = None;
            self.refresh_leaf(node, scope);
            self.compute(node, grid, scope)?;
            node.memo.made_for = wanted;
            self.versions += 1;
            node.memo.version = self.versions;
        }
        node.memo.round = scope.round;
        Ok(())
    }

    /// Whether what a node reads beside its inputs is as it was.
    fn holds(&self, node: &Node, grid: Grid, scope: &Scope<'_>) -> bool {
        match &node.op {
            Op::Instant(instant) => self.leaf_holds(&instant.leaf, node, grid, scope),
            Op::Range(range) => range.source.leaf().is_none_or(|leaf| self.leaf_holds(leaf, node, grid, scope)),
            Op::Dynamic(_) => node.memo.epoch == scope.epoch && node.memo.overlay == scope.overlay_version(),
            _ => true,
        }
    }

    fn leaf_holds(&self, leaf: &Leaf, node: &Node, grid: Grid, scope: &Scope<'_>) -> bool {
        let selection = self.selection(leaf.selection);
        node.memo.overlay == leaf.overlay_version(selection.matchers(), scope)
            && (node.memo.epoch == scope.epoch
                || selection.is_unchanged(&scope.store.reader(), node.memo.epoch, leaf.reference(scope, grid.end)))
    }

    fn refresh_leaf(&mut self, node: &mut Node, scope: &Scope<'_>) {
        let leaf = match &node.op {
            Op::Instant(instant) => &instant.leaf,
            Op::Range(range) => match &range.source {
                Source::Leaf(leaf) => leaf,
                Source::Subquery(_) => return,
            },
            Op::Dynamic(_) => {
                (node.memo.epoch, node.memo.overlay) = (scope.epoch, scope.overlay_version());
                return;
            }
            _ => return,
        };
        let reader = scope.store.reader();
        self.refresh(leaf.selection, scope.store, &reader);
        node.memo.epoch = reader.epoch();
        node.memo.overlay = leaf.overlay_version(self.selection(leaf.selection).matchers(), scope);
    }

    fn compute(&self, node: &mut Node, grid: Grid, scope: &Scope<'_>) -> Result<(), Stop> {
        let Node { op, inputs, block: out, era, naming, memo, fate, .. } = node;
        memo.peak_samples = 0;
        if grid.is_empty() {
            out.reset(0);
            return Ok(());
        }
        let namer = Namer::new(self, scope.store);
        let view = View { plans: self, inputs, naming: *naming, grid, scope, namer };
        *era = match op {
            Op::Number(value) => scalars(out, grid, |_| *value),
            Op::Fact(id) => scalars(out, grid, |step| fact(*id, step, scope)),
            Op::ScalarBinary(operator) => binary::scalars(*operator, &view, out),
            Op::ScalarOf => binary::scalar_of(&view, out),
            Op::VectorOf => {
                out.clone_from(view.block(0));
                0
            }
            Op::Instant(instant) => instant.eval(&view, out)?,
            Op::Range(range) => range.eval(&view, out)?,
            Op::Map(map) => map.eval(&view, out)?,
            Op::Aggregate(aggregate) => aggregate.eval(&view, out)?,
            Op::Rank(rank) => rank.eval(&view, out)?,
            Op::Sort(sort) => sort.eval(&view, out)?,
            Op::Join(join) => join.eval(&view, out)?,
            Op::Set(set) => set.eval(&view, out)?,
            Op::Relabel(relabel) => relabel.eval(&view, out)?,
            Op::Classic(classic) => classic.eval(&view, out)?,
            Op::Absent(_) => absent::eval(&view, out),
            Op::Repeat => repeat::eval(&view, out)?,
            Op::Strip(strip) => strip.eval(&view, out)?,
            Op::Dynamic(dynamic) => dynamic.eval(grid, scope, out)?,
        };
        match op {
            Op::Range(range) => memo.peak_samples = range.peak_samples,
            Op::Dynamic(dynamic) => memo.peak_samples = dynamic.peak_samples,
            _ => {}
        }
        if self.delays_name_removal {
            *fate = fate_of(op, &view);
        }
        Ok(())
    }
}

/// What becomes of the names of results, as the plain evaluator marks its rows.
fn fate_of(op: &Op, view: &View<'_>) -> Fate {
    let goes_if = |goes| if goes { Fate::Goes } else { Fate::Stays };
    match op {
        // They have no names.
        Op::Number(_) | Op::Fact(_) | Op::ScalarBinary(_) | Op::ScalarOf | Op::VectorOf | Op::Absent(_) => Fate::Goes,
        Op::Instant(instant) => goes_if(instant.gives_times),
        Op::Range(range) if !range.keeps_name() => Fate::Goes,
        Op::Range(range) => range.source.leaf().map_or_else(|| view.node(0).fate, |_| Fate::Stays),
        Op::Map(map) if map.takes_name_off => Fate::Goes,
        Op::Join(join) => goes_if(join.gives_bool()),
        Op::Classic(_) => Fate::Goes,
        Op::Set(set) if set.is_union() => joint_fate([view.node(0), view.node(1)]),
        Op::Map(_)
        | Op::Aggregate(_)
        | Op::Rank(_)
        | Op::Sort(_)
        | Op::Set(_)
        | Op::Relabel(_)
        | Op::Repeat
        | Op::Strip(_) => view.node(0).fate,
        Op::Dynamic(dynamic) => dynamic.fate,
    }
}

/// That of the results of both sides together; those without names do not count.
fn joint_fate(sides: [&Node; 2]) -> Fate {
    let [left, right] = sides;
    let is_void = |node: &Node| node.naming == Naming::Nameless || node.block.rows.is_empty();
    match (is_void(left), is_void(right)) {
        (true, _) => right.fate,
        (_, true) => left.fate,
        _ if left.fate == right.fate => left.fate,
        _ => Fate::Differs,
    }
}

/// What a node sees while it is evaluated: its inputs, which are up to date, and what is the same for all nodes.
pub(super) struct View<'a> {
    plans: &'a Plans,
    inputs: &'a [NodeId],
    /// Of the node itself.
    pub(super) naming: Naming,
    pub(super) grid: Grid,
    pub(super) scope: &'a Scope<'a>,
    pub(super) namer: Namer<'a>,
}

impl<'a> View<'a> {
    pub(super) fn node(&self, input: usize) -> &'a Node {
        self.plans.node(self.inputs[input])
    }

    pub(super) fn block(&self, input: usize) -> &'a Block {
        &self.node(input).block
    }

    /// How many inputs there are.
    pub(super) fn inputs_len(&self) -> usize {
        self.inputs.len()
    }

    /// The number of a scalar input at `step`; NaN if there is no such input.
    pub(super) fn scalar(&self, input: usize, step: usize) -> f64 {
        self.inputs.get(input).map_or(f64::NAN, |id| self.plans.node(*id).block.scalar(step))
    }

    /// A look at the store. None may be held while labels are asked for.
    pub(super) fn reader(&self) -> Reader<'a> {
        self.scope.store.reader()
    }

    /// The labels of a slot of an input.
    pub(super) fn labels(&self, input: usize, slot: u32) -> Result<Labels, Stop> {
        self.namer.labels(self.inputs[input], slot)
    }
}

/// Fills a block with one row of numbers. Gives the era, which never changes.
fn scalars(out: &mut Block, grid: Grid, value: impl Fn(Timestamp) -> f64) -> u64 {
    out.reset(grid.len());
    let row = out.add_row(0);
    row.iter_mut().zip(grid.steps()).for_each(|(place, step)| *place = value(step));
    0
}

fn fact(id: FunctionId, step: Timestamp, scope: &Scope<'_>) -> f64 {
    match id {
        FunctionId::Time => step.as_secs_f64(),
        FunctionId::Pi => std::f64::consts::PI,
        _ if calendar::is_calendar(id) => calendar::field(id, step.as_ms().div_euclid(1000) as f64),
        _ => scope.query.fact(id),
    }
}
