//! Aggregations that keep some elements of each group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use crate::model::{Sample, Value};
use crate::promql::ast::{Aggregate, AggregateOp};
use crate::source::Span;

use super::aggregate::Grouping;
use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Cursor, Element, Row};
use super::number::format_go_float;
use super::sampling::is_sampled;
use super::sorting::{ascending_nan_last, descending_nan_last};

/// The first float that does not fit into 64 bits with sign.
const INT64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// An aggregation that keeps elements, its place and its parameter at each step.
pub(super) struct Selection<'s> {
    pub(super) aggregate: &'s Aggregate,
    pub(super) span: Span,
    pub(super) parameters: &'s [f64],
}

impl Evaluator<'_> {
    /// An instant query gives the elements of each group in order of rank; a range query gives the rows that were chosen
    /// at some step, each with the samples of those steps.
    pub(super) fn select_elements(
        &mut self,
        selection: &Selection<'_>,
        rows: &[Row],
        grid: Grid,
    ) -> Result<Vec<Row>, EvalError> {
        let Selection { aggregate, parameters, .. } = *selection;
        if !self.check_parameters(aggregate, parameters)? {
            return Ok(Vec::new());
        }
        let grouping = Grouping::of(rows, aggregate);
        let mut chosen: Vec<Vec<Sample>> = vec![Vec::new(); rows.len()];
        let mut rank = Vec::new();
        let mut cursor = Cursor::new(rows);
        for (step, parameter) in grid.steps().zip(parameters) {
            self.check_interrupt()?;
            let vector = cursor.advance(step);
            let elements = self.select_at_step(selection, &grouping, vector, *parameter);
            rank = elements.iter().map(|element| element.row).collect();
            for element in elements {
                chosen[element.row].push(Sample { at: step, value: element.value });
            }
        }
        let order = if grid.is_single() { rank } else { (0..rows.len()).collect() };
        let row = |index: usize| {
            let samples = std::mem::take(&mut chosen[index]);
            Row { labels: rows[index].labels.clone(), drop_name: rows[index].drop_name, samples }
        };
        Ok(order.into_iter().map(row).filter(|row| !row.samples.is_empty()).collect())
    }

    fn select_at_step(
        &mut self,
        selection: &Selection<'_>,
        grouping: &Grouping,
        vector: Vec<Element>,
        parameter: f64,
    ) -> Vec<Element> {
        let (op, span) = (selection.aggregate.op, selection.span);
        let mut groups: Vec<Vec<Element>> = vec![Vec::new(); grouping.labels.len()];
        for element in vector {
            let is_ranked = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
            if is_ranked && matches!(element.value, Value::Histogram(_)) {
                self.annotations.ignored_in_aggregation(span, op.as_str());
                continue;
            }
            groups[grouping.group_of[element.row]].push(element);
        }
        let k = parameter as usize; // negative and less than one give 0
        for group in &mut groups {
            let value = |element: &Element| element.float().unwrap_or(f64::NAN);
            match op {
                AggregateOp::Topk => group.sort_by(|a, b| descending_nan_last(value(a), value(b))),
                AggregateOp::Bottomk => group.sort_by(|a, b| ascending_nan_last(value(a), value(b))),
                AggregateOp::LimitRatio => group.retain(|element| is_sampled(&element.labels, parameter)),
                _ => {}
            }
            if op != AggregateOp::LimitRatio {
                group.truncate(k);
            }
        }
        groups.into_iter().flatten().collect()
    }

    /// Whether any parameter keeps any element. Refuses those that cannot be a number of elements.
    fn check_parameters(&mut self, aggregate: &Aggregate, parameters: &[f64]) -> Result<bool, EvalError> {
        let has_nan = parameters.iter().any(|parameter| parameter.is_nan());
        let max = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = parameters.iter().copied().fold(f64::INFINITY, f64::min);
        if aggregate.op == AggregateOp::LimitRatio {
            if has_nan {
                return Err(EvalError::RatioNotANumber);
            }
            let span = aggregate.param.as_ref().expect("BUG: limit_ratio without parameter").unparenthesised().span;
            for (ratio, cap) in [(max, 1.0), (min, -1.0)] {
                if (cap > 0.0 && ratio > cap) || (cap < 0.0 && ratio < cap) {
                    let [ratio, cap] = [ratio, cap].map(format_go_float);
                    let text = format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}");
                    self.annotations.warn(span, text);
                }
            }
            return Ok(max != 0.0 || min != 0.0);
        }
        if has_nan {
            return Err(EvalError::ParameterNotANumber);
        }
        if max < 1.0 {
            return Ok(false);
        }
        if min <= -INT64_LIMIT {
            return Err(EvalError::ParameterUnderflows(min));
        }
        if max >= INT64_LIMIT {
            return Err(EvalError::ParameterOverflows(max));
        }
        Ok(true)
    }
}
