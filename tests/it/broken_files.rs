//! Every mistake in a file that users write is found at its place: `fixtures/broken/KIND/*.yml` beside what is said of each, and
//! `fixtures/prometheus/*.yml`, Prometheus's own examples in other words.
//!
//! `UPDATE_FIXTURES=1` writes the expectations anew; the difference is then reviewed as a change of behaviour.

// The figures go to the test's standard error.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use almenara::cmd::check_router;
use almenara::config::Config;
use almenara::promql::Features;
use almenara::rules::RuleFile;
use almenara::serve::WebConfig;
use almenara::slo;
use almenara::source::keys::{Fate, SECTIONS};
use almenara::source::{Diagnostic, Diagnostics, SourceFile};

use crate::peers::peer;

/// A kind of file and how it is read.
struct Kind {
    /// Relative, as a user would write it; tests run at the root of the package.
    folder: &'static str,
    /// How many there are at least, so that a lost folder is noticed.
    count_min: usize,
    /// Those that are taken all the same, some with a warning.
    accepted: &'static [&'static str],
    /// Whether a file is taken, and what is said of it.
    read: fn(&Path) -> (bool, Diagnostics),
}

const KINDS: &[Kind] = &[
    Kind {
        folder: "fixtures/broken/config",
        count_min: 20,
        accepted: &["empty.yml", "only_comments.yml", "two_documents.yml"],
        read: read_config,
    },
    Kind {
        folder: "fixtures/broken/router",
        count_min: 12,
        accepted: &[],
        read: |path| taken(check_router::check(&source(path))),
    },
    Kind {
        folder: "fixtures/broken/rules",
        count_min: 30,
        accepted: &["second_document.yml"],
        read: |path| taken(RuleFile::parse(&source(path))),
    },
    Kind {
        folder: "fixtures/broken/slo",
        count_min: 12,
        accepted: &["asked.yml", "unreachable_default_tier.yml"],
        read: |path| taken(slo::parse_file(&source(path))),
    },
    Kind {
        folder: "fixtures/broken/web",
        count_min: 12,
        accepted: WEB_ACCEPTED,
        read: |path| taken(WebConfig::load(path)),
    },
    Kind { folder: PROMETHEUS, count_min: 25, accepted: PROMETHEUS_ACCEPTED, read: read_config },
];

const WEB_ACCEPTED: &[&str] = &["empty.yml"];

/// Prometheus's examples.
const PROMETHEUS: &str = "fixtures/prometheus";

/// Those of them that use nothing but what we act on.
const PROMETHEUS_ACCEPTED: &[&str] = &[
    "alertmanager.yml",
    "alertmanager_dns.yml",
    "basic_auth.yml",
    "cadvisor.yml",
    "default.yml",
    "default_3_8.yml",
    "default_3_8_without.yml",
    "dns_sd.yml",
    "federation.yml",
    "file_sd.yml",
    "getting_started.yml",
    "http_sd.yml",
    "jobs_in_files.yml",
    "kubernetes.yml",
    "kubernetes_outside.yml",
    "legacy_names.yml",
    "limits.yml",
    "multi_target.yml",
    "native_histograms.yml",
    "node_exporter.yml",
    "oauth2.yml",
    "protocols.yml",
    "proxy.yml",
    "pushgateway.yml",
    "snmp.yml",
    "tls.yml",
];

fn taken<T>((value, diagnostics): (Option<T>, Diagnostics)) -> (bool, Diagnostics) {
    (value.is_some(), diagnostics)
}

fn read_config(path: &Path) -> (bool, Diagnostics) {
    taken(Config::load(path, &|_| None, Features::DEFAULT))
}

