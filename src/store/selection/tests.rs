//! Selections against what `Store::select` says, over random lives of series.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Row, Store, StoreOptions};
use super::*;
use crate::model::{Labels, stale_nan};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000)
}

fn series_labels(number: u8) -> Labels {
    let name = if number.is_multiple_of(2) { "a" } else { "b" };
    Labels::from_pairs([("__name__", name.to_owned()), ("n", number.to_string())])
}

fn store() -> Store {
    Store::new(StoreOptions { retention: Duration::from_secs(3600) })
}

#[derive(Clone, Debug)]
enum Action {
    Append(u8, i64, f64),
    Pause(i64),
    Truncate(i64),
}

fn action() -> impl Strategy<Value = Action> {
    let value = prop_oneof![4 => (0..9i32).prop_map(f64::from), 1 => Just(stale_nan()), 1 => Just(f64::NAN)];
    prop_oneof![
        12 => (0..8u8, 0..4i64, value).prop_map(|(series, late, value)| Action::Append(series, late, value)),
        3 => (1..2000i64).prop_map(Action::Pause),
        1 => (0..4000i64).prop_map(Action::Truncate),
    ]
}

/// What `select` gives for the series with this name, staleness markers taken out.
fn expected(
    store: &Store,
    matchers: &[Matcher],
    start: Timestamp,
    end: Timestamp,
) -> Vec<(Labels, Vec<(Timestamp, u64)>)> {
    let selected = store.select(matchers, start.plus_ms(1), end).into_iter();
    let samples = |series: crate::model::Series| {
        let floats = series.samples.iter().filter(|sample| !sample.value.is_stale());
        (series.labels.clone(), floats.map(|s| (s.at, s.value.as_float().unwrap().to_bits())).collect::<Vec<_>>())
    };
    selected.map(samples).filter(|(_, samples)| !samples.is_empty()).collect()
}

fn by_selection(
    reader: &Reader<'_>,
    selection: &Selection,
    start: Timestamp,
    end: Timestamp,
) -> Vec<(Labels, Vec<(Timestamp, u64)>)> {
    let mut window = Window::default();
    let mut found = Vec::new();
    for slot in selection.order() {
        let series = selection.series(*slot);
        reader.window(series, start, end, &mut window);
        let edges = reader.edges(series, start, end, &mut Window::default());
        assert_eq!(edges.map(|e| format!("{e:?}")), Edges::of(&window.at, &window.values).map(|e| format!("{e:?}")));
        let samples: Vec<_> = window.at.iter().copied().zip(window.values.iter().map(|v| v.to_bits())).collect();
        if !samples.is_empty() {
            found.push((reader.labels(series).expect("a member without labels"), samples));
        }
    }
    found
}

proptest! {
    #[test]
    fn a_selection_follows_the_store(actions in proptest::collection::vec(action(), 1..80)) {
        let store = store();
        let mut now = 0;
        let sets: Vec<Vec<Matcher>> = vec![
            vec![Matcher::equal("__name__", "a")],
            vec![Matcher::new(MatchOp::Regex, "n", "[0-5]").unwrap()],
        ];
        let mut selections: Vec<Selection> = sets.iter().map(|matchers| store.prepare(matchers)).collect();
        let mut epoch = 0;
        for action in actions {
            match action {
                Action::Append(number, late, value) => {
                    now += 1;
                    let series = store.series_ref(&series_labels(number));
                    let committed =
                        store.commit(&[Row::new(series, at(now - late), value)]);
                    let reader = store.reader();
                    let is_unchanged = |ms| reader.is_unchanged(None, epoch, at(now - late).plus_ms(ms));
                    prop_assert_eq!(is_unchanged(0), committed.appended == 0);
                    prop_assert!(is_unchanged(-1));
                    epoch = reader.epoch();
                }
                Action::Pause(secs) => now += secs,
                Action::Truncate(ago) => {
                    store.truncate(at(now - ago));
                    epoch = store.reader().epoch();
                }
            }
            for (matchers, selection) in sets.iter().zip(&mut selections) {
                let reader = store.reader();
                selection.refresh(&reader);
                for (start, end) in [(now - 3, now), (now - 1500, now - 2), (-10, now)] {
                    let (start, end) = (at(start), at(end));
                    let expected = expected(&store, matchers, start, end);
                    prop_assert_eq!(by_selection(&reader, selection, start, end), expected);
                    let all = store.select(matchers, start.plus_ms(1), end);
                    for slot in selection.order() {
                        let series = selection.series(*slot);
                        let labels = reader.labels(series).unwrap();
                        let last = all.iter().find(|s| s.labels == labels).and_then(|s| s.samples.last());
                        let point = last.filter(|last| !last.value.is_stale());
                        let point = point.map_or(Point::Absent, |s| Point::Float(s.at, s.value.as_float().unwrap()));
                        let read = reader.instant(series, end, end.ms_since(start));
                        prop_assert_eq!(format!("{read:?}"), format!("{point:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn who_sleeps_is_reported_on_waking() {
    let store = store();
    let (a, b) = (store.series_ref(&series_labels(0)), store.series_ref(&series_labels(2)));
    let commit = |series, secs, value: f64| {
        store.commit(&[Row::new(series, at(secs), value)]);
    };
    let mut selection = store.prepare(&[Matcher::equal("__name__", "a")]);
    commit(a, 1, 1.0);
    commit(b, 1, 1.0);
    assert_eq!(selection.refresh(&store.reader()), Refreshed { added: 2, removed: 0, woken: 0 });
    commit(b, 2, stale_nan());
    assert!(store.reader().sleeps(b, at(1), at(2)) && !store.reader().sleeps(b, at(0), at(1)));
    assert!(!store.reader().sleeps(a, at(1), at(2)), "it may go on at any time");
    assert_eq!(selection.refresh(&store.reader()), Refreshed::default());
    commit(b, 3, 1.0);
    assert_eq!(selection.refresh(&store.reader()).woken, 1);
    assert_eq!(selection.since(selection.slot_of(b).unwrap()), selection.version());
    commit(b, 2000, 1.0);
    assert!(store.reader().sleeps(a, at(1700), at(2000)), "idle for long");
    // Late samples of a series that catches up are reported from the first one on.
    selection.refresh(&store.reader());
    commit(a, 2, 1.0);
    assert_eq!(selection.refresh(&store.reader()).woken, 1);
}

#[test]
fn many_empty_slots_start_a_new_era() {
    let store = store();
    let mut selection = store.prepare(&[Matcher::equal("__name__", "x")]);
    for round in 0..4 {
        for number in 0..600 {
            let labels = Labels::from_pairs([("__name__", "x".to_owned()), ("n", format!("{round}-{number}"))]);
            let series = store.series_ref(&labels);
            store.commit(&[Row::new(series, at(round), 1.0)]);
        }
        store.truncate(at(round));
        selection.refresh(&store.reader());
    }
    assert_eq!((selection.era(), selection.order().len()), (1, 600));
    assert_eq!(selection.slots_len(), 600);
}
