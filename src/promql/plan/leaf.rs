//! Instant selectors, and what all selectors have in common: which slots to look at, and when.
//!
//! A series that has ended, or is idle for long, costs nothing: a leaf puts its slot to sleep and does not look at it again
//! until the store reports that the series goes on (or an earlier instant is asked for).
//!
//! **Invariants.** Slots are looked at in order of label set. A leaf that meets a native histogram stops.

use std::ops::Range;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::Stop;
use super::block::Block;
use super::evaluate::{Scope, View};
use super::executor::Executor;
use super::labels::NameDrop;
use super::map::Drops;
use super::slots::Marks;
use crate::model::{Matcher, Timestamp};
use crate::promql::ast::AtModifier;
use crate::store::{Point, Reader, Selection, SeriesRef, Stepping, Store, WindowGrid};

/// Samples read and steps taken for which the store is held at a time: less than a millisecond.
const PIECE_WORK: usize = 1 << 17;

/// Series whose ways to memory overlap: see [`Reader::warm`].
const WARMED_SLOTS: usize = 32;

/// So many series are looked up at an instant in one piece: as long as that takes.
const LIGHT_SLOTS_MAX: usize = 1 << 14;

/// Series that are read before it is decided whether several threads pay.
const PROBED_SLOTS: usize = 64;

/// Less work than this, in samples and steps, takes less time than waking threads is worth: some milliseconds.
const PARALLEL_WORK_MIN: usize = 1 << 20;

