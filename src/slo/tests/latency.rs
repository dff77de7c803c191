//! Latency from histograms: timelines in which buckets come, change and go, and random histories against a model that pairs all raw samples.

use std::time::Duration;

use proptest::prelude::*;

use super::{Tape, events, file, labels, secs};
use crate::model::{Labels, Series};
use crate::promql::{Dialect, Querier};
use crate::rules::{Environment, EvalContext, Evaluator, Outcome};
use crate::slo::{Accounting, History, PARTLY_MEASURED_ALERT, Role, Slo, SloGroup, State, sources};

const SPEC: &str = r#"
slos:
  - name: fast
    window: 1d
    indicator: {latency: {histogram: 'd_seconds{job="shop"}', p99: 300ms}}
"#;

fn slo(spec: &str) -> Slo {
    file(spec).slos.remove(0)
}

fn feed(accounting: &mut Accounting, slo: &Slo, tape: &Tape, (after, through): (i64, i64)) {
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, secs(after).plus_ms(1), secs(through)).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, secs(through), History::Complete);
}

/// The counts of one target, a scrape a column every 15 s. A row is a bucket by its bound, or `count`; `_`: not in the scrape.
fn tape(rows: &[(&str, &str)]) -> Tape {
    let mut tape = Tape::default();
    for (row, values) in rows {
        let target = [("job", "shop"), ("instance", "a")];
        let series = match *row {
            "count" => labels("d_seconds_count", &target),
            "requests" => labels("requests_total", &target),
            bound => labels("d_seconds_bucket", &[target[0], target[1], ("le", bound)]),
        };
        for (column, value) in values.split_whitespace().enumerate().filter(|(_, value)| *value != "_") {
            tape.push(&series, secs(15 * column as i64), value.parse().unwrap());
        }
    }
    tape
}

/// Good and all events.
fn count_of(spec: &str, rows: &[(&str, &str)]) -> (f64, f64) {
    let slo = slo(spec);
    let mut accounting = Accounting::new(&slo);
    feed(&mut accounting, &slo, &tape(rows), (-1, 600));
    events(&accounting, &Labels::empty(), secs(600), Duration::from_secs(3600))
}

#[test]
fn events_count_where_the_bucket_stands_beside_its_total() {
    let check = |what: &str, rows: &[(&str, &str)], expected: (f64, f64)| {
        assert_eq!(count_of(SPEC, rows), expected, "{what}");
    };
    check("the bucket of the threshold", &[("0.25", "0 1"), ("0.3", "0 7"), ("count", "0 10")], (7.0, 10.0));
    for bound in ["0.30", "3e-1", ".3", "0.3000"] {
        check("another spelling", &[(bound, "0 7"), ("count", "0 10")], (7.0, 10.0));
    }
    check("near is not there", &[("0.25", "0 7"), ("0.5", "0 9"), ("count", "0 10")], (0.0, 0.0));
    check("a restart", &[("0.3", "50 2"), ("count", "90 3")], (2.0, 3.0));
    check("a bucket that goes takes its total along", &[("0.3", "0 4 _ _"), ("count", "0 5 50 60")], (4.0, 5.0));
    check("a total that goes takes its bucket along", &[("0.3", "0 4 9"), ("count", "0 5 _")], (4.0, 5.0));
    let other = SPEC.replace("p99: 300ms", "p99: 300ms, total: requests_total");
    let rows = [("0.3", "0 7"), ("count", "0 8"), ("requests", "0 10")];
    assert_eq!(count_of(&other, &rows), (7.0, 10.0), "a total of the user's choice");
}

#[test]
fn other_buckets_of_the_histogram_are_not_remembered() {
    let slo = slo(SPEC);
    let mut accounting = Accounting::new(&slo);
    let bounds: Vec<String> = (1..=100).map(|tenths| (f64::from(tenths) / 10.0).to_string()).collect();
    let mut rows: Vec<(&str, &str)> = bounds.iter().map(|bound| (bound.as_str(), "0 1")).collect();
    rows.push(("count", "0 1"));
    feed(&mut accounting, &slo, &tape(&rows), (-1, 600));
    assert_eq!(accounting.sizes().series, 2);
}

#[test]
fn buckets_out_of_order_are_clamped_and_told_once() {
    let slo = slo(SPEC);
    let mut accounting = Accounting::new(&slo);
    let tape = tape(&[("0.3", "0 12 20 20"), ("count", "0 10 20 30")]);
    feed(&mut accounting, &slo, &tape, (-1, 20));
    accounting.rewind();
    feed(&mut accounting, &slo, &tape, (-1, 20));
    let figures = super::figures(&slo, &accounting, secs(20));
    assert_eq!((figures.whole.counts.bad, figures.whole.counts.total), (0.0, 10.0));
    assert_eq!(accounting.sizes().disordered, 1);
    feed(&mut accounting, &slo, &tape, (20, 600));
    let figures = super::figures(&slo, &accounting, secs(600));
    assert_eq!((figures.whole.counts.bad, figures.whole.counts.total), (10.0, 30.0));
    assert_eq!(accounting.sizes().disordered, 1);
}

