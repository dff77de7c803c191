//! What `almenara slo backtest` prints: JSON as the contract has it, or a summary for people.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::backtest::Replayed;
use crate::model::{Labels, Timestamp};
use crate::slo::{Backtest, Detected, Grid, Notified, PartlyMeasured, Point, Slo, TierRun};
use crate::source::format_duration;

/// Every instant, in the form of the contract.
pub(super) fn json(all: &[Replayed<'_>]) -> String {
    let slos: Vec<Value> = all.iter().map(entry).collect();
    let mut text = json!({ "slos": slos }).to_string();
    text.push('\n');
    text
}

fn entry(replayed: &Replayed<'_>) -> Value {
    let Replayed { slo, policy, result, score } = replayed;
    let mut entry = json!({
        "name": slo.name,
        "group": labels(&result.group),
        "window": slo.window.to_string(),
        "objective": slo.objective.percent(),
        "points": result.points.iter().map(point).collect::<Vec<_>>(),
        "alerts": result.runs.iter().map(|run| alert(slo, run)).collect::<Vec<_>>(),
        "notifications": result.notifications.iter().map(notification).collect::<Vec<_>>(),
        "summary": summary(slo, result),
    });
    if !result.partly_measured.is_empty() {
        entry["partly_measured"] = result.partly_measured.iter().map(partly_measured).collect();
    }
    if slo.indicator.is_queried() {
        entry["event_exact"] = Value::from(false);
    }
    if let Some(policy) = policy {
        entry["policy"] = Value::from(*policy);
    }
    if let Some(score) = score {
        entry["incidents"] = score.incidents.iter().map(incident).collect();
        entry["false_alarms"] = Value::from(score.false_alarms);
    }
    entry
}

fn notification(told: &Notified) -> Value {
    json!({
        "name": told.name,
        "tier": told.tier,
        "severity": told.severity.as_str(),
        "start": unix_secs(told.start),
        "end": told.end.map(unix_secs),
        "budget_spent_at_start": told.budget_spent_at_start,
        "reason": told.reason,
    })
}

fn partly_measured(partly: &PartlyMeasured) -> Value {
    json!({ "start": unix_secs(partly.start), "end": partly.end.map(unix_secs), "reason": partly.reason })
}

fn incident(detected: &Detected) -> Value {
    json!({
        "name": detected.name,
        "detection_seconds": detected.detection.map(|delay| delay.as_secs_f64()),
        "by_page": detected.is_page,
        "reset_seconds": detected.reset.map(|delay| delay.as_secs_f64()),
        "flaps": detected.flaps,
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

/// Figures for people; free.
fn summary(slo: &Slo, result: &Backtest) -> Value {
    let fires: Map<String, Value> =
        fires(slo, result).map(|(name, count)| (name.to_owned(), Value::from(count))).collect();
    json!({
        "fires": fires,
        "worst_budget_remaining": worst(result).and_then(|point| point.budget_remaining),
        "final_budget_remaining": result.points.last().and_then(|point| point.budget_remaining),
        "held_back": result.held_back.iter().map(|(run, why)| held_back(slo, &result.runs[*run], why)).collect::<Vec<_>>(),
        "instants_overspent": overspent(result),
        "instants": result.points.len(),
    })
}

fn held_back(slo: &Slo, run: &TierRun, why: &str) -> Value {
    json!({"tier": slo.policy.tiers[run.tier].name, "start": unix_secs(run.start), "reason": why})
}

/// How often each tier fired.
fn fires<'a>(slo: &'a Slo, result: &Backtest) -> impl Iterator<Item = (&'a str, usize)> {
    let runs: Vec<usize> = result.runs.iter().map(|run| run.tier).collect();
    let count = move |index| runs.iter().filter(|tier| **tier == index).count();
    slo.policy.tiers.iter().enumerate().map(move |(index, tier)| (tier.name.as_str(), count(index)))
}

pub(super) fn worst(result: &Backtest) -> Option<&Point> {
    let known = result.points.iter().filter(|point| point.budget_remaining.is_some());
    known.min_by(|a, b| a.budget_remaining.partial_cmp(&b.budget_remaining).unwrap_or(std::cmp::Ordering::Equal))
}

pub(super) fn overspent(result: &Backtest) -> usize {
    result.points.iter().filter(|point| point.budget_remaining < Some(0.0) && point.budget_remaining.is_some()).count()
}

/// A summary for people.
pub(super) fn text(all: &[Replayed<'_>], grid: Grid) -> String {
    let mut text =
        format!("{} to {}, every {}\n", grid.start.to_rfc3339(), grid.end.to_rfc3339(), format_duration(grid.step));
    for replayed in all {
        let Replayed { slo, policy, result, .. } = replayed;
        let group = if result.group.is_empty() { String::new() } else { result.group.to_string() };
        let policy = policy.map_or(String::new(), |policy| format!(", policy {policy}"));
        let _ = writeln!(text, "\n{}{group}: {}% {}{policy}", slo.name, slo.objective.percent(), slo.window.phrase());
        write_budget(&mut text, result);
        for (index, run) in result.runs.iter().enumerate() {
            let why = result.held_back.iter().find(|(held, _)| *held == index).map(|(_, why)| why.as_str());
            write_run(&mut text, slo, run, why);
        }
        for (name, _) in fires(slo, result).filter(|(_, count)| *count == 0) {
            let _ = writeln!(text, "  {name:<12} never fires");
        }
        write_told(&mut text, replayed);
    }
    text
}

/// What people would have been told, and how that fits the incidents.
fn write_told(text: &mut String, replayed: &Replayed<'_>) {
    let told = &replayed.result.notifications;
    let count = |page: bool| told.iter().filter(|told| (told.severity == crate::slo::Severity::Page) == page).count();
    let _ = writeln!(text, "  told         {} pages, {} tickets", count(true), count(false));
    for PartlyMeasured { start, end, reason } in &replayed.result.partly_measured {
        let end = end.map_or(String::new(), |end| format!(" to {}", end.to_rfc3339()));
        let _ = writeln!(text, "  seen in part {}{end}: {reason}", start.to_rfc3339());
    }
    let Some(score) = &replayed.score else { return };
    for detected in &score.incidents {
        let delay = |delay: Option<std::time::Duration>| delay.map_or("never".to_owned(), format_duration);
        let how = match (detected.detection, detected.is_page) {
            (None, _) => "missed".to_owned(),
            (Some(after), true) => format!("paged after {}", format_duration(after)),
            (Some(after), false) => format!("told without a page after {}", format_duration(after)),
        };
        let _ = writeln!(
            text,
            "  incident     {}: {how}, reset after {}, {} flaps",
            detected.name,
            delay(detected.reset),
            detected.flaps
        );
    }
    let _ = writeln!(text, "  false alarms {}", score.false_alarms);
}

fn write_budget(text: &mut String, result: &Backtest) {
    let percent = |ratio: Option<f64>| ratio.map_or("no events".to_owned(), |ratio| format!("{:.2}%", 100.0 * ratio));
    let Some(last) = result.points.last() else { return };
    let how = match last.coverage {
        Some(coverage) => format!(
            "{} of {} bad, {} of the window measured",
            last.counts.bad,
            last.counts.total,
            percent(Some(coverage))
        ),
        None => format!("{} bad, by a query: not event-exact", percent(last.error_ratio)),
    };
    let _ = writeln!(text, "  budget left  {} at the end ({how})", percent(last.budget_remaining));
    if let Some(worst) = worst(result) {
        let _ = writeln!(text, "  at worst     {} at {}", percent(worst.budget_remaining), worst.at.to_rfc3339());
    }
    if overspent(result) > 0 {
        let _ = writeln!(text, "  overspent    at {} of {} instants", overspent(result), result.points.len());
    }
}

fn write_run(text: &mut String, slo: &Slo, run: &TierRun, why_untold: Option<&str>) {
    let tier = &slo.policy.tiers[run.tier];
    let end = match run.end {
        Some(end) => format!("to {} ({})", end.to_rfc3339(), format_duration(end.since(run.start))),
        None => "and still fires at the end".to_owned(),
    };
    let spent =
        run.budget_spent_at_start.map_or(String::new(), |spent| format!(", {:.2}% of the budget spent", 100.0 * spent));
    let untold = why_untold.map_or(String::new(), |why| format!("; {why}"));
    let start = run.start.to_rfc3339();
    let _ = writeln!(text, "  {:<12} {} {start} {end}{spent}{untold}", tier.name, tier.severity_as_written());
}
