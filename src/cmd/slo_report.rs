//! What `almenara slo backtest` prints: JSON as the contract has it, or a summary for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::model::{Labels, Timestamp};
use crate::slo::{Backtest, Grid, Point, Slo, TierRun};
use crate::source::format_duration;

/// Every instant, in the form of the contract.
pub(super) fn json(results: &[(&Slo, Backtest)]) -> String {
    let slos: Vec<Value> = results.iter().map(|(slo, result)| entry(slo, result)).collect();
    let mut text = json!({ "slos": slos }).to_string();
    text.push('\n');
    text
}

fn entry(slo: &Slo, result: &Backtest) -> Value {
    json!({
        "name": slo.name,
        "group": labels(&result.group),
        "window": slo.window.to_string(),
        "objective": slo.objective.percent(),
        "points": result.points.iter().map(point).collect::<Vec<_>>(),
        "alerts": result.runs.iter().map(|run| alert(slo, run)).collect::<Vec<_>>(),
        "summary": summary(slo, result),
    })
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|label| (label.name.to_string(), Value::from(&*label.value))).collect())
}

fn point(point: &Point) -> Value {
    json!({
        "time": unix_secs(point.at),
        "good": point.counts.good,
        "total": point.counts.total,
        "error_ratio": point.error_ratio,
        "budget_remaining": point.budget_remaining,
        "coverage": point.coverage,
    })
}

fn alert(slo: &Slo, run: &TierRun) -> Value {
    let tier = &slo.policy.tiers[run.tier];
    json!({
        "tier": tier.name,
        "severity": tier.severity_as_written(),
        "start": unix_secs(run.start),
        "end": run.end.map(unix_secs),
        "budget_spent_at_start": run.budget_spent_at_start,
    })
}

/// Seconds, whole where they are.
fn unix_secs(at: Timestamp) -> Value {
    if at.as_ms() % 1000 == 0 { Value::from(at.as_ms() / 1000) } else { Value::from(at.as_secs_f64()) }
}

fn summary(slo: &Slo, result: &Backtest) -> Value {
    let fires: Map<String, Value> =
        fires(slo, result).map(|(name, count)| (name.to_owned(), Value::from(count))).collect();
    json!({
        "fires": fires,
        "worst_budget_remaining": worst(result).and_then(|point| point.budget_remaining),
        "final_budget_remaining": result.points.last().and_then(|point| point.budget_remaining),
        "instants_overspent": overspent(result),
        "instants": result.points.len(),
    })
}

/// How often each tier fired.
fn fires<'a>(slo: &'a Slo, result: &Backtest) -> impl Iterator<Item = (&'a str, usize)> {
    let runs: Vec<usize> = result.runs.iter().map(|run| run.tier).collect();
    let count = move |index| runs.iter().filter(|tier| **tier == index).count();
    slo.policy.tiers.iter().enumerate().map(move |(index, tier)| (tier.name.as_str(), count(index)))
}

fn worst(result: &Backtest) -> Option<&Point> {
    let known = result.points.iter().filter(|point| point.budget_remaining.is_some());
    known.min_by(|a, b| a.budget_remaining.partial_cmp(&b.budget_remaining).unwrap_or(std::cmp::Ordering::Equal))
}

fn overspent(result: &Backtest) -> usize {
    result.points.iter().filter(|point| point.budget_remaining < Some(0.0) && point.budget_remaining.is_some()).count()
}

/// A summary for people.
pub(super) fn text(results: &[(&Slo, Backtest)], grid: Grid) -> String {
    let mut text =
        format!("{} to {}, every {}\n", grid.start.to_rfc3339(), grid.end.to_rfc3339(), format_duration(grid.step));
    for (slo, result) in results {
        let group = if result.group.is_empty() { String::new() } else { result.group.to_string() };
        let _ = writeln!(text, "\n{}{group}: {}% {}", slo.name, slo.objective.percent(), slo.window.phrase());
        write_budget(&mut text, result);
        for run in &result.runs {
            write_run(&mut text, slo, run);
        }
        for (name, _) in fires(slo, result).filter(|(_, count)| *count == 0) {
            let _ = writeln!(text, "  {name:<12} never fires");
        }
    }
    text
}

fn write_budget(text: &mut String, result: &Backtest) {
    let percent = |ratio: Option<f64>| ratio.map_or("no events".to_owned(), |ratio| format!("{:.2}%", 100.0 * ratio));
    let Some(last) = result.points.last() else { return };
    let _ = writeln!(
        text,
        "  budget left  {} at the end ({} of {} bad, {} of the window measured)",
        percent(last.budget_remaining),
        last.counts.bad,
        last.counts.total,
        percent(Some(last.coverage)),
    );
    if let Some(worst) = worst(result) {
        let _ = writeln!(text, "  at worst     {} at {}", percent(worst.budget_remaining), worst.at.to_rfc3339());
    }
    if overspent(result) > 0 {
        let _ = writeln!(text, "  overspent    at {} of {} instants", overspent(result), result.points.len());
    }
}

fn write_run(text: &mut String, slo: &Slo, run: &TierRun) {
    let tier = &slo.policy.tiers[run.tier];
    let end = match run.end {
        Some(end) => format!("to {} ({})", end.to_rfc3339(), format_duration(end.since(run.start))),
        None => "and still fires at the end".to_owned(),
    };
    let spent =
        run.budget_spent_at_start.map_or(String::new(), |spent| format!(", {:.2}% of the budget spent", 100.0 * spent));
    let _ =
        writeln!(text, "  {:<12} {} {} {end}{spent}", tier.name, tier.severity_as_written(), run.start.to_rfc3339());
}
