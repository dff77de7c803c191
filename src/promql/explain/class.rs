//! What can be said of a part from its form: what it does, how a plan holds its result, how exact it is.

use crate::promql::ast::{AggregateOp, BinaryOp, Call, Cardinality, Expr, ExprKind, ValueType};
use crate::promql::functions::FunctionId;
use crate::promql::printer::{write_grouping, write_operator};

/// How a prepared plan holds a node's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each series of the input always leads to the same one of the result.
    Static,
    /// A series of the result has labels of the other side, which may change: the last partner is remembered.
    Candidates,
    /// Labels are made from values, or found by hashing at each evaluation.
    Dynamic,
}

impl Kind {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Static => "static",
            Kind::Candidates => "candidates",
            Kind::Dynamic => "dynamic",
        }
    }
}

/// What a long window promises against reading all its samples in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// The same bits as Prometheus.
    BitEqual,
    /// The same bits for integers below 2^53, else within the usual bound of summation.
    Summed,
    /// Within a bound relative to the function's own sums.
    Bounded,
    /// Every sample is read, however long the window.
    Decoded,
}

impl Exactness {
    /// In the words of the guide.
    pub fn as_str(self) -> &'static str {
        match self {
            Exactness::BitEqual => "bit-equal",
            Exactness::Summed => "summed",
            Exactness::Bounded => "bounded",
            Exactness::Decoded => "decoded",
        }
    }
}

/// What a node does with its inputs, in the words of the language.
pub(super) fn operation(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) => "number".to_owned(),
        ExprKind::String(_) | ExprKind::Bytes(_) => "text".to_owned(),
        ExprKind::VectorSelector(_) => "selector".to_owned(),
        ExprKind::MatrixSelector { .. } => "window".to_owned(),
        ExprKind::Subquery(_) => "subquery".to_owned(),
        ExprKind::Call(call) => call.function.name.to_owned(),
        ExprKind::Aggregate(aggregate) => shown(|f| write_grouping(f, aggregate)).trim().to_owned(),
        ExprKind::Binary(binary) => shown(|f| write_operator(f, binary)).trim().to_owned(),
        ExprKind::Unary { negate, .. } => if *negate { "-" } else { "+" }.to_owned(),
        ExprKind::Paren(inner) => operation(inner),
    }
}

/// Text that a function writes.
fn shown(write: impl Fn(&mut std::fmt::Formatter<'_>) -> std::fmt::Result) -> String {
    std::fmt::from_fn(write).to_string()
}

/// Kind and exactness.
pub(super) fn of(expr: &Expr) -> (Kind, Exactness) {
    match &expr.kind {
        ExprKind::Call(call) => of_call(call),
        ExprKind::Subquery(_) => (Kind::Dynamic, Exactness::Decoded),
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::CountValues => {
            (Kind::Dynamic, Exactness::BitEqual)
        }
        ExprKind::Binary(binary) => {
            let matching = binary.matching.as_ref();
            let fills = matching.is_some_and(|m| m.fill_left.is_some() || m.fill_right.is_some());
            let trims = matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
            let includes = matching.is_some_and(|m| {
                matches!(m.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany) && !m.include.is_empty()
            });
            let kind = match (fills || trims, includes) {
                (true, _) => Kind::Dynamic,
                (false, true) => Kind::Candidates,
                (false, false) => Kind::Static,
            };
            (kind, Exactness::BitEqual)
        }
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            let kind = if selector.extension.is_some() { Kind::Dynamic } else { Kind::Static };
            (kind, Exactness::BitEqual)
        }
        _ => (Kind::Static, Exactness::BitEqual),
    }
}

fn of_call(call: &Call) -> (Kind, Exactness) {
    use FunctionId as F;
    let window = call.args.iter().find(|arg| arg.value_type() == ValueType::Matrix).map(Expr::unparenthesised);
    let Some(window) = window else {
        let kind = if call.function.id == F::Info { Kind::Dynamic } else { Kind::Static };
        return (kind, Exactness::BitEqual);
    };
    let ExprKind::MatrixSelector { selector, .. } = &window.kind else {
        return (Kind::Dynamic, Exactness::Decoded);
    };
    let kind = if selector.extension.is_some() { Kind::Dynamic } else { Kind::Static };
    let exactness = match call.function.id {
        F::SumOverTime | F::AvgOverTime => Exactness::Summed,
        F::StddevOverTime | F::StdvarOverTime | F::Deriv | F::PredictLinear => Exactness::Bounded,
        F::QuantileOverTime | F::MadOverTime | F::DoubleExponentialSmoothing => Exactness::Decoded,
        _ => Exactness::BitEqual,
    };
    (kind, exactness)
}
