//! `almenara test rules FILE…`: promtool's unit tests of rules.
//!
//! Arguments, streams, texts and exit codes are promtool's. **Source.** Prometheus 3.5 `cmd/promtool/unittest.go`, compared with the
//! program itself. Test groups run on as many threads as there are processors; what is printed keeps the order of the files.
//! **Differs:** mistakes of test and rule files are told as `file:line:column: message; help`, once and not for each test group, and
//! also where `--run` leaves the group out. Tests that pass whatever the rules say are warned of on standard error.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use parking_lot::Mutex;

use super::test_report::{self, FileReport, GroupResult, Verbosity};
use super::{FAILED, FINE, existing, feature_flag};
use crate::clock::Stopwatch;
use crate::model::{Anchoring, Pattern};
use crate::promql::Features;
use crate::rules::RuleFile;
use crate::source::decode::UnknownKeys;
use crate::source::{Diagnostic, SourceFile};
use crate::unittest::rule_test::{self, AnalysedFile, RuleSet, RunOptions, Style, TestFile};

/// The command line.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("rules")
        .about("Run unit tests of rules in promtool's form: exit 0 when all pass, 1 when one fails")
        .arg(
            Arg::new("run")
                .long("run")
                .value_name("REGEX")
                .action(ArgAction::Append)
                .help("Run the test groups whose name matches; may be repeated"),
        )
        .arg(flag("debug", "Print every sample of each test group"))
        .arg(flag("diff", "Print what differs between expected and firing alerts, in colours"))
        .arg(flag("ignore-unknown-fields", "Pass over keys in rule files that rules do not have"))
        .arg(flag("strict", "Fail for tests that pass whatever the rules say"))
        .arg(flag("coverage", "Print which rules, alerts and thresholds no test has shown"))
        .arg(
            Arg::new("fail-under")
                .long("fail-under")
                .value_name("PERCENT")
                .value_parser(clap::value_parser!(f64))
                .help("Fail where coverage is below so many percent; implies --coverage"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("text as promtool prints it, or json"),
        )
        .arg(super::files_arg())
}

/// `--junit`, which promtool has on `test` itself.
pub(super) fn junit() -> Arg {
    Arg::new("junit")
        .long("junit")
        .value_name("FILE")
        .global(true)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Write the results of `test rules` to this file as JUnit XML")
}

/// Runs the command and returns its exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let code = Settings::of(matches, &mut err).and_then(|settings| match settings {
        Some(settings) => settings.test(&mut out, &mut err),
        None => Ok(FAILED),
    });
    // Whoever read the output and closed the pipe has seen enough.
    code.unwrap_or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { FINE } else { FAILED })
}

struct Settings {
    files: Vec<PathBuf>,
    run: Option<Pattern>,
    unknown_keys: UnknownKeys,
    options: RunOptions,
    is_strict: bool,
    /// Percent.
    fail_under: Option<f64>,
    is_json: bool,
    junit: Option<(PathBuf, fs::File)>,
}

impl Settings {
    /// `None` where something is wrong, which then has been told.
    fn of(matches: &ArgMatches, err: &mut dyn Write) -> io::Result<Option<Settings>> {
        let files = super::files(matches);
        if !existing(&files, err)? {
            return Ok(None);
        }
        let patterns: Vec<&str> = matches.get_many::<String>("run").into_iter().flatten().map(String::as_str).collect();
        let run = match (!patterns.is_empty()).then(|| Pattern::new(patterns.join("|"), Anchoring::Anywhere)) {
            Some(Err(error)) => {
                writeln!(err, "almenara: error: --run: {error}")?;
                return Ok(None);
            }
            Some(Ok(pattern)) => Some(pattern),
            None => None,
        };
        let junit = match matches.get_one::<PathBuf>("junit").map(|path| (path.clone(), fs::File::create(path))) {
            Some((path, Err(error))) => {
                writeln!(err, "almenara: error: cannot write {}: {error}", path.display())?;
                return Ok(None);
            }
            Some((path, Ok(file))) => Some((path, file)),
            None => None,
        };
        let fail_under = matches.get_one::<f64>("fail-under").copied();
        let ignores = matches.get_flag("ignore-unknown-fields");
        Ok(Some(Settings {
            files,
            run,
            unknown_keys: if ignores { UnknownKeys::Ignore } else { UnknownKeys::Refuse },
            options: RunOptions {
                style: if matches.get_flag("diff") { Style::Diff } else { Style::Whole },
                dump: matches.get_flag("debug"),
                dialect: feature_flag::read(matches),
                coverage: matches.get_flag("coverage") || fail_under.is_some(),
            },
            is_strict: matches.get_flag("strict"),
            fail_under,
            is_json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
            junit,
        }))
    }

    fn test(mut self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        let features = self.options.dialect.features;
        let mut loaded = Loaded { reading: (self.unknown_keys, features), by_path: HashMap::new() };
        let suites: Vec<Suite> = self.files.iter().map(|path| Suite::load(path, &mut loaded)).collect();
        let reports = run_all(&suites, self.run.as_ref(), self.options);
        let coverage = self.options.coverage.then(|| test_report::coverage(&suites_with(&suites, &reports)));
        if self.is_json {
            test_report::write_json(out, &reports, coverage.as_ref())?;
        } else {
            let verbosity = if self.options.dump { Verbosity::Debug } else { Verbosity::Results };
            for report in &reports {
                test_report::write_text(report, (self.is_strict, verbosity), out, err)?;
            }
            if let Some(coverage) = &coverage {
                test_report::write_coverage(coverage, out)?;
            }
        }
        if let Some((path, file)) = &mut self.junit {
            let written = test_report::write_junit(file, &reports, self.is_strict);
            if let Err(error) = written {
                writeln!(err, "failed to write JUnit XML to {}: {error}", path.display())?;
            }
        }
        let mut is_failed = reports.iter().any(|report| report.is_failed(self.is_strict));
        if let (Some(minimum), Some(coverage)) = (self.fail_under, &coverage)
            && coverage.percent() < minimum
        {
            writeln!(err, "almenara: error: coverage {:.1} % is below {minimum} %", coverage.percent())?;
            is_failed = true;
        }
        Ok(if is_failed { FAILED } else { FINE })
    }
}

