//! Files of Sloth, Pyrra and OpenSLO, read as they are and written as rules: a real Prometheus and our engine make the same of these rules, and what
//! they leave of the budget is as near to our own counting as `slo compile` says.
//!
//! Prometheus has the history as blocks. Its rules are asked of it level by level (counts, ratios, figures and alerts) at each slot, and what
//! one level gives is a block for the next, as `promtool tsdb create-blocks-from rules` does it, but at slots that both sides share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use almenara::model::{Labels, METRIC_NAME, Sample, Series, Timestamp};
use almenara::promql::Dialect;
use almenara::promql::plan::Engine;
use almenara::rules::{
    Entry, Environment, EvalContext, Evaluator, Group, GroupDefaults, RuleConfig, RuleFile, RuleKind,
};
use almenara::slo::{Accounting, History, PartIs, Role, Slo, SloFile, parse_file, sources};
use almenara::source::SourceFile;
use almenara::store::{Row, SeriesRef, Store, StoreOptions};
use regex::Regex;
use serde_json::Value;

use crate::peers::{peer, start_prometheus};
use crate::real::process::post_form;

/// 2026-06-01T00:00:00Z.
const START: i64 = 1_780_272_000;
const SCRAPE_SECS: i64 = 60;
const MINUTES: i64 = 36 * 60;
/// Of all groups.
const SLOT_SECS: i64 = 300;
/// Between the instants at which budgets are compared. No error begins or ends near one.
const COMPARED_SECS: i64 = 3 * 3600;
/// Of values of the same rule on both sides, as a share.
const ENGINES_DIFFER: f64 = 1e-9;

const SLOTH: &str = r#"
version: prometheus/v1
service: shop
labels: {team: web}
slos:
  - name: requests
    objective: 99
    description: Requests succeed.
    sli:
      events:
        error_query: sum(rate(shop_requests_total{job="shop",code=~"5.."}[{{.window}}]))
        total_query: sum(rate(shop_requests_total{job="shop"}[{{.window}}]))
    alerting:
      name: ShopErrors
      page_alert: {labels: {channel: pager}}
      ticket_alert: {disable: true}
  - name: probes
    objective: 99
    sli: {raw: {error_ratio_query: '1 - avg(avg_over_time(probe_success{job="probe"}[{{.window}}]))'}}
"#;

const PYRRA: &str = r#"
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: pay-latency, labels: {pyrra.dev/team: pay}}
spec:
  target: "95"
  window: 2w
  indicator:
    latency:
      success: {metric: 'pay_seconds_bucket{job="pay",le="0.5"}'}
      total: {metric: 'pay_seconds_count{job="pay"}'}
"#;

const OPENSLO: &str = r#"
apiVersion: openslo/v1
kind: SLO
metadata: {name: search-answers}
spec:
  service: search
  indicator:
    metadata: {name: answers}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'search_good_total{job="search"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'search_all_total{job="search"}'}}}
  timeWindow: [{duration: 1d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.98}]
  alertPolicies: [{alertPolicyRef: fast-burn}]
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast-burn}
spec:
  alertWhenBreaching: true
  conditions:
    - kind: AlertCondition
      metadata: {name: fast}
      spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 5, lookbackWindow: 1h, alertAfter: 5m}}
  notificationTargets: []
"#;

