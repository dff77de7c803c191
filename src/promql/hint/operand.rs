//! Help for an expression of the wrong type, and for ranges and times at the wrong place: the user's own expression, put right.

use super::{SHOWN_LEN_MAX, shown, signature};
use crate::promql::ast::{Aggregate, AtModifier, Call, Expr, ExprKind, Subquery, ValueType, VectorSelector};
use crate::promql::functions::{self, Function, FunctionId};

/// The window suggested where one is missing.
const RANGE_MS: i64 = 300_000;

/// `expr` in a hint, if it is short enough and right.
fn written(expr: &Expr) -> Option<String> {
    let text = expr.to_string();
    (text.len() <= SHOWN_LEN_MAX && crate::promql::parse(&text).is_ok()).then_some(text)
}

/// For a range after something that is not a selector; `brackets` are as written.
pub(in crate::promql) fn for_range_of_expression(expr: &Expr, range_ms: i64, brackets: &str) -> String {
    let inside = brackets.trim_matches(['[', ']']).trim();
    let inner = expr.unparenthesised();
    let fixed = match &inner.kind {
        ExprKind::MatrixSelector { .. } | ExprKind::Subquery(_) => return "one range is enough".to_owned(),
        ExprKind::VectorSelector(_) => Some(with_range(inner, range_ms)),
        ExprKind::Call(call) => call_with_range(inner, call, range_ms),
        _ if inner.value_type() != ValueType::Vector => return "a range follows a metric: `metric[5m]`".to_owned(),
        _ => None,
    };
    if let Some(text) = fixed.and_then(|fixed| written(&fixed)) {
        return format!("write `{text}`");
    }
    let subquery = with_range(expr, range_ms);
    let text = written(&subquery).unwrap_or_else(|| format!("(…)[{inside}:]"));
    format!("put the range directly after the metric, or write a subquery: `{text}`")
}

/// `rate(x)` with the range that stood behind it.
fn call_with_range(expr: &Expr, call: &Call, range_ms: i64) -> Option<Expr> {
    let index = call.function.args.iter().position(|wanted| *wanted == ValueType::Matrix)?;
    let arg = call.args.get(index).filter(|arg| matches!(arg.kind, ExprKind::VectorSelector(_)))?;
    Some(with_argument(expr, call, index, with_range(arg, range_ms)))
}

/// A window of `expr`: of a selector its samples, of anything else a subquery.
fn with_range(expr: &Expr, range_ms: i64) -> Expr {
    let inner = expr.unparenthesised();
    let kind = match &inner.kind {
        ExprKind::VectorSelector(selector) => ExprKind::MatrixSelector { selector: selector.clone(), range_ms },
        kind => {
            let needs_parentheses = matches!(kind, ExprKind::Binary(_) | ExprKind::Unary { .. });
            let inner = Expr { span: inner.span, kind: kind.clone() };
            let expr = if needs_parentheses {
                Expr { span: inner.span, kind: ExprKind::Paren(Box::new(inner)) }
            } else {
                inner
            };
            let subquery = Subquery { expr, range_ms, step_ms: None, offset_ms: 0, at: None, durations: None };
            ExprKind::Subquery(Box::new(subquery))
        }
    };
    Expr { span: expr.span, kind }
}

fn with_argument(expr: &Expr, call: &Call, index: usize, arg: Expr) -> Expr {
    let mut args = call.args.clone();
    args[index] = arg;
    Expr { span: expr.span, kind: ExprKind::Call(Call { function: call.function, args }) }
}

fn call_of(name: &str, arg: Expr) -> Expr {
    let function = functions::lookup(name).expect("BUG: a function that does not exist is suggested");
    Expr { span: arg.span, kind: ExprKind::Call(Call { function, args: vec![arg] }) }
}

