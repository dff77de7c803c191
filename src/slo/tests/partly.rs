//! Windows that we saw in part only: the ticket for a whole file, in virtual time and in a backtest.

use std::time::Duration;

use super::{Tape, environment, file, labels, secs};
use crate::model::{Alert, Labels, Timestamp};
use crate::rules::{EvalContext, Evaluator};
use crate::slo::{Grid, PARTLY_MEASURED_ALERT, Recording, SloGroup, backtest_all};

const SPEC: &str = r#"
defaults: {service: shop, objective: 99.9, window: 3d, labels: {team: a}}
slos:
  - {name: requests, indicator: {errors: {bad: 'failures_total', total: requests_total}}}
  - {name: up, indicator: {availability: 'up'}, labels: {area: b}}
"#;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_000_000;

/// One target, scraped and evaluated each minute while we are up.
struct World {
    tape: Tape,
    group: SloGroup,
    now: i64,
    requests: f64,
    /// What changed: seconds since the start, severity, word.
    told: Vec<String>,
    last: Vec<Alert>,
}

impl World {
    fn new(spec: &str) -> Self {
        let group = SloGroup::new(file(spec), Duration::from_secs(60));
        World { tape: Tape::default(), group, now: START, requests: 0.0, told: Vec::new(), last: Vec::new() }
    }

    fn scrape(&mut self, is_up: bool) {
        let target = [("job", "shop"), ("instance", "a")];
        self.tape.push(&labels("up", &target), secs(self.now), f64::from(u8::from(is_up)));
        if is_up {
            self.requests += 600.0;
            self.tape.push(&labels("requests_total", &target), secs(self.now), self.requests);
        }
    }

    fn eval(&mut self) {
        let environment = environment();
        let context = EvalContext { querier: &self.tape, engine: None, environment: &environment };
        let outcome = self.group.eval(secs(self.now), &context);
        for change in outcome.transitions.iter().filter(|change| &*change.rule == PARTLY_MEASURED_ALERT) {
            let severity = change.labels.get("severity").unwrap_or("-");
            self.told.push(format!("{}: {severity} {}", (self.now - START) / MINUTE, change.change.as_str()));
        }
        for sample in outcome.recorded.iter().filter(|sample| sample.labels.metric_name() == "ALERTS_FOR_STATE") {
            if let Some(value) = sample.value.as_float().filter(|value| !value.is_nan()) {
                self.tape.push(&sample.labels, sample.at, value);
            }
        }
        if !outcome.alerts.is_empty() {
            self.last = outcome.alerts;
        }
    }

    fn run(&mut self, minutes: i64, is_up: bool) {
        self.run_every(1, minutes, is_up);
    }

    fn run_every(&mut self, step: i64, minutes: i64, is_up: bool) {
        for _ in 0..minutes / step {
            self.now += step * MINUTE;
            self.scrape(is_up);
            self.eval();
        }
    }

    /// Days of which nobody evaluates anything before the end; what was scraped counts.
    fn pass(&mut self, minutes: i64) {
        for _ in 0..minutes / 5 {
            self.now += 5 * MINUTE;
            self.scrape(true);
        }
    }

    /// Three days and a bit: all windows are full.
    fn fill(&mut self) {
        self.pass(3 * 24 * 60 + 5);
        self.run(30, true);
        assert_eq!(self.told, Vec::<String>::new());
    }

    /// A process that goes on from what one before it saved, or from nothing but the samples.
    fn restart(&mut self, spec: &str, saved: Option<Vec<u8>>) -> usize {
        self.group = SloGroup::new(file(spec), Duration::from_secs(60));
        let taken = saved.map_or(0, |saved| self.group.restore(&saved, secs(self.now)));
        let alerts = self.group.remind(secs(self.now), &self.tape, &environment());
        taken + usize::from(!alerts.is_empty()) * 100
    }

    fn of_status(&self) -> Vec<(String, Vec<String>)> {
        let tiers = |slo: &crate::slo::SloStatus| slo.partly_seen.iter().map(|seen| seen.tier.to_string()).collect();
        self.group.status().iter().map(|slo| (slo.name.to_string(), tiers(slo))).collect()
    }

    fn notice(&self) -> &Alert {
        let own = self.last.iter().find(|alert| alert.labels.get("alertname") == Some(PARTLY_MEASURED_ALERT));
        own.expect("the alert is sent")
    }
}

