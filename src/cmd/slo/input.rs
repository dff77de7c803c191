//! What the subcommands of `almenara slo` read: specifications, recorded samples, instants.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches};
use flate2::read::MultiGzDecoder;

use crate::model::Timestamp;
use crate::slo::{self, Grid, Recording, Slo};
use crate::source::{SourceFile, parse_duration};

/// The first bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// More instants than this in one run are a mistake in `--step`: a year by the minute.
const INSTANTS_MAX: u128 = 600_000;

/// At least one file of specifications.
pub(super) fn specs() -> Arg {
    Arg::new("spec")
        .value_name("SPEC")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf))
        .action(ArgAction::Append)
        .help("Files with objectives")
}

/// A file of samples.
pub(super) fn source() -> Arg {
    Arg::new("source")
        .long("source")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Recorded samples: OpenMetrics text with timestamps, plain or gzip")
}

/// An option with a text.
pub(super) fn text(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

/// The text of an option; empty where it is not given.
pub(super) fn given<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map(String::as_str).unwrap_or_default()
}

/// The instants that `--start`, `--end` and `--step` name.
pub(super) fn grid(matches: &ArgMatches) -> Result<Grid, String> {
    let (start, end) = (instant("start", given(matches, "start"))?, instant("end", given(matches, "end"))?);
    let step = parse_duration(given(matches, "step")).map_err(|error| format!("--step: {error}"))?;
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

/// RFC 3339 or Unix seconds, within the years that the calendar knows.
pub(in crate::cmd) fn instant(name: &str, text: &str) -> Result<Timestamp, String> {
    let found = match text.parse::<f64>() {
        Ok(secs) => {
            let years = jiff::Timestamp::MIN.as_second() as f64..jiff::Timestamp::MAX.as_second() as f64;
            years.contains(&secs).then(|| Timestamp::from_secs_f64(secs))
        }
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_ms(at.as_millisecond())),
    };
    found.ok_or_else(|| format!("--{name}: {text:?} is neither RFC 3339 nor Unix seconds"))
}

/// All objectives of all files; what is wrong with any of them, all at once. Warnings go to stderr.
pub(super) fn slos(matches: &ArgMatches) -> Result<Vec<Slo>, String> {
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    for path in matches.get_many::<PathBuf>("spec").into_iter().flatten() {
        let source = match source_file(path) {
            Ok(source) => source,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        let (file, diagnostics) = slo::parse_file(&source);
        match file {
            Some(file) => {
                if !diagnostics.is_empty() {
                    eprintln!("{diagnostics}");
                }
                files.push(file);
            }
            None => wrong.push(diagnostics.to_string()),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    slo::share_exclusions(&mut files);
    Ok(files.into_iter().flat_map(|file| file.slos).collect())
}

/// A file of text.
pub(super) fn source_file(path: &Path) -> Result<SourceFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(SourceFile::new(path.display().to_string(), text))
}

/// The samples of `--source`.
pub(super) fn recording(path: &Path) -> Result<Recording, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut bytes = std::fs::read(path).map_err(|error| named(&error))?;
    if bytes.starts_with(&GZIP_MAGIC) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).map_err(|error| named(&error))?;
        bytes = plain;
    }
    Recording::parse(&bytes).map_err(|error| named(&error))
}
