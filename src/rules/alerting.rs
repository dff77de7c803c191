//! The life of an alert: inactive, pending, firing, kept firing, resolved.
//!
//! In the flow: each slot, the elements of the rule's result become alerts or keep them alive; those that vanished end. The
//! outcome is the series `ALERTS` and `ALERTS_FOR_STATE`, and the alerts that are due to be sent.
//!
//! **Invariants.** Two live alerts never have the same labels. Nothing is sent while pending. An alert that fired and ended is
//! remembered for [`super::RESOLVED_RETENTION`], so that its end is told more than once.
//! **Source.** Prometheus 3.14 `rules/alerting.go`.
//! **Differs:** `ALERTS` is written from the first evaluation (Prometheus waits for its restore of `for`). A label whose template
//! renders empty is absent from `ALERTS` too (Prometheus writes the unrendered text). An empty annotation is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{ALERT_NAME, Alert, Labels, METRIC_NAME, Timestamp, Value};
use crate::template::{Host, Query, alert_data};

use super::{Entry, Environment, RuleConfig, sending};

/// Where an alert stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AlertState {
    /// It fired and ended.
    Inactive,
    /// Its condition holds, but not yet for `for`.
    Pending,
    /// It fires.
    Firing,
}

impl AlertState {
    /// As the API and the label `alertstate` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert of a rule.
#[derive(Clone, Debug)]
pub(super) struct ActiveAlert {
    pub(super) state: AlertState,
    pub(super) annotations: Labels,
    /// Of the last evaluation in which the condition held.
    pub(super) value: Value,
    pub(super) active_at: Timestamp,
    fired_at: Timestamp,
    resolved_at: Option<Timestamp>,
    last_sent_at: Option<Timestamp>,
    /// Set while the condition does not hold but `keep_firing_for` does.
    pub(super) keep_firing_since: Option<Timestamp>,
}

impl ActiveAlert {
    fn new(now: Timestamp, value: Value, annotations: Labels) -> Self {
        ActiveAlert {
            state: AlertState::Pending,
            annotations,
            value,
            active_at: now,
            fired_at: now,
            resolved_at: None,
            last_sent_at: None,
            keep_firing_since: None,
        }
    }

    fn is_due(&self, now: Timestamp, resend_delay: Duration) -> bool {
        self.state != AlertState::Pending && sending::is_due(self.last_sent_at, self.resolved_at, now, resend_delay)
    }
}

/// The alerts of a rule by their labels.
pub(super) type Alerts = BTreeMap<Labels, ActiveAlert>;

/// What is the same for all elements of an evaluation.
pub(super) struct Moment<'a> {
    pub(super) now: Timestamp,
    pub(super) environment: &'a Environment,
    pub(super) query: &'a Query<'a>,
}

/// Steps the alerts of a rule to `moment.now` with the result of its expression, and returns the series to write.
///
/// # Errors
/// Two elements with the same labels leave the alerts as they were; more alerts than `limit` remove all of them.
pub(super) fn step(
    config: &RuleConfig,
    alerts: &mut Alerts,
    elements: Vec<(Labels, Value)>,
    limit: u64,
    moment: &Moment<'_>,
) -> Result<BTreeMap<Labels, Value>, String> {
    let present = activate(config, alerts, elements, moment)?;
    let now = moment.now;
    alerts.retain(|labels, alert| {
        if present.contains(labels) {
            alert.keep_firing_since = None;
        } else {
            leave(config, alert, now);
        }
        alert.state != AlertState::Inactive || alert.resolved_at.is_some_and(|at| sending::is_remembered(at, now))
    });
    let mut series = BTreeMap::new();
    let mut count = 0;
    for (labels, alert) in alerts.iter_mut().filter(|(_, alert)| alert.state != AlertState::Inactive) {
        let held = now.since(alert.active_at) >= config.hold_duration;
        if alert.state == AlertState::Pending && held {
            alert.state = AlertState::Firing;
            alert.fired_at = now;
        } else if alert.state == AlertState::Firing && !held {
            // `for` became longer at a reload.
            alert.state = AlertState::Pending;
            alert.last_sent_at = None;
            alert.keep_firing_since = None;
        }
        count += 1;
        let active_secs = alert.active_at.as_ms().div_euclid(1000) as f64;
        series.insert(alerts_series(labels, "ALERTS", Some(alert.state)), Value::Float(1.0));
        series.insert(alerts_series(labels, "ALERTS_FOR_STATE", None), Value::Float(active_secs));
    }
    if limit > 0 && count > limit {
        alerts.clear();
        return Err(format!("exceeded limit of {limit} with {count} alerts"));
    }
    Ok(series)
}

