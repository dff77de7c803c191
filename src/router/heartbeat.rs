//! Heartbeats: an alert that always fires, sent at a steady pace to a receiver that raises the alarm when it stops hearing it.
//!
//! In the flow: [`Router`] beats whenever a step finds one due, beside the groups and untouched by them.
//! **Invariants.** A heartbeat is due at once when it comes into force, then every interval, whatever groups, inhibition,
//! silences or failed deliveries do. One that was missed (the process slept) is sent once, not made up for.
//! **Limits.** Intervals of at least [`INTERVAL_MIN`].
//! **Differs:** heartbeats exist. With Alertmanager people let a `Watchdog` rule always fire and hope that group and repeat
//! intervals add up to what the other side expects; here the pace is a setting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::RouterConfig;
use super::group::FLUSH_TIMEOUT_MIN;
use super::message::Envelope;
use super::receiver::Receiver;
use super::{Notification, NotificationId, Router};
use crate::model::{ALERT_NAME, Alert, Labels, Timestamp, quote};
use crate::source::Span;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// Shorter ones would be a load and no information: what listens counts in minutes.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Stands where messages of groups say why they were sent.
const REASON: &str = "heartbeat";

/// One heartbeat as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// The alert's name; unique among heartbeats.
    pub name: String,
    /// Who hears it; exists and has an integration.
    pub receiver: String,
    /// From one to the next.
    pub interval: Duration,
    /// All labels of the alert, its name among them.
    pub labels: Labels,
    /// Text for people.
    pub annotations: Labels,
}

/// Reads the list under `heartbeats`.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node, receivers: &[Receiver]) -> Option<Vec<Heartbeat>> {
    let mut heartbeats: Vec<Heartbeat> = Vec::new();
    for (heartbeat, span) in decoder.list(node, |decoder, node| decode_one(decoder, node, receivers))? {
        if heartbeats.iter().any(|other| other.name == heartbeat.name) {
            decoder.error(span, format!("heartbeat name {:?} is not unique", heartbeat.name));
        } else {
            heartbeats.push(heartbeat);
        }
    }
    Some(heartbeats)
}

fn decode_one(decoder: &mut Decoder<'_>, node: &Node, receivers: &[Receiver]) -> Option<(Heartbeat, Span)> {
    let mut fields = decoder.fields(node, "heartbeat")?;
    let name = fields.required("name", |decoder, node| Some((decoder.non_empty_string(node)?, node.span)));
    let receiver = fields.required("receiver", |decoder, node| read_receiver(decoder, node, receivers));
    let interval = fields.required("interval", read_interval);
    let labels = read_texts(&mut fields, "labels");
    let annotations = read_texts(&mut fields, "annotations");
    fields.finish();
    let (name, span) = name?;
    let labels = labels.into_iter().chain([(ALERT_NAME.to_owned(), name.clone())]);
    let (labels, annotations) = (Labels::from_pairs(labels), Labels::from_pairs(annotations));
    Some((Heartbeat { name, receiver: receiver?, interval: interval?, labels, annotations }, span))
}

fn read_receiver(decoder: &mut Decoder<'_>, node: &Node, receivers: &[Receiver]) -> Option<String> {
    let name = decoder.non_empty_string(node)?;
    match receivers.iter().find(|receiver| receiver.name == name) {
        None => decoder.error(node.span, format!("undefined receiver {name:?} used in heartbeat")),
        Some(receiver) if receiver.integrations.is_empty() => {
            let message = format!("receiver {name:?} has nothing to send to, so that nobody would hear the heartbeat");
            decoder.error_with_help(
                node.span,
                message,
                "add webhook_configs or another list of integrations to the receiver",
            );
        }
        Some(_) => {}
    }
    Some(name)
}

fn read_interval(decoder: &mut Decoder<'_>, node: &Node) -> Option<Duration> {
    let interval = decoder.positive_duration(node)?;
    if interval < INTERVAL_MIN {
        decoder.error(node.span, "the interval of a heartbeat must be at least 1s");
    }
    Some(interval)
}

