//! Incidents: scripted samples in, "who is told what, and when" out, under a virtual clock.
//!
//! In the flow: `almenara test e2e` loads a configuration with its rules, SLOs and router, and an incident file; [`run`] steps
//! store, evaluators and router through it exactly as the daemon does and returns everything that receivers were told.
//! An hour takes milliseconds, since nothing waits.
//!
//! At one instant samples are committed first, then groups are evaluated in order of file and name, then the router is
//! stepped: an evaluation follows the scrape that feeds it. Deliveries take no time; a receiver may be scripted as down.
//!
//! ```yaml
//! config: almenara.yml           # beside this file
//! start: 2026-03-02T09:00:00Z
//! step: 15s                      # distance of the values below
//! until: 40m
//! series:
//!   - series: up{job="postgres", instance="db:9187"}
//!     values: 1x19 0x20 1x200
//! outages:                       # receivers that refuse, if any
//!   - {receiver: slack, from: 5m, until: 7m}
//! expect:                        # everything that is told, in order
//!   - at: 6m
//!     to: pagerduty
//!     firing: ['DatabaseDown{instance="db:9187",job="postgres",severity="critical"}']
//! ```

mod decode;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ALERT_NAME, Alert, Labels, Timestamp, Value};
use crate::promql::plan::Engine;
use crate::router::{Event, Notification, Router};
use crate::rules::{Environment, EvalContext, Evaluator, Outcome, slots};
use crate::source::format_duration;
use crate::store::{Row, Store};

pub use decode::Scenario;

/// A scripted incident.
#[derive(Clone, Debug)]
pub struct Incident {
    /// The first instant.
    pub start: Timestamp,
    /// How long it lasts.
    pub until: Duration,
    /// The samples, each series in order of time.
    pub samples: Vec<(Labels, Vec<(Timestamp, Value)>)>,
    /// When which receiver refuses.
    pub outages: Vec<Outage>,
    /// What must be told.
    pub expected: Vec<Told>,
}

/// A time in which a receiver refuses everything.
#[derive(Clone, Debug)]
pub struct Outage {
    /// Its name.
    pub receiver: String,
    /// Since the start, inclusive.
    pub from: Duration,
    /// Since the start, exclusive.
    pub until: Duration,
}

/// One message that a receiver got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Since the start.
    pub at: Duration,
    /// The receiver.
    pub to: String,
    /// `name{labels}` of the alerts that fire, sorted.
    pub firing: Vec<String>,
    /// Of those that ended, sorted.
    pub resolved: Vec<String>,
}

/// In the form of an incident file, so that what was told can be pasted as what is expected.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  - at: {}\n    to: {}", format_duration(self.at), self.to)?;
        for (key, alerts) in [("firing", &self.firing), ("resolved", &self.resolved)] {
            if !alerts.is_empty() {
                write!(f, "\n    {key}:")?;
            }
            for alert in alerts {
                write!(f, "\n      - '{}'", alert.replace('\'', "''"))?;
            }
        }
        Ok(())
    }
}

/// The parts that an incident is played to, as a configuration makes them.
pub struct Parts {
    /// Rule groups and SLO groups, in the order they are evaluated at one instant.
    pub evaluators: Vec<Box<dyn Evaluator>>,
    /// The routing tree.
    pub router: Router,
    /// Look-back, resend delay, external labels.
    pub environment: Environment,
    /// Where samples go; empty.
    pub store: Arc<Store>,
}

/// Plays the incident and returns what was told, in order.
pub fn run(incident: &Incident, parts: &mut Parts) -> Vec<Told> {
    let end = incident.start + incident.until;
    let mut rows = scripted_rows(incident, &parts.store);
    let mut next_slots: Vec<Timestamp> =
        parts.evaluators.iter().map(|evaluator| slots::at_or_after(incident.start, evaluator.interval())).collect();
    let mut told = Vec::new();
    let engine = Engine::new(parts.store.clone());
    loop {
        let samples_at = rows.first_key_value().map(|(at, _)| *at);
        let slot_at = next_slots.iter().min().copied();
        let router_at = parts.router.next_wakeup();
        let Some(now) = [samples_at, slot_at, router_at].into_iter().flatten().min().filter(|now| *now <= end) else {
            return told;
        };
        if let Some(rows) = rows.remove(&now) {
            parts.store.commit(&rows);
        }
        let mut alerts = Vec::new();
        for (evaluator, next) in parts.evaluators.iter_mut().zip(&mut next_slots) {
            if *next == now {
                let context =
                    EvalContext { querier: &*parts.store, engine: Some(&engine), environment: &parts.environment };
                let outcome = evaluator.eval(now, &context);
                alerts.extend(commit(&parts.store, outcome));
                *next = now + evaluator.interval();
            }
        }
        let alerts: Vec<Alert> =
            alerts.into_iter().map(|alert| alert.with_external_labels(&parts.environment.external_labels)).collect();
        let events = if alerts.is_empty() { Vec::new() } else { vec![Event::Alerts(alerts)] };
        let notifications = parts.router.step(now, events);
        let answers = notifications.iter().map(|notification| answer(incident, notification, &mut told)).collect();
        let more = parts.router.step(now, answers);
        debug_assert!(more.is_empty(), "BUG: an answer alone made the router send");
    }
}

/// All scripted samples by instant.
fn scripted_rows(incident: &Incident, store: &Store) -> BTreeMap<Timestamp, Vec<Row>> {
    let mut rows: BTreeMap<Timestamp, Vec<Row>> = BTreeMap::new();
    for (labels, samples) in &incident.samples {
        let series = store.series_ref(labels);
        for (at, value) in samples {
            rows.entry(*at).or_default().push(Row::new(series, *at, value.clone()));
        }
    }
    rows
}

fn commit(store: &Store, outcome: Outcome) -> Vec<Alert> {
    let rows: Vec<Row> = outcome
        .recorded
        .into_iter()
        .map(|recorded| {
            Row::new(recorded.series.unwrap_or_else(|| store.series_ref(&recorded.labels)), recorded.at, recorded.value)
        })
        .collect();
    store.commit(&rows);
    outcome.alerts
}

/// Writes down what the receiver heard, or refuses for it.
fn answer(incident: &Incident, notification: &Notification, told: &mut Vec<Told>) -> Event {
    let at = notification.at.since(incident.start);
    let is_down = incident
        .outages
        .iter()
        .any(|outage| outage.receiver == notification.receiver && outage.from <= at && at < outage.until);
    if is_down {
        return Event::Failed(notification.id, "the receiver is down".to_owned());
    }
    let texts = |resolved: bool| {
        let mut texts: Vec<String> = notification
            .alerts
            .iter()
            .filter(|alert| alert.is_resolved_at(notification.at) == resolved)
            .map(|alert| text_of(&alert.labels))
            .collect();
        texts.sort();
        texts
    };
    told.push(Told { at, to: notification.receiver.clone(), firing: texts(false), resolved: texts(true) });
    Event::Delivered(notification.id)
}

/// `name{labels}`, the labels without the name.
fn text_of(labels: &Labels) -> String {
    let name = labels.get(ALERT_NAME).unwrap_or_default();
    format!("{name}{}", labels.filtered(|label| &*label.name != ALERT_NAME))
}
