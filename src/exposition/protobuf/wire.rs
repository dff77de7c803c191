//! The encoding itself: fields of a message, one after the other, borrowed from the body.
//!
//! **Invariants.** Nothing is allocated and nothing recurses: a length is believed only as far as there are bytes, and groups, which
//! nobody sends, are skipped by counting.

use super::error::ProtobufError;

/// Bytes of the longest number of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Number(u64),
    Eight(u64),
    Bytes(&'a [u8]),
    /// Four bytes, or a group: nothing here has such fields.
    Foreign(u8),
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: i32,
    content: Content<'a>,
}

/// The fields of a message; ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    /// As errors name it.
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'static str, bytes: &'a [u8]) -> Self {
        Fields { message, rest: bytes }
    }

    fn field(&mut self) -> Result<Field<'a>, ProtobufError> {
        let (number, kind) = self.tag()?;
        let content = match kind {
            0 => Content::Number(varint(&mut self.rest)?),
            1 => Content::Eight(eight(&mut self.rest)?),
            2 => Content::Bytes(self.bytes()?),
            3 => {
                self.skip_group()?;
                Content::Foreign(3)
            }
            4 => return Err(ProtobufError::EndGroup { message: self.message }),
            5 => {
                take(&mut self.rest, 4)?;
                Content::Foreign(5)
            }
            other => return Err(ProtobufError::IllegalWireType(other)),
        };
        Ok(Field { number, content })
    }

    fn tag(&mut self) -> Result<(i32, u8), ProtobufError> {
        let wire = varint(&mut self.rest)?;
        // As in the source, what lies above 32 bits is cut.
        let number = (wire >> 3) as i32;
        if number <= 0 {
            return Err(ProtobufError::IllegalTag { message: self.message, number, wire });
        }
        Ok((number, (wire & 7) as u8))
    }

    fn bytes(&mut self) -> Result<&'a [u8], ProtobufError> {
        let length = varint(&mut self.rest)?;
        if i64::try_from(length).is_err() {
            return Err(ProtobufError::NegativeLength);
        }
        take(&mut self.rest, usize::try_from(length).map_err(|_| ProtobufError::NegativeLength)?)
    }

    /// What stands between the start of a group and its end.
    fn skip_group(&mut self) -> Result<(), ProtobufError> {
        let mut depth = 1u64;
        while depth > 0 {
            match varint(&mut self.rest)? & 7 {
                0 => drop(varint(&mut self.rest)?),
                1 => drop(take(&mut self.rest, 8)?),
                2 => drop(self.bytes()?),
                3 => depth += 1,
                4 => depth -= 1,
                5 => drop(take(&mut self.rest, 4)?),
                other => return Err(ProtobufError::IllegalWireType(other as u8)),
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    pub(super) fn bytes(&self, name: &'static str) -> Result<&'a [u8], ProtobufError> {
        match self.content {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(name)),
        }
    }

    pub(super) fn number(&self, name: &'static str) -> Result<u64, ProtobufError> {
        match self.content {
            Content::Number(number) => Ok(number),
            _ => Err(self.wrong(name)),
        }
    }

    pub(super) fn double(&self, name: &'static str) -> Result<f64, ProtobufError> {
        match self.content {
            Content::Eight(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong(name)),
        }
    }

    /// Adds a `repeated double`, packed or one by one.
    pub(super) fn doubles(&self, name: &'static str, to: &mut Vec<f64>) -> Result<(), ProtobufError> {
        let Content::Bytes(mut packed) = self.content else {
            to.push(self.double(name)?);
            return Ok(());
        };
        to.reserve(packed.len() / 8);
        while !packed.is_empty() {
            to.push(f64::from_bits(eight(&mut packed)?));
        }
        Ok(())
    }

    /// Adds a `repeated sint64`, packed or one by one.
    pub(super) fn signed(&self, name: &'static str, to: &mut Vec<i64>) -> Result<(), ProtobufError> {
        let Content::Bytes(mut packed) = self.content else {
            to.push(zigzag(self.number(name)?));
            return Ok(());
        };
        while !packed.is_empty() {
            to.push(zigzag(varint(&mut packed)?));
        }
        Ok(())
    }

    fn wrong(&self, field: &'static str) -> ProtobufError {
        let found = match self.content {
            Content::Number(_) => 0,
            Content::Eight(_) => 1,
            Content::Bytes(_) => 2,
            Content::Foreign(kind) => kind,
        };
        ProtobufError::WireType { found, field }
    }
}

/// Signed numbers: 0, -1, 1, -2, …
pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Seven bits a byte, the lowest first. What goes over 64 bits is cut, as in the source.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut number = 0;
    for (index, byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(number);
        }
    }
    Err(if rest.len() < VARINT_BYTES_MAX { ProtobufError::UnexpectedEof } else { ProtobufError::Overflow })
}

fn eight(rest: &mut &[u8]) -> Result<u64, ProtobufError> {
    let (bytes, after) = rest.split_first_chunk::<8>().ok_or(ProtobufError::UnexpectedEof)?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ProtobufError> {
    let (bytes, after) = rest.split_at_checked(length).ok_or(ProtobufError::UnexpectedEof)?;
    *rest = after;
    Ok(bytes)
}
