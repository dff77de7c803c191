//! Prepared selections: matchers resolved once, members kept in numbered slots.
//!
//! In the flow: a prepared plan holds one [`Selection`] per set of matchers. Before it evaluates it takes a [`Reader`], brings
//! the selection up to date with [`Selection::refresh`], and then reads each member by its [`SeriesRef`].
//!
//! ```text
//! Store::prepare(matchers) ──► Selection ── refresh(&reader) ──► what changed since the last time
//!                                 │ order(): slots by label set       (cost: the changes, not the series)
//!                                 ▼ series(slot)
//! Store::reader() ───────────► Reader ──┬─ instant(series, at, lookback)     the last sample
//!                                       ├─ window(series, start, end, …)     columns of a window
//!                                       ├─ edges(series, start, end, …)      what rate, increase and delta need
//!                                       ├─ samples(series, start, end, …)    the same with staleness markers
//!                                       ├─ edges_by_step(series, grid, …)    the same of all windows of a grid
//!                                       └─ labels(series), sleeps(…), …
//! ```
//!
//! **Invariants.** A slot keeps its series as long as [`Selection::era`] stays the same; it is not given to another one. Slots
//! of removed series stay empty until there are many: then all slots are numbered anew, in a new era.
//! Look-back and windows are open on the left and closed on the right, in milliseconds, as PromQL has them. Staleness markers
//! are not in windows.
//! **Cost.** A reader holds the store's lock, shared: keep it for one pass over the members, not longer. No reading allocates
//! but for growing [`Window`]s.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::SeriesRef;
use super::changes::{Change, ChangeKind, NameHash, PairBits};
use super::head::{Reader, Store};
use crate::model::{Histogram, METRIC_NAME, MatchOp, Matcher, Timestamp};

/// Empty slots are tolerated up to this number and as many as there are series.
const EMPTY_SLOTS_MIN: usize = 1024;

/// The series that pass some matchers, each in a slot of its own.
pub struct Selection {
    matchers: Vec<Matcher>,
    /// Of the metric name, where the matchers ask for one.
    name: Option<NameHash>,
    /// Of what each of them has.
    pairs: PairBits,
    /// The number of the next entry of the change log to read; `None` before the first refresh.
    cursor: Option<u64>,
    era: u64,
    version: u64,
    /// By slot.
    members: Vec<Option<Member>>,
    by_series: FxHashMap<SeriesRef, u32>,
    order: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Member {
    series: SeriesRef,
    /// The version in which it came or woke up.
    since: u64,
}

/// What a refresh found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Series that came.
    pub added: usize,
    /// Series that went.
    pub removed: usize,
    /// Series that had ended or paused, and go on.
    pub woken: usize,
}

/// Columns of a window, reused from read to read.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// When, strictly increasing.
    pub at: Vec<Timestamp>,
    /// As long as `at`.
    pub values: Vec<f64>,
    /// Whether histograms lie in the window too; they are not in the columns.
    pub has_histograms: bool,
    /// Whether staleness markers of histograms lie in it.
    pub has_histogram_ends: bool,
}

impl Window {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.at.clear();
        self.values.clear();
        self.has_histograms = false;
        self.has_histogram_ends = false;
    }

    /// The samples in `inside`, with times in milliseconds.
    pub(super) fn samples(
        &self,
        inside: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (i64, f64)> + ExactSizeIterator + '_ {
        let times = self.at[inside.clone()].iter().map(|at| at.as_ms());
        times.zip(self.values[inside].iter().copied())
    }

    /// Says which kinds of `samples` lie after `start` and not after `end`.
    pub(super) fn note_histograms(
        &mut self,
        samples: &[(Timestamp, Arc<Histogram>)],
        start: Timestamp,
        end: Timestamp,
    ) {
        for (_, histogram) in samples.iter().filter(|(at, _)| *at > start && *at <= end) {
            let is_end = crate::model::is_stale(histogram.sum);
            self.has_histogram_ends |= is_end;
            self.has_histograms |= !is_end;
        }
    }

    pub(super) fn push(&mut self, at: Timestamp, value: f64) {
        self.at.push(at);
        self.values.push(value);
    }

    pub(super) fn remove_stale(&mut self) {
        if !self.values.iter().any(|value| crate::model::is_stale(*value)) {
            return;
        }
        let mut kept = 0;
        for index in 0..self.values.len() {
            if !crate::model::is_stale(self.values[index]) {
                (self.at[kept], self.values[kept]) = (self.at[index], self.values[index]);
                kept += 1;
            }
        }
        self.at.truncate(kept);
        self.values.truncate(kept);
    }
}

