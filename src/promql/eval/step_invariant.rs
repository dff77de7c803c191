//! Which expressions have the same value at every step, since `@` fixes their instants.

use crate::promql::ast::{Expr, ExprKind};
use crate::promql::functions::FunctionId;

/// Whether `expr` can be evaluated once for all steps.
pub(in crate::promql) fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        // A number is as cheap to give as to repeat.
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
        _ => has_fixed_instants(expr),
    }
}

fn has_fixed_instants(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Call(call) => {
            let fixed_args = call.args.iter().all(has_fixed_instants);
            fixed_args && (!depends_on_step(call.function.id) || is_timestamp_of_selector(call.function.id, &call.args))
        }
        // Upstream looks at the aggregated expression only, but a parameter may vary all the same.
        ExprKind::Aggregate(aggregate) => {
            has_fixed_instants(&aggregate.expr) && aggregate.param.as_ref().is_none_or(has_fixed_instants)
        }
        ExprKind::Binary(binary) => has_fixed_instants(&binary.lhs) && has_fixed_instants(&binary.rhs),
        ExprKind::Unary { operand, .. } => has_fixed_instants(operand),
        ExprKind::Paren(inner) => has_fixed_instants(inner),
    }
}

fn is_timestamp_of_selector(id: FunctionId, args: &[Expr]) -> bool {
    id == FunctionId::TimestampOf
        && args.iter().all(|arg| matches!(arg.unparenthesised().kind, ExprKind::VectorSelector(_)))
}

/// Functions that read the step itself, or the times of an instant vector.
fn depends_on_step(id: FunctionId) -> bool {
    use FunctionId::{
        DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, Hour, Minute, Month, PredictLinear, Time, TimestampOf, Year,
    };
    matches!(
        id,
        DaysInMonth
            | DayOfMonth
            | DayOfWeek
            | DayOfYear
            | Hour
            | Minute
            | Month
            | Year
            | PredictLinear
            | Time
            | TimestampOf
    )
}