/// Rule files by path, each read once for all tests.
struct Loaded {
    reading: (UnknownKeys, Features),
    by_path: HashMap<PathBuf, Result<Arc<AnalysedFile>, String>>,
}

impl Loaded {
    fn get(&mut self, path: &Path) -> Result<Arc<AnalysedFile>, String> {
        let reading = self.reading;
        self.by_path.entry(path.to_owned()).or_insert_with(|| read_rules(path, reading)).clone()
    }
}

fn read_rules(path: &Path, (unknown_keys, features): (UnknownKeys, Features)) -> Result<Arc<AnalysedFile>, String> {
    let source = read(path)?;
    let (file, diagnostics) = RuleFile::parse_with(&source, unknown_keys, features);
    file.map(|file| Arc::new(AnalysedFile::new(file))).ok_or_else(|| diagnostics.to_string())
}

fn read(path: &Path) -> Result<SourceFile, String> {
    let name = path.display().to_string();
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(SourceFile::new(name, text)),
        Ok(Err(_)) => Err(format!("{name}: not valid YAML: the file is not UTF-8")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// A test file and its rules, or why there are none.
pub(super) struct Suite {
    name: String,
    tests: Result<(TestFile, RuleSet), String>,
    /// Patterns that match no file, and promtool's text about each.
    unmatched: Vec<(Diagnostic, String)>,
}

impl Suite {
    fn load(path: &Path, loaded: &mut Loaded) -> Suite {
        let name = path.display().to_string();
        let mut unmatched = Vec::new();
        let tests = read(path).and_then(|source| {
            let (file, diagnostics) = TestFile::parse(&source);
            let file = file.ok_or_else(|| diagnostics.to_string())?;
            let directory = path.parent().unwrap_or(Path::new(""));
            let paths = matching(&file, directory, &mut unmatched)?;
            let (mut found, mut wrong) = (Vec::new(), Vec::new());
            for path in paths {
                match loaded.get(&path) {
                    Ok(rules) => found.push(rules),
                    Err(text) => wrong.push(text),
                }
            }
            if wrong.is_empty() { Ok((RuleSet::new(found, &file), file)) } else { Err(wrong.join("\n")) }
        });
        Suite { name, tests: tests.map(|(rules, file)| (file, rules)), unmatched }
    }
}

/// The files that the patterns name, in order, each once.
fn matching(
    file: &TestFile,
    directory: &Path,
    unmatched: &mut Vec<(Diagnostic, String)>,
) -> Result<Vec<PathBuf>, String> {
    let mut found: Vec<PathBuf> = Vec::new();
    for (pattern, span) in &file.rule_files {
        let path = directory.join(pattern.strip_prefix("./").unwrap_or(pattern));
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let paths = glob::glob_with(&path.to_string_lossy(), options).map_err(|error| {
            Diagnostic::error(&file.source, *span, format!("not a file pattern: {error}")).to_string()
        })?;
        let before = found.len();
        found.extend(paths.flatten());
        if found.len() == before {
            let warning = Diagnostic::warning(&file.source, *span, format!("no file matches {pattern:?}"));
            unmatched.push((warning, format!("  WARNING: no file match pattern {}", path.display())));
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

/// Runs the test groups of all files on all processors.
fn run_all(suites: &[Suite], run: Option<&Pattern>, options: RunOptions) -> Vec<FileReport> {
    let mut jobs = Vec::new();
    for (suite_index, suite) in suites.iter().enumerate() {
        let Ok((file, _)) = &suite.tests else { continue };
        let wanted = |index: &usize| run.is_none_or(|run| run.is_match(&file.groups[*index].name));
        jobs.extend((0..file.groups.len()).filter(wanted).map(|index| (suite_index, index)));
    }
    let results: Vec<Mutex<Option<GroupResult>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    super::each_below(jobs.len(), &|at| {
        let (suite, index) = jobs[at];
        let Ok((file, rules)) = &suites[suite].tests else { return };
        let watch = Stopwatch::start();
        let report = rule_test::run(file, index, rules, options);
        let took: Duration = watch.elapsed();
        *results[at].lock() = Some(GroupResult { title: file.title(index), report, took });
    });
    let mut results = jobs.iter().zip(results).peekable();
    let mut reports = Vec::new();
    for (index, suite) in suites.iter().enumerate() {
        let mut groups = Vec::new();
        while let Some((_, result)) = results.next_if(|((suite, _), _)| *suite == index) {
            groups.extend(result.into_inner());
        }
        reports.push(FileReport {
            name: suite.name.clone(),
            error: suite.tests.as_ref().err().cloned(),
            unmatched: suite.unmatched.clone(),
            groups,
        });
    }
    reports
}

/// The rules of each file that could be read, with the reports of its groups.
fn suites_with<'a>(suites: &'a [Suite], reports: &'a [FileReport]) -> Vec<(&'a RuleSet, &'a FileReport)> {
    let pairs = suites.iter().zip(reports);
    pairs.filter_map(|(suite, report)| Some((&suite.tests.as_ref().ok()?.1, report))).collect()
}
