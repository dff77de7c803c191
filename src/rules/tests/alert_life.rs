//! The life of alerts, row by row.

use proptest::prelude::*;

use super::*;

const M: &[(&str, &str)] = &[("__name__", "m"), ("job", "api")];

/// Plays `values` of one series, a minute apart (`None`: the condition does not hold), and compares the state after each slot.
fn check_life(rule: &str, values: &str, expected: &[&str]) {
    let mut bench = Bench::new(group("", &[rule]));
    let mut seen = Vec::new();
    for (minute, value) in values.chars().enumerate() {
        let at = 60 * minute as i64;
        bench.write(at, M, f64::from(u8::from(value == '1')));
        let outcome = bench.eval(at);
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        let state = match bench.alerts().first() {
            Some((state, since)) => format!("{state} {}", since / 60),
            None => "-".to_owned(),
        };
        let told = match sent(&outcome).first() {
            Some((starts, ends)) => format!(" told {}-{}", starts / 60, ends / 60),
            None => String::new(),
        };
        seen.push(format!("{state}{told}"));
    }
    assert_eq!(seen, expected, "{rule} {values}");
}

#[test]
fn for_zero_fires_at_once_and_resolves_once_gone() {
    let rule = "{alert: A, expr: m > 0}";
    check_life(rule, "0110", &["-", "firing 1 told 1-5", "firing 1", "- told 1-3"]);
}

#[test]
fn one_gap_resets_a_pending_alert() {
    let rule = "{alert: A, expr: m > 0, for: 2m}";
    check_life(
        rule,
        "1101110",
        &["pending 0", "pending 0", "-", "pending 3", "pending 3", "firing 3 told 5-9", "- told 5-6"],
    );
}

#[test]
fn resend_is_strictly_later_than_the_delay() {
    // One minute after a send is not yet due with a delay of one minute.
    let rule = "{alert: A, expr: m > 0}";
    check_life(rule, "11111", &["firing 0 told 0-4", "firing 0", "firing 0 told 0-6", "firing 0", "firing 0 told 0-8"]);
}

#[test]
fn kept_firing_is_not_resolved_and_comes_back_unbroken() {
    let rule = "{alert: A, expr: m > 0, keep_firing_for: 2m}";
    check_life(
        rule,
        "1001000",
        &[
            "firing 0 told 0-4",
            "firing 0",
            "firing 0 told 0-6",
            "firing 0",
            "firing 0 told 0-8",
            "firing 0",
            "- told 0-6",
        ],
    );
}

#[test]
fn keep_firing_for_does_not_keep_what_is_pending() {
    check_life("{alert: A, expr: m > 0, for: 1m, keep_firing_for: 5m}", "10", &["pending 0", "-"]);
}

#[test]
fn what_returns_within_the_retention_is_a_new_alert() {
    check_life(
        "{alert: A, expr: m > 0, for: 1m}",
        "110110",
        &["pending 0", "firing 0 told 1-5", "- told 1-2", "pending 3", "firing 3 told 4-8", "- told 4-5"],
    );
}

#[test]
fn a_resolved_alert_is_repeated_for_15_minutes() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0}"]));
    bench.write(0, M, 1.0);
    bench.eval(0);
    bench.write(60, M, 0.0);
    let mut told = Vec::new();
    for minute in 1..=30 {
        bench.write(60 * minute, M, 0.0);
        let outcome = bench.eval(60 * minute);
        told.extend(sent(&outcome).into_iter().map(|(_, ends)| {
            assert_eq!(ends, 60);
            minute
        }));
    }
    assert_eq!(told, [1, 3, 5, 7, 9, 11, 13, 15]);
}

#[test]
fn a_longer_for_sends_a_firing_alert_back() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0, for: 1m}"]));
    for minute in 0..=2 {
        bench.write(60 * minute, M, 1.0);
        bench.eval(60 * minute);
    }
    assert_eq!(bench.alerts(), [("firing", 0)]);
    let new = group("", &["{alert: A, expr: m > 0, for: 5m}"]);
    bench.reload(new);
    bench.write(180, M, 1.0);
    assert_eq!(sent(&bench.eval(180)), []);
    assert_eq!(bench.alerts(), [("pending", 0)]);
    bench.write(300, M, 1.0);
    assert_eq!(sent(&bench.eval(300)), [(300, 540)]);
}

