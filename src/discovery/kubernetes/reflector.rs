//! Keeping up with one resource: list, watch, watch on, and list anew when too much was missed.
//!
//! **Invariants.** Changes go out in the order in which the server made them. A connection that breaks is taken up again at the
//! version last seen, so that nothing is missed; when the server no longer knows that version, everything is listed anew and
//! what vanished meanwhile is gone.
//! **Source.** Kubernetes client-go `tools/cache/reflector.go`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::client::{ApiClient, ApiError, Event, Selectors};
use super::cluster::{Change, ChangeKind, Feed};
use super::config::KubernetesSdConfig;
use crate::clock::Stopwatch;
use crate::discovery::DiscoveryMetrics;
use crate::http::Backoff;

/// Between attempts.
pub(super) const RETRY: Backoff =
    Backoff { first: Duration::from_millis(800), factor: 2.0, jitter_ratio: 0.5, longest: Duration::from_secs(30) };

/// A watch that ends sooner, without an event, must not be begun again at once.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// Follows one feed.
#[derive(Debug)]
pub(super) struct Reflector {
    feed: Feed,
    client: Arc<ApiClient>,
    selectors: Selectors,
    metrics: Arc<DiscoveryMetrics>,
    /// In a row.
    failures: u32,
}

impl Reflector {
    pub(super) fn new(
        feed: Feed,
        client: Arc<ApiClient>,
        config: &KubernetesSdConfig,
        metrics: Arc<DiscoveryMetrics>,
    ) -> Reflector {
        let role = feed.resource.role();
        let selector = config.selectors.iter().find(|selector| Some(selector.role) == role);
        let selectors = selector
            .map(|selector| Selectors { label: selector.label.clone(), field: selector.field.clone() })
            .unwrap_or_default();
        Reflector { feed, client, selectors, metrics, failures: 0 }
    }

    /// For ever, until nobody listens.
    pub(super) async fn run(mut self, changes: mpsc::Sender<Change>) {
        while !changes.is_closed() {
            match self.client.list(&self.feed, &self.selectors).await {
                Ok((objects, version)) => {
                    self.tell(&changes, ChangeKind::Listed(objects)).await;
                    self.follow(version, &changes).await;
                }
                Err(error) => self.failed("listing", &error).await,
            }
        }
    }

    /// Watches on from `version` until only a new list helps.
    async fn follow(&mut self, mut version: String, changes: &mpsc::Sender<Change>) {
        loop {
            match self.watch(&mut version, changes).await {
                Ok(()) => {}
                Err(ApiError::Expired) => {
                    // At once, unless the new list's own version is too old again.
                    if self.failures > 0 {
                        tokio::time::sleep(RETRY.random_delay(self.failures)).await;
                    }
                    self.failures += 1;
                    self.metrics.kubernetes_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(resource = self.feed.resource.path().1, "watch is too old, listing anew");
                    return;
                }
                Err(error @ ApiError::Unreachable(_)) => self.failed("watching", &error).await,
                Err(error @ ApiError::Refused(_)) => {
                    self.failed("watching", &error).await;
                    return;
                }
            }
        }
    }

    /// One watch, up to its regular end.
    async fn watch(&mut self, version: &mut String, changes: &mpsc::Sender<Change>) -> Result<(), ApiError> {
        let mut watch = self.client.watch(&self.feed, &self.selectors, version).await?;
        let stopwatch = Stopwatch::start();
        let mut has_events = false;
        let end = loop {
            match watch.next().await {
                Ok(Some(event)) => self.take(event, version, changes).await,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            has_events = true;
        };
        if has_events || stopwatch.elapsed() >= SHORT_WATCH {
            self.failures = 0;
            return end;
        }
        end.and(Err(ApiError::Unreachable("the watch ended at once".to_owned())))
    }

    async fn take(&self, event: Event, version: &mut String, changes: &mpsc::Sender<Change>) {
        match event {
            Event::Set(object) => {
                object.meta().resource_version.clone_into(version);
                self.tell(changes, ChangeKind::Set(object)).await;
            }
            Event::Deleted(object) => {
                object.meta().resource_version.clone_into(version);
                self.tell(changes, ChangeKind::Deleted(object)).await;
            }
            Event::Bookmark(seen) => *version = seen,
        }
    }

    async fn tell(&self, changes: &mpsc::Sender<Change>, kind: ChangeKind) {
        // Nobody listens only while the whole discovery is being stopped.
        drop(changes.send(Change { feed: self.feed.clone(), kind }).await);
    }

    async fn failed(&mut self, doing: &str, error: &ApiError) {
        self.failures += 1;
        self.metrics.kubernetes_failures.fetch_add(1, Ordering::Relaxed);
        let namespace = self.feed.namespace.as_deref().unwrap_or_default();
        tracing::warn!(resource = self.feed.resource.path().1, namespace, doing, %error, "the Kubernetes API failed");
        tokio::time::sleep(RETRY.random_delay(self.failures)).await;
    }
}
