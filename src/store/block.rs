//! Consecutive chunks of floats of one series, with a directory to find a sample in.
//!
//! In the flow: a series seals runs into its last block; a full block is shared with readers and never changed again.
//!
//! ```text
//! base ──► metas: first, last (ms after the base), place of the columns, live samples before, length …   16 bytes a chunk
//!          bytes: the columns of all chunks, one after the other
//!          tables: one summary of a kind for each chunk and one for all, made when first asked for
//! ```
//!
//! **Why blocks.** A chunk in an allocation of its own costs 70 bytes besides its columns, half as much again as the columns of a
//! counter; here it costs 16. And a window over months passes over whole blocks.
//! **Invariants.** Times strictly increase over all chunks. A *live* sample is one that is not a staleness marker; live samples of a
//! series are numbered from its beginning, which are the *ordinals*.
//! **Limits.** [`CHUNKS_MAX`] chunks; offsets of four bytes reach [`SPAN_MAX_MS`].

use std::sync::OnceLock;

use super::chunk::{Chunk, Columns};
use super::moments::{Moments, Trend};
use super::persist::{Facts, Piece};
use super::resets::{Resets, RunResets};
use super::summary::{Extremes, Summary, Sums, Table, Transitions};
use crate::model::{Timestamp, is_stale};

/// Chunks in a block at most: 2.7 days at 30 s. A window then passes a few dozen chunks at each end and as many blocks between.
pub(super) const CHUNKS_MAX: usize = 64;

/// The longest time that a block covers, 49 days.
pub(super) const SPAN_MAX_MS: i64 = u32::MAX as i64;

/// See the module head.
#[derive(Default)]
pub(super) struct Block {
    base: Timestamp,
    /// The ordinal of its first live sample.
    ordinal: u64,
    live: u16,
    len: u16,
    metas: Vec<Meta>,
    bytes: Vec<u8>,
    // In boxes, since most blocks have none of most.
    pub(super) sums: OnceLock<Box<Table<Sums>>>,
    pub(super) extremes: OnceLock<Box<Table<Extremes>>>,
    pub(super) transitions: OnceLock<Box<Table<Transitions>>>,
    pub(super) moments: OnceLock<Box<Table<Moments>>>,
    pub(super) trends: OnceLock<Box<Table<Trend>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Meta {
    /// Milliseconds after the base.
    first: u32,
    last: u32,
    /// Where its columns begin.
    start: u32,
    /// Live samples of the block before it.
    live_before: u16,
    len: u8,
    has_stale: bool,
}

/// What a run of samples is like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) len: usize,
    /// How many of them are live.
    pub(super) live: usize,
}

/// Which sample of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Its number among the live samples.
    pub(super) ordinal: u64,
    pub(super) at: Timestamp,
    pub(super) value: f64,
    /// Its chunk in the block.
    pub(super) chunk: usize,
    /// Its index in the chunk, staleness markers counted.
    pub(super) index: usize,
}

impl Block {
    /// An empty block whose first live sample will be number `ordinal` of its series.
    pub(super) fn new(ordinal: u64) -> Self {
        Block { ordinal, ..Block::default() }
    }

    /// Whether a run from `first` to `last` may be added.
    pub(super) fn takes(&self, last: Timestamp) -> bool {
        self.metas.len() < CHUNKS_MAX && (self.metas.is_empty() || last.ms_since(self.base) <= SPAN_MAX_MS)
    }

    /// Takes a run that comes after all that is here; `seal` appends its columns. It must not span more than [`SPAN_MAX_MS`].
    pub(super) fn push(&mut self, at: &[Timestamp], values: &[f64], seal: impl FnOnce(&mut Vec<u8>)) {
        let live = values.iter().filter(|value| !is_stale(**value)).count();
        self.push_span(Span { first: at[0], last: at[at.len() - 1], len: at.len(), live }, seal);
        extend(&mut self.sums, at, values);
        extend(&mut self.extremes, at, values);
        extend(&mut self.transitions, at, values);
        extend(&mut self.moments, at, values);
        extend(&mut self.trends, at, values);
    }

