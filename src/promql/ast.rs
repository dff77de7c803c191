//! The tree of an expression. Every node knows its place in the text.
//!
//! In the flow: the parser builds it, the type check reads it, the printer writes it back, evaluation walks it.
//! Names follow Prometheus's `promql/parser/ast.go` (3.14). Durations are milliseconds with sign, since offsets may be negative.

use std::sync::Arc;

use crate::model::{Matcher, Timestamp};
use crate::source::Span;

use super::duration::Durations;
use super::functions::Function;

/// An expression and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Bytes of the text, without surrounding space.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x10`, `Inf`.
    Number(f64),
    /// `5m` where a number stands: its seconds, 300. Apart from printing it is a [`ExprKind::Number`].
    Duration(f64),
    /// `"text"`.
    String(Arc<str>),
    /// `"\xff"`: a text whose byte escapes give no UTF-8. It parses; nothing can be named or valued so.
    Bytes(Arc<[u8]>),
    /// `metric{label="value"} offset 5m @ 1609746000`.
    VectorSelector(VectorSelector),
    /// `metric[5m]`; offset and `@` stand in the selector.
    MatrixSelector {
        /// Which series, with the modifiers that follow the brackets.
        selector: VectorSelector,
        /// The window, above zero.
        range_ms: i64,
    },
    /// `expr[30m:1m]`.
    Subquery(Box<Subquery>),
    /// `rate(…)`.
    Call(Call),
    /// `sum by (job) (…)`.
    Aggregate(Box<Aggregate>),
    /// `a + on (x) b`.
    Binary(Box<Binary>),
    /// `-a`, `+a`.
    Unary {
        /// Whether the sign is minus.
        negate: bool,
        /// What it applies to.
        operand: Box<Expr>,
    },
    /// `(a)`.
    Paren(Box<Expr>),
}

/// Where `@` points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AtModifier {
    /// `@ 1609746000.5`
    Time(Timestamp),
    /// `@ start()`: the first step of the query.
    Start,
    /// `@ end()`: the last step of the query.
    End,
}

/// Which series, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name where it stands before the braces, `None` where it stands inside or is absent.
    pub name: Option<Arc<str>>,
    /// All tests, that on `__name__` included.
    pub matchers: Vec<Matcher>,
    /// `offset 5m` is 300,000: looks that far back; negative looks ahead.
    pub offset_ms: i64,
    /// `@`.
    pub at: Option<AtModifier>,
    /// `anchored` or `smoothed` (experimental).
    pub extension: Option<RangeExtension>,
    /// How the offset, and the range of a matrix selector, are computed where they are more than a number (experimental).
    /// Those that depend on the query are 0 until [`Expr::resolve_durations`].
    pub durations: Option<Box<Durations>>,
}

/// How a range selector treats the edges of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeExtension {
    /// `anchored`: the last sample before the window counts as its start.
    Anchored,
    /// `smoothed`: values at both edges are interpolated.
    Smoothed,
}

impl RangeExtension {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            RangeExtension::Anchored => "anchored",
            RangeExtension::Smoothed => "smoothed",
        }
    }
}

/// A range of an expression, evaluated at its own steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// The window, above zero.
    pub range_ms: i64,
    /// The resolution; `None` takes the default evaluation interval.
    pub step_ms: Option<i64>,
    /// See [`VectorSelector::offset_ms`].
    pub offset_ms: i64,
    /// `@`.
    pub at: Option<AtModifier>,
    /// See [`VectorSelector::durations`].
    pub durations: Option<Box<Durations>>,
}

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its entry in the registry.
    pub function: &'static Function,
    /// In order; the type check has counted them.
    pub args: Vec<Expr>,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the aggregation of that name
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

