//! What the rules were seen to do under test: alerts that fired and that kept quiet, thresholds crossed from both sides.
//!
//! A recording rule counts one point, for giving a sample. An alerting rule counts a point for a test in which it fires, one for a
//! test in which it does not, and two for each comparison with a number in its expression: that it held, and that it did not hold
//! where there was something to compare.
//! **Cost.** Each expression and each comparison is evaluated once more at each step.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::promql::ast::{Binary, ExprKind, ValueType};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant};
use crate::promql::{Expr, Querier};
use crate::rules::{RuleConfig, RuleKind};
use crate::source::{SourceFile, Span};

use super::run::Played;
use super::{RuleId, RuleSet};

/// What was seen, by rule.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<RuleId, Seen>);

/// What was seen of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    gave: bool,
    fired: bool,
    quiet: bool,
    /// Of each comparison: whether it held, and whether it did not.
    thresholds: Vec<(bool, bool)>,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.gave |= other.gave;
        self.fired |= other.fired;
        self.quiet |= other.quiet;
        self.thresholds.resize(self.thresholds.len().max(other.thresholds.len()), (false, false));
        for ((held, failed), (other_held, other_failed)) in self.thresholds.iter_mut().zip(&other.thresholds) {
            *held |= other_held;
            *failed |= other_failed;
        }
    }
}

/// What no test has shown of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the rule, or the comparison, stands.
    pub span: Span,
    /// `alert "X": …`.
    pub text: String,
}

/// A rule, its points and what is missing.
#[derive(Clone, Debug)]
pub struct RuleCoverage {
    /// The file.
    pub source: SourceFile,
    /// Where its name stands.
    pub span: Span,
    /// Points reached.
    pub reached: usize,
    /// Points there are.
    pub points: usize,
    /// One for each point not reached.
    pub gaps: Vec<Gap>,
}

impl RuleCoverage {
    /// Adds what other tests have shown of the same rule: a gap is left where both have it.
    pub fn join(&mut self, other: &RuleCoverage) {
        self.gaps.retain(|gap| other.gaps.contains(gap));
        self.reached = self.points - self.gaps.len();
    }
}

impl Coverage {
    /// Adds what another test group has shown.
    pub fn add(&mut self, other: &Coverage) {
        for (id, seen) in &other.0 {
            self.0.entry(*id).or_default().add(seen);
        }
    }

    /// All rules of `rules`, in order of file.
    pub fn report(&self, rules: &RuleSet) -> Vec<RuleCoverage> {
        let mut report = Vec::new();
        for (file_index, analysed) in rules.files.iter().enumerate() {
            for (group_index, group) in analysed.file.groups.iter().enumerate() {
                for (index, rule) in group.rules.iter().enumerate() {
                    let seen = self.0.get(&(file_index, group_index, index)).cloned().unwrap_or_default();
                    report.push(judge(&analysed.file.source, rule, &seen));
                }
            }
        }
        report
    }
}

fn judge(source: &SourceFile, rule: &RuleConfig, seen: &Seen) -> RuleCoverage {
    let mut points = Vec::new();
    let name = &rule.name;
    if rule.kind == RuleKind::Recording {
        points.push((seen.gave, rule.name_span, format!("rule {name:?} never gives a sample")));
    } else {
        points.push((seen.fired, rule.name_span, format!("alert {name:?} never fires in a test that asks for it")));
        points.push((seen.quiet, rule.name_span, format!("alert {name:?} is never asked for where it does not fire")));
        for (index, comparison) in comparisons(&rule.expr).into_iter().enumerate() {
            let (held, failed) = seen.thresholds.get(index).copied().unwrap_or_default();
            let span = rule.expr_place(source, comparison.span.start);
            points.push((held, span, format!("alert {name:?}: `{comparison}` never holds")));
            points.push((failed, span, format!("alert {name:?}: `{comparison}` holds wherever it is tested")));
        }
    }
    let count = points.len();
    let gaps: Vec<Gap> =
        points.into_iter().filter(|(is_met, ..)| !is_met).map(|(_, span, text)| Gap { span, text }).collect();
    RuleCoverage { source: source.clone(), span: rule.name_span, reached: count - gaps.len(), points: count, gaps }
}

/// The comparisons of a vector with a number, in order.
fn comparisons(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        match &expr.kind {
            ExprKind::Binary(binary) => {
                if compared(binary).is_some() {
                    found.push(expr);
                }
                left.extend([&binary.rhs, &binary.lhs]);
            }
            ExprKind::Paren(inner) => left.push(inner),
            ExprKind::Unary { operand, .. } => left.push(operand),
            ExprKind::Aggregate(aggregate) => left.push(&aggregate.expr),
            ExprKind::Call(call) => left.extend(call.args.iter().rev()),
            // At its own instants, which are not those of the rule.
            ExprKind::Subquery(_) => {}
            _ => {}
        }
    }
    found
}

/// The vector that is compared with a number.
fn compared(binary: &Binary) -> Option<&Expr> {
    if !binary.op.is_comparison() || binary.return_bool {
        return None;
    }
    match (binary.lhs.value_type(), binary.rhs.value_type()) {
        (ValueType::Vector, ValueType::Scalar) => Some(&binary.lhs),
        (ValueType::Scalar, ValueType::Vector) => Some(&binary.rhs),
        _ => None,
    }
}

/// Looks on while a test group is played.
pub(super) struct Watch(BTreeMap<RuleId, Seen>);

impl Watch {
    pub(super) fn new(groups: &[Played]) -> Self {
        let ids = groups.iter().flat_map(|played| &played.reached.ids);
        Watch(ids.map(|id| (*id, Seen::default())).collect())
    }

    /// After the rules were evaluated at `at`.
    pub(super) fn look(&mut self, groups: &[Played], querier: &dyn Querier, at: Timestamp, options: &QueryOptions<'_>) {
        let count = |expr: &Expr| match eval_instant(expr, at, querier, options).map(|result| result.value) {
            Ok(QueryValue::Vector(vector)) => vector.len(),
            Ok(QueryValue::Scalar { .. }) => 1,
            _ => 0,
        };
        for played in groups {
            for (rule, id) in played.reached.config.rules.iter().zip(&played.reached.ids) {
                let seen = self.0.entry(*id).or_default();
                if rule.kind == RuleKind::Recording {
                    seen.gave = seen.gave || count(&rule.expr) > 0;
                    continue;
                }
                let comparisons = comparisons(&rule.expr);
                seen.thresholds.resize(comparisons.len(), (false, false));
                for (expr, (held, failed)) in comparisons.into_iter().zip(&mut seen.thresholds) {
                    let ExprKind::Binary(binary) = &expr.kind else { continue };
                    if *held && *failed {
                        continue;
                    }
                    let passing = count(expr);
                    *held |= passing > 0;
                    *failed |= compared(binary).is_some_and(|vector| count(vector) > passing);
                }
            }
        }
    }

    /// A test has asked for the alerts of the rule.
    pub(super) fn asked(&mut self, id: RuleId, is_firing: bool) {
        let seen = self.0.entry(id).or_default();
        seen.fired |= is_firing;
        seen.quiet |= !is_firing;
    }

    pub(super) fn finish(self) -> Coverage {
        Coverage(self.0)
    }
}
