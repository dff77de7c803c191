//! A column of floats, each XORed with the one before it.
//!
//! ```text
//! first value (64 bits), then for each further value
//!   0                                                              the same bits
//!   10  the bits inside the last window                            a difference that fits the window
//!   11  leading zeros (5 bits), width - 1 (6 bits), the bits       a difference that opens a window
//! ```
//!
//! Bits go in and out, so every NaN, infinity, subnormal and negative zero survives.
//! **Source.** Pelkonen et al., "Gorilla", VLDB 2015, section 4.1.2; Prometheus 3.5 `tsdb/chunkenc/xor.go`.

use super::bits::{BitReader, BitWriter};

/// The most leading zeros that five bits can say.
const LEADING_MAX: u32 = 31;

/// Writes `values`.
pub(super) fn write(writer: &mut BitWriter, values: &[f64]) {
    let Some((first, rest)) = values.split_first() else { return };
    writer.write(first.to_bits(), 64);
    let mut before = first.to_bits();
    // Leading zeros and width of the current window; a width of zero fits nothing.
    let (mut leading, mut width) = (0, 0);
    for value in rest {
        let difference = value.to_bits() ^ before;
        before = value.to_bits();
        if difference == 0 {
            writer.write(0, 1);
            continue;
        }
        let zeros_before = difference.leading_zeros().min(LEADING_MAX);
        let zeros_after = difference.trailing_zeros();
        if width > 0 && zeros_before >= leading && zeros_after >= 64 - leading - width {
            writer.write(0b10, 2);
        } else {
            (leading, width) = (zeros_before, 64 - zeros_before - zeros_after);
            writer.write(0b11, 2);
            writer.write(u64::from(leading), 5);
            writer.write(u64::from(width - 1), 6);
        }
        writer.write(difference >> (64 - leading - width), width);
    }
}

/// Reads into `values`, whose length is the number of samples, what [`write`] wrote.
pub(super) fn read(reader: &mut BitReader<'_>, values: &mut [f64]) {
    let Some((first, rest)) = values.split_first_mut() else { return };
    let mut bits = reader.read(64);
    *first = f64::from_bits(bits);
    let (mut leading, mut width) = (0, 0);
    for slot in rest {
        if reader.read_bit() {
            if reader.read_bit() {
                leading = reader.read(5) as u32;
                width = reader.read(6) as u32 + 1;
            }
            bits ^= reader.read(width) << (64 - leading - width);
        }
        *slot = f64::from_bits(bits);
    }
}
