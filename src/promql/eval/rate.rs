//! `rate`, `increase`, `delta`, `irate`, `idelta`.
//!
//! The extrapolating ones assume that a series reaches the edge of the window if its first or last sample is nearer to it
//! than 1.1 times the mean distance of samples, and half of that distance beyond its samples otherwise; a counter is never
//! extrapolated below zero.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Value};
use crate::promql::functions::FunctionId;

use super::annotations::Annotations;
use super::native::{self, IncompatibleSchemas};
use super::window::Window;

/// How far, in mean distances, the edge of the window may be from the nearest sample.
const REACH_RATIO: f64 = 1.1;

/// `rate`, `increase`, `delta`.
pub(super) fn extrapolated(id: FunctionId, window: &Window<'_>, notes: &mut Annotations) -> Option<Value> {
    let is_counter = id != FunctionId::Delta;
    let histograms = window.histograms();
    if !histograms.is_empty() && window.has_floats() {
        notes.mixed_samples(window.span, window.metric());
        return None;
    }
    if window.samples.len() < 2 {
        return None;
    }
    let per_second = if id == FunctionId::Rate { window.range_secs() } else { 1.0 };
    if histograms.is_empty() {
        let points = window.points();
        let mut increase = points[points.len() - 1].value - points[0].value;
        if is_counter {
            let resets = points.windows(2).filter(|pair| pair[1].value < pair[0].value);
            increase = resets.fold(increase, |increase, pair| increase + pair[0].value);
        }
        let start = is_counter.then_some((points[0].value, increase));
        return Some(Value::Float(increase * (extrapolation(window, start) / per_second)));
    }
    let increase = histogram_increase(&histograms, is_counter, window, notes)?;
    let start = is_counter.then_some((histograms[0].count, increase.count));
    Some(native::into_value(native::scaled(&increase, extrapolation(window, start) / per_second)))
}

