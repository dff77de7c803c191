//! A report for programs.
//!
//! **Units.** Instants are RFC 3339 in UTC, durations are seconds, ratios go from 0 to 1.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Labels, Timestamp};
use crate::rules::RuleKind;

use super::report::{Report, Told};
use super::{Comparison, Episode, Figures, RuleReplay};

/// One object on one line.
pub fn json(report: &Report) -> String {
    let versions: Vec<Value> = report.versions.iter().map(version).collect();
    let mut text = json!({
        "start": report.start.to_rfc3339(),
        "end": report.end.to_rfc3339(),
        "versions": versions,
        "comparison": report.comparison.as_ref().map(|comparison| compared(comparison, report)),
    })
    .to_string();
    text.push('\n');
    text
}

fn version(told: &Told) -> Value {
    let replay = &told.replay;
    let rules = replay.rules.iter().zip(&told.figures).map(|(rule, figures)| of_rule(rule, figures));
    let overlaps = told.overlaps.pairs.iter().map(|pair| {
        json!({
            "rules": [pair.rules.0, pair.rules.1],
            "together": secs(pair.together),
            "ratio": pair.ratio,
        })
    });
    json!({
        "label": replay.label,
        "groups": replay.groups,
        "evaluations": replay.evaluations,
        "series": replay.series,
        "samples": replay.samples,
        "rules": rules.collect::<Vec<_>>(),
        "overlaps": overlaps.collect::<Vec<_>>(),
        "overlaps_cut": told.overlaps.is_cut,
        "at_once": told.overlaps.at_once_max.map(|(count, at)| json!({ "alerts": count, "time": at.to_rfc3339() })),
    })
}

fn of_rule(rule: &RuleReplay, figures: &Figures) -> Value {
    let failure = rule.failures.first.as_ref().map(|(at, reason)| json!({ "time": at.to_rfc3339(), "error": reason }));
    let mut value = json!({
        "file": rule.file,
        "group": rule.group,
        "name": rule.name,
        "type": if rule.kind == RuleKind::Alerting { "alerting" } else { "recording" },
        "query": rule.query,
        "labels": labels(&rule.labels),
        "failures": rule.failures.count,
        "first_failure": failure,
    });
    if rule.kind == RuleKind::Alerting {
        value["for"] = secs(rule.hold_duration);
        value["keep_firing_for"] = secs(rule.keep_firing_for);
        value["fired"] = figures.fired.into();
        value["only_pending"] = figures.only_pending.into();
        value["firing_for"] = secs(figures.firing_for);
        value["firing_ratio"] = figures.firing_ratio.into();
        value["longest"] = secs(figures.longest);
        value["flaps"] = figures.flaps.into();
        value["at_once_max"] = figures.at_once_max.into();
        value["still_firing"] = figures.still_firing.into();
        value["instances"] = figures.instances.into();
        value["episodes"] = rule.episodes.iter().map(episode).collect();
        value["episodes_dropped"] = rule.dropped.into();
    }
    value
}

fn episode(episode: &Episode) -> Value {
    json!({
        "labels": labels(&episode.labels),
        "annotations": labels(&episode.annotations),
        "value": episode.value,
        "pending": episode.active_at.to_rfc3339(),
        "firing": episode.fired_at.map(Timestamp::to_rfc3339),
        "ended": episode.ended_at.map(Timestamp::to_rfc3339),
    })
}

fn compared(comparison: &Comparison, report: &Report) -> Value {
    let pairs = comparison.pairs.iter().map(|pair| {
        let name = pair.after.map(|index| (0, index)).or(pair.before.map(|index| (1, index)));
        json!({
            "name": name.map(|(version, index): (usize, usize)| &report.versions[version].replay.rules[index].name),
            "before": pair.before,
            "after": pair.after,
            "same": pair.is_same(),
            "both": secs(pair.both),
            "only_before": secs(pair.only_before),
            "only_after": secs(pair.only_after),
        })
    });
    pairs.collect()
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|label| (label.name.to_string(), Value::from(&*label.value))).collect())
}

/// Seconds, whole where they are.
fn secs(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 { duration.as_secs().into() } else { duration.as_secs_f64().into() }
}
