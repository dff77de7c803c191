//! `almenara check rules [FILE…]`: promtool's `check rules`, with every mistake at its place.
//!
//! Streams, summary lines and exit codes are promtool's (0 fine, 1 failed, 3 lint findings with `--lint-fatal`), so that it can
//! take promtool's place in a pipeline. **Source.** Prometheus 3.5 `cmd/promtool/main.go`, compared with the program itself.
//! **Differs:** a mistake is told as `file:line:column: message; help`, all of a file at once; warnings go to stderr.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{FAILED, FINE, LINT, feature_flag};
use crate::model::Labels;
use crate::promql::Features;
use crate::rules::{RuleConfig, RuleFile};
use crate::source::SourceFile;
use crate::source::decode::UnknownKeys;

/// The command line.
pub(super) fn command() -> Command {
    Command::new("rules")
        .about("Check rule files: exit 0 when they are fine, 1 when not, 3 for fatal lint findings")
        .arg(
            Arg::new("lint")
                .long("lint")
                .value_name("LINTS")
                .default_value("duplicate-rules")
                .help("Lints to apply, separated by commas: all, duplicate-rules, none"),
        )
        .arg(
            Arg::new("lint-fatal")
                .long("lint-fatal")
                .action(ArgAction::SetTrue)
                .help("Exit with 3 when a lint finds something"),
        )
        .arg(
            Arg::new("ignore-unknown-fields")
                .long("ignore-unknown-fields")
                .action(ArgAction::SetTrue)
                .help("Pass over keys that rules do not have; the daemon still refuses them"),
        )
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Rule files; none reads standard input"),
        )
}

/// Runs the command and returns its exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let files: Vec<PathBuf> = matches.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect();
    let features = feature_flag::read(matches).features;
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let text = matches.get_one::<String>("lint").expect("BUG: the flag has a default");
    let mut streams = Streams { out: &mut out, err: &mut err };
    let unknown_keys = match matches.get_flag("ignore-unknown-fields") {
        true => UnknownKeys::Ignore,
        false => UnknownKeys::Refuse,
    };
    let options = streams.options(text, matches.get_flag("lint-fatal"));
    let checked = options.and_then(|options| streams.check(&files, Options { unknown_keys, features, ..options }));
    match checked {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(_) => FAILED,
    }
}

/// How to check.
#[derive(Clone, Copy)]
struct Options {
    /// Whether the lint of that name is on.
    duplicate_rules: bool,
    /// Whether a finding of a lint fails the run.
    lint_fatal: bool,
    unknown_keys: UnknownKeys,
    features: Features,
}

/// Where results and complaints go.
pub(super) struct Streams<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
}