/// Work of one task: so much that handing it out costs little, so little that interrupts are looked at often enough.
const TASK_WORK: usize = 1 << 22;

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
    /// Beside `active`: the newest sample when the pass began. Empty where nobody need know.
    reach: Vec<Timestamp>,
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

    /// Makes the list of slots to look at for windows the first and the last of which have these ends.
    pub(super) fn wake(
        &mut self,
        selection: &Selection,
        (first_end, end): (Timestamp, Timestamp),
        scope: &Scope<'_>,
    ) -> Result<(), Stop> {
        self.take_uncommitted(selection, scope)?;
        let now = Seen { era: selection.era(), version: selection.version(), end };
        let before = self.seen.filter(|seen| seen.era == now.era && seen.end <= first_end);
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

    /// Calls `read` for each slot to look at; one for which it says so is put to sleep. It tells the slot, the series, its
    /// uncommitted sample, and up to when it may be read.
    ///
    /// The store is let go between [`pieces`](PIECE_WORK), and all series are to be seen in one state. What is committed meanwhile is
    /// nearly always later than `end`, and then nothing is amiss; else the pass begins again, after noting how far each series reaches.
    pub(super) fn for_each(
        &mut self,
        view: &View<'_>,
        (weight, end): (Weight, Timestamp),
        (space, out): (&mut Space, &mut Block),
        mut read: impl FnMut(&Reader<'_>, Member, &mut Space, &mut Block) -> Result<Found, Stop>,
    ) -> Result<(), Stop> {
        let selection = view.namer.selection(self.selection);
        let mut reader = view.reader();
        let epoch = reader.epoch();
        let is_one_piece = weight == Weight::Light && self.active.len() <= LIGHT_SLOTS_MAX;
        self.reach.clear();
        space.work = 0;
        let mut slept = false;
        let mut index = 0;
        while index < self.active.len() {
            if index.is_multiple_of(WARMED_SLOTS) {
                let soon = &self.active[index..self.active.len().min(index + WARMED_SLOTS)];
                reader.warm(soon.iter().map(|slot| selection.series(*slot)));
            }
            let member = self.member(selection, index);
            if read(&reader, member, space, out)? == Found::NothingForLong {
                self.asleep[member.slot as usize] = true;
                slept = true;
            }
            index += 1;
            if space.is_piece_done() && !is_one_piece {
                // Commits that wait come in here.
                drop(reader);
                view.scope.check_interrupt()?;
                reader = view.reader();
                if self.reach.is_empty() && !selection.is_unchanged(&reader, epoch, end) {
                    self.note_reach(selection, &reader);
                    out.reset(out.steps);
                    index = 0;
                }
            }
        }
        if slept {
            self.let_sleep();
        }
        Ok(())
    }

    /// Fills a row of `out` for each slot that has any number, on several threads where that pays.
    pub(super) fn fill_rows(
        &mut self,
        view: &View<'_>,
        reads: &impl ReadSteps,
        space: &mut Space,
        out: &mut Block,
    ) -> Result<(), Stop> {
        let selection = view.namer.selection(self.selection);
        self.note_reach(selection, &view.reader());
        let mut asleep = Vec::new();
        // The first ones tell how much work there is.
        let probed = self.active.len().min(PROBED_SLOTS);
        let mut piece = Piece { block: out, asleep: &mut asleep, space };
        let mut look = || view.scope.check_interrupt();
        let mut hold = Hold::new(view.scope.store, &mut look);
        let work = self.fill_piece(&mut hold, (selection, 0..probed), reads, &mut piece)?;
        let work_each = (work / probed.max(1)).max(1);
        let left = probed..self.active.len();
        // Where the first ones have numbers the others will; room that grows by doubling would be copied as often as it is long.
        if !piece.block.rows.is_empty() {
            let rows = left.len().min(view.scope.options.max_samples / piece.block.steps.max(1));
            piece.block.rows.reserve(rows);
            piece.block.values.reserve(rows * piece.block.steps);
        }
        match view.scope.executor.filter(|executor| executor.width() > 1) {
            Some(executor) if left.len() * work_each >= PARALLEL_WORK_MIN => {
                self.fill_side_by_side(view, (executor, left, work_each), reads, &mut piece)?;
            }
            _ => {
                for from in left.clone().step_by(PROBED_SLOTS) {
                    let slots = from..left.end.min(from + PROBED_SLOTS);
                    self.fill_piece(&mut hold, (selection, slots), reads, &mut piece)?;
                    view.scope.check_size(piece.block.values.len())?;
                }
            }
        }
        if !asleep.is_empty() {
            asleep.iter().for_each(|slot| self.asleep[*slot as usize] = true);
            self.let_sleep();
        }
        Ok(())
    }

    fn fill_side_by_side(
        &self,
        view: &View<'_>,
        (executor, slots, work_each): (&dyn Executor, Range<usize>, usize),
        reads: &impl ReadSteps,
        all: &mut Piece<'_>,
    ) -> Result<(), Stop> {
        let (store, selection) = (view.scope.store, view.namer.selection(self.selection));
        let steps = all.block.steps;
        let even = slots.len().div_ceil(executor.width());
        let per_task = (TASK_WORK / work_each).clamp(1, even.max(1));
        let tasks: Vec<Range<usize>> =
            slots.clone().step_by(per_task).map(|from| from..slots.end.min(from + per_task)).collect();
        for round in tasks.chunks(executor.width()) {
            view.scope.check_interrupt()?;
            view.scope.check_size(all.block.values.len())?;
            let done: Vec<OnceLock<Result<Filled, Stop>>> = round.iter().map(|_| OnceLock::new()).collect();
            executor.run(round.len(), &|task| {
                let mut filled = Filled::default();
                filled.block.reset(steps);
                let Filled { block, asleep, space } = &mut filled;
                let mut piece = Piece { block, asleep, space };
                let mut look = || Ok(());
                let mut hold = Hold::new(store, &mut look);
                let outcome = self.fill_piece(&mut hold, (selection, round[task].clone()), reads, &mut piece);
                // Each task is run once.
                let _ = done[task].set(outcome.map(|_| filled));
            });
            for filled in done {
                let filled = filled.into_inner().expect("BUG: the executor has left a task out")?;
                all.block.rows.extend(filled.block.rows);
                all.block.values.extend(filled.block.values);
                all.asleep.extend(filled.asleep);
                all.space.peak_samples = all.space.peak_samples.max(filled.space.peak_samples);
            }
        }
        Ok(())
    }

    /// Fills rows for some of the slots to look at. Gives the work that was.
    fn fill_piece(
        &self,
        hold: &mut Hold<'_, '_>,
        (selection, slots): (&Selection, Range<usize>),
        reads: &impl ReadSteps,
        piece: &mut Piece<'_>,
    ) -> Result<usize, Stop> {
        let Piece { block, asleep, space } = piece;
        let mut work = 0;
        space.work = 0;
        for index in slots {
            let member = self.member(selection, index);
            let before = space.work;
            let found = reads.read(hold, member, space, block.add_row(member.slot))?;
            space.work += block.steps;
            work += space.work - before;
            if found != Found::Something {
                block.pop_row();
            }
            if found == Found::NothingForLong {
                asleep.push(member.slot);
            }
            if space.is_piece_done() {
                (hold.look)()?;
                hold.release();
            }
        }
        hold.release();
        Ok(work)
    }

    fn member(&self, selection: &Selection, index: usize) -> Member {
        let slot = self.active[index];
        let uncommitted = if self.uncommitted.is_empty() { None } else { self.uncommitted.get(&slot).copied() };
        let through = self.reach.get(index).copied().unwrap_or(Timestamp::MAX);
        Member { slot, series: selection.series(slot), uncommitted, through }
    }

    /// Notes how far each series to look at reaches now.
    fn note_reach(&mut self, selection: &Selection, reader: &Reader<'_>) {
        self.reach.clear();
        let newest = |slot: &u32| reader.newest(selection.series(*slot)).unwrap_or(Timestamp::MIN);
        self.reach.extend(self.active.iter().map(newest));
    }

    fn let_sleep(&mut self) {
        let asleep = &self.asleep;
        self.active.retain(|slot| !asleep[*slot as usize]);
    }
}

/// A series to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) slot: u32,
    pub(super) series: SeriesRef,
    pub(super) uncommitted: Option<(Timestamp, f64)>,
    /// What was stored later does not count.
    pub(super) through: Timestamp,
}

