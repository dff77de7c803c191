//! Counting what happened to objects.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cluster::Counts;
use super::config::KubernetesRole;
use crate::exposition::{Family, FamilyKind};

/// Events by role and kind, over all configurations.
#[derive(Debug, Default)]
pub(in crate::discovery) struct EventTotals {
    /// In the order of [`KubernetesRole::ALL`]; added, updated, deleted.
    totals: [[AtomicU64; 3]; KubernetesRole::ALL.len()],
}

impl EventTotals {
    pub(super) fn count(&self, counts: &Counts) {
        let Some(role) = counts.role else { return };
        let index = KubernetesRole::ALL.iter().position(|other| *other == role).expect("BUG: a role is not among all");
        for (total, more) in self.totals[index].iter().zip([counts.added, counts.updated, counts.deleted]) {
            total.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(in crate::discovery) fn family(&self) -> Family {
        let help = "The number of Kubernetes events handled.";
        let mut family = Family::new("prometheus_sd_kubernetes_events_total", help, FamilyKind::Counter);
        for (role, totals) in KubernetesRole::ALL.iter().zip(&self.totals) {
            for (event, total) in ["add", "update", "delete"].into_iter().zip(totals) {
                let labels = vec![("role", role.as_str().to_owned()), ("event", event.to_owned())];
                family.point(labels, total.load(Ordering::Relaxed) as f64);
            }
        }
        family
    }
}
