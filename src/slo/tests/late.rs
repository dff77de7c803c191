//! Samples that come late, to a store and to objectives that have counted past them.

use std::time::Duration;

use super::{environment, file, labels, secs};
use crate::model::{Labels, Value};
use crate::rules::{EvalContext, Evaluator};
use crate::slo::SloGroup;
use crate::store::{Lateness, Row, Store, StoreOptions};

const SPEC: &str = r#"
slos:
  - {name: a, objective: 99, window: 2h, indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}}
"#;

const START: i64 = 1_000_000;
const STEP: i64 = 15;
const END: i64 = START + 7200;
const WINDOW: Duration = Duration::from_secs(1800);

/// When the samples of an instant reach the store.
type Arrival = fn(i64) -> i64;

struct World {
    store: Store,
    group: SloGroup,
    now: i64,
}

impl World {
    fn new(window: Duration) -> Self {
        let store = Store::new(StoreOptions { retention: Duration::from_secs(86_400) });
        store.set_late_window(window);
        let mut group = SloGroup::new(file(SPEC), Duration::from_secs(15));
        group.bear_late(window);
        World { store, group, now: START }
    }

    fn commit(&self, labels: &Labels, at: i64, value: f64) {
        let row = Row::new(self.store.series_ref(labels), secs(at), Value::Float(value));
        self.store.commit_late(&[row], Lateness::All);
    }

    /// What a target shows at an instant; errors from the half hour to the hour.
    fn scrape(&self, at: i64) {
        let target = [("job", "shop"), ("instance", "a")];
        let since = (at - START) as f64;
        self.commit(&labels("up", &target), at, 1.0);
        for (code, value) in [("200", 10.0 * since), ("500", (since - 1800.0).clamp(0.0, 1800.0))] {
            let pairs: Vec<_> = target.into_iter().chain([("code", code)]).collect();
            self.commit(&labels("requests_total", &pairs), at, value);
        }
    }

    /// Lives until `until`, an evaluation each step; gives bad and all events of the whole window and of five minutes, at `until`.
    fn live(&mut self, until: i64, arrival: Arrival) -> Vec<(f64, f64)> {
        let environment = environment();
        for now in (self.now..=until).step_by(STEP as usize) {
            let arrived = (START..=now).step_by(STEP as usize).filter(|at| arrival(*at) == now);
            arrived.for_each(|at| self.scrape(at));
            // Somebody else is on time.
            self.commit(&labels("other", &[]), now, 1.0);
            let context = EvalContext { querier: &self.store, engine: None, environment: &environment };
            let outcome = self.group.eval(secs(now), &context);
            assert_eq!(outcome.failures, []);
        }
        self.now = until + STEP;
        let status = self.group.status();
        let figures = &status[0].figures;
        let all = [&figures.whole].into_iter().chain(&figures.windows);
        all.map(|window| (window.counts.bad, window.counts.total)).collect()
    }
}

fn lived(window: Duration, until: i64, arrival: Arrival) -> Vec<(f64, f64)> {
    World::new(window).live(until, arrival)
}

const ON_TIME: Arrival = |at| at;

/// Cut off from minute 40 to minute 55; what was seen meanwhile comes then, after what is new.
const FILLED_LATER: Arrival = |at| if (START + 2400..START + 3300).contains(&at) { START + 3300 + STEP } else { at };

/// The same, and nothing newer has come before.
const SENT_LATER: Arrival = |at| if (START + 2400..START + 3300).contains(&at) { START + 3300 } else { at };

#[test]
fn what_comes_late_counts_when_it_happened() {
    for late in [FILLED_LATER, SENT_LATER] {
        // While it is missing less is known.
        assert_ne!(lived(WINDOW, START + 3000, late), lived(WINDOW, START + 3000, ON_TIME));
        // Afterwards nothing tells that it was late, whichever window ends or begins in the gap.
        for until in [START + 3600, START + 3000 + 1800, END] {
            assert_eq!(lived(WINDOW, until, late), lived(WINDOW, until, ON_TIME), "{}", until - START);
        }
    }
}

#[test]
fn what_comes_too_late_counts_with_the_next_sample() {
    // The half hour begins in the gap, of which nothing is known.
    let until = START + 3000 + 1800;
    let (late, on_time) = (lived(Duration::ZERO, until, FILLED_LATER), lived(Duration::ZERO, until, ON_TIME));
    assert_ne!(late, on_time);
    assert_eq!(late[0], on_time[0], "a window that holds the gap is right in any case");
}

#[test]
fn a_reload_between_a_gap_and_what_fills_it_is_as_none() {
    let mut world = World::new(WINDOW);
    world.live(START + 3000, FILLED_LATER);
    let mut group = SloGroup::new(file(SPEC), Duration::from_secs(15));
    group.adopt_state(world.group);
    group.bear_late(WINDOW);
    world.group = group;
    let until = START + 3000 + 1800;
    assert_eq!(world.live(until, FILLED_LATER), lived(WINDOW, until, ON_TIME));
}
