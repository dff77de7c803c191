//! Two scrapers of the same targets: events count once, whoever of them dies, returns or cannot reach a target.

use std::time::Duration;

use proptest::prelude::*;

use super::{Tape, environment, events, file, labels, secs};
use crate::model::{Labels, Series, Timestamp};
use crate::promql::eval::{QueryOptions, QueryValue, eval_instant};
use crate::promql::{self, Querier};
use crate::rules::{EvalContext, Evaluator};
use crate::slo::backtest::backtest;
use crate::slo::snapshot::{Reader, Writer};
use crate::slo::{Accounting, Grid, History, Names, Recording, Role, Slo, SloGroup, compile, sources};
use crate::store::{Lateness, Row, Store, StoreOptions};

const SPEC: &str = r#"
slos:
  - name: s
    objective: 99
    window: 2h
    replica_labels: [prometheus_replica]
    indicator: {errors: {bad: 'requests_total{code="500"}', total: requests_total}}
"#;

/// Scrapers look every 15 s.
const STEP: i64 = 15;
const END: i64 = 1800;

fn slo() -> Slo {
    file(SPEC).slos.remove(0)
}

/// A process that counts: 10 good requests a second, a bad one too from `fails_from` on; it starts anew at each of `restarts`.
#[derive(Clone, Debug)]
struct Process {
    restarts: Vec<i64>,
    fails_from: i64,
}

const STEADY: Process = Process { restarts: Vec::new(), fails_from: 0 };

impl Process {
    /// Good and bad ones since its last start.
    fn counters(&self, at: i64) -> (i64, i64) {
        let start = self.restarts.iter().copied().filter(|restart| *restart <= at).max().unwrap_or(-1000);
        (10 * (at - start), (at - start.max(self.fails_from)).max(0))
    }
}

/// What one scraper does: it looks at `offset`, then every [`STEP`], while `is_alive`; where it does not reach the target, `up` is 0.
struct Scraper<'a> {
    name: &'a str,
    offset: i64,
    is_alive: &'a dyn Fn(i64) -> bool,
    reaches: &'a dyn Fn(i64) -> bool,
    /// Its timestamps are so much earlier than when it read the target.
    early: i64,
}

impl Default for Scraper<'_> {
    fn default() -> Self {
        Scraper { name: "a", offset: 0, is_alive: &|_| true, reaches: &|_| true, early: 0 }
    }
}

fn watch(tape: &mut Tape, instance: &str, process: &Process, scraper: &Scraper<'_>) {
    let target = [("job", "j"), ("instance", instance), ("prometheus_replica", scraper.name)];
    for read_at in (scraper.offset..END).step_by(STEP as usize).filter(|at| (scraper.is_alive)(*at)) {
        let at = secs(read_at - scraper.early);
        let reaches = (scraper.reaches)(read_at);
        tape.push(&labels("up", &target), at, f64::from(u8::from(reaches)));
        let (good, bad) = process.counters(read_at);
        for (code, value) in [("200", good), ("500", bad)].into_iter().filter(|(_, value)| reaches && *value > 0) {
            let of_code: Vec<_> = target.into_iter().chain([("code", code)]).collect();
            tape.push(&labels("requests_total", &of_code), at, value as f64);
        }
    }
}

fn both(process: &Process, a: Scraper<'_>, b: Scraper<'_>) -> Tape {
    let mut tape = Tape::default();
    watch(&mut tape, "i", process, &a);
    watch(&mut tape, "i", process, &Scraper { name: "b", ..b });
    tape
}

fn feed(accounting: &mut Accounting, tape: &Tape, after: i64, through: i64) {
    let read: Vec<(Role, Vec<Series>)> = sources(&slo().indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, secs(after).plus_ms(1), secs(through)).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, secs(through), History::Complete);
}

fn counted(tape: &Tape) -> Accounting {
    let mut accounting = Accounting::new(&slo());
    feed(&mut accounting, tape, -100, END);
    accounting
}

/// Bad and all events up to an instant.
fn at(accounting: &Accounting, at: i64) -> (f64, f64) {
    events(accounting, &Labels::empty(), secs(at), Duration::from_secs(7200))
}

/// Those that happened between two scrapes of the same life of the process.
fn truth(process: &Process, from: i64, to: i64) -> (f64, f64) {
    let (then, now) = (process.counters(from), process.counters(to));
    let bad = now.1 - then.1;
    (bad as f64, (bad + now.0 - then.0) as f64)
}

