//! Instant selectors, and what all selectors have in common: which slots to look at, and when.
//!
//! A series that has ended, or is idle for long, costs nothing: a leaf puts its slot to sleep and does not look at it again
//! until the store reports that the series goes on (or an earlier instant is asked for).
//!
//! **Invariants.** Slots are looked at in order of label set. A leaf that meets a native histogram stops.

use rustc_hash::FxHashMap;

use super::Stop;
use super::block::{Block, absent};
use super::evaluate::{Scope, View};
use super::labels::NameDrop;
use super::slots::Marks;
use crate::model::{Matcher, Timestamp};
use crate::promql::ast::AtModifier;
use crate::store::{Point, Reader, Selection, SeriesRef, Window};

/// Which series, and when.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) selection: usize,
    pub(super) offset_ms: i64,
    pub(super) at: Option<AtModifier>,
    /// Slots to look at, in order of label set.
    active: Vec<u32>,
    /// By slot.
    asleep: Vec<bool>,
    seen: Option<Seen>,
    /// What the overlay has for slots.
    uncommitted: FxHashMap<u32, (Timestamp, f64)>,
}

/// For which state of the selection `active` was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    era: u64,
    version: u64,
    end: Timestamp,
}

impl Leaf {
    pub(super) fn new(selection: usize, offset_ms: i64, at: Option<AtModifier>) -> Self {
        Leaf { selection, offset_ms, at, ..Leaf::default() }
    }

    /// The instant to which the selector refers at `step`.
    pub(super) fn reference(&self, scope: &Scope<'_>, step: Timestamp) -> Timestamp {
        scope.query.reference(self.at, self.offset_ms, step)
    }

    /// The version of the overlay if it has anything for such series, else 0.
    pub(super) fn overlay_version(&self, matchers: &[Matcher], scope: &Scope<'_>) -> u64 {
        let Some(overlay) = scope.overlay.filter(|overlay| overlay.version() != 0) else { return 0 };
        if overlay.candidates(matchers).next().is_some() { overlay.version() } else { 0 }
    }

    /// Makes the list of slots to look at for windows up to `end`.
    pub(super) fn wake(&mut self, selection: &Selection, end: Timestamp, scope: &Scope<'_>) -> Result<(), Stop> {
        self.take_uncommitted(selection, scope)?;
        let now = Seen { era: selection.era(), version: selection.version(), end };
        let before = self.seen.filter(|seen| seen.era == now.era && seen.end <= end);
        self.seen = Some(now);
        match before {
            Some(before) if before.version == now.version && self.uncommitted.is_empty() => {}
            Some(before) => {
                self.asleep.resize(selection.slots_len(), false);
                let (asleep, uncommitted) = (&mut self.asleep, &self.uncommitted);
                let is_awake = |slot: &u32| {
                    let sleeps = &mut asleep[*slot as usize];
                    *sleeps &= selection.since(*slot) <= before.version && !uncommitted.contains_key(slot);
                    !*sleeps
                };
                self.active.clear();
                self.active.extend(selection.order().iter().copied().filter(is_awake));
            }
            None => {
                self.asleep.clear();
                self.asleep.resize(selection.slots_len(), false);
                self.active.clear();
                self.active.extend_from_slice(selection.order());
            }
        }
        Ok(())
    }

    fn take_uncommitted(&mut self, selection: &Selection, scope: &Scope<'_>) -> Result<(), Stop> {
        self.uncommitted.clear();
        let Some(overlay) = scope.overlay else { return Ok(()) };
        for (labels, recorded) in overlay.candidates(selection.matchers()) {
            if !selection.matchers().iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            // A series that the store does not know has no slot; a histogram has no place in a block.
            let slot = recorded.series.and_then(|series| selection.slot_of(series)).ok_or(Stop)?;
            let value = recorded.sample.value.as_float().ok_or(Stop)?;
            self.uncommitted.insert(slot, (recorded.sample.at, value));
        }
        Ok(())
    }

    /// Calls `read` for each slot to look at; one for which it says so is put to sleep.
    pub(super) fn for_each(
        &mut self,
        selection: &Selection,
        mut read: impl FnMut(u32, SeriesRef, Option<(Timestamp, f64)>) -> Result<Found, Stop>,
    ) -> Result<(), Stop> {
        let mut slept = false;
        for slot in &self.active {
            let uncommitted = if self.uncommitted.is_empty() { None } else { self.uncommitted.get(slot).copied() };
            if read(*slot, selection.series(*slot), uncommitted)? == Found::NothingForLong {
                self.asleep[*slot as usize] = true;
                slept = true;
            }
        }
        if slept {
            let asleep = &self.asleep;
            self.active.retain(|slot| !asleep[*slot as usize]);
        }
        Ok(())
    }
}

/// What there is of a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Something,
    Nothing,
    /// Nothing now nor later, until the series goes on.
    NothingForLong,
}

