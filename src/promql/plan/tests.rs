//! Plans against the plain evaluator: random lives of series, random expressions, over several ticks with the same plans.

mod expressions;
mod property;
mod world;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::Labels;
use crate::promql::eval::Interrupt;
use crate::promql::{Features, parse_with};
use crate::store::{Row, StoreOptions};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000)
}

fn store() -> Arc<Store> {
    Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(86_400) }))
}

fn append(store: &Store, labels: &Labels, secs: i64, value: f64) {
    let series = store.series_ref(labels);
    store.commit(&[Row::new(series, at(secs), value)]);
}

fn prepare(engine: &Engine, text: &str) -> Prepared {
    engine.prepare(&parse_with(text, Features::ALL).unwrap_or_else(|errors| panic!("{text}: {errors:?}")))
}

fn question(at: Timestamp) -> Question<'static> {
    const OPTIONS: &QueryOptions<'static> = &QueryOptions {
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        max_samples: 1_000_000,
        delayed_name_removal: false,
        use_start_timestamps: false,
        text: "",
        interrupt: None,
    };
    Question { at, overlay: None, options: OPTIONS, notes: Notes::Ignored }
}

#[test]
fn equal_parts_are_one_node_and_go_with_their_last_reader() {
    let engine = Engine::new(store());
    let ratio = prepare(&engine, "sum by (job) (rate(a_total[5m])) / sum by (job) (rate(b_total[5m]))");
    assert_eq!(engine.nodes_len(), 5);
    let alert = prepare(&engine, "sum  by(job)(rate( a_total[5m])) / sum by (job) (rate(b_total[300s])) > 0.5");
    assert_eq!(engine.nodes_len(), 7, "a number and a comparison more");
    drop(ratio);
    assert_eq!((engine.nodes_len(), prepare(&engine, "1").root.is_some()), (7, true));
    drop(alert);
    prepare(&engine, "2");
    assert_eq!(engine.nodes_len(), 1);
}

#[test]
fn results_are_remembered_until_something_is_written_to_what_they_read() {
    let store = store();
    let engine = Engine::new(store.clone());
    let [a, b] = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name)]));
    append(&store, &a, 100, 1.0);
    append(&store, &b, 100, 1.0);
    let prepared = prepare(&engine, "a * 2");
    let version = |secs| {
        let answer = engine.eval(&prepared, &question(at(secs))).unwrap();
        let value = answer.elements().next().unwrap().1;
        drop(answer);
        (engine.plans.lock().versions, value)
    };
    let first = version(100);
    assert_eq!(version(100), first);
    append(&store, &b, 101, 1.0);
    append(&store, &a, 101, 5.0);
    assert_eq!(version(100), first, "what was written is later or of another name");
    assert!(version(101) > first);
}

#[test]
fn a_panic_costs_what_was_prepared_and_nothing_else() {
    let store = store();
    let engine = Engine::new(store.clone());
    append(&store, &Labels::from_pairs([("__name__", "a")]), 100, 1.0);
    let before = prepare(&engine, "a + 1");
    // What a panic leaves behind: a node that is not put back.
    let mut plans = engine.plans.lock();
    plans.is_evaluating = true;
    plans.take(before.root.unwrap());
    drop(plans);
    assert!(!engine.knows(&before) && engine.eval(&before, &question(at(100))).is_none());
    let after = prepare(&engine, "a + 1");
    assert!(engine.eval(&after, &question(at(100))).is_some());
}

/// A counter at each 15 seconds of two hours.
fn engine_of_two_hours() -> Engine {
    let store = store();
    for name in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", "a_total"), ("i", name)]);
        let series = store.series_ref(&labels);
        let rows: Vec<Row> = (0..480).map(|index| Row::new(series, at(index * 15), index as f64)).collect();
        store.commit(&rows);
    }
    Engine::new(store)
}

