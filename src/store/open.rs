//! The newest samples of a series as plain columns, cheap to append to and to read.
//!
//! In the flow: a commit appends to the open run of each series; a run that is full, or to which a sample does not fit, is sealed.
//!
//! **Why columns of times are shared.** The series of a scrape have the same times. Half of what an open run holds are times, so each series
//! that comes in *company*, beside others of the same time in its batch, takes part in a column that is there once for all of them:
//!
//! ```text
//! column   t0 t1 t2 t3 t4 t5        times only come to its end
//! series a  ├────────────┤          from 0, 5 samples: its next is t5, or it leaves
//! series b        ├─────────┤       from 2, 4 samples: it may put t6 there
//! ```
//!
//! A series whose times part from those of the column leaves it with a copy of its own, until its run is sealed.
//! **Invariants.** Times strictly increase. What a series has of a column is never changed. Columns are changed under the store's
//! lock only; they are atomic so that they can be shared, not to be read meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::chunk::{self, SAMPLES_MAX};
use super::sealed::{Sealed, TimedHistogram};
use super::series::{Held, is_same_histogram};
use crate::model::{Sample, Timestamp, Value, is_stale};

/// A time and a value, each of its own. What is shared is counted with every series, which tells more than there is.
const FLOAT_BYTES: u64 = (size_of::<Timestamp>() + size_of::<f64>()) as u64;

/// By how many samples the columns of an open run grow. All series of a target grow at the same scrapes: doubling would leave holes in
/// memory that nobody fills, and half of the last step unused.
const GROWTH: usize = 12;

/// A run is not begun in a column with less room than this: short runs are packed worse.
const ROOM_MIN: usize = SAMPLES_MAX / 4;

/// See the [module](self).
pub(super) enum Open {
    Floats {
        at: Times,
        values: Vec<f64>,
        /// No staleness marker is among them, and no value is less than the one before: the increase of any window is the
        /// difference of its ends.
        rises: bool,
    },
    Histograms(Vec<TimedHistogram>),
}

impl Default for Open {
    fn default() -> Self {
        Open::Floats { at: Times::Own(Vec::new()), values: Vec::new(), rises: true }
    }
}

/// The times of an open run of numbers.
pub(super) enum Times {
    Own(Vec<Timestamp>),
    /// A piece of a column.
    Shared {
        column: Arc<Column>,
        from: u8,
        len: u8,
    },
}

/// Times that several series have in common.
pub(super) struct Column {
    times: [AtomicI64; SAMPLES_MAX],
    len: AtomicUsize,
}

/// In whose company a sample comes.
#[derive(Default)]
pub(super) struct Company {
    /// Whether the sample before or after it in its batch has its time.
    pub(super) is_there: bool,
    /// The column of one of them.
    column: Option<Arc<Column>>,
}

impl Column {
    fn new() -> Arc<Column> {
        Arc::new(Column { times: std::array::from_fn(|_| AtomicI64::new(0)), len: AtomicUsize::new(0) })
    }

    #[inline]
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn get(&self, index: usize) -> Timestamp {
        Timestamp::from_ms(self.times[index].load(Ordering::Relaxed))
    }

    fn push(&self, at: Timestamp) {
        let len = self.len();
        self.times[len].store(at.as_ms(), Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Relaxed);
    }

    /// Where `at` stands, looked for from the end on.
    fn place(&self, at: Timestamp) -> Option<usize> {
        (0..self.len()).rev().find(|index| self.get(*index) <= at).filter(|index| self.get(*index) == at)
    }
}

