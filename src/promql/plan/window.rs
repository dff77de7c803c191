//! Functions of range selectors: `rate(x[5m])`, `max_over_time(x[1h])`, …
//!
//! `rate`, `increase` and `delta` ask the store for what they need of a window ([`crate::store::Edges`]); the others read its
//! columns. The arithmetic is that of the plain evaluator's own functions, on columns instead of samples.

use super::Stop;
use super::block::Block;
use super::evaluate::View;
use super::labels::NameDrop;
use super::leaf::{Found, Leaf, nothing};
use super::slots::Marks;
use super::summarised::{self, Summarised};
use crate::model::{Timestamp, is_stale};
use crate::promql::ast::AtModifier;
use crate::promql::eval::window::Point;
use crate::promql::eval::{over_time, rate, regression, statistics};
use crate::promql::functions::FunctionId;
use crate::store::{Edges, Reader, SeriesRef, Window};

/// Whether `id` is known here.
pub(super) fn is_known(id: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        id,
        Rate | Increase
            | Delta
            | Irate
            | Idelta
            | Deriv
            | PredictLinear
            | SumOverTime
            | AvgOverTime
            | StddevOverTime
            | StdvarOverTime
            | QuantileOverTime
            | MadOverTime
            | MinOverTime
            | MaxOverTime
            | TsOfMinOverTime
            | TsOfMaxOverTime
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

/// A function of a range selector.
#[derive(Debug)]
pub(super) struct RangeFunction {
    pub(super) leaf: Leaf,
    id: FunctionId,
    range_ms: i64,
    /// Whether the plain evaluator would remark on the name of what is taken for a counter.
    is_odd_counter: bool,
    /// `None` for functions that keep the metric name.
    pub(super) drop: Option<NameDrop>,
    collided: Marks,
    scratch: Scratch,
}

/// Memory that is used again for each series.
#[derive(Debug, Default)]
struct Scratch {
    window: Window,
    values: Vec<f64>,
    points: Vec<Point>,
}

/// One window of one series.
struct Extent {
    start: Timestamp,
    end: Timestamp,
    /// The step; differs from `end` under `offset` and `@`.
    at: Timestamp,
    parameter: f64,
}

impl RangeFunction {
    pub(super) fn new(leaf: Leaf, id: FunctionId, range_ms: i64, metric: Option<&str>) -> Self {
        let is_rate = matches!(id, FunctionId::Rate | FunctionId::Increase);
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        let keeps_name = matches!(id, FunctionId::FirstOverTime | FunctionId::LastOverTime);
        RangeFunction {
            leaf,
            id,
            range_ms,
            is_odd_counter: is_rate && !metric.is_some_and(|name| suffixes.iter().any(|end| name.ends_with(end))),
            drop: (!keeps_name).then(NameDrop::default),
            collided: Marks::default(),
            scratch: Scratch::default(),
        }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (grid, scope, reader) = (view.grid, view.scope, view.namer.reader());
        let selection = view.namer.selection(self.leaf.selection);
        let id = self.id;
        let is_quantile = |step| (0.0..=1.0).contains(&view.scalar(0, step));
        if id == FunctionId::QuantileOverTime && !(0..grid.len()).all(is_quantile) {
            scope.note()?;
        }
        let windows = Windows { range_ms: self.range_ms, at: self.leaf.at, offset_ms: self.leaf.offset_ms, view };
        let whole = Extent { start: windows.extent(0, grid.start).start, ..windows.extent(grid.len() - 1, grid.end) };
        self.leaf.wake(selection, whole.end, scope)?;
        out.reset(grid.len());
        let scratch = &mut self.scratch;
        let needs_edges = matches!(id, FunctionId::Rate | FunctionId::Increase | FunctionId::Delta);
        self.leaf.for_each(selection, |slot, series, uncommitted| {
            if grid.is_single() && needs_edges && uncommitted.is_none() {
                let edges = reader.edges(series, whole.start, whole.end, &mut scratch.window);
                if scratch.window.has_histograms {
                    return Err(Stop);
                }
                let Some(edges) = edges else { return Ok(nothing(reader, series, whole.start, whole.end)) };
                if edges.count >= 2 {
                    out.push(slot, rate::extrapolated_floats(id, &edges, (whole.start, whole.end)));
                }
                return Ok(Found::Something);
            }
            if grid.is_single() && uncommitted.is_none() {
                let extent = (whole.start, whole.end);
                match summarised::value(id, reader, series, extent, &mut scratch.window) {
                    Summarised::Empty => return Ok(nothing(reader, series, whole.start, whole.end)),
                    Summarised::Value(value) => {
                        out.push(slot, value);
                        return Ok(Found::Something);
                    }
                    Summarised::Unknown => {}
                }
            }
            read(reader, series, &whole, uncommitted, &mut scratch.window)?;
            if scratch.window.at.is_empty() {
                return Ok(nothing(reader, series, whole.start, whole.end));
            }
            if !windows.fill(id, scratch, out.add_row(slot)) {
                out.pop_row();
            }
            Ok(Found::Something)
        })?;
        if self.is_odd_counter && !out.rows.is_empty() {
            scope.note()?;
        }
        let Some(drop) = &mut self.drop else { return Ok(selection.era()) };
        let era = drop.follow(scope.renames(view.naming), selection.era(), out.rows.len());
        if drop.may_collide() {
            self.collided.start();
            for row in &mut out.rows {
                *row = drop.slot(*row, || reader.labels(selection.series(*row)).ok_or(Stop))?;
                if !self.collided.mark(*row) {
                    return Err(Stop);
                }
            }
        }
        Ok(era)
    }
}

/// Where the windows of a selector lie.
struct Windows<'a, 'v> {
    range_ms: i64,
    at: Option<AtModifier>,
    offset_ms: i64,
    view: &'a View<'v>,
}

impl Windows<'_, '_> {
    fn extent(&self, index: usize, step: Timestamp) -> Extent {
        let end = self.view.scope.query.reference(self.at, self.offset_ms, step);
        Extent { start: end.plus_ms(-self.range_ms), end, at: step, parameter: self.view.scalar(0, index) }
    }

    /// The values of the function over the windows of the series in `scratch`; whether there is any.
    fn fill(&self, id: FunctionId, scratch: &mut Scratch, row: &mut [f64]) -> bool {
        let (mut first, mut past, mut has_any) = (0, 0, false);
        for (index, (place, step)) in row.iter_mut().zip(self.view.grid.steps()).enumerate() {
            let extent = self.extent(index, step);
            let times = &scratch.window.at;
            while times.get(first).is_some_and(|at| *at <= extent.start) {
                first += 1;
            }
            past = past.max(first);
            while times.get(past).is_some_and(|at| *at <= extent.end) {
                past += 1;
            }
            if let Some(value) = of_window(id, &extent, first..past, scratch) {
                *place = value;
                has_any = true;
            }
        }
        has_any
    }
}

/// Reads the window of a series, with an uncommitted sample on top of what is stored.
fn read(
    reader: &Reader<'_>,
    series: SeriesRef,
    whole: &Extent,
    uncommitted: Option<(Timestamp, f64)>,
    window: &mut Window,
) -> Result<(), Stop> {
    reader.window(series, whole.start, whole.end, window);
    if window.has_histograms {
        return Err(Stop);
    }
    if let Some((at, value)) = uncommitted.filter(|(at, _)| *at > whole.start && *at <= whole.end) {
        if reader.newest(series).is_some_and(|newest| newest >= at) {
            return Err(Stop);
        }
        if !is_stale(value) {
            window.at.push(at);
            window.values.push(value);
        }
    }
    Ok(())
}

/// The function of the samples in `inside`.
fn of_window(id: FunctionId, extent: &Extent, inside: std::ops::Range<usize>, scratch: &mut Scratch) -> Option<f64> {
    use FunctionId as F;
    let Scratch { window, values, points } = scratch;
    let (times, floats) = (&window.at[inside.clone()], &window.values[inside]);
    let (first, last) = ((*times.first()?, floats[0]), (times[times.len() - 1], floats[floats.len() - 1]));
    let pairs = || floats.windows(2);
    Some(match id {
        F::Rate | F::Increase | F::Delta => {
            let edges = Edges::of(times, floats).filter(|edges| edges.count >= 2)?;
            rate::extrapolated_floats(id, &edges, (extent.start, extent.end))
        }
        F::Irate | F::Idelta => {
            let earlier = times.len().checked_sub(2)?;
            rate::instant_floats(id, (times[earlier], floats[earlier]), last)
        }
        F::Deriv if times.len() >= 2 => regression::least_squares(fill(points, times, floats), first.0).0,
        F::PredictLinear if times.len() >= 2 => {
            let (slope, intercept) = regression::least_squares(fill(points, times, floats), extent.at);
            slope * extent.parameter + intercept
        }
        F::Deriv | F::PredictLinear => return None,
        F::SumOverTime => statistics::sum_of_window(floats.iter().copied()),
        F::AvgOverTime => statistics::mean(floats.iter().copied()),
        F::StddevOverTime | F::StdvarOverTime | F::QuantileOverTime | F::MadOverTime => {
            values.clear();
            values.extend_from_slice(floats);
            statistics::spread_of(id, values, extent.parameter)
        }
        F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
            return over_time::extreme_point(id, fill(points, times, floats));
        }
        F::Changes => pairs().filter(|pair| over_time::is_float_change(pair[0], pair[1])).count() as f64,
        F::Resets => pairs().filter(|pair| pair[1] < pair[0]).count() as f64,
        F::CountOverTime => times.len() as f64,
        F::PresentOverTime => 1.0,
        F::FirstOverTime => first.1,
        F::LastOverTime => last.1,
        F::TsOfFirstOverTime => first.0.as_secs_f64(),
        F::TsOfLastOverTime => last.0.as_secs_f64(),
        _ => unreachable!("BUG: {id:?} was not compiled to a range function"),
    })
}

/// The columns as points, in memory that is used again.
fn fill<'p>(points: &'p mut Vec<Point>, times: &[Timestamp], floats: &[f64]) -> &'p [Point] {
    points.clear();
    points.extend(times.iter().zip(floats).map(|(&at, &value)| Point { at, value }));
    points
}