/// For the argument number `index` of `call`, which should be of the type `wanted`.
pub(in crate::promql) fn for_argument_type(call: &Call, index: usize, wanted: ValueType) -> Option<String> {
    let (name, arg) = (call.function.name, &call.args[index]);
    if let Some(swapped) = swapped(call) {
        return (index == 0).then(|| format!("the arguments stand the other way round: `{}`", shown(&swapped)));
    }
    match (wanted, arg.value_type()) {
        (ValueType::Matrix, ValueType::Vector) => Some(for_missing_range(call, index)),
        (ValueType::Vector, ValueType::Matrix) => Some(for_range_too_much(call, index)),
        (ValueType::Vector, ValueType::Scalar) if call.function.id == FunctionId::ScalarOf => {
            Some("this is a number already".to_owned())
        }
        (ValueType::Vector, ValueType::Scalar) => Some(format!("write `vector({})`", shown(arg))),
        (ValueType::Scalar, ValueType::Vector) if call.function.id == FunctionId::VectorOf => {
            Some("this is a vector already".to_owned())
        }
        (ValueType::Scalar, ValueType::Vector) => Some(format!("write `scalar({})`", shown(arg))),
        (ValueType::String, _) => Some(for_missing_quotes(arg)),
        (ValueType::Matrix, _) => Some(format!("`{name}` takes a range of samples: `{}`", example(call.function))),
        _ => Some(signature(call.function)),
    }
}

/// The call of two arguments with these exchanged, if their types are then right.
fn swapped(call: &Call) -> Option<Expr> {
    let [first, second] = &call.args[..] else { return None };
    let [first_type, second_type] = call.function.args else { return None };
    let fits = first.value_type() == *second_type && second.value_type() == *first_type && first_type != second_type;
    let args = vec![second.clone(), first.clone()];
    fits.then(|| Expr { span: first.span, kind: ExprKind::Call(Call { function: call.function, args }) })
}

/// For a text without quotes.
pub(in crate::promql) fn for_missing_quotes(arg: &Expr) -> String {
    match &arg.kind {
        ExprKind::VectorSelector(VectorSelector { name: Some(name), matchers, .. }) if matchers.len() == 1 => {
            format!("put the text in quotes: \"{name}\"")
        }
        _ => "put the text in quotes".to_owned(),
    }
}

/// A call of `function` as it is meant.
fn example(function: &Function) -> String {
    let args: Vec<&str> = function
        .args
        .iter()
        .map(|arg| match arg {
            ValueType::Scalar => "0.9",
            ValueType::String => "\"text\"",
            ValueType::Vector => "metric",
            ValueType::Matrix => "metric[5m]",
        })
        .collect();
    format!("{}({})", function.name, args.join(", "))
}

/// Functions of counters and gauges over time that make sense before an aggregation, not after.
fn is_of_each_series(id: FunctionId) -> bool {
    use FunctionId::{Changes, Increase, Irate, Rate, Resets};
    matches!(id, Rate | Irate | Increase | Resets | Changes)
}

fn for_missing_range(call: &Call, index: usize) -> String {
    let name = call.function.name;
    let arg = call.args[index].unparenthesised();
    if let ExprKind::Aggregate(aggregate) = &arg.kind
        && is_of_each_series(call.function.id)
        && matches!(aggregate.expr.kind, ExprKind::VectorSelector(_))
        && aggregate.param.is_none()
    {
        let inner = call_of(name, with_range(&aggregate.expr, RANGE_MS));
        let fixed = Aggregate { expr: inner, ..(**aggregate).clone() };
        let fixed = Expr { span: arg.span, kind: ExprKind::Aggregate(Box::new(fixed)) };
        return format!("take `{name}` of each series first, then aggregate: `{}`", shown(&fixed));
    }
    let ranged = with_range(arg, RANGE_MS);
    let is_subquery = matches!(ranged.kind, ExprKind::Subquery(_));
    let whole = with_argument(arg, call, index, ranged);
    match (written(&whole), is_subquery) {
        (Some(text), true) => format!("write a subquery: `{text}`"),
        (Some(text), false) => format!("write `{text}`"),
        (None, true) => "write a subquery: `(…)[5m:]`".to_owned(),
        (None, false) => "put a range such as [5m] after the metric, before `offset` and `@`".to_owned(),
    }
}

