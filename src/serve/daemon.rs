//! The parts of the daemon and their life: start, take another configuration, drain.
//!
//! **Invariants.** A configuration is applied whole or not at all: everything that can fail (HTTP clients, certificates) is tried
//! before anything is changed. Groups whose definition did not change keep running untouched.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::beat::Beats;
use super::demand;
use super::error::ServeError;
use super::groups::Groups;
use super::history::History;
use super::kept::{self, Kept};
use super::listen;
use super::routing;
use super::scheduler::{SendAlerts, Shared};
use super::silence_file::SilenceFile;
use super::snapshot;
use super::storage::Storage;
use super::surface;
use super::upkeep::Upkeep;
use super::web_config::WebConfig;
use crate::api::v2::RouterHandle;
use crate::api::{Live, ReloadRequest};
use crate::clock::{self, Latency};
use crate::config::{Config, FeatureFlags, Settings};
use crate::deliver::Delivery;
use crate::discovery::DiscoveryMetrics;
use crate::model::{Alert, Labels, Timestamp};
use crate::notifier::{AlertingConfig, Notifier, QueueLimits};
use crate::promql::plan::Engine;
use crate::remote::Receiver;
use crate::router::{Event, Router};
use crate::rules::{Environment, Outage};
use crate::scrape::{self, CreatedLines, Destination};
use crate::slo::SloStatus;
use crate::store::{ExemplarStore, MetadataStore, Store, StoreOptions};

/// How we name ourselves to targets and receivers.
pub(super) const USER_AGENT: &str = concat!("Almenara/", env!("CARGO_PKG_VERSION"));
/// How often samples past their retention are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// How long a drain may take: what waits in queues is sent, then we go.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// A running daemon. End it with [`Daemon::stop`].
pub struct Daemon {
    address: SocketAddr,
    parts: Arc<Parts>,
    reloads: Option<mpsc::Receiver<ReloadRequest>>,
    tasks: Vec<JoinHandle<()>>,
    driver: routing::Driver,
}

/// What the daemon is made of.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) features: FeatureFlags,
    pub(super) store: Arc<Store>,
    pub(super) metadata: Arc<MetadataStore>,
    pub(super) exemplars: Arc<ExemplarStore>,
    pub(super) receiver: Arc<Receiver>,
    pub(super) storage: Arc<Storage>,
    pub(super) history: Arc<History>,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) scrapes: Arc<scrape::Manager>,
    pub(super) groups: Arc<Groups>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) discovery_metrics: Arc<DiscoveryMetrics>,
    pub(super) router: RouterHandle,
    pub(super) delivery: Arc<Delivery>,
    pub(super) live: Arc<RwLock<Live>>,
    /// Why the last reload was refused, if it was.
    pub(super) reload_error: Mutex<Option<String>>,
    /// What the notifier has, to go back to. Locked while a configuration is applied: one at a time.
    notified: tokio::sync::Mutex<(AlertingConfig, Labels)>,
}

