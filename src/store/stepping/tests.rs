//! All windows of a grid at once against each by itself.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Labels, Value, stale_nan};
use crate::store::{Lateness, Row, Store, StoreOptions};

/// Distances in seconds, and values.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let distance = prop_oneof![30 => Just(15i64), 2 => 1..40i64, 1 => Just(7200)];
    let counter = (distance.clone(), prop_oneof![40 => 0..20i64, 1 => Just(-1i64)]);
    let counter = prop::collection::vec(counter, 1..900).prop_map(|steps| {
        let mut sum = 0.0;
        let grow = |(distance, step)| {
            sum = if step < 0 { 0.0 } else { sum + step as f64 };
            (distance, sum)
        };
        steps.into_iter().map(grow).collect::<Vec<_>>()
    });
    let odd = prop_oneof![
        8 => (-9..9i32).prop_map(f64::from), 1 => Just(stale_nan()), 1 => Just(f64::NAN), 1 => Just(-0.0), 1 => Just(0.1),
        1 => Just(f64::INFINITY)
    ];
    prop_oneof![3 => counter, 1 => prop::collection::vec((distance, odd), 1..500)]
}

/// Stores the samples, the one at `late` after the others. Gives the time of the newest too.
fn store_of(samples: &[(i64, f64)], late: Option<usize>) -> (Store, crate::store::SeriesRef, i64) {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(1 << 40) });
    let series = store.series_ref(&Labels::from_pairs([("__name__", "a")]));
    let mut at_ms = 0;
    let mut rows: Vec<Row> = Vec::new();
    for (distance, value) in samples {
        at_ms += 1000 * distance;
        rows.push(Row::new(series, Timestamp::from_ms(at_ms), Value::Float(*value)));
    }
    if let Some(late) = late.filter(|late| *late < rows.len()) {
        let late = rows.remove(late);
        rows.push(late);
    }
    for row in &rows {
        store.commit_late(std::slice::from_ref(row), Lateness::Unbounded);
    }
    (store, series, at_ms)
}

/// Of a NaN increase only that it is one.
fn shown(edges: &Edges) -> String {
    let increase = if edges.increase.is_nan() { f64::NAN } else { edges.increase };
    let bits = [edges.first.1, edges.last.1, increase].map(f64::to_bits);
    format!("{} {:?} {:?} {bits:?}", edges.count, edges.first.0, edges.last.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_step_gives_what_its_window_gives(
        samples in samples(),
        first_end in -0.1..1.2f64,
        range_secs in prop_oneof![Just(60i64), Just(300), Just(3_000), Just(20_000), Just(1_000_000)],
        step_secs in prop_oneof![Just(0i64), Just(7), Just(15), Just(300), Just(3_000), Just(5_000), Just(20_000), Just(40_000)],
        count in 1..40usize,
        late in prop_oneof![2 => Just(None), 1 => (0..500usize).prop_map(Some)],
        through in prop_oneof![3 => Just(1.1), 1 => 0.0..1.0f64],
        floor in prop_oneof![3 => Just(None), 1 => (0.0..1.0f64).prop_map(Some)],
    ) {
        let (store, series, end_ms) = store_of(&samples, late);
        let at = |share: f64| Timestamp::from_ms((end_ms as f64 * share) as i64);
        let through = at(through);
        if let Some(floor) = floor {
            store.truncate(at(floor));
        }
        let grid =
            WindowGrid { first_end: at(first_end), step_ms: 1000 * step_secs, count, range_ms: 1000 * range_secs };
        let reader = store.reader();
        let (mut space, mut window) = (Stepping::default(), Window::default());
        let mut expected_edges = vec![None; count];
        let mut expected = vec![None; count];
        for index in 0..count {
            reader.window(series, grid.start(index), grid.end(index).min(through), &mut window);
            let (values, len) = (&window.values, window.values.len() as u64);
            expected_edges[index] = Edges::of(&window.at, values).map(|edges| shown(&edges));
            let samples = || window.samples(0..values.len());
            let extremes = Extremes::of(samples()).range.map(|(min, max)| (min.to_bits(), max.to_bits()));
            expected[index] = (len > 0).then(|| (len, extremes, Transitions::of(samples())));
        }
        let mut edges = vec![None; count];
        let put = |index: usize, found: Edges| edges[index] = Some(shown(&found));
        reader.edges_by_step((series, through), &grid, &mut space, put).unwrap();
        prop_assert_eq!(&edges, &expected_edges);

        let mut extremes = vec![None; count];
        let put = |index: usize, count, found: Extremes| extremes[index] = Some((count, found.range));
        reader.extremes_by_step((series, through), &grid, &mut space, put).unwrap();
        let mut transitions = vec![None; count];
        let put = |index: usize, _, found: Transitions| transitions[index] = Some(found);
        reader.transitions_by_step((series, through), &grid, &mut space, put).unwrap();
        for index in 0..count {
            let bits = |range: Option<(f64, f64)>| range.map(|(min, max)| (min.to_bits(), max.to_bits()));
            let found = extremes[index].map(|(len, range)| (len, bits(range)));
            prop_assert_eq!(found, expected[index].map(|(len, range, _)| (len, range)), "{}", index);
            let counts = |found: &Transitions| (found.changes, found.resets);
            let expected = expected[index].as_ref().map(|(_, _, transitions)| counts(transitions));
            prop_assert_eq!(transitions[index].as_ref().map(counts), expected, "{}", index);
        }

        // Sums of integers have the same bits in any order; columns that are stepped through give what the store gives.
        let mut sums = vec![None; count];
        let put = |index: usize, count, found: Sums| sums[index] = Some((count, found));
        reader.sums_by_step((series, through), &grid, &mut space, put).unwrap();
        reader.columns(series, &grid, through, &mut space).unwrap();
        let mut exact = vec![None; count];
        let put = |index: usize, count, found: Sums| exact[index] = Some((count, found));
        if space.exact_sums(&grid, put).is_ok() {
            prop_assert_eq!(sums, exact);
        }
        let mut of_columns = vec![None; count];
        space.edges(&grid, |index, found| of_columns[index] = Some(shown(&found)));
        prop_assert_eq!(of_columns, expected_edges);
    }
}
