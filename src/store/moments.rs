//! How much values scatter, and where they tend, as summaries that combine.
//!
//! | kind | for | exactness |
//! |---|---|---|
//! | [`Moments`] | `stddev_over_time`, `stdvar_over_time` | constant values give exactly 0; else the variance is within a few rounding errors of (variance + greatest magnitude × standard deviation) |
//! | [`Trend`] | `deriv`, `predict_linear` | constant values give exactly 0 and the value; else within a few rounding errors of the sums that the source subtracts from each other |
//!
//! Within one chunk, moments are the same bits as adding one by one. Times are added up as whole milliseconds, without any rounding.
//!
//! **Source.** Prometheus 3.5 `promql/functions.go` (`varianceOverTime`, `linearRegression`); for joining moments: Chan, Golub, LeVeque,
//! "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.

use std::sync::OnceLock;

use super::block::Block;
use super::summary::{CompensatedSum, Summary, Table, is_extreme};
use crate::model::Timestamp;

/// Times further apart are not added up: their squares could overflow. About 1,100 years.
const DISTANCE_MAX_MS: i64 = 1 << 45;

/// Mean and variance under construction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: f64,
    mean: CompensatedSum,
    /// The sum of squared distances from the mean.
    squares: CompensatedSum,
    /// Whether a value is NaN, infinite or so large that a square may overflow: the rest then says nothing.
    pub is_extreme: bool,
}

impl Moments {
    /// The mean of the squared distances from the mean.
    pub fn variance(&self) -> f64 {
        self.squares.total() / self.count
    }
}

impl Summary for Moments {
    fn add(&mut self, _at_ms: i64, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean.total();
        self.mean = self.mean.plus(distance / self.count);
        self.squares = self.squares.plus(distance * (value - self.mean.total()));
        self.is_extreme |= is_extreme(value);
    }

    fn join(&mut self, later: &Self) {
        if self.count == 0.0 || later.count == 0.0 {
            *self = if self.count == 0.0 { *later } else { *self };
            return;
        }
        let count = self.count + later.count;
        let distance = later.mean.minus(self.mean);
        self.mean = self.mean.plus(distance * (later.count / count));
        self.squares =
            self.squares.joined(later.squares).plus(distance * distance * (self.count * later.count / count));
        self.count = count;
        self.is_extreme |= later.is_extreme;
    }

    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>> {
        &block.moments
    }
}

/// A line through samples under construction. Distances of time are in milliseconds from the first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trend {
    count: u32,
    first_ms: i64,
    first: f64,
    times: i128,
    squared_times: i128,
    values: CompensatedSum,
    /// Of each distance times its value.
    products: CompensatedSum,
    is_constant: bool,
    /// Whether a value or a distance is so large that the sums say nothing.
    pub is_extreme: bool,
}

impl Trend {
    /// Slope per second, and the line's value at `intercept_at`. Constant values give exactly 0 and the value. At least two samples.
    pub fn line(&self, intercept_at: Timestamp) -> (f64, f64) {
        if self.is_constant {
            return (0.0, self.first);
        }
        let count = f64::from(self.count);
        let (times, values) = (self.times as f64, self.values.total());
        let covariance = self.products.total() - times * values / count;
        let exact = i128::from(self.count).checked_mul(self.squared_times);
        let exact = exact.zip(self.times.checked_mul(self.times)).map(|(squares, square)| (squares - square) as f64);
        let variance = exact.unwrap_or(count * self.squared_times as f64 - times * times) / count;
        let slope = covariance / variance * 1e3;
        let shift = i128::from(self.first_ms) - i128::from(intercept_at.as_ms());
        let mean_secs = (self.times + i128::from(self.count) * shift) as f64 / count / 1e3;
        (slope, values / count - slope * mean_secs)
    }
}

impl Summary for Trend {
    fn add(&mut self, at_ms: i64, value: f64) {
        if self.count == 0 {
            (self.first_ms, self.first, self.is_constant) = (at_ms, value, true);
        }
        let distance = at_ms.saturating_sub(self.first_ms);
        self.is_extreme |= is_extreme(value) || distance > DISTANCE_MAX_MS;
        self.is_constant &= value == self.first;
        self.count += 1;
        let distance = distance.min(DISTANCE_MAX_MS);
        self.times += i128::from(distance);
        self.squared_times += i128::from(distance).pow(2);
        self.values = self.values.plus(value);
        self.products = self.products.plus(distance as f64 * value);
    }

    fn join(&mut self, later: &Self) {
        if self.count == 0 || later.count == 0 {
            *self = if self.count == 0 { *later } else { *self };
            return;
        }
        let distance = later.first_ms.saturating_sub(self.first_ms);
        self.is_extreme |= later.is_extreme || distance > DISTANCE_MAX_MS;
        self.is_constant &= later.is_constant && later.first == self.first;
        let distance = distance.min(DISTANCE_MAX_MS);
        let (shift, count) = (i128::from(distance), i128::from(later.count));
        self.times += later.times + count * shift;
        self.squared_times += later.squared_times + 2 * shift * later.times + count * shift * shift;
        self.values = self.values.joined(later.values);
        self.products = self.products.joined(later.products).joined(later.values.scaled(distance as f64));
        self.count = self.count.saturating_add(later.count);
    }

    fn table(block: &Block) -> &OnceLock<Box<Table<Self>>> {
        &block.trends
    }
}