/// Makes or refreshes the alert of each element; returns the labels seen.
fn activate(
    config: &RuleConfig,
    alerts: &mut Alerts,
    elements: Vec<(Labels, Value)>,
    moment: &Moment<'_>,
) -> Result<BTreeSet<Labels>, String> {
    let mut seen = BTreeMap::new();
    for (labels, value) in elements {
        let mut builder = labels.without_metric_name().to_builder();
        for entry in &config.labels {
            builder.set(entry.name.clone(), expand(config, entry, (&labels, &value), moment));
        }
        builder.set(ALERT_NAME, config.name.clone());
        let annotations = config
            .annotations
            .iter()
            .map(|entry| (entry.name.clone(), expand(config, entry, (&labels, &value), moment)));
        let annotations = Labels::from_pairs(annotations.collect::<Vec<_>>());
        if seen.insert(builder.build(), (value, annotations)).is_some() {
            return Err("vector contains metrics with the same labelset after applying alert labels".to_owned());
        }
    }
    let present = seen.keys().cloned().collect();
    for (labels, (value, annotations)) in seen {
        match alerts.get_mut(&labels) {
            Some(alert) if alert.state != AlertState::Inactive => {
                alert.value = value;
                alert.annotations = annotations;
            }
            // One that ended and returns is a new alert.
            _ => {
                alerts.insert(labels, ActiveAlert::new(moment.now, value, annotations));
            }
        }
    }
    Ok(present)
}

/// The condition of `alert` does not hold now.
fn leave(config: &RuleConfig, alert: &mut ActiveAlert, now: Timestamp) {
    match alert.state {
        AlertState::Inactive => {}
        // Never told to anybody, so forgotten at once.
        AlertState::Pending => alert.state = AlertState::Inactive,
        AlertState::Firing => {
            if !config.keep_firing_for.is_zero() {
                let since = *alert.keep_firing_since.get_or_insert(now);
                if now.since(since) < config.keep_firing_for {
                    return;
                }
            }
            alert.state = AlertState::Inactive;
            alert.resolved_at = Some(now);
        }
    }
}

/// Renders a label or annotation of the element; a failure becomes the text, as in Prometheus.
fn expand(config: &RuleConfig, entry: &Entry, (labels, value): (&Labels, &Value), moment: &Moment<'_>) -> String {
    let Some(template) = &entry.template else { return entry.value.to_string() };
    let environment = moment.environment;
    let data = alert_data(labels, &environment.external_labels, &environment.external_url, value);
    let host = Host { query: moment.query, now: moment.now, external_url: &environment.external_url };
    template.render(data, &host).unwrap_or_else(|error| {
        let name = format!("__alert_{}", config.name);
        format!("<error expanding template: error executing template {name}: {error}>")
    })
}

fn alerts_series(labels: &Labels, name: &'static str, state: Option<AlertState>) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, name);
    if let Some(state) = state {
        builder.set("alertstate", state.as_str());
    }
    builder.build()
}

/// The alerts that are due, marked as sent. `validity` is the longer of interval and resend delay.
pub(super) fn take_due(
    alerts: &mut Alerts,
    moment: &Moment<'_>,
    validity: Duration,
    generator_url: &str,
) -> Vec<Alert> {
    let mut due = Vec::new();
    for (labels, alert) in alerts.iter_mut() {
        if !alert.is_due(moment.now, moment.environment.resend_delay) {
            continue;
        }
        alert.last_sent_at = Some(moment.now);
        due.push(Alert {
            labels: labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.fired_at,
            ends_at: alert.resolved_at.unwrap_or(sending::valid_until(moment.now, validity)),
            generator_url: generator_url.to_owned(),
        });
    }
    due
}
