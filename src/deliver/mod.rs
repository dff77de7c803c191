//! Queues to the receivers of the embedded router.
//!
//! In the flow: the driver hands in each [`Notification`] of the router with [`Delivery::send`], which never waits, and feeds the
//! [`Event`]s that come back (delivered, or given up and why) to the router.
//!
//! ```text
//! router ─► send ─► queue of receiver/webhook[0] ─► worker ─► POST ─► Delivered │ Failed ─► router
//!                ─► queue of receiver/webhook[1] ─► worker ─► …
//! ```
//!
//! **Invariants.** Every notification is reported back exactly once. A slow or dead receiver delays neither the driver nor another
//! receiver; one failing group does not delay the other groups of its receiver. The messages of one group go out one after another,
//! and a newer one takes the place of an older one that still waits. A reload changes addresses and credentials under the queues,
//! which stay.
//! **Limits.** [`QUEUE_CAPACITY`] groups wait per integration, [`PARALLEL_MAX`] messages are on their way; an attempt ends at the
//! notification's deadline at the latest.
//! Files with secrets are read at each attempt.
//! **Source.** Alertmanager 0.33 `notify/notify.go` (`RetryStage`), `notify/util.go` (`Retrier`), `notify/webhook`, `notify/slack`,
//! `notify/pagerduty`, `notify/email`.
//! **Differs:** 429 is tried again, and `Retry-After` (also of 503) pauses the integration; Alertmanager gives up on 429 for
//! webhooks and Slack. A mail server's permanent refusal (5xx) is final; Alertmanager tries again until the deadline. A notification whose next attempt would come after its deadline is given up at once, not at the deadline.
//! **Differs:** the metrics carry `receiver_name` always, and `alertmanager_notification_latency_seconds` is a summary.

mod attempt;
mod config;
mod metrics;
mod queue;
mod slack;
mod smtp;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub use config::{DeliverConfig, Integration, IntegrationKey, Transport};
pub use queue::QUEUE_CAPACITY;
pub use smtp::{Security, SmtpConfig};
pub use worker::PARALLEL_MAX;

use crate::exposition::Family;
use crate::http::{Client, HttpError};
use crate::router::{Event, Notification};
use metrics::Traffic;
use worker::{Channel, Endpoint, Worker};

/// Sends the router's notifications.
#[derive(Debug)]
pub struct Delivery {
    user_agent: String,
    traffic: Arc<Traffic>,
    // Unbounded, but never longer than the notifications that the router has under way.
    events: UnboundedSender<Event>,
    /// Reloads read files; meanwhile notifications must get through.
    applying: Mutex<()>,
    workers: Mutex<BTreeMap<IntegrationKey, Worker>>,
}

impl Delivery {
    /// A delivery without receivers, and the stream of what became of notifications. [`Delivery::apply`] gives it receivers.
    pub fn new(user_agent: &str) -> (Self, UnboundedReceiver<Event>) {
        let (events, reports) = unbounded_channel();
        let delivery = Delivery {
            user_agent: user_agent.to_owned(),
            traffic: Arc::default(),
            events,
            applying: Mutex::default(),
            workers: Mutex::default(),
        };
        (delivery, reports)
    }

    /// Takes a new configuration, or leaves everything as it was if one of its clients cannot be made. Integrations that stay
    /// keep their queues; what waits for those that go is given up. Must be called inside a tokio runtime.
    pub fn apply(&self, config: DeliverConfig) -> Result<(), HttpError> {
        let _one_at_a_time = self.applying.lock();
        let mut endpoints = Vec::with_capacity(config.integrations.len());
        for integration in config.integrations {
            let known = self.workers.lock().get(&integration.key).map(Worker::endpoint);
            let channel = match known.filter(|endpoint| endpoint.transport == integration.transport) {
                Some(endpoint) => endpoint.channel.clone(),
                None => self.open(&integration.transport)?,
            };
            let endpoint = Endpoint { channel, transport: integration.transport, timeout: integration.timeout };
            endpoints.push((integration.key, endpoint));
        }
        let mut workers = self.workers.lock();
        let mut old = std::mem::take(&mut *workers);
        for (key, endpoint) in endpoints {
            let worker = match old.remove(&key) {
                Some(worker) => {
                    worker.set_endpoint(endpoint);
                    worker
                }
                None => Worker::start(key.clone(), endpoint, self.traffic.of(&key), self.events.clone()),
            };
            workers.insert(key, worker);
        }
        for (_, worker) in old {
            worker.close();
        }
        Ok(())
    }

    fn open(&self, transport: &Transport) -> Result<Channel, HttpError> {
        Ok(match transport {
            Transport::Http(config) => Channel::Http(Arc::new(Client::new((**config).clone(), &self.user_agent)?)),
            Transport::Smtp(config) => {
                // Connections are made anew for each message; here only to report unusable certificates at once.
                smtp::tls_parameters(config)?;
                Channel::Smtp(Arc::new((**config).clone()))
            }
        })
    }

    /// Queues a notification and returns at once.
    pub fn send(&self, notification: Notification) {
        let key = IntegrationKey::of(&notification);
        let workers = self.workers.lock();
        match workers.get(&key) {
            Some(worker) => worker.push(notification),
            None => {
                let reason = format!("{key}: the receiver is not configured");
                self.events.send(Event::Failed(notification.id, reason)).ok();
            }
        }
    }

    /// Sends what waits for at most `timeout`, all receivers at once; then gives up what is left.
    pub async fn shutdown(&self, timeout: Duration) {
        let workers = std::mem::take(&mut *self.workers.lock());
        futures_util::future::join_all(workers.into_values().map(|worker| worker.drain(timeout))).await;
    }

    /// Adds the families `alertmanager_notification*` and our own.
    pub fn collect(&self, families: &mut Vec<Family>) {
        self.traffic.collect(families);
    }
}
