//! Indicators of arbitrary PromQL: beside counted ones over the same samples, in the dark, over restarts and reloads, and where a query fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{environment, file, labels, secs};
use crate::model::{Histogram, HistogramSpan, Labels, METRIC_NAME, Sample, Timestamp, Value};
use crate::promql::plan::Engine;
use crate::rules::{Environment, EvalContext, Evaluator, Outcome};
use crate::slo::query::HELD_ASKS_MAX;
use crate::slo::{
    Adjusted, Grid, Indicator, Recording, SloFile, SloGroup, SloStatus, State, Window, WindowFigures, backtest,
    parse_file,
};
use crate::source::SourceFile;
use crate::store::{Row, Store, StoreOptions};

const SCRAPE_SECS: i64 = 30;
const HOUR: i64 = 3600;

/// Counted and asked, over the same counters.
const BOTH: &str = r#"
slos:
  - name: counted
    objective: 99
    window: 3h
    group_by: [zone]
    indicator: {errors: {bad: 'bad_total', total: all_total}}
    alerting: {guard: {disable: true}}
  - name: asked
    objective: 99
    window: 3h
    group_by: [zone]
    indicator:
      events: {bad: 'sum by (zone) (increase(bad_total[$window]))', total: 'sum by (zone) (increase(all_total[{{.window}}]))'}
"#;

/// A store with prepared plans, a group of objectives, targets in two zones, and what was sent.
struct World {
    store: Arc<Store>,
    engine: Engine,
    environment: Environment,
    group: SloGroup,
    now: i64,
    counters: [[f64; 2]; 2],
    last: Outcome,
    is_resolved: BTreeMap<Labels, bool>,
}

/// Bad and all events that come between two scrapes; `None`: the target is gone.
type Zone = Option<(f64, f64)>;
const FINE: Zone = Some((0.0, 30.0));
const DOWN: Zone = Some((30.0, 30.0));

impl World {
    fn new(file: SloFile) -> Self {
        let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
        World {
            engine: Engine::new(store.clone()),
            store,
            environment: environment(),
            group: SloGroup::new(file, Duration::from_secs(SCRAPE_SECS as u64)),
            now: 1_000_000_000 / SCRAPE_SECS * SCRAPE_SECS,
            counters: [[0.0; 2]; 2],
            last: Outcome::default(),
            is_resolved: BTreeMap::new(),
        }
    }

    fn push(&self, series: &Labels, value: f64) {
        self.store.commit(&[Row::new(self.store.series_ref(series), secs(self.now), value)]);
    }

    fn scrape(&mut self, zones: [Zone; 2]) {
        for (index, zone) in zones.into_iter().enumerate() {
            let name = ["a", "b"][index];
            let target = [("job", "shop"), ("instance", name)];
            let Some((bad, all)) = zone else { continue };
            self.push(&labels("up", &target), 1.0);
            for (place, (metric, events)) in [("bad_total", bad), ("all_total", all)].into_iter().enumerate() {
                self.counters[index][place] += events;
                let pairs: Vec<_> = target.into_iter().chain([("zone", name)]).collect();
                self.push(&labels(metric, &pairs), self.counters[index][place]);
            }
        }
    }

    /// Evaluates, stores what was recorded, and gives what changed.
    fn eval(&mut self) -> Vec<String> {
        let context = EvalContext { querier: &*self.store, engine: Some(&self.engine), environment: &self.environment };
        self.last = self.group.eval(secs(self.now), &context);
        let recorded = self.last.recorded.iter();
        let rows: Vec<Row> =
            recorded.map(|one| Row::new(self.store.series_ref(&one.labels), one.at, one.value.clone())).collect();
        self.store.commit(&rows);
        let mut changed = Vec::new();
        for alert in &self.last.alerts {
            let is_resolved = alert.is_resolved_at(secs(self.now));
            if self.is_resolved.insert(alert.labels.clone(), is_resolved) != Some(is_resolved) {
                let label = |name| alert.labels.get(name).unwrap_or("-");
                let word = if is_resolved { "resolved" } else { "firing" };
                changed.push(format!("{} {} {} {word}", label("slo"), label("alertname"), label("severity")));
            }
        }
        changed
    }

