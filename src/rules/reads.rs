//! What an expression reads: which series, how far back, and whether a rule can see what an earlier rule of its group records.

use crate::model::{METRIC_NAME, Matcher};
use crate::promql::Expr;
use crate::promql::ast::{AggregateOp, Call, ExprKind, ValueType};
use crate::promql::functions::FunctionId;

use super::{RuleConfig, RuleKind};

/// The series that every alerting rule writes.
const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// What an expression needs to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// Its selectors.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// Whether it may give something, or fail, without data.
    pub(crate) speaks: bool,
    /// Whether it looks at instants other than its own and those before it, or depends on the range of the query.
    pub(crate) wanders: bool,
    /// How far back its oldest window begins, in milliseconds, without the look-back of instant selectors. Unless it wanders.
    pub(crate) reach_ms: i64,
}

impl Reads {
    /// Of a whole expression.
    pub(crate) fn of(expr: &Expr) -> Reads {
        let mut reads = Reads { speaks: expr.value_type() == ValueType::Scalar, ..Reads::default() };
        reads.walk(expr, 0);
        reads
    }

    /// `before_ms`: how much earlier than the instant of the whole this part is evaluated at most.
    fn walk(&mut self, expr: &Expr, before_ms: i64) {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
            ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
                let range_ms = if let ExprKind::MatrixSelector { range_ms, .. } = &expr.kind { *range_ms } else { 0 };
                self.wanders |= selector.offset_ms < 0 || selector.at.is_some() || selector.durations.is_some();
                self.reach_ms =
                    self.reach_ms.max(before_ms.saturating_add(range_ms).saturating_add(selector.offset_ms));
                self.selectors.push(selector.matchers.clone());
            }
            ExprKind::Subquery(subquery) => {
                self.wanders |= subquery.offset_ms < 0 || subquery.at.is_some() || subquery.durations.is_some();
                self.walk(
                    &subquery.expr,
                    before_ms.saturating_add(subquery.range_ms).saturating_add(subquery.offset_ms),
                );
            }
            ExprKind::Call(call) => {
                self.speaks |= gives_without_data(call);
                if call.function.name == "info" {
                    // It looks for info metrics of its own.
                    self.selectors.push(Vec::new());
                }
                call.args.iter().for_each(|arg| self.walk(arg, before_ms));
            }
            ExprKind::Aggregate(aggregate) => {
                let is_plain = |param: &Expr| matches!(param.unparenthesised().kind, ExprKind::Number(_));
                self.speaks |= aggregate.op == AggregateOp::CountValues;
                self.speaks |= aggregate.param.as_ref().is_some_and(|param| !is_plain(param));
                self.walk(&aggregate.expr, before_ms);
                aggregate.param.iter().for_each(|param| self.walk(param, before_ms));
            }
            ExprKind::Binary(binary) => {
                self.walk(&binary.lhs, before_ms);
                self.walk(&binary.rhs, before_ms);
            }
            ExprKind::Unary { operand, .. } => self.walk(operand, before_ms),
            ExprKind::Paren(inner) => self.walk(inner, before_ms),
        }
    }
}

/// Functions that give an element, or judge their other arguments, where their vector is empty.
fn gives_without_data(call: &Call) -> bool {
    use FunctionId::{Absent, AbsentOverTime, LabelJoin, LabelReplace, VectorOf};
    let is_now = call.args.is_empty() && call.function.returns == ValueType::Vector; // `hour()` and the like
    is_now || matches!(call.function.id, Absent | AbsentOverTime | LabelJoin | LabelReplace | VectorOf)
}

/// The names of the metrics that a rule writes.
pub(crate) fn written_by(config: &RuleConfig) -> Vec<&str> {
    match config.kind {
        RuleKind::Recording => vec![&*config.name],
        RuleKind::Alerting => ALERT_SERIES.to_vec(),
    }
}

/// The expressions of a rule.
pub(crate) fn exprs(rule: &RuleConfig) -> impl Iterator<Item = &Expr> {
    std::iter::once(&rule.expr).chain(&rule.recover_when)
}

/// Whether a template of the rule may ask for anything.
pub(crate) fn asks_in_templates(rule: &RuleConfig) -> bool {
    rule.labels.iter().chain(&rule.annotations).any(|entry| entry.template.is_some() && entry.value.contains("query"))
}

/// Whether a selector with these matchers may find a metric of this name.
pub(crate) fn may_find(matchers: &[Matcher], name: &str) -> bool {
    names_of(matchers).all(|matcher| matcher.matches(name))
}

/// The matchers of the metric name.
pub(crate) fn names_of(matchers: &[Matcher]) -> impl Iterator<Item = &Matcher> {
    matchers.iter().filter(|matcher| &*matcher.name == METRIC_NAME)
}

/// Whether a selector of `expr` may take series of the metric `name`.
pub(super) fn may_read(expr: &Expr, name: &str) -> bool {
    let is_any = |exprs: &[Expr]| exprs.iter().any(|expr| may_read(expr, name));
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            may_find(&selector.matchers, name)
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

    #[test]
    fn the_oldest_window_counts() {
        for (text, secs, wanders) in [
            ("a", 0, false),
            ("rate(a[5m]) > 0 and b offset 1h", 3600, false),
            ("max_over_time(rate(a[5m] offset 1m)[1h:1m] offset 1d)", 86_400 + 3600 + 360, false),
            ("a offset -5m", 0, true),
            ("a @ 0", 0, true),
        ] {
            let reads = Reads::of(&crate::promql::parse(text).unwrap());
            assert_eq!((reads.reach_ms, reads.wanders), (secs * 1000, wanders), "{text}");
        }
    }
}
