//! The results of `test rules` as text, JUnit XML and JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock;
use crate::source::Diagnostic;
use crate::unittest::rule_test::{Coverage, GroupReport, RuleCoverage, RuleSet};

/// What became of a test file.
pub(super) struct FileReport {
    pub(super) name: String,
    /// Why nothing ran.
    pub(super) error: Option<String>,
    /// Patterns without files, with promtool's text.
    pub(super) unmatched: Vec<(Diagnostic, String)>,
    /// Of the test groups that ran, in order.
    pub(super) groups: Vec<GroupResult>,
}

/// What became of a test group.
pub(super) struct GroupResult {
    pub(super) title: String,
    pub(super) report: GroupReport,
    pub(super) took: Duration,
}

impl FileReport {
    fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        let unmatched = self.unmatched.iter().map(|(warning, _)| warning);
        unmatched.chain(self.groups.iter().flat_map(|group| &group.report.warnings))
    }

    pub(super) fn is_failed(&self, is_strict: bool) -> bool {
        self.error.is_some()
            || self.groups.iter().any(|group| !group.report.failures.is_empty())
            || is_strict && self.warnings().next().is_some()
    }
}

/// How much is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verbosity {
    Results,
    /// `--debug`: also when each test group ran, and its samples.
    Debug,
}

/// promtool's output: what passed on standard output, what failed on standard error.
pub(super) fn write_text(
    file: &FileReport,
    (is_strict, verbosity): (bool, Verbosity),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    for (_, text) in &file.unmatched {
        writeln!(err, "{text}")?;
    }
    for group in &file.groups {
        if verbosity == Verbosity::Debug {
            writeln!(out, "DEBUG: Starting test {}", group.title)?;
            if let Some(dump) = &group.report.dump {
                writeln!(out, "DEBUG: {dump}")?;
            }
            writeln!(out, "DEBUG: Test {} finished, took {:?}", group.title, group.took)?;
        }
        for warning in &group.report.warnings {
            writeln!(err, "  WARNING: {}", placed(warning))?;
        }
    }
    if file.is_failed(is_strict) {
        writeln!(err, "  FAILED:")?;
        let failures = file.groups.iter().flat_map(|group| &group.report.failures).map(|failure| failure.text.as_str());
        let mut texts: Vec<String> = file.error.iter().map(String::as_str).chain(failures).map(str::to_owned).collect();
        if is_strict {
            let warnings = file.warnings().map(|warning| format!("    strict: {}", placed(warning)));
            texts.extend(warnings);
        }
        for text in texts {
            writeln!(err, "{text}")?;
            writeln!(out)?;
        }
    } else {
        writeln!(out, "  SUCCESS")?;
    }
    writeln!(out)
}

/// `file:line:column: message`.
fn placed(warning: &Diagnostic) -> String {
    let place = warning.at.as_ref().zip(warning.position());
    let place = place.map(|((source, _), at)| format!("{}:{}:{}: ", source.name, at.line, at.column));
    format!("{}{}", place.unwrap_or_default(), warning.message)
}

