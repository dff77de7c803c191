//! The store against a model that is too simple to be wrong: a sorted map of label sets to vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Histogram, Labels, MatchOp, Matcher, Sample, Series, StartTime, StartTimes, stale_nan};

fn store() -> Store {
    Store::new(StoreOptions { retention: Duration::from_secs(3600) })
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// Counters that begin anew every 40 ms; now and then nobody says so.
fn start_of(at: Timestamp) -> Option<StartTime> {
    let life = at.as_ms().div_euclid(40);
    (life % 3 != 0).then(|| StartTime::new(Timestamp::from_ms(life * 40)))?
}

fn row(series: SeriesRef, ms: i64, value: impl Into<Value>) -> Row {
    Row { start: start_of(at(ms)), ..Row::new(series, at(ms), value) }
}

fn histogram(count: f64) -> Value {
    Value::Histogram(Histogram { count, sum: f64::NAN, positive_buckets: vec![count], ..Histogram::default() }.into())
}

/// Comparable bit for bit, NaN included.
/// A series in a form in which NaN equals itself.
type Comparable = (String, Vec<(i64, String)>, StartTimes);

fn bits(series: &[Series]) -> Vec<Comparable> {
    let value = |value: &Value| match value {
        Value::Float(float) => format!("{:016x}", float.to_bits()),
        Value::Histogram(histogram) => format!("{histogram:?}"),
    };
    let samples = |samples: &[Sample]| samples.iter().map(|s| (s.at.as_ms(), value(&s.value))).collect();
    let parts = |series: &Series| (series.labels.to_string(), samples(&series.samples), series.starts.clone());
    series.iter().map(parts).collect()
}

#[derive(Default)]
struct Model {
    series: BTreeMap<Labels, Vec<Sample>>,
    floor: Option<Timestamp>,
}

impl Model {
    fn append(&mut self, labels: &Labels, at: Timestamp, value: &Value) -> Result<bool, Refusal> {
        let samples = self.series.entry(labels.clone()).or_default();
        if self.floor.is_some_and(|floor| at < floor) {
            return Err(Refusal::TooOld);
        }
        let same = |a: &Value, b: &Value| match (a, b) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => format!("{a:?}") == format!("{b:?}"),
        };
        match samples.last() {
            Some(last) if at < last.at => Err(Refusal::OutOfOrder),
            Some(last) if at == last.at && same(&last.value, value) => Ok(false),
            Some(last) if at == last.at => Err(Refusal::Duplicate),
            _ => {
                samples.push(Sample { at, value: value.clone() });
                Ok(true)
            }
        }
    }

    fn truncate(&mut self, before: Timestamp) {
        self.floor = self.floor.max(Some(before));
        for samples in self.series.values_mut() {
            samples.retain(|sample| sample.at >= before);
        }
        self.series.retain(|_, samples| !samples.is_empty());
    }

    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Vec<Series> {
        let passing = self.series.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        let cut = |(labels, samples): (&Labels, &Vec<Sample>)| {
            let samples: Vec<Sample> =
                samples.iter().filter(|sample| (start..=end).contains(&sample.at)).cloned().collect();
            let starts = samples.iter().map(|sample| start_of(sample.at)).collect();
            Series { labels: labels.clone(), samples, starts }
        };
        passing.map(cut).filter(|series| !series.samples.is_empty()).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Series, distance from the clock of the test, value.
    Commit(Vec<(Labels, i64, Value)>),
    /// Moves the clock.
    Pass(i64),
    /// Distance back from the clock.
    Truncate(i64),
    Select(Vec<Matcher>, i64, i64),
}

fn labels() -> impl Strategy<Value = Labels> {
    let value = || prop::sample::select(vec!["", "x", "y", "xy", "a.b"]);
    (prop::sample::select(vec!["up", "down", ""]), value(), value())
        .prop_map(|(name, a, b)| Labels::from_pairs([("__name__", name), ("a", a), ("b", b)]))
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["__name__", "a", "b", "missing"]);
    let value = prop::sample::select(vec!["", "x", "y", "x|y", ".*", ".+", "x?", "a.b", "up", "up|down", "nothing"]);
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).expect("a valid pattern"))
}

