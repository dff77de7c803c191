//! The store itself: symbols, postings and series under one lock.
//!
//! **Why one lock.** A batch must become visible at once, and a batch touches nearly every series of its target: finer locks
//! would all be taken anyway. A commit holds it for some tens of nanoseconds a row. A select holds it (shared) while it looks up
//! series and takes their chunks by reference; it decodes after releasing it, so that a long query does not hold up a scrape.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicI64};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::cardinality::{self, Cardinality};
use super::changes::{Change, ChangeKind, ChangeLog, NameHash, PairBits, Touched};
use super::chunk::Columns;
use super::demand::DemandIndex;
use super::late::{Amendment, Amendments, BEHIND_MS};
use super::limits::Denials;
use super::lookup::{TimedFloat, Windowed};
use super::moments::{Moments, Trend};
use super::open::Company;
use super::persist::{BadPiece, CommitLog, Piece, StartList};
use super::postings::Postings;
use super::retention::Classes;
use super::selection::{Edges, Point, Window};
use super::series::{Appended, Held, StoredSeries};
use super::stepping::{Shown, Stepping, Untold, WindowGrid};
use super::summary::{Extremes, Summary, Sums, Transitions};
use super::symbols::{Pair, Symbol, Symbols};
use super::{Committed, Lateness, Limits, Refusal, Row, SeriesRef, Stats};
use crate::model::{Labels, Matcher, Series, Timestamp, Value};

/// Rows whose series' ways to memory overlap: see [`Reader::warm`].
const WARMED_ROWS: usize = 32;

/// How a store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// How long samples are kept that nothing reads for longer; see [`Store::expire`].
    pub retention: Duration,
}

/// Samples in memory. See the [module](super).
pub struct Store {
    /// See [`Store::set_late_window`]; in milliseconds.
    late_window_ms: AtomicI64,
    pub(super) head: RwLock<Head>,
    pub(super) denials: Mutex<Denials>,
    /// Held while demand changes or series expire: one after the other.
    pub(super) upkeep: Mutex<()>,
    /// Held during each commit, so that records have the order of commits.
    pub(super) log: Mutex<Option<CommitLog>>,
}

#[derive(Default)]
pub(super) struct Head {
    pub(super) symbols: Symbols,
    pub(super) postings: Postings,
    pub(super) slots: Vec<Slot>,
    /// Slots whose series is gone.
    free: Vec<u32>,
    /// Keyed by numbers of our own, so a fast hash without a key is safe.
    by_labels: FxHashMap<Arc<[Pair]>, u32>,
    /// What reads which series.
    pub(super) demands: DemandIndex,
    /// Samples before the floor of their series' class are gone, even where their chunk is still there.
    pub(super) classes: Classes,
    pub(super) limits: Limits,
    /// No sample is older.
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    pub(super) held: Held,
    /// Labels of all series.
    pub(super) pairs: u64,
    /// Bytes of summaries when they were last added up.
    pub(super) summary_bytes: u64,
    /// Counts commits and truncations.
    epoch: u64,
    /// The epoch of the last truncation or restoration, which change what was at any time.
    truncated: u64,
    changes: ChangeLog,
    touched: Touched,
    touched_by_name: FxHashMap<NameHash, Touched>,
    /// Slots of series with late samples that are not merged yet, and of some without.
    pub(super) late: RoaringBitmap,
    amendments: Amendments,
    counts: Counts,
}

/// What commits have done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With numbers.
    pub floats: OrderCounts,
    /// With native histograms.
    pub histograms: OrderCounts,
}

/// How samples stand to those before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// Samples stored that were older than the newest of their series.
    pub late: u64,
    /// Refused: older than the newest of their series, where late ones are not taken.
    pub out_of_order: u64,
    /// Refused: so too, and older than the window for late ones.
    pub too_late: u64,
    /// Refused: before the retention time.
    pub too_old: u64,
}

/// A shared look at the store, for prepared selections: see [`Selection`](super::Selection). It holds the store's lock.
pub struct Reader<'a> {
    head: RwLockReadGuard<'a, Head>,
}

#[derive(Default)]
pub(super) struct Slot {
    /// Counts the series that have lived here, so that the handle of an earlier one is recognised.
    generation: u32,
    pub(super) series: Option<Box<StoredSeries>>,
}

