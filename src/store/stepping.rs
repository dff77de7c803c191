//! Windows of one series on a grid, told one after the other: what a range query needs.
//!
//! In the flow: a plan asks for all windows of a series at once; [`Stepping`] goes through them with two cursors.
//!
//! ```text
//! apart     ├──w0──┤        ├──w1──┤          each by itself: what lies between is not looked at
//! overlap   ├────w0────┤                      the samples of all are decoded once, into columns; two cursors over these
//!              ├────w1────┤
//! nested    ├──────────────────w0──┤          what all have in common is looked up as one window is (see [`lookup`](super::lookup));
//!             ├──────────────────w1──┤        only the samples by which they differ are decoded
//!               └─── common ───┘
//! ```
//!
//! Of rates only the borders of windows are looked at wherever many samples lie from one window to the next. A border at which one window
//! ends and another begins is looked up once.
//!
//! **Cost.** A step is a few additions whatever the length of the windows: resets stand in a list with a cursor of its own, summaries
//! are kept from both sides of an anchor, so that a window joins two of them. No chunk is decoded twice, but for the two at the
//! borders of what nested windows have in common.
//! **Exactness.** That of [`lookup`](super::lookup): edges are bit-equal, summaries as [`summary`](super::summary) says.
//! **Invariants.** Windows are open on the left and closed on the right; staleness markers are not in them.

use std::ops::Range;

use super::block::Place;
use super::lookup::Windowed;
use super::sealed::Near;
use super::selection::{Edges, Window};
use super::series::StoredSeries;
use super::summary::{Extremes, Summary, Sums, Transitions};
use crate::model::Timestamp;

/// Between two windows lies at least this much where each is read by itself: a chunk or more of what is scraped at common intervals.
const APART_MS_MIN: i64 = 3600 * 1000;

/// Windows in common of at least this length are looked up; shorter ones lie in few chunks, which are decoded either way.
const COMMON_MS_MIN: i64 = 3600 * 1000;

/// Samples from window to window from which on their edges are looked up.
const DENSE_MIN: u64 = 24;

/// Partial sums of integers up to this are exact.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Windows of equal length whose ends lie on a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowGrid {
    /// The end of the first one.
    pub first_end: Timestamp,
    /// From end to end, in milliseconds; at least 1.
    pub step_ms: i64,
    /// How many; at least 1.
    pub count: usize,
    /// How long each is, in milliseconds.
    pub range_ms: i64,
}

/// How the windows of a grid lie to each other; see the module head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Apart,
    Overlap,
    Nested,
}

impl WindowGrid {
    /// The end of the window at `index`.
    pub fn end(&self, index: usize) -> Timestamp {
        self.first_end.plus_ms(self.step_ms.saturating_mul(index as i64))
    }

    /// What lies at or before this is not in the window at `index`.
    pub fn start(&self, index: usize) -> Timestamp {
        self.end(index).plus_ms(self.range_ms.saturating_neg())
    }

    /// The end of the last one.
    pub fn last_end(&self) -> Timestamp {
        self.end(self.count - 1)
    }

    /// Whether so much lies between windows that each is to be read by itself.
    pub fn is_apart(&self) -> bool {
        self.layout() == Layout::Apart
    }

    /// How many windows later one begins where this one ends, if so many follow.
    fn lag(&self) -> Option<usize> {
        let lag = usize::try_from(self.range_ms / self.step_ms.max(1)).ok()?;
        (lag > 0 && lag < self.count && self.range_ms % self.step_ms == 0).then_some(lag)
    }

    fn layout(&self) -> Layout {
        let span_ms = self.last_end().ms_since(self.first_end);
        if self.count == 1 || self.step_ms.saturating_sub(self.range_ms) >= APART_MS_MIN {
            Layout::Apart
        } else if self.range_ms.saturating_sub(span_ms) >= COMMON_MS_MIN {
            Layout::Nested
        } else {
            Layout::Overlap
        }
    }
}

/// What is read of a series: its samples after `floor`, which retention has set, up to `through`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) floor: Timestamp,
    pub(super) through: Timestamp,
}

/// Histograms lie in a window, or a sum is told by other rules: it must be read in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold;

