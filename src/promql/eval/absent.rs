//! `absent` and `absent_over_time`: one element where there is none, with the labels that the selector pins down.

use std::collections::BTreeSet;

use crate::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Sample};
use crate::promql::ast::{Expr, ExprKind};

use super::grid::Grid;
use super::matrix::Row;

/// The labels that `arg` matches by `=`, each only if no second matcher speaks of it.
pub(in crate::promql) fn labels_of(arg: &Expr) -> Labels {
    let selector = match &arg.unparenthesised().kind {
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => selector,
        _ => return Labels::empty(),
    };
    let mut labels = LabelsBuilder::default();
    let mut seen = BTreeSet::new();
    for matcher in selector.matchers.iter().filter(|matcher| &*matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && seen.insert(&matcher.name) {
            labels.set(matcher.name.clone(), matcher.value.clone());
        } else {
            labels.remove(&matcher.name);
        }
    }
    labels.build()
}

/// A row with 1 at the steps at which none of `present` has a sample.
pub(super) fn over_time(arg: &Expr, present: &[Row], grid: Grid) -> Vec<Row> {
    let present: BTreeSet<_> = present.iter().flat_map(|row| &row.samples).map(|sample| sample.at).collect();
    let samples: Vec<Sample> =
        grid.steps().filter(|step| !present.contains(step)).map(|step| Sample::float(step, 1.0)).collect();
    if samples.is_empty() {
        return Vec::new();
    }
    vec![Row { labels: labels_of(arg), drop_name: true, samples }]
}
