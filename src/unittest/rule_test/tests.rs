//! Test groups end to end, without files.

use super::*;
use crate::promql::Dialect;
use crate::rules::RuleFile;
use crate::source::SourceFile;
use std::sync::Arc;

const RULES: &str = "groups:
- {name: a, interval: 2m, rules: [{record: twice, expr: up * 2}, {alert: Down, expr: up == 0, for: 2m, labels: {severity: page}}]}
- {name: b, rules: [{alert: Many, expr: 'count(ALERTS{alertstate=\"firing\"}) > 1'}]}";

/// Runs the first test group of `tests` against `rules`.
fn play(rules: &str, tests: &str) -> GroupReport {
    let (rules, diagnostics) = RuleFile::parse(&SourceFile::new("rules.yml", rules));
    let rules = rules.unwrap_or_else(|| panic!("{diagnostics}"));
    let (file, diagnostics) = TestFile::parse(&SourceFile::new("tests.yml", tests));
    let file = file.unwrap_or_else(|| panic!("{diagnostics}"));
    let set = RuleSet::new(vec![Arc::new(AnalysedFile::new(rules))], &file);
    run(&file, 0, &set, RunOptions { dialect: Dialect::default(), style: Style::Whole, dump: true, coverage: true })
}

fn failures(tests: &str) -> Vec<String> {
    play(RULES, tests).failures.into_iter().map(|failure| failure.text).collect()
}

#[test]
fn alerts_and_samples_are_compared() {
    let passing = "tests:
- input_series: [{series: 'up{job=\"a\"}', values: '1 0x9'}, {series: 'up{job=\"b\"}', values: '0x2 1'}]
  alert_rule_test:
  - {eval_time: 2m59s, alertname: Down, exp_alerts: [{exp_labels: {job: b, severity: page}}]}
  - {eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {job: a, severity: page}}]}
  - {eval_time: 3m, alertname: Down, match: partial, exp_alerts: [{exp_labels: {job: a}}]}
  - {eval_time: 3m, alertname: Many, exp_alerts: []}
  promql_expr_test:
  - {expr: 'twice', eval_time: 0m, exp_samples: [{labels: 'twice{job=\"a\"}', value: 2}, {labels: 'twice{job=\"b\"}', value: 0}]}";
    assert_eq!(failures(passing), Vec::<String>::new());
    let failing = "tests:
- name: t
  input_series: [{series: 'up{job=\"a\"}', values: '0x9'}]
  alert_rule_test: [{eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {job: b}}]}]
  promql_expr_test: [{expr: 'twice', eval_time: 1m, exp_samples: [{labels: 'twice', value: 0.5}]}, {expr: 'twice[', eval_time: 1m}]";
    let expected = [
        "    name: t,\n    alertname: Down, time: 3m, \n        exp:[\n            0:\n              \
         Labels:{alertname=\"Down\", job=\"b\"}\n              Annotations:{}\n            ], \n        got:[\n            0:\n              \
         Labels:{alertname=\"Down\", job=\"a\", severity=\"page\"}\n              Annotations:{}\n            ]",
        "    expr: \"twice\", time: 1m,\n        exp: {__name__=\"twice\"} 5E-01\n        got: {__name__=\"twice\", job=\"a\"} 0E+00",
        "    expr: \"twice[\", time: 1m, err: 1:7: parse error: unexpected end of input in duration expression",
    ];
    assert_eq!(failures(failing), expected);
}

#[test]
fn a_failing_rule_ends_the_group() {
    let rules = "groups: [{name: g, rules: [{record: r, expr: a + on() b}]}]";
    let tests = "tests: [{start_timestamp: 60, input_series: [{series: 'a', values: '1x9'}, {series: 'b{x=\"1\"}', values: '1x9'}, \
                 {series: 'b{x=\"2\"}', values: '_ _ 1x9'}], promql_expr_test: [{expr: nothing, eval_time: 5m, exp_samples: [{value: 1}]}]}]";
    let report = play(rules, tests);
    assert_eq!(report.failures.len(), 1);
    let text = &report.failures[0].text;
    assert!(text.starts_with("    rule: r, time: 3m0s, err: found duplicate series for the match group {}"), "{text}");
}

#[test]
fn silent_passes_are_told() {
    let warnings = |test: &str| -> Vec<String> {
        let report = play(RULES, &format!("tests:\n- {test}"));
        assert!(report.failures.is_empty(), "{test}");
        report.warnings.iter().map(ToString::to_string).collect()
    };
    let quiet =
        warnings("{input_series: [{series: up, values: 1x9}], alert_rule_test: [{eval_time: 13m, alertname: Down}]}");
    assert!(quiet.is_empty(), "{quiet:?}");
    for (test, expected) in [
        ("{input_series: [{series: up, values: 1}]}", "tests.yml:2:3: warning: nothing is asked"),
        (
            "{input_series: [{series: up, values: 1}], alert_rule_test: [{eval_time: 1m, alertname: Dwon}]}",
            "warning: no rule file has an alert \"Dwon\"",
        ),
        (
            "{input_series: [{series: up, values: 1x5 _x9}], alert_rule_test: [{eval_time: 10m, alertname: Down}]}",
            "warning: evaluated at 10m, when all input series have ended: their last value is at 5m",
        ),
    ] {
        let warnings = warnings(test);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
    }
}

