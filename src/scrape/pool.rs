//! The task of one job: follow its discovery, keep one loop for each of its targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::ScrapeConfig;
use super::error::ScrapeError;
use super::ingest::TargetState;
use super::target::{Target, targets_of};
use super::target_loop::{ActiveTarget, Sinks, TargetLoop};
use crate::clock;
use crate::discovery::{Discovery, TargetGroup};
use crate::http::{Client, HttpError};
use crate::model::Labels;

/// What makes a target the same one after a change: all of its labels, and its URL.
pub(super) type TargetKey = (Labels, String);
/// What is remembered of the targets of a pool that stopped.
pub(super) type States = BTreeMap<TargetKey, Box<TargetState>>;

const USER_AGENT: &str = concat!("Almenara/", env!("CARGO_PKG_VERSION"));

/// What the loops of a pool and its observers share.
#[derive(Debug)]
pub(super) struct PoolShared {
    pub(super) config: Arc<ScrapeConfig>,
    /// Made when it is first needed, so that a certificate may still come.
    client: Mutex<Option<Arc<Client>>>,
    pub(super) view: Mutex<View>,
    pub(super) syncs: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// The targets as they are now.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) active: Vec<Arc<ActiveTarget>>,
    pub(super) dropped: Vec<Labels>,
    pub(super) dropped_count: u64,
    over_limit: Option<usize>,
}

impl PoolShared {
    /// Nothing discovered yet.
    pub(super) fn new(config: Arc<ScrapeConfig>) -> Self {
        PoolShared {
            config,
            client: Mutex::new(None),
            view: Mutex::default(),
            syncs: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// An error where the pool has more targets than it may have: then none of them is asked, as in Prometheus.
    pub(super) fn refusal(&self) -> Result<(), ScrapeError> {
        match self.view.lock().over_limit {
            None => Ok(()),
            Some(targets) => Err(ScrapeError::TargetLimit { targets, limit: self.config.limits.targets }),
        }
    }

    pub(super) fn client(&self) -> Result<Arc<Client>, HttpError> {
        let mut client = self.client.lock();
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made = Arc::new(Client::new(self.config.client.clone(), USER_AGENT)?);
        *client = Some(made.clone());
        Ok(made)
    }
}

struct Running {
    active: Arc<ActiveTarget>,
    stop: CancellationToken,
    task: JoinHandle<Box<TargetState>>,
}

pub(super) struct Pool {
    pub(super) shared: Arc<PoolShared>,
    pub(super) sinks: Sinks,
    pub(super) stop: CancellationToken,
    running: BTreeMap<TargetKey, Running>,
}

impl Pool {
    pub(super) fn new(shared: Arc<PoolShared>, sinks: Sinks, stop: CancellationToken) -> Self {
        Pool { shared, sinks, stop, running: BTreeMap::new() }
    }

    /// Follows `discovery` until it is stopped; gives back what its targets remember. `states` is what an earlier pool of this
    /// job gave back; what has no target any more is marked stale.
    pub(super) async fn run(mut self, discovery: Discovery, mut states: States) -> States {
        let mut changes = discovery.subscribe();
        loop {
            let groups = changes.borrow_and_update().clone();
            self.sync(&groups, &mut states).await;
            for (_, state) in std::mem::take(&mut states) {
                self.end(*state);
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = changes.changed() => changed.expect("BUG: the discovery of a pool ended before the pool"),
            }
        }
        let running = std::mem::take(&mut self.running);
        stop_all(running).await
    }

    async fn sync(&mut self, groups: &[TargetGroup], states: &mut States) {
        let config = self.shared.config.clone();
        let sorted = targets_of(&config, groups);
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.failed.fetch_add(sorted.failed.len() as u64, Ordering::Relaxed);
        for reason in &sorted.failed {
            tracing::error!(job = config.job_name, reason, "target cannot be scraped");
        }
        let wanted: BTreeMap<TargetKey, Target> =
            sorted.targets.into_iter().map(|target| ((target.labels.clone(), target.url.clone()), target)).collect();
        let kept = |key: &TargetKey, running: &Running| {
            // The interval is a label; only the labels before relabelling can differ, and they are only shown.
            wanted.get(key).is_some_and(|target| *target == running.active.target)
        };
        let (stays, goes): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.running).into_iter().partition(|(key, running)| kept(key, running));
        self.running = stays;
        states.append(&mut stop_all(goes).await);
        let count = wanted.len();
        for (key, target) in wanted {
            if !self.running.contains_key(&key) {
                let state = states.remove(&key);
                self.start(key, target, state);
            }
        }
        self.publish(sorted.dropped, count);
    }

    fn start(&mut self, key: TargetKey, target: Target, state: Option<Box<TargetState>>) {
        let config = self.shared.config.clone();
        let state = match state {
            Some(state) => Box::new(state.reconfigured(config.clone())),
            None => Box::new(TargetState::new(config.clone(), target.public_labels())),
        };
        let active = Arc::new(ActiveTarget { target, last: Mutex::default(), families: Mutex::default() });
        let stop = CancellationToken::new();
        let target_loop = TargetLoop {
            active: active.clone(),
            config,
            pool: self.shared.clone(),
            sinks: self.sinks.clone(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(target_loop.run(state));
        self.running.insert(key, Running { active, stop, task });
    }

    fn publish(&self, mut dropped: Vec<Labels>, count: usize) {
        let limits = &self.shared.config.limits;
        let over_limit = (limits.targets > 0 && count as u64 > limits.targets).then_some(count);
        if over_limit.is_some() {
            self.sinks.metrics.target_limit.fetch_add(1, Ordering::Relaxed);
        }
        let dropped_count = dropped.len() as u64;
        if limits.dropped_targets > 0 {
            dropped.truncate(usize::try_from(limits.dropped_targets).unwrap_or(usize::MAX));
        }
        let mut active: Vec<Arc<ActiveTarget>> = self.running.values().map(|running| running.active.clone()).collect();
        active.sort_by(|a, b| (&a.target.url, &a.target.labels).cmp(&(&b.target.url, &b.target.labels)));
        *self.shared.view.lock() = View { active, dropped, dropped_count, over_limit };
    }

    fn end(&self, state: TargetState) {
        end_target(&self.sinks, state);
    }
}

/// Marks all series of a target stale that is gone.
pub(super) fn end_target(sinks: &Sinks, state: TargetState) {
    let committed = sinks.store.commit(&state.end(clock::now()));
    sinks.metrics.count_refusals(&committed);
}

/// All are told before the first is waited for: the longest decides, not the sum.
async fn stop_all(running: BTreeMap<TargetKey, Running>) -> States {
    for loop_ in running.values() {
        loop_.stop.cancel();
    }
    let mut states = States::new();
    for (key, loop_) in running {
        states.insert(key, loop_.task.await.expect("BUG: the loop of a target panicked"));
    }
    states
}
