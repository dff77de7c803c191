//! A store whose samples come in any order against one that got them in order.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::model::{Histogram, Labels, Series, stale_nan};

/// A sample, and by how many places it comes late.
#[derive(Clone, Debug)]
struct Coming {
    at: Timestamp,
    value: Value,
    start: Option<StartTime>,
    delay: usize,
}

fn coming() -> impl Strategy<Value = Vec<Coming>> {
    let value = prop_oneof![
        300 => (0..50u32).prop_map(|n| Value::Float(f64::from(n))),
        8 => Just(Value::Float(stale_nan())),
        2 => (0..9u32).prop_map(|n| Value::Histogram(Histogram { count: f64::from(n), ..Histogram::default() }.into())),
    ];
    let delay = prop_oneof![6 => Just(0usize), 2 => 1..5usize, 1 => 5..400usize];
    let sample = (1..40i64, value, delay, 0..300u32);
    (prop::collection::vec(sample, 1..900), any::<bool>()).prop_map(|(samples, has_starts)| {
        let (mut at, mut start) = (0, None);
        let coming = |(distance, value, delay, restart): (i64, Value, usize, u32)| {
            at += distance;
            if restart == 0 && has_starts {
                start = StartTime::new(Timestamp::from_ms(at - 1));
            }
            Coming { at: Timestamp::from_ms(at), value, start, delay }
        };
        samples.into_iter().map(coming).collect()
    })
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "m")])
}

fn row(store: &Store, coming: &Coming) -> Row {
    Row { start: coming.start, ..Row::new(store.series_ref(&labels()), coming.at, coming.value.clone()) }
}

/// A store that got these samples in order of time.
fn in_order<'a>(samples: impl Iterator<Item = &'a Coming>) -> Store {
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    let mut samples: Vec<&Coming> = samples.collect();
    samples.sort_by_key(|coming| coming.at);
    let rows: Vec<Row> = samples.into_iter().map(|coming| row(&store, coming)).collect();
    assert_eq!(store.commit(&rows).refused, []);
    store
}

/// NaN equals itself here.
fn shown(series: &[Series]) -> String {
    format!("{series:?}")
}

fn check(late: &Store, expected: &Store, windows: &[(i64, i64)]) -> Result<(), TestCaseError> {
    let all = |store: &Store| shown(&store.select(&[], Timestamp::MIN, Timestamp::MAX));
    prop_assert_eq!(all(late), all(expected));
    let series = |store: &Store| store.find(&labels()).expect("the series");
    let (a, b) = (series(late), series(expected));
    for (start, length) in windows {
        let (start, end) = (Timestamp::from_ms(*start), Timestamp::from_ms(start + length));
        let select = |store: &Store| shown(&store.select(&[], start, end));
        prop_assert_eq!(select(late), select(expected));
        let (late, expected) = (late.reader(), expected.reader());
        prop_assert_eq!(late.instant(a, end, *length), expected.instant(b, end, *length), "{:?} {:?}", start, end);
        let (mut got, mut wanted) = (Window::default(), Window::default());
        let edges = (late.edges(a, start, end, &mut got), expected.edges(b, start, end, &mut wanted));
        prop_assert_eq!(edges.0.is_some(), edges.1.is_some());
        prop_assert_eq!(got.has_histograms, wanted.has_histograms);
        if !got.has_histograms {
            prop_assert_eq!(edges.0, edges.1, "{:?} {:?}", start, end);
        }
        late.samples(a, start, end, &mut got);
        expected.samples(b, start, end, &mut wanted);
        prop_assert_eq!(format!("{got:?}"), format!("{wanted:?}"));
        same(late.sums(a, start, end), expected.sums(b, start, end))?;
        same(late.extremes(a, start, end), expected.extremes(b, start, end))?;
        same(late.transitions(a, start, end), expected.transitions(b, start, end))?;
    }
    Ok(())
}

/// Equal, or not known where samples wait to be merged.
fn same<T: PartialEq + std::fmt::Debug>(late: Windowed<T>, expected: Windowed<T>) -> Result<(), TestCaseError> {
    prop_assert!(late == Windowed::Scan || late == expected, "{:?} is not {:?}", late, expected);
    Ok(())
}