#[test]
fn a_group_s_own_interval_counts_on_request() {
    let test = "input_series: [{series: up, values: '1 0 1x9'}]
  promql_expr_test: [{expr: 'count_over_time(twice[10m:1m])', eval_time: 4m, exp_samples: [{labels: '{}', value: 5}]},
    {expr: 'min_over_time(twice[10m])', eval_time: 4m, exp_samples: [{labels: '{}', value: VALUE}]}]";
    let each_step = format!("tests:\n- {}", test.replace("VALUE", "0"));
    assert_eq!(failures(&each_step), Vec::<String>::new());
    // At 1m, when it is 0, the group is not evaluated.
    let own = format!("group_intervals: true\ntests:\n- {}", test.replace("VALUE", "2"));
    assert_eq!(failures(&own), Vec::<String>::new());
}

#[test]
fn coverage_names_what_no_test_has_shown() {
    let rules = "groups: [{name: g, rules: [{record: r, expr: a}, {alert: Both, expr: a > 5 and a < 9}, {alert: Never, expr: b > 1}]}]";
    let gaps = |tests: &str| {
        let (file, _) = RuleFile::parse(&SourceFile::new("rules.yml", rules));
        let (tests_file, _) = TestFile::parse(&SourceFile::new("tests.yml", tests));
        let set = RuleSet::new(vec![Arc::new(AnalysedFile::new(file.unwrap()))], &tests_file.unwrap());
        let report = play(rules, tests).coverage.report(&set);
        let points: (usize, usize) =
            report.iter().fold((0, 0), |(reached, all), rule| (reached + rule.reached, all + rule.points));
        (points, report.into_iter().flat_map(|rule| rule.gaps).map(|gap| gap.text).collect::<Vec<_>>())
    };
    let (points, found) = gaps(
        "tests: [{input_series: [{series: a, values: 6 4}], alert_rule_test: [{eval_time: 0m, alertname: Both, exp_alerts: [{}]}]}]",
    );
    assert_eq!(points, (4, 11));
    assert!(found.contains(&"alert \"Both\" is never asked for where it does not fire".to_owned()), "{found:?}");
    assert!(found.contains(&"alert \"Both\": `a < 9` holds wherever it is tested".to_owned()), "{found:?}");
    let (points, found) = gaps(
        "tests: [{input_series: [{series: a, values: 6 4 9}, {series: b, values: 1 2}],
        alert_rule_test: [{eval_time: 0m, alertname: Both, exp_alerts: [{}]}, {eval_time: 1m, alertname: Both},
        {eval_time: 0m, alertname: Never}, {eval_time: 2m, alertname: Never, exp_alerts: [{}]}]}]",
    );
    assert_eq!((points, found), ((11, 11), Vec::new()));
}

/// Without an interval of its own no group is evaluated otherwise for `group_intervals`, but all go step by step.
#[test]
fn all_steps_at_once_give_what_the_steps_give() {
    let rules = "groups:
- name: g
  rules:
  - {record: 'load:sum', expr: sum by (host) (load), labels: {tier: gold}}
  - {record: 'load:rate', expr: 'rate(load[4m])'}
  - {alert: High, expr: 'load:sum > 4', for: 2m, keep_firing_for: 1m, annotations: {v: '{{ $labels.host }} {{ $value }}'}}
  - {alert: Gone, expr: absent(load)}
  - {alert: Any, expr: 'load > 1 unless on (host) load:rate > 0.01', labels: {v: '{{ $value }}'}}
  - {record: later, expr: 'count_over_time(ALERTS[3m])'}";
    let head = "evaluation_interval: 45s
tests:
- interval: 1m
  input_series:
  - {series: 'load{host=\"a\",disk=\"1\"}', values: '1 2 3 _ _ 5x3 stale _x8 3+1x5'}
  - {series: 'load{host=\"a\",disk=\"2\"}', values: '3x4 _ 0+2x9 _x7 stale'}
  - {series: 'load{host=\"b\",disk=\"1\"}', values: '9-1x9 _x9 stale 4 4 4'}
  alert_rule_test: [{eval_time: 4m, alertname: High}, {eval_time: 10m10s, alertname: Any}, {eval_time: 30m, alertname: Gone}]
  promql_expr_test: [{expr: 'load:sum', eval_time: 14m}, {expr: later, eval_time: 20m}]";
    let (file, _) = TestFile::parse(&SourceFile::new("tests.yml", head));
    let (parsed, _) = RuleFile::parse(&SourceFile::new("rules.yml", rules));
    let set = RuleSet::new(vec![Arc::new(AnalysedFile::new(parsed.unwrap()))], &file.unwrap());
    let at_once = play(rules, head);
    let by_steps = play(rules, &format!("group_intervals: true\n{head}"));
    let texts = |report: &GroupReport| report.failures.iter().map(|failure| failure.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&at_once), texts(&by_steps));
    assert_eq!(at_once.dump, by_steps.dump);
    assert!(at_once.dump.as_deref().is_some_and(|dump| dump.contains("alertstate=\"firing\"")));
    let points =
        |report: &GroupReport| report.coverage.report(&set).iter().map(|rule| rule.reached).collect::<Vec<_>>();
    assert_eq!(points(&at_once), points(&by_steps));
}
