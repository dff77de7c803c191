//! `almenara slo backtest|gate|report|compile`: objectives without a daemon, or beside one.
//!
//! Results go to stdout, remarks to stderr. Exit code 0 when it ran, 1 when a file could not be read or a definition is wrong; `gate` gives
//! [`BLOCKED`] where a release has to wait.

mod backtest;
mod backtest_html;
mod backtest_output;
mod compile;
mod gate;
pub(super) mod input;
mod report;
mod report_output;

use clap::{ArgMatches, Command};

use super::{FAILED, FINE};

/// The budget policy holds releases back.
const BLOCKED: u8 = 3;

pub(super) fn command() -> Command {
    Command::new("slo")
        .about("Work with service level objectives")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(backtest::command())
        .subcommand(compile::command())
        .subcommand(gate::command())
        .subcommand(report::command())
}

/// Runs a subcommand and returns the exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let outcome = match matches.subcommand() {
        Some(("backtest", matches)) => backtest::run(matches).map(|()| FINE),
        Some(("compile", matches)) => compile::run(matches).map(|()| FINE),
        Some(("gate", matches)) => gate::run(matches),
        Some(("report", matches)) => report::run(matches).map(|()| FINE),
        other => unreachable!("BUG: `slo` has no {other:?}"),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("{message}");
        FAILED
    })
}

/// Prints a result. A closed pipe is no failure of ours: whoever reads has seen enough.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
