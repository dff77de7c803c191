//! Keys beyond Prometheus: no data, errors, limits, recovery, all or nothing.

use super::*;

const API: &[(&str, &str)] = &[("__name__", "m"), ("job", "api")];
const WEB: &[(&str, &str)] = &[("__name__", "m"), ("job", "web")];

/// Name, `job` if there is one, and state of each live alert of the first rule.
fn alerts(bench: &Bench) -> Vec<String> {
    let status = bench.group.status();
    let alerting = status.rules[0].alerting.as_ref().unwrap();
    let show = |alert: &AlertStatus| {
        let job = alert.labels.get("job").map(|job| format!("/{job}")).unwrap_or_default();
        let held = alert.held.map(|held| format!(" ({})", held.as_str())).unwrap_or_default();
        format!("{}{job} {}{held}", alert.labels.get("alertname").unwrap(), alert.state.as_str())
    };
    alerting.alerts.iter().map(show).collect()
}

/// The alerts after each minute; `m` of two jobs has the values given, `-` for none. The look-back is one minute.
fn check(rule: &str, api: &str, web: &str, expected: &[&[&str]]) {
    let mut bench = Bench::new(group("", &[rule]));
    bench.environment.lookback_delta = Duration::from_secs(59);
    for (minute, (api, web)) in api.chars().zip(web.chars()).enumerate() {
        let at = 60 * minute as i64;
        for (labels, value) in [(API, api), (WEB, web)] {
            if let Some(value) = value.to_digit(10) {
                bench.write(at, labels, f64::from(value));
            }
        }
        bench.eval(at);
        assert_eq!(alerts(&bench), expected[minute], "{rule}, minute {minute}");
    }
}

#[test]
fn without_data_alerts_end_or_stay() {
    check("{alert: A, expr: m > 1}", "2-", "00", &[&["A/api firing"], &[]]);
    let kept = "A/api firing (no data, kept)";
    check(
        "{alert: A, expr: m > 1, no_data: keep}",
        "2-20",
        "0000",
        &[&["A/api firing"], &[kept], &["A/api firing"], &[]],
    );
    check("{alert: A, expr: sum(m) > 1, no_data: keep}", "2-", "--", &[&["A firing"], &["A firing (no data, kept)"]]);
    // What waits waits on, and does not begin to fire blindly.
    check(
        "{alert: A, expr: m > 1, for: 1m, no_data: keep}",
        "2--2",
        "0000",
        &[
            &["A/api pending"],
            &["A/api pending (no data, kept)"],
            &["A/api pending (no data, kept)"],
            &["A/api firing"],
        ],
    );
}

#[test]
fn want_of_data_fires() {
    let held = "A/api firing (no data, taken for the condition)";
    check("{alert: A, expr: m > 1, for: 1m, no_data: fire}", "2-0", "000", &[&["A/api pending"], &[held], &[]]);
    check("{alert: A, expr: m > 1, no_data: fire}", "0-0", "0-0", &[&[], &["A firing"], &[]]);
    check(
        "{alert: A, expr: m > 1, no_data: alert, labels: {team: x}}",
        "0-0",
        "0-0",
        &[&[], &["RuleNoData firing"], &[]],
    );
    let both: &[&str] = &["A/api firing (no data, kept)", "RuleNoData firing"];
    check("{alert: A, expr: m > 1, no_data: alert}", "2-2", "---", &[&["A/api firing"], both, &["A/api firing"]]);
}

