//! What an expression reads and how far back: the demand that keeps samples.
//!
//! In the flow: rules say for each of their expressions what they need kept; the store keeps it.
//!
//! **Invariants.** A sample that evaluation looks at lies in one of the [`Reads`]: windows, look-backs, offsets, subqueries within
//! subqueries, `@`. They may say more than is looked at, never less.

use std::time::Duration;

use crate::model::{METRIC_NAME, Matcher, Timestamp};
use crate::store::Reach;

use super::ast::{AtModifier, Expr, ExprKind, VectorSelector};
use super::functions::FunctionId;

/// The metric that `info()` looks for where it is not told.
const INFO_METRIC: &str = "target_info";

/// What one selector reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Of which series.
    pub matchers: Vec<Matcher>,
    /// How far back from the instant of evaluation.
    pub reach: Reach,
}

/// What the selectors of `expr` read, in order of the text, when an instant selector looks back by `lookback_delta`.
pub fn reads(expr: &Expr, lookback_delta: Duration) -> Vec<Reads> {
    // Durations that depend on the query are those of an instant query in a rule.
    let settled = expr.for_query(0, 0);
    let lookback_ms = i64::try_from(lookback_delta.as_millis()).unwrap_or(i64::MAX);
    let mut reader = Reader { lookback_ms, found: Vec::new() };
    reader.visit(settled.as_deref().unwrap_or(expr), Oldest { before_ms: 0, fixed: None });
    reader.found
}

/// The oldest instant at which a part is evaluated.
#[derive(Clone, Copy)]
struct Oldest {
    /// So long before the rule is.
    before_ms: i64,
    /// Or here, where a subquery around it stands at a fixed time.
    fixed: Option<Timestamp>,
}

impl Oldest {
    fn moved(self, at: Option<AtModifier>, offset_ms: i64) -> Oldest {
        let base = match at {
            None => self,
            Some(AtModifier::Time(at)) => Oldest { before_ms: 0, fixed: Some(at) },
            Some(AtModifier::Start | AtModifier::End) => Oldest { before_ms: 0, fixed: None },
        };
        base.back(offset_ms)
    }

    fn back(self, ms: i64) -> Oldest {
        match self.fixed {
            Some(at) => Oldest { fixed: Some(at.plus_ms(ms.saturating_neg())), ..self },
            None => Oldest { before_ms: self.before_ms.saturating_add(ms), ..self },
        }
    }

    fn reach(self) -> Reach {
        Reach { window: Duration::from_millis(u64::try_from(self.before_ms).unwrap_or(0)), since: self.fixed }
    }
}

struct Reader {
    lookback_ms: i64,
    found: Vec<Reads>,
}

impl Reader {
    fn visit(&mut self, expr: &Expr, at: Oldest) {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
            ExprKind::VectorSelector(selector) => self.selector(selector, 0, at),
            ExprKind::MatrixSelector { selector, range_ms } => self.selector(selector, *range_ms, at),
            ExprKind::Subquery(subquery) => {
                self.visit(&subquery.expr, at.moved(subquery.at, subquery.offset_ms).back(subquery.range_ms));
            }
            ExprKind::Call(call) => {
                call.args.iter().for_each(|arg| self.visit(arg, at));
                if call.function.id == FunctionId::Info {
                    let reach = at.back(self.lookback_ms).reach();
                    self.found.push(Reads { matchers: vec![Matcher::equal(METRIC_NAME, INFO_METRIC)], reach });
                }
            }
            ExprKind::Aggregate(aggregate) => {
                self.visit(&aggregate.expr, at);
                aggregate.param.iter().for_each(|param| self.visit(param, at));
            }
            ExprKind::Binary(binary) => [&binary.lhs, &binary.rhs].into_iter().for_each(|side| self.visit(side, at)),
            ExprKind::Unary { operand, .. } => self.visit(operand, at),
            ExprKind::Paren(inner) => self.visit(inner, at),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, range_ms: i64, at: Oldest) {
        // A plain window ends where it is long; instants, and windows with an extension, look for a sample before.
        let looks_back = range_ms == 0 || selector.extension.is_some();
        let back_ms = range_ms.saturating_add(if looks_back { self.lookback_ms } else { 0 });
        let reach = at.moved(selector.at, selector.offset_ms).back(back_ms).reach();
        self.found.push(Reads { matchers: selector.matchers.clone(), reach });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, parse_with};

    #[test]
    fn each_selector_with_all_that_moves_it() {
        let lookback = Duration::from_secs(300);
        for (text, expected) in [
            ("a", vec![("a", 300, None)]),
            ("rate(a[1h]) / b offset 2h", vec![("a", 3600, None), ("b", 7500, None)]),
            ("a offset -10m", vec![("a", 0, None)]),
            ("rate(a[1h] offset 1d)", vec![("a", 90_000, None)]),
            ("max_over_time(rate(a[5m])[1h:1m])", vec![("a", 3900, None)]),
            ("max_over_time(rate(a[5m] offset 1h)[1h:1m] offset 1d)", vec![("a", 93_900, None)]),
            ("avg_over_time(max_over_time(a[10m:1m])[1h:])", vec![("a", 4500, None)]),
            ("a @ 1000", vec![("a", 0, Some(700))]),
            ("rate(a[1m] @ 1000 offset 10s)", vec![("a", 0, Some(930))]),
            ("max_over_time(rate(a[5m])[10m:1m] @ 2000)", vec![("a", 0, Some(1100))]),
            ("max_over_time((a @ end())[1d:])", vec![("a", 300, None)]),
            ("rate(a[5m] anchored)", vec![("a", 600, None)]),
            ("topk(scalar(k), a) or -b", vec![("a", 300, None), ("k", 300, None), ("b", 300, None)]),
            ("info(a)", vec![("a", 300, None), ("target_info", 300, None)]),
            ("vector(time())", vec![]),
        ] {
            let features =
                Features { experimental_functions: true, extended_range_selectors: true, ..Features::DEFAULT };
            let expr = parse_with(text, features).unwrap_or_else(|errors| panic!("{text}: {}", errors[0]));
            let found: Vec<_> = reads(&expr, lookback)
                .into_iter()
                .map(|Reads { matchers, reach }| {
                    (matchers[0].value.to_string(), reach.window.as_secs(), reach.since.map(|at| at.as_ms() / 1000))
                })
                .collect();
            let expected: Vec<_> = expected.into_iter().map(|(name, s, since)| (name.to_owned(), s, since)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