#[test]
fn windows_that_fill_make_one_ticket_for_the_file_until_the_last_is_full() {
    let mut world = World::new(SPEC);
    world.run(12, true);
    assert_eq!(world.told, ["11: ticket firing"], "ten minutes after the first sample, and once");
    let notice = world.notice();
    let identity = [
        ("alertname", PARTLY_MEASURED_ALERT),
        ("service", "shop"),
        ("severity", "ticket"),
        ("slo_file", "slo.yml"),
        ("team", "a"),
    ];
    assert_eq!(notice.labels, Labels::from_pairs(identity), "what both have in common");
    let text = |name: &str| notice.annotations.get(name).unwrap_or_default().to_owned();
    let day = 24 * HOUR;
    let full = |secs_later: i64| secs(START + MINUTE + secs_later).to_rfc3339();
    assert_eq!(text("summary"), "2 of 2 objectives of slo.yml are measured in part only");
    assert_eq!(text("objectives"), "requests, up");
    assert_eq!(text("until"), full(3 * day));
    let (fast, slow) = (full(HOUR), full(6 * HOUR));
    assert!(text("tiers").starts_with(&format!("page-fast at {fast}, page-slow at {slow}, ")), "{}", text("tiers"));
    assert!(text("description").contains("--slo FILE"));
    let status = world.group.status();
    let shown: Vec<_> =
        status.iter().map(|slo| slo.alerts.iter().map(|alert| alert.name).collect::<Vec<_>>()).collect();
    assert_eq!(shown, [[PARTLY_MEASURED_ALERT], [PARTLY_MEASURED_ALERT]]);

    world.run(60, true);
    assert_eq!(world.of_status()[0].1, ["page-slow", "ticket-fast", "ticket-slow"], "an hour is full");
    assert!(!world.notice().annotations.get("tiers").unwrap().contains("page-fast"));
    world.pass(3 * 24 * 60 - 80);
    world.run(20, true);
    assert_eq!(world.told, ["11: ticket firing", "4321: ticket resolved"], "three days after the first sample");
    assert!(world.group.status().iter().all(|slo| slo.alerts.is_empty()));
}

#[test]
fn a_downtime_of_ours_concerns_the_tiers_of_which_it_is_half_a_window() {
    let mut world = World::new(SPEC);
    world.fill();
    // What a deployment takes is nothing.
    world.now += 20 * MINUTE;
    world.run(90, true);
    assert!(world.told.is_empty(), "{:?}", world.told);
    // A sample covers five minutes: two hours and five are missing.
    let down = world.now;
    world.now += 2 * HOUR + 10 * MINUTE;
    world.run(100, true);
    let at = |minutes: i64| (down - START) / MINUTE + 131 + minutes;
    assert_eq!(world.told, [format!("{}: ticket firing", at(10)), format!("{}: ticket resolved", at(60))]);
    let text = world.notice().annotations.get("description").unwrap_or_default().to_owned();
    let since = secs(down + 5 * MINUTE).to_rfc3339();
    assert!(text.starts_with(&format!("No scrape was tried from {since} to ")), "{text}");
    assert!(!text.contains("--from"), "there is nothing to import: {text}");
}

