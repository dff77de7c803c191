//! OpenSLO's measured values: threshold metrics and raw ratios, by minutes and by slices of time, beside a model that looks at every minute.

use std::sync::Arc;
use std::time::Duration;

use super::{environment, file, secs};
use crate::promql::plan::Engine;
use crate::rules::{EvalContext, Evaluator};
use crate::slo::{Budgeting, Grid, Names, Recording, Slo, SloGroup, backtest, compile, parse_file};
use crate::source::SourceFile;
use crate::store::{Store, StoreOptions};

/// A multiple of an hour.
const BEGIN: i64 = 1_000_000_800;
const MINUTES: i64 = 300;
const WINDOW: i64 = 7200;

/// An SLO of a value that should be at most 0.3, or of a raw ratio.
fn openslo(indicator: &str, method: &str, objective: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: a}}\nspec:\n  service: s\n  indicator: {{spec: {{{indicator}}}}}\n  \
         timeWindow: [{{duration: 2h, isRolling: true}}]\n  budgetingMethod: {method}\n  objectives: [{{target: 0.9{objective}}}]\n"
    )
}

fn source(query: &str) -> String {
    format!("{{metricSource: {{type: Prometheus, spec: {{query: '{query}'}}}}}}")
}

const METHODS: [(&str, &str); 4] = [
    ("Occurrences", ""),
    ("Timeslices", ", timeSliceTarget: 0.8, timeSliceWindow: 5"),
    ("Timeslices", ", timeSliceTarget: 1, timeSliceWindow: 30m"),
    ("RatioTimeslices", ", timeSliceWindow: 10m"),
];

/// The value at each minute; `None`: no number.
fn value(minute: i64) -> Option<f64> {
    match minute {
        40..=50 => None,
        _ if minute % 17 < 4 || (100..130).contains(&minute) && minute % 3 == 0 => Some(0.7),
        _ if minute % 5 == 0 => Some(0.3),
        _ => Some(0.1),
    }
}

fn recording() -> Recording {
    let line = |minute: i64| {
        let value = value(minute).unwrap_or(f64::NAN);
        format!("v_seconds {value} {}\n", BEGIN + 60 * minute)
    };
    let text: String = (0..=MINUTES).map(line).collect();
    Recording::parse(format!("{text}# EOF\n").as_bytes()).unwrap()
}

/// The share of good ones in `(end - length, end]`, by looking at every minute; `good` tells how good one is.
fn model(slo: &Slo, end: i64, length: i64, good: &dyn Fn(i64) -> Option<f64>) -> Option<f64> {
    let mean = |all: Vec<f64>| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let minutes = |from: i64, to: i64| {
        let within = (0..=MINUTES).filter(|minute| (from + 1..=to).contains(&(BEGIN + 60 * minute)));
        mean(within.filter_map(good).collect())
    };
    let (slice, target) = match slo.budgeting {
        Budgeting::TimeSlices { slice, target_ratio } => (slice.as_secs() as i64, Some(target_ratio)),
        Budgeting::RatioTimeSlices { slice } => (slice.as_secs() as i64, None),
        _ => return minutes(end - length, end),
    };
    let ends = (0..=end / slice).map(|index| index * slice).filter(|at| *at <= end && at - slice >= end - length);
    let ratios = ends.filter_map(|at| minutes(at - slice, at));
    mean(ratios.map(|ratio| target.map_or(ratio, |target| f64::from(u8::from(ratio >= target)))).collect())
}

fn is_near(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        (found, expected) => found == expected,
    }
}

/// Replays and evaluates a file, and holds all windows to the model.
fn check(text: &str, good: &dyn Fn(i64) -> Option<f64>) {
    let slo = file(text).slos.remove(0);
    assert!(slo.indicator.is_queried());
    let recording = recording();
    let end = BEGIN + 60 * MINUTES;
    // Also at instants between two minutes, and long before the window is full.
    let grid = Grid { start: secs(BEGIN + 600), end: secs(end), step: Duration::from_secs(397) };
    let replayed = backtest(&slo, &recording, grid).unwrap();
    for point in &replayed[0].points {
        let at = point.at.as_ms() / 1000;
        let expected = model(&slo, at, WINDOW, good).map(|good| 1.0 - good);
        assert!(
            is_near(point.error_ratio, expected),
            "{:?} and not {expected:?} at {at} of\n{text}",
            point.error_ratio
        );
    }
    let engine = Engine::new(Arc::new(recording.store(&[Vec::new()])));
    let environment = environment();
    let mut group = SloGroup::new(file(text), Duration::from_secs(60));
    for at in (BEGIN + WINDOW..=end).step_by(487) {
        let context = EvalContext { querier: &**engine.store(), engine: Some(&engine), environment: &environment };
        assert_eq!(group.eval(secs(at), &context).failures, []);
        let status = &group.status()[0];
        assert!(!status.is_event_exact && status.budgeting == slo.budgeting);
        for window in status.figures.windows.iter().chain([&status.figures.whole]) {
            let length = window.window.as_secs() as i64;
            let expected = model(&slo, at, length, good).map(|good| 1.0 - good);
            let told = format!("{:?} and not {expected:?} over {length} at {at} of\n{text}", window.error_ratio);
            assert!(is_near(window.error_ratio, expected), "{told}");
            assert!(!window.is_blind, "no slice, or no number, is not unknown: {told}");
        }
    }
}