impl Streams<'_> {
    /// Options with the lints of a list such as `all` or `duplicate-rules,none`.
    fn options(&mut self, text: &str, lint_fatal: bool) -> io::Result<Options> {
        let mut options = Options {
            duplicate_rules: false,
            lint_fatal,
            unknown_keys: UnknownKeys::Refuse,
            features: Features::DEFAULT,
        };
        for word in text.split(',') {
            match word {
                "all" | "duplicate-rules" => options.duplicate_rules = true,
                "none" => {}
                other => writeln!(self.out, "WARNING: unknown lint option: {other:?}")?,
            }
        }
        Ok(options)
    }

    fn check(&mut self, files: &[PathBuf], options: Options) -> io::Result<u8> {
        if !super::existing(files, self.err)? {
            return Ok(FAILED);
        }
        let (mut failed, mut found) = (false, false);
        let mut each = |outcome: Outcome| match outcome {
            Outcome::Fine => {}
            Outcome::Failed => failed = true,
            Outcome::Linted => found = true,
        };
        if files.is_empty() {
            writeln!(self.out, "Checking standard input")?;
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            each(self.check_bytes("<stdin>", bytes, options)?);
        }
        for file in files {
            writeln!(self.out, "Checking {}", file.display())?;
            each(self.check_file(file, options)?);
        }
        Ok(match (failed, found && options.lint_fatal) {
            (true, _) => FAILED,
            (false, true) => LINT,
            (false, false) => FINE,
        })
    }

    fn check_file(&mut self, file: &Path, options: Options) -> io::Result<Outcome> {
        match fs::read(file) {
            Ok(bytes) => self.check_bytes(&file.display().to_string(), bytes, options),
            Err(error) => {
                writeln!(self.err, "  FAILED:\n{}: {error}", file.display())?;
                Ok(Outcome::Failed)
            }
        }
    }

    fn check_bytes(&mut self, name: &str, bytes: Vec<u8>, options: Options) -> io::Result<Outcome> {
        let Ok(text) = String::from_utf8(bytes) else {
            writeln!(self.err, "  FAILED:\n{name}: not valid YAML: the file is not UTF-8")?;
            return Ok(Outcome::Failed);
        };
        let source = SourceFile::new(name, text);
        let reading = (options.unknown_keys, options.features);
        let (surveys, diagnostics) = RuleFile::survey(&source, reading, &super::each_below, Survey::add);
        if diagnostics.has_errors() {
            writeln!(self.err, "  FAILED:\n{diagnostics}")?;
            return Ok(Outcome::Failed);
        }
        if !diagnostics.is_empty() {
            writeln!(self.err, "{diagnostics}")?;
        }
        self.lint(surveys.into_iter().fold(Survey::default(), Survey::with), options.duplicate_rules)
    }

    /// Judges a file that could be read.
    pub(super) fn lint(&mut self, survey: Survey, duplicate_rules: bool) -> io::Result<Outcome> {
        let count = survey.identities.len();
        let duplicates = if duplicate_rules { survey.duplicates() } else { Vec::new() };
        if duplicates.is_empty() {
            writeln!(self.out, "  SUCCESS: {count} rules found\n")?;
            return Ok(Outcome::Fine);
        }
        self.tell_duplicates(&duplicates)?;
        writeln!(self.out)?;
        Ok(Outcome::Linted)
    }

    fn tell_duplicates(&mut self, duplicates: &[(String, Labels)]) -> io::Result<()> {
        writeln!(self.err, "  FAILED:\nlint error {} duplicate rule(s) found.", duplicates.len())?;
        for (name, labels) in duplicates {
            writeln!(self.err, "Metric: {name}\nLabel(s):")?;
            for label in labels {
                writeln!(self.err, "\t{}: {}", label.name, label.value)?;
            }
        }
        writeln!(self.err, "Might cause inconsistency while recording expressions")
    }
}

/// How the check of a file went.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Fine,
    Failed,
    Linted,
}

/// What the lints need to know of the rules of a file: the name and labels of each.
#[derive(Default)]
pub(super) struct Survey {
    identities: Vec<(Arc<str>, Labels)>,
}

impl Survey {
    pub(super) fn add(&mut self, rule: &RuleConfig) {
        let labels = Labels::from_pairs(rule.labels.iter().map(|entry| (entry.name.clone(), entry.value.clone())));
        self.identities.push((rule.name.clone(), labels));
    }

    fn with(mut self, other: Survey) -> Survey {
        self.identities.extend(other.identities);
        self
    }

    /// Name and labels that more than one rule has, each once, in order.
    fn duplicates(mut self) -> Vec<(String, Labels)> {
        self.identities.sort_unstable();
        let mut repeated: Vec<_> =
            self.identities.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
        repeated.dedup();
        repeated.into_iter().map(|(name, labels)| (name.to_string(), labels.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks files of these texts, named `0.yml`, `1.yml`, …; gives exit code, stdout and stderr.
    fn check(texts: &[&str], options: Options) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = folder.path().join(format!("{index}.yml"));
            fs::write(&path, text).unwrap();
            files.push(path);
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = Streams { out: &mut out, err: &mut err }.check(&files, options).unwrap();
        let read = |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.path().display()), "");
        (code, read(out), read(err))
    }

