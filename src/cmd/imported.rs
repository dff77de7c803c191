//! What becomes of samples that are put into a store from elsewhere.
//!
//! **Invariants.** Doing it again, or going on after it was broken off, adds nothing twice: a sample that is there already is counted as
//! such. What cannot be stored because its series has newer samples is counted apart.

use std::collections::HashMap;

use crate::model::{Matcher, Sample, Timestamp, Value};
use crate::store::{Row, Store};

/// Counts of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Imported {
    /// Stored.
    pub(super) samples: usize,
    /// The same were there already.
    pub(super) known: usize,
    /// Not stored: their series has newer ones, or another value at that time.
    pub(super) refused: usize,
    /// Of series that are not wanted.
    pub(super) passed_over: usize,
    /// Not to be had in the way that was asked for.
    pub(super) left_out: usize,
}

impl Imported {
    /// Stores rows and counts what becomes of them.
    pub(super) fn commit(&mut self, store: &Store, rows: &[Row]) {
        let committed = store.commit(rows);
        // Of the same time and value as the newest of its series: neither appended nor refused.
        self.known += rows.len() - committed.appended - committed.refused.len();
        self.samples += committed.appended;
        let refused: Vec<&Row> = committed.refused.iter().map(|(index, _)| &rows[*index]).collect();
        for of_series in refused.chunk_by(|a, b| a.series == b.series) {
            let known = known(store, of_series);
            self.known += known;
            self.refused += of_series.len() - known;
        }
    }
}

/// How many of `rows`, all of one series, are in the store as they are.
fn known(store: &Store, rows: &[&Row]) -> usize {
    let Some(labels) = store.reader().labels(rows[0].series) else { return 0 };
    let matchers: Vec<Matcher> = labels.iter().map(|l| Matcher::equal(l.name.clone(), l.value.clone())).collect();
    let (first, last) = rows.iter().fold((rows[0].at, rows[0].at), |(a, b), row| (a.min(row.at), b.max(row.at)));
    let found = store.select(&matchers, first, last);
    // Series with further labels pass the matchers too.
    let Some(series) = found.into_iter().find(|series| series.labels == labels) else { return 0 };
    let stored: HashMap<Timestamp, Sample> = series.samples.into_iter().map(|sample| (sample.at, sample)).collect();
    // NaN differs from itself, its text does not; the bits of a float are in it.
    let text = |value: &Value| match value.as_float() {
        Some(float) => format!("{:x}", float.to_bits()),
        None => format!("{value:?}"),
    };
    let is_known = |row: &&&Row| stored.get(&row.at).is_some_and(|sample| text(&sample.value) == text(&row.value));
    rows.iter().filter(is_known).count()
}
