//! Rules against the real promtool: the same alerts at every slot, the same verdict on every file.
//!
//! Needs `promtool`; see `peers`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use almenara::model::{Labels, Matcher, Sample, Series, Timestamp};
use almenara::promql::{Dialect, Querier, QuerierError};
use almenara::rules::{Environment, EvalContext, Evaluator, Group, GroupDefaults, Outcome, RuleFile};
use almenara::source::SourceFile;

use crate::peers::peer;

/// Broken files that promtool 3.5 accepts, and why we do not.
const ACCEPTED_BY_PROMTOOL: &[(&str, &str)] = &[
    ("limit_is_negative.yml", "a limit below zero has no meaning"),
    ("second_document.yml", "a warning here, silence there"),
];

fn run(promtool: &Path, folder: &Path, args: &[&str]) -> Output {
    Command::new(promtool).args(args).current_dir(folder).output().expect("promtool starts")
}

#[test]
fn broken_files_are_broken_for_promtool_too() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/rules");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".yml") {
            continue;
        }
        let accepted = run(&promtool, &folder, &["check", "rules", "--lint=none", &name]).status.success();
        let is_known = ACCEPTED_BY_PROMTOOL.iter().any(|(known, _)| *known == name);
        assert_eq!(accepted, is_known, "{name}");
    }
}

/// Plays random lives of alerts here, and has promtool check `ALERTS` and `ALERTS_FOR_STATE` at each minute.
#[test]
fn alerts_live_as_in_prometheus() {
    const SCENARIOS: u64 = 20;
    const MINUTES: i64 = 24;
    let Some(promtool) = peer("promtool") else { return };
    let mut random = Random(20_261_121);
    let mut rules = "groups:\n- name: g\n  rules:\n".to_owned();
    let mut tests = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n".to_owned();
    for number in 0..SCENARIOS {
        let (hold, keep) = (random.below(4), random.below(4));
        let rule = format!(
            "{{alert: A{number}, expr: 'm{number} > 0', for: {hold}m, keep_firing_for: {keep}m, labels: {{v: 'x{{{{ $labels.i }}}}'}}}}"
        );
        writeln!(rules, "  - {rule}").unwrap();
        let holds: Vec<[bool; 2]> = (0..MINUTES).map(|_| [random.below(3) > 0, random.below(4) == 0]).collect();
        writeln!(tests, "- interval: 1m\n  name: scenario {number}, for {hold}m, keep {keep}m\n  input_series:")
            .unwrap();
        for series in 0..2 {
            let values: Vec<&str> = holds.iter().map(|holds| if holds[series] { "1" } else { "0" }).collect();
            let values = values.join(" ");
            writeln!(tests, "  - {{series: 'm{number}{{i=\"{series}\"}}', values: '{values}'}}").unwrap();
        }
        tests += "  promql_expr_test:\n";
        let mut group = group(&rule);
        let mut samples = Samples::default();
        for (minute, holds) in (0..).zip(&holds) {
            let at = Timestamp::from_ms(60_000 * minute);
            for (series, holds) in holds.iter().enumerate() {
                let labels = Labels::from_pairs([("__name__", format!("m{number}")), ("i", series.to_string())]);
                samples.0.entry(labels).or_default().push(Sample::float(at, f64::from(u8::from(*holds))));
            }
            let outcome = group.eval(at, &EvalContext { querier: &samples, engine: None, environment: &environment() });
            assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
            for metric in ["ALERTS", "ALERTS_FOR_STATE"] {
                let expected = expected(&outcome, metric);
                writeln!(tests, "  - expr: '{metric}{{alertname=\"A{number}\"}}'").unwrap();
                writeln!(tests, "    eval_time: {minute}m\n    exp_samples: [{expected}]").unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    fs::write(folder.path().join("tests.yml"), tests).unwrap();
    let output = run(&promtool, folder.path(), &["test", "rules", "tests.yml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn group(rule: &str) -> Group {
    let source = SourceFile::new("rules.yml", format!("groups:\n- name: g\n  rules:\n  - {rule}\n"));
    let (file, diagnostics) = RuleFile::parse(&source);
    let file = file.unwrap_or_else(|| panic!("{diagnostics}"));
    let defaults = GroupDefaults { interval: Duration::from_secs(60), query_offset: Duration::ZERO };
    Group::new("rules.yml", &file.groups[0], defaults)
}

/// The samples of `metric` in promtool's form.
fn expected(outcome: &Outcome, metric: &str) -> String {
    let live = outcome.recorded.iter().filter(|recorded| recorded.labels.metric_name() == metric);
    let samples = live.filter(|recorded| !recorded.value.is_stale()).map(|recorded| {
        let value = recorded.value.as_float().expect("an alert's series is a number");
        format!("{{labels: '{}', value: {value}}}", recorded.labels)
    });
    samples.collect::<Vec<_>>().join(", ")
}

fn environment() -> Environment {
    Environment {
        external_labels: Labels::empty(),
        external_url: "".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        dialect: Dialect::default(),
        resend_delay: Duration::from_secs(60),
    }
}

/// A linear congruential generator: the same scenarios in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Samples in memory.
#[derive(Default)]
struct Samples(BTreeMap<Labels, Vec<Sample>>);

impl Querier for Samples {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let matching = self.0.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
        let series = matching.map(|(labels, samples)| {
            let inside = samples.iter().filter(|sample| (start..=end).contains(&sample.at));
            Series::new(labels.clone(), inside.cloned().collect())
        });
        Ok(series.collect())
    }
}
