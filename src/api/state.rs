//! What the handlers read: the store, and snapshots of what the rest of the program is doing.
//!
//! The API starts nothing and owns nothing. What runs elsewhere is read through a [`Source`], a function that gives a snapshot,
//! so that neither side holds a lock of the other while it works.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::history::AlertEvents;
use super::kept_plans::KeptPlans;
use super::v2::RouterHandle;
use crate::exposition::Family;
use crate::model::{Labels, Timestamp};
use crate::notifier::Alertmanagers;
use crate::promql::Dialect;
use crate::promql::plan::Executor;
use crate::remote::Receiver;
use crate::rules::GroupStatus;
use crate::scrape::Targets;
use crate::slo::SloStatus;
use crate::store::{ExemplarStore, MetadataStore, Store};

/// Gives a snapshot of something that lives elsewhere. Must be quick and must not block.
pub type Source<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// Adds a part's own metrics.
pub type Collector = Arc<dyn Fn(&mut Vec<Family>) + Send + Sync>;

/// Asks for a reload; the answer comes through the sender inside: the text of the failure, if it failed.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Everything that the handlers read. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The samples.
    pub store: Arc<Store>,
    /// Types and help texts.
    pub metadata: Arc<MetadataStore>,
    /// Examples of what samples count.
    pub exemplars: Arc<ExemplarStore>,
    /// Takes remote writes; `None` where they are not allowed.
    pub receiver: Option<Arc<Receiver>>,
    /// How queries run.
    pub queries: Arc<Queries>,
    /// What changes with a reload.
    pub live: Arc<RwLock<Live>>,
    /// The rule groups, in any order.
    pub rules: Source<Vec<GroupStatus>>,
    /// What happened to alerts.
    pub alert_events: AlertEvents,
    /// Who is told of alerts by ourselves; `None` where there is no router.
    pub router: Option<RouterHandle>,
    /// The objectives, one for each group, in order of file and name.
    pub slos: Source<Vec<SloStatus>>,
    /// The targets.
    pub targets: Source<Targets>,
    /// The Alertmanagers that get alerts.
    pub alertmanagers: Source<Alertmanagers>,
    /// What is wrong with the samples on disk, for people.
    pub storage_problem: Source<Option<String>>,
    /// Makes a copy of what is stored and gives its name; `None` where it is not allowed. Takes its time.
    pub snapshot: Option<Source<Result<String, String>>>,
    /// Asks for a reload; `None` where it is not allowed by HTTP.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// Who contributes to `/metrics`, in order.
    pub collectors: Arc<[Collector]>,
}

/// What a reload may change, and what the start has set.
#[derive(Clone, Debug)]
pub struct Live {
    /// The configuration in force as YAML, secrets masked.
    pub config_yaml: Arc<str>,
    /// The settings in force, in order of name.
    pub flags: Vec<(String, String)>,
    /// Our own address as users reach it, without a trailing slash.
    pub external_url: Arc<str>,
    /// `global.external_labels`, which federation adds.
    pub external_labels: Labels,
    /// `global.evaluation_interval`: the step of subqueries that name none.
    pub default_subquery_step: Duration,
    /// How long samples are kept.
    pub retention: Duration,
    /// When the process started.
    pub started_at: Timestamp,
    /// When a configuration was last loaded.
    pub config_loaded_at: Timestamp,
    /// Whether the last attempt to load one succeeded.
    pub is_config_good: bool,
    /// Whether we answer queries: not while starting or draining.
    pub is_ready: bool,
}

/// How queries run. Fixed at the start.
#[derive(Clone, Copy, Debug)]
pub struct QuerySettings {
    /// `--query.lookback-delta`
    pub lookback_delta: Duration,
    /// `--query.timeout`; a request may ask for less.
    pub timeout: Duration,
    /// `--query.max-samples`
    pub max_samples: usize,
    /// `--query.max-concurrency`
    pub max_concurrency: usize,
    /// Which parts of the language are on (`--enable-feature`).
    pub dialect: Dialect,
    /// Whether `stats=all` gives samples by step (`--enable-feature=promql-per-step-stats`).
    pub per_step_stats: bool,
}

/// [`QuerySettings`], and the count of queries that run.
pub struct Queries {
    pub(super) settings: QuerySettings,
    pub(super) slots: Arc<Semaphore>,
    /// Queries that run or wait for a slot.
    pub(super) active: Arc<AtomicUsize>,
    pub(super) executor: Option<Arc<dyn Executor>>,
    pub(super) kept: KeptPlans,
}

impl Queries {
    /// No query runs yet.
    pub fn new(settings: QuerySettings) -> Self {
        let slots = settings.max_concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let (slots, active) = (Arc::new(Semaphore::new(slots)), Arc::default());
        Queries { settings, slots, active, executor: None, kept: KeptPlans::default() }
    }

    /// With threads to read many series side by side.
    #[must_use]
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Queries { executor: Some(executor), ..self }
    }
}
