//! The life of an alert: inactive, pending, firing, kept firing, resolved.
//!
//! In the flow: each slot, the elements of the rule's result become [`Candidate`]s, which begin alerts or keep them alive; of those that
//! are absent the caller says whether they end ([`Absence`]). The outcome is the series `ALERTS` and `ALERTS_FOR_STATE`, the alerts that
//! are due to be sent, and what changed.
//!
//! **Invariants.** Two live alerts never have the same labels. Nothing is sent while pending. An alert that fired and ended is
//! remembered for [`super::RESOLVED_RETENTION`], so that its end is told more than once.
//! **Source.** Prometheus 3.14 `rules/alerting.go`.
//! **Differs:** `ALERTS` is written from the first evaluation (Prometheus waits for its restore of `for`). A label whose template
//! renders empty is absent from `ALERTS` too (Prometheus writes the unrendered text). An empty annotation is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{ALERT_NAME, Alert, Labels, METRIC_NAME, Timestamp, Value};
use crate::template::Query;

use super::expansion::{Expansions, expand};
use super::transition::{Change, Held, Transition};
use super::{Environment, RuleConfig, sending};

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
#[derive(Clone, PartialEq, Debug)]
pub(super) struct ActiveAlert {
    pub(super) state: AlertState,
    /// The labels of the result's element, without the metric name.
    pub(super) element: Labels,
    pub(super) annotations: Labels,
    /// Of the last evaluation in which the condition held.
    pub(super) value: Value,
    pub(super) active_at: Timestamp,
    pub(super) fired_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) last_sent_at: Option<Timestamp>,
    /// Set while the condition does not hold but `keep_firing_for` does.
    pub(super) keep_firing_since: Option<Timestamp>,
    /// Why it lives although the last result did not have it, besides `keep_firing_for`.
    pub(super) held: Option<Held>,
    /// It is from before a pause, and the result has not had it since.
    pub(super) is_unconfirmed: bool,
}

impl ActiveAlert {
    fn new(now: Timestamp, candidate: Candidate) -> Self {
        ActiveAlert {
            state: AlertState::Pending,
            element: candidate.element,
            annotations: candidate.annotations,
            value: candidate.value,
            active_at: now,
            fired_at: now,
            resolved_at: None,
            last_sent_at: None,
            keep_firing_since: None,
            held: None,
            is_unconfirmed: false,
        }
    }

    fn is_due(&self, now: Timestamp, resend_delay: Duration) -> bool {
        self.state != AlertState::Pending && sending::is_due(self.last_sent_at, self.resolved_at, now, resend_delay)
    }

    /// Whether it was raised without a result: see [`super::policy`].
    pub(super) fn stands_for_nothing(&self) -> bool {
        self.element.is_empty() && self.value.as_float().is_some_and(f64::is_nan)
    }

    /// As it is sent: it fires until `valid_until`, unless it has ended.
    pub(super) fn as_sent(&self, labels: &Labels, valid_until: Timestamp, generator_url: &str) -> Alert {
        Alert {
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: self.fired_at,
            ends_at: self.resolved_at.unwrap_or(valid_until),
            generator_url: generator_url.to_owned(),
        }
    }
}

/// The alerts of a rule by their labels.
pub(super) type Alerts = BTreeMap<Labels, ActiveAlert>;

/// What is the same for all elements of an evaluation.
pub(super) struct Moment<'a> {
    pub(super) now: Timestamp,
    pub(super) environment: &'a Environment,
    pub(super) query: &'a Query<'a>,
    /// What becomes of templates is noted there.
    pub(super) expansions: &'a Expansions,
}

/// An element of the result as the alert that it means.
pub(super) struct Candidate {
    pub(super) element: Labels,
    pub(super) value: Value,
    pub(super) annotations: Labels,
}

/// How long conditions must hold, and how long alerts outlive them.
#[derive(Clone, Copy, Default)]
pub(super) struct Terms {
    pub(super) hold_duration: Duration,
    pub(super) keep_firing_for: Duration,
}

impl RuleConfig {
    pub(super) fn terms(&self) -> Terms {
        Terms { hold_duration: self.hold_duration, keep_firing_for: self.keep_firing_for }
    }
}

/// What it means that an alert is absent from the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absence {
    /// Its condition does not hold any more.
    Ends,
    /// Nobody knows: it stays where it is.
    Stays(Held),
    /// Its condition is taken to hold.
    Holds(Held),
}

/// What a step did.
#[derive(Default)]
pub(super) struct Stepped {
    pub(super) transitions: Vec<Transition>,
    /// Whether anything changed that must survive a restart.
    pub(super) is_changed: bool,
}

/// The candidates of the elements of a result.
///
/// # Errors
/// Two elements with the same labels.
pub(super) fn candidates(
    config: &RuleConfig,
    elements: Vec<(Labels, Value)>,
    moment: &Moment<'_>,
) -> Result<BTreeMap<Labels, Candidate>, String> {
    let mut candidates = BTreeMap::new();
    for (labels, value) in elements {
        let element = labels.without_metric_name();
        let mut builder = element.to_builder();
        for entry in &config.labels {
            builder.set(entry.name.clone(), expand(config, entry, (&labels, &value), moment));
        }
        builder.set(ALERT_NAME, config.name.clone());
        let annotations = config
            .annotations
            .iter()
            .map(|entry| (entry.name.clone(), expand(config, entry, (&labels, &value), moment)));
        let annotations = Labels::from_pairs(annotations.collect::<Vec<_>>());
        if candidates.insert(builder.build(), Candidate { element, value, annotations }).is_some() {
            return Err("vector contains metrics with the same labelset after applying alert labels".to_owned());
        }
    }
    Ok(candidates)
}

