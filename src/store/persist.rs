//! Samples on their way to the disk and back.
//!
//! In the flow: the `disk` module takes each commit as it happens ([`Store::log_to`]), copies out now and then what is new
//! ([`Store::export`], [`Store::confirm`]), and puts it back at the next start ([`Store::restore`]).
//!
//! **Invariants.** Commits reach the log in the order in which they became visible, and a commit returns after the log has it. Columns
//! leave and come back as they are: sealing is deterministic, and what was sealed is not decoded and sealed again, nor even read, as long
//! as each run comes back behind the one that it was behind.

use std::ops::Range;
use std::sync::Arc;

use super::block::{SPAN_MAX_MS, Span};
use super::chunk::{self, Chunk, Columns};
use super::head::Store;
use super::open::Open;
use super::resets::RunResets;
use super::sealed::TimedHistogram;
use super::{Committed, Row, SeriesRef};
use crate::model::{Histogram, Labels, StartTime, Timestamp, Value};

/// Takes a commit: the rows, and what became of them.
pub type CommitLog = Box<dyn FnMut(&Store, &[Row], &Committed) + Send>;

/// How much of a series a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The newest sealed sample.
    pub sealed: Timestamp,
    /// The newest sample.
    pub newest: Timestamp,
    /// How many samples that came late, in this life of the store.
    pub late: u64,
}

impl Saved {
    /// Nothing.
    pub const NOTHING: Saved = Saved { sealed: Timestamp::MIN, newest: Timestamp::MIN, late: 0 };
}

/// Consecutive samples of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Numbers, as compressed columns.
    Floats {
        /// The time of the first.
        first: Timestamp,
        /// How many, at most 120.
        len: usize,
        /// See [`CHUNK_FORMAT`].
        columns: Vec<u8>,
        /// Without which the columns must be read.
        facts: Option<Facts>,
    },
    /// Native histograms.
    Histograms(Vec<(Timestamp, Arc<Histogram>)>),
}

/// What is known of a run of numbers without reading its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// How many are no staleness markers.
    pub live: usize,
    /// Where its counter was reset, measured from the run before.
    pub resets: RunResets,
}

/// Grows when the bytes of [`Piece::Floats`] come to mean something else.
pub const CHUNK_FORMAT: u64 = 1;

/// What a disk does not have of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Of this store.
    pub series: SeriesRef,
    /// What identifies it.
    pub labels: Labels,
    /// Sealed ones, oldest first.
    pub sealed: Vec<Piece>,
    /// The newest samples, which the next export may bring again, with others.
    pub open: Piece,
    /// From which sample on which start time holds.
    pub starts: Vec<(Timestamp, Option<StartTime>)>,
    /// The time of the sealed sample before the first of these. Where another one is before it, what is known of that run does not hold.
    pub follows: Option<Timestamp>,
    /// What the disk has when it has this.
    pub saved: Saved,
}

/// A piece that does not hold what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPiece;

impl Store {
    /// From now on every commit is handed to `log`, one after the other.
    pub fn log_to(&self, log: CommitLog) {
        *self.log.lock() = Some(log);
    }

    /// One above the highest slot of a [`SeriesRef`].
    pub fn slots_len(&self) -> usize {
        self.head.read().slots.len()
    }

    /// Of the series in these slots, those with more than `saved` says, with the rest.
    pub fn export(&self, slots: Range<usize>, saved: impl Fn(SeriesRef) -> Saved) -> Vec<Exported> {
        let head = self.head.read();
        let slots = slots.start.min(head.slots.len())..slots.end.min(head.slots.len());
        let export = |slot: usize| {
            let stored = head.slots[slot].series.as_deref()?;
            let series = head.handle(slot as u32);
            let saved = saved(series);
            let (late, unsaved) = stored.late_saving();
            let newest = stored.last().filter(|last| *last > saved.newest || unsaved.is_some())?;
            // From the oldest late sample on, all is told again.
            let after = unsaved.map_or(saved.sealed, |unsaved| saved.sealed.min(unsaved.plus_ms(-1)));
            let sealed = stored.sealed.export(after);
            let starts = stored.starts(after);
            let first = sealed.first().map(Piece::first);
            let follows = first.and_then(|first| stored.sealed.newest(first.plus_ms(-1))).map(|sample| sample.at);
            // The newest sample is always open.
            let open = match &stored.open {
                Open::Floats { at, values, .. } => {
                    let mut columns = Vec::new();
                    chunk::seal(&at.to_vec(), values, &mut columns);
                    Piece::Floats { first: at.get(0), len: at.len(), columns, facts: None }
                }
                Open::Histograms(samples) => Piece::Histograms(samples.clone()),
            };
            let sealed_through = stored.sealed.last().unwrap_or(Timestamp::MIN).max(saved.sealed);
            Some(Exported {
                series,
                labels: head.symbols.materialise(&stored.labels),
                sealed,
                open,
                starts,
                follows,
                saved: Saved { sealed: sealed_through, newest, late },
            })
        };
        slots.filter_map(export).collect()
    }

    /// How much there is of each series.
    pub fn held(&self) -> Vec<(SeriesRef, Saved)> {
        let head = self.head.read();
        let held = |(slot, stored): (u32, &super::head::Slot)| {
            let stored = stored.series.as_deref()?;
            let sealed = stored.sealed.last().unwrap_or(Timestamp::MIN);
            let saved = Saved { sealed, newest: stored.last()?, late: stored.late_saving().0 };
            Some((head.handle(slot), saved))
        };
        (0..).zip(&head.slots).filter_map(held).collect()
    }

