//! `almenara slo backtest` as people and scripts call it: the JSON of the contract, a source that is packed, and what is wrong with either file.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use flate2::{Compression, write::GzEncoder};

/// A target scraped every minute from 1,743,458,400 on: ten events a minute, of which all are bad from minute 61 to 63; a restart at
/// minute 30; a scrape that failed at minute 90.
fn samples() -> String {
    let (mut all, mut bad, mut up) = (String::new(), String::new(), String::new());
    for minute in 0..=120 {
        let at = 1_743_458_400 + 60 * minute;
        if minute == 90 {
            up.push_str(&format!("up{{job=\"a\",instance=\"i\"}} 0 {at}\n"));
            continue;
        }
        up.push_str(&format!("up{{job=\"a\",instance=\"i\"}} 1 {at}\n"));
        let since_restart = if minute < 30 { minute } else { minute - 29 };
        all.push_str(&format!("all_total{{job=\"a\",instance=\"i\"}} {} {at}\n", 10 * since_restart));
        let failures = (minute - 60).clamp(0, 3) * 10;
        // The counter of failures is born with the first failure.
        if failures > 0 {
            bad.push_str(&format!("bad_total{{job=\"a\",instance=\"i\"}} {failures} {at}\n"));
        }
    }
    format!("# TYPE all counter\n{all}# TYPE bad counter\n{bad}# TYPE up gauge\n{up}# EOF\n")
}

const SPEC: &str =
    "slos: [{name: a, objective: 90, window: 1h, indicator: {errors: {bad: bad_total, total: all_total}},
  alerting: {tiers: [{name: fast, severity: page, short: 2m, long: 5m, factor: 3}]}}]\n";

fn backtest(folder: &Path, more: &[&str]) -> Output {
    let arguments = ["slo", "backtest", "spec.yml", "--source", "samples.om", "--start", "1743458400", "--step", "30m"];
    let end = ["--end", "2025-03-31T23:30:00Z"];
    Command::new(env!("CARGO_BIN_EXE_almenara"))
        .current_dir(folder)
        .args(arguments)
        .args(end)
        .args(more)
        .output()
        .unwrap()
}

/// A folder with `samples.om` and `spec.yml`.
pub(crate) fn folder(samples: &[u8], spec: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("samples.om"), samples).unwrap();
    std::fs::write(folder.path().join("spec.yml"), spec).unwrap();
    folder
}

#[test]
fn the_json_is_that_of_the_contract() {
    let expected = concat!(
        r#"{"slos":[{"name":"a","group":{},"window":"1h","objective":90.0,"points":["#,
        r#"{"time":1743458400,"good":0.0,"total":0.0,"error_ratio":null,"budget_remaining":null,"coverage":0.0},"#,
        r#"{"time":1743460200,"good":300.0,"total":300.0,"error_ratio":0.0,"budget_remaining":1.0,"coverage":0.5},"#,
        r#"{"time":1743462000,"good":600.0,"total":600.0,"error_ratio":0.0,"budget_remaining":1.0,"coverage":1.0},"#,
        r#"{"time":1743463800,"good":560.0,"total":590.0,"error_ratio":0.05084745762711865,"budget_remaining":0.4915254237288136,"coverage":1.0}"#,
        r#"],"alerts":[],"notifications":[],"summary":{"fires":{"fast":0},"worst_budget_remaining":0.4915254237288136,"#,
        r#""final_budget_remaining":0.4915254237288136,"held_back":[],"instants_overspent":0,"instants":4}}]}"#,
        "\n"
    );
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(samples().as_bytes()).unwrap();
    for bytes in [samples().into_bytes(), packed.finish().unwrap()] {
        let folder = folder(&bytes, SPEC);
        let output = backtest(folder.path(), &["--format", "json"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn people_read_when_each_tier_fired() {
    let folder = folder(samples().as_bytes(), SPEC);
    let output = Command::new(env!("CARGO_BIN_EXE_almenara"))
        .current_dir(folder.path())
        .args(["slo", "backtest", "spec.yml", "--source", "samples.om", "--start", "1743458400", "--end", "1743465600"])
        .args(["--step", "1m"])
        .output()
        .unwrap();
    let expected = "2025-03-31T22:00:00Z to 2025-04-01T00:00:00Z, every 1m\n\n\
        a: 90% over 1h\n\
        \x20 budget left  50.00% at the end (30 of 600 bad, 100.00% of the window measured)\n\
        \x20 at worst     49.15% at 2025-03-31T23:30:00Z\n\
        \x20 fast         page 2025-03-31T23:02:00Z to 2025-03-31T23:05:00Z (3m), 33.33% of the budget spent\n\
        \x20 told         1 pages, 0 tickets\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn what_is_wrong_has_its_place_and_fails() {
    let check = |samples: &str, spec: &str, more: &[&str], expected: &str| {
        let folder = folder(samples.as_bytes(), spec);
        let output = backtest(folder.path(), more);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains(expected), "{stderr}");
        assert!(output.stdout.is_empty());
    };
    let samples = samples();
    check(&samples, "slos: [{name: a}]", &[], "spec.yml:1:8: the key \"indicator\" is missing in SLO");
    check("a 1 10\na 1 10\n# EOF\n", SPEC, &[], "samples.om: the samples of a do not stand together in order of time");
    check("a 1 10\n", SPEC, &[], "samples.om: data does not end with # EOF");
    check("a 1\n# EOF\n", SPEC, &[], "samples.om: a sample of a has no timestamp");
}
