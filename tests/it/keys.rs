//! The table of Prometheus's keys: it cannot lie, it leaves none out, and the guide shows it as it is.
//!
//! `UPDATE_FIXTURES=1` writes `docs/src/keys.md` anew. Prometheus's own check comes from `target/peers`.

// The figures, and what could not be compared, go to the test's standard error.
#![allow(clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use almenara::config::Config;
use almenara::source::keys::{BENEATH, Fate, Key, SECTIONS, Section};
use almenara::source::{Diagnostic, SourceFile};

use crate::peers::peer;

/// What is wrong with a configuration, and whether it is taken.
fn check(text: &str) -> (bool, Vec<Diagnostic>) {
    let (config, diagnostics) = Config::embedded(&SourceFile::new("almenara.yml", text), &[], &[]);
    (config.is_some(), diagnostics.iter().cloned().collect())
}

fn assert_accepted(text: &str) {
    let (is_accepted, problems) = check(text);
    assert!(is_accepted && problems.is_empty(), "{text}\n{problems:?}");
}

/// There is one problem: `message` at byte `at`, on the only line.
fn assert_refused(text: &str, message: &str, at: usize) {
    let (is_accepted, problems) = check(text);
    let [problem] = problems.as_slice() else { panic!("{text}\n{problems:?}") };
    assert!(!is_accepted, "{text}");
    assert_eq!(problem.message, message, "{text}");
    let position = problem.position().expect("a place");
    assert_eq!((position.line, position.column), (1, at + 1), "{text}");
}

/// Every key in every place where it may stand.
fn places() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS.iter().flat_map(|section| section.all_keys().into_iter().map(move |key| (*section, key)))
}

/// The section as which the frame of `section` is decoded: an included one speaks by the name of the one around it.
fn name_of(section: &Section) -> &str {
    match section.what {
        "HTTP client config" | "proxy" => "scrape config",
        what => what,
    }
}

#[test]
fn each_key_does_what_the_table_says() {
    let mut counts = [0; 3];
    for (section, key) in places() {
        let text = section.example(key, key.sample);
        let message = |why: &str| format!("the key {:?} in {} is not supported: {why}", key.name, name_of(section));
        match key.fate {
            Fate::ActedOn => {
                assert_accepted(&text);
                counts[0] += 1;
            }
            Fate::Neutral { value, why } => {
                assert_accepted(&section.example(key, value));
                let (_, problems) = check(&text);
                assert_eq!(problems[0].help.as_deref(), Some(&*format!("remove it or write {value}")), "{text}");
                // The place is that of the value.
                let pair = format!("{}: {}", key.name, key.sample);
                let at = text.rfind(&pair).unwrap() + key.name.len() + 2;
                assert_eq!(problems[0].position().unwrap().column, at + 1, "{text}");
                assert_eq!((problems.len(), &*problems[0].message), (1, &*message(why)), "{text}");
                counts[1] += 1;
            }
            Fate::Refused(why) => {
                let pair = format!("{}: {}", key.name, key.sample);
                assert_refused(&text, &message(why), text.rfind(&pair).expect("the pair is in the text"));
                counts[2] += 1;
            }
        }
    }
    let [acted, neutral, refused] = counts;
    eprintln!("in all places: {acted} keys acted on, {neutral} taken at a neutral value only, {refused} refused");
    assert!(acted > 180 && neutral > 0 && refused > 100, "{counts:?}");
}

#[test]
fn what_stands_beneath_a_refused_key_is_refused_with_it() {
    let mut count = 0;
    for beneath in BENEATH {
        let (section, name) = beneath.refused_by;
        let message = format!("the key {name:?} in {} is not supported: {}", section.what, beneath.why());
        for key in beneath.keys() {
            let text = beneath.example(&[key]);
            assert_refused(&text, &message, text.find(&format!("{name}: ")).expect("the key is in the text"));
            count += 1;
        }
    }
    eprintln!("{count} keys are refused with one above them");
    assert!(count > 200, "{count}");
}

