//! A query with `@` added to all its selectors gives the same at every instant, unless it looks at the clock.

use crate::model::Timestamp;
use crate::promql::ast::{AtModifier, Expr, ExprKind};
use crate::promql::functions::FunctionId;

/// `expr` with `@ at` on each selector and subquery that has none and is in no subquery; `None` if a function in it
/// looks at the step.
pub(super) fn with_at(expr: &Expr, at: Timestamp) -> Option<Expr> {
    let mut fixed = expr.clone();
    fix(&mut fixed, at).then_some(fixed)
}

/// Instants around `at` that upstream tries.
pub(super) fn other_instants(at: Timestamp) -> Vec<Timestamp> {
    let ms = at.as_ms();
    let others = if ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * ms, 0, ms / 5, ms, 10 * ms] };
    others.into_iter().map(Timestamp::from_ms).collect()
}

fn fix(expr: &mut Expr, at: Timestamp) -> bool {
    let modifier = Some(AtModifier::Time(at));
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => true,
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            selector.at = selector.at.or(modifier);
            true
        }
        ExprKind::Subquery(subquery) => {
            subquery.at = subquery.at.or(modifier);
            !looks_at_step(&subquery.expr)
        }
        ExprKind::Call(call) => !is_step_function(call.function.id) && call.args.iter_mut().all(|arg| fix(arg, at)),
        ExprKind::Aggregate(aggregate) => {
            fix(&mut aggregate.expr, at) && aggregate.param.as_mut().is_none_or(|param| fix(param, at))
        }
        ExprKind::Binary(binary) => fix(&mut binary.lhs, at) && fix(&mut binary.rhs, at),
        ExprKind::Unary { operand, .. } => fix(operand, at),
        ExprKind::Paren(inner) => fix(inner, at),
    }
}

fn looks_at_step(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => false,
        ExprKind::VectorSelector(_) | ExprKind::MatrixSelector { .. } => false,
        ExprKind::Subquery(subquery) => looks_at_step(&subquery.expr),
        ExprKind::Call(call) => is_step_function(call.function.id) || call.args.iter().any(looks_at_step),
        ExprKind::Aggregate(aggregate) => {
            looks_at_step(&aggregate.expr) || aggregate.param.as_ref().is_some_and(looks_at_step)
        }
        ExprKind::Binary(binary) => looks_at_step(&binary.lhs) || looks_at_step(&binary.rhs),
        ExprKind::Unary { operand, .. } => looks_at_step(operand),
        ExprKind::Paren(inner) => looks_at_step(inner),
    }
}

fn is_step_function(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::DaysInMonth
            | F::DayOfMonth
            | F::DayOfWeek
            | F::DayOfYear
            | F::EndOf
            | F::Hour
            | F::Minute
            | F::Month
            | F::Year
            | F::PredictLinear
            | F::RangeOf
            | F::StartOf
            | F::StepOf
            | F::Time
            | F::TimestampOf
    )
}
