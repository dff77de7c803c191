//! The samples of one series: sealed ones, then the open run.
//!
//! **Invariants.** Times strictly increase over all sealed samples and the open run. The open run holds the newest sample from the first
//! append on: it is sealed by the sample that no longer fits, not by the one that fills it.

use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;

use super::block::SPAN_MAX_MS;
use super::changes::{IDLE_MS, NameHash, PairBits};
use super::late::{self, Late, LateSample, PENDING_MAX};
use super::open::{Company, Open, bytes_of};
use super::persist::{Piece, Samples, StartList, Unread};
use super::retention::ClassId;
use super::sealed::{Run, Sealed};
use super::starts::{self, Change, StartChanges};
use super::symbols::Pair;
use super::{Refusal, Row};
use crate::model::{Histogram, Labels, Sample, Series, StartTime, StartTimes, Timestamp, Value, is_stale};

pub(super) struct StoredSeries {
    /// In order of name.
    pub(super) labels: Arc<[Pair]>,
    /// Of its metric name.
    pub(super) name: NameHash,
    /// Of its labels.
    pub(super) pairs: PairBits,
    /// How long it is kept.
    pub(super) class: ClassId,
    pub(super) sealed: Sealed,
    pub(super) open: Open,
    /// Of most series there is none.
    starts: Option<Box<StartChanges>>,
    /// Likewise.
    late: Option<Box<Late>>,
}

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Appended {
    /// It is the newest.
    Newest,
    /// It is older than the newest.
    Late,
    /// It was there already.
    Known,
}

/// What a reader takes with it from under the lock.
pub(super) struct Taken {
    runs: Vec<Run>,
    open: Vec<Sample>,
    starts: Vec<Change>,
    late: Vec<LateSample>,
}

/// What is held in memory, kept up to date by each change.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Held {
    pub(super) samples: u64,
    /// Sealed chunks and open runs.
    pub(super) chunks: u64,
    /// Of samples; without index and labels.
    pub(super) bytes: u64,
}

impl StoredSeries {
    pub(super) fn new(labels: Arc<[Pair]>, name: NameHash, pairs: PairBits, class: ClassId) -> Self {
        let (sealed, open) = (Sealed::default(), Open::default());
        StoredSeries { labels, name, pairs, class, sealed, open, starts: None, late: None }
    }

    /// Appends a sample. One that is older than the newest is taken if it is not older than `oldest`.
    pub(super) fn append(
        &mut self,
        row: &Row,
        oldest: Option<Timestamp>,
        (held, company): (&mut Held, &mut Company),
    ) -> Result<Appended, Refusal> {
        match self.last() {
            Some(last) if row.at < last => match oldest {
                None => Err(Refusal::OutOfOrder),
                Some(oldest) if row.at < oldest => Err(Refusal::TooLate),
                Some(_) => Ok(self.insert(row, held)),
            },
            Some(last) if row.at == last => {
                if self.open.is_last_value(&row.value) {
                    Ok(Appended::Known)
                } else {
                    Err(Refusal::Duplicate)
                }
            }
            _ => {
                self.push((row.at, &row.value, row.start), held, company);
                Ok(Appended::Newest)
            }
        }
    }

    /// Appends a sample that is newer than all others.
    fn push(
        &mut self,
        (at, value, start): (Timestamp, &Value, Option<StartTime>),
        held: &mut Held,
        company: &mut Company,
    ) {
        if self.must_seal(at, value) {
            // Merging seals what it can, and may leave room.
            self.settle(held);
            if self.must_seal(at, value) {
                self.seal(held);
            }
        }
        held.chunks += u64::from(self.open.len() == 0);
        held.samples += 1;
        held.bytes += bytes_of(value);
        self.open.push(at, value, company);
        self.note_start(at, start, held);
    }

