//! Sealed runs of floats: columns of bits in the bytes of a [`block`](super::block).
//!
//! In the flow: a series seals its open run when it is full; a window looks at single samples of a chunk, a select decodes it.
//!
//! ```text
//! time column | 1 decimal column
//!             | 0 XOR column           whichever is the smaller
//! ```
//!
//! **Invariants.** Times strictly increase. A chunk is never changed.
//! **Limits.** [`SAMPLES_MAX`] samples, so that a look-up decodes a bounded run.
//! **Cost.** See the table in [`super`]. A single sample of regular times and a decimal column costs a division for the place and one
//! addition for each sample before it (about 50 ns on average); of other columns, decoding up to it.

use super::bits::{BitReader, BitWriter};
use super::times::Times;
use super::{decimal, times, xor};
use crate::model::{Histogram, Timestamp};

/// Samples in a chunk at most: half an hour at 15 s. **Source.** The Gorilla paper's knee, and what Prometheus uses.
pub(super) const SAMPLES_MAX: usize = 120;

/// Appends the columns of a run to `bytes`. `at` strictly increases, is as long as `values`, not empty and at most
/// [`SAMPLES_MAX`] long.
pub(super) fn seal(at: &[Timestamp], values: &[f64], bytes: &mut Vec<u8>) {
    assert!(at.len() == values.len() && at.len() <= SAMPLES_MAX, "BUG: a run is too long to be sealed");
    let mut writer = BitWriter::default();
    times::write(&mut writer, at);
    let mut by_xor = BitWriter::default();
    xor::write(&mut by_xor, values);
    let mut by_decimal = BitWriter::default();
    let is_decimal = decimal::try_write(&mut by_decimal, values) && by_decimal.len() <= by_xor.len();
    writer.write(u64::from(is_decimal), 1);
    writer.append(if is_decimal { &by_decimal } else { &by_xor });
    bytes.extend_from_slice(&writer.into_bytes());
}

/// A chunk to read from.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// The time of its first sample, which its columns do not say.
    pub(super) first: Timestamp,
    /// How many samples it holds.
    pub(super) len: usize,
    /// Begins with its columns; what follows them is not looked at.
    pub(super) bytes: &'a [u8],
}

/// A decoded chunk.
pub(super) struct Columns {
    at: [i64; SAMPLES_MAX],
    values: [f64; SAMPLES_MAX],
    len: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Columns { at: [0; SAMPLES_MAX], values: [0.0; SAMPLES_MAX], len: 0 }
    }
}

impl Columns {
    /// Milliseconds since the epoch.
    pub(super) fn at(&self) -> &[i64] {
        &self.at[..self.len]
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values[..self.len]
    }

    pub(super) fn samples(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.at().iter().copied().zip(self.values().iter().copied())
    }
}

impl Chunk<'_> {
    /// Decodes all of it.
    pub(super) fn decode(&self, columns: &mut Columns) {
        columns.len = self.len;
        let mut reader = BitReader::new(self.bytes);
        times::read(&mut reader, self.first, &mut columns.at[..self.len]);
        let values = &mut columns.values[..self.len];
        if reader.read_bit() {
            decimal::read(&mut reader, values);
        } else {
            xor::read(&mut reader, values);
        }
    }

    /// The time of its last sample.
    pub(super) fn last(&self) -> Timestamp {
        let times = Times::read(&mut BitReader::new(self.bytes), self.first, self.len);
        Timestamp::from_ms(times.at(self.len - 1))
    }

    /// How many of its samples lie at or before `at`.
    pub(super) fn count_through(&self, at: Timestamp) -> usize {
        Times::read(&mut BitReader::new(self.bytes), self.first, self.len).count_through(at.as_ms())
    }

    /// The sample at `index`, which is less than `len`.
    pub(super) fn sample(&self, index: usize) -> (Timestamp, f64) {
        let mut reader = BitReader::new(self.bytes);
        let at = Times::read(&mut reader, self.first, self.len).at(index);
        let [value] = self.values(&mut reader, index);
        (Timestamp::from_ms(at), value)
    }

    /// The neighbours between which `at` lies, and the index of the earlier one, which may be at `at`. It is not before the first sample, and
    /// before the last.
    pub(super) fn around(&self, at: Timestamp) -> (usize, [(Timestamp, f64); 2]) {
        let mut reader = BitReader::new(self.bytes);
        let times = Times::read(&mut reader, self.first, self.len);
        let index = times.count_through(at.as_ms()) - 1;
        let [before, after] = self.values(&mut reader, index);
        let at = |index| Timestamp::from_ms(times.at(index));
        (index, [(at(index), before), (at(index + 1), after)])
    }

    /// The values from `index` on; the reader stands behind the times. One or two of them.
    fn values<const COUNT: usize>(&self, reader: &mut BitReader<'_>, index: usize) -> [f64; COUNT] {
        if reader.read_bit() {
            if COUNT == 1 {
                return [decimal::read_one(reader, self.len, index); COUNT];
            }
            let pair = decimal::read_pair(reader, self.len, index);
            return std::array::from_fn(|place| pair[place]);
        }
        let mut values = [0.0; SAMPLES_MAX];
        xor::read(reader, &mut values[..index + COUNT]);
        std::array::from_fn(|place| values[index + place])
    }
}

/// Bytes that a histogram holds, its own struct included.
pub(super) fn bytes_of(histogram: &Histogram) -> usize {
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let floats = histogram.positive_buckets.len() + histogram.negative_buckets.len() + histogram.custom_values.len();
    size_of::<Histogram>() + 8 * (spans + floats)
}

#[cfg(test)]
mod tests;
