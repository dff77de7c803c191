//! All jobs: a pool each, changed as a diff of configurations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::ScrapeConfig;
use super::created::CreatedLines;
use super::pool::{Pool, PoolShared, States, end_target};
use super::status::{DroppedTarget, TargetStatus, Targets};
use super::target_loop::{ActiveTarget, Sinks};
use crate::discovery::{self, DiscoveryMetrics};
use crate::exposition::{Family, FamilyKind};
use crate::store::{ExemplarStore, MetadataStore, Store};

/// Scrapes what it is told to.
pub struct Manager {
    sinks: Sinks,
    discovery_metrics: Arc<DiscoveryMetrics>,
    /// Held while a configuration is applied, so that two reloads come one after the other.
    jobs: Mutex<BTreeMap<String, Job>>,
    /// The same pools for observers, who must not wait for a reload.
    observed: parking_lot::Mutex<BTreeMap<String, Arc<PoolShared>>>,
}

struct Job {
    config: Arc<ScrapeConfig>,
    stop: CancellationToken,
    task: JoinHandle<States>,
}

impl Job {
    async fn stopped(self) -> States {
        self.stop.cancel();
        self.task.await.expect("BUG: the pool of a job panicked")
    }
}

/// Where what is scraped goes.
#[derive(Clone)]
pub struct Destination {
    /// Samples.
    pub store: Arc<Store>,
    /// Types and help texts.
    pub metadata: Arc<MetadataStore>,
    /// Examples of what samples count.
    pub exemplars: Arc<ExemplarStore>,
    /// What `_created` lines are taken for.
    pub created: CreatedLines,
}

impl Manager {
    /// A manager without jobs.
    pub fn new(destination: Destination, discovery_metrics: Arc<DiscoveryMetrics>) -> Self {
        let Destination { store, metadata, exemplars, created } = destination;
        Manager {
            sinks: Sinks { store, metadata, exemplars, created, metrics: Arc::default(), room: Arc::default() },
            discovery_metrics,
            jobs: Mutex::default(),
            observed: parking_lot::Mutex::default(),
        }
    }

    /// Scrapes these jobs from now on. A job that is configured as before goes on undisturbed; the targets of a changed one
    /// keep what is remembered of them; the series of what is gone are marked stale. Must be called inside a tokio runtime.
    pub async fn apply(&self, configs: Vec<ScrapeConfig>) {
        let mut jobs = self.jobs.lock().await;
        let mut old = std::mem::take(&mut *jobs);
        for config in configs {
            let name = config.job_name.clone();
            let states = match old.remove(&name) {
                Some(job) if *job.config == config => {
                    jobs.insert(name, job);
                    continue;
                }
                Some(job) => {
                    self.sinks.metrics.reloads.fetch_add(1, Ordering::Relaxed);
                    job.stopped().await
                }
                None => {
                    self.sinks.metrics.pools.fetch_add(1, Ordering::Relaxed);
                    States::new()
                }
            };
            let job = self.start(config, states).await;
            jobs.insert(name, job);
        }
        for (name, job) in old {
            self.observed.lock().remove(&name);
            for (_, state) in job.stopped().await {
                end_target(&self.sinks, *state);
            }
        }
    }

    async fn start(&self, config: ScrapeConfig, states: States) -> Job {
        let config = Arc::new(config);
        let shared = Arc::new(PoolShared::new(config.clone()));
        self.observed.lock().insert(config.job_name.clone(), shared.clone());
        let stop = CancellationToken::new();
        let pool = Pool::new(shared, self.sinks.clone(), stop.clone());
        // The first look at the files is synchronous and may be slow.
        let (discovery, metrics) = (config.discovery.clone(), self.discovery_metrics.clone());
        let runtime = tokio::runtime::Handle::current();
        let watch = move || {
            let _inside = runtime.enter();
            discovery::watch(discovery, metrics)
        };
        let discovery = tokio::task::spawn_blocking(watch).await.expect("BUG: starting a discovery panicked");
        let task = tokio::spawn(pool.run(discovery, states));
        Job { config, stop, task }
    }

    /// All targets as they are now.
    pub fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for (name, pool) in &*self.observed.lock() {
            let view = pool.view.lock();
            targets.active.extend(view.active.iter().map(|active| status_of(name, active)));
            targets.dropped.extend(
                view.dropped
                    .iter()
                    .map(|labels| DroppedTarget { scrape_pool: name.clone(), discovered_labels: labels.clone() }),
            );
            targets.dropped_counts.push((name.clone(), view.dropped_count));
        }
        targets
    }

    /// Stops scraping. Nothing is marked stale: a restart goes on where this ends.
    pub async fn shutdown(&self) {
        let jobs = std::mem::take(&mut *self.jobs.lock().await);
        for job in jobs.values() {
            job.stop.cancel();
        }
        for (_, job) in jobs {
            job.stopped().await;
        }
        self.observed.lock().clear();
    }

    /// Adds the families of scraping.
    pub fn collect(&self, families: &mut Vec<Family>) {
        self.sinks.metrics.collect(families);
        let gauge = FamilyKind::Gauge;
        let counter = FamilyKind::Counter;
        let mut sizes = Family::new(
            "prometheus_target_scrape_pool_targets",
            "Current number of targets in this scrape pool.",
            gauge,
        );
        let help = "Maximum number of targets allowed in this scrape pool.";
        let mut limits = Family::new("prometheus_target_scrape_pool_target_limit", help, gauge);
        let help = "Total number of syncs that were executed on a scrape pool.";
        let mut syncs = Family::new("prometheus_target_scrape_pool_sync_total", help, counter);
        let help = "Total number of target sync failures.";
        let mut failed = Family::new("prometheus_target_sync_failed_total", help, counter);
        for (name, pool) in &*self.observed.lock() {
            let labels = || vec![("scrape_job", name.clone())];
            sizes.point(labels(), pool.view.lock().active.len() as f64);
            limits.point(labels(), pool.config.limits.targets as f64);
            syncs.point(labels(), pool.syncs.load(Ordering::Relaxed) as f64);
            failed.point(labels(), pool.failed.load(Ordering::Relaxed) as f64);
        }
        families.extend([sizes, limits, syncs, failed]);
    }
}

/// Tasks must not outlive who could see them.
impl Drop for Manager {
    fn drop(&mut self) {
        for job in self.jobs.get_mut().values() {
            job.stop.cancel();
        }
    }
}

fn status_of(pool: &str, active: &ActiveTarget) -> TargetStatus {
    let target = &active.target;
    TargetStatus {
        scrape_pool: pool.to_owned(),
        labels: target.public_labels(),
        discovered_labels: target.discovered_labels.clone(),
        scrape_url: target.url.clone(),
        scrape_interval: target.interval,
        scrape_timeout: target.timeout,
        last: active.last.lock().clone(),
        families: active.families.lock().clone(),
    }
}
