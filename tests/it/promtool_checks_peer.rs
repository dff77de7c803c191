//! `almenara check rules|config|metrics` beside `promtool check …`: the same exit codes, the same standard output, the same mistakes.
//!
//! Where promtool names a mistake, one of our lines begins with its words, after our place; what YAML itself refuses is told in our
//! words. Deliberate differences are listed and counted.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::peers::peer;

fn almenara() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_almenara"))
}

fn run(program: &Path, folder: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Who refuses the command line may be gone before it has read anything.
    let _ = child.stdin.take().expect("its input is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the program ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Broken files that promtool 3.5 accepts, and why we do not.
const REFUSED_BY_US: &[(&str, &str)] = &[("limit_is_negative.yml", "a limit below zero has no meaning")];

/// Mistakes of one rule, one at a time, in the place of RULE in a file with a good group before it.
#[rustfmt::skip]
const BROKEN_RULES: &[&str] = &[
    "{record: r, expr: 'sum('}", "{record: r, expr: 'sum)'}", "{record: r, expr: 'a b'}", "{record: r, expr: 'a + '}", "{record: r, expr: '+ * a'}",
    "{record: r, expr: 'a[5m'}", "{record: r, expr: 'a[5'}", "{record: r, expr: 'a[5q]'}", "{record: r, expr: 'a[]'}", "{record: r, expr: 'a[5m] offset'}",
    "{record: r, expr: 'a{b}'}", "{record: r, expr: 'a{b=c}'}", "{record: r, expr: 'a{b=\"c\"'}", "{record: r, expr: 'a{b=~\"(\"}'}", "{record: r, expr: '{}'}",
    "{record: r, expr: '{a=\"\"}'}", "{record: r, expr: 'a{__name__=\"b\"}'}", "{record: r, expr: 'rate(a)'}", "{record: r, expr: 'rate(a[5m], 3)'}", "{record: r, expr: 'nope(a)'}",
    "{record: r, expr: 'abs(a[5m])'}", "{record: r, expr: 'abs()'}", "{record: r, expr: 'round(a, 1, 2)'}", "{record: r, expr: 'topk(a)'}", "{record: r, expr: 'sum(a[5m])'}",
    "{record: r, expr: 'sum by (a'}", "{record: r, expr: 'sum by a (b)'}", "{record: r, expr: 'a + on b'}", "{record: r, expr: 'a and on(b) group_left() c'}", "{record: r, expr: 'a + on(b) group_left(b) c'}",
    "{record: r, expr: '1 > 2'}", "{record: r, expr: '1 and 2'}", "{record: r, expr: 'a + \"x\"'}", "{record: r, expr: 'a + bool b'}", "{record: r, expr: '\"x'}",
    "{record: r, expr: 'a @ b'}", "{record: r, expr: 'a @ 5 @ 6'}", "{record: r, expr: 'a offset 5m offset 6m'}", "{record: r, expr: '(a + b) offset 5m'}", "{record: r, expr: '(a)[5m:1m] offset x'}",
    "{record: r, expr: 'sum(a) by (b) by (c)'}", "{record: r, expr: 'a == == b'}", "{record: r, expr: 'histogram_quantile(a, b)'}", "{record: r, expr: 'label_replace(a, b)'}", "{record: r, expr: '1.2.3'}",
    "{record: r, expr: '0xzz'}", "{record: r, expr: 'a $ b'}", "{record: r, expr: 'a ! b'}", "{record: r, expr: 'a =~ b'}", "{record: r, expr: '-\"a\"'}",
    "{record: r, expr: ''}", "{record: r}", "{expr: a}", "{record: r, alert: A, expr: a}", "{record: r, expr: a, for: 5m}",
    "{record: r, expr: a, keep_firing_for: 5m}", "{record: r, expr: a, annotations: {b: c}}", "{record: 'r{a=\"b\"}', expr: a}", "{record: r, expr: a, labels: {__name__: b}}", "{record: r, expr: a, labels: {'': b}}",
    "{alert: A, expr: a, labels: {b: '{{ nope }}'}}", "{alert: A, expr: a, labels: {b: '{{ $nope }}'}}", "{alert: A, expr: a, labels: {b: '{{ if }}'}}", "{alert: A, expr: a, labels: {b: '{{ end }}'}}", "{alert: A, expr: a, labels: {b: '{{ range $x := . }}'}}",
    "{alert: A, expr: a, annotations: {b: '{{ $labels.'}}", "{alert: A, expr: a, annotations: {b: '{{ \"x }}'}}", "{alert: A, expr: a, annotations: {b: '{{ . | }}'}}", "{alert: A, expr: a, annotations: {b: '{{ (1 }}'}}", "{alert: A, expr: a, annotations: {b: '{{ 1 2 }} {{ template }}'}}",
    "{alert: A, expr: a, annotations: {'': c}}", "{alert: A, expr: a, nope: c}", "{alert: A, expr: a, for: 5}", "{alert: A, expr: a, for: 5 minutes}", "{alert: A, expr: a, for: [5m]}",
    "{alert: A, expr: [a]}", "{alert: A, expr: a, labels: [b]}", "{alert: A, expr: a, labels: {b: [c]}}", "{alert: {A: b}, expr: a}", "{alert: A, expr: a, alert: B}",
    "nope", "[a]", "{alert: A, expr: 'a >'}", "{alert: A, expr: 'a > (1'}", "{alert: A, expr: 'absent(a[5m])'}",
];

/// Broken rules about which we speak other words than promtool 3.5, and why.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("{record: r, expr: 'a[]'}", "the words of Prometheus 3.14, which has step() and range()"),
    ("{record: r, expr: 'a[5m] offset'}", "likewise"),
    ("{record: r, expr: '(a)[5m:1m] offset x'}", "likewise"),
    ("{alert: A, expr: a, annotations: {b: '{{ $labels.'}}", "the template's token is shown as Go 1.26 shows it"),
    ("group_without_name.yml", "two groups without name are not told as repeated, too"),
];

/// The mistakes that promtool names, without files and places; those of YAML left out.
fn named_mistakes(err: &str) -> Vec<String> {
    let place = regex::Regex::new(r"^\S+\.yml: (?:\d+:\d+: )*").unwrap();
    let lines = err.lines().filter(|line| place.is_match(line)).map(|line| place.replace(line, "").into_owned());
    let is_ours =
        |text: &String| text.starts_with("group") || text.starts_with("invalid") || text.starts_with("Groupname");
    lines.filter(is_ours).collect()
}

/// What is wrong with our check of `file`, compared with promtool's.
fn compare_rules(promtool: &Path, folder: &Path, file: &str, rule: &str) -> Option<String> {
    let theirs = run(promtool, folder, &["check", "rules", file], "");
    let ours = run(almenara(), folder, &["check", "rules", file], "");
    let (their_err, our_err) = (text(&theirs.stderr), text(&ours.stderr));
    if let Some((_, why)) = REFUSED_BY_US.iter().find(|(known, _)| *known == file) {
        let is_known = theirs.status.success() && ours.status.code() == Some(1);
        return (!is_known).then(|| format!("{file}: not refused by us alone, although {why}"));
    }
    let place = regex::Regex::new(r"^\S+\.yml:\d+:\d+: ").unwrap();
    let our_lines: Vec<String> = our_err.lines().map(|line| place.replace(line, "").into_owned()).collect();
    let missing: Vec<String> = named_mistakes(&their_err)
        .into_iter()
        .filter(|_| !OTHER_WORDS.iter().any(|(known, _)| *known == rule))
        .filter(|mistake| !our_lines.iter().any(|line| line.starts_with(mistake)))
        .collect();
    let is_same = ours.status.code() == theirs.status.code() && ours.stdout == theirs.stdout && missing.is_empty();
    let streams =
        |output: &Output| format!("{:?} {}{}", output.status.code(), text(&output.stdout), text(&output.stderr));
    (!is_same).then(|| format!("{file}: missing {missing:?}\npromtool {}almenara {}", streams(&theirs), streams(&ours)))
}

#[test]
fn broken_rules_are_refused_for_the_same_reasons() {
    let Some(promtool) = peer("promtool") else { return };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/rules");
    let mut names: Vec<String> =
        fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".yml"));
    names.sort();
    let mut wrong: Vec<String> =
        names.iter().filter_map(|name| compare_rules(&promtool, &fixtures, name, name)).collect();
    let folder = tempfile::tempdir().unwrap();
    for (index, rule) in BROKEN_RULES.iter().enumerate() {
        let name = format!("broken{index}.yml");
        let file =
            format!("groups:\n- name: good\n  rules: [{{record: fine, expr: up}}]\n- name: g\n  rules:\n  - {rule}\n");
        fs::write(folder.path().join(&name), file).unwrap();
        wrong.extend(compare_rules(&promtool, folder.path(), &name, rule).map(|text| format!("{rule}\n{text}")));
    }
    let count = names.len() + BROKEN_RULES.len();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 120, "only {count} broken files");
}

