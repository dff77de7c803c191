//! Reads the history of objectives that begin from the server of `slo_history`, beside everything else that the daemon does.
//!
//! In the flow: [`Groups`] collect what is wanted before a group runs; [`WarmStart::begin`] reads it in slices of time, oldest first, counts each and lets it
//! go, and gives the counters to the groups at the end.
//!
//! **Invariants.** A failure is told by log, metric and `/-/ready`, lets the objectives be evaluated without history, and is tried again
//! ([`BACKOFF`]) from the slice at which it happened. One reading at a time: a reload begins it anew with what is still wanted.
//! **Limits.** One request at a time, then a pause as long as it took ([`PAUSE_MAX`]); a slice holds [`SLICE_SAMPLES_AIM`] samples by order of magnitude
//! and never more than [`SLICE_SAMPLES_MAX`]; objectives wait for `slo_history.wait` at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::daemon::USER_AGENT;
use super::groups::Groups;
use crate::clock::Stopwatch;
use crate::exposition::{Family, FamilyKind};
use crate::http::Backoff;
use crate::model::{Matcher, Sample, Series, Timestamp};
use crate::remote::history::{History, HistoryConfig, Slices};
use crate::slo::Warming;
use crate::store::{Row, Store, StoreOptions};

/// Samples of a slice: some MB of memory.
const SLICE_SAMPLES_AIM: u64 = 500_000;
/// More are not held at once: the slice is asked for in shorter parts.
const SLICE_SAMPLES_MAX: u64 = 8 * SLICE_SAMPLES_AIM;
/// The server has as much rest between requests as it had work, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// When a reading that failed goes on.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(5), factor: 2.0, jitter_ratio: 0.2, longest: Duration::from_secs(600) };
/// How often progress is logged.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The objectives whose history is wanted, by the key of their group.
pub(super) type Wanted = Vec<(String, Warming)>;

/// See the [module](self).
#[derive(Default)]
pub(super) struct WarmStart {
    progress: Mutex<Option<Progress>>,
    task: Mutex<Option<AbortHandle>>,
    samples: AtomicU64,
    failures: AtomicU64,
    filled: AtomicU64,
}

/// What is being read.
struct Progress {
    host: String,
    objectives: usize,
    ratio: f64,
    failure: Option<String>,
}

impl WarmStart {
    /// Reads what is wanted, in place of what is being read. To be called on a runtime.
    pub(super) fn begin(self: &Arc<Self>, groups: Arc<Groups>, config: Option<HistoryConfig>, wanted: Wanted) {
        let mut task = self.task.lock();
        task.take().iter().for_each(AbortHandle::abort);
        *self.progress.lock() = None;
        let Some(config) = config.filter(|_| !wanted.is_empty()) else { return };
        let host = config.host();
        tracing::info!(objectives = wanted.len(), server = host, "history of objectives is read");
        *self.progress.lock() = Some(Progress { host, objectives: wanted.len(), ratio: 0.0, failure: None });
        *task = Some(tokio::spawn(self.clone().run(groups, config, wanted)).abort_handle());
    }

    async fn run(self: Arc<Self>, groups: Arc<Groups>, config: HistoryConfig, mut wanted: Wanted) {
        let from = wanted.iter().map(|(_, one)| one.range().0).min().unwrap_or(Timestamp::MAX);
        let through = wanted.iter().map(|(_, one)| one.range().1).max().unwrap_or(Timestamp::MIN);
        let mut slices = Slices::of((from, through), SLICE_SAMPLES_AIM);
        let stopwatch = Stopwatch::start();
        let mut failures = 0;
        loop {
            let before = slices.current();
            let outcome = self.read(&config, &mut slices, &mut wanted, (from, through)).await;
            let Err(error) = outcome else { break };
            failures = if slices.current() == before { failures + 1 } else { 1 };
            self.failures.fetch_add(1, Ordering::Relaxed);
            let delay = BACKOFF.random_delay(failures);
            tracing::warn!(
                server = config.host(),
                error,
                retry_in_secs = delay.as_secs(),
                "history of objectives cannot be read; they are evaluated without for now"
            );
            if let Some(progress) = &mut *self.progress.lock() {
                progress.failure = Some(error);
            }
            let waiting = groups.clone();
            let _ = tokio::task::spawn_blocking(move || waiting.end_waiting()).await;
            tokio::time::sleep(delay).await;
        }
        let objectives = wanted.len();
        let taken = tokio::task::spawn_blocking(move || groups.take_history(wanted)).await.unwrap_or(0);
        self.filled.fetch_add(taken as u64, Ordering::Relaxed);
        let elapsed_ms = stopwatch.elapsed().as_millis() as u64;
        tracing::info!(objectives, taken, elapsed_ms, "history of objectives is complete");
        *self.progress.lock() = None;
    }

