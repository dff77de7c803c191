//! `anchored` and `smoothed` (experimental): what a window's edges are worth.
//!
//! An anchored window begins with the last sample before it, as far as the look-back reaches. A smoothed one has values at both
//! edges that lie on the line between the samples around them. Nothing is extrapolated.
//! **Source.** Prometheus 3.14 `promql/functions.go`, `extendedRate`, `extendedHistogramRate`.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Sample, Timestamp, Value};
use crate::promql::ast::RangeExtension;
use crate::promql::functions::FunctionId;
use crate::source::Span;

use super::annotations::Annotations;
use super::native::{self, IncompatibleSchemas};
use super::window::{Point, Window};

/// The functions that such windows are made for, in the words of the error.
pub(super) fn allowed_functions(extension: RangeExtension) -> &'static [&'static str] {
    match extension {
        RangeExtension::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        RangeExtension::Smoothed => &["delta", "increase", "rate"],
    }
}

/// The window from its anchor on; none if there is no sample after its start.
pub(super) fn anchored(window: Window<'_>) -> Option<Window<'_>> {
    let after = window.samples.partition_point(|sample| sample.at <= window.start);
    let anchor = after.saturating_sub(1);
    let starts = window.starts.get(anchor..).unwrap_or(&[]);
    (after < window.samples.len()).then(|| Window { samples: &window.samples[anchor..], starts, ..window })
}

/// Which samples stand for the edges of a window.
struct Edges {
    first: usize,
    last: usize,
}

/// `None` if no sample lies in the window (or, smoothed, around it).
fn edges(times: &[Timestamp], window: &Window<'_>, is_smoothed: bool) -> Option<Edges> {
    let mut last = times.len() - 1;
    let first = times[..last].partition_point(|at| *at <= window.start).saturating_sub(1);
    if is_smoothed {
        last = times[..last].partition_point(|at| *at < window.end);
    }
    let is_empty = times[last] <= window.start || (is_smoothed && times[first] > window.end);
    (!is_empty).then_some(Edges { first, last })
}

/// `rate`, `increase`, `delta` of an extended window.
pub(super) fn rate(
    id: FunctionId,
    window: &Window<'_>,
    extension: RangeExtension,
    notes: &mut Annotations,
) -> Option<Value> {
    let histograms = window.histograms();
    if !histograms.is_empty() && window.has_floats() {
        notes.mixed_samples(window.span, window.metric());
        return None;
    }
    let is_smoothed = extension == RangeExtension::Smoothed;
    let is_counter = id != FunctionId::Delta;
    let per_second = if id == FunctionId::Rate { window.range_secs() } else { 1.0 };
    let times: Vec<Timestamp> = window.samples.iter().map(|sample| sample.at).collect();
    let edges = edges(&times, window, is_smoothed)?;
    if histograms.is_empty() {
        let points = window.points();
        let increase = float_increase(&points, edges, window, (is_smoothed, is_counter));
        return Some(Value::Float(increase / per_second));
    }
    let mut walk = HistogramWalk { histograms: &histograms, times: &times, window, is_smoothed, is_counter, notes };
    match walk.increase(edges) {
        Ok(increase) => Some(native::into_value(native::compacted(&native::divided(&increase, per_second)))),
        Err(IncompatibleSchemas) => {
            notes.mixed_schemas(window.span, window.metric());
            None
        }
    }
}

fn float_increase(points: &[Point], edges: Edges, window: &Window<'_>, (is_smoothed, is_counter): (bool, bool)) -> f64 {
    let Edges { first, last } = edges;
    let left = left_value(points, first, window.start, (is_smoothed, is_counter));
    let right = right_value(points, last, window.end, (is_smoothed, is_counter));
    let mut increase = right - left;
    if is_counter {
        // The edges have dealt with resets beyond them.
        let inside = inner_points(points, Edges { first, last }, window);
        let mut previous = left;
        for value in inside.iter().map(|point| point.value).chain([right]) {
            if value < previous {
                increase += previous;
            }
            previous = value;
        }
    }
    increase
}

fn left_value(points: &[Point], first: usize, start: Timestamp, (is_smoothed, is_counter): (bool, bool)) -> f64 {
    if is_smoothed && points[first].at < start && first + 1 < points.len() {
        interpolated(points[first], points[first + 1], start, is_counter)
    } else {
        points[first].value
    }
}

fn right_value(points: &[Point], last: usize, end: Timestamp, (is_smoothed, is_counter): (bool, bool)) -> f64 {
    if is_smoothed && last > 0 && points[last].at > end {
        interpolated(points[last - 1], points[last], end, is_counter)
    } else {
        points[last].value
    }
}

/// The points strictly between the edges.
fn inner_points<'p>(points: &'p [Point], edges: Edges, window: &Window<'_>) -> &'p [Point] {
    let from = edges.first + usize::from(points[edges.first].at <= window.start);
    let to = edges.last + usize::from(points[edges.last].at < window.end);
    points.get(from..to).unwrap_or(&[])
}

/// The value at `at` on the line from `a` to `b`; a counter that was reset between them rises from zero.
pub(super) fn interpolated(a: Point, b: Point, at: Timestamp, is_counter: bool) -> f64 {
    let from = if is_counter && b.value < a.value { 0.0 } else { a.value };
    from + (b.value - from) * at.ms_since(a.at) as f64 / b.at.ms_since(a.at) as f64
}

/// `metric[5m] anchored` as the answer of a query: the samples inside, and the edges' values at the edges.
pub(super) fn with_edges(window: &Window<'_>, extension: RangeExtension) -> Vec<Sample> {
    let is_smoothed = extension == RangeExtension::Smoothed;
    let points = window.points();
    let times: Vec<Timestamp> = points.iter().map(|point| point.at).collect();
    let Some(Edges { first, last }) = edges(&times, window, false).map(|edges| {
        let last = if is_smoothed { times[..edges.last].partition_point(|at| *at < window.end) } else { edges.last };
        Edges { last, ..edges }
    }) else {
        return Vec::new();
    };
    if times[last] <= window.start {
        return Vec::new();
    }
    let left = left_value(&points, first, window.start, (is_smoothed, false));
    let right = right_value(&points, last, window.end, (is_smoothed, false));
    let inside = inner_points(&points, Edges { first, last }, window);
    let mut samples = vec![Sample::float(window.start, left)];
    samples.extend(inside.iter().map(|point| Sample::float(point.at, point.value)));
    samples.push(Sample::float(window.end, right));
    samples
}

/// The increase of histograms between two edges.
struct HistogramWalk<'w, 'n> {
    histograms: &'w [&'w Arc<Histogram>],
    times: &'w [Timestamp],
    window: &'w Window<'w>,
    is_smoothed: bool,
    is_counter: bool,
    notes: &'n mut Annotations,
}

