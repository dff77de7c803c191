//! One router shared by the requests and the driver.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::Timestamp;
use crate::router::{Event, Notification, Router, RouterConfig};

/// Shares a router. Cloning shares the same one.
///
/// **Why a lock and no actor.** A step is short and never waits; a request must see what it posted at once.
#[derive(Clone, Debug)]
pub struct RouterHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    router: Mutex<Router>,
    /// Told when a timer may have changed outside of a step.
    changed: Notify,
    started_at: Timestamp,
    now: fn() -> Timestamp,
}

impl RouterHandle {
    /// Shares `router`; `now` is the clock for requests.
    pub fn new(router: Router, now: fn() -> Timestamp) -> RouterHandle {
        RouterHandle(Arc::new(Shared { router: Mutex::new(router), changed: Notify::new(), started_at: now(), now }))
    }

    /// Steps the router; the second value says when to step again at the latest. For the driver.
    pub fn step(&self, now: Timestamp, events: Vec<Event>) -> (Vec<Notification>, Option<Timestamp>) {
        let mut router = self.0.router.lock();
        let notifications = router.step(now, events);
        (notifications, router.next_wakeup())
    }

    /// Takes in events without running timers, and wakes the driver.
    pub fn ingest(&self, events: Vec<Event>) {
        self.0.router.lock().ingest(self.now(), events);
        self.0.changed.notify_one();
    }

    /// Puts a new configuration in force, and wakes the driver.
    pub fn apply(&self, config: RouterConfig) {
        self.0.router.lock().apply(config, self.now());
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
