//! What makes an alert of a condition, and what does not count: guard, total outages, conditions on the budget, exclusions, composites, further
//! indicators, templates. All by backtest, which steps the daemon's alerts.

use std::fmt::Write;
use std::time::Duration;

use super::file;
use crate::model::Timestamp;
use crate::slo::{Backtest, Grid, Recording, backtest_all, parse_file};
use crate::source::SourceFile;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-06-01T00:00:00Z, a Monday.
const START: i64 = 1_780_272_000;

/// What one target shows at a scrape: events since the last one, all and bad; `None`: the scrape fails.
type Seen = Option<(u32, u32)>;

/// Targets scraped every `step_secs`; `seen` tells of each target and scrape, the first of which is number 0.
fn recording(step_secs: i64, scrapes: i64, targets: usize, seen: impl Fn(usize, i64) -> Seen) -> Recording {
    let mut lines = [String::new(), String::new(), String::new(), String::new()];
    for target in 0..targets {
        let labels = format!(r#"job="shop",instance="{target}""#);
        let (mut all, mut bad) = (0, 0);
        for scrape in 0..=scrapes {
            let at = START + scrape * step_secs;
            let now = seen(target, scrape);
            let _ = writeln!(lines[2], "up{{{labels}}} {} {at}", u8::from(now.is_some()));
            let Some((all_now, bad_now)) = now else { continue };
            (all, bad) = (all + all_now, bad + bad_now);
            let _ = writeln!(lines[0], "requests_total{{{labels}}} {all} {at}");
            let _ = writeln!(lines[1], "failures_total{{{labels}}} {bad} {at}");
            let _ = writeln!(lines[3], "last_run_seconds{{{labels}}} {} {at}", at - i64::from(bad_now) * HOUR);
        }
    }
    let [all, bad, up, gauge] = lines;
    let text = format!(
        "# TYPE requests counter\n{all}# TYPE failures counter\n{bad}# TYPE up gauge\n{up}# TYPE last_run_seconds gauge\n{gauge}# EOF\n"
    );
    Recording::parse(text.as_bytes()).unwrap()
}

fn run(spec: &str, recording: &Recording, (from, to): (i64, i64), step_secs: u64) -> Vec<Backtest> {
    let at = |secs: i64| Timestamp::from_ms((START + secs) * 1000);
    let grid = Grid { start: at(from), end: at(to), step: Duration::from_secs(step_secs) };
    backtest_all(&file(spec).slos, recording, grid).unwrap().into_iter().map(|(_, result)| result).collect()
}

/// Notifications as "name tier severity start..end", in seconds since the start.
fn told(result: &Backtest) -> Vec<String> {
    let since = |at: Timestamp| at.as_ms() / 1000 - START;
    let one = |told: &crate::slo::Notified| {
        let end = told.end.map_or("".to_owned(), |end| since(end).to_string());
        format!("{} {} {} {}..{end}", told.name, told.tier.as_deref().unwrap_or("-"), told.severity, since(told.start))
    };
    result.notifications.iter().map(one).collect()
}

const REQUESTS: &str = "{errors: {bad: failures_total, total: requests_total}}";

fn spec(more: &str) -> String {
    format!("slos: [{{name: a, objective: 99.9, indicator: {REQUESTS}{more}}}]")
}

/// Ten requests an hour; those of the minutes in `bad` fail.
fn idle_service(bad: impl Fn(i64) -> bool) -> Recording {
    recording(60, 3 * 24 * 60, 1, move |_, minute| {
        let all = u32::from(minute % 6 == 0);
        Some((all, if bad(minute) { all } else { 0 }))
    })
}

#[test]
fn one_failure_of_an_idle_service_pages_nobody() {
    let recording = idle_service(|minute| minute == 2_400);
    let guarded = run(&spec(""), &recording, (0, 3 * DAY), 60).remove(0);
    assert_eq!(guarded.runs.len(), 4, "one of ten is a burn rate of 100: {:?}", guarded.runs);
    assert!(guarded.notifications.is_empty(), "{:?}", guarded.notifications);
    let (_, why) = &guarded.held_back[0];
    assert_eq!(why, "held back by the guard: 1 bad events, 5 are needed");
    let unguarded = run(&spec(", alerting: {guard: {disable: true}}"), &recording, (0, 3 * DAY), 60).remove(0);
    assert_eq!(unguarded.runs, guarded.runs, "raw conditions know no guard");
    assert_eq!(unguarded.notifications[0].severity.as_str(), "page");
}

#[test]
fn an_idle_service_that_fails_altogether_pages() {
    let recording = idle_service(|minute| minute >= 2_400);
    let result = run(&spec(""), &recording, (0, 3 * DAY), 60).remove(0);
    // The fifth failure, 24 minutes after the first one.
    assert_eq!(told(&result)[0], format!("SLOErrorBudgetBurn page-fast page {}..", 2_424 * MINUTE));
    assert!(
        result.notifications[0].reason.contains("more than 1.44% with 95% confidence"),
        "{:?}",
        result.notifications[0]
    );
}

#[test]
fn a_busy_service_pages_as_if_there_were_no_guard() {
    let minutes = 3 * 24 * 60;
    let recording = recording(60, minutes + 120, 1, |_, minute| Some((600, if minute > minutes { 600 } else { 0 })));
    let result = run(&spec(""), &recording, (3 * DAY, 3 * DAY + 2 * HOUR), 60).remove(0);
    let first = result.runs.iter().find(|run| run.tier == 0).unwrap();
    assert_eq!((result.notifications[0].start, told(&result).len()), (first.start, 1), "no ticket beside the page");
    assert!(!result.held_back.is_empty());
    assert!(result.held_back.iter().all(|(_, why)| why == "kept silent beside the page"), "{:?}", result.held_back);
}

/// Two hours of good traffic, then what `seen` says.
fn after_two_hours(targets: usize, step_secs: i64, seen: impl Fn(usize, i64) -> Seen) -> Backtest {
    let before = 2 * HOUR / step_secs;
    let recording = recording(step_secs, before + HOUR / step_secs, targets, |target, scrape| {
        if scrape <= before { Some((150, 0)) } else { seen(target, scrape - before) }
    });
    let page_fast = ", alerting: {tiers: [{name: page-fast, severity: page, short: 5m, long: 1h, factor: 14.4}]}";
    run(&spec(page_fast), &recording, (HOUR, 3 * HOUR), 15).remove(0)
}

#[test]
fn a_total_outage_pages_when_errors_would_have_plus_one_scrape() {
    let errors = after_two_hours(3, 15, |_, _| Some((150, 150)));
    let outage = after_two_hours(3, 15, |_, _| None);
    let (errors_at, outage_at) = (errors.notifications[0].start, outage.notifications[0].start);
    assert_eq!(errors_at.as_ms() / 1000 - START, 2 * HOUR + 60, "51.84 s, at the next step");
    assert!(outage_at.ms_since(errors_at) <= 15_000, "{:?}", told(&outage));
    assert_eq!(told(&outage)[0], format!("SLONotMeasured page-fast page {}..", 2 * HOUR + 60));
    // Scraped every minute, 100 % of errors are seen a minute after they begin, an outage a scrape later.
    let slow = after_two_hours(1, 60, |_, _| None);
    assert_eq!(told(&slow)[0], format!("SLONotMeasured page-fast page {}..", 2 * HOUR + 120));
}

#[test]
fn one_failed_scrape_pages_nobody() {
    for (targets, step_secs) in [(1, 60), (1, 15), (3, 15)] {
        let result =
            after_two_hours(targets, step_secs, |target, scrape| (target > 0 || scrape != 1).then_some((150, 0)));
        assert!(result.notifications.is_empty(), "{targets} targets every {step_secs} s: {:?}", told(&result));
    }
    let one_of_three = after_two_hours(3, 15, |target, _| (target > 0).then_some((150, 0)));
    assert!(one_of_three.notifications.is_empty(), "the others are measured: {:?}", told(&one_of_three));
    let availability = "slos: [{name: a, objective: 99.9, indicator: {availability: up}}]";
    let flaky = recording(60, 240, 1, |_, minute| (minute != 180).then_some((1, 0)));
    let result = run(availability, &flaky, (HOUR, 4 * HOUR), 60).remove(0);
    assert!(!result.runs.is_empty() && result.notifications.is_empty(), "{:?}", told(&result));
}

#[test]
fn conditions_on_the_budget_make_an_alert_of_their_own() {
    let budget = ", window: 1d, alerting: {tiers: [], budget: [{severity: page, spent: 100}, {severity: ticket, remaining_below: 75}, \
        {name: half, severity: ticket, spent: 50}]}";
    // 0.1 % of the day's traffic is 14.4 of 14,400; a bad one each hour.
    let recording =
        recording(60, 2 * 24 * 60, 1, |_, minute| Some((10, u32::from(minute > 1_440 && minute % 60 == 0))));
    let result = run(&spec(budget), &recording, (DAY, 2 * DAY), 60).remove(0);
    // The guard wants five: more than a quarter would be gone at the fourth.
    let expected = [
        format!("SLOErrorBudgetSpent remaining-below-75 ticket {}..", DAY + 5 * HOUR),
        format!("SLOErrorBudgetSpent spent-100 page {}..", DAY + 15 * HOUR),
    ];
    assert_eq!(told(&result), expected);
}

#[test]
fn what_is_excluded_does_not_count_and_is_shown() {
    let outage = |minute: i64| (1_500..1_560).contains(&minute);
    let recording = recording(60, 2 * 24 * 60, 1, |_, minute| Some((10, if outage(minute) { 10 } else { 0 })));
    let of = |exclusions: &str| {
        run(&format!("{}\nexclusions: {exclusions}", spec("")), &recording, (DAY, 2 * DAY), 300).remove(0)
    };
    let counted = of("[]");
    assert_eq!(counted.points.last().unwrap().counts.bad, 600.0);
    // The outage is on June 2 from 00:59 to 01:59 UTC, which is 02:59 to 03:59 in Madrid.
    for exclusion in [
        "[{reason: r, author: a, from: 2026-06-02T00:59:00Z, to: 2026-06-02T01:59:00Z}]",
        "[{reason: r, author: a, from: 2026-05-05T02:59:00, duration: 1h, time_zone: Europe/Madrid, rrule: FREQ=WEEKLY;BYDAY=TU, slos: [a]}]",
    ] {
        let excluded = of(exclusion);
        let last = excluded.points.last().unwrap();
        assert_eq!((last.counts.bad, last.counts.total), (0.0, 28_800.0 - 600.0), "{exclusion}");
        assert!(excluded.runs.is_empty() && excluded.notifications.is_empty());
    }
    let elsewhere =
        of("[{reason: r, author: a, from: 2026-06-02T00:00:00Z, to: 2026-06-02T03:00:00Z, match: {region: eu}}]");
    assert_eq!(elsewhere.points, counted.points, "it is for objectives with another label");
}

#[test]
fn composites_join_their_members() {
    let recording = recording(60, 600, 1, |_, minute| Some((10, u32::from(minute % 10 == 0))));
    let members = format!(
        "{{name: a, objective: 90, window: 5h, indicator: {REQUESTS}}}, {{name: b, objective: 90, window: 5h, indicator: {{availability: up}}}}"
    );
    let of = |joined: &str| {
        let spec = format!(
            "slos: [{members}, {{name: c, objective: 90, window: 5h, indicator: {{composite: {{members: [{{slo: a, weight: 3}}, b]{joined}}}}}}}]"
        );
        run(&spec, &recording, (8 * HOUR, 8 * HOUR), 60).remove(2).points[0]
    };
    let close = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}");
    close(of("").error_ratio, 0.75 * 0.01);
    close(of(", joined_by: worst").error_ratio, 0.01);
    assert_eq!(of("").coverage, Some(1.0));
}