    fn must_seal(&self, at: Timestamp, value: &Value) -> bool {
        let is_long = self.open.first().is_some_and(|first| at.ms_since(first) > SPAN_MAX_MS);
        self.open.is_full() || is_long || !self.open.takes(value)
    }

    /// Takes a sample that is older than the newest: into the open run if it fits there, else beside the series.
    fn insert(&mut self, row: &Row, held: &mut Held) -> Appended {
        let is_known = self.open.has(row.at) || self.sealed.newest(row.at).is_some_and(|newest| newest.at == row.at);
        if is_known {
            return Appended::Known;
        }
        let late = self.late.get_or_insert_default();
        let has_starts = row.start.is_some() || self.starts.is_some();
        if !has_starts && self.open.insert(row.at, &row.value) {
            late.note(row.at);
        } else {
            let sample = Sample { at: row.at, value: row.value.clone() };
            if !late.insert(LateSample { sample, start: row.start }) {
                return Appended::Known;
            }
        }
        held.samples += 1;
        held.bytes += bytes_of(&row.value);
        if self.late().len() >= PENDING_MAX {
            self.settle(held);
        }
        Appended::Late
    }

    /// Merges late samples: what is not older than the oldest of them is taken out and appended again, together with them.
    pub(super) fn settle(&mut self, held: &mut Held) {
        let Some(late) = self.late.as_mut().map(|late| late.take()).filter(|late| !late.is_empty()) else { return };
        let from = late[0].sample.at;
        late.iter().for_each(|late| *held -= held_by(&late.sample.value));
        let mut samples = Vec::new();
        *held -= self.sealed.cut(from, &mut samples);
        if self.open.len() > 0 {
            *held -= self.open.held();
            samples.extend(std::mem::take(&mut self.open).read(Timestamp::MIN, Timestamp::MAX));
        }
        let mut starts: StartTimes = match &self.starts {
            Some(starts) => samples.iter().map(|sample| starts.at(sample.at)).collect(),
            None => StartTimes::NONE,
        };
        late::add_to_samples(late, &mut samples, &mut starts);
        if let (Some(noted), Some(first)) = (&mut self.starts, samples.first()) {
            held.bytes -= noted.cut(first.at);
        }
        let mut alone = Company::default();
        for (index, sample) in samples.iter().enumerate() {
            self.push((sample.at, &sample.value, starts.get(index)), held, &mut alone);
        }
    }

    /// The late samples that are not merged yet.
    pub(super) fn late(&self) -> &[LateSample] {
        self.late.as_ref().map_or(&[], |late| late.pending())
    }

    /// Those of them after `start` and not after `end`.
    pub(super) fn late_in(&self, start: Timestamp, end: Timestamp) -> &[LateSample] {
        self.late.as_ref().map_or(&[], |late| late.inside(start.plus_ms(1), end))
    }

    /// How many late samples were merged, and the time of the oldest that a disk may not have.
    pub(super) fn late_saving(&self) -> (u64, Option<Timestamp>) {
        self.late.as_ref().map_or((0, None), |late| (late.merged(), late.unsaved()))
    }

    /// A disk has all late samples that were merged when there were `merged`.
    pub(super) fn confirm(&mut self, merged: u64) {
        if let Some(late) = &mut self.late {
            late.confirm(merged);
        }
    }

    fn note_start(&mut self, at: Timestamp, start: Option<StartTime>, held: &mut Held) {
        if start.is_some() || self.starts.is_some() {
            held.bytes += self.starts.get_or_insert_default().note(at, start);
        }
    }

    /// Loads the series itself and gives a number for it. See [`super::Reader::warm`].
    #[inline]
    pub(super) fn look_at_head(&self) -> usize {
        self.sealed.parts().wrapping_add(self.open.len())
    }