/// Columns of samples and what is noted beside them; memory that is used again for each series.
#[derive(Debug, Default)]
pub struct Stepping {
    /// The samples through which it steps, staleness markers left out.
    pub window: Window,
    /// The index of the later sample of each reset, and the value before.
    resets: Vec<(usize, f64)>,
    /// Samples in common that do not stand in the columns.
    hidden: usize,
    /// By window: the first sample after its start, with the number of its part.
    firsts: Vec<Option<(usize, Place)>>,
}

impl Stepping {
    /// Takes what rates need of each window over the columns; windows without samples are left out.
    pub fn edges(&mut self, grid: &WindowGrid, take: impl FnMut(usize, Edges)) {
        self.hidden = 0;
        self.resets.clear();
        self.note_resets(0);
        self.step_edges(grid, take);
    }

    /// Takes the sum over each window of the columns, and how many samples that are, if no order of addition changes it.
    pub fn exact_sums(&self, grid: &WindowGrid, take: impl FnMut(usize, u64, Sums)) -> Result<(), Untold> {
        let mut magnitude = 0.0;
        for value in &self.window.values {
            magnitude += value.abs();
            if value.trunc() != *value {
                return Err(Untold);
            }
        }
        // Where an addition was rounded, the sum is above the bound too.
        if magnitude >= EXACT_MAX || magnitude.is_nan() {
            return Err(Untold);
        }
        self.step_summaries(grid, Anchored::default(), take);
        Ok(())
    }

    /// Takes the extremes of each window over the columns.
    pub fn extremes(&self, grid: &WindowGrid, take: impl FnMut(usize, u64, Extremes)) {
        self.step_summaries(grid, Anchored::default(), take);
    }

    /// Takes the changes of each window over the columns.
    pub fn transitions(&self, grid: &WindowGrid, take: impl FnMut(usize, u64, Transitions)) {
        self.step_summaries(grid, Anchored::default(), take);
    }

    /// Goes through the windows that have samples in the columns: their numbers and ranges.
    pub fn ranges(&self, grid: &WindowGrid, mut take: impl FnMut(usize, Range<usize>)) {
        self.all_ranges(grid, |index, inside| {
            if !inside.is_empty() {
                take(index, inside);
            }
        });
    }

    fn all_ranges(&self, grid: &WindowGrid, mut take: impl FnMut(usize, Range<usize>)) {
        let times = &self.window.at;
        let (mut first, mut past) = (0, 0);
        for index in 0..grid.count {
            let (start, end) = (grid.start(index), grid.end(index));
            while times.get(first).is_some_and(|at| *at <= start) {
                first += 1;
            }
            past = past.max(first);
            while times.get(past).is_some_and(|at| *at <= end) {
                past += 1;
            }
            take(index, first..past);
        }
    }

    fn note_resets(&mut self, from: usize) {
        let values = &self.window.values;
        let later = from.max(1)..values.len();
        let resets = later.filter(|&index| values[index] < values[index - 1]);
        self.resets.extend(resets.map(|index| (index, values[index - 1])));
    }

    fn step_edges(&self, grid: &WindowGrid, mut take: impl FnMut(usize, Edges)) {
        let Window { at, values, .. } = &self.window;
        let mut next_reset = 0;
        self.ranges(grid, |index, inside| {
            let (first, last) = (inside.start, inside.end - 1);
            while self.resets.get(next_reset).is_some_and(|(later, _)| *later <= first) {
                next_reset += 1;
            }
            let resets = self.resets[next_reset..].iter().take_while(|(later, _)| *later <= last);
            let increase = resets.fold(values[last] - values[first], |increase, (_, before)| increase + before);
            let count = inside.len() + self.hidden;
            take(index, Edges { count, first: (at[first], values[first]), last: (at[last], values[last]), increase });
        });
    }

    fn step_summaries<S: Summary>(
        &self,
        grid: &WindowGrid,
        mut anchored: Anchored<S>,
        mut take: impl FnMut(usize, u64, S),
    ) {
        let hidden = anchored.hidden;
        self.all_ranges(grid, |index, inside| {
            let count = inside.len() as u64 + hidden;
            if count > 0 {
                take(index, count, anchored.summary(&self.window, inside));
            }
        });
    }
}

/// Summaries of windows that move on: those of what lies between the start of each and an anchor, and one of what lies beyond it.
/// When the windows have passed the anchor it is set anew. So each sample is taken in twice, however often windows overlap.
#[derive(Debug, Default)]
struct Anchored<S> {
    /// By sample from `from` up to the anchor: the summary from there on up to the anchor.
    before: Vec<S>,
    from: usize,
    anchor: usize,
    /// From the anchor to `past`.
    beyond: S,
    past: usize,
    /// Samples at the anchor that do not stand in the columns.
    hidden: u64,
}

