//! Functions of long windows by prepared plans, which read edges and summaries, against the plain evaluator, which reads samples.
//!
//! Exact ones must agree bit for bit, and so must all of them where values are small integers or constant; the others within the rounding
//! of what the function itself adds up: see [`Class`].

use std::sync::Arc;
use std::time::Duration;

use almenara::model::{Histogram, Labels, Timestamp, Value, stale_nan};
use almenara::promql::eval::{QueryOptions, QueryValue, eval_instant};
use almenara::promql::plan::{Engine, Notes, Question};
use almenara::promql::{Features, parse_with};
use almenara::store::{Lateness, Row, Store, StoreOptions};

/// Samples of each series: 64 chunks of 120 to a block, and more.
const SAMPLES: i64 = 10_000;
const STEP_MS: i64 = 30_000;

const KINDS: [&str; 13] = [
    "counter", "restarts", "ends", "gauge", "noise", "signs", "huge", "vast", "mixed", "gaps", "constant", "late",
    "steps",
];

/// Of a function.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// The same bits.
    Exact,
    /// Within one unit in the last place of the sum of magnitudes.
    Sum,
    /// Its variance within [`ROUNDINGS`] of variance + greatest magnitude × standard deviation.
    Spread,
    /// Within [`ROUNDINGS`] of the terms that the function subtracts from each other.
    Trend,
}

/// How many rounding errors ([`f64::EPSILON`]) of the terms in question may lie between two ways to add up.
const ROUNDINGS: f64 = 16.0;

const FUNCTIONS: [(&str, Class); 20] = [
    ("rate", Class::Exact),
    ("increase", Class::Exact),
    ("delta", Class::Exact),
    ("irate", Class::Exact),
    ("idelta", Class::Exact),
    ("changes", Class::Exact),
    ("resets", Class::Exact),
    ("count_over_time", Class::Exact),
    ("min_over_time", Class::Exact),
    ("max_over_time", Class::Exact),
    ("last_over_time", Class::Exact),
    ("present_over_time", Class::Exact),
    ("first_over_time", Class::Exact),
    ("ts_of_last_over_time", Class::Exact),
    ("sum_over_time", Class::Sum),
    ("avg_over_time", Class::Sum),
    ("stdvar_over_time", Class::Spread),
    ("stddev_over_time", Class::Spread),
    ("deriv", Class::Trend),
    ("predict_linear", Class::Trend),
];

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
    for kind in KINDS {
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
                "vast" => Value::Float(if index % 3 == 0 { 1e149 } else { -1e149 + index as f64 * 1e133 }),
                "steps" => Value::Float((index / 1_000) as f64 + 0.1),
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
        if kind == "late" {
            // One in ten comes a while after its time, and some of these are still beside the series at the end.
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by_cached_key(
                |index| if random.below(10) == 0 { index + random.below(900) as usize } else { *index },
            );
            rows = order.into_iter().map(|index| rows[index].clone()).collect();
        }
        assert_eq!(store.commit_late(&rows, Lateness::Unbounded).refused, []);
    }
    store
}

/// The elements of an answer of the plain evaluator.
fn plain(store: &Arc<Store>, text: &str, at: Timestamp) -> QueryValue {
    let options = QueryOptions { max_samples: usize::MAX, ..QueryOptions::default() };
    eval_instant(&parse_with(text, Features::ALL).unwrap(), at, &**store, &options).unwrap().value
}

/// How far two values of a function of these samples may be apart.
fn bound(function: &str, class: Class, samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let sum = |of: &dyn Fn(f64, f64) -> f64| samples.iter().map(|(x, y)| of(*x, *y)).sum::<f64>();
    let magnitude = sum(&|_, y| y.abs());
    match class {
        Class::Exact => 0.0,
        Class::Sum if function == "avg_over_time" => 2.0 * f64::EPSILON * magnitude / count,
        Class::Sum => f64::EPSILON * magnitude,
        Class::Spread => {
            let mean = sum(&|_, y| y) / count;
            let variance = sum(&|_, y| (y - mean).powi(2)) / count;
            let greatest = samples.iter().fold(0.0, |greatest: f64, (_, y)| greatest.max(y.abs()));
            let bound = ROUNDINGS * f64::EPSILON * (variance + greatest * variance.sqrt());
            // Near zero a root takes its argument's error apart.
            if function == "stdvar_over_time" { bound } else { bound / variance.sqrt().max(bound.sqrt()) }
        }
        Class::Trend => {
            let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
            let products = sum(&|x, y| (x * y).abs()) + (sum(&|x, _| x.abs()) * magnitude / count).abs();
            let squares = sum(&|x, _| x * x);
            let variance = squares - x * x / count;
            let slope = (sum(&|x, y| x * y) - x * y / count) / variance;
            let roundings = ROUNDINGS * f64::EPSILON;
            let of_slope = roundings * (products + slope.abs() * (squares + x * x / count)) / variance;
            let reach = if function == "deriv" { 1.0 } else { 3600.0 + (x / count).abs() };
            of_slope * reach + roundings * (magnitude / count + slope.abs() * reach)
        }
    }
}

