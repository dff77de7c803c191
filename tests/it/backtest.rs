//! `almenara backtest`: the same history from a file, a compressed file, a daemon's folder and a daemon's API gives the same lives of alerts.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::real::process::{Running, almenara, free_port, get, wait_for};

const RULES: &str = r#"groups:
- name: shop
  rules:
  - {record: 'job:errors:ratio5m', expr: 'sum by (job) (rate(errors_total[5m])) / sum by (job) (rate(requests_total[5m]))'}
  - {alert: ManyErrors, expr: 'job:errors:ratio5m > 0.05', for: 5m, annotations: {summary: '{{ $labels.job }}: {{ $value | humanizePercentage }}'}}
  - {alert: Quiet, expr: queue > 100}
"#;

/// Two hours at a minute; the errors of one job are many from minute 30 to 60.
fn history(start: i64) -> String {
    let mut text = "# TYPE requests counter\n".to_owned();
    let (mut errors, mut requests) = ([0, 0], 0);
    let mut lines = [String::new(), String::new(), String::new(), String::new()];
    for minute in 0..=120 {
        let at = start + 60 * minute;
        requests += 600;
        errors[0] += if (30..60).contains(&minute) { 120 } else { 1 };
        errors[1] += 2;
        for job in 0..2 {
            let _ = writeln!(lines[job], "requests_total{{job=\"{job}\"}} {requests} {at}");
            let _ = writeln!(lines[2 + job], "errors_total{{job=\"{job}\"}} {} {at}", errors[job]);
        }
    }
    text += &lines[..2].concat();
    text += "# TYPE errors counter\n";
    text += &lines[2..].concat();
    text += "# TYPE unread gauge\nunread 1 1\n# EOF\n";
    text
}

fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = almenara().current_dir(folder).args(args).output().expect("almenara runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_source_tells_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let start = almenara::clock::now().as_ms() / 60_000 * 60 - 3 * 3600;
    let text = history(start);
    fs::write(folder.join("rules.yml"), RULES).expect("write");
    fs::write(folder.join("samples.om"), &text).expect("write");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("compressed");
    fs::write(folder.join("samples.om.gz"), gzip.finish().expect("compressed")).expect("write");
    let (code, _, err) = run(folder, &["store", "import", "--storage.path=data", "samples.om"]);
    assert_eq!(code, 0, "{err}");

    let (from, until) = (start.to_string(), (start + 7200).to_string());
    let backtest = |source: &str| {
        let args = ["backtest", "rules.yml", "--source", source, "--start", &from, "--end", &until, "--format=json"];
        let (code, out, err) = run(folder, &args);
        assert_eq!((code, err.as_str()), (0, ""), "{source}");
        out
    };
    let from_file = backtest("samples.om");
    let report: serde_json::Value = serde_json::from_str(&from_file).expect("JSON");
    let alert = &report["versions"][0]["rules"][1];
    let minute = |key: &str| {
        let text = alert["episodes"][0][key].as_str().expect("an instant");
        (text.parse::<jiff::Timestamp>().expect("RFC 3339").as_second() - start) / 60
    };
    assert_eq!(["pending", "firing", "ended"].map(minute), [31, 36, 63], "{alert}");
    assert_eq!(alert["episodes"][0]["annotations"]["summary"], "0: 20%");
    assert_eq!((alert["fired"].as_u64(), alert["firing_for"].as_u64()), (Some(1), Some(27 * 60)));
    assert_eq!(report["versions"][0]["series"], 4, "what nothing reads is not kept");

    assert_eq!(backtest("samples.om.gz"), from_file);
    fs::write(folder.join("almenara.yml"), "global: {}\n").expect("write");
    let port = free_port();
    let daemon = Running::start(
        almenara()
            .current_dir(folder)
            .args(["serve", "--config.file=almenara.yml", "--storage.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        &folder.join("log"),
    );
    wait_for("Almenara is ready", || (get(port, "/-/ready").0 == 200).then_some(()));
    assert_eq!(backtest(&format!("http://127.0.0.1:{port}")), from_file);
    drop(daemon);
    // The folder has one series more, which nothing reads.
    let from_folder: serde_json::Value = serde_json::from_str(&backtest("data")).expect("JSON");
    assert_eq!(from_folder["versions"][0]["rules"], report["versions"][0]["rules"]);
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    fs::write(folder.join("rules.yml"), RULES).expect("write");
    fs::write(folder.join("ahead.yml"), "groups: [{name: g, rules: [{alert: A, expr: a @ 5 > 1}]}]\n").expect("write");
    fs::write(folder.join("broken.yml"), "groups: [{name: g, rules: [{alert: A, expr: rate(a)}]}]\n").expect("write");
    fs::write(folder.join("cut.om"), "errors_total 1 1\n").expect("write");
    fs::write(folder.join("other.om"), "other 1 1\n# EOF\n").expect("write");
    for (args, expected) in [
        (
            &["broken.yml", "--source=other.om"][..],
            "broken.yml:1:50: group \"g\", rule 1, \"A\": could not parse expression",
        ),
        (&["rules.yml", "--source=missing.om"], "missing.om: No such file"),
        (&["rules.yml", "--source=cut.om"], "cut.om: data does not end with # EOF"),
        (&["rules.yml", "--source=other.om"], "none of its 1 samples is of a series that the rules read"),
        (&["rules.yml", "--source=."], "not the storage folder of a daemon"),
        (&["rules.yml", "--source=http://127.0.0.1:1"], "--start and --end are needed"),
        (
            &["ahead.yml", "--source=http://127.0.0.1:1", "--start=1", "--end=2"],
            "a server cannot be asked for all that",
        ),
        (&["rules.yml", "--source=other.om", "--start=noon", "--end=2"], "--start: \"noon\" is neither RFC 3339"),
        (&["rules.yml", "--source=other.om", "--start=5", "--end=2"], "--end: 1970-01-01T00:00:02Z is before"),
        (&["rules.yml", "--source=other.om", "--start=0", "--end=9", "--step=0s"], "--step: must be above zero"),
        (&["rules.yml", "--source=other.om", "--start=0", "--end=1e10"], "--step: more than"),
    ] {
        let (code, out, err) = run(folder, &[&["backtest"], args].concat());
        assert!(code == 1 && out.is_empty() && err.contains(expected), "{args:?}: {code} {err}");
    }
}