impl Store {
    /// An empty store.
    pub fn new(options: StoreOptions) -> Self {
        let head = Head { classes: Classes::new(options.retention), ..Head::default() };
        Store {
            late_window_ms: AtomicI64::new(0),
            head: RwLock::new(head),
            denials: Mutex::default(),
            upkeep: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// How much older than the store's newest sample a sample may be that is older than the newest of its series, for commits that
    /// take late samples. Zero, as at first: none are taken.
    pub fn set_late_window(&self, window: Duration) {
        let ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        self.late_window_ms.store(ms, atomic::Ordering::Relaxed);
    }

    /// The handle of the series with these labels, which is created if there is none.
    pub fn series_ref(&self, labels: &Labels) -> SeriesRef {
        let known = self.head.read().find(labels);
        known.unwrap_or_else(|| self.head.write().find_or_create(labels))
    }

    /// The handle of the series with these labels, if there is one.
    pub fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.head.read().find(labels)
    }

    /// Stores a batch of samples that are newer than those before them. Readers see all of it or nothing.
    pub fn commit(&self, rows: &[Row]) -> Committed {
        self.commit_late(rows, Lateness::Refused)
    }

    /// As [`Store::commit`], with samples that may be older than the newest of their series.
    pub fn commit_late(&self, rows: &[Row], lateness: Lateness) -> Committed {
        let mut committed = Committed::default();
        let mut log = self.log.lock();
        let mut head = self.head.write();
        head.epoch += 1;
        let mut noted = None;
        let mut company = Company::default();
        // Measured from what was there before, as Prometheus does.
        let oldest = match lateness {
            Lateness::Refused => None,
            Lateness::Samples | Lateness::All => head.newest.and_then(|newest| self.oldest_late(newest)),
            Lateness::Unbounded => Some(Timestamp::MIN),
        };
        for (index, row) in rows.iter().enumerate() {
            if index.is_multiple_of(WARMED_ROWS) {
                let soon = &rows[index..rows.len().min(index + WARMED_ROWS)];
                head.warm(soon.iter().map(|row| row.series));
            }
            let is_taken = lateness != Lateness::Samples || !row.value.is_stale();
            let before = index.checked_sub(1).map(|index| &rows[index]);
            company.is_there = before.into_iter().chain(rows.get(index + 1)).any(|other| other.at == row.at);
            match head.append(row, oldest.filter(|_| is_taken), &mut company) {
                Ok(Some(name)) => {
                    committed.appended += 1;
                    // Rows of a scrape mostly have the name and the time of the row before.
                    if noted != Some((name, row.at)) {
                        head.touch(name, row.at);
                        noted = Some((name, row.at));
                    }
                }
                Ok(None) => {}
                Err(refusal) => {
                    head.counts.of(&row.value).note(refusal);
                    committed.refused.push((index, refusal));
                }
            }
        }
        // Readers need not wait for the disk.
        drop(head);
        if let Some(log) = &mut *log {
            log(self, rows, &committed);
        }
        committed
    }

    /// Whether one of these samples would be [`Refusal::TooLate`], which counts as refused then: for batches of which all is stored or
    /// nothing.
    pub fn has_too_late(&self, rows: &[Row]) -> bool {
        let mut refused = None;
        {
            let head = self.head.read();
            if let Some(oldest) = head.newest.and_then(|newest| self.oldest_late(newest)) {
                let last = |row: &Row| head.series(row.series)?.last();
                let is_late = |row: &&Row| row.at < oldest && last(row).is_some_and(|last| row.at < last);
                refused = rows.iter().find(|row| is_late(row) && !row.value.is_stale());
            }
        }
        if let Some(row) = refused {
            self.head.write().counts.of(&row.value).note(Refusal::TooLate);
        }
        refused.is_some()
    }

    /// The oldest time of a late sample when `newest` is the store's newest; `None` if none is taken.
    fn oldest_late(&self, newest: Timestamp) -> Option<Timestamp> {
        let window_ms = self.late_window_ms.load(atomic::Ordering::Relaxed);
        (window_ms > 0).then(|| Timestamp::from_ms(newest.as_ms().saturating_sub(window_ms)))
    }

    /// The series that pass all `matchers` and have a sample in `start..=end`, with those samples, staleness markers included, in
    /// order of label set.
    pub fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Series> {
        let taken: Vec<_> = {
            let head = self.head.read();
            let take = |series: &StoredSeries| {
                let start = head.shown_from(series, start);
                Some((head.symbols.materialise(&series.labels), start, series.take(start, end)?))
            };
            head.matching(matchers).filter_map(take).collect()
        };
        let decoded = taken.into_iter().map(|(labels, start, taken)| taken.into_series(labels, start, end));
        let mut selected: Vec<Series> = decoded.filter(|series| !series.samples.is_empty()).collect();
        selected.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        selected
    }

    /// The label sets of the series that pass all `matchers` and have a run of samples that overlaps `start..=end`, in order.
    /// A run is at most 120 samples without regard to gaps, so a series may be listed that paused in the range.
    pub fn series(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Labels> {
        let head = self.head.read();
        let overlapping = head.matching(matchers).filter(|series| series.overlaps(head.shown_from(series, start), end));
        let mut found: Vec<Labels> = overlapping.map(|series| head.symbols.materialise(&series.labels)).collect();
        drop(head);
        found.sort_unstable();
        found
    }

    /// All label names, in order.
    pub fn label_names(&self) -> Vec<Arc<str>> {
        let head = self.head.read();
        sorted(head.postings.names().map(|name| head.symbols.text(name).clone()))
    }

    /// All values of the label `name`, in order.
    pub fn label_values(&self, name: &str) -> Vec<Arc<str>> {
        let head = self.head.read();
        let Some(name) = head.symbols.get(name) else { return Vec::new() };
        sorted(head.postings.values(name).map(|(value, _)| head.symbols.text(value).clone()))
    }

    /// A look at the store that lasts as long as the reader: see [`Reader`].
    pub fn reader(&self) -> Reader<'_> {
        Reader { head: self.head.read() }
    }

    /// The late samples since the last call with this `cursor`, which begins at 0, in the order in which they came. `None`: there were more
    /// than are remembered, and whatever was computed from older samples may be different now.
    pub fn amendments(&self, cursor: &mut u64) -> Option<Vec<Amendment>> {
        self.head.read().amendments.since(cursor)
    }

    /// What commits have done since the start.
    pub fn counts(&self) -> Counts {
        self.head.read().counts
    }

    /// For looking at one series.
    #[cfg(test)]
    pub(super) fn with_series<T>(&self, series: SeriesRef, look: impl FnOnce(&StoredSeries) -> T) -> T {
        look(self.head.read().at(series.0 as u32))
    }

    /// No sample before this is shown any more; `None` before the first [`Store::truncate`] or [`Store::expire`].
    pub fn floor(&self) -> Option<Timestamp> {
        self.head.read().classes.lowest_floor()
    }

    /// How much is held.
    pub fn stats(&self) -> Stats {
        let head = self.head.read();
        Stats {
            series: head.postings.len(),
            samples: head.held.samples,
            chunks: head.held.chunks,
            bytes: head.held.bytes,
            oldest: head.oldest,
            newest: head.newest,
        }
    }

    /// Where the series come from: the `limit` largest of each count.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let head = self.head.read();
        cardinality::count(&head.symbols, &head.postings, limit)
    }
}

