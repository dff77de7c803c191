//! History of objectives that begin: event for event what counting everything at once gives, and nothing of what another server has at or after our
//! own first sample.

use std::time::Duration;

use super::{Broken, Tape, environment, file, labels, secs};
use crate::model::Timestamp;
use crate::promql::Querier;
use crate::rules::{EvalContext, Evaluator, Outcome};
use crate::slo::{SloGroup, SloStatus};

const SPEC: &str = r#"
slos:
  - name: requests
    objective: 99
    window: 6h
    group_by: [zone]
    indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}
  - {name: up, objective: 99, window: 3h, indicator: {availability: up}}
  - {name: asked, objective: 99, window: 1h, indicator: {ratio: 'avg_over_time(up[$window])'}}
"#;
const START: i64 = 1_000_020;
const MINUTE: i64 = 60;
/// So many minutes are known, of which the last are our own.
const ALL: i64 = 8 * 60;
const OWN: i64 = 40;

/// The samples of some minutes: two targets, one of which restarts, is down for a while, and has its first error in between. `wrong` is added to the counters.
fn samples(minutes: std::ops::Range<i64>, wrong: f64) -> Tape {
    let mut tape = Tape::default();
    for minute in minutes {
        let at = secs(START + minute * MINUTE);
        for (instance, zone) in [("a", "x"), ("b", "y")] {
            let target = [("job", "shop"), ("instance", instance)];
            let is_down = instance == "b" && (100..110).contains(&minute);
            tape.push(&labels("up", &target), at, f64::from(u8::from(!is_down)));
            if is_down {
                continue;
            }
            let since = if instance == "b" && minute >= 200 { minute - 200 } else { minute };
            let mut push = |code: &str, value: f64| {
                let pairs: Vec<_> = target.into_iter().chain([("zone", zone), ("code", code)]).collect();
                tape.push(&labels("requests_total", &pairs), at, value + wrong);
            };
            push("200", since as f64 * 10.0);
            if instance == "a" || minute >= 300 {
                push("500", (since / 7) as f64);
            }
        }
    }
    tape
}

fn group() -> SloGroup {
    SloGroup::new(file(SPEC), Duration::from_secs(60))
}

fn eval(group: &mut SloGroup, querier: &dyn Querier, minute: i64) -> Outcome {
    let environment = environment();
    group.eval(secs(START + minute * MINUTE), &EvalContext { querier, engine: None, environment: &environment })
}

fn counted(group: &SloGroup) -> Vec<SloStatus> {
    let mut status = group.status();
    status.retain(|one| one.is_event_exact && one.is_evaluated);
    status
}

fn now() -> Timestamp {
    secs(START + (ALL - 1) * MINUTE)
}

#[test]
fn history_is_counted_as_if_it_had_been_ours() {
    let all = samples(0..ALL, 0.0);
    let mut expected = group();
    eval(&mut expected, &all, ALL - 1);

    let own = samples(ALL - OWN..ALL, 0.0);
    let mut elsewhere = samples(0..ALL - OWN, 0.0);
    // What another server has of our own time is not looked at.
    elsewhere.series.extend(samples(ALL - OWN..ALL, 1e9).series);
    let mut begun = group();
    let mut wanted = begun.await_history(&own, now(), now() + Duration::from_secs(60));
    assert_eq!(wanted.len(), 2, "what is asked reads what is stored");
    let own_first = secs(START + (ALL - OWN) * MINUTE);
    for one in &mut wanted {
        let (from, through) = one.range();
        assert_eq!(through, own_first.plus_ms(-1));
        let mut at = from;
        while at < now() {
            at = at + Duration::from_secs(1000);
            one.feed(&elsewhere, at).unwrap();
        }
        assert!(begun.take_history(one));
        assert!(!begun.take_history(one), "once");
    }
    eval(&mut begun, &own, ALL - 1);
    assert_eq!(counted(&begun), counted(&expected));
    let total: f64 = counted(&expected).iter().map(|one| one.figures.whole.counts.total).sum();
    assert!(total > 7000.0, "{total}");
    // What was counted outlives a restart, and is not asked for again.
    let mut next = group();
    assert_eq!(next.restore(&begun.save(), now()), 2);
    assert!(next.await_history(&own, now(), now() + Duration::from_secs(60)).is_empty());
}

#[test]
fn objectives_wait_for_their_history_for_so_long_and_go_on_without() {
    let own = samples(ALL - OWN..ALL + 10, 0.0);
    let mut begun = group();
    let until = now() + Duration::from_secs(150);
    let wanted = begun.await_history(&own, now(), until);
    for minute in ALL..ALL + 2 {
        let outcome = eval(&mut begun, &own, minute);
        assert!(outcome.alerts.is_empty() && counted(&begun).is_empty());
        assert!(outcome.failures.iter().all(|(name, _)| name == "asked"), "{:?}", outcome.failures);
    }
    eval(&mut begun, &own, ALL + 2);
    let without = counted(&begun);
    assert_eq!(without.len(), 3);
    // A reload in between does not forget what is wanted, and lets nobody wait who is evaluated already.
    let mut reloaded = group();
    reloaded.adopt_state(begun);
    let again = reloaded.await_history(&own, now(), until + Duration::from_secs(3600));
    assert_eq!(again.len(), wanted.len());
    eval(&mut reloaded, &own, ALL + 3);
    assert_eq!(counted(&reloaded)[0].figures.at, secs(START + (ALL + 3) * MINUTE));
    let elsewhere = samples(0..ALL, 0.0);
    for mut one in again {
        one.feed(&elsewhere, now()).unwrap();
        assert!(reloaded.take_history(&one));
    }
    eval(&mut reloaded, &own, ALL + 4);
    let (before, after) = (&without[0].figures.whole, counted(&reloaded)[0].figures.whole);
    assert!(after.counts.total > 5.0 * before.counts.total, "{before:?} {after:?}");
    assert!(after.coverage_ratio > Some(0.99), "{after:?}");
}

#[test]
fn a_window_that_is_there_needs_no_history() {
    let own = samples(0..ALL, 0.0);
    assert!(group().await_history(&own, now(), now()).is_empty());
    // An error on the way to our own samples: nobody waits.
    assert!(group().await_history(&Broken, now(), now()).is_empty());
}
