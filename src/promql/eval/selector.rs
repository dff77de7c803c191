//! Selectors: from the querier's series to instant vectors and windows.
//!
//! Look-back and windows are open on the left and closed on the right (Prometheus 3.0). A staleness marker ends the
//! look-back and is invisible to windows.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram, Sample, Series, StartTimes, Timestamp, Value};
use crate::promql::ast::{AtModifier, RangeExtension, Subquery, VectorSelector};

use crate::source::Span;

use super::error::EvalError;
use super::evaluator::Evaluator;
use super::extended;
use super::grid::Grid;
use super::matrix::{Row, weight};
use super::native;
use super::window::Window;

/// The series of a range argument, and where their windows lie.
pub(super) struct RangeSource {
    pub(super) rows: Vec<Row>,
    /// Beside each row, unless nobody asks for them.
    pub(super) starts: Vec<StartTimes>,
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    pub(super) at: Option<AtModifier>,
    /// How far the samples reach beyond the windows, before and after.
    pub(super) reach_ms: (i64, i64),
    pub(super) extension: Option<RangeExtension>,
}

/// What an instant selector gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yield {
    Values,
    /// Seconds since the epoch at which each sample was taken.
    Times,
    /// Likewise, of info metrics, which have no histograms.
    InfoTimes,
    /// Seconds since the epoch from which each sample has counted, the epoch where nobody knows.
    StartTimes,
}

