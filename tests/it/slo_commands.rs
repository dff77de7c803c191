//! `almenara slo gate|report|compile`, and the policies and incidents of `slo backtest`, as people and pipelines call them.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::peers::peer;
use crate::slo_backtest;

/// 2026-06-01T00:00:00Z.
const START: i64 = 1_780_272_000;

/// A target scraped every minute for a day: ten events a minute, all of them bad from 10:00 to 10:30.
fn samples() -> String {
    let (mut all, mut bad, mut up) = (String::new(), String::new(), String::new());
    let mut failures = 0;
    for minute in 0..=24 * 60 {
        let at = START + 60 * minute;
        failures += if (601..=630).contains(&minute) { 10 } else { 0 };
        let _ = writeln!(all, "all_total{{job=\"a\",instance=\"i\"}} {} {at}", 10 * minute);
        let _ = writeln!(bad, "bad_total{{job=\"a\",instance=\"i\"}} {failures} {at}");
        let _ = writeln!(up, "up{{job=\"a\",instance=\"i\"}} 1 {at}");
    }
    format!("# TYPE all counter\n{all}# TYPE bad counter\n{bad}# TYPE up gauge\n{up}# EOF\n")
}

const SPEC: &str = r#"
slos:
  - name: shop
    service: shop
    objective: 99
    window: 1d
    indicator: {errors: {bad: 'bad_total{job="a"}', total: 'all_total{job="a"}'}}
    budget_policy:
      - {name: freeze, remaining_below: 10, block: true, action: Only fixes go out.}
"#;

fn folder(spec: &str) -> tempfile::TempDir {
    slo_backtest::folder(samples().as_bytes(), spec)
}

