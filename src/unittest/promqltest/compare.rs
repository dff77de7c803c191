//! Is a result the expected one? Numbers may differ by [`TOLERANCE_RATIO`].

use crate::model::{Histogram, Labels, Sample, Series, Timestamp, Value, format_float};
use crate::promql::eval::native::compacted;
use crate::promql::eval::{QueryResult, QueryValue, VectorElement, almost_equal};
use crate::unittest::series::{SeriesDescription, SeriesValue};

use super::script::{Eval, ExpectationKind, Expected, When};

/// The relative difference that upstream's runner forgives.
const TOLERANCE_RATIO: f64 = 1e-6;

/// An error has arisen: is one expected, and this one?
pub(super) fn check_failure(eval: &Eval, error: &str) -> Result<(), String> {
    if !eval.is_fail() {
        return Err(format!("failed: {error}"));
    }
    match eval.of_kind(ExpectationKind::Fail).find(|expectation| !expectation.text.matches(error)) {
        Some(expectation) => Err(format!("expected error {:?} but got {error:?}", expectation.text.as_str())),
        None => Ok(()),
    }
}

/// Are warnings and infos those expected? Where one is expected, no other may be there.
pub(super) fn check_annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    use ExpectationKind::{Info, NoInfo, NoWarn, Warn};
    for (kind, forbids, texts) in [(Warn, NoWarn, &result.warnings), (Info, NoInfo, &result.infos)] {
        let name = if kind == Warn { "warning" } else { "info" };
        for expectation in eval.of_kind(kind) {
            if !texts.iter().any(|text| expectation.text.matches(text)) {
                return Err(format!("expected {name} {:?}, found {texts:?}", expectation.text.as_str()));
            }
        }
        let is_expected = |text: &String| eval.of_kind(kind).any(|expectation| expectation.text.matches(text));
        let is_picky = eval.of_kind(kind).next().is_some() || eval.of_kind(forbids).next().is_some();
        if let Some(text) = texts.iter().find(|text| is_picky && !is_expected(text)) {
            return Err(format!("unexpected {name} {text:?}"));
        }
    }
    Ok(())
}

/// Is `value` the expected one?
pub(super) fn compare(eval: &Eval, value: &QueryValue) -> Result<(), String> {
    match (value, &eval.expected) {
        (QueryValue::Scalar { value, .. }, Expected::Scalar(expected)) => {
            compare_floats(*expected, *value).map_err(|difference| format!("scalar: {difference}"))
        }
        (QueryValue::String { value, .. }, Expected::String(expected)) if **value == **expected => Ok(()),
        (QueryValue::String { value, .. }, Expected::String(expected)) => {
            Err(format!("expected string {expected:?} but got {value:?}"))
        }
        (QueryValue::Vector(vector), Expected::Series(expected)) => compare_vector(eval, expected, vector),
        (QueryValue::Matrix(matrix), Expected::Series(expected)) => compare_matrix(eval, expected, matrix),
        (QueryValue::Scalar { value, .. }, _) => Err(format!("got the unexpected scalar {}", format_float(*value))),
        (QueryValue::String { value, .. }, _) => Err(format!("got the unexpected string {value:?}")),
        (QueryValue::Vector(_), _) => Err("got a vector, which was not expected".to_owned()),
        (QueryValue::Matrix(_), _) => Err("got a matrix, which was not expected".to_owned()),
    }
}

fn compare_vector(eval: &Eval, expected: &[SeriesDescription], vector: &[VectorElement]) -> Result<(), String> {
    for (position, element) in vector.iter().enumerate() {
        let found = find(expected, &element.labels);
        let (index, series) =
            found.ok_or_else(|| format!("unexpected {} with value {}", element.labels, show(&element.value)))?;
        if eval.is_ordered() && index != position {
            return Err(format!(
                "expected {} at position {} but it was at {}",
                element.labels,
                index + 1,
                position + 1
            ));
        }
        let value = series.values.first().ok_or_else(|| format!("no expected value for {}", series.labels))?;
        compare_values(value, &element.value).map_err(|difference| format!("{}: {difference}", element.labels))?;
    }
    let missing = expected.iter().find(|series| !vector.iter().any(|element| element.labels == series.labels));
    missing.map_or(Ok(()), |series| Err(format!("expected {} was not found", series.labels)))
}