    /// A disk has all that these say: see [`Exported::saved`] and [`Store::held`].
    pub fn confirm(&self, saved: &[(SeriesRef, Saved)]) {
        let mut head = self.head.write();
        for (series, saved) in saved.iter().filter(|(_, saved)| saved.late > 0) {
            if let Some(stored) = head.series_mut(*series) {
                stored.confirm(saved.late);
            }
        }
    }

    /// Puts back what was exported, in the order in which it was. Samples that are there already are left alone.
    pub fn restore(&self, mut exported: Exported) -> Result<(), BadPiece> {
        let series = self.series_ref(&exported.labels);
        let starts = StartList(&exported.starts);
        let mut columns = Columns::default();
        let mut head = self.head.write();
        head.forget_reads();
        let before = head.series_mut(series).and_then(|stored| stored.sealed.last());
        if let Some(Piece::Floats { facts, .. }) = exported.sealed.first_mut().filter(|_| before != exported.follows) {
            *facts = None;
        }
        for piece in &exported.sealed {
            head.restore(series, piece, starts, &mut columns)?;
        }
        head.append_all(series, &exported.open, starts, &mut columns)
    }
}

/// From which sample on which start time holds.
#[derive(Clone, Copy)]
pub(super) struct StartList<'a>(&'a [(Timestamp, Option<StartTime>)]);

impl StartList<'_> {
    /// The start time of a sample.
    pub(super) fn at(&self, at: Timestamp) -> Option<StartTime> {
        let past = self.0.partition_point(|(from, _)| *from <= at);
        past.checked_sub(1).and_then(|index| self.0[index].1)
    }

    /// The changes among the samples of a run, the first of which counts as one.
    pub(super) fn changes(
        &self,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Option<StartTime>)> {
        let inside = self.0.iter().copied().filter(move |(from, _)| *from > first && *from <= last);
        std::iter::once((first, self.at(first))).chain(inside)
    }
}

/// A run of numbers that need not be decoded.
pub(super) struct Unread<'a> {
    pub(super) span: Span,
    pub(super) columns: &'a [u8],
    pub(super) resets: &'a RunResets,
}

/// The samples of a piece.
pub(super) enum Samples<'a> {
    Floats(&'a Columns),
    Histograms(&'a [TimedHistogram]),
}

impl Samples<'_> {
    /// The first and the last time.
    pub(super) fn span(&self) -> (Timestamp, Timestamp) {
        match self {
            Samples::Floats(columns) => {
                let ms = |index: usize| Timestamp::from_ms(columns.at()[index]);
                (ms(0), ms(columns.at().len() - 1))
            }
            Samples::Histograms(samples) => (samples[0].0, samples[samples.len() - 1].0),
        }
    }

    /// One by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, Value)> {
        let (floats, histograms) = match self {
            Samples::Floats(columns) => (Some(columns), &[][..]),
            Samples::Histograms(samples) => (None, *samples),
        };
        let floats = floats.into_iter().flat_map(|columns| columns.at().iter().zip(columns.values()));
        let floats = floats.map(|(at, value)| (Timestamp::from_ms(*at), Value::Float(*value)));
        floats.chain(histograms.iter().map(|(at, histogram)| (*at, Value::Histogram(histogram.clone()))))
    }
}

impl Piece {
    /// The time of its first sample.
    pub fn first(&self) -> Timestamp {
        match self {
            Piece::Floats { first, .. } => *first,
            Piece::Histograms(samples) => samples.first().map_or(Timestamp::MIN, |(at, _)| *at),
        }
    }

    /// What is known of it without reading its samples, and its columns.
    pub(super) fn unread(&self) -> Result<Option<Unread<'_>>, BadPiece> {
        let Piece::Floats { first, len, columns, facts: Some(facts) } = self else { return Ok(None) };
        if *len == 0 || *len > chunk::SAMPLES_MAX || facts.live > *len {
            return Err(BadPiece);
        }
        let last = Chunk { first: *first, len: *len, bytes: columns }.last();
        let is_sound = (0..=SPAN_MAX_MS).contains(&last.as_ms().saturating_sub(first.as_ms()));
        let span = Span { first: *first, last, len: *len, live: facts.live };
        if is_sound { Ok(Some(Unread { span, columns, resets: &facts.resets })) } else { Err(BadPiece) }
    }

    /// Its samples, decoded into `space`; not empty, and in order.
    pub(super) fn samples<'a>(&'a self, space: &'a mut Columns) -> Result<Samples<'a>, BadPiece> {
        match self {
            Piece::Histograms(samples) => {
                let is_sorted = samples.windows(2).all(|pair| pair[0].0 < pair[1].0);
                if samples.is_empty() || !is_sorted { Err(BadPiece) } else { Ok(Samples::Histograms(samples)) }
            }
            Piece::Floats { first, len, columns, .. } => {
                if *len == 0 || *len > chunk::SAMPLES_MAX {
                    return Err(BadPiece);
                }
                Chunk { first: *first, len: *len, bytes: columns }.decode(space);
                let is_sorted = space.at().windows(2).all(|pair| pair[0] < pair[1]);
                let span_ms = space.at()[*len - 1].saturating_sub(space.at()[0]);
                if is_sorted && span_ms <= SPAN_MAX_MS { Ok(Samples::Floats(space)) } else { Err(BadPiece) }
            }
        }
    }
}
