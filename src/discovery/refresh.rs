//! Asking a source again and again.
//!
//! **Invariants.** The last good groups stay while a source fails.
//! **Source.** Prometheus v3.5 `discovery/refresh/refresh.go`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::board::Slot;
use super::{DiscoveryMetrics, TargetGroup};
use crate::clock::{Latency, Stopwatch};

/// Something that is asked for its groups at an interval.
pub(super) trait Refresh: Send + 'static {
    /// Its name in metrics and messages.
    const MECHANISM: &'static str;

    /// Its part of the metrics.
    fn metrics(all: &DiscoveryMetrics) -> &RefreshMetrics;

    /// All groups it has now, or why they cannot be had.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, String>> + Send;
}

/// How asking went, over all sources of one mechanism.
#[derive(Debug, Default)]
pub(super) struct RefreshMetrics {
    pub(super) failures: AtomicU64,
    pub(super) duration: Latency,
}

/// Asks at once and then every `interval`, for ever.
pub(super) async fn run<R: Refresh>(mut source: R, interval: Duration, slot: Slot, metrics: Arc<DiscoveryMetrics>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let stopwatch = Stopwatch::start();
        let refreshed = source.refresh().await;
        R::metrics(&metrics).duration.record(stopwatch.elapsed());
        match refreshed {
            Ok(groups) => slot.publish(groups),
            Err(error) => {
                R::metrics(&metrics).failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(mechanism = R::MECHANISM, %error, "unable to refresh target groups, the last good ones stay");
            }
        }
    }
}
