//! `rate`, `increase`, `delta`, `irate`, `idelta`.
//!
//! The extrapolating ones assume that a series reaches the edge of the window if its first or last sample is nearer to it
//! than 1.1 times the mean distance of samples, and half of that distance beyond its samples otherwise; a counter is never
//! extrapolated below zero. Where the first sample says that its count began inside the window, nothing is guessed before it.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Timestamp, Value};
use crate::promql::functions::FunctionId;
use crate::store::Edges;

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
    // One sample is enough where it says when its count was zero.
    let zero_at = window.zero_at().filter(|_| is_counter);
    if window.samples.len() < 2 && zero_at.is_none() {
        return None;
    }
    let per_second = if id == FunctionId::Rate { window.range_secs() } else { 1.0 };
    if histograms.is_empty() {
        let points = window.points();
        let mut increase = points[points.len() - 1].value - points[0].value;
        if is_counter {
            let pairs = (1..).zip(points.windows(2));
            let resets = pairs.filter(|(index, pair)| pair[1].value < pair[0].value || window.starts_anew(*index));
            increase = resets.fold(increase, |increase, (_, pair)| increase + pair[0].value);
            note_overlap(window, notes);
        }
        if let Some(zero_at) = zero_at {
            increase += points[0].value;
            return Some(Value::Float(increase * (extrapolation_from_zero(window, zero_at) / per_second)));
        }
        let start = is_counter.then_some((points[0].value, increase));
        return Some(Value::Float(increase * (extrapolation(window, start) / per_second)));
    }
    let mut increase = match *histograms {
        [only] => only.as_ref().clone(),
        _ => histogram_increase(&histograms, is_counter, window, notes)?,
    };
    let Some(zero_at) = zero_at else {
        let start = is_counter.then_some((histograms[0].count, increase.count));
        return Some(native::into_value(native::scaled(&increase, extrapolation(window, start) / per_second)));
    };
    if histograms.len() > 1 {
        increase = added_first(&increase, histograms[0], window, notes)?;
    }
    Some(native::into_value(native::scaled(&increase, extrapolation_from_zero(window, zero_at) / per_second)))
}

/// The factor from the increase between samples to that over the window. `start` is the first value and the increase of a
/// counter, `None` for a gauge.
fn extrapolation(window: &Window<'_>, start: Option<(f64, f64)>) -> f64 {
    let samples = window.samples;
    let sampled = Sampled { count: samples.len(), first: samples[0].at, last: samples[samples.len() - 1].at };
    sampled.extrapolation((window.start, window.end), start)
}

/// `rate`, `increase`, `delta` of a window of at least two numbers, none of which has a start time.
pub(in crate::promql) fn extrapolated_floats(id: FunctionId, edges: &Edges, window: (Timestamp, Timestamp)) -> f64 {
    let is_counter = id != FunctionId::Delta;
    let increase = if is_counter { edges.increase } else { edges.last.1 - edges.first.1 };
    let per_second = if id == FunctionId::Rate { secs(window.0.as_ms(), window.1.as_ms()) } else { 1.0 };
    let sampled = Sampled { count: edges.count, first: edges.first.0, last: edges.last.0 };
    let start = is_counter.then_some((edges.first.1, increase));
    increase * (sampled.extrapolation(window, start) / per_second)
}

/// The samples of a window, as far as extrapolation looks at them; at least two.
struct Sampled {
    count: usize,
    first: Timestamp,
    last: Timestamp,
}