    /// Loads the ends of the open run and gives a number for them.
    #[inline]
    pub(super) fn look_at_ends(&self) -> u64 {
        let Open::Floats { at, values, .. } = &self.open else { return 0 };
        let of_times = [at.first(), at.last()].map(|at| at.map_or(0, |at| at.as_ms() as u64));
        let of_values = [values.first(), values.last()].map(|value| value.map_or(0, |value| value.to_bits()));
        of_times.into_iter().chain(of_values).fold(0, u64::wrapping_add)
    }

    /// The time of the newest sample.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.open.last().or_else(|| self.sealed.last())
    }

    /// What it holds.
    pub(super) fn held(&self) -> Held {
        let mut held = self.sealed.held();
        if self.open.len() > 0 {
            held += self.open.held();
        }
        self.late().iter().for_each(|late| held += held_by(&late.sample.value));
        held.bytes += self.starts.as_ref().map_or(0, |starts| starts.bytes());
        held
    }

    /// Whether its newest sample is a staleness marker.
    pub(super) fn has_ended(&self) -> bool {
        match &self.open {
            Open::Floats { values, .. } => values.last().is_some_and(|value| is_stale(*value)),
            Open::Histograms(samples) => samples.last().is_some_and(|(_, histogram)| is_stale(histogram.sum)),
        }
    }

    /// Whether its next sample, if it comes, is reported: see [`IDLE_MS`]. `newest` is the time of the store's newest sample.
    pub(super) fn sleeps(&self, newest: Timestamp) -> bool {
        self.last().is_none_or(|last| newest.ms_since(last) > IDLE_MS) || self.has_ended()
    }

    /// Whether a run of samples overlaps `start..=end`.
    pub(super) fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        let is_inside = |first: Timestamp, last: Timestamp| first <= end && last >= start;
        let open = self.open.first().zip(self.open.last());
        open.is_some_and(|(first, last)| is_inside(first, last))
            || self.sealed.overlaps(start, end)
            || self.late.as_ref().is_some_and(|late| !late.inside(start, end).is_empty())
    }

    /// Takes what `start..=end` touches; `None` if that is nothing.
    pub(super) fn take(&self, start: Timestamp, end: Timestamp) -> Option<Taken> {
        let taken = Taken {
            runs: self.sealed.take(start, end),
            open: self.open.read(start, end),
            starts: self.starts.as_ref().map_or_else(Vec::new, |starts| starts.take(start, end)),
            late: self.late.as_ref().map_or_else(Vec::new, |late| late.inside(start, end).to_vec()),
        };
        (!taken.runs.is_empty() || !taken.open.is_empty() || !taken.late.is_empty()).then_some(taken)
    }

    /// Drops what ends before `before`, in pieces of chunks or more, and the open run too if the series ended before it. Older
    /// samples beside younger ones stay; the store hides them.
    pub(super) fn truncate(&mut self, before: Timestamp, held: &mut Held) {
        *held -= self.sealed.truncate(before);
        if let Some(late) = &mut self.late {
            late.truncate(before).for_each(|late| *held -= held_by(&late.sample.value));
        }
        if self.last().is_some_and(|last| last < before) {
            if self.open.len() > 0 {
                *held -= self.open.held();
            }
            self.open = Open::default();
        }
        if let Some(starts) = &mut self.starts {
            held.bytes -= if self.open.len() == 0 { starts.bytes() } else { starts.truncate(before) };
        }
        self.starts.take_if(|_| self.open.len() == 0);
    }

    /// Whether what begins at `first` may be sealed as it is: it is newer than all that is sealed, and than the open run, or that is
    /// its beginning.
    pub(super) fn takes_sealed(&self, first: Timestamp) -> bool {
        self.sealed.last().is_none_or(|last| last < first)
            && (self.last().is_none_or(|last| last < first) || self.open.first().is_some_and(|open| open >= first))
    }

    /// Puts sealed samples back; see [`StoredSeries::takes_sealed`].
    pub(super) fn restore(&mut self, piece: &Piece, samples: &Samples<'_>, starts: StartList<'_>, held: &mut Held) {
        if self.open.first().is_some_and(|open| open < samples.span().0) {
            self.seal(held);
        } else {
            self.drop_open(samples.span().0, held);
        }
        *held += match (samples, piece) {
            (Samples::Floats(columns), Piece::Floats { columns: bytes, .. }) => {
                let at: Vec<Timestamp> = columns.at().iter().map(|at| Timestamp::from_ms(*at)).collect();
                self.sealed.push_columns(&at, columns.values(), |out| out.extend_from_slice(bytes))
            }
            (Samples::Histograms(samples), _) => self.sealed.push_histograms(samples),
            (Samples::Floats(_), Piece::Histograms(_)) => unreachable!("BUG: numbers in a run of histograms"),
        };
        let (first, last) = samples.span();
        for (at, start) in starts.changes(first, last) {
            self.note_start(at, start, held);
        }
    }

    /// Whether any sample has a start time.
    pub(super) fn has_start_times(&self) -> bool {
        self.starts.is_some() || self.late().iter().any(|late| late.start.is_some())
    }

    /// Lets go of the open run, and of the start times from `first` on, which come again.
    fn drop_open(&mut self, first: Timestamp, held: &mut Held) {
        if self.open.len() > 0 {
            *held -= self.open.held();
            self.open = Open::default();
        }
        if let Some(starts) = &mut self.starts {
            held.bytes -= starts.cut(first);
        }
    }

    /// As [`StoredSeries::restore`], without looking at the samples; only where no open run is older.
    pub(super) fn restore_unread(&mut self, run: &Unread<'_>, starts: StartList<'_>, held: &mut Held) {
        self.drop_open(run.span.first, held);
        *held += self.sealed.push_unread(run);
        for (at, start) in starts.changes(run.span.first, run.span.last) {
            self.note_start(at, start, held);
        }
    }

    /// From which sample on which start time holds, for those after `after`.
    pub(super) fn starts(&self, after: Timestamp) -> Vec<(Timestamp, Option<StartTime>)> {
        let Some(starts) = &self.starts else { return Vec::new() };
        starts.take(after.plus_ms(1), Timestamp::MAX).into_iter().map(Change::into_parts).collect()
    }

    fn seal(&mut self, held: &mut Held) {
        if self.open.len() == 0 {
            return;
        }
        *held -= self.open.held();
        *held += self.open.seal_into(&mut self.sealed);
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Held) {
        self.samples += other.samples;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, other: Held) {
        self.samples -= other.samples;
        self.chunks -= other.chunks;
        self.bytes -= other.bytes;
    }
}

