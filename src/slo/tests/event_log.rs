//! A log of events as they happened, what a scraper saw of them, and what is counted from that: every event that any scrape could show, and no other.
//! Beside it what the arithmetic of rule generators makes of the same samples.
//!
//! **The limit of information.** Of a pod's events nobody can know those before its first scrape (a base line) and those after its last one.

use std::time::Duration;

use super::{Tape, events, file, labels, secs};
use crate::model::{Labels, Series, Timestamp};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant};
use crate::promql::{self, Querier};
use crate::slo::{Accounting, History, Role, sources};

const SCRAPE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const DAYS: i64 = 7;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What really happened, and how much of it was to be seen.
#[derive(Default)]
struct Truth {
    all: u64,
    bad: u64,
    seen_all: u64,
    seen_bad: u64,
}

/// A pod that lives from one instant to another, with its counters.
struct Pod {
    name: String,
    alive: (i64, i64),
    counts: [u64; 2],
    /// What was counted since the last scrape, or since the first event where there was none.
    unseen: [u64; 2],
    was_scraped: bool,
    has_shown_errors: bool,
}

/// Seven days: nights without traffic, a tenfold peak at noon, pods replaced every day and one that restarts in place, scrapes that fail, three
/// outages.
fn play() -> (Tape, Truth) {
    let mut dice = Dice(7);
    let mut tape = Tape::default();
    let mut truth = Truth::default();
    let mut pods: Vec<Pod> = Vec::new();
    for day in 0..DAYS {
        for pod in 0..3 {
            let alive = (day * DAY + pod * 97, (day + 1) * DAY + pod * 53);
            let name = format!("{day}-{pod}");
            pods.push(Pod { name, alive, counts: [0; 2], unseen: [0; 2], was_scraped: false, has_shown_errors: false });
        }
    }
    let outages = [
        (DAY + 12 * HOUR, DAY + 12 * HOUR + 900),
        (3 * DAY + 9 * HOUR, 3 * DAY + 10 * HOUR),
        (5 * DAY + 18 * HOUR, 5 * DAY + 18 * HOUR + 300),
    ];
    for now in (0..DAYS * DAY).step_by(10) {
        let hour = now % DAY / HOUR;
        let rate = if hour < 6 { 0 } else { 10 * (12 - (hour - 12).abs()).max(1) as u64 };
        let error_permille = if outages.iter().any(|(from, to)| (*from..*to).contains(&now)) { 500 } else { 1 };
        let is_gap = (2 * DAY + 15 * HOUR..2 * DAY + 15 * HOUR + 420).contains(&now);
        for pod in pods.iter_mut().filter(|pod| (pod.alive.0..pod.alive.1).contains(&now)) {
            // A restart in place, every day at 16:00: what was not scraped of the process before is gone.
            if now % DAY == 16 * HOUR + 10 && pod.name.ends_with('0') {
                (pod.counts, pod.unseen, pod.has_shown_errors) = ([0; 2], [0; 2], false);
            }
            let more = if rate == 0 { 0 } else { rate + dice.below(10) };
            let worse = (0..more).filter(|_| dice.below(1000) < error_permille).count() as u64;
            truth.all += more;
            truth.bad += worse;
            for (count, gained) in
                pod.counts.iter_mut().zip([more - worse, worse]).chain(pod.unseen.iter_mut().zip([more - worse, worse]))
            {
                *count += gained;
            }
            let is_scrape = now % SCRAPE == 0;
            if !is_scrape {
                continue;
            }
            let target = [("job", "shop"), ("instance", pod.name.as_str())];
            tape.push(&labels("up", &target), secs(now), f64::from(u8::from(!is_gap)));
            if is_gap {
                continue;
            }
            for (index, code) in ["200", "500"].into_iter().enumerate() {
                // A counter appears with its first event.
                if pod.counts[index] == 0 {
                    continue;
                }
                let of_code = [target[0], target[1], ("code", code)];
                tape.push(&labels("requests_total", &of_code), secs(now), pod.counts[index] as f64);
            }
            if pod.was_scraped {
                truth.seen_all += pod.unseen[0] + pod.unseen[1];
                truth.seen_bad += pod.unseen[1];
            }
            (pod.unseen, pod.was_scraped) = ([0; 2], true);
        }
    }
    (tape, truth)
}

