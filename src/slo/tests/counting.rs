//! The counting rules: one case per rule, then random histories against a model that reads all raw samples each time.

use std::time::Duration;

use proptest::prelude::*;

use super::{Tape, events, file, labels, secs};
use crate::model::{Labels, Series, Timestamp};
use crate::promql::{Dialect, Querier};
use crate::rules::{Environment, EvalContext, Evaluator};
use crate::slo::{Accounting, History, Role, Slo, SloGroup, sources};
use crate::store::{Row, Store, StoreOptions};

const SPEC: &str = r#"
slos:
  - name: s
    objective: 99
    window: 1d
    group_by: [zone]
    indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}
"#;

fn slo() -> Slo {
    file(SPEC).slos.remove(0)
}

fn feed(accounting: &mut Accounting, slo: &Slo, tape: &Tape, (after, through): (i64, i64), history: History) {
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, secs(after).plus_ms(1), secs(through)).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, secs(through), history);
}

fn new_accounting(slo: &Slo) -> Accounting {
    Accounting::new(slo)
}

/// One target, one scrape a column every 15 s. A row is a series: values, `_` for not in the scrape. A row `up` of 0 and 1 says which
/// scrapes failed; `_` there: not scraped. Gives bad and total at the end.
fn count(rows: &[(&str, &str)], history: History) -> (f64, f64) {
    let mut tape = Tape::default();
    for (name, values) in rows {
        let series = match *name {
            "up" | "process_start_time_seconds" => labels(name, &[("job", "j"), ("instance", "i")]),
            code => labels("requests_total", &[("job", "j"), ("instance", "i"), ("zone", "z"), ("code", code)]),
        };
        for (column, value) in values.split_whitespace().enumerate().filter(|(_, value)| *value != "_") {
            tape.push(&series, secs(15 * column as i64), value.parse().unwrap());
        }
    }
    let slo = slo();
    let mut accounting = new_accounting(&slo);
    feed(&mut accounting, &slo, &tape, (-1, 3600), history);
    events(&accounting, &Labels::from_pairs([("zone", "z")]), secs(3600), Duration::from_secs(7200))
}

#[test]
fn each_rule_counts_as_the_contract_says() {
    let check = |what: &str, rows: &[(&str, &str)], expected: (f64, f64)| {
        assert_eq!(count(rows, History::Complete), expected, "{what}");
    };
    check("the first sample is a base line", &[("up", "1 1 1"), ("200", "100 110 130")], (0.0, 30.0));
    check("a reset counts in full", &[("up", "1 1 1"), ("200", "100 7 9")], (0.0, 9.0));
    check("born later, from zero", &[("up", "1 1 1"), ("200", "100 100 100"), ("500", "_ 3 4")], (4.0, 4.0));
    check("born with up alone as proof", &[("up", "1 1"), ("200", "_ 5")], (0.0, 5.0));
    check("a failed scrape proves nothing", &[("up", "0 1"), ("200", "_ 5")], (0.0, 0.0));
    check("comes back, no witness", &[("up", "1 1 1"), ("200", "10 _ 14")], (0.0, 4.0));
    check("comes back lower", &[("up", "1 1 1"), ("200", "10 _ 4")], (0.0, 4.0));
    let fell = [("up", "1 1 1"), ("200", "10 _ 14"), ("201", "9 1 1")];
    check("comes back, another counter fell meanwhile", &fell, (0.0, 1.0 + 14.0));
    let fell_on_return = [("up", "1 1 1"), ("200", "10 _ 14"), ("201", "9 _ 1")];
    check("comes back, another fell in the same scrape", &fell_on_return, (0.0, 1.0 + 14.0));
    let fell_before = [("up", "1 1 1 1"), ("200", "_ 10 _ 14"), ("201", "9 1 1 1")];
    check("a fall before the absence is no witness", &fell_before, (0.0, 10.0 + 1.0 + 4.0));
    let started = [("up", "1 1 1"), ("200", "10 _ 14"), ("process_start_time_seconds", "5 6 6")];
    check("comes back, the process started anew", &started, (0.0, 14.0));
    let gap = [("up", "1 0 _ 1"), ("200", "10 _ _ 14"), ("process_start_time_seconds", "5 _ _ 6")];
    check("not scraped at all is no absence", &gap, (0.0, 4.0));
    check("NaN counts nothing", &[("up", "1 1 1"), ("200", "10 NaN 14")], (0.0, 4.0));
}