/// A series and its samples, by the second.
type Recorded = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// What was scraped: nights that are nearly idle, three outages, a pod that restarts. All series are there from the beginning.
fn history() -> Recorded {
    let mut series: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for minute in 0..=MINUTES {
        let at = START + SCRAPE_SECS * minute;
        let hour = minute / 60 % 24;
        let traffic = if hour < 5 { 2.0 } else { 40.0 + 10.0 * (hour - 12).abs() as f64 + (minute * 7 % 13) as f64 };
        let errors = match minute {
            400..430 => 0.3,
            1_000..1_012 => 1.0,
            1_600..1_690 => 0.05,
            _ => 0.0,
        };
        let bad = (traffic * errors).round();
        let mut count = |name: &str, more: f64| {
            let count = counts.entry(name.to_owned()).or_default();
            // The pod restarts: what it counted is gone.
            *count = if minute == 800 && name.contains("pod=\"b\"") { 0.0 } else { *count + more };
            series.entry(name.to_owned()).or_default().insert(at, *count);
        };
        for pod in ["a", "b"] {
            let one =
                |code: &str| format!("shop_requests_total{{code={code:?},instance={pod:?},job=\"shop\",pod={pod:?}}}");
            count(&one("200"), traffic - bad);
            count(&one("503"), bad);
        }
        count("pay_seconds_bucket{instance=\"p\",job=\"pay\",le=\"0.5\"}", traffic - bad);
        count("pay_seconds_count{instance=\"p\",job=\"pay\"}", traffic);
        count("search_good_total{instance=\"s\",job=\"search\"}", traffic - bad);
        count("search_all_total{instance=\"s\",job=\"search\"}", traffic);
        let mut gauge = |name: &str, value: f64| {
            series.entry(name.to_owned()).or_default().insert(at, value);
        };
        gauge("probe_success{instance=\"q\",job=\"probe\"}", if errors == 1.0 { 0.0 } else { 1.0 });
        for target in ["a\",job=\"shop", "b\",job=\"shop", "p\",job=\"pay", "s\",job=\"search", "q\",job=\"probe"] {
            gauge(&format!("up{{instance=\"{target}\"}}"), 1.0);
        }
    }
    series.into_iter().map(|(name, samples)| (labels(&name), samples)).collect()
}

fn labels(series: &str) -> Labels {
    let matchers = almenara::promql::parse_metric_selector(series).unwrap();
    Labels::from_pairs(matchers.iter().map(|matcher| (matcher.name.clone(), matcher.value.clone())))
}

fn openmetrics(recorded: &Recorded) -> String {
    let mut text = String::new();
    for (labels, samples) in recorded {
        samples.iter().for_each(|(at, value)| {
            let _ = writeln!(text, "{labels} {value} {at}");
        });
    }
    text + "# EOF\n"
}

fn almenara(folder: &Path, arguments: &str) -> (String, String) {
    let program = env!("CARGO_BIN_EXE_almenara");
    let output = Command::new(program).current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{arguments}: {stderr}");
    (stdout, stderr)
}

fn run(program: &Path, folder: &Path, arguments: &[&str]) {
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn rule_file(text: &str) -> RuleFile {
    let (file, diagnostics) = RuleFile::parse(&SourceFile::new("rules.yml", text));
    file.unwrap_or_else(|| panic!("{diagnostics}"))
}

/// What our rule groups record of the history, alerts included: at each slot in order, after the samples up to it.
fn by_ours(files: &[RuleFile], history: &Recorded) -> Recorded {
    let defaults = GroupDefaults { interval: Duration::from_secs(SLOT_SECS as u64), query_offset: Duration::ZERO };
    let groups = files.iter().flat_map(|file| file.groups.iter().map(|group| (file.source.name.clone(), group)));
    let mut groups: Vec<Group> = groups.map(|(file, group)| Group::new(file, group, defaults)).collect();
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::MAX }));
    let engine = Engine::new(store.clone());
    let environment = Environment {
        external_labels: Labels::empty(),
        external_url: "http://almenara".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        dialect: Dialect::default(),
        resend_delay: Duration::from_secs(60),
    };
    let series: Vec<(SeriesRef, &BTreeMap<i64, f64>)> =
        history.iter().map(|(labels, samples)| (store.series_ref(labels), samples)).collect();
    let mut recorded = Recorded::new();
    for slot in (START..=START + MINUTES * SCRAPE_SECS).step_by(SLOT_SECS as usize) {
        for at in (slot - SLOT_SECS + SCRAPE_SECS..=slot).step_by(SCRAPE_SECS as usize) {
            let row = |(series, samples): &(SeriesRef, &BTreeMap<i64, f64>)| {
                samples.get(&at).map(|value| Row::new(*series, secs(at), *value))
            };
            store.commit(&series.iter().filter_map(row).collect::<Vec<_>>());
        }
        for group in &mut groups {
            let context = EvalContext { querier: &*store, engine: Some(&engine), environment: &environment };
            let outcome = group.eval(secs(slot), &context);
            assert!(outcome.failures.is_empty(), "a rule failed at {slot}: {:?}", outcome.failures);
            let mut rows = Vec::new();
            for one in outcome.recorded {
                rows.push(Row::new(store.series_ref(&one.labels), one.at, one.value.clone()));
                if !one.value.is_stale() {
                    let value = one.value.as_float().expect("a float");
                    recorded.entry(one.labels).or_default().insert(slot, value);
                }
            }
            store.commit(&rows);
        }
    }
    recorded
}

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000)
}