/// `n` has one element without labels, then two that match both: an error.
fn check_error(policy: &str, expected: [&[&str]; 3]) {
    let mut bench =
        Bench::new(group("", &[&format!("{{alert: A, expr: m + on () n > 1, labels: {{job: x}}{policy}}}")]));
    let n = |x: &'static str| [("__name__", "n"), ("x", x)];
    for (minute, expected) in expected.into_iter().enumerate() {
        let at = 60 * minute as i64;
        bench.write(at, API, 2.0);
        bench.write(at, &n("1"), 1.0);
        bench.write(at, &n("2"), if minute == 1 { 1.0 } else { f64::from_bits(crate::model::STALE_NAN_BITS) });
        let outcome = bench.eval(at);
        assert_eq!(outcome.failures.len(), usize::from(minute == 1));
        assert_eq!(alerts(&bench), expected, "{policy}, minute {minute}");
        let has_series = recorded(&outcome).iter().any(|line| line.contains("ALERTS{") && !line.contains("stale"));
        assert_eq!(has_series, minute != 1 || !policy.is_empty(), "{policy}, minute {minute}");
    }
}

#[test]
fn errors_do_as_told() {
    check_error("", [&["A/x firing"], &["A/x firing"], &["A/x firing"]]);
    check_error(", error: keep", [&["A/x firing"], &["A/x firing (error, kept)"], &["A/x firing"]]);
    check_error(", error: fire", [&["A/x firing"], &["A/x firing (error, taken for the condition)"], &["A/x firing"]]);
    check_error(
        ", error: alert",
        [&["A/x firing"], &["A/x firing (error, kept)", "RuleError/x firing"], &["A/x firing"]],
    );
}

#[test]
fn an_error_does_not_let_alerts_expire() {
    let mut bench = Bench::new(group("error: keep", &["{alert: A, expr: m + on () n > 1}"]));
    let mut told = 0;
    for minute in 0..10 {
        bench.write(60 * minute, API, 2.0);
        bench.write(60 * minute, &[("__name__", "n"), ("x", "1")], 1.0);
        if minute > 0 {
            bench.write(60 * minute, &[("__name__", "n"), ("x", "2")], 1.0);
        }
        let outcome = bench.eval(60 * minute);
        assert_eq!(outcome.failures.len(), usize::from(minute > 0));
        told += sent(&outcome).into_iter().filter(|(_, ends)| *ends == 60 * minute + 240).count();
    }
    assert_eq!(told, 5, "every second minute, as without errors");
}

#[test]
fn over_the_limit_what_exists_stays() {
    let series = |job: &'static str| [("__name__", "m"), ("job", job)];
    let run = |head: &str| {
        let mut bench = Bench::new(group(head, &["{alert: A, expr: m > 1}"]));
        let mut seen = Vec::new();
        for (minute, jobs) in [vec!["b"], vec!["a", "b", "c"], vec!["a", "b"]].into_iter().enumerate() {
            let at = 60 * minute as i64;
            for job in ["a", "b", "c"] {
                bench.write(at, &series(job), if jobs.contains(&job) { 2.0 } else { 0.0 });
            }
            let outcome = bench.eval(at);
            seen.push((alerts(&bench), outcome.failures.first().map(|(_, text)| text.clone()).unwrap_or_default()));
        }
        seen
    };
    let text = |text: &str| text.to_owned();
    let states = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        run("limit: 2"),
        [
            (states(&["A/b firing"]), text("")),
            (states(&[]), text("exceeded limit of 2 with 3 alerts")),
            (states(&["A/a firing", "A/b firing"]), text("")),
        ]
    );
    assert_eq!(
        run("limit: 2\nlimit_policy: keep"),
        [
            (states(&["A/b firing"]), text("")),
            (
                states(&["A/a firing", "A/b firing", "RuleLimitExceeded firing"]),
                text("exceeded limit of 2 with 3 alerts, 1 new ones are refused"),
            ),
            (states(&["A/a firing", "A/b firing"]), text("")),
        ]
    );
}

#[test]
fn what_fires_ends_only_once_it_has_recovered() {
    let not_yet = "A/api firing (recover_when does not hold)";
    check(
        "{alert: A, expr: m > 5, recover_when: m < 3}",
        "64462",
        "00000",
        &[&["A/api firing"], &[not_yet], &[not_yet], &["A/api firing"], &[]],
    );
    // What waits ends as ever; without data there is nothing to recover.
    check("{alert: A, expr: m > 5, for: 2m, recover_when: m < 3}", "64", "00", &[&["A/api pending"], &[]]);
    check("{alert: A, expr: m > 5, recover_when: m < 3}", "6-", "00", &[&["A/api firing"], &[]]);
}

