//! `almenara check config`: the configuration and every file it names, all mistakes at once.
//!
//! Arguments, streams, texts of success and exit codes are promtool's (0 fine, 1 failed, 3 for lint findings with `--lint-fatal`).
//! **Source.** Prometheus 3.5 `cmd/promtool/main.go`, compared with the program itself.
//! **Differs:** `check config` tells all mistakes of the configuration and of the files it names at once, before anything else about it;
//! promtool stops at the first of the configuration and tells those of rule files under their own names.
//! **Differs:** `check config --agent` refuses every file: this program evaluates rules and has no agent mode.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::check_rules::{Outcome, Streams, Survey};
use super::{FAILED, FINE, LINT, existing, feature_flag};
use crate::config::Config;
use crate::http::{Auth, Text};
use crate::promql::Features;
use crate::scrape::ScrapeConfig;
use crate::source::decode::UnknownKeys;
use crate::source::{format_duration, parse_duration};

/// The command line.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("config")
        .about("Check configuration files and everything they name")
        .arg(
            Arg::new("lint")
                .long("lint")
                .value_name("LINTS")
                .default_value("duplicate-rules")
                .help("Lints to apply, separated by commas: all, duplicate-rules, too-long-scrape-interval, none"),
        )
        .arg(flag("lint-fatal", "Exit with 3 when a lint finds something"))
        .arg(flag("ignore-unknown-fields", "Pass over keys in rule files that rules do not have"))
        .arg(flag("syntax-only", "Check the file itself and none that it names"))
        .arg(flag("agent", "Refuse, since there is no agent mode; promtool checks for Prometheus's"))
        .arg(super::files_arg())
}

/// `--query.lookback-delta`, which promtool has on `check` itself.
pub(super) fn lookback_delta() -> Arg {
    Arg::new("query.lookback-delta")
        .long("query.lookback-delta")
        .value_name("DURATION")
        .global(true)
        .default_value("5m")
        .value_parser(|text: &str| parse_duration(text))
        .help("check config: scrape intervals from this on are too long for instant queries")
}

/// Runs the command and returns its exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let files = super::files(matches);
    let mut streams = Streams { out: &mut out, err: &mut err };
    let code = Options::of(matches, streams.out).and_then(|options| check(&files, &options, &mut streams));
    // Whoever read the output and closed the pipe has seen enough.
    code.unwrap_or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { FINE } else { FAILED })
}

struct Options {
    is_syntax_only: bool,
    is_agent: bool,
    duplicate_rules: bool,
    /// The scrape interval from which on the lint complains.
    too_long: Option<Duration>,
    lint_fatal: bool,
    unknown_keys: UnknownKeys,
    features: Features,
}

impl Options {
    fn of(matches: &ArgMatches, out: &mut dyn Write) -> io::Result<Options> {
        let lints = matches.get_one::<String>("lint").expect("BUG: the flag has a default");
        let lookback_delta = matches.get_one::<Duration>("query.lookback-delta").copied();
        let mut options = Options {
            is_syntax_only: matches.get_flag("syntax-only"),
            is_agent: matches.get_flag("agent"),
            duplicate_rules: false,
            too_long: None,
            lint_fatal: matches.get_flag("lint-fatal"),
            unknown_keys: match matches.get_flag("ignore-unknown-fields") {
                true => UnknownKeys::Ignore,
                false => UnknownKeys::Refuse,
            },
            features: feature_flag::read(matches).features,
        };
        let is_none = lints.split(',').any(|lint| lint == "none");
        for lint in lints.split(',').filter(|_| !is_none) {
            match lint {
                "all" => (options.duplicate_rules, options.too_long) = (true, lookback_delta),
                "duplicate-rules" => options.duplicate_rules = true,
                "too-long-scrape-interval" => options.too_long = lookback_delta,
                other => writeln!(out, "WARNING: unknown lint option: {other:?}")?,
            }
        }
        Ok(options)
    }
}

fn check(files: &[PathBuf], options: &Options, streams: &mut Streams<'_>) -> io::Result<u8> {
    if !existing(files, streams.err)? {
        return Ok(FAILED);
    }
    let (mut failed, mut found) = (false, false);
    for path in files {
        match check_file(path, options, streams)? {
            Outcome::Fine => {}
            Outcome::Failed => failed = true,
            Outcome::Linted => found = true,
        }
    }
    Ok(match (failed, found && options.lint_fatal) {
        (true, _) => FAILED,
        (false, true) => LINT,
        (false, false) => FINE,
    })
}