#[test]
fn retained_history_needs_an_own_series_as_proof() {
    let born_after_up = [("up", "1 1 1"), ("200", "_ 1000 1001")];
    assert_eq!(count(&born_after_up, History::Complete), (0.0, 1001.0));
    assert_eq!(count(&born_after_up, History::Retained), (0.0, 1.0));
    let born_after_own = [("up", "1 1 1"), ("200", "1000 1000 1000"), ("500", "_ 2 2")];
    assert_eq!(count(&born_after_own, History::Retained), (2.0, 2.0));
}

#[test]
fn scrapes_before_a_reload_prove_nothing() {
    let slo = slo();
    let mut tape = Tape::default();
    let target = [("job", "j"), ("instance", "i"), ("zone", "z")];
    for step in 0..4 {
        tape.push(&labels("up", &target[..2]), secs(15 * step), 1.0);
    }
    let series = labels("requests_total", &target);
    tape.push(&series, secs(30), 1_000_000.0);
    tape.push(&series, secs(45), 1_000_001.0);
    let mut accounting = new_accounting(&slo);
    feed(&mut accounting, &slo, &tape, (-1, 20), History::Complete);
    accounting.distrust(Timestamp::MIN, secs(20));
    feed(&mut accounting, &slo, &tape, (20, 60), History::Complete);
    let group = Labels::from_pairs([("zone", "z")]);
    assert_eq!(events(&accounting, &group, secs(60), Duration::from_secs(60)), (0.0, 1.0));
}

/// What one target does at one step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Unscraped,
    Failed,
    /// Whether the process restarted before; per series how much it grew, `None` where it is not in the scrape.
    Scraped(bool, Vec<Option<u8>>),
}

const CODES: [&str; 3] = ["200", "404", "500"];
pub(super) const TARGETS: usize = 3;

pub(super) fn step() -> impl Strategy<Value = Step> {
    let scraped =
        (prop::bool::weighted(0.15), prop::collection::vec(prop::option::weighted(0.75, 0u8..4), CODES.len()));
    prop_oneof![1 => Just(Step::Unscraped), 1 => Just(Step::Failed), 6 => scraped.prop_map(|(r, g)| Step::Scraped(r, g))]
}

/// Plays steps: gaps between them in seconds, and what each target does. Counters keep growing while they are not shown.
pub(super) fn play(gaps: &[i64], steps: &[Vec<Step>]) -> Tape {
    let mut tape = Tape::default();
    let mut values = [[40.0; CODES.len()]; TARGETS];
    let mut started = [1.0; TARGETS];
    let mut now = 1000;
    for (gap, targets) in gaps.iter().zip(steps) {
        now += gap;
        for (index, step) in targets.iter().enumerate() {
            let at = secs(now + index as i64);
            let instance = index.to_string();
            let zone = if index < 2 { "a" } else { "b" };
            let of_target = [("job", "j"), ("instance", &*instance), ("zone", zone)];
            let up = labels("up", &of_target[..2]);
            let Step::Scraped(restarted, growth) = step else {
                if matches!(step, Step::Failed) {
                    tape.push(&up, at, 0.0);
                }
                continue;
            };
            tape.push(&up, at, 1.0);
            if *restarted {
                values[index] = [0.0; CODES.len()];
                started[index] += 1.0;
            }
            if index == 0 {
                tape.push(&labels("process_start_time_seconds", &of_target[..2]), at, started[index]);
            }
            for (code, grown) in growth.iter().enumerate() {
                values[index][code] += f64::from(grown.unwrap_or(3));
                if grown.is_some() {
                    let pairs: Vec<_> = of_target.into_iter().chain([("code", CODES[code])]).collect();
                    tape.push(&labels("requests_total", &pairs), at, values[index][code]);
                }
            }
        }
    }
    tape
}

/// The contract read word by word over all samples up to `end`.
mod naive {
    use super::*;

    fn same_target(a: &Labels, b: &Labels) -> bool {
        a.get("instance") == b.get("instance")
    }

    pub(super) fn scrapes(tape: &Tape, of: &Labels) -> Vec<Timestamp> {
        let up =
            tape.series.iter().find(|series| series.labels.metric_name() == "up" && same_target(&series.labels, of));
        let samples = up.into_iter().flat_map(|series| &series.samples);
        samples.filter(|sample| sample.value.as_float() == Some(1.0)).map(|sample| sample.at).collect()
    }

