//! Holds the guide in `docs/` to the program: every key, setting and metric of the code is in it, every example passes our own checks, and
//! the page of differences is what the code says.
//!
//! `UPDATE_FIXTURES=1` writes `docs/src/differences.md` anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use almenara::config::{Config, SETTINGS};
use almenara::router::RouterConfig;
use almenara::rules::RuleFile;
use almenara::serve::WebFile;
use almenara::source::{Diagnostics, SourceFile, format_duration, yaml};
use almenara::template::ALERT_FUNCTIONS;
use almenara::unittest::incident::Scenario;
use almenara::unittest::rule_test::TestFile;
use almenara::{deliver, discovery, exposition, notifier, promql, remote, router, scrape, slo, template};
use regex::Regex;

/// Files that read keys of users' files, and the page that names these keys.
const DECODERS: &[(&str, &str)] = &[
    ("config/global.rs", "configuration.md"),
    ("config/load.rs", "configuration.md"),
    ("discovery/config.rs", "configuration.md"),
    ("discovery/dns.rs", "configuration.md"),
    ("discovery/http.rs", "configuration.md"),
    ("discovery/kubernetes/config.rs", "configuration.md"),
    ("http/config.rs", "configuration.md"),
    ("http/oauth2.rs", "configuration.md"),
    ("http/proxy.rs", "configuration.md"),
    ("http/tls.rs", "configuration.md"),
    ("notifier/config.rs", "configuration.md"),
    ("relabel/config.rs", "configuration.md"),
    ("scrape/config.rs", "configuration.md"),
    ("scrape/names.rs", "configuration.md"),
    ("scrape/protocol.rs", "configuration.md"),
    ("router/config.rs", "routing.md"),
    ("router/heartbeat.rs", "routing.md"),
    ("router/inhibit.rs", "routing.md"),
    ("router/receiver/email.rs", "routing.md"),
    ("router/receiver/global.rs", "routing.md"),
    ("router/receiver/mod.rs", "routing.md"),
    ("router/receiver/pagerduty.rs", "routing.md"),
    ("router/receiver/slack.rs", "routing.md"),
    ("router/receiver/webhook.rs", "routing.md"),
    ("router/route.rs", "routing.md"),
    ("rules/file.rs", "rules.md"),
    ("rules/policy.rs", "rules.md"),
    ("slo/decode.rs", "slos.md"),
    ("slo/decode_alerting.rs", "slos.md"),
    ("slo/decode_copies.rs", "slos.md"),
    ("slo/decode_exclusion.rs", "slos.md"),
    ("slo/decode_indicator.rs", "slos.md"),
    ("slo/decode_latency.rs", "slos.md"),
    ("slo/decode_query.rs", "slos.md"),
    ("slo/decode_window.rs", "slos.md"),
    ("slo/incidents.rs", "slos.md"),
    ("slo/import/openslo.rs", "slos.md"),
    ("slo/import/pyrra.rs", "slos.md"),
    ("slo/import/sloth.rs", "slos.md"),
    ("serve/web_config/decode.rs", "settings.md"),
    ("unittest/incident/decode.rs", "testing.md"),
    ("unittest/rule_test/file.rs", "testing.md"),
];

/// Where a key stands in a decoder: as the argument of a function that reads one, or in a table, where it has an underscore.
const KEY_IN_CALL: &str = r#"(?x) (?: \b(?:optional|or|required|node|unsupported|key_span)\( |
    \b(?:text_or_file|text_or|read_interval|refuse_filled|decode_rules|alerts|read)\(\s*(?:&mut\s)?(?:fields|inner),\s*
    (?:"\w+",\s*)? | \[ | (?:list|equal|regex):\s ) \s* "([A-Za-z_]+)""#;
const KEY_IN_TABLE: &str = r#""([a-z0-9]+(?:_[a-z0-9]+)+)""#;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    let path = root().join("docs/src").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pages() -> BTreeMap<String, String> {
    let files = fs::read_dir(root().join("docs/src")).unwrap().map(|entry| entry.unwrap().file_name());
    files.map(|name| name.into_string().unwrap()).map(|name| (name.clone(), page(&name))).collect()
}

/// Every source file by its path below `src`, without its unit tests.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
            if path.is_dir() && !is_tests {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), code);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root().join("src"), &root().join("src"), &mut found);
    found
}