#[test]
fn of_two_copies_one_counts() {
    let (a, b) = (Scraper::default(), Scraper { offset: 7, ..Scraper::default() });
    let two = counted(&both(&STEADY, a, b));
    let mut alone = Tape::default();
    watch(&mut alone, "i", &STEADY, &Scraper::default());
    let one = counted(&alone);
    for instant in (0..END).step_by(5) {
        assert_eq!(at(&two, instant), at(&one, instant), "{instant}");
    }
    assert_eq!(two.sizes().replica_changes, 0);
    assert_eq!(two.sizes().series, one.sizes().series);
}

#[test]
fn when_one_dies_the_other_goes_on_from_its_values() {
    let dies = |at: i64| at < 600; // its last scrape is at 585
    let a = Scraper { is_alive: &dies, ..Scraper::default() };
    let accounting = counted(&both(&STEADY, a, Scraper { offset: 7, ..Scraper::default() }));
    assert_eq!(at(&accounting, 585), truth(&STEADY, 0, 585));
    // For two of its intervals it is waited for; the scrape of the other at 622 is the first after that.
    assert_eq!(at(&accounting, 621), truth(&STEADY, 0, 585));
    assert_eq!(at(&accounting, 622), truth(&STEADY, 0, 622));
    assert_eq!(at(&accounting, END), truth(&STEADY, 0, 1792));
    assert_eq!(accounting.sizes().replica_changes, 1);
    assert_eq!(accounting.coverage_ratio(&Labels::empty(), secs(0), secs(END)), 1.0);
}

#[test]
fn what_the_other_saw_during_the_change_counts() {
    let dies = |at: i64| at < 600;
    let check = |what: &str, process: Process, expected: (f64, f64)| {
        let a = Scraper { is_alive: &dies, ..Scraper::default() };
        let accounting = counted(&both(&process, a, Scraper { offset: 7, ..Scraper::default() }));
        assert_eq!(at(&accounting, END), expected, "{what}");
    };
    let sum = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
    // The other's last scrape before is at 607: what happened from there to the restart nobody has seen.
    let restarts = Process { restarts: vec![610], fails_from: 0 };
    let until = truth(&STEADY, 0, 607);
    let since = (1792.0 - 610.0, 11.0 * (1792.0 - 610.0));
    check("a restart during the change", restarts, sum(until, since));
    let fails = Process { restarts: Vec::new(), fails_from: 600 };
    check("a first error during the change", fails.clone(), truth(&fails, 0, 1792));
}

#[test]
fn a_copy_that_returns_waits_until_the_other_is_silent() {
    let a_alive = |at: i64| !(600..900).contains(&at);
    let b_alive = |at: i64| at < 1200;
    let a = Scraper { is_alive: &a_alive, ..Scraper::default() };
    let b = Scraper { offset: 7, is_alive: &b_alive, ..Scraper::default() };
    let accounting = counted(&both(&STEADY, a, b));
    // A scrape of `b`, while `a` is back.
    assert_eq!(at(&accounting, 1000), truth(&STEADY, 0, 997));
    assert_eq!(at(&accounting, END), truth(&STEADY, 0, 1785));
    assert_eq!(accounting.sizes().replica_changes, 2);
}

#[test]
fn a_replica_that_cannot_reach_a_target_is_no_outage() {
    let reaches = |at: i64| at < 600;
    let a = Scraper { reaches: &reaches, ..Scraper::default() };
    let accounting = counted(&both(&STEADY, a, Scraper { offset: 7, ..Scraper::default() }));
    assert_eq!(at(&accounting, END), truth(&STEADY, 0, 1792));
    assert_eq!(accounting.coverage_ratio(&Labels::empty(), secs(0), secs(END)), 1.0);
    for instant in 0..END {
        assert_eq!(accounting.outage_since(&Labels::empty(), secs(instant)), None, "{instant}");
    }
}