/// Aggregations by name; the order is that of the variants.
const AGGREGATE_OPS: [(AggregateOp, &str); 14] = [
    (AggregateOp::Sum, "sum"),
    (AggregateOp::Avg, "avg"),
    (AggregateOp::Count, "count"),
    (AggregateOp::Min, "min"),
    (AggregateOp::Max, "max"),
    (AggregateOp::Group, "group"),
    (AggregateOp::Stddev, "stddev"),
    (AggregateOp::Stdvar, "stdvar"),
    (AggregateOp::Topk, "topk"),
    (AggregateOp::Bottomk, "bottomk"),
    (AggregateOp::Quantile, "quantile"),
    (AggregateOp::CountValues, "count_values"),
    (AggregateOp::Limitk, "limitk"),
    (AggregateOp::LimitRatio, "limit_ratio"),
];

impl AggregateOp {
    /// The aggregation of this name, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        AGGREGATE_OPS.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        AGGREGATE_OPS[self as usize].1
    }

    /// The names of all aggregations.
    pub fn names() -> impl Iterator<Item = &'static str> {
        AGGREGATE_OPS.iter().map(|(_, name)| *name)
    }

    /// Whether a parameter stands before the aggregated expression.
    pub fn has_param(self) -> bool {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(self, Topk | Bottomk | Quantile | CountValues | Limitk | LimitRatio)
    }

    /// Whether Prometheus has it behind its feature flag `promql-experimental-functions`.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The first argument of `topk`, `bottomk`, `quantile`, `count_values`, `limitk`, `limit_ratio`.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<Arc<str>>,
    /// Whether `grouping` lists what goes rather than what stays.
    pub without: bool,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the operator of that name
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    And,
    Or,
    Unless,
    /// `</`: trims a histogram above a value (experimental).
    TrimUpper,
    /// `>/`: trims a histogram below a value (experimental).
    TrimLower,
}

impl BinaryOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Gt => ">",
            BinaryOp::Lt => "<",
            BinaryOp::Ge => ">=",
            BinaryOp::Le => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// How tightly it binds: a higher number first. `or` is 1, `^` is 6.
    pub fn precedence(self) -> u8 {
        use BinaryOp::*;
        match self {
            Or => 1,
            And | Unless => 2,
            Eq | Ne | Gt | Lt | Ge | Le | TrimUpper | TrimLower => 3,
            Add | Sub => 4,
            Mul | Div | Mod | Atan2 => 5,
            Pow => 6,
        }
    }

    /// `==`, `!=`, `>`, `<`, `>=`, `<=`.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Eq | Ne | Gt | Lt | Ge | Le)
    }

    /// `and`, `or`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many elements of each side belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// The default.
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// `on (…) group_left (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// How many belong together.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// Whether `labels` come from `on`.
    pub on: bool,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<Arc<str>>,
    /// What stands in for a missing left side (`fill`, `fill_left`; experimental).
    pub fill_left: Option<f64>,
    /// What stands in for a missing right side (`fill`, `fill_right`; experimental).
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Its left side.
    pub lhs: Expr,
    /// Its right side.
    pub rhs: Expr,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Between two vectors always there (the default where none is written), else `None`.
    pub matching: Option<VectorMatching>,
}

/// The type of an expression's value. Texts are Prometheus's (`model.ValType` as the parser's `DocumentedType` prints it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// Elements at one instant.
    Vector,
    /// Elements over a window.
    Matrix,
}

impl ValueType {
    /// As error messages name it: `instant vector`, `range vector`.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
        }
    }
}

impl Expr {
    /// The direct parts, as they are printed: the grouping of an aggregation stands before them.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => Vec::new(),
            ExprKind::VectorSelector(_) | ExprKind::MatrixSelector { .. } => Vec::new(),
            ExprKind::Subquery(subquery) => vec![&subquery.expr],
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).collect(),
            ExprKind::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            ExprKind::Unary { operand, .. } => vec![operand],
            ExprKind::Paren(inner) => vec![inner],
        }
    }

    /// The type of its value. It follows from the form alone.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::Bytes(_) => ValueType::String,
            ExprKind::VectorSelector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::MatrixSelector { .. } | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            ExprKind::Unary { operand, .. } => operand.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression inside any parentheses.
    pub fn unparenthesised(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}