/// Says so of a series without a sample between `start` and `end`.
pub(super) fn nothing(reader: &Reader<'_>, series: SeriesRef, start: Timestamp, end: Timestamp) -> Found {
    if reader.sleeps(series, start, end) { Found::NothingForLong } else { Found::Nothing }
}

/// An instant selector.
#[derive(Debug)]
pub(super) struct Instant {
    pub(super) leaf: Leaf,
    /// `timestamp(selector)`: the times of the samples, without metric names.
    pub(super) drop: Option<NameDrop>,
    collided: Marks,
    window: Window,
}

impl Instant {
    pub(super) fn new(leaf: Leaf) -> Self {
        Instant { leaf, drop: None, collided: Marks::default(), window: Window::default() }
    }

    pub(super) fn times(leaf: Leaf) -> Self {
        Instant { drop: Some(NameDrop::default()), ..Instant::new(leaf) }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (grid, scope, reader) = (view.grid, view.scope, view.namer.reader());
        let selection = view.namer.selection(self.leaf.selection);
        let end = self.leaf.reference(scope, grid.end);
        let start = end.plus_ms(-scope.lookback_ms);
        self.leaf.wake(selection, end, scope)?;
        out.reset(grid.len());
        let look_back = LookBack {
            reader,
            ends: (self.leaf.at, self.leaf.offset_ms),
            lookback_ms: scope.lookback_ms,
            gives_times: self.drop.is_some(),
        };
        let window = &mut self.window;
        self.leaf.for_each(selection, |slot, series, uncommitted| {
            if !grid.is_single() {
                let found = look_back.fill(series, view, window, out.add_row(slot))?;
                if found == Found::Nothing {
                    out.pop_row();
                }
                return Ok(found);
            }
            let mut point = reader.instant(series, end, scope.lookback_ms);
            if let Some(uncommitted) = uncommitted {
                point = on_top(point, uncommitted, reader.newest(series), (start, end))?;
            }
            match point {
                Point::Float(at, value) => {
                    out.push(slot, look_back.value(at, value));
                    Ok(Found::Something)
                }
                Point::Absent => Ok(nothing(reader, series, start, end)),
                Point::Histogram => Err(Stop),
            }
        })?;
        let Some(drop) = &mut self.drop else { return Ok(selection.era()) };
        let era = drop.follow(scope.renames(view.naming), selection.era(), out.rows.len());
        self.collided.start();
        for row in &mut out.rows {
            *row = drop.slot(*row, || reader.labels(selection.series(*row)).ok_or(Stop))?;
            if drop.may_collide() && !self.collided.mark(*row) {
                return Err(Stop);
            }
        }
        out.order_by_first_step();
        Ok(era)
    }
}

/// The last sample, with an uncommitted one on top of what is stored.
fn on_top(
    stored: Point,
    (at, value): (Timestamp, f64),
    newest: Option<Timestamp>,
    (start, end): (Timestamp, Timestamp),
) -> Result<Point, Stop> {
    if at <= start || at > end {
        return Ok(stored);
    }
    // It is refused, and stays invisible, where the series has a sample that is not older; a marker, too.
    if newest.is_some_and(|newest| newest >= at) {
        return Err(Stop);
    }
    Ok(if crate::model::is_stale(value) { Point::Absent } else { Point::Float(at, value) })
}

/// Looks back from several steps.
struct LookBack<'a> {
    reader: &'a Reader<'a>,
    /// `@` and offset.
    ends: (Option<AtModifier>, i64),
    lookback_ms: i64,
    /// Whether the results are the times of the samples.
    gives_times: bool,
}

impl LookBack<'_> {
    fn value(&self, at: Timestamp, value: f64) -> f64 {
        if self.gives_times { at.as_secs_f64() } else { value }
    }

    /// The last samples of `series` before each step.
    fn fill(&self, series: SeriesRef, view: &View<'_>, window: &mut Window, row: &mut [f64]) -> Result<Found, Stop> {
        let end_of = |step| view.scope.query.reference(self.ends.0, self.ends.1, step);
        let first = end_of(view.grid.start).plus_ms(-self.lookback_ms);
        self.reader.samples(series, first, end_of(view.grid.end), window);
        if window.has_histograms {
            return Err(Stop);
        }
        let (mut seen, mut found) = (0, Found::Nothing);
        for (place, step) in row.iter_mut().zip(view.grid.steps()) {
            let end = end_of(step);
            while window.at.get(seen).is_some_and(|at| *at <= end) {
                seen += 1;
            }
            let newest = seen.checked_sub(1).map(|index| (window.at[index], window.values[index]));
            *place = match newest.filter(|(at, _)| *at > end.plus_ms(-self.lookback_ms)) {
                Some((at, value)) if !crate::model::is_stale(value) => {
                    found = Found::Something;
                    self.value(at, value)
                }
                _ => absent(),
            };
        }
        Ok(found)
    }
}
