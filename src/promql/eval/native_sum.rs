//! Sums and means of native histograms, compensated like those of floats.

use std::sync::Arc;

use crate::model::{CounterResetHint, Histogram};
use crate::source::Span;

use super::annotations::Annotations;
use super::native::{self, IncompatibleSchemas};
use super::native_layout::Open;
use super::number::CompensatedSum;

/// A sum under way: what it is and what rounding has lost, in the same layout.
#[derive(Clone)]
struct Running {
    value: Open,
    lost: Open,
}

impl Running {
    fn starting_with(histogram: &Histogram) -> Self {
        let value = Open::of(histogram);
        Running { lost: value.scaled(0.0), value }
    }

    /// Adds `histogram`; says whether custom bounds were lost.
    fn plus(&self, histogram: &Histogram) -> Result<(Self, bool), IncompatibleSchemas> {
        let (mut value, mut lost, mut other) = (self.value.clone(), self.lost.clone(), Open::of(histogram));
        let reconciled = native::align(&mut value, &mut other)?;
        lost.reduce_bounds_to(&value);
        lost.reduce_schema(value.schema);
        lost.widen_zero_bucket(value.zero_threshold);
        value.hint = native::combined_hint(value.hint, other.hint).0;
        let totals = [
            (&mut value.count, &mut lost.count, other.count),
            (&mut value.sum, &mut lost.sum, other.sum),
            (&mut value.zero_count, &mut lost.zero_count, other.zero_count),
        ];
        for (value, lost, increment) in totals {
            add(value, lost, increment);
        }
        let sides = [
            (&mut value.positive, &mut lost.positive, other.positive),
            (&mut value.negative, &mut lost.negative, other.negative),
        ];
        for (values, lost, others) in sides {
            for (index, increment) in others {
                add(values.entry(index).or_insert(0.0), lost.entry(index).or_insert(0.0), increment);
            }
        }
        Ok((Running { value, lost }, reconciled))
    }

    fn scaled(&self, factor: f64) -> Self {
        Running { value: self.value.scaled(factor), lost: self.lost.scaled(factor) }
    }

    fn divided(&self, divisor: f64) -> Self {
        Running { value: self.value.divided(divisor), lost: self.lost.divided(divisor) }
    }

    fn total(mut self) -> Histogram {
        self.value.count += self.lost.count;
        self.value.sum += self.lost.sum;
        self.value.zero_count += self.lost.zero_count;
        for (values, lost) in
            [(&mut self.value.positive, &self.lost.positive), (&mut self.value.negative, &self.lost.negative)]
        {
            for (index, lost) in lost {
                *values.entry(*index).or_insert(0.0) += lost;
            }
        }
        self.value.close()
    }
}

fn add(value: &mut f64, lost: &mut f64, increment: f64) {
    let next = CompensatedSum { sum: *value, compensation: *lost }.plus(increment);
    (*value, *lost) = (next.sum, next.compensation);
}

/// What several histograms are reduced to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    Sum,
    Mean,
}

/// Reduces at least one histogram; says what had to be bent.
pub(super) fn reduce(
    reduction: Reduction,
    histograms: &[&Arc<Histogram>],
    span: Span,
    notes: &mut Annotations,
) -> Result<Histogram, IncompatibleSchemas> {
    let has = |hint: CounterResetHint| histograms.iter().any(|histogram| histogram.counter_reset_hint == hint);
    let result = match reduction {
        Reduction::Sum => sum(histograms),
        Reduction::Mean => mean(histograms),
    };
    if result.is_ok() && has(CounterResetHint::Reset) && has(CounterResetHint::NotReset) {
        notes.reset_collision(span, "aggregation");
    }
    let (histogram, reconciled) = result?;
    if reconciled {
        notes.reconciled_bounds(span, "aggregation");
    }
    Ok(histogram)
}

fn sum(histograms: &[&Arc<Histogram>]) -> Result<(Histogram, bool), IncompatibleSchemas> {
    let mut reconciled = false;
    let mut running = Running::starting_with(histograms[0]);
    for histogram in &histograms[1..] {
        let (next, bent) = running.plus(histogram)?;
        running = next;
        reconciled |= bent;
    }
    Ok((running.total(), reconciled))
}

/// Sum over count while nothing overflows, the incremental mean from there on.
fn mean(histograms: &[&Arc<Histogram>]) -> Result<(Histogram, bool), IncompatibleSchemas> {
    let mut reconciled = false;
    let mut running = Running::starting_with(histograms[0]);
    let mut is_incremental = false;
    let mut count = 1.0;
    for histogram in &histograms[1..] {
        count += 1.0;
        if !is_incremental {
            let (next, bent) = running.plus(histogram)?;
            reconciled |= bent;
            if !next.value.has_infinity() {
                running = next;
                continue;
            }
            is_incremental = true;
            running = running.divided(count - 1.0);
        }
        let (next, bent) = running.scaled((count - 1.0) / count).plus(&native::divided(histogram, count))?;
        running = next;
        reconciled |= bent;
    }
    Ok((if is_incremental { running } else { running.divided(count) }.total(), reconciled))
}
