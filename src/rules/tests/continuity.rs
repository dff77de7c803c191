//! What outlives a restart, a reload and a clock that jumps.

use proptest::prelude::*;

use super::*;

const M: &[(&str, &str)] = &[("__name__", "m"), ("job", "api")];

/// One evaluation a minute with `m` at `value`, as `state since` and what was told, both in minutes.
fn minute(bench: &mut Bench, minute: i64, value: Option<f64>) -> String {
    let at = 60 * minute;
    if let Some(value) = value {
        bench.write(at, M, value);
    }
    let outcome = bench.eval(at);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    let state = bench.alerts().first().map_or("-".to_owned(), |(state, since)| format!("{state} {}", since / 60));
    let told =
        sent(&outcome).iter().map(|(starts, ends)| format!(" told {}-{}", starts / 60, ends / 60)).collect::<String>();
    state + &told
}

#[test]
fn a_restart_changes_nothing() {
    let rules = || group("", &["{alert: A, expr: m > 0, for: 2m, keep_firing_for: 3m}"]);
    let play = |restarts: &[i64]| {
        let mut bench = Bench::new(rules());
        let values = [1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1];
        let step = |(now, value): (usize, i32)| {
            let now = now as i64;
            if restarts.contains(&now) {
                bench.restart(rules(), 60 * now - 30);
            }
            minute(&mut bench, now, Some(f64::from(value)))
        };
        values.into_iter().enumerate().map(step).collect::<Vec<_>>()
    };
    let undisturbed = play(&[]);
    assert_eq!(undisturbed[5], "firing 0", "kept");
    assert_eq!(undisturbed[10], "- told 2-10", "resolved");
    for restart in 1..15 {
        assert_eq!(play(&[restart]), undisturbed, "restart before minute {restart}");
    }
    assert_eq!(play(&(1..15).collect::<Vec<_>>()), undisturbed, "a restart each minute");
}

proptest! {
    /// Restarts without a pause cannot be told from a run without them.
    #[test]
    fn no_restart_can_be_told(
        values in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0)], 1..40),
        restarts in prop::collection::vec(any::<bool>(), 40),
        hold in 0..4u32, keep in 0..4u32,
    ) {
        let rule = format!("{{alert: A, expr: m > 0, for: {hold}m, keep_firing_for: {keep}m}}");
        let rules = || group("", &[&rule]);
        let [mut whole, mut broken] = [Bench::new(rules()), Bench::new(rules())];
        for (now, value) in values.into_iter().enumerate() {
            if restarts[now] {
                broken.restart(rules(), 60 * now as i64 - 30);
            }
            let [expected, seen] = [&mut whole, &mut broken].map(|bench| minute(bench, now as i64, Some(value)));
            prop_assert_eq!(seen, expected, "minute {}", now);
        }
        let series = |bench: &Bench| format!("{:?}", bench.store.select(&[], Timestamp::MIN, Timestamp::MAX));
        prop_assert_eq!(series(&whole), series(&broken));
    }
}

#[test]
fn nothing_ends_before_the_data_are_back() {
    let rules = || group("", &["{alert: A, expr: m > 0, for: 1m}"]);
    let mut bench = Bench::new(rules());
    assert_eq!(minute(&mut bench, 0, Some(1.0)), "pending 0");
    assert_eq!(minute(&mut bench, 1, Some(1.0)), "firing 0 told 1-5");
    // Ten minutes later: longer than an instant selector looks back.
    bench.restart(rules(), 660);
    assert_eq!(minute(&mut bench, 11, None), "firing 0 told 1-15");
    let held = bench.group.status().rules[0].alerting.as_ref().unwrap().alerts[0].held;
    assert_eq!(held, Some(Held::Pause));
    assert_eq!(minute(&mut bench, 12, None), "firing 0");
    assert_eq!(minute(&mut bench, 13, Some(0.0)), "- told 1-13");
}

#[test]
fn a_target_that_stays_away_ends_its_alert_after_the_look_back() {
    let rules = || group("", &["{alert: A, expr: m > 0}"]);
    let mut bench = Bench::new(rules());
    minute(&mut bench, 0, Some(1.0));
    bench.restart(rules(), 600);
    let seen: Vec<String> = (10..17).map(|now| minute(&mut bench, now, None)).collect();
    assert_eq!(seen[4], "firing 0 told 0-18");
    assert_eq!(seen[5], "- told 0-15");
}

#[test]
fn after_a_long_outage_nothing_is_claimed() {
    let rules = || group("", &["{alert: A, expr: m > 0}", "{alert: B, expr: m > 0, for: 1h}"]);
    for (value, expected) in [(Some(1.0), "firing 0 told 0-95"), (None, "- told 0-91")] {
        let mut bench = Bench::new(rules());
        minute(&mut bench, 0, Some(1.0));
        bench.restart(rules(), 5400);
        assert_eq!(bench.group.remind(secs(5400), &environment()), []);
        assert_eq!(minute(&mut bench, 91, value), expected);
    }
}

#[test]
fn a_short_window_has_time_to_fill() {
    let rules = || group("interval: 30s", &["{alert: A, expr: 'increase(m[1m]) > 0'}"]);
    let mut bench = Bench::new(rules());
    let mut count = 0.0;
    let mut states = Vec::new();
    for half_minute in 0..12 {
        let at = 30 * half_minute;
        match half_minute {
            // Away for a minute; the next two scrapes are late by half an interval.
            4 => continue,
            5 => drop(bench.restart(rules(), at - 10)),
            _ => {}
        }
        if half_minute != 5 {
            count += 1.0;
            bench.write(at, M, count);
        }
        bench.eval(at);
        states.push(bench.alerts().first().map_or("-", |(state, _)| state));
    }
    assert_eq!(states[0], "-", "one sample is no increase");
    assert!(states[1..].iter().all(|state| *state == "firing"), "{states:?}");
}

