//! `almenara slo compile SPEC… [--format rules|crd|grafana] [--names own|sloth] [--scrape-interval D]`: objectives as rules for a Prometheus.
//!
//! Rules go to stdout; how far their figures may be from ours goes to stderr, and into the file as comments. Objectives that rules cannot say
//! are an error, each with its reason.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::input::{self, given, text};
use crate::slo::{Compiled, Names, Slo, compile, groups_yaml};
use crate::source::parse_duration;

pub(super) fn command() -> Command {
    Command::new("compile")
        .about("Write objectives as recording and alerting rules for a Prometheus")
        .arg(input::specs())
        .arg(
            text("format", "FORMAT")
                .default_value("rules")
                .value_parser(["rules", "crd", "grafana"])
                .help("rules: a rule file; crd: PrometheusRule resources; grafana: a dashboard per service"),
        )
        .arg(
            text("names", "NAMES")
                .default_value("own")
                .value_parser(["own", "sloth"])
                .help("sloth: the labels that Sloth's dashboards 14348 and 14643 read"),
        )
        .arg(text("scrape-interval", "D").default_value("15s").help("Of the targets: the bounds follow from it"))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), String> {
    let slos = input::slos(matches)?;
    let names = if given(matches, "names") == "sloth" { Names::Sloth } else { Names::Own };
    let interval =
        parse_duration(given(matches, "scrape-interval")).map_err(|error| format!("--scrape-interval: {error}"))?;
    let mut compiled: Vec<(&Slo, Compiled)> = Vec::new();
    let mut wrong = Vec::new();
    for slo in &slos {
        match compile(slo, names, interval) {
            Ok(rules) => compiled.push((slo, rules)),
            Err(why) => wrong.push(format!("{}: {why}", slo.name)),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    for (slo, rules) in &compiled {
        rules.bounds.iter().for_each(|bound| eprintln!("{}: {bound}", slo.name));
    }
    super::print(&match given(matches, "format") {
        "crd" => resources(&compiled),
        "grafana" => dashboards(&compiled),
        _ => rule_file(&compiled),
    });
    Ok(())
}

fn rule_file(compiled: &[(&Slo, Compiled)]) -> String {
    let mut text =
        String::from("# Written by `almenara slo compile`. Its figures differ from those of Almenara itself:\n");
    for (slo, rules) in compiled {
        rules.bounds.iter().for_each(|bound| {
            let _ = writeln!(text, "# {}: {bound}", slo.name);
        });
    }
    let groups: Vec<_> = compiled.iter().flat_map(|(_, rules)| rules.groups.iter().cloned()).collect();
    text.push_str(&groups_yaml(&groups, 0));
    text
}

fn resources(compiled: &[(&Slo, Compiled)]) -> String {
    let mut text = String::new();
    for (slo, rules) in compiled {
        let name: String =
            slo.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let _ = writeln!(
            text,
            "---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {name}\nspec:"
        );
        text.push_str(&groups_yaml(&rules.groups, 2));
    }
    text
}

/// A dashboard for each service, one JSON document a line.
fn dashboards(compiled: &[(&Slo, Compiled)]) -> String {
    let mut services: BTreeMap<String, Vec<&(&Slo, Compiled)>> = BTreeMap::new();
    for entry in compiled {
        services.entry(entry.0.labels.get("service").unwrap_or("none").to_owned()).or_default().push(entry);
    }
    let mut text = String::new();
    for (service, entries) in services {
        let panels: Vec<Value> = entries.iter().enumerate().flat_map(|(row, entry)| panels(row, entry)).collect();
        let dashboard = json!({
            "title": format!("SLOs of {service}"),
            "uid": format!("almenara-slo-{service}").chars().take(40).collect::<String>(),
            "tags": ["slo", "almenara"],
            "schemaVersion": 39,
            "time": {"from": "now-30d", "to": "now"},
            "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
            "panels": panels,
        });
        let _ = writeln!(text, "{dashboard}");
    }
    text
}

/// Budget left, burn rates and error ratios of one objective, in a row.
fn panels(row: usize, (slo, rules): &(&Slo, Compiled)) -> Vec<Value> {
    let tests: Vec<String> = rules.identity.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let own = |series: &str| format!("{series}{{{}}}", tests.join(","));
    let panel = |column: usize, kind: &str, title: String, exprs: Vec<(String, String)>, unit: &str| {
        let targets: Vec<Value> = exprs
            .into_iter()
            .enumerate()
            .map(|(index, (expr, legend))| json!({"refId": char::from(b'A' + (index % 26) as u8).to_string(), "expr": expr, "legendFormat": legend}))
            .collect();
        json!({
            "id": 3 * row + column + 1,
            "type": kind,
            "title": title,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "gridPos": {"h": 8, "w": 8, "x": 8 * column, "y": 8 * row},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "targets": targets,
        })
    };
    let one = |series: &str, legend: &str| vec![(own(series), legend.to_owned())];
    let ratios =
        rules.groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name.starts_with("slo:sli_error:"));
    let ratios =
        ratios.map(|rule| (own(&rule.name), rule.name.trim_start_matches("slo:sli_error:ratio_rate").to_owned()));
    vec![
        panel(
            0,
            "stat",
            format!("{}: budget left", slo.name),
            one("slo:period_error_budget_remaining:ratio", "left"),
            "percentunit",
        ),
        panel(1, "timeseries", format!("{}: burn rate", slo.name), one("slo:current_burn_rate:ratio", "5m"), "none"),
        panel(2, "timeseries", format!("{}: error ratio", slo.name), ratios.collect(), "percentunit"),
    ]
}
