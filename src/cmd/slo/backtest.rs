//! `almenara slo backtest SPEC… --source FILE --start T --end T [--step D] [--policy P]… [--incidents FILE] [--format text|json|html]`: replays
//! objectives over recorded samples.
//!
//! JSON is `slo backtest` of the contract. With several `--policy` each objective is replayed with each of them, told apart by the key
//! `policy`; `spec` is the policy as written, anything else a file with what stands under `alerting`.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::input::{self, given, text};
use super::{backtest_html, backtest_output};
use crate::slo::{self, Backtest, Incident, Score, Slo};

/// The name of the policy that the specification itself has.
const AS_WRITTEN: &str = "spec";

pub(super) fn command() -> Command {
    Command::new("backtest")
        .about("Replay objectives and their alert policies over recorded samples")
        .after_help(
            "SPEC is in our own form or that of Sloth (prometheus/v1), Pyrra (v1alpha1) or OpenSLO (v1).\n\
             FILE is OpenMetrics text with timestamps, plain or gzip, ending in `# EOF`.",
        )
        .arg(input::specs())
        .arg(input::source().required(true))
        .arg(text("start", "T").required(true).help("The first instant: RFC 3339 or Unix seconds"))
        .arg(text("end", "T").required(true).help("No instant is after it: RFC 3339 or Unix seconds"))
        .arg(text("step", "D").default_value("5m").help("The distance of instants, a duration such as 1m"))
        .arg(
            text("policy", "POLICY")
                .action(ArgAction::Append)
                .help("spec, or a file with what stands under `alerting`; several are set side by side"),
        )
        .arg(
            Arg::new("incidents")
                .long("incidents")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Incidents that people know of, to judge the policies by"),
        )
        .arg(
            text("format", "FORMAT")
                .default_value("text")
                .value_parser(["text", "json", "html"])
                .help("text: a summary for people; json: every instant; html: a page with charts"),
        )
}

/// One objective's group, replayed with one policy.
pub(super) struct Replayed<'a> {
    pub(super) slo: &'a Slo,
    /// `None` where there is only the policy as written.
    pub(super) policy: Option<&'a str>,
    pub(super) result: Backtest,
    /// Against the incidents, where there are any.
    pub(super) score: Option<Score>,
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), String> {
    let grid = input::grid(matches)?;
    let as_written = input::slos(matches)?;
    let policies: Vec<String> = matches.get_many::<String>("policy").into_iter().flatten().cloned().collect();
    let incidents = matches.get_one::<PathBuf>("incidents").map(|path| read_incidents(path)).transpose()?;
    let variants: Vec<(Option<&str>, Vec<Slo>)> = if policies.is_empty() {
        vec![(None, as_written)]
    } else {
        let mut all = Vec::new();
        for policy in &policies {
            all.push((Some(policy.as_str()), with_policy(&as_written, policy)?));
        }
        all
    };
    let source = matches.get_one::<PathBuf>("source").expect("BUG: clap requires the source");
    let recording = input::recording(source)?;
    let mut all: Vec<Replayed<'_>> = Vec::new();
    for (policy, slos) in &variants {
        let replayed = slo::backtest_all(slos, &recording, grid)?.into_iter().map(|(index, result)| {
            let slo = &slos[index];
            let score = incidents.as_ref().map(|incidents| Score::of(&slo.name, &result, incidents));
            Replayed { slo, policy: *policy, result, score }
        });
        all.extend(replayed);
    }
    // Stable: of equal ones the policies stay in the order in which they were asked for.
    all.sort_by(|a, b| {
        (&a.slo.name, &a.result.group)
            .cmp(&(&b.slo.name, &b.result.group))
            .then(a.slo.objective.percent().total_cmp(&b.slo.objective.percent()))
    });
    super::print(&match given(matches, "format") {
        "json" => backtest_output::json(&all),
        "html" => backtest_html::page(&all, grid),
        _ => backtest_output::text(&all, grid),
    });
    Ok(())
}

/// The objectives with another policy.
fn with_policy(slos: &[Slo], policy: &str) -> Result<Vec<Slo>, String> {
    if policy == AS_WRITTEN {
        return Ok(slos.to_vec());
    }
    let source = input::source_file(Path::new(policy)).map_err(|error| format!("--policy: {error}"))?;
    let mut all = Vec::new();
    let mut told = std::collections::BTreeSet::new();
    for slo in slos {
        let (policy, diagnostics) = slo::parse_policy(&source, slo);
        let Some(policy) = policy else { return Err(diagnostics.to_string()) };
        if !diagnostics.is_empty() && told.insert(diagnostics.to_string()) {
            eprintln!("{diagnostics}");
        }
        all.push(Slo { policy, ..slo.clone() });
    }
    Ok(all)
}

fn read_incidents(path: &Path) -> Result<Vec<Incident>, String> {
    let (incidents, diagnostics) = slo::parse_incidents(&input::source_file(path)?);
    incidents.ok_or_else(|| diagnostics.to_string())
}