/// What the rules record in a real Prometheus over the history, and when each alert's expression gives something.
fn by_prometheus(
    prometheus: &Path,
    promtool: &Path,
    folder: &Path,
    files: &[RuleFile],
    history: &Recorded,
) -> Recorded {
    fs::write(folder.join("prometheus.yml"), "{}").unwrap();
    let rules: Vec<&RuleConfig> = files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules).collect();
    let is_of_level = |rule: &RuleConfig, level: usize| match &*rule.name {
        "slo:sli_bad:increase5m" | "slo:sli_total:increase5m" => level == 0,
        name if name.starts_with("slo:sli_error:") => level == 1,
        _ => level == 2,
    };
    let (mut all, mut new) = (Recorded::new(), history.clone());
    for level in 0..3 {
        fs::write(folder.join("samples"), openmetrics(&new)).unwrap();
        run(promtool, folder, &["tsdb", "create-blocks-from", "openmetrics", "-q", "samples", "data"]);
        let (_running, port) = start_prometheus(prometheus, folder, &["--storage.tsdb.retention.time=100y"]);
        new = Recorded::new();
        for rule in rules.iter().filter(|rule| is_of_level(rule, level)) {
            new.extend(asked(port, rule));
        }
        all.extend(new.clone());
    }
    all
}

/// A rule's expression at each slot, as the series that it records; of an alert, `ALERTS` without its state.
fn asked(port: u16, rule: &RuleConfig) -> Recorded {
    let escaped: String = rule.expr.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let end = START + MINUTES * SCRAPE_SECS;
    let form = format!("query={escaped}&start={START}&end={end}&step={SLOT_SECS}");
    let (status, body) = post_form(port, "/api/v1/query_range", &form);
    assert_eq!(status, 200, "{}: {body}", rule.name);
    let answer: Value = serde_json::from_str(&body).unwrap();
    let mut recorded = Recorded::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let own = series["metric"].as_object().unwrap().iter();
        let mut pairs: BTreeMap<String, String> =
            own.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let set = |Entry { name, value, .. }: &Entry| (name.to_string(), value.to_string());
        pairs.extend(rule.labels.iter().map(set));
        let is_alert = rule.kind == RuleKind::Alerting;
        let name = if is_alert { "ALERTS" } else { &*rule.name };
        pairs.insert(METRIC_NAME.to_owned(), name.to_owned());
        if is_alert {
            pairs.insert("alertname".to_owned(), rule.name.to_string());
        }
        let samples = series["values"].as_array().unwrap().iter().map(|sample| {
            let value: f64 = sample[1].as_str().unwrap().parse().unwrap();
            (sample[0].as_f64().unwrap() as i64, if is_alert { 1.0 } else { value })
        });
        recorded.insert(Labels::from_pairs(pairs), samples.collect());
    }
    recorded
}

/// Of alerts only that they live: whether they are pending depends on `for`, which an expression does not have.
fn without_state(recorded: Recorded) -> Recorded {
    let mut merged = Recorded::new();
    for (labels, samples) in recorded {
        if labels.metric_name() == "ALERTS_FOR_STATE" {
            continue;
        }
        let kept = labels.iter().filter(|label| &*label.name != "alertstate");
        let kept = Labels::from_pairs(kept.map(|label| (label.name.to_string(), label.value.to_string())));
        merged.entry(kept).or_default().extend(samples);
    }
    merged
}