/// A shop with ten requests a second; slow ones take longer than every finite bound of its histogram.
struct World {
    tape: Tape,
    group: SloGroup,
    now: i64,
    requests: f64,
    slow: f64,
}

impl World {
    fn new(spec: &str) -> Self {
        World {
            tape: Tape::default(),
            group: SloGroup::new(file(spec), Duration::from_secs(15)),
            now: 0,
            requests: 0.0,
            slow: 0.0,
        }
    }

    fn run(&mut self, duration_secs: i64, bounds: &[&str], slow_ratio: f64) -> Outcome {
        let environment = Environment {
            external_labels: Labels::empty(),
            external_url: "".into(),
            lookback_delta: Duration::from_secs(300),
            default_subquery_step: Duration::from_secs(60),
            dialect: Dialect::default(),
            resend_delay: Duration::ZERO,
        };
        let end = self.now + duration_secs;
        let mut last = Outcome::default();
        while self.now < end {
            self.now += 15;
            self.requests += 150.0;
            self.slow += 150.0 * slow_ratio;
            let target = [("job", "shop"), ("instance", "a")];
            self.tape.push(&labels("up", &target), secs(self.now), 1.0);
            self.tape.push(&labels("d_seconds_count", &target), secs(self.now), self.requests);
            for bound in bounds {
                let within = self.requests - if *bound == "+Inf" { 0.0 } else { self.slow };
                let series = labels("d_seconds_bucket", &[target[0], target[1], ("le", bound)]);
                self.tape.push(&series, secs(self.now), within);
            }
            last = self
                .group
                .eval(secs(self.now), &EvalContext { querier: &self.tape, engine: None, environment: &environment });
        }
        last
    }

    /// State, bad events, and the firing alerts with their descriptions.
    fn seen(&self) -> (State, f64, Vec<String>) {
        let status = self.group.status().remove(0);
        // The windows are filling in all of these tests.
        let of_service = status.alerts.iter().filter(|alert| alert.name != PARTLY_MEASURED_ALERT);
        let alerts = of_service.map(|alert| {
            format!("{} {}: {}", alert.name, alert.severity, alert.annotations.get("description").unwrap_or("-"))
        });
        (status.figures.state, status.figures.whole.counts.bad, alerts.collect())
    }
}

#[test]
fn a_missing_bucket_is_told_with_those_present_and_never_counted() {
    let mut world = World::new(SPEC);
    world.run(60, &["0.1", "0.25", "0.5", "1", "+Inf"], 0.5);
    let expected = "SLONotMeasured ticket: d_seconds_bucket{job=\"shop\"} has no bucket with le=\"0.3\" (threshold 300ms); the nearest \
                    are le=\"0.25\" and le=\"0.5\". Events without that bucket are not counted. Choose a threshold that is a bound, or \
                    add the bucket.";
    assert_eq!(
        world.seen(),
        (State::NotMeasured, 0.0, vec![expected.to_owned()]),
        "at the first evaluation, not after an hour"
    );
    let status = world.group.status().remove(0);
    assert_eq!(status.figures.whole.counts.total, 0.0, "no event is taken for bad or good");

    // The bucket is added by a deployment: measured from there on, and the alert ends when nothing is missing for five minutes.
    world.run(3600, &["0.1", "0.3", "1", "+Inf"], 0.0);
    let (state, bad, alerts) = world.seen();
    assert_eq!((state, bad, alerts), (State::Met, 0.0, Vec::new()));
}

