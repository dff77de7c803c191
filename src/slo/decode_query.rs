//! The indicators `events` and `ratio`: arbitrary PromQL with a place for the window.
//!
//! In the flow: [`super::decode_indicator`] and the importers call it. Mistakes of a query stand at their place inside the text.
//!
//! ```yaml
//! events:          # bad or good, and total; of any unit, as long as it is the same
//!   bad: sum by (region) (rate(requests_total{code=~"5.."}[$window]))
//!   total: sum by (region) (rate(requests_total[$window]))
//! ratio: 1 - avg_over_time(job:success:ratio[$window])      # the share of bad events, 0 to 1
//! ```
//!
//! `$window` stands for each window in turn; Sloth's `{{.window}}` is the same. What needs counters is refused with its reason: a guard, slices of
//! time, exclusions that name the objective, a forecast, membership in composites.

use std::sync::Arc;

use crate::promql::ast::{AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, ValueType};
use crate::promql::functions::FunctionId;
use crate::promql::{self, Dialect, ParseError};
use crate::source::Span;
use crate::source::decode::Decoder;
use crate::source::yaml::{Node, NodeKind};

use super::decode_indicator::parts;
use super::exclusion::Exclusion;
use super::import;
use super::policy::{BudgetWhen, Policy};
use super::query::{Queried, Query, places};
use super::selector::tell;
use super::spec::{Indicator, PartIs, Slo};

/// A query and its form.
pub(super) struct Read {
    pub(super) query: Query,
    pub(super) expr: Expr,
}

impl Read {
    /// One less it.
    pub(super) fn complement(self) -> Read {
        // On a line of its own, should the query end in a comment.
        Read { query: self.query.within("1 - (\n", "\n)"), expr: self.expr }
    }
}

/// Reads `events`.
pub(super) fn events(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    let span = node.span;
    let (part, part_is, total) = parts(decoder, node, ("events indicator", "query"), read)?;
    if import::are_counts(&part.expr, &total.expr) {
        let message = "both queries are made of counters: with plain selectors under errors their events would be counted exactly";
        decoder.warning(span, message);
    }
    of_two(decoder, span, part, part_is, total)
}

/// An indicator of two queries, unless they are the same.
pub(super) fn of_two(
    decoder: &mut Decoder<'_>,
    span: Span,
    part: Read,
    part_is: PartIs,
    total: Read,
) -> Option<Indicator> {
    if part.expr.to_string() == total.expr.to_string() {
        let which = if part_is == PartIs::Bad { "bad" } else { "good" };
        let message = format!("{which} and total are the same query, so that every event would be {which}");
        decoder.error_with_help(span, message, "give it a test that tells them apart, such as code=~\"5..\"");
        return None;
    }
    Some(Indicator::Queried(Queried::Events { part: part.query, part_is, total: total.query }))
}

/// Reads `ratio`.
pub(super) fn ratio(decoder: &mut Decoder<'_>, node: &Node) -> Option<Indicator> {
    Some(Indicator::Queried(Queried::Ratio(read(decoder, node)?.query)))
}

/// Reads a query with a place for the window.
pub(super) fn read(decoder: &mut Decoder<'_>, node: &Node) -> Option<Read> {
    let text = decoder.non_empty_string(node)?;
    if places(&text).is_empty() {
        let help =
            "write $window as its range, such as rate(errors_total[$window]): it is evaluated once for each window";
        decoder.error_with_help(node.span, "the query has no place for the window", help);
        return None;
    }
    let expr = match parse(&text) {
        Ok(expr) => expr,
        Err(errors) => {
            tell(decoder, node, &text, errors);
            return None;
        }
    };
    let found = expr.value_type();
    if !matches!(found, ValueType::Vector | ValueType::Scalar) {
        let span = super::selector::place(decoder, node, &text, expr.span);
        let message = format!("expected a query of an instant vector or a scalar, found a {}", found.documented());
        decoder.error_with_help(span, message, "apply a function such as rate or avg_over_time, and aggregate");
        return None;
    }
    warn_of_subqueries(decoder, node.span, &expr);
    Some(Read { query: Query::new(&text), expr })
}

/// A subquery without a step gives another figure on each server, and another one in a backtest.
pub(super) fn warn_of_subqueries(decoder: &mut Decoder<'_>, span: Span, expr: &Expr) {
    let lacks_step = |expr: &Expr| match &expr.kind {
        ExprKind::Subquery(subquery) => subquery.step_ms.is_none() && subquery.durations.is_none(),
        _ => false,
    };
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        if lacks_step(expr) {
            let message =
                "a subquery has no step, so that the evaluation interval of the server decides how often it looks";
            decoder.warning(span, format!("{message}; write one, such as [1h:1m]"));
            return;
        }
        open.extend(expr.children());
    }
}

