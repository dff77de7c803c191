//! Groups: order, failures, limits, offsets, reload.

use super::*;

const M: &[(&str, &str)] = &[("__name__", "m"), ("job", "api")];

#[test]
fn a_later_rule_sees_what_an_earlier_one_recorded() {
    let mut bench = Bench::new(group(
        "",
        &[
            "{record: a, expr: m + 1, labels: {x: y}}",
            "{record: b, expr: a * 10}",
            "{alert: A, expr: b > 0}",
            "{record: firing, expr: 'count(ALERTS{alertstate=\"firing\"})'}",
            "{record: constant, expr: 42}",
        ],
    ));
    bench.write(0, M, 1.0);
    assert_eq!(
        recorded(&bench.eval(0)),
        [
            r#"ALERTS_FOR_STATE{alertname="A",job="api",x="y"} 0@0"#,
            r#"ALERTS{alertname="A",alertstate="firing",job="api",x="y"} 1@0"#,
            r#"a{job="api",x="y"} 2@0"#,
            r#"b{job="api",x="y"} 20@0"#,
            "constant 42@0",
            "firing 1@0",
        ]
    );
}

#[test]
fn a_rule_cannot_see_a_later_one_of_the_same_slot() {
    let mut bench = Bench::new(group("", &["{record: early, expr: late}", "{record: late, expr: m}"]));
    bench.write(0, M, 1.0);
    assert_eq!(recorded(&bench.eval(0)), [r#"late{job="api"} 1@0"#]);
    bench.write(60, M, 2.0);
    assert_eq!(recorded(&bench.eval(60)), [r#"early{job="api"} 1@60"#, r#"late{job="api"} 2@60"#]);
}

#[test]
fn a_failing_rule_stops_nothing_and_ends_nothing() {
    let mut bench = Bench::new(group("", &["{record: bad, expr: m + on() n}", "{record: good, expr: m}"]));
    bench.write(0, M, 1.0);
    bench.write(0, &[("__name__", "n")], 1.0);
    assert_eq!(recorded(&bench.eval(0)), ["bad 2@0", r#"good{job="api"} 1@0"#]);
    bench.write(60, &[("__name__", "n"), ("x", "y")], 1.0);
    let outcome = bench.eval(60);
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(outcome.failures[0].0, "bad");
    assert_eq!(recorded(&outcome), [r#"good{job="api"} 1@60"#]);
    let status = bench.group.status();
    let health: Vec<_> = status.rules.iter().map(|rule| rule.health.as_str()).collect();
    assert_eq!(health, ["err", "ok"]);
    assert_eq!(status.evaluated_at, Some(secs(60)));
}

#[test]
fn recorded_series_must_differ_and_stay_under_the_limit() {
    for (head, rule, expected) in [
        (
            "",
            "{record: r, expr: m, labels: {job: same}}",
            "vector contains metrics with the same labelset after applying rule labels",
        ),
        ("limit: 1", "{record: r, expr: m}", "exceeded limit of 1 with 2 series"),
    ] {
        let mut bench = Bench::new(group(head, &[rule]));
        bench.write(0, M, 1.0);
        bench.write(0, &[("__name__", "m"), ("job", "web")], 1.0);
        let outcome = bench.eval(0);
        assert_eq!(outcome.failures, [("r".to_owned(), expected.to_owned())]);
        assert!(outcome.recorded.is_empty());
    }
}

#[test]
fn query_offset_moves_samples_but_not_the_clock_of_alerts() {
    let mut bench = Bench::new(group("query_offset: 30s", &["{record: r, expr: m}", "{alert: A, expr: m > 0}"]));
    bench.write(0, M, 5.0);
    bench.write(60, M, 7.0);
    let outcome = bench.eval(60);
    assert_eq!(
        recorded(&outcome),
        [
            r#"ALERTS_FOR_STATE{alertname="A",job="api"} 60@30"#,
            r#"ALERTS{alertname="A",alertstate="firing",job="api"} 1@30"#,
            r#"r{job="api"} 5@30"#,
        ]
    );
    assert_eq!(sent(&outcome), [(60, 300)]);
    bench.write(90, M, 0.0);
    let outcome = bench.eval(120);
    assert!(recorded(&outcome).contains(&r#"ALERTS{alertname="A",alertstate="firing",job="api"} stale@90"#.to_owned()));
    assert_eq!(sent(&outcome), [(60, 120)]);
}

#[test]
fn vanished_series_end_once() {
    let mut bench = Bench::new(group("", &["{record: r, expr: m > 0}"]));
    bench.write(0, M, 1.0);
    bench.eval(0);
    bench.write(60, M, 0.0);
    assert_eq!(recorded(&bench.eval(60)), [r#"r{job="api"} stale@60"#]);
    assert_eq!(bench.eval(120).recorded, []);
}

#[test]
fn a_reload_keeps_what_has_the_same_name_and_labels() {
    let mut bench = Bench::new(group(
        "",
        &[
            "{record: gone, expr: m}",
            "{alert: Kept, expr: m > 0, for: 2m}",
            "{alert: Relabelled, expr: m > 0, labels: {a: b}}",
        ],
    ));
    bench.write(0, M, 1.0);
    bench.eval(0);
    let new = group("interval: 30s", &["{alert: Kept, expr: m > 0.5, for: 1m}", "{alert: Relabelled, expr: m > 0}"]);
    assert!(!new.is_same(&bench.group));
    bench.reload(new);
    bench.write(60, M, 1.0);
    let outcome = bench.eval(60);
    assert_eq!(
        recorded(&outcome),
        [
            r#"ALERTS_FOR_STATE{a="b",alertname="Relabelled",job="api"} stale@60"#,
            r#"ALERTS_FOR_STATE{alertname="Kept",job="api"} 0@60"#,
            r#"ALERTS_FOR_STATE{alertname="Relabelled",job="api"} 60@60"#,
            r#"ALERTS{a="b",alertname="Relabelled",alertstate="firing",job="api"} stale@60"#,
            r#"ALERTS{alertname="Kept",alertstate="firing",job="api"} 1@60"#,
            r#"ALERTS{alertname="Kept",alertstate="pending",job="api"} stale@60"#,
            r#"ALERTS{alertname="Relabelled",alertstate="firing",job="api"} 1@60"#,
            r#"gone{job="api"} stale@60"#,
        ]
    );
    assert_eq!(bench.alerts(), [("firing", 0)]);
}

#[test]
fn what_another_rule_takes_over_does_not_end() {
    let mut bench = Bench::new(group("", &["{record: r, expr: m}"]));
    bench.write(0, M, 1.0);
    bench.eval(0);
    let new = group("", &["{record: r, expr: m, labels: {job: api}}"]);
    bench.reload(new);
    assert_eq!(recorded(&bench.eval(60)), [r#"r{job="api"} 1@60"#]);
}

#[test]
fn the_same_text_is_the_same_group() {
    let rules = ["{alert: A, expr: 'm>0', annotations: {a: b}}"];
    assert!(group("", &rules).is_same(&group("", &["{alert: A, expr: m > 0, annotations: {a: b}}"])));
    for other in
        ["{alert: A, expr: m > 1, annotations: {a: b}}", "{alert: A, expr: m > 0, for: 1m, annotations: {a: b}}"]
    {
        assert!(!group("", &rules).is_same(&group("", &[other])));
    }
    assert!(!group("", &rules).is_same(&group("limit: 3", &rules)));
}

#[test]
fn a_removed_group_ends_its_series() {
    let mut bench = Bench::new(group("query_offset: 10s", &["{record: r, expr: m}"]));
    bench.write(0, M, 1.0);
    bench.eval(10);
    let ended = bench.group.retire(secs(130));
    assert_eq!(ended.len(), 1);
    assert!(ended[0].value.is_stale());
    assert_eq!(ended[0].at, secs(120));
    assert_eq!(bench.group.retire(secs(190)), []);
}

#[test]
fn the_status_shows_what_the_api_needs() {
    let mut bench = Bench::new(group(
        "limit: 9",
        &[
            "{alert: A, expr: 'm   >0', for: 5m, keep_firing_for: 1m, labels: {l: '{{ $value }}'}, annotations: {a: x}}",
            "{record: r, expr: m}",
        ],
    ));
    let status = bench.group.status();
    assert_eq!(status.rules[0].alerting.as_ref().unwrap().state, None);
    assert_eq!(status.rules[0].health, Health::Unknown);
    bench.write(0, M, 1.0);
    bench.eval(0);
    bench.group.record_duration(Duration::from_millis(7));
    let status = bench.group.status();
    assert_eq!((&*status.name, &*status.file, status.limit), ("g", "rules.yml", 9));
    assert_eq!((status.interval, status.evaluation_duration), (Duration::from_secs(60), Duration::from_millis(7)));
    let rule = &status.rules[0];
    assert_eq!((&*rule.query, rule.health, rule.evaluated_at), ("m > 0", Health::Ok, Some(secs(0))));
    assert_eq!(rule.labels.to_string(), r#"{l="{{ $value }}"}"#);
    let alerting = rule.alerting.as_ref().unwrap();
    assert_eq!((alerting.state, alerting.hold_duration.as_secs()), (Some(AlertState::Pending), 300));
    assert_eq!(alerting.alerts[0].labels.to_string(), r#"{alertname="A",job="api",l="1"}"#);
    assert_eq!(alerting.alerts[0].value, Value::Float(1.0));
    assert!(status.rules[1].alerting.is_none());
}