#[test]
fn labels_and_annotations_are_rendered_with_the_labels_of_the_result() {
    let rule = r#"{alert: A, expr: m > 0, labels: {who: "{{ $labels.job }}-{{ $labels.alertname }}", job: "", severity: page},
      annotations: {text: "{{ $value }} of {{ .Labels.__name__ }} in {{ $externalLabels.region }}", bad: "{{ .Nope }}"}}"#;
    let mut bench = Bench::new(group("labels: {severity: low, team: x}", &[rule]));
    bench.write(0, M, 1234567.0);
    let outcome = bench.eval(0);
    let alert = &outcome.alerts[0];
    assert_eq!(alert.labels.to_string(), r#"{alertname="A",severity="page",team="x",who="api-"}"#);
    assert_eq!(alert.annotations.get("text"), Some("1.234567e+06 of m in eu"));
    let bad = alert.annotations.get("bad").unwrap();
    let head = "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing";
    assert!(bad.starts_with(head), "{bad}");
    assert_eq!(alert.generator_url, "http://p.example/graph?g0.expr=m+%3E+0&g0.tab=1");
}

#[test]
fn a_template_may_query() {
    let rule = r#"{alert: A, expr: m > 0, annotations: {n: "{{ with query \"count(m)\" }}{{ . | first | value }}{{ end }}", e: "{{ query \"count(\" }}"}}"#;
    let mut bench = Bench::new(group("", &[rule]));
    bench.write(0, M, 1.0);
    bench.write(0, &[("__name__", "m"), ("job", "web")], 0.0);
    let outcome = bench.eval(0);
    let annotations = &outcome.alerts[0].annotations;
    assert_eq!(annotations.get("n"), Some("2"));
    assert!(annotations.get("e").unwrap().contains("error calling query: 1:7: parse error:"), "{annotations}");
}

#[test]
fn equal_labels_are_an_error_that_changes_nothing() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0, labels: {job: same}}"]));
    bench.write(0, M, 1.0);
    bench.eval(0);
    bench.write(60, M, 1.0);
    bench.write(60, &[("__name__", "m"), ("job", "web")], 1.0);
    let outcome = bench.eval(60);
    let text = "vector contains metrics with the same labelset after applying alert labels";
    assert_eq!(outcome.failures, [("A".to_owned(), text.to_owned())]);
    assert!(outcome.recorded.is_empty() && outcome.alerts.is_empty());
    assert_eq!(bench.alerts(), [("firing", 0)]);
    assert_eq!(bench.group.status().rules[0].last_error.as_deref(), Some(text));
}

#[test]
fn over_the_limit_all_alerts_are_dropped() {
    let mut bench = Bench::new(group("limit: 1", &["{alert: A, expr: m > 0, for: 1m}"]));
    bench.write(0, M, 1.0);
    bench.eval(0);
    bench.write(60, M, 1.0);
    bench.write(60, &[("__name__", "m"), ("job", "web")], 1.0);
    let outcome = bench.eval(60);
    assert_eq!(outcome.failures[0].1, "exceeded limit of 1 with 2 alerts");
    assert!(outcome.recorded.is_empty());
    assert_eq!(bench.alerts(), []);
    bench.write(120, M, 1.0);
    bench.write(120, &[("__name__", "m"), ("job", "web")], 0.0);
    assert!(bench.eval(120).failures.is_empty());
    assert_eq!(bench.alerts(), [("pending", 120)]);
}