/// JUnit XML in promtool's shape.
pub(super) fn write_junit(out: &mut dyn Write, files: &[FileReport], is_strict: bool) -> io::Result<()> {
    let now = clock::now().to_rfc3339();
    let now = now.split(['.', 'Z']).next().unwrap_or_default();
    write!(out, "<testsuites>")?;
    for file in files {
        let strict: Vec<String> = file.warnings().filter(|_| is_strict).map(placed).collect();
        let failures: usize = file.groups.iter().map(|group| group.report.failures.len()).sum();
        let (tests, errors) = match &file.error {
            Some(_) => (1, 1),
            None => (file.groups.len() + usize::from(!strict.is_empty()), 0),
        };
        let failures = failures + strict.len();
        write!(out, "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" ", escaped(&file.name))?;
        let timestamp = if file.error.is_some() { "" } else { now };
        write!(out, "errors=\"{errors}\" skipped=\"0\" timestamp=\"{timestamp}\">")?;
        if let Some(error) = &file.error {
            write!(out, "<testcase name=\"unknown\"><error>{}</error></testcase>", escaped(error))?;
        }
        for group in &file.groups {
            write!(out, "<testcase name=\"{}\">", escaped(&group.title))?;
            for failure in &group.report.failures {
                write!(out, "<failure>{}</failure>", escaped(&failure.text))?;
            }
            write!(out, "</testcase>")?;
        }
        if !strict.is_empty() {
            write!(out, "<testcase name=\"strict\">")?;
            for text in &strict {
                write!(out, "<failure>{}</failure>", escaped(text))?;
            }
            write!(out, "</testcase>")?;
        }
        write!(out, "</testsuite>")?;
    }
    write!(out, "</testsuites>")?;
    out.flush()
}

/// As Go's `xml.EscapeText`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' => escaped.push_str("&#x9;"),
            '\n' => escaped.push_str("&#xA;"),
            '\r' => escaped.push_str("&#xD;"),
            // What XML cannot hold.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The coverage of all rules, whichever test file names them.
pub(super) struct Covered {
    rules: Vec<RuleCoverage>,
}

impl Covered {
    fn points(&self) -> (usize, usize) {
        self.rules.iter().fold((0, 0), |(reached, points), rule| (reached + rule.reached, points + rule.points))
    }

    /// Of all points; 100 where there is none.
    pub(super) fn percent(&self) -> f64 {
        let (reached, points) = self.points();
        if points == 0 { 100.0 } else { 100.0 * reached as f64 / points as f64 }
    }
}

/// Joins what the test files have shown. Two test files may name the same rules: what one of them shows counts.
pub(super) fn coverage(suites: &[(&RuleSet, &FileReport)]) -> Covered {
    let mut by_rule: BTreeMap<(String, usize), RuleCoverage> = BTreeMap::new();
    for (rules, file) in suites {
        let mut seen = Coverage::default();
        file.groups.iter().for_each(|group| seen.add(&group.report.coverage));
        for rule in seen.report(rules) {
            let key = (rule.source.name.to_string(), rule.span.start);
            match by_rule.get_mut(&key) {
                Some(known) => known.join(&rule),
                None => {
                    by_rule.insert(key, rule);
                }
            }
        }
    }
    Covered { rules: by_rule.into_values().collect() }
}

/// A line for each gap, then one for each file, then the whole.
pub(super) fn write_coverage(covered: &Covered, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Coverage:")?;
    let mut by_file: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for rule in &covered.rules {
        for gap in &rule.gaps {
            let at = rule.source.position(gap.span.start);
            writeln!(out, "  {}:{}:{}: {}", rule.source.name, at.line, at.column, gap.text)?;
        }
        let (reached, points) = by_file.entry(&rule.source.name).or_default();
        *reached += rule.reached;
        *points += rule.points;
    }
    for (file, (reached, points)) in by_file {
        writeln!(out, "  {file}: {reached} of {points}")?;
    }
    writeln!(out, "  {:.1} % of what the rules can do is shown by a test", covered.percent())
}

/// One JSON document with everything.
pub(super) fn write_json(out: &mut dyn Write, files: &[FileReport], covered: Option<&Covered>) -> io::Result<()> {
    let files: Vec<Value> = files.iter().map(file_json).collect();
    let mut document = json!({"files": files});
    if let Some(covered) = covered {
        let (reached, points) = covered.points();
        let gaps: Vec<Value> = covered
            .rules
            .iter()
            .flat_map(|rule| rule.gaps.iter().map(move |gap| (rule, gap)))
            .map(|(rule, gap)| {
                let at = rule.source.position(gap.span.start);
                json!({"file": &*rule.source.name, "line": at.line, "column": at.column, "message": gap.text})
            })
            .collect();
        document["coverage"] =
            json!({"percent": covered.percent(), "reached": reached, "points": points, "gaps": gaps});
    }
    writeln!(out, "{document}")
}

fn file_json(file: &FileReport) -> Value {
    let groups: Vec<Value> = file
        .groups
        .iter()
        .map(|group| {
            let failures: Vec<Value> = group
                .report
                .failures
                .iter()
                .map(|failure| json!({"kind": failure.kind.as_str(), "line": failure.line, "message": failure.text}))
                .collect();
            json!({
                "name": group.title,
                "passed": failures.is_empty(),
                "seconds": group.took.as_secs_f64(),
                "failures": failures,
                "warnings": group.report.warnings.iter().map(warning_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "file": file.name,
        "passed": !file.is_failed(false),
        "error": file.error,
        "warnings": file.unmatched.iter().map(|(warning, _)| warning_json(warning)).collect::<Vec<_>>(),
        "groups": groups,
    })
}

fn warning_json(warning: &Diagnostic) -> Value {
    json!({"line": warning.position().map(|at| at.line), "message": warning.message})
}
