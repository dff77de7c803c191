//! `kubernetes_sd_configs`: pods, services, endpoints, ingresses and nodes of a cluster, as its API server tells them.
//!
//! In the flow: one [`Reflector`](reflector::Reflector) per resource and namespace lists and watches, and sends what it sees
//! to the one task of the configuration ([`run`]), which keeps a [`Cluster`] of it and makes groups of that.
//!
//! **Invariants.** A namespace has groups once all its resources were listed, so that no target lacks the labels of its
//! service only because that came later. While the API server is away, what it said last stays.
//! **Cost.** A change makes all groups of the configuration anew, at most once per [`SETTLE`] and for at most about a tenth of
//! the time: a burst of a thousand events is one rebuilding.
//! **Source.** Prometheus v3.5 `discovery/kubernetes`; Kubernetes API conventions (list, watch, bookmarks, 410).
//! **Differs:** `kubeconfig_file` is refused. `attach_metadata.namespace` and the labels of node conditions, which came to
//! Prometheus after 3.5, are there. Every change of a resource counts as an event of its role. All targets that depend on a
//! changed object are made anew, where Prometheus waits for the next change of some (a pod that changed its labels, say).

mod client;
mod cluster;
mod config;
mod endpoints;
mod events;
mod ingresses;
mod labels;
mod nodes;
mod objects;
mod pods;
mod reflector;
mod services;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) use events::EventTotals;

pub use config::{AttachMetadata, KubernetesRole, KubernetesSdConfig, Namespaces, Selector};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::client::ApiClient;
use self::cluster::Cluster;
use self::reflector::{RETRY, Reflector};
use super::DiscoveryMetrics;
use super::board::Slot;
use crate::clock::Stopwatch;

/// Changes that come closer together than this share one rebuilding.
const SETTLE: Duration = Duration::from_millis(100);
/// How many times longer than a rebuilding the pause after it is.
const PAUSE_FACTOR: u32 = 10;
/// Changes under way between the watches and the cluster's state; behind that, watches wait.
const CHANGES_MAX: usize = 256;

/// Follows the cluster for ever.
pub(super) async fn run(config: KubernetesSdConfig, slot: Slot, metrics: Arc<DiscoveryMetrics>) {
    let client = connect(&config, &metrics).await;
    let mut cluster = Cluster::new(&config, &client.own_namespace);
    let client = Arc::new(client);
    let (sender, mut changes) = mpsc::channel(CHANGES_MAX);
    // Ends with this task.
    let mut reflectors = JoinSet::new();
    for feed in cluster.feeds() {
        let reflector = Reflector::new(feed, client.clone(), &config, metrics.clone());
        reflectors.spawn(reflector.run(sender.clone()));
    }
    let mut is_stale = false;
    let mut pause = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        tokio::select! {
            change = changes.recv() => {
                let change = change.expect("BUG: a sender is held here");
                metrics.kubernetes_events.count(&cluster.apply(change));
                is_stale = true;
            }
            () = &mut pause, if is_stale => {
                let stopwatch = Stopwatch::start();
                slot.publish(cluster.groups());
                is_stale = false;
                pause.set(tokio::time::sleep(SETTLE.max(stopwatch.elapsed() * PAUSE_FACTOR)));
            }
        }
    }
}

/// Tries until certificates and the files of the service account can be used.
async fn connect(config: &KubernetesSdConfig, metrics: &DiscoveryMetrics) -> ApiClient {
    let mut failures = 0;
    loop {
        match ApiClient::new(config) {
            Ok(client) => return client,
            Err(error) => {
                failures += 1;
                metrics.kubernetes_failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(role = config.role.as_str(), %error, "the Kubernetes API cannot be spoken to");
                tokio::time::sleep(RETRY.random_delay(failures)).await;
            }
        }
    }
}
