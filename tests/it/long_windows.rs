//! Functions of long windows by prepared plans, which read edges and summaries, against the plain evaluator, which reads samples.
//!
//! Exact ones must agree bit for bit; sums of what are no integers within the rounding of their own additions.

use std::sync::Arc;
use std::time::Duration;

use almenara::model::{Histogram, Labels, Timestamp, Value, stale_nan};
use almenara::promql::eval::{QueryOptions, QueryValue, eval_instant};
use almenara::promql::plan::{Engine, Notes, Question};
use almenara::promql::{Features, parse_with};
use almenara::store::{Row, Store, StoreOptions};

/// Samples of each series: 64 chunks of 120 to a block, and more.
const SAMPLES: i64 = 10_000;
const STEP_MS: i64 = 30_000;

/// A generator of small numbers that needs no crate.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One series for each way to be awkward.
fn store() -> Arc<Store> {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let mut random = Random(7);
    let kinds = ["counter", "restarts", "ends", "gauge", "noise", "signs", "huge", "mixed", "gaps", "constant"];
    for kind in kinds {
        let series = store.series_ref(&Labels::from_pairs([("__name__", "m_total"), ("kind", kind)]));
        let (mut at, mut count) = (0, 0u64);
        let mut rows = Vec::new();
        for index in 0..SAMPLES {
            at += STEP_MS;
            count += random.below(16);
            let value = match kind {
                "restarts" => {
                    // Also at the very borders of chunks.
                    if random.below(300) == 0 || index % 840 == 0 || index % 720 == 719 {
                        count = random.below(5);
                    }
                    Value::Float(count as f64)
                }
                "ends" if random.below(200) == 0 || index % 600 < 2 => Value::Float(stale_nan()),
                "gauge" => Value::Float((random.below(20_000) as f64 - 10_000.0) / 100.0),
                "noise" => {
                    Value::Float([f64::NAN, f64::INFINITY, -0.0, 0.0, 1e300, -1e300, 2.5][random.below(7) as usize])
                }
                "signs" => Value::Float(if index % 2 == 0 { 1e15 + count as f64 } else { -1e15 }),
                "huge" => Value::Float(9_007_199_254_740_992.0 * 1e3 + count as f64 * 4096.0),
                "mixed" if index % 5_000 > 4_990 => {
                    Value::Histogram(Histogram { count: count as f64, ..Histogram::default() }.into())
                }
                "gaps" => {
                    at += if random.below(500) == 0 { 7 * 3_600_000 } else { random.below(3) as i64 };
                    Value::Float(count as f64)
                }
                "constant" => Value::Float(42.0),
                _ => Value::Float(count as f64),
            };
            rows.push(Row::new(series, Timestamp::from_ms(at), value));
        }
        assert_eq!(store.commit(&rows).refused, []);
    }
    store
}

/// Whether the two answers agree, exactly or, for `sums`, within rounding.
fn check(store: &Arc<Store>, text: &str, at: Timestamp, sums: bool) {
    let expr = parse_with(text, Features::ALL).unwrap();
    let options = QueryOptions { max_samples: usize::MAX, ..QueryOptions::default() };
    let plain = eval_instant(&expr, at, &**store, &options).unwrap();
    let engine = Engine::new(store.clone());
    let prepared = engine.prepare(&expr);
    let planned =
        engine.eval_instant(&prepared, &Question { at, overlay: None, options: &options, notes: Notes::Ignored });
    let elements = |value: QueryValue| match value {
        QueryValue::Vector(elements) => elements,
        other => panic!("{text}: {other:?}"),
    };
    let (plain, planned) = (elements(plain.value), elements(planned.unwrap().value));
    assert_eq!(planned.len(), plain.len(), "{text} at {at:?}");
    for (planned, plain) in planned.iter().zip(&plain) {
        assert_eq!(planned.labels, plain.labels, "{text} at {at:?}");
        let (Value::Float(a), Value::Float(b)) = (&planned.value, &plain.value) else {
            assert_eq!(planned.value, plain.value);
            continue;
        };
        let is_integer =
            matches!(plain.labels.get("kind"), Some("counter" | "restarts" | "ends" | "gaps" | "constant"));
        let bound = match plain.labels.get("kind") {
            Some("gauge") => 1e-9,
            // Each addition may lose half a unit of the largest partial sum.
            _ => 1e20 * f64::EPSILON * 4.0,
        };
        let agrees =
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || sums && !is_integer && (a - b).abs() <= bound;
        assert!(agrees, "{text} at {at:?}, {}: {a:?} is not {b:?}", plain.labels);
    }
}

#[test]
fn long_windows_are_what_reading_them_gives() {
    let store = store();
    let mut random = Random(11);
    let exact = [
        "rate",
        "increase",
        "delta",
        "changes",
        "resets",
        "count_over_time",
        "min_over_time",
        "max_over_time",
        "last_over_time",
        "present_over_time",
        "first_over_time",
        "ts_of_last_over_time",
    ];
    for function in exact.into_iter().chain(["sum_over_time", "avg_over_time"]) {
        let sums = function.starts_with("sum") || function.starts_with("avg");
        for window in ["5m", "1h", "3h7s", "1d", "2d16h", "6d", "30d"] {
            for modifier in ["", " offset 1d", " @ 200000"] {
                let at = Timestamp::from_ms(random.below((SAMPLES * STEP_MS) as u64) as i64 + 60_000);
                check(&store, &format!("{function}(m_total[{window}]{modifier})"), at, sums);
            }
        }
    }
}
