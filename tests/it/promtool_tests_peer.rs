//! `almenara test rules` beside `promtool test rules`: the same verdicts, exit codes and texts.
//!
//! [`KINDS`] restates every kind of test file that promtool knows, with names and numbers of our own. [`random_files_agree`] plays
//! random series to random rules: what we find is written down as the expectation, which promtool must confirm; then one figure
//! is changed, which both must notice in the same words; then the file is broken.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::peers::peer;
use crate::promtool_peer::Random;

/// How far a kind of file must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Agreement {
    /// Exit code and both streams, byte for byte.
    Texts,
    /// Exit code and verdict: the words about files that cannot be read are ours, and so are warnings.
    Verdict,
    /// We do otherwise, and why.
    Differs(&'static str),
}
use Agreement::{Differs, Texts, Verdict};

/// Two groups and an alert with everything, for most kinds.
const RULES: &str = r#"
groups:
- name: records
  rules:
  - {record: 'queue:depth:sum', expr: sum by (queue) (depth)}
  - {record: 'queue:growth:rate5m', expr: 'deriv(depth[5m])', labels: {team: mail}}
- name: alerts
  interval: 7m
  rules:
  - alert: Backlog
    expr: queue:depth:sum > 40
    for: 2m
    keep_firing_for: 3m
    labels: {severity: '{{ if gt $value 90.0 }}page{{ else }}ticket{{ end }}', zone: '{{ $externalLabels.zone }}'}
    annotations:
      summary: '{{ $labels.queue }} holds {{ $value | humanize }}'
      link: '{{ $externalURL }}/q?n={{ $labels.queue | toUpper }}'
      empty: ''
  - {alert: NoWorker, expr: absent(worker_up)}
"#;

const SERIES: &str = r#"input_series: [{series: 'depth{queue="in",shard="1"}', values: '10+10x12 _x3 stale'}, {series: 'depth{queue="in",shard="2"}', values: '0 _ 5 5x20'}, {series: 'worker_up{id="a"}', values: '1x3 stale _x4 1x20'}]"#;