impl<S: Summary> Anchored<S> {
    /// With samples at the anchor that all windows hold: `before` are those of the columns that lie before them.
    fn around(common: S, hidden: u64, before: &Window) -> Self {
        let anchor = before.at.len();
        let mut anchored = Anchored { hidden, anchor, past: anchor, ..Anchored::default() };
        anchored.sum_up(common, before, 0..anchor);
        anchored
    }

    fn sum_up(&mut self, at_anchor: S, window: &Window, inside: Range<usize>) {
        self.before.clear();
        self.before.resize(inside.len() + 1, at_anchor);
        for (index, (at_ms, value)) in window.samples(inside).enumerate().rev() {
            let mut summary = S::default();
            summary.add(at_ms, value);
            summary.join(&self.before[index + 1]);
            self.before[index] = summary;
        }
    }

    fn summary(&mut self, window: &Window, inside: Range<usize>) -> S {
        if self.hidden == 0 && inside.start >= self.anchor {
            self.sum_up(S::default(), window, inside.clone());
            (self.from, self.anchor, self.past, self.beyond) = (inside.start, inside.end, inside.end, S::default());
        }
        window.samples(self.past..inside.end).for_each(|(at_ms, value)| self.beyond.add(at_ms, value));
        self.past = inside.end;
        let mut summary = self.before[inside.start - self.from];
        summary.join(&self.beyond);
        summary
    }
}

impl StoredSeries {
    /// Takes what rates need of each window of `grid`; windows without samples are left out.
    pub(super) fn edges_by_step(
        &self,
        grid: &WindowGrid,
        shown: Shown,
        space: &mut Stepping,
        take: impl FnMut(usize, Edges),
    ) -> Result<(), Untold> {
        let layout = match grid.layout() {
            Layout::Overlap | Layout::Nested if self.is_dense(grid, shown) => Layout::Apart,
            layout => layout,
        };
        match layout {
            Layout::Apart => return self.edges_by_borders(grid, shown, space, take),
            Layout::Nested if self.read_around_common(grid, shown, space)? => {}
            Layout::Nested | Layout::Overlap => {
                self.read_columns(grid, shown, space)?;
                space.hidden = 0;
                space.resets.clear();
                space.note_resets(0);
            }
        }
        space.step_edges(grid, take);
        Ok(())
    }

    /// Looks up the samples around the borders of each window. Where windows begin as others end, their borders are looked up once for both.
    fn edges_by_borders(
        &self,
        grid: &WindowGrid,
        shown: Shown,
        space: &mut Stepping,
        mut take: impl FnMut(usize, Edges),
    ) -> Result<(), Untold> {
        let (start, end) = shown.applied(grid.start(0), grid.last_end());
        let is_plain = self.is_plain(start, end);
        let border = |at: Timestamp| at.max(shown.floor).min(shown.through);
        let lag = if is_plain { grid.lag() } else { None };
        let mut near = [Near::default(); 2];
        let [near_start, near_end] = &mut near;
        space.firsts.clear();
        for index in 0..lag.unwrap_or(0) {
            let [_, first] = self.around(border(grid.start(index)), near_start);
            space.firsts.push(first);
        }
        for index in 0..grid.count {
            let (start, end) = (border(grid.start(index)), border(grid.end(index)));
            space.window.clear();
            if !is_plain {
                let edges = self.edges(start, end, &mut space.window);
                if space.window.has_histograms {
                    return Err(Untold);
                }
                edges.into_iter().for_each(|edges| take(index, edges));
                continue;
            }
            let [last, next] = self.around(end, near_end);
            let first = match lag {
                Some(_) => {
                    space.firsts.push(next);
                    space.firsts[index]
                }
                None => self.around(start, near_start)[1],
            };
            if let (Some(first), Some(last)) = (first, last)
                && first.1.at <= end
                && last.1.at > start
            {
                let edges = self.edges_between(&first, &last);
                let edges = edges.or_else(|| self.scanned_edges(start, end, &mut space.window));
                edges.into_iter().for_each(|edges| take(index, edges));
            }
        }
        Ok(())
    }