/// Code without its comments.
fn without_comments(code: &str) -> String {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn captures(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_key_is_in_the_reference() {
    let sources = sources();
    let mut missing = Vec::new();
    let mut count = 0;
    for (file, name) in DECODERS {
        let code = without_comments(&sources[*file]);
        let text = page(name);
        let keys = captures(KEY_IN_CALL, &code).into_iter().chain(captures(KEY_IN_TABLE, &code));
        let keys: BTreeSet<String> = keys.collect();
        assert!(!keys.is_empty(), "{file} reads no key: it does not belong into the table");
        count += keys.len();
        missing
            .extend(keys.iter().filter(|key| !text.contains(&format!("`{key}`"))).map(|key| format!("{file}: {key}")));
    }
    assert!(missing.is_empty(), "keys that the guide does not name:\n{}", missing.join("\n"));
    assert!(count > 250, "only {count} keys were found: the patterns no longer fit the code");
}

#[test]
fn every_decoder_is_looked_at() {
    let known: BTreeSet<&str> = DECODERS.iter().map(|(file, _)| *file).collect();
    let reads_keys = |code: &str| {
        code.contains("source::decode::") && (code.contains("decoder.fields(") || code.contains("&mut Fields<"))
    };
    let unknown: Vec<String> = sources()
        .into_iter()
        .filter(|(file, code)| reads_keys(&without_comments(code)) && !known.contains(file.as_str()))
        .map(|(file, _)| file)
        .collect();
    assert!(unknown.is_empty(), "files that read keys and are not in DECODERS: {unknown:?}");
}

#[test]
fn every_setting_is_in_the_reference() {
    let text = page("settings.md");
    for setting in SETTINGS {
        let variable = format!("ALMENARA__{}", setting.name.replace('.', "__").replace('-', "_").to_uppercase());
        let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!("| `--{}` | `{variable}` | {default} |", setting.name);
        assert!(text.contains(&row), "docs/src/settings.md has no row that begins with\n{row}");
    }
    assert_eq!(text.matches("| `--").count(), SETTINGS.len(), "a row of a setting that does not exist");
}

#[test]
fn every_metric_of_our_own_is_in_the_reference_and_no_other() {
    let metric = r#""((?:prometheus|alertmanager|almenara|process)_\w+)""#;
    let mut in_code = BTreeSet::new();
    for (_, code) in sources().iter().filter(|(_, code)| code.contains("FamilyKind")) {
        in_code.extend(captures(metric, &without_comments(code)));
    }
    let in_page = captures(r"\| `((?:prometheus|alertmanager|almenara|process)_\w+)` \|", &page("api.md"));
    assert_eq!(in_page, in_code, "left: docs/src/api.md, right: the code");
}

#[test]
fn every_path_of_the_api_is_in_the_reference() {
    let sources = sources();
    let text = page("api.md");
    let routers = ["api/mod.rs", "api/v2/mod.rs", "serve/surface.rs"];
    let paths = routers.map(|file| paths_of(&sources[file])).concat();
    assert!(paths.len() > 30, "only {} paths were found: the patterns no longer fit the code", paths.len());
    for path in paths {
        assert!(text.contains(&format!("`{path}`")), "docs/src/api.md does not name {path}");
    }
}

/// The paths of all routers in `code`. One that has a name may be nested under a prefix.
fn paths_of(code: &str) -> Vec<String> {
    let nest = Regex::new(r#"\.nest\("([^"]+)", (\w+)\)"#).unwrap();
    let prefixes: BTreeMap<&str, &str> =
        nest.captures_iter(code).map(|found| found.extract()).map(|(_, [prefix, name])| (name, prefix)).collect();
    let part = Regex::new(r#"(?:let (\w+) = )?Router::new\(\)|\.route\("([^"]+)""#).unwrap();
    let mut prefix = "";
    let mut paths = Vec::new();
    for found in part.captures_iter(code) {
        match found.get(2) {
            Some(path) => paths.push(format!("{prefix}{}", path.as_str())),
            None => prefix = found.get(1).and_then(|name| prefixes.get(name.as_str())).copied().unwrap_or_default(),
        }
    }
    paths
}

#[test]
fn every_template_function_is_in_the_reference() {
    let text = page("rules.md");
    for function in ALERT_FUNCTIONS {
        assert!(text.contains(&format!("`{}`", function.name)), "docs/src/rules.md does not name {}", function.name);
    }
}

#[test]
fn what_objectives_do_is_told_as_it_is() {
    let text = page("slos.md");
    for tier in slo::default_tiers(Duration::from_secs(30 * 86_400)) {
        let (name, factor) = (&tier.name, tier.factor);
        let (long, short) = (format_duration(tier.long), format_duration(tier.short));
        let row = format!("| `{name}` | {} | {long} | {short} |", tier.severity);
        let line =
            text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row begins with {row}"));
        assert!(line.ends_with(&format!("| {factor} |")), "{line}: the factor is {factor}");
    }
    for state in slo::State::ALL {
        assert!(text.contains(&format!("| `{state}` |")), "docs/src/slos.md does not explain {state}");
    }
    for alert in [slo::BURN_ALERT, slo::NOT_MEASURED_ALERT] {
        assert!(text.contains(&format!("| `{alert}` |")), "docs/src/slos.md does not explain {alert}");
    }
}

#[test]
fn limits_are_those_of_the_code() {
    const MIB: usize = 1 << 20;
    assert!(remote::AHEAD_MAX == scrape::AHEAD_MAX);
    assert!(scrape::AHEAD_MAX == Duration::from_secs(600), "docs/src/operating.md says 10 minutes");
    let text = page("operating.md");
    for row in [
        format!("| an answer of a target | {} MiB,", scrape::BODY_BYTES_MAX / MIB),
        format!("| large answers of all targets at once | {} MiB;", scrape::BODIES_BYTES_MAX / MIB),
        format!(
            "| a line of an answer; a metric of one in protobuf | {} MiB, {} labels |",
            exposition::ENTRY_BYTES_MAX / MIB,
            grouped(exposition::LABELS_MAX)
        ),
        format!(
            "| names and labels that an answer in protobuf stands for | {} MiB |",
            exposition::EXPANDED_BYTES_MAX / MIB
        ),
        format!("| a file of targets | {} MiB |", discovery::FILE_BYTES_MAX as usize / MIB),
        format!("| a YAML file | {} nodes, {} levels |", grouped(yaml::NODES_MAX), yaml::DEPTH_MAX),
        format!("| an expression | {} MiB, {} levels |", promql::TEXT_LEN_MAX / MIB, promql::DEPTH_MAX),
        format!(
            "| a template | {} steps, {} MiB of output |",
            grouped(template::STEPS_MAX),
            template::OUTPUT_MAX / MIB
        ),
        format!(
            "| a remote write | {} MiB decompressed, {} samples and labels; {} at once |",
            remote::DECODED_BYTES_MAX / MIB,
            grouped(remote::ITEMS_MAX),
            remote::REQUESTS_MAX
        ),
        format!("| an objective | {} groups, {} series |", grouped(slo::GROUPS_MAX), grouped(slo::SERIES_MAX)),
        format!(
            "| alerts that wait for an Alertmanager | {}; {} a request |",
            grouped(notifier::QUEUE_CAPACITY),
            notifier::BATCH_SIZE_MAX
        ),
        format!(
            "| groups that wait for a webhook | {}; {} requests at once |",
            grouped(deliver::QUEUE_CAPACITY),
            deliver::PARALLEL_MAX
        ),
        format!("| silences | {}, expired ones included;", grouped(router::SILENCES_MAX)),
    ] {
        assert!(text.contains(&row), "docs/src/operating.md has no row that begins with\n{row}");
    }
}

/// 200,000
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn every_alert_of_our_own_has_a_line_in_the_runbook() {
    let source = SourceFile::new("rules/almenara.yml", fs::read_to_string(root().join("rules/almenara.yml")).unwrap());
    let file = RuleFile::parse(&source).0.expect("the rules of the program are wrong");
    let text = page("operating.md");
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        assert!(
            text.contains(&format!("| `{}` |", rule.name)),
            "docs/src/operating.md: what is to be done for {}?",
            rule.name
        );
    }
}

/// Fenced blocks whose first line is ```` ```yaml KIND ````, with the page and line they begin at.
fn blocks(kind: &str) -> Vec<(String, String)> {
    let fence = format!("```yaml {kind}");
    let mut found = Vec::new();
    for (name, text) in pages() {
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if line == fence {
                let body: Vec<&str> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
                found.push((format!("docs/src/{name}:{}", number + 1), body.join("\n") + "\n"));
            }
        }
    }
    found
}

fn check_blocks<T>(kind: &str, at_least: usize, read: impl Fn(&SourceFile) -> (Option<T>, Diagnostics)) {
    let blocks = blocks(kind);
    assert!(blocks.len() >= at_least, "only {} examples of kind {kind}", blocks.len());
    for (place, text) in blocks {
        let (value, diagnostics) = read(&SourceFile::new(place.clone(), text));
        assert!(value.is_some() && diagnostics.is_empty(), "{place}:\n{diagnostics}");
    }
}

#[test]
fn examples_pass_their_checks() {
    check_blocks("almenara", 3, |source| Config::embedded(source, &[], &[]));
    check_blocks("slo", 2, slo::parse_file);
    check_blocks("rules", 1, RuleFile::parse);
    check_blocks("router", 1, RouterConfig::parse);
    check_blocks("incident", 1, Scenario::parse);
    check_blocks("test", 1, TestFile::parse);
    check_blocks("web", 1, |source| WebFile::parse(source, Path::new("")));
}

/// What the page of the five systems tells to type works as it stands there.
#[test]
fn the_commands_of_the_systems_page_work() {
    let text = page("systems.md");
    let commands = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of commands");
    let program = Path::new(env!("CARGO_BIN_EXE_almenara")).parent().expect("a folder");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([program.to_owned()].into_iter().chain(std::env::split_paths(&folders))).unwrap();
    for command in commands.lines() {
        let output =
            Command::new("sh").args(["-c", command]).env("PATH", &path).current_dir(root()).output().expect("sh runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{command}\n{said}");
    }
    assert!(commands.lines().count() >= 2, "{commands}");
}

#[test]
fn every_yaml_block_is_checked() {
    for (name, text) in pages() {
        for fence in text.lines().filter(|line| line.starts_with("```yaml")) {
            let kind = fence.trim_start_matches("```yaml").trim();
            let is_checked = ["almenara", "slo", "rules", "router", "incident", "test", "web"].contains(&kind);
            assert!(is_checked, "docs/src/{name}: {fence:?} says no kind, so that nobody checks the example");
        }
    }
}

#[test]
fn the_summary_and_links_lead_somewhere() {
    let summary = page("SUMMARY.md");
    let pages = pages();
    for name in pages.keys().filter(|name| *name != "SUMMARY.md") {
        assert!(summary.contains(&format!("({name})")), "SUMMARY.md leads not to {name}");
    }
    for (name, text) in &pages {
        for target in captures(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) {
            assert!(root().join("docs/src").join(&target).exists(), "docs/src/{name}: {target} does not exist");
        }
    }
}

/// One page from all `**Differs:**` paragraphs of module heads, by file.
fn differences_page() -> String {
    let mut page = String::from(
        "# Differences from Prometheus and Alertmanager\n\n\
         What behaves visibly otherwise than Prometheus 3 or Alertmanager, as the source says it at the head of each file. A test writes\n\
         this page from there, so that it cannot fall behind.\n",
    );
    let mut part = String::new();
    for (file, code) in sources() {
        let differences = differences(&code);
        if differences.is_empty() {
            continue;
        }
        let module = file.split('/').next().unwrap_or_default();
        if module != part {
            page.push_str(&format!("\n## {module}\n\n"));
            part = module.to_owned();
        }
        for difference in differences {
            page.push_str(&format!("- {difference} (`src/{file}`)\n"));
        }
    }
    page
}

/// The paragraphs of a module's head that begin with `**Differs:**`.
fn differences(code: &str) -> Vec<String> {
    const MARK: &str = "**Differs:** ";
    let link = Regex::new(r"\[(`[^`\]]+`)\](?:\([^)]*\))?").unwrap();
    let mut found: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in code.lines().take_while(|line| line.starts_with("//!")) {
        let text = line.trim_start_matches("//!").trim();
        let begins = text.find(MARK).filter(|at| *at == 0 || text[..*at].ends_with(". "));
        if let Some(at) = begins {
            found.push(text[at + MARK.len()..].to_owned());
            is_open = true;
        } else if text.is_empty() || text.starts_with("**") || text.starts_with('|') || text.starts_with("```") {
            is_open = false;
        } else if is_open {
            let last = found.last_mut().expect("BUG: open without a paragraph");
            last.push(' ');
            last.push_str(text);
        }
    }
    found.iter().map(|text| first_upper(&link.replace_all(text, "$1"))).collect()
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[test]
fn the_page_of_differences_is_what_the_code_says() {
    let expected = differences_page();
    let path = root().join("docs/src/differences.md");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(expected.matches("\n- ").count() > 50, "the marks are no longer found");
    let told = fs::read_to_string(&path).unwrap();
    assert!(told == expected, "docs/src/differences.md is not what the code says; UPDATE_FIXTURES=1 writes it");
}
