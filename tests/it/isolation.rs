//! Scrapes append while rules and queries read: nobody ever sees half a scrape, whichever way they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use almenara::model::{Labels, MatchOp, Matcher, Timestamp, Value};
use almenara::promql::eval::{QueryOptions, QueryValue};
use almenara::promql::plan::{Engine, Notes, Question};
use almenara::promql::{Features, parse_with};
use almenara::store::{Lateness, Row, SeriesRef, Store, StoreOptions};

/// Scrapes of each target; enough that chunks are sealed meanwhile.
const SCRAPES: i64 = 3_000;

/// Series of a target.
const SERIES: usize = 60;

const TARGETS: [&str; 2] = ["a", "b"];

const STEP_MS: i64 = 1_000;

fn labels(target: &str, index: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("target", target), ("i", index.to_string().as_str())])
}

/// Appends scrapes, each with one value in all series. Now and then one comes after a younger one.
fn scrape(store: &Store, target: &str) {
    let refs: Vec<SeriesRef> = (0..SERIES).map(|index| store.series_ref(&labels(target, index))).collect();
    let commit = |step: i64| {
        let rows: Vec<Row> =
            refs.iter().map(|series| Row::new(*series, Timestamp::from_ms(step * STEP_MS), step as f64)).collect();
        assert_eq!(store.commit_late(&rows, Lateness::Unbounded).appended, SERIES);
    };
    for step in (1..=SCRAPES).step_by(4) {
        [step, step + 2, step + 1, step + 3].into_iter().for_each(commit);
        if step % 401 == 0 {
            store.settle();
        }
    }
}

/// What each of these expressions gives for every target that is there, at any moment.
const ALWAYS: [(&str, f64); 6] = [
    ("count by (target) (m)", SERIES as f64),
    ("max by (target) (m) - min by (target) (m)", 0.0),
    ("max by (target) (count_over_time(m[1h])) - min by (target) (count_over_time(m[1h]))", 0.0),
    ("max by (target) (sum_over_time(m[2h])) - min by (target) (sum_over_time(m[2h]))", 0.0),
    ("max by (target) (increase(m[2h])) - min by (target) (increase(m[2h]))", 0.0),
    ("max by (target) (last_over_time(m[5m])) - min by (target) (last_over_time(m[5m]))", 0.0),
];

/// Evaluates as rules do until the scrapes are over; gives how often something was there.
fn evaluate(store: &Arc<Store>, is_over: &AtomicBool) -> u64 {
    let engine = Engine::new(store.clone());
    let prepared = ALWAYS.map(|(text, value)| (engine.prepare(&parse_with(text, Features::ALL).unwrap()), text, value));
    let options = QueryOptions::default();
    let mut seen = 0;
    while !is_over.load(Ordering::Relaxed) {
        let at = store.stats().newest.unwrap_or(Timestamp::EPOCH);
        for (expr, text, expected) in &prepared {
            let question = Question { at, overlay: None, options: &options, notes: Notes::Ignored };
            let QueryValue::Vector(found) = engine.eval_instant(expr, &question).unwrap().value else {
                panic!("{text}")
            };
            for element in &found {
                assert_eq!(element.value, Value::Float(*expected), "{text} at {at:?}: {}", element.labels);
            }
            seen += found.len() as u64;
        }
    }
    seen
}

/// Reads all samples of a target until the scrapes are over.
fn select(store: &Store, target: &str, is_over: &AtomicBool) -> u64 {
    let matchers = [Matcher::new(MatchOp::Equal, "target", target).unwrap()];
    let mut seen = 0;
    while !is_over.load(Ordering::Relaxed) {
        let newest = store.stats().newest.unwrap_or(Timestamp::EPOCH);
        let found = store.select(&matchers, newest.plus_ms(-200 * STEP_MS), Timestamp::MAX);
        let Some(first) = found.first() else { continue };
        assert_eq!(found.len(), SERIES, "half the series of a scrape");
        assert!(found.iter().all(|series| series.samples == first.samples), "half a scrape");
        seen += 1;
    }
    seen
}

#[test]
fn nobody_sees_half_a_scrape() {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let (is_over, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (store, is_over) = (&store, &is_over);
        let writers: Vec<_> = TARGETS.iter().map(|target| scope.spawn(move || scrape(store, target))).collect();
        let mut readers: Vec<_> = (0..2).map(|_| scope.spawn(move || evaluate(store, is_over))).collect();
        readers.extend(TARGETS.iter().map(|target| scope.spawn(move || select(store, target, is_over))));
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            seen.fetch_add(reader.join().expect("a reader"), Ordering::Relaxed);
        }
        ended.into_iter().for_each(|writer| writer.expect("a writer"));
    });
    assert!(seen.into_inner() > 100, "hardly anything was read meanwhile");
    assert_eq!(store.stats().samples, SCRAPES as u64 * (TARGETS.len() * SERIES) as u64);
}