/// Steps the alerts of a rule to `now`; `absence` is asked about each live one that has no candidate.
pub(super) fn step(
    terms: Terms,
    alerts: &mut Alerts,
    mut candidates: BTreeMap<Labels, Candidate>,
    absence: &dyn Fn(&ActiveAlert) -> Absence,
    now: Timestamp,
) -> Stepped {
    let mut stepped = Stepped::default();
    let count_before = alerts.len();
    alerts.retain(|labels, alert| {
        let before = (alert.state, alert.held, alert.keep_firing_since);
        match candidates.remove(labels) {
            Some(candidate) if alert.state != AlertState::Inactive => {
                (alert.element, alert.value, alert.annotations) =
                    (candidate.element, candidate.value, candidate.annotations);
                (alert.keep_firing_since, alert.held, alert.is_unconfirmed) = (None, None, false);
            }
            // One that ended and returns is a new alert.
            Some(candidate) => *alert = ActiveAlert::new(now, candidate),
            None if alert.state == AlertState::Inactive => {}
            None => match absence(alert) {
                Absence::Stays(held) | Absence::Holds(held) => alert.held = Some(held),
                Absence::Ends => leave(terms.keep_firing_for, alert, now),
            },
        }
        advance(terms.hold_duration, alert, now);
        let after = (alert.state, alert.held, alert.keep_firing_since);
        stepped.is_changed |= before != after;
        stepped.note(labels, alert, before);
        alert.state != AlertState::Inactive || alert.resolved_at.is_some_and(|at| sending::is_remembered(at, now))
    });
    stepped.is_changed |= alerts.len() != count_before || !candidates.is_empty();
    for (labels, candidate) in candidates {
        let mut alert = ActiveAlert::new(now, candidate);
        advance(terms.hold_duration, &mut alert, now);
        stepped.note(&labels, &alert, (AlertState::Inactive, None, None));
        alerts.insert(labels, alert);
    }
    stepped
}

impl Stepped {
    fn note(
        &mut self,
        labels: &Labels,
        alert: &ActiveAlert,
        (state, held, kept): (AlertState, Option<Held>, Option<Timestamp>),
    ) {
        let change = match (state, alert.state) {
            (AlertState::Pending, AlertState::Inactive) => Change::Ended,
            (AlertState::Firing, AlertState::Inactive) => Change::Resolved,
            (_, AlertState::Inactive) => return,
            (AlertState::Firing, AlertState::Pending) => Change::Demoted,
            (AlertState::Inactive, AlertState::Pending) => Change::Pending,
            (AlertState::Inactive | AlertState::Pending, AlertState::Firing) => Change::Firing,
            _ if alert.held != held => match alert.held {
                Some(held) => Change::Held(held),
                None => return,
            },
            _ if kept.is_none() && alert.keep_firing_since.is_some() => Change::Kept,
            _ => return,
        };
        self.transitions.push(Transition::new(labels, alert, change));
    }
}

/// From pending to firing once its time has come; what stays because nobody knows does not move on.
fn advance(hold_duration: Duration, alert: &mut ActiveAlert, now: Timestamp) {
    let held = now.since(alert.active_at) >= hold_duration;
    if alert.state == AlertState::Pending && held && alert.held.is_none_or(Held::counts_as_present) {
        alert.state = AlertState::Firing;
        alert.fired_at = now;
    } else if alert.state == AlertState::Firing && !held {
        // `for` became longer at a reload.
        alert.state = AlertState::Pending;
        alert.last_sent_at = None;
        alert.keep_firing_since = None;
    }
}

/// The condition of `alert` does not hold now.
fn leave(keep_firing_for: Duration, alert: &mut ActiveAlert, now: Timestamp) {
    alert.held = None;
    match alert.state {
        AlertState::Inactive => {}
        // Never told to anybody, so forgotten at once.
        AlertState::Pending => alert.state = AlertState::Inactive,
        AlertState::Firing => {
            if !keep_firing_for.is_zero() {
                let since = *alert.keep_firing_since.get_or_insert(now);
                if now.since(since) < keep_firing_for {
                    return;
                }
            }
            alert.state = AlertState::Inactive;
            alert.resolved_at = Some(now);
        }
    }
}

/// The live alerts.
pub(super) fn live(alerts: &Alerts) -> impl Iterator<Item = (&Labels, &ActiveAlert)> {
    alerts.iter().filter(|(_, alert)| alert.state != AlertState::Inactive)
}

/// The series of the live alerts.
pub(super) fn series(alerts: &Alerts) -> impl Iterator<Item = (Labels, Value)> {
    live(alerts).flat_map(|(labels, alert)| {
        let active_secs = alert.active_at.as_ms().div_euclid(1000) as f64;
        [
            (alerts_series(labels, "ALERTS", Some(alert.state)), Value::Float(1.0)),
            (alerts_series(labels, "ALERTS_FOR_STATE", None), Value::Float(active_secs)),
        ]
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
    let valid_until = sending::valid_until(moment.now, validity);
    for (labels, alert) in alerts.iter_mut() {
        if alert.is_due(moment.now, moment.environment.resend_delay) {
            alert.last_sent_at = Some(moment.now);
            due.push(alert.as_sent(labels, valid_until, generator_url));
        }
    }
    due
}
