//! From a parsed expression to nodes. Equal expressions, as the printer writes them, are one node, if they are evaluated on the
//! same grid.
//!
//! **Grids.** What `@` fixes is evaluated once and repeated ([`super::repeat`]); a subquery has a grid of its own
//! ([`super::subquery`]). So each node belongs to a *grid path*, which stands in its key: the empty one for the grid of the query,
//! `@;` for its first step, `[1h:15s];` for that of a subquery, and so on inwards.

use std::sync::Arc;

use super::absent::Absent;
use super::aggregate::{Aggregate, Grouping};
use super::arena::Plans;
use super::binary::ScalarBinary;
use super::block::Block;
use super::dynamic::Dynamic;
use super::histogram::{ClassicHistograms, Figure};
use super::join::Join;
use super::leaf::{Instant, Leaf};
use super::map::{Comparison, Drops, Map, MapFunction};
use super::node::{Fate, Key, Memo, Naming, Node, NodeId, Op};
use super::rank::{Rank, SortByValue};
use super::relabel::{Relabel, Source};
use super::set_operation::SetOperation;
use super::subquery::SubqueryWindows;
use super::window::{self, RangeFunction, Source as RangeSource};
use crate::model::{Anchoring, METRIC_NAME, MatchOp, Pattern, Replacement};
use crate::promql::ast::{
    Aggregate as AggregateExpr, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, ValueType,
    VectorSelector,
};
use crate::promql::eval::absent::labels_of;
use crate::promql::eval::binary::changes_meaning;
use crate::promql::eval::label_functions::check_label_name;
use crate::promql::eval::step_invariant::is_step_invariant;
use crate::promql::eval::{calendar, math};
use crate::promql::functions::{FunctionId, lookup};
use crate::promql::printer::write_subquery_range;

/// Label names that go together with the metric name.
const METADATA: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Ends the grid path of what is evaluated at the first step only.
const FIRST_STEP: &str = "@;";

pub(super) struct Compiler<'p> {
    plans: &'p mut Plans,
    /// See the module head.
    path: String,
}

/// What an expression becomes.
struct Compiled {
    op: Op,
    inputs: Vec<NodeId>,
    naming: Naming,
}

impl Compiled {
    fn new(op: Op, inputs: impl Into<Vec<NodeId>>, naming: Naming) -> Self {
        Compiled { op, inputs: inputs.into(), naming }
    }
}

impl<'p> Compiler<'p> {
    pub(super) fn new(plans: &'p mut Plans) -> Self {
        Compiler { plans, path: String::new() }
    }

    /// The node of a whole query, which is a scalar or an instant vector.
    pub(super) fn compile_query(&mut self, expr: &Expr) -> NodeId {
        let input = self.compile(expr);
        let node = self.plans.node(input);
        if !self.plans.delays_name_removal || node.value_type != ValueType::Vector || self.is_dynamic(input) {
            return input;
        }
        let key = self.key("strip", expr);
        let compiled = Compiled::new(Op::Strip(Box::default()), [input], node.naming);
        self.add(compiled, ValueType::Vector, key)
    }

    fn is_dynamic(&self, id: NodeId) -> bool {
        matches!(self.plans.node(id).op, Op::Dynamic(_))
    }

    /// The node of `expr`, which is a scalar or an instant vector.
    pub(super) fn compile(&mut self, expr: &Expr) -> NodeId {
        let expr = expr.unparenthesised();
        if let ExprKind::Unary { negate: false, operand } = &expr.kind {
            return self.compile(operand);
        }
        if !self.path.ends_with(FIRST_STEP) && is_step_invariant(expr) {
            return self.compile_repeated(expr);
        }
        let key = self.key("", expr);
        if let Some(id) = self.plans.find(&key) {
            return id;
        }
        let known = self.known(expr);
        let dynamic = || Compiled::new(Op::Dynamic(Box::new(Dynamic::new(expr.clone()))), [], Naming::ManyNames);
        self.add(known.unwrap_or_else(dynamic), expr.value_type(), key)
    }

    /// What is the same at all steps.
    fn compile_repeated(&mut self, expr: &Expr) -> NodeId {
        let key = self.key("repeat", expr);
        if let Some(id) = self.plans.find(&key) {
            return id;
        }
        let input = self.inside(FIRST_STEP, |compiler| compiler.compile(expr));
        let naming = self.plans.node(input).naming;
        self.add(Compiled::new(Op::Repeat, [input], naming), expr.value_type(), key)
    }

    /// Compiles what is evaluated on another grid.
    fn inside(&mut self, step: &str, compile: impl FnOnce(&mut Self) -> NodeId) -> NodeId {
        let outer_len = self.path.len();
        self.path.push_str(step);
        let id = compile(self);
        self.path.truncate(outer_len);
        id
    }