fn ask(tape: &Tape, query: &str) -> f64 {
    let options = QueryOptions { default_subquery_step: Duration::from_secs(300), ..QueryOptions::default() };
    let expr = promql::parse(query).unwrap();
    match eval_instant(&expr, secs(DAYS * DAY), tape, &options).unwrap().value {
        QueryValue::Vector(elements) => elements[0].value.as_float().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_event_that_was_to_be_seen_is_counted_and_no_other() {
    let (tape, truth) = play();
    let spec = "slos: [{name: a, objective: 99, window: 7d, indicator: {errors: {bad: 'requests_total{code=\"500\"}', total: requests_total}}}]";
    let slo = file(spec).slos.remove(0);
    let mut accounting = Accounting::new(&slo);
    let end = secs(DAYS * DAY);
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, Timestamp::EPOCH, end).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, end, History::Complete);
    let (bad, all) = events(&accounting, &Labels::empty(), end, Duration::from_secs(7 * 86_400));
    assert_eq!((bad, all), (truth.seen_bad as f64, truth.seen_all as f64), "of {} and {}", truth.bad, truth.all);
    let hidden = 1.0 - truth.seen_all as f64 / truth.all as f64;
    assert!(hidden < 0.003, "{hidden} of the events was never to be seen");

    // What is left of the budget, in shares of it: the truth, ours, and the two ways of rules.
    let spent = |ratio: f64| ratio / 0.01;
    let true_spent = spent(truth.bad as f64 / truth.all as f64);
    let own = spent(bad / all);
    assert!((own - true_spent).abs() < 0.005, "{own} {true_spent}");
    let ratio = |range: &str| {
        format!("sum(increase(requests_total{{code=\"500\"}}[{range}])) / sum(increase(requests_total[{range}]))")
    };
    let of_means = spent(ask(&tape, &format!("avg_over_time(({} >= 0)[7d:5m])", ratio("5m"))));
    let of_increase = spent(ask(&tape, &ratio("7d")));
    assert!(
        (of_means - true_spent).abs() > 20.0 * (own - true_spent).abs(),
        "mean of ratios {of_means}, truth {true_spent}"
    );
    assert!((of_increase - true_spent).abs() > (own - true_spent).abs(), "increase {of_increase}, truth {true_spent}");
}

/// What an objective on `requests_total` counts of a tape: bad and all events of an hour.
fn counted(tape: &Tape, end: Timestamp) -> (f64, f64) {
    let spec = "slos: [{name: a, objective: 99, window: 1h, indicator: {errors: {bad: 'requests_total{code=\"500\"}', total: requests_total}}}]";
    let slo = file(spec).slos.remove(0);
    let mut accounting = Accounting::new(&slo);
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, Timestamp::EPOCH, end).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, end, History::Complete);
    events(&accounting, &Labels::empty(), end, Duration::from_secs(3600))
}

/// One scrape a column, every 60 s. A row is a series by its code, with `@` and an instance where it is not `i`.
fn tape_of(rows: &[(&str, &str)]) -> Tape {
    let mut tape = Tape::default();
    for (name, values) in rows {
        let (name, instance) = name.split_once('@').unwrap_or((name, "i"));
        let target = [("job", "j"), ("instance", instance)];
        let of_code = [target[0], target[1], ("code", name)];
        let series = if name == "up" { labels("up", &target) } else { labels("requests_total", &of_code) };
        for (column, value) in values.split_whitespace().enumerate().filter(|(_, value)| *value != "_") {
            tape.push(&series, secs(60 * column as i64), value.parse().unwrap());
        }
    }
    tape
}

/// Pitfalls of rules, each beside what is counted: bad and all events within the window, and the ratio as Sloth and Pyrra write it.
#[test]
fn what_rules_get_wrong_is_counted_right() {
    let check = |what: &str, rows: &[(&str, &str)], expected: (f64, f64), by_rules: Option<f64>| {
        let (tape, end) = (tape_of(rows), secs(240));
        assert_eq!(counted(&tape, end), expected, "{what}");
        let rule = "sum(rate(requests_total{code=\"500\"}[4m])) / sum(rate(requests_total[4m]))";
        let expr = promql::parse(rule).unwrap();
        let found = match eval_instant(&expr, end, &tape, &QueryOptions::default()).unwrap().value {
            QueryValue::Vector(elements) => elements.first().and_then(|element| element.value.as_float()),
            other => panic!("{other:?}"),
        };
        let is_same = |(a, b): (f64, f64)| a.is_nan() && b.is_nan() || (a - b).abs() < 1e-9;
        assert!(found.zip(by_rules).is_some_and(is_same) || found == by_rules, "{what}: rules give {found:?}");
    };
    let up = ("up", "1 1 1 1 1");
    let good = ("200", "0 10 20 30 40");
    check("no error series: none bad; a ratio that is absent", &[up, good], (0.0, 40.0), None);
    let first = [up, good, ("500", "_ _ _ _ 5")];
    check("a first error counts; the rate of a single sample is nothing", &first, (5.0, 45.0), None);
    let born = [up, good, ("500", "_ _ 5 5 5")];
    check("born in between, all of it; its first value is lost to rate", &born, (5.0, 45.0), Some(0.0));
    let idle = [up, ("200", "9 9 9 9 9"), ("500", "1 1 1 1 1")];
    check("no traffic, no events; 0 / 0", &idle, (0.0, 0.0), Some(f64::NAN));
    let reset = [up, ("200", "100 110 5 15 25"), ("500", "0 0 0 0 0")];
    check("a reset is counted per series", &reset, (0.0, 35.0), Some(0.0));
    let churn = [
        ("up@a", "1 1 _ _ _"),
        ("200@a", "0 10 _ _ _"),
        ("up@b", "_ _ 1 1 1"),
        ("200@b", "_ _ 500 510 520"),
        ("500@b", "_ _ _ 4 4"),
    ];
    check("a pod that ran before: its past is not ours, its first error is", &churn, (4.0, 34.0), Some(0.0));
}
