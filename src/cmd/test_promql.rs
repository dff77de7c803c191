//! `almenara test promql FILE…`: runs scripts of Prometheus's `promqltest` language.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::source::SourceFile;
use crate::unittest::promqltest;

/// Runs each file. Prints one line per failure, one with the figures of each file, and the total last. Exit code 1 if
/// anything failed.
pub(super) fn run(files: &[PathBuf]) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let mut lines = Vec::new();
    let mut out = io::stdout().lock();
    let mut write_failure = Ok(());
    for path in files {
        let name = path.display().to_string();
        let (file_passed, file_failed) = match fs::read_to_string(path) {
            Ok(text) => {
                let report = promqltest::run(&SourceFile::new(name.clone(), text));
                for failure in &report.failures {
                    write_failure = write_failure.and(writeln!(out, "{name}:{}: {}", failure.line, failure.message));
                }
                (report.passed, report.failures.len())
            }
            Err(error) => {
                write_failure = write_failure.and(writeln!(out, "{name}: {error}"));
                (0, 1)
            }
        };
        passed += file_passed;
        failed += file_failed;
        lines.push(format!("{name}: {file_passed} passed, {file_failed} failed"));
    }
    for line in lines {
        write_failure = write_failure.and(writeln!(out, "{line}"));
    }
    write_failure = write_failure.and(writeln!(out, "{passed} passed, {failed} failed"));
    // A reader that has seen enough and closed the pipe is no failure of the tests.
    let is_output_lost = write_failure.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
    if failed > 0 || is_output_lost { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
