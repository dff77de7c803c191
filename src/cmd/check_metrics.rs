//! `almenara check metrics < BODY`: promtool's lints of an exposition.
//!
//! Exit code 0 when nothing is found, 3 when something is, 1 when the body cannot be read. **Source.** Prometheus 3.5
//! `cmd/promtool/main.go`, compared with the program itself.

use std::io::{self, Read, Write};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{FAILED, FINE, LINT};
use crate::exposition::promlint;

/// The command line.
pub(super) fn command() -> Command {
    Command::new("metrics")
        .about("Check metrics in the text format on standard input: exit 3 when a lint finds something")
}

/// `--extended`, which promtool has on `check` itself.
pub(super) fn extended() -> Arg {
    Arg::new("extended")
        .long("extended")
        .action(ArgAction::SetTrue)
        .global(true)
        .help("check metrics: print how many series each metric has")
}

/// Runs the command and returns its exit code.
pub(super) fn run(matches: &ArgMatches) -> u8 {
    let mut body = Vec::new();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let code = io::stdin().read_to_end(&mut body);
    let code = code.and_then(|_| check(&body, matches.get_flag("extended"), &mut out, &mut err));
    // Whoever read the output and closed the pipe has seen enough.
    code.unwrap_or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { FINE } else { FAILED })
}

fn check(body: &[u8], is_extended: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let families = match promlint::families(body) {
        Ok(families) => families,
        Err(error) => {
            writeln!(err, "error while linting: {error}")?;
            return Ok(FAILED);
        }
    };
    let findings = promlint::lint(&families);
    for finding in &findings {
        writeln!(err, "{} {}", finding.metric, finding.text)?;
    }
    if !findings.is_empty() {
        return Ok(LINT);
    }
    if is_extended {
        write_table(&promlint::cardinalities(&families), out)?;
    }
    Ok(FINE)
}

/// Columns as wide as their widest cell and four blanks.
fn write_table(cardinalities: &[(&str, usize)], out: &mut dyn Write) -> io::Result<()> {
    let total: usize = cardinalities.iter().map(|(_, count)| count).sum();
    let head = ["Metric", "Cardinality", "Percentage"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(cardinalities.iter().map(|(name, count)| {
        let percent = 100.0 * *count as f64 / total as f64;
        [(*name).to_owned(), count.to_string(), format!("{percent:.2}%")]
    }));
    rows.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 4;
    let widths = [width(0), width(1), width(2)];
    for [name, count, percent] in &rows {
        writeln!(out, "{name:<0$}{count:<1$}{percent:<2$}", widths[0], widths[1], widths[2])?;
    }
    Ok(())
}
