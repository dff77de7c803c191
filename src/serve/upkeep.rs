//! What the daemon does for its store while it runs: old samples go, memory stays within its limit, and what is refused is told.
//!
//! In the flow: [`Upkeep::new`] sets the limits before anything is stored, then [`Upkeep::forever`]; the metrics, the page and `/-/ready` ask what happened.
//! **Invariants.** Refusals are told in the log when they begin and at most once in [`TELL_EVERY`] while they go on, each job by name.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::demand::DemandBook;
use super::storage::Storage;
use super::{machine, metadata};
use crate::clock;
use crate::config::Settings;
use crate::exposition::{Family, FamilyKind};
use crate::model::Timestamp;
use crate::source::{format_bytes, format_duration};
use crate::store::{Demand, Denial, Intake, Limits, MetadataStore, Relief, Store};

/// How often memory is compared with its limit.
const RELIEVE_EVERY: Duration = Duration::from_secs(5);
/// How often refusals that go on are told, and how long they are called recent.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Jobs that are named in one line.
const JOBS_NAMED_MAX: usize = 5;

/// Keeps a store within its bounds.
pub(super) struct Upkeep {
    pub(super) store: Arc<Store>,
    pub(super) metadata: Arc<MetadataStore>,
    pub(super) storage: Arc<Storage>,
    pub(super) demands: DemandBook,
    retention: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    relief: Relief,
    removed: u64,
    /// What was refused when it was last looked.
    denials: Vec<(Arc<str>, Denial, u64)>,
    /// What has been refused since, job by job.
    recent: Vec<(Arc<str>, Denial, u64)>,
    told: Option<Timestamp>,
}

impl Upkeep {
    pub(super) fn new(
        settings: &Settings,
        store: Arc<Store>,
        metadata: Arc<MetadataStore>,
        storage: Arc<Storage>,
    ) -> Self {
        let (limits, intake) = limits(settings);
        store.limit(limits, intake);
        let retention = settings.duration("storage.tsdb.retention.time");
        Upkeep { store, metadata, storage, demands: DemandBook::default(), retention, state: Mutex::default() }
    }

    /// After what is stored was read and before anything is evaluated: nothing shows that has expired.
    pub(super) fn begin(&self, demands: Vec<Demand>, now: Timestamp) {
        self.demands.restore(&self.storage);
        metadata::restore(&self.metadata, &self.storage, now);
        self.demand(demands, now);
        self.expire(now);
    }

    /// Keeps what a configuration needs.
    pub(super) fn demand(&self, demands: Vec<Demand>, now: Timestamp) {
        self.demands.replace(demands, &self.store, &self.storage, now);
    }

    /// Puts types and help texts on the disk; to be called at the end, and before that is copied.
    pub(super) fn keep_metadata(&self) {
        metadata::keep(&self.metadata, &self.storage);
    }

    /// Works until it is aborted.
    pub(super) async fn forever(self: Arc<Self>) {
        let mut every = tokio::time::interval(RELIEVE_EVERY);
        loop {
            every.tick().await;
            let this = self.clone();
            // May walk every series, so not on an async thread.
            if tokio::task::spawn_blocking(move || this.look(clock::now())).await.is_err() {
                tracing::error!("BUG: looking after memory panicked");
            }
        }
    }

    /// Removes what is old; to be called each minute.
    pub(super) fn expire(&self, now: Timestamp) {
        self.demands.forget(&self.store, &self.storage, now);
        self.store.expire(now);
        self.metadata.truncate(now - self.retention);
        self.keep_metadata();
    }