fn for_range_too_much(call: &Call, index: usize) -> String {
    let (name, arg) = (call.function.name, &call.args[index]);
    let fixed = match call.function.id {
        FunctionId::Absent => Some(call_of("absent_over_time", arg.clone())),
        id if super::is_classic_histogram_function(id) => {
            Some(with_argument(arg, call, index, call_of("rate", arg.clone())))
        }
        _ => None,
    };
    if let Some(text) = fixed.and_then(|fixed| written(&fixed)) {
        return format!("write `{text}`");
    }
    format!("`{name}` takes the current value; remove the range, or put a function such as `rate` around it")
}

/// For an aggregation over something that is not an instant vector.
pub(in crate::promql) fn for_aggregated_type(aggregate: &Aggregate) -> Option<String> {
    let expr = &aggregate.expr;
    match expr.value_type() {
        ValueType::Matrix => {
            let fixed = Aggregate { expr: call_of("rate", expr.clone()), ..aggregate.clone() };
            let fixed = Expr { span: expr.span, kind: ExprKind::Aggregate(Box::new(fixed)) };
            Some(format!("put a function over the range first: `{}` for a counter", shown(&fixed)))
        }
        ValueType::Scalar => match &aggregate.param {
            Some(param) if param.value_type() == ValueType::Vector => {
                let fixed = Aggregate { expr: param.clone(), param: Some(expr.clone()), ..aggregate.clone() };
                let fixed = Expr { span: expr.span, kind: ExprKind::Aggregate(Box::new(fixed)) };
                Some(format!("the arguments stand the other way round: `{}`", shown(&fixed)))
            }
            _ => Some(format!("write `vector({})`", shown(expr))),
        },
        _ => None,
    }
}

/// For a side of an operator, or the operand of a sign, that is neither a number nor an instant vector.
pub(in crate::promql) fn for_operand_type(expr: &Expr) -> Option<String> {
    match expr.value_type() {
        ValueType::Matrix => Some(format!("put a function over the range, such as `rate({})`", shown(expr))),
        ValueType::String => Some("texts stand only as arguments and as label values".to_owned()),
        _ => None,
    }
}

/// The time that stood behind a whole expression.
#[derive(Clone, Copy, Debug)]
pub(in crate::promql) enum MovedTime {
    Offset(i64),
    At(AtModifier),
}

/// For `offset` or `@` behind something that has no samples of its own: the times of what is inside.
pub(in crate::promql) fn for_misplaced_time(expr: &Expr, time: MovedTime) -> String {
    if !matches!(expr.value_type(), ValueType::Vector | ValueType::Matrix) {
        return "numbers and texts have no time; this belongs behind a metric".to_owned();
    }
    let mut fixed = expr.clone();
    match move_into(&mut fixed, time).then(|| written(&fixed)).flatten() {
        Some(text) => format!("put it directly after the metric or the range: `{text}`"),
        None => "put it directly after the metric or the range inside the expression".to_owned(),
    }
}

/// Whether each selector inside could take the time.
fn move_into(expr: &mut Expr, time: MovedTime) -> bool {
    match &mut expr.kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => match time {
            MovedTime::Offset(ms) if selector.offset_ms == 0 && selector.durations.is_none() => {
                selector.offset_ms = ms;
                true
            }
            MovedTime::At(at) => selector.at.replace(at).is_none(),
            MovedTime::Offset(_) => false,
        },
        ExprKind::Call(call) => call.args.iter_mut().all(|arg| move_into(arg, time)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().all(|param| move_into(param, time)) && move_into(&mut aggregate.expr, time)
        }
        ExprKind::Binary(binary) => move_into(&mut binary.lhs, time) && move_into(&mut binary.rhs, time),
        ExprKind::Unary { operand, .. } => move_into(operand, time),
        ExprKind::Paren(inner) => move_into(inner, time),
        ExprKind::Subquery(_) => false,
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
    }
}