/// Files that are fine or have findings: both streams byte for byte.
#[test]
fn good_rules_are_told_alike() {
    let Some(promtool) = peer("promtool") else { return };
    let twice = "groups:\n- name: g\n  labels: {severity: page}\n  rules:\n  - {record: r, expr: a}\n  - {record: r, expr: b}\n  - {record: r, expr: c}\n  \
                 - {alert: A, expr: c, labels: {b: x}}\n- name: h\n  rules:\n  - {alert: A, expr: d, labels: {b: x, severity: page}}\n  - {alert: A, expr: e}\n";
    let good = "groups: [{name: g, rules: [{record: r, expr: up}, {alert: A, expr: up == 0, for: 5m}]}]\n";
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("twice.yml", twice),
        ("good.yml", good),
        ("empty.yml", ""),
        ("unknown.yml", "a: 1\n"),
        ("bad.yml", "groups: 1\n"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut wrong = Vec::new();
    let cases: &[(&[&str], &str)] = &[
        (&["good.yml"], ""),
        (&["good.yml", "empty.yml", "good.yml"], ""),
        (&["twice.yml"], ""),
        (&["twice.yml", "--lint-fatal"], ""),
        (&["twice.yml", "good.yml", "--lint=all", "--lint-fatal"], ""),
        (&["twice.yml", "--lint=none", "--lint-fatal"], ""),
        (&["twice.yml", "--lint=duplicate-rules,none,nope"], ""),
        (&["unknown.yml", "--ignore-unknown-fields"], ""),
        (&[], good),
        (&["--lint-fatal"], twice),
        (&["--lint", "none"], twice),
    ];
    for (args, input) in cases {
        let all: Vec<&str> = ["check", "rules"].iter().chain(*args).copied().collect();
        let [theirs, ours] = [promtool.as_path(), almenara()].map(|program| run(program, folder.path(), &all, input));
        if (ours.status.code(), &ours.stdout, &ours.stderr) != (theirs.status.code(), &theirs.stdout, &theirs.stderr) {
            wrong.push(format!("{args:?}\npromtool {theirs:?}\nalmenara {ours:?}"));
        }
    }
    for args in
        [&["bad.yml", "twice.yml", "--lint-fatal"][..], &["nowhere.yml"], &["."], &["--nope"], &["good.yml", "--lint"]]
    {
        let all: Vec<&str> = ["check", "rules"].iter().chain(args).copied().collect();
        let [theirs, ours] = [promtool.as_path(), almenara()].map(|program| run(program, folder.path(), &all, ""));
        if ours.status.code() != theirs.status.code() || ours.stdout != theirs.stdout {
            wrong.push(format!("{args:?}\npromtool {theirs:?}\nalmenara {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every rule file of a collection beside the repository, in one call; says nothing where there is none.
#[test]
fn rules_in_the_field_are_told_alike() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/mixins");
    let Ok(mixins) = fs::read_dir(&folder) else { return };
    let folders = mixins.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(files.len() >= 15, "only {} files", files.len());
    let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    for lint in ["--lint=all", "--lint=none"] {
        let args: Vec<&str> = ["check", "rules", lint].iter().chain(&names).copied().collect();
        let [theirs, ours] = [promtool.as_path(), almenara()].map(|program| run(program, &folder, &args, ""));
        assert_eq!(text(&ours.stdout), text(&theirs.stdout));
        assert_eq!((ours.status.code(), text(&ours.stderr)), (theirs.status.code(), text(&theirs.stderr)));
    }
}

/// A configuration with files around it, options, and whether only exit codes agree.
#[rustfmt::skip]
const CONFIGS: &[(&str, &[&str], bool)] = &[
    ("{}", &[], true),
    ("global: {scrape_interval: 30s}\nscrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}]}]", &[], true),
    ("rule_files: [good.yml]", &[], true),
    ("rule_files: [good.yml, 'none*.yml']", &[], true),
    ("rule_files: [twice.yml]", &[], true),
    ("rule_files: [twice.yml]", &["--lint-fatal"], true),
    ("rule_files: [twice.yml]", &["--lint=none", "--lint-fatal"], true),
    ("rule_files: [twice.yml]", &["--lint=all,nope", "--lint-fatal"], true),
    ("rule_files: [none.yml]", &[], false),
    ("rule_files: [none.yml]", &["--syntax-only"], true),
    ("rule_files: [bad.yml]", &[], false),
    ("rule_files: [bad.yml]", &["--syntax-only"], true),
    ("rule_files: [extended.yml]", &[], false),
    ("rule_files: [extended.yml]", &["--ignore-unknown-fields"], true),
    ("scrape_configs: [{job_name: a, scrape_interval: 6m}]", &[], true),
    ("scrape_configs: [{job_name: a, scrape_interval: 6m}]", &["--lint=all"], true),
    ("scrape_configs: [{job_name: a, scrape_interval: 5m}, {job_name: b, scrape_interval: 6m}]", &["--lint=too-long-scrape-interval", "--lint-fatal"], true),
    ("scrape_configs: [{job_name: a, scrape_interval: 5m}]", &["--lint=too-long-scrape-interval,none", "--lint-fatal"], true),
    ("scrape_configs: [{job_name: a, file_sd_configs: [{files: [targets.json]}]}]", &[], true),
    ("scrape_configs: [{job_name: a, file_sd_configs: [{files: [targets.json]}]}]", &["--syntax-only"], true),
    ("scrape_configs: [{job_name: a, authorization: {credentials_file: none}}]", &[], false),
    ("scrape_configs: [{job_name: a, authorization: {credentials_file: none}}]", &["--syntax-only"], true),
    ("scrape_configs: [{job_name: a, bearer_token_file: good.yml}]", &[], true),
    ("scrape_configs: [{job_name: a, tls_config: {cert_file: good.yml, key_file: none}}]", &[], false),
    ("scrape_configs: [{job_name: a, tls_config: {cert_file: good.yml}}]", &["--syntax-only"], false),
    ("scrape_configs: [{job_name: a}, {job_name: a}]", &[], false),
    ("scrape_configs: [{static_configs: []}]", &[], false),
    ("scrape_configs: [{job_name: a, scrape_timeout: 2m}]", &[], false),
    ("scrape_configs: [{job_name: a, relabel_configs: [{action: nope}]}]", &[], false),
    ("alerting: {alertmanagers: [{static_configs: [{targets: ['h:1']}], api_version: v1}]}", &[], false),
    ("global: {scrape_interval: 0}", &[], true),
    ("global: {scrape_interval: 5 s}", &[], false),
    ("nope: 1", &[], false),
    ("global: [", &[], false),
    ("rule_files: [good.yml]", &["--agent"], false),
];

#[test]
fn configurations_are_told_alike() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let good = "groups: [{name: g, rules: [{record: r, expr: up}]}]\n";
    let twice = "groups: [{name: g, rules: [{record: r, expr: up}, {record: r, expr: up}]}]\n";
    let extended = "groups: [{name: g, owner: x, rules: [{record: r, expr: up}]}]\n";
    for (name, content) in
        [("good.yml", good), ("twice.yml", twice), ("extended.yml", extended), ("bad.yml", "groups: 1\n")]
    {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut wrong = Vec::new();
    for (config, options, is_whole) in CONFIGS {
        fs::write(folder.path().join("c.yml"), config).unwrap();
        let args: Vec<&str> = ["check", "config", "c.yml"].iter().chain(*options).copied().collect();
        let [theirs, ours] = [promtool.as_path(), almenara()].map(|program| run(program, folder.path(), &args, ""));
        let is_same_text = ours.stdout == theirs.stdout && ours.stderr == theirs.stderr;
        if ours.status.code() != theirs.status.code() || *is_whole && !is_same_text {
            wrong.push(format!("=== {config} {options:?}\npromtool {theirs:?}\nalmenara {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CONFIGS.len(), wrong.join("\n"));
}

/// Broken configurations that promtool 3.5 accepts, and why we do not, and the other way round.
const CONFIGS_THAT_DIFFER: &[(&str, &str)] =
    &[("external_labels.yml", "names of labels are judged by the characters that Alertmanagers accept")];

#[test]
fn broken_configurations_are_refused_by_both() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/config");
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".yml"));
    let mut differing = Vec::new();
    for name in &names {
        let codes = [promtool.as_path(), almenara()]
            .map(|program| run(program, &folder, &["check", "config", name], "").status.code());
        if codes[0] != codes[1] {
            differing.push(name.as_str());
        }
    }
    differing.sort_unstable();
    assert_eq!(differing, CONFIGS_THAT_DIFFER.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(names.len() >= 25, "only {} files", names.len());
}

/// Bodies of the text format, and whether the words about them agree too.
#[rustfmt::skip]
const BODIES: &[(&str, bool)] = &[
    ("", true),
    ("# HELP a x\n# TYPE a gauge\na 1\n", true),
    ("a 1\n", true),
    ("# HELP a\na 1\n", true),
    ("# HELP a x\n# TYPE a counter\na 1\n", true),
    ("# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", true),
    ("# HELP a_total x\na_total 1\n", true),
    ("# HELP a_bucket x\n# TYPE a_bucket gauge\na_bucket{le=\"1\"} 1\n", true),
    ("# HELP a_sum x\n# TYPE a_sum counter\na_sum{quantile=\"1\",le=\"3\"} 1\n", true),
    ("a_count{le=\"1\"} 3\na_bucket{quantile=\"1\"} 3\n", true),
    ("# HELP s x\n# TYPE s summary\ns{quantile=\"0.5\",le=\"1\"} 1\ns_sum 3\ns_count 1\n", true),
    ("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\",quantile=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", true),
    ("# HELP a:b x\na:b 1\n", true),
    ("# HELP camelCase x\ncamelCase{aB=\"1\",cD=\"2\"} 1\ncamelCase{aB=\"2\"} 1\n", true),
    ("# HELP my_Gauge_ms x\nmy_Gauge_ms 1\n", true),
    ("# HELP a_gauge_histogram_s_b x\na_gauge_histogram_s_b 1\n", true),
    ("# HELP counter_summary_x x\ncounter_summary_x 1\n", true),
    ("# HELP a_milliseconds_kilobits x\na_milliseconds_kilobits 1\n", true),
    ("# HELP a_gibibytes_kelvins x\na_gibibytes_kelvins 1\n# HELP days x\ndays 1\n# HELP thermometers x\nthermometers 1\n", true),
    ("# HELP a x\na 1\na 2\na{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n", true),
    ("# HELP a x\na 1\na 2\na 3\n", true),
    ("# HELP a x\n# HELP b x\na 1\nb 1\na{c=\"1\"} 1 1600000000000\n", true),
    ("\n\n# a comment\n# HELP a x\n  a   1\n", true),
    ("# HELP b_only x\n# TYPE b_only gauge\n", true),
    ("a 1", false),
    ("a{ 1\n", false),
    ("a one\n", false),
    ("a 1 2 3\n", false),
    ("a{b=\"1\",b=\"2\"} 1\n", false),
    ("# HELP a x\n# HELP a y\na 1\n", false),
    ("# TYPE a gauge\n# TYPE a gauge\na 1\n", false),
    ("a 1\n# TYPE a gauge\n", false),
    ("# TYPE a info\na 1\n", false),
    ("# TYPE a nope\na 1\n", false),
];

#[test]
fn metrics_are_judged_alike() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (body, is_whole) in BODIES {
        for args in
            [&["check", "metrics"][..], &["check", "metrics", "--extended"], &["check", "--extended", "metrics"]]
        {
            let [theirs, ours] =
                [promtool.as_path(), almenara()].map(|program| run(program, folder.path(), args, body));
            let is_same_text = ours.stdout == theirs.stdout && ours.stderr == theirs.stderr;
            if ours.status.code() != theirs.status.code() || *is_whole && !is_same_text {
                wrong.push(format!("=== {body}{args:?}\npromtool {theirs:?}\nalmenara {ours:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BODIES.len(), wrong.join("\n"));
}