fn check_file(path: &Path, options: &Options, streams: &mut Streams<'_>) -> io::Result<Outcome> {
    writeln!(streams.out, "Checking {}", path.display())?;
    if options.is_agent {
        writeln!(streams.err, "  FAILED: there is no agent mode: this program evaluates rules")?;
        writeln!(streams.out)?;
        return Ok(Outcome::Failed);
    }
    let variable = |name: &str| std::env::var(name).ok();
    let (config, diagnostics) = match options.is_syntax_only {
        true => Config::load_alone(path, &variable),
        false => Config::load_with(path, &variable, (options.unknown_keys, options.features)),
    };
    let missing = config.iter().filter(|_| !options.is_syntax_only).flat_map(missing_files).next();
    if diagnostics.has_errors() {
        writeln!(streams.err, "  FAILED:")?;
    }
    for diagnostic in &diagnostics {
        writeln!(streams.err, "{diagnostic}")?;
    }
    let Some(config) = config else {
        writeln!(streams.out)?;
        return Ok(Outcome::Failed);
    };
    if let Some(missing) = missing {
        writeln!(streams.err, "  FAILED: {missing}")?;
        writeln!(streams.out)?;
        return Ok(Outcome::Failed);
    }
    report(path, &config, options, streams)
}

/// What promtool says of a good file, then its lints.
fn report(path: &Path, config: &Config, options: &Options, streams: &mut Streams<'_>) -> io::Result<Outcome> {
    if !options.is_syntax_only {
        warn_of_absent_targets(config, streams.out)?;
    }
    if !config.rule_files.is_empty() {
        writeln!(streams.out, "  SUCCESS: {} rule files found", config.rule_files.len())?;
    }
    if !config.slo_files.is_empty() {
        writeln!(streams.out, "  SUCCESS: {} SLO files found", config.slo_files.len())?;
    }
    writeln!(streams.out, " SUCCESS: {} is valid prometheus config file syntax\n", path.display())?;
    let mut outcome = Outcome::Fine;
    let is_long = |job: &&ScrapeConfig| options.too_long.is_some_and(|too_long| job.scrape_interval >= too_long);
    if let Some(job) = config.scrape_configs.iter().filter(|_| !options.is_syntax_only).find(is_long) {
        let (name, interval) = (&job.job_name, format_duration(job.scrape_interval));
        writeln!(
            streams.err,
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {name}, interval: {interval}"
        )?;
        outcome = Outcome::Linted;
    }
    for file in &config.rule_files {
        writeln!(streams.out, "Checking {}", file.source.name)?;
        let mut survey = Survey::default();
        file.groups.iter().flat_map(|group| &group.rules).for_each(|rule| survey.add(rule));
        if streams.lint(survey, options.duplicate_rules)? == Outcome::Linted {
            outcome = Outcome::Linted;
        }
    }
    Ok(outcome)
}

fn warn_of_absent_targets(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for job in &config.scrape_configs {
        for pattern in job.discovery.files.iter().flat_map(|files| &files.files) {
            let is_absent = glob::glob(&pattern.to_string_lossy()).is_ok_and(|mut found| found.next().is_none());
            if is_absent {
                let (file, job) = (pattern.display().to_string(), &job.job_name);
                writeln!(out, "  WARNING: file {file:?} for file_sd in scrape job {job:?} does not exist")?;
            }
        }
    }
    Ok(())
}

/// Files with credentials or certificates of jobs that are not there, in promtool's words.
fn missing_files(config: &Config) -> impl Iterator<Item = String> {
    let of_job = |job: &ScrapeConfig| {
        let credentials = match &job.client.auth {
            Auth::Scheme { credentials, .. } => credentials.as_ref(),
            _ => None,
        };
        let tls = &job.client.tls;
        [
            ("authorization credentials or bearer token file", credentials),
            ("client cert file", tls.cert.as_ref()),
            ("client key file", tls.key.as_ref()),
        ]
        .map(|(what, text)| (what, text.cloned()))
    };
    config.scrape_configs.iter().flat_map(of_job).filter_map(|(what, text)| match text {
        Some(Text::File(path)) => {
            let error = std::fs::metadata(&path).err()?;
            Some(format!("error checking {what} {:?}: {error}", path.display().to_string()))
        }
        _ => None,
    })
}
