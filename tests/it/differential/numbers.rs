//! How far two sums may lie apart, by what was added up.

use std::collections::BTreeMap;

use almenara::promql::ast::{Aggregate, AggregateOp, Call, Expr};
use almenara::promql::functions::FunctionId;

use super::answer::{Histogram, Metric, Point, Read};
use super::inquiry::{Inquiry, Node, Times};
use super::rules::{ADDED_UP, ADDS_UP, COMPENSATED, RATE, comes_in_any_order, differing, group};

impl Inquiry<'_> {
    /// The points in the window of `range` that ends at `time`, in seconds, by series; as they say.
    pub(super) fn window(&mut self, range: &Expr, time: &str) -> Vec<(Metric, Vec<Point>)> {
        let at = Times::At((super::answer::number(time) * 1000.0).round() as i64);
        let answer = self.ask(&range.to_string(), at).theirs;
        let read = Read::of(&answer).unwrap_or_default();
        read.series.into_iter().map(|(metric, points)| (metric, points.into_values().collect())).collect()
    }
}

pub(super) fn nameless(metric: &Metric) -> Metric {
    metric.iter().filter(|(name, _)| *name != "__name__").map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `sum`, `avg`, `stddev` and `stdvar`.
pub(super) fn of_sums(node: &Node<'_>, aggregate: &Aggregate) -> Option<&'static str> {
    let operand = &node.parts.last()?.read;
    let mut rule = None;
    for (metric, time, theirs, ours) in differing(node.pair) {
        let members = operand.at(time).filter(|(one, _)| group(aggregate, one) == *metric).map(|(_, point)| point);
        let members: Vec<&Point> = members.collect();
        let found = match (theirs?, ours?) {
            (Point::Number(_), Point::Number(_)) if !comes_in_any_order(node) => return None,
            (theirs @ Point::Number(_), ours @ Point::Number(_)) => {
                let numbers: Vec<f64> = members.iter().filter_map(|point| point.number()).collect();
                let (theirs, ours) = (theirs.number()?, ours.number()?);
                is_sum_near(aggregate.op, &numbers, theirs, ours).then_some(ADDED_UP)?
            }
            (Point::Histogram(theirs), Point::Histogram(ours)) => {
                let members: Vec<&Histogram> = members.iter().filter_map(|point| point.histogram()).collect();
                of_histograms(&members, theirs, ours, aggregate.op == AggregateOp::Avg)?
            }
            _ => return None,
        };
        rule = Some(found);
    }
    rule
}

/// Whether two results of an aggregation lie no further apart than its rounding allows.
fn is_sum_near(op: AggregateOp, numbers: &[f64], theirs: f64, ours: f64) -> bool {
    let count = numbers.len() as f64;
    let rounding = 4.0 * f64::EPSILON;
    let magnitude: f64 = numbers.iter().map(|number| number.abs()).sum();
    let largest = numbers.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
    match op {
        AggregateOp::Sum => (theirs - ours).abs() <= rounding * magnitude,
        AggregateOp::Avg => (theirs - ours).abs() <= rounding * magnitude,
        AggregateOp::Stddev => (theirs * theirs - ours * ours).abs() <= rounding * count * largest * largest,
        _ => (theirs - ours).abs() <= rounding * count * largest * largest,
    }
}

/// `sum_over_time` and `avg_over_time` of native histograms.
pub(super) fn of_windows(inquiry: &mut Inquiry<'_>, node: &Node<'_>, call: &Call) -> Option<&'static str> {
    let mut rule = None;
    for (metric, time, theirs, ours) in differing(node.pair) {
        let (theirs, ours) = (theirs?.histogram()?, ours?.histogram()?);
        let window = inquiry.window(&call.args[0], time);
        let of_series = window.iter().find(|(one, _)| nameless(one) == nameless(metric))?;
        let members: Vec<&Histogram> = of_series.1.iter().filter_map(Point::histogram).collect();
        rule = Some(of_histograms(&members, theirs, ours, call.function.id == FunctionId::AvgOverTime)?);
    }
    rule
}

/// Sums or averages of `members`.
fn of_histograms(
    members: &[&Histogram],
    theirs: &Histogram,
    ours: &Histogram,
    is_average: bool,
) -> Option<&'static str> {
    let count = members.len() as f64;
    let magnitude = |field: fn(&Histogram) -> f64| -> f64 { members.iter().map(|one| field(one).abs()).sum() };
    let near = |one: f64, other: f64, magnitude: f64| one == other || (one - other).abs() <= 1e-13 * magnitude;
    let observations = magnitude(|one| one.count);
    if near(theirs.count, ours.count, observations)
        && near(theirs.sum, ours.sum, magnitude(|one| one.sum))
        && are_buckets_near(theirs, ours, 1e-13 * observations)
    {
        return Some(COMPENSATED);
    }
    let mean = |field: fn(&Histogram) -> f64| members.iter().map(|one| field(one)).sum::<f64>() / count;
    let is_mean = near(ours.count, mean(|one| one.count), observations)
        && near(ours.sum, mean(|one| one.sum), magnitude(|one| one.sum));
    let adds_up = |one: &Histogram| (one.held() - one.count).abs() <= 1e-9 * one.count.abs();
    (is_average && is_mean && adds_up(ours) && !adds_up(theirs)).then_some(ADDS_UP)
}

