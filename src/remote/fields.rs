//! The fields of a message one after the other, without decoding them.
//!
//! So a request is read series by series, and what it would take in memory is known before it is taken: an empty message needs two
//! bytes on the wire and a hundred in memory.
//! **Source.** The protocol buffers encoding, <https://protobuf.dev/programming-guides/encoding/>.

use bytes::Bytes;

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) number: u32,
    /// `None`: a number, not bytes.
    pub(super) payload: Option<Bytes>,
}

/// What is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message. Ends after the first that cannot be read.
pub(super) struct Fields(Bytes);

impl Fields {
    pub(super) fn new(message: Bytes) -> Self {
        Fields(message)
    }

    fn read(&mut self) -> Result<Field, Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let payload = match key & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            // Groups, which no sender has used for a decade, and what does not exist.
            _ => return Err(Malformed),
        };
        Ok(Field { number, payload })
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let _ = self.0.split_to(index + 1);
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.0.len() { Err(Malformed) } else { Ok(self.0.split_to(length)) }
    }
}

impl Iterator for Fields {
    type Item = Result<Field, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0.clear();
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(bytes: &[u8]) -> Vec<Result<Field, Malformed>> {
        Fields::new(Bytes::copy_from_slice(bytes)).collect()
    }

    #[test]
    fn reads_each_kind_and_refuses_what_is_none() {
        let number = |number| Ok(Field { number, payload: None });
        let bytes = |number, payload: &'static [u8]| Ok(Field { number, payload: Some(Bytes::from_static(payload)) });
        for (message, expected) in [
            (&b""[..], vec![]),
            (b"\x08\x96\x01", vec![number(1)]),
            (b"\x12\x02hi\x08\x01", vec![bytes(2, b"hi"), number(1)]),
            (b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0", vec![number(1), number(1)]),
            (b"\x1a\x00", vec![bytes(3, b"")]),
            (b"\x12\x03hi", vec![Err(Malformed)]),
            (b"\x00\x01", vec![Err(Malformed)]),
            (b"\x0b", vec![Err(Malformed)]),
            (b"\x08", vec![Err(Malformed)]),
            (b"\x08\x01\xff", vec![number(1), Err(Malformed)]),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", vec![Err(Malformed)]),
        ] {
            assert_eq!(fields(message), expected, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_reads_more_than_there_is(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let held: usize = fields(&message).iter().flatten().filter_map(|field| Some(field.payload.as_ref()?.len())).sum();
            prop_assert!(held <= message.len());
        }
    }
}