/// What Prometheus's own check says of a configuration, files that it names aside.
fn promtool_says(promtool: &Path, folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    let output =
        Command::new(promtool).args(["check", "config", "--syntax-only"]).arg(&file).output().expect("promtool");
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Parts that distributions leave out, since their libraries are not free or not packaged.
const LEFT_OUT: [&str; 2] = ["azuread", "google_iam"];

/// Every key that came up to version 3.5 is one to the real Prometheus 3.5, and it takes the samples of those that we act on.
#[test]
fn prometheus_knows_every_key() {
    let Some(promtool) = peer("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let says = |text: &str| promtool_says(&promtool, folder.path(), "prometheus.yml", text);
    // Distributions leave out discoveries whose libraries they do not have.
    let is_built_in =
        |name: &str| !says(&format!("scrape_configs: [{{job_name: a, {name}: [{{}}]}}]")).contains(" not found in ");
    let mut left_out = BTreeSet::new();
    let mut count = 0;
    let mut wrong = Vec::new();
    for section in SECTIONS.iter().filter(|section| section.what != "scrape config file") {
        for key in section.keys.iter().filter(|key| !key.is_ours && key.since.is_empty()) {
            let said = says(&section.example(key, key.sample));
            let is_known = !said.contains(" not found in ");
            if key.name.ends_with("_sd_configs") && !is_known {
                left_out.insert(key.name);
                continue;
            }
            // A discovery's own check may want more than the sample has.
            let is_fine = said.is_empty() || matches!(key.fate, Fate::Refused(_)) && is_known;
            if !is_fine {
                wrong.push(format!("{}.{}: {said}", section.path, key.name));
            }
            count += 1;
        }
    }
    for beneath in BENEATH {
        let (section, above) = beneath.refused_by;
        if section.key(above).is_some_and(|key| !key.since.is_empty()) {
            continue;
        }
        if above.ends_with("_sd_configs") && !is_built_in(above) {
            continue;
        }
        let keys: Vec<&str> = beneath.keys().filter(|key| !beneath.is_newer(key)).collect();
        let said = says(&beneath.example(&keys));
        let unknown = said.lines().filter(|line| line.contains(" not found in "));
        let is_left_out =
            |line: &str| LEFT_OUT.iter().any(|part| line.contains(&format!("field {part} not found in ")));
        wrong.extend(unknown.filter(|line| !is_left_out(line)).map(|line| format!("{}: {line}", beneath.path)));
        count += keys.len();
    }
    eprintln!("promtool knows {count} keys; left out of its build: {left_out:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "{count}");
}

/// Keys in the program that are none of its configuration file.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "rule files and their tests",
        "alert alert_rule_test alertname annotations eval_time evaluation_interval exp_alerts exp_annotations exp_labels exp_samples \
         expr external_url for fuzzy_compare group_eval_order groups histogram input_series interval keep_firing_for limit \
         promql_expr_test query_offset record rules series tests value values",
    ),
    (
        "the web configuration",
        "basic_auth_users burst cipher_suites client_allowed_sans client_auth_type client_ca client_ca_file curve_preferences \
         http2 http_server_config prefer_server_cipher_suites rate_limit tls_server_config",
    ),
    (
        "libraries",
        "account action apiVersion atom deduceInvalidDiscriminator default default_organization_id default_project_id default_region \
         default_zone discriminator discriminatorValue elementRelationship elementType fieldName fields kind keys list map namedType \
         nullable query scalar send_telemetry service_name types unions update",
    ),
];

/// No key of the real program is missing: each name in its structures' tags is in the table, or known to stand elsewhere.
#[test]
fn the_table_leaves_no_key_out() {
    let Some(promtool) = peer("promtool") else { return };
    let program = fs::read(promtool).unwrap();
    let mut tags = BTreeSet::new();
    const TAG: &[u8] = b"yaml:\"";
    for at in (0..program.len() - TAG.len()).filter(|at| program[*at..].starts_with(TAG)) {
        let name: String = program[at + TAG.len()..]
            .iter()
            .map(|byte| char::from(*byte))
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        tags.insert(name);
    }
    tags.remove("");
    assert!(tags.len() > 200, "the program's tags are no longer found");
    let own = SECTIONS.iter().flat_map(|section| section.all_keys()).map(|key| key.name);
    let known: BTreeSet<&str> = own.chain(BENEATH.iter().flat_map(|beneath| beneath.keys())).collect();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
    let missing: Vec<&String> =
        tags.iter().filter(|tag| !known.contains(tag.as_str()) && !elsewhere.contains(tag.as_str())).collect();
    assert!(missing.is_empty(), "keys of promtool that the table does not have: {missing:?}");
    let in_table = tags.iter().filter(|tag| known.contains(tag.as_str())).count();
    eprintln!("promtool has {} names of keys, {in_table} of them in the table", tags.len());
}

/// How many keys of Prometheus are acted on, taken at a neutral value only, refused.
fn counts() -> [usize; 3] {
    let mut counts = [0; 3];
    let mut seen: Vec<*const Key> = Vec::new();
    for key in
        SECTIONS.iter().filter(|section| section.what != "scrape config file").flat_map(|section| section.all_keys())
    {
        // An included section is told once.
        if key.is_ours || seen.contains(&std::ptr::from_ref(key)) {
            continue;
        }
        seen.push(key);
        counts[match key.fate {
            Fate::ActedOn => 0,
            Fate::Neutral { .. } => 1,
            Fate::Refused(_) => 2,
        }] += 1;
    }
    counts[2] += BENEATH.iter().map(|beneath| beneath.keys().count()).sum::<usize>();
    counts
}

fn row(key: &Key) -> String {
    let name = if key.since.is_empty() { format!("`{}`", key.name) } else { format!("`{}` ({})", key.name, key.since) };
    let fate = match key.fate {
        Fate::ActedOn => "acted on".to_owned(),
        Fate::Refused(why) => format!("refused: {why}"),
        Fate::Neutral { value, why } => format!("`{value}` only: {why}"),
    };
    let ours = if key.is_ours { "; ours, not Prometheus's" } else { "" };
    format!("| {name} | {fate}{ours} |\n")
}

fn keys_page() -> String {
    let [acted, neutral, refused] = counts();
    let mut page = format!(
        "# Every key of Prometheus 3\n\n\
         Of {} keys in the configuration file of Prometheus 3 (up to 3.14), {acted} are acted on, {neutral} at a neutral value only, and\n\
         {refused} are refused with an error at their place. The decoder reads this table, and tests feed every key of it to the decoder and to\n\
         Prometheus's own check. What the keys mean is told in [Configuration](configuration.md). A version stands at keys that came after 3.5.\n",
        acted + neutral + refused
    );
    let mut told: Vec<*const Section> = Vec::new();
    for section in SECTIONS {
        write!(page, "\n## {}\n\n| key | |\n|---|---|\n", capitalised(section.path)).unwrap();
        page.extend(section.keys.iter().map(row));
        let (once, again): (Vec<&Section>, Vec<&Section>) = section
            .includes
            .iter()
            .partition(|included| included.path.is_empty() && !told.contains(&std::ptr::from_ref(**included)));
        for included in once {
            page.extend(included.keys.iter().map(row));
            told.push(included);
        }
        let named: Vec<String> = again.iter().map(|included| title_of(included)).collect();
        if !named.is_empty() {
            write!(page, "\nAnd the keys of: {}.\n", named.join("; ")).unwrap();
        }
    }
    page.push_str("\n## Beneath refused keys\n\nEach is refused with the key above it. HTTP client keys are not told again.\n\n| beneath | keys | because |\n|---|---|---|\n");
    for beneath in BENEATH {
        let keys: Vec<String> = beneath.keys().map(|key| format!("`{key}`")).collect();
        writeln!(page, "| `{}` | {} | {} |", beneath.path, keys.join(", "), beneath.why()).unwrap();
    }
    page
}

/// An included section by where its keys are told.
fn title_of(section: &Section) -> String {
    if section.path.is_empty() {
        format!("{} (in `global`)", section.what)
    } else {
        section.path.split(',').next().unwrap_or_default().to_owned()
    }
}

fn capitalised(text: &str) -> String {
    if text.contains(['[', '.', '_']) && !text.contains(' ') {
        format!("`{text}`")
    } else {
        text[..1].to_uppercase() + &text[1..]
    }
}

#[test]
fn the_guide_shows_the_table() {
    let expected = keys_page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/keys.md");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let told = fs::read_to_string(&path).unwrap_or_default();
    assert!(told == expected, "docs/src/keys.md is not what the table says; UPDATE_FIXTURES=1 writes it");
    let [acted, neutral, refused] = counts();
    eprintln!("{acted} keys acted on, {neutral} at a neutral value only, {refused} refused");
}

/// No section has a key twice, itself or by inclusion.
#[test]
fn no_key_has_two_fates() {
    for section in SECTIONS {
        let mut seen = BTreeMap::new();
        for key in section.all_keys() {
            assert!(seen.insert(key.name, key.fate).is_none(), "{} has {:?} twice", section.what, key.name);
        }
    }
}
