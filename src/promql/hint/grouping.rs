//! Help for `by` and `without` after something that is not an aggregation.

use std::sync::Arc;

use super::SHOWN_LEN_MAX;
use crate::promql::ast::{Aggregate, AggregateOp, Call, Expr, ExprKind, ValueType, VectorSelector};
use crate::promql::functions::{self, FunctionId};
use crate::source::Span;

/// For `by` or `without` after something that is not an aggregation; `keyword` is its place, `expr` what stands before.
pub(in crate::promql) fn for_misplaced_grouping(text: &str, expr: &Expr, keyword: Span) -> String {
    let word = &text[keyword.start..keyword.end];
    let without = word.eq_ignore_ascii_case("without");
    let labels: Vec<Arc<str>> = labels_after(&text[keyword.end..]);
    match &expr.kind {
        ExprKind::Aggregate(aggregate) if aggregate.without || !aggregate.grouping.is_empty() => {
            return "one of `by` and `without` is enough; join their labels".to_owned();
        }
        // A function before its parenthesis reads as a metric.
        ExprKind::VectorSelector(VectorSelector { name: Some(name), .. }) => {
            if let Some(function) = functions::lookup(name) {
                let fixed = match is_classic_histogram_function(function.id) {
                    true => format!("{name}(0.9, sum {word} (…) (…))"),
                    false => format!("sum {word} (…) ({name}(…))"),
                };
                return format!("`{word}` follows an aggregation such as `sum`, not `{name}`; write `{fixed}`");
            }
        }
        _ => {}
    }
    let subject = match &expr.kind {
        ExprKind::Call(call) => format!("`{}`", call.function.name),
        _ => "an expression".to_owned(),
    };
    let fixed = match &expr.kind {
        ExprKind::Call(call) if is_classic_histogram_function(call.function.id) => {
            grouped_histogram(expr, call, labels, without)
        }
        _ => aggregated(expr.clone(), labels, without),
    };
    let fixed = fixed.to_string();
    // What stands before may be wrong in itself, which the type check has not seen yet.
    if fixed.len() > SHOWN_LEN_MAX || crate::promql::parse(&fixed).is_err() {
        return format!(
            "`{word}` follows the aggregation, not {subject}; write it after a `sum` or another aggregation"
        );
    }
    format!("`{word}` follows the aggregation, not {subject}; write `{fixed}`")
}

/// The labels in the parentheses at the start of `text`, as far as they can be read.
fn labels_after(text: &str) -> Vec<Arc<str>> {
    let Some(inside) = text.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return Vec::new();
    };
    let labels = inside.0.split(',').map(|label| label.trim().trim_matches('"'));
    labels.filter(|label| !label.is_empty()).map(Arc::from).collect()
}

pub(super) fn is_classic_histogram_function(id: FunctionId) -> bool {
    matches!(id, FunctionId::HistogramQuantile | FunctionId::HistogramFraction | FunctionId::HistogramQuantiles)
}

/// The call with its buckets aggregated by `labels`; classic buckets keep their `le`.
fn grouped_histogram(expr: &Expr, call: &Call, mut labels: Vec<Arc<str>>, without: bool) -> Expr {
    let mut call = call.clone();
    let Some(buckets) = call.args.iter_mut().find(|arg| arg.value_type() == ValueType::Vector) else {
        return aggregated(expr.clone(), labels, without);
    };
    if without {
        labels.retain(|label| &**label != "le");
    } else if buckets.to_string().contains("_bucket") && !labels.iter().any(|label| &**label == "le") {
        labels.push("le".into());
    }
    match &mut buckets.kind {
        ExprKind::Aggregate(aggregate) if aggregate.grouping.is_empty() && !aggregate.without => {
            (aggregate.grouping, aggregate.without) = (labels, without);
        }
        _ => *buckets = aggregated(buckets.clone(), labels, without),
    }
    Expr { span: expr.span, kind: ExprKind::Call(call) }
}

fn aggregated(expr: Expr, grouping: Vec<Arc<str>>, without: bool) -> Expr {
    let span = expr.span;
    let aggregate = Aggregate { op: AggregateOp::Sum, expr, param: None, grouping, without };
    Expr { span, kind: ExprKind::Aggregate(Box::new(aggregate)) }
}