/// Name, options, rule file, test file (without `rule_files` where the rules are [`RULES`]), and how far both must agree.
#[rustfmt::skip]
const KINDS: &[(&str, &[&str], &str, &str, Agreement)] = &[
    ("nothing in the file", &[], RULES, "", Texts),
    ("no tests", &[], RULES, "tests: []", Texts),
    ("a test without anything", &[], RULES, "tests: [{}]", Verdict),
    ("an expression that holds", &[], RULES, "tests: [{SERIES, promql_expr_test: [{expr: 'queue:depth:sum', eval_time: 4m, exp_samples: [{labels: 'queue:depth:sum{queue=\"in\"}', value: 55}]}]}]", Texts),
    ("an expression that does not", &[], RULES, "tests: [{SERIES, promql_expr_test: [{expr: 'queue:depth:sum', eval_time: 4m, exp_samples: [{labels: 'queue:depth:sum{queue=\"in\"}', value: 55.5}]}]}]", Texts),
    ("samples missing and samples too many", &[], RULES, "tests: [{name: s, SERIES, promql_expr_test: [{expr: depth, eval_time: 4m}, {expr: nothing, eval_time: 4m, exp_samples: [{labels: 'a{b=\"c\"}', value: -1e-7}, {labels: '{}', value: .inf}]}]}]", Texts),
    ("a scalar", &[], RULES, "tests: [{promql_expr_test: [{expr: 'time() / 8', eval_time: 1m, exp_samples: [{value: 7.5}]}]}]", Texts),
    ("not a number equals nothing", &[], RULES, "tests: [{promql_expr_test: [{expr: '0 / 0', exp_samples: [{value: .nan}]}]}]", Texts),
    ("a text", &[], RULES, "tests: [{promql_expr_test: [{expr: '\"a\"'}]}]", Texts),
    ("a range vector", &[], RULES, "tests: [{promql_expr_test: [{expr: 'depth[5m]'}]}]", Texts),
    ("no expression", &[], RULES, "tests: [{promql_expr_test: [{eval_time: 1m}]}]", Texts),
    ("an expression that cannot be read", &[], RULES, "tests: [{promql_expr_test: [{expr: 'sum(depth', eval_time: 1m}]}]", Texts),
    ("an expression that fails", &[], RULES, "tests: [{SERIES, promql_expr_test: [{expr: 'worker_up + on() depth', eval_time: 1m}]}]", Verdict),
    ("alerts that fire", &[], RULES, "tests: [{SERIES, external_labels: {zone: west}, external_url: 'http://p:1', alert_rule_test: [{eval_time: 6m, alertname: Backlog, exp_alerts: [{exp_labels: {queue: in, severity: ticket, zone: west}, exp_annotations: {summary: in holds 75, link: 'http://p:1/q?n=IN', empty: ''}}]}]}]", Texts),
    ("an empty annotation that is not expected", &[], RULES, "tests: [{SERIES, external_labels: {zone: west}, external_url: 'http://p:1', alert_rule_test: [{eval_time: 6m, alertname: Backlog, exp_alerts: [{exp_labels: {queue: in, severity: ticket, zone: west}, exp_annotations: {summary: in holds 75, link: 'http://p:1/q?n=IN'}}]}]}]", Texts),
    ("alerts that do not fire", &[], RULES, "tests: [{name: quiet, SERIES, alert_rule_test: [{eval_time: 1m, alertname: Backlog, exp_alerts: [{exp_labels: {a: b}}, {}]}]}]", Texts),
    ("alerts that should not fire", &[], RULES, "tests: [{SERIES, alert_rule_test: [{eval_time: 6m30s, alertname: Backlog}, {eval_time: 6m, alertname: NoWorker}, {eval_time: 14m, alertname: Backlog}]}]", Texts),
    ("differences of alerts", &["--diff"], RULES, "tests: [{SERIES, alert_rule_test: [{eval_time: 6m, alertname: Backlog}, {eval_time: 6m, alertname: NoWorker, exp_alerts: [{exp_labels: {x: 'y\"z'}}, {exp_annotations: {n: o}}]}, {eval_time: 9m, alertname: Backlog, exp_alerts: [{exp_labels: {queue: in, severity: page}}]}]}]", Texts),
    ("a dump", &["--debug"], RULES, "tests: [{SERIES, name: d, external_labels: {zone: west}, alert_rule_test: [{eval_time: 6m10s, alertname: Backlog}]}, {promql_expr_test: [{expr: vector(1)}]}]", Texts),
    ("an alert without name", &[], RULES, "tests: [{alert_rule_test: [{eval_time: 1m}]}]", Verdict),
    ("an alert that no rule has", &[], RULES, "tests: [{alert_rule_test: [{eval_time: 1m, alertname: Nope}]}]", Verdict),
    ("only test groups of a name", &["--run", "^b", "--run", "^c"], RULES, "tests: [{name: a, promql_expr_test: [{expr: vector(1)}]}, {name: b, promql_expr_test: [{expr: vector(2)}]}, {promql_expr_test: [{expr: vector(3)}]}, {name: cc, promql_expr_test: [{expr: vector(1), exp_samples: [{value: 1}]}]}]", Texts),
    ("no test group of the name", &["--run", "zzz"], RULES, "tests: [{name: a, promql_expr_test: [{expr: vector(1)}]}]", Texts),
    ("other intervals", &[], RULES, "evaluation_interval: 45s\ntests: [{interval: 20s, SERIES, promql_expr_test: [{expr: 'queue:depth:sum', eval_time: 100s}, {expr: 'timestamp(depth)', eval_time: 100s}, {expr: 'depth', eval_time: 1m25s500ms}]}]", Texts),
    ("between steps", &[], RULES, "evaluation_interval: 2m\ntests: [{interval: 1m, SERIES, alert_rule_test: [{eval_time: 3m59s, alertname: Backlog}, {eval_time: 5m, alertname: Backlog}], promql_expr_test: [{expr: depth, eval_time: 5m}, {expr: 'count_over_time(queue:depth:sum[20m])', eval_time: 5m}]}]", Texts),
    ("no interval of the test group", &[], RULES, "evaluation_interval: 10s\ntests: [{SERIES, promql_expr_test: [{expr: depth, eval_time: 1m}]}]", Texts),
    ("a fixed instant", &[], "groups: [{name: g, rules: [{record: early, expr: 'depth @ 60'}, {record: late, expr: 'depth @ 300'}]}]", "tests: [{SERIES, promql_expr_test: [{expr: early, eval_time: 3m}, {expr: 'late', eval_time: 4m}, {expr: 'late', eval_time: 6m}, {expr: 'depth @ end()', eval_time: 2m}]}]", Texts),
    ("a look ahead", &[], "groups: [{name: g, rules: [{record: ahead, expr: 'depth offset -2m'}]}]", "tests: [{SERIES, promql_expr_test: [{expr: ahead, eval_time: 3m}, {expr: 'last_over_time(ahead[9m])', eval_time: 9m}]}]", Texts),
    ("subqueries on their own grid", &[], "groups: [{name: g, rules: [{record: high, expr: 'max_over_time((depth > 20)[5m:])'}, {record: high2, expr: 'sum_over_time(depth[7m:2m] offset 1m)'}]}]", "evaluation_interval: 90s\ntests: [{interval: 30s, SERIES, promql_expr_test: [{expr: high, eval_time: 6m}, {expr: high2, eval_time: 6m}, {expr: 'sum_over_time(high2[3m:])', eval_time: 6m}]}]", Texts),
    ("groups in an order", &[], "groups:\n- {name: second, rules: [{record: b, expr: a + 1}]}\n- {name: first, rules: [{record: a, expr: depth}]}\n- {name: third, rules: [{record: c, expr: b + 1}]}", "group_eval_order: [first, second, third]\ntests: [{SERIES, promql_expr_test: [{expr: 'c{shard=\"1\"}', eval_time: 0m}, {expr: 'b', eval_time: 2m}]}]", Texts),
    ("an order that names a group twice", &[], RULES, "group_eval_order: [alerts, alerts]\ntests: [{promql_expr_test: [{expr: vector(1)}]}]", Verdict),
    ("neighbours without fuzzy", &[], RULES, "tests: [{promql_expr_test: [{expr: '0.1 + 0.2', exp_samples: [{value: 0.3}]}]}]", Texts),
    ("neighbours with fuzzy", &[], RULES, "fuzzy_compare: true\ntests: [{promql_expr_test: [{expr: '0.1 + 0.2', exp_samples: [{value: 0.3}]}, {expr: '0.3 + 1e-15', exp_samples: [{value: 0.3}]}]}]", Texts),
    ("a rule that fails", &[], "groups: [{name: g, rules: [{record: fine, expr: depth}, {record: pair, expr: 'worker_up + on() group_right() depth + on() worker_up'}]}]", "tests: [{input_series: [{series: 'worker_up{id=\"a\"}', values: '1x9'}, {series: 'worker_up{id=\"b\"}', values: '_ _ _ 1x9'}, {series: depth, values: '1x9'}], alert_rule_test: [{eval_time: 1m, alertname: A, exp_alerts: [{}]}], promql_expr_test: [{expr: vector(1), eval_time: 9m}]}, {promql_expr_test: [{expr: vector(1)}]}]", Verdict),
    ("two rules of one series", &[], "groups: [{name: g, rules: [{record: one, expr: depth}, {record: one, expr: depth * 2}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("two rules of one series that agree", &[], "groups: [{name: g, rules: [{record: one, expr: depth}, {record: one, expr: depth * 1}]}]", "tests: [{SERIES, promql_expr_test: [{expr: one, eval_time: 9m}]}]", Texts),
    ("a rule over its input", &[], "groups: [{name: g, rules: [{record: depth, expr: worker_up, labels: {queue: in, shard: '1', id: ''}}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("more series than the limit", &[], "groups: [{name: g, limit: 1, rules: [{record: two, expr: depth}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("more alerts than the limit", &[], "groups: [{name: g, limit: 1, rules: [{alert: Two, expr: depth > 4}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("alerts with the same labels", &[], "groups: [{name: g, rules: [{alert: Two, expr: depth > 4, labels: {shard: x}}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("records with the same labels", &[], "groups: [{name: g, rules: [{record: two, expr: depth, labels: {shard: x}}]}]", "tests: [{SERIES, promql_expr_test: [{expr: vector(1), eval_time: 9m}]}]", Texts),
    ("a query offset", &[], "groups: [{name: g, query_offset: 2m, rules: [{record: old, expr: depth}, {alert: Old, expr: depth > 20, annotations: {v: '{{ $value }}'}}]}]", "tests: [{SERIES, alert_rule_test: [{eval_time: 5m, alertname: Old}], promql_expr_test: [{expr: timestamp(old), eval_time: 5m}, {expr: old, eval_time: 1m}]}]", Texts),
    ("labels of the group", &[], "groups: [{name: g, labels: {team: a, shard: ''}, rules: [{record: r, expr: sum(depth)}, {alert: A, expr: depth > 5, labels: {team: b}}]}]", "tests: [{SERIES, alert_rule_test: [{eval_time: 2m, alertname: A}], promql_expr_test: [{expr: r, eval_time: 5m}]}]", Verdict),
    ("alerts of one name in two groups", &[], "groups: [{name: g, rules: [{alert: A, expr: depth > 20}]}, {name: h, rules: [{alert: A, expr: depth < 8, for: 1m, labels: {low: 'yes'}}]}]", "tests: [{SERIES, alert_rule_test: [{eval_time: 3m, alertname: A}, {eval_time: 30m, alertname: A}]}]", Verdict),
    ("alerts about alerts", &[], "groups: [{name: g, rules: [{alert: A, expr: depth > 20, for: 1m}]}, {name: h, rules: [{alert: Meta, expr: 'sum by (alertstate) (ALERTS)'}, {record: since, expr: ALERTS_FOR_STATE}]}]", "group_eval_order: [g, h]\ntests: [{SERIES, alert_rule_test: [{eval_time: 3m, alertname: Meta}], promql_expr_test: [{expr: ALERTS, eval_time: 2m}, {expr: since, eval_time: 4m}]}]", Texts),
    ("templates that fail", &[], "groups: [{name: g, rules: [{alert: A, expr: depth > 20, annotations: {bad: '{{ printf \"%d\" $value }} {{ $labels.nope }} {{ query \"sum(depth)\" | first | value }}', worse: '{{ template \"x\" }}'}}]}]", "tests: [{SERIES, alert_rule_test: [{eval_time: 3m, alertname: A}]}]", Texts),
    ("native histograms", &[], "groups: [{name: g, rules: [{record: p50, expr: 'histogram_quantile(0.5, lat)'}, {record: sum, expr: sum(lat)}, {record: lat_rate, expr: 'rate(lat[5m])'}]}]", "tests: [{input_series: [{series: lat, values: '{{schema:1 count:4 sum:5 z_bucket:1 z_bucket_w:0.001 buckets:[1 2] offset:-1 n_buckets:[1]}}+{{schema:1 count:2 sum:1 buckets:[1 1] offset:-1}}x9'}, {series: 'lat{custom=\"1\"}', values: '{{schema:-53 count:3 sum:4 custom_values:[1 2.5] buckets:[1 1 1]}}x9'}], promql_expr_test: [{expr: 'p50{custom=\"1\"}', eval_time: 5m}, {expr: 'lat', eval_time: 5m}, {expr: lat_rate, eval_time: 5m}, {expr: 'lat', eval_time: 0m}, {expr: histogram_count(lat), eval_time: 3m, exp_samples: [{labels: '{}', value: 10}, {labels: '{custom=\"1\"}', value: 3}]}, {expr: 'lat{custom=\"1\"} * 2', eval_time: 3m, exp_samples: [{labels: '{custom=\"1\"}', histogram: '{{schema:-53 count:6 sum:8 custom_values:[1 2.5] counter_reset_hint:not_reset buckets:[2 2 2]}}'}]}]}]", Texts),
    ("a histogram with a value beside it", &[], RULES, "tests: [{input_series: [{series: lat, values: '{{count:1 buckets:[1]}}'}], promql_expr_test: [{expr: lat, exp_samples: [{labels: lat, value: 2, histogram: '{{count:1 buckets:[1]}}'}]}]}]", Texts),
    ("a histogram that is none", &[], RULES, "tests: [{promql_expr_test: [{expr: vector(1), exp_samples: [{histogram: '1'}]}]}]", Verdict),
    ("two histograms for one", &[], RULES, "tests: [{promql_expr_test: [{expr: vector(1), exp_samples: [{histogram: '{{}} {{}}'}]}]}]", Verdict),
    ("expected labels that cannot be read", &[], RULES, "tests: [{promql_expr_test: [{expr: vector(1), exp_samples: [{labels: '{a=}', value: 1}]}]}]", Verdict),
    ("input that cannot be read", &[], RULES, "tests: [{input_series: [{series: 'depth{', values: 1}]}]", Verdict),
    ("values that cannot be read", &[], RULES, "tests: [{input_series: [{series: 'depth', values: '1 x'}]}]", Verdict),
    ("the same series twice", &[], RULES, "tests: [{input_series: [{series: 'depth', values: '1 2 3'}, {series: '{__name__=\"depth\"}', values: '7 8 9'}], promql_expr_test: [{expr: depth, eval_time: 1m, exp_samples: [{labels: depth, value: 8}]}]}]", Texts),
    ("values over several lines", &[], RULES, "tests:\n- input_series:\n  - series: depth\n    values: |\n      1 2 3\n      4 5\n  promql_expr_test: [{expr: depth, eval_time: 4m, exp_samples: [{labels: depth, value: 5}]}]", Differs("values over several lines are read to their end")),
    ("UTF-8 names", &[], "groups: [{name: g, rules: [{record: 'queue.depth', expr: '{\"a.b\", \"x-y\"=\"1\"}'}, {alert: 'Ünder', expr: '{\"a.b\"} > 0'}]}]", "tests: [{input_series: [{series: '{\"a.b\", \"x-y\"=\"1\"}', values: 1}], alert_rule_test: [{alertname: Ünder}], promql_expr_test: [{expr: '{\"queue.depth\"}'}]}]", Texts),
    ("a week", &[], "groups: [{name: g, rules: [{record: day, expr: 'avg_over_time(depth[1d])'}]}]", "evaluation_interval: 1h\ntests: [{interval: 1h, input_series: [{series: depth, values: 0+1x200}], promql_expr_test: [{expr: day, eval_time: 7d, exp_samples: [{labels: day, value: 156.5}]}, {expr: day, eval_time: 8d5h30m}]}]", Texts),
    ("a start of its own", &[], RULES, "tests: [{start_timestamp: 1600000000, promql_expr_test: [{expr: time(), eval_time: 1m, exp_samples: [{value: 1600000060}]}]}]", Differs("start_timestamp is a key of promtool 3.8 and later")),
    ("more than 10,000 samples", &[], RULES, "tests: [{interval: 1s, input_series: [{series: depth, values: 1x20000}], promql_expr_test: [{expr: 'count_over_time(depth[5h])', eval_time: 5h, exp_samples: [{value: 18000}]}]}]", Differs("a query may load as many samples as in the daemon")),
    ("partial matching", &[], RULES, "tests: [{SERIES, alert_rule_test: [{eval_time: 6m, alertname: Backlog, match: partial, exp_alerts: [{exp_labels: {queue: in}}]}]}]", Differs("a key of ours")),
    ("a rule file that is not there", &[], "", "rule_files: [nowhere.yml]\ntests: [{promql_expr_test: [{expr: vector(1), exp_samples: [{value: 1}]}]}]", Texts),
    ("a pattern without files", &[], "", "rule_files: ['no*.yml', './no.yml', 'sub/../no.yml']\ntests: []", Verdict),
    ("a rule file twice", &[], RULES, "rule_files: [rules.yml, 'r*.yml', ./rules.yml]\ntests: [{SERIES, promql_expr_test: [{expr: 'queue:depth:sum', eval_time: 4m}]}]", Texts),
    ("a rule that cannot be read", &[], "groups: [{name: g, rules: [{record: r, expr: 'sum('}]}]", "tests: [{promql_expr_test: [{expr: vector(1), exp_samples: [{value: 1}]}]}]", Verdict),
    ("a rule file that cannot be read", &[], "groups: [", "tests: [{}]", Verdict),
    ("a rule file that cannot be read, and no tests", &[], "groups: [", "tests: []", Differs("rule files are read even where no test group runs")),
    ("unknown keys in rules", &[], "extra: 1\ngroups: [{name: g, owner: x, rules: [{record: r, expr: '1', team: y}]}]", "tests: [{promql_expr_test: [{expr: r, exp_samples: [{labels: r, value: 1}]}]}]", Verdict),
    ("unknown keys in rules, passed over", &["--ignore-unknown-fields"], "extra: 1\ngroups: [{name: g, owner: x, rules: [{record: r, expr: '1', team: y}]}]", "tests: [{promql_expr_test: [{expr: r, exp_samples: [{labels: r, value: 1}]}]}]", Texts),
    ("unknown keys in tests", &["--ignore-unknown-fields"], RULES, "owner: x\ntests: []", Verdict),
    ("not YAML", &[], RULES, "tests: [", Verdict),
    ("a wrong type", &[], RULES, "tests: 5", Verdict),
    ("a wrong duration", &[], RULES, "evaluation_interval: 5 minutes", Verdict),
    ("a wrong number", &[], RULES, "tests: [{promql_expr_test: [{expr: '1', exp_samples: [{value: one}]}]}]", Verdict),
    ("a key twice", &[], RULES, "tests: []\ntests: []", Verdict),
];

fn run(program: &Path, folder: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(["test", "--junit", "junit.xml", "rules"]).args(options).arg("tests.yml").current_dir(folder);
    command.output().expect("the program starts")
}

/// Standard output, standard error and JUnit, without the times that a run took or was made at.
fn texts(output: &Output, folder: &Path) -> [String; 3] {
    let without_times = |text: &str| {
        let took = regex::Regex::new(r"took .*").unwrap().replace_all(text, "took").into_owned();
        regex::Regex::new("timestamp=\"[^\"]*\"").unwrap().replace_all(&took, "").into_owned()
    };
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap_or_default();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    [out, err, junit].map(|text| without_times(&text))
}

/// Runs both on the files and gives what differs beyond `agreement`.
fn compare(promtool: &Path, options: &[&str], rules: &str, tests: &str, agreement: Agreement) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    fs::write(folder.path().join("tests.yml"), tests).unwrap();
    let theirs = run(promtool, folder.path(), options);
    let their_texts = texts(&theirs, folder.path());
    let ours = run(Path::new(env!("CARGO_BIN_EXE_almenara")), folder.path(), options);
    let our_texts = texts(&ours, folder.path());
    let is_same_code = ours.status.code() == theirs.status.code();
    let is_same = match agreement {
        Texts => is_same_code && our_texts == their_texts,
        Verdict => is_same_code,
        Differs(_) => !is_same_code,
    };
    let show = |output: &Output, texts: &[String; 3]| format!("{:?}\n{}", output.status.code(), texts.join("\n---\n"));
    (!is_same)
        .then(|| format!("{tests}\npromtool {}\nalmenara {}", show(&theirs, &their_texts), show(&ours, &our_texts)))
}

#[test]
fn every_kind_of_file_agrees() {
    let Some(promtool) = peer("promtool") else { return };
    let mut wrong = Vec::new();
    for (name, options, rules, tests, agreement) in KINDS {
        let mut head =
            if tests.contains("rule_files") { String::new() } else { "rule_files: [rules.yml]\n".to_owned() };
        // Without it promtool evaluates the groups in a random order.
        if *rules == RULES && !tests.contains("group_eval_order") {
            head += "group_eval_order: [records, alerts]\n";
        }
        let tests = format!("{head}{}", tests.replace("SERIES", SERIES));
        let difference = compare(&promtool, options, rules, &tests, *agreement);
        wrong.extend(difference.map(|text| format!("=== {name} ({agreement:?})\n{text}")));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), KINDS.len(), wrong.join("\n"));
    let differences = KINDS.iter().filter(|(.., agreement)| matches!(agreement, Differs(_))).count();
    assert_eq!(differences, 5, "a deliberate difference more or less: tell of it in docs/src/testing.md");
}

/// Series that random tests choose values for.
const RANDOM_SERIES: [&str; 4] =
    ["load{host=\"a\",disk=\"1\"}", "load{host=\"a\",disk=\"2\"}", "load{host=\"b\",disk=\"1\"}", "limit{host=\"a\"}"];

/// Expressions of random rules and tests. `r0` to `r3` are what rules record.
const RANDOM_EXPRS: [&str; 18] = [
    "load",
    "sum by (host) (load)",
    "avg without (disk) (load) / on (host) group_left () limit",
    "rate(load[4m])",
    "max_over_time(load[3m]) - min_over_time(load[3m])",
    "load > 3",
    "load > on (host) group_left () limit",
    "topk(1, load)",
    "count_over_time(r0[6m])",
    "r1 or r0",
    "r2 unless on (host) limit",
    "absent(r3)",
    "sum_over_time(r1[5m:90s])",
    "quantile_over_time(0.3, load[5m])",
    "changes(r0[10m]) + on (host) group_left () limit",
    "label_replace(load, \"pool\", \"p$1\", \"host\", \"(.*)\")",
    "time() - timestamp(load)",
    "histogram_quantile(0.5, sum by (le) (label_replace(load, \"le\", \"$1\", \"disk\", \"(.*)\")))",
];

fn random_values(random: &mut Random) -> String {
    let item = |random: &mut Random| {
        let number = random.below(9);
        match random.below(8) {
            0 => "_".to_owned(),
            1 => format!("_x{}", 1 + number),
            2 => "stale".to_owned(),
            3 => format!("{number}+{}x{}", random.below(4), random.below(5)),
            4 => format!("{number}-0.5x{}", random.below(5)),
            5 => format!("{}.25", number),
            _ => number.to_string(),
        }
    };
    (0..8).map(|_| item(random)).collect::<Vec<_>>().join(" ")
}

fn random_rules(random: &mut Random) -> String {
    let mut rules = String::from("groups:\n- name: g\n  rules:\n");
    for number in 0..4 {
        let expr = RANDOM_EXPRS[random.below(RANDOM_EXPRS.len() as u64) as usize];
        let labels = ["", ", labels: {host: a}", ", labels: {tier: gold}"][random.below(8).min(2) as usize];
        writeln!(rules, "  - {{record: r{number}, expr: '{expr}'{labels}}}").unwrap();
    }
    for number in 0..3 {
        let expr = RANDOM_EXPRS[random.below(RANDOM_EXPRS.len() as u64) as usize];
        let (hold, keep) = (random.below(4), random.below(3));
        writeln!(
            rules,
            "  - {{alert: A{number}, expr: '{expr}', for: {hold}m, keep_firing_for: {keep}m, \
             annotations: {{note: '{{{{ $labels.host }}}} {{{{ $value }}}}'}}}}"
        )
        .unwrap();
    }
    rules
}

/// A test file that asks for alerts and expressions; `expected` are the answers, in order, empty at first.
fn random_tests(random: &mut Random, expected: &[String]) -> String {
    let mut answers = expected.iter();
    let mut answer = || answers.next().cloned().unwrap_or_else(|| "[]".to_owned());
    let interval = ["1m", "30s", "45s"][random.below(3) as usize];
    let mut tests = format!("rule_files: [rules.yml]\nevaluation_interval: {interval}\ntests:\n- interval: 1m\n");
    tests += "  input_series:\n";
    for series in RANDOM_SERIES {
        writeln!(tests, "  - {{series: '{series}', values: '{}'}}", random_values(random)).unwrap();
    }
    tests += "  alert_rule_test:\n";
    let mut eval_times: Vec<u64> = (0..4).map(|_| random.below(14) * 30).collect();
    eval_times.sort_unstable();
    for secs in eval_times {
        let alert = random.below(3);
        writeln!(tests, "  - {{eval_time: {secs}s, alertname: A{alert}, exp_alerts: {}}}", answer()).unwrap();
    }
    tests += "  promql_expr_test:\n";
    for _ in 0..4 {
        let expr = RANDOM_EXPRS[random.below(RANDOM_EXPRS.len() as u64) as usize];
        let secs = random.below(14) * 30;
        writeln!(tests, "  - {{expr: '{expr}', eval_time: {secs}s, exp_samples: {}}}", answer()).unwrap();
    }
    tests
}

/// What was got for each of the eight questions of a random test, as expectations. `None` where a rule or an expression fails.
fn answers(folder: &Path) -> Option<Vec<String>> {
    let program = Path::new(env!("CARGO_BIN_EXE_almenara"));
    let output =
        Command::new(program).args(["test", "rules", "--format", "json", "tests.yml"]).current_dir(folder).output();
    let report: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let failures = report["files"][0]["groups"][0]["failures"].as_array()?;
    let lines = fs::read_to_string(folder.join("tests.yml")).unwrap();
    let is_question = |line: &str| line.starts_with("  - {eval_time") || line.starts_with("  - {expr");
    let mut found = Vec::new();
    for (line, _) in lines.lines().enumerate().filter(|(_, line)| is_question(line)) {
        let failure = failures.iter().find(|failure| failure["line"] == line + 1);
        let items = match failure.and_then(|failure| failure["message"].as_str()) {
            Some(text) => expectations(text.split_once("got:")?.1),
            None => String::new(),
        };
        found.push(format!("[{items}]"));
    }
    failures.iter().all(|failure| failure["kind"] != "rule").then_some(found)
}

/// The items of a list that a failure shows, as a test file would expect them.
fn expectations(got: &str) -> String {
    let regex = |text: &str| regex::Regex::new(text).unwrap();
    let items: Vec<String> = if got.starts_with('[') {
        let pairs = regex(r#"([\w]+)="([^"]*)""#);
        let map = |labels: &str| {
            let pairs = pairs.captures_iter(labels).filter(|pair| &pair[1] != "alertname");
            pairs.map(|pair| format!("{}: '{}'", &pair[1], &pair[2])).collect::<Vec<_>>().join(", ")
        };
        let alerts = regex(r"Labels:(\{.*\})\s+Annotations:(\{.*\})");
        let item = |labels: &str, notes: &str| {
            format!("{{exp_labels: {{{}}}, exp_annotations: {{{}}}}}", map(labels), map(notes))
        };
        alerts.captures_iter(got).map(|alert| item(&alert[1], &alert[2])).collect()
    } else {
        let samples = regex(r"(\{[^}]*\}) (\S+?)(?:, |$)");
        let number = |text: &str| text.replace("+Inf", ".inf").replace("-Inf", "-.inf").replace("NaN", ".nan");
        let samples = samples.captures_iter(got);
        samples.map(|sample| format!("{{labels: '{}', value: {}}}", &sample[1], number(&sample[2]))).collect()
    };
    items.join(", ")
}

/// A way to break a file: what to replace by what.
const BREAKS: [(&str, &str); 10] = [
    ("eval_time", "evaltime"),
    ("interval: 1m", "interval: 1 m"),
    ("tests:", "tests"),
    ("values: '", "values: 'x "),
    ("exp_samples: [", "exp_samples: [1"),
    ("series: 'load{", "series: 'load{{"),
    ("  alert_rule_test:", " alert_rule_test:"),
    ("[rules.yml]", "{rules: yml}"),
    ("alertname: A", "alertname: '' #"),
    ("interval: 1m", "interval: [1m]"),
];

#[test]
fn random_files_agree() {
    const FILES: u64 = 60;
    let Some(promtool) = peer("promtool") else { return };
    let mut wrong = Vec::new();
    let (mut passing, mut failing, mut broken) = (0, 0, 0);
    for seed in 0..FILES {
        let mut random = Random(20_261_122 + seed);
        let rules = random_rules(&mut random);
        let state = random.0;
        let unanswered = random_tests(&mut Random(state), &[]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yml"), &rules).unwrap();
        fs::write(folder.path().join("tests.yml"), &unanswered).unwrap();
        // 1. What is got without any expectation, or how a rule fails.
        let mut check = |tests: &str, agreement| {
            let difference = compare(&promtool, &[], &rules, tests, agreement);
            wrong.extend(difference.map(|text| format!("=== seed {seed}\n{rules}{text}")));
        };
        check(&unanswered, Texts);
        failing += 1;
        // 2. The same, written down as expectation.
        if let Some(answers) = answers(folder.path()) {
            check(&random_tests(&mut Random(state), &answers), Texts);
            passing += 1;
        }
        // 3. Broken.
        let (from, to) = BREAKS[random.below(BREAKS.len() as u64) as usize];
        assert!(unanswered.contains(from), "{from}");
        check(&unanswered.replacen(from, to, 1), Verdict);
        broken += 1;
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), passing + failing + broken, wrong.join("\n"));
    assert!(passing >= 30 && passing + failing + broken >= 150, "{passing} {failing} {broken}");
}

/// The example of the guide, rules and tests, passes for both.
#[test]
fn the_example_of_the_guide_passes() {
    let Some(promtool) = peer("promtool") else { return };
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/testing.md")).unwrap();
    let block = |kind: &str, mark: &str| {
        let fence = format!("```yaml {kind}\n");
        let mut blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
        blocks.find(|block| block.contains(mark)).unwrap_or_else(|| panic!("no {kind} with {mark}")).to_owned()
    };
    let (rules, tests) = (block("rules", "ManyErrors"), block("test", "ManyErrors"));
    for program in [promtool.as_path(), Path::new(env!("CARGO_BIN_EXE_almenara"))] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.yml"), &rules).unwrap();
        fs::write(folder.path().join("tests.yml"), &tests).unwrap();
        let output = run(program, folder.path(), &[]);
        let [out, err, _] = texts(&output, folder.path());
        assert!(output.status.success(), "{}: {out}{err}", program.display());
    }
}

/// Exit code, standard output and standard error of `almenara test rules` with `options`.
fn almenara(options: &[&str], tests: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    fs::write(folder.path().join("tests.yml"), tests.replace("SERIES", SERIES)).unwrap();
    let output = run(Path::new(env!("CARGO_BIN_EXE_almenara")), folder.path(), options);
    let [out, err, _] = texts(&output, folder.path());
    (output.status.code(), out, err)
}

#[test]
fn silent_passes_fail_where_they_must_not_be() {
    let tests = "rule_files: [rules.yml, 'nothing*.yml']\ntests:\n- alert_rule_test: [{alertname: Backlgo}]\n";
    let warned = "  WARNING: no file match pattern nothing*.yml\n  WARNING: tests.yml:3:21: no rule file has an alert \"Backlgo\"\n";
    assert_eq!(almenara(&[], tests), (Some(0), "  SUCCESS\n\n".to_owned(), warned.to_owned()));
    let (code, out, err) = almenara(&["--strict"], tests);
    assert_eq!((code, out.as_str()), (Some(1), "\n\n\n"));
    let failed = "  FAILED:\n    strict: tests.yml:1:25: no file matches \"nothing*.yml\"\n    strict: tests.yml:3:21: no rule file has";
    assert!(err.contains(failed), "{err}");
}

#[test]
fn coverage_is_told_and_may_be_demanded() {
    let tests = "rule_files: [rules.yml]\ntests: [{SERIES, alert_rule_test: [{eval_time: 1m, alertname: Backlog}, {eval_time: 6m, alertname: NoWorker, exp_alerts: [{}]}]}]";
    let (code, out, _) = almenara(&["--coverage", "--fail-under", "60"], tests);
    let expected = "Coverage:\n  rules.yml:10:12: alert \"Backlog\" never fires in a test that asks for it\n  \
                    rules.yml:19:13: alert \"NoWorker\" is never asked for where it does not fire\n  rules.yml: 6 of 8\n  \
                    75.0 % of what the rules can do is shown by a test\n";
    assert!(code == Some(0) && out.ends_with(expected), "{code:?} {out}");
    let (code, _, err) = almenara(&["--fail-under", "80"], tests);
    assert_eq!((code, err.as_str()), (Some(1), "almenara: error: coverage 75.0 % is below 80 %\n"));
    let (code, out, _) = almenara(&["--coverage", "--format", "json"], tests);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["coverage"]["percent"]), (Some(0), &serde_json::json!(75.0)));
    assert_eq!(report["files"][0]["groups"][0]["passed"], true);
    assert_eq!(report["coverage"]["gaps"][1]["line"], 19);
}