impl Times {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Times::Own(times) => times.len(),
            Times::Shared { len, .. } => usize::from(*len),
        }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Timestamp {
        match self {
            Times::Own(times) => times[index],
            Times::Shared { column, from, .. } => column.get(usize::from(*from) + index),
        }
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        (self.len() > 0).then(|| self.get(0))
    }

    #[inline]
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.len().checked_sub(1).map(|index| self.get(index))
    }

    pub(super) fn range(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = Timestamp> + '_ {
        range.map(|index| self.get(index))
    }

    pub(super) fn to_vec(&self) -> Vec<Timestamp> {
        self.range(0..self.len()).collect()
    }

    /// How many are not after `at`. Most questions are about the newest ones.
    pub(super) fn count_through(&self, at: Timestamp) -> usize {
        match self.last() {
            Some(last) if last <= at => self.len(),
            _ => self.partition_point(|time| time <= at),
        }
    }

    /// How many pass, which are the first ones.
    fn partition_point(&self, passes: impl Fn(Timestamp) -> bool) -> usize {
        let (mut passed, mut end) = (0, self.len());
        while passed < end {
            let middle = passed + (end - passed) / 2;
            if passes(self.get(middle)) { passed = middle + 1 } else { end = middle }
        }
        passed
    }

    fn has(&self, at: Timestamp) -> bool {
        self.count_through(at).checked_sub(1).is_some_and(|index| self.get(index) == at)
    }

    /// Whether the next one needs a new run.
    fn is_full(&self) -> bool {
        match self {
            Times::Own(times) => times.len() == SAMPLES_MAX,
            Times::Shared { from, len, .. } => usize::from(*from) + usize::from(*len) == SAMPLES_MAX,
        }
    }

    fn insert(&mut self, place: usize, at: Timestamp) {
        self.own().insert(place, at);
    }

    /// Leaves the column.
    fn own(&mut self) -> &mut Vec<Timestamp> {
        if matches!(self, Times::Shared { .. }) {
            *self = Times::Own(self.to_vec());
        }
        match self {
            Times::Own(times) => times,
            Times::Shared { .. } => unreachable!("BUG: a column was not left"),
        }
    }

    fn clear(&mut self) {
        match self {
            // The next run is mostly as long, and need not grow again.
            Times::Own(times) => times.clear(),
            Times::Shared { .. } => *self = Times::Own(Vec::new()),
        }
    }

    /// Appends a time that is later than all others; there is room for it.
    fn push(&mut self, at: Timestamp, company: &mut Company) {
        match self {
            Times::Own(times) if times.is_empty() && company.is_there => *self = company.join(at),
            Times::Own(times) => {
                if times.len() == times.capacity() {
                    times.reserve_exact(GROWTH);
                }
                times.push(at);
            }
            Times::Shared { column, from, len } => {
                let next = usize::from(*from) + usize::from(*len);
                let is_end = next == column.len();
                if is_end && company.is_there {
                    column.push(at);
                } else if is_end || column.get(next) != at {
                    return self.own().push(at);
                }
                *len += 1;
                company.note(column, at);
            }
        }
    }
}

impl Company {
    /// The beginning of a run in the column of others, or in a new one.
    fn join(&mut self, at: Timestamp) -> Times {
        let found = self.column.as_ref().and_then(|column| column.place(at));
        if let Some((column, from)) = self.column.as_ref().zip(found.filter(|from| SAMPLES_MAX - from >= ROOM_MIN)) {
            return Times::Shared { column: column.clone(), from: from as u8, len: 1 };
        }
        let column = Column::new();
        column.push(at);
        self.column = Some(column.clone());
        Times::Shared { column, from: 0, len: 1 }
    }

    /// Remembers a column that goes up to `at`, for those that begin a run.
    #[inline]
    fn note(&mut self, column: &Arc<Column>, at: Timestamp) {
        let is_known = |known: &Arc<Column>| Arc::ptr_eq(known, column) || known.place(at).is_some();
        if SAMPLES_MAX - column.len() >= ROOM_MIN && !self.column.as_ref().is_some_and(is_known) {
            self.column = Some(column.clone());
        }
    }
}

impl Open {
    pub(super) fn held(&self) -> Held {
        Held { samples: self.len() as u64, chunks: 1, bytes: self.bytes() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Open::Floats { values, .. } => values.len(),
            Open::Histograms(samples) => samples.len(),
        }
    }