/// Named as where it stands, without the folder.
fn source(path: &Path) -> SourceFile {
    SourceFile::new(name_of(path), fs::read_to_string(path).unwrap())
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

#[test]
fn says_what_is_wrong_and_where() {
    let mut wrong = Vec::new();
    for kind in KINDS {
        let files = files(kind.folder);
        assert!(files.len() >= kind.count_min, "only {} files in {}", files.len(), kind.folder);
        wrong.extend(files.iter().filter_map(|file| difference(kind, file)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a file should have been told and was not.
fn difference(kind: &Kind, file: &Path) -> Option<String> {
    let place = file.display();
    let (is_taken, diagnostics) = (kind.read)(file);
    assert_eq!(is_taken, !diagnostics.has_errors(), "{place}");
    if is_taken != kind.accepted.contains(&name_of(file)) {
        let verdict = if is_taken { "accepted" } else { "refused" };
        return Some(format!("--- {place} is {verdict}:\n{diagnostics}"));
    }
    let said = if diagnostics.is_empty() { String::new() } else { format!("{diagnostics}\n") };
    assert!(!said.contains("s3cret"), "{place}: a secret is repeated");
    let unplaced: Vec<_> = diagnostics.iter().filter(|diagnostic| diagnostic.position().is_none()).collect();
    assert!(unplaced.is_empty(), "{place}: {unplaced:?}");
    let expectation = file.with_extension("expected");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&expectation, &said).unwrap();
    }
    let expected = fs::read_to_string(&expectation).unwrap_or_else(|error| format!("no expectation: {error}\n"));
    (said != expected).then(|| format!("--- {place}, expected:\n{expected}--- found:\n{said}"))
}

/// Each error of an example is a refusal of the table of keys, at the key or, where one value is accepted, at the value.
#[test]
fn examples_of_prometheus_behave_as_the_table_says() {
    let (mut taken, mut refused, mut keys) = (0, 0, 0);
    for file in files(PROMETHEUS) {
        let (is_taken, diagnostics) = read_config(&file);
        for problem in diagnostics.iter() {
            assert!(is_in_table(problem), "{problem}");
            keys += 1;
        }
        if is_taken { taken += 1 } else { refused += 1 }
    }
    eprintln!("{taken} examples are accepted; {refused} are refused for {keys} keys");
}

fn is_in_table(problem: &Diagnostic) -> bool {
    let Some((source, span)) = &problem.at else { return false };
    let text = &source.text[span.start..];
    SECTIONS.iter().flat_map(|section| section.all_keys().into_iter().map(move |key| (section, key))).any(
        |(section, key)| {
            let message = |why| format!("the key {:?} in {} is not supported: {why}", key.name, section.what);
            match key.fate {
                Fate::ActedOn => false,
                Fate::Refused(why) => problem.message == message(why) && text.starts_with(key.name),
                Fate::Neutral { value, why } => problem.message == message(why) && !text.starts_with(value),
            }
        },
    )
}

/// Prometheus's own check takes its examples, the discoveries that its build leaves out aside.
#[test]
fn examples_of_prometheus_are_right() {
    let Some(promtool) = peer("promtool") else { return };
    for file in files(PROMETHEUS) {
        let output = Command::new(&promtool)
            .args(["check", "config", "--syntax-only"])
            .arg(&file)
            .output()
            .expect("promtool runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let mut unknown = said.lines().filter(|line| line.contains(" not found in type"));
        let is_left_out = unknown.clone().count() > 0 && unknown.all(is_newer_or_left_out);
        assert!(output.status.success() || is_left_out, "{}: {said}", file.display());
    }
}

/// Whether the key that is not known came after 3.5, or is a discovery.
fn is_newer_or_left_out(line: &str) -> bool {
    let mut newer = SECTIONS.iter().flat_map(|section| section.all_keys()).filter(|key| !key.since.is_empty());
    line.contains("_sd_configs not found") || newer.any(|key| line.contains(&format!("field {} not found", key.name)))
}

/// Prometheus's own check takes and refuses the same web configurations.
#[test]
fn promtool_refuses_the_same_web_files() {
    let Some(promtool) = peer("promtool") else { return };
    for file in files("fixtures/broken/web") {
        let checked = Command::new(&promtool).args(["check", "web-config"]).arg(&file).output().expect("promtool runs");
        assert_eq!(checked.status.success(), WEB_ACCEPTED.contains(&name_of(&file)), "{}", file.display());
    }
}

#[test]
fn the_command_for_routers_answers_for_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.yml");
    let text = "route: {receiver: a, routes: [{matchers: [x=y]}]}\nreceivers: [{name: a, webhook_configs: [{url: \
                'http://h/'}]}, {name: b}]\ninhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d]}]\n";
    fs::write(&good, text).unwrap();
    let run = |files: &[PathBuf]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check_router::run(files, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let summary = format!(
        "Checking {}  SUCCESS\n  2 routes\n  2 receivers with 1 integration\n  1 inhibit rule\n",
        good.display()
    );
    assert_eq!(run(std::slice::from_ref(&good)), (0, summary.clone(), String::new()));
    let missing = folder.path().join("missing.yml");
    let (code, out, err) = run(&[missing.clone(), good]);
    assert_eq!(code, 1);
    assert_eq!(out, format!("Checking {}  FAILED\n{summary}", missing.display()));
    assert!(err.starts_with(&format!("cannot read {}", missing.display())), "{err}");
}

/// Every rule of a collection beside the repository is accepted; says nothing where there is none.
#[test]
fn rules_in_the_field_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/mixins");
    let Ok(mixins) = fs::read_dir(&folder) else { return };
    let mut count = 0;
    for mixin in mixins.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(mixin).unwrap().map(|entry| entry.unwrap().path()) {
            let (read, diagnostics) = RuleFile::parse(&source(&file));
            assert!(diagnostics.is_empty(), "{}: {diagnostics}", file.display());
            count += read.unwrap().groups.iter().map(|group| group.rules.len()).sum::<usize>();
        }
    }
    assert!(count > 100, "only {count} rules");
}

#[test]
fn shipped_specifications_are_right() {
    let mut count = 0;
    for file in files("slo") {
        let (read, diagnostics) = slo::parse_file(&source(&file));
        assert!(diagnostics.is_empty(), "{diagnostics}");
        count += read.unwrap().slos.len();
    }
    assert!(count > 0);
}
