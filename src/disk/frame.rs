//! Files of checksummed frames.
//!
//! ```text
//! magic (8 bytes)  frame …        frame: length (u32)  CRC-32 of length and payload (u32)  payload
//! ```
//!
//! **Invariants.** A frame that reads back is what was written, but for one in 2^32 damaged ones. After a damaged frame nothing of a file
//! is read, for its length may be what is damaged.

/// Bytes before each payload.
pub(super) const HEAD_LEN: usize = 8;

/// The longest payload. A longer length is damage, not a reason to allocate.
pub(super) const PAYLOAD_LEN_MAX: usize = 1 << 30;

/// Appends a frame whose payload `write` appends.
pub(super) fn write(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_LEN]);
    payload(out);
    let len = out.len() - start - HEAD_LEN;
    assert!(len <= PAYLOAD_LEN_MAX, "BUG: a frame of {len} bytes");
    let len = (len as u32).to_le_bytes();
    out[start..start + 4].copy_from_slice(&len);
    let sum = checksum(len, &out[start + HEAD_LEN..]);
    out[start + 4..start + HEAD_LEN].copy_from_slice(&sum.to_le_bytes());
}

/// The payloads of `bytes`, which stand after a file's magic, one after the other.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Frames { bytes, position: 0 }
    }

    /// How many bytes hold frames that were read so far.
    pub(super) fn position(&self) -> usize {
        self.position
    }
}

/// Where a file cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The file ends inside a frame, as a write that was interrupted leaves it.
    Torn,
    /// The checksum is wrong.
    Checksum,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return None;
        }
        let frame = payload(rest);
        match frame {
            Ok(payload) => self.position += HEAD_LEN + payload.len(),
            Err(_) => self.bytes = &self.bytes[..self.position],
        }
        Some(frame)
    }
}

fn payload(bytes: &[u8]) -> Result<&[u8], Damage> {
    let (head, rest) = bytes.split_at_checked(HEAD_LEN).ok_or(Damage::Torn)?;
    let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    let len = u32::from_le_bytes(word(0)) as usize;
    if len > PAYLOAD_LEN_MAX {
        return Err(Damage::Checksum);
    }
    let payload = rest.get(..len).ok_or(Damage::Torn)?;
    let is_whole = checksum(word(0), payload) == u32::from_le_bytes(word(4));
    if is_whole { Ok(payload) } else { Err(Damage::Checksum) }
}

fn checksum(len: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(payload);
    hasher.finalize()
}
