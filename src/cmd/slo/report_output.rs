//! What `almenara slo report` prints: Markdown, a page, or CSV, the same figures in each.

use std::fmt::Write;
use std::time::Duration;

use maud::{DOCTYPE, PreEscaped, html};

use super::report::{Line, Report};
use crate::slo::Severity;
use crate::source::format_duration;
use crate::web::SHEET;

const COLUMNS: [&str; 11] = [
    "objective",
    "group",
    "service",
    "target",
    "attained",
    "met",
    "budget left",
    "bad",
    "total",
    "measured",
    "pages/tickets",
];

fn percent(ratio: Option<f64>, decimals: usize) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{:.decimals$}%", 100.0 * ratio))
}

fn cells(line: &Line) -> [String; 11] {
    let point = &line.point;
    let attained = point.error_ratio.map(|ratio| 1.0 - ratio);
    let met = match point.budget_remaining {
        None => "not measured",
        Some(left) if left < 0.0 => "no",
        Some(_) => "yes",
    };
    let count = |severity| line.told.iter().filter(|told| told.severity == severity).count();
    [
        line.name.to_string(),
        if line.group.is_empty() { String::new() } else { line.group.to_string() },
        line.service.clone(),
        format!("{}%", line.objective_percent),
        percent(attained, 4),
        met.to_owned(),
        percent(point.budget_remaining, 2),
        format!("{}", point.counts.bad),
        format!("{}", point.counts.total),
        percent(point.coverage, 2),
        format!("{}/{}", count(Severity::Page), count(Severity::Ticket)),
    ]
}

/// What was told, and what was excluded: sentences below the table.
fn remarks(line: &Line) -> Vec<String> {
    let name = if line.group.is_empty() { line.name.to_string() } else { format!("{}{}", line.name, line.group) };
    let told = line.told.iter().map(|told| {
        let lasted = told.end.map_or("still fires".to_owned(), |end| {
            format!("lasted {}", format_duration(Duration::from_secs(end.since(told.start).as_secs())))
        });
        format!(
            "{name}: {} {} at {}, {lasted}",
            told.severity,
            told.tier.as_deref().unwrap_or(told.name),
            told.start.to_rfc3339()
        )
    });
    let left = |counts: crate::slo::Counts| counts.error_ratio().map(|ratio| 1.0 - ratio / line.budget_ratio);
    let excluded = line.exclusions.iter().map(|why| {
        let without = line.with_excluded.and_then(left);
        format!("{name}: excluded: {why}; with what is excluded {} of the budget would be left", percent(without, 2))
    });
    told.chain(excluded).collect()
}

pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!("# Objectives from {} to {}\n\n", report.start.to_rfc3339(), report.end.to_rfc3339());
    let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for line in &report.lines {
        let escaped: Vec<String> = cells(line).iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", escaped.join(" | "));
    }
    let all: Vec<String> = report.lines.iter().flat_map(remarks).collect();
    if !all.is_empty() {
        text.push_str("\n## Incidents and exclusions\n\n");
        all.iter().for_each(|remark| {
            let _ = writeln!(text, "- {remark}");
        });
    }
    text
}

pub(super) fn csv(report: &Report) -> String {
    let quoted = |cell: &str| {
        if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
    };
    let row = |cells: &[String]| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    let mut text = format!("start,end,{}\n", COLUMNS.join(","));
    for line in &report.lines {
        let mut all = vec![report.start.to_rfc3339(), report.end.to_rfc3339()];
        all.extend(cells(line));
        let _ = writeln!(text, "{}", row(&all));
    }
    text
}

pub(super) fn html(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Objectives" }
                style { (PreEscaped(SHEET)) }
            }
            body {
                header { h1 { "Objectives" } span.facts { (report.start.to_rfc3339()) " to " (report.end.to_rfc3339()) } }
                main {
                    section {
                        table {
                            thead { tr { @for column in COLUMNS { th { (column) } } } }
                            tbody { @for line in &report.lines { tr {
                                @for (cell, column) in cells(line).iter().zip(COLUMNS) { td data-name=(column) { (cell) } }
                            } } }
                        }
                    }
                    section {
                        h2 { "Incidents and exclusions" }
                        @for remark in report.lines.iter().flat_map(remarks) { p.quiet style="margin:0" { (remark) } }
                    }
                }
            }
        }
    }
    .into_string()
}