/// What an export to an empty disk gives back.
fn restored(store: &Store) -> Store {
    let again = Store::new(StoreOptions { retention: Duration::MAX });
    for exported in store.export(0..store.slots_len(), |_| Saved::NOTHING) {
        again.restore(exported).expect("what was exported");
    }
    again
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_coming_does_not_show(
        samples in coming(),
        batch in 1..40usize,
        settled in 1..9usize,
        windows in prop::collection::vec((0..20_000i64, 0..20_000i64), 12),
    ) {
        let late = Store::new(StoreOptions { retention: Duration::MAX });
        late.set_late_window(Duration::from_secs(3600));
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|index| index + samples[*index].delay);
        let mut cursor = 0;
        for (number, batch) in order.chunks(batch).enumerate() {
            let rows: Vec<Row> = batch.iter().map(|index| row(&late, &samples[*index])).collect();
            let committed = late.commit_late(&rows, Lateness::Unbounded);
            prop_assert_eq!((committed.appended, committed.refused), (rows.len(), vec![]));
            // Again, in any order: nothing is there twice.
            prop_assert_eq!(late.commit_late(&rows, Lateness::Unbounded).appended, 0);
            let amended = late.amendments(&mut cursor).expect("few");
            prop_assert!(amended.iter().all(|amended| rows.iter().any(|row| row.at == amended.at)));
            if number % 7 == settled {
                late.settle();
            }
        }
        let expected = in_order(samples.iter());
        check(&late, &expected, &windows)?;
        late.settle();
        check(&late, &expected, &windows)?;
        prop_assert_eq!(late.stats().samples, samples.len() as u64);
        check(&restored(&late), &expected, &windows)?;
        late.truncate(Timestamp::MAX);
        let Stats { series, samples, chunks, bytes, .. } = late.stats();
        prop_assert_eq!((series, samples, chunks, bytes), (0, 0, 0, 0));
    }

    /// Exports one after the other, each of what is new, confirmed or not: together they hold everything.
    #[test]
    fn what_a_disk_was_told_is_all(
        samples in coming(),
        parts in 1..6usize,
        fails in prop::collection::vec(any::<bool>(), 6),
        settles in any::<bool>(),
    ) {
        let late = Store::new(StoreOptions { retention: Duration::MAX });
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|index| index + samples[*index].delay);
        let disk = Store::new(StoreOptions { retention: Duration::MAX });
        let mut known = Saved::NOTHING;
        let part_len = samples.len().div_ceil(parts);
        for (number, part) in order.chunks(part_len).enumerate() {
            let rows: Vec<Row> = part.iter().map(|index| row(&late, &samples[*index])).collect();
            late.commit_late(&rows, Lateness::Unbounded);
            let is_last = (number + 1) * part_len >= samples.len();
            if settles || is_last {
                late.settle();
            }
            for exported in late.export(0..1, |_| known) {
                if fails[number] && !is_last {
                    continue;
                }
                known = exported.saved;
                late.confirm(&[(exported.series, known)]);
                disk.restore(exported).expect("what was exported");
            }
        }
        check(&disk, &in_order(samples.iter()), &[])?;
    }
}

#[test]
fn the_window_is_measured_from_the_newest_sample_of_the_store() {
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    let [one, two] = ["one", "two"].map(|name| store.series_ref(&Labels::from_pairs([("__name__", name)])));
    let at = Timestamp::from_ms;
    store.commit(&[Row::new(one, at(100_000), 1.0), Row::new(two, at(50_000), 1.0)]);
    let late = |ms: i64, value: f64, lateness: Lateness| {
        store.commit_late(&[Row::new(two, at(ms), value)], lateness).refused.first().map(|(_, refusal)| *refusal)
    };
    assert_eq!(late(49_000, 2.0, Lateness::All), Some(Refusal::OutOfOrder), "no window");
    store.set_late_window(Duration::from_secs(60));
    for (ms, value, lateness, expected) in [
        (49_000, 2.0, Lateness::Refused, Some(Refusal::OutOfOrder)),
        (49_000, 2.0, Lateness::Samples, None),
        (48_000, stale_nan(), Lateness::Samples, Some(Refusal::OutOfOrder)),
        (48_000, stale_nan(), Lateness::All, None),
        (50_000, 7.0, Lateness::All, Some(Refusal::Duplicate)),
        (49_000, 7.0, Lateness::All, None),
        (40_000, 2.0, Lateness::All, None),
        (39_999, 2.0, Lateness::All, Some(Refusal::TooLate)),
        (39_999, 2.0, Lateness::Unbounded, None),
    ] {
        assert_eq!(late(ms, value, lateness), expected, "{ms} {value} {lateness:?}");
    }
    let times = store.select(&[], at(0), at(60_000))[0].samples.iter().map(|s| s.at.as_ms()).collect::<Vec<_>>();
    assert_eq!(times, [39_999, 40_000, 48_000, 49_000, 50_000]);
    let mut window = Window::default();
    store.reader().samples(two, at(48_500), at(49_000), &mut window);
    assert_eq!(window.values, [2.0], "the first sample of an instant stays");
    let floats = store.counts().floats;
    assert_eq!((floats.late, floats.out_of_order, floats.too_late), (4, 3, 1));
}

#[test]
fn a_late_sample_wakes_a_series_that_was_found_empty() {
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    let at = Timestamp::from_ms;
    let series = store.series_ref(&labels());
    store.commit(&[Row::new(series, at(1_000), 1.0), Row::new(series, at(9_000_000), stale_nan())]);
    let mut selection = store.prepare(&[]);
    selection.refresh(&store.reader());
    let epoch = store.reader().epoch();
    store.commit_late(&[Row::new(series, at(5_000), 2.0)], Lateness::Unbounded);
    let reader = store.reader();
    assert!(!selection.is_unchanged(&reader, epoch, at(5_000)));
    assert_eq!(selection.refresh(&reader).woken, 1);
}
