//! Functions of long windows from what the store keeps of whole chunks, without reading the samples.
//!
//! In the flow: [`super::window`] asks here before it reads a window.
//!
//! | functions | against reading the samples |
//! |---|---|
//! | min, max, changes, resets, count, present, first and last with their times | the same bits |
//! | sum, avg | the same bits while every partial sum is an integer below 2^53; else the last digits differ, within one unit in the last place of the sum of magnitudes |
//!
//! Windows with histograms, and sums of values so large, or not numbers, that rules for overflow decide, are read.

use crate::model::Timestamp;
use crate::promql::ast::{Expr, ExprKind};
use crate::promql::functions::FunctionId;
use crate::store::{Reader, SeriesRef, Window, Windowed};

/// Shorter windows lie in a chunk or two, which are decoded either way.
const RANGE_MS_MIN: i64 = 3600 * 1000;

/// What is known of a window.
pub(super) enum Summarised {
    /// No sample lies in it.
    Empty,
    /// The value of the function.
    Value(f64),
    /// Its samples must be read.
    Unknown,
}

/// The function `id` of the samples of `series` after `start` and not after `end`.
pub(super) fn value(
    id: FunctionId,
    reader: &Reader<'_>,
    series: SeriesRef,
    (start, end): (Timestamp, Timestamp),
    scratch: &mut Window,
) -> Summarised {
    use FunctionId as F;
    if end.ms_since(start) < RANGE_MS_MIN {
        return Summarised::Unknown;
    }
    match id {
        F::SumOverTime | F::AvgOverTime => match reader.sums(series, start, end) {
            Windowed::Floats { value, .. } if value.is_extreme => Summarised::Unknown,
            sums => of(sums, |count, sums| match id {
                F::SumOverTime => sums.sum.total(),
                _ => sums.sum.sum / count as f64 + sums.sum.compensation / count as f64,
            }),
        },
        F::MinOverTime | F::MaxOverTime => of(reader.extremes(series, start, end), |_, extremes| {
            let (min, max) = extremes.range.expect("BUG: a window with samples has no extremes");
            if id == F::MinOverTime { min } else { max }
        }),
        F::Changes => of(reader.transitions(series, start, end), |_, transitions| f64::from(transitions.changes)),
        F::Resets => of(reader.transitions(series, start, end), |_, transitions| f64::from(transitions.resets)),
        F::CountOverTime
        | F::PresentOverTime
        | F::FirstOverTime
        | F::LastOverTime
        | F::TsOfFirstOverTime
        | F::TsOfLastOverTime => {
            let edges = reader.edges(series, start, end, scratch);
            if scratch.has_histograms {
                return Summarised::Unknown;
            }
            let Some(edges) = edges else { return Summarised::Empty };
            Summarised::Value(match id {
                F::CountOverTime => edges.count as f64,
                F::PresentOverTime => 1.0,
                F::FirstOverTime => edges.first.1,
                F::LastOverTime => edges.last.1,
                F::TsOfFirstOverTime => edges.first.0.as_secs_f64(),
                _ => edges.last.0.as_secs_f64(),
            })
        }
        _ => Summarised::Unknown,
    }
}

/// Whether a plan of `expr` reads few samples whatever its windows, and so holds the store only briefly.
pub fn reads_little(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
        ExprKind::VectorSelector(_) => true,
        ExprKind::MatrixSelector { range_ms, .. } => *range_ms < RANGE_MS_MIN,
        ExprKind::Subquery(_) => false,
        ExprKind::Call(call) => call.args.iter().all(|arg| match &arg.unparenthesised().kind {
            ExprKind::MatrixSelector { .. } if needs_no_samples(call.function.id) => true,
            _ => reads_little(arg),
        }),
        ExprKind::Aggregate(aggregate) => {
            reads_little(&aggregate.expr) && aggregate.param.as_ref().is_none_or(reads_little)
        }
        ExprKind::Binary(binary) => reads_little(&binary.lhs) && reads_little(&binary.rhs),
        ExprKind::Unary { operand, .. } => reads_little(operand),
        ExprKind::Paren(inner) => reads_little(inner),
    }
}

/// The functions that [`value`] knows, and those that need the edges of a window.
fn needs_no_samples(id: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        id,
        Rate | Increase
            | Delta
            | SumOverTime
            | AvgOverTime
            | MinOverTime
            | MaxOverTime
            | Changes
            | Resets
            | CountOverTime
            | PresentOverTime
            | FirstOverTime
            | LastOverTime
            | TsOfFirstOverTime
            | TsOfLastOverTime
    )
}

fn of<T>(windowed: Windowed<T>, value_of: impl FnOnce(u64, T) -> f64) -> Summarised {
    match windowed {
        Windowed::Empty => Summarised::Empty,
        Windowed::Floats { count, value } => Summarised::Value(value_of(count, value)),
        Windowed::Scan => Summarised::Unknown,
    }
}
