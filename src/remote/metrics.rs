//! What the receiver counts about itself, named as in Prometheus where Prometheus has it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::receiver::{Reply, Written};
use crate::exposition::{Family, FamilyKind};
use crate::store::Refusal;

#[derive(Debug, Default)]
pub(super) struct ReceiverMetrics {
    requests: Mutex<BTreeMap<u16, u64>>,
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    invalid_labels: AtomicU64,
    out_of_order: AtomicU64,
    duplicates: AtomicU64,
    too_old: AtomicU64,
    too_late: AtomicU64,
}

impl ReceiverMetrics {
    pub(super) fn count_reply(&self, reply: &Reply) {
        *self.requests.lock().entry(reply.status).or_default() += 1;
    }

    pub(super) fn count_written(&self, written: Written) {
        for (counter, count) in [
            (&self.samples, written.samples),
            (&self.histograms, written.histograms),
            (&self.exemplars, written.exemplars),
        ] {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn count_invalid(&self, samples: usize) {
        self.invalid_labels.fetch_add(samples as u64, Ordering::Relaxed);
    }

    pub(super) fn count_refusal(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::OutOfOrder => &self.out_of_order,
            Refusal::Duplicate => &self.duplicates,
            Refusal::TooOld => &self.too_old,
            Refusal::TooLate => &self.too_late,
            Refusal::Gone => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn collect(&self, exemplars_held: usize, families: &mut Vec<Family>) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let counter = |name, help| Family::new(name, help, FamilyKind::Counter);
        let mut requests = counter(
            "almenara_remote_write_requests_total",
            "Requests of remote write, by the status they were answered with.",
        );
        for (status, count) in &*self.requests.lock() {
            requests.point(vec![("code", status.to_string())], *count as f64);
        }
        let mut written = counter("almenara_remote_write_written_total", "What remote write has stored, by its kind.");
        let counts = [("sample", &self.samples), ("histogram", &self.histograms), ("exemplar", &self.exemplars)];
        for (kind, count) in counts {
            written.point(vec![("type", kind.to_owned())], read(count));
        }
        let mut refused = counter(
            "almenara_remote_write_refused_samples_total",
            "Samples and histograms of remote write that the store refused.",
        );
        let counts = [
            ("out_of_order", &self.out_of_order),
            ("too_late", &self.too_late),
            ("duplicate", &self.duplicates),
            ("too_old", &self.too_old),
        ];
        for (reason, count) in counts {
            refused.point(vec![("reason", reason.to_owned())], read(count));
        }
        let invalid = Family::single(
            "prometheus_api_remote_write_invalid_labels_samples_total",
            "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            FamilyKind::Counter,
            read(&self.invalid_labels),
        );
        let held = Family::single(
            "prometheus_tsdb_exemplar_exemplars_in_storage",
            "Number of exemplars currently in circular storage.",
            FamilyKind::Gauge,
            exemplars_held as f64,
        );
        families.extend([requests, written, refused, invalid, held]);
    }
}