    /// Runs for a while; gives what changed in the run, as "seconds into it: alert".
    fn run(&mut self, duration_secs: i64, zones: [Zone; 2]) -> Vec<String> {
        let begin = self.now;
        let mut sent = Vec::new();
        while self.now < begin + duration_secs {
            self.now += SCRAPE_SECS;
            self.scrape(zones);
            let since = self.now - begin;
            sent.extend(self.eval().into_iter().map(|text| format!("{since}: {text}")));
        }
        sent
    }

    fn restart(&mut self, file: SloFile) {
        self.group = SloGroup::new(file, Duration::from_secs(SCRAPE_SECS as u64));
    }

    fn status(&self, name: &str, zone: &str) -> SloStatus {
        let is_wanted =
            |status: &SloStatus| &*status.name == name && status.group.get("zone").unwrap_or_default() == zone;
        self.group.status().into_iter().find(is_wanted).unwrap_or_else(|| panic!("no {name} {zone}"))
    }

    fn recorded(&self, slo: &str) -> Vec<String> {
        let own = self.last.recorded.iter().filter(|one| one.labels.get("slo") == Some(slo) && !one.value.is_stale());
        let mut names: Vec<String> = own.filter_map(|one| one.labels.get(METRIC_NAME)).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// An objective asked over one zone.
fn asked(indicator: &str) -> SloFile {
    file(&format!("slos: [{{name: a, objective: 99, window: 3h, indicator: {{{indicator}}}}}]"))
}

const EVENTS: &str = "events: {bad: 'sum(rate(bad_total[$window]))', total: 'sum(rate(all_total[$window]))'}";

/// Counters that neither reset nor are born late: what a query estimates is at most the events of one scrape interval away.
#[test]
fn what_is_asked_is_what_is_counted_within_a_scrape_interval() {
    let mut world = World::new(file(BOTH));
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut compared = 0;
    for step in 0..4 * HOUR / SCRAPE_SECS {
        let mut zone = || Some((next(30) as f64 * f64::from(u8::from(next(4) == 0)), 30.0));
        world.run(SCRAPE_SECS, [zone(), zone()]);
        if step % 11 != 0 || step < 370 {
            continue;
        }
        for zone in ["a", "b"] {
            let (counted, asked) = (world.status("counted", zone).figures, world.status("asked", zone).figures);
            let pairs = counted.windows.iter().zip(&asked.windows).chain([(&counted.whole, &asked.whole)]);
            for (counted, asked) in pairs.filter(|(counted, _)| counted.window <= Duration::from_secs(3 * 3600)) {
                assert_eq!(counted.window, asked.window);
                let intervals = (counted.window.as_secs() as f64 / SCRAPE_SECS as f64).min(step as f64);
                let bound = 1.0 / (intervals - 1.0);
                let off = (counted.error_ratio.unwrap() - asked.error_ratio.unwrap()).abs();
                assert!(off <= bound + 1e-12, "{:?}: off by {off}, {bound} allowed", counted.window);
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared}");
    let of = |name| world.status(name, "a");
    assert_eq!((of("counted").is_event_exact, of("asked").is_event_exact), (true, false));
    let counted = world.recorded("counted");
    let asked = world.recorded("asked");
    let absent: Vec<&String> = counted.iter().filter(|name| !asked.contains(name)).collect();
    assert_eq!(
        absent,
        [
            "almenara_slo_bad_events_total",
            "almenara_slo_coverage_ratio",
            "almenara_slo_error_budget_exhaustion_timestamp_seconds",
            "almenara_slo_events_total"
        ]
    );
    let figures = of("asked").figures;
    assert_eq!((figures.forecast, figures.whole.coverage_ratio), (None, None));
    assert!(of("asked").trend.is_empty());
}

#[test]
fn an_outage_is_told_as_that_of_counters() {
    let mut world = World::new(file(BOTH));
    world.run(3 * HOUR, [FINE, FINE]);
    let sent = world.run(600, [DOWN, FINE]);
    let of = |slo: &str, sent: &[String]| -> Vec<(i64, String)> {
        let parts = sent.iter().filter_map(|line| line.split_once(": "));
        let own = parts.filter_map(|(at, text)| Some((at.parse().unwrap(), text.strip_prefix(slo)?.to_owned())));
        own.collect()
    };
    let (counted, asked) = (of("counted", &sent), of("asked", &sent));
    assert!(!asked.is_empty() && counted.len() == asked.len(), "{sent:?}");
    for (counted, asked) in counted.iter().zip(&asked) {
        assert_eq!(counted.1, asked.1);
        assert!((counted.0 - asked.0).abs() <= SCRAPE_SECS, "{sent:?}");
    }
    let alert = world.status("asked", "a").alerts.remove(0);
    let marked = alert.annotations.get("exactness");
    assert_eq!(marked, Some("not event-exact: evaluated as a query over each window"));
    assert_eq!((alert.labels.get("zone"), alert.labels.get("alertname")), (Some("a"), Some("SLOErrorBudgetBurn")));
    let sent = world.run(2 * HOUR, [FINE, FINE]);
    let (counted, asked) = (of("counted", &sent), of("asked", &sent));
    assert_eq!(counted.len(), asked.len(), "{sent:?}");
}

#[test]
fn what_cannot_be_seen_is_held_and_told() {
    let mut world = World::new(asked(EVENTS));
    world.run(3 * HOUR, [FINE, None]);
    let sent = world.run(300, [DOWN, None]);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let sent = world.run(2 * HOUR, [None, None]);
    assert_eq!(sent.len(), 1, "nothing is resolved: {sent:?}");
    assert!(sent[0].ends_with("a SLONotMeasured page firing"), "{sent:?}");
    let status = world.status("a", "");
    assert_eq!(status.figures.state, State::Breached, "what was measured is a breach");
    let held = status.alerts.iter().find(|alert| alert.name == "SLOErrorBudgetBurn").unwrap();
    assert!(held.annotations.get("held").unwrap().starts_with("the query has given nothing since"), "{held:?}");
    let blind = status.alerts.iter().find(|alert| alert.name == "SLONotMeasured").unwrap();
    let description = blind.annotations.get("description").unwrap();
    assert!(description.starts_with("The query of this objective has given nothing over 5m since"), "{description}");
    let sent = world.run(600, [FINE, None]);
    let resolved: Vec<&str> = sent.iter().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(resolved, ["a SLOErrorBudgetBurn page resolved", "a SLONotMeasured page resolved"], "{sent:?}");
}

#[test]
fn nothing_at_all_is_not_measured() {
    let mut world = World::new(asked(EVENTS));
    let sent = world.run(2 * HOUR, [None, None]);
    assert_eq!(sent, ["3630: a SLONotMeasured ticket firing"]);
    assert_eq!(world.status("a", "").figures.state, State::NotMeasured);
    // The same process anew: what was told has not ended by that.
    world.restart(asked(EVENTS));
    assert!(world.run(300, [None, None]).is_empty());
    assert_eq!(world.run(90, [FINE, None]), ["60: a SLONotMeasured ticket resolved"]);
}

/// Tiers that must hold for a while, as those of Pyrra and OpenSLO.
fn holding(mut file: SloFile, hold_secs: u64) -> SloFile {
    let tiers = &mut file.slos[0].policy.tiers;
    tiers.truncate(1);
    tiers[0].hold = Duration::from_secs(hold_secs);
    file
}

#[test]
fn a_restart_neither_resolves_nor_begins_anew() {
    let of = || holding(asked(EVENTS), 600);
    let mut world = World::new(of());
    world.run(3 * HOUR, [FINE, None]);
    let waited = world.run(480, [DOWN, None]);
    assert!(waited.is_empty(), "{waited:?}");
    world.restart(of());
    let sent = world.run(600, [DOWN, None]);
    let mut undisturbed = World::new(of());
    undisturbed.run(3 * HOUR, [FINE, None]);
    undisturbed.run(480, [DOWN, None]);
    assert_eq!(sent, undisturbed.run(600, [DOWN, None]), "the time before the restart counts");
    assert_eq!(sent.len(), 1);
    let active_at = world.status("a", "").alerts[0].active_at;
    for zones in [[DOWN, None], [None, None]] {
        world.restart(of());
        let told = world.group.remind(secs(world.now), &*world.store, &world.environment);
        assert_eq!(told.len(), 1, "what fired is told first");
        let sent = world.run(900, zones);
        assert!(!sent.iter().any(|line| line.contains("Burn")), "{sent:?}");
        let status = world.status("a", "");
        let burn = status.alerts.iter().find(|alert| alert.name == "SLOErrorBudgetBurn").unwrap();
        assert_eq!(burn.active_at, active_at);
    }
    // All samples are gone, of the alert's group nothing is known but the alert.
    world.restart(of());
    world.store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    world.engine = Engine::new(world.store.clone());
    world.eval();
    assert!(world.last.failures.is_empty());
}

#[test]
fn a_group_whose_samples_are_lost_is_held_by_its_alert() {
    let spec = BOTH.replace("window: 3h", "window: 1h");
    let mut world = World::new(file(&spec));
    world.run(HOUR, [FINE, FINE]);
    world.run(300, [DOWN, FINE]);
    assert!(world.status("asked", "a").alerts.iter().any(|alert| alert.name == "SLOErrorBudgetBurn"));
    // The store begins anew with what was recorded of alerts alone.
    let kept: Vec<(Labels, Sample)> = {
        let tests = [crate::model::Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE")];
        let all = world.store.select(&tests, Timestamp::MIN, Timestamp::MAX);
        all.into_iter()
            .flat_map(|series| series.samples.clone().into_iter().map(move |one| (series.labels.clone(), one)))
            .collect()
    };
    world.store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    world.engine = Engine::new(world.store.clone());
    for (series, sample) in kept {
        world.store.commit(&[Row::new(world.store.series_ref(&series), sample.at, sample.value)]);
    }
    world.restart(file(&spec));
    world.is_resolved.clear();
    let sent = world.run(300, [None, None]);
    assert!(!sent.iter().any(|line| line.contains("asked") && line.ends_with("resolved")), "{sent:?}");
    assert_eq!(world.status("asked", "a").figures.state, State::NotMeasured);
}

#[test]
fn a_new_process_asks_only_so_often() {
    let mut of_days = asked(EVENTS);
    of_days.slos[0].policy.tiers[0].hold = Duration::from_secs(3 * 86_400);
    let mut world = World::new(of_days);
    world.run(SCRAPE_SECS, [FINE, None]);
    let mut answers = crate::slo::query::Answers::of(&world.group.slos().next().unwrap().clone()).unwrap();
    let context = EvalContext { querier: &*world.store, engine: Some(&world.engine), environment: &world.environment };
    answers.look(secs(world.now), Duration::from_secs(15), &context).unwrap();
    assert_eq!(answers.instants().len(), HELD_ASKS_MAX as usize + 1);
    assert_eq!(answers.instants()[0], secs(world.now - 3 * 86_400));
    answers.look(secs(world.now + 15), Duration::from_secs(15), &context).unwrap();
    assert_eq!(answers.instants(), [secs(world.now + 15)]);
}

#[test]
fn a_reload_with_other_tiers_keeps_what_is_known() {
    let mut world = World::new(asked(EVENTS));
    world.run(HOUR, [FINE, None]);
    world.run(300, [DOWN, None]);
    let before = world.status("a", "");
    assert_eq!(before.alerts.len(), 1);
    let mut new = SloGroup::new(holding(asked(EVENTS), 0), Duration::from_secs(SCRAPE_SECS as u64));
    new.adopt_state(std::mem::replace(&mut world.group, SloGroup::new(file("slos: []"), Duration::from_secs(30))));
    world.group = new;
    let sent = world.run(HOUR, [None, None]);
    assert!(!sent.iter().any(|line| line.contains("Burn")), "{sent:?}");
    let after = world.status("a", "");
    let end = before.figures.at.as_ms() + 300_000;
    assert!(after.figures.last_measured.is_some_and(|last| last.as_ms() <= end), "{:?}", after.figures.last_measured);
    assert_eq!(after.alerts[0].active_at, before.alerts[0].active_at);
}

#[test]
fn a_query_that_fails_leaves_all_as_it_is() {
    // One series in the first hour, then a second in the same group.
    let mut world = World::new(asked("ratio: '1 - avg_over_time(good[$window])'"));
    let series = |pod: &str| labels("good", &[("pod", pod)]);
    for step in 0..130 {
        world.now += SCRAPE_SECS;
        world.push(&series("x"), if step < 100 { 1.0 } else { 0.0 });
        world.eval();
    }
    let before = world.status("a", "");
    assert_eq!(before.alerts.len(), 1, "{:?}", before.figures);
    let recorded = world.last.recorded.len();
    for _ in 0..10 {
        world.now += SCRAPE_SECS;
        world.push(&series("x"), 1.0);
        world.push(&series("y"), 1.0);
        let changed = world.eval();
        assert!(changed.is_empty(), "{changed:?}");
        let (name, why) = &world.last.failures[0];
        assert_eq!(name, "a");
        let expected = "over 5m: two ratios for the group {}: {pod=\"x\"} and {pod=\"y\"}; aggregate them in the query, \
                        or add what tells them apart to group_by";
        assert_eq!(why, expected);
        assert!(world.last.recorded.iter().all(|one| !one.value.is_stale()));
    }
    assert_eq!(world.status("a", ""), before);
    assert!(recorded > world.last.recorded.len(), "its series are not recorded anew, nor ended");
}

#[test]
fn numbers_that_are_none_and_series_that_are_not_there() {
    let of = |indicator: &str, values: &[(&str, f64)]| -> WindowFigures {
        let mut world = World::new(asked(indicator));
        for _ in 0..2 {
            world.now += SCRAPE_SECS;
            values.iter().for_each(|(name, value)| world.push(&labels(name, &[]), *value));
        }
        world.eval();
        assert!(world.last.failures.is_empty(), "{:?}", world.last.failures);
        world.status("a", "").figures.windows[0]
    };
    let ratio = "ratio: 'max_over_time(a[$window])'";
    let events = "events: {bad: 'sum(max_over_time(a[$window]))', total: 'sum(max_over_time(b[$window]))'}";
    let good = "events: {good: 'sum(max_over_time(a[$window]))', total: 'sum(max_over_time(b[$window]))'}";
    for (indicator, values, expected) in [
        (ratio, &[("a", 0.25)][..], (Some(0.25), false)),
        (ratio, &[("a", f64::NAN)], (None, false)),
        (ratio, &[], (None, true)),
        (ratio, &[("a", -0.1)], (Some(0.0), false)),
        (ratio, &[("a", f64::INFINITY)], (Some(1.0), false)),
        (events, &[("a", 1.0), ("b", 4.0)], (Some(0.25), false)),
        (events, &[("b", 4.0)], (Some(0.0), false)),
        (events, &[("a", 1.0)], (None, true)),
        (events, &[("a", 1.0), ("b", 0.0)], (None, false)),
        (events, &[("a", 1.0), ("b", f64::NAN)], (None, false)),
        (events, &[("a", 5.0), ("b", 4.0)], (Some(1.0), false)),
        (good, &[("a", 1.0), ("b", 4.0)], (Some(0.75), false)),
        (good, &[("b", 4.0)], (Some(1.0), false)),
        ("ratio: 'scalar(max_over_time(a[$window]))'", &[("a", 0.5)], (Some(0.5), false)),
    ] {
        let found = of(indicator, values);
        assert_eq!((found.error_ratio, found.is_blind), expected, "{indicator} {values:?}");
    }
}

#[test]
fn answers_that_are_no_share_are_counted() {
    let ratio = "ratio: 'max_over_time(a[$window])'";
    let events = "events: {bad: 'sum(max_over_time(a[$window]))', total: 'sum(max_over_time(b[$window]))'}";
    for (indicator, values, [above, below, not_a_number]) in [
        (ratio, &[("a", 0.25)][..], [0, 0, 0]),
        (ratio, &[("a", 1.5)], [1, 0, 0]),
        (ratio, &[("a", -0.1)], [0, 1, 0]),
        (ratio, &[("a", f64::NAN)], [0, 0, 1]),
        (events, &[("a", 1.0), ("b", 0.0)], [1, 0, 0]),
        (events, &[("a", 5.0), ("b", 4.0)], [1, 0, 0]),
        (events, &[("a", 1.0), ("b", f64::NAN)], [0, 0, 1]),
        (events, &[("b", 4.0)], [0, 0, 0]),
    ] {
        let mut world = World::new(asked(indicator));
        for _ in 0..2 {
            world.now += SCRAPE_SECS;
            values.iter().for_each(|(name, value)| world.push(&labels(name, &[]), *value));
            world.eval();
        }
        let status = world.status("a", "");
        let windows = status.figures.windows.len() as u64 + 1;
        let each = |count: u64| 2 * windows * count;
        let expected = Adjusted { above: each(above), below: each(below), not_a_number: each(not_a_number) };
        assert_eq!(status.sizes.adjusted, expected, "each window at each of two slots: {indicator} {values:?}");
        let old = std::mem::replace(&mut world.group, SloGroup::new(asked(indicator), Duration::from_secs(30)));
        world.group.adopt_state(old);
        let kept = world.group.sizes().next().map(|(_, sizes)| sizes.adjusted);
        assert_eq!(kept, Some(expected), "a reload keeps the count");
    }
}

#[test]
fn a_calendar_is_asked_as_long_as_it_is_by_now() {
    let mut file = asked("ratio: 'sum(increase(bad_total[$window])) / sum(increase(all_total[$window]))'");
    file.slos[0].window = Window::Calendar(crate::slo::Calendar::of(crate::slo::Unit::Day, jiff::tz::TimeZone::UTC));
    file.slos[0].policy.tiers.clear();
    let mut world = World::new(file);
    world.now = 1_000_080_000 - HOUR; // an hour before midnight
    assert_eq!((world.now + HOUR) % 86_400, 0);
    world.run(HOUR, [DOWN, None]);
    let before = world.status("a", "").figures.whole;
    assert_eq!((before.window, before.error_ratio), (Duration::from_secs(86_400), Some(1.0)), "midnight ends the day");
    world.run(600, [FINE, None]);
    let after = world.status("a", "").figures.whole;
    assert_eq!((after.window, after.error_ratio), (Duration::from_secs(600), Some(0.0)));
    let hour = world.status("a", "").figures.window(Duration::from_secs(3600)).and_then(|window| window.error_ratio);
    assert!(hour > Some(0.5), "{hour:?}");
}

#[test]
fn a_backtest_gives_what_the_daemon_showed() {
    let spec = BOTH.replace("window: 3h", "window: 1h");
    let mut world = World::new(file(&spec));
    let start = world.now + SCRAPE_SECS;
    let mut shown = Vec::new();
    for minute in 0..150 {
        let zones = [if (80..90).contains(&minute) { DOWN } else { FINE }, FINE];
        world.run(60, zones);
        shown.push(world.status("asked", "a").figures.whole.error_ratio);
    }
    let mut lines = BTreeMap::<String, String>::new();
    for name in ["up", "bad_total", "all_total"] {
        let found =
            world.store.select(&[crate::model::Matcher::equal(METRIC_NAME, name)], Timestamp::MIN, Timestamp::MAX);
        for series in found {
            for sample in &series.samples {
                let value = sample.value.as_float().unwrap();
                let line = format!("{} {value} {}\n", series.labels, sample.at.as_ms() / 1000);
                let name = series.labels.get(METRIC_NAME).unwrap();
                let line = line.replacen(&format!("{{__name__=\"{name}\", "), &format!("{name}{{"), 1);
                lines.entry(name.to_owned()).or_default().push_str(&line);
            }
        }
    }
    let text = format!(
        "# TYPE all counter\n{}# TYPE bad counter\n{}# TYPE up gauge\n{}# EOF\n",
        lines["all_total"], lines["bad_total"], lines["up"]
    );
    let recording = Recording::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {}", &text[..200]));
    let grid = Grid { start: secs(start + SCRAPE_SECS), end: secs(world.now), step: Duration::from_secs(60) };
    let slos = file(&spec).slos;
    let replayed = backtest(&slos[1], &recording, grid).unwrap();
    assert_eq!(replayed.len(), 2);
    let ratios: Vec<Option<f64>> = replayed[0].points.iter().map(|point| point.error_ratio).collect();
    assert_eq!(ratios, shown);
    assert!(replayed[0].points.iter().all(|point| point.coverage.is_none()));
    let pages: Vec<_> = replayed[0].notifications.iter().map(|told| told.severity).collect();
    assert_eq!(pages.len(), 1, "{:?}", replayed[0].notifications);
    let fired: Vec<i64> = replayed[0].runs.iter().map(|run| (run.start.as_ms() / 1000 - start) / 60).collect();
    assert!(fired.iter().all(|minute| (80..90).contains(minute)) && !fired.is_empty(), "{fired:?}");

    let broken = asked("ratio: 'all_total / on (job) bad_total + 0 * max_over_time(all_total[$window])'");
    let error = backtest(&broken.slos[0], &recording, grid).unwrap_err();
    assert!(error.starts_with("a at 2001-09-09T"), "{error}");
}

/// The queries of the first objective of a file, which may warn.
fn queries_of(text: &str) -> Vec<(&'static str, String)> {
    match &file(text).slos[0].indicator {
        Indicator::Queried(queried) => {
            queried.queries().into_iter().map(|(key, query)| (key, query.text().to_owned())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn sloth(sli: &str) -> String {
    format!(
        "version: prometheus/v1\nservice: shop\nslos:\n- {{name: a, objective: 99, sli: {{{sli}}}, alerting: {{}}}}\n"
    )
}

fn openslo(ratio_metric: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: a}}\nspec:\n  service: shop\n  budgetingMethod: Occurrences\n  \
         objectives: [{{target: 0.99}}]\n  indicator: {{metadata: {{name: i}}, spec: {{ratioMetric: {{{ratio_metric}}}}}}}\n"
    )
}

#[test]
fn other_tools_ask_what_they_cannot_count() {
    let of = |query: &str| format!("{{metricSource: {{type: Prometheus, spec: {{query: '{query}'}}}}}}");
    let events = "events: {error_query: 'max by (zone) (rate(e[{{.window}}]))', total_query: 'sum by (zone) (rate(t[{{.window}}]))'}";
    let text = sloth(events);
    let bad = ("bad", "max by (zone) (rate(e[{{.window}}]))".to_owned());
    assert_eq!(queries_of(&text), [bad, ("total", "sum by (zone) (rate(t[{{.window}}]))".to_owned())]);
    let slo = &file(&text).slos[0];
    assert_eq!((slo.group_by.join(","), slo.policy.guard), ("zone".to_owned(), None));

    let recorded = openslo(&format!("raw: {}, rawType: success", of("job:success:ratio")));
    let mean =
        |query: &str| format!("avg_over_time((({query}) >= -Inf)[$window:1m]) or avg_over_time(({query})[$window:1m])");
    assert_eq!(queries_of(&recorded), [("ratio", format!("1 - (\n{}\n)", mean("job:success:ratio")))]);
    let of_rates = openslo(&format!("raw: {}, rawType: failure", of("sum by (zone) (a) / sum by (zone) (b)")));
    assert_eq!(queries_of(&of_rates), [("ratio", mean("sum by (zone) (a) / sum by (zone) (b)"))]);
    assert_eq!(file(&of_rates).slos[0].group_by.join(","), "zone");
    let with_window = openslo(&format!("raw: {}, rawType: failure", of("avg(avg_over_time(bad[{{.window}}]))")));
    assert_eq!(queries_of(&with_window), [("ratio", "avg(avg_over_time(bad[{{.window}}]))".to_owned())]);
    let gauges = openslo(&format!("good: {}, total: {}", of("good_now"), of("sum(all_now)")));
    assert_eq!(queries_of(&gauges), [("good", mean("good_now")), ("total", mean("sum(all_now)"))]);

    // What is made of counters is counted.
    for counted in [
        sloth("raw: {error_ratio_query: '1 - sum(rate(good[{{.window}}])) / sum(rate(all[{{.window}}]))'}"),
        openslo(&format!("counter: true, bad: {}, total: {}", of("bad"), of("all"))),
        openslo(&format!("bad: {}, total: {}", of("sum(rate(bad[5m]))"), of("sum(rate(all[5m]))"))),
    ] {
        let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", counted.as_str()));
        assert!(diagnostics.is_empty(), "{diagnostics}");
        assert!(matches!(file.unwrap().slos[0].indicator, Indicator::Errors { .. }), "{counted}");
    }
}

/// A mean of what is recorded, with an hour without events in which the ratio is no number.
#[test]
fn the_mean_of_a_raw_ratio_passes_over_what_is_no_number() {
    let query = "{metricSource: {spec: {query: 'bad_now / all_now'}}}";
    let mut world = World::new(file(&openslo(&format!("raw: {query}, rawType: failure"))));
    for minute in 0..60 {
        world.now += 60;
        let (bad, all) = if minute < 30 { (1.0, 4.0) } else { (0.0, 0.0) };
        world.push(&labels("bad_now", &[]), bad);
        world.push(&labels("all_now", &[]), all);
    }
    world.eval();
    assert!(world.last.failures.is_empty(), "{:?}", world.last.failures);
    let figures = world.status("a", "").figures;
    assert_eq!(figures.window(Duration::from_secs(7200)).unwrap().error_ratio, Some(0.25));
    let short = figures.windows[0];
    assert_eq!(
        (short.error_ratio, short.is_blind, figures.state),
        (None, false, State::Breached),
        "idle is not unknown"
    );
}

#[test]
fn a_native_histogram_of_pyrra_is_asked() {
    let text = "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: {name: a}\nspec:\n  target: '99'\n  window: 4w\n  \
                indicator: {latencyNative: {latency: 300ms, total: {metric: 'd{job=\"shop\"}'}, grouping: [zone]}}\n";
    let expected = "1 - histogram_fraction(0, 0.3, sum by (zone) (rate(d{job=\"shop\"}[$window])))";
    assert_eq!(queries_of(text), [("ratio", expected.to_owned())]);
    let mut world = World::new(file(text));
    let series = labels("d", &[("job", "shop"), ("zone", "a")]);
    for minute in 0..30 {
        world.now += 60;
        let (good, slow) = (f64::from(3 * minute), f64::from(minute));
        let buckets = Histogram {
            schema: -53,
            custom_values: vec![0.3],
            positive_spans: vec![HistogramSpan { offset: 0, length: 2 }],
            positive_buckets: vec![good, slow],
            count: good + slow,
            sum: good,
            ..Histogram::default()
        };
        world.store.commit(&[Row::new(
            world.store.series_ref(&series),
            secs(world.now),
            Value::Histogram(Arc::new(buckets)),
        )]);
    }
    world.eval();
    assert!(world.last.failures.is_empty(), "{:?}", world.last.failures);
    let ratio = world.status("a", "a").figures.windows[0].error_ratio.unwrap();
    assert!((ratio - 0.25).abs() < 1e-12, "{ratio}");
}

/// That a query failed at some instant before a restart must not keep its objective unread for as long as a tier holds.
#[test]
fn a_failure_of_long_ago_is_passed_over() {
    let of = || holding(asked("ratio: 'max_over_time(bad[$window])'"), 1800);
    let mut world = World::new(of());
    for minute in 0..60 {
        world.now += 60;
        world.push(&labels("bad", &[("pod", "x")]), 1.0);
        if minute == 40 {
            world.push(&labels("bad", &[("pod", "y")]), 1.0);
        }
    }
    world.eval();
    assert_eq!(world.last.failures.len(), 1, "two pods within the hour");
    world.group =
        SloGroup::new(holding(asked("ratio: 'bad + 0 * max_over_time(bad[$window])'"), 1800), Duration::from_secs(60));
    assert_eq!(world.eval(), ["a SLOErrorBudgetBurn page firing"], "minutes 40 to 45 are not known, all others burn");
    assert!(world.last.failures.is_empty(), "{:?}", world.last.failures);
}
