//! What can be said of a part from its form: what it does, and how exact it is.

use crate::promql::ast::{Expr, ExprKind};
use crate::promql::functions::FunctionId;
use crate::promql::plan::Kind;
use crate::promql::printer::{write_grouping, write_operator};

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

/// How exact a part is.
pub(super) fn exactness(expr: &Expr) -> Exactness {
    use FunctionId as F;
    let call = match &expr.kind {
        ExprKind::Subquery(_) => return Exactness::Decoded,
        ExprKind::Call(call) => call,
        _ => return Exactness::BitEqual,
    };
    if call.args.iter().any(|arg| matches!(arg.unparenthesised().kind, ExprKind::Subquery(_))) {
        return Exactness::Decoded;
    }
    match call.function.id {
        F::SumOverTime | F::AvgOverTime => Exactness::Summed,
        F::StddevOverTime | F::StdvarOverTime | F::Deriv | F::PredictLinear => Exactness::Bounded,
        F::QuantileOverTime | F::MadOverTime | F::DoubleExponentialSmoothing => Exactness::Decoded,
        _ => Exactness::BitEqual,
    }
}