/// The last sample of a look-back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// None, or a staleness marker.
    Absent,
    /// A number.
    Float(Timestamp, f64),
    /// A native histogram.
    Histogram,
}

/// What the rate of a window of numbers depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edges {
    /// Samples in the window; at least 1.
    pub count: usize,
    /// The first sample.
    pub first: (Timestamp, f64),
    /// The last sample.
    pub last: (Timestamp, f64),
    /// `last - first`, and then, in order of time, plus each value before a decrease.
    pub increase: f64,
}

impl Edges {
    /// As [`Edges::between`], for values of which none is less than the one before.
    pub(super) fn of_rising(ends: (Timestamp, Timestamp), values: &[f64]) -> Edges {
        let (first, last) = (values[0], values[values.len() - 1]);
        Edges { count: values.len(), first: (ends.0, first), last: (ends.1, last), increase: last - first }
    }

    /// Of values, at least one, with the times of the first and the last of them.
    pub(super) fn between(ends: (Timestamp, Timestamp), values: &[f64]) -> Edges {
        let rising = Edges::of_rising(ends, values);
        let resets = values.windows(2).filter(|pair| pair[1] < pair[0]);
        Edges { increase: resets.fold(rising.increase, |increase, pair| increase + pair[0]), ..rising }
    }

    /// From the columns of a window; `None` if it is empty.
    pub fn of(at: &[Timestamp], values: &[f64]) -> Option<Edges> {
        Some(Edges::between((*at.first()?, *at.last()?), values))
    }
}

impl Store {
    /// A selection of the series that pass all `matchers`. It is empty until its first [`Selection::refresh`].
    pub fn prepare(&self, matchers: &[Matcher]) -> Selection {
        let is_name = |matcher: &&Matcher| &*matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
        Selection {
            name: matchers.iter().find(is_name).map(|matcher| NameHash::of(&matcher.value)),
            pairs: PairBits::of_matchers(matchers),
            matchers: matchers.to_vec(),
            cursor: None,
            era: 0,
            version: 0,
            members: Vec::new(),
            by_series: FxHashMap::default(),
            order: Vec::new(),
        }
    }
}

impl Selection {
    /// Brings the selection up to date. It must always be the same store.
    pub fn refresh(&mut self, reader: &Reader<'_>) -> Refreshed {
        let log = reader.change_log();
        if self.cursor == Some(log.end()) {
            return Refreshed::default();
        }
        let mut refreshed = Refreshed::default();
        let mut added = Vec::new();
        let since = self.version + 1;
        match self.cursor.and_then(|cursor| log.since(cursor)) {
            Some(changes) => {
                let (name, pairs) = (self.name, self.pairs);
                let concerns =
                    |change: &&Change| name.is_none_or(|name| name == change.name) && change.pairs.may_have(pairs);
                for change in changes.filter(concerns) {
                    match change.kind {
                        ChangeKind::Gone => refreshed.removed += usize::from(self.remove(change.series)),
                        ChangeKind::Born if !self.by_series.contains_key(&change.series) => {
                            if reader.passes(change.series, &self.matchers) {
                                self.add(change.series, since, &mut added);
                            }
                        }
                        ChangeKind::Born | ChangeKind::Woken => {
                            if let Some(slot) = self.by_series.get(&change.series) {
                                let member = self.members[*slot as usize].as_mut();
                                member.expect("BUG: a known series has an empty slot").since = since;
                                refreshed.woken += 1;
                            }
                        }
                    }
                }
            }
            None => refreshed = self.select_anew(reader, since, &mut added),
        }
        self.cursor = Some(log.end());
        refreshed.added = added.len();
        if refreshed != Refreshed::default() {
            self.version = since;
            self.merge_into_order(reader, added);
            self.compact();
        }
        refreshed
    }

