//! Queues to external Alertmanagers.
//!
//! In the flow: the driver hands the alerts of an evaluation to [`Notifier::send`], which never waits; each Alertmanager has a
//! queue and a task of its own, which POSTs batches to `<prefix>/api/v2/alerts`.
//!
//! ```text
//! send ─► external labels ─► alert_relabel_configs ─┬─► per-Alertmanager alert_relabel_configs ─► queue of URL 1 ─► task ─► POST
//!                                                   └─► …                                      ─► queue of URL 2 ─► task ─► POST
//! ```
//!
//! **Invariants.** A slow or dead Alertmanager delays no other one. What is queued is the newest state of each episode of an alert
//! (equal labels and `startsAt`); a later episode never overtakes an earlier one's end. A reload keeps the queues of Alertmanagers
//! that stay. Whatever is lost is counted in `prometheus_notifications_dropped_total`.
//! **Limits.** [`QUEUE_CAPACITY`] alerts per URL, the oldest goes first; [`BATCH_SIZE_MAX`] alerts per request.
//! **Source.** Prometheus v3.5 `notifier/`, with the queue per Alertmanager of v3.10.
//! **Differs:** a failed batch is tried again with growing pauses until its alerts have ended or a newer state took their
//! place, and not before a `Retry-After` allows it (five minutes at most); Prometheus drops it. Only answers that blame the content (400, 413, 415, 422) are final. A resolved alert is tried for
//! one hour, so that an Alertmanager that was away hears of the end.
//! **Differs:** `scheme` other than http and https is refused, and so is a timeout of zero.

mod config;
mod queue;
mod sender;
mod set;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub use config::{AlertingConfig, AlertmanagerConfig};
pub use queue::QueueLimits;
pub use sender::Observer;

use crate::discovery::DiscoveryMetrics;
use crate::exposition::{Family, FamilyKind};
use crate::http::HttpError;
use crate::model::{Alert, Labels};
use crate::relabel::{self, RelabelConfig};
use sender::Traffic;
use set::AlertmanagerSet;

/// Alerts that wait for one Alertmanager; Prometheus's default of `--alertmanager.notification-queue-capacity`.
pub const QUEUE_CAPACITY: usize = 10_000;
/// Alerts in one request; Prometheus's default of `--alertmanager.notification-batch-size`.
pub const BATCH_SIZE_MAX: usize = 256;

/// Hands alerts to the Alertmanagers of the configuration.
#[derive(Debug)]
pub struct Notifier {
    user_agent: String,
    limits: QueueLimits,
    discovery_metrics: Arc<DiscoveryMetrics>,
    traffic: Arc<Traffic>,
    applying: Mutex<()>,
    work: RwLock<Work>,
}

/// What happens to an alert, in order.
#[derive(Debug, Default)]
struct Work {
    external_labels: Labels,
    relabel: Vec<RelabelConfig>,
    sets: Vec<Arc<AlertmanagerSet>>,
}

impl Notifier {
    /// A notifier without Alertmanagers; [`Notifier::apply`] gives it some.
    pub fn new(user_agent: &str, limits: QueueLimits, discovery_metrics: Arc<DiscoveryMetrics>) -> Self {
        Notifier {
            user_agent: user_agent.to_owned(),
            limits,
            discovery_metrics,
            traffic: Arc::default(),
            applying: Mutex::default(),
            work: RwLock::default(),
        }
    }

    /// Has `observer` told what Alertmanagers make of alerts; the first one stays.
    pub fn observe(&self, observer: Observer) {
        // A second one has nobody to replace.
        let _ = self.traffic.observer.set(observer);
    }

    /// Takes a new configuration, or leaves everything as it was if one of its clients cannot be made. Alertmanagers that stay
    /// keep their queues; those that go are sent what waits for them. Must be called inside a tokio runtime.
    pub fn apply(&self, config: AlertingConfig, external_labels: Labels) -> Result<(), HttpError> {
        let _one_at_a_time = self.applying.lock();
        let current = self.work.read().sets.clone();
        let mut next: Vec<Arc<AlertmanagerSet>> = Vec::with_capacity(config.alertmanagers.len());
        for config in config.alertmanagers {
            let is_free = |set: &Arc<AlertmanagerSet>| !next.iter().any(|kept| Arc::ptr_eq(kept, set));
            let stays = current.iter().find(|set| set.config == config && is_free(set)).cloned();
            next.push(match stays {
                Some(set) => set,
                None => AlertmanagerSet::new(config, &self.user_agent, self.limits, self.traffic.clone())?,
            });
        }
        next.iter().for_each(|set| set.start(&self.discovery_metrics));
        let gone = current.iter().filter(|set| !next.iter().any(|kept| Arc::ptr_eq(kept, set)));

        // What waits is handed over while nobody can queue: the heirs then have it before anything newer. No I/O in here.
        let mut work = self.work.write();
        for old in gone {
            let heirs = next.iter().filter(|set| !current.iter().any(|known| Arc::ptr_eq(known, set)));
            heirs.for_each(|heir| heir.inherit(old));
            old.retire();
        }
        *work = Work { external_labels, relabel: config.relabel, sets: next };
        Ok(())
    }

    /// Queues `alerts` for every Alertmanager and returns at once.
    pub fn send(&self, alerts: Vec<Alert>) {
        let work = self.work.read();
        let alerts: Vec<Arc<Alert>> =
            alerts.into_iter().filter_map(|alert| work.prepared(alert)).map(Arc::new).collect();
        if !alerts.is_empty() {
            work.sets.iter().for_each(|set| set.push(&alerts));
        }
    }

    /// The URLs of the Alertmanagers in use and of those that relabelling dropped, as `/api/v1/alertmanagers` shows them.
    pub fn alertmanagers(&self) -> Alertmanagers {
        let mut all = Alertmanagers::default();
        for set in &self.work.read().sets {
            let (active, dropped) = set.urls();
            all.active.extend(active);
            all.dropped.extend(dropped);
        }
        all
    }

    /// Stops taking alerts and sends what is queued for at most `timeout`, all Alertmanagers at once.
    pub async fn shutdown(&self, timeout: Duration) {
        let sets = std::mem::take(&mut self.work.write().sets);
        let drains = sets.iter().map(|set| set.drain(timeout));
        futures_util::future::join_all(drains).await;
    }

    /// Adds the families `prometheus_notifications_*`.
    pub fn collect(&self, families: &mut Vec<Family>) {
        families.push(Family::single(
            "prometheus_notifications_alertmanagers_discovered",
            "The number of alertmanagers discovered and active.",
            FamilyKind::Gauge,
            self.alertmanagers().active.len() as f64,
        ));
        self.traffic.collect(self.limits.capacity, families);
    }
}

/// URLs of Alertmanagers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Alertmanagers {
    /// Alerts go there.
    pub active: Vec<String>,
    /// Discovered, then dropped by `relabel_configs`.
    pub dropped: Vec<String>,
}

impl Work {
    fn prepared(&self, mut alert: Alert) -> Option<Alert> {
        if self.external_labels.iter().any(|label| alert.labels.get(&label.name).is_none()) {
            let mut builder = alert.labels.to_builder();
            for label in &self.external_labels {
                if builder.get(&label.name).is_empty() {
                    builder.set(label.name.clone(), label.value.clone());
                }
            }
            alert.labels = builder.build();
        }
        relabelled(&alert.labels, &self.relabel).map(|labels| Alert { labels, ..alert })
    }
}

/// An alert whose labels were all taken away cannot be told from another: it is dropped, too.
fn relabelled(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    relabel::process(labels, rules).filter(|labels| !labels.is_empty())
}
