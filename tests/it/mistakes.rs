//! Mistakes that people make: `fixtures/promql/mistakes.txt` holds an expression with each, every error that is told, in Prometheus's words,
//! and what we say to write instead. `parser_peer` holds the first message of each to the real Prometheus.
//!
//! `UPDATE_FIXTURES=1` writes the file anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use almenara::promql::parse;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/promql/mistakes.txt")
}

/// The lines that are neither comment, nor told by us.
pub(crate) fn expressions() -> Vec<String> {
    let text = fs::read_to_string(path()).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("## ") && !line.starts_with("    ") && !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_mistake_is_told_with_what_to_write_instead() {
    let written = fs::read_to_string(path()).unwrap();
    let mut expected = String::new();
    let mut count = 0;
    let mut accepted = Vec::new();
    for line in written.lines() {
        if line.starts_with("## ") {
            writeln!(expected, "{}{line}\n", if expected.is_empty() { "" } else { "\n" }).unwrap();
        } else if !line.is_empty() && !line.starts_with("    ") {
            count += 1;
            writeln!(expected, "{line}").unwrap();
            let errors = parse(line).err().unwrap_or_default();
            if errors.is_empty() {
                accepted.push(line);
            }
            for error in errors {
                writeln!(expected, "    {error}").unwrap();
                if let Some(help) = error.help {
                    writeln!(expected, "        {help}").unwrap();
                }
            }
        }
    }
    assert!(accepted.is_empty(), "no mistakes: {accepted:#?}");
    assert!(count >= 150, "only {count} mistakes");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(path(), expected).unwrap();
    } else {
        assert_same_lines(&written, &expected);
    }
}

fn assert_same_lines(written: &str, expected: &str) {
    for (number, (left, right)) in written.lines().zip(expected.lines()).enumerate() {
        assert_eq!(left, right, "fixtures/promql/mistakes.txt:{}", number + 1);
    }
    assert_eq!(written.lines().count(), expected.lines().count());
}

/// An expression that a hint shows whole can be written as it is.
#[test]
fn what_hints_show_parses() {
    let mut shown = 0;
    for text in expressions() {
        for error in parse(&text).unwrap_err() {
            let help = error.help.unwrap_or_default();
            let Some((_, after)) = help.rsplit_once("write `") else { continue };
            let Some(suggested) = after.strip_suffix('`') else { continue };
            if suggested.contains(['(', '{']) && !suggested.contains('…') {
                assert!(parse(suggested).is_ok(), "{text:?}: {help}: {}", parse(suggested).unwrap_err()[0]);
                shown += 1;
            }
        }
    }
    assert!(shown > 20, "only {shown} hints show an expression");
}