/// The factor from the increase between samples to that over the window. `start` is the first value and the increase of a
/// counter, `None` for a gauge.
fn extrapolation(window: &Window<'_>, start: Option<(f64, f64)>) -> f64 {
    let (first, last) = (&window.samples[0], &window.samples[window.samples.len() - 1]);
    let sampled_secs = secs(first.at.as_ms(), last.at.as_ms());
    let mean_distance = sampled_secs / (window.samples.len() - 1) as f64;
    let reach = mean_distance * REACH_RATIO;
    let mut to_start = secs(window.start.as_ms(), first.at.as_ms());
    let mut to_end = secs(last.at.as_ms(), window.end.as_ms());
    if to_start >= reach {
        to_start = mean_distance / 2.0;
    }
    if let Some((first_value, increase)) = start
        && increase > 0.0
        && first_value >= 0.0
    {
        let to_zero = sampled_secs * (first_value / increase);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= reach {
        to_end = mean_distance / 2.0;
    }
    (sampled_secs + to_start + to_end) / sampled_secs
}

fn secs(from_ms: i64, to_ms: i64) -> f64 {
    (to_ms - from_ms) as f64 / 1000.0
}

/// The increase (or difference) over at least two histograms.
fn histogram_increase(
    histograms: &[&Arc<Histogram>],
    is_counter: bool,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Option<Histogram> {
    let is_gauge = |histogram: &Arc<Histogram>| histogram.counter_reset_hint == CounterResetHint::Gauge;
    let (first, last) = (histograms[0], histograms[histograms.len() - 1]);
    if is_counter && histograms.iter().any(|histogram| is_gauge(histogram)) {
        notes.not_a_counter(window.span, window.metric());
    }
    if !is_counter && [first, last].iter().any(|histogram| !is_gauge(histogram)) {
        notes.not_a_gauge(window.span, window.metric());
    }
    // What was before a reset between the first two does not matter, its layout neither.
    let starts_with_reset = is_counter && native::is_reset(histograms[1], first);
    let relevant = if starts_with_reset { &histograms[1..] } else { histograms };
    let result = counter_increase(relevant, starts_with_reset, is_counter, window, notes);
    match result {
        Ok(histogram) => Some(histogram),
        Err(IncompatibleSchemas) => {
            notes.mixed_schemas(window.span, window.metric());
            None
        }
    }
}

fn counter_increase(
    histograms: &[&Arc<Histogram>],
    starts_with_reset: bool,
    is_counter: bool,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Result<Histogram, IncompatibleSchemas> {
    let (first, last) = (histograms[0], histograms[histograms.len() - 1]);
    let between = if is_counter { histograms } else { &[first, last][..] };
    let custom = native::uses_custom_buckets(first);
    if between.iter().any(|histogram| native::uses_custom_buckets(histogram) != custom) {
        return Err(IncompatibleSchemas);
    }
    let schema = between.iter().map(|histogram| histogram.schema).min().unwrap_or(last.schema);
    let mut increase = native::at_schema(last, schema);
    if !starts_with_reset {
        let combined = native::subtract(&increase, first)?;
        increase = combined.histogram;
        if combined.reconciled {
            notes.reconciled_bounds(window.span, "subtraction");
        }
    }
    if is_counter {
        for pair in histograms.windows(2).filter(|pair| native::is_reset(pair[1], pair[0])) {
            let combined = native::add(&increase, pair[0])?;
            increase = combined.histogram;
            if combined.reconciled {
                notes.reconciled_bounds(window.span, "addition");
            }
        }
    }
    increase.counter_reset_hint = CounterResetHint::Gauge;
    Ok(native::compacted(&increase))
}

/// `irate`, `idelta`: the last two samples alone.
pub(super) fn instant(id: FunctionId, window: &Window<'_>, notes: &mut Annotations) -> Option<Value> {
    let [.., earlier, later] = window.samples else { return None };
    let is_rate = id == FunctionId::Irate;
    let interval_secs = secs(earlier.at.as_ms(), later.at.as_ms());
    match (&earlier.value, &later.value) {
        (Value::Float(a), Value::Float(b)) => {
            let change = if is_rate && b < a { *b } else { b - a };
            Some(Value::Float(if is_rate { change / interval_secs } else { change }))
        }
        (Value::Histogram(a), Value::Histogram(b)) => {
            let mut change = instant_histogram(is_rate, a, b, window, notes)?;
            change.counter_reset_hint = CounterResetHint::Gauge;
            Some(native::into_value(if is_rate { native::divided(&change, interval_secs) } else { change }))
        }
        (Value::Float(_), Value::Histogram(_)) | (Value::Histogram(_), Value::Float(_)) => {
            notes.mixed_samples(window.span, window.metric());
            None
        }
    }
}

fn instant_histogram(
    is_rate: bool,
    earlier: &Histogram,
    later: &Histogram,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Option<Histogram> {
    let gauges = [earlier, later].iter().filter(|h| h.counter_reset_hint == CounterResetHint::Gauge).count();
    if is_rate && gauges > 0 {
        notes.not_a_counter(window.span, window.metric());
    }
    if !is_rate && gauges < 2 {
        notes.not_a_gauge(window.span, window.metric());
    }
    if is_rate && native::is_reset(later, earlier) {
        return Some(native::compacted(later));
    }
    match native::subtract(later, earlier) {
        Ok(combined) => {
            if combined.reconciled {
                notes.reconciled_bounds(window.span, "subtraction");
            }
            Some(combined.histogram)
        }
        Err(IncompatibleSchemas) => {
            notes.mixed_schemas(window.span, window.metric());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Sample, Timestamp};

    #[test]
    fn extrapolates_to_the_edges_but_not_below_zero() {
        let check = |id, samples: &[(i64, f64)], expected: Option<f64>| {
            let samples: Vec<Sample> =
                samples.iter().map(|(secs, value)| Sample::float(Timestamp::from_ms(secs * 1000), *value)).collect();
            let at = Timestamp::from_ms(100_000);
            let labels = Labels::empty();
            let window = Window {
                labels: &labels,
                samples: &samples,
                start: Timestamp::EPOCH,
                end: at,
                at,
                span: Default::default(),
            };
            let value = extrapolated(id, &window, &mut Annotations::default()).map(|value| value.as_float().unwrap());
            assert_eq!(value, expected, "{samples:?}");
        };
        check(FunctionId::Increase, &[(10, 100.0), (50, 140.0), (90, 180.0)], Some(100.0));
        check(FunctionId::Rate, &[(10, 100.0), (50, 140.0), (90, 180.0)], Some(1.0));
        check(FunctionId::Increase, &[(10, 4.0), (50, 44.0), (90, 84.0)], Some(94.0));
        check(FunctionId::Increase, &[(10, 100.0), (50, 40.0), (90, 80.0)], Some(100.0));
        check(FunctionId::Delta, &[(10, 4.0), (50, 24.0), (90, 44.0)], Some(50.0));
        check(FunctionId::Increase, &[(50, 1.0)], None);
    }
}