impl Daemon {
    /// Starts all parts on listeners that are already bound; `web` is what `--web.config.file` says.
    pub async fn start(
        config: Config,
        settings: Settings,
        listeners: Vec<TcpListener>,
        web: Option<WebConfig>,
    ) -> Result<Daemon, ServeError> {
        let web = web.map(Arc::new);
        let address = listeners[0].local_addr().map_err(ServeError::System)?;
        let started_at = clock::now();
        let scheme = web.as_ref().map_or("http", |web| web.scheme());
        let external_url = external_url(&settings, address, scheme);
        let (delivery, results) = Delivery::new(USER_AGENT);
        let delivery = Arc::new(delivery);
        let discovery_metrics = Arc::new(DiscoveryMetrics::default());
        let router = router(&config, &settings, &external_url, started_at);
        let history = Arc::new(History::default());
        let notifier = notifier(&settings, discovery_metrics.clone(), history.clone());
        let store = Arc::new(Store::new(StoreOptions { retention: settings.duration("storage.tsdb.retention.time") }));
        let metadata = Arc::new(MetadataStore::default());
        let exemplars = Arc::new(ExemplarStore::new());
        let features = FeatureFlags::read(&settings.list("enable-feature")).0;
        let destination = Destination {
            store: store.clone(),
            metadata: metadata.clone(),
            exemplars: exemplars.clone(),
            created: if features.start_time_storage { CreatedLines::StartTimes } else { CreatedLines::Series },
        };
        let storage = Arc::new(Storage::default());
        let shared = Shared {
            store: store.clone(),
            storage: storage.clone(),
            history: history.clone(),
            engine: Arc::new(Engine::of_dialect(store.clone(), &features.dialect)),
            send_alerts: send_alerts(notifier.clone(), router.clone()),
            latency: Arc::new(Latency::new()),
            beats: Beats::default(),
            templates: Arc::default(),
            rule_latency: Arc::new(Latency::new()),
        };
        let upkeep = Arc::new(Upkeep::new(&settings, store.clone(), metadata.clone(), storage.clone()));
        let parts = Arc::new(Parts {
            scrapes: Arc::new(scrape::Manager::new(destination, discovery_metrics.clone())),
            receiver: Arc::new(Receiver::new(store.clone(), metadata.clone(), exemplars.clone())),
            live: Arc::new(RwLock::new(live(&config, &settings, &external_url, started_at))),
            groups: Arc::new(Groups::new(shared, Path::new(settings.text("storage.path")))),
            features,
            settings,
            storage,
            history: history.clone(),
            upkeep,
            store,
            metadata,
            exemplars,
            notifier,
            discovery_metrics,
            router: router.clone(),
            delivery: delivery.clone(),
            reload_error: Mutex::default(),
            notified: tokio::sync::Mutex::default(),
        });
        let (reload_in, reloads) = mpsc::channel(1);
        let routes = surface::routes(parts.clone(), reload_in, &listeners, web.as_ref());
        let serve = |listener| listen::serve(listener, routes.clone(), web.clone());
        // Before the samples are there, the answer is 503.
        let mut tasks: Vec<JoinHandle<()>> = listeners.into_iter().map(serve).collect();
        if let Err(error) = parts.begin(config).await {
            tasks.iter().for_each(JoinHandle::abort);
            return Err(error);
        }
        tasks.push(expire(parts.clone()));
        tasks.push(save_slos(parts.groups.clone()));
        tasks.push(tokio::spawn(parts.upkeep.clone().forever()));
        // Not before there are receivers: heartbeats are due at once.
        let driver = routing::Driver::start(router, delivery, results, history);
        parts.live.write().is_ready = true;
        Ok(Daemon { address, parts, reloads: Some(reloads), tasks, driver })
    }

    /// Where the first listener listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the objectives stand.
    pub fn slos(&self) -> Vec<SloStatus> {
        self.parts.groups.slos()
    }

    /// Puts another configuration in force, or says why not and changes nothing.
    pub async fn apply(&self, config: Result<Config, String>) -> Result<(), String> {
        let outcome = match config {
            Ok(config) => self.parts.apply(config).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(()) => tracing::info!("configuration loaded"),
            Err(error) => tracing::error!(error, "configuration refused, the one before it stays in force"),
        }
        self.parts.live.write().is_config_good = outcome.is_ok();
        *self.parts.reload_error.lock() = outcome.clone().err();
        outcome
    }

    /// The reloads that are asked for by HTTP; can be taken once.
    pub(super) fn take_reloads(&mut self) -> mpsc::Receiver<ReloadRequest> {
        self.reloads.take().expect("BUG: reloads were taken twice")
    }

