//! An hour at 50 % errors at the peak of a day whose traffic varies 10 : 1 costs 126 % of a 99.9 % budget over 30 days. The mean of
//! recorded 5-minute ratios says 69 %; nights without traffic make it NaN.

use std::time::Duration;

use super::{file, labels, secs};
use crate::model::{Sample, Series};
use crate::slo::{Accounting, History, Role, State, parse_file};

const SPEC: &str = r#"
slos:
  - name: peak
    objective: 99.9
    window: 30d
    indicator: {errors: {bad: bad_total, total: all_total}}
"#;

const DAY: i64 = 86_400;

/// Requests per minute over the day, between 100 at midnight and 1000 at noon.
fn rate_per_minute(at: i64) -> f64 {
    let phase = std::f64::consts::TAU * (at % DAY) as f64 / DAY as f64;
    550.0 - 450.0 * phase.cos()
}

#[test]
fn the_budget_counts_events_and_not_ratios() {
    let end = 30 * DAY;
    let outage = 20 * DAY + 11 * 3600 + 1800..20 * DAY + 12 * 3600 + 1800;
    let (mut bad, mut all) = (0.0, 0.0);
    let mut samples = (Vec::new(), Vec::new());
    let mut ratios_5m = Vec::new();
    let mut at_5m = (0.0, 0.0);
    for at in (0..=end).step_by(60) {
        if at > 0 {
            all += rate_per_minute(at);
            bad += if outage.contains(&(at - 1)) { rate_per_minute(at) * 0.5 } else { 0.0 };
        }
        samples.0.push(Sample::float(secs(at), bad));
        samples.1.push(Sample::float(secs(at), all));
        if at > 0 && at % 300 == 0 {
            ratios_5m.push((bad - at_5m.0) / (all - at_5m.1));
            at_5m = (bad, all);
        }
    }
    let target = [("job", "j"), ("instance", "i")];
    let bad_series = [Series::new(labels("bad_total", &target), samples.0)];
    let all_series = [Series::new(labels("all_total", &target), samples.1)];

    let slo = file(SPEC).slos.remove(0);
    let mut accounting = Accounting::new(&slo);
    accounting.feed(&[(Role::Part, &bad_series), (Role::Total, &all_series)], secs(end), History::Complete);
    let figures = super::figures(&slo, &accounting, secs(end));
    let spent = 1.0 - figures.budget_remaining_ratio.unwrap();
    assert!((1.255..1.265).contains(&spent), "{spent}");
    assert_eq!(figures.state, State::Breached);
    assert!((figures.whole.counts.total - all).abs() < 1e-3, "every event of the window is counted");

    let mean = ratios_5m.iter().sum::<f64>() / ratios_5m.len() as f64;
    let spent_by_mean = mean / 0.001;
    assert!((0.69..0.70).contains(&spent_by_mean), "{spent_by_mean}");
}

#[test]
fn idle_nights_leave_the_figures_whole() {
    let slo = file(SPEC).slos.remove(0);
    let mut accounting = Accounting::new(&slo);
    let values = [0.0, 1000.0, 1000.0, 1000.0, 2000.0];
    let at = |index: usize| secs(240 * index as i64);
    let all = values.iter().enumerate().map(|(index, value)| Sample::float(at(index), *value)).collect();
    let all = [Series::new(labels("all_total", &[("job", "j")]), all)];
    accounting.feed(&[(Role::Total, &all)], at(4), History::Complete);
    let figures = super::figures(&slo, &accounting, at(4).plus_ms(-1));
    assert_eq!(figures.burn_rate(Duration::from_secs(300)), None, "no events, no ratio");
    assert_eq!(figures.budget_remaining_ratio, Some(1.0));
    assert_eq!(figures.state, State::Met);
    assert!(parse_file(&crate::source::SourceFile::new("f", SPEC)).1.is_empty());
}
