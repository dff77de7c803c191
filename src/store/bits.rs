//! Numbers of any width, one after the other, most significant bit first.
//!
//! In the flow: the columns of a [`chunk`](super::chunk) are written and read with these.
//!
//! **Invariants.** What was written with a width is read with the same width, in the same order; the stream does not know its
//! own structure. Reading past the end is a bug and panics.
//! **Cost.** One unaligned load and two shifts a read of up to 56 bits.

/// The widest number that one eight-byte load holds at any bit offset.
const ONE_LOAD_WIDTH_MAX: u32 = 56;

/// Appends numbers to a byte vector.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

impl BitWriter {
    /// Appends the low `width` bits of `value`; `width` is at most 64.
    pub(super) fn write(&mut self, value: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let piece = (value >> (left - taken)) & ((1 << taken) - 1);
            let last = self.bytes.last_mut().expect("BUG: a byte was just pushed");
            *last |= (piece as u8) << (self.free - taken);
            self.free -= taken;
            left -= taken;
        }
    }

    /// Appends a number that is mostly small: groups of seven bits, each after a bit that says whether more follow.
    pub(super) fn write_varint(&mut self, mut value: u64) {
        while value >= 1 << 7 {
            self.write(1 << 7 | value & 0x7f, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Appends a number of either sign that is mostly near zero.
    pub(super) fn write_signed_varint(&mut self, value: i64) {
        self.write_varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Bits written so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() * 8 - self.free as usize
    }

    /// Appends the first `len` bits of `other`.
    pub(super) fn append(&mut self, other: &BitWriter) {
        let mut reader = BitReader::new(&other.bytes);
        let mut left = other.len();
        while left > 0 {
            let width = left.min(32);
            self.write(reader.read(width as u32), width as u32);
            left -= width;
        }
    }

    /// The bytes; the last one is padded with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads numbers back.
#[derive(Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, position: 0 }
    }

    /// Reads `width` bits, at most 64.
    #[inline]
    pub(super) fn read(&mut self, width: u32) -> u64 {
        if width > ONE_LOAD_WIDTH_MAX {
            let high = self.read_narrow(width - 32);
            return high << 32 | self.read_narrow(32);
        }
        if width == 0 { 0 } else { self.read_narrow(width) }
    }

    /// Reads 1 to [`ONE_LOAD_WIDTH_MAX`] bits.
    #[inline]
    fn read_narrow(&mut self, width: u32) -> u64 {
        let window = self.load(self.position / 8) << (self.position % 8);
        self.position += width as usize;
        assert!(self.position <= self.bytes.len() * 8, "BUG: read past the end of a chunk");
        window >> (64 - width)
    }

    /// Passes over `bits` bits.
    pub(super) fn skip(&mut self, bits: usize) {
        self.position += bits;
    }

    /// The sum of the next `count` numbers of `width` bits, modulo 2^64. Takes as many numbers from a load as it holds, and adds up the
    /// narrow ones of many loads side by side.
    pub(super) fn sum(mut self, width: u32, count: usize) -> u64 {
        if width == 0 {
            return 0;
        }
        let mut left = count;
        let mut sum = 0u64;
        let at_once = ONE_LOAD_WIDTH_MAX / width;
        if at_once > 1 {
            // Every other number of a load, each with room for a sum of twice its width.
            let lane = (1u64 << width) - 1;
            let lanes = (0..at_once.div_ceil(2)).fold(0, |lanes, index| lanes | lane << (2 * width * index));
            // The last one may have less room than twice its width; so many rounds need six bits more than its width.
            let rounds_max = 1usize << (width - 1).min(6);
            while left >= at_once as usize {
                let rounds = (left / at_once as usize).min(rounds_max);
                let mut sums = 0u64;
                for _ in 0..rounds {
                    let group = self.read_narrow(at_once * width);
                    sums += (group & lanes) + (group >> width & lanes);
                }
                left -= rounds * at_once as usize;
                while sums > 0 {
                    sum = sum.wrapping_add(sums & ((1 << (2 * width)) - 1));
                    sums >>= 2 * width;
                }
            }
        }
        for _ in 0..left {
            sum = sum.wrapping_add(self.read(width));
        }
        sum
    }

    /// Reads one bit.
    #[inline]
    pub(super) fn read_bit(&mut self) -> bool {
        self.read(1) == 1
    }

    /// See [`BitWriter::write_varint`].
    #[inline]
    pub(super) fn read_varint(&mut self) -> u64 {
        let mut ahead = self.load(self.position / 8) << (self.position % 8);
        let mut value = 0;
        for index in 0..ONE_LOAD_WIDTH_MAX / 8 {
            let group = ahead >> 56;
            value |= (group & 0x7f) << (7 * index);
            if group < 1 << 7 {
                self.position += 8 * (index as usize + 1);
                assert!(self.position <= self.bytes.len() * 8, "BUG: read past the end of a chunk");
                return value;
            }
            ahead <<= 8;
        }
        self.read_long_varint()
    }

    fn read_long_varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let group = self.read(8);
            value |= (group & 0x7f) << shift;
            if group < 1 << 7 {
                break;
            }
        }
        value
    }

    /// See [`BitWriter::write_signed_varint`].
    pub(super) fn read_signed_varint(&mut self) -> i64 {
        let value = self.read_varint();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    /// Eight bytes from `start`, zeros past the end.
    #[inline]
    fn load(&self, start: usize) -> u64 {
        if let Some(bytes) = self.bytes.get(start..).and_then(|rest| rest.first_chunk()) {
            return u64::from_be_bytes(*bytes);
        }
        let mut padded = [0; 8];
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        padded[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(padded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_what_was_written(numbers in prop::collection::vec((any::<u64>(), 0..=64u32), 0..50), extra in any::<i64>()) {
            let low = |value: u64, width: u32| if width == 64 { value } else { value & ((1 << width) - 1) };
            let mut first = BitWriter::default();
            for &(value, width) in &numbers {
                first.write(value, width);
            }
            first.write_signed_varint(extra);
            let mut writer = BitWriter::default();
            writer.write(1, 3);
            writer.append(&first);
            writer.write_varint(extra as u64);
            let bytes = writer.into_bytes();

            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(reader.read(3), 1);
            for &(value, width) in &numbers {
                prop_assert_eq!(reader.read(width), low(value, width));
            }
            prop_assert_eq!(reader.read_signed_varint(), extra);
            prop_assert_eq!(reader.read_varint(), extra as u64);
        }

        #[test]
        fn adds_up_what_it_would_read(
            numbers in prop::collection::vec(prop_oneof![any::<u64>(), Just(u64::MAX)], 0..130), width in 0..=64u32, before in 0..9u32,
        ) {
            let mut writer = BitWriter::default();
            writer.write(0, before);
            numbers.iter().for_each(|number| writer.write(*number, width));
            writer.write(u64::MAX, 64);
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            reader.read(before);
            let sum = reader.clone().sum(width, numbers.len());
            prop_assert_eq!(sum, numbers.iter().fold(0, |sum: u64, _| sum.wrapping_add(reader.read(width))));
        }
    }
}
