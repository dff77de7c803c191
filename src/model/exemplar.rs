//! An example of what a sample counts.

use super::{Labels, Timestamp};

/// A single observation, by the trace it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Mostly a `trace_id`; belongs to no series by itself.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When.
    pub at: Timestamp,
}