impl HistogramWalk<'_, '_> {
    fn increase(&mut self, Edges { first, last }: Edges) -> Result<Histogram, IncompatibleSchemas> {
        let (span, metric) = (self.window.span, self.window.metric());
        let custom = native::uses_custom_buckets(self.histograms[first]);
        for histogram in &self.histograms[first..=last] {
            if native::uses_custom_buckets(histogram) != custom {
                return Err(IncompatibleSchemas);
            }
            if self.is_counter && histogram.counter_reset_hint == CounterResetHint::Gauge {
                self.notes.not_a_counter(span, metric);
            }
        }
        let is_left_between = self.is_smoothed && self.times[first] < self.window.start && first < last;
        let left = if is_left_between {
            self.between(first, self.window.start)?
        } else {
            self.histograms[first].as_ref().clone()
        };
        let is_right_between = self.is_smoothed && last > 0 && self.times[last] > self.window.end;
        let right = if is_right_between {
            self.between(last - 1, self.window.end)?
        } else {
            self.histograms[last].as_ref().clone()
        };
        let is_gauge = |histogram: &Histogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
        if !self.is_counter && [&left, &right].iter().any(|histogram| !is_gauge(histogram)) {
            self.notes.not_a_gauge(span, metric);
        }
        let mut increase = self.subtract(&right, &left)?;
        if self.is_counter {
            for lost in self.resets(&left, &right, Edges { first, last }, is_left_between) {
                increase = self.add(&increase, &lost)?;
            }
        }
        increase.counter_reset_hint = CounterResetHint::Gauge;
        Ok(increase)
    }

    /// The histograms before each reset between the edges. The last sample is left out: `right` stands for it.
    fn resets(&self, left: &Histogram, right: &Histogram, edges: Edges, is_left_between: bool) -> Vec<Histogram> {
        let mut from = edges.first + 1;
        let mut previous = left.clone();
        if is_left_between && native::is_reset(self.histograms[from], self.histograms[edges.first]) {
            // The left edge rises from this reset already.
            previous = self.histograms[from].as_ref().clone();
            from += 1;
        }
        let mut lost = Vec::new();
        if from > edges.last {
            return lost;
        }
        let inside = self.histograms[from..edges.last].iter().map(|histogram| histogram.as_ref());
        for histogram in inside.chain([right]) {
            if native::is_reset(histogram, &previous) {
                lost.push(previous);
            }
            previous = histogram.clone();
        }
        lost
    }

    fn between(&mut self, index: usize, at: Timestamp) -> Result<Histogram, IncompatibleSchemas> {
        let ends = [index, index + 1].map(|index| (self.times[index], self.histograms[index].as_ref()));
        interpolated_histogram(ends, at, self.is_counter, (self.window.span, self.notes))
    }

    fn add(&mut self, a: &Histogram, b: &Histogram) -> Result<Histogram, IncompatibleSchemas> {
        let combined = native::add(a, b)?;
        if combined.reconciled {
            self.notes.reconciled_bounds(self.window.span, "addition");
        }
        Ok(combined.histogram)
    }

    fn subtract(&mut self, a: &Histogram, b: &Histogram) -> Result<Histogram, IncompatibleSchemas> {
        let combined = native::subtract(a, b)?;
        if combined.reconciled {
            self.notes.reconciled_bounds(self.window.span, "subtraction");
        }
        Ok(combined.histogram)
    }
}

/// The histogram at `at` on the line between two; a counter that was reset between them rises from nothing.
pub(super) fn interpolated_histogram(
    [(from, a), (to, b)]: [(Timestamp, &Histogram); 2],
    at: Timestamp,
    is_counter: bool,
    (span, notes): (Span, &mut Annotations),
) -> Result<Histogram, IncompatibleSchemas> {
    if at == from {
        return Ok(a.clone());
    }
    if at == to {
        return Ok(b.clone());
    }
    if native::uses_custom_buckets(a) != native::uses_custom_buckets(b) {
        return Err(IncompatibleSchemas);
    }
    let fraction = at.ms_since(from) as f64 / to.ms_since(from) as f64;
    if is_counter && native::is_reset(b, a) {
        return Ok(native::scaled(b, fraction));
    }
    let difference = native::subtract(b, a)?;
    if difference.reconciled {
        notes.reconciled_bounds(span, "subtraction");
    }
    let sum = native::add(&native::scaled(&difference.histogram, fraction), a)?;
    if sum.reconciled {
        notes.reconciled_bounds(span, "addition");
    }
    Ok(sum.histogram)
}
