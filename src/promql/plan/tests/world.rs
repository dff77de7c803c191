//! Random data: series that come, pause, end, return and change their labels, with odd values among common ones.

use std::sync::Arc;

use proptest::prelude::*;

use crate::model::{Histogram, HistogramSpan, Labels, Timestamp, Value, stale_nan};
use crate::store::{Row, Store};

/// What happens to one series between two evaluations.
#[derive(Clone, Debug)]
pub(super) struct Event {
    series: usize,
    /// Seconds before the tick.
    ago: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Grows by that much.
    Grow(f64),
    Set(f64),
    End,
    Histogram(f64),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let odd = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(0.1),
        Just(1e300),
        Just(-3.5)
    ];
    let what = prop_oneof![
        20 => (0..50u32).prop_map(|by| What::Grow(f64::from(by))),
        4 => (0..5u32).prop_map(|value| What::Set(f64::from(value))),
        2 => odd.prop_map(What::Set),
        2 => Just(What::End),
    ];
    let histogram = (1..9u32).prop_map(|count| What::Histogram(f64::from(count)));
    // Few worlds have native histograms at all, or nothing would ever be planned.
    let what = prop_oneof![200 => what, 1 => histogram];
    (0..names().len(), prop_oneof![8 => Just(0i64), 1 => 1..15i64], what).prop_map(|(series, ago, what)| Event {
        series,
        ago,
        what,
    })
}

fn names() -> Vec<Labels> {
    let mut names = Vec::new();
    for name in ["a", "b", "c_total"] {
        for (job, instance) in [("x", "1"), ("x", "2"), ("y", "1"), ("y", "3")] {
            names.push(Labels::from_pairs([("__name__", name), ("job", job), ("i", instance)]));
        }
    }
    names.push(Labels::from_pairs([("__name__", "a")]));
    names.push(Labels::from_pairs([("__name__", "b"), ("job", "y"), ("i", "1"), ("v", "2")]));
    for job in ["x", "y"] {
        for bound in ["0.5", "1", "2.5", "+Inf"] {
            names.push(Labels::from_pairs([("__name__", "d_bucket"), ("job", job), ("le", bound)]));
        }
    }
    names.push(Labels::from_pairs([("__name__", "d_bucket"), ("job", "x"), ("le", "odd")]));
    names
}

/// What the series were last.
pub(super) struct World {
    names: Vec<Labels>,
    last: Vec<f64>,
}

impl World {
    pub(super) fn new() -> Self {
        let names = names();
        World { last: vec![0.0; names.len()], names }
    }

    pub(super) fn apply(&mut self, store: &Store, now: Timestamp, event: &Event) {
        let series = store.series_ref(&self.names[event.series]);
        let last = &mut self.last[event.series];
        let value = match event.what {
            What::Grow(by) => {
                *last = if last.is_finite() { *last + by } else { by };
                Value::Float(*last)
            }
            What::Set(value) => {
                *last = value;
                Value::Float(value)
            }
            What::End => Value::Float(stale_nan()),
            What::Histogram(count) => Value::Histogram(Arc::new(Histogram {
                count,
                sum: count,
                positive_spans: vec![HistogramSpan { offset: 0, length: 1 }],
                positive_buckets: vec![count],
                ..Histogram::default()
            })),
        };
        store.commit(&[Row::new(series, now.plus_ms(-1000 * event.ago), value)]);
    }

    /// The labels of a series by number.
    pub(super) fn labels(&self, event: &Event) -> &Labels {
        &self.names[event.series]
    }
}