/// Whether looking at a series may mean to read its samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    Light,
    Heavy,
}

/// Memory that is used again for each series, and what is counted meanwhile.
#[derive(Debug, Default)]
pub(super) struct Space {
    pub(super) stepping: Stepping,
    pub(super) values: Vec<f64>,
    pub(super) points: Vec<crate::promql::eval::window::Point>,
    /// The most samples in a window.
    pub(super) peak_samples: usize,
    /// Samples read and steps taken since the last look.
    pub(super) work: usize,
}

impl Space {
    fn is_piece_done(&mut self) -> bool {
        self.work += 1;
        let is_done = self.work >= PIECE_WORK;
        if is_done {
            self.work = 0;
        }
        is_done
    }
}

/// Asked now and then whether anybody still waits.
pub(super) type Look<'l> = &'l mut dyn FnMut() -> Result<(), Stop>;

/// A look at the store that can be let go between two series, and before what was read of one is computed with.
pub(super) struct Hold<'a, 'l> {
    store: &'a Store,
    reader: Option<Reader<'a>>,
    pub(super) look: Look<'l>,
}

impl<'a, 'l> Hold<'a, 'l> {
    fn new(store: &'a Store, look: Look<'l>) -> Self {
        Hold { store, reader: None, look }
    }

    pub(super) fn reader(&mut self) -> &Reader<'a> {
        self.reader.get_or_insert_with(|| self.store.reader())
    }

    pub(super) fn release(&mut self) {
        self.reader = None;
    }
}

/// How the steps of one series are read.
pub(super) trait ReadSteps: Sync {
    /// Fills `row`, which is as long as the grid and holds nothing.
    fn read(&self, hold: &mut Hold<'_, '_>, member: Member, space: &mut Space, row: &mut [f64]) -> Result<Found, Stop>;
}

/// Where rows go.
struct Piece<'a> {
    block: &'a mut Block,
    /// The slots that may be put to sleep.
    asleep: &'a mut Vec<u32>,
    space: &'a mut Space,
}

/// What a task has to give.
#[derive(Default)]
struct Filled {
    block: Block,
    asleep: Vec<u32>,
    space: Space,
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
    pub(super) gives_times: bool,
    /// Where names are taken off at once.
    pub(super) drop: Option<NameDrop>,
    collided: Marks,
    space: Space,
}

impl Instant {
    pub(super) fn new(leaf: Leaf) -> Self {
        Instant { leaf, gives_times: false, drop: None, collided: Marks::default(), space: Space::default() }
    }

    pub(super) fn times(leaf: Leaf, drops: Drops) -> Self {
        Instant { gives_times: true, drop: drops.then_drop(), ..Instant::new(leaf) }
    }