#[test]
fn a_bucket_that_goes_ends_the_measurement_and_not_the_budget() {
    let mut world = World::new(SPEC);
    world.run(3600, &["0.3", "+Inf"], 0.0);
    assert_eq!(world.seen().0, State::Met);
    world.run(120, &["0.2", "+Inf"], 0.0);
    let (state, bad, alerts) = world.seen();
    assert_eq!((state, bad, alerts.len()), (State::Met, 0.0, 1), "what was measured a minute ago still stands");
    assert!(
        alerts[0].starts_with("SLONotMeasured ticket") && alerts[0].contains(r#"le="0.2" and le="+Inf""#),
        "{alerts:?}"
    );
    world.run(300, &["0.2", "+Inf"], 0.0);
    let (state, bad, alerts) = world.seen();
    assert_eq!((state, bad, alerts.len()), (State::NotMeasured, 0.0, 1));
    assert!(alerts[0].starts_with("SLONotMeasured page"), "the fastest tier is blind: {alerts:?}");
}

#[test]
fn a_slow_shop_burns_its_budget() {
    let mut world = World::new(SPEC);
    world.run(7200, &["0.1", "0.3", "+Inf"], 0.0);
    let outcome = world.run(3600, &["0.1", "0.3", "+Inf"], 0.5);
    let (state, bad, alerts) = world.seen();
    assert_eq!(state, State::Breached);
    assert!(bad > 0.0 && alerts[0].starts_with("SLOErrorBudgetBurn page"), "{alerts:?}");
    let series = outcome
        .recorded
        .iter()
        .find(|sample| sample.labels.to_string() == r#"almenara_slo_bad_events_total{slo="fast"}"#);
    assert_eq!(series.unwrap().value.as_float(), Some(bad));
}

#[test]
fn groups_without_the_bucket_are_groups() {
    let spec = SPEC.replace("window: 1d", "window: 1d\n    group_by: [instance]");
    let mut world = World::new(&spec);
    world.run(60, &["1", "+Inf"], 0.0);
    let status = world.group.status();
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].group.to_string(), r#"{instance="a"}"#);
    assert_eq!(status[0].alerts.len(), 1);
}

/// One handler at one step: growth of fast and of all requests, and which of the two series are shown.
type Step = (u8, u8, bool, bool);

fn step() -> impl Strategy<Value = Step> {
    (0u8..5, 0u8..5, prop::bool::weighted(0.8), prop::bool::weighted(0.9))
}

const HANDLERS: [&str; 2] = ["/", "/cart"];

/// All steps as samples, and what each scrape counts when read word by word: per handler, the increases of the bucket and of the total,
/// where both are in the scrape. Nothing restarts here (`counting` plays that), so what comes back goes on.
fn play(steps: &[Vec<Step>]) -> (Tape, Vec<(i64, f64, f64)>) {
    let mut tape = Tape::default();
    let mut counted = Vec::new();
    let mut values = [[5.0f64; 2]; HANDLERS.len()];
    let mut last: [[Option<f64>; 2]; HANDLERS.len()] = Default::default();
    for (index, handlers) in steps.iter().enumerate() {
        let at = 15 * index as i64;
        tape.push(&labels("up", &[("job", "shop"), ("instance", "a")]), secs(at), 1.0);
        for (handler, (fast, all, shows_bucket, shows_total)) in handlers.iter().enumerate() {
            values[handler][0] += f64::from(*fast);
            values[handler][1] += f64::from(*all);
            let pairs = [("job", "shop"), ("instance", "a"), ("handler", HANDLERS[handler])];
            let mut increases = [None; 2];
            for (kind, shown) in [*shows_bucket, *shows_total].into_iter().enumerate() {
                if !shown {
                    continue;
                }
                let value = values[handler][kind];
                let series = match kind {
                    0 => labels("d_seconds_bucket", &[pairs[0], pairs[1], pairs[2], ("le", "0.3")]),
                    _ => labels("d_seconds_count", &pairs),
                };
                tape.push(&series, secs(at), value);
                increases[kind] = Some(match last[handler][kind] {
                    None if index > 0 => value,
                    None => 0.0,
                    Some(before) => value - before,
                });
                last[handler][kind] = Some(value);
            }
            if let [Some(good), Some(all)] = increases {
                counted.push((at, good, all));
            }
        }
    }
    (tape, counted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pairs_count_what_the_naive_model_counts(
        steps in prop::collection::vec(prop::collection::vec(step(), HANDLERS.len()), 2..40),
        cut in 0usize..40,
    ) {
        let (tape, counted) = play(&steps);
        let slo = slo(SPEC);
        let end = 15 * steps.len() as i64;
        let mut whole = Accounting::new(&slo);
        feed(&mut whole, &slo, &tape, (-1, end));
        let cut = (15 * cut as i64).min(end);
        let mut sliced = Accounting::new(&slo);
        feed(&mut sliced, &slo, &tape, (-1, cut));
        feed(&mut sliced, &slo, &tape, (cut, end));
        for from in [0, end / 3, end / 2] {
            let within = counted.iter().filter(|(at, _, _)| *at > from);
            let expected = within.fold((0.0, 0.0), |sum, (_, good, all)| (sum.0 + good, sum.1 + all));
            for accounting in [&whole, &sliced] {
                let gained = events(accounting, &Labels::empty(), secs(end), Duration::from_secs((end - from) as u64));
                prop_assert_eq!(gained, expected, "from {}", from);
            }
        }
    }
}
