//! Samples in memory: series, index, chunks, retention.
//!
//! In the flow: scrapes and rules [`Store::commit`] rows; `promql` selects. **No clock, no I/O.**

use crate::model::{Timestamp, Value};

/// The handle of a series; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesRef(pub u64);

/// One sample to append.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of which series; from [`Store::series_ref`].
    pub series: SeriesRef,
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: Value,
}

/// Why a row was not stored. Expected events of the data, so counted outcomes and not errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// The same instant with another value. (The same instant with the same value is accepted silently.)
    Duplicate,
    /// Before the retention time.
    TooOld,
    /// Retention has removed the series since the handle was given out; ask for a new one.
    Gone,
}

/// What became of a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Rows stored.
    pub appended: usize,
    /// Index into the rows, and why, of each that was not.
    pub refused: Vec<(usize, Refusal)>,
}
