//! What an expression does, part by part: which parts are shared, which series and samples they read, what they give.
//!
//! In the flow: `almenara explain` and `/api/almenara/v1/explain` hand in one or more expressions, all rules of a file for example.
//! Equal parts are one node, so that what several rules share is seen to be shared.
//!
//! **Invariants.** A node's inputs stand before it. Nothing is evaluated that the expressions do not contain: each part of instant
//! vector or scalar type is evaluated once at the instant, parts inside subqueries are not.
//! **Units.** Milliseconds; windows are open on the left and closed on the right.
//! **Limits.** [`EXAMPLES_MAX`] series of a selector are named; [`NODES_MAX`] parts are told of.
//! **Cost.** That of evaluating each part: for people, not for dashboards.

mod class;

use std::collections::HashMap;

use crate::model::{Labels, Sample, StartTime, Timestamp};
use crate::promql::ast::{AtModifier, Expr, ExprKind, ValueType, VectorSelector};
use crate::promql::eval::{EvalError, QueryOptions, QueryValue, eval_instant};

use super::Querier;

pub use super::plan::Kind;
pub use class::Exactness;

/// Series that are named of each selector.
pub const EXAMPLES_MAX: usize = 5;
/// Parts of one explanation. The largest public rule packs have some thousands.
pub const NODES_MAX: usize = 20_000;
/// Reading one sample of a window, measured by `cargo bench --bench store`.
const SAMPLE_NS: u64 = 5;
/// Taking one element through a node: matching labels, computing, collecting.
const ELEMENT_NS: u64 = 150;

/// An explanation. See the [module](self).
#[derive(Clone, Debug)]
pub struct Explanation {
    /// For which instant.
    pub at: Timestamp,
    /// Inputs first.
    pub nodes: Vec<Node>,
    /// The expressions, in order.
    pub roots: Vec<Root>,
    /// Whether parts were left out because there were more than [`NODES_MAX`].
    pub is_cut: bool,
}

/// One of the expressions.
#[derive(Clone, Debug)]
pub struct Root {
    /// What it is called: a rule's name.
    pub name: String,
    /// Its node.
    pub node: usize,
    /// Samples that its evaluation reads, a window anew at each step that asks for it.
    pub samples: u64,
    /// The most samples that its evaluation holds at a time.
    pub peak_samples: usize,
    /// Why it has no answer.
    pub error: Option<EvalError>,
}

/// A part of the expressions.
#[derive(Clone, Debug)]
pub struct Node {
    /// As the printer writes it; what equal parts are known by.
    pub text: String,
    /// What it does with its inputs: `sum by (job)`, `rate`, `/`.
    pub operation: String,
    /// Its inputs among the nodes.
    pub inputs: Vec<usize>,
    /// How many nodes and expressions read it.
    pub uses: usize,
    /// What it is.
    pub value_type: ValueType,
    /// How a prepared plan holds its result.
    pub kind: Kind,
    /// How exact it is.
    pub exactness: Exactness,
    /// What it reads, if it is a selector.
    pub reads: Option<Reads>,
    /// How many elements it gives; `None` where it was not evaluated.
    pub elements: Option<usize>,
    /// Why it gives nothing.
    pub error: Option<EvalError>,
}

/// What a selector reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reads {
    /// After this instant.
    pub after: Timestamp,
    /// Up to this one.
    pub until: Timestamp,
    /// Series with a sample in between.
    pub series: usize,
    /// Their samples in between, staleness markers included.
    pub samples: usize,
    /// The first of them, by label set.
    pub examples: Vec<Labels>,
    /// Whether samples say since when they have counted.
    pub has_start_times: bool,
}

impl Node {
    /// What one evaluation of it, its inputs left out, will take about, in nanoseconds.
    pub fn estimated_ns(&self) -> u64 {
        let read = self.reads.as_ref().map_or(0, |reads| reads.samples as u64 * SAMPLE_NS);
        read + self.elements.unwrap_or(0) as u64 * ELEMENT_NS
    }

