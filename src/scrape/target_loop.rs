//! The task of one target: wait for the slot, ask, read, commit; until it is told to stop.
//!
//! **Why a task each.** A target that is slow, endless or malformed spends its own time and its own limits; no other waits.
//! Reading a large body goes to the blocking pool, for the threads of the runtime serve everybody.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::config::ScrapeConfig;
use super::created::CreatedLines;
use super::error::ScrapeError;
use super::fetch::{Fetched, fetch};
use super::ingest::{Answer, Batch, Outcome, TargetState};
use super::metrics::ScrapeMetrics;
use super::pool::PoolShared;
use super::room::Room;
use super::status::{Families, Health, LastScrape};
use super::target::Target;
use crate::clock::{self, Stopwatch};
use crate::model::{Metadata, Timestamp};
use crate::store::{Denial, ExemplarStore, Lateness, MetadataStore, Refusal, Store};

/// A scrape that begins at most this late has the time of its slot, so that timestamps are regular. Prometheus's default.
const ALIGN_TOLERANCE_MS: i64 = 2;

/// What all loops of a manager share.
#[derive(Clone)]
pub(super) struct Sinks {
    pub(super) store: Arc<Store>,
    pub(super) metadata: Arc<MetadataStore>,
    pub(super) exemplars: Arc<ExemplarStore>,
    pub(super) created: CreatedLines,
    pub(super) metrics: Arc<ScrapeMetrics>,
    pub(super) room: Arc<Room>,
}

/// A target, and how it is doing.
#[derive(Debug)]
pub(super) struct ActiveTarget {
    pub(super) target: Target,
    pub(super) last: Mutex<LastScrape>,
    /// What it declares of its metrics; whoever reads keeps the map of that moment.
    pub(super) families: Mutex<Arc<Families>>,
}

pub(super) struct TargetLoop {
    pub(super) active: Arc<ActiveTarget>,
    pub(super) config: Arc<ScrapeConfig>,
    pub(super) pool: Arc<PoolShared>,
    pub(super) sinks: Sinks,
    pub(super) stop: CancellationToken,
}

impl TargetLoop {
    /// Scrapes until it is stopped; gives back what it remembers.
    pub(super) async fn run(self, mut state: Box<TargetState>) -> Box<TargetState> {
        let interval = self.active.target.interval;
        let mut last_began: Option<Stopwatch> = None;
        let mut last_slot = None;
        let mut last_len = 0;
        loop {
            let slot = self.active.target.due_slot(last_slot, clock::now());
            last_slot = Some(slot);
            tokio::select! {
                () = self.stop.cancelled() => return state,
                () = clock::sleep_until(slot) => {}
            }
            let now = clock::now();
            let at = if now.ms_since(slot) <= ALIGN_TOLERANCE_MS { slot } else { now };
            let watch = Stopwatch::start();
            if let Some(last) = last_began.replace(watch) {
                self.sinks.metrics.record_interval(interval, last.elapsed());
            }
            let fetched = tokio::select! {
                () = self.stop.cancelled() => return state,
                fetched = self.fetch(last_len) => fetched,
            };
            last_len = fetched.as_ref().map_or(0, Fetched::len);
            state = self.digest(state, fetched, at, watch).await;
        }
    }

    async fn fetch(&self, last_len: usize) -> Result<Fetched, ScrapeError> {
        self.pool.refusal()?;
        let client = self.pool.client()?;
        fetch(&client, &self.config, &self.active.target, (self.sinks.room.lease(), last_len)).await
    }

    /// Reads and commits, off the runtime's threads where that may take long.
    async fn digest(
        &self,
        mut state: Box<TargetState>,
        fetched: Result<Fetched, ScrapeError>,
        at: Timestamp,
        watch: Stopwatch,
    ) -> Box<TargetState> {
        let sinks = self.sinks.clone();
        let digestion = if fetched.as_ref().is_ok_and(Fetched::is_large) {
            let work = move || {
                let digestion = digest(&mut state, &sinks, fetched, at, watch);
                (state, digestion)
            };
            let (returned, digestion) =
                tokio::task::spawn_blocking(work).await.expect("BUG: reading a scrape panicked");
            state = returned;
            digestion
        } else {
            digest(&mut state, &sinks, fetched, at, watch)
        };
        self.note(digestion, at);
        state
    }