fn compare_matrix(eval: &Eval, expected: &[SeriesDescription], matrix: &[Series]) -> Result<(), String> {
    if eval.is_ordered() {
        return Err("expected an ordered result, but the query returned a matrix".to_owned());
    }
    if !matrix.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("the series of the result are not in order of their labels".to_owned());
    }
    let (start, end, step) = match (eval.range_vector, eval.when) {
        (Some(range), _) => range,
        (None, When::Range { start, end, step }) => (start, end, step),
        (None, When::Instant(_)) => return Err("a matrix needs `expect range vector`".to_owned()),
    };
    for series in matrix {
        let found = find(expected, &series.labels);
        let (_, description) =
            found.ok_or_else(|| format!("unexpected {} with {}", series.labels, show_all(&series.samples)))?;
        let mut at = start;
        let mut points: Vec<(Timestamp, &SeriesValue)> = Vec::new();
        for value in &description.values {
            if at > end {
                return Err(format!("more values expected for {} than the range has steps", series.labels));
            }
            if *value != SeriesValue::Missing {
                points.push((at, value));
            }
            at = at + step;
        }
        compare_samples(&points, &series.samples).map_err(|difference| format!("{}: {difference}", series.labels))?;
    }
    let missing = expected.iter().find(|series| !matrix.iter().any(|found| found.labels == series.labels));
    missing.map_or(Ok(()), |series| Err(format!("expected {} was not found", series.labels)))
}

fn compare_samples(expected: &[(Timestamp, &SeriesValue)], samples: &[Sample]) -> Result<(), String> {
    if expected.len() != samples.len() {
        return Err(format!("expected {} points but got {}", expected.len(), show_all(samples)));
    }
    for ((at, value), sample) in expected.iter().zip(samples) {
        if *at != sample.at {
            return Err(format!("expected a point at {at:?} but got {}", show_all(samples)));
        }
        compare_values(value, &sample.value).map_err(|difference| format!("at {at:?}: {difference}"))?;
    }
    Ok(())
}

fn find<'e>(expected: &'e [SeriesDescription], labels: &Labels) -> Option<(usize, &'e SeriesDescription)> {
    expected.iter().enumerate().find(|(_, series)| series.labels == *labels)
}

fn compare_values(expected: &SeriesValue, value: &Value) -> Result<(), String> {
    match (expected, value) {
        (SeriesValue::Float(expected), Value::Float(value)) => compare_floats(*expected, *value),
        (SeriesValue::Histogram { histogram, hint_given }, Value::Histogram(value)) => {
            let is_hint_right = !hint_given || histogram.counter_reset_hint == value.counter_reset_hint;
            if is_hint_right && are_alike(&compacted(histogram), &compacted(value)) {
                Ok(())
            } else {
                Err(format!("expected {histogram:?} but got {value:?}"))
            }
        }
        (SeriesValue::Float(expected), Value::Histogram(value)) => {
            Err(format!("expected {} but got the histogram {value:?}", format_float(*expected)))
        }
        (SeriesValue::Histogram { histogram, .. }, Value::Float(value)) => {
            Err(format!("expected the histogram {histogram:?} but got {}", format_float(*value)))
        }
        (SeriesValue::Missing, _) => Err(format!("expected nothing but got {}", show(value))),
    }
}

fn compare_floats(expected: f64, value: f64) -> Result<(), String> {
    if almost_equal(expected, value, TOLERANCE_RATIO) {
        Ok(())
    } else {
        Err(format!("expected {} but got {}", format_float(expected), format_float(value)))
    }
}

fn are_alike(a: &Histogram, b: &Histogram) -> bool {
    let alike = |a: f64, b: f64| almost_equal(a, b, TOLERANCE_RATIO);
    let all_alike = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(*a, *b));
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all_alike(&[a.count, a.sum, a.zero_count], &[b.count, b.sum, b.zero_count])
        && all_alike(&a.positive_buckets, &b.positive_buckets)
        && all_alike(&a.negative_buckets, &b.negative_buckets)
}

fn show(value: &Value) -> String {
    match value {
        Value::Float(value) => format_float(*value),
        Value::Histogram(histogram) => format!("{histogram:?}"),
    }
}

fn show_all(samples: &[Sample]) -> String {
    let shown: Vec<String> =
        samples.iter().map(|sample| format!("{} @{}", show(&sample.value), sample.at.as_secs_f64())).collect();
    format!("[{}]", shown.join(" "))
}
