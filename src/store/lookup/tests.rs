//! Look-ups and windows against reading every sample, over series that are as awkward as we can make them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Labels, Sample, stale_nan};
use crate::store::moments::{Moments, Trend};
use crate::store::summary::{CompensatedSum, Extremes, Sums, Transitions};
use crate::store::{Row, Store, StoreOptions};

/// What a series is made of: the distance to the sample before, and the value.
type Steps = Vec<(i64, Value)>;

fn histogram(count: f64) -> Value {
    Value::Histogram(Histogram { count, ..Histogram::default() }.into())
}

/// A stretch of samples of one temper.
fn stretch() -> impl Strategy<Value = Steps> {
    let regular = Just(1_000i64);
    let late = prop_oneof![6 => Just(1_000i64), 1 => 990..1_010i64, 1 => 1..100_000i64, 1 => Just(1i64 << 33)];
    let counter = (prop::collection::vec(0..16u32, 1..300), 0..200usize).prop_map(|(steps, reset)| {
        let mut sum = 0u32;
        let values = steps.iter().enumerate().map(|(index, step)| {
            sum = if index == reset { 0 } else { sum + step };
            Value::Float(f64::from(sum))
        });
        values.collect::<Vec<_>>()
    });
    let adverse = prop::sample::select(vec![
        0.0,
        -0.0,
        1e300,
        -1e300,
        1e-300,
        0.1,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        9.007199254740993e15,
        -1.0,
        1.0,
    ]);
    let noise = prop::collection::vec(adverse.prop_map(Value::Float), 1..150);
    let gauge = prop::collection::vec((-5_000..5_000i32).prop_map(|n| Value::Float(f64::from(n) / 100.0)), 1..300);
    let constant = (1..200usize, -3..3i32).prop_map(|(len, n)| vec![Value::Float(f64::from(n)); len]);
    let ended = Just(vec![Value::Float(stale_nan())]);
    let often_ended = prop::collection::vec(
        prop_oneof![(0..9).prop_map(|n| Value::Float(f64::from(n))), Just(Value::Float(stale_nan()))],
        1..150,
    );
    let histograms = prop::collection::vec(
        prop_oneof![
            5 => (0..9).prop_map(|n| histogram(f64::from(n))),
            1 => Just(Value::Histogram(Histogram { sum: stale_nan(), ..Histogram::default() }.into())),
        ],
        1..30,
    );
    let values = prop_oneof![
        6 => counter, 1 => noise, 2 => gauge, 1 => constant, 2 => ended, 1 => often_ended, 1 => histograms
    ];
    (values, prop_oneof![3 => regular.prop_map(|ms| vec![ms]).boxed(), 1 => prop::collection::vec(late, 1..20).boxed()])
        .prop_map(|(values, distances)| {
            values.into_iter().zip(distances.into_iter().cycle()).map(|(v, d)| (d, v)).collect()
        })
}

fn samples(stretches: Vec<Steps>) -> Vec<Sample> {
    let mut at = 0;
    let sample = |(distance, value): (i64, Value)| {
        at += distance;
        Sample { at: Timestamp::from_ms(at), value }
    };
    stretches.into_iter().flatten().map(sample).collect()
}

/// The live samples of a window, as a plain reading finds them.
fn inside(samples: &[Sample], start: Timestamp, end: Timestamp) -> Vec<&Sample> {
    samples.iter().filter(|s| s.at > start && s.at <= end && !s.value.is_stale()).collect()
}

/// Comparable bit for bit. Of a NaN increase only that it is one: which operand's bits an addition keeps is the machine's choice.
fn bits(edges: Option<Edges>) -> Option<[u64; 6]> {
    let at = |(at, _): (Timestamp, f64)| at.as_ms() as u64;
    edges.map(|Edges { count, first, last, increase }| {
        let increase = if increase.is_nan() { f64::NAN } else { increase };
        [count as u64, at(first), first.1.to_bits(), at(last), last.1.to_bits(), increase.to_bits()]
    })
}

