//! `min_over_time` and kin, `changes`, `resets`.

use crate::model::{Sample, Value};
use crate::promql::functions::FunctionId;

use super::annotations::Annotations;
use super::native;
use super::window::{Point, Window};

/// The extreme value of a window, or when it was. Histograms are left out; NaN yields to any number.
pub(super) fn extreme(id: FunctionId, window: &Window<'_>, notes: &mut Annotations) -> Option<Value> {
    let points = window.points();
    let best = extreme_point(id, &points)?;
    if window.has_histograms() {
        notes.ignored_in_range(window.span, window.metric());
    }
    Some(Value::Float(best))
}

/// See [`extreme`]; `None` of no points.
pub(in crate::promql) fn extreme_point(id: FunctionId, points: &[Point]) -> Option<f64> {
    use FunctionId::{MaxOverTime, MinOverTime, TsOfMaxOverTime, TsOfMinOverTime};
    let mut best = *points.first()?;
    for &point in points {
        // The time of an extreme is that of its last occurrence.
        let replaces = match id {
            MaxOverTime => point.value > best.value,
            MinOverTime => point.value < best.value,
            TsOfMaxOverTime => point.value >= best.value,
            TsOfMinOverTime => point.value <= best.value,
            _ => unreachable!("BUG: {id:?} gives no extreme"),
        };
        if replaces || best.value.is_nan() {
            best = point;
        }
    }
    let gives_time = matches!(id, TsOfMaxOverTime | TsOfMinOverTime);
    Some(if gives_time { best.at.as_secs_f64() } else { best.value })
}

/// How often neighbouring samples differ (`changes`) or the later one starts anew (`resets`). A change of type is both.
pub(super) fn transitions(id: FunctionId, window: &Window<'_>) -> Value {
    let pairs = window.samples.windows(2);
    let count = if id == FunctionId::Changes {
        pairs.filter(|pair| is_change(&pair[0], &pair[1])).count()
    } else {
        (1..).zip(pairs).filter(|(index, pair)| is_reset(&pair[0], &pair[1]) || window.starts_anew(*index)).count()
    };
    Value::Float(count as f64)
}

/// Whether two neighbouring numbers differ; NaN does not differ from NaN.
pub(in crate::promql) fn is_float_change(a: f64, b: f64) -> bool {
    a != b && !(a.is_nan() && b.is_nan())
}

fn is_change(earlier: &Sample, later: &Sample) -> bool {
    match (&earlier.value, &later.value) {
        (Value::Float(a), Value::Float(b)) => is_float_change(*a, *b),
        (Value::Histogram(a), Value::Histogram(b)) => !native::is_same(a, b),
        _ => true,
    }
}

fn is_reset(earlier: &Sample, later: &Sample) -> bool {
    match (&earlier.value, &later.value) {
        (Value::Float(a), Value::Float(b)) => b < a,
        (Value::Histogram(a), Value::Histogram(b)) => native::is_reset(b, a),
        _ => true,
    }
}