    /// Stops scraping and evaluating, sends what waits, and ends.
    pub async fn stop(self) {
        self.parts.live.write().is_ready = false;
        self.parts.scrapes.shutdown().await;
        let groups = self.parts.groups.clone();
        // An evaluation under way comes to its end: its alerts are told, or stored to be told at the next start.
        let stopped = tokio::task::spawn_blocking(move || groups.stop());
        if tokio::time::timeout(DRAIN_TIME_MAX, stopped).await.is_err() {
            tracing::warn!("an evaluation takes too long; what it finds is not told before the next start");
        }
        let drains = self.parts.settings.is_on("alertmanager.drain-notification-queue-on-shutdown");
        let notifier = self.parts.notifier.shutdown(if drains { DRAIN_TIME_MAX } else { Duration::ZERO });
        let delivery = self.driver.finish(self.parts.delivery.shutdown(DRAIN_TIME_MAX));
        tokio::join!(notifier, delivery);
        self.parts.upkeep.keep_metadata();
        self.parts.storage.flush();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Parts {
    /// Removes what is too old.
    fn expire(&self, now: Timestamp) {
        self.upkeep.expire(now);
        self.history.expire(now, self.settings.duration("alerts.history"));
    }

    /// Reads what is stored, and only then scrapes and evaluates.
    async fn begin(self: &Arc<Self>, config: Config) -> Result<(), ServeError> {
        let parts = self.clone();
        let demands = demand::demands_of(&config, self.settings.duration("query.lookback-delta"));
        let opened = tokio::task::spawn_blocking(move || {
            parts.storage.open(Path::new(parts.settings.text("storage.path")), &parts.store)?;
            parts.upkeep.begin(demands, clock::now());
            parts.history.open(Path::new(parts.settings.text("storage.path")));
            parts.groups.take_up(Kept::read(&parts.storage));
            kept::take_up_router(&parts.router, &parts.storage);
            Ok(())
        });
        let opened: Result<(), ServeError> = opened.await.expect("BUG: reading stored samples panicked");
        opened?;
        self.apply(config).await
    }

    /// A copy of what is stored.
    pub(super) fn snapshot(&self) -> Result<String, String> {
        self.upkeep.keep_metadata();
        snapshot::take(Path::new(self.settings.text("storage.path")), &self.storage, clock::now())
    }

    /// What is wrong with the samples, for people.
    pub(super) fn storage_problem(&self) -> Option<String> {
        let problems = [self.storage.problem(), self.upkeep.problem(), self.groups.warm_start.problem()];
        problems.into_iter().flatten().reduce(|all, further| format!("{all} {further}"))
    }

    /// Whole or not at all. What can fail comes first.
    async fn apply(&self, config: Config) -> Result<(), ServeError> {
        let mut notified = self.notified.lock().await;
        let next = (config.alerting.clone(), config.global.external_labels.clone());
        self.notifier.apply(next.0.clone(), next.1.clone())?;
        if let Err(error) = self.delivery.apply(config.delivery.clone()) {
            // These clients could be made before, so the way back does not fail; if a file has gone since, the new ones stay.
            let _ = self.notifier.apply(notified.0.clone(), notified.1.clone());
            return Err(error.into());
        }
        *notified = next;
        self.router.apply(config.router.clone());
        self.store.set_late_window(config.out_of_order_time_window);
        let now = clock::now();
        let environment = {
            let mut live = self.live.write();
            live.config_yaml = config.shown.as_str().into();
            live.external_labels = config.global.external_labels.clone();
            live.default_subquery_step = config.global.evaluation_interval;
            live.config_loaded_at = now;
            Environment {
                external_labels: config.global.external_labels.clone(),
                external_url: live.external_url.clone(),
                lookback_delta: self.settings.duration("query.lookback-delta"),
                default_subquery_step: config.global.evaluation_interval,
                dialect: self.features.dialect,
                resend_delay: self.settings.duration("rules.alert.resend-delay"),
            }
        };
        let outage = Outage {
            tolerance: self.settings.duration("rules.alert.for-outage-tolerance"),
            grace_period: self.settings.duration("rules.alert.for-grace-period"),
        };
        let scrape_configs = config.scrape_configs.clone();
        let (groups, upkeep, slo_history) = (self.groups.clone(), self.upkeep.clone(), config.slo_history.clone());
        let demands = demand::demands_of(&config, environment.lookback_delta);
        // Waits for evaluations under way, so not on an async thread.
        let applied = tokio::task::spawn_blocking(move || {
            // Before anything is evaluated that needs it.
            upkeep.demand(demands, now);
            groups.apply(&config, environment, outage, now)
        })
        .await;
        let wanted = applied.expect("BUG: changing the groups panicked");
        self.groups.warm_start.begin(self.groups.clone(), slo_history, wanted);
        self.scrapes.apply(scrape_configs).await;
        Ok(())
    }
}

/// Alerts go to the Alertmanagers as they are (the notifier adds external labels), and to the router with external labels.
fn send_alerts(notifier: Arc<Notifier>, router: RouterHandle) -> SendAlerts {
    Arc::new(move |alerts: Vec<Alert>, environment: &Environment| {
        notifier.send(alerts.clone());
        let labelled = alerts.into_iter().map(|alert| alert.with_external_labels(&environment.external_labels));
        router.ingest(vec![Event::Alerts(labelled.collect())]);
    })
}

/// A notifier whose news are noted.
fn notifier(settings: &Settings, discovery_metrics: Arc<DiscoveryMetrics>, history: Arc<History>) -> Arc<Notifier> {
    let limits = QueueLimits {
        capacity: settings.count("alertmanager.notification-queue-capacity"),
        batch_size_max: settings.count("alertmanager.notification-batch-size"),
    };
    let notifier = Notifier::new(USER_AGENT, limits, discovery_metrics);
    notifier.observe(Box::new(move |url, alerts, refusal| {
        history.told(url, alerts.iter().map(|alert| &**alert), refusal, clock::now());
    }));
    Arc::new(notifier)
}

/// The router with the silences of the last run.
fn router(config: &Config, settings: &Settings, external_url: &str, now: Timestamp) -> RouterHandle {
    let mut router = Router::new(config.router.clone(), external_url, now);
    let file = SilenceFile::in_folder(Path::new(settings.text("storage.path")));
    router.set_silences(file.load(now));
    RouterHandle::keeping(router, clock::now, Box::new(move |silences| file.save(silences)))
}

fn external_url(settings: &Settings, address: SocketAddr, scheme: &str) -> String {
    match settings.text("web.external-url") {
        "" => format!("{scheme}://{address}"),
        url => url.trim_end_matches('/').to_owned(),
    }
}

fn live(config: &Config, settings: &Settings, external_url: &str, started_at: Timestamp) -> Live {
    Live {
        config_yaml: config.shown.as_str().into(),
        flags: settings.all(),
        external_url: external_url.into(),
        external_labels: config.global.external_labels.clone(),
        default_subquery_step: config.global.evaluation_interval,
        retention: settings.duration("storage.tsdb.retention.time"),
        started_at,
        config_loaded_at: started_at,
        is_config_good: true,
        is_ready: false,
    }
}

/// The counters of objectives are kept this often; what is younger is in the stored samples.
const SAVE_SLOS_EVERY: Duration = Duration::from_secs(10 * 60);

fn save_slos(groups: Arc<Groups>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval_at(tokio::time::Instant::now() + SAVE_SLOS_EVERY, SAVE_SLOS_EVERY);
        loop {
            every.tick().await;
            let groups = groups.clone();
            // Waits for evaluations and the disk, so not on an async thread.
            if tokio::task::spawn_blocking(move || groups.save_slos()).await.is_err() {
                tracing::error!("BUG: keeping the counters of objectives panicked");
            }
        }
    })
}

fn expire(parts: Arc<Parts>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(EXPIRE_EVERY);
        loop {
            every.tick().await;
            let parts = parts.clone();
            // Walks every series, so not on an async thread.
            if tokio::task::spawn_blocking(move || parts.expire(clock::now())).await.is_err() {
                tracing::error!("BUG: removing old samples panicked");
            }
        }
    })
}
