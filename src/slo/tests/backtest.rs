//! Backtests: the forms of other tools against our own, and figures worked out by hand.

use std::fmt::Write;
use std::time::Duration;

use super::file;
use crate::model::Timestamp;
use crate::slo::{Backtest, Grid, Recording, backtest};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2025-03-01T00:00:00Z, a boundary of every slice used here.
const START: i64 = 1_740_787_200;

/// A target scraped every minute; `events` gives what happened in the minute that ends at each scrape: good, bad.
fn recording(minutes: i64, events: impl Fn(i64) -> (u32, u32)) -> Recording {
    let mut lines = [String::new(), String::new(), String::new()];
    let (mut all, mut bad) = (0, 0);
    for minute in 0..=minutes {
        let at = START + minute * MINUTE;
        if minute > 0 {
            let (good_now, bad_now) = events(minute);
            all += good_now + bad_now;
            bad += bad_now;
        }
        let target = r#"job="shop",instance="a""#;
        let _ = writeln!(lines[0], "requests_total{{{target},zone=\"z\"}} {all} {at}");
        let _ = writeln!(lines[1], "failures_total{{{target},zone=\"z\"}} {bad} {at}");
        let _ = writeln!(lines[2], "up{{{target}}} 1 {at}");
    }
    let [all, bad, up] = lines;
    let text = format!("# TYPE requests counter\n{all}# TYPE failures counter\n{bad}# TYPE up gauge\n{up}# EOF\n");
    Recording::parse(text.as_bytes()).unwrap()
}

fn run(spec: &str, recording: &Recording, from: i64, to: i64, step_secs: u64) -> Vec<Backtest> {
    let at = |secs: i64| Timestamp::from_ms((START + secs) * 1000);
    let grid = Grid { start: at(from), end: at(to), step: Duration::from_secs(step_secs) };
    file(spec).slos.iter().flat_map(|slo| backtest(slo, recording, grid).unwrap()).collect()
}

/// Minutes from `start` after which nothing is left of the budget, and that one more is not too late.
fn exhausted_after(spec: &str, start: i64) -> i64 {
    let outage = |minute: i64| if minute * MINUTE > start { (1, 99) } else { (99, 1) };
    let recording = recording((start + 20 * HOUR) / MINUTE, outage);
    let result = run(spec, &recording, start, start + 20 * HOUR, 60).remove(0);
    let point = result.points.iter().find(|point| point.budget_remaining < Some(0.0)).expect("it is never exhausted");
    point.at.ms_since(Timestamp::from_ms((START + start) * 1000)) / 60_000 - 1
}

fn openslo(method: &str, objective: &str) -> String {
    format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{name: a}}
spec:
  service: shop
  indicator:
    metadata: {{name: failures}}
    spec:
      ratioMetric:
        counter: true
        bad: {{metricSource: {{type: Prometheus, spec: {{query: failures_total}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: requests_total}}}}}}
  timeWindow: [{{duration: 2w, isRolling: true}}]
  budgetingMethod: {method}
  objectives: [{objective}]
"
    )
}

/// 1 % of the budget of 5 % goes all the time; then 99 of 100 requests fail.
#[test]
fn budgets_of_slices_last_as_long_as_openslo_reckons() {
    let start = 14 * DAY;
    let slices = openslo("Timeslices", "{target: 0.95, timeSliceTarget: 0.95, timeSliceWindow: 1m}");
    assert_eq!(exhausted_after(&slices, start), 16 * 60 + 48);
    let ratios = openslo("RatioTimeslices", "{target: 0.95, timeSliceWindow: 1}");
    assert_eq!(exhausted_after(&ratios, start), 13 * 60 + 42, "13.714 hours");
    let events = openslo("Occurrences", "{targetPercent: 95}");
    assert_eq!(exhausted_after(&events, start), 13 * 60 + 42, "with steady traffic events and ratios agree");
}