    fn look(&self, now: Timestamp) {
        let relief = self.store.relieve();
        let denials = self.store.denials();
        let mut state = self.state.lock();
        let kept_before = state.relief.unread_kept.unwrap_or(self.retention);
        if relief.removed > 0 || relief.unread_kept.is_some_and(|kept| kept < kept_before) {
            let kept = relief.unread_kept.map_or_else(String::new, format_duration);
            tracing::warn!(
                removed = relief.removed,
                kept,
                "memory is short: series that nothing reads are kept for less"
            );
        }
        state.removed += relief.removed;
        state.relief = relief;
        if state.told.is_some_and(|told| now >= told && now.since(told) < TELL_EVERY) {
            return;
        }
        state.recent = newer(&denials, &state.denials);
        state.denials = denials;
        for (job, denial, count) in state.recent.iter().filter(|(_, denial, _)| *denial != Denial::Unread) {
            tracing::warn!(job = &**job, count, limit = denial.setting(), "new series are refused");
        }
        state.told = (!state.recent.is_empty()).then_some(now);
    }

    /// What is refused or was removed lately, for people.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.state.lock();
        let jobs = state.recent.iter().filter(|(_, denial, _)| *denial != Denial::Unread);
        let named = jobs.map(|(job, denial, count)| format!("{count} of job {job:?} (--{})", denial.setting()));
        let named: Vec<String> = named.take(JOBS_NAMED_MAX).collect();
        let refused = (!named.is_empty()).then(|| format!("New series are refused: {}.", named.join(", ")));
        let kept = state.relief.unread_kept;
        let short =
            kept.map(|kept| format!("Memory is short: what no rule reads is kept for {} only.", format_duration(kept)));
        let both: Vec<String> = refused.into_iter().chain(short).collect();
        (!both.is_empty()).then(|| both.join(" "))
    }

    /// Adds the metrics.
    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        use FamilyKind::{Counter, Gauge};
        let memory = self.store.memory();
        let mut bytes = Family::new("almenara_store_memory_bytes", "Memory of samples, summaries, index.", Gauge);
        for (what, value) in
            [("samples", memory.sample_bytes), ("summaries", memory.summary_bytes), ("index", memory.index_bytes)]
        {
            bytes.point(vec![("what", what.to_owned())], value as f64);
        }
        let mut series = Family::new("almenara_store_series_by_reader", "Series, by who reads them.", Gauge);
        for (rank, count) in self.store.series_by_rank() {
            series.point(vec![("reader", rank.as_str().to_owned())], count as f64);
        }
        let mut refused =
            Family::new("almenara_store_series_refused_total", "New series that were not taken in.", Counter);
        for (job, denial, count) in self.store.denials() {
            refused.point(vec![("scrape_job", job.to_string()), ("reason", denial.as_str().to_owned())], count as f64);
        }
        let state = self.state.lock();
        let help = "Series that nothing read, removed because memory was short.";
        let removed = Family::single("almenara_store_series_shed_total", help, Counter, state.removed as f64);
        let kept = state.relief.unread_kept.unwrap_or(self.retention).as_secs_f64();
        let help = "How long what nothing reads is kept now.";
        let unread = Family::single("almenara_store_unread_retention_seconds", help, Gauge, kept);
        families.extend([bytes, series, refused, removed, unread]);
    }
}

/// What `now` has more than `before`.
fn newer(now: &[(Arc<str>, Denial, u64)], before: &[(Arc<str>, Denial, u64)]) -> Vec<(Arc<str>, Denial, u64)> {
    let known = |job: &Arc<str>, denial: Denial| {
        before.iter().find(|(other, kind, _)| other == job && *kind == denial).map_or(0, |(.., count)| *count)
    };
    let more = now.iter().map(|(job, denial, count)| (job.clone(), *denial, count - known(job, *denial)));
    more.filter(|(.., count)| *count > 0).collect()
}

fn limits(settings: &Settings) -> (Limits, Intake) {
    let half = || machine::memory_bytes().map_or(u64::MAX, |bytes| bytes / 2);
    let limits = Limits {
        memory_bytes: settings.bytes("storage.memory-limit").unwrap_or_else(half),
        series: settings.count("storage.series-limit") as u64,
        series_per_job: settings.count("storage.series-limit-per-job") as u64,
    };
    let intake = if settings.text("storage.mode") == "rules" { Intake::Read } else { Intake::All };
    tracing::debug!(memory = format_bytes(limits.memory_bytes), series = limits.series, "limits of the store");
    (limits, intake)
}