impl Taken {
    /// The samples in `start..=end`, for which this was taken.
    pub(super) fn into_series(self, labels: Labels, start: Timestamp, end: Timestamp) -> Series {
        let count: usize = self.runs.iter().map(Run::len).sum();
        let mut samples = Vec::with_capacity(count + self.open.len());
        for run in &self.runs {
            run.read(start, end, &mut samples);
        }
        samples.extend(self.open);
        let mut starts = starts::beside(&samples, &self.starts);
        late::add_to_samples(self.late, &mut samples, &mut starts);
        Series { labels, samples, starts }
    }
}

/// What a sample holds beside others.
fn held_by(value: &Value) -> Held {
    Held { samples: 1, chunks: 0, bytes: bytes_of(value) }
}

/// Equality with NaN equal to itself, as a staleness marker of histograms has it.
pub(super) fn is_same_histogram(a: &Histogram, b: &Histogram) -> bool {
    let floats = |h: &Histogram| {
        let scalars = [h.zero_threshold, h.zero_count, h.count, h.sum];
        let lists = h.positive_buckets.iter().chain(&h.negative_buckets).chain(&h.custom_values);
        scalars.iter().chain(lists).map(|float| float.to_bits()).collect::<Vec<u64>>()
    };
    a.schema == b.schema
        && a.counter_reset_hint == b.counter_reset_hint
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
        && floats(a) == floats(b)
}