impl Counts {
    fn of(&mut self, value: &Value) -> &mut OrderCounts {
        match value {
            Value::Float(_) => &mut self.floats,
            Value::Histogram(_) => &mut self.histograms,
        }
    }
}

impl OrderCounts {
    fn note(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::OutOfOrder => self.out_of_order += 1,
            Refusal::TooLate => self.too_late += 1,
            Refusal::TooOld => self.too_old += 1,
            Refusal::Duplicate | Refusal::Gone => {}
        }
    }
}

impl Head {
    pub(super) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        let slot = *self.by_labels.get(&*self.symbols.find(labels)?)?;
        Some(self.handle(slot))
    }

    pub(super) fn find_or_create(&mut self, labels: &Labels) -> SeriesRef {
        // Another thread may have been faster.
        if let Some(found) = self.find(labels) {
            return found;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("BUG: more than 2^32 series")
        });
        let pairs = self.symbols.acquire(labels);
        self.postings.insert(slot, &pairs);
        self.by_labels.insert(pairs.clone(), slot);
        let (name, bits) = (NameHash::of_labels(labels), PairBits::of_labels(labels));
        self.pairs += pairs.len() as u64;
        let class = self.classes.enter(self.demands.keep(labels));
        self.slots[slot as usize].series = Some(Box::new(StoredSeries::new(pairs, name, bits, class)));
        let series = self.handle(slot);
        self.changes.push(Change { series, name, pairs: bits, kind: ChangeKind::Born });
        series
    }

    /// Generation in the upper half, slot in the lower.
    pub(super) fn handle(&self, slot: u32) -> SeriesRef {
        SeriesRef(u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot))
    }

    /// The metric name of a series that has a new sample; `None` if the sample was there already. One that is older than the newest of
    /// its series is taken if it is not older than `oldest`.
    fn append(
        &mut self,
        row: &Row,
        oldest: Option<Timestamp>,
        company: &mut Company,
    ) -> Result<Option<NameHash>, Refusal> {
        let Some(slot) = self.slots.get_mut(row.series.slot()) else { return Err(Refusal::Gone) };
        let is_it = slot.generation == row.series.generation();
        let series = slot.series.as_mut().filter(|_| is_it).ok_or(Refusal::Gone)?;
        if self.classes.floor(series.class).is_some_and(|floor| row.at < floor) {
            return Err(Refusal::TooOld);
        }
        let newest = self.newest.max(Some(row.at));
        let slept = series.sleeps(newest.unwrap_or(row.at));
        let appended = series.append(row, oldest, (&mut self.held, company))?;
        let (name, pairs) = (series.name, series.pairs);
        match appended {
            Appended::Known => return Ok(None),
            Appended::Newest => {
                let is_behind = |newest: Timestamp| newest.ms_since(row.at) > BEHIND_MS;
                if oldest.is_some_and(|oldest| row.at >= oldest) && newest.is_some_and(is_behind) {
                    self.amendments.push(Amendment { series: row.series, at: row.at });
                }
            }
            Appended::Late => {
                self.late.insert(row.series.0 as u32);
                self.amendments.push(Amendment { series: row.series, at: row.at });
                self.counts.of(&row.value).late += 1;
            }
        }
        // Also by a late sample: it may lie in a window that was empty.
        if slept {
            self.changes.push(Change { series: row.series, name, pairs, kind: ChangeKind::Woken });
        }
        self.oldest = Some(self.oldest.map_or(row.at, |oldest| oldest.min(row.at)));
        self.newest = newest;
        Ok(Some(name))
    }

    /// Notes a sample of this commit for those who remember results.
    fn touch(&mut self, name: NameHash, at: Timestamp) {
        self.touched.note(self.epoch, at);
        self.touched_by_name.entry(name).or_default().note(self.epoch, at);
    }

    pub(super) fn settle(&mut self, slots: &[u32]) {
        for slot in slots {
            if let Some(series) = &mut self.slots[*slot as usize].series {
                series.settle(&mut self.held);
            }
        }
    }

    pub(super) fn series_mut(&mut self, series: SeriesRef) -> Option<&mut StoredSeries> {
        let slot = self.slots.get_mut(series.slot())?;
        slot.series.as_deref_mut().filter(|_| slot.generation == series.generation())
    }

    fn series(&self, series: SeriesRef) -> Option<&StoredSeries> {
        let slot = self.slots.get(series.0 as u32 as usize)?;
        slot.series.as_deref().filter(|_| slot.generation == (series.0 >> 32) as u32)
    }

    /// See [`Reader::warm`].
    fn warm(&self, series: impl Iterator<Item = SeriesRef> + Clone) {
        let found = series.filter_map(|series| self.series(series));
        let heads = found.clone().map(StoredSeries::look_at_head).fold(0, usize::wrapping_add);
        let ends = found.map(StoredSeries::look_at_ends).fold(0, u64::wrapping_add);
        std::hint::black_box((heads, ends));
    }

    /// Whatever was read before may be different now.
    pub(super) fn forget_reads(&mut self) {
        self.epoch += 1;
        self.truncated = self.epoch;
    }

    /// Puts sealed samples back. Those that are newer than what is sealed here take the place of the open run, which holds their
    /// beginning.
    pub(super) fn restore(
        &mut self,
        series: SeriesRef,
        piece: &Piece,
        starts: StartList<'_>,
        space: &mut Columns,
    ) -> Result<(), BadPiece> {
        let stored = self.slots[series.slot()].series.as_mut().expect("BUG: a new series is gone");
        stored.settle(&mut self.held);
        if let Some(run) = piece.unread()?
            && stored.takes_sealed(run.span.first)
            && stored.open.first().is_none_or(|open| open >= run.span.first)
        {
            let span = run.span;
            stored.restore_unread(&run, starts, &mut self.held);
            self.oldest = Some(self.oldest.map_or(span.first, |oldest| oldest.min(span.first)));
            self.newest = self.newest.max(Some(span.last));
            return Ok(());
        }
        let samples = piece.samples(space)?;
        let (first, last) = samples.span();
        if stored.takes_sealed(first) {
            stored.restore(piece, &samples, starts, &mut self.held);
            self.oldest = Some(self.oldest.map_or(first, |oldest| oldest.min(first)));
            self.newest = self.newest.max(Some(last));
        } else {
            // It overlaps what is there, and may bring late samples: only what is missing is taken, one by one.
            self.append_all(series, piece, starts, space)?;
        }
        Ok(())
    }

    /// Appends the samples of `piece` that are not there yet.
    pub(super) fn append_all(
        &mut self,
        series: SeriesRef,
        piece: &Piece,
        starts: StartList<'_>,
        space: &mut Columns,
    ) -> Result<(), BadPiece> {
        let mut alone = Company::default();
        for (at, value) in piece.samples(space)?.iter() {
            // What is refused is there already.
            let _ = self.append(&Row { series, at, value, start: starts.at(at) }, Some(Timestamp::MIN), &mut alone);
        }
        Ok(())
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = &StoredSeries> {
        self.matching_slots(matchers).into_iter().map(|slot| self.at(slot))
    }

    fn matching_slots(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let value = |slot: u32, name: Symbol| {
            let labels = &self.at(slot).labels;
            labels.iter().find(|pair| pair.name == name).map(|pair| pair.value)
        };
        self.postings.select(matchers, &self.symbols, value)
    }

    pub(super) fn at(&self, slot: u32) -> &StoredSeries {
        self.slots[slot as usize].series.as_ref().expect("BUG: postings name a slot without series")
    }

    /// Whatever was read before may be different now, and nothing older is asked for any more.
    pub(super) fn forget_touched(&mut self) {
        self.forget_reads();
        self.touched_by_name.clear();
    }

    /// Frees what the series of a slot has before its floor, and the series itself once it has nothing left.
    pub(super) fn truncate_slot(&mut self, index: u32) {
        let Some(series) = &mut self.slots[index as usize].series else { return };
        let Some(floor) = self.classes.floor(series.class) else { return };
        series.truncate(floor, &mut self.held);
        if series.last().is_none() {
            self.remove(index);
        }
    }

    /// Removes the series of a slot, whatever it holds.
    pub(super) fn remove(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let series = slot.series.take().expect("BUG: a slot without series is emptied");
        let gone = SeriesRef(u64::from(slot.generation) << 32 | u64::from(index));
        slot.generation = slot.generation.wrapping_add(1);
        self.held -= series.held();
        self.by_labels.remove(&series.labels);
        self.postings.remove(index, &series.labels);
        self.symbols.release(&series.labels);
        self.pairs -= series.labels.len() as u64;
        self.classes.leave(series.class);
        self.free.push(index);
        let (name, pairs) = (series.name, series.pairs);
        self.changes.push(Change { series: gone, name, pairs, kind: ChangeKind::Gone });
    }

    /// Notes that nothing is older than the lowest floor.
    pub(super) fn raise_oldest(&mut self) {
        let floor = self.classes.lowest_floor();
        self.oldest = self.oldest.map(|oldest| floor.map_or(oldest, |floor| oldest.max(floor)));
        self.oldest = self.oldest.filter(|_| self.held.samples > 0);
    }

    /// The start of a range of `series` that shows nothing that retention has removed.
    fn shown_from(&self, series: &StoredSeries, start: Timestamp) -> Timestamp {
        self.classes.floor(series.class).map_or(start, |floor| floor.max(start))
    }

    /// The same for a range that is open on the left.
    fn after_floor(&self, series: &StoredSeries, start: Timestamp) -> Timestamp {
        self.classes.floor(series.class).map_or(start, |floor| start.max(floor.plus_ms(-1)))
    }

    fn shown(&self, series: &StoredSeries, through: Timestamp) -> Shown {
        Shown { floor: self.after_floor(series, Timestamp::MIN), through }
    }
}