#[test]
fn what_waits_goes_on_waiting() {
    let rules = || group("", &["{alert: A, expr: m > 0, for: 5m}"]);
    let play = |pause: i64| {
        let mut bench = Bench::new(rules());
        (0..=3).for_each(|now| drop(minute(&mut bench, now, Some(1.0))));
        bench.restart(rules(), 60 * (3 + pause) - 30);
        (3 + pause..).map(|now| minute(&mut bench, now, Some(1.0))).position(|seen| seen.starts_with("firing"))
    };
    assert_eq!(play(1), Some(1), "of five minutes four are over");
    assert_eq!(play(4), Some(0), "an instant selector looks back over the pause");
    assert_eq!(play(20), Some(2), "nobody could see: the three minutes before count");
    assert_eq!(play(70), Some(5), "too long ago");
}

#[test]
fn a_clock_that_jumps_ends_nothing_and_repeats_nothing() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0, for: 2m}"]));
    let mut wall = 0;
    let mut slots = Vec::new();
    // Steps of the wall clock in seconds: an hour forth, an hour back, and both again. A slot is evaluated when it has come.
    let steps = [(10, 3600), (30, -3600), (200, 3600), (230, -3600)];
    let mut last_written = i64::MIN;
    for second in 0..16_000 {
        wall += 1 + steps.iter().find(|(at, _)| *at * 60 == second).map_or(0, |(_, step)| *step);
        if wall % 15 == 0 && wall > last_written {
            bench.write(wall, M, 1.0);
            last_written = wall;
        }
        let next = slots::next_slot(bench.group.last_slot().unwrap_or(secs(0)), Duration::from_secs(60));
        let due = slots::next_slot(secs(wall).plus_ms(-60_000), Duration::from_secs(60));
        if due >= next {
            slots.push(due);
            let outcome = bench.eval(due.as_ms() / 1000);
            assert!(outcome.alerts.iter().all(|alert| alert.ends_at > due), "resolved at {due:?}");
            assert!(outcome.alerts.iter().all(|alert| alert.starts_at == slots[2]), "started anew at {due:?}");
        }
    }
    assert!(slots.is_sorted_by(|a, b| a < b), "a slot twice");
    assert!(slots.len() > 100);
    assert_eq!(bench.alerts(), [("firing", 60)]);
}

#[test]
fn a_rule_takes_its_alerts_along() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0}", "{alert: B, expr: m > 0}"]));
    minute(&mut bench, 0, Some(1.0));
    let mut left = bench.reload(group("", &["{alert: B, expr: m > 0}"]));
    assert_eq!(left.len(), 1);
    let mut other = group_of("groups:\n- name: other\n  rules:\n  - {alert: A, expr: m > 0.5}\n");
    assert_eq!(other.adopt(&mut left, Kinship::SameGroup), []);
    let changes = other.adopt(&mut left, Kinship::Anywhere);
    assert_eq!((left.len(), changes.len()), (0, 2), "stored anew under its new place");
    assert_eq!(bench.stored.keys().filter(|name| name.starts_with(RULE_PREFIX)).count(), 2);
    bench.keep(changes);
    assert_eq!(bench.stored.keys().filter(|name| name.starts_with("rule/rules.yml;other/")).count(), 1);
    assert_eq!(bench.stored.keys().filter(|name| name.starts_with("rule/rules.yml;g/")).count(), 1);
}

#[test]
fn a_rule_that_is_removed_resolves_its_alerts() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0}", "{alert: B, expr: m > 0, for: 1h}"]));
    minute(&mut bench, 0, Some(1.0));
    let mut left = bench.reload(group("", &["{record: r, expr: m}"]));
    let mut ended = Vec::new();
    let mut changed = Vec::new();
    for state in &mut left {
        let (alerts, transitions) = state.farewell(secs(90), "http://p.example", |_| false);
        ended.extend(alerts.iter().map(|alert| (alert.name().to_owned(), alert.starts_at, alert.ends_at)));
        changed.extend(transitions.iter().map(|transition| transition.change));
        bench.keep(state.change_to_forget().into_iter().collect());
    }
    assert_eq!(ended, [("A".to_owned(), secs(0), secs(90))], "what waited was told to nobody");
    assert_eq!(changed, [Change::Removed, Change::Ended]);
    assert_eq!(bench.stored.len(), 1, "only the slot is left: {:?}", bench.stored.keys());
}

#[test]
fn what_fires_is_told_first() {
    let rules =
        || group("", &["{alert: A, expr: m > 0}", "{alert: B, expr: m > 0, for: 1h}", "{alert: C, expr: m > 1}"]);
    let mut bench = Bench::new(rules());
    minute(&mut bench, 0, Some(2.0));
    minute(&mut bench, 1, Some(1.0));
    bench.restart(rules(), 100);
    let told = bench.group.remind(secs(100), &environment());
    let told: Vec<(&str, i64)> = told.iter().map(|alert| (alert.name(), alert.ends_at.as_ms() / 1000)).collect();
    assert_eq!(told, [("A", 100 + 240), ("C", 60)]);
}
