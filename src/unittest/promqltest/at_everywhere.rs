//! A query with `@` added to all its selectors gives the same at every instant, unless it looks at the clock.

use crate::model::Timestamp;
use crate::promql::ast::{AtModifier, Expr, ExprKind};
use crate::promql::functions::FunctionId;

/// `expr` with `@ at` on each selector and subquery that has no fixed instant and is in no subquery; `None` if a function
/// outside subqueries looks at the step.
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
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            set(&mut selector.at, at);
            true
        }
        ExprKind::Subquery(subquery) => {
            // This fixes all that is in it.
            set(&mut subquery.at, at);
            true
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

/// `@ start()` and `@ end()` would mean another instant elsewhere, so they are replaced.
fn set(modifier: &mut Option<AtModifier>, at: Timestamp) {
    if !matches!(modifier, Some(AtModifier::Time(_))) {
        *modifier = Some(AtModifier::Time(at));
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
