//! Aggregations that give one element per group: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`,
//! `quantile`, `count_values`.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Histogram, Label, Labels, METRIC_NAME, Value, format_float};
use crate::promql::ast::{Aggregate, AggregateOp, ExprKind};
use crate::source::Span;

use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Element, Row};
use super::native::{self, IncompatibleSchemas};
use super::native_sum::{self, Reduction};
use super::number::CompensatedSum;
use super::statistics;
use super::topk::Selection;

/// Which group each row belongs to.
pub(super) struct Grouping {
    /// By row.
    pub(super) group_of: Vec<usize>,
    /// By group, in order of their first rows.
    pub(super) labels: Vec<Labels>,
}

impl Grouping {
    pub(super) fn of(rows: &[Row], aggregate: &Aggregate) -> Self {
        let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut grouping = Grouping { group_of: Vec::new(), labels: Vec::new() };
        for row in rows {
            let labels = group_labels(&row.labels, &aggregate.grouping, aggregate.without);
            let next = by_labels.len();
            let group = *by_labels.entry(labels).or_insert_with_key(|labels| {
                grouping.labels.push(labels.clone());
                next
            });
            grouping.group_of.push(group);
        }
        grouping
    }
}

pub(in crate::promql) fn group_labels(labels: &Labels, grouping: &[Arc<str>], without: bool) -> Labels {
    let is_listed = |label: &Label| grouping.contains(&label.name);
    if without {
        labels.filtered(|label| !is_listed(label) && &*label.name != METRIC_NAME)
    } else {
        labels.filtered(is_listed)
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, span: Span, grid: Grid) -> Result<Vec<Row>, EvalError> {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Topk};
        if aggregate.op == CountValues {
            return self.count_values(aggregate, grid);
        }
        let parameters = match &aggregate.param {
            Some(param) => self.scalars(param.unparenthesised(), grid)?,
            None => Vec::new(),
        };
        let rows = self.eval(aggregate.expr.unparenthesised(), grid)?;
        if matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio) {
            let selection = Selection { aggregate, span, parameters: &parameters };
            return self.select_elements(&selection, &rows, grid);
        }
        if aggregate.op == AggregateOp::Quantile {
            self.check_quantile_parameters(aggregate, &parameters);
        }
        let grouping = Grouping::of(&rows, aggregate);
        let mut index = 0;
        self.by_step_of_groups(grid, &[&rows], |evaluator, step, vectors| {
            let mut members: Vec<Vec<&Element>> = vec![Vec::new(); grouping.labels.len()];
            for element in &vectors[0] {
                members[grouping.group_of[element.row]].push(element);
            }
            let parameter = parameters.get(index).copied();
            index += 1;
            let mut result = Vec::new();
            for (members, labels) in members.iter().zip(&grouping.labels).filter(|(members, _)| !members.is_empty()) {
                if let Some(value) = evaluator.reduce(aggregate, members, parameter) {
                    let drop_name = members.iter().any(|element| element.drop_name);
                    result.push(Element { drop_name, ..Element::new(labels.clone(), step, value) });
                }
            }
            Ok(result)
        })
    }

    /// The value of a group of at least one element.
    fn reduce(&mut self, aggregate: &Aggregate, members: &[&Element], parameter: Option<f64>) -> Option<Value> {
        use AggregateOp as A;
        let op = aggregate.op;
        match op {
            A::Count => return Some(Value::Float(members.len() as f64)),
            A::Group => return Some(Value::Float(1.0)),
            A::Sum | A::Avg => return self.reduce_sum(aggregate, members),
            _ => {}
        }
        let mut values: Vec<f64> = members.iter().filter_map(|element| element.float()).collect();
        if values.len() < members.len() {
            self.annotations.ignored_in_aggregation(aggregate.expr.unparenthesised().span, op.as_str());
        }
        if values.is_empty() {
            return None;
        }
        Some(Value::Float(match op {
            A::Min => {
                values.into_iter().fold(f64::NAN, |min, value| if min > value || min.is_nan() { value } else { min })
            }
            A::Max => {
                values.into_iter().fold(f64::NAN, |max, value| if max < value || max.is_nan() { value } else { max })
            }
            A::Stddev => group_variance(&values).sqrt(),
            A::Stdvar => group_variance(&values),
            A::Quantile => {
                let q = parameter.expect("BUG: a quantile without parameter");
                statistics::quantile(q, &mut values)
            }
            _ => unreachable!("BUG: {op:?} does not reduce a group to a value"),
        }))
    }

    fn reduce_sum(&mut self, aggregate: &Aggregate, members: &[&Element]) -> Option<Value> {
        let span = aggregate.expr.unparenthesised().span;
        let histograms: Vec<&Arc<Histogram>> = members
            .iter()
            .filter_map(|element| match &element.value {
                Value::Histogram(histogram) => Some(histogram),
                Value::Float(_) => None,
            })
            .collect();
        if histograms.is_empty() {
            let values = members.iter().filter_map(|element| element.float());
            let value = if aggregate.op == AggregateOp::Avg { statistics::mean(values) } else { sum(values) };
            return Some(Value::Float(value));
        }
        if histograms.len() < members.len() {
            self.annotations.warn(span, "encountered a mix of histograms and floats for aggregation");
            return None;
        }
        let reduction = if aggregate.op == AggregateOp::Avg { Reduction::Mean } else { Reduction::Sum };
        match native_sum::reduce(reduction, &histograms, span, &mut self.annotations) {
            Ok(histogram) => Some(native::into_value(histogram)),
            Err(IncompatibleSchemas) => {
                let metric = members[members.len() - 1].labels.metric_name().to_owned();
                self.annotations.mixed_schemas(span, &metric);
                None
            }
        }
    }

    fn check_quantile_parameters(&mut self, aggregate: &Aggregate, parameters: &[f64]) {
        let span = aggregate.param.as_ref().expect("BUG: a quantile without parameter").unparenthesised().span;
        if parameters.iter().any(|q| q.is_nan()) {
            self.annotations.invalid_quantile(span, f64::NAN);
        }
        let max = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = parameters.iter().copied().fold(f64::INFINITY, f64::min);
        for q in [(max > 1.0).then_some(max), (min < 0.0).then_some(min)].into_iter().flatten() {
            self.annotations.invalid_quantile(span, q);
        }
    }

    fn count_values(&mut self, aggregate: &Aggregate, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let param = aggregate.param.as_ref().expect("BUG: count_values without label").unparenthesised();
        let label = match &param.kind {
            ExprKind::String(label) if !label.is_empty() => label.clone(),
            // Nothing, or what is no UTF-8.
            _ => return Err(EvalError::InvalidCountLabel(param.to_string())),
        };
        let mut grouping = aggregate.grouping.clone();
        if !aggregate.without {
            grouping.push(label.clone());
        }
        let rows = self.eval(aggregate.expr.unparenthesised(), grid)?;
        self.by_step(grid, &[&rows], |_, step, vectors| {
            let mut counts: Vec<(Labels, f64)> = Vec::new();
            let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
            for element in &vectors[0] {
                let value = match &element.value {
                    Value::Float(value) => format_float(*value),
                    Value::Histogram(histogram) => super::native_text::histogram_text(histogram),
                };
                let labels = element.labels.to_builder().set(label.clone(), value).build();
                let labels = group_labels(&labels, &grouping, aggregate.without);
                let index = *by_labels.entry(labels.clone()).or_insert_with(|| {
                    counts.push((labels, 0.0));
                    counts.len() - 1
                });
                counts[index].1 += 1.0;
            }
            Ok(counts.into_iter().map(|(labels, count)| Element::new(labels, step, count)).collect())
        })
    }
}

fn sum(mut values: impl Iterator<Item = f64>) -> f64 {
    let start = CompensatedSum::starting_with(values.next().unwrap_or(0.0));
    values.fold(start, CompensatedSum::plus).total()
}

/// Welford's method, without compensation as upstream; NaN if the first value is not finite.
fn group_variance(values: &[f64]) -> f64 {
    let mut variance = GroupVariance::default();
    values.iter().for_each(|value| variance.push(*value));
    variance.total()
}

/// A variance under construction: see [`group_variance`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::promql) struct GroupVariance {
    count: f64,
    mean: f64,
    moment: f64,
}

impl GroupVariance {
    pub(in crate::promql) fn push(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.moment = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.moment += delta * (value - self.mean);
    }

    pub(in crate::promql) fn total(&self) -> f64 {
        self.moment / self.count
    }
}
