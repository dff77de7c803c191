//! Functions of range selectors and subqueries: `rate(x[5m])`, `max_over_time(x[1h])`, …
//!
//! `rate` and its kin ask the store for what they need of a window ([`crate::store::Edges`]), sums and extremes for summaries; the
//! others read columns. Of the windows of a range query all are asked for at once ([`crate::store::Stepping`]). The arithmetic is that of the plain
//! evaluator's own functions, on columns instead of samples.

use std::ops::Range;

use super::block::{Block, absent};
use super::evaluate::{Scope, View};
use super::labels::NameDrop;
use super::leaf::{Found, Hold, Leaf, Look, Member, ReadSteps, Space, Weight, nothing};
use super::map::Drops;
use super::slots::Marks;
use super::subquery::{self, SubqueryWindows};
use super::summarised::{self, Summarised};
use super::{Notes, Stop};
use crate::model::{Labels, Timestamp, is_stale};
use crate::promql::ast::AtModifier;
use crate::promql::eval::grid::Grid;
use crate::promql::eval::window::Point;
use crate::promql::eval::{over_time, rate, regression, statistics};
use crate::promql::functions::FunctionId;
use crate::store::{Edges, Extremes, Reader, Sums, Transitions, Window, WindowGrid};

/// After so many samples of windows that are looked at one by one it is asked again whether anybody waits: some milliseconds.
const SAMPLES_BETWEEN_LOOKS: usize = 1 << 17;

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

/// Whether its results keep the metric name: these two act like an offset.
pub(super) fn keeps_name(id: FunctionId) -> bool {
    matches!(id, FunctionId::FirstOverTime | FunctionId::LastOverTime)
}

/// Where windows get their samples from.
#[derive(Debug)]
pub(super) enum Source {
    Leaf(Leaf),
    /// The first input.
    Subquery(SubqueryWindows),
}

impl Source {
    pub(super) fn leaf(&self) -> Option<&Leaf> {
        match self {
            Source::Leaf(leaf) => Some(leaf),
            Source::Subquery(_) => None,
        }
    }

    /// The grid of the first input.
    pub(super) fn grid(&self, outer: Grid, scope: &Scope<'_>) -> Grid {
        match self {
            Source::Leaf(_) => outer,
            Source::Subquery(windows) => windows.grid(outer, scope),
        }
    }

    fn modifiers(&self) -> (Option<AtModifier>, i64) {
        match self {
            Source::Leaf(leaf) => (leaf.at, leaf.offset_ms),
            Source::Subquery(windows) => (windows.at, windows.offset_ms),
        }
    }
}

/// A function of a range selector or a subquery.
#[derive(Debug)]
pub(super) struct RangeFunction {
    pub(super) source: Source,
    id: FunctionId,
    range_ms: i64,
    /// Whether the plain evaluator would remark on the name of what is taken for a counter.
    is_odd_counter: bool,
    /// Where names are taken off at once.
    pub(super) drop: Option<NameDrop>,
    collided: Marks,
    space: Space,
    /// The number of each step, for functions that have one besides the windows.
    parameters: Vec<f64>,
    /// The most samples in a window.
    pub(super) peak_samples: usize,
}

/// One window of one series.
pub(super) struct Extent {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The step; differs from `end` under `offset` and `@`.
    pub(super) at: Timestamp,
    pub(super) parameter: f64,
}

impl RangeFunction {
    pub(super) fn new(source: Source, id: FunctionId, range_ms: i64, metric: Option<&str>, drops: Drops) -> Self {
        let is_rate = matches!(id, FunctionId::Rate | FunctionId::Increase);
        RangeFunction {
            source,
            id,
            range_ms,
            is_odd_counter: is_rate && !metric.is_some_and(is_counter_name),
            drop: drops.then_drop(),
            collided: Marks::default(),
            space: Space::default(),
            parameters: Vec::new(),
            peak_samples: 0,
        }
    }

