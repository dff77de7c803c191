//! A column of floats that are decimals with few places, as integers: differences packed into equal widths.
//!
//! Counters and most gauges are integers, ratios in a page are rounded: `value = integer / 10^places`, exactly. The differences
//! of such integers need few bits, and need them every time, so that a fixed width beats XOR by far and reads without branches.
//! A counter reset or a burst does not fit the width; up to [`OUTLIERS_MAX`] of each sign stand apart.
//!
//! ```text
//! places (4)  width (6)  outliers (3)  first integer (varint)  least difference (varint)
//! difference - least difference (width bits) …   outlier: index (7), difference (varint) …
//! ```
//!
//! **Invariants.** A column is only written this way if every value reads back with the same bits: NaN, infinities, negative zero
//! and integers from 2^53 on are refused, and the chunk falls back to [`xor`](super::xor).

use super::bits::{BitReader, BitWriter};

/// More places than this are the noise of a division and XOR stores them no worse.
const PLACES_MAX: usize = 9;

/// Differences on each side of the packed range that may stand apart. A chunk with more has no common width worth finding.
const OUTLIERS_MAX: usize = 3;

/// About what an outlier costs: its index and a varint. For choosing the width; need not be exact.
const OUTLIER_BITS: usize = 7 + 24;

const POWERS: [f64; PLACES_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// From here on neighbouring integers are no longer different floats.
const INTEGER_END: f64 = 9_007_199_254_740_992.0;

/// Writes `values` and says so, or writes nothing, where a value is not such a decimal.
pub(super) fn try_write(writer: &mut BitWriter, values: &[f64]) -> bool {
    let Some((places, integers)) = integers_of(values) else { return false };
    let differences: Vec<i64> = integers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, width) = packed_range(&differences);
    let is_outlier = |difference: i64| difference < least || (difference - least) as u64 >= 1 << width;
    let outliers = differences.iter().filter(|&&difference| is_outlier(difference)).count();

    writer.write(places as u64, 4);
    writer.write(u64::from(width), 6);
    writer.write(outliers as u64, 3);
    writer.write_signed_varint(integers[0]);
    writer.write_signed_varint(least);
    for &difference in &differences {
        let packed = if is_outlier(difference) { 0 } else { (difference - least) as u64 };
        writer.write(packed, width);
    }
    for (index, &difference) in differences.iter().enumerate().filter(|(_, difference)| is_outlier(**difference)) {
        writer.write(index as u64, 7);
        writer.write_signed_varint(difference);
    }
    true
}

/// Reads into `values`, whose length is the number of samples, what [`try_write`] wrote.
pub(super) fn read(reader: &mut BitReader<'_>, values: &mut [f64]) {
    let power = POWERS[reader.read(4) as usize];
    let width = reader.read(6) as u32;
    let outliers = reader.read(3);
    let mut integer = reader.read_signed_varint();
    let least = reader.read_signed_varint();
    let mut differences = [0; super::chunk::SAMPLES_MAX];
    let differences = &mut differences[..values.len() - 1];
    for difference in differences.iter_mut() {
        *difference = least + reader.read(width) as i64;
    }
    for _ in 0..outliers {
        let index = reader.read(7) as usize;
        differences[index] = reader.read_signed_varint();
    }
    values[0] = integer as f64 / power;
    for (slot, difference) in values[1..].iter_mut().zip(differences) {
        integer += *difference;
        *slot = integer as f64 / power;
    }
}

/// The value at `index` of a column of `len` values that [`try_write`] wrote. What follows it is not read, except outliers.
pub(super) fn read_one(reader: &mut BitReader<'_>, len: usize, index: usize) -> f64 {
    let head = Head::read(reader);
    head.value(head.integer(reader, len, index))
}

/// The values at `index` and after it, which is less than `len` too.
pub(super) fn read_pair(reader: &mut BitReader<'_>, len: usize, index: usize) -> [f64; 2] {
    let head = Head::read(reader);
    let integer = head.integer(reader, len, index);
    [integer, integer + head.difference(reader, len, index)].map(|integer| head.value(integer))
}

/// What stands before the packed differences, at whose beginning the reader is left.
struct Head {
    power: f64,
    width: u32,
    outliers: u64,
    first: i64,
    least: i64,
}

impl Head {
    fn read(reader: &mut BitReader<'_>) -> Head {
        Head {
            power: POWERS[reader.read(4) as usize],
            width: reader.read(6) as u32,
            outliers: reader.read(3),
            first: reader.read_signed_varint(),
            least: reader.read_signed_varint(),
        }
    }

    fn value(&self, integer: i64) -> f64 {
        integer as f64 / self.power
    }

    fn integer(&self, packed: &BitReader<'_>, len: usize, index: usize) -> i64 {
        let sum = packed.clone().sum(self.width, index) as i64;
        let outliers = self.outliers(packed, len).filter(|(at, _)| *at < index);
        outliers.fold(self.first + self.least * index as i64 + sum, |integer, (_, more)| integer + more)
    }

    /// From the value at `index` to the next.
    fn difference(&self, packed: &BitReader<'_>, len: usize, index: usize) -> i64 {
        let mut reader = packed.clone();
        reader.skip(index * self.width as usize);
        let outliers = self.outliers(packed, len).filter(|(at, _)| *at == index);
        outliers.fold(self.least + reader.read(self.width) as i64, |difference, (_, more)| difference + more)
    }

    /// Which differences are others than what is packed in their place, and by how much: zero was packed.
    fn outliers(&self, packed: &BitReader<'_>, len: usize) -> impl Iterator<Item = (usize, i64)> {
        let (mut reader, least) = (packed.clone(), self.least);
        reader.skip((len - 1) * self.width as usize);
        (0..self.outliers).map(move |_| (reader.read(7) as usize, reader.read_signed_varint() - least))
    }
}

/// The fewest places with which all of `values` are integers, and those integers. `None` if there are none, or no values.
fn integers_of(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let mut places = 0;
    for &value in values {
        while integer_of(value, places).is_none() {
            places += 1;
            if places > PLACES_MAX {
                return None;
            }
        }
    }
    // A value that needs no places may become too large with those of another.
    let integers: Option<Vec<i64>> = values.iter().map(|&value| integer_of(value, places)).collect();
    integers.filter(|integers| !integers.is_empty()).map(|integers| (places, integers))
}

/// `value * 10^places`, if that is an integer from which `value` comes back with the same bits.
fn integer_of(value: f64, places: usize) -> Option<i64> {
    let scaled = (value * POWERS[places]).round();
    let is_exact = scaled.abs() < INTEGER_END && (scaled as i64 as f64 / POWERS[places]).to_bits() == value.to_bits();
    is_exact.then_some(scaled as i64)
}

/// The least difference and the width of the packed range that costs the fewest bits, outliers included.
fn packed_range(differences: &[i64]) -> (i64, u32) {
    let mut sorted = differences.to_vec();
    sorted.sort_unstable();
    let mut best = (usize::MAX, 0, 0);
    for below in 0..=OUTLIERS_MAX {
        for above in 0..=OUTLIERS_MAX {
            let Some(range) = sorted.get(below..sorted.len().saturating_sub(above)).filter(|range| !range.is_empty())
            else {
                continue;
            };
            let least = range[0];
            let width = 64 - ((range[range.len() - 1] - least) as u64).leading_zeros();
            let cost = sorted.len() * width as usize + (below + above) * OUTLIER_BITS;
            if cost < best.0 {
                best = (cost, least, width);
            }
        }
    }
    (best.1, best.2)
}