#[test]
fn what_a_group_records_is_whole_or_nothing() {
    let rules = ["{record: good, expr: m}", "{record: total, expr: 'm + on () n'}", "{alert: A, expr: good > 0}"];
    let run = |head: &str| {
        let mut bench = Bench::new(group(head, &rules));
        let mut seen = Vec::new();
        for minute in 0..3 {
            bench.write(60 * minute, API, if minute == 2 { 0.0 } else { 1.0 });
            bench.write(60 * minute, &[("__name__", "n"), ("x", "1")], 1.0);
            let second = if minute == 1 { 1.0 } else { f64::from_bits(crate::model::STALE_NAN_BITS) };
            bench.write(60 * minute, &[("__name__", "n"), ("x", "2")], second);
            let lines = recorded(&bench.eval(60 * minute));
            seen.push(lines.into_iter().filter(|line| !line.starts_with("ALERTS")).collect::<Vec<_>>());
        }
        seen
    };
    let (good, total) = (r#"good{job="api"} 1@0"#, "total 2@0");
    let after = [r#"good{job="api"} 0@120"#, "total 1@120"];
    assert_eq!(run(""), [vec![good, total], vec![r#"good{job="api"} 1@60"#], after.to_vec()]);
    assert_eq!(run("all_or_nothing: true"), [vec![good, total], vec![], after.to_vec()]);
}

#[test]
fn outcomes_tell_what_each_evaluation_did() {
    let mut bench = Bench::new(group(
        "",
        &["{alert: A, expr: m > 1}", "{record: r, expr: 'sum(m) / sum(n)'}", "{record: s, expr: nowhere}"],
    ));
    for minute in 0..3 {
        bench.write(60 * minute, API, 2.0 * minute as f64);
        bench.write(60 * minute, WEB, 1.0);
        bench.eval(60 * minute);
    }
    let status = bench.group.status();
    let shown: Vec<Vec<(i64, u64, u64)>> = status
        .rules
        .iter()
        .map(|rule| {
            rule.outcomes.to_vec().iter().map(|o| (o.slot.as_ms() / 60_000, o.series_in, o.series_out)).collect()
        })
        .collect();
    assert_eq!(shown[0], [(0, 2, 0), (1, 2, 1), (2, 2, 1)]);
    assert_eq!(shown[1], [(0, 2, 0), (1, 2, 0), (2, 2, 0)]);
    assert_eq!(shown[2], [(0, 0, 0), (1, 0, 0), (2, 0, 0)]);
    let matched: Vec<bool> = status.rules.iter().map(|rule| rule.has_matched).collect();
    assert_eq!(matched, [true, true, false]);
}

#[test]
fn wrong_keys_are_told_with_their_places() {
    for (rule, expected) in [
        ("{alert: A, expr: m, no_data: never}", "\"never\" is none of the choices"),
        ("{alert: A, expr: m, error: resolve}", "\"resolve\" is none of the choices"),
        ("{alert: A, expr: m, limit_policy: x}", "\"x\" is none of the choices"),
        (
            "{alert: A, expr: m, recover_when: 'm <'}",
            "group \"g\", rule 1, \"A\": recover_when: could not parse expression",
        ),
        ("{record: r, expr: m, no_data: keep}", "invalid field 'no_data' in recording rule"),
        ("{record: r, expr: m, recover_when: m}", "invalid field 'recover_when' in recording rule"),
    ] {
        let text = format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
        let (file, diagnostics) = RuleFile::parse(&SourceFile::new("f.yml", text));
        let shown = diagnostics.to_string();
        assert!(file.is_none() && shown.contains(expected) && shown.starts_with("f.yml:4:"), "{rule}: {shown}");
    }
}
