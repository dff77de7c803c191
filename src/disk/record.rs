//! What a log holds: commits, and the state of other parts, one record each.
//!
//! ```text
//! commit:  1  series that this log meets for the first time: number, labels …
//!             count  time of the first row
//!             rows: distance of series number, distance of time, flags, value, start time …
//! state:   2  name  bytes                                      the newest of a name holds (of former versions)
//! states:  3  count  name  whether there is one  bytes …       likewise, several at once; without one, the name is removed
//!          4  …                                                the same, and there are no others
//! ```
//!
//! **Invariants.** A log defines each series before or in the record that first names it, so a log is read without any other.
//! **Cost.** About 5 bytes a sample of an integer counter, 10 of an arbitrary float.

use crate::model::{Labels, StartTime, Timestamp, Value};
use std::collections::BTreeMap;

use super::StateChange;
use crate::model::wire::{Malformed, Read, Write};

const COMMIT: u8 = 1;
const STATE: u8 = 2;
const STATES: u8 = 3;
const ALL_STATES: u8 = 4;

/// A row of a commit: its series by the number that the log gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LoggedRow {
    pub(super) series: u64,
    pub(super) at: Timestamp,
    pub(super) value: Value,
    pub(super) start: Option<StartTime>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record<'a> {
    Commit { defined: Vec<(u64, Labels)>, rows: Vec<LoggedRow> },
    States { changes: Vec<(&'a str, Option<&'a [u8]>)>, are_all: bool },
}

/// Writes a commit, row by row.
pub(super) struct CommitWriter<'a> {
    out: &'a mut Vec<u8>,
    series: u64,
    at: Timestamp,
}

impl<'a> CommitWriter<'a> {
    /// Begins with the series that the log has not met and the number of rows.
    pub(super) fn new(out: &'a mut Vec<u8>, defined: &[(u64, Labels)], rows: usize) -> Self {
        out.push(COMMIT);
        out.varint(defined.len() as u64);
        for (series, labels) in defined {
            out.varint(*series);
            out.labels(labels);
        }
        out.varint(rows as u64);
        CommitWriter { out, series: 0, at: Timestamp::EPOCH }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, series: u64, at: Timestamp, value: &Value, start: Option<StartTime>) {
        // Rows of a scrape mostly have the time of the row before and the number after it: one byte each.
        self.out.signed(series.wrapping_sub(self.series).wrapping_sub(1) as i64);
        self.out.signed(at.as_ms().wrapping_sub(self.at.as_ms()));
        (self.series, self.at) = (series, at);
        self.out.varint(u64::from(start.is_some()));
        if let Some(start) = start {
            self.out.signed(at.as_ms().wrapping_sub(start.at().as_ms()));
        }
        self.out.value(value);
    }
}

/// Writes changes of states.
pub(super) fn write_states(out: &mut Vec<u8>, changes: &[StateChange]) {
    out.push(STATES);
    out.list(changes.iter(), |out, (name, state)| {
        out.text(name);
        out.option(state.as_deref(), |out, state| out.bytes(state));
    });
}

/// Writes all states that there are.
pub(super) fn write_all_states(out: &mut Vec<u8>, states: &BTreeMap<String, Vec<u8>>) {
    out.push(ALL_STATES);
    out.list(states.iter(), |out, (name, state)| {
        out.text(name);
        out.option(Some(state), |out, state| out.bytes(state));
    });
}

/// Reads a record.
pub(super) fn read(payload: &[u8]) -> Result<Record<'_>, Malformed> {
    let mut read = Read(payload);
    match read.byte()? {
        COMMIT => read_commit(&mut read),
        STATE => Ok(Record::States { changes: vec![(read.text()?, Some(read.bytes()?))], are_all: false }),
        kind @ (STATES | ALL_STATES) => {
            let changes = read.list(|read| Ok((read.text()?, read.option(Read::bytes)?)))?;
            let record = Record::States { changes, are_all: kind == ALL_STATES };
            if read.is_empty() { Ok(record) } else { Err(Malformed) }
        }
        _ => Err(Malformed),
    }
}

fn read_commit<'a>(read: &mut Read<'a>) -> Result<Record<'a>, Malformed> {
    let mut defined = Vec::new();
    for _ in 0..read.count()? {
        defined.push((read.varint()?, read.labels()?));
    }
    let count = read.count()?;
    let mut rows = Vec::with_capacity(count);
    let (mut series, mut at) = (0u64, Timestamp::EPOCH);
    for _ in 0..count {
        series = series.wrapping_add(read.signed()? as u64).wrapping_add(1);
        at = Timestamp::from_ms(at.as_ms().wrapping_add(read.signed()?));
        let start = match read.varint()? {
            0 => None,
            _ => StartTime::new(Timestamp::from_ms(at.as_ms().wrapping_sub(read.signed()?))),
        };
        rows.push(LoggedRow { series, at, value: read.value()?, start });
    }
    if read.is_empty() { Ok(Record::Commit { defined, rows }) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Histogram, HistogramSpan};

    fn value() -> impl Strategy<Value = Value> {
        let bits = any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits)));
        let histogram =
            (any::<f64>(), -4..9i32, any::<i32>(), any::<u32>()).prop_map(|(sum, schema, offset, length)| {
                let spans = vec![HistogramSpan { offset, length }];
                Value::Histogram(
                    Histogram {
                        sum,
                        schema,
                        positive_spans: spans,
                        positive_buckets: vec![sum; 3],
                        ..Histogram::default()
                    }
                    .into(),
                )
            });
        prop_oneof![5 => (0..1000u32).prop_map(|n| Value::Float(f64::from(n))), 3 => bits, 1 => histogram]
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            rows in prop::collection::vec((any::<u64>(), any::<i64>(), value(), any::<i64>()), 0..50),
            labels in prop::collection::vec(("[a-z]{1,5}", ".{0,9}"), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let defined = vec![(7, Labels::from_pairs(labels)), (u64::MAX, Labels::empty())];
            let mut out = Vec::new();
            let mut writer = CommitWriter::new(&mut out, &defined, rows.len());
            let start = |ms: i64| StartTime::new(Timestamp::from_ms(ms));
            rows.iter().for_each(|(series, at, value, ms)| writer.row(*series, Timestamp::from_ms(*at), value, start(*ms)));
            let row = |(series, at, value, ms): &(u64, i64, Value, i64)| LoggedRow {
                series: *series, at: Timestamp::from_ms(*at), value: value.clone(), start: start(*ms),
            };
            let expected = Record::Commit { defined, rows: rows.iter().map(row).collect() };
            // NaN differs from itself, its text does not.
            prop_assert_eq!(format!("{:?}", read(&out)), format!("{:?}", Ok::<_, Malformed>(expected)));
            prop_assert!(read(&out[..cut.index(out.len())]).is_err());
        }

        #[test]
        fn nonsense_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[&[COMMIT, 0], &*bytes].concat());
        }
    }

    #[test]
    fn a_counter_takes_few_bytes() {
        let mut out = Vec::new();
        let mut writer = CommitWriter::new(&mut out, &[], 1000);
        (0..1000)
            .for_each(|n| writer.row(n, Timestamp::from_ms(1_790_000_000_000), &Value::Float((n * 977) as f64), None));
        assert!(out.len() <= 9 * 1000, "{} bytes", out.len());
    }
}
