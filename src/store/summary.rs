//! What a window function needs of many samples, as values that combine.
//!
//! In the flow: a window over sealed chunks joins the summaries of the chunks that it covers whole with those of the parts of chunks at
//! its edges; only these are decoded.
//!
//! | kind | for | exactness |
//! |---|---|---|
//! | [`Sums`] | `sum_over_time`, `avg_over_time` | the same bits as adding one by one while every partial sum is an integer below 2^53; else the compensated sum of compensated sums, which differs in the last digits |
//! | [`Extremes`] | `min_over_time`, `max_over_time` | the same bits, NaN and the sign of zero included |
//! | [`Transitions`] | `changes`, `resets` | the same count |
//!
//! Those of scatter and trend are in [`super::moments`].
//!
//! **Invariants.** Staleness markers are left out. Joining is associative, and the empty summary changes nothing.
//! **Source.** Prometheus 3.5 `promql/functions.go` (`funcSumOverTime`, `compareOverTime`, `funcChanges`, `funcResets`).

use std::sync::OnceLock;

use super::block::Block;
use crate::model::is_stale;

/// Larger magnitudes can overflow a sum, for which PromQL has rules of its own: such windows are added one by one.
const MAGNITUDE_MAX: f64 = 1e150;

/// A kind of summary.
pub(super) trait Summary: Copy + Default {
    /// Takes in a sample that is later than all others, and live.
    fn add(&mut self, at_ms: i64, value: f64);

    /// Takes in a summary of samples that are all later.
    fn join(&mut self, later: &Self);

    /// Where a block keeps its table of this kind.
    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>>;

    /// Of the live ones among `samples`, which are in order of time.
    fn of(samples: impl Iterator<Item = (i64, f64)>) -> Self {
        let mut summary = Self::default();
        samples.filter(|(_, value)| !is_stale(*value)).for_each(|(at_ms, value)| summary.add(at_ms, value));
        summary
    }
}

/// The summaries of the chunks of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<S> {
    chunks: Vec<S>,
    total: S,
}

impl<S: Summary> Table<S> {
    pub(super) fn push(&mut self, chunk: S) {
        self.total.join(&chunk);
        self.chunks.push(chunk);
    }

    /// One for each chunk.
    pub(super) fn chunks(&self) -> &[S] {
        &self.chunks
    }

    /// Of all chunks.
    pub(super) fn total(&self) -> &S {
        &self.total
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.chunks)
    }
}

/// Whether a value is so large, or no number, that sums and squares of its like may overflow.
pub(super) fn is_extreme(value: f64) -> bool {
    value.is_nan() || value.abs() > MAGNITUDE_MAX
}

/// A sum with Neumaier's compensation, which keeps what rounding loses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompensatedSum {
    /// The sum as rounded at each step.
    pub sum: f64,
    /// What rounding has lost.
    pub compensation: f64,
}

impl CompensatedSum {
    /// A sum of one number.
    pub fn starting_with(sum: f64) -> Self {
        CompensatedSum { sum, compensation: 0.0 }
    }

    /// With one more number.
    #[must_use]
    pub fn plus(self, increment: f64) -> Self {
        let sum = self.sum + increment;
        let compensation = if sum.is_infinite() {
            0.0
        } else if self.sum.abs() >= increment.abs() {
            self.compensation + ((self.sum - sum) + increment)
        } else {
            self.compensation + ((increment - sum) + self.sum)
        };
        CompensatedSum { sum, compensation }
    }

    /// Both parts times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        CompensatedSum { sum: factor * self.sum, compensation: factor * self.compensation }
    }

    /// With all that another has added up.
    #[must_use]
    pub fn joined(self, later: CompensatedSum) -> Self {
        let CompensatedSum { sum, compensation } = self.plus(later.sum);
        CompensatedSum { sum, compensation: compensation + later.compensation }
    }

    /// The difference of the totals.
    pub fn minus(self, other: CompensatedSum) -> f64 {
        (self.sum - other.sum) + (self.compensation - other.compensation)
    }

    /// The sum, corrected.
    pub fn total(self) -> f64 {
        self.sum + self.compensation
    }
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Of all values.
    pub sum: CompensatedSum,
    /// Whether a value is NaN, infinite or so large that the sum may overflow: it then says nothing.
    pub is_extreme: bool,
}

impl Summary for Sums {
    fn add(&mut self, _at_ms: i64, value: f64) {
        self.sum = self.sum.plus(value);
        self.is_extreme |= is_extreme(value);
    }

    fn join(&mut self, later: &Self) {
        self.sum = self.sum.joined(later.sum);
        self.is_extreme |= later.is_extreme;
    }

    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>> {
        &block.sums
    }
}

/// The least and the greatest value; NaN yields to any number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extremes {
    /// The first of the least values and the first of the greatest, if there are any.
    pub range: Option<(f64, f64)>,
}

impl Extremes {
    fn take(&mut self, min: f64, max: f64) {
        let (least, greatest) = self.range.unwrap_or((min, max));
        let min = if min < least || least.is_nan() { min } else { least };
        let max = if max > greatest || greatest.is_nan() { max } else { greatest };
        self.range = Some((min, max));
    }
}

impl Summary for Extremes {
    fn add(&mut self, _at_ms: i64, value: f64) {
        self.take(value, value);
    }

    fn join(&mut self, later: &Self) {
        if let Some((min, max)) = later.range {
            self.take(min, max);
        }
    }

    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>> {
        &block.extremes
    }
}

/// How neighbours differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Transitions {
    /// Pairs of neighbours that differ; two NaNs do not.
    pub changes: u32,
    /// Pairs of which the later is less.
    pub resets: u32,
    /// The first and the last value, if there are any.
    edges: Option<(f64, f64)>,
}

impl Transitions {
    fn step(&mut self, earlier: f64, later: f64) {
        self.changes += u32::from(earlier != later && !(earlier.is_nan() && later.is_nan()));
        self.resets += u32::from(later < earlier);
    }
}

impl Summary for Transitions {
    fn add(&mut self, _at_ms: i64, value: f64) {
        let edges = self.edges;
        if let Some((_, last)) = edges {
            self.step(last, value);
        }
        self.edges = Some((edges.map_or(value, |(first, _)| first), value));
    }

    fn join(&mut self, later: &Self) {
        let Some((later_first, later_last)) = later.edges else { return };
        let edges = self.edges;
        if let Some((_, last)) = edges {
            self.step(last, later_first);
        }
        self.changes += later.changes;
        self.resets += later.resets;
        self.edges = Some((edges.map_or(later_first, |(first, _)| first), later_last));
    }

    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>> {
        &block.transitions
    }
}
