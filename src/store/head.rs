//! The store itself: symbols, postings and series under one lock.
//!
//! **Why one lock.** A batch must become visible at once, and a batch touches nearly every series of its target: finer locks
//! would all be taken anyway. A commit holds it for some tens of nanoseconds a row. A select holds it (shared) while it looks up
//! series and takes their chunks by reference; it decodes after releasing it, so that a long query does not hold up a scrape.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::cardinality::{self, Cardinality};
use super::postings::Postings;
use super::series::{Held, StoredSeries};
use super::symbols::{Pair, Symbol, Symbols};
use super::{Committed, Refusal, Row, SeriesRef, Stats};
use crate::model::{Labels, Matcher, Series, Timestamp};

/// How a store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// How long samples are kept; see [`Store::expire`].
    pub retention: Duration,
}

/// Samples in memory. See the [module](super).
pub struct Store {
    options: StoreOptions,
    head: RwLock<Head>,
}

#[derive(Default)]
struct Head {
    symbols: Symbols,
    postings: Postings,
    slots: Vec<Slot>,
    /// Slots whose series is gone.
    free: Vec<u32>,
    /// Keyed by numbers of our own, so a fast hash without a key is safe.
    by_labels: FxHashMap<Arc<[Pair]>, u32>,
    /// Samples before this are gone, even where their chunk is still there.
    floor: Option<Timestamp>,
    /// No sample is older.
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    held: Held,
}

#[derive(Default)]
struct Slot {
    /// Counts the series that have lived here, so that the handle of an earlier one is recognised.
    generation: u32,
    series: Option<Box<StoredSeries>>,
}

impl Store {
    /// An empty store.
    pub fn new(options: StoreOptions) -> Self {
        Store { options, head: RwLock::default() }
    }

    /// The handle of the series with these labels, which is created if there is none.
    pub fn series_ref(&self, labels: &Labels) -> SeriesRef {
        let known = self.head.read().find(labels);
        known.unwrap_or_else(|| self.head.write().find_or_create(labels))
    }

    /// Stores a batch. Readers see all of it or nothing.
    pub fn commit(&self, rows: &[Row]) -> Committed {
        let mut committed = Committed::default();
        let mut head = self.head.write();
        for (index, row) in rows.iter().enumerate() {
            match head.append(row) {
                Ok(is_new) => committed.appended += usize::from(is_new),
                Err(refusal) => committed.refused.push((index, refusal)),
            }
        }
        committed
    }

    /// The series that pass all `matchers` and have a sample in `start..=end`, with those samples, staleness markers included, in
    /// order of label set.
    pub fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Series> {
        let (taken, start) = {
            let head = self.head.read();
            let start = head.floor.map_or(start, |floor| floor.max(start));
            let take =
                |series: &StoredSeries| Some((head.symbols.materialise(&series.labels), series.take(start, end)?));
            (head.matching(matchers).filter_map(take).collect::<Vec<_>>(), start)
        };
        let decoded = taken.into_iter().map(|(labels, taken)| taken.into_series(labels, start, end));
        let mut selected: Vec<Series> = decoded.filter(|series| !series.samples.is_empty()).collect();
        selected.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        selected
    }

    /// The label sets of the series that pass all `matchers` and have a run of samples that overlaps `start..=end`, in order.
    /// A run is at most 120 samples without regard to gaps, so a series may be listed that paused in the range.
    pub fn series(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Labels> {
        let head = self.head.read();
        let start = head.floor.map_or(start, |floor| floor.max(start));
        let overlapping = head.matching(matchers).filter(|series| series.overlaps(start, end));
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

    /// Removes the samples before `before`, and series without samples together with their index entries and texts. A handle of
    /// such a series is [`Refusal::Gone`] from now on, and a sample before `before` is [`Refusal::TooOld`].
    pub fn truncate(&self, before: Timestamp) {
        self.head.write().truncate(before);
    }

    /// [`Store::truncate`] to the retention time, as seen at `now`.
    pub fn expire(&self, now: Timestamp) {
        self.truncate(now - self.options.retention);
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

impl Head {
    fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        let slot = *self.by_labels.get(&*self.symbols.find(labels)?)?;
        Some(self.handle(slot))
    }

    fn find_or_create(&mut self, labels: &Labels) -> SeriesRef {
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
        self.slots[slot as usize].series = Some(Box::new(StoredSeries::new(pairs)));
        self.handle(slot)
    }

    /// Generation in the upper half, slot in the lower.
    fn handle(&self, slot: u32) -> SeriesRef {
        SeriesRef(u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot))
    }

    fn append(&mut self, row: &Row) -> Result<bool, Refusal> {
        let generation = (row.series.0 >> 32) as u32;
        let slot = self.slots.get_mut(row.series.0 as u32 as usize).filter(|slot| slot.generation == generation);
        let series = slot.and_then(|slot| slot.series.as_mut()).ok_or(Refusal::Gone)?;
        if self.floor.is_some_and(|floor| row.at < floor) {
            return Err(Refusal::TooOld);
        }
        let is_new = series.append(row, &mut self.held)?;
        self.oldest = Some(self.oldest.map_or(row.at, |oldest| oldest.min(row.at)));
        self.newest = self.newest.max(Some(row.at));
        Ok(is_new)
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = &StoredSeries> {
        let value = |slot: u32, name: Symbol| {
            let labels = &self.at(slot).labels;
            labels.iter().find(|pair| pair.name == name).map(|pair| pair.value)
        };
        let slots: RoaringBitmap = self.postings.select(matchers, &self.symbols, value);
        slots.into_iter().map(|slot| self.at(slot))
    }

    fn at(&self, slot: u32) -> &StoredSeries {
        self.slots[slot as usize].series.as_ref().expect("BUG: postings name a slot without series")
    }

    fn truncate(&mut self, before: Timestamp) {
        self.floor = self.floor.max(Some(before));
        for (index, slot) in (0..).zip(&mut self.slots) {
            let Some(series) = &mut slot.series else { continue };
            series.truncate(before, &mut self.held);
            if series.last().is_none() {
                self.by_labels.remove(&series.labels);
                self.postings.remove(index, &series.labels);
                self.symbols.release(&series.labels);
                self.free.push(index);
                slot.series = None;
                slot.generation = slot.generation.wrapping_add(1);
            }
        }
        self.oldest = self.oldest.map(|oldest| oldest.max(before)).filter(|_| self.held.samples > 0);
    }
}

fn sorted(texts: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut texts: Vec<Arc<str>> = texts.collect();
    texts.sort_unstable();
    texts
}
