//! Queries of other tools, read as counts: which counters are added up, which are taken off.
//!
//! In the flow: the importers hand in the text of a query; out come the terms of an [`super::super::Indicator::Errors`].
//!
//! | query | count |
//! |---|---|
//! | `requests_total{code=~"5.."}` | the counters themselves |
//! | `sum(rate(requests_total[w]))`, `increase` too | the same |
//! | `sum by (zone) (rate(requests_total[w]))` | the same, grouped |
//! | `A - B`, `A + B`, `(A)` | differences and sums of such |
//! | `A or vector(0)` | `A`: what is not there counts nothing anyway |
//!
//! Whatever else is no count, with the reason: it is evaluated as a query ([`super::queried`]).

use std::sync::Arc;

use crate::promql::ast::{AggregateOp, BinaryOp, Expr, ExprKind, VectorSelector};
use crate::source::Span;

use super::super::selector::with_any_spelling;
use super::super::spec::{Selector, Term};

/// A query as counters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Count {
    /// What is added and taken off.
    pub(super) terms: Vec<Term>,
    /// The labels of `by`; `None` where nothing is aggregated.
    pub(super) grouping: Option<Vec<Arc<str>>>,
}

/// A query as a ratio of counts.
pub(super) struct Ratio {
    /// Above the line.
    pub(super) part: Count,
    /// Below it.
    pub(super) total: Count,
    /// Whether the query is one less the ratio.
    pub(super) is_complement: bool,
}

/// Why an expression is no count, and where in it.
pub(super) struct NoCount {
    span: Span,
    why: &'static str,
}

impl NoCount {
    /// In words; `text` is the query, of which spans tell.
    pub(super) fn told(&self, text: &str) -> String {
        format!("`{}` {}", text.get(self.span.start..self.span.end).unwrap_or(text), self.why)
    }
}

/// The ratio of counts that an expression stands for: `A / B` or `1 - A / B`.
pub(super) fn ratio(expr: &Expr) -> Result<Ratio, NoCount> {
    let expr = expr.unparenthesised();
    let no_ratio = NoCount { span: expr.span, why: "is not a ratio of two counts" };
    let ExprKind::Binary(binary) = &expr.kind else { return Err(no_ratio) };
    match (binary.op, &binary.lhs.unparenthesised().kind) {
        (BinaryOp::Div, _) => Ok(Ratio { part: count(&binary.lhs)?, total: count(&binary.rhs)?, is_complement: false }),
        (BinaryOp::Sub, ExprKind::Number(1.0)) => {
            let ratio = ratio(&binary.rhs)?;
            Ok(Ratio { is_complement: !ratio.is_complement, ..ratio })
        }
        _ => Err(no_ratio),
    }
}

/// The count that an expression stands for.
pub(super) fn count(expr: &Expr) -> Result<Count, NoCount> {
    let expr = expr.unparenthesised();
    match &expr.kind {
        ExprKind::VectorSelector(selector) => Ok(Count { terms: vec![term(expr, selector)?], grouping: None }),
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::Sum && !aggregate.without => {
            let mut grouping = aggregate.grouping.clone();
            grouping.sort();
            Ok(Count { terms: growth(&aggregate.expr)?, grouping: Some(grouping) })
        }
        ExprKind::Aggregate(_) => Err(NoCount { span: expr.span, why: "is not a sum, plain or by labels" }),
        ExprKind::Binary(binary) if matches!(binary.op, BinaryOp::Add | BinaryOp::Sub) => {
            let (mut lhs, rhs) = (count(&binary.lhs)?, count(&binary.rhs)?);
            if lhs.grouping != rhs.grouping {
                return Err(NoCount { span: expr.span, why: "joins counts with different groupings" });
            }
            let is_difference = binary.op == BinaryOp::Sub;
            let added = |term: Term| Term { is_subtracted: term.is_subtracted != is_difference, ..term };
            lhs.terms.extend(rhs.terms.into_iter().map(added));
            Ok(lhs)
        }
        ExprKind::Binary(binary) if binary.op == BinaryOp::Or && is_zero(&binary.rhs) => count(&binary.lhs),
        ExprKind::Call(call) if matches!(call.function.name, "rate" | "increase") => {
            Err(NoCount { span: expr.span, why: "is not summed up" })
        }
        _ => Err(NoCount { span: expr.span, why: "is not a count of events" }),
    }
}

/// What stands inside `sum`: the growth of counters.
fn growth(expr: &Expr) -> Result<Vec<Term>, NoCount> {
    let expr = expr.unparenthesised();
    if let ExprKind::Call(call) = &expr.kind
        && matches!(call.function.name, "rate" | "increase")
        && let ExprKind::MatrixSelector { selector, .. } = &call.args[0].unparenthesised().kind
    {
        return Ok(vec![term(expr, selector)?]);
    }
    Err(NoCount { span: expr.span, why: "is not the rate of a counter" })
}

fn term(expr: &Expr, selector: &VectorSelector) -> Result<Term, NoCount> {
    if selector.offset_ms != 0 || selector.at.is_some() || selector.durations.is_some() || selector.extension.is_some()
    {
        return Err(NoCount { span: expr.span, why: "has a modifier: an indicator counts samples where they are" });
    }
    let text = Expr { span: expr.span, kind: ExprKind::VectorSelector(selector.clone()) }.to_string();
    let selector = Selector { text: text.into(), matchers: selector.matchers.clone() };
    Ok(with_any_spelling(selector).into())
}

/// `vector(0)`.
fn is_zero(expr: &Expr) -> bool {
    let ExprKind::Call(call) = &expr.unparenthesised().kind else { return false };
    let is_zero = |arg: &Expr| matches!(arg.unparenthesised().kind, ExprKind::Number(0.0));
    call.function.name == "vector" && call.args.first().is_some_and(is_zero)
}