    /// Bytes that its samples and elements take while it is evaluated, labels left out.
    pub fn estimated_bytes(&self) -> u64 {
        let read = self.reads.as_ref().map_or(0, |reads| reads.samples);
        ((read + self.elements.unwrap_or(0)) * size_of::<Sample>()) as u64
    }
}

/// Explains `expressions`, each with its name, at one instant.
pub fn explain(
    expressions: &[(String, Expr)],
    at: Timestamp,
    querier: &dyn Querier,
    options: &QueryOptions<'_>,
) -> Result<Explanation, EvalError> {
    let mut explainer = Explainer {
        at,
        querier,
        options,
        nodes: Vec::new(),
        known: HashMap::new(),
        kinds: HashMap::new(),
        is_cut: false,
    };
    let mut roots = Vec::new();
    for (name, expr) in expressions {
        let expr = expr.for_query(0, 0)?;
        explainer.kinds.extend(super::plan::kinds(&expr));
        let Some(node) = explainer.node(&expr, Span { first: at, last: at })? else { break };
        explainer.nodes[node].uses += 1;
        let result = eval_instant(&expr, at, querier, options);
        let (samples, peak_samples) =
            result.as_ref().map_or((0, 0), |result| (result.stats.total_samples, result.stats.peak_samples));
        let error = fatal(result.err())?;
        roots.push(Root { name: name.clone(), node, samples, peak_samples, error });
    }
    let Explainer { nodes, is_cut, .. } = explainer;
    Ok(Explanation { at, nodes, roots, is_cut })
}

/// An error that ends the whole explanation, or one to tell of.
fn fatal(error: Option<EvalError>) -> Result<Option<EvalError>, EvalError> {
    match error {
        Some(error @ (EvalError::Canceled | EvalError::Timeout)) => Err(error),
        told => Ok(told),
    }
}

/// The instants at which a part is evaluated: one, or those of a subquery.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

impl Span {
    /// Where a selector or subquery with these modifiers refers to.
    fn moved(self, at: Option<AtModifier>, offset_ms: i64, query_at: Timestamp) -> Span {
        let base = match at {
            None => self,
            Some(AtModifier::Time(at)) => Span { first: at, last: at },
            Some(AtModifier::Start | AtModifier::End) => Span { first: query_at, last: query_at },
        };
        let offset_ms = offset_ms.saturating_neg();
        Span { first: base.first.plus_ms(offset_ms), last: base.last.plus_ms(offset_ms) }
    }
}

struct Explainer<'a> {
    at: Timestamp,
    querier: &'a dyn Querier,
    options: &'a QueryOptions<'a>,
    nodes: Vec<Node>,
    /// By text and instants: the same selector reads more inside a subquery.
    known: HashMap<(String, Span), usize>,
    /// As the plan of the expression has them, by text.
    kinds: HashMap<String, Kind>,
    is_cut: bool,
}

