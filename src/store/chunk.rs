//! Sealed runs of samples.
//!
//! In the flow: a series seals its open run into a chunk when it is full; a select decodes the chunks that its range touches.
//! Chunks are shared: a reader takes them with it and decodes after the store's lock is released.
//!
//! ```text
//! floats:      time column | 1 decimal column
//!                          | 0 XOR column           whichever is the smaller
//! histograms:  samples as they are, behind a shared pointer
//! ```
//!
//! **Invariants.** Times strictly increase. A chunk holds one kind of value and is never changed.
//! **Limits.** [`SAMPLES_MAX`] samples, so that a look-up decodes a bounded run.
//! **Cost.** See the table in [`super`].

use std::sync::Arc;

use super::bits::{BitReader, BitWriter};
use super::selection::Window;
use super::{decimal, times, xor};
use crate::model::{Histogram, Sample, Timestamp, Value};

/// Samples in a chunk at most: half an hour at 15 s. **Source.** The Gorilla paper's knee, and what Prometheus uses.
pub(super) const SAMPLES_MAX: usize = 120;

/// A sealed run.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    first: Timestamp,
    last: Timestamp,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Floats { count: u8, bits: Arc<[u8]> },
    Histograms(Arc<[(Timestamp, Arc<Histogram>)]>),
}

impl Chunk {
    /// Seals floats. `at` strictly increases, is as long as `values`, not empty and at most [`SAMPLES_MAX`] long.
    pub(super) fn of_floats(at: &[Timestamp], values: &[f64]) -> Self {
        assert!(at.len() == values.len() && at.len() <= SAMPLES_MAX, "BUG: a run is too long to be sealed");
        let mut writer = BitWriter::default();
        times::write(&mut writer, at);
        let mut by_xor = BitWriter::default();
        xor::write(&mut by_xor, values);
        let mut by_decimal = BitWriter::default();
        let is_decimal = decimal::try_write(&mut by_decimal, values) && by_decimal.len() <= by_xor.len();
        writer.write(u64::from(is_decimal), 1);
        writer.append(if is_decimal { &by_decimal } else { &by_xor });
        let body = Body::Floats { count: at.len() as u8, bits: writer.into_bytes().into() };
        Chunk { first: at[0], last: at[at.len() - 1], body }
    }

    /// Seals histograms, under the same conditions.
    pub(super) fn of_histograms(samples: &[(Timestamp, Arc<Histogram>)]) -> Self {
        Chunk { first: samples[0].0, last: samples[samples.len() - 1].0, body: Body::Histograms(samples.into()) }
    }

    /// The time of its last sample.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    /// The time of its first sample.
    pub(super) fn first(&self) -> Timestamp {
        self.first
    }

    /// How many samples it holds.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Floats { count, .. } => usize::from(*count),
            Body::Histograms(samples) => samples.len(),
        }
    }

    /// Bytes that it holds, its own struct included, the allocator's own not.
    pub(super) fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Floats { bits, .. } => bits.len(),
            Body::Histograms(samples) => samples.iter().map(|(_, histogram)| bytes_of(histogram)).sum(),
        };
        size_of::<Chunk>() + body
    }

    /// Appends those of its samples in `start..=end` to `out`.
    pub(super) fn read(&self, start: Timestamp, end: Timestamp, out: &mut Vec<Sample>) {
        match &self.body {
            Body::Floats { bits, .. } => {
                let mut columns = Columns::EMPTY;
                let (at, values) = self.decode(bits, &mut columns);
                let from = at.partition_point(|&at| at < start.as_ms());
                let to = at.partition_point(|&at| at <= end.as_ms());
                let samples = at.iter().zip(values.iter()).take(to).skip(from);
                out.extend(samples.map(|(&at, &value)| Sample::float(Timestamp::from_ms(at), value)));
            }
            Body::Histograms(samples) => {
                let inside = samples.iter().filter(|(at, _)| (start..=end).contains(at));
                out.extend(
                    inside.map(|(at, histogram)| Sample { at: *at, value: Value::Histogram(histogram.clone()) }),
                );
            }
        }
    }

    /// Appends those of its samples after `start` and not after `end` to the columns of `window`.
    pub(super) fn read_window(&self, start: Timestamp, end: Timestamp, window: &mut Window) {
        match &self.body {
            Body::Floats { bits, .. } => {
                let mut columns = Columns::EMPTY;
                let (at, values) = self.decode(bits, &mut columns);
                let from = at.partition_point(|&at| at <= start.as_ms());
                let to = at.partition_point(|&at| at <= end.as_ms()).max(from);
                window.at.extend(at[from..to].iter().map(|at| Timestamp::from_ms(*at)));
                window.values.extend_from_slice(&values[from..to]);
            }
            Body::Histograms(samples) => window.note_histograms(samples, start, end),
        }
    }

    fn decode<'c>(&self, bits: &[u8], columns: &'c mut Columns) -> (&'c [i64], &'c [f64]) {
        let (at, values) = (&mut columns.at[..self.len()], &mut columns.values[..self.len()]);
        let mut reader = BitReader::new(bits);
        times::read(&mut reader, self.first, at);
        if reader.read_bit() {
            decimal::read(&mut reader, values);
        } else {
            xor::read(&mut reader, values);
        }
        (at, values)
    }
}

/// Room for the samples of a decoded chunk.
struct Columns {
    at: [i64; SAMPLES_MAX],
    values: [f64; SAMPLES_MAX],
}

impl Columns {
    const EMPTY: Columns = Columns { at: [0; SAMPLES_MAX], values: [0.0; SAMPLES_MAX] };
}

/// Bytes that a histogram holds, its own struct included.
pub(super) fn bytes_of(histogram: &Histogram) -> usize {
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let floats = histogram.positive_buckets.len() + histogram.negative_buckets.len() + histogram.custom_values.len();
    size_of::<Histogram>() + 8 * (spans + floats)
}

#[cfg(test)]
mod tests;
