//! How long things took, as quantiles over the last minutes.
//!
//! **Invariants.** `_sum` and `_count` only grow; quantiles cover the last one to two windows of [`WINDOW`], so that an old
//! outage does not colour them for ever.
//! **Units.** Microseconds inside, seconds outside.
//! **Limits.** [`LONGEST`] is the largest quantile that can be shown; two significant digits (an error of at most 1 %), which keeps
//! a recorder near 20 kB.
//! **Differs:** Prometheus's summaries age out in five steps over ten minutes; ours in two steps of five.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::Stopwatch;
use crate::exposition::{Family, FamilyKind, Point};
use crate::model::format_float;

/// Quantiles come from between one and two of these.
const WINDOW: Duration = Duration::from_secs(300);
/// Longer durations count as this long in quantiles; `_sum` has them in full.
const LONGEST: Duration = Duration::from_secs(3600);
const SIGNIFICANT_DIGITS: u8 = 2;
/// Those of `prometheus_rule_evaluation_duration_seconds` and most other summaries of Prometheus.
const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// Records durations from any thread.
#[derive(Debug)]
pub struct Latency {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window_started: Stopwatch,
    current: Histogram<u32>,
    previous: Histogram<u32>,
    sum_secs: f64,
    count: u64,
}

impl Latency {
    /// A recorder without records.
    pub fn new() -> Self {
        let state =
            State { window_started: Stopwatch::start(), current: empty(), previous: empty(), sum_secs: 0.0, count: 0 };
        Latency { state: Mutex::new(state) }
    }

    /// Adds one duration.
    pub fn record(&self, duration: Duration) {
        let mut state = self.state.lock();
        let age = state.window_started.elapsed();
        state.rotate(age);
        let micros = duration.min(LONGEST).as_micros().max(1) as u64;
        state.current.saturating_record(micros);
        state.sum_secs += duration.as_secs_f64();
        state.count += 1;
    }

    /// A summary family that holds this recorder alone.
    pub fn family(&self, name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>) -> Family {
        let mut family = Family::new(name, help, FamilyKind::Summary);
        self.add_to(&mut family, labels);
        family
    }

    /// Adds the quantiles, `_sum` and `_count` of this recorder to a summary that several share. Quantiles are NaN while
    /// nothing was recorded lately, as in Prometheus.
    pub fn add_to(&self, family: &mut Family, labels: Vec<(&'static str, String)>) {
        let mut state = self.state.lock();
        let age = state.window_started.elapsed();
        state.rotate(age);
        let mut recent = state.previous.clone();
        recent.add(&state.current).expect("BUG: both windows have the same bounds");
        for quantile in QUANTILES {
            let value = if recent.is_empty() { f64::NAN } else { recent.value_at_quantile(quantile) as f64 / 1e6 };
            let mut labels = labels.clone();
            labels.push(("quantile", format_float(quantile)));
            family.points.push(Point { suffix: "", labels, value });
        }
        family.points.push(Point { suffix: "_sum", labels: labels.clone(), value: state.sum_secs });
        family.points.push(Point { suffix: "_count", labels, value: state.count as f64 });
    }
}

impl Default for Latency {
    fn default() -> Self {
        Latency::new()
    }
}

impl State {
    /// Starts a new window once the current one is `age` old and that is enough.
    fn rotate(&mut self, age: Duration) {
        if age < WINDOW {
            return;
        }
        std::mem::swap(&mut self.previous, &mut self.current);
        self.current.reset();
        if age >= 2 * WINDOW {
            self.previous.reset();
        }
        self.window_started = Stopwatch::start();
    }
}

fn empty() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, SIGNIFICANT_DIGITS)
        .expect("BUG: constant bounds of the histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(latency: &Latency) -> Vec<(String, f64)> {
        let family = latency.family("x_seconds", "x.", vec![("a", "b".to_owned())]);
        let label = |point: &Point| point.labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
        family.points.iter().map(|point| (format!("{}{{{}}}", point.suffix, label(point)), point.value)).collect()
    }

    #[test]
    fn gives_quantiles_sum_and_count() {
        let latency = Latency::new();
        assert!(values(&latency)[2].1.is_nan());
        (1..=100).for_each(|ms| latency.record(Duration::from_millis(ms)));
        let values = values(&latency);
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "{a=b,quantile=0.01}");
        assert_eq!(names[2], "{a=b,quantile=0.5}");
        assert_eq!(names[3], "{a=b,quantile=0.9}");
        assert_eq!(names[5..], ["_sum{a=b}", "_count{a=b}"]);
        assert!((values[2].1 - 0.050).abs() < 0.001, "{values:?}");
        assert!((values[4].1 - 0.099).abs() < 0.001, "{values:?}");
        assert!((values[5].1 - 5.050).abs() < 1e-9);
        assert_eq!(values[6].1, 100.0);
    }

    #[test]
    fn old_records_leave_the_quantiles_but_not_the_sum() {
        let latency = Latency::new();
        latency.record(Duration::from_secs(10_000));
        latency.state.lock().rotate(WINDOW);
        assert!((values(&latency)[2].1 - 3600.0).abs() < 36.0);
        latency.state.lock().rotate(WINDOW);
        let values = values(&latency);
        assert!(values[2].1.is_nan());
        assert_eq!((values[5].1, values[6].1), (10_000.0, 1.0));
    }
}