#[test]
fn a_target_that_nobody_reaches_is_down() {
    let reaches = |at: i64| !(600..1200).contains(&at);
    let a = Scraper { reaches: &reaches, ..Scraper::default() };
    let b = Scraper { offset: 7, reaches: &reaches, ..Scraper::default() };
    let accounting = counted(&both(&STEADY, a, b));
    // It was last seen at 592, by the copy that does not count.
    assert_eq!(accounting.outage_since(&Labels::empty(), secs(650)), Some(secs(592)));
    assert_eq!(accounting.outage_since(&Labels::empty(), secs(1199)), Some(secs(592)));
    assert_eq!(accounting.outage_since(&Labels::empty(), secs(1200)), None);
    assert_eq!(at(&accounting, END), truth(&STEADY, 0, 1785));
}

#[test]
fn clocks_that_differ_reset_nothing() {
    // `b` stamps a scrape three seconds early: what it reads at 601 stands before what `a` reads at 600 as 598, and the other way round.
    for (a_early, b_early) in [(0, 3), (3, 0), (0, 9), (9, 0)] {
        for offset in 0..STEP {
            let dies = |at: i64| at < 600;
            let a = Scraper { is_alive: &dies, early: a_early, ..Scraper::default() };
            let accounting = counted(&both(&STEADY, a, Scraper { offset, early: b_early, ..Scraper::default() }));
            let last = (END - 1 - offset) / STEP * STEP + offset;
            // Whoever is seen first gives the base line.
            let first = if -a_early <= offset - b_early { 0 } else { offset };
            assert_eq!(at(&accounting, END), truth(&STEADY, first, last), "{a_early} {b_early} {offset}");
        }
    }
}

#[test]
fn targets_of_other_clusters_are_other_targets() {
    let spec = SPEC.replace("indicator:", "target_labels: [cluster]\n    indicator:");
    let slo = file(&spec).slos.remove(0);
    let mut tape = Tape::default();
    for (cluster, replica, base) in [("eu", "a", 100.0), ("eu", "b", 100.0), ("us", "a", 5000.0)] {
        // The one in `us` comes later, and is no birth at the target of `eu`; that one's copy `a` dies, and `us` is no copy of it.
        let from = if cluster == "us" { 300 } else { 0 };
        let to = if (cluster, replica) == ("eu", "a") { 600 } else { END };
        for now in (from..to).step_by(STEP as usize) {
            let target = [("job", "j"), ("instance", "i"), ("cluster", cluster), ("prometheus_replica", replica)];
            tape.push(&labels("up", &target), secs(now), 1.0);
            tape.push(&labels("requests_total", &target), secs(now), base + now as f64);
        }
    }
    let mut accounting = Accounting::new(&slo);
    feed(&mut accounting, &tape, -100, END);
    assert_eq!(at(&accounting, END), (0.0, 1785.0 + 1785.0 - 300.0));
}

#[test]
fn a_bucket_goes_with_the_total_of_its_own_copy() {
    let spec = "slos: [{name: s, window: 2h, replica_labels: [replica], indicator: {latency: {histogram: d_seconds, p99: 1s}}}]";
    let slo = file(spec).slos.remove(0);
    let mut tape = Tape::default();
    // All requests are fast. `b` lags behind by 100, and `a` dies between two scrapes of everybody.
    for now in (0..END).step_by(STEP as usize) {
        for (replica, lag) in [("a", 0), ("b", 100)].into_iter().filter(|(name, _)| *name == "b" || now < 600) {
            let target = [("job", "j"), ("instance", "i"), ("replica", replica)];
            for (name, bound) in [("d_seconds_bucket", Some("1")), ("d_seconds_count", None)] {
                let pairs: Vec<_> = target.into_iter().chain(bound.map(|bound| ("le", bound))).collect();
                tape.push(&labels(name, &pairs), secs(now), (10_000 + 10 * now - lag) as f64);
            }
        }
    }
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, secs(-1), secs(END)).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    let mut accounting = Accounting::new(&slo);
    accounting.feed(&batch, secs(END), History::Complete);
    // The good ones, and all.
    assert_eq!(at(&accounting, END), (17_750.0, 17_750.0));
    assert_eq!(accounting.sizes().disordered, 0);
}

