//! Whether an expression has anything to say about an alert, or only nothing to read.
//!
//! In the flow: asked where an alert is absent from the result and that may mean two things: its condition does not hold, or its series
//! are gone (`no_data`, `recover_when`) or not yet back after a pause of ours ([`super::pause`]).
//!
//! A series *speaks for* a label set if it contradicts none of its labels: it has the same value, or no such label (it was
//! added by a join or an aggregation). Data are there if every selector that the expression cannot do without has such a series:
//! both sides of `and` and of arithmetic, either side of `or`, the left side of `unless`, nothing of `absent()`.
//!
//! **Cost.** A selection for each selector, with its samples; only for alerts that are absent and rules that ask.

use crate::model::{Labels, Series, Timestamp};
use crate::promql::ast::{BinaryOp, ExprKind, VectorSelector};
use crate::promql::{Expr, Querier, QuerierError};

/// When and where to look.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) querier: &'a dyn Querier,
    pub(super) at: Timestamp,
    pub(super) lookback_ms: i64,
    /// Older samples do not count.
    pub(super) after: Timestamp,
}

/// Functions that answer when nothing is there.
const OF_ABSENCE: [&str; 2] = ["absent", "absent_over_time"];

impl Look<'_> {
    /// Whether `expr` has data that speak for `element`.
    pub(super) fn has_data(&self, expr: &Expr, element: &Labels) -> Result<bool, QuerierError> {
        self.within(expr, element, (self.at, 0))
    }

    /// `end` and `width_ms`: of the subqueries around.
    fn within(&self, expr: &Expr, element: &Labels, (end, width_ms): (Timestamp, i64)) -> Result<bool, QuerierError> {
        let span = (end, width_ms);
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => Ok(true),
            ExprKind::VectorSelector(selector) => self.speaks(selector, element, (end, width_ms + self.lookback_ms)),
            ExprKind::MatrixSelector { selector, range_ms } => {
                self.speaks(selector, element, (end, width_ms + range_ms))
            }
            ExprKind::Subquery(subquery) if subquery.at.is_some() => Ok(true),
            ExprKind::Subquery(subquery) => {
                self.within(&subquery.expr, element, (end.plus_ms(-subquery.offset_ms), width_ms + subquery.range_ms))
            }
            ExprKind::Call(call) if OF_ABSENCE.contains(&call.function.name) => Ok(true),
            ExprKind::Call(call) => {
                for arg in &call.args {
                    if !self.within(arg, element, span)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            ExprKind::Aggregate(aggregate) => self.within(&aggregate.expr, element, span),
            ExprKind::Binary(binary) => {
                let left = self.within(&binary.lhs, element, span)?;
                match (binary.op, left) {
                    (BinaryOp::Or, true) | (BinaryOp::Unless, _) => Ok(left),
                    (BinaryOp::Or, false) => self.within(&binary.rhs, element, span),
                    (_, false) => Ok(false),
                    (_, true) => self.within(&binary.rhs, element, span),
                }
            }
            ExprKind::Unary { operand, .. } => self.within(operand, element, span),
            ExprKind::Paren(inner) => self.within(inner, element, span),
        }
    }

    fn speaks(
        &self,
        selector: &VectorSelector,
        element: &Labels,
        (end, width_ms): (Timestamp, i64),
    ) -> Result<bool, QuerierError> {
        if selector.at.is_some() {
            return Ok(true);
        }
        let end = end.plus_ms(-selector.offset_ms);
        let start = end.plus_ms(-width_ms).max(self.after).plus_ms(1);
        if start > end {
            return Ok(false);
        }
        let series = self.querier.select(&selector.matchers, start, end)?;
        Ok(series.iter().any(|series| is_alive(series) && agrees(&series.labels, element)))
    }
}

fn is_alive(series: &Series) -> bool {
    series.samples.last().is_some_and(|sample| !sample.value.is_stale())
}

fn agrees(series: &Labels, element: &Labels) -> bool {
    element.iter().all(|label| series.get(&label.name).is_none_or(|value| *value == *label.value))
}

/// The widths of the windows that `expr` looks at, in ms; of an instant selector 0.
pub(super) fn widths_ms(expr: &Expr, outer_ms: i64, found: &mut Vec<i64>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::VectorSelector(_) => found.push(outer_ms),
        ExprKind::MatrixSelector { range_ms, .. } => found.push(outer_ms + range_ms),
        ExprKind::Subquery(subquery) => widths_ms(&subquery.expr, outer_ms + subquery.range_ms, found),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| widths_ms(arg, outer_ms, found)),
        ExprKind::Aggregate(aggregate) => widths_ms(&aggregate.expr, outer_ms, found),
        ExprKind::Binary(binary) => [&binary.lhs, &binary.rhs].iter().for_each(|side| widths_ms(side, outer_ms, found)),
        ExprKind::Unary { operand, .. } => widths_ms(operand, outer_ms, found),
        ExprKind::Paren(inner) => widths_ms(inner, outer_ms, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Row, Store, StoreOptions};
    use std::time::Duration;

    /// With `m{i="1"}` at 100 s and 160 s, `n{i="2"}` at 100 s, and `info{k="v"}` at 160 s.
    fn check(text: &str, element: &[(&'static str, &'static str)], at_secs: i64, expected: bool) {
        let store = Store::new(StoreOptions { retention: Duration::from_secs(86_400) });
        for (secs, pairs) in [
            (100, [("__name__", "m"), ("i", "1")]),
            (100, [("__name__", "n"), ("i", "2")]),
            (160, [("__name__", "m"), ("i", "1")]),
            (160, [("__name__", "info"), ("k", "v")]),
        ] {
            let series = store.series_ref(&Labels::from_pairs(pairs));
            store.commit(&[Row::new(series, Timestamp::from_ms(secs * 1000), 1.0)]);
        }
        let at = Timestamp::from_ms(at_secs * 1000);
        let look = Look { querier: &store, at, lookback_ms: 60_000, after: Timestamp::MIN };
        let expr = crate::promql::parse(text).unwrap();
        let element = Labels::from_pairs(element.iter().copied());
        assert_eq!(look.has_data(&expr, &element), Ok(expected), "{text} {element} {at_secs}");
    }

    #[test]
    fn by_what_the_expression_cannot_do_without() {
        check("m > 1", &[("i", "1")], 160, true);
        check("m > 1", &[("i", "2")], 160, false);
        check("m > 1", &[("i", "1")], 300, false);
        check("m > 1", &[], 160, true);
        check("rate(m[5m]) > 1", &[("i", "1")], 300, true);
        check("sum(m) > 1 and sum(n) > 1", &[], 160, false);
        check("sum(m) > 1 or sum(n) > 1", &[], 160, true);
        check("m unless n", &[("i", "1")], 300, false);
        check("m unless n", &[("i", "1")], 160, true);
        check("m * on () group_left (k) info > 1", &[("i", "1"), ("k", "v")], 160, true);
        check("m * on () group_left (k) info > 1", &[("i", "1"), ("k", "w")], 160, false);
        check("absent(nothing)", &[], 160, true);
        check("max_over_time(n[2m:10s]) > 1", &[("i", "2")], 270, true);
        check("n offset 1m > 1", &[("i", "2")], 190, true);
        check("vector(1)", &[], 160, true);
    }

    #[test]
    fn widths() {
        let expr = crate::promql::parse("a + rate(b[5m]) > avg_over_time(rate(c[1m])[1h:30s])").unwrap();
        let mut found = Vec::new();
        widths_ms(&expr, 0, &mut found);
        assert_eq!(found, [0, 300_000, 3_660_000]);
    }
}
