//! An answer with chunks, frame by frame: `length (varint) | CRC-32C (4 bytes, big endian) | message`.

use bytes::{Buf, Bytes, BytesMut};

use super::{FRAME_BYTES_MAX, crc32c};

/// Why a stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadFrame {
    Length,
    Checksum,
}

/// Takes the stream in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct FrameReader(BytesMut);

impl FrameReader {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let Some((len, head)) = self.length()? else { return Ok(None) };
        if self.0.len() < head + 4 + len {
            return Ok(None);
        }
        self.0.advance(head);
        let expected = self.0.get_u32();
        let message = self.0.split_to(len).freeze();
        if crc32c::checksum(&message) == expected { Ok(Some(message)) } else { Err(BadFrame::Checksum) }
    }

    /// Whether nothing is left of a frame that was cut.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of the next frame, and how many bytes say it.
    fn length(&self) -> Result<Option<(usize, usize)>, BadFrame> {
        let mut len = 0u64;
        for (index, byte) in self.0.iter().enumerate() {
            if index == 5 {
                return Err(BadFrame::Length);
            }
            len |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let len = usize::try_from(len).ok().filter(|len| *len <= FRAME_BYTES_MAX);
                return len.map(|len| Some((len, index + 1))).ok_or(BadFrame::Length);
            }
        }
        Ok(None)
    }
}