fn read_texts(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> Vec<(String, String)> {
    let texts = fields.optional(key, |decoder, node| decoder.map(node, Decoder::string)).unwrap_or_default();
    let mut pairs = Vec::new();
    for (name, span, value) in texts {
        if name.is_empty() {
            fields.decoder.error(span, format!("invalid name \"\" in {key}"));
        } else if key == "labels" && name == ALERT_NAME {
            fields.decoder.error(span, "alertname is the heartbeat's name; set name instead");
        } else {
            pairs.push((name, value));
        }
    }
    pairs
}

/// When a heartbeat beats.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    receiver: String,
    interval: Duration,
    /// Since when it is in force.
    started_at: Timestamp,
    last: Option<Timestamp>,
    next: Timestamp,
}

/// The pulses of all heartbeats, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulses(BTreeMap<String, Pulse>);

impl Pulses {
    /// Takes over the heartbeats of a configuration: those that stay keep their pace, a new one or one with another receiver is
    /// due at once, and of a new interval the time since the last beat counts.
    pub(super) fn adopt(&mut self, config: &RouterConfig, now: Timestamp) {
        let mut old = std::mem::take(&mut self.0);
        for heartbeat in &config.heartbeats {
            let kept = old.remove(&heartbeat.name).filter(|pulse| pulse.receiver == heartbeat.receiver);
            let mut pulse = kept.unwrap_or_else(|| Pulse {
                receiver: heartbeat.receiver.clone(),
                interval: heartbeat.interval,
                started_at: now,
                last: None,
                next: now,
            });
            if pulse.interval != heartbeat.interval {
                pulse.interval = heartbeat.interval;
                pulse.next = pulse.last.map_or(now, |last| (last + heartbeat.interval).max(now));
            }
            self.0.insert(heartbeat.name.clone(), pulse);
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|pulse| pulse.next).min()
    }

    /// Moves every instant `by` earlier.
    pub(super) fn shift_back(&mut self, by: Duration) {
        for pulse in self.0.values_mut() {
            pulse.started_at = pulse.started_at - by;
            pulse.last = pulse.last.map(|last| last - by);
            pulse.next = pulse.next - by;
        }
    }
}

impl Pulse {
    /// Whether it beats at `now`; then the next beat is an interval later, on the beat's own grid unless that was missed.
    fn beats(&mut self, now: Timestamp) -> bool {
        if self.next > now {
            return false;
        }
        self.last = Some(now);
        let on_the_grid = self.next + self.interval;
        self.next = if on_the_grid > now { on_the_grid } else { now + self.interval };
        true
    }
}

impl Router {
    /// The heartbeats that are due at `now`, in the order configured.
    pub(super) fn beat(&mut self, now: Timestamp) -> Vec<Notification> {
        let config = Arc::clone(&self.config);
        let mut notifications = Vec::new();
        for heartbeat in &config.heartbeats {
            let Some(pulse) = self.pulses.0.get_mut(&heartbeat.name) else { continue };
            if !pulse.beats(now) {
                continue;
            }
            let alert = Alert {
                labels: heartbeat.labels.clone(),
                annotations: heartbeat.annotations.clone(),
                starts_at: pulse.started_at,
                ends_at: now + heartbeat.interval,
                generator_url: String::new(),
            };
            notifications.extend(self.tell(heartbeat, &alert, now));
        }
        notifications
    }

    /// One message for each integration of the receiver.
    fn tell(&mut self, heartbeat: &Heartbeat, alert: &Alert, now: Timestamp) -> Vec<Notification> {
        let config = Arc::clone(&self.config);
        let integrations = config.receiver(&heartbeat.receiver).map_or(&[][..], |receiver| &receiver.integrations);
        let mut notifications = Vec::with_capacity(integrations.len());
        // No group's key begins like this, so that none of its messages stands in for a beat.
        let group_key = format!("heartbeat:{{{ALERT_NAME}={}}}", quote(&heartbeat.name));
        for integration in integrations {
            let id = NotificationId(self.next_id);
            self.next_id += 1;
            let envelope = Envelope {
                receiver: &heartbeat.receiver,
                reason: REASON,
                group_key: &group_key,
                group_labels: &alert.labels.filtered(|label| &*label.name == ALERT_NAME),
                external_url: &self.external_url,
                now,
            };
            notifications.push(Notification {
                id,
                receiver: heartbeat.receiver.clone(),
                integration: (integration.kind().as_str(), integration.index),
                group_key: group_key.clone(),
                reason: REASON,
                at: now,
                deadline: now + heartbeat.interval.max(FLUSH_TIMEOUT_MIN),
                message: integration.message(&envelope, std::slice::from_ref(alert)),
                alerts: vec![alert.clone()],
            });
        }
        notifications
    }
}