fn assert_same(ours: &Recorded, theirs: &Recorded) {
    let names = |recorded: &Recorded| recorded.keys().map(Labels::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(ours), names(theirs));
    for (labels, samples) in theirs {
        let own = &ours[labels];
        assert!(own.keys().eq(samples.keys()), "{labels}: ours at {:?}, theirs at {:?}", own.keys(), samples.keys());
        for (at, value) in samples {
            let off = (own[at] - value).abs();
            assert!(off <= ENGINES_DIFFER * value.abs().max(1.0), "{labels} at {at}: ours {}, theirs {value}", own[at]);
        }
    }
}

/// How far the rules of an objective may be off, as printed, in shares.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// A count over 5m is at most so much too high. `None`: it has no counts.
    count: Option<f64>,
    /// The budget that is spent. Queries are off by nothing.
    budget: f64,
}

/// By objective.
fn printed_bounds(told: &str) -> BTreeMap<String, Bounds> {
    let percent = |pattern: &str| {
        let line = Regex::new(pattern).unwrap();
        move |told: &str| {
            let found = line.captures(told)?;
            Some((found[1].to_owned(), found.get(2).map(|text| text.as_str().parse::<f64>().unwrap() / 100.0)))
        }
    };
    let count = percent(r"^([\w-]+): windows up to 6h: a count is at most ([0-9.]+)% too high");
    let budget = percent(r"^([\w-]+): longer windows and the budget: .*is off by at most ([0-9.]+)% of itself");
    let queries = percent(r"^([\w-]+): the queries are evaluated here as there");
    let mut bounds: BTreeMap<String, Bounds> = BTreeMap::new();
    for line in told.lines() {
        if let Some((name, share)) = count(line) {
            bounds.entry(name).or_default().count = share;
        } else if let Some((name, share)) = budget(line) {
            bounds.entry(name).or_default().budget = share.unwrap();
        } else if let Some((name, _)) = queries(line) {
            bounds.entry(name).or_default();
        }
    }
    bounds
}