    fn restart_within(tape: &Tape, of: &Series, from: Timestamp, to: Timestamp) -> bool {
        let others =
            tape.series.iter().filter(|other| same_target(&other.labels, &of.labels) && other.labels != of.labels);
        others.filter(|other| other.labels.metric_name() != "up").any(|other| {
            let is_start = other.labels.metric_name() == "process_start_time_seconds";
            other.samples.windows(2).any(|pair| {
                let (before, after) = (pair[0].value.as_float().unwrap(), pair[1].value.as_float().unwrap());
                let shows = if is_start { before != after } else { after < before };
                shows && pair[0].at >= from && pair[1].at <= to
            })
        })
    }

    fn increases(tape: &Tape, series: &Series) -> Vec<(Timestamp, f64)> {
        let scrapes = scrapes(tape, &series.labels);
        let mut before: Option<(Timestamp, f64)> = None;
        let mut increases = Vec::new();
        for sample in &series.samples {
            let (at, value) = (sample.at, sample.value.as_float().unwrap());
            let increase = match before {
                None if scrapes.iter().any(|scrape| *scrape < at) => value,
                None => 0.0,
                Some((_, last)) if value < last => value,
                Some((last_at, last)) => {
                    let is_comeback = scrapes.iter().any(|scrape| last_at < *scrape && *scrape < at);
                    let is_new = is_comeback && restart_within(tape, series, last_at, at);
                    if is_new { value } else { value - last }
                }
            };
            increases.push((at, increase));
            before = Some((at, value));
        }
        increases
    }

    /// Zone, whether bad, instant and size of every increase.
    pub(super) fn all_increases(tape: &Tape) -> Vec<(String, bool, Timestamp, f64)> {
        let counters = tape.series.iter().filter(|series| series.labels.metric_name() == "requests_total");
        counters
            .flat_map(|series| {
                let zone = series.labels.get("zone").unwrap();
                let is_bad = series.labels.get("code") == Some("500");
                increases(tape, series).into_iter().map(move |(at, size)| (zone.to_owned(), is_bad, at, size))
            })
            .collect()
    }

    pub(super) fn events(
        increases: &[(String, bool, Timestamp, f64)],
        zone: &str,
        start: Timestamp,
        end: Timestamp,
    ) -> (f64, f64) {
        let within = increases.iter().filter(|(of, _, at, _)| of == zone && start < *at && *at <= end);
        let bad = within.clone().filter(|(_, is_bad, _, _)| *is_bad).map(|(_, _, _, size)| size).sum();
        (bad, within.map(|(_, _, _, size)| size).sum())
    }

    /// Seconds of `start..end` in which a scrape of a target with a total had succeeded within five minutes. Scrapes are at whole seconds.
    pub(super) fn covered_secs(tape: &Tape, zone: &str, start: i64, end: i64) -> i64 {
        let of_zone = tape.series.iter().filter(|series| series.labels.get("zone") == Some(zone));
        let all: Vec<Timestamp> = of_zone.flat_map(|series| scrapes(tape, &series.labels)).collect();
        let is_covered =
            |at: &i64| all.iter().any(|scrape| *scrape <= secs(*at) && secs(*at) < scrape.plus_ms(300_000));
        (start..end).filter(is_covered).count() as i64
    }
}

