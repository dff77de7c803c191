//! Outages, blindness and recovery as an operator lives them, in virtual time: scrapes and evaluations every 15 s.

use std::time::Duration;

use super::{Broken, Tape, environment, file, labels, secs};
use crate::model::{Labels, Value};
use crate::rules::{Environment, EvalContext, Evaluator, Outcome};
use crate::slo::{SloGroup, SloStatus, State};

const SPEC: &str = r#"
slos:
  - name: requests
    service: shop
    objective: 99.9
    window: 30d
    group_by: [zone]
    runbook: https://example.org/r
    indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}
"#;

/// A small world: two zones with one target each, a group of objectives, and what was sent.
struct World {
    tape: Tape,
    group: SloGroup,
    environment: Environment,
    now: i64,
    step: i64,
    scraped_at: i64,
    counters: [[f64; 2]; 2],
    /// Alerts sent: seconds, name, severity, zone, whether resolved.
    sent: Vec<(i64, String)>,
    last: Outcome,
    is_resolved: std::collections::BTreeMap<Labels, bool>,
}

/// What a zone does: share of bad requests, requests a second; `None`: its scrape fails.
type Zone = Option<(f64, f64)>;
const FINE: Zone = Some((0.0, 10.0));

impl World {
    fn new(spec: &str) -> Self {
        World {
            tape: Tape::default(),
            group: SloGroup::new(file(spec), Duration::from_secs(15)),
            environment: environment(),
            now: 1_000_000,
            step: 15,
            scraped_at: 1_000_000,
            counters: [[0.0; 2]; 2],
            sent: Vec::new(),
            last: Outcome::default(),
            is_resolved: std::collections::BTreeMap::new(),
        }
    }

    fn scrape(&mut self, zones: [Zone; 2]) {
        for (index, zone) in zones.into_iter().enumerate() {
            let name = ["a", "b"][index];
            let target = [("job", "shop"), ("instance", name)];
            let up = labels("up", &target);
            let Some((bad, rate)) = zone else {
                self.tape.push(&up, secs(self.now), 0.0);
                continue;
            };
            self.tape.push(&up, secs(self.now), 1.0);
            let events = rate * (self.now - self.scraped_at) as f64;
            self.counters[index][0] += events * (1.0 - bad);
            self.counters[index][1] += events * bad;
            for (code, value) in ["200", "500"].iter().zip(self.counters[index]) {
                let pairs: Vec<_> = target.into_iter().chain([("zone", name), ("code", code)]).collect();
                self.tape.push(&labels("requests_total", &pairs), secs(self.now), value);
            }
        }
        self.scraped_at = self.now;
    }

    /// Three fine days that are already stored when the first slot comes, so that every tier's window is full.
    fn after_three_days(spec: &str) -> Self {
        let mut world = World::new(spec);
        for _ in 0..=3 * 24 * 60 {
            world.now += 60;
            world.scrape([FINE, FINE]);
        }
        world
    }

    fn eval(&mut self) {
        let context = EvalContext { querier: &self.tape, engine: None, environment: &self.environment };
        self.last = self.group.eval(secs(self.now), &context);
        let mut changed = Vec::new();
        for alert in &self.last.alerts {
            let is_resolved = alert.is_resolved_at(secs(self.now));
            if self.is_resolved.insert(alert.labels.clone(), is_resolved) != Some(is_resolved) {
                let label = |name| alert.labels.get(name).unwrap_or("-");
                let word = if is_resolved { "resolved" } else { "firing" };
                let text = format!("{} {} {} {word}", label("alertname"), label("severity"), label("zone"));
                self.sent.push((self.now, text));
                changed.push((alert.labels.clone(), alert.annotations.clone(), word));
            }
        }
        // What begins and ends is told at once, and the history knows it.
        let noted = self.last.transitions.iter();
        let noted: Vec<_> =
            noted.map(|one| (one.labels.clone(), one.annotations.clone(), one.change.as_str())).collect();
        assert_eq!(noted, changed, "at {}", self.now);
    }

    /// Runs for a while; returns what changed, as "seconds into the run: alert".
    fn run(&mut self, duration_secs: i64, zones: [Zone; 2]) -> Vec<String> {
        let (begin, sent) = (self.now, self.sent.len());
        while self.now < begin + duration_secs {
            self.now += self.step;
            self.scrape(zones);
            self.eval();
        }
        self.sent[sent..].iter().map(|(at, text)| format!("{}: {text}", at - begin)).collect()
    }

    fn state(&self, zone: &str) -> State {
        let status = self.group.status();
        status.iter().find(|status| status.group.get("zone") == Some(zone)).expect("a group").figures.state
    }

