//! Sums, means, spread and quantiles, of windows and of groups.

use crate::model::Value;
use crate::promql::functions::FunctionId;

use super::annotations::Annotations;
use super::native;
use super::native_sum::{self, Reduction};
use super::number::CompensatedSum;
use super::sorting::ascending_nan_last;
use super::window::Window;

/// `sum_over_time` and `avg_over_time`.
pub(super) fn sum_or_mean(id: FunctionId, window: &Window<'_>, notes: &mut Annotations) -> Option<Value> {
    let histograms = window.histograms();
    if !histograms.is_empty() && window.has_floats() {
        notes.mixed_samples(window.span, window.metric());
        return None;
    }
    let is_mean = id == FunctionId::AvgOverTime;
    if !histograms.is_empty() {
        let reduction = if is_mean { Reduction::Mean } else { Reduction::Sum };
        let Ok(result) = native_sum::reduce(reduction, &histograms, window.span, notes) else {
            notes.mixed_schemas(window.span, window.metric());
            return None;
        };
        return Some(native::into_value(result));
    }
    let value = if is_mean { mean(window.floats()) } else { sum_of_window(window.floats()) };
    Some(Value::Float(value))
}

/// `sum_over_time` of numbers.
pub(in crate::promql) fn sum_of_window(values: impl Iterator<Item = f64>) -> f64 {
    let sum = values.fold(CompensatedSum::default(), CompensatedSum::plus);
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

/// The mean: sum over count while the sum is finite, the incremental mean from there on.
pub(in crate::promql) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut mean = Mean::default();
    values.for_each(|value| mean.push(value));
    mean.total()
}

/// A mean under construction; see [`mean`].
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::promql) struct Mean {
    count: f64,
    sum: CompensatedSum,
    incremental: Option<CompensatedSum>,
}

impl Mean {
    pub(in crate::promql) fn push(&mut self, value: f64) {
        self.count += 1.0;
        let count = self.count;
        if count == 1.0 {
            self.sum = CompensatedSum::starting_with(value);
            return;
        }
        let mean = match self.incremental {
            Some(mean) => mean,
            None => {
                let next = self.sum.plus(value);
                if !next.sum.is_infinite() {
                    self.sum = next;
                    return;
                }
                let before = count - 1.0;
                CompensatedSum { sum: self.sum.sum / before, compensation: self.sum.compensation / before }
            }
        };
        self.incremental = Some(mean.scaled((count - 1.0) / count).plus(value / count));
    }

    pub(in crate::promql) fn total(&self) -> f64 {
        match self.incremental {
            Some(mean) => mean.total(),
            None => self.sum.sum / self.count + self.sum.compensation / self.count,
        }
    }
}

/// `stddev_over_time`, `stdvar_over_time`, `quantile_over_time`, `mad_over_time`. Histograms are left out.
pub(super) fn spread(
    id: FunctionId,
    window: &Window<'_>,
    parameters: &[f64],
    notes: &mut Annotations,
) -> Option<Value> {
    let mut values: Vec<f64> = window.floats().collect();
    if values.is_empty() {
        return None;
    }
    if id == FunctionId::QuantileOverTime && !(0.0..=1.0).contains(&parameters[0]) {
        notes.invalid_quantile(window.span, parameters[0]);
    }
    if window.has_histograms() {
        notes.ignored_in_range(window.span, window.metric());
    }
    let q = parameters.first().copied().unwrap_or(f64::NAN);
    Some(Value::Float(spread_of(id, &mut values, q)))
}

/// See [`spread`], of at least one number. `q` is the quantile asked for.
pub(in crate::promql) fn spread_of(id: FunctionId, values: &mut [f64], q: f64) -> f64 {
    match id {
        FunctionId::QuantileOverTime => quantile(q, values),
        FunctionId::MadOverTime => median_absolute_deviation(values),
        FunctionId::StddevOverTime => variance(values).sqrt(),
        _ => variance(values),
    }
}

/// Welford's method with compensated mean and moment.
fn variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut moment) = (CompensatedSum::default(), CompensatedSum::default());
    for value in values {
        count += 1.0;
        let delta = value - mean.total();
        mean = mean.plus(delta / count);
        moment = moment.plus(delta * (value - mean.total()));
    }
    moment.total() / count
}

fn median_absolute_deviation(values: &mut [f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, values);
    for value in values.iter_mut() {
        *value = (*value - median).abs();
    }
    quantile(0.5, values)
}

/// The quantile `q`, interpolated between the two nearest values; NaN counts as the smallest value.
pub(in crate::promql) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then_with(|| ascending_nan_last(*a, *b)));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = rank.floor() as usize;
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[last.min(lower + 1)] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_survives_overflow() {
        let huge = mean([f64::MAX, f64::MAX, f64::MAX].into_iter());
        assert!(super::super::almost_equal(huge, f64::MAX, 1e-15), "{huge}");
        assert_eq!(mean([1.0, 2.0, 6.0].into_iter()), 3.0);
    }

    #[test]
    fn quantiles() {
        for (q, expected) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (-0.1, f64::NEG_INFINITY), (1.1, f64::INFINITY)] {
            assert_eq!(quantile(q, &mut [4.0, 1.0, 3.0, 2.0]), expected);
        }
        assert!(quantile(0.0, &mut [f64::NAN, 1.0]).is_nan());
    }
}
