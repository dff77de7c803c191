//! Functions of long windows from what the store keeps of whole chunks, without reading the samples.
//!
//! In the flow: [`super::window`] asks here before it reads a window.
//!
//! | functions | against reading the samples |
//! |---|---|
//! | min, max, changes, resets, count, present, first and last with their times, irate, idelta | the same bits |
//! | sum, avg | the same bits while every partial sum is an integer below 2^53; else the last digits differ, within one unit in the last place of the sum of magnitudes |
//! | stddev, stdvar, deriv, predict_linear | constant values give exactly 0; else a few rounding errors of what the function itself adds up and subtracts, see [`Moments`](crate::store::Moments) and [`Trend`](crate::store::Trend) |
//!
//! Windows with histograms, and sums of values so large, or not numbers, that rules for overflow decide, are read.

use super::window::Extent;
use crate::model::Timestamp;
use crate::promql::eval::rate;
use crate::promql::functions::FunctionId;
use crate::store::{Edges, Extremes, Reader, SeriesRef, Sums, Transitions, Window, Windowed};

/// Shorter windows lie in a chunk or two, which are decoded either way.
pub(super) const RANGE_MS_MIN: i64 = 3600 * 1000;

/// What is known of a window.
pub(super) enum Summarised {
    /// No sample lies in it.
    Empty,
    /// The number of its samples and the value of the function.
    Value(usize, f64),
    /// There is one sample, which is too few for a value.
    TooFew,
    /// Its samples must be read.
    Unknown,
}

/// The function `id` of the samples of `series` after `start` and not after `end`, as far as they are not after `until`.
pub(super) fn value(
    id: FunctionId,
    reader: &Reader<'_>,
    series: SeriesRef,
    (extent, until): (&Extent, Timestamp),
    scratch: &mut Window,
) -> Summarised {
    use FunctionId as F;
    let (start, end) = (extent.start, extent.end);
    if end.ms_since(start) < RANGE_MS_MIN {
        return Summarised::Unknown;
    }
    match id {
        F::SumOverTime | F::AvgOverTime => match reader.sums(series, start, until) {
            Windowed::Floats { value, .. } if value.is_extreme => Summarised::Unknown,
            sums => of(sums, |count, sums| of_sums(id, count, &sums)),
        },
        F::MinOverTime | F::MaxOverTime => {
            of(reader.extremes(series, start, until), |_, extremes| of_extremes(id, &extremes))
        }
        F::Changes | F::Resets => {
            of(reader.transitions(series, start, until), |_, transitions| of_transitions(id, &transitions))
        }
        F::StddevOverTime | F::StdvarOverTime => match reader.moments(series, start, until) {
            Windowed::Floats { value, .. } if value.is_extreme => Summarised::Unknown,
            moments => of(moments, |_, moments| match id {
                F::StddevOverTime => moments.variance().sqrt(),
                _ => moments.variance(),
            }),
        },
        F::Deriv | F::PredictLinear => match reader.trend(series, start, until) {
            Windowed::Floats { value, .. } if value.is_extreme => Summarised::Unknown,
            Windowed::Floats { count: 1, .. } => Summarised::TooFew,
            trend => of(trend, |_, trend| {
                let (slope, intercept) = trend.line(extent.at);
                if id == F::Deriv { slope } else { slope * extent.parameter + intercept }
            }),
        },
        F::Irate | F::Idelta => match reader.last_two(series, start, until) {
            Windowed::Floats { value: (None, _), .. } => Summarised::TooFew,
            pair => of(pair, |_, (earlier, last)| {
                let earlier = earlier.expect("BUG: two samples of which one is none");
                rate::instant_floats(id, earlier, last)
            }),
        },
        F::CountOverTime
        | F::PresentOverTime
        | F::FirstOverTime
        | F::LastOverTime
        | F::TsOfFirstOverTime
        | F::TsOfLastOverTime => {
            let edges = reader.edges(series, start, until, scratch);
            if scratch.has_histograms {
                return Summarised::Unknown;
            }
            let value = edges.and_then(|edges| Some((edges.count, of_edges(id, &edges)?)));
            value.map_or(Summarised::Empty, |(count, value)| Summarised::Value(count, value))
        }
        _ => Summarised::Unknown,
    }
}

/// `sum_over_time`, `avg_over_time`.
pub(super) fn of_sums(id: FunctionId, count: u64, sums: &Sums) -> f64 {
    match id {
        FunctionId::SumOverTime => sums.sum.total(),
        _ => sums.sum.sum / count as f64 + sums.sum.compensation / count as f64,
    }
}

/// `min_over_time`, `max_over_time`.
pub(super) fn of_extremes(id: FunctionId, extremes: &Extremes) -> f64 {
    let (min, max) = extremes.range.expect("BUG: a window with samples has no extremes");
    if id == FunctionId::MinOverTime { min } else { max }
}

/// `changes`, `resets`.
pub(super) fn of_transitions(id: FunctionId, transitions: &Transitions) -> f64 {
    f64::from(if id == FunctionId::Changes { transitions.changes } else { transitions.resets })
}

/// What the edges tell at once; `None` for rates, which extrapolate.
pub(super) fn of_edges(id: FunctionId, edges: &Edges) -> Option<f64> {
    Some(match id {
        FunctionId::CountOverTime => edges.count as f64,
        FunctionId::PresentOverTime => 1.0,
        FunctionId::FirstOverTime => edges.first.1,
        FunctionId::LastOverTime => edges.last.1,
        FunctionId::TsOfFirstOverTime => edges.first.0.as_secs_f64(),
        FunctionId::TsOfLastOverTime => edges.last.0.as_secs_f64(),
        _ => return None,
    })
}

fn of<T>(windowed: Windowed<T>, value_of: impl FnOnce(u64, T) -> f64) -> Summarised {
    match windowed {
        Windowed::Empty => Summarised::Empty,
        Windowed::Floats { count, value } => Summarised::Value(count as usize, value_of(count, value)),
        Windowed::Scan => Summarised::Unknown,
    }
}