    const DEFAULT: Options = Options {
        duplicate_rules: true,
        lint_fatal: false,
        unknown_keys: UnknownKeys::Refuse,
        features: Features::DEFAULT,
    };
    const TWICE: &str = "groups:
- {name: g, labels: {severity: page}, rules: [{record: r, expr: a}, {record: r, expr: b}, {alert: A, expr: c}]}";

    #[test]
    fn as_promtool() {
        let good = "groups:\n- {name: g, rules: [{record: r, expr: up}]}\n";
        let (code, out, err) = check(&[good, ""], DEFAULT);
        let expected = "Checking 0.yml\n  SUCCESS: 1 rules found\n\nChecking 1.yml\n  SUCCESS: 0 rules found\n\n";
        assert_eq!((code, out.as_str(), err.as_str()), (0, expected, ""));
    }

    #[test]
    fn duplicates_are_a_finding_and_fatal_where_asked() {
        let found = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: r\nLabel(s):\n\tseverity: page\n\
                     Might cause inconsistency while recording expressions\n";
        let (code, out, err) = check(&[TWICE], DEFAULT);
        assert_eq!((code, out.as_str(), err.as_str()), (0, "Checking 0.yml\n\n", found));
        assert_eq!(check(&[TWICE], Options { lint_fatal: true, ..DEFAULT }).0, 3);
        assert_eq!(check(&[TWICE, "groups: 1"], Options { lint_fatal: true, ..DEFAULT }).0, 1);
        let (code, out, _) = check(&[TWICE], Options { duplicate_rules: false, lint_fatal: true, ..DEFAULT });
        assert_eq!((code, out.as_str()), (0, "Checking 0.yml\n  SUCCESS: 3 rules found\n\n"));
    }

    #[test]
    fn every_mistake_of_every_file_is_told() {
        let first = "groups:\n- name: g\n  rules:\n  - {record: r, expr: rate(x)}\n  - {alert: A}\n";
        let (code, out, err) = check(&[first, "groups: 1"], DEFAULT);
        assert_eq!((code, out.as_str()), (1, "Checking 0.yml\nChecking 1.yml\n"));
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 5, "{err}");
        assert!(
            lines[1]
                .starts_with("0.yml:4:28: group \"g\", rule 1, \"r\": could not parse expression: 1:6: parse error: "),
            "{err}"
        );
        assert!(
            lines[2].starts_with("0.yml:5:5: group \"g\", rule 2, \"A\": field 'expr' must be set in rule"),
            "{err}"
        );
        assert!(lines[4].starts_with("1.yml:1:9: expected a list"), "{err}");
    }

    #[test]
    fn keys_of_other_programs_may_be_passed_over() {
        let text = "groups:\n- {name: g, source_tenants: [a], rules: [{record: r, expr: up, debug: true}]}\n";
        assert_eq!(check(&[text], DEFAULT).0, 1);
        assert_eq!(check(&[text], Options { unknown_keys: UnknownKeys::Ignore, ..DEFAULT }).0, 0);
    }

    #[test]
    fn the_arguments_are_promtools() {
        let args = ["rules", "--lint=all", "--lint-fatal", "--ignore-unknown-fields", "a.yml", "b.yml"];
        assert!(command().try_get_matches_from(args).is_ok());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let options = Streams { out: &mut out, err: &mut err }.options("duplicate-rules,nope", false).unwrap();
        assert!(options.duplicate_rules);
        assert_eq!(out, b"WARNING: unknown lint option: \"nope\"\n");
    }

    #[test]
    fn a_path_that_is_no_file_ends_the_run() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = Streams { out: &mut out, err: &mut err }.check(&[PathBuf::from("/nowhere.yml")], DEFAULT).unwrap();
        assert_eq!((code, out.as_slice()), (1, b"".as_slice()));
        assert_eq!(err, b"almenara: error: path '/nowhere.yml' does not exist, try --help\n");
    }
}