impl Evaluator<'_> {
    pub(super) fn instant_vector(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.look_back(selector, grid, Yield::Values)
    }

    /// `timestamp(selector)`, names still there.
    pub(super) fn sample_times(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.look_back(selector, grid, Yield::Times)
    }

    /// `start_timestamp(selector)`, names still there.
    pub(super) fn start_times(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.look_back(selector, grid, Yield::StartTimes)
    }

    /// As [`Self::sample_times`], of info metrics.
    pub(super) fn info_times(&mut self, selector: &VectorSelector, grid: Grid) -> Result<Vec<Row>, EvalError> {
        self.look_back(selector, grid, Yield::InfoTimes)
    }

    fn look_back(&mut self, selector: &VectorSelector, grid: Grid, yields: Yield) -> Result<Vec<Row>, EvalError> {
        let lookback_ms = duration_ms(self.options.lookback_delta);
        let first = self.reference(selector.at, selector.offset_ms, grid.start);
        let last = self.reference(selector.at, selector.offset_ms, grid.end);
        let series = self.select(selector, first.plus_ms(1 - lookback_ms), last)?;
        let mut rows = Vec::new();
        for series in series {
            self.check_interrupt()?;
            let mut samples = Vec::new();
            let mut seen = 0;
            for (index, step) in grid.steps().enumerate() {
                let reference = self.reference(selector.at, selector.offset_ms, step);
                while series.samples.get(seen).is_some_and(|sample| sample.at <= reference) {
                    seen += 1;
                }
                let newest = seen.checked_sub(1).map(|index| &series.samples[index]);
                let Some(sample) = newest.filter(|sample| sample.at > reference.plus_ms(-lookback_ms)) else {
                    continue;
                };
                if sample.value.is_stale() {
                    continue;
                }
                let value = match yields {
                    Yield::Values => sample.value.clone(),
                    Yield::InfoTimes if sample.value.as_float().is_none() => {
                        return Err(EvalError::NotAnInfoMetric(super::matching::label_list(&series.labels)));
                    }
                    Yield::Times | Yield::InfoTimes => Value::Float(sample.at.as_secs_f64()),
                    Yield::StartTimes => {
                        Value::Float(series.starts.get(seen - 1).map_or(0.0, |start| start.at().as_secs_f64()))
                    }
                };
                self.stats.read(index, weight(&value));
                samples.push(Sample { at: step, value });
            }
            if !samples.is_empty() {
                // Times are held by whoever asked for them, step by step.
                if matches!(yields, Yield::Values | Yield::InfoTimes) {
                    self.hold_samples(samples.iter().map(|sample| weight(&sample.value)).sum())?;
                }
                rows.push(Row { labels: series.labels, drop_name: false, samples });
            }
        }
        Ok(rows)
    }

    pub(super) fn select(
        &self,
        selector: &VectorSelector,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Series>, EvalError> {
        let mut series = self.querier.select(&selector.matchers, start, end)?;
        if self.detects_resets {
            series.iter_mut().for_each(|series| detect_resets(&mut series.samples));
        }
        Ok(series)
    }

    /// `selector[range]` as the answer of an instant query: the samples themselves.
    pub(super) fn range_vector(
        &mut self,
        selector: &VectorSelector,
        range_ms: i64,
        at: Timestamp,
    ) -> Result<Vec<Row>, EvalError> {
        let mut source = self.matrix_rows(selector, range_ms, Grid::instant(at))?;
        if let Some(extension) = selector.extension {
            let end = self.reference(selector.at, selector.offset_ms, at);
            let start = end.plus_ms(-range_ms);
            for row in &mut source.rows {
                let Row { labels, samples, .. } = row;
                let window = Window { labels, samples, starts: &[], start, end, at, span: Span::default() };
                if window.has_histograms() {
                    return Err(EvalError::ExtensionOfHistograms(extension.as_str()));
                }
                *samples = extended::with_edges(&window, extension);
            }
            source.rows.retain(|row| !row.samples.is_empty());
        }
        let held = source.rows.iter().flat_map(|row| &row.samples).map(|sample| weight(&sample.value)).sum();
        self.stats.read(0, held);
        self.hold_samples(held)?;
        Ok(source.rows)
    }

    /// The series of `selector[range]` for all windows of `grid`, without staleness markers.
    pub(super) fn matrix_rows(
        &mut self,
        selector: &VectorSelector,
        range_ms: i64,
        grid: Grid,
    ) -> Result<RangeSource, EvalError> {
        let first = self.reference(selector.at, selector.offset_ms, grid.start);
        let last = self.reference(selector.at, selector.offset_ms, grid.end);
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        let lookback_ms = duration_ms(self.options.lookback_delta);
        let reach_ms = match selector.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (lookback_ms, 0),
            Some(RangeExtension::Smoothed) => (lookback_ms, lookback_ms),
        };
        for mut series in self.select(selector, first.plus_ms(1 - range_ms - reach_ms.0), last.plus_ms(reach_ms.1))? {
            series.drop_stale();
            if !series.samples.is_empty() {
                if self.options.use_start_timestamps {
                    starts.push(series.starts);
                }
                rows.push(Row { labels: series.labels, drop_name: false, samples: series.samples });
            }
        }
        let (offset_ms, at, extension) = (selector.offset_ms, selector.at, selector.extension);
        Ok(RangeSource { rows, starts, range_ms, offset_ms, at, reach_ms, extension })
    }

    /// The rows of a subquery for all windows of `grid`, on the subquery's own grid; and how many samples that read.
    pub(super) fn subquery_rows(&mut self, subquery: &Subquery, grid: Grid) -> (Result<RangeSource, EvalError>, usize) {
        self.apart(|evaluator| evaluator.subquery_source(subquery, grid))
    }

    fn subquery_source(&mut self, subquery: &Subquery, grid: Grid) -> Result<RangeSource, EvalError> {
        let first = self.reference(subquery.at, subquery.offset_ms, grid.start);
        let last = self.reference(subquery.at, subquery.offset_ms, grid.end);
        let step_ms = subquery.step_ms.unwrap_or(duration_ms(self.options.default_subquery_step));
        let inner_grid = Grid::subquery(first, last, subquery.range_ms, step_ms);
        let outer = std::mem::take(&mut self.detects_resets);
        let evaluated = self.eval(&subquery.expr, inner_grid);
        self.detects_resets = outer;
        let mut rows = evaluated?;
        for sample in rows.iter_mut().flat_map(|row| &mut row.samples) {
            forget_reset_hint(&mut sample.value);
        }
        let (range_ms, offset_ms, at) = (subquery.range_ms, subquery.offset_ms, subquery.at);
        // Subqueries have no start times: their samples are not those that were taken.
        Ok(RangeSource { rows, starts: Vec::new(), range_ms, offset_ms, at, reach_ms: (0, 0), extension: None })
    }
}

/// Says of each histogram whether it continues the one before, where that is not known yet.
fn detect_resets(samples: &mut [Sample]) {
    let mut previous: Option<Arc<Histogram>> = None;
    for sample in samples {
        let is_stale = sample.value.is_stale();
        let Value::Histogram(histogram) = &mut sample.value else { continue };
        let hint = match &previous {
            Some(previous) if native::is_reset(histogram, previous) => CounterResetHint::Reset,
            Some(_) => CounterResetHint::NotReset,
            None => CounterResetHint::Unknown,
        };
        if histogram.counter_reset_hint == CounterResetHint::Unknown {
            Arc::make_mut(histogram).counter_reset_hint = hint;
        }
        previous = (!is_stale).then(|| histogram.clone());
    }
}

/// A subquery leaves samples out or repeats them, so that their hints say nothing of their neighbours any more.
fn forget_reset_hint(value: &mut Value) {
    if let Value::Histogram(histogram) = value
        && matches!(histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset)
    {
        Arc::make_mut(histogram).counter_reset_hint = CounterResetHint::Unknown;
    }
}

/// Milliseconds, at most those that a timestamp holds.
pub(in crate::promql) fn duration_ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
