//! The text formats of metrics: bytes in, samples out; and our own metrics, values in, text out.

mod family;

pub use family::{Family, FamilyKind, Point};
