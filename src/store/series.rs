//! The samples of one series: sealed chunks, then the open run.
//!
//! **Invariants.** Times strictly increase over all chunks and the open run. The open run holds the newest sample from the first
//! append on: it is sealed by the sample that no longer fits, not by the one that fills it.

use std::sync::Arc;

use super::changes::{IDLE_MS, NameHash};
use super::chunk::{self, Chunk, SAMPLES_MAX};
use super::selection::{Edges, Point, Window};
use super::starts::{self, Change, StartChanges};
use super::symbols::Pair;
use super::{Refusal, Row};
use crate::model::{Histogram, Labels, Sample, Series, Timestamp, Value, is_stale};

/// A time and a value in the columns of an open run.
const OPEN_FLOAT_BYTES: u64 = (size_of::<Timestamp>() + size_of::<f64>()) as u64;

pub(super) struct StoredSeries {
    /// In order of name.
    pub(super) labels: Arc<[Pair]>,
    /// Of its metric name.
    pub(super) name: NameHash,
    sealed: Vec<Chunk>,
    open: Open,
    /// Of most series there is none.
    starts: Option<Box<StartChanges>>,
}

/// The newest samples as plain columns, cheap to append to and to read.
enum Open {
    Floats { at: Vec<Timestamp>, values: Vec<f64> },
    Histograms(Vec<(Timestamp, Arc<Histogram>)>),
}

/// What a reader takes with it from under the lock.
pub(super) struct Taken {
    chunks: Vec<Chunk>,
    open: Vec<Sample>,
    starts: Vec<Change>,
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
    pub(super) fn new(labels: Arc<[Pair]>, name: NameHash) -> Self {
        StoredSeries {
            labels,
            name,
            sealed: Vec::new(),
            open: Open::Floats { at: Vec::new(), values: Vec::new() },
            starts: None,
        }
    }

    /// Appends a sample. `Ok(false)`: it was there already.
    pub(super) fn append(&mut self, row: &Row, held: &mut Held) -> Result<bool, Refusal> {
        let Row { at, value, start, .. } = row;
        let at = *at;
        match self.last() {
            Some(last) if at < last => return Err(Refusal::OutOfOrder),
            Some(last) if at == last => {
                return if self.open.is_last_value(value) { Ok(false) } else { Err(Refusal::Duplicate) };
            }
            _ => {}
        }
        if self.open.len() == SAMPLES_MAX || !self.open.takes(value) {
            self.seal(held);
        }
        held.chunks += u64::from(self.open.len() == 0);
        held.samples += 1;
        held.bytes += bytes_of(value);
        self.open.push(at, value);
        if start.is_some() || self.starts.is_some() {
            held.bytes += self.starts.get_or_insert_default().note(at, *start);
        }
        Ok(true)
    }

    /// The time of the newest sample.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.open.last()
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

    /// The last sample after `start` and not after `end`.
    pub(super) fn last_in(&self, start: Timestamp, end: Timestamp) -> Point {
        let point = match &self.open {
            Open::Floats { at, values } => {
                let past = position_after(at, end);
                past.checked_sub(1).map(|last| Point::Float(at[last], values[last])).filter(|_| at[past - 1] > start)
            }
            Open::Histograms(samples) => {
                let past = samples.partition_point(|(at, _)| *at <= end);
                let last = past.checked_sub(1).map(|last| &samples[last]).filter(|(at, _)| *at > start);
                last.map(|(at, h)| if is_stale(h.sum) { Point::Float(*at, h.sum) } else { Point::Histogram })
            }
        };
        let point = point.unwrap_or_else(|| match self.open.first() {
            // What lies before the open run is older than `start` too.
            Some(first) if first <= end || first <= start => Point::Absent,
            _ => self.last_sealed_in(start, end),
        });
        if matches!(point, Point::Float(_, value) if is_stale(value)) { Point::Absent } else { point }
    }

    fn last_sealed_in(&self, start: Timestamp, end: Timestamp) -> Point {
        let mut samples = Vec::new();
        if let Some(chunk) = self.chunks(start.plus_ms(1), end).last() {
            chunk.read(start.plus_ms(1), end, &mut samples);
        }
        samples.last().map_or(Point::Absent, |sample| match &sample.value {
            Value::Float(value) => Point::Float(sample.at, *value),
            Value::Histogram(histogram) if is_stale(histogram.sum) => Point::Absent,
            Value::Histogram(_) => Point::Histogram,
        })
    }