    /// Gives the era of the result.
    pub(super) fn eval(&mut self, view: &View<'_>, out: &mut Block) -> Result<u64, Stop> {
        let (grid, scope) = (view.grid, view.scope);
        let selection = view.namer.selection(self.leaf.selection);
        let [first_end, end] = [grid.start, grid.end].map(|step| self.leaf.reference(scope, step));
        self.leaf.wake(selection, (first_end, end), scope)?;
        out.reset(grid.len());
        if grid.is_single() {
            self.look_back(view, end, out)?;
        } else {
            let range_ms = scope.lookback_ms;
            let windows = WindowGrid { first_end, step_ms: grid.step_ms, count: grid.len(), range_ms };
            let reads = LookBacks { windows, gives_times: self.gives_times };
            self.leaf.fill_rows(view, &reads, &mut self.space, out)?;
        }
        let Some(drop) = &mut self.drop else { return Ok(selection.era()) };
        let era = drop.follow(scope.renames(view.naming), selection.era(), out.rows.len());
        if drop.may_collide() {
            let reader = view.reader();
            self.collided.start();
            for row in &mut out.rows {
                *row = drop.slot(*row, || reader.labels(selection.series(*row)).ok_or(Stop))?;
                if !self.collided.mark(*row) {
                    return Err(Stop);
                }
            }
        }
        out.order_by_first_step();
        Ok(era)
    }

    /// The last samples at one instant.
    fn look_back(&mut self, view: &View<'_>, end: Timestamp, out: &mut Block) -> Result<(), Stop> {
        let lookback_ms = view.scope.lookback_ms;
        let start = end.plus_ms(-lookback_ms);
        let gives_times = self.gives_times;
        self.leaf.for_each(view, (Weight::Light, end), (&mut self.space, out), |reader, member, _, out| {
            let Member { slot, series, uncommitted, through } = member;
            let until = end.min(through).max(start);
            let mut point = reader.instant(series, until, until.ms_since(start));
            if let Some(uncommitted) = uncommitted {
                point = on_top(point, uncommitted, reader.newest(series), (start, end))?;
            }
            match point {
                Point::Float(at, value) => {
                    out.push(slot, if gives_times { at.as_secs_f64() } else { value });
                    Ok(Found::Something)
                }
                Point::Absent => Ok(nothing(reader, series, start, end)),
                Point::Histogram => Err(Stop),
            }
        })
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
struct LookBacks {
    windows: WindowGrid,
    /// Whether the results are the times of the samples.
    gives_times: bool,
}

impl LookBacks {
    fn value(&self, at: Timestamp, value: f64) -> f64 {
        if self.gives_times { at.as_secs_f64() } else { value }
    }
}

impl ReadSteps for LookBacks {
    /// The last samples of a series before each step.
    fn read(&self, hold: &mut Hold<'_, '_>, member: Member, space: &mut Space, row: &mut [f64]) -> Result<Found, Stop> {
        let reader = hold.reader();
        let Member { series, uncommitted, through, .. } = member;
        let LookBacks { windows, .. } = self;
        let (start, end) = (windows.start(0), windows.last_end());
        if windows.is_apart() && uncommitted.is_none() {
            let mut found = Found::Nothing;
            for (index, place) in row.iter_mut().enumerate() {
                let start = windows.start(index);
                let until = windows.end(index).min(through).max(start);
                match reader.instant(series, until, until.ms_since(start)) {
                    Point::Float(at, value) => {
                        *place = self.value(at, value);
                        found = Found::Something;
                    }
                    Point::Absent => {}
                    Point::Histogram => return Err(Stop),
                }
            }
            return Ok(found);
        }
        let window = &mut space.stepping.window;
        reader.samples(series, start, end.min(through), window);
        if window.has_histograms {
            return Err(Stop);
        }
        if let Some((at, value)) = uncommitted.filter(|(at, _)| *at > start && *at <= end) {
            if reader.newest(series).is_some_and(|newest| newest >= at) {
                return Err(Stop);
            }
            window.at.push(at);
            window.values.push(value);
        }
        space.work += window.at.len();
        if window.at.is_empty() {
            return Ok(nothing(reader, series, start, end));
        }
        let (mut seen, mut found) = (0, Found::Nothing);
        for (index, place) in row.iter_mut().enumerate() {
            let (start, end) = (windows.start(index), windows.end(index));
            while window.at.get(seen).is_some_and(|at| *at <= end) {
                seen += 1;
            }
            let newest = seen.checked_sub(1).map(|index| (window.at[index], window.values[index]));
            if let Some((at, value)) = newest.filter(|(at, value)| *at > start && !crate::model::is_stale(*value)) {
                *place = self.value(at, value);
                found = Found::Something;
            }
        }
        Ok(found)
    }
}