#[test]
fn pending_ends_its_series_when_it_fires() {
    let mut bench = Bench::new(group("", &["{alert: A, expr: m > 0, for: 1m}"]));
    bench.write(30, M, 1.0);
    assert_eq!(
        recorded(&bench.eval(30)),
        [
            r#"ALERTS_FOR_STATE{alertname="A",job="api"} 30@30"#,
            r#"ALERTS{alertname="A",alertstate="pending",job="api"} 1@30"#,
        ]
    );
    assert_eq!(
        recorded(&bench.eval(90)),
        [
            r#"ALERTS_FOR_STATE{alertname="A",job="api"} 30@90"#,
            r#"ALERTS{alertname="A",alertstate="firing",job="api"} 1@90"#,
            r#"ALERTS{alertname="A",alertstate="pending",job="api"} stale@90"#,
        ]
    );
    bench.write(150, M, 0.0);
    assert_eq!(
        recorded(&bench.eval(150)),
        [
            r#"ALERTS_FOR_STATE{alertname="A",job="api"} stale@150"#,
            r#"ALERTS{alertname="A",alertstate="firing",job="api"} stale@150"#,
        ]
    );
    assert!(bench.eval(210).recorded.is_empty());
}

proptest! {
    /// An alert is told again only after the resend delay, or because it ended.
    #[test]
    fn nothing_is_told_twice_within_the_resend_delay(
        holds in prop::collection::vec(any::<bool>(), 1..60),
        step_secs in 5_i64..120,
        hold_secs in 0_i64..200,
        keep_secs in 0_i64..200,
    ) {
        let rule = format!("{{alert: A, expr: m > 0, for: {hold_secs}s, keep_firing_for: {keep_secs}s}}");
        let mut bench = Bench::new(group(&format!("interval: {step_secs}s"), &[&rule]));
        let mut last: Option<(i64, i64, bool)> = None;
        for (index, holds) in holds.into_iter().enumerate() {
            let at = step_secs * index as i64;
            bench.write(at, M, f64::from(u8::from(holds)));
            let outcome = bench.eval(at);
            prop_assert!(outcome.alerts.len() <= 1);
            for (starts, ends) in sent(&outcome) {
                let ended = ends <= at;
                prop_assert!(starts <= at && (ended || ends == at + 4 * step_secs.max(60)));
                if let Some((told_at, told_starts, told_ended)) = last {
                    let is_news = starts != told_starts || ended != told_ended;
                    prop_assert!(is_news || at - told_at > 60, "told at {told_at} and again at {at}");
                }
                last = Some((at, starts, ended));
            }
        }
    }
}

#[test]
fn a_template_that_fails_is_a_warning_and_each_kind_one() {
    let rule = "{alert: A, expr: m > 0, labels: {x: plain, bad: '{{ humanize $labels.job }}'}, \
                annotations: {worse: '{{ $value.nothing }}', fine: '{{ $value }}'}}";
    let mut bench = Bench::new(group("", &[rule, "{record: r, expr: m}"]));
    bench.write(0, M, 1.0);
    bench.write(0, &[("__name__", "m"), ("job", "api"), ("i", "2")], 2.0);
    let outcome = bench.eval(0);
    let (bad, worse) = (
        "bad: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at <humanize $labels.job>: \
         error calling humanize: strconv.ParseFloat: parsing \"api\": invalid syntax",
        "worse: error executing template __alert_A: template: __alert_A:1:121: executing \"__alert_A\" at <$value.nothing>: \
         can't evaluate field nothing in type float64",
    );
    let texts = |outcome: &Outcome| {
        outcome.warnings.iter().map(|(rule, text)| format!("{rule}: {text}")).collect::<Vec<String>>()
    };
    assert_eq!(texts(&outcome), [format!("A: {bad}"), format!("A: {worse}")]);
    assert_eq!(outcome.expansions, ExpansionCounts { all: 8, failed: 4 });
    let warnings =
        |bench: &Bench| bench.group.status().rules.iter().map(|rule| rule.warnings.len()).collect::<Vec<_>>();
    assert_eq!(warnings(&bench), [2, 0]);
    // What does not fire renders nothing.
    for labels in [M, &[("__name__", "m"), ("job", "api"), ("i", "2")]] {
        bench.write(60, labels, 0.0);
    }
    assert_eq!((texts(&bench.eval(60)), warnings(&bench)), (Vec::new(), vec![0, 0]));
}
