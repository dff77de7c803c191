//! The formatter on every rule file of the corpus and on random expressions in every spelling of YAML: what another reader of YAML finds is
//! the same but for expressions, these mean the same, comments stay, and formatting again changes nothing.

use std::path::PathBuf;
use std::process::Command;

use almenara::promql::{Expr, parse};
use almenara::rules::format_rule_file;
use almenara::source::SourceFile;
use almenara::source::edit::apply;
use serde_yaml::Value;

use crate::corpus;
use crate::mutate::{Mutator, tokens};
use crate::peers::peer;

/// Random files.
const FILES: usize = 300;
/// Random expressions with comments.
const COMMENTED: usize = 2_000;

fn format(name: &str, text: &str) -> String {
    let source = SourceFile::new(name, text);
    let edits = format_rule_file(&source).unwrap_or_else(|diagnostics| panic!("{name}: {diagnostics}\n{text}"));
    apply(text, &edits)
}

/// Whether both are the same for another reader, expressions by what they mean.
fn assert_same(name: &str, key: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Mapping(a), Value::Mapping(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{name}");
            for ((key, a), b) in a.iter().zip(b.values()) {
                assert_same(name, key.as_str().unwrap_or_default(), a, b);
            }
        }
        (Value::Sequence(a), Value::Sequence(b)) => {
            assert_eq!(a.len(), b.len(), "{name}");
            a.iter().zip(b).for_each(|(a, b)| assert_same(name, key, a, b));
        }
        (Value::String(a), Value::String(b)) if key == "expr" => {
            let (a, b) = (parse(a).unwrap(), parse(b).unwrap_or_else(|errors| panic!("{name}: {b}: {}", errors[0])));
            assert!(a.means_the_same(&b), "{name}: {a} {b}");
        }
        (a, b) => assert_eq!(a, b, "{name}"),
    }
}

fn check_file(name: &str, text: &str) -> String {
    let formatted = format(name, text);
    assert_eq!(format(name, &formatted), formatted, "{name} again");
    let read =
        |text: &str| -> Value { serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}")) };
    assert_same(name, "", &read(text), &read(&formatted));
    formatted
}

fn is_rule_file(text: &str) -> bool {
    serde_yaml::from_str::<Value>(text).is_ok_and(|value| value.get("groups").is_some())
}

#[test]
fn every_rule_file_keeps_its_rules_and_comments() {
    let mut count = 0;
    let folder = tempfile::tempdir().unwrap();
    let mut written: Vec<PathBuf> = Vec::new();
    let files = corpus::files().into_iter().filter(|file| is_rule_file(&file.text));
    for file in files.filter(|file| !file.path.components().any(|part| part.as_os_str() == "broken")) {
        let name = file.path.display().to_string();
        let formatted = check_file(&name, &file.text);
        for line in file.text.lines() {
            if let Some(at) = line.find('#').filter(|at| line[..*at].trim().is_empty()) {
                assert!(formatted.contains(&line[at..]), "{name} has lost {line}");
            }
        }
        let path = folder.path().join(format!("{count}.yml"));
        std::fs::write(&path, formatted).unwrap();
        written.push(path);
        count += 1;
    }
    assert!(count >= 5, "only {count} rule files");
    let Some(promtool) = peer("promtool") else { return };
    let checked = Command::new(promtool).args(["check", "rules", "--lint=none"]).args(&written).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// `expr` in one of YAML's spellings, for a key indented by six.
fn spelled(expr: &str, how: usize) -> String {
    let lines = |indent: usize| -> String {
        expr.lines().map(|line| format!("\n{}{}", " ".repeat(indent), line.trim_end())).collect()
    };
    let line = expr.split_whitespace().collect::<Vec<_>>().join(" ");
    match how {
        0 => format!(" '{}'", line.replace('\'', "''")),
        1 => format!(" \"{}\"  # behind", line.replace('\\', "\\\\").replace('"', "\\\"")),
        2 => format!(" |{}", lines(8)),
        3 => format!(" |- # behind{}\n", lines(9)),
        4 => format!(" >{}\n\n", lines(8)),
        5 => format!(" |+{}\n\n\n", lines(12)),
        6 => format!(" |4{}", lines(10)),
        _ => format!(" # behind\n        '{}'", line.replace('\'', "''")),
    }
}

/// Valid expressions without line breaks inside of texts, which YAML folds.
fn random_expressions(mutator: &mut Mutator) -> impl Iterator<Item = String> {
    let known = corpus::expressions();
    std::iter::repeat_with(move || {
        let text = &known[mutator.below(known.len())];
        if mutator.below(3) == 0 { text.clone() } else { mutator.mutate_expression(text) }
    })
    .filter(|text| parse(text).is_ok() && !text.contains('#') && !text.contains('\t') && !text.trim().is_empty())
    // Printed with one more plus sign each time, as Prometheus does.
    .filter(|text| !(text.to_ascii_lowercase().contains("inf") && text.contains('^')))
}

#[test]
fn random_files_keep_their_meaning_in_every_spelling() {
    let (mut choices, mut mutator) = (Mutator::new(7), Mutator::new(20_261_123));
    for (number, expr) in random_expressions(&mut mutator).take(FILES).enumerate() {
        let expr = expr.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        if parse(&expr).is_err() {
            continue;
        }
        let spelled = spelled(&expr, choices.below(8));
        let text = format!(
            "# head\ngroups:\n  - name: g # name\n    rules:\n    # above\n    - alert: A\n      expr:{spelled}\n      # below\n      labels: {{a:  b}}\n"
        );
        let formatted = check_file(&format!("file {number}"), &text);
        for comment in ["# head\n", "# name\n", "    # above\n", "      # below\n", "{a:  b}\n"] {
            assert!(formatted.contains(comment), "{text}\nbecame\n{formatted}");
        }
        assert_eq!(text.contains("# behind"), formatted.contains("# behind"), "{text}\nbecame\n{formatted}");
    }
}

#[test]
fn comments_inside_of_expressions_stay() {
    let (mut choices, mut mutator) = (Mutator::new(8), Mutator::new(20_261_124));
    let mut count = 0;
    for expr in random_expressions(&mut mutator).take(COMMENTED) {
        let mut text = String::new();
        let mut comments = Vec::new();
        for token in tokens(&expr) {
            text.push_str(token);
            if choices.below(8) == 0 {
                comments.push(format!("# comment {}", comments.len()));
                let comment = comments.last().unwrap();
                let (before, after) = ([" ", "\n", "\n  "][choices.below(3)], ["\n", "\n\n    "][choices.below(2)]);
                text.extend([before, comment, after]);
            }
        }
        // Between a bracket and its first number there are no comments.
        let Ok(parsed) = parse(&text) else { continue };
        count += 1;
        check_comments(&text, &parsed, &comments);
    }
    assert!(count > COMMENTED / 3, "only {count} expressions with comments");
}

fn check_comments(text: &str, parsed: &Expr, comments: &[String]) {
    let printed = parsed.pretty_with_comments(text);
    let again = parse(&printed).unwrap_or_else(|errors| panic!("{text}\nbecame\n{printed}\n{}", errors[0]));
    assert!(again.means_the_same(parsed), "{text}\nbecame\n{printed}");
    assert_eq!(again.pretty_with_comments(&printed), printed, "{text}\nbecame\n{printed}\nand again");
    let mut found: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.starts_with('#')).collect();
    found.sort_unstable();
    let mut expected: Vec<&str> = comments.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "{text}\nbecame\n{printed}");
    if comments.is_empty() {
        assert_eq!(printed, parsed.pretty());
    }
}
