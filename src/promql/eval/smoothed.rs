//! `metric smoothed` (experimental): values between samples, on the line from the one before to the one after.
//!
//! Both may be as far away as the look-back reaches; without a later one, the earlier one's value stands.

use crate::model::{CounterResetHint, Histogram, Sample, Timestamp, Value};
use crate::promql::ast::VectorSelector;
use crate::source::Span;

use super::error::EvalError;
use super::evaluator::Evaluator;
use super::extended::{interpolated, interpolated_histogram};
use super::grid::Grid;
use super::matrix::Row;
use super::native;
use super::selector::duration_ms;
use super::window::Point;

impl Evaluator<'_> {
    pub(super) fn smoothed_vector(
        &mut self,
        selector: &VectorSelector,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Row>, EvalError> {
        let lookback_ms = duration_ms(self.options.lookback_delta);
        let first = self.reference(selector.at, selector.offset_ms, grid.start);
        let last = self.reference(selector.at, selector.offset_ms, grid.end);
        let series = self.select(selector, first.plus_ms(1 - lookback_ms), last.plus_ms(lookback_ms))?;
        let mut rows = Vec::new();
        for mut series in series {
            self.check_interrupt()?;
            series.samples.retain(|sample| !sample.value.is_stale());
            let metric = series.labels.metric_name();
            let mut samples = Vec::new();
            for step in grid.steps() {
                let at = self.reference(selector.at, selector.offset_ms, step);
                let from = series.samples.partition_point(|sample| sample.at <= at.plus_ms(-lookback_ms));
                let to = series.samples.partition_point(|sample| sample.at <= at.plus_ms(lookback_ms));
                if let Some(value) = self.smoothed_value(&series.samples[from..to], at, metric, span) {
                    samples.push(Sample { at: step, value });
                }
            }
            if !samples.is_empty() {
                self.hold_samples(samples.len())?;
                rows.push(Row { labels: series.labels, drop_name: false, samples });
            }
        }
        Ok(rows)
    }

    fn smoothed_value(&mut self, around: &[Sample], at: Timestamp, metric: &str, span: Span) -> Option<Value> {
        let is_float = |sample: &Sample| matches!(sample.value, Value::Float(_));
        if around.iter().any(is_float) && !around.iter().all(is_float) {
            self.annotations.mixed_samples(span, metric);
            return None;
        }
        let next = around.partition_point(|sample| sample.at < at);
        let later = around.get(next);
        if let Some(exact) = later.filter(|sample| sample.at == at) {
            return Some(exact.value.clone());
        }
        let earlier = &around[next.checked_sub(1)?];
        match (&earlier.value, later.map(|later| (later.at, &later.value))) {
            (Value::Float(value), None) => Some(Value::Float(*value)),
            (Value::Float(a), Some((later_at, Value::Float(b)))) => {
                let [a, b] = [(earlier.at, *a), (later_at, *b)].map(|(at, value)| Point { at, value });
                Some(Value::Float(interpolated(a, b, at, false)))
            }
            (Value::Histogram(value), None) => {
                // The hint spoke of the sample, not of the value that stays.
                let unknown = Histogram { counter_reset_hint: CounterResetHint::Unknown, ..(**value).clone() };
                Some(native::into_value(unknown))
            }
            (Value::Histogram(a), Some((later_at, Value::Histogram(b)))) => {
                let is_gauge = |histogram: &Histogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
                let is_counter = !(is_gauge(a) && is_gauge(b));
                let ends = [(earlier.at, &**a), (later_at, &**b)];
                let value = interpolated_histogram(ends, at, is_counter, (span, &mut self.annotations));
                if value.is_err() {
                    self.annotations.mixed_schemas(span, metric);
                }
                value.ok().map(native::into_value)
            }
            _ => None,
        }
    }
}