    fn recorded(&self, series: &str) -> Option<f64> {
        let found = self.last.recorded.iter().find(|sample| sample.labels.to_string() == series)?;
        match found.value {
            Value::Float(value) => Some(value),
            Value::Histogram(_) => None,
        }
    }
}

#[test]
fn an_outage_pages_once_and_resolves() {
    let mut world = World::after_three_days(SPEC);
    assert!(world.run(3600, [FINE, FINE]).is_empty());
    let down = world.run(600, [Some((1.0, 10.0)), FINE]);
    // The long window (1h, of which the errors need 1.44 %) decides: 51.84 s, so the fourth step.
    assert_eq!(down, ["60: SLOErrorBudgetBurn page a firing"], "no ticket beside the page, and zone b is quiet");
    assert_eq!(world.state("a"), State::Breached, "three days old, ten minutes lost");
    assert_eq!(world.state("b"), State::Met);
    let alert = &world.group.status()[0].alerts[0];
    assert_eq!(alert.tier.as_deref(), Some("page-fast"));
    assert_eq!(alert.labels.get("service"), Some("shop"));
    assert_eq!(alert.annotations.get("runbook_url"), Some("https://example.org/r"));
    assert_eq!(
        alert.annotations.get("summary"),
        Some(r#"requests{zone="a"} burns its error budget 167 times too fast"#)
    );
    let series = r#"ALERTS{alertname="SLOErrorBudgetBurn",alertstate="firing",service="shop",severity="page",slo="requests",zone="a"}"#;
    assert_eq!(world.recorded(series), Some(1.0));

    // page-fast ends when its short window is clean; page-slow keeps the same alert alive for its 30 minutes.
    let up = world.run(3600, [FINE, FINE]);
    assert_eq!(up, ["1800: SLOErrorBudgetBurn page a resolved", "1800: SLOErrorBudgetBurn ticket a firing",]);
    assert!(
        crate::model::is_stale(last_of_alerts(World::after_three_days(SPEC))),
        "an alert's series ends with a marker"
    );
}

/// Plays a short outage to the slot at which the page resolves and returns what `ALERTS` ends with.
fn last_of_alerts(mut world: World) -> f64 {
    world.run(3600, [FINE, FINE]);
    world.run(120, [Some((1.0, 10.0)), FINE]);
    while world.is_resolved.values().all(|resolved| !resolved) {
        world.run(15, [FINE, FINE]);
    }
    let series = r#"ALERTS{alertname="SLOErrorBudgetBurn",alertstate="firing",service="shop",severity="page",slo="requests",zone="a"}"#;
    world.recorded(series).expect("a marker")
}

#[test]
fn a_slow_burn_makes_a_ticket_and_not_a_page() {
    let mut world = World::after_three_days(SPEC);
    world.step = 60;
    let burn = world.run(30 * 3600, [Some((0.00275, 10.0)), FINE]);
    // 2.75 times too fast is below the other tiers; over three days it exceeds 1 after 72 h / 2.75 = 94,254.5 s.
    assert_eq!(burn, ["94260: SLOErrorBudgetBurn ticket a firing"]);
    assert_eq!(world.group.status()[0].alerts[0].tier.as_deref(), Some("ticket-slow"));
    let after = world.run(7 * 3600, [FINE, FINE]);
    // Its short window of 6 h falls to 1 when 2.75 x (6 h - t) = 6 h.
    assert_eq!(after, ["13800: SLOErrorBudgetBurn ticket a resolved"]);
}

#[test]
fn blindness_holds_the_page_and_raises_its_own() {
    let mut world = World::after_three_days(SPEC);
    world.run(3600, [FINE, FINE]);
    world.run(300, [Some((1.0, 10.0)), FINE]);
    let blind = world.run(3 * 3600, [None, FINE]);
    // As soon as a hundred percent of errors would have been seen, and the page is not resolved by silence.
    assert_eq!(blind, ["60: SLONotMeasured page a firing"]);
    let status = world.group.status();
    let names: Vec<&str> = status[0].alerts.iter().map(|alert| alert.name).collect();
    assert_eq!(names, ["SLOErrorBudgetBurn", "SLONotMeasured"]);
    assert!(status[0].alerts[0].annotations.get("held").unwrap().starts_with("no scrape has succeeded since"));
    let seen = world.run(7200, [FINE, FINE]);
    // Five minutes lost are above 1 x over three days, so a ticket is left when the page may go.
    assert_eq!(
        seen,
        [
            "15: SLOErrorBudgetBurn page a resolved",
            "15: SLOErrorBudgetBurn ticket a firing",
            "15: SLONotMeasured page a resolved"
        ]
    );
}

/// 15 minutes in which the targets of some zones are no longer discovered: no sample at all.
fn run_with_targets_gone(world: &mut World, zones_left: &[&str]) -> Vec<String> {
    let (begin, sent) = (world.now, world.sent.len());
    for _ in 0..60 {
        world.now += world.step;
        if zones_left.contains(&"b") {
            let pairs = [("job", "shop"), ("instance", "b"), ("zone", "b"), ("code", "200")];
            world.tape.push(&labels("up", &pairs[..2]), secs(world.now), 1.0);
            world.tape.push(&labels("requests_total", &pairs), secs(world.now), world.counters[1][0]);
        }
        world.eval();
    }
    world.sent[sent..].iter().map(|(at, text)| format!("{}: {text}", at - begin)).collect()
}

#[test]
fn a_group_whose_targets_are_gone_makes_a_ticket() {
    let mut world = World::new(SPEC);
    world.run(3600, [FINE, FINE]);
    let only_b = run_with_targets_gone(&mut world, &["b"]);
    assert_eq!(only_b, ["300: SLONotMeasured ticket a firing"]);
    let mut none = run_with_targets_gone(&mut world, &[]);
    none.sort();
    let escalated = [
        "300: SLONotMeasured page a firing",
        "300: SLONotMeasured page b firing",
        "300: SLONotMeasured ticket a resolved",
    ];
    assert_eq!(none, escalated, "nothing is measured any more");
}

#[test]
fn our_own_downtime_raises_nothing() {
    let mut world = World::after_three_days(SPEC);
    world.run(3600, [FINE, FINE]);
    world.now += 1500;
    world.eval();
    assert_eq!(world.state("a"), State::NotMeasured);
    assert!(world.last.alerts.is_empty());
    assert!(world.run(3600, [FINE, FINE]).is_empty());
}

#[test]
fn an_objective_that_was_never_measured_makes_a_ticket() {
    let spec =
        SPEC.replace("total: requests_total", "total: request_total").replace("group_by: [zone]", "group_by: []");
    let mut world = World::new(&spec);
    let sent = world.run(2 * 3600, [FINE, FINE]);
    assert_eq!(sent, ["3615: SLONotMeasured ticket - firing"], "an hour after the first slot");
}

#[test]
fn availability_counts_samples_and_down_is_measured() {
    let spec =
        "slos:\n  - {name: up, objective: 99, window: 30d, group_by: [instance], indicator: {availability: up}}\n";
    let mut world = World::after_three_days(spec);
    world.run(3600, [FINE, FINE]);
    world.run(900, [None, FINE]);
    let status = world.group.status();
    assert_eq!(status[0].group.to_string(), r#"{instance="a"}"#);
    assert_eq!((status[0].figures.whole.counts.bad, status[0].figures.whole.counts.total), (60.0, 4321.0 + 300.0));
    assert_eq!(status[0].figures.whole.coverage_ratio, Some((3.0 * 86_400.0 + 4500.0) / (30.0 * 86_400.0)));
    assert_eq!(status[0].alerts.iter().map(|alert| alert.name).collect::<Vec<_>>(), ["SLOErrorBudgetBurn"]);
    assert_eq!(status[1].figures.whole.counts.bad, 0.0);
}

#[test]
fn samples_that_are_committed_after_the_slot_are_counted() {
    let mut world = World::new(SPEC);
    for _ in 0..40 {
        world.now += world.step;
        world.eval(); // the slot comes first, its scrape is committed later
        world.scrape([FINE, FINE]);
    }
    world.now += world.step;
    world.eval();
    let status = world.group.status();
    assert_eq!(status[0].figures.whole.counts.total, 39.0 * 150.0);
}

#[test]
fn figures_are_recorded_as_series() {
    let mut world = World::new(SPEC);
    world.run(3600, [Some((0.0005, 10.0)), FINE]);
    for (series, expected) in [
        (r#"almenara_slo_objective_ratio{service="shop",slo="requests",zone="a"}"#, 0.999),
        (r#"almenara_slo_window_seconds{service="shop",slo="requests",zone="a"}"#, 2_592_000.0),
        (r#"almenara_slo_events_total{service="shop",slo="requests",zone="b"}"#, 239.0 * 150.0),
        (r#"almenara_slo_burn_rate{service="shop",slo="requests",window="30d",zone="a"}"#, 0.5),
        (r#"almenara_slo_error_ratio{service="shop",slo="requests",window="5m",zone="a"}"#, 0.0005),
        (r#"almenara_slo_error_budget_remaining_ratio{service="shop",slo="requests",zone="a"}"#, 0.5),
        (r#"almenara_slo_state{service="shop",slo="requests",state="met",zone="a"}"#, 1.0),
        (r#"almenara_slo_state{service="shop",slo="requests",state="breached",zone="a"}"#, 0.0),
    ] {
        let value = world.recorded(series).unwrap_or_else(|| panic!("{series} is not recorded"));
        assert!((value - expected).abs() < 1e-9, "{series}: {value}");
    }
    let count = world.last.recorded.len();
    let ended = world.group.retire(secs(world.now));
    assert_eq!(ended.len(), count);
    assert!(ended.iter().all(|sample| sample.value.is_stale()));
    assert!(world.group.retire(secs(world.now)).is_empty());
}

#[test]
fn an_edited_target_keeps_the_counters_and_an_edited_indicator_does_not() {
    let mut world = World::new(SPEC);
    world.run(3600, [Some((0.01, 10.0)), FINE]);
    let total = |world: &World| world.recorded(r#"almenara_slo_events_total{service="shop",slo="requests",zone="a"}"#);
    let before = total(&world).unwrap();
    let adopt = |world: &mut World, spec: &str| {
        let new = SloGroup::new(file(spec), Duration::from_secs(15));
        let old = std::mem::replace(&mut world.group, new);
        world.group.adopt_state(old);
    };
    adopt(&mut world, &SPEC.replace("99.9", "99.5"));
    world.tape = Tape::default(); // nothing could be read again
    world.run(15, [Some((0.01, 10.0)), FINE]);
    assert_eq!(total(&world), Some(before + 150.0));
    assert_eq!(world.recorded(r#"almenara_slo_objective_ratio{service="shop",slo="requests",zone="a"}"#), Some(0.995));

    adopt(&mut world, &SPEC.replace("code=\"500\"", "code=~\"5..\""));
    world.run(30, [FINE, FINE]);
    assert!(total(&world).unwrap() < before);
}

/// An outage of zone a, a restart of ours of ten minutes in it, and what is sent after it while zone a does as told.
fn restart_in_an_outage(zone_a: Zone) -> Vec<String> {
    let mut world = World::after_three_days(SPEC);
    world.run(3600, [FINE, FINE]);
    world.run(120, [Some((1.0, 10.0)), FINE]);
    let recorded = std::mem::take(&mut world.last.recorded);
    for sample in recorded.iter().filter(|sample| sample.labels.metric_name() == "ALERTS_FOR_STATE") {
        world.tape.push(&sample.labels, sample.at, sample.value.as_float().unwrap());
    }
    let before = world.group.status()[0].alerts[0].clone();
    world.group = SloGroup::new(file(SPEC), Duration::from_secs(15));
    world.now += 600;
    let told = world.group.remind(secs(world.now), &world.tape, &world.environment);
    let [reminder] = &*told else { panic!("{told:?}") };
    assert_eq!((&reminder.labels, reminder.starts_at), (&before.labels, before.active_at));
    assert!(!reminder.is_resolved_at(secs(world.now)), "{reminder:?}");
    world.eval();
    let after = world.group.status()[0].alerts[0].clone();
    assert_eq!((after.labels, after.active_at), (before.labels, before.active_at), "nothing is seen yet: it stays");
    world.run(600, [zone_a, FINE])
}

#[test]
fn a_restart_neither_forgets_nor_repeats_an_alert() {
    assert!(restart_in_an_outage(Some((1.0, 10.0))).is_empty());
    assert_eq!(restart_in_an_outage(FINE), ["15: SLOErrorBudgetBurn page a resolved"]);
}

#[test]
fn a_removed_objective_resolves_its_alerts_and_ends_its_series() {
    let mut world = World::after_three_days(SPEC);
    world.run(3600, [FINE, FINE]);
    world.run(120, [Some((1.0, 10.0)), FINE]);
    let old = std::mem::replace(&mut world.group, SloGroup::new(file("slos: []"), Duration::from_secs(15)));
    world.group.adopt_state(old);
    let sent = world.run(15, [FINE, FINE]);
    assert_eq!(sent, ["15: SLOErrorBudgetBurn page a resolved"]);
    assert!(!world.last.recorded.is_empty() && world.last.recorded.iter().all(|sample| sample.value.is_stale()));
}

#[test]
fn a_source_that_cannot_be_read_changes_nothing() {
    let mut world = World::after_three_days(SPEC);
    world.run(3600, [FINE, FINE]);
    world.run(120, [Some((1.0, 10.0)), FINE]);
    let before = world.group.status();
    world.now += world.step;
    let context = EvalContext { querier: &Broken, engine: None, environment: &world.environment };
    let outcome = world.group.eval(secs(world.now), &context);
    assert_eq!(outcome.failures, [("requests".to_owned(), "no route to host".to_owned())]);
    assert!(outcome.recorded.iter().all(|sample| !sample.value.is_stale()));
    assert_eq!(world.group.status(), before);
}

#[test]
fn counters_outlive_kills_and_the_retention_of_samples() {
    let play = |is_killed: bool| {
        let mut world = World::new(SPEC);
        let mut saved = Vec::new();
        for minute in 0..240 {
            let bad = if minute % 7 == 0 { 0.3 } else { 0.0 };
            world.run(60, [Some((bad, 10.0)), if minute % 50 == 49 { None } else { FINE }]);
            if minute % 10 == 3 {
                saved = world.group.save();
            }
            if is_killed && minute % 13 == 5 {
                // What is older than an hour is no longer stored.
                let horizon = secs(world.now - 3600);
                world.tape.series.iter_mut().for_each(|series| series.samples.retain(|sample| sample.at >= horizon));
                world.group = SloGroup::new(file(SPEC), Duration::from_secs(15));
                assert_eq!(world.group.restore(&saved, secs(world.now)), 1);
                // Its alerts are in the recorded series, which nobody stores here.
                world.is_resolved.clear();
            }
        }
        world.run(60, [FINE, FINE]);
        let status = world.group.status();
        status.iter().map(|slo| (slo.group.clone(), slo.figures.whole, slo.figures.state)).collect::<Vec<_>>()
    };
    assert_eq!(play(true), play(false));
}

#[test]
fn an_objective_is_known_before_it_is_evaluated() {
    let spec = format!("{SPEC}  - {{name: plain, objective: 99, indicator: {{availability: up}}}}\n");
    let told = |group: &SloGroup| -> Vec<_> {
        let of = |slo: SloStatus| {
            (
                slo.name.to_string(),
                slo.group.to_string(),
                slo.figures.state,
                slo.is_evaluated,
                slo.figures.whole.counts.total,
            )
        };
        group.status().into_iter().map(of).collect()
    };
    let mut world = World::new(&spec);
    world.group.announce(secs(world.now));
    let nothing = |name: &str| (name.to_owned(), "{}".to_owned(), State::NotMeasured, false, 0.0);
    assert_eq!(told(&world.group), [nothing("requests"), nothing("plain")]);

    // Bad at first, so that it is breached; then all is well, and it is killed a minute after what was saved.
    world.run(600, [Some((0.5, 10.0)), FINE]);
    let saved = world.group.save();
    world.run(60, [FINE, FINE]);
    let alive = told(&world.group);
    assert!(alive.iter().all(|(_, _, _, is_evaluated, _)| *is_evaluated), "{alive:?}");
    let mut next = SloGroup::new(file(&spec), Duration::from_secs(15));
    next.restore(&saved, secs(world.now));
    next.announce(secs(world.now));
    let known = told(&next);
    assert_eq!(known.len(), 3);
    for ((before, now), total) in alive.iter().zip(&known).zip([5250.0, 5250.0, 72.0]) {
        assert_eq!((&before.0, &before.1, before.2), (&now.0, &now.1, now.2));
        // As of what is settled, a minute before it was saved.
        assert_eq!((now.3, now.4), (false, total), "{now:?}");
    }

    // A reload keeps what is known, adds what is new, and lets go what is gone.
    let other = spec.replace("name: plain", "name: other");
    let mut reloaded = SloGroup::new(file(&other), Duration::from_secs(15));
    reloaded.adopt_state(world.group.clone());
    reloaded.announce(secs(world.now));
    assert_eq!(told(&reloaded)[..2], alive[..2]);
    assert_eq!(told(&reloaded)[2..], [nothing("other")]);
}

#[test]
fn half_of_what_was_saved_is_not_used() {
    let mut world = World::new(SPEC);
    world.run(600, [Some((0.1, 10.0)), FINE]);
    let saved = world.group.save();
    let new = || SloGroup::new(file(SPEC), Duration::from_secs(15));
    assert_eq!(new().restore(&saved, secs(world.now)), 1);
    for cut in (0..saved.len()).step_by(11) {
        assert_eq!(new().restore(&saved[..cut], secs(world.now)), 0, "{cut}");
    }
    let other = SPEC.replace("code=\"500\"", "code=~\"5..\"");
    let mut edited = SloGroup::new(file(&other), Duration::from_secs(15));
    assert_eq!(edited.restore(&saved, secs(world.now)), 0, "another indicator is another generation");
}