    pub(super) fn keeps_name(&self) -> bool {
        keeps_name(self.id)
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (grid, scope, id) = (view.grid, view.scope, self.id);
        let first_parameter = usize::from(self.source.leaf().is_none());
        self.parameters.clear();
        self.parameters.extend((0..grid.len()).map(|step| view.scalar(first_parameter, step)));
        if id == FunctionId::QuantileOverTime && !self.parameters.iter().all(|q| (0.0..=1.0).contains(q)) {
            scope.note()?;
        }
        let (at, offset_ms) = self.source.modifiers();
        let first_end = scope.query.reference(at, offset_ms, grid.start);
        let step_ms = if at.is_some() || grid.is_single() { 0 } else { grid.step_ms };
        let windows = WindowGrid { first_end, step_ms, count: grid.len(), range_ms: self.range_ms };
        let parameters = &self.parameters;
        let heeds_starts = scope.options.use_start_timestamps && is_of_counters(id);
        let reads = Reads { id, windows, grid, parameters, heeds_starts };
        out.reset(grid.len());
        self.space.peak_samples = 0;
        let input_era = match &mut self.source {
            Source::Leaf(leaf) => {
                let selection = view.namer.selection(leaf.selection);
                leaf.wake(selection, (first_end, windows.last_end()), scope)?;
                if grid.is_single() {
                    reads.fill_instant(leaf, view, &mut self.space, out)?;
                } else {
                    leaf.fill_rows(view, &reads, &mut self.space, out)?;
                }
                selection.era()
            }
            Source::Subquery(subquery) => {
                reads.fill_from_rows(subquery.grid(grid, scope), view, &mut self.space, out)?;
                view.node(0).era
            }
        };
        self.peak_samples = self.space.peak_samples;
        self.note_odd_counter(view, out)?;
        let input_naming = if first_parameter == 0 { view.naming } else { view.node(0).naming };
        let Some(drop) = &mut self.drop else { return Ok(input_era) };
        let era = drop.follow(scope.renames(input_naming), input_era, out.rows.len());
        if drop.may_collide() {
            self.collided.start();
            for row in &mut out.rows {
                *row = drop.slot(*row, || input_labels(&self.source, view, *row))?;
                if !self.collided.mark(*row) {
                    return Err(Stop);
                }
            }
        }
        Ok(era)
    }

    fn note_odd_counter(&self, view: &View<'_>, out: &Block) -> Result<(), Stop> {
        if !self.is_odd_counter || out.rows.is_empty() || view.scope.notes == Notes::Ignored {
            return Ok(());
        }
        for row in &out.rows {
            let labels = input_labels(&self.source, view, *row)?;
            if !labels.metric_name().is_empty() && !is_counter_name(labels.metric_name()) {
                return view.scope.note();
            }
        }
        Ok(())
    }
}

fn input_labels(source: &Source, view: &View<'_>, slot: u32) -> Result<Labels, Stop> {
    match source {
        Source::Leaf(leaf) => {
            let series = view.namer.selection(leaf.selection).series(slot);
            view.reader().labels(series).ok_or(Stop)
        }
        Source::Subquery(_) => view.labels(0, slot),
    }
}

/// Whether a metric of this name is a counter, as far as the name tells.
fn is_counter_name(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

/// The functions that heed start times.
fn is_of_counters(id: FunctionId) -> bool {
    matches!(id, FunctionId::Rate | FunctionId::Increase | FunctionId::Irate | FunctionId::Resets)
}

/// The functions that need of a window no more than its edges.
fn needs_edges(id: FunctionId) -> bool {
    use FunctionId as F;
    matches!(
        id,
        F::Rate
            | F::Increase
            | F::Delta
            | F::CountOverTime
            | F::PresentOverTime
            | F::FirstOverTime
            | F::LastOverTime
            | F::TsOfFirstOverTime
            | F::TsOfLastOverTime
    )
}

/// How windows are read and what is computed of them.
struct Reads<'a> {
    id: FunctionId,
    windows: WindowGrid,
    grid: Grid,
    /// By step.
    parameters: &'a [f64],
    /// Whether start times would change the result.
    heeds_starts: bool,
}