    /// Goes on with the slice that is current; after an error it is current still.
    async fn read(
        &self,
        config: &HistoryConfig,
        slices: &mut Slices,
        wanted: &mut Wanted,
        (from, through): (Timestamp, Timestamp),
    ) -> Result<(), String> {
        let history = History::of(&config.url, config.client.clone(), config.api, USER_AGENT);
        let history = history.await.map_err(|error| error.to_string())?;
        let mut told = Stopwatch::start();
        while let Some((start, end)) = slices.current() {
            let Some((store, received)) = self.slice(&history, wanted, (start, end)).await? else {
                if slices.shorten() {
                    continue;
                }
                return Err(format!("more than {SLICE_SAMPLES_MAX} samples in a minute"));
            };
            self.samples.fetch_add(received, Ordering::Relaxed);
            let all = std::mem::take(wanted);
            let counted = tokio::task::spawn_blocking(move || count(all, &store, end)).await;
            let (all, outcome) = counted.map_err(|_| "BUG: counting history panicked".to_owned())?;
            *wanted = all;
            outcome?;
            slices.advance(received);
            let ratio = end.ms_since(from) as f64 / through.ms_since(from).max(1) as f64;
            if let Some(progress) = &mut *self.progress.lock() {
                (progress.ratio, progress.failure) = (ratio, None);
            }
            if told.elapsed() >= TELL_EVERY {
                tracing::info!(percent = (100.0 * ratio) as u64, "history of objectives is being read");
                told = Stopwatch::start();
            }
        }
        Ok(())
    }

    /// The samples that objectives want of one slice, and how many came; `None`: they are too many.
    async fn slice(
        &self,
        history: &History,
        wanted: &Wanted,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<Option<(Store, u64)>, String> {
        let mut selectors: Vec<&[Matcher]> = Vec::new();
        let is_open = |one: &Warming| one.range().0 <= end && one.range().1 >= start;
        for selector in wanted.iter().filter(|(_, one)| is_open(one)).flat_map(|(_, one)| one.selectors()) {
            // Most objectives share the series that tell of their targets.
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        let store = Store::new(StoreOptions { retention: Duration::MAX });
        let mut received = 0;
        for selector in selectors {
            let request = Stopwatch::start();
            let take = |series: Series| {
                received += series.samples.len() as u64;
                if received <= SLICE_SAMPLES_MAX {
                    let handle = store.series_ref(&series.labels);
                    let row = |sample: Sample| Row::new(handle, sample.at, sample.value);
                    store.commit(&series.samples.into_iter().map(row).collect::<Vec<_>>());
                }
            };
            history.read(selector, (start, end), take).await.map_err(|error| error.to_string())?;
            if received > SLICE_SAMPLES_MAX {
                return Ok(None);
            }
            tokio::time::sleep(request.elapsed().min(PAUSE_MAX)).await;
        }
        Ok(Some((store, received)))
    }

    /// What is being read, or why it is not, for people.
    pub(super) fn problem(&self) -> Option<String> {
        let progress = self.progress.lock();
        let Progress { host, objectives, ratio, failure } = progress.as_ref()?;
        Some(match failure {
            Some(failure) => format!(
                "The history of {objectives} objectives cannot be read from {host}, they are evaluated without: {failure}."
            ),
            None => {
                format!("The history of {objectives} objectives is being read from {host}: {:.0} %.", 100.0 * ratio)
            }
        })
    }

    /// Adds the metrics.
    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let waiting = self.progress.lock().as_ref().map_or(0, |progress| progress.objectives);
        let help = "Objectives whose history is being read from slo_history.";
        families.push(Family::single("almenara_slo_history_objectives", help, FamilyKind::Gauge, waiting as f64));
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        for (name, help, value) in [
            ("almenara_slo_history_samples_total", "Samples that were read of it.", counted(&self.samples)),
            ("almenara_slo_history_failures_total", "Times that it could not be read.", counted(&self.failures)),
            ("almenara_slo_history_filled_total", "Objectives that got their history.", counted(&self.filled)),
        ] {
            families.push(Family::single(name, help, FamilyKind::Counter, value));
        }
    }
}

fn count(mut all: Wanted, store: &Store, end: Timestamp) -> (Wanted, Result<(), String>) {
    let outcome = all.iter_mut().try_for_each(|(_, one)| one.feed(store, end).map_err(|error| error.to_string()));
    (all, outcome)
}