    fn key(&self, role: &'static str, expr: &Expr) -> Key {
        Key { text: expr.to_string(), role, path: self.path.clone() }
    }

    fn add(&mut self, compiled: Compiled, value_type: ValueType, key: Key) -> NodeId {
        let Compiled { op, inputs, naming } = compiled;
        let (block, memo) = (Block::default(), Memo::default());
        let fate = Fate::Stays;
        self.plans.add(Node { op, inputs, naming, value_type, era: 0, fate, block, memo, key, uses: 0 })
    }

    /// What is left of `naming` where the metric name is taken off.
    fn dropped(&self, naming: Naming) -> Naming {
        if self.plans.delays_name_removal { naming } else { Naming::Nameless }
    }

    /// Whether an operation that takes the name off does so at once.
    fn drops(&self, takes_name_off: bool) -> Drops {
        if takes_name_off && !self.plans.delays_name_removal { Drops::Name } else { Drops::Nothing }
    }

    /// `None` for what the plain evaluator must do.
    fn known(&mut self, expr: &Expr) -> Option<Compiled> {
        match &expr.kind {
            ExprKind::Number(value) | ExprKind::Duration(value) => {
                Some(Compiled::new(Op::Number(*value), [], Naming::Nameless))
            }
            ExprKind::VectorSelector(selector) => {
                let (leaf, naming) = self.leaf(selector)?;
                Some(Compiled::new(Op::Instant(Box::new(Instant::new(leaf))), [], naming))
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Unary { operand, .. } => Some(self.map(MapFunction::Negate, true, &[operand])),
            ExprKind::Paren(inner) => self.known(inner),
            ExprKind::Subquery(_) | ExprKind::String(_) | ExprKind::Bytes(_) | ExprKind::MatrixSelector { .. } => None,
        }
    }

    fn leaf(&mut self, selector: &VectorSelector) -> Option<(Leaf, Naming)> {
        if selector.extension.is_some() {
            return None;
        }
        let naming = if metric_of(selector).is_some() { Naming::OneName } else { Naming::ManyNames };
        let selection = self.plans.share_selection(&selector.matchers);
        Some((Leaf::new(selection, selector.offset_ms, selector.at), naming))
    }

    /// The first of `inputs` is the vector, the others are numbers.
    fn map(&mut self, function: MapFunction, takes_name_off: bool, inputs: &[&Expr]) -> Compiled {
        let inputs: Vec<NodeId> = inputs.iter().map(|input| self.compile(input)).collect();
        let naming = self.plans.node(inputs[0]).naming;
        let naming = if takes_name_off { self.dropped(naming) } else { naming };
        let map = Map::new(function, takes_name_off, self.drops(takes_name_off));
        Compiled::new(Op::Map(Box::new(map)), inputs, naming)
    }

    fn call(&mut self, call: &Call) -> Option<Compiled> {
        use FunctionId as F;
        let (id, args) = (call.function.id, &call.args);
        if let Some(position) = args.iter().position(|arg| arg.value_type() == ValueType::Matrix) {
            return self.range_call(call, position);
        }
        let vector = || args.iter().collect::<Vec<&Expr>>();
        Some(match id {
            F::Time | F::Pi | F::StartOf | F::EndOf | F::StepOf | F::RangeOf => {
                Compiled::new(Op::Fact(id), [], Naming::Nameless)
            }
            F::MaxOf | F::MinOf => {
                let operator = if id == F::MaxOf { ScalarBinary::MaxOf } else { ScalarBinary::MinOf };
                let inputs = [self.compile(&args[0]), self.compile(&args[1])];
                Compiled::new(Op::ScalarBinary(operator), inputs, Naming::Nameless)
            }
            F::VectorOf => Compiled::new(Op::VectorOf, [self.compile(&args[0])], Naming::Nameless),
            F::ScalarOf => Compiled::new(Op::ScalarOf, [self.compile(&args[0])], Naming::Nameless),
            F::Absent => self.absent(args, 0, &args[0])?,
            F::TimestampOf => match &args[0].unparenthesised().kind {
                ExprKind::VectorSelector(selector) => {
                    let (leaf, naming) = self.leaf(selector)?;
                    Compiled::new(Op::Instant(Box::new(Instant::times(leaf, self.drops(true)))), [], naming)
                }
                _ => self.map(MapFunction::StepTime, true, &vector()),
            },
            F::Clamp => self.map(MapFunction::Clamp, true, &vector()),
            F::ClampMin => self.map(MapFunction::ClampMin, true, &vector()),
            F::ClampMax => self.map(MapFunction::ClampMax, true, &vector()),
            F::Round => self.map(MapFunction::Round, true, &vector()),
            F::Sort | F::SortDesc => {
                let input = self.compile(&args[0]);
                let naming = self.plans.node(input).naming;
                Compiled::new(Op::Sort(Box::new(SortByValue::new(id == F::SortDesc))), [input], naming)
            }
            F::HistogramQuantile => self.classic(Figure::Quantile, args),
            F::HistogramFraction => self.classic(Figure::Fraction, args),
            F::LabelReplace => self.label_replace(args)?,
            F::LabelJoin => self.label_join(args)?,
            _ if calendar::is_calendar(id) && args.is_empty() => Compiled::new(Op::Fact(id), [], Naming::Nameless),
            _ if calendar::is_calendar(id) => self.map(MapFunction::Calendar(id), true, &vector()),
            _ if math::is_simple(id) => self.map(MapFunction::Math(id), true, &vector()),
            _ => return None,
        })
    }

    fn range_call(&mut self, call: &Call, position: usize) -> Option<Compiled> {
        let arg = call.args[position].unparenthesised();
        if matches!(&arg.kind, ExprKind::MatrixSelector { selector, .. } if selector.extension.is_some()) {
            return None;
        }
        if call.function.id == FunctionId::AbsentOverTime {
            let function = lookup("present_over_time").expect("BUG: a function has gone");
            let present = Call { function, args: call.args.clone() };
            let present = Expr { span: Default::default(), kind: ExprKind::Call(present) };
            return self.absent(&call.args, position, &present);
        }
        if !window::is_known(call.function.id) {
            return None;
        }
        let mut inputs = Vec::new();
        let (source, range_ms, naming, metric) = match &arg.kind {
            ExprKind::MatrixSelector { selector, range_ms } => {
                let (leaf, naming) = self.leaf(selector)?;
                (RangeSource::Leaf(leaf), *range_ms, naming, metric_of(selector))
            }
            ExprKind::Subquery(subquery) => {
                let step = std::fmt::from_fn(|f| write_subquery_range(f, subquery)).to_string() + ";";
                let input = self.inside(&step, |compiler| compiler.compile(&subquery.expr));
                inputs.push(input);
                let naming = self.plans.node(input).naming;
                (RangeSource::Subquery(SubqueryWindows::of(subquery)), subquery.range_ms, naming, None)
            }
            _ => unreachable!("BUG: a range vector that is neither a selector nor a subquery"),
        };
        let parameters = call.args.iter().enumerate().filter(|(index, _)| *index != position);
        inputs.extend(parameters.map(|(_, arg)| self.compile(arg)).collect::<Vec<_>>());
        let drops = self.drops(!window::keeps_name(call.function.id));
        let function = RangeFunction::new(source, call.function.id, range_ms, metric, drops);
        Some(Compiled::new(Op::Range(Box::new(function)), inputs, naming))
    }

    /// One element where `present` has none; its labels are those that the argument at `position` pins down.
    fn absent(&mut self, args: &[Expr], position: usize, present: &Expr) -> Option<Compiled> {
        let labels = labels_of(args[position].unparenthesised());
        // Whether these go at the end is another question in each case.
        if self.plans.delays_name_removal && METADATA.iter().any(|name| labels.get(name).is_some()) {
            return None;
        }
        let input = self.compile(present);
        Some(Compiled::new(Op::Absent(Absent { labels }), [input], Naming::Nameless))
    }

    fn classic(&mut self, figure: Figure, args: &[Expr]) -> Compiled {
        let inputs: Vec<NodeId> = args.iter().map(|arg| self.compile(arg)).collect();
        let naming = self.dropped(self.plans.node(inputs[inputs.len() - 1]).naming);
        let histograms = ClassicHistograms::new(figure, self.drops(true));
        Compiled::new(Op::Classic(Box::new(histograms)), inputs, naming)
    }

    fn label_replace(&mut self, args: &[Expr]) -> Option<Compiled> {
        let [destination, replacement, source, pattern] = [1, 2, 3, 4].map(|index| text(&args[index]));
        let pattern = Pattern::new(pattern?, Anchoring::Whole).ok()?;
        let replacement = Replacement::new(&replacement?);
        self.relabel(&args[0], destination?, Source::Replace { source: source?, pattern, replacement })
    }

    fn label_join(&mut self, args: &[Expr]) -> Option<Compiled> {
        let (destination, separator) = (text(&args[1])?, text(&args[2])?);
        let sources: Vec<Arc<str>> = args[3..].iter().map(text).collect::<Option<_>>()?;
        if sources.iter().any(|source| check_label_name(source, "").is_err()) {
            return None;
        }
        self.relabel(&args[0], destination, Source::Join { sources, separator })
    }

    fn relabel(&mut self, input: &Expr, destination: Arc<str>, source: Source) -> Option<Compiled> {
        check_label_name(&destination, "").ok()?;
        let renames = METADATA.contains(&&*destination);
        // A name that is set on purpose stays, but only where it is set.
        if renames && self.plans.delays_name_removal {
            return None;
        }
        let input = self.compile(input);
        let naming = if renames { Naming::ManyNames } else { self.plans.node(input).naming };
        Some(Compiled::new(Op::Relabel(Box::new(Relabel::new(destination, source))), [input], naming))
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr) -> Option<Compiled> {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Topk};
        let grouping = Grouping { labels: aggregate.grouping.clone(), without: aggregate.without };
        let op = aggregate.op;
        if op == CountValues {
            return None;
        }
        let mut inputs = vec![self.compile(&aggregate.expr)];
        inputs.extend(aggregate.param.as_ref().map(|param| self.compile(param)));
        if matches!(op, Topk | Bottomk | Limitk | LimitRatio) {
            let naming = self.plans.node(inputs[0]).naming;
            return Some(Compiled::new(Op::Rank(Box::new(Rank::new(op, grouping))), inputs, naming));
        }
        let keeps_name = !aggregate.without && aggregate.grouping.iter().any(|name| METADATA.contains(&&**name));
        let naming = if keeps_name { Naming::ManyNames } else { Naming::Nameless };
        Some(Compiled::new(Op::Aggregate(Box::new(Aggregate::new(op, grouping))), inputs, naming))
    }

