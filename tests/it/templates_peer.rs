//! Templates of annotations against the real promtool: some hundred templates, each rendered here and expected of `promtool test rules`, with
//! texts of errors where they fail.
//!
//! Needs `promtool`; see `peers`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::peers::peer;
use crate::real::process::almenara;

/// What is templated on its own: one to a line. `$labels` are [`LABELS`], `$value` is 1234.5678.
const ALONE: &str = include_str!("../../fixtures/template/alone.txt");

/// Each with each value of [`NUMBERS`] in the place of `N`.
const OF_NUMBERS: &[&str] = &[
    "{{ humanize N }}",
    "{{ humanize1024 N }}",
    "{{ humanizeDuration N }}",
    "{{ humanizePercentage N }}",
    "{{ printf \"%v %.2f %g %e\" N N N N }}",
    "{{ N }} {{ print N }}",
];

/// As templates write them; in quotes they are texts that functions of numbers read as numbers.
const NUMBERS: &[&str] = &[
    "0.0",
    "1.0",
    "-1.5",
    "0.001",
    "1e-9",
    "999.94",
    "999.95",
    "1000.0",
    "1023.0",
    "1024.0",
    "123456789.0",
    "1e21",
    "-2.5e+24",
    "1e30",
    "3600.0",
    "59.99",
    "60.0",
    "86399.9",
    "100000.25",
    "\"12.5\"",
    "\"NaN\"",
    "\"+Inf\"",
    "\"-Inf\"",
    "\"1_000\"",
    "\"0x10\"",
    "\"x\"",
    "7",
    "-7",
];

/// Each with each value of [`VALUES`] in the place of `V`.
const OF_VALUES: &[&str] = &[
    "{{ printf \"%v|%s|%q|%d\" V V V V }}",
    "{{ printf \"%x|%X|%o|%b|%c|%U|%t|%T\" V V V V V V V V }}",
    "{{ printf \"%+v|%8v|%-8v|%08v|%6.2f|% d\" V V V V V V }}",
    "{{ if V }}true{{ else }}false{{ end }} {{ not V }} {{ with V }}{{ . }}{{ end }}",
    "{{ html V }} {{ js V }} {{ urlquery V }}",
];

const VALUES: &[&str] = &[
    "1",
    "-42",
    "0",
    "1.5",
    "1e6",
    "true",
    "\"\"",
    "\"a<b>&'c' \\\"d\\\" é\"",
    "'x'",
    "`raw`",
    "$labels.job",
    "$labels.none",
    "$value",
    "$labels",
    "0x1F",
    "1_000",
    "0b11",
    "'\\n'",
];

/// The labels of the series that alerts come from, the metric `m`.
const LABELS: &str = r#"job="api",instance="host-1.example.org:9100",path="/a b?c=d&e",zone="eu-west""#;
/// The same for a test.
const LABELS_YAML: &str = r#"{job: api, instance: "host-1.example.org:9100", path: "/a b?c=d&e", zone: eu-west}"#;

fn templates() -> Vec<String> {
    let alone =
        ALONE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| line.replace('⏎', "\n"));
    let mut all: Vec<String> = alone.collect();
    for (patterns, place, values) in [(OF_NUMBERS, "N", NUMBERS), (OF_VALUES, "V", VALUES)] {
        for pattern in patterns {
            // The letter stands alone.
            let parts: Vec<&str> = pattern.split(' ').collect();
            for value in values {
                let filled = parts.iter().map(|part| if *part == place { *value } else { *part });
                all.push(filled.collect::<Vec<_>>().join(" "));
            }
        }
    }
    all
}

/// An alert for each template; a text of JSON is one of YAML.
fn rules(templates: &[String]) -> String {
    let mut text = "groups:\n- name: g\n  rules:\n".to_owned();
    for (number, template) in templates.iter().enumerate() {
        let quoted = serde_json::to_string(template).expect("JSON");
        let _ = writeln!(text, "  - {{alert: T{number}, expr: m > 0, annotations: {{a: {quoted}}}}}");
    }
    text
}

/// A test for each template, which expects `texts`.
fn tests(texts: &BTreeMap<usize, String>) -> String {
    let mut text = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  external_labels: {{region: eu}}\n  \
         external_url: http://prometheus.example/prefix\n  input_series:\n  - {{series: 'm{{{LABELS}}}', values: '1234.5678x3'}}\n  \
         - {{series: 'n{{i=\"a\"}}', values: '10x3'}}\n  - {{series: 'n{{i=\"b\"}}', values: '2x3'}}\n  alert_rule_test:\n"
    );
    for (number, expected) in texts {
        let expected = serde_json::to_string(expected).expect("JSON");
        let _ = writeln!(
            text,
            "  - {{eval_time: 1m, alertname: T{number}, exp_alerts: [{{exp_labels: {LABELS_YAML}, exp_annotations: {{a: {expected}}}}}]}}"
        );
    }
    text
}

/// The annotations that we render, by the number of the template.
fn rendered(folder: &std::path::Path, templates: &[String]) -> BTreeMap<usize, String> {
    // A backtest over the same samples shows annotations as they are.
    let mut samples = String::new();
    let m = format!("m{{{LABELS}}}");
    for (series, value) in [(&*m, "1234.5678"), ("n{i=\"b\"}", "2"), ("n{i=\"a\"}", "10")] {
        for minute in 0..2 {
            let _ = writeln!(samples, "{series} {value} {}", minute * 60);
        }
    }
    samples += "# EOF\n";
    fs::write(folder.join("samples.om"), samples).expect("write");
    let output = almenara()
        .current_dir(folder)
        .args(["backtest", "rules.yml", "--source=samples.om", "--start=60", "--end=60", "--format=json"])
        .args(["--external-url=http://prometheus.example/prefix", "--external-label=region=eu"])
        .output()
        .expect("almenara runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rules = report["versions"][0]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), templates.len());
    let text =
        |rule: &serde_json::Value| rule["episodes"][0]["annotations"]["a"].as_str().unwrap_or_default().to_owned();
    rules.iter().map(text).enumerate().collect()
}

#[test]
fn templates_render_as_in_prometheus() {
    let Some(promtool) = peer("promtool") else { return };
    let templates = templates();
    assert!(templates.len() >= 200, "{}", templates.len());
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    fs::write(folder.join("rules.yml"), rules(&templates)).expect("write");
    let texts = rendered(folder, &templates);
    let failed = texts.values().filter(|text| text.contains("<error expanding template: ")).count();
    assert!(failed > 20 && failed * 2 < texts.len(), "{failed} of {} fail", texts.len());
    fs::write(folder.join("tests.yml"), tests(&texts)).expect("write");
    let output =
        Command::new(&promtool).current_dir(folder).args(["test", "rules", "tests.yml"]).output().expect("promtool");
    let told = String::from_utf8_lossy(&output.stderr);
    let different: Vec<String> = told
        .split("alertname: T")
        .skip(1)
        .map(|part| {
            let number: usize = part.split(',').next().and_then(|number| number.parse().ok()).expect("a number");
            format!("{:?}\n{part}", templates[number])
        })
        .collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), templates.len(), different.join("\n"));
    assert!(output.status.success(), "{told}");
    // The same through our own unit tests.
    let output = almenara().current_dir(folder).args(["test", "rules", "tests.yml"]).output().expect("almenara runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
