//! What discovery counts, over all watches of the process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::dns::DnsSource;
use super::http::HttpSource;
use super::kubernetes::EventTotals;
use super::refresh::{Refresh, RefreshMetrics};
use crate::clock::Latency;
use crate::exposition::{Family, FamilyKind};

/// Shared by all watches; hand the same one to each.
#[derive(Debug, Default)]
pub struct DiscoveryMetrics {
    pub(super) read_errors: AtomicU64,
    pub(super) watcher_errors: AtomicU64,
    pub(super) scan: Latency,
    pub(super) http_failures: AtomicU64,
    pub(super) http_refresh: RefreshMetrics,
    pub(super) dns_lookups: AtomicU64,
    pub(super) dns_failures: AtomicU64,
    pub(super) dns_refresh: RefreshMetrics,
    pub(super) kubernetes_events: EventTotals,
    pub(super) kubernetes_failures: AtomicU64,
}

impl DiscoveryMetrics {
    /// Adds the families of all mechanisms, named as in Prometheus.
    pub fn collect(&self, families: &mut Vec<Family>) {
        self.collect_files(families);
        families.push(Family::single(
            "prometheus_sd_http_failures_total",
            "Number of HTTP service discovery refresh failures.",
            FamilyKind::Counter,
            count(&self.http_failures),
        ));
        families.push(Family::single(
            "prometheus_sd_dns_lookups_total",
            "The number of DNS-SD lookups.",
            FamilyKind::Counter,
            count(&self.dns_lookups),
        ));
        families.push(Family::single(
            "prometheus_sd_dns_lookup_failures_total",
            "The number of DNS-SD lookup failures.",
            FamilyKind::Counter,
            count(&self.dns_failures),
        ));
        families.push(self.kubernetes_events.family());
        families.push(Family::single(
            "prometheus_sd_kubernetes_failures_total",
            "The number of failed WATCH/LIST requests.",
            FamilyKind::Counter,
            count(&self.kubernetes_failures),
        ));
        self.collect_refreshes(families);
    }

    fn collect_refreshes(&self, families: &mut Vec<Family>) {
        let mut failures = Family::new(
            "prometheus_sd_refresh_failures_total",
            "Number of refresh failures for the given SD mechanism.",
            FamilyKind::Counter,
        );
        let mut durations = Family::new(
            "prometheus_sd_refresh_duration_seconds",
            "The duration of a refresh in seconds for the given SD mechanism.",
            FamilyKind::Summary,
        );
        for (mechanism, refresh) in
            [(DnsSource::MECHANISM, &self.dns_refresh), (HttpSource::MECHANISM, &self.http_refresh)]
        {
            let labels = || vec![("mechanism", mechanism.to_owned())];
            failures.point(labels(), count(&refresh.failures));
            refresh.duration.add_to(&mut durations, labels());
        }
        families.extend([failures, durations]);
    }

    fn collect_files(&self, families: &mut Vec<Family>) {
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

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}