/// The program in `folder`, with arguments parted by blanks.
pub(crate) fn almenara(folder: &Path, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_almenara");
    Command::new(program).current_dir(folder).args(arguments.split_whitespace()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.stderr.is_empty() || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_gate_holds_a_release_back_with_the_reason() {
    let folder = folder(SPEC);
    let ask = |more: &str| almenara(folder.path(), &format!("slo gate spec.yml --source samples.om {more}"));
    let before = ask("--at 2026-06-01T09:00:00Z");
    assert_eq!(
        (before.status.code(), stdout(&before).as_str()),
        (Some(0), "go: 1 objectives, none speaks against it\n")
    );
    let after = ask("--at 2026-06-01T11:00:00Z");
    let text = String::from_utf8_lossy(&after.stdout).into_owned();
    assert_eq!(after.status.code(), Some(3));
    let expected = "shop: -354.55% of its error budget is left, level freeze: Only fixes go out.\nwait: 1 of 1 objectives speak against it\n";
    assert_eq!(text, expected);
    let nobody = ask("--service other");
    assert_eq!(nobody.status.code(), Some(1));
    let blind = ask("--at 2026-06-03T00:00:00Z");
    assert!(blind.status.code() == Some(3) && String::from_utf8_lossy(&blind.stdout).contains("it is not measured"));
    assert_eq!(ask("--at 2026-06-03T00:00:00Z --allow-not-measured").status.code(), Some(0));
}

#[test]
fn policies_stand_side_by_side_and_are_judged_by_incidents() {
    let folder = folder(SPEC);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("slow.yml", "alerting: {tiers: [{name: slow, severity: ticket, short: 2h, long: 12h, factor: 1}]}\n");
    let incident = "{name: db, start: 2026-06-01T10:00:00Z, end: 2026-06-01T10:30:00Z}";
    write(
        "incidents.yml",
        &format!("incidents: [{incident}, {{name: ghost, start: 2026-06-01T02:00:00Z, end: 2026-06-01T02:30:00Z}}]\n"),
    );
    let window = "--start 2026-06-01T00:00:00Z --end 2026-06-01T23:00:00Z --step 1m";
    let run =
        |more: &str| almenara(folder.path(), &format!("slo backtest spec.yml --source samples.om {window} {more}"));
    let text = stdout(&run("--policy spec --policy slow.yml --incidents incidents.yml"));
    for line in [
        "shop: 99% over 1d, policy spec",
        "shop: 99% over 1d, policy slow.yml",
        "incident     db: paged after 1m, reset after",
        "incident     ghost: missed, reset after never, 0 flaps",
        "incident     db: told without a page after",
        "false alarms 0",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&run("--policy spec --policy slow.yml --format json"))).unwrap();
    let policies: Vec<_> = json["slos"].as_array().unwrap().iter().map(|slo| slo["policy"].as_str().unwrap()).collect();
    assert_eq!(policies, ["spec", "slow.yml"]);
    let told = &json["slos"][0]["notifications"];
    assert_eq!((told[0]["tier"].as_str(), told[0]["severity"].as_str()), (Some("page-fast"), Some("page")));
    assert!(told[0]["reason"].as_str().unwrap().contains("of events were bad"), "{told}");
    let html = stdout(&run("--format html"));
    for part in ["<svg", "budget left, with pages and tickets", "page page-fast", "</html>"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"), "the page stands alone");
}

#[test]
fn a_report_tells_of_the_period() {
    let exclusion =
        "exclusions: [{reason: drill, author: ana, from: 2026-06-01T10:00:00Z, to: 2026-06-01T10:20:00Z}]\n";
    let folder = folder(&format!("{SPEC}{exclusion}"));
    let run = |format: &str| {
        stdout(&almenara(
            folder.path(),
            &format!("slo report spec.yml --source samples.om --period month --format {format}"),
        ))
    };
    let csv = run("csv");
    let mut rows = csv.lines();
    assert_eq!(
        rows.next(),
        Some("start,end,objective,group,service,target,attained,met,budget left,bad,total,measured,pages/tickets")
    );
    // 200 of 300 bad events are excluded: 100 of 14,200 are left, 0.704 %.
    let expected = "2026-06-01T00:00:00Z,2026-06-02T00:00:00Z,shop,,shop,99%,99.2958%,yes,29.58%,100,14200,100.00%,";
    assert!(rows.next().unwrap().starts_with(expected), "{csv}");
    let markdown = run("markdown");
    let remark = "- shop: excluded: drill (ana); with what is excluded -108.33% of the budget would be left";
    assert!(markdown.contains(remark), "{markdown}");
    assert!(run("html").contains("29.58%"));
}

#[test]
fn compiled_rules_are_rules() {
    let folder = folder(SPEC);
    let run = |more: &str| almenara(folder.path(), &format!("slo compile spec.yml {more}"));
    let own = run("");
    assert!(
        String::from_utf8_lossy(&own.stderr).contains("shop: windows up to 6h: a count is at most 5.26% too high"),
        "{own:?}"
    );
    std::fs::write(folder.path().join("own.yml"), &own.stdout).unwrap();
    std::fs::write(folder.path().join("sloth.yml"), run("--names sloth").stdout).unwrap();
    for file in ["own.yml", "sloth.yml"] {
        assert_eq!(almenara(folder.path(), &format!("check rules {file}")).status.code(), Some(0), "{file}");
        if let Some(promtool) = peer("promtool") {
            let checked =
                Command::new(promtool).current_dir(folder.path()).args(["check", "rules", file]).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        }
    }
    let crd = String::from_utf8_lossy(&run("--format crd").stdout).into_owned();
    assert!(crd.contains("kind: PrometheusRule\nmetadata:\n  name: shop\nspec:\n  groups:\n"), "{crd}");
    let dashboard: serde_json::Value = serde_json::from_slice(&run("--format grafana --names sloth").stdout).unwrap();
    assert_eq!(dashboard["panels"].as_array().unwrap().len(), 3);
    let slices = SPEC.replace("window: 1d", "window: 1d\n    budgeting: {ratio_time_slices: {slice: 5m}}");
    std::fs::write(folder.path().join("spec.yml"), slices).unwrap();
    let refused = run("");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("shop: slices of time are not events"));
}
