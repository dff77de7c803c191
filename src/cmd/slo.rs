//! `almenara slo backtest SPEC… --source FILE --start T --end T [--step D] [--format text|json]`: replays objectives over recorded samples.
//!
//! JSON goes to stdout as `slo backtest` of the contract has it, remarks to stderr. Exit code 0 when it ran, 1 when a file could not be read
//! or a definition is wrong.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use flate2::read::MultiGzDecoder;

use super::slo_report;
use super::{FAILED, FINE};
use crate::model::Timestamp;
use crate::slo::{self, Grid, Recording, Slo};
use crate::source::{SourceFile, parse_duration};

/// The first bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// More instants than this in one run are a mistake in `--step`: a year by the minute.
const INSTANTS_MAX: u128 = 600_000;

pub(super) fn command() -> Command {
    let path = |name: &'static str, value: &'static str| {
        Arg::new(name).value_name(value).required(true).value_parser(clap::value_parser!(PathBuf))
    };
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("slo")
        .about("Work with service level objectives")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("backtest")
                .about("Replay objectives and their alert tiers over recorded samples")
                .after_help(
                    "SPEC is in our own form or that of Sloth (prometheus/v1), Pyrra (v1alpha1) or OpenSLO (v1).\n\
                     FILE is OpenMetrics text with timestamps, plain or gzip, ending in `# EOF`.",
                )
                .arg(path("spec", "SPEC").action(ArgAction::Append).help("Files with objectives"))
                .arg(path("source", "FILE").long("source").help("The recorded samples"))
                .arg(text("start", "T").required(true).help("The first instant: RFC 3339 or Unix seconds"))
                .arg(text("end", "T").required(true).help("No instant is after it: RFC 3339 or Unix seconds"))
                .arg(text("step", "D").default_value("5m").help("The distance of instants, a duration such as 1m"))
                .arg(
                    text("format", "FORMAT")
                        .default_value("text")
                        .value_parser(["text", "json"])
                        .help("text: a summary for people; json: every instant"),
                ),
        )
}

/// Runs a subcommand and returns the exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    match matches.subcommand() {
        Some(("backtest", matches)) => match backtest(matches) {
            Ok(()) => FINE,
            Err(message) => {
                eprintln!("{message}");
                FAILED
            }
        },
        other => unreachable!("BUG: `slo` has no {other:?}"),
    }
}

fn backtest(matches: &ArgMatches) -> Result<(), String> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let grid = grid(text("start"), text("end"), text("step"))?;
    let specs: Vec<&PathBuf> = matches.get_many("spec").into_iter().flatten().collect();
    let slos = read_specs(&specs)?;
    let source = matches.get_one::<PathBuf>("source").expect("BUG: clap requires the source");
    let recording = read_recording(source)?;
    let mut results: Vec<_> = slos
        .iter()
        .flat_map(|slo| slo::backtest(slo, &recording, grid).into_iter().map(move |result| (slo, result)))
        .collect();
    results.sort_by(|(a, x), (b, y)| {
        (&a.name, &x.group).cmp(&(&b.name, &y.group)).then(a.objective.percent().total_cmp(&b.objective.percent()))
    });
    let report = match text("format") {
        "json" => slo_report::json(&results),
        _ => slo_report::text(&results, grid),
    };
    // A closed pipe is no failure of ours: whoever reads has seen enough.
    let _ = std::io::stdout().lock().write_all(report.as_bytes());
    Ok(())
}

fn grid(start: &str, end: &str, step: &str) -> Result<Grid, String> {
    let instant = |name: &str, text: &str| {
        time(text).ok_or_else(|| format!("--{name}: {text:?} is neither RFC 3339 nor Unix seconds"))
    };
    let (start, end) = (instant("start", start)?, instant("end", end)?);
    let step = parse_duration(step).map_err(|error| format!("--step: {error}"))?;
    if step.is_zero() {
        return Err("--step: must be above zero".to_owned());
    }
    if end < start {
        return Err(format!("--end: {} is before --start", end.to_rfc3339()));
    }
    if end.since(start).as_nanos() / step.as_nanos() > INSTANTS_MAX {
        return Err(format!("--step: more than {INSTANTS_MAX} instants from start to end; choose a longer step"));
    }
    Ok(Grid { start, end, step })
}

/// An instant within the years that the calendar knows.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(secs) = text.parse::<f64>() {
        let years = jiff::Timestamp::MIN.as_second() as f64..jiff::Timestamp::MAX.as_second() as f64;
        return years.contains(&secs).then(|| Timestamp::from_secs_f64(secs));
    }
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp::from_ms(instant.as_millisecond()))
}

/// All objectives of all files; what is wrong with any of them, all at once.
fn read_specs(paths: &[&PathBuf]) -> Result<Vec<Slo>, String> {
    let mut slos = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let (file, diagnostics) = slo::parse_file(&SourceFile::new(path.display().to_string(), text));
        match file {
            Some(file) => {
                if !diagnostics.is_empty() {
                    eprintln!("{diagnostics}");
                }
                slos.extend(file.slos);
            }
            None => wrong.push(diagnostics.to_string()),
        }
    }
    if wrong.is_empty() { Ok(slos) } else { Err(wrong.join("\n")) }
}

fn read_recording(path: &Path) -> Result<Recording, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut bytes = std::fs::read(path).map_err(|error| named(&error))?;
    if bytes.starts_with(&GZIP_MAGIC) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).map_err(|error| named(&error))?;
        bytes = plain;
    }
    Recording::parse(&bytes).map_err(|error| named(&error))
}