#[test]
fn a_threshold_holds_for_minutes_and_for_slices() {
    for (method, slices) in METHODS {
        let objective = format!(", op: lte, value: 0.3{slices}");
        let text = openslo(&format!("thresholdMetric: {}", source("v_seconds")), method, &objective);
        check(&text, &|minute| value(minute).map(|value| f64::from(u8::from(value <= 0.3))));
        let text = text.replace("lte", "lt");
        check(&text, &|minute| value(minute).map(|value| f64::from(u8::from(value < 0.3))));
    }
    let text =
        openslo(&format!("thresholdMetric: {}", source("scalar(v_seconds)")), "Occurrences", ", op: gt, value: -0.5");
    check(&text, &|minute| value(minute).map(|_| 1.0));
}

#[test]
fn a_raw_ratio_is_judged_by_slices_too() {
    for (method, slices) in METHODS {
        for (kind, query) in [("failure", "v_seconds"), ("success", "1 - v_seconds")] {
            let raw = format!("ratioMetric: {{raw: {}, rawType: {kind}}}", source(query));
            check(&openslo(&raw, method, slices), &|minute| value(minute).map(|value| 1.0 - value));
        }
    }
    // A window of its own is that of each slice.
    let raw = format!(
        "ratioMetric: {{raw: {}, rawType: failure}}",
        source("avg_over_time((v_seconds >= 0)[{{.window}}:1m])")
    );
    let (method, slices) = METHODS[3];
    check(&openslo(&raw, method, slices), &|minute| value(minute).map(|value| 1.0 - value));
}

#[test]
fn what_is_compared_is_grouped_told_and_compiled() {
    let query = "max by (zone) (v_seconds)";
    let text = openslo(&format!("thresholdMetric: {}", source(query)), "Occurrences", ", op: lte, value: 0.3");
    let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text.as_str()));
    let told = diagnostics.to_string();
    assert!(told.contains("the share of minutes at which it is <= 0.3"), "{told}");
    let slo = file.unwrap().slos.remove(0);
    assert_eq!(slo.group_by.join(","), "zone");
    let compiled = compile(&slo, Names::Own, Duration::from_secs(30)).unwrap();
    assert!(compiled.groups[0].rules[0].expr.contains("<= bool 0.3"), "{:?}", compiled.groups[0].rules[0]);
    let sliced = openslo(
        &format!("thresholdMetric: {}", source(query)),
        "Timeslices",
        ", op: gt, value: 1, timeSliceTarget: 1, timeSliceWindow: 5m",
    );
    let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", sliced.as_str()));
    assert!(diagnostics.to_string().contains("a slice is as good as its minutes are"), "{diagnostics}");
    assert!(compile(&file.unwrap().slos[0], Names::Own, Duration::from_secs(30)).is_ok());
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let value = format!("thresholdMetric: {}", source("v_seconds"));
    let op = ", op: lte, value: 0.3";
    let ratio = format!("ratioMetric: {{good: {}, total: {}}}", source("max(good)"), source("max(all)"));
    let of_window = format!("thresholdMetric: {}", source("max_over_time(v_seconds[{{.window}}])"));
    for (indicator, method, objective, expected) in [
        (value.as_str(), "Occurrences", ", value: 0.3", "9:16: the objective of a thresholdMetric needs op"),
        (&value, "Occurrences", ", op: lte", "9:16: the objective of a thresholdMetric needs value"),
        (&value, "Occurrences", ", op: eq, value: 1", "9:34: not an operator"),
        (&value, "Timeslices", op, "9:16: Timeslices needs timeSliceTarget"),
        (
            &value,
            "Occurrences",
            ", op: lte, value: 0.3}, {target: 0.99, op: lte, value: 1",
            "9:3: with a thresholdMetric OpenSLO has one objective",
        ),
        (&ratio, "Occurrences", op, "the key \"op\" in objective is not supported: they are of threshold metrics"),
        (
            &ratio,
            "RatioTimeslices",
            ", timeSliceWindow: 5m",
            "8:3: slices of time need counters, a raw ratio or a measured value",
        ),
        (&of_window, "Occurrences", op, "compared minute by minute, and not over a window"),
        (&format!("{value}, {ratio}"), "Occurrences", op, "an indicator has a ratioMetric or a thresholdMetric"),
    ] {
        let text = openslo(indicator, method, objective);
        let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text.as_str()));
        assert!(file.is_none() && diagnostics.to_string().contains(expected), "{diagnostics}\nof\n{text}");
    }
}

#[test]
fn nothing_measured_is_not_measured() {
    let text = openslo(&format!("thresholdMetric: {}", source("v_seconds")), "Occurrences", ", op: lte, value: 0.3");
    let engine = Engine::new(Arc::new(Store::new(StoreOptions { retention: Duration::MAX })));
    let environment = environment();
    let mut group = SloGroup::new(file(&text), Duration::from_secs(60));
    let context = EvalContext { querier: &**engine.store(), engine: Some(&engine), environment: &environment };
    group.eval(secs(BEGIN), &context);
    assert!(group.status()[0].figures.whole.is_blind);
}
