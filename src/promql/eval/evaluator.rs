//! The walk: one function per kind of node, each giving rows over all steps of a grid.

use crate::model::{Labels, Sample, Timestamp, Value};
use crate::promql::Querier;
use crate::promql::ast::{AtModifier, BinaryOp, Expr, ExprKind, RangeExtension};
use crate::promql::functions::FunctionId;
use crate::source::Span;

use super::annotations::Annotations;
use super::error::EvalError;
use super::grid::Grid;
use super::matrix::{Collector, Cursor, Element, Row, merge_same_labels, weight, weight_of, without_metadata};
use super::step_invariant::is_step_invariant;
use super::{Interrupt, QueryOptions, QueryStats, native};

/// The range of the query as asked for, to which `start()`, `end()`, `step()` and `range()` refer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) struct QueryRange {
    pub(in crate::promql) start: Timestamp,
    pub(in crate::promql) end: Timestamp,
    /// 0 for an instant query.
    pub(in crate::promql) step_ms: i64,
}

impl QueryRange {
    /// `start()`, `end()`, `step()`, `range()`, in seconds.
    pub(in crate::promql) fn fact(&self, id: FunctionId) -> f64 {
        match id {
            FunctionId::StartOf => self.start.as_secs_f64(),
            FunctionId::EndOf => self.end.as_secs_f64(),
            FunctionId::StepOf => self.step_ms as f64 / 1000.0,
            FunctionId::RangeOf => self.end.ms_since(self.start) as f64 / 1000.0,
            _ => unreachable!("BUG: {id:?} is no fact of the query"),
        }
    }

    /// The instant to which `at` and `offset_ms` refer at `step`.
    pub(in crate::promql) fn reference(&self, at: Option<AtModifier>, offset_ms: i64, step: Timestamp) -> Timestamp {
        let base = match at {
            None => step,
            Some(AtModifier::Time(at)) => at,
            Some(AtModifier::Start) => self.start,
            Some(AtModifier::End) => self.end,
        };
        base.plus_ms(offset_ms.saturating_neg())
    }
}

