//! What a series is to an indicator, resolved once; and which series of one scrape belong together.
//!
//! In the flow: [`super::accounting`] makes entries of the series that it is fed; [`super::fold`] reads the points of a scrape, [`super::replicas`]
//! keeps those of copies that do not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Labels, LabelsBuilder, Timestamp};

use super::fold::Kind;
use super::snapshot::{Reader, Writer};
use super::spec::Copies;

/// What tells targets apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TargetKey {
    /// `job` and `instance`; either may be empty.
    pub(super) job: Arc<str>,
    pub(super) instance: Arc<str>,
    /// The labels of `target_labels`.
    pub(super) more: Labels,
}

impl TargetKey {
    /// The target of a series, where `more` are the values of its further labels.
    pub(super) fn of(labels: &Labels, more: Labels) -> TargetKey {
        let value = |name| labels.get_arc(name).cloned().unwrap_or_default();
        TargetKey { job: value("job"), instance: value("instance"), more }
    }

    /// Writes it, without what `copies` does not tell apart.
    pub(super) fn save(&self, copies: &Copies, out: &mut Writer) {
        out.bytes(self.job.as_bytes());
        out.bytes(self.instance.as_bytes());
        if !copies.target_labels.is_empty() {
            out.labels(&self.more);
        }
    }

    /// Reads what [`TargetKey::save`] wrote.
    pub(super) fn load(copies: &Copies, input: &mut Reader<'_>) -> Option<TargetKey> {
        let (job, instance) = (input.text()?, input.text()?);
        let more = if copies.target_labels.is_empty() { Labels::empty() } else { input.labels()? };
        Some(TargetKey { job, instance, more })
    }
}

impl Copies {
    /// The labels of a series without those that tell replicas apart.
    pub(super) fn merged(&self, labels: &Labels) -> Labels {
        if self.replica_labels.is_empty() {
            return labels.clone();
        }
        labels.filtered(|label| !self.replica_labels.contains(&label.name))
    }

    /// The target of a series, and which of its replicas shows it; `none` where nothing is told apart.
    pub(super) fn source(&self, labels: &Labels, none: &Labels) -> Source {
        let told = |names: &[Arc<str>]| if names.is_empty() { none.clone() } else { labels_of(names, labels) };
        Source { target: TargetKey::of(labels, told(&self.target_labels)), replica: told(&self.replica_labels) }
    }
}

/// Whom a sample is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) target: TargetKey,
    /// The labels that tell its copies apart; none where nothing does.
    pub(super) replica: Labels,
}

/// A series of an indicator.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Without those that tell replicas apart.
    pub(super) labels: Labels,
    pub(super) kind: Kind,
    /// How often an event of this counter counts for the partial one, and for all.
    pub(super) part: f64,
    pub(super) total: f64,
    pub(super) group: Labels,
    /// Of a latency: what buckets and their totals have in common.
    pub(super) stem: Labels,
}

impl Entry {
    pub(super) fn is_part(&self) -> bool {
        self.part != 0.0
    }

    pub(super) fn is_total(&self) -> bool {
        self.total != 0.0
    }
}

/// A sample of one series among those of its target's instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point<'a> {
    pub(super) entry: &'a Entry,
    pub(super) value: f64,
}

impl Point<'_> {
    /// Whether it is of the indicator itself.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.entry.kind, Kind::Counter | Kind::Gauge)
    }
}

/// When a scrape was, and when it is counted: later where it was not known whether it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant {
    pub(super) at: Timestamp,
    pub(super) counted_at: Timestamp,
}

/// Which buckets of the threshold stand beside their totals in one scrape of a target.
pub(super) struct Pairs<'a> {
    /// By stem: the group, whether the bucket is there, whether the total is.
    by_stem: BTreeMap<&'a Labels, (&'a Labels, bool, bool)>,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(points: &[Point<'a>]) -> Self {
        let mut by_stem = BTreeMap::new();
        for entry in points.iter().map(|point| point.entry).filter(|entry| entry.is_part() || entry.is_total()) {
            let (_, has_bucket, has_total) = by_stem.entry(&entry.stem).or_insert((&entry.group, false, false));
            *has_bucket |= entry.is_part();
            *has_total |= entry.is_total();
        }
        Pairs { by_stem }
    }

    pub(super) fn is_complete(&self, stem: &Labels) -> bool {
        self.by_stem.get(stem).is_some_and(|(_, has_bucket, has_total)| *has_bucket && *has_total)
    }

    /// Whether totals of `group` are there and none has its bucket.
    pub(super) fn lack_all_of(&self, group: &Labels) -> bool {
        let totals = || self.by_stem.values().filter(|(of, _, has_total)| *of == group && *has_total);
        totals().count() > 0 && totals().all(|(_, has_bucket, _)| !has_bucket)
    }

    /// Whether the bucket of a pair gained more than its total.
    pub(super) fn has_disorder(&self, points: &[Point<'_>], increases: &[f64]) -> bool {
        let mut excess: BTreeMap<&Labels, f64> = BTreeMap::new();
        for (Point { entry, .. }, increase) in points.iter().zip(increases) {
            *excess.entry(&entry.stem).or_default() += (entry.part - entry.total) * increase;
        }
        excess.iter().any(|(stem, excess)| *excess > 0.0 && self.is_complete(stem))
    }
}

/// Whether of a group that has both in one scrape of a target, what is counted as a part gained more than the total.
pub(super) fn has_excess(points: &[Point<'_>], increases: &[f64]) -> bool {
    // Of most targets there is one group.
    let mut groups: Vec<(&Labels, f64, bool, bool)> = Vec::new();
    for (Point { entry, .. }, increase) in points.iter().zip(increases) {
        if !entry.is_part() && !entry.is_total() {
            continue;
        }
        let place = groups.iter().position(|(group, ..)| **group == entry.group).unwrap_or_else(|| {
            groups.push((&entry.group, 0.0, false, false));
            groups.len() - 1
        });
        let (_, excess, has_part, has_total) = &mut groups[place];
        *excess += (entry.part - entry.total) * increase;
        *has_part |= entry.is_part();
        *has_total |= entry.is_total();
    }
    groups.iter().any(|(_, excess, has_part, has_total)| *excess > 0.0 && *has_part && *has_total)
}

/// The labels of `names` that a series has.
pub(super) fn labels_of(names: &[Arc<str>], labels: &Labels) -> Labels {
    let mut found = LabelsBuilder::default();
    for name in names {
        if let Some(value) = labels.get_arc(name) {
            found.set(name.clone(), value.clone());
        }
    }
    found.build()
}
