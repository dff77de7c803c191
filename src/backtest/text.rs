//! A report for a terminal.

use std::fmt::Write;
use std::time::Duration;

use crate::model::{ALERT_NAME, Labels, Timestamp};
use crate::source::format_duration;

use super::report::{Report, Told};
use super::{Pair, RuleReplay};

/// Firings that are listed under an alert.
const LISTED_MAX: usize = 10;
/// Names that are listed of rules of which there is nothing to say.
const NAMES_MAX: usize = 30;

/// The whole report.
pub fn text(report: &Report) -> String {
    let mut text = format!("{} to {}", report.start.to_rfc3339(), report.end.to_rfc3339());
    if let Some(step) = report.step {
        let _ = write!(text, ", every {}", format_duration(step));
    }
    text.push('\n');
    for told in &report.versions {
        write_version(&mut text, report, told);
    }
    write_comparison(&mut text, report);
    text
}

fn write_version(text: &mut String, report: &Report, told: &Told) {
    let replay = &told.replay;
    let _ = writeln!(
        text,
        "\n{}: {} in {}, {}, {}, {}",
        replay.label,
        counted(replay.rules.len() as u64, "rule"),
        counted(replay.groups as u64, "group"),
        counted(replay.evaluations, "evaluation"),
        counted(replay.series, "series"),
        counted(replay.samples, "sample"),
    );
    let active = told.active();
    if !active.is_empty() {
        let names: Vec<String> = active.iter().map(|index| name(&replay.rules[*index])).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let _ = writeln!(
            text,
            "\n  {:<width$}  {:>5}  {:>7}  {:>10}  {:>8}  {:>8}  {:>5}  {:>7}",
            "ALERT", "FIRED", "PENDING", "FIRING FOR", "OF TIME", "LONGEST", "FLAPS", "AT ONCE"
        );
        for (index, name) in active.iter().zip(names) {
            let figures = &told.figures[*index];
            let _ = writeln!(
                text,
                "  {name:<width$}  {:>5}  {:>7}  {:>10}  {:>8}  {:>8}  {:>5}  {:>7}",
                figures.fired,
                figures.only_pending,
                format_duration(figures.firing_for),
                percent(figures.firing_ratio),
                format_duration(figures.longest),
                figures.flaps,
                figures.at_once_max,
            );
            write_firings(text, &replay.rules[*index], report.end);
        }
    }
    write_rest(text, told);
}

fn write_firings(text: &mut String, rule: &RuleReplay, end: Timestamp) {
    let fired: Vec<_> = rule.episodes.iter().filter(|episode| episode.fired_at.is_some()).collect();
    for episode in fired.iter().take(LISTED_MAX) {
        let (Some((from, to)), ended) = (episode.firing(end), episode.ended_at) else { continue };
        let until = match ended {
            Some(ended) => format!("to {} ({})", ended.to_rfc3339(), format_duration(to.since(from))),
            None => "and still fires at the end".to_owned(),
        };
        let _ = writeln!(text, "      {} {until} {}", from.to_rfc3339(), without_name(&episode.labels));
    }
    let more = fired.len().saturating_sub(LISTED_MAX) as u64 + rule.dropped;
    if more > 0 {
        let _ = writeln!(text, "      and {more} more");
    }
}

fn write_rest(text: &mut String, told: &Told) {
    let replay = &told.replay;
    let quiet = told.quiet();
    if !quiet.is_empty() {
        let mut names: Vec<String> = quiet.iter().take(NAMES_MAX).map(|index| name(&replay.rules[*index])).collect();
        if quiet.len() > NAMES_MAX {
            names.push(format!("and {} more", quiet.len() - NAMES_MAX));
        }
        let _ = writeln!(text, "\n  never pending ({}): {}", quiet.len(), names.join(", "));
    }
    for index in told.failed() {
        let rule = &replay.rules[index];
        let (at, reason) = rule.failures.first.clone().unwrap_or_default();
        let times = counted(rule.failures.count, "time");
        let _ = writeln!(text, "\n  failed {times}, first at {}: {}: {reason}", at.to_rfc3339(), name(rule));
    }
    if let Some((count, at)) = told.overlaps.at_once_max.filter(|(count, _)| *count > 1) {
        let _ = writeln!(text, "\n  {count} alerts at once, first at {}", at.to_rfc3339());
    }
    for pair in &told.overlaps.pairs {
        let _ = writeln!(
            text,
            "  {} fires together with {} for {}, {} of its time",
            name(&replay.rules[pair.rules.0]),
            name(&replay.rules[pair.rules.1]),
            format_duration(pair.together),
            percent(pair.ratio),
        );
    }
    if told.overlaps.is_cut {
        let _ = writeln!(text, "  too many alerts fired to compare all pairs of them");
    }
}

fn write_comparison(text: &mut String, report: &Report) {
    let (Some(comparison), [after, before]) = (&report.comparison, &report.versions[..]) else { return };
    let _ = writeln!(text, "\n{} against {}", after.replay.label, before.replay.label);
    let same = comparison.pairs.iter().filter(|pair| pair.is_same()).count() as u64;
    for pair in comparison.pairs.iter().filter(|pair| !pair.is_same()) {
        write_pair(text, pair, (before, after));
    }
    let _ = writeln!(
        text,
        "  {} at the same times in both",
        if same == 1 { "1 alert fires".to_owned() } else { format!("{same} alerts fire") }
    );
}

fn write_pair(text: &mut String, pair: &Pair, (before, after): (&Told, &Told)) {
    let told = |told: &Told, index: usize| {
        let figures = &told.figures[index];
        format!("{} in {}", counted(figures.fired as u64, "firing"), format_duration(figures.firing_for))
    };
    let _ = match (pair.before, pair.after) {
        (Some(old), Some(new)) => writeln!(
            text,
            "  {}: was {}, now {}; {} only before, {} only now",
            name(&after.replay.rules[new]),
            told(before, old),
            told(after, new),
            format_duration(pair.only_before),
            format_duration(pair.only_after),
        ),
        (None, Some(new)) => writeln!(text, "  {}: new, {}", name(&after.replay.rules[new]), told(after, new)),
        (Some(old), None) => writeln!(text, "  {}: gone, was {}", name(&before.replay.rules[old]), told(before, old)),
        (None, None) => Ok(()),
    };
}

/// `Name{severity="page"}`: alerts of one name mostly differ in their labels.
pub(super) fn name(rule: &RuleReplay) -> String {
    if rule.labels.is_empty() { rule.name.to_string() } else { format!("{}{}", rule.name, rule.labels) }
}

/// Labels without the alert's name, which stands above.
pub(super) fn without_name(labels: &Labels) -> String {
    let mut builder = labels.to_builder();
    builder.set(ALERT_NAME, "");
    builder.build().to_string()
}

pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", 100.0 * ratio)
}

/// `1,234 rules`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let plural = if count == 1 || noun.ends_with("series") { "" } else { "s" };
    format!("{grouped} {noun}{plural}")
}

/// As people say it; empty for nothing.
pub(super) fn held(duration: Duration) -> String {
    if duration.is_zero() { String::new() } else { format_duration(duration) }
}
