//! The identity of an alert or a series as 64 bits.
//!
//! **Source.** Prometheus common `model/signature.go`: FNV-1a, 64 bit, over the sorted pairs
//! `name 0xff value 0xff`. Alertmanager shows it to users, so it must be this hash.

use std::fmt;

use super::Labels;

/// FNV-1a hash of a label set; prints as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of `labels`.
    pub fn of(labels: &Labels) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for label in labels {
            add(label.name.as_bytes());
            add(&[0xff]);
            add(label.value.as_bytes());
            add(&[0xff]);
        }
        Fingerprint(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_set_is_the_offset_basis() {
        assert_eq!(Fingerprint::of(&Labels::empty()).to_string(), "cbf29ce484222325");
    }
}
