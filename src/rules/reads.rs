//! Which metrics an expression may read: whether a rule can see what an earlier rule of its group records.

use crate::model::{METRIC_NAME, Matcher};
use crate::promql::Expr;
use crate::promql::ast::ExprKind;

/// Whether a selector of `expr` may take series of the metric `name`.
pub(super) fn may_read(expr: &Expr, name: &str) -> bool {
    let is_any = |exprs: &[Expr]| exprs.iter().any(|expr| may_read(expr, name));
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            let mut of_name = selector.matchers.iter().filter(|matcher: &&Matcher| &*matcher.name == METRIC_NAME);
            of_name.all(|matcher| matcher.matches(name))
        }
        ExprKind::Subquery(subquery) => may_read(&subquery.expr, name),
        // `info()` looks for info metrics of its own.
        ExprKind::Call(call) => call.function.name == "info" || is_any(&call.args),
        ExprKind::Aggregate(aggregate) => {
            may_read(&aggregate.expr, name) || aggregate.param.as_ref().is_some_and(|param| may_read(param, name))
        }
        ExprKind::Binary(binary) => may_read(&binary.lhs, name) || may_read(&binary.rhs, name),
        ExprKind::Unary { operand, .. } => may_read(operand, name),
        ExprKind::Paren(inner) => may_read(inner, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_matchers_on_the_name() {
        for (text, name, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("sum(rate(a[5m])) / sum({__name__=~\"job:.*\"})", "job:x", true),
            ("sum(rate(a[5m])) / sum({__name__=~\"job:.*\"})", "x", false),
            ("{job=\"x\"}", "anything", true),
            ("max_over_time((-b)[5m:])", "b", true),
            ("quantile(scalar(q), a)", "q", true),
        ] {
            let expr = crate::promql::parse(text).unwrap();
            assert_eq!(may_read(&expr, name), expected, "{text} {name}");
        }
    }
}