#[test]
fn freshness_and_throughput_are_events_too() {
    // The job's last run was an hour ago at one scrape of ten, and now at the others.
    let recording =
        recording(60, 600, 1, |_, minute| Some((if minute < 300 { 60 } else { 1 }, u32::from(minute % 10 == 0))));
    let fresh = "slos: [{name: a, objective: 90, window: 5h, indicator: {freshness: {timestamp: last_run_seconds, max_age: 30m}}}]";
    let point = run(fresh, &recording, (9 * HOUR, 9 * HOUR), 60)[0].points[0];
    assert_eq!((point.counts.bad, point.counts.total), (30.0, 300.0));
    let busy = "slos: [{name: a, objective: 90, window: 4h, indicator: {throughput: {counter: requests_total, at_least: 0.5, slice: 5m}}}]";
    // From 03:00 to 07:00, with the traffic gone at 05:00: two hours of slices each.
    let point = run(busy, &recording, (7 * HOUR, 7 * HOUR), 60)[0].points[0];
    assert_eq!((point.counts.good, point.counts.total), (24.0, 48.0));
}

#[test]
fn templates_are_as_if_written_in_full() {
    let short = r#"
defaults: {window: 28d, owner: platform, alerting: {labels: {team: core}}}
templates:
  http:
    name: ${service}-requests
    objective: 99.9
    indicator:
      errors: {bad: 'http_requests_total{job="${job}",code=~"5.."}', total: 'http_requests_total{job="${job}"}'}
slos:
  - {template: http, service: cart, with: {job: cart-api}}
  - {template: http, service: search, objective: 99.5, with: {job: search}, alerting: {labels: {tier: two}}}
  - name: three
    service: three
    objectives: [{name: strict, objective: 99.9, window: 7d}, {name: loose, objective: 99}]
    indicator: {availability: up}
"#;
    let long = r#"
slos:
  - name: cart-requests
    service: cart
    owner: platform
    objective: 99.9
    window: 28d
    alerting: {labels: {team: core}}
    indicator: {errors: {bad: 'http_requests_total{job="cart-api",code=~"5.."}', total: 'http_requests_total{job="cart-api"}'}}
  - name: search-requests
    service: search
    owner: platform
    objective: 99.5
    window: 28d
    alerting: {labels: {team: core, tier: two}}
    indicator: {errors: {bad: 'http_requests_total{job="search",code=~"5.."}', total: 'http_requests_total{job="search"}'}}
  - {name: three-strict, service: three, owner: platform, objective: 99.9, window: 7d, alerting: {labels: {team: core}}, indicator: {availability: up}}
  - {name: three-loose, service: three, owner: platform, objective: 99, window: 28d, alerting: {labels: {team: core}}, indicator: {availability: up}}
"#;
    assert_eq!(file(short).slos, file(long).slos);
    let hundred: String = (0..100)
        .map(|service| format!("  - {{template: http, service: s{service}, with: {{job: s{service}}}}}\n"))
        .collect();
    let head = short.split("slos:").next().unwrap();
    assert_eq!(file(&format!("{head}slos:\n{hundred}")).slos.len(), 100);
}

#[test]
fn a_tier_that_cannot_fire_is_told_and_kept_where_another_tool_wrote_it() {
    let sloth = "version: prometheus/v1\nservice: s\nslos:\n  - name: a\n    objective: 90\n    sli: {events: {error_query: 'sum(rate(e[{{.window}}]))', \
        total_query: 'sum(rate(t[{{.window}}]))'}}\n    alerting: {page_alert: {}, ticket_alert: {}}\n";
    let (parsed, diagnostics) = parse_file(&SourceFile::new("slo.yml", sloth));
    assert_eq!(parsed.unwrap().slos[0].policy.tiers.len(), 4);
    assert_eq!(
        diagnostics.to_string(),
        "slo.yml:5:16: warning: the tier page-fast is kept as written, but 14.4 cannot fire below an objective of 93.06%, \
         since at 90% a burn rate is at most 10"
    );
}
