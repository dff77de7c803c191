//! What is wrong with a body, in the words of Prometheus's decoder where it has them.

use std::fmt;

use crate::exposition::{ENTRY_BYTES_MAX, EXPANDED_BYTES_MAX, LABELS_MAX};

/// Characters of the target's own texts that an error shows.
const SHOWN_CHARS_MAX: usize = 120;

/// A body that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProtobufError {
    /// No length stands where a family should begin.
    FamilyLength,
    /// A family is longer than what is left of the body.
    FamilyCut {
        /// Bytes that its length asks for, the length included.
        expected: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// A message ends within a field.
    UnexpectedEof,
    /// A number of more than 64 bits.
    Overflow,
    /// A length of more than 63 bits.
    NegativeLength,
    /// A field of another type than it has.
    WireType {
        /// Its type on the wire.
        found: u8,
        /// Its name.
        field: &'static str,
    },
    /// A group that ends and did not begin.
    EndGroup {
        /// In which message.
        message: &'static str,
    },
    /// No such field can be.
    IllegalTag {
        /// In which message.
        message: &'static str,
        /// Its number.
        number: i32,
        /// As it was written.
        wire: u64,
    },
    /// No such type is on the wire.
    IllegalWireType(u8),
    /// A name that is empty or no UTF-8.
    MetricName(String),
    /// A help text that is no UTF-8.
    Help {
        /// Of which family.
        name: String,
        /// What is readable of it.
        help: String,
    },
    /// A unit that is no UTF-8.
    Unit {
        /// Of which family.
        name: String,
    },
    /// A type that the format does not have.
    MetricType {
        /// Of which family.
        name: String,
        /// Its number.
        number: i64,
    },
    /// A label's name that is empty or no UTF-8.
    LabelName(String),
    /// A label's value that is no UTF-8.
    LabelValue(String),
    /// Spans that do not fit their buckets.
    Spans {
        /// Of which family.
        name: String,
        /// `positive` or `negative`.
        side: &'static str,
        /// Buckets that the spans ask for.
        needed: u64,
        /// Buckets that are there.
        found: usize,
    },
    /// Over [`ENTRY_BYTES_MAX`].
    EntryTooLong,
    /// Over [`LABELS_MAX`].
    TooManyLabels,
    /// Over [`EXPANDED_BYTES_MAX`].
    Expanded,
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtobufError::FamilyLength => f.write_str("clientpb: invalid varint encountered"),
            ProtobufError::FamilyCut { expected, got } => write!(
                f,
                "clientpb: insufficient length of buffer, expected at least {expected} bytes, got {got} bytes"
            ),
            ProtobufError::UnexpectedEof => f.write_str("unexpected EOF"),
            ProtobufError::Overflow => f.write_str("proto: integer overflow"),
            ProtobufError::NegativeLength => f.write_str("proto: negative length found during unmarshaling"),
            ProtobufError::WireType { found, field } => {
                write!(f, "proto: wrong wireType = {found} for field {field}")
            }
            ProtobufError::EndGroup { message } => write!(f, "proto: {message}: wiretype end group for non-group"),
            ProtobufError::IllegalTag { message, number, wire } => {
                write!(f, "proto: {message}: illegal tag {number} (wire type {wire})")
            }
            ProtobufError::IllegalWireType(found) => write!(f, "proto: illegal wireType {found}"),
            ProtobufError::MetricName(name) => write!(f, "invalid metric name: {name}"),
            ProtobufError::Help { name, help } => write!(f, "invalid help for metric {name:?}: {help}"),
            ProtobufError::Unit { name } => write!(f, "invalid unit for metric {name:?}"),
            ProtobufError::MetricType { name, number } => {
                write!(f, "unknown metric type for metric {name:?}: {number}")
            }
            ProtobufError::LabelName(name) => write!(f, "invalid label name: {name}"),
            ProtobufError::LabelValue(value) => write!(f, "invalid label value: {value}"),
            ProtobufError::Spans { name, side, needed, found } => {
                write!(f, "histogram {name:?}: {side} side: spans require {needed} buckets, have {found}")
            }
            ProtobufError::EntryTooLong => write!(f, "metric longer than {ENTRY_BYTES_MAX} bytes"),
            ProtobufError::TooManyLabels => write!(f, "more than {LABELS_MAX} labels"),
            ProtobufError::Expanded => {
                write!(f, "names and labels of all samples take more than {} MiB", EXPANDED_BYTES_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for ProtobufError {}

/// What an error shows of a text of the target's, which need not be UTF-8.
pub(super) fn shown(bytes: &[u8]) -> String {
    // A char has at most four bytes.
    let start = &bytes[..bytes.len().min(4 * SHOWN_CHARS_MAX)];
    String::from_utf8_lossy(start).chars().take(SHOWN_CHARS_MAX).collect()
}
