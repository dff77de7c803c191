//! The subcommands, one file each: parse arguments, call one function, print.
//!
//! [`main`] maps what a command returns to the exit code: 0 fine, 1 failed, 3 lint findings (promtool's codes).

// This is the one place that prints. Standard output goes through `say!`.
#![allow(clippy::print_stderr)]

/// Prints a line. Whoever closed the pipe (`| head`) has seen enough: that is no failure, and nothing to panic about.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}

mod alerts;
mod backtest;
mod check_config;
mod check_metrics;
pub mod check_router;
mod check_rules;
mod check_slo;
mod demo;
mod explain;
mod explain_memory;
mod feature_flag;
mod fmt;
mod history;
mod imported;
mod openmetrics;
mod progress;
mod query;
mod serve;
mod slo;
mod store;
mod store_import;
mod test_e2e;
mod test_promql;
mod test_report;
mod test_rules;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::Layer;

/// The run failed, or something checked was wrong.
pub(crate) const FAILED: u8 = 1;
/// Nothing to complain about.
pub(crate) const FINE: u8 = 0;
/// A lint has found something.
pub(crate) const LINT: u8 = 3;

/// Runs the command line and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // A closed pipe is no failure of ours: whoever read the help has seen enough.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { FINE });
        }
    };
    dispatch(&matches)
}

fn dispatch(matches: &ArgMatches) -> ExitCode {
    match matches.subcommand() {
        None => serve::run(&Layer::new()).into(),
        Some(("serve", matches)) => serve::run(&serve::flags(matches)).into(),
        Some(("check", matches)) => check(matches),
        Some(("test", matches)) => match matches.subcommand() {
            Some(("promql", matches)) => test_promql::run(&files(matches)),
            Some(("e2e", matches)) => test_e2e::run(&files(matches), feature_flag::read(matches)).into(),
            Some(("rules", matches)) => test_rules::run(matches).into(),
            other => unreachable!("BUG: `test` has no {other:?}"),
        },
        Some(("fmt", matches)) => fmt::run(matches).into(),
        Some(("store", matches)) => store::run(matches).into(),
        Some(("query", matches)) => query::run(matches).into(),
        Some(("alerts", matches)) => alerts::run(matches).into(),
        Some(("slo", matches)) => slo::run(matches).into(),
        Some(("explain", matches)) => explain::run(matches).into(),
        Some(("backtest", matches)) => backtest::run(matches).into(),
        Some(("demo", matches)) => demo::run(matches).into(),
        other => unreachable!("BUG: no subcommand {other:?}"),
    }
}

fn check(matches: &ArgMatches) -> ExitCode {
    match matches.subcommand() {
        Some(("config", matches)) => check_config::run(matches).into(),
        Some(("metrics", matches)) => check_metrics::run(matches).into(),
        Some(("router", matches)) => {
            let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
            // A closed pipe is no failure of ours: whoever reads has seen enough.
            check_router::run(&files(matches), &mut out, &mut err).unwrap_or(FINE).into()
        }
        Some(("rules", matches)) => check_rules::run(matches).into(),
        Some(("slo", matches)) => check_slo::run(&files(matches)),
        other => unreachable!("BUG: `check` has no {other:?}"),
    }
}

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("almenara")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Prometheus-compatible alert-rule and SLO evaluator; alone it serves and watches itself")
        .subcommand(serve::command())
        .subcommand(
            Command::new("check")
                .about("Check files: exit 0 when they are fine, 1 when not, 3 for lint findings")
                .arg(feature_flag::arg())
                .subcommand_required(true)
                .arg_required_else_help(true)
                .arg(check_metrics::extended())
                .arg(check_config::lookback_delta())
                .subcommand(check_config::command())
                .subcommand(check_metrics::command())
                .subcommand(with_files("router", "Check routers in Alertmanager's form"))
                .subcommand(check_rules::command())
                .subcommand(with_files("slo", "Check SLO files and show their alert tiers")),
        )
        .subcommand(
            Command::new("test")
                .about("Run tests: exit 0 when all pass, 1 when one fails")
                .arg(feature_flag::arg())
                .subcommand_required(true)
                .arg_required_else_help(true)
                .arg(test_rules::junit())
                .subcommand(test_rules::command())
                .subcommand(with_files("promql", "Run scripts in Prometheus's promqltest language"))
                .subcommand(with_files("e2e", "Play incidents through rules, SLOs and router under a virtual clock")),
        )
        .subcommand(fmt::command())
        .subcommand(store::command())
        .subcommand(query::command())
        .subcommand(alerts::command())
        .subcommand(explain::command())
        .subcommand(slo::command())
        .subcommand(backtest::command())
        .subcommand(demo::command())
}

/// A command that takes files and nothing else.
fn with_files(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(files_arg())
}

/// At least one file.
fn files_arg() -> Arg {
    Arg::new("files")
        .value_name("FILE")
        .required(true)
        .action(ArgAction::Append)
        .value_parser(clap::value_parser!(PathBuf))
}

/// Calls `work` with each number below `count`, on all processors.
pub(crate) fn each_below(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    let take = || {
        while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < count) {
            work(index);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take);
        }
        take();
    });
}

/// Whether all are files; says what is wrong with the first that is none, as promtool does before it reads any.
pub(crate) fn existing(files: &[PathBuf], err: &mut dyn Write) -> io::Result<bool> {
    for file in files {
        let wrong = match std::fs::metadata(file) {
            Err(_) => format!("path '{}' does not exist", file.display()),
            Ok(metadata) if metadata.is_dir() => format!("'{}' is a directory", file.display()),
            Ok(_) => continue,
        };
        writeln!(err, "almenara: error: {wrong}, try --help")?;
        return Ok(false);
    }
    Ok(true)
}

fn files(matches: &ArgMatches) -> Vec<PathBuf> {
    matches.get_many::<PathBuf>("files").into_iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
