//! What discovery counts, over all watches of the process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Latency;
use crate::exposition::{Family, FamilyKind};

/// Shared by all watches; hand the same one to each.
#[derive(Debug, Default)]
pub struct DiscoveryMetrics {
    pub(super) read_errors: AtomicU64,
    pub(super) watcher_errors: AtomicU64,
    pub(super) scan: Latency,
}

impl DiscoveryMetrics {
    /// Adds the families of file discovery, named as in Prometheus.
    pub fn collect(&self, families: &mut Vec<Family>) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        families.push(Family::single(
            "prometheus_sd_file_read_errors_total",
            "The number of File-SD read errors.",
            FamilyKind::Counter,
            count(&self.read_errors),
        ));
        families.push(Family::single(
            "prometheus_sd_file_watcher_errors_total",
            "The number of File-SD errors caused by filesystem watch failures.",
            FamilyKind::Counter,
            count(&self.watcher_errors),
        ));
        families.push(self.scan.family(
            "prometheus_sd_file_scan_duration_seconds",
            "The duration of the File-SD scan in seconds.",
            Vec::new(),
        ));
    }
}