/// The state of one query.
pub(super) struct Evaluator<'a> {
    pub(super) querier: &'a dyn Querier,
    pub(super) options: &'a QueryOptions<'a>,
    query: QueryRange,
    pub(super) annotations: Annotations,
    /// Samples held by results under way.
    samples: usize,
    pub(super) stats: QueryStats,
    /// Whether selectors compare each histogram with the one before it, since only its count and sum are asked for.
    pub(super) detects_resets: bool,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(querier: &'a dyn Querier, options: &'a QueryOptions<'a>, query: QueryRange) -> Self {
        Evaluator {
            querier,
            options,
            query,
            annotations: Annotations::default(),
            samples: 0,
            stats: QueryStats::default(),
            detects_resets: false,
        }
    }

    pub(super) fn into_annotations(self) -> Annotations {
        self.annotations
    }

    /// The whole query, metric names dropped where they must be.
    pub(super) fn eval_query(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.stats = QueryStats::of_steps(grid.steps());
        let mut rows = match &expr.unparenthesised().kind {
            ExprKind::MatrixSelector { selector, range_ms } => self.range_vector(selector, *range_ms, grid.start)?,
            _ => self.eval(expr, grid)?,
        };
        if !self.options.delayed_name_removal {
            return Ok(rows);
        }
        for row in rows.iter_mut().filter(|row| row.drop_name) {
            row.labels = without_metadata(&row.labels);
        }
        merge_same_labels(rows)
    }

    /// The rows of `expr` on `grid`. What does not depend on the step is evaluated once and repeated.
    pub(super) fn eval(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.check_interrupt()?;
        if grid.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.samples;
        let rows = if !grid.is_single() && is_step_invariant(expr) {
            let (rows, read) = self.apart(|evaluator| evaluator.eval_node(expr, Grid::instant(grid.start)));
            let mut rows = rows?;
            self.samples = before;
            self.check_held(rows.len().saturating_mul(grid.len()))?;
            (0..grid.len()).for_each(|index| self.stats.read(index, read));
            for row in &mut rows {
                let value = row.samples[0].value.clone();
                row.samples = grid.steps().map(|at| Sample { at, value: value.clone() }).collect();
            }
            rows
        } else {
            self.eval_node(expr, grid)?
        };
        self.samples = before;
        let held = rows.iter().flat_map(|row| &row.samples).map(|sample| weight(&sample.value)).sum();
        self.hold_samples(held)?;
        Ok(rows)
    }

    fn eval_node(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Row>, EvalError> {
        match &expr.kind {
            ExprKind::Number(value) | ExprKind::Duration(value) => {
                self.check_held(grid.len())?;
                let samples = grid.steps().map(|at| Sample::float(at, *value)).collect();
                Ok(vec![Row { labels: Labels::empty(), drop_name: false, samples }])
            }
            ExprKind::VectorSelector(selector) if selector.extension == Some(RangeExtension::Smoothed) => {
                self.smoothed_vector(selector, expr.span, grid)
            }
            ExprKind::VectorSelector(selector) => self.instant_vector(selector, grid),
            ExprKind::Subquery(subquery) => {
                let (source, read) = self.subquery_rows(subquery, grid);
                self.stats.read(grid.len() - 1, read);
                Ok(source?.rows)
            }
            ExprKind::Call(call) => self.call(call, expr.span, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, grid),
            ExprKind::Binary(binary) => self.binary(binary, expr.span, grid),
            ExprKind::Unary { negate, operand } => self.unary(*negate, operand, grid),
            ExprKind::Paren(inner) => self.eval(inner, grid),
            ExprKind::Bytes(_) => Err(EvalError::NotUtf8(expr.to_string())),
            ExprKind::String(_) | ExprKind::MatrixSelector { .. } => {
                unreachable!("BUG: the type check lets texts and range vectors stand as arguments only")
            }
        }
    }

    fn unary(&mut self, negate: bool, operand: &Expr, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let mut rows = self.eval(operand, grid)?;
        if !negate {
            return Ok(rows);
        }
        for row in &mut rows {
            row.labels = self.without_name(&row.labels);
            row.drop_name = true;
            for sample in &mut row.samples {
                sample.value = match &sample.value {
                    Value::Float(value) => Value::Float(-value),
                    Value::Histogram(histogram) => native::into_value(native::scaled(histogram, -1.0)),
                };
            }
        }
        if self.options.delayed_name_removal { Ok(rows) } else { merge_same_labels(rows) }
    }

    /// Evaluates `function` at each step on the vectors that `inputs` have there. Inputs and results are held together.
    pub(super) fn by_step(
        &mut self,
        grid: Grid,
        inputs: &[&[Row]],
        mut function: impl FnMut(&mut Self, Timestamp, &[Vec<Element>]) -> Result<Vec<Element>, EvalError>,
    ) -> Result<Vec<Row>, EvalError> {
        self.by_step_of_groups(grid, inputs, |evaluator, step, vectors| {
            let gathered: usize = vectors.iter().map(|vector| weight_of(vector)).sum();
            evaluator.check_held(gathered)?;
            let vector = function(evaluator, step, vectors)?;
            evaluator.hold_samples(weight_of(&vector))?;
            evaluator.check_held(gathered)?;
            Ok(vector)
        })
    }

    /// As [`Self::by_step`], of aggregations, whose results upstream does not count before the last step.
    pub(super) fn by_step_of_groups(
        &mut self,
        grid: Grid,
        inputs: &[&[Row]],
        mut function: impl FnMut(&mut Self, Timestamp, &[Vec<Element>]) -> Result<Vec<Element>, EvalError>,
    ) -> Result<Vec<Row>, EvalError> {
        let mut cursors: Vec<Cursor<'_>> = inputs.iter().map(|rows| Cursor::new(rows)).collect();
        let mut collector = Collector::new(grid, self.options.delayed_name_removal);
        for step in grid.steps() {
            self.check_interrupt()?;
            let vectors: Vec<Vec<Element>> = cursors.iter_mut().map(|cursor| cursor.advance(step)).collect();
            let vector = function(self, step, &vectors)?;
            collector.push(step, vector)?;
        }
        Ok(collector.finish())
    }

    /// The values of a scalar expression, one per step.
    pub(super) fn scalars(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let rows = self.eval(expr, grid)?;
        let floats = rows.first().map(|row| row.samples.iter().filter_map(|sample| sample.value.as_float()).collect());
        Ok(floats.unwrap_or_default())
    }

    /// See [`QueryRange::fact`].
    pub(super) fn query_fact(&self, id: FunctionId) -> f64 {
        self.query.fact(id)
    }

    /// The labels without the metric name, unless names are dropped at the end.
    pub(super) fn without_name(&self, labels: &Labels) -> Labels {
        if self.options.delayed_name_removal { labels.clone() } else { without_metadata(labels) }
    }

    /// The instant to which `at` and `offset_ms` refer at `step`.
    pub(super) fn reference(&self, at: Option<AtModifier>, offset_ms: i64, step: Timestamp) -> Timestamp {
        self.query.reference(at, offset_ms, step)
    }

    pub(super) fn hold_samples(&mut self, samples: usize) -> Result<(), EvalError> {
        self.samples += samples;
        self.check_held(0)
    }

    /// Refuses `more` samples for a moment that would not fit beside what is held already.
    pub(super) fn check_held(&mut self, more: usize) -> Result<(), EvalError> {
        self.stats.hold(self.samples + more);
        if self.samples + more > self.options.max_samples { Err(EvalError::TooManySamples) } else { Ok(()) }
    }

    /// Evaluates on another grid than the query's: gives what was read beside the result, for the caller to account for.
    pub(super) fn apart<T>(&mut self, eval: impl FnOnce(&mut Self) -> T) -> (T, usize) {
        let outer = std::mem::take(&mut self.stats);
        let result = eval(self);
        let inner = std::mem::replace(&mut self.stats, outer);
        self.stats.hold(inner.peak_samples);
        (result, inner.total_samples as usize)
    }

    pub(super) fn check_interrupt(&self) -> Result<(), EvalError> {
        match self.options.interrupt.and_then(|interrupt| interrupt()) {
            None => Ok(()),
            Some(Interrupt::Canceled) => Err(EvalError::Canceled),
            Some(Interrupt::Timeout) => Err(EvalError::Timeout),
        }
    }

    /// Says what could not be computed: two types that `operator` does not take.
    pub(super) fn incompatible_types(&mut self, span: Span, op: BinaryOp, left: &str, right: &str) {
        let op = op.as_str();
        let text = format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}");
        self.annotations.info(span, text);
    }
}