fn check_window(series: &StoredSeries, all: &[Sample], start: Timestamp, end: Timestamp) -> Result<(), TestCaseError> {
    let live = inside(all, start, end);
    let has_histograms = live.iter().any(|sample| sample.value.as_float().is_none());
    let values: Vec<f64> = live.iter().filter_map(|sample| sample.value.as_float()).collect();
    let at: Vec<Timestamp> = live.iter().filter(|s| s.value.as_float().is_some()).map(|s| s.at).collect();

    let mut scratch = Window::default();
    let edges = series.edges(start, end, &mut scratch);
    prop_assert_eq!(bits(edges), bits(Edges::of(&at, &values)), "edges of {:?}..{:?}", start, end);
    if has_histograms {
        prop_assert!(scratch.has_histograms);
    }

    let newest = all.iter().rfind(|sample| sample.at <= end).filter(|s| s.at > start && !s.value.is_stale());
    let expected = newest.map_or(Point::Absent, |sample| match sample.value {
        Value::Float(value) => Point::Float(sample.at, value),
        Value::Histogram(_) => Point::Histogram,
    });
    prop_assert_eq!(format!("{:?}", series.last_in(start, end)), format!("{expected:?}"));

    match series.summary::<Sums>(start, end) {
        Windowed::Empty => prop_assert!(live.is_empty()),
        // Histograms beside the window ask for a reading too: which they are is not known before.
        Windowed::Scan => prop_assert!(all.iter().any(|sample| sample.value.as_float().is_none())),
        Windowed::Floats { count, value } => {
            prop_assert_eq!(count, live.len() as u64);
            prop_assert!(!has_histograms);
            check_sum(&values, &value)?;
        }
    }
    if let Windowed::Floats { value, .. } = series.summary::<Extremes>(start, end) {
        let extreme = |replaces: fn(f64, f64) -> bool| {
            let better = |best: f64, value: &f64| if replaces(*value, best) || best.is_nan() { *value } else { best };
            values.iter().fold(values[0], better).to_bits()
        };
        let expected = (extreme(|value, best| value < best), extreme(|value, best| value > best));
        prop_assert_eq!(value.range.map(|(min, max)| (min.to_bits(), max.to_bits())), Some(expected));
    }
    if let Windowed::Floats { value, .. } = series.summary::<Transitions>(start, end) {
        let is_change = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
        prop_assert_eq!(value.changes as usize, values.windows(2).filter(is_change).count());
        prop_assert_eq!(value.resets as usize, values.windows(2).filter(|pair| pair[1] < pair[0]).count());
    }
    if let Windowed::Floats { value, .. } = series.summary::<Moments>(start, end) {
        check_moments(&values, &value)?;
    }
    if let Windowed::Floats { value, .. } = series.summary::<Trend>(start, end) {
        check_trend(&at, &values, &value)?;
    }
    if let Windowed::Floats { value: (earlier, last), .. } = series.last_two(start, end) {
        let points: Vec<(Timestamp, u64)> =
            at.iter().copied().zip(values.iter().map(|value| value.to_bits())).collect();
        let bits = |(at, value): (Timestamp, f64)| (at, value.to_bits());
        prop_assert_eq!(points.last().copied(), Some(bits(last)));
        prop_assert_eq!(points.iter().rev().nth(1).copied(), earlier.map(bits));
    }
    Ok(())
}

/// How many rounding errors of the terms in question two ways to add up may lie apart.
const ROUNDINGS: f64 = 64.0 * f64::EPSILON;

fn check_moments(values: &[f64], moments: &Moments) -> Result<(), TestCaseError> {
    prop_assert_eq!(moments.is_extreme, values.iter().any(|value| !value.is_finite() || value.abs() > 1e150));
    if moments.is_extreme {
        return Ok(());
    }
    let count = values.len() as f64;
    let total =
        |terms: &mut dyn Iterator<Item = f64>| terms.fold(CompensatedSum::default(), CompensatedSum::plus).total();
    let mean = total(&mut values.iter().copied()) / count;
    let variance = total(&mut values.iter().map(|value| (value - mean) * (value - mean))) / count;
    let greatest = values.iter().fold(0.0, |greatest: f64, value| greatest.max(value.abs()));
    let is_constant = values.iter().all(|value| *value == values[0]);
    // The mean itself is rounded once.
    let bound = ROUNDINGS * (variance + greatest * variance.sqrt()) + (f64::EPSILON * greatest).powi(2);
    let difference = (moments.variance() - variance).abs();
    prop_assert!(difference <= bound, "{} is not {variance}, {bound} at most apart", moments.variance());
    prop_assert!(!is_constant || moments.variance() == 0.0);
    Ok(())
}