impl Reader<'_> {
    /// Counts commits and truncations: what was read in one epoch is as it was while the epoch is the same.
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// The labels of `series`, unless retention has removed it.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        Some(self.head.symbols.materialise(&self.head.series(series)?.labels))
    }

    /// The last sample at or before `at` and after `at - lookback_ms`.
    pub fn instant(&self, series: SeriesRef, at: Timestamp, lookback_ms: i64) -> Point {
        let start = at.plus_ms(-lookback_ms);
        self.head
            .series(series)
            .map_or(Point::Absent, |series| series.last_in(self.head.after_floor(series, start), at))
    }

    /// The samples after `start` and not after `end`, in place of what `window` held.
    pub fn window(&self, series: SeriesRef, start: Timestamp, end: Timestamp, window: &mut Window) {
        window.clear();
        if let Some(series) = self.head.series(series) {
            series.read_window(self.head.after_floor(series, start), end, window);
            window.remove_stale();
        }
    }

    /// As [`Reader::window`], with staleness markers of numbers. Those of histograms count as histograms.
    pub fn samples(&self, series: SeriesRef, start: Timestamp, end: Timestamp, window: &mut Window) {
        window.clear();
        if let Some(series) = self.head.series(series) {
            series.read_window(self.head.after_floor(series, start), end, window);
            window.has_histograms |= window.has_histogram_ends;
        }
    }

    /// The time of the newest sample of `series`, a staleness marker included.
    pub fn newest(&self, series: SeriesRef) -> Option<Timestamp> {
        self.head.series(series)?.last()
    }

    /// Fetches what reading these series begins with, some tens of them at most. A reading waits for memory several times, one time after
    /// the other; here the ways of many series overlap.
    pub fn warm(&self, series: impl Iterator<Item = SeriesRef> + Clone) {
        self.head.warm(series);
    }

    /// Whether any series has a label of this name.
    pub fn has_label(&self, name: &str) -> bool {
        self.head.symbols.get(name).is_some_and(|name| self.head.postings.has_name(name))
    }

    /// What `rate`, `increase` and `delta` need of that window; `None` if no number lies in it. `scratch` may be used; whether
    /// histograms lie in the window stands there afterwards.
    pub fn edges(&self, series: SeriesRef, start: Timestamp, end: Timestamp, scratch: &mut Window) -> Option<Edges> {
        scratch.clear();
        let series = self.head.series(series)?;
        series.edges(self.head.after_floor(series, start), end, scratch)
    }

    /// The sum of that window.
    pub fn sums(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<Sums> {
        self.summary(series, start, end)
    }

    /// The least and the greatest value of that window.
    pub fn extremes(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<Extremes> {
        self.summary(series, start, end)
    }

    /// How often values change in that window.
    pub fn transitions(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<Transitions> {
        self.summary(series, start, end)
    }

    /// How much the values of that window scatter.
    pub fn moments(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<Moments> {
        self.summary(series, start, end)
    }

    /// The line through that window.
    pub fn trend(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<Trend> {
        self.summary(series, start, end)
    }

    /// The last two samples of that window, older first; `None` in place of the older if there is only one.
    pub fn last_two(
        &self,
        series: SeriesRef,
        start: Timestamp,
        end: Timestamp,
    ) -> Windowed<(Option<TimedFloat>, TimedFloat)> {
        let last_two = |series: &StoredSeries| series.last_two(self.head.after_floor(series, start), end);
        self.head.series(series).map_or(Windowed::Empty, last_two)
    }

    fn summary<S: Summary>(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> Windowed<S> {
        let summary = |series: &StoredSeries| series.summary(self.head.after_floor(series, start), end);
        self.head.series(series).map_or(Windowed::Empty, summary)
    }

    /// As [`Reader::edges`], of each window of `grid`, with the window's number; samples after `through` are left out.
    pub fn edges_by_step(
        &self,
        (series, through): (SeriesRef, Timestamp),
        grid: &WindowGrid,
        space: &mut Stepping,
        take: impl FnMut(usize, Edges),
    ) -> Result<(), Untold> {
        let Some(series) = self.head.series(series) else { return Ok(()) };
        series.edges_by_step(grid, self.head.shown(series, through), space, take)
    }

    /// As [`Reader::sums`], of each window of `grid`, likewise, with the number of samples.
    pub fn sums_by_step(
        &self,
        (series, through): (SeriesRef, Timestamp),
        grid: &WindowGrid,
        space: &mut Stepping,
        take: impl FnMut(usize, u64, Sums),
    ) -> Result<(), Untold> {
        let Some(series) = self.head.series(series) else { return Ok(()) };
        series.summaries_by_step(grid, self.head.shown(series, through), space, take)
    }

    /// As [`Reader::extremes`], likewise.
    pub fn extremes_by_step(
        &self,
        (series, through): (SeriesRef, Timestamp),
        grid: &WindowGrid,
        space: &mut Stepping,
        take: impl FnMut(usize, u64, Extremes),
    ) -> Result<(), Untold> {
        let Some(series) = self.head.series(series) else { return Ok(()) };
        series.summaries_by_step(grid, self.head.shown(series, through), space, take)
    }

    /// As [`Reader::transitions`], likewise.
    pub fn transitions_by_step(
        &self,
        (series, through): (SeriesRef, Timestamp),
        grid: &WindowGrid,
        space: &mut Stepping,
        take: impl FnMut(usize, u64, Transitions),
    ) -> Result<(), Untold> {
        let Some(series) = self.head.series(series) else { return Ok(()) };
        series.summaries_by_step(grid, self.head.shown(series, through), space, take)
    }

    /// Reads the samples of all windows of `grid`, up to `through`, in place of what the columns held.
    pub fn columns(
        &self,
        series: SeriesRef,
        grid: &WindowGrid,
        through: Timestamp,
        space: &mut Stepping,
    ) -> Result<(), Untold> {
        space.window.clear();
        let Some(series) = self.head.series(series) else { return Ok(()) };
        series.read_columns(grid, self.head.shown(series, through), space)
    }

    /// Whether any sample of `series` says since when it has counted.
    pub fn has_start_times(&self, series: SeriesRef) -> bool {
        self.head.series(series).is_some_and(StoredSeries::has_start_times)
    }

    /// Whether an empty window or look-back from `start` to `end` stays empty, for later windows too, until the series wakes up
    /// (see [`Selection::since`](super::Selection::since)).
    pub fn sleeps(&self, series: SeriesRef, start: Timestamp, end: Timestamp) -> bool {
        let Some(series) = self.head.series(series) else { return true };
        let newest = self.head.newest.unwrap_or(Timestamp::MIN);
        series.last().is_none_or(|last| last <= if series.has_ended() { end } else { start }) && series.sleeps(newest)
    }

    pub(super) fn change_log(&self) -> &ChangeLog {
        &self.head.changes
    }

    pub(super) fn is_unchanged(&self, name: Option<NameHash>, since: u64, through: Timestamp) -> bool {
        let head = &*self.head;
        if since < head.truncated {
            return false;
        }
        match name {
            None => head.touched.is_unchanged(since, through),
            Some(name) => head.touched_by_name.get(&name).is_none_or(|touched| touched.is_unchanged(since, through)),
        }
    }

    /// Whether `series` is there and passes all `matchers`.
    pub(super) fn passes(&self, series: SeriesRef, matchers: &[Matcher]) -> bool {
        let Some(series) = self.head.series(series) else { return false };
        matchers.iter().all(|matcher| {
            let name = self.head.symbols.get(&matcher.name);
            let pair = name.and_then(|name| series.labels.iter().find(|pair| pair.name == name));
            matcher.matches(pair.map_or("", |pair| self.head.symbols.text(pair.value)))
        })
    }

    /// The series that pass all `matchers`.
    pub(super) fn select(&self, matchers: &[Matcher]) -> Vec<SeriesRef> {
        self.head.matching_slots(matchers).into_iter().map(|slot| self.head.handle(slot)).collect()
    }

    /// The order of two series' label sets.
    ///
    /// # Panics
    /// If one of them is gone.
    pub(super) fn compare(&self, a: SeriesRef, b: SeriesRef) -> Ordering {
        let pairs = |series| &self.head.series(series).expect("BUG: a series that is gone is compared").labels;
        let texts = |pair: &Pair| [pair.name, pair.value].map(|symbol| &**self.head.symbols.text(symbol));
        let (a, b) = (pairs(a), pairs(b));
        let differing = a.iter().zip(b.iter()).find(|(a, b)| a != b);
        differing.map_or_else(|| a.len().cmp(&b.len()), |(a, b)| texts(a).cmp(&texts(b)))
    }
}

fn sorted(texts: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut texts: Vec<Arc<str>> = texts.collect();
    texts.sort_unstable();
    texts
}