/// Parses a query with windows in their places. The positions of what is wrong are those in `text`.
pub(super) fn parse(text: &str) -> Result<Expr, Vec<ParseError>> {
    let mut filled = text.to_owned();
    let mut fillings: Vec<(String, &str)> = Vec::new();
    for (start, len) in places(text) {
        // As long as what it stands for.
        let filling = format!("{:0>len$}", "5m");
        filled.replace_range(start..start + len, &filling);
        fillings.push((filling, &text[start..start + len]));
    }
    // The longest first: a shorter one may be the end of it.
    fillings.sort_by_key(|(filling, _)| std::cmp::Reverse(filling.len()));
    promql::parse_with(&filled, Dialect::default().features).map_err(|mut errors| {
        for error in &mut errors {
            for (filling, written) in &fillings {
                error.message = error.message.replace(filling, written);
                error.help = error.help.take().map(|help| help.replace(filling, written));
            }
        }
        errors
    })
}

/// Checks that the elements of the queries can have the labels of `group_by`.
pub(super) fn check_group_by(decoder: &mut Decoder<'_>, node: Option<&Node>, indicator: Option<&Indicator>) {
    let (Some(Indicator::Queried(queried)), Some(NodeKind::Sequence(labels))) =
        (indicator, node.map(|node| &node.kind))
    else {
        return;
    };
    for (key, query) in queried.queries() {
        let Ok(expr) = parse(query.text()) else { continue };
        for (label, name) in labels.iter().filter_map(|label| Some((label, label.as_str()?))) {
            if !delivers(&expr, name) {
                let message = format!("the elements of the query {key} have no label {name:?}");
                decoder.error_with_help(
                    label.span,
                    message,
                    format!("write sum by ({name}) in the query, or leave it out here"),
                );
            }
        }
    }
}

/// Whether elements of `expr` may have the label `name`.
fn delivers(expr: &Expr, name: &str) -> bool {
    if expr.value_type() == ValueType::Scalar {
        return false;
    }
    let has = |labels: &[Arc<str>]| labels.iter().any(|label| **label == *name);
    match &expr.unparenthesised().kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
        ExprKind::VectorSelector(_) | ExprKind::MatrixSelector { .. } => true,
        ExprKind::Subquery(subquery) => delivers(&subquery.expr, name),
        ExprKind::Unary { operand, .. } => delivers(operand, name),
        ExprKind::Paren(inner) => delivers(inner, name),
        ExprKind::Call(call) => match vector_of(call) {
            Some(arg) => is_relabelling(call) || delivers(arg, name),
            None => is_relabelling(call),
        },
        ExprKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                delivers(&aggregate.expr, name)
            }
            AggregateOp::CountValues => true,
            _ if aggregate.without => !has(&aggregate.grouping) && delivers(&aggregate.expr, name),
            _ => has(&aggregate.grouping) && delivers(&aggregate.expr, name),
        },
        ExprKind::Binary(binary) => {
            let Binary { lhs, rhs, matching, .. } = &**binary;
            let Some(matching) = matching else { return delivers(lhs, name) || delivers(rhs, name) };
            let is_matched = has(&matching.labels) == matching.on;
            match matching.cardinality {
                Cardinality::OneToOne => is_matched && (delivers(lhs, name) || delivers(rhs, name)),
                Cardinality::ManyToOne => has(&matching.include) || delivers(lhs, name),
                Cardinality::OneToMany => has(&matching.include) || delivers(rhs, name),
                Cardinality::ManyToMany => delivers(lhs, name) || binary.op == BinaryOp::Or && delivers(rhs, name),
            }
        }
    }
}

/// The argument whose labels a function's result has.
fn vector_of(call: &Call) -> Option<&Expr> {
    call.args.iter().find(|arg| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix))
}

/// Whether a function makes labels.
fn is_relabelling(call: &Call) -> bool {
    use FunctionId::{Absent, AbsentOverTime, Info, LabelJoin, LabelReplace};
    matches!(call.function.id, LabelReplace | LabelJoin | Absent | AbsentOverTime | Info)
}

/// The labels by which the elements of an imported query are told apart, in order; `None` where that cannot be seen.
pub(super) fn grouping_of(expr: &Expr) -> Option<Vec<Arc<str>>> {
    match &expr.unparenthesised().kind {
        ExprKind::Aggregate(aggregate) if !aggregate.without => {
            let mut grouping = aggregate.grouping.clone();
            grouping.sort();
            Some(grouping)
        }
        ExprKind::Binary(binary) => grouping_of(&binary.lhs).or_else(|| grouping_of(&binary.rhs)),
        ExprKind::Call(call) => vector_of(call).and_then(grouping_of),
        ExprKind::Subquery(subquery) => grouping_of(&subquery.expr),
        ExprKind::Unary { operand, .. } => grouping_of(operand),
        _ => None,
    }
}