/// Whether the two ways agree on a function of a window. Gives the part of the bound that was used.
fn check(store: &Arc<Store>, (function, class): (&str, Class), window: &str, at: Timestamp) -> f64 {
    let more = if function == "predict_linear" { ", 3600" } else { "" };
    let text = format!("{function}(m_total[{window}{more})");
    let QueryValue::Vector(expected) = plain(store, &text, at) else { panic!("{text}: not a vector") };
    // Read when it is needed, which it mostly is not.
    let mut matrix = None;
    let engine = Engine::new(store.clone());
    let prepared = engine.prepare(&parse_with(&text, Features::ALL).unwrap());
    let options = QueryOptions { max_samples: usize::MAX, ..QueryOptions::default() };
    let planned =
        engine.eval_instant(&prepared, &Question { at, overlay: None, options: &options, notes: Notes::Ignored });
    let QueryValue::Vector(planned) = planned.unwrap().value else { panic!("{text}: not a vector") };
    assert_eq!(planned.len(), expected.len(), "{text} at {at:?}");
    let mut used: f64 = 0.0;
    for (planned, expected) in planned.iter().zip(&expected) {
        assert_eq!(planned.labels, expected.labels, "{text} at {at:?}");
        let (Value::Float(a), Value::Float(b)) = (&planned.value, &expected.value) else {
            assert_eq!(planned.value, expected.value);
            continue;
        };
        let kind = expected.labels.get("kind").expect("a kind");
        let is_integer = class == Class::Sum && ["counter", "restarts", "ends", "gaps", "late"].contains(&kind);
        if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() {
            continue;
        }
        assert!(class != Class::Exact, "{text} at {at:?}, {kind}: {a:?} is not {b:?}");
        let matrix = matrix.get_or_insert_with(|| match plain(store, &format!("m_total[{window}"), at) {
            QueryValue::Matrix(matrix) => matrix,
            other => panic!("not a matrix: {other:?}"),
        });
        let series = matrix.iter().find(|series| series.labels.get("kind") == Some(kind)).expect("its samples");
        let origin = if function == "deriv" { series.samples[0].at } else { at };
        let samples: Vec<(f64, f64)> = series
            .samples
            .iter()
            .filter_map(|sample| Some((sample.at.ms_since(origin) as f64 / 1e3, sample.value.as_float()?)))
            .collect();
        let is_constant = samples.iter().all(|(_, y)| *y == samples[0].1);
        let bound = if is_integer || is_constant { 0.0 } else { bound(function, class, &samples) };
        assert!((a - b).abs() <= bound, "{text} at {at:?}, {kind}: {a:?} is not {b:?}, more than {bound:?} apart");
        used = used.max((a - b).abs() / bound);
    }
    used
}

// What was observed is told to whoever tightens the bounds.
#[allow(clippy::print_stdout)]
#[test]
fn long_windows_are_what_reading_them_gives() {
    let store = store();
    let mut random = Random(11);
    for (function, class) in FUNCTIONS {
        let mut used: f64 = 0.0;
        for window in ["5m", "1h", "3h7s", "1d", "2d16h", "6d", "30d"] {
            for modifier in ["]", "] offset 1d", "] @ 200000"] {
                let at = Timestamp::from_ms(random.below((SAMPLES * STEP_MS) as u64) as i64 + 60_000);
                used = used.max(check(&store, (function, class), &format!("{window}{modifier}"), at));
            }
        }
        println!("{function}: {used:.3} of the bound");
    }
}

/// Constant values have no spread and no slope at all.
#[test]
fn constants_give_exactly_zero() {
    let store = store();
    let at = Timestamp::from_ms(SAMPLES * STEP_MS);
    let engine = Engine::new(store);
    for function in ["stddev_over_time", "stdvar_over_time", "deriv"] {
        let text = format!("{function}(m_total{{kind=\"constant\"}}[30d])");
        let prepared = engine.prepare(&parse_with(&text, Features::ALL).unwrap());
        let options = QueryOptions::default();
        let question = Question { at, overlay: None, options: &options, notes: Notes::Ignored };
        let QueryValue::Vector(found) = engine.eval_instant(&prepared, &question).unwrap().value else { panic!() };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value, Value::Float(0.0), "{text}");
    }
}
