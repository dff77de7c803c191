//! The time column of a chunk.
//!
//! Scrapes aim at a grid, so the distance of timestamps is nearly always the same. One bit says whether it is *always* the same:
//!
//! ```text
//! 1  step (varint)                                    regular: nothing per sample
//! 0  first distance (varint)  change of distance …    one bit a sample while the distance stays
//!        0                        no change
//!        10   +  7 bits           within ±64 ms
//!        110  + 14 bits           within ±8 s
//!        1110 + 20 bits           within ±8 min
//!        1111 + 64 bits           anything
//! ```
//!
//! **Source.** Pelkonen et al., "Gorilla", VLDB 2015, section 4.1.1; Prometheus 3.5 `tsdb/chunkenc/xor.go` (whose classes are
//! 14, 17, 20 and 64 bits wide: ours starts lower, for jitter is a few milliseconds).

use super::bits::{BitReader, BitWriter};
use super::chunk::SAMPLES_MAX;
use crate::model::Timestamp;

/// Widths of the classes above and the number of one bits before the zero that ends the prefix.
const CLASSES: [(u32, u32); 3] = [(7, 1), (14, 2), (20, 3)];

/// Writes all but the first of `times`, which strictly increase. The first stands in the chunk's head.
pub(super) fn write(writer: &mut BitWriter, times: &[Timestamp]) {
    let mut distances = times.windows(2).map(|pair| pair[1].as_ms().wrapping_sub(pair[0].as_ms()) as u64);
    let Some(step) = distances.next() else { return };
    let is_regular = distances.clone().all(|distance| distance == step);
    writer.write(u64::from(is_regular), 1);
    writer.write_varint(step);
    if is_regular {
        return;
    }
    let mut before = step;
    for distance in distances {
        write_change(writer, distance.wrapping_sub(before) as i64);
        before = distance;
    }
}

fn write_change(writer: &mut BitWriter, change: i64) {
    if change == 0 {
        return writer.write(0, 1);
    }
    for (width, ones) in CLASSES {
        let bound = 1 << (width - 1);
        if (-bound..bound).contains(&change) {
            // `ones` one bits and a zero.
            writer.write((1 << (ones + 1)) - 2, ones + 1);
            return writer.write(change as u64, width);
        }
    }
    writer.write(0b1111, 4);
    writer.write(change as u64, 64);
}

/// Reads into `times`, whose length is the number of samples, what [`write`] wrote.
pub(super) fn read(reader: &mut BitReader<'_>, first: Timestamp, times: &mut [i64]) {
    let Some((head, rest)) = times.split_first_mut() else { return };
    *head = first.as_ms();
    if rest.is_empty() {
        return;
    }
    let is_regular = reader.read_bit();
    let mut distance = reader.read_varint();
    let mut at = first.as_ms();
    for (index, slot) in rest.iter_mut().enumerate() {
        if !is_regular && index > 0 {
            distance = distance.wrapping_add(read_change(reader) as u64);
        }
        at = at.wrapping_add(distance as i64);
        *slot = at;
    }
}

/// A column of times to look into.
#[expect(
    clippy::large_enum_variant,
    reason = "It lives on the stack, and is not moved; clearing room for a list would cost each look-up more."
)]
pub(super) enum Times {
    /// The first, the distance and the count.
    Regular { first: i64, step: u64, len: usize },
    /// All of them.
    Listed([i64; SAMPLES_MAX], usize),
}

impl Times {
    /// Reads a column of `len` times, at most [`SAMPLES_MAX`].
    #[inline]
    pub(super) fn read(reader: &mut BitReader<'_>, first: Timestamp, len: usize) -> Self {
        if len < 2 {
            return Times::Regular { first: first.as_ms(), step: 1, len };
        }
        let mut ahead = reader.clone();
        if ahead.read_bit() {
            let step = ahead.read_varint();
            *reader = ahead;
            return Times::Regular { first: first.as_ms(), step, len };
        }
        let mut times = [0; SAMPLES_MAX];
        read(reader, first, &mut times[..len]);
        Times::Listed(times, len)
    }

    /// The time at `index`.
    pub(super) fn at(&self, index: usize) -> i64 {
        match self {
            Times::Regular { first, step, .. } => first.wrapping_add(step.wrapping_mul(index as u64) as i64),
            Times::Listed(times, _) => times[index],
        }
    }

    /// How many are at or before `at`.
    pub(super) fn count_through(&self, at: i64) -> usize {
        match self {
            Times::Regular { first, .. } if at < *first => 0,
            Times::Regular { first, step, len } => {
                let steps = at.wrapping_sub(*first) as u64 / step;
                steps.saturating_add(1).min(*len as u64) as usize
            }
            Times::Listed(times, len) => times[..*len].partition_point(|time| *time <= at),
        }
    }
}

fn read_change(reader: &mut BitReader<'_>) -> i64 {
    if !reader.read_bit() {
        return 0;
    }
    for (width, _) in CLASSES {
        if !reader.read_bit() {
            let shift = 64 - width;
            return ((reader.read(width) << shift) as i64) >> shift;
        }
    }
    reader.read(64) as i64
}