    /// Appends the samples after `start` and not after `end` to `window`, staleness markers included.
    pub(super) fn read_window(&self, start: Timestamp, end: Timestamp, window: &mut Window) {
        for chunk in self.chunks(start.plus_ms(1), end) {
            chunk.read_window(start, end, window);
        }
        match &self.open {
            Open::Floats { at, values } => {
                let inside = position_after(at, start)..position_after(at, end).max(position_after(at, start));
                window.at.extend_from_slice(&at[inside.clone()]);
                window.values.extend_from_slice(&values[inside]);
            }
            Open::Histograms(samples) => window.note_histograms(samples, start, end),
        }
    }

    /// See [`super::Reader::edges`].
    pub(super) fn edges(&self, start: Timestamp, end: Timestamp, scratch: &mut Window) -> Option<Edges> {
        if let Open::Floats { at, values } = &self.open
            && at.first().is_some_and(|first| *first <= start || self.sealed.is_empty())
        {
            let inside = position_after(at, start)..position_after(at, end).max(position_after(at, start));
            let (at, values) = (&at[inside.clone()], &values[inside]);
            if !values.iter().any(|value| is_stale(*value)) {
                return Edges::of(at, values);
            }
        }
        self.read_window(start, end, scratch);
        scratch.remove_stale();
        Edges::of(&scratch.at, &scratch.values)
    }

    /// Whether a run of samples overlaps `start..=end`.
    pub(super) fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        let is_inside = |first: Timestamp, last: Timestamp| first <= end && last >= start;
        let open = self.open.first().zip(self.open.last());
        open.is_some_and(|(first, last)| is_inside(first, last))
            || self.chunks(start, end).iter().any(|chunk| is_inside(chunk.first(), chunk.last()))
    }

    /// Takes what `start..=end` touches; `None` if that is nothing.
    pub(super) fn take(&self, start: Timestamp, end: Timestamp) -> Option<Taken> {
        let taken = Taken {
            chunks: self.chunks(start, end).to_vec(),
            open: self.open.read(start, end),
            starts: self.starts.as_ref().map_or_else(Vec::new, |starts| starts.take(start, end)),
        };
        (!taken.chunks.is_empty() || !taken.open.is_empty()).then_some(taken)
    }

    /// Drops the chunks that end before `before`, and the open run too if the series ended before it. Older samples in a chunk
    /// that reaches past `before` stay; the store hides them.
    pub(super) fn truncate(&mut self, before: Timestamp, held: &mut Held) {
        let gone = self.sealed.partition_point(|chunk| chunk.last() < before);
        for chunk in self.sealed.drain(..gone) {
            held.samples -= chunk.len() as u64;
            held.chunks -= 1;
            held.bytes -= chunk.bytes() as u64;
        }
        if self.last().is_some_and(|last| last < before) {
            held.samples -= self.open.len() as u64;
            held.chunks -= 1;
            held.bytes -= self.open.bytes();
            self.open = Open::Floats { at: Vec::new(), values: Vec::new() };
        }
        if let Some(starts) = &mut self.starts {
            held.bytes -= if self.open.len() == 0 { starts.bytes() } else { starts.truncate(before) };
        }
        self.starts.take_if(|_| self.open.len() == 0);
    }

    fn chunks(&self, start: Timestamp, end: Timestamp) -> &[Chunk] {
        let from = self.sealed.partition_point(|chunk| chunk.last() < start);
        let to = self.sealed.partition_point(|chunk| chunk.first() <= end);
        self.sealed.get(from..to).unwrap_or(&[])
    }

    fn seal(&mut self, held: &mut Held) {
        if self.open.len() == 0 {
            return;
        }
        held.bytes -= self.open.bytes();
        let chunk = match &mut self.open {
            Open::Floats { at, values } => {
                let chunk = Chunk::of_floats(at, values);
                // Emptied, not dropped: the next run is mostly as long, and the columns need not grow again.
                at.clear();
                values.clear();
                chunk
            }
            Open::Histograms(samples) => {
                let chunk = Chunk::of_histograms(samples);
                self.open = Open::Floats { at: Vec::new(), values: Vec::new() };
                chunk
            }
        };
        held.bytes += chunk.bytes() as u64;
        self.sealed.push(chunk);
    }
}