impl Reads<'_> {
    fn extent(&self, index: usize) -> Extent {
        let at = self.grid.start.plus_ms(self.grid.step_ms.saturating_mul(index as i64));
        let (start, end) = (self.windows.start(index), self.windows.end(index));
        Extent { start, end, at, parameter: self.parameters[index] }
    }

    /// One window of each series.
    fn fill_instant(&self, leaf: &mut Leaf, view: &View<'_>, space: &mut Space, out: &mut Block) -> Result<(), Stop> {
        let (id, extent) = (self.id, self.extent(0));
        let (start, end) = (extent.start, extent.end);
        let is_point = needs_edges(id) || matches!(id, FunctionId::Irate | FunctionId::Idelta);
        let is_light = is_point || end.ms_since(start) < summarised::RANGE_MS_MIN;
        let weight = if is_light { Weight::Light } else { Weight::Heavy };
        let is_rate = matches!(id, FunctionId::Rate | FunctionId::Increase | FunctionId::Delta);
        leaf.for_each(view, (weight, end), (space, out), |reader, member, space, out| {
            let Member { slot, series, uncommitted, through } = member;
            if self.heeds_starts && reader.has_start_times(series) {
                return Err(Stop);
            }
            let (until, window) = (end.min(through), &mut space.stepping.window);
            if is_rate && uncommitted.is_none() {
                let edges = reader.edges(series, start, until, window);
                if window.has_histograms {
                    return Err(Stop);
                }
                let Some(edges) = edges else { return Ok(nothing(reader, series, start, end)) };
                space.peak_samples = space.peak_samples.max(edges.count);
                if edges.count >= 2 {
                    out.push(slot, rate::extrapolated_floats(id, &edges, (start, end)));
                }
                return Ok(Found::Something);
            }
            if uncommitted.is_none() {
                match summarised::value(id, reader, series, (&extent, until), window) {
                    Summarised::Empty => return Ok(nothing(reader, series, start, end)),
                    Summarised::Value(count, value) => {
                        space.peak_samples = space.peak_samples.max(count);
                        out.push(slot, value);
                        return Ok(Found::Something);
                    }
                    Summarised::TooFew => {
                        space.peak_samples = space.peak_samples.max(1);
                        return Ok(Found::Something);
                    }
                    Summarised::Unknown => {}
                }
            }
            reader.window(series, start, until, window);
            if window.has_histograms {
                return Err(Stop);
            }
            put_on_top(reader, &member, (start, end), window)?;
            space.work += window.at.len();
            let count = window.at.len();
            if count == 0 {
                return Ok(nothing(reader, series, start, end));
            }
            space.peak_samples = space.peak_samples.max(count);
            if let Some(value) = of_window(id, &extent, 0..count, space) {
                out.push(slot, value);
            }
            Ok(Found::Something)
        })
    }

    /// Windows over the rows of the first input.
    fn fill_from_rows(
        &self,
        source_grid: Grid,
        view: &View<'_>,
        space: &mut Space,
        out: &mut Block,
    ) -> Result<(), Stop> {
        let block = view.block(0);
        let times: Vec<Timestamp> = source_grid.steps().collect();
        for (index, slot) in block.rows.iter().enumerate() {
            subquery::lay_row(block, index, &times, &mut space.stepping.window);
            let row = out.add_row(*slot);
            if self.fill_from_columns(space, row, &mut || view.scope.check_interrupt())? != Found::Something {
                out.pop_row();
            }
        }
        Ok(())
    }

    /// Windows over the columns in `space`.
    fn fill_from_columns(&self, space: &mut Space, row: &mut [f64], look: Look<'_>) -> Result<Found, Stop> {
        use FunctionId as F;
        let mut taken = Taken::new(self, row);
        let stepping = &mut space.stepping;
        match self.id {
            id if needs_edges(id) => stepping.edges(&self.windows, |index, edges| taken.edges(index, &edges)),
            F::MinOverTime | F::MaxOverTime => {
                stepping.extremes(&self.windows, |index, count, extremes| taken.extremes(index, count, &extremes));
            }
            F::Changes | F::Resets => {
                stepping.transitions(&self.windows, |index, count, found| taken.transitions(index, count, &found));
            }
            F::SumOverTime | F::AvgOverTime
                if stepping.exact_sums(&self.windows, |index, count, sums| taken.sums(index, count, &sums)).is_ok() => {
            }
            _ => return self.fill_one_by_one(space, row, look),
        }
        let (found, peak_samples) = (taken.found(), taken.peak_samples);
        space.peak_samples = space.peak_samples.max(peak_samples);
        look()?;
        Ok(found)
    }

    /// Each window over the columns in `space` by itself.
    fn fill_one_by_one(&self, space: &mut Space, row: &mut [f64], look: Look<'_>) -> Result<Found, Stop> {
        let (mut found, mut outcome, mut work) = (Found::Nothing, Ok(()), 0);
        let Space { stepping, values, points, peak_samples, .. } = space;
        stepping.ranges(&self.windows, |index, inside| {
            if outcome.is_err() {
                return;
            }
            work += inside.len();
            if work >= SAMPLES_BETWEEN_LOOKS {
                work = 0;
                outcome = look();
            }
            *peak_samples = inside.len().max(*peak_samples);
            let columns = (&stepping.window.at[inside.clone()], &stepping.window.values[inside]);
            if let Some(value) = of_columns(self.id, &self.extent(index), columns, values, points) {
                row[index] = value;
                found = Found::Something;
            }
        });
        outcome.map(|()| found)
    }

    /// What the store tells of the windows without giving their samples; `None` where it must give them.
    fn fill_told(
        &self,
        reader: &Reader<'_>,
        member: &Member,
        space: &mut Space,
        row: &mut [f64],
    ) -> Result<Told, Stop> {
        use FunctionId as F;
        let Member { series, through, .. } = *member;
        let (windows, stepping) = (&self.windows, &mut space.stepping);
        let mut taken = Taken::new(self, row);
        let told = match self.id {
            id if needs_edges(id) => {
                reader.edges_by_step((series, through), windows, stepping, |index, edges| taken.edges(index, &edges))
            }
            F::MinOverTime | F::MaxOverTime => {
                let take = |index, count, extremes| taken.extremes(index, count, &extremes);
                reader.extremes_by_step((series, through), windows, stepping, take)
            }
            F::Changes | F::Resets => {
                let take = |index, count, transitions| taken.transitions(index, count, &transitions);
                reader.transitions_by_step((series, through), windows, stepping, take)
            }
            F::SumOverTime | F::AvgOverTime if windows.range_ms >= summarised::RANGE_MS_MIN || windows.is_apart() => {
                let take = |index, count, sums| taken.sums(index, count, &sums);
                let told = reader.sums_by_step((series, through), windows, stepping, take);
                if told.is_err() || taken.is_extreme {
                    row.fill(absent());
                    return Ok(Told::Nothing);
                }
                told
            }
            _ => return Ok(Told::Nothing),
        };
        told.map_err(|_| Stop)?;
        let (found, has_samples, peak_samples) = (taken.found(), taken.has_samples, taken.peak_samples);
        space.peak_samples = space.peak_samples.max(peak_samples);
        space.work += space.stepping.window.at.len();
        Ok(if has_samples { Told::All(found) } else { Told::NoSamples })
    }
}