impl Explainer<'_> {
    /// The node of `expr`, made unless there is one; `None` where there are too many.
    fn node(&mut self, expr: &Expr, span: Span) -> Result<Option<usize>, EvalError> {
        let expr = expr.unparenthesised();
        let key = (expr.to_string(), span);
        if let Some(&node) = self.known.get(&key) {
            return Ok(Some(node));
        }
        let mut inputs = Vec::new();
        for (input, span) in self.inputs(expr, span) {
            let Some(input) = self.node(input, span)? else { return Ok(None) };
            inputs.push(input);
        }
        if self.nodes.len() == NODES_MAX {
            self.is_cut = true;
            return Ok(None);
        }
        inputs.iter().for_each(|input| self.nodes[*input].uses += 1);
        let reads = self.reads(expr, span)?;
        let (elements, error) = self.elements(expr, span)?;
        self.nodes.push(Node {
            text: key.0.clone(),
            operation: class::operation(expr),
            inputs,
            uses: 0,
            value_type: expr.value_type(),
            kind: self.kind(expr, &key.0),
            exactness: class::exactness(expr),
            reads,
            elements,
            error,
        });
        self.known.insert(key, self.nodes.len() - 1);
        Ok(Some(self.nodes.len() - 1))
    }

    /// The parts that `expr` is made of, and when each is evaluated. Texts are no parts.
    fn inputs<'e>(&self, expr: &'e Expr, span: Span) -> Vec<(&'e Expr, Span)> {
        let parts: Vec<&Expr> = match &expr.kind {
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::Aggregate(aggregate) => std::iter::once(&aggregate.expr).chain(&aggregate.param).collect(),
            ExprKind::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            ExprKind::Unary { operand, .. } => vec![operand],
            ExprKind::Paren(inner) => vec![inner],
            ExprKind::Subquery(subquery) => {
                let Span { first, last } = span.moved(subquery.at, subquery.offset_ms, self.at);
                return vec![(&subquery.expr, Span { first: first.plus_ms(-subquery.range_ms), last })];
            }
            ExprKind::Number(_)
            | ExprKind::Duration(_)
            | ExprKind::String(_)
            | ExprKind::Bytes(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector { .. } => Vec::new(),
        };
        parts.into_iter().filter(|part| part.value_type() != ValueType::String).map(|part| (part, span)).collect()
    }

    /// A window is no node of a plan but part of the function that reads it; what else is missing there belongs to a part that is
    /// evaluated as a whole.
    fn kind(&self, expr: &Expr, text: &str) -> Kind {
        let is_window = matches!(&expr.kind, ExprKind::MatrixSelector { selector, .. } if selector.extension.is_none());
        let missing = if is_window { Kind::Static } else { Kind::Dynamic };
        self.kinds.get(text).copied().unwrap_or(missing)
    }

    fn reads(&self, expr: &Expr, span: Span) -> Result<Option<Reads>, EvalError> {
        let lookback_ms = i64::try_from(self.options.lookback_delta.as_millis()).unwrap_or(i64::MAX);
        let (selector, range_ms): (&VectorSelector, i64) = match &expr.kind {
            ExprKind::VectorSelector(selector) => (selector, lookback_ms),
            ExprKind::MatrixSelector { selector, range_ms } => (selector, *range_ms),
            _ => return Ok(None),
        };
        let Span { first, last } = span.moved(selector.at, selector.offset_ms, self.at);
        let after = first.plus_ms(range_ms.saturating_neg());
        let series = self.querier.select(&selector.matchers, after.plus_ms(1), last)?;
        let mut reads = Reads { after, until: last, ..Reads::default() };
        for series in series.iter().filter(|series| !series.samples.is_empty()) {
            reads.series += 1;
            reads.samples += series.samples.len();
            reads.has_start_times |=
                series.starts.range(0, series.samples.len()).iter().any(Option::<StartTime>::is_some);
            if reads.examples.len() < EXAMPLES_MAX {
                reads.examples.push(series.labels.clone());
            }
        }
        Ok(Some(reads))
    }

    /// How many elements `expr` gives at the instant, unless it is a window or is evaluated at other instants.
    fn elements(&self, expr: &Expr, span: Span) -> Result<(Option<usize>, Option<EvalError>), EvalError> {
        let is_planned = matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector);
        if !is_planned || span != (Span { first: self.at, last: self.at }) {
            return Ok((None, None));
        }
        match eval_instant(expr, self.at, self.querier, self.options) {
            Ok(result) => Ok((Some(length(&result.value)), None)),
            Err(error) => Ok((None, fatal(Some(error))?)),
        }
    }
}

fn length(value: &QueryValue) -> usize {
    match value {
        QueryValue::Scalar { .. } | QueryValue::String { .. } => 1,
        QueryValue::Vector(elements) => elements.len(),
        QueryValue::Matrix(series) => series.len(),
    }
}

#[cfg(test)]
mod tests;
