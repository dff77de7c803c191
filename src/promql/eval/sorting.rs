//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`.
//!
//! **Differs:** `sort_by_label` puts elements without the label first; Prometheus finds an empty text neither less nor greater than
//! others, so that such elements stay where they stood and keep those around them apart.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::promql::functions::FunctionId;

use super::matrix::Element;

pub(super) fn is_sort(id: FunctionId) -> bool {
    use FunctionId::{Sort, SortByLabel, SortByLabelDesc, SortDesc};
    matches!(id, Sort | SortDesc | SortByLabel | SortByLabelDesc)
}

/// By value, NaN last in both directions; histograms vanish.
pub(super) fn by_value(vector: &[Element], id: FunctionId) -> Vec<Element> {
    let mut sorted: Vec<(f64, Element)> =
        vector.iter().filter_map(|element| Some((element.float()?, element.clone()))).collect();
    let compare = if id == FunctionId::SortDesc { descending_nan_last } else { ascending_nan_last };
    sorted.sort_by(|a, b| compare(a.0, b.0));
    sorted.into_iter().map(|(_, element)| element).collect()
}

pub(in crate::promql) fn ascending_nan_last(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

pub(in crate::promql) fn descending_nan_last(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// By the values of `names` in natural order (`a2` before `a10`), then by all labels.
pub(super) fn by_labels(vector: &[Element], names: &[Arc<str>], id: FunctionId) -> Vec<Element> {
    let mut sorted = vector.to_vec();
    let compare = |a: &Element, b: &Element| {
        let value = |element: &Element, name: &str| element.labels.get(name).unwrap_or("").to_owned();
        let by_names = names.iter().map(|name| natural(&value(a, name), &value(b, name)));
        by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels))
    };
    if id == FunctionId::SortByLabelDesc {
        sorted.sort_by(|a, b| compare(b, a));
    } else {
        sorted.sort_by(compare);
    }
    sorted
}

/// Runs of digits compare as numbers, what is between them as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (chunk_a, next_a) = split_chunk(rest_a);
        let (chunk_b, next_b) = split_chunk(rest_b);
        let both_numbers = chunk_a.starts_with(is_digit) && chunk_b.starts_with(is_digit);
        let order = if both_numbers { by_number(chunk_a, chunk_b) } else { chunk_a.cmp(chunk_b) };
        if order.is_ne() {
            return order;
        }
        (rest_a, rest_b) = (next_a, next_b);
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn split_chunk(text: &str) -> (&str, &str) {
    let number = text.starts_with(is_digit);
    text.split_at(text.find(|c| is_digit(c) != number).unwrap_or(text.len()))
}

/// Numbers of any length.
fn by_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        let sorted = ["", "1", "01x", "2", "10", "a", "a2", "a2b", "a10", "a10", "b"];
        assert!(sorted.is_sorted_by(|a, b| natural(a, b).is_le()), "{sorted:?}");
        assert_eq!(natural("a10", "a9"), Ordering::Greater);
        assert_eq!(natural("99999999999999999999", "100000000000000000000"), Ordering::Less);
    }
}
