//! `almenara slo backtest --format html`: one page that stands alone, with a chart of each budget and what would have been told.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::backtest::Replayed;
use crate::model::Timestamp;
use crate::slo::{Grid, Severity};
use crate::source::format_duration;
use crate::web::SHEET;
use crate::web::chart::{self, Mark};

/// Points drawn of each budget: more than a screen has pixels would not be seen.
const POINTS_MAX: usize = 600;
/// Budgets are drawn down to here: five times overspent.
const FLOOR: f64 = -5.0;

/// The page.
pub(super) fn page(all: &[Replayed<'_>], grid: Grid) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "SLO backtest" }
                style { (PreEscaped(SHEET)) (PreEscaped(chart::STYLE)) }
            }
            body {
                header {
                    h1 { "SLO backtest" }
                    span.facts { (grid.start.to_rfc3339()) " to " (grid.end.to_rfc3339()) ", every " (format_duration(grid.step)) }
                }
                main { @for replayed in all { (section(replayed, grid)) } }
            }
        }
    }
    .into_string()
}

fn section(replayed: &Replayed<'_>, grid: Grid) -> Markup {
    let Replayed { slo, policy, result, score } = replayed;
    let every = result.points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<(Timestamp, Option<f64>)> =
        result.points.iter().step_by(every).map(|point| (point.at, point.budget_remaining)).collect();
    let mark = |told: &crate::slo::Notified| Mark {
        start: told.start,
        end: told.end.unwrap_or(grid.end),
        kind: if told.severity == Severity::Page { "bad" } else { "warn" },
    };
    let marks: Vec<Mark> = result.notifications.iter().map(mark).collect();
    let percent = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{:.2} %", 100.0 * ratio));
    html! {
        section {
            h2 {
                (slo.name) @if !result.group.is_empty() { (result.group) }
                span.count { (slo.objective.percent()) " % " (slo.window.phrase()) @if let Some(policy) = policy { ", policy " (policy) } }
            }
            (chart::line("budget left, with pages and tickets", &points, &marks, FLOOR))
            p.quiet {
                "Left at the end: " (percent(result.points.last().and_then(|point| point.budget_remaining)))
                ". " (result.notifications.len()) " notifications, " (result.runs.len()) " runs of tiers, " (result.held_back.len()) " of them told to nobody."
            }
            @if !result.notifications.is_empty() {
                table {
                    thead { tr { th { "From" } th { "To" } th { "What" } th { "Why" } } }
                    tbody { @for told in &result.notifications { tr {
                        td { time { (told.start.to_rfc3339()) } }
                        td { @match told.end { Some(end) => { time { (end.to_rfc3339()) } }, None => { "still fires" } } }
                        td { (told.severity.as_str()) " " (told.tier.as_deref().unwrap_or(told.name)) }
                        td { (told.reason) }
                    } } }
                }
            }
            @for partly in &result.partly_measured { p.quiet {
                "Measured in part only from " time { (partly.start.to_rfc3339()) } @if let Some(end) = partly.end { " to " time { (end.to_rfc3339()) } } ": " (partly.reason)
            } }
            @if let Some(score) = score {
                h3 { "Incidents" }
                table { tbody { @for detected in &score.incidents { tr {
                    td { (detected.name) }
                    td { @match detected.detection { Some(after) => { "told after " (format_duration(after)) }, None => { "missed" } } }
                    td { @if let Some(after) = detected.reset { "reset after " (format_duration(after)) } }
                } } } }
                p.quiet { (score.false_alarms) " false alarms." }
            }
        }
    }
}