    /// Whether from one window to the next so many samples lie that looking up the edges of each costs less than decoding them all.
    fn is_dense(&self, grid: &WindowGrid, shown: Shown) -> bool {
        let (start, end) = shown.applied(grid.start(0), grid.last_end());
        match self.live_range(start, end) {
            Windowed::Floats { count, .. } => {
                let covered_ms = end.ms_since(start).max(1) as u64;
                count.saturating_mul(grid.step_ms as u64) / covered_ms >= DENSE_MIN
            }
            Windowed::Empty | Windowed::Scan => false,
        }
    }

    /// Takes the summary of each window of `grid` and how many samples it sums up; windows without samples are left out.
    pub(super) fn summaries_by_step<S: Summary>(
        &self,
        grid: &WindowGrid,
        shown: Shown,
        space: &mut Stepping,
        mut take: impl FnMut(usize, u64, S),
    ) -> Result<(), Untold> {
        let layout = grid.layout();
        if layout == Layout::Apart {
            for index in 0..grid.count {
                let (start, end) = shown.applied(grid.start(index), grid.end(index));
                let told = if grid.range_ms >= COMMON_MS_MIN { self.summary(start, end) } else { Windowed::Scan };
                match told {
                    Windowed::Empty => {}
                    Windowed::Floats { count, value } => take(index, count, value),
                    Windowed::Scan => {
                        self.read_live(start, end, space)?;
                        let len = space.window.at.len();
                        if len > 0 {
                            take(index, len as u64, S::of(space.window.samples(0..len)));
                        }
                    }
                }
            }
            return Ok(());
        }
        let (common_start, common_end) = shown.applied(grid.start(grid.count - 1), grid.end(0));
        let common = match layout {
            Layout::Nested => self.summary(common_start, common_end),
            _ => Windowed::Empty,
        };
        let Windowed::Floats { count, value } = common else {
            self.read_columns(grid, shown, space)?;
            space.step_summaries(grid, Anchored::default(), take);
            return Ok(());
        };
        let (start, end) = shown.applied(grid.start(0), grid.last_end());
        self.read_live(start, common_start, space)?;
        let anchored = Anchored::around(value, count, &space.window);
        self.read_more(common_end, end, space)?;
        space.step_summaries(grid, anchored, take);
        Ok(())
    }

    /// Reads the samples of all windows of `grid` in place of what the columns held.
    pub(super) fn read_columns(&self, grid: &WindowGrid, shown: Shown, space: &mut Stepping) -> Result<(), Untold> {
        let (start, end) = shown.applied(grid.start(0), grid.last_end());
        self.read_live(start, end, space)
    }

    /// Leaves the samples by which windows differ in the columns, and between them the first and the last of those in common; whether
    /// there are any and all is known of them.
    fn read_around_common(&self, grid: &WindowGrid, shown: Shown, space: &mut Stepping) -> Result<bool, Untold> {
        let (common_start, common_end) = shown.applied(grid.start(grid.count - 1), grid.end(0));
        let Windowed::Floats { count, value: (first, last) } = self.live_range(common_start, common_end) else {
            return Ok(false);
        };
        let (start, end) = shown.applied(grid.start(0), grid.last_end());
        self.read_live(start, common_start, space)?;
        space.window.push(first.1.at, first.1.value);
        space.resets.clear();
        space.note_resets(0);
        space.hidden = count.saturating_sub(2) as usize;
        if count > 1 {
            let last_index = space.window.at.len();
            space.window.push(last.1.at, last.1.value);
            let resets = &mut space.resets;
            if self.each_reset(&first, &last, |before| resets.push((last_index, before))).is_none() {
                return Ok(false);
            }
        }
        let known = space.window.at.len();
        self.read_more(common_end, end, space)?;
        space.note_resets(known);
        Ok(true)
    }

    fn read_live(&self, start: Timestamp, end: Timestamp, space: &mut Stepping) -> Result<(), Untold> {
        space.window.clear();
        self.read_more(start, end, space)
    }

    fn read_more(&self, start: Timestamp, end: Timestamp, space: &mut Stepping) -> Result<(), Untold> {
        self.read_window(start, end, &mut space.window);
        space.window.remove_stale();
        if space.window.has_histograms { Err(Untold) } else { Ok(()) }
    }
}

impl Shown {
    fn applied(self, start: Timestamp, end: Timestamp) -> (Timestamp, Timestamp) {
        (start.max(self.floor), end.min(self.through))
    }
}

#[cfg(test)]
mod tests;
