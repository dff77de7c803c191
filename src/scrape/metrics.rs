//! What scraping counts about itself, named as in Prometheus where Prometheus has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::error::ScrapeError;
use crate::clock::Latency;
use crate::exposition::{Family, FamilyKind};
use crate::source::format_duration;
use crate::store::{Committed, Refusal};

#[derive(Debug, Default)]
pub(super) struct ScrapeMetrics {
    body_size: AtomicU64,
    sample_limit: AtomicU64,
    bucket_limit: AtomicU64,
    label_limits: AtomicU64,
    pub(super) target_limit: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) out_of_bounds: AtomicU64,
    out_of_order: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) pools: AtomicU64,
    duration: Latency,
    intervals: Mutex<BTreeMap<Duration, Arc<Latency>>>,
}

impl ScrapeMetrics {
    pub(super) fn count_failure(&self, error: &ScrapeError) {
        let counter = match error {
            ScrapeError::BodySize => &self.body_size,
            ScrapeError::SampleLimit => &self.sample_limit,
            ScrapeError::BucketLimit => &self.bucket_limit,
            ScrapeError::LabelLimit(_) => &self.label_limits,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refusals(&self, committed: &Committed) {
        for (_, refusal) in &committed.refused {
            let counter = match refusal {
                Refusal::OutOfOrder => &self.out_of_order,
                Refusal::Duplicate => &self.duplicates,
                Refusal::TooOld => &self.out_of_bounds,
                // Prometheus does not count these here, but in its store.
                Refusal::TooLate | Refusal::Gone => continue,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn record_duration(&self, duration: Duration) {
        self.duration.record(duration);
    }

    /// The time that really passed between two scrapes that should lie `interval` apart.
    pub(super) fn record_interval(&self, interval: Duration, passed: Duration) {
        let latency = self.intervals.lock().entry(interval).or_default().clone();
        latency.record(passed);
    }

    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let counters = [
            (
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
                &self.body_size,
            ),
            (
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
                &self.sample_limit,
            ),
            (
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
                &self.bucket_limit,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
                &self.label_limits,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
                &self.target_limit,
            ),
            (
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
                &self.duplicates,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
                &self.out_of_bounds,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
                &self.out_of_order,
            ),
            ("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads.", &self.reloads),
            ("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts.", &self.pools),
        ];
        for (name, help, counter) in counters {
            families.push(Family::single(name, help, FamilyKind::Counter, counter.load(Ordering::Relaxed) as f64));
        }
        families.push(self.duration.family(
            "almenara_target_scrape_duration_seconds",
            "From the request to the stored samples, over all targets.",
            Vec::new(),
        ));
        let help = "Actual intervals between scrapes.";
        let mut lengths = Family::new("prometheus_target_interval_length_seconds", help, FamilyKind::Summary);
        for (interval, latency) in &*self.intervals.lock() {
            latency.add_to(&mut lengths, vec![("interval", format_duration(*interval))]);
        }
        families.push(lengths);
    }
}