impl Sampled {
    /// See [`extrapolation`].
    fn extrapolation(&self, (start_at, end_at): (Timestamp, Timestamp), start: Option<(f64, f64)>) -> f64 {
        let sampled_secs = secs(self.first.as_ms(), self.last.as_ms());
        let mean_distance = sampled_secs / (self.count - 1) as f64;
        let mut to_start = secs(start_at.as_ms(), self.first.as_ms());
        if to_start >= mean_distance * REACH_RATIO {
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
        (sampled_secs + to_start + to_end(self.last, end_at, mean_distance)) / sampled_secs
    }
}

/// Likewise, where the first sample's count is known to have been zero at `zero_at`: nothing is guessed on that side.
fn extrapolation_from_zero(window: &Window<'_>, zero_at: Timestamp) -> f64 {
    let (first, last) = (&window.samples[0], &window.samples[window.samples.len() - 1]);
    let gaps = (window.samples.len() - 1).max(1);
    let mean_distance = secs(first.at.as_ms(), last.at.as_ms()) / gaps as f64;
    let sampled_secs = secs(zero_at.as_ms(), last.at.as_ms());
    (sampled_secs + to_end(last.at, window.end, mean_distance)) / sampled_secs
}

/// How far the series is taken to go on after its last sample.
fn to_end(last: Timestamp, end: Timestamp, mean_distance: f64) -> f64 {
    let to_end = secs(last.as_ms(), end.as_ms());
    if to_end >= mean_distance * REACH_RATIO { mean_distance / 2.0 } else { to_end }
}

fn secs(from_ms: i64, to_ms: i64) -> f64 {
    (to_ms - from_ms) as f64 / 1000.0
}

fn note_overlap(window: &Window<'_>, notes: &mut Annotations) {
    if window.has_overlap() {
        notes.overlapping_starts(window.span, window.metric());
    }
}

/// The increase since the first sample and what that had counted already.
fn added_first(
    increase: &Histogram,
    first: &Histogram,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Option<Histogram> {
    let Ok(combined) = native::add(increase, first) else {
        notes.mixed_schemas(window.span, window.metric());
        return None;
    };
    if combined.reconciled {
        notes.reconciled_bounds(window.span, "addition");
    }
    Some(combined.histogram)
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
    if is_counter {
        note_overlap(window, notes);
    }
    match counter_increase(histograms, is_counter, window, notes) {
        Ok(histogram) => Some(histogram),
        Err(IncompatibleSchemas) => {
            notes.mixed_schemas(window.span, window.metric());
            None
        }
    }
}

fn counter_increase(
    histograms: &[&Arc<Histogram>],
    is_counter: bool,
    window: &Window<'_>,
    notes: &mut Annotations,
) -> Result<Histogram, IncompatibleSchemas> {
    let is_reset =
        |index: usize| window.starts_anew(index) || native::is_reset(histograms[index], histograms[index - 1]);
    // What was before a reset between the first two does not matter, its layout neither.
    let first_relevant = usize::from(is_counter && is_reset(1));
    let (first, last) = (histograms[first_relevant], histograms[histograms.len() - 1]);
    let between = if is_counter { &histograms[first_relevant..] } else { &[first, last][..] };
    let custom = native::uses_custom_buckets(first);
    if between.iter().any(|histogram| native::uses_custom_buckets(histogram) != custom) {
        return Err(IncompatibleSchemas);
    }
    let schema = between.iter().map(|histogram| histogram.schema).min().unwrap_or(last.schema);
    let mut increase = native::at_schema(last, schema);
    if first_relevant == 0 {
        let combined = native::subtract(&increase, first)?;
        increase = combined.histogram;
        if combined.reconciled {
            notes.reconciled_bounds(window.span, "subtraction");
        }
    }
    if is_counter {
        for index in (first_relevant + 1..histograms.len()).filter(|index| is_reset(*index)) {
            let combined = native::add(&increase, histograms[index - 1])?;
            increase = combined.histogram;
            if combined.reconciled {
                notes.reconciled_bounds(window.span, "addition");
            }
        }
    }
    increase.counter_reset_hint = CounterResetHint::Gauge;
    Ok(native::compacted(&increase))
}

/// `irate`, `idelta` of two numbers, neither of which has a start time.
pub(in crate::promql) fn instant_floats(id: FunctionId, earlier: (Timestamp, f64), later: (Timestamp, f64)) -> f64 {
    let (a, b) = (earlier.1, later.1);
    match id {
        FunctionId::Irate => (if b < a { b } else { b - a }) / secs(earlier.0.as_ms(), later.0.as_ms()),
        _ => b - a,
    }
}

/// `irate`, `idelta`: the last two samples alone.
pub(super) fn instant(id: FunctionId, window: &Window<'_>, notes: &mut Annotations) -> Option<Value> {
    let [.., earlier, later] = window.samples else { return None };
    let is_rate = id == FunctionId::Irate;
    let starts_anew = is_rate && window.starts_anew(window.samples.len() - 1);
    let interval_secs = secs(earlier.at.as_ms(), later.at.as_ms());
    match (&earlier.value, &later.value) {
        (Value::Float(a), Value::Float(b)) => {
            let change = if starts_anew || (is_rate && b < a) { *b } else { b - a };
            Some(Value::Float(if is_rate { change / interval_secs } else { change }))
        }
        (Value::Histogram(a), Value::Histogram(b)) => {
            let mut change = instant_histogram(is_rate, [a, b], window, notes)?;
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
    [earlier, later]: [&Histogram; 2],
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
    let starts_anew = window.starts_anew(window.samples.len() - 1);
    if is_rate && (starts_anew || native::is_reset(later, earlier)) {
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
    use crate::model::{Labels, Sample};

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
                starts: &[],
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