/// When each scraper lives, and when the process restarts.
fn spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..END - 700, 20i64..400), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_event_is_doubled_and_none_lost_that_was_seen(
        (a_gone, b_gone) in (spans(), spans()),
        offset in 0..STEP,
        restarts in prop::collection::vec(1..END, 0..4),
        cuts in prop::collection::vec(0..END, 0..6),
    ) {
        let is_alive = |gone: &[(i64, i64)], at: i64| !gone.iter().any(|(from, length)| (*from..from + length).contains(&at));
        let process = Process { restarts: restarts.clone(), fails_from: 0 };
        let a = |at: i64| is_alive(&a_gone, at);
        let b = |at: i64| is_alive(&b_gone, at);
        let tape = both(
            &process,
            Scraper { is_alive: &a, ..Scraper::default() },
            Scraper { offset, is_alive: &b, ..Scraper::default() },
        );
        let whole = counted(&tape);

        // All that both have seen, as one scraper that looks whenever either did.
        let mut union = Tape::default();
        for name in ["a", "b"] {
            for series in tape.series.iter().filter(|series| series.labels.get("prometheus_replica") == Some(name)) {
                let one = series.labels.filtered(|label| &*label.name != "prometheus_replica");
                series.samples.iter().for_each(|sample| union.push(&one, sample.at, sample.value.as_float().unwrap()));
            }
        }
        union.series.iter_mut().for_each(|series| {
            series.samples.sort_by_key(|sample| sample.at);
            series.samples.dedup_by_key(|sample| sample.at);
        });
        let seen = at(&counted(&union), END);
        let (bad, all) = at(&whole, END);
        // What only the copy that does not count has seen: before a restart an interval and the margin for clocks; at the end, where both live, an
        // interval.
        let lost_max = 11.0 * (restarts.len() as f64 * (STEP + 10) as f64 + STEP as f64);
        prop_assert!(bad <= seen.0 && all <= seen.1, "{bad} {all} of {seen:?}");
        prop_assert!(all >= seen.1 - lost_max, "{all} of {seen:?}");

        // In slices, fed again, saved and loaded in between: the same.
        let mut sliced = Accounting::new(&slo());
        let (mut cuts, mut settled) = (cuts, -100);
        cuts.sort_unstable();
        for cut in cuts {
            sliced.rewind();
            feed(&mut sliced, &tape, settled, cut);
            sliced.settle();
            settled = cut;
            let mut out = Writer::default();
            sliced.save(&mut out);
            let mut loaded = Accounting::new(&slo());
            prop_assert!(loaded.load(&mut Reader(&out.0)).is_some());
            sliced = loaded;
            feed(&mut sliced, &tape, settled, cut + 40);
        }
        sliced.rewind();
        feed(&mut sliced, &tape, settled, END);
        for instant in (0..END).step_by(7) {
            prop_assert_eq!(at(&sliced, instant), at(&whole, instant));
        }
        let covered = |accounting: &Accounting| accounting.coverage_ratio(&Labels::empty(), secs(0), secs(END));
        prop_assert_eq!(covered(&sliced), covered(&whole));
        prop_assert_eq!(covered(&counted(&union)), covered(&whole));
    }
}

/// As OpenMetrics text.
pub(super) fn recording(tape: &Tape) -> Recording {
    let mut text = String::new();
    for series in &tape.series {
        let name = series.labels.metric_name();
        let pairs: Vec<String> = series
            .labels
            .without_metric_name()
            .iter()
            .map(|label| format!("{}={:?}", label.name, label.value))
            .collect();
        for sample in &series.samples {
            let (value, at) = (sample.value.as_float().unwrap(), sample.at.as_secs_f64());
            text += &format!("{name}{{{}}} {value} {at}\n", pairs.join(","));
        }
    }
    Recording::parse(format!("{text}# EOF\n").as_bytes()).unwrap()
}

/// Evaluates every 15 s over samples that are stored `lag` seconds after their time; is killed and starts anew at each of `kills`.
fn daemon(tape: &Tape, lag: i64, kills: &[i64]) -> SloGroup {
    let store = Store::new(StoreOptions { retention: Duration::from_secs(86_400) });
    let mut pending: Vec<(Timestamp, &Labels, f64)> = tape
        .series
        .iter()
        .flat_map(|series| series.samples.iter().map(|sample| (sample, &series.labels)))
        .map(|(sample, labels)| (sample.at, labels, sample.value.as_float().unwrap()))
        .collect();
    pending.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    let environment = environment();
    let new = || SloGroup::new(file(SPEC), Duration::from_secs(STEP as u64));
    let (mut group, mut saved) = (new(), Vec::new());
    group.eval(secs(-200), &EvalContext { querier: &store, engine: None, environment: &environment });
    for now in (0..=END + 60).step_by(STEP as usize) {
        if kills.iter().any(|kill| (now - STEP..now).contains(kill)) {
            group = new();
            assert_eq!(group.restore(&saved, secs(now)), usize::from(!saved.is_empty()));
        }
        while let Some((at, labels, value)) = pending.pop_if(|(at, _, _)| at.plus_ms(1000 * lag) <= secs(now)) {
            store.commit_late(&[Row::new(store.series_ref(labels), at, value)], Lateness::All);
        }
        group.eval(secs(now), &EvalContext { querier: &store, engine: None, environment: &environment });
        if now % 120 == 0 {
            saved = group.save();
        }
    }
    group
}