#[test]
fn a_range_is_bounded_as_the_plain_evaluator_bounds_it() {
    let over = || Some(Interrupt::Timeout);
    let ask = |text: &str, max_samples, interrupt: Option<&dyn Fn() -> Option<Interrupt>>| {
        // One that remembers an answer gives it without a look at the time.
        let engine = engine_of_two_hours();
        let expr = parse_with(text, Features::ALL).unwrap();
        let options = QueryOptions { max_samples, interrupt, ..QueryOptions::default() };
        let step = Duration::from_secs(15);
        let (start, end, notes) = (at(3600), at(7185), Notes::Wanted);
        let question = RangeQuestion { start, end, step, options: &options, notes };
        let planned = engine.planned_range(&expr, &question).is_some();
        (planned, engine.eval_range(&expr, &question).map(|_| ()))
    };
    for text in ["sum(rate(a_total[5m]))", "a_total", "max_over_time(sum(a_total)[10m:15s])", "a_total @ 100"] {
        assert_eq!(ask(text, 50_000_000, None), (true, Ok(())), "{text}");
        assert_eq!(ask(text, 100, None), (false, Err(EvalError::TooManySamples)), "{text}");
        assert_eq!(ask(text, 50_000_000, Some(&over)), (false, Err(EvalError::Timeout)), "{text}");
    }
    // A grid that no memory holds.
    assert_eq!(ask("max_over_time(vector(1)[100y:1ms])", 1000, None), (false, Err(EvalError::TooManySamples)));
}

#[test]
fn what_is_stored_meanwhile_is_not_seen_by_half() {
    // The executor stores a sample before each task; none of them is seen.
    struct Commits(Arc<Store>, [crate::store::SeriesRef; 2]);
    impl Executor for Commits {
        fn width(&self) -> usize {
            2
        }

        fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
            (0..count).for_each(|number| {
                self.0.commit(&self.1.map(|series| Row::new(series, at(8000 + number as i64), 1e6)));
                work(number);
            });
        }
    }
    let store = store();
    let series: Vec<_> = (0..2000)
        .map(|number| store.series_ref(&Labels::from_pairs([("__name__", "a"), ("i", &*number.to_string())])))
        .collect();
    for slot in 0..100 {
        store.commit(&series.iter().map(|series| Row::new(*series, at(slot * 60), 1.0)).collect::<Vec<_>>());
    }
    let engine = Engine::new(store.clone());
    let pair = [series[100], series[1999]];
    let engine = engine.with_executor(Arc::new(Commits(store.clone(), pair)));
    let options = QueryOptions::default();
    let step = Duration::from_secs(10);
    let question = RangeQuestion { start: at(0), end: at(9000), step, options: &options, notes: Notes::Ignored };
    let expr = parse_with("max(a)", Features::ALL).unwrap();
    let result = engine.planned_range(&expr, &question).unwrap();
    assert!(store.find(&Labels::from_pairs([("__name__", "a"), ("i", "100")])).is_some());
    let crate::promql::eval::QueryValue::Matrix(rows) = result.value else { panic!("no matrix") };
    assert!(rows[0].samples.iter().all(|sample| sample.value.as_float() == Some(1.0)));
    let committed = store.reader().newest(pair[0]);
    assert!(committed.is_some_and(|newest| newest >= at(8000)), "the executor was not asked");
}

#[test]
fn what_is_stored_between_pieces_of_a_pass_is_not_seen_by_half() {
    // So many samples are read of each series that the store is let go after it.
    const SAMPLES: i64 = 1 << 17;
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let series = ["1", "2", "3"].map(|i| store.series_ref(&Labels::from_pairs([("__name__", "a"), ("i", i)])));
    for series in series {
        store.commit(&(0..SAMPLES).map(|secs| Row::new(series, at(secs), 1.0)).collect::<Vec<_>>());
    }
    let end = SAMPLES + 1000;
    for (committed_at, seen) in [(end - 1, 2.0), (end, 3.0), (end + 1, 3.0)] {
        let engine = Engine::new(store.clone());
        // The whole window is read for a quantile.
        let prepared = prepare(&engine, "quantile_over_time(1, a[2d])");
        let asked = std::cell::Cell::new(0);
        let commit_once = || {
            asked.set(asked.get() + 1);
            // Before the function, before its number, after the first series.
            if asked.get() == 3 {
                let value = (committed_at - end + 3) as f64;
                store.commit(&series.map(|series| Row::new(series, at(committed_at), value)));
            }
            None
        };
        let interrupt: Option<&dyn Fn() -> Option<Interrupt>> = Some(&commit_once);
        let options = QueryOptions { interrupt, ..QueryOptions::default() };
        let question = Question { at: at(end), overlay: None, options: &options, notes: Notes::Ignored };
        let answer = engine.eval(&prepared, &question).expect("a plan");
        let values: Vec<f64> = answer.elements().map(|(_, value)| value).collect();
        assert!(asked.get() > 3, "the pass was one piece");
        assert_eq!(values, [seen; 3], "stored {} s from the end", committed_at - end);
    }
}