    /// Whether there is no room for another sample.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Open::Floats { at, .. } => at.is_full(),
            Open::Histograms(samples) => samples.len() == SAMPLES_MAX,
        }
    }

    /// Whether it has a sample of this instant.
    pub(super) fn has(&self, time: Timestamp) -> bool {
        match self {
            Open::Floats { at, .. } => at.has(time),
            Open::Histograms(samples) => samples.binary_search_by_key(&time, |(at, _)| *at).is_ok(),
        }
    }

    /// Inserts a sample that is older than the newest and newer than the oldest, if there is room for it and it is of this kind.
    pub(super) fn insert(&mut self, time: Timestamp, value: &Value) -> bool {
        if self.len() == SAMPLES_MAX || self.first().is_none_or(|first| time < first) {
            return false;
        }
        match (self, value) {
            (Open::Floats { at, values, rises }, Value::Float(value)) => {
                let place = at.count_through(time);
                let falls = *value < values[place - 1] || values.get(place).is_some_and(|next| next < value);
                *rises &= !falls && !is_stale(*value);
                at.insert(place, time);
                values.insert(place, *value);
                true
            }
            (Open::Histograms(samples), Value::Histogram(histogram)) => {
                let place = samples.partition_point(|(at, _)| *at < time);
                samples.insert(place, (time, histogram.clone()));
                true
            }
            _ => false,
        }
    }

    /// Whether `value` is of the kind of this run, which may still become any kind while it is empty.
    pub(super) fn takes(&self, value: &Value) -> bool {
        matches!((self, value), (Open::Floats { .. }, Value::Float(_)) | (Open::Histograms(_), Value::Histogram(_)))
    }

    pub(super) fn push(&mut self, time: Timestamp, value: &Value, company: &mut Company) {
        match (&mut *self, value) {
            (Open::Floats { at, values, rises }, Value::Float(value)) => {
                if values.len() == values.capacity() {
                    values.reserve_exact(GROWTH);
                }
                let falls = values.last().is_some_and(|last| value < last);
                *rises &= !falls && !is_stale(*value);
                at.push(time, company);
                values.push(*value);
            }
            (Open::Histograms(samples), Value::Histogram(histogram)) => samples.push((time, histogram.clone())),
            (Open::Floats { at, .. }, Value::Histogram(histogram)) => {
                assert!(at.len() == 0, "BUG: a run of floats was not sealed before a histogram");
                *self = Open::Histograms(vec![(time, histogram.clone())]);
            }
            (Open::Histograms(_), Value::Float(_)) => unreachable!("BUG: sealing leaves an open run of floats"),
        }
    }

    /// Seals its samples, and is empty afterwards. Gives what they hold now.
    pub(super) fn seal_into(&mut self, sealed: &mut Sealed) -> Held {
        match self {
            Open::Floats { at, values, rises } => {
                let held = sealed.push_floats(&at.to_vec(), values);
                at.clear();
                values.clear();
                *rises = true;
                held
            }
            Open::Histograms(samples) => {
                let held = sealed.push_histograms(samples);
                *self = Open::default();
                held
            }
        }
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        match self {
            Open::Floats { at, .. } => at.first(),
            Open::Histograms(samples) => samples.first().map(|(at, _)| *at),
        }
    }

    #[inline]
    pub(super) fn last(&self) -> Option<Timestamp> {
        match self {
            Open::Floats { at, .. } => at.last(),
            Open::Histograms(samples) => samples.last().map(|(at, _)| *at),
        }
    }

    /// Whether the newest sample holds `value`, bit for bit: NaN equals the same NaN here.
    pub(super) fn is_last_value(&self, value: &Value) -> bool {
        match (self, value) {
            (Open::Floats { values, .. }, Value::Float(value)) => {
                values.last().is_some_and(|last| last.to_bits() == value.to_bits())
            }
            (Open::Histograms(samples), Value::Histogram(histogram)) => {
                samples.last().is_some_and(|(_, last)| is_same_histogram(last, histogram))
            }
            _ => false,
        }
    }

    /// Its samples in `start..=end`.
    pub(super) fn read(&self, start: Timestamp, end: Timestamp) -> Vec<Sample> {
        match self {
            Open::Floats { at, values, .. } => {
                let from = at.partition_point(|at| at < start);
                let to = at.count_through(end).max(from);
                let samples = at.range(from..to).zip(&values[from..to]);
                samples.map(|(at, value)| Sample::float(at, *value)).collect()
            }
            Open::Histograms(samples) => {
                let inside = samples.iter().filter(|(at, _)| (start..=end).contains(at));
                inside.map(|(at, histogram)| Sample { at: *at, value: Value::Histogram(histogram.clone()) }).collect()
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Open::Floats { values, .. } => values.len() as u64 * FLOAT_BYTES,
            Open::Histograms(samples) => {
                samples.iter().map(|(_, histogram)| chunk::bytes_of(histogram)).sum::<usize>() as u64
            }
        }
    }
}

/// What an open run holds for `value`.
pub(super) fn bytes_of(value: &Value) -> u64 {
    match value {
        Value::Float(_) => FLOAT_BYTES,
        Value::Histogram(histogram) => chunk::bytes_of(histogram) as u64,
    }
}

#[cfg(test)]
mod tests;
