//! What a node's evaluation gives: rows of samples, one per series, on the steps of its grid.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Labels, METRIC_NAME, Sample, Timestamp, Value};

use super::error::EvalError;
use super::grid::Grid;

/// A series of a result under construction.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::promql) struct Row {
    pub(in crate::promql) labels: Labels,
    /// Whether the metric name is to go at the end of the query (delayed name removal).
    pub(in crate::promql) drop_name: bool,
    /// Strictly increasing in time.
    pub(in crate::promql) samples: Vec<Sample>,
}

/// One element of the vector at a step.
#[derive(Clone, Debug)]
pub(super) struct Element {
    /// Index of the row it comes from.
    pub(super) row: usize,
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    /// The step, or the sample's own time for `timestamp()`.
    pub(super) at: Timestamp,
    pub(super) value: Value,
}

impl Element {
    /// An element that comes from no row.
    pub(super) fn new(labels: Labels, at: Timestamp, value: impl Into<Value>) -> Self {
        Element { row: 0, labels, drop_name: false, at, value: value.into() }
    }

    pub(super) fn float(&self) -> Option<f64> {
        self.value.as_float()
    }
}

/// Reads rows step by step. Steps must come in order.
pub(super) struct Cursor<'a> {
    rows: &'a [Row],
    next: Vec<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rows: &'a [Row]) -> Self {
        Cursor { rows, next: vec![0; rows.len()] }
    }

    /// The vector at `step`, in order of the rows.
    pub(super) fn advance(&mut self, step: Timestamp) -> Vec<Element> {
        let mut vector = Vec::new();
        for (index, (row, next)) in self.rows.iter().zip(&mut self.next).enumerate() {
            if let Some(sample) = row.samples.get(*next).filter(|sample| sample.at == step) {
                *next += 1;
                vector.push(Element {
                    row: index,
                    labels: row.labels.clone(),
                    drop_name: row.drop_name,
                    at: step,
                    value: sample.value.clone(),
                });
            }
        }
        vector
    }
}

/// Builds rows from the vectors of successive steps.
pub(super) struct Collector {
    grid: Grid,
    /// Whether two elements with the same labels at a single step are refused here (else at the end of the query).
    refuse_duplicates: bool,
    rows: Vec<Row>,
    by_labels: FxHashMap<Labels, usize>,
}

impl Collector {
    pub(super) fn new(grid: Grid, delayed_name_removal: bool) -> Self {
        Collector { grid, refuse_duplicates: !delayed_name_removal, rows: Vec::new(), by_labels: FxHashMap::default() }
    }

    pub(super) fn push(&mut self, step: Timestamp, vector: Vec<Element>) -> Result<(), EvalError> {
        if self.grid.is_single() {
            // The order of the vector is the order of the answer.
            self.rows = vector.into_iter().map(|element| row_at(step, element)).collect();
            return if self.refuse_duplicates { refuse_same_labels(&self.rows) } else { Ok(()) };
        }
        for element in vector {
            match self.by_labels.get(&element.labels) {
                Some(&index) => {
                    let samples = &mut self.rows[index].samples;
                    if samples.last().is_some_and(|sample| sample.at == step) {
                        return Err(EvalError::DuplicateLabelset);
                    }
                    samples.push(Sample { at: step, value: element.value });
                }
                None => {
                    self.by_labels.insert(element.labels.clone(), self.rows.len());
                    self.rows.push(row_at(step, element));
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Row> {
        self.rows
    }
}

fn row_at(step: Timestamp, element: Element) -> Row {
    Row {
        labels: element.labels,
        drop_name: element.drop_name,
        samples: vec![Sample { at: step, value: element.value }],
    }
}

/// Refuses two rows with the same labels, whatever their times.
pub(super) fn refuse_same_labels(rows: &[Row]) -> Result<(), EvalError> {
    let mut seen = FxHashSet::default();
    if rows.iter().all(|row| seen.insert(&row.labels)) { Ok(()) } else { Err(EvalError::DuplicateLabelset) }
}

/// Joins rows with the same labels; refuses two values of the same type at one instant.
pub(super) fn merge_same_labels(rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    if refuse_same_labels(&rows).is_ok() {
        return Ok(rows);
    }
    let mut merged: Vec<Row> = Vec::new();
    let mut by_labels: FxHashMap<Labels, usize> = FxHashMap::default();
    for row in rows {
        match by_labels.get(&row.labels) {
            Some(&index) => merged[index].samples.extend(row.samples),
            None => {
                by_labels.insert(row.labels.clone(), merged.len());
                merged.push(row);
            }
        }
    }
    for row in &mut merged {
        row.samples.sort_by_key(|sample| sample.at);
        if row.samples.windows(2).any(|pair| pair[0].at == pair[1].at) {
            return Err(EvalError::DuplicateLabelset);
        }
    }
    Ok(merged)
}

/// The labels without what names the metric: its name, and the type and unit that belong to the name.
pub(in crate::promql) fn without_metadata(labels: &Labels) -> Labels {
    let is_metadata = |name: &str| name == METRIC_NAME || name == "__type__" || name == "__unit__";
    if labels.iter().any(|label| is_metadata(&label.name)) {
        labels.filtered(|label| !is_metadata(&label.name))
    } else {
        labels.clone()
    }
}

/// [`weight`] of all elements.
pub(super) fn weight_of(vector: &[Element]) -> usize {
    vector.iter().map(|element| weight(&element.value)).sum()
}

/// How many floats' worth of memory a value takes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Float(_) => 1,
        // Upstream counts a histogram's bytes in units of a float sample of 16 bytes.
        Value::Histogram(histogram) => {
            let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
            let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
            11 + (buckets + spans + histogram.custom_values.len()) / 2
        }
    }
}
