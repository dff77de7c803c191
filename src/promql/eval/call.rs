//! Calls: arguments evaluated, then the function dispatched on.
//!
//! There are three shapes: functions of windows (one series at a time), functions of rows (label functions, which do not
//! look at samples), and functions of the vectors at a step.
//!
//! **Differs:** `timestamp(x @ 1609746000 offset 10m)` looks ten minutes before the instant. Prometheus selects samples up to there, then
//! looks from the instant itself, so that it finds nothing beyond the lookback, and another sample where the offset is negative.

use crate::model::{Labels, StartTimes, Timestamp, Value};
use crate::promql::ast::{Call, Expr, ExprKind, RangeExtension, ValueType};
use crate::promql::functions::FunctionId;
use crate::source::Span;

use super::error::EvalError;
use super::evaluator::Evaluator;
use super::grid::Grid;
use super::matrix::{Element, Row, refuse_same_labels, weight};
use super::number::{go_max, go_min};
use super::selector::RangeSource;
use super::window::Window;
use super::{absent, calendar, extended, math, over_time, rate, regression, sorting, statistics};

/// After so many windows of a series the evaluator asks again whether anybody waits: a window may hold millions of samples, and
/// asking costs as much as reading some ten of them.
const STEPS_BETWEEN_LOOKS: usize = 16;