    /// Slots of members in order of label set.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The series in `slot`.
    ///
    /// # Panics
    /// If `slot` is not one of [`Selection::order`].
    pub fn series(&self, slot: u32) -> SeriesRef {
        self.members[slot as usize].expect("BUG: an empty slot was read").series
    }

    /// One above the highest slot.
    pub fn slots_len(&self) -> usize {
        self.members.len()
    }

    /// Changes when slots are numbered anew.
    pub fn era(&self) -> u64 {
        self.era
    }

    /// Grows with each refresh that found something.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version in which the series of `slot` came or woke up.
    pub fn since(&self, slot: u32) -> u64 {
        self.members[slot as usize].expect("BUG: an empty slot was read").since
    }

    /// The slot of `series`, if it is a member.
    pub fn slot_of(&self, series: SeriesRef) -> Option<u32> {
        self.by_series.get(&series).copied()
    }

    /// See [`Store::prepare`].
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether no commit since `epoch` wrote to these series at or before `through`, as far as the store knows.
    pub fn is_unchanged(&self, reader: &Reader<'_>, epoch: u64, through: Timestamp) -> bool {
        reader.is_unchanged(self.name, epoch, through)
    }

    fn add(&mut self, series: SeriesRef, since: u64, added: &mut Vec<u32>) {
        let slot = u32::try_from(self.members.len()).expect("BUG: more than 2^32 slots");
        self.members.push(Some(Member { series, since }));
        self.by_series.insert(series, slot);
        added.push(slot);
    }

    fn remove(&mut self, series: SeriesRef) -> bool {
        let Some(slot) = self.by_series.remove(&series) else { return false };
        self.members[slot as usize] = None;
        true
    }

    /// Compares with what the index says: for the first time, and when the log no longer reaches back far enough.
    fn select_anew(&mut self, reader: &Reader<'_>, since: u64, added: &mut Vec<u32>) -> Refreshed {
        let mut found = reader.select(&self.matchers);
        if self.members.is_empty() {
            // The slots of the first selection follow the order, so that a pass over it reads memory in order.
            found.sort_unstable_by(|a, b| reader.compare(*a, *b));
        }
        let gone: Vec<SeriesRef> = {
            let present: rustc_hash::FxHashSet<SeriesRef> = found.iter().copied().collect();
            self.order
                .iter()
                .filter_map(|slot| self.members[*slot as usize])
                .map(|member| member.series)
                .filter(|series| !present.contains(series))
                .collect()
        };
        let removed = gone.len();
        gone.into_iter().for_each(|series| {
            self.remove(series);
        });
        for series in found {
            match self.by_series.get(&series) {
                // Who slept is not known any more: all wake up.
                Some(slot) => self.members[*slot as usize] = Some(Member { series, since }),
                None => self.add(series, since, added),
            }
        }
        Refreshed { added: 0, removed, woken: self.by_series.len() - added.len() }
    }

    fn merge_into_order(&mut self, reader: &Reader<'_>, mut added: Vec<u32>) {
        let members = &self.members;
        self.order.retain(|slot| members[*slot as usize].is_some());
        // One may have come and gone since the last time.
        added.retain(|slot| members[*slot as usize].is_some());
        let series = |slot: u32| members[slot as usize].expect("BUG: an empty slot stands in the order").series;
        added.sort_unstable_by(|a, b| reader.compare(series(*a), series(*b)));
        let mut merged = Vec::with_capacity(self.order.len() + added.len());
        let mut rest = self.order.as_slice();
        for slot in added {
            let before = rest.partition_point(|other| reader.compare(series(*other), series(slot)).is_lt());
            merged.extend_from_slice(&rest[..before]);
            merged.push(slot);
            rest = &rest[before..];
        }
        merged.extend_from_slice(rest);
        self.order = merged;
    }

    fn compact(&mut self) {
        let empty = self.members.len() - self.order.len();
        if empty <= EMPTY_SLOTS_MIN + self.order.len() {
            return;
        }
        self.era += 1;
        self.members = self.order.iter().map(|slot| self.members[*slot as usize]).collect();
        self.order = (0..self.members.len() as u32).collect();
        let members = self.members.iter().flatten().zip(0..);
        self.by_series = members.map(|(member, slot)| (member.series, slot)).collect();
    }
}

#[cfg(test)]
mod tests;
