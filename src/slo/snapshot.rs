//! The counters of objectives as bytes, so that a budget of 30 days outlives both a restart and the retention of samples.
//!
//! In the flow: the daemon keeps [`super::SloGroup::save`] on disk from time to time and hands it to [`super::SloGroup::restore`] at its start. What is
//! saved stands at a settled instant, at least [`super::LATE_MS`] ago; what came later is counted again from the stored samples, so that a process
//! that was killed loses no event and doubles none.
//!
//! ```text
//! version | when slots were evaluated (from version 2 on) | objectives: name, what is counted (a hash), reach, settled instant, memory of series and targets,
//! of replicas where they are told apart, groups with their curves
//! numbers are variable-length, seven bits a byte; times and differences zigzag; floats eight bytes; texts with their length before
//! ```
//!
//! **Invariants.** What cannot be read as a whole is not used at all: the objective is then counted from the stored samples. Reading never panics,
//! whatever the bytes are.

use std::sync::Arc;

use crate::model::{Labels, LabelsBuilder, Timestamp};

/// Changes with the layout.
pub(super) const VERSION: u64 = 2;

/// Bytes being written.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn unsigned(&mut self, value: u64) {
        super::curve::put(&mut self.0, value);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn float(&mut self, value: f64) {
        self.0.extend(value.to_bits().to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub(super) fn instant(&mut self, at: Option<Timestamp>) {
        match at {
            None => self.unsigned(0),
            Some(at) => {
                self.unsigned(1);
                self.signed(at.as_ms());
            }
        }
    }

    pub(super) fn labels(&mut self, labels: &Labels) {
        self.unsigned(labels.iter().count() as u64);
        for label in labels {
            self.bytes(label.name.as_bytes());
            self.bytes(label.value.as_bytes());
        }
    }
}

/// Bytes being read; `None` where they are not what was written.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A count of things that take at least a byte each.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.unsigned()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn float(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bytes)))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<Arc<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Arc::from)
    }

    pub(super) fn instant(&mut self) -> Option<Option<Timestamp>> {
        match self.unsigned()? {
            0 => Some(None),
            1 => Some(Some(Timestamp::from_ms(self.signed()?))),
            _ => None,
        }
    }

    pub(super) fn labels(&mut self) -> Option<Labels> {
        let mut labels = LabelsBuilder::default();
        for _ in 0..self.count()? {
            let (name, value) = (self.text()?, self.text()?);
            labels.set(name, value);
        }
        Some(labels.build())
    }
}

/// FNV-1a: tells what is counted apart, the same in every version of ours.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