/// Compares the counts that the rules record with what happened by our own counting, event by event.
fn compare_counts(specs: &[SloFile], rules: &Recorded, history: &Recorded, bounds: &BTreeMap<String, Bounds>) {
    let mut compared = 0;
    for slo in specs.iter().flat_map(|file| &file.slos).filter(|slo| !slo.indicator.is_queried()) {
        let counted = counted(slo, history);
        let too_high = 1.0 + bounds[&*slo.name].count.expect("a bound");
        for name in ["slo:sli_bad:increase5m", "slo:sli_total:increase5m"] {
            let is_its = |labels: &&Labels| labels.metric_name() == name && labels.get("slo") == Some(&*slo.name);
            let labels = rules.keys().find(is_its).unwrap_or_else(|| panic!("no {name} of {}", slo.name));
            let events = |at: i64| {
                let (part, all) = counted.events_total(&Labels::empty(), secs(at));
                match slo.indicator.part_is() {
                    _ if name == "slo:sli_total:increase5m" => all,
                    PartIs::Bad => part,
                    PartIs::Good => all - part,
                }
            };
            for (at, count) in rules[labels].iter().filter(|(at, _)| **at > START + SLOT_SECS) {
                let first = events(at - SLOT_SECS);
                let happened = events(*at) - first;
                // What lies before the first sample in the range is what is estimated.
                let unseen = events(at - SLOT_SECS + SCRAPE_SECS) - first;
                assert!(
                    (happened - unseen - 1e-6..=happened * too_high + 1e-6).contains(count),
                    "{labels} at {at}: {happened} events, {unseen} of them in the first minute, are {count} to the rules"
                );
                compared += usize::from(happened > 0.0);
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

/// The counters of an objective over the whole history.
fn counted(slo: &Slo, history: &Recorded) -> Accounting {
    let samples = |samples: &BTreeMap<i64, f64>| {
        samples.iter().map(|(at, value)| Sample::float(secs(*at), *value)).collect::<Vec<_>>()
    };
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, tests)| {
            let own = history.iter().filter(|(labels, _)| tests.iter().all(|test| test.matches_labels(labels)));
            (role, own.map(|(labels, of)| Series::new(labels.clone(), samples(of))).collect())
        })
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    let mut accounting = Accounting::reaching(slo, Duration::from_secs((MINUTES * SCRAPE_SECS) as u64));
    accounting.feed(&batch, secs(START + MINUTES * SCRAPE_SECS), History::Complete);
    accounting
}

/// Compares what the rules leave of each budget with our own counting. Gives how far they are apart at most, by objective.
fn compare_budgets(native: &str, rules: &Recorded, bounds: &BTreeMap<String, Bounds>) -> BTreeMap<String, f64> {
    let native: Value = serde_json::from_str(native).unwrap();
    let mut apart = BTreeMap::new();
    for slo in native["slos"].as_array().unwrap() {
        let name = slo["name"].as_str().unwrap();
        let is_its = |labels: &Labels| {
            labels.metric_name() == "slo:period_error_budget_remaining:ratio" && labels.get("slo") == Some(name)
        };
        let (_, left) =
            rules.iter().find(|(labels, _)| is_its(labels)).unwrap_or_else(|| panic!("no budget of {name}"));
        let (mut compared, mut apart_max) = (0, 0.0_f64);
        for point in slo["points"].as_array().unwrap() {
            let at = point["time"].as_i64().unwrap();
            let Some(own_left) = point["budget_remaining"].as_f64() else { continue };
            let (own_spent, spent) = (1.0 - own_left, 1.0 - left[&at]);
            let off = (own_spent - spent).abs();
            assert!(
                off <= bounds[name].budget * own_spent + ENGINES_DIFFER,
                "{name} at {at}: {own_spent} of the budget is spent, {spent} by rules; at most {} is allowed",
                bounds[name].budget
            );
            compared += usize::from(own_spent > 0.0);
            apart_max = apart_max.max(if own_spent > 0.0 { off / own_spent } else { 0.0 });
        }
        assert!(compared >= 3, "{name}: a budget of which nothing is spent says nothing");
        apart.insert(name.to_owned(), apart_max);
    }
    apart
}

#[test]
fn files_of_other_tools_are_the_same_as_rules() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let history = history();
    fs::write(folder.join("history.om"), openmetrics(&history)).unwrap();
    let (mut specs, mut files, mut told, mut natives) = (Vec::new(), Vec::new(), String::new(), Vec::new());
    let end = START + MINUTES * SCRAPE_SECS;
    for (name, text) in [("sloth", SLOTH), ("pyrra", PYRRA), ("openslo", OPENSLO)] {
        fs::write(folder.join(format!("{name}.yml")), text).unwrap();
        let (rules, bounds) = almenara(folder, &format!("slo compile {name}.yml --scrape-interval 1m"));
        fs::write(folder.join(format!("{name}-rules.yml")), &rules).unwrap();
        files.push(rule_file(&rules));
        specs.push(parse_file(&SourceFile::new(name, text)).0.expect("a file that was compiled"));
        told.push_str(&bounds);
        let replay = format!("--start {START} --end {end} --step {COMPARED_SECS}s --format json");
        natives.push(almenara(folder, &format!("slo backtest {name}.yml --source history.om {replay}")).0);
    }
    let ours = without_state(by_ours(&files, &history));
    let told_by = |labels: &Labels| {
        let label = |name| labels.get(name).unwrap_or_default();
        (labels.metric_name() == "ALERTS").then(|| format!("{} {}", label("slo"), label("severity")))
    };
    let alerts: BTreeSet<String> = ours.keys().filter_map(told_by).collect();
    let expected = ["pay-latency ticket", "probes page", "probes ticket", "requests page", "search-answers page"]
        .map(str::to_owned);
    assert_eq!(alerts, expected.into(), "each file's policy sees the outages");
    let bounds = printed_bounds(&told);
    compare_counts(&specs, &ours, &history, &bounds);
    let apart: Vec<(String, f64)> = natives.iter().flat_map(|native| compare_budgets(native, &ours, &bounds)).collect();
    assert_eq!(apart.len(), 4, "{apart:?}");

    let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    run(&promtool, folder, &["check", "rules", "sloth-rules.yml", "pyrra-rules.yml", "openslo-rules.yml"]);
    let theirs = by_prometheus(&prometheus, &promtool, folder, &files, &history);
    assert_same(&ours, &theirs);
}