    /// As [`Block::push`], without looking at the samples.
    pub(super) fn push_unread(&mut self, span: Span, columns: &[u8]) {
        self.push_span(span, |out| out.extend_from_slice(columns));
        // They are made again when they are asked for.
        (self.sums, self.extremes, self.transitions) = Default::default();
        (self.moments, self.trends) = Default::default();
    }

    fn push_span(&mut self, span: Span, seal: impl FnOnce(&mut Vec<u8>)) {
        if self.metas.is_empty() {
            self.base = span.first;
        }
        let offset = |at: Timestamp| u32::try_from(at.ms_since(self.base)).expect("BUG: a run outside its block");
        self.metas.push(Meta {
            first: offset(span.first),
            last: offset(span.last),
            start: u32::try_from(self.bytes.len()).expect("BUG: a block of 4 GiB"),
            live_before: self.live,
            len: span.len as u8,
            has_stale: span.live < span.len,
        });
        seal(&mut self.bytes);
        self.live += span.live as u16;
        self.len += span.len as u16;
    }

    /// Gives back the memory that growing has taken in advance.
    pub(super) fn shrink(&mut self) {
        self.metas.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    /// Copies the chunks that end after `after`; `resets` are those of the series.
    pub(super) fn export(&self, after: Timestamp, resets: Option<&Resets>, pieces: &mut Vec<Piece>) {
        let from = self.metas.partition_point(|meta| self.time(meta.last) <= after);
        for (index, meta) in self.metas.iter().enumerate().skip(from) {
            let next = self.metas.get(index + 1);
            let end = next.map_or(self.bytes.len(), |next| next.start as usize);
            let live = next.map_or(self.live, |next| next.live_before) - meta.live_before;
            let ordinal = self.ordinal + u64::from(meta.live_before);
            let resets = resets.map_or(RunResets::Few(Vec::new()), |resets| resets.of_run(ordinal, u64::from(live)));
            pieces.push(Piece::Floats {
                first: self.time(meta.first),
                len: usize::from(meta.len),
                columns: self.bytes[meta.start as usize..end].to_vec(),
                facts: Some(Facts { live: live as usize, resets }),
            });
        }
    }

    /// Without the chunks that end before `before`; their ordinals stay used.
    pub(super) fn without_before(&self, before: Timestamp) -> Block {
        self.slice(self.metas.partition_point(|meta| self.time(meta.last) < before), self.metas.len())
    }

    /// Of the chunks that end before `at`.
    pub(super) fn ending_before(&self, at: Timestamp) -> Block {
        self.slice(0, self.chunks_before(at))
    }

    /// A copy of the chunks that overlap `start..=end`.
    pub(super) fn overlapping(&self, start: Timestamp, end: Timestamp) -> Block {
        let from = self.metas.partition_point(|meta| self.time(meta.last) < start);
        self.slice(from, self.metas.partition_point(|meta| self.time(meta.first) <= end).max(from))
    }

    fn slice(&self, from: usize, to: usize) -> Block {
        let metas = &self.metas[from..to];
        let Some(first) = metas.first() else { return Block::new(self.ordinal) };
        let end = self.metas.get(to);
        let bytes = &self.bytes[first.start as usize..end.map_or(self.bytes.len(), |meta| meta.start as usize)];
        let moved = |meta: &Meta| Meta {
            first: meta.first - first.first,
            last: meta.last - first.first,
            start: meta.start - first.start,
            live_before: meta.live_before - first.live_before,
            ..*meta
        };
        Block {
            base: self.time(first.first),
            ordinal: self.ordinal + u64::from(first.live_before),
            live: end.map_or(self.live, |meta| meta.live_before) - first.live_before,
            len: metas.iter().map(|meta| u16::from(meta.len)).sum(),
            metas: metas.iter().map(moved).collect(),
            bytes: bytes.to_vec(),
            ..Block::default()
        }
    }

    /// The time of its first sample. A block is not empty when it is asked.
    pub(super) fn first(&self) -> Timestamp {
        self.base
    }

    /// The time of its last sample.
    pub(super) fn last(&self) -> Timestamp {
        self.metas.last().map_or(self.base, |meta| self.time(meta.last))
    }

    /// The number of the first live sample after the block.
    pub(super) fn end_ordinal(&self) -> u64 {
        self.ordinal + u64::from(self.live)
    }

    /// The number of its first live sample.
    pub(super) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// Samples, staleness markers included.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// How many chunks.
    pub(super) fn chunks(&self) -> usize {
        self.metas.len()
    }

    /// How many of its chunks end before `before`.
    pub(super) fn chunks_before(&self, before: Timestamp) -> usize {
        self.metas.partition_point(|meta| self.time(meta.last) < before)
    }

    /// Whether a chunk overlaps `start..=end`.
    pub(super) fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        let from = self.metas.partition_point(|meta| self.time(meta.last) < start);
        self.metas.get(from).is_some_and(|meta| self.time(meta.first) <= end)
    }