#[test]
fn the_forms_of_other_tools_count_what_ours_counts() {
    let outage = |minute: i64| if (600..640).contains(&minute) { (10, 10) } else { (20, 0) };
    let recording = recording(2000, outage);
    let of = |spec: &str| run(spec, &recording, 0, 2000 * MINUTE, 300).remove(0);
    let own =
        of("slos: [{name: a, objective: 99.9, indicator: {errors: {bad: failures_total, total: requests_total}}}]");
    assert_eq!(own.runs.len(), 4, "{:?}", own.runs);

    let sloth = of("
version: prometheus/v1
service: shop
slos:
  - name: a
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(failures_total[{{.window}}])) or vector(0)
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting: {page_alert: {}, ticket_alert: {}}
");
    // Ours have a guard, theirs have none: what is told differs, what is counted does not.
    assert_eq!((&sloth.points, &sloth.runs), (&own.points, &own.runs));
    let resource = of("
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: a}
spec:
  service: shop
  slos:
    - name: a
      objective: 99.9
      sli: {raw: {errorRatioQuery: '1 - (sum(rate(requests_total[{{.window}}])) - sum(rate(failures_total[{{.window}}]))) / sum(rate(requests_total[{{.window}}]))'}}
");
    assert_eq!(resource, sloth);

    let grouped = of(
        "slos: [{name: a, objective: 99.9, group_by: [zone], indicator: {errors: {bad: failures_total, total: requests_total}}}]",
    );
    let pyrra = of("
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: a}
spec:
  target: '99.9'
  window: 30d
  indicator: {ratio: {errors: {metric: failures_total}, total: {metric: requests_total}, grouping: [zone]}}
");
    assert_eq!((&pyrra.group, &pyrra.points), (&grouped.group, &grouped.points));
    let starts: Vec<_> = pyrra.runs.iter().map(|run| (run.tier, run.start.as_ms() / 60_000 - START / MINUTE)).collect();
    // Every tier burns from instant 605 on, and fires at the first one at which its `for` has passed: 2, 16, 64 and 193 minutes.
    assert_eq!(starts, [(0, 610), (1, 625), (2, 670), (3, 800)]);
}

#[test]
fn a_month_begins_at_local_midnight() {
    let recording = recording(40 * 24 * 60, |_| (9, 1));
    let spec = "slos: [{name: a, objective: 50, window: month, time_zone: Europe/Madrid,
        indicator: {errors: {bad: failures_total, total: requests_total}}}]";
    // 2025-04-01T00:00 in Madrid is 22:00 UTC of the day before; summer time began on March 30.
    let boundary = 31 * DAY - 2 * HOUR;
    let result = run(spec, &recording, boundary - HOUR, boundary + HOUR, 3600).remove(0);
    let totals: Vec<_> = result.points.iter().map(|point| point.counts.total).collect();
    let of_march = (boundary / MINUTE * 10) as f64;
    assert_eq!(totals, [of_march - 600.0, of_march, 600.0], "the boundary itself ends the month before");
    assert_eq!(result.points[2].coverage, Some(1.0), "of the time elapsed");
    assert!(result.points[1].coverage < Some(1.0), "March began an hour before the first scrape");
}

#[test]
fn without_events_there_is_no_ratio() {
    let recording = recording(100, |_| (0, 0));
    let spec = "slos: [{name: a, objective: 99.9, indicator: {errors: {bad: failures_total, total: requests_total}}}]";
    let result = run(spec, &recording, 0, 100 * MINUTE, 600).remove(0);
    assert!(result.runs.is_empty());
    assert!(result.points.iter().all(|point| point.error_ratio.is_none() && point.budget_remaining.is_none()));
    let nothing = run(spec, &Recording::default(), 0, MINUTE, 60).remove(0);
    assert_eq!(nothing.points.iter().map(|point| point.coverage).collect::<Vec<_>>(), [Some(0.0); 2]);
}

#[test]
fn bounds_are_found_however_they_are_spelled() {
    let text = "# TYPE d histogram\n\
        d_bucket{le=\"1.0\"} 0 1740787200\nd_bucket{le=\"1.0\"} 9 1740787260\n\
        d_bucket{le=\"+Inf\"} 0 1740787200\nd_bucket{le=\"+Inf\"} 10 1740787260\n\
        d_count 0 1740787200\nd_count 10 1740787260\n# EOF\n";
    let recording = Recording::parse(text.as_bytes()).unwrap();
    let spec = r#"
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: a}
spec:
  target: "90"
  window: 4w
  indicator: {latency: {success: {metric: 'd_bucket{le="1"}'}, total: {metric: d_count}}}
"#;
    let result = run(spec, &recording, 60, 60, 60).remove(0);
    assert_eq!((result.points[0].counts.good, result.points[0].counts.total), (9.0, 10.0));
}