fn check_trend(at: &[Timestamp], values: &[f64], trend: &Trend) -> Result<(), TestCaseError> {
    let first = at[0];
    let x: Vec<f64> = at.iter().map(|at| at.ms_since(first) as f64 / 1e3).collect();
    let is_far = x[x.len() - 1] > 3e10;
    let is_extreme = values.iter().any(|value| !value.is_finite() || value.abs() > 1e150);
    if trend.is_extreme {
        prop_assert!(is_far || is_extreme);
        return Ok(());
    }
    if values.iter().all(|value| *value == values[0]) {
        prop_assert_eq!(trend.line(first), (0.0, values[0]));
        return Ok(());
    }
    let count = x.len() as f64;
    let sum = |of: &dyn Fn(f64, f64) -> f64| {
        x.iter().zip(values).map(|(x, y)| of(*x, *y)).fold(CompensatedSum::default(), CompensatedSum::plus).total()
    };
    let (of_x, of_y, squares) = (sum(&|x, _| x), sum(&|_, y| y), sum(&|x, _| x * x));
    let variance = squares - of_x * of_x / count;
    let slope = (sum(&|x, y| x * y) - of_x * of_y / count) / variance;
    let products = sum(&|x, y| (x * y).abs()) + of_x * sum(&|_, y| y.abs()) / count;
    let bound = ROUNDINGS * (products + slope.abs() * (squares + of_x * of_x / count)) / variance;
    let got = trend.line(first).0;
    prop_assert!((got - slope).abs() <= bound, "{got} is not {slope}, {bound} at most apart");
    Ok(())
}

fn check_sum(values: &[f64], summary: &Sums) -> Result<(), TestCaseError> {
    let is_extreme = values.iter().any(|value| !value.is_finite() || value.abs() > 1e150);
    prop_assert_eq!(summary.is_extreme, is_extreme);
    if is_extreme {
        return Ok(());
    }
    let one_by_one = values.iter().fold(CompensatedSum::default(), |sum, value| sum.plus(*value));
    let magnitude: f64 = values.iter().map(|value| value.abs()).sum();
    if values.iter().all(|value| value.fract() == 0.0) && magnitude < 9_007_199_254_740_992.0 {
        prop_assert_eq!(summary.sum.total().to_bits(), one_by_one.total().to_bits());
    } else {
        let bound = f64::EPSILON * magnitude;
        prop_assert!((summary.sum.total() - one_by_one.total()).abs() <= bound);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_what_reading_them_gives(
        stretches in prop::collection::vec(stretch(), 1..60),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), -1..2i64, -1..2i64), 60),
        floor in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let store = Store::new(StoreOptions { retention: Duration::from_secs(1) });
        let handle = store.series_ref(&Labels::from_pairs([("__name__", "a")]));
        let all = samples(stretches);
        let rows: Vec<Row> = all.iter().map(|sample| Row::new(handle, sample.at, sample.value.clone())).collect();
        // Some tables are made early and then kept up to date, others late.
        let (early, late) = rows.split_at(rows.len() / 2);
        store.commit(early);
        let window = |start: Timestamp, end: Timestamp, all: &[Sample]| {
            store.with_series(handle, |series| check_window(series, all, start, end))
        };
        let seen: Vec<Sample> = all[..early.len()].to_vec();
        window(Timestamp::MIN, Timestamp::MAX, &seen)?;
        store.commit(late);
        let mut kept = all.clone();
        if let Some(floor) = floor {
            let floor = all[floor.index(all.len())].at;
            store.truncate(floor);
            // What is older may still be there beside younger samples: windows that the store would cut are not asked for.
            kept.retain(|sample| sample.at >= floor);
        }
        let oldest = kept[0].at.plus_ms(-1);
        window(oldest, Timestamp::MAX, &kept)?;
        for (from, to, before, after) in cuts {
            let (from, to) = (from.index(kept.len()), to.index(kept.len()));
            let (start, end) = (kept[from.min(to)].at.plus_ms(before), kept[from.max(to)].at.plus_ms(after));
            window(start.max(oldest), end, &kept)?;
        }
    }
}
