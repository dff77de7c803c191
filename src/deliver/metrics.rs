//! What was delivered to whom, over all reloads of the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::attempt::FailureReason;
use super::config::IntegrationKey;
use crate::clock::{self, Latency};
use crate::exposition::{Family, FamilyKind};
use crate::model::Timestamp;

/// Receiver and kind; the integrations of one kind of a receiver are counted together, as in Alertmanager.
type Place = (String, &'static str);

/// The numbers of all integrations.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<BTreeMap<Place, Arc<Counts>>>);

/// The numbers of one receiver and kind.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) notifications: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) requests_failed: AtomicU64,
    pub(super) superseded: AtomicU64,
    pub(super) waiting: AtomicUsize,
    pub(super) latency: Latency,
    failed: [AtomicU64; FailureReason::ALL.len()],
    last_success_ms: AtomicI64,
}

impl Counts {
    pub(super) fn failed(&self, reason: FailureReason) {
        let index = FailureReason::ALL.iter().position(|known| *known == reason).expect("BUG: a reason is not listed");
        self.failed[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn delivered(&self) {
        self.last_success_ms.store(clock::now().as_ms(), Ordering::Relaxed);
    }
}

/// One counter or gauge per integration.
struct Column {
    name: &'static str,
    help: &'static str,
    kind: FamilyKind,
    value: fn(&Counts) -> f64,
}

const COLUMNS: [Column; 6] = [
    Column {
        name: "alertmanager_notifications_total",
        help: "The total number of attempted notifications.",
        kind: FamilyKind::Counter,
        value: |counts| counts.notifications.load(Ordering::Relaxed) as f64,
    },
    Column {
        name: "alertmanager_notification_requests_total",
        help: "The total number of attempted notification requests.",
        kind: FamilyKind::Counter,
        value: |counts| counts.requests.load(Ordering::Relaxed) as f64,
    },
    Column {
        name: "alertmanager_notification_requests_failed_total",
        help: "The total number of failed notification requests.",
        kind: FamilyKind::Counter,
        value: |counts| counts.requests_failed.load(Ordering::Relaxed) as f64,
    },
    Column {
        name: "almenara_notifications_superseded_total",
        help: "Notifications that a newer one of the same group replaced before they were delivered.",
        kind: FamilyKind::Counter,
        value: |counts| counts.superseded.load(Ordering::Relaxed) as f64,
    },
    Column {
        name: "almenara_notification_queue_length",
        help: "Notifications that wait for a receiver.",
        kind: FamilyKind::Gauge,
        value: |counts| counts.waiting.load(Ordering::Relaxed) as f64,
    },
    Column {
        name: "almenara_notification_last_success_timestamp_seconds",
        help: "When a receiver last accepted a notification; 0 before the first.",
        kind: FamilyKind::Gauge,
        value: |counts| Timestamp::from_ms(counts.last_success_ms.load(Ordering::Relaxed)).as_secs_f64(),
    },
];

impl Traffic {
    pub(super) fn of(&self, key: &IntegrationKey) -> Arc<Counts> {
        self.0.lock().entry((key.receiver.clone(), key.kind)).or_default().clone()
    }

    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let mut all = self.0.lock();
        all.retain(|_, counts| Arc::strong_count(counts) > 1);
        let labels = |place: &Place| vec![("integration", place.1.to_owned()), ("receiver_name", place.0.clone())];
        for column in COLUMNS {
            let mut family = Family::new(column.name, column.help, column.kind);
            for (place, counts) in all.iter() {
                family.point(labels(place), (column.value)(counts));
            }
            families.push(family);
        }
        let mut failed = Family::new(
            "alertmanager_notifications_failed_total",
            "The total number of failed notifications.",
            FamilyKind::Counter,
        );
        let mut latency = Family::new(
            "alertmanager_notification_latency_seconds",
            "The latency of notifications in seconds.",
            FamilyKind::Summary,
        );
        for (place, counts) in all.iter() {
            for (reason, count) in FailureReason::ALL.iter().zip(&counts.failed) {
                let mut labels = labels(place);
                labels.push(("reason", reason.as_str().to_owned()));
                failed.point(labels, count.load(Ordering::Relaxed) as f64);
            }
            counts.latency.add_to(&mut latency, labels(place));
        }
        families.extend([failed, latency]);
    }
}