impl Taken {
    /// The samples in `start..=end`, for which this was taken.
    pub(super) fn into_series(self, labels: Labels, start: Timestamp, end: Timestamp) -> Series {
        let count: usize = self.chunks.iter().map(Chunk::len).sum();
        let mut samples = Vec::with_capacity(count + self.open.len());
        for chunk in &self.chunks {
            chunk.read(start, end, &mut samples);
        }
        samples.extend(self.open);
        let starts = starts::beside(&samples, &self.starts);
        Series { labels, samples, starts }
    }
}

impl Open {
    fn len(&self) -> usize {
        match self {
            Open::Floats { at, .. } => at.len(),
            Open::Histograms(samples) => samples.len(),
        }
    }

    /// Whether `value` is of the kind of this run, which may still become any kind while it is empty.
    fn takes(&self, value: &Value) -> bool {
        matches!((self, value), (Open::Floats { .. }, Value::Float(_)) | (Open::Histograms(_), Value::Histogram(_)))
    }

    fn push(&mut self, time: Timestamp, value: &Value) {
        match (&mut *self, value) {
            (Open::Floats { at, values }, Value::Float(value)) => {
                at.push(time);
                values.push(*value);
            }
            (Open::Histograms(samples), Value::Histogram(histogram)) => samples.push((time, histogram.clone())),
            (Open::Floats { at, .. }, Value::Histogram(histogram)) => {
                assert!(at.is_empty(), "BUG: a run of floats was not sealed before a histogram");
                *self = Open::Histograms(vec![(time, histogram.clone())]);
            }
            (Open::Histograms(_), Value::Float(_)) => unreachable!("BUG: sealing leaves an open run of floats"),
        }
    }

    fn first(&self) -> Option<Timestamp> {
        match self {
            Open::Floats { at, .. } => at.first().copied(),
            Open::Histograms(samples) => samples.first().map(|(at, _)| *at),
        }
    }

    fn last(&self) -> Option<Timestamp> {
        match self {
            Open::Floats { at, .. } => at.last().copied(),
            Open::Histograms(samples) => samples.last().map(|(at, _)| *at),
        }
    }

    /// Whether the newest sample holds `value`, bit for bit: NaN equals the same NaN here.
    fn is_last_value(&self, value: &Value) -> bool {
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

    fn read(&self, start: Timestamp, end: Timestamp) -> Vec<Sample> {
        match self {
            Open::Floats { at, values } => {
                let from = at.partition_point(|at| *at < start);
                let to = at.partition_point(|at| *at <= end).max(from);
                let samples = at[from..to].iter().zip(&values[from..to]);
                samples.map(|(at, value)| Sample::float(*at, *value)).collect()
            }
            Open::Histograms(samples) => {
                let inside = samples.iter().filter(|(at, _)| (start..=end).contains(at));
                inside.map(|(at, histogram)| Sample { at: *at, value: Value::Histogram(histogram.clone()) }).collect()
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Open::Floats { at, .. } => at.len() as u64 * OPEN_FLOAT_BYTES,
            Open::Histograms(samples) => {
                samples.iter().map(|(_, histogram)| chunk::bytes_of(histogram)).sum::<usize>() as u64
            }
        }
    }
}

/// How many of `times` are not after `at`. Most questions are about the newest ones.
fn position_after(times: &[Timestamp], at: Timestamp) -> usize {
    match times.last() {
        Some(last) if *last <= at => times.len(),
        _ => times.partition_point(|time| *time <= at),
    }
}

/// What an open run holds for `value`.
fn bytes_of(value: &Value) -> u64 {
    match value {
        Value::Float(_) => OPEN_FLOAT_BYTES,
        Value::Histogram(histogram) => chunk::bytes_of(histogram) as u64,
    }
}

/// Equality with NaN equal to itself, as a staleness marker of histograms has it.
fn is_same_histogram(a: &Histogram, b: &Histogram) -> bool {
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
