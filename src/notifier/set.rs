//! The Alertmanagers of one configuration entry: discovered, relabelled, each with its sender.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::config::AlertmanagerConfig;
use super::queue::QueueLimits;
use super::relabelled;
use super::sender::{Sender, Traffic};
use crate::discovery::{self, ADDRESS, Discovery, DiscoveryMetrics, TargetGroup};
use crate::http::{Client, HttpError};
use crate::model::{Alert, Label, Labels};
use crate::relabel;

const SCHEME: &str = "__scheme__";
const ALERTS_PATH: &str = "__alerts_path__";
/// The API that alerts are posted to.
const API_PATH: &str = "api/v2/alerts";

/// One entry of `alertmanagers:` at work.
#[derive(Debug)]
pub(super) struct AlertmanagerSet {
    pub(super) config: AlertmanagerConfig,
    client: Arc<Client>,
    limits: QueueLimits,
    traffic: Arc<Traffic>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    discovery: Option<Discovery>,
    senders: BTreeMap<String, Arc<Sender>>,
    dropped: Vec<String>,
}

impl AlertmanagerSet {
    /// Makes the client; sends nowhere yet.
    pub(super) fn new(
        config: AlertmanagerConfig,
        user_agent: &str,
        limits: QueueLimits,
        traffic: Arc<Traffic>,
    ) -> Result<Arc<Self>, HttpError> {
        let client = Arc::new(Client::new(config.client.clone(), user_agent)?);
        Ok(Arc::new(AlertmanagerSet { config, client, limits, traffic, state: Mutex::default() }))
    }

    /// Begins to discover and to send, unless it did already.
    pub(super) fn start(self: &Arc<Self>, metrics: &Arc<DiscoveryMetrics>) {
        if self.state.lock().discovery.is_some() {
            return;
        }
        let discovery = discovery::watch(self.config.discovery.clone(), metrics.clone());
        let mut groups = discovery.subscribe();
        self.state.lock().discovery = Some(discovery);
        self.sync(&groups.borrow_and_update());
        let set = Arc::downgrade(self);
        tokio::spawn(async move {
            while groups.changed().await.is_ok() {
                let Some(set) = set.upgrade() else { return };
                set.sync(&groups.borrow_and_update());
            }
        });
    }

    /// Takes over what waits in a set that goes, where the URL is the same.
    pub(super) fn inherit(&self, gone: &AlertmanagerSet) {
        let state = self.state.lock();
        let mut old = gone.state.lock();
        for (url, heir) in &state.senders {
            if let Some(sender) = old.senders.remove(url) {
                sender.hand_over(heir);
            }
        }
    }

    /// Brings the senders in line with what was discovered.
    fn sync(&self, groups: &[TargetGroup]) {
        let (active, dropped) = resolve(&self.config, groups);
        let mut state = self.state.lock();
        if state.discovery.is_none() {
            return; // retired while this was on its way
        }
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut state.senders).into_iter().partition(|(url, _)| active.contains(url));
        state.senders = stay;
        for url in active {
            let start = |url: &String| {
                let timeout = self.config.timeout;
                Arc::new(Sender::start(url, self.client.clone(), timeout, self.limits, &self.traffic))
            };
            state.senders.entry(url).or_insert_with_key(start);
        }
        state.dropped = dropped;
        gone.into_values().for_each(drain_behind);
    }

    pub(super) fn push(&self, alerts: &[Arc<Alert>]) {
        let mut own: Vec<Arc<Alert>> = Vec::new();
        let alerts = if self.config.alert_relabel.is_empty() {
            alerts
        } else {
            own.extend(alerts.iter().filter_map(|alert| {
                let labels = relabelled(&alert.labels, &self.config.alert_relabel)?;
                Some(if labels == alert.labels {
                    alert.clone()
                } else {
                    Arc::new(Alert { labels, ..(**alert).clone() })
                })
            }));
            own.as_slice()
        };
        if alerts.is_empty() {
            return;
        }
        for sender in self.state.lock().senders.values() {
            sender.push(alerts);
        }
    }

    /// URLs in use and dropped ones.
    pub(super) fn urls(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state.lock();
        (state.senders.keys().cloned().collect(), state.dropped.clone())
    }

    /// Stops discovering; what waits is sent in the background, for at most the timeout of one request.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        state.discovery = None;
        std::mem::take(&mut state.senders).into_values().for_each(drain_behind);
    }

    /// Stops discovering and sends what waits, for at most `timeout`.
    pub(super) async fn drain(&self, timeout: Duration) {
        let senders = {
            let mut state = self.state.lock();
            state.discovery = None;
            std::mem::take(&mut state.senders)
        };
        futures_util::future::join_all(senders.values().map(|sender| sender.drain(timeout))).await;
    }
}

/// Alertmanagers that left are still told what they were meant to hear.
fn drain_behind(sender: Arc<Sender>) {
    tokio::spawn(async move { sender.drain(sender.timeout()).await });
}

/// The URLs of the Alertmanagers of `groups`, and of those that relabelling drops; each once, in the order discovered.
pub(super) fn resolve(config: &AlertmanagerConfig, groups: &[TargetGroup]) -> (Vec<String>, Vec<String>) {
    let (mut active, mut dropped) = (Vec::new(), Vec::new());
    for (group, target) in groups.iter().flat_map(|group| group.targets.iter().map(move |target| (group, target))) {
        let labels = discovered_labels(config, group, target);
        let (list, labels) = match relabel::process(&labels, &config.relabel) {
            Some(labels) => (&mut active, labels),
            None => (&mut dropped, labels),
        };
        let part = |name| labels.get(name).unwrap_or("");
        let url = format!("{}://{}{}", part(SCHEME), part(ADDRESS), part(ALERTS_PATH));
        if !list.contains(&url) {
            list.push(url);
        }
    }
    (active, dropped)
}

/// Labels of the group outrank what the configuration says, as in Prometheus.
fn discovered_labels(config: &AlertmanagerConfig, group: &TargetGroup, target: &Labels) -> Labels {
    let own = [(SCHEME, config.scheme.clone()), (ALERTS_PATH, alerts_path(&config.path_prefix))];
    let mut labels: Vec<Label> =
        own.into_iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect();
    labels.extend(group.labels.iter().chain(target).cloned());
    Labels::new(labels)
}

/// The prefix and the API's path, joined as Go's `path.Join` does: no empty parts.
fn alerts_path(prefix: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.push(API_PATH);
    format!("/{}", parts.join("/"))
}