/// What [`Reads::fill_told`] has found.
enum Told {
    All(Found),
    NoSamples,
    /// The samples must be read.
    Nothing,
}

impl ReadSteps for Reads<'_> {
    fn read(&self, hold: &mut Hold<'_, '_>, member: Member, space: &mut Space, row: &mut [f64]) -> Result<Found, Stop> {
        let reader = hold.reader();
        let Member { series, uncommitted, through, .. } = member;
        if self.heeds_starts && reader.has_start_times(series) {
            return Err(Stop);
        }
        let (start, end) = (self.windows.start(0), self.windows.last_end());
        if uncommitted.is_none() {
            match self.fill_told(reader, &member, space, row)? {
                Told::All(found) => return Ok(found),
                Told::NoSamples => return Ok(nothing(reader, series, start, end)),
                Told::Nothing => {}
            }
        }
        if uncommitted.is_none() && self.windows.is_apart() {
            let mut found = Found::Nothing;
            for (index, place) in row.iter_mut().enumerate() {
                let extent = self.extent(index);
                let window = &mut space.stepping.window;
                hold.reader().window(series, extent.start, extent.end.min(through), window);
                if window.has_histograms {
                    return Err(Stop);
                }
                hold.release();
                (hold.look)()?;
                let count = window.at.len();
                space.work += count;
                space.peak_samples = space.peak_samples.max(count);
                if let Some(value) = of_window(self.id, &extent, 0..count, space) {
                    *place = value;
                    found = Found::Something;
                }
            }
            return Ok(found);
        }
        reader.columns(series, &self.windows, through, &mut space.stepping).map_err(|_| Stop)?;
        put_on_top(reader, &member, (start, end), &mut space.stepping.window)?;
        space.work += space.stepping.window.at.len();
        if space.stepping.window.at.is_empty() {
            return Ok(nothing(reader, series, start, end));
        }
        hold.release();
        self.fill_from_columns(space, row, hold.look)
    }
}