    fn binary(&mut self, binary: &Binary) -> Option<Compiled> {
        let op = binary.op;
        if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            return None;
        }
        let comparison = if binary.return_bool { Comparison::Bool } else { Comparison::Filters };
        let takes_name_off = changes_meaning(op) || binary.return_bool;
        let (lhs, rhs) = (&binary.lhs, &binary.rhs);
        match (lhs.value_type(), rhs.value_type()) {
            (ValueType::Scalar, ValueType::Scalar) => {
                let inputs = [self.compile(lhs), self.compile(rhs)];
                Some(Compiled::new(Op::ScalarBinary(ScalarBinary::Operator(op)), inputs, Naming::Nameless))
            }
            (ValueType::Vector, ValueType::Scalar) => {
                Some(self.map(MapFunction::WithRight(op, comparison), takes_name_off, &[lhs, rhs]))
            }
            (ValueType::Scalar, ValueType::Vector) => {
                Some(self.map(MapFunction::WithLeft(op, comparison), takes_name_off, &[rhs, lhs]))
            }
            _ => self.join(binary, comparison),
        }
    }

    fn join(&mut self, binary: &Binary, comparison: Comparison) -> Option<Compiled> {
        let matching = binary.matching.as_ref().expect("BUG: two vectors without matching");
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return None;
        }
        let inputs = [self.compile(&binary.lhs), self.compile(&binary.rhs)];
        let [left, right] = inputs.map(|input| self.plans.node(input).naming);
        if binary.op.is_set() {
            let is_nameless = left == Naming::Nameless && right == Naming::Nameless;
            let naming = match binary.op {
                BinaryOp::Or if is_nameless => Naming::Nameless,
                BinaryOp::Or => Naming::ManyNames,
                _ => left,
            };
            let operation = SetOperation::new(binary.op, matching.clone());
            return Some(Compiled::new(Op::Set(Box::new(operation)), inputs, naming));
        }
        let many = if matching.cardinality == Cardinality::OneToMany { right } else { left };
        // Arithmetic takes the names off in any case.
        let drops = if changes_meaning(binary.op) { Drops::Name } else { self.drops(binary.return_bool) };
        let is_metadata = |names: &[Arc<str>]| names.iter().any(|name| METADATA.contains(&&**name));
        let naming = match (drops, matching.cardinality) {
            _ if is_metadata(&matching.include) => Naming::ManyNames,
            (Drops::Name, _) => Naming::Nameless,
            (_, Cardinality::OneToOne) if matching.on && !is_metadata(&matching.labels) => Naming::Nameless,
            _ => many,
        };
        let join = Join::new(binary.op, comparison, drops, matching.clone());
        Some(Compiled::new(Op::Join(Box::new(join)), inputs, naming))
    }
}

/// The one metric name of the series that a selector takes.
fn metric_of(selector: &VectorSelector) -> Option<&str> {
    let is_name = |matcher: &&crate::model::Matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    selector.matchers.iter().find(is_name).map(|matcher| &*matcher.value)
}

fn text(arg: &Expr) -> Option<Arc<str>> {
    match &arg.unparenthesised().kind {
        ExprKind::String(text) => Some(text.clone()),
        _ => None,
    }
}
