//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use crate::model::{Timestamp, Value};
use crate::promql::functions::FunctionId;

use super::annotations::Annotations;
use super::error::EvalError;
use super::number::CompensatedSum;
use super::window::{Point, Window};

/// The points of a window if there are at least two; says so if histograms are left out.
fn at_least_two(window: &Window<'_>, notes: &mut Annotations) -> Option<Vec<Point>> {
    let points = window.points();
    if !points.is_empty() && window.has_histograms() {
        notes.ignored_in_range(window.span, window.metric());
    }
    (points.len() >= 2).then_some(points)
}

/// `deriv` and `predict_linear`.
pub(super) fn linear(
    id: FunctionId,
    window: &Window<'_>,
    parameters: &[f64],
    notes: &mut Annotations,
) -> Option<Value> {
    let points = at_least_two(window, notes)?;
    let value = if id == FunctionId::PredictLinear {
        let (slope, intercept) = least_squares(&points, window.at);
        slope * parameters[0] + intercept
    } else {
        // Any instant near the samples will do: a distant one would cost precision.
        least_squares(&points, points[0].at).0
    };
    Some(Value::Float(value))
}

/// Slope per second, and the line's value at `intercept_at`. Constant points give exactly 0 and their value.
pub(in crate::promql) fn least_squares(points: &[Point], intercept_at: Timestamp) -> (f64, f64) {
    let first = points[0].value;
    if points.iter().all(|point| point.value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let zero = CompensatedSum::default();
    let (mut sum_x, mut sum_y, mut sum_xy, mut sum_x2) = (zero, zero, zero, zero);
    for point in points {
        let x = point.at.ms_since(intercept_at) as f64 / 1e3;
        sum_x = sum_x.plus(x);
        sum_y = sum_y.plus(point.value);
        sum_xy = sum_xy.plus(x * point.value);
        sum_x2 = sum_x2.plus(x * x);
    }
    let n = points.len() as f64;
    let [sum_x, sum_y, sum_xy, sum_x2] = [sum_x, sum_y, sum_xy, sum_x2].map(CompensatedSum::total);
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    (slope, sum_y / n - slope * sum_x / n)
}

/// Holt's linear method: a level and a trend, each smoothed by its factor.
pub(super) fn smoothed(
    window: &Window<'_>,
    parameters: &[f64],
    notes: &mut Annotations,
) -> Result<Option<Value>, EvalError> {
    let [smoothing, trend_smoothing] = [parameters[0], parameters[1]];
    let is_invalid = |factor: f64| factor <= 0.0 || factor >= 1.0;
    if is_invalid(smoothing) {
        return Err(EvalError::InvalidSmoothing { name: "smoothing factor", symbol: "sf", value: smoothing });
    }
    if is_invalid(trend_smoothing) {
        return Err(EvalError::InvalidSmoothing { name: "trend factor", symbol: "tf", value: trend_smoothing });
    }
    let Some(points) = at_least_two(window, notes) else { return Ok(None) };
    let mut trend = points[1].value - points[0].value;
    let (mut previous, mut level) = (0.0, points[0].value);
    for (index, point) in points.iter().enumerate().skip(1) {
        let weighted = smoothing * point.value;
        if index > 1 {
            trend = trend_smoothing * (level - previous) + (1.0 - trend_smoothing) * trend;
        }
        let projected = (1.0 - smoothing) * (level + trend);
        (previous, level) = (level, weighted + projected);
    }
    Ok(Some(Value::Float(level)))
}
