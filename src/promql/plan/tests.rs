//! Plans against the plain evaluator: random lives of series, random expressions, over several ticks with the same plans.

mod expressions;
mod property;
mod world;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::Labels;
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