/// A call with a range argument, its arguments evaluated.
struct RangeCall<'c> {
    call: &'c Call,
    source: &'c RangeSource,
    /// The numbers among the arguments, by step.
    parameters: &'c [Vec<f64>],
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, span: Span, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let outer = self.detects_resets;
        self.detects_resets = match call.function.id {
            FunctionId::HistogramCount | FunctionId::HistogramSum | FunctionId::HistogramAvg => true,
            FunctionId::HistogramQuantile | FunctionId::HistogramQuantiles | FunctionId::HistogramFraction => false,
            _ => outer,
        };
        let result = self.dispatch(call, span, grid);
        self.detects_resets = outer;
        result
    }

    fn dispatch(&mut self, call: &Call, span: Span, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let id = call.function.id;
        let is_bytes = |arg: &&Expr| matches!(arg.kind, ExprKind::Bytes(_));
        if let Some(arg) = call.args.iter().map(Expr::unparenthesised).find(is_bytes) {
            return Err(EvalError::NotUtf8(arg.to_string()));
        }
        match id {
            FunctionId::LabelReplace => return self.label_replace(&call.args, grid),
            FunctionId::LabelJoin => return self.label_join(&call.args, grid),
            FunctionId::Info => return self.info(&call.args, grid),
            _ => {}
        }
        if let Some(position) = call.args.iter().position(|arg| arg.value_type() == ValueType::Matrix) {
            return self.range_call(call, position, grid);
        }
        if id == FunctionId::StartTimestamp && !self.options.use_start_timestamps {
            // The argument may still be wrong.
            self.eval(&call.args[0], grid)?;
            return Ok(Vec::new());
        }
        if matches!(id, FunctionId::TimestampOf | FunctionId::StartTimestamp)
            && let ExprKind::VectorSelector(selector) = &call.args[0].unparenthesised().kind
        {
            let mut rows = if id == FunctionId::TimestampOf {
                self.sample_times(selector, grid)?
            } else {
                self.start_times(selector, grid)?
            };
            for row in &mut rows {
                row.labels = self.without_name(&row.labels);
                row.drop_name = true;
            }
            if !self.options.delayed_name_removal {
                rows = self.by_step(grid, &[&rows], |_, _, vectors| Ok(vectors[0].clone()))?;
            }
            return Ok(rows);
        }
        if sorting::is_sort(id) && !grid.is_single() {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            self.annotations.warn(span, text);
        }
        self.vector_call(call, grid)
    }

    fn vector_call(&mut self, call: &Call, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let args: Vec<&Expr> = call.args.iter().map(Expr::unparenthesised).collect();
        let mut inputs = Vec::new();
        for arg in args.iter().filter(|arg| arg.value_type() != ValueType::String) {
            inputs.push(self.eval(arg, grid)?);
        }
        let inputs: Vec<&[Row]> = inputs.iter().map(Vec::as_slice).collect();
        self.by_step(grid, &inputs, |evaluator, step, vectors| {
            evaluator.vector_function(call.function.id, &args, step, vectors)
        })
    }

    /// The function's value at one step. `vectors` are the arguments that are not texts, scalars as one element.
    fn vector_function(
        &mut self,
        id: FunctionId,
        args: &[&Expr],
        step: Timestamp,
        vectors: &[Vec<Element>],
    ) -> Result<Vec<Element>, EvalError> {
        use FunctionId as F;
        let scalar = |value: f64| vec![Element::new(Labels::empty(), step, value)];
        let parameter = |index: usize| -> f64 { scalar_of(&vectors[index]) };
        Ok(match id {
            F::Time => scalar(step.as_secs_f64()),
            F::Pi => scalar(std::f64::consts::PI),
            F::StartOf | F::EndOf | F::StepOf | F::RangeOf => scalar(self.query_fact(id)),
            F::MaxOf => scalar(go_max(parameter(0), parameter(1))),
            F::MinOf => scalar(go_min(parameter(0), parameter(1))),
            F::VectorOf => scalar(parameter(0)),
            F::ScalarOf => scalar(only_float(&vectors[0])),
            F::Absent if vectors[0].is_empty() => vec![Element::new(absent::labels_of(args[0]), step, 1.0)],
            F::Absent => Vec::new(),
            // Only samples that a selector has taken have a start time.
            F::StartTimestamp => Vec::new(),
            F::TimestampOf => self.map_values(&vectors[0], |element| Some(element.at.as_secs_f64())),
            F::Clamp => self.clamp(&vectors[0], parameter(1), parameter(2)),
            F::ClampMin => self.clamp(&vectors[0], parameter(1), f64::INFINITY),
            F::ClampMax => self.clamp(&vectors[0], f64::NEG_INFINITY, parameter(1)),
            F::Round => {
                // Dividing by the inverse loses less than multiplying.
                let inverse = 1.0 / vectors.get(1).map_or(1.0, |vector| scalar_of(vector));
                self.map_values(&vectors[0], |element| Some((element.float()? * inverse + 0.5).floor() / inverse))
            }
            F::Sort | F::SortDesc => sorting::by_value(&vectors[0], id),
            F::SortByLabel | F::SortByLabelDesc => sorting::by_labels(&vectors[0], &texts(&args[1..]), id),
            F::HistogramQuantile => self.histogram_quantile(args, parameter(0), &vectors[1], step),
            F::HistogramQuantiles => {
                let quantiles: Vec<f64> = vectors[1..].iter().map(|vector| scalar_of(vector)).collect();
                self.histogram_quantiles(args, &quantiles, &vectors[0], step)
            }
            F::HistogramFraction => self.histogram_fraction(args, [parameter(0), parameter(1)], &vectors[2]),
            F::HistogramCount | F::HistogramSum | F::HistogramAvg | F::HistogramStddev | F::HistogramStdvar => {
                self.histogram_statistic(id, &vectors[0])
            }
            _ if calendar::is_calendar(id) => match vectors.first() {
                None => scalar(calendar::field(id, step.as_ms().div_euclid(1000) as f64)),
                Some(vector) => self.map_values(vector, |element| Some(calendar::field(id, element.float()?))),
            },
            _ => self.map_values(&vectors[0], |element| Some(math::simple_function(id, element.float()?))),
        })
    }

    /// Applies `function` to each element and drops the name; elements without a value vanish.
    pub(super) fn map_values(&self, vector: &[Element], function: impl Fn(&Element) -> Option<f64>) -> Vec<Element> {
        let map = |element: &Element| {
            let value = Value::Float(function(element)?);
            let labels = self.without_name(&element.labels);
            Some(Element { labels, drop_name: true, value, row: element.row, at: element.at })
        };
        vector.iter().filter_map(map).collect()
    }

    fn clamp(&self, vector: &[Element], min: f64, max: f64) -> Vec<Element> {
        if max < min {
            return Vec::new();
        }
        self.map_values(vector, |element| Some(go_max(min, go_min(max, element.float()?))))
    }

    fn range_call(&mut self, call: &Call, position: usize, grid: Grid) -> Result<Vec<Row>, EvalError> {
        let id = call.function.id;
        let range_arg = call.args[position].unparenthesised();
        let source = match &range_arg.kind {
            ExprKind::MatrixSelector { selector, range_ms } => self.matrix_rows(selector, *range_ms, grid)?,
            // Its windows count, not what it read to have them.
            ExprKind::Subquery(subquery) => self.subquery_rows(subquery, grid).0?,
            _ => unreachable!("BUG: a range vector that is neither a selector nor a subquery"),
        };
        if let Some(extension) = source.extension {
            let allowed = extended::allowed_functions(extension);
            if !allowed.contains(&call.function.name) {
                let (extension, function) = (extension.as_str(), call.function.name);
                return Err(EvalError::ExtensionMisused { extension, allowed, function });
            }
        }
        let mut parameters = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            if index != position {
                parameters.push(self.scalars(arg, grid)?);
            }
        }
        let range_call = RangeCall { call, source: &source, parameters: &parameters };
        let mut rows = Vec::new();
        for (index, series) in source.rows.iter().enumerate() {
            self.check_interrupt()?;
            let (row, last_window) = self.window_row(&range_call, index, grid)?;
            if !row.samples.is_empty() {
                self.hold_samples(row.samples.iter().map(|sample| weight(&sample.value)).sum())?;
                self.check_held(last_window)?;
                self.note_possible_non_counter(id, series, &row, place_of_notes(range_arg));
                rows.push(row);
            }
        }
        if id == FunctionId::AbsentOverTime {
            return Ok(absent::over_time(range_arg, &rows, grid));
        }
        if !self.options.delayed_name_removal {
            refuse_same_labels(&rows)?;
        }
        Ok(rows)
    }

    /// The function's values in the windows of the source's series at `series_index`, and how many samples the last window held.
    fn window_row(
        &mut self,
        range_call: &RangeCall<'_>,
        series_index: usize,
        grid: Grid,
    ) -> Result<(Row, usize), EvalError> {
        let RangeCall { call, source, parameters } = *range_call;
        let series = &source.rows[series_index];
        let starts = source.starts.get(series_index).unwrap_or(const { &StartTimes::NONE });
        let id = call.function.id;
        // Upstream's warnings point at the first argument, though it be the number of `quantile_over_time`.
        let span = place_of_notes(&call.args[0]);
        // These two act like an offset and so keep the name.
        let keeps_name = matches!(id, FunctionId::LastOverTime | FunctionId::FirstOverTime);
        let drop_name = !keeps_name || series.drop_name;
        let labels = if drop_name { self.without_name(&series.labels) } else { series.labels.clone() };
        let mut row = Row { labels, drop_name, samples: Vec::new() };
        let (mut first, mut past, mut held) = (0, 0, 0);
        for (index, step) in grid.steps().enumerate() {
            if index % STEPS_BETWEEN_LOOKS == 0 {
                self.check_interrupt()?;
            }
            let end = self.reference(source.at, source.offset_ms, step);
            let start = end.plus_ms(-source.range_ms);
            let reach_start = start.plus_ms(-source.reach_ms.0);
            let reach_end = end.plus_ms(source.reach_ms.1);
            while series.samples.get(first).is_some_and(|sample| sample.at <= reach_start) {
                first += 1;
            }
            past = past.max(first);
            while series.samples.get(past).is_some_and(|sample| sample.at <= reach_end) {
                past += 1;
            }
            let samples = &series.samples[first..past];
            held = samples.iter().map(|sample| weight(&sample.value)).sum();
            if samples.is_empty() {
                continue;
            }
            self.stats.read(index, held);
            self.check_held(held)?;
            let window = Window {
                labels: &series.labels,
                samples,
                starts: starts.range(first, past),
                start,
                end,
                at: step,
                span,
            };
            let parameters: Vec<f64> = parameters.iter().map(|values| values[index]).collect();
            let value = match source.extension {
                Some(extension) => self.extended_window_function(id, window, extension),
                None => self.window_function(id, &window, &parameters)?,
            };
            if let Some(value) = value {
                row.samples.push(crate::model::Sample { at: step, value });
            }
        }
        Ok((row, held))
    }

    fn extended_window_function(
        &mut self,
        id: FunctionId,
        window: Window<'_>,
        extension: RangeExtension,
    ) -> Option<Value> {
        if matches!(id, FunctionId::Changes | FunctionId::Resets) {
            return Some(over_time::transitions(id, &extended::anchored(window)?));
        }
        extended::rate(id, &window, extension, &mut self.annotations)
    }

    fn window_function(
        &mut self,
        id: FunctionId,
        window: &Window<'_>,
        parameters: &[f64],
    ) -> Result<Option<Value>, EvalError> {
        use FunctionId as F;
        let notes = &mut self.annotations;
        Ok(match id {
            F::Rate | F::Increase | F::Delta => rate::extrapolated(id, window, notes),
            F::Irate | F::Idelta => rate::instant(id, window, notes),
            F::Deriv | F::PredictLinear => regression::linear(id, window, parameters, notes),
            F::DoubleExponentialSmoothing => regression::smoothed(window, parameters, notes)?,
            F::SumOverTime | F::AvgOverTime => statistics::sum_or_mean(id, window, notes),
            F::StddevOverTime | F::StdvarOverTime | F::QuantileOverTime | F::MadOverTime => {
                statistics::spread(id, window, parameters, notes)
            }
            F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
                over_time::extreme(id, window, notes)
            }
            F::Changes | F::Resets => Some(over_time::transitions(id, window)),
            F::CountOverTime => Some(Value::Float(window.samples.len() as f64)),
            F::PresentOverTime | F::AbsentOverTime => Some(Value::Float(1.0)),
            F::FirstOverTime => Some(window.samples[0].value.clone()),
            F::LastOverTime => Some(window.samples[window.samples.len() - 1].value.clone()),
            F::TsOfFirstOverTime => Some(Value::Float(window.samples[0].at.as_secs_f64())),
            F::TsOfLastOverTime => Some(Value::Float(window.samples[window.samples.len() - 1].at.as_secs_f64())),
            _ => unreachable!("BUG: a function of vectors called with a window"),
        })
    }

    fn note_possible_non_counter(&mut self, id: FunctionId, series: &Row, row: &Row, span: Span) {
        let is_rate = matches!(id, FunctionId::Rate | FunctionId::Increase);
        let metric = series.labels.metric_name();
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        if !is_rate || metric.is_empty() || suffixes.iter().any(|suffix| metric.ends_with(suffix)) {
            return;
        }
        if row.samples.iter().any(|sample| matches!(sample.value, Value::Float(_))) {
            let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
            self.annotations.info(span, format!("{text} {metric:?}"));
        }
    }
}

/// What notes about the windows of `arg` point at. Upstream has replaced a subquery by its values, which have no place.
fn place_of_notes(arg: &Expr) -> Span {
    match &arg.unparenthesised().kind {
        ExprKind::Subquery(_) => Span::default(),
        _ => arg.unparenthesised().span,
    }
}

/// The value of a scalar argument.
fn scalar_of(vector: &[Element]) -> f64 {
    vector.first().and_then(Element::float).expect("BUG: a scalar argument without a number")
}

/// `scalar()`: the one float there is, else NaN.
fn only_float(vector: &[Element]) -> f64 {
    let mut floats = vector.iter().filter_map(Element::float);
    match (floats.next(), floats.next()) {
        (Some(value), None) => value,
        _ => f64::NAN,
    }
}

/// The texts of arguments that the type check has found to be texts.
pub(super) fn texts(args: &[&Expr]) -> Vec<std::sync::Arc<str>> {
    args.iter().map(|arg| text_of(arg)).collect()
}

/// See [`texts`].
pub(super) fn text_of(arg: &Expr) -> std::sync::Arc<str> {
    match &arg.unparenthesised().kind {
        ExprKind::String(text) => text.clone(),
        _ => unreachable!("BUG: an argument that should be a text is none"),
    }
}