    /// Tells the API, and the log when the target's health changed.
    fn note(&self, digestion: Digestion, at: Timestamp) {
        let Digestion { result, duration, samples, metadata, denied } = digestion;
        if !metadata.is_empty() {
            Arc::make_mut(&mut self.active.families.lock()).extend(metadata);
        }
        let url = &self.active.target.url;
        let error = match &result {
            Ok(()) => denied.map_or_else(String::new, |(count, denial)| {
                format!("{count} samples left out: their series are new and over --{}", denial.setting())
            }),
            Err(ScrapeError::Http(error)) => format!("Get {url:?}: {error}"),
            Err(error) => error.to_string(),
        };
        let health = if result.is_ok() { Health::Up } else { Health::Down };
        let last = LastScrape { health, error, at: Some(at), duration, samples };
        let before = std::mem::replace(&mut *self.active.last.lock(), last).health;
        // The query may hold a token, so it stays out of the log.
        let (job, url) = (&self.config.job_name, url.split('?').next().unwrap_or_default());
        match (before, &result) {
            (Health::Up | Health::Unknown, Err(reason)) => tracing::warn!(job, url, %reason, "target is down"),
            (Health::Down, Ok(())) => tracing::info!(job, url, "target is up again"),
            _ => {}
        }
    }
}

struct Digestion {
    result: Result<(), ScrapeError>,
    duration: Duration,
    samples: u64,
    /// Of families, new, changed or told again.
    metadata: Vec<(Arc<str>, Metadata)>,
    denied: Option<(u64, Denial)>,
}

fn digest(
    state: &mut TargetState,
    sinks: &Sinks,
    fetched: Result<Fetched, ScrapeError>,
    at: Timestamp,
    watch: Stopwatch,
) -> Digestion {
    let body = fetched.and_then(|mut fetched| Ok((fetched.body()?, fetched)));
    let (mut batch, result) = match body {
        // What was fetched holds the room of the body until it is read.
        Ok((body, fetched)) => state.ingest(
            &sinks.store,
            &Answer { body: &body, content_type: &fetched.content_type, at, created: sinks.created },
        ),
        Err(error) => (state.fail(at), Err(error)),
    };
    let duration = watch.elapsed();
    state.report(&sinks.store, &mut batch, at, Outcome { up: result.is_ok(), duration });
    if let Err(error) = &result {
        sinks.metrics.count_failure(error);
    }
    sinks.metrics.record_duration(duration);
    let samples = batch.kept;
    commit(state, sinks, &batch, at);
    Digestion { result, duration, samples, metadata: batch.metadata, denied: batch.denied }
}

fn commit(state: &mut TargetState, sinks: &Sinks, batch: &Batch, at: Timestamp) {
    use std::sync::atomic::Ordering::Relaxed;
    let committed = sinks.store.commit_late(&batch.rows, Lateness::Samples);
    sinks.metrics.count_refusals(&committed);
    sinks.metrics.duplicates.fetch_add(batch.duplicates, Relaxed);
    sinks.metrics.out_of_bounds.fetch_add(batch.out_of_bounds, Relaxed);
    // A handle goes only when its series had no sample for the whole retention time, so a scrape later is soon enough.
    let gone = committed.refused.iter().filter(|(_, refusal)| *refusal == Refusal::Gone);
    let gone: HashSet<_> = gone.map(|(index, _)| batch.rows[*index].series).collect();
    if !gone.is_empty() {
        state.forget(&gone);
    }
    for (family, metadata) in &batch.metadata {
        sinks.metadata.update(family, metadata, at);
    }
    for (series, exemplar) in &batch.exemplars {
        let labels = sinks.store.reader().labels(*series);
        // Those that are too old or too long are counted by nobody, as in Prometheus.
        let _ = labels.map(|labels| sinks.exemplars.add(&labels, exemplar.clone()));
    }
}