#[test]
fn daemon_killed_daemon_and_backtest_count_the_same() {
    let process = Process { restarts: vec![610, 1100], fails_from: 300 };
    let a_alive = |at: i64| !(600..900).contains(&at);
    let b_alive = |at: i64| !(1000..1300).contains(&at);
    let b_reaches = |at: i64| !(700..760).contains(&at);
    let a = Scraper { is_alive: &a_alive, ..Scraper::default() };
    let b = Scraper { offset: 7, is_alive: &b_alive, reaches: &b_reaches, ..Scraper::default() };
    let tape = both(&process, a, b);
    let end = secs(END + 60);
    let grid = Grid { start: end, end, step: Duration::from_secs(60) };
    let replayed = backtest(&slo(), &recording(&tape), grid).unwrap();
    let whole = &replayed[0].points[0];
    assert_eq!((whole.counts.bad, whole.counts.total), at(&counted(&tape), END));
    for (lag, kills) in [(0, &[][..]), (10, &[]), (10, &[400, 604, 625, 640, 905, 1015, 1050, 1600])] {
        let group = daemon(&tape, lag, kills);
        let figures = &group.status()[0].figures.whole;
        assert_eq!(figures.counts, whole.counts, "{lag} {kills:?}");
        assert_eq!(figures.coverage_ratio, whole.coverage, "{lag} {kills:?}");
    }
}

#[test]
fn compiled_rules_take_the_mean_of_copies() {
    // At first both copies scrape, then `b` alone.
    let dies = |at: i64| at < 900;
    let a = Scraper { is_alive: &dies, ..Scraper::default() };
    let tape = both(&STEADY, a, Scraper { offset: 7, ..Scraper::default() });
    let compiled = compile(&slo(), Names::Own, Duration::from_secs(STEP as u64)).unwrap();
    let total = compiled.groups[0].rules.iter().find(|rule| rule.name == "slo:sli_total:increase5m").unwrap();
    let expr = promql::parse(&total.expr).unwrap();
    for instant in [600, 1500] {
        let found = match eval_instant(&expr, secs(instant), &tape, &QueryOptions::default()).unwrap().value {
            QueryValue::Vector(elements) => elements[0].value.as_float().unwrap(),
            other => panic!("{other:?}"),
        };
        assert!((found - 11.0 * 300.0).abs() < 11.0, "{found} at {instant}, by {}", total.expr);
    }
    assert!(compiled.bounds.iter().any(|bound| bound.starts_with("copies of a target: ")), "{:?}", compiled.bounds);
}

#[test]
fn mistakes_are_told_at_their_place() {
    let check = |keys: &str, expected: &str| {
        let text = format!("slos: [{{name: s, objective: 99, {keys}}}]");
        let (_, diagnostics) = crate::slo::parse_file(&crate::source::SourceFile::new("slo.yml", text));
        assert!(diagnostics.to_string().contains(expected), "{keys}: {diagnostics}");
    };
    let up = "indicator: {availability: up}";
    check(
        &format!("group_by: [replica], replica_labels: [replica], {up}"),
        "copies differ in \"replica\", and groups cannot",
    );
    check(&format!("replica_labels: [instance], {up}"), "\"instance\" tells targets apart");
    check(&format!("replica_labels: [a-b], {up}"), "\"a-b\" is not a label");
    check(&format!("replica_labels: [a, a], {up}"), "stands twice");
    check(&format!("replica_labels: [a], target_labels: [a], {up}"), "either targets or their copies apart");
    check(&format!("replica_labels: a, {up}"), "expected a list");
    check(
        "replica_labels: [a], indicator: {ratio: 'avg(rate(x[$window]))'}",
        "replica_labels does not go with this indicator",
    );
}
