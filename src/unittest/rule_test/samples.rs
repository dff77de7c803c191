//! Does an expression give the samples expected?

use crate::model::{Labels, Timestamp, Value};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant};
use crate::promql::{self, Features, Querier};
use crate::source::format_duration;

use super::ExprTest;
use super::go_text::{exponent_text, histogram_text, series_text};

/// A sample as it is compared and shown.
struct ShownSample {
    labels: Labels,
    value: f64,
    histogram: Option<String>,
}

impl ShownSample {
    fn of(labels: Labels, value: &Value) -> Self {
        match value {
            Value::Float(value) => ShownSample { labels, value: *value, histogram: None },
            Value::Histogram(histogram) => {
                ShownSample { labels, value: 0.0, histogram: Some(histogram_text(histogram)) }
            }
        }
    }

    fn text(&self) -> String {
        let value = self.histogram.clone().unwrap_or_else(|| exponent_text(self.value));
        format!("{} {value}", series_text(&self.labels))
    }
}

/// How numbers are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Exact,
    /// Neighbours count as equal.
    Fuzzy,
}

impl Comparison {
    /// NaN equals nothing, as in promtool.
    fn is_same(self, a: f64, b: f64) -> bool {
        a == b || self == Comparison::Fuzzy && (a.next_down() == b || a.next_up() == b)
    }
}

/// promtool's text about `test` where it fails. It is evaluated at `at`.
pub(super) fn difference(
    test: &ExprTest,
    at: Timestamp,
    querier: &dyn Querier,
    options: (&QueryOptions<'_>, Features),
    comparison: Comparison,
) -> Option<String> {
    let head = format!("    expr: {}, time: {},", crate::model::quote(&test.expr), format_duration(test.eval_time));
    let mut got = match evaluate(&test.expr, at, querier, options) {
        Ok(got) => got,
        Err(reason) => return Some(format!("{head} err: {reason}")),
    };
    let mut expected: Vec<ShownSample> = test
        .expected
        .iter()
        .map(|sample| ShownSample {
            labels: sample.labels.clone(),
            value: sample.value,
            histogram: sample.histogram.clone(),
        })
        .collect();
    // promtool's order is that of an unstable sort with an unusual comparison: of equal label sets the later comes first.
    for list in [&mut expected, &mut got] {
        list.reverse();
        list.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let is_same = expected.len() == got.len()
        && expected.iter().zip(&got).all(|(expected, got)| {
            expected.labels == got.labels
                && expected.histogram == got.histogram
                && comparison.is_same(expected.value, got.value)
        });
    if is_same {
        return None;
    }
    Some(format!("{head}\n        exp: {}\n        got: {}", list_text(&expected), list_text(&got)))
}

fn evaluate(
    text: &str,
    at: Timestamp,
    querier: &dyn Querier,
    (options, features): (&QueryOptions<'_>, Features),
) -> Result<Vec<ShownSample>, String> {
    let expr = promql::parse_with(text, features).map_err(|errors| errors[0].to_string())?;
    let result = eval_instant(&expr, at, querier, options).map_err(|error| error.to_string())?;
    match result.value {
        QueryValue::Vector(vector) => {
            Ok(vector.into_iter().map(|element| ShownSample::of(element.labels, &element.value)).collect())
        }
        QueryValue::Scalar { value, .. } => Ok(vec![ShownSample::of(Labels::empty(), &Value::Float(value))]),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
    }
}

fn list_text(samples: &[ShownSample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    samples.iter().map(ShownSample::text).collect::<Vec<_>>().join(", ")
}