/// Refuses what of `alerting` needs counters.
pub(super) fn check_alerting(decoder: &mut Decoder<'_>, alerting: Option<&Node>, indicator: Option<&Indicator>) {
    let Some(alerting) = alerting.filter(|_| indicator.is_some_and(Indicator::is_queried)) else { return };
    if let Some(guard) =
        alerting.get("guard").filter(|guard| guard.get("disable").and_then(Node::as_str) != Some("true"))
    {
        decoder.error_with_help(guard.span, NO_GUARD, "leave it out");
    }
    let conditions = match alerting.get("budget").map(|node| &node.kind) {
        Some(NodeKind::Sequence(conditions)) => conditions.as_slice(),
        _ => &[],
    };
    for node in conditions.iter().filter_map(|condition| condition.get("exhausted_within")) {
        decoder.error_with_help(node.span, NO_FORECAST, "write spent or remaining_below");
    }
}

const NO_GUARD: &str =
    "a guard needs counted events, and this indicator is a query: how many events a window had is not known";
const NO_FORECAST: &str =
    "a forecast needs counted events, and this indicator is a query: how errors leave its window is not known";

/// Leaves out what of a policy that stands apart needs counters, with a warning.
pub(super) fn without_counters(decoder: &mut Decoder<'_>, node: &Node, slo: &Slo, policy: &mut Policy) {
    if !slo.indicator.is_queried() {
        return;
    }
    if policy.guard.take().is_some() {
        decoder.warning(node.span, format!("without the guard for {}: {NO_GUARD}", slo.name));
    }
    let count = policy.budget.len();
    policy.budget.retain(|condition| !matches!(condition.when, BudgetWhen::ExhaustedWithin(_)));
    if policy.budget.len() < count {
        decoder.warning(node.span, format!("without exhausted_within for {}: {NO_FORECAST}", slo.name));
    }
}

/// Exclusions cannot be taken off a query: one that names such an objective is refused, one that is for all tells that it is not for it.
pub(super) fn check_exclusions(decoder: &mut Decoder<'_>, slos: &[Slo], exclusions: &[(Exclusion, Span)]) {
    let why = "its indicator is a query, whose windows cannot be cut";
    for slo in slos.iter().filter(|slo| slo.indicator.is_queried()) {
        for (exclusion, span) in exclusions {
            if exclusion.slos.contains(&slo.name) {
                decoder.error(*span, format!("the exclusion cannot be for {}: {why}", slo.name));
            } else if exclusion.slos.is_empty() {
                decoder.warning(*span, format!("the exclusion is not for {}: {why}", slo.name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_a_query_can_deliver() {
        for (text, expected) in [
            ("sum by (a) (rate(x[5m]))", [true, false]),
            ("sum(rate(x[5m]))", [false, false]),
            ("sum without (b) (rate(x[5m]))", [true, false]),
            ("1 - avg_over_time(x[5m])", [true, true]),
            ("1 - (sum by (a) (x) / sum by (a, b) (y))", [true, true]),
            ("x / on (a) y", [true, false]),
            ("x / ignoring (b) y", [true, false]),
            ("sum by (a) (x) / on (a) group_left (b) y", [true, true]),
            ("topk(3, sum by (a) (x))", [true, false]),
            ("sum by (a) (x) or vector(0)", [true, false]),
            ("avg_over_time(sum by (a) (x)[1h:])", [true, false]),
            ("label_replace(sum(x), \"b\", \"y\", \"\", \"\")", [true, true]),
            ("scalar(x)", [false, false]),
        ] {
            let expr = promql::parse(text).unwrap();
            assert_eq!(["a", "b"].map(|name| delivers(&expr, name)), expected, "{text}");
        }
    }

    #[test]
    fn imported_queries_are_grouped_as_they_aggregate() {
        let grouping = |text| grouping_of(&promql::parse(text).unwrap()).map(|labels| labels.join(","));
        assert_eq!(grouping("1 - (sum by (b, a) (x) / sum by (a, b) (y))").as_deref(), Some("a,b"));
        assert_eq!(grouping("clamp_max(avg(x), 1)").as_deref(), Some(""));
        assert_eq!(grouping("rate(x[5m])"), None);
    }

    #[test]
    fn mistakes_stand_where_they_are_written() {
        let wrong = |text: &str| parse(text).map(|_| ()).unwrap_err().remove(0);
        let error = wrong("sum(rate(x[$window])) + rate(x{{.window}})");
        assert_eq!(
            (error.span.start, error.help.as_deref()),
            (29, Some("write `rate(x{{.window}}[5m])`")),
            "{error:?}"
        );
        assert!(parse("sum(rate(x[{{ .window }}] offset $window))").is_ok());
    }
}