fn are_buckets_near(theirs: &Histogram, ours: &Histogram, apart: f64) -> bool {
    let bounds = theirs.buckets.keys().chain(ours.buckets.keys());
    let of = |histogram: &Histogram, bound: &String| histogram.buckets.get(bound).copied().unwrap_or(0.0);
    bounds.into_iter().all(|bound| (of(theirs, bound) - of(ours, bound)).abs() <= apart)
}

/// `rate` and `increase` of native histograms: ours is theirs, all of it made smaller by one factor.
pub(super) fn of_rates(node: &Node<'_>) -> Option<&'static str> {
    let mut rule = None;
    for (_, _, theirs, ours) in differing(node.pair) {
        let (theirs, ours) = (theirs?.histogram()?, ours?.histogram()?);
        let factor = ours.count / theirs.count;
        let scaled: BTreeMap<String, f64> =
            theirs.buckets.iter().map(|(bound, held)| (bound.clone(), held * factor)).collect();
        let scaled = Histogram { buckets: scaled, ..theirs.clone() };
        let is_scaled = (theirs.sum * factor - ours.sum).abs() <= 1e-12 * ours.sum.abs()
            && are_buckets_near(&scaled, ours, 1e-12 * ours.count);
        rule = Some(match factor {
            _ if !is_scaled => return None,
            // The same but for the last digits, by which resets were added.
            0.999_999_999_999..=1.000_000_000_001 => COMPENSATED,
            0.0..1.0 => RATE,
            _ => return None,
        });
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_may_differ_by_their_rounding_only() {
        let numbers = [0.1, 0.2, 0.3];
        assert!(is_sum_near(AggregateOp::Sum, &numbers, 0.6, 0.6000000000000001));
        assert!(!is_sum_near(AggregateOp::Sum, &numbers, 0.6, 0.600_000_000_1));
        assert!(is_sum_near(AggregateOp::Stddev, &[1e9, 1e9, 1e9], 0.0, 1e-7));
        assert!(!is_sum_near(AggregateOp::Stddev, &[1.0, 1.0, 1.0], 0.0, 1e-7));
    }

    #[test]
    fn histograms_may_differ_by_their_rounding_only() {
        let histogram = |count: f64, held: f64| Histogram {
            count,
            sum: count,
            buckets: BTreeMap::from([("0 1 2".to_owned(), held)]),
        };
        let (one, two) = (histogram(1.0, 1.0), histogram(2.0, 2.0));
        let of =
            |theirs: &Histogram, ours: &Histogram, is_average| of_histograms(&[&one, &two], theirs, ours, is_average);
        assert_eq!(of(&histogram(3.0, 3.0), &histogram(3.0, 3.000_000_000_000_000_4), false), Some(COMPENSATED));
        assert_eq!(of(&histogram(3.0, 3.0), &histogram(3.0, 3.1), false), None);
        assert_eq!(of(&histogram(1.5, 1.0), &histogram(1.5, 1.5), true), Some(ADDS_UP));
        assert_eq!(of(&histogram(1.5, 1.5), &histogram(1.5, 1.0), true), None);
    }
}