fn step() -> impl Strategy<Value = Step> {
    let float = prop_oneof![
        4 => (0..5).prop_map(f64::from),
        1 => Just(stale_nan()),
        1 => prop::sample::select(vec![f64::NAN, -0.0, f64::INFINITY, 0.1]),
    ];
    let value = prop_oneof![8 => float.prop_map(Value::Float), 1 => (0..3).prop_map(|n| histogram(f64::from(n)))];
    let sample = (labels(), prop_oneof![4 => Just(0i64), 1 => -3_000..3_000i64], value);
    prop_oneof![
        6 => prop::collection::vec(sample, 0..40).prop_map(Step::Commit),
        6 => (0..1_000i64).prop_map(Step::Pass),
        1 => (0..20_000i64).prop_map(Step::Truncate),
        4 => (prop::collection::vec(matcher(), 0..4), 0..30_000i64, 0..30_000i64)
            .prop_map(|(matchers, back, length)| Step::Select(matchers, back, length)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_model(steps in prop::collection::vec(step(), 1..150)) {
        let (store, mut model, mut now) = (store(), Model::default(), 0);
        for step in steps {
            match step {
                Step::Pass(ms) => now += ms,
                Step::Truncate(back) => {
                    store.truncate(at(now - back));
                    model.truncate(at(now - back));
                }
                Step::Commit(batch) => {
                    let rows: Vec<Row> = batch
                        .iter()
                        .map(|(labels, late, value)| row(store.series_ref(labels), now + late, value.clone()))
                        .collect();
                    let outcomes: Vec<_> = batch.iter().map(|(labels, late, value)| model.append(labels, at(now + late), value)).collect();
                    let committed = store.commit(&rows);
                    let refused: Vec<_> =
                        outcomes.iter().enumerate().filter_map(|(index, outcome)| Some((index, outcome.err()?))).collect();
                    prop_assert_eq!(&committed.refused, &refused);
                    prop_assert_eq!(committed.appended, outcomes.iter().filter(|outcome| **outcome == Ok(true)).count());
                }
                Step::Select(matchers, back, length) => {
                    let (start, end) = (at(now - back), at(now - back + length));
                    let expected = model.select(&matchers, start, end);
                    prop_assert_eq!(bits(&store.select(&matchers, start, end)), bits(&expected), "{:?}", matchers);
                    let listed = store.series(&matchers, start, end);
                    prop_assert!(listed.is_sorted());
                    prop_assert!(expected.iter().all(|series| listed.contains(&series.labels)));
                    prop_assert!(listed.iter().all(|labels| matchers.iter().all(|matcher| matcher.matches_labels(labels))));
                }
            }
        }
        let names = |labels: &Labels| labels.iter().map(|label| label.name.clone()).collect::<Vec<_>>();
        let mut expected: Vec<_> = model.series.keys().flat_map(names).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(store.label_names(), expected);
        let stats = store.stats();
        prop_assert_eq!(stats.series, model.series.len() as u64);
        store.truncate(Timestamp::MAX);
        let Stats { series, samples, chunks, bytes, .. } = store.stats();
        prop_assert_eq!((series, samples, chunks, bytes), (0, 0, 0, 0));
        prop_assert_eq!((store.label_names(), store.label_values("a")), (vec![], vec![]));
    }
}

#[test]
fn long_series_cross_chunks() {
    let (store, mut model) = (store(), Model::default());
    let labels = Labels::from_pairs([("__name__", "up")]);
    let series = store.series_ref(&labels);
    for index in 0..1_000 {
        let value =
            if (300..310).contains(&index) { histogram(index as f64) } else { Value::Float((index / 7) as f64) };
        store.commit(&[row(series, index * 15_000, value.clone())]);
        model.append(&labels, at(index * 15_000), &value).expect("in order");
    }
    assert_eq!(store.stats().samples, 1_000);
    for (start, end) in
        [(0, 1_000), (119, 120), (120, 120), (290, 315), (850, 999), (999, 2_000), (1_000, 2_000), (7, 3)]
    {
        let (start, end) = (at(start * 15_000 - 1), at(end * 15_000));
        assert_eq!(bits(&store.select(&[], start, end)), bits(&model.select(&[], start, end)));
    }
    // The last sample of a chunk, one past it, the middle of one.
    for before in [239 * 15_000, 239 * 15_000 + 1, 500 * 15_000 + 1] {
        store.truncate(at(before));
        model.truncate(at(before));
        let selected = store.select(&[], at(0), Timestamp::MAX);
        assert_eq!(bits(&selected), bits(&model.select(&[], at(0), Timestamp::MAX)));
        assert!(store.stats().oldest.is_some_and(|oldest| at(before) <= oldest && oldest <= selected[0].samples[0].at));
    }
}

#[test]
fn a_handle_never_means_another_series() {
    let store = store();
    let (one, two) = (Labels::from_pairs([("a", "1")]), Labels::from_pairs([("a", "2")]));
    let old = store.series_ref(&one);
    assert_eq!(store.series_ref(&one), old);
    store.commit(&[row(old, 1, 1.0)]);
    store.expire(at(3_600_002));
    let new = store.series_ref(&two);
    assert_ne!(old, new);
    let committed = store.commit(&[row(old, 10, 1.0), row(new, 10, 2.0), row(new, 1, 2.0)]);
    assert_eq!(committed, Committed { appended: 1, refused: vec![(0, Refusal::Gone), (2, Refusal::TooOld)] });
    assert_eq!(
        store.select(&[], at(0), at(20)),
        [Series {
            starts: [start_of(at(10))].into_iter().collect(),
            ..Series::new(two, vec![Sample::float(at(10), 2.0)])
        }]
    );
}

#[test]
fn readers_see_whole_batches() {
    let store = store();
    let refs: Vec<SeriesRef> =
        (0..50).map(|index| store.series_ref(&Labels::from_pairs([("index", index.to_string())]))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for ms in 0..500 {
                let rows: Vec<Row> = refs.iter().map(|series| row(*series, ms, ms as f64)).collect();
                store.commit(&rows);
            }
        });
        loop {
            let selected = store.select(&[], at(0), at(1_000));
            let lengths: Vec<usize> = selected.iter().map(|series| series.samples.len()).collect();
            assert!(selected.is_empty() || lengths == vec![lengths[0]; refs.len()], "{lengths:?}");
            if lengths.first() == Some(&500) {
                break;
            }
        }
    });
}

#[test]
fn counts_what_makes_up_the_series() {
    let store = store();
    for index in 0..5 {
        let pairs = [("__name__", if index < 3 { "up" } else { "down" }.to_owned()), ("i", format!("{index:02}"))];
        store.series_ref(&Labels::from_pairs(pairs));
    }
    let cardinality = store.cardinality(2);
    let count = |text: &str, count| (std::sync::Arc::from(text), count);
    assert_eq!(cardinality.label_pairs, 7);
    assert_eq!(cardinality.series_by_metric, [count("up", 3), count("down", 2)]);
    assert_eq!(cardinality.values_by_label, [count("i", 5), count("__name__", 2)]);
    assert_eq!(cardinality.bytes_by_label, [count("__name__", 64), count("i", 25)]);
    assert_eq!(cardinality.series_by_pair, [count("__name__=up", 3), count("__name__=down", 2)]);
}
