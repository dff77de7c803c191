//! One router shared by the requests and the driver.
//!
//! **Invariants.** A change of silences is kept (on disk, say) before it is in force and before it is answered; one that cannot be
//! kept does not happen. Changes are made one after the other. So is what the router knows and decides, before it is told.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::silences;
use crate::exposition::{Family, FamilyKind};
use crate::model::Timestamp;
use crate::router::{Event, Notification, Router, RouterConfig, SilenceError, Silences, StateChange};

/// Keeps changes of the router's state over a restart. May write to a disk, and does not wait for it.
pub type KeepState = Box<dyn Fn(Vec<StateChange>) + Send + Sync>;

/// Keeps all silences over a restart. May wait for a disk.
pub type KeepSilences = Box<dyn Fn(&Silences) -> io::Result<()> + Send + Sync>;

/// Why silences are as they were.
#[derive(Debug)]
pub enum ChangeError {
    /// The change is not allowed.
    Refused(SilenceError),
    /// It would be forgotten at the next restart.
    NotKept(io::Error),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Refused(error) => write!(f, "{error}"),
            ChangeError::NotKept(error) => write!(f, "silences are as before, since they cannot be stored: {error}"),
        }
    }
}

impl std::error::Error for ChangeError {}

/// Shares a router. Cloning shares the same one.
///
/// **Why a lock and no actor.** A step is short and never waits; a request must see what it posted at once.
#[derive(Clone)]
pub struct RouterHandle(Arc<Shared>);

struct Shared {
    router: Mutex<Router>,
    /// Locked while a change of silences is made and kept; never while `router` is.
    keep_silences: Mutex<KeepSilences>,
    /// Locked before `router` is let go, so that changes are kept in order.
    keep_state: Mutex<Option<KeepState>>,
    /// Told when a timer may have changed outside of a step.
    changed: Notify,
    started_at: Timestamp,
    now: fn() -> Timestamp,
}

impl RouterHandle {
    /// Shares `router`; `now` is the clock for requests. Silences live as long as the process.
    pub fn new(router: Router, now: fn() -> Timestamp) -> RouterHandle {
        RouterHandle::keeping(router, now, Box::new(|_| Ok(())))
    }

    /// The same, where every change of silences is kept.
    pub fn keeping(router: Router, now: fn() -> Timestamp, keep: KeepSilences) -> RouterHandle {
        RouterHandle(Arc::new(Shared {
            router: Mutex::new(router),
            keep_silences: Mutex::new(keep),
            keep_state: Mutex::default(),
            changed: Notify::new(),
            started_at: now(),
            now,
        }))
    }

    /// Takes up the state of an earlier life, and has it kept from now on. Gives the names of what cannot be read.
    pub fn keep_state(&self, states: &[(String, Vec<u8>)], keep: KeepState) -> Vec<String> {
        let mut router = self.0.router.lock();
        let unreadable = router.restore(states, self.now());
        router.track_changes();
        let mut changes = router.take_changes();
        let known: BTreeSet<String> = changes.iter().map(|(name, _)| name.clone()).collect();
        let gone = states.iter().filter(|(name, _)| !known.contains(name));
        changes.extend(gone.map(|(name, _)| (name.clone(), None)));
        keep(changes);
        *self.0.keep_state.lock() = Some(keep);
        unreadable
    }

    /// What changed is stored when this returns.
    fn keep_changes(&self, mut router: MutexGuard<'_, Router>) {
        let changes = router.take_changes();
        if changes.is_empty() {
            return;
        }
        let keep = self.0.keep_state.lock();
        drop(router);
        if let Some(keep) = &*keep {
            keep(changes);
        }
    }

    /// Changes silences. Goes on to the end even if nobody waits for the answer.
    pub async fn change_silences<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Silences, Timestamp) -> Result<T, SilenceError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let handle = self.clone();
        let changing = tokio::task::spawn_blocking(move || {
            let keep = handle.0.keep_silences.lock();
            let mut silences = handle.read(|router| router.silences().clone());
            let changed = change(&mut silences, handle.now()).map_err(ChangeError::Refused)?;
            keep(&silences).map_err(ChangeError::NotKept)?;
            handle.0.router.lock().set_silences(silences);
            Ok(changed)
        });
        changing.await.expect("BUG: changing silences panicked")
    }

    /// Adds the family `alertmanager_silences`.
    pub fn collect(&self, families: &mut Vec<Family>) {
        let mut family = Family::new("alertmanager_silences", "How many silences by state.", FamilyKind::Gauge);
        let now = self.now();
        self.read(|router| {
            for state in silences::STATES {
                let count = router.silences().iter().filter(|silence| silence.state(now) == state).count();
                family.point(vec![("state", state.as_str().to_owned())], count as f64);
            }
        });
        families.push(family);
    }

    /// Steps the router; the second value says when to step again at the latest. For the driver.
    pub fn step(&self, now: Timestamp, events: Vec<Event>) -> (Vec<Notification>, Option<Timestamp>) {
        let mut router = self.0.router.lock();
        let notifications = router.step(now, events);
        let next = router.next_wakeup();
        self.keep_changes(router);
        (notifications, next)
    }

    /// Takes in events without running timers, and wakes the driver.
    pub fn ingest(&self, events: Vec<Event>) {
        let mut router = self.0.router.lock();
        router.ingest(self.now(), events);
        self.keep_changes(router);
        self.0.changed.notify_one();
    }

    /// Puts a new configuration in force, and wakes the driver.
    pub fn apply(&self, config: RouterConfig) {
        let mut router = self.0.router.lock();
        router.apply(config, self.now());
        self.keep_changes(router);
        self.0.changed.notify_one();
    }

    /// Returns when somebody else than the driver changed the router since the last call. For the driver.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Looks at the router. `look` must be short: everything else waits.
    pub fn read<T>(&self, look: impl FnOnce(&Router) -> T) -> T {
        look(&self.0.router.lock())
    }

    /// The time of requests.
    pub fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    /// Since when the router is there.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }
}
