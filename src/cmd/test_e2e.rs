//! `almenara test e2e`: plays incidents through rules, SLOs and router under a virtual clock, and compares who was told what and when.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{FAILED, FINE};
use crate::config::Config;
use crate::promql::Dialect;
use crate::router::Router;
use crate::rules::{Environment, Evaluator, Group, GroupDefaults};
use crate::slo::SloGroup;
use crate::source::{Diagnostics, SourceFile, format_duration};
use crate::store::{Store, StoreOptions};
use crate::unittest::incident::{self, Parts, Scenario, Told};

/// What the daemon takes where no flag says otherwise.
const LOOKBACK_DELTA: Duration = Duration::from_secs(300);
const RESEND_DELAY: Duration = Duration::from_secs(60);
/// Longer than any incident lasts.
const RETENTION: Duration = Duration::from_secs(400 * 86_400);

pub(super) fn run(files: &[PathBuf], dialect: Dialect) -> u8 {
    let mut failed = 0;
    for path in files {
        match play(path, dialect) {
            Ok(played) if played.told == played.expected => {
                say!("{}: as expected, {} messages", path.display(), played.told.len());
                print_table(&played.told);
            }
            Ok(played) => {
                failed += 1;
                say!("{}: not as expected", path.display());
                print_difference(&played);
            }
            Err(diagnostics) => {
                failed += 1;
                eprintln!("{diagnostics}");
            }
        }
    }
    say!("{} passed, {failed} failed", files.len() - failed);
    if failed == 0 { FINE } else { FAILED }
}

/// What was told, and what should have been.
struct Played {
    told: Vec<Told>,
    expected: Vec<Told>,
}

fn play(path: &Path, dialect: Dialect) -> Result<Played, Diagnostics> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let mut diagnostics = Diagnostics::default();
        diagnostics
            .push(crate::source::Diagnostic::error_without_place(format!("cannot read {}: {error}", path.display())));
        diagnostics
    })?;
    let (scenario, diagnostics) = Scenario::parse(&SourceFile::new(path.display().to_string(), text));
    let Some(scenario) = scenario else { return Err(diagnostics) };
    let directory = path.parent().unwrap_or(Path::new(""));
    let variable =
        |name: &str| scenario.environment.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone());
    let (config, diagnostics) = Config::load(&directory.join(&scenario.config), &variable, dialect.features);
    let Some(config) = config else { return Err(diagnostics) };
    let told = incident::run(&scenario.incident, &mut parts(config, &scenario, dialect));
    Ok(Played { told, expected: scenario.incident.expected })
}

/// The same parts that the daemon makes of a configuration.
fn parts(config: Config, scenario: &Scenario, dialect: Dialect) -> Parts {
    let defaults =
        GroupDefaults { interval: config.global.evaluation_interval, query_offset: config.global.rule_query_offset };
    let mut evaluators: Vec<Box<dyn Evaluator>> = Vec::new();
    for file in &config.rule_files {
        for group in &file.groups {
            evaluators.push(Box::new(Group::new(file.source.name.clone(), group, defaults)));
        }
    }
    for file in config.slo_files {
        evaluators.push(Box::new(SloGroup::new(file, config.global.evaluation_interval).with_full_windows()));
    }
    let external_url = "http://127.0.0.1:9597";
    Parts {
        evaluators,
        router: Router::new(config.router, external_url, scenario.incident.start),
        environment: Environment {
            external_labels: config.global.external_labels,
            external_url: external_url.into(),
            lookback_delta: LOOKBACK_DELTA,
            default_subquery_step: config.global.evaluation_interval,
            dialect,
            resend_delay: RESEND_DELAY,
        },
        store: Arc::new(Store::new(StoreOptions { retention: RETENTION })),
    }
}

/// Who was told what and when, a line for each alert in a message.
fn print_table(told: &[Told]) {
    let width = told.iter().map(|told| told.to.len()).max().unwrap_or(0);
    for told in told {
        let at = format_duration(told.at);
        for (what, alerts) in [("firing", &told.firing), ("resolved", &told.resolved)] {
            for alert in alerts {
                say!("  {at:>8}  {:width$}  {what:8}  {alert}", told.to);
            }
        }
    }
}

/// What is missing and what is too much, in the form of an incident file.
fn print_difference(played: &Played) {
    for told in played.expected.iter().filter(|told| !played.told.contains(told)) {
        say!("expected, but not told:\n{told}");
    }
    for told in played.told.iter().filter(|told| !played.expected.contains(told)) {
        say!("told, but not expected:\n{told}");
    }
    if played.told.iter().all(|told| played.expected.contains(told)) {
        say!("told in this order or number:");
        played.told.iter().for_each(|told| say!("{told}"));
    }
}
