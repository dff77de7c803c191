//! Which names and labels make up the series: the answer to "what blew up?".

use std::sync::Arc;

use super::postings::Postings;
use super::symbols::Symbols;
use crate::model::METRIC_NAME;

/// A text and how many there are of it.
pub type Count = (Arc<str>, u64);

/// The largest of each count, largest first, equal ones in order of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Distinct pairs of label name and value.
    pub label_pairs: u64,
    /// Series of each metric name.
    pub series_by_metric: Vec<Count>,
    /// Distinct values of each label name.
    pub values_by_label: Vec<Count>,
    /// Bytes of the labels of each name, over all series that have them, as Prometheus encodes them: each text after its length.
    pub bytes_by_label: Vec<Count>,
    /// Series of each `name=value`.
    pub series_by_pair: Vec<Count>,
}

pub(super) fn count(symbols: &Symbols, postings: &Postings, limit: usize) -> Cardinality {
    let mut all = Cardinality::default();
    for name in postings.names() {
        let name_text = symbols.text(name);
        let (mut values, mut bytes) = (0, 0);
        let mut series_by_value = Vec::new();
        for (value, series) in postings.values(name) {
            values += 1;
            bytes += series * (encoded_len(name_text) + encoded_len(symbols.text(value)));
            series_by_value.push((symbols.text(value).clone(), series));
        }
        let largest = top(series_by_value, limit);
        let pair = |(value, series): &Count| (Arc::from(format!("{name_text}={value}")), *series);
        all.series_by_pair.extend(largest.iter().map(pair));
        if **name_text == *METRIC_NAME {
            all.series_by_metric = largest;
        }
        all.label_pairs += values;
        all.values_by_label.push((name_text.clone(), values));
        all.bytes_by_label.push((name_text.clone(), bytes));
    }
    Cardinality {
        label_pairs: all.label_pairs,
        series_by_metric: all.series_by_metric,
        values_by_label: top(all.values_by_label, limit),
        bytes_by_label: top(all.bytes_by_label, limit),
        series_by_pair: top(all.series_by_pair, limit),
    }
}

/// Of a text after its length. **Source.** Prometheus 3.5 `model/labels/labels_stringlabels.go`.
fn encoded_len(text: &str) -> u64 {
    text.len() as u64 + if text.len() < 255 { 1 } else { 4 }
}

fn top(mut counts: Vec<Count>, limit: usize) -> Vec<Count> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(limit);
    counts
}
