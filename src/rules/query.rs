//! Expressions of rules and of their templates, and those of objectives, evaluated.
//!
//! A rule's own expression goes through the engine's plan where there is an engine; it is prepared at the first evaluation.
//! What a plan leaves to the plain evaluator, and what templates ask for, is evaluated plainly.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::{Labels, Matcher, Series, Timestamp, Value};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant, eval_range};
use crate::promql::plan::{Answer, Engine, Notes, Overlaid, Overlay, Prepared, Question};
use crate::promql::{self, Expr, Querier, QuerierError};

use super::{Environment, EvalContext, ReplaySlots};

/// The plan of a rule's expression, and the labels of its result by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct RulePlan {
    prepared: Option<Prepared>,
    era: Option<u64>,
    labels: Vec<Option<Labels>>,
    /// Series with data that the last evaluation read.
    series_read: usize,
    /// Elements that it gave.
    elements_len: usize,
}

/// What one evaluation reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) context: &'a EvalContext<'a>,
    /// What earlier rules of the group recorded.
    pub(crate) overlay: &'a Overlay,
}

impl<'a> Source<'a> {
    pub(super) fn querier(&self) -> Overlaid<'a> {
        Overlaid::new(self.context.querier, self.overlay)
    }
}

impl RulePlan {
    /// The plan's answer; `None` if the expression must be evaluated plainly.
    pub(super) fn answer<'e>(&mut self, expr: &Expr, at: Timestamp, source: Source<'e>) -> Option<Answer<'e>> {
        let engine = source.context.engine?;
        if self.prepared.as_ref().is_none_or(|prepared| !engine.knows(prepared)) {
            self.prepared = Some(engine.prepare(expr));
            self.era = None;
        }
        let options = options(source.context.environment);
        let question = Question { at, overlay: Some(source.overlay), options: &options, notes: Notes::Ignored };
        let answer = engine.eval(self.prepared.as_ref()?, &question)?;
        self.series_read = answer.series_read();
        Some(answer)
    }

    /// The elements, evaluated plainly.
    pub(super) fn plainly(
        &mut self,
        expr: &Expr,
        at: Timestamp,
        source: Source<'_>,
    ) -> Result<Vec<(Labels, Value)>, String> {
        let querier = Counting { querier: &source.querier(), series: AtomicUsize::new(0) };
        let elements = elements(expr, at, &querier, source.context.environment);
        self.series_read = querier.series.into_inner();
        elements
    }

    /// See [`super::RuleOutcome::series_in`].
    pub(super) fn series_read(&self) -> usize {
        self.series_read
    }

    /// The elements of the value, a number as one element without labels.
    pub(crate) fn elements(
        &mut self,
        expr: &Expr,
        at: Timestamp,
        source: Source<'_>,
    ) -> Result<Vec<(Labels, Value)>, String> {
        let planned = self.answer(expr, at, source).and_then(|answer| self.labelled(&answer));
        let elements = planned.map_or_else(|| self.plainly(expr, at, source), Ok);
        self.elements_len = elements.as_ref().map_or(0, Vec::len);
        elements
    }

    /// How many elements the last evaluation gave.
    pub(super) fn elements_len(&self) -> usize {
        self.elements_len
    }

    fn labelled(&mut self, answer: &Answer<'_>) -> Option<Vec<(Labels, Value)>> {
        if self.era != Some(answer.era()) {
            self.era = Some(answer.era());
            self.labels.clear();
        }
        let element = |(slot, value): (u32, f64)| {
            let index = slot as usize;
            if self.labels.len() <= index {
                self.labels.resize(index + 1, None);
            }
            if self.labels[index].is_none() {
                self.labels[index] = Some(answer.labels(slot)?);
            }
            Some((self.labels[index].clone()?, Value::Float(value)))
        };
        answer.elements().map(element).collect()
    }
}

/// Counts the series that it hands on.
struct Counting<'a> {
    querier: &'a dyn Querier,
    series: AtomicUsize,
}

impl Querier for Counting<'_> {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let series = self.querier.select(matchers, start, end)?;
        self.series.fetch_add(series.len(), Ordering::Relaxed);
        Ok(series)
    }
}

/// The engine's store, for handles of recorded series.
pub(super) fn engine_of<'a>(context: &EvalContext<'a>) -> Option<&'a Engine> {
    context.engine
}

fn options(environment: &Environment) -> QueryOptions<'static> {
    environment.dialect.applied(QueryOptions {
        lookback_delta: environment.lookback_delta,
        default_subquery_step: environment.default_subquery_step,
        ..QueryOptions::default()
    })
}

/// The elements of an expression's value, evaluated plainly.
pub(super) fn elements(
    expr: &Expr,
    at: Timestamp,
    querier: &dyn Querier,
    environment: &Environment,
) -> Result<Vec<(Labels, Value)>, String> {
    let result = eval_instant(expr, at, querier, &options(environment)).map_err(|error| error.to_string())?;
    match result.value {
        QueryValue::Vector(elements) => {
            Ok(elements.into_iter().map(|element| (element.labels, element.value)).collect())
        }
        QueryValue::Scalar { value, .. } => Ok(vec![(Labels::empty(), Value::Float(value))]),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
    }
}

/// As [`elements`], at all `slots` at once: a series for each label set that the expression gives at any of them.
pub(super) fn elements_of_range(
    expr: &Expr,
    slots: ReplaySlots,
    querier: &dyn Querier,
    environment: &Environment,
) -> Result<Vec<Series>, String> {
    let options = options(environment);
    let result = eval_range(expr, slots.start, slots.end, slots.step, querier, &options);
    match result.map_err(|error| error.to_string())?.value {
        QueryValue::Matrix(series) => Ok(series),
        _ => unreachable!("BUG: a range query gives a matrix"),
    }
}

/// As [`elements`], for the text that a template hands to `query`.
pub(super) fn elements_of_text(
    text: &str,
    at: Timestamp,
    querier: &dyn Querier,
    environment: &Environment,
) -> Result<Vec<(Labels, Value)>, String> {
    let expr = promql::parse_with(text, environment.dialect.features).map_err(|errors| errors[0].to_string())?;
    elements(&expr, at, querier, environment)
}