    /// Bytes that it holds, its own struct included; without tables of summaries.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Block>() + self.metas.len() * size_of::<Meta>() + self.bytes.len()
    }

    /// Decodes the chunk at `index`.
    pub(super) fn decode(&self, index: usize, columns: &mut Columns) {
        self.chunk(index).decode(columns);
    }

    /// Gives the columns of its samples in `start..=end`, chunk by chunk.
    pub(super) fn each(&self, start: Timestamp, end: Timestamp, mut take: impl FnMut(&[i64], &[f64])) {
        let from = self.metas.partition_point(|meta| self.time(meta.last) < start);
        let mut columns = Columns::default();
        for (index, meta) in self.metas.iter().enumerate().skip(from) {
            if self.time(meta.first) > end {
                break;
            }
            self.decode(index, &mut columns);
            let from = columns.at().partition_point(|&at| at < start.as_ms());
            let to = columns.at().partition_point(|&at| at <= end.as_ms()).max(from);
            take(&columns.at()[from..to], &columns.values()[from..to]);
        }
    }

    /// The newest sample at or before `at`, a staleness marker as well.
    pub(super) fn newest(&self, at: Timestamp) -> Option<(Timestamp, f64)> {
        let index = self.metas.partition_point(|meta| self.time(meta.first) <= at).checked_sub(1)?;
        let chunk = self.chunk(index);
        Some(chunk.sample(chunk.count_through(at) - 1))
    }

    /// The newest live sample at or before `at`.
    pub(super) fn newest_live(&self, at: Timestamp) -> Option<Place> {
        let end = self.metas.partition_point(|meta| self.time(meta.first) <= at);
        (0..end).rev().find_map(|index| {
            let meta = &self.metas[index];
            let through =
                if self.time(meta.last) <= at { usize::from(meta.len) } else { self.chunk(index).count_through(at) };
            if !meta.has_stale {
                return Some(self.place(index, through - 1));
            }
            let mut columns = Columns::default();
            self.decode(index, &mut columns);
            let live = (0..through).rev().find(|&index| !is_stale(columns.values()[index]))?;
            Some(self.decoded_place(index, live, &columns))
        })
    }

    /// The oldest live sample after `at`.
    pub(super) fn oldest_live(&self, after: Timestamp) -> Option<Place> {
        let from = self.metas.partition_point(|meta| self.time(meta.last) <= after);
        (from..self.metas.len()).find_map(|index| {
            let meta = &self.metas[index];
            let before = if self.time(meta.first) > after { 0 } else { self.chunk(index).count_through(after) };
            if !meta.has_stale {
                return Some(self.place(index, before));
            }
            let mut columns = Columns::default();
            self.decode(index, &mut columns);
            let live = (before..columns.values().len()).find(|&index| !is_stale(columns.values()[index]))?;
            Some(self.decoded_place(index, live, &columns))
        })
    }

    /// The newest live sample at or before `at` and the oldest after it, if both are in one chunk without staleness markers. `near`: the
    /// chunk where to look first, and then the one that was found.
    pub(super) fn around(&self, at: Timestamp, near: &mut usize) -> Option<[Place; 2]> {
        *near = last_begun(self.metas.len(), *near, |chunk| self.time(self.metas[chunk].first) <= at)?;
        let chunk = *near;
        let meta = &self.metas[chunk];
        if meta.has_stale || self.time(meta.last) <= at {
            return None;
        }
        let (index, samples) = self.chunk(chunk).around(at);
        let ordinal = self.ordinal + u64::from(meta.live_before) + index as u64;
        let [before, after] = samples;
        let (at, value) = before;
        let before = Place { ordinal, at, value, chunk, index };
        let (at, value) = after;
        Some([before, Place { ordinal: ordinal + 1, at, value, index: index + 1, ..before }])
    }

    /// The table of a kind of summary, which is made if there is none yet.
    pub(super) fn table<S: Summary>(&self) -> &Table<S> {
        S::table(self).get_or_init(|| {
            let mut table = Box::<Table<S>>::default();
            let mut columns = Columns::default();
            for index in 0..self.metas.len() {
                self.decode(index, &mut columns);
                table.push(S::of(columns.samples()));
            }
            table
        })
    }

    /// Bytes of the tables made so far.
    pub(super) fn table_bytes(&self) -> usize {
        fn bytes<S: Summary>(table: &OnceLock<Box<Table<S>>>) -> usize {
            table.get().map_or(0, |table| table.bytes())
        }
        let of_sums = bytes(&self.sums) + bytes(&self.extremes) + bytes(&self.transitions);
        of_sums + bytes(&self.moments) + bytes(&self.trends)
    }

    fn place(&self, chunk: usize, index: usize) -> Place {
        let (at, value) = self.chunk(chunk).sample(index);
        let ordinal = self.ordinal + u64::from(self.metas[chunk].live_before) + index as u64;
        Place { ordinal, at, value, chunk, index }
    }

    /// As [`Block::place`], in a chunk with staleness markers.
    fn decoded_place(&self, chunk: usize, index: usize, columns: &Columns) -> Place {
        let live_before = columns.values()[..index].iter().filter(|value| !is_stale(**value)).count();
        let ordinal = self.ordinal + u64::from(self.metas[chunk].live_before) + live_before as u64;
        Place { ordinal, at: Timestamp::from_ms(columns.at()[index]), value: columns.values()[index], chunk, index }
    }

    fn chunk(&self, index: usize) -> Chunk<'_> {
        let meta = &self.metas[index];
        Chunk { first: self.time(meta.first), len: usize::from(meta.len), bytes: &self.bytes[meta.start as usize..] }
    }

    fn time(&self, offset: u32) -> Timestamp {
        self.base.plus_ms(i64::from(offset))
    }
}

/// The last of `len` pieces in order of time that has begun, of which `has_begun` tells; that is mostly the one at `near` or the next.
pub(super) fn last_begun(len: usize, near: usize, has_begun: impl Fn(usize) -> bool) -> Option<usize> {
    let is_last = |index: usize| index < len && has_begun(index) && (index + 1 == len || !has_begun(index + 1));
    if let Some(found) = (near..near + 2).find(|index| is_last(*index)) {
        return Some(found);
    }
    let (mut begun, mut past) = (0, len);
    while begun < past {
        let middle = begun + (past - begun) / 2;
        if has_begun(middle) { begun = middle + 1 } else { past = middle }
    }
    begun.checked_sub(1)
}

/// Adds the summary of a run to a table that is there.
fn extend<S: Summary>(table: &mut OnceLock<Box<Table<S>>>, at: &[Timestamp], values: &[f64]) {
    if let Some(table) = table.get_mut() {
        table.push(S::of(at.iter().map(|at| at.as_ms()).zip(values.iter().copied())));
    }
}