/// Puts values into a row as they are told.
struct Taken<'a> {
    reads: &'a Reads<'a>,
    row: &'a mut [f64],
    has_values: bool,
    has_samples: bool,
    is_extreme: bool,
    peak_samples: usize,
}

impl<'a> Taken<'a> {
    fn new(reads: &'a Reads<'a>, row: &'a mut [f64]) -> Self {
        Taken { reads, row, has_values: false, has_samples: false, is_extreme: false, peak_samples: 0 }
    }

    fn found(&self) -> Found {
        if self.has_values { Found::Something } else { Found::Nothing }
    }

    fn count(&mut self, samples: usize) {
        self.has_samples = true;
        self.peak_samples = self.peak_samples.max(samples);
    }

    fn set(&mut self, index: usize, value: f64) {
        self.row[index] = value;
        self.has_values = true;
    }

    fn edges(&mut self, index: usize, edges: &Edges) {
        self.count(edges.count);
        let id = self.reads.id;
        match summarised::of_edges(id, edges) {
            Some(value) => self.set(index, value),
            None if edges.count >= 2 => {
                let window = (self.reads.windows.start(index), self.reads.windows.end(index));
                self.set(index, rate::extrapolated_floats(id, edges, window));
            }
            None => {}
        }
    }

    fn extremes(&mut self, index: usize, count: u64, extremes: &Extremes) {
        self.count(count as usize);
        self.set(index, summarised::of_extremes(self.reads.id, extremes));
    }

    fn transitions(&mut self, index: usize, count: u64, transitions: &Transitions) {
        self.count(count as usize);
        self.set(index, summarised::of_transitions(self.reads.id, transitions));
    }

    fn sums(&mut self, index: usize, count: u64, sums: &Sums) {
        self.count(count as usize);
        self.is_extreme |= sums.is_extreme;
        self.set(index, summarised::of_sums(self.reads.id, count, sums));
    }
}

/// Puts an uncommitted sample on top of what is stored of a window.
fn put_on_top(
    reader: &Reader<'_>,
    member: &Member,
    (start, end): (Timestamp, Timestamp),
    window: &mut Window,
) -> Result<(), Stop> {
    if let Some((at, value)) = member.uncommitted.filter(|(at, _)| *at > start && *at <= end) {
        if reader.newest(member.series).is_some_and(|newest| newest >= at) {
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
fn of_window(id: FunctionId, extent: &Extent, inside: Range<usize>, space: &mut Space) -> Option<f64> {
    let Space { stepping, values, points, .. } = space;
    let columns = (&stepping.window.at[inside.clone()], &stepping.window.values[inside]);
    of_columns(id, extent, columns, values, points)
}

/// The function of the samples in columns. `values` and `points` may be used.
fn of_columns(
    id: FunctionId,
    extent: &Extent,
    (times, floats): (&[Timestamp], &[f64]),
    values: &mut Vec<f64>,
    points: &mut Vec<Point>,
) -> Option<f64> {
    use FunctionId as F;
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