#[test]
fn targets_that_are_down_or_gone_are_no_downtime_of_ours() {
    let mut world = World::new(SPEC);
    world.fill();
    world.run(3 * 60, false);
    world.run(30, true);
    for _ in 0..3 * 60 {
        world.now += MINUTE;
        world.eval();
    }
    world.run(30, true);
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn a_restart_changes_nothing() {
    let mut world = World::new(SPEC);
    world.run(90, true);
    let saved = world.group.save();
    world.run(5, true);
    world.now += 2 * MINUTE;
    assert_eq!(world.restart(SPEC, Some(saved)), 102, "the counters, and the alert is told again");
    world.run(60, true);
    assert_eq!(world.told, ["11: ticket firing"]);
    // From samples alone.
    assert_eq!(world.restart(SPEC, None), 100);
    world.pass(3 * 24 * 60 - 160);
    world.run(10, true);
    assert_eq!(world.told, ["11: ticket firing", "4321: ticket resolved"]);

    // A window that filled while we were away.
    let mut world = World::new(SPEC);
    world.run(90, true);
    assert_eq!(
        world.restart(&SPEC.replace("labels: {team: a}", "alerting: {partly_measured: {disable: true}}"), None),
        100
    );
    world.run(1, true);
    assert_eq!(world.told, ["11: ticket firing", "91: ticket resolved"], "nobody wants it any more");
}

#[test]
fn when_we_were_awake_outlives_a_restart() {
    let mut world = World::new(SPEC);
    world.fill();
    for _ in 0..2 * 60 {
        world.now += MINUTE;
        world.eval(); // no target is there
    }
    let saved = world.group.save();
    assert_eq!(world.restart(SPEC, Some(saved)) % 100, 2);
    world.run(30, true);
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn it_can_be_switched_off_and_other_tools_do_not_have_it() {
    let is_told = |spec: &str| {
        let mut world = World::new(spec);
        world.run(30, true);
        (world.told.len(), world.of_status().iter().all(|(_, tiers)| tiers.len() >= 2))
    };
    let with = |alerting: &str| SPEC.replace("labels: {team: a}", &format!("alerting: {{{alerting}}}"));
    assert_eq!(is_told(&with("labels: {a: b}")), (1, true));
    assert_eq!(is_told(&with("partly_measured: {disable: true}")), (0, true), "the state shows it all the same");
    assert_eq!(is_told(&with("ticket: {disable: true}")), (0, true), "no tickets, and never a page");
    assert_eq!(is_told(&with("ticket: {disable: true}, partly_measured: {disable: false}")), (1, true));
    let sloth = r#"
version: prometheus/v1
service: shop
slos:
  - name: requests
    objective: 99.9
    sli: {events: {error_query: 'sum(rate(failures_total[{{.window}}]))', total_query: 'sum(rate(requests_total[{{.window}}]))'}}
    alerting: {name: x}
"#;
    assert_eq!(is_told(sloth), (0, true));
}

#[test]
fn a_thousand_objectives_are_one_ticket_of_bounded_length() {
    let mut spec = String::from("defaults: {objective: 99.9, window: 3d, indicator: {availability: up}}\nslos:\n");
    (0..1000).for_each(|number| spec += &format!("  - {{name: slo-{number:03}}}\n"));
    let mut world = World::new(&spec);
    for _ in 0..12 {
        world.now += MINUTE;
        world.scrape(true);
    }
    world.eval();
    assert_eq!(world.told, ["12: ticket firing"]);
    assert_eq!(world.last.len(), 1);
    let annotations = &world.notice().annotations;
    assert_eq!(annotations.get("summary"), Some("1000 of 1000 objectives of slo.yml are measured in part only"));
    assert!(annotations.get("objectives").unwrap().ends_with("slo-009, 990 more"));
    assert!(annotations.iter().map(|text| text.value.len()).sum::<usize>() < 1500);
}

#[test]
fn the_alert_of_one_objective_has_its_name() {
    let mut world =
        World::new("slos: [{name: up, objective: 99, indicator: {availability: up}, owner: o, service: s}]");
    world.run(12, true);
    let notice = world.notice();
    assert_eq!((notice.labels.get("slo"), notice.labels.get("service")), (Some("up"), Some("s")));
    assert_eq!(notice.annotations.get("owner"), Some("o"));
    assert_eq!(notice.annotations.get("summary"), Some("up is measured in part only"));
    assert!(notice.generator_url.ends_with("/slos"));
}

#[test]
fn a_scripted_test_begins_where_it_begins() {
    let mut world = World::new(SPEC);
    world.group = SloGroup::new(file(SPEC), Duration::from_secs(60)).with_full_windows();
    world.run(20, true);
    assert!(world.told.is_empty(), "{:?}", world.told);
    world.now += 3 * HOUR;
    world.run(20, true);
    assert_eq!(world.told, ["211: ticket firing"], "what happens in it counts");
}

#[test]
fn a_backtest_finds_what_the_daemon_tells() {
    let spec = "slos: [{name: up, objective: 99, window: 3d, indicator: {availability: up}}]";
    let mut world = World::new(spec);
    world.run_every(5, 60, true);
    world.pass(3 * 24 * 60 - 60);
    world.run_every(5, 30, true);
    world.now += 2 * HOUR;
    world.run_every(5, 100, true);
    let mut text = String::from("# TYPE up gauge\n");
    for sample in &world.tape.series.iter().find(|series| series.labels.metric_name() == "up").unwrap().samples {
        text += &format!("up{{job=\"shop\",instance=\"a\"}} 1 {}\n", sample.at.as_ms() / 1000);
    }
    text += "# EOF\n";
    let recording = Recording::parse(text.as_bytes()).unwrap();
    let grid = Grid { start: secs(START), end: secs(world.now), step: Duration::from_secs(300) };
    let replayed = backtest_all(&file(spec).slos, &recording, grid).unwrap();
    let minute = |at: Timestamp| (at.as_ms() / 1000 - START) / MINUTE;
    let mut told = Vec::new();
    for partly in &replayed[0].1.partly_measured {
        assert!(!partly.reason.contains("--from"), "{partly:?}");
        told.push(format!("{}: ticket firing", minute(partly.start)));
        told.extend(partly.end.map(|end| format!("{}: ticket resolved", minute(end))));
    }
    assert_eq!(told, world.told);
    assert_eq!(told.len(), 4);
}