/// Samples become visible ten seconds after their timestamps, as scrapes do; slots fall in between.
fn daemon(tape: &Tape, end: i64) -> SloGroup {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(86_400) });
    let mut pending: Vec<(Timestamp, &Labels, f64)> = tape
        .series
        .iter()
        .flat_map(|series| {
            series.samples.iter().map(|sample| (sample.at, &series.labels, sample.value.as_float().unwrap()))
        })
        .collect();
    pending.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    let environment = Environment {
        external_labels: Labels::empty(),
        external_url: "".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        dialect: Dialect::default(),
        resend_delay: Duration::from_secs(60),
    };
    let mut group = SloGroup::new(file(SPEC), Duration::from_secs(15));
    for slot in (900..=end).step_by(15).map(secs) {
        while let Some((at, labels, value)) = pending.pop_if(|(at, _, _)| at.plus_ms(10_000) <= slot) {
            let committed = store.commit(&[Row::new(store.series_ref(labels), at, value)]);
            assert_eq!(committed.appended, 1);
        }
        group.eval(slot, &EvalContext { querier: &store, engine: None, environment: &environment });
    }
    group
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_daemon_that_sees_samples_late_counts_the_same(
        gaps in prop::collection::vec(10i64..120, 30),
        steps in prop::collection::vec(prop::collection::vec(step(), TARGETS), 30),
    ) {
        let tape = play(&gaps, &steps);
        let end = 1000 + gaps.iter().sum::<i64>() + 60;
        let end = end - end % 15;
        let increases = naive::all_increases(&tape);
        for status in daemon(&tape, end).status() {
            let zone = status.group.get("zone").unwrap();
            let expected = naive::events(&increases, zone, secs(0), secs(end));
            let whole = status.figures.whole;
            prop_assert_eq!((whole.counts.bad, whole.counts.total), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn slices_and_repeats_count_what_the_naive_model_counts(
        gaps in prop::collection::vec(prop_oneof![4 => 10i64..60, 1 => 200i64..900], 30),
        steps in prop::collection::vec(prop::collection::vec(step(), TARGETS), 30),
        cuts in prop::collection::vec(1000i64..9000, 0..12),
        windows in prop::collection::vec((0i64..9000, 1i64..9000), 8),
    ) {
        let tape = play(&gaps, &steps);
        let (slo, end) = (slo(), 40_000);
        let mut whole = new_accounting(&slo);
        feed(&mut whole, &slo, &tape, (-1, end), History::Complete);

        let mut sliced = new_accounting(&slo);
        let mut cuts = cuts;
        cuts.sort();
        let mut settled = -1;
        for pair in cuts.chunks(2) {
            sliced.rewind();
            feed(&mut sliced, &slo, &tape, (settled, pair[0]), History::Complete);
            sliced.settle();
            settled = pair[0];
            feed(&mut sliced, &slo, &tape, (settled, *pair.last().unwrap()), History::Complete);
        }
        sliced.rewind();
        feed(&mut sliced, &slo, &tape, (settled, end), History::Complete);

        let increases = naive::all_increases(&tape);
        for zone in ["a", "b"] {
            let group = Labels::from_pairs([("zone", zone)]);
            for (at, length) in &windows {
                let (at, window) = (secs(1000 + at), Duration::from_secs(*length as u64));
                let expected = naive::events(&increases, zone, at - window, at);
                prop_assert_eq!(events(&whole, &group, at, window), expected);
                prop_assert_eq!(events(&sliced, &group, at, window), expected);
            }
            let expected = naive::covered_secs(&tape, zone, end - 39_000, end) as f64 / 39_000.0;
            for accounting in [&whole, &sliced] {
                prop_assert_eq!(accounting.coverage_ratio(&group, secs(end - 39_000), secs(end)), expected);
            }
        }
    }
}

#[test]
fn bad_events_above_all_events_are_told() {
    let spec = SPEC.replace(r#"total: requests_total}"#, "total: asked_total}");
    let slo = file(&spec).slos.remove(0);
    let told = |rows: &[(&str, &str, &str)]| {
        let mut tape = Tape::default();
        for (name, zone, values) in rows {
            let series = labels(name, &[("job", "j"), ("instance", "i"), ("zone", zone), ("code", "500")]);
            for (column, value) in values.split_whitespace().enumerate() {
                tape.push(&series, secs(15 * column as i64), value.parse().unwrap());
            }
        }
        let mut accounting = new_accounting(&slo);
        feed(&mut accounting, &slo, &tape, (-1, 20), History::Complete);
        accounting.rewind();
        feed(&mut accounting, &slo, &tape, (-1, 3600), History::Complete);
        accounting.sizes().disordered
    };
    assert_eq!(
        told(&[("requests_total", "z", "0 5 6 9"), ("asked_total", "z", "0 5 8 9")]),
        1,
        "3 of 1 in the last one"
    );
    assert_eq!(told(&[("requests_total", "z", "0 5 6"), ("asked_total", "z", "0 5 8")]), 0);
    // Each group by itself.
    let zones = [("requests_total", "y", "0 5"), ("asked_total", "y", "0 4"), ("asked_total", "z", "0 9")];
    assert_eq!(told(&zones), 1);
    // Counted elsewhere: nothing to compare with.
    assert_eq!(told(&[("requests_total", "y", "0 5"), ("asked_total", "z", "0 4")]), 0);
}
