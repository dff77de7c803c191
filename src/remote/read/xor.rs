//! A chunk of numbers as Prometheus has it: delta-of-delta timestamps, XORed values, bit by bit.
//!
//! ```text
//! samples (16 bits) | time (varint) value (64 bits) | distance (uvarint) value | change of distance, value …
//!   change of distance:  0 | 10 14 bits | 110 17 bits | 1110 20 bits | 1111 64 bits
//!   value XOR the one before:  0 same | 10 in the place of the last bits | 11 leading zeros (5 bits), length (6 bits), bits
//! ```
//! **Source.** Prometheus 3.5 `tsdb/chunkenc/xor.go`, `bstream.go`.

use crate::model::{Sample, Timestamp};

/// What is no such chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChunk;

/// Gives the samples of a chunk in order.
pub(super) fn read(chunk: &[u8], mut take: impl FnMut(Sample)) -> Result<(), BadChunk> {
    let (count, rest) = chunk.split_first_chunk().ok_or(BadChunk)?;
    let mut bits = Bits { bytes: rest, position: 0 };
    let (mut at, mut distance, mut value) = (0i64, 0i64, 0u64);
    let (mut leading, mut length) = (0, 0);
    for index in 0..u16::from_be_bytes(*count) {
        match index {
            0 => {
                at = bits.signed_varint()?;
                value = bits.take(64)?;
            }
            _ => {
                distance = if index == 1 { bits.varint()? as i64 } else { distance.wrapping_add(bits.change()?) };
                at = at.wrapping_add(distance);
                if bits.bit()? {
                    if bits.bit()? {
                        leading = bits.take(5)? as u32;
                        length = bits.take(6)? as u32;
                        // 64 does not fit into six bits, and 0 is "the same".
                        length = if length == 0 { 64 } else { length };
                    }
                    let trailing = 64u32.checked_sub(leading + length).ok_or(BadChunk)?;
                    value ^= bits.take(length)?.checked_shl(trailing).unwrap_or(0);
                }
            }
        }
        take(Sample::float(Timestamp::from_ms(at), f64::from_bits(value)));
    }
    Ok(())
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<bool, BadChunk> {
        let byte = self.bytes.get(self.position / 8).ok_or(BadChunk)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    fn take(&mut self, count: u32) -> Result<u64, BadChunk> {
        let mut value = 0;
        let mut left = count as usize;
        while left > 0 {
            let byte = *self.bytes.get(self.position / 8).ok_or(BadChunk)?;
            let unread = 8 - self.position % 8;
            let taken = unread.min(left);
            let some = byte >> (unread - taken) & (0xff >> (8 - taken));
            value = value << taken | u64::from(some);
            self.position += taken;
            left -= taken;
        }
        Ok(value)
    }

    fn change(&mut self) -> Result<i64, BadChunk> {
        let mut ones = 0;
        while ones < 4 && self.bit()? {
            ones += 1;
        }
        let length = match ones {
            0 => return Ok(0),
            1 => 14,
            2 => 17,
            3 => 20,
            _ => return Ok(self.take(64)? as i64),
        };
        let value = self.take(length)? as i64;
        // Unlike two's complement, half the range itself is positive.
        Ok(if value > 1 << (length - 1) { value - (1 << length) } else { value })
    }

    fn varint(&mut self) -> Result<u64, BadChunk> {
        let mut value = 0;
        for index in 0..10 {
            let byte = self.take(8)?;
            value |= (byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadChunk)
    }

    fn signed_varint(&mut self) -> Result<i64, BadChunk> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nonsense_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut count = 0;
            let _ = read(&bytes, |_| count += 1);
            prop_assert!(count <= 8 * bytes.len());
        }
    }

    #[test]
    fn bits_by_hand() {
        // Three samples: (1000, 1.0), (1010, 1.0), (1021, -1.0).
        let mut bytes = vec![0, 3, 0xd0, 0x0f];
        bytes.extend(1f64.to_bits().to_be_bytes());
        bytes.push(10);
        // Same value: 0. Change of distance 1: 10, 14 bits. Value: 11, no leading zeros, one bit, 1.
        let text = "0 10 00000000000001 1 1 00000 000001 1";
        let digits: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
        for byte in digits.chunks(8) {
            bytes.push((0..8).fold(0, |sum, bit| sum << 1 | u8::from(byte.get(bit) == Some(&'1'))));
        }
        let mut samples = Vec::new();
        read(&bytes, |sample| samples.push((sample.at.as_ms(), sample.value.as_float().unwrap()))).unwrap();
        assert_eq!(samples, [(1000, 1.0), (1010, 1.0), (1021, -1.0)]);
        assert_eq!(read(&bytes[..bytes.len() - 2], |_| {}), Err(BadChunk));
    }
}
