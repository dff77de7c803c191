//! Indicators of arbitrary PromQL by the real binary: replayed, compared, compiled.

use std::process::Command;

use crate::peers::peer;
use crate::slo_backtest;
use crate::slo_commands::almenara;

/// From 1,743,458,400 on a minute apart: a recorded ratio of good events, 0.5 from minute 61 to 65.
fn samples() -> String {
    let lines: String = (0..=120)
        .map(|minute| {
            let good = if (61..=65).contains(&minute) { 0.5 } else { 1.0 };
            format!("job:success:ratio{{job=\"a\"}} {good} {}\n", 1_743_458_400 + 60 * minute)
        })
        .collect();
    format!("# TYPE job:success:ratio gauge\n{lines}# EOF\n")
}

const SLOTH: &str = "version: prometheus/v1
service: shop
slos:
  - name: success
    objective: 99
    sli: {raw: {error_ratio_query: '1 - avg_over_time(job:success:ratio[{{.window}}])'}}
    alerting: {ticket_alert: {disable: true}}
";

const OWN: &str = "slos:
  - name: rows
    objective: 90
    window: 1h
    group_by: [job]
    indicator: {events: {good: 'sum_over_time(job:success:ratio[$window])', total: 'count_over_time(job:success:ratio[$window])'}}
    alerting: {tiers: [{name: fast, severity: page, short: 2m, long: 5m, factor: 3}]}
";

fn folder(spec: &str) -> tempfile::TempDir {
    slo_backtest::folder(samples().as_bytes(), spec)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const GRID: &str = "slo backtest spec.yml --source samples.om --start 1743458400 --end 1743465600 --step 1m";

#[test]
fn a_ratio_of_sloth_is_replayed_and_told_to_be_a_query() {
    let folder = folder(SLOTH);
    let output = almenara(folder.path(), &format!("{GRID} --format json"));
    let said = "spec.yml:6:36: warning: `avg_over_time(job:success:ratio[{{.window}}])` is not a ratio of two counts: \
                it is evaluated as a query over each window, and not counted event by event\n";
    assert_eq!(text(&output.stderr), said);
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let slo = &all["slos"][0];
    assert_eq!((&slo["name"], &slo["event_exact"]), (&"success".into(), &false.into()));
    let points = slo["points"].as_array().unwrap();
    assert_eq!(points.len(), 121);
    // At minute 65: 66 samples, of which five are half bad.
    let expected = 2.5 / 66.0;
    let found = &points[65];
    assert!((found["error_ratio"].as_f64().unwrap() - expected).abs() < 1e-12, "{found}");
    assert!((found["budget_remaining"].as_f64().unwrap() - (1.0 - expected / 0.01)).abs() < 1e-9, "{found}");
    assert_eq!((&found["coverage"], &found["total"]), (&serde_json::Value::Null, &1.0.into()));
    // At 99 % the fast tier wants more than 14.4 % over an hour, which is never; the slow one 6 % over what there is of six.
    assert_eq!(slo["alerts"], serde_json::json!([]));

    let strict = folder.path().join("strict.yml");
    std::fs::write(
        strict,
        "tiers: [{name: any, severity: page, short: 5m, long: 1h, factor: 3}]\nguard: {bad_events: 9}\n",
    )
    .unwrap();
    let output = almenara(folder.path(), &format!("{GRID} --policy spec --policy strict.yml --format json"));
    assert!(text(&output.stderr).contains("strict.yml:1:1: warning: without the guard for success: "), "{output:?}");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let strict = &all["slos"][1];
    let (alerts, told) = (strict["alerts"].as_array().unwrap(), strict["notifications"].as_array().unwrap());
    assert_eq!((strict["policy"].as_str(), alerts.len(), told.len()), (Some("strict.yml"), 1, 1));
    // 3 % of an hour's 60 samples is 1.8: the fourth half. The short window sees the last one for five minutes.
    assert_eq!((&alerts[0]["start"], &alerts[0]["end"]), (&1_743_462_240.into(), &1_743_462_600.into()));
}

#[test]
fn people_see_that_it_is_a_query() {
    let folder = folder(OWN);
    let output = almenara(folder.path(), GRID);
    assert_eq!(text(&output.stderr), "");
    let said = text(&output.stdout);
    assert!(said.contains("rows{job=\"a\"}: 90% over 1h\n  budget left  "), "{said}");
    assert!(said.contains(" bad, by a query: not event-exact)\n"), "{said}");
    assert!(said.contains("\n  told         1 pages, 0 tickets\n"), "{said}");
    let checked = text(&almenara(folder.path(), "check slo spec.yml").stdout);
    assert!(
        checked.contains("    not event-exact: evaluated as a query over each window\n    good: sum_over_time("),
        "{checked}"
    );
    let report =
        almenara(folder.path(), "slo report spec.yml --source samples.om --period week --at 2025-04-01T00:00:00Z");
    assert_eq!(report.status.code(), Some(0), "{report:?}");
}

#[test]
fn an_evaluation_that_fails_is_told_with_its_instant() {
    let folder = folder(
        &OWN.replace("group_by: [job]", "group_by: []")
            .replace("good: 'sum", "good: 'max_over_time(job:success:ratio[$window]) / 0 + sum"),
    );
    let output = almenara(folder.path(), GRID);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("rows at 2025-03-31T22:00:00Z: over 2m: {job=\"a\"} has infinitely many events"), "{said}");
}

#[test]
fn compiled_queries_are_rules() {
    for (spec, name, expected) in [
        (SLOTH, "success", "clamp(max (1 - avg_over_time(job:success:ratio[30d])), 0, 1)"),
        (
            OWN,
            "rows",
            "clamp((sum by (job) (count_over_time(job:success:ratio[5m])) - (sum by (job) (sum_over_time(job:success:ratio[5m])) \
             or 0 * sum by (job) (count_over_time(job:success:ratio[5m])))) / (sum by (job) (count_over_time(job:success:ratio[5m])) > 0), 0, 1)",
        ),
    ] {
        let folder = folder(spec);
        let output = almenara(folder.path(), "slo compile spec.yml");
        let rules = text(&output.stdout);
        assert!(rules.contains(expected), "{rules}");
        assert!(!rules.contains("increase5m"), "{rules}");
        let bound = format!("{name}: the queries are evaluated here as there");
        assert!(text(&output.stderr).contains(&bound), "{output:?}");
        std::fs::write(folder.path().join("rules.yml"), &rules).unwrap();
        assert_eq!(almenara(folder.path(), "check rules rules.yml").status.code(), Some(0), "{rules}");
        if let Some(promtool) = peer("promtool") {
            let arguments = ["check", "rules", "rules.yml"];
            let checked = Command::new(promtool).current_dir(folder.path()).args(arguments).output().unwrap();
            assert!(checked.status.success(), "{}", text(&checked.stdout));
        }
    }
}
