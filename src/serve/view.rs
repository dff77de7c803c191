//! What the page shows, gathered from the parts.

use super::daemon::Parts;
use crate::clock;
use crate::model::{Labels, Timestamp};
use crate::router::{Router, SilenceState};
use crate::rules::{AlertState, GroupStatus, RuleStatus};
use crate::scrape::TargetStatus;
use crate::web::{AlertLine, GroupLines, JobLines, RuleLine, SilenceLine, TargetLine, View};

/// Everything as it is now.
pub(super) fn of(parts: &Parts) -> View {
    let groups = parts.groups.rules();
    let slos = parts.groups.slos();
    let mut alerts: Vec<AlertLine> = groups.iter().flat_map(|group| alerts_of(group)).collect();
    alerts.extend(slos.iter().flat_map(|slo| &slo.alerts).map(|alert| AlertLine {
        is_firing: true,
        labels: alert.labels.clone(),
        summary: alert.annotations.get("summary").unwrap_or_default().to_owned(),
        active_at: alert.active_at,
        is_silenced: false,
    }));
    let now = clock::now();
    let external_labels = parts.live.read().external_labels.clone();
    let silences = parts.router.read(|router| {
        mark_silenced(router, &external_labels, &mut alerts, now);
        silences(router, now)
    });
    alerts.sort_by_key(|alert| (!alert.is_firing, alert.active_at, alert.labels.clone()));
    View {
        now,
        version: env!("CARGO_PKG_VERSION"),
        started_at: parts.live.read().started_at,
        storage_problem: parts.storage_problem(),
        reload_error: parts.reload_error.lock().clone(),
        alerts,
        silences,
        slos,
        groups: groups.iter().map(|group| group_lines(group)).collect(),
        jobs: jobs(parts.scrapes.targets().active),
        destinations: destinations(parts),
    }
}

fn alerts_of(group: &GroupStatus) -> Vec<AlertLine> {
    let alerting = group.rules.iter().filter_map(|rule| rule.alerting.as_ref());
    alerting
        .flat_map(|alerting| &alerting.alerts)
        .map(|alert| AlertLine {
            is_firing: alert.state == AlertState::Firing,
            labels: alert.labels.clone(),
            summary: alert.annotations.get("summary").unwrap_or_default().to_owned(),
            active_at: alert.active_at,
            is_silenced: false,
        })
        .collect()
}

/// The router knows alerts with the external labels.
fn mark_silenced(router: &Router, external_labels: &Labels, alerts: &mut [AlertLine], now: Timestamp) {
    let silencer = router.silences().silencer(now);
    for alert in alerts {
        let mut labels = external_labels.to_builder();
        alert.labels.iter().for_each(|label| {
            labels.set(label.name.clone(), label.value.clone());
        });
        alert.is_silenced = silencer.mutes(&labels.build());
    }
}

/// The active ones, the first to end first.
fn silences(router: &Router, now: Timestamp) -> Vec<SilenceLine> {
    let listed = router.silences().listed(now).into_iter();
    let active = listed.filter(|silence| silence.state(now) == SilenceState::Active);
    active
        .map(|silence| SilenceLine {
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            ends_at: silence.ends_at,
        })
        .collect()
}

fn group_lines(group: &GroupStatus) -> GroupLines {
    GroupLines {
        name: group.name.to_string(),
        file: group.file.to_string(),
        interval: group.interval,
        took: group.evaluated_at.map(|_| group.evaluation_duration),
        rules: group.rules.iter().map(rule_line).collect(),
    }
}

fn rule_line(rule: &RuleStatus) -> RuleLine {
    RuleLine {
        name: rule.name.to_string(),
        query: rule.query.to_string(),
        health: rule.health.as_str(),
        has_matched: rule.has_matched,
        error: rule.last_error.as_ref().map(ToString::to_string),
        warnings: rule.warnings.iter().map(ToString::to_string).collect(),
        state: rule.alerting.as_ref().map(|alerting| alerting.state.map_or("unknown", AlertState::as_str)),
    }
}

/// Targets come in order of job.
fn jobs(targets: Vec<TargetStatus>) -> Vec<JobLines> {
    let mut jobs: Vec<JobLines> = Vec::new();
    for target in targets {
        // The address is shown beside the error. Its query may hold a token, so the page does without, as the log does.
        let prefix = format!("Get {:?}: ", target.scrape_url);
        let error = target.last.error.strip_prefix(&prefix).unwrap_or(&target.last.error);
        let line = TargetLine {
            error: Some(error.to_owned()).filter(|error| !error.is_empty()),
            url: target.scrape_url.split('?').next().unwrap_or_default().to_owned(),
            labels: target.labels,
            health: target.last.health.as_str(),
            last_scrape: target.last.at,
            took: target.last.duration,
        };
        match jobs.last_mut().filter(|job| job.job == target.scrape_pool) {
            Some(job) => job.targets.push(line),
            None => jobs.push(JobLines { job: target.scrape_pool, targets: vec![line] }),
        }
    }
    jobs
}

/// Alertmanagers by address, receivers by name; no secret is among them.
fn destinations(parts: &Parts) -> Vec<String> {
    let alertmanagers = parts.notifier.alertmanagers().active;
    let receivers = parts.router.read(|router| {
        let receivers = router.config().receivers.iter().filter(|receiver| !receiver.integrations.is_empty());
        receivers.map(|receiver| format!("receiver {}", receiver.name)).collect::<Vec<_>>()
    });
    alertmanagers.into_iter().chain(receivers).collect()
}
