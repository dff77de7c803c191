//! Drives the embedded router: events in, notifications out, awake at its timers.
//!
//! **Invariants.** What the router decided is stored before a notification is handed on. When the program ends, no new notification is
//! made, and what became of those under way is still learnt and stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::history::History;
use crate::api::v2::RouterHandle;
use crate::clock::{self, Stopwatch};
use crate::deliver::Delivery;
use crate::model::{Alert, Timestamp};
use crate::router::{Event, Notification, NotificationId};

/// The task that steps the router.
pub(super) struct Driver {
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Only results are taken in.
    Draining,
    /// All results are there.
    Over,
}

impl Driver {
    /// Steps the router whenever something arrived, a delivery ended or a timer is due.
    pub(super) fn start(
        handle: RouterHandle,
        delivery: Arc<Delivery>,
        results: mpsc::UnboundedReceiver<Event>,
        history: Arc<History>,
    ) -> Driver {
        let (phase, phases) = watch::channel(Phase::Running);
        Driver {
            phase,
            task: tokio::spawn(drive(handle, delivery, Results { results, history, sent: BTreeMap::new() }, phases)),
        }
    }

    /// Makes no notification any more; the results of those under way are still taken in until `delivered` has come.
    pub(super) async fn finish(self, delivered: impl Future<Output = ()>) {
        self.phase.send_replace(Phase::Draining);
        delivered.await;
        self.phase.send_replace(Phase::Over);
        if self.task.await.is_err() {
            tracing::error!("BUG: the driver of the router panicked");
        }
    }
}

async fn drive(
    handle: RouterHandle,
    delivery: Arc<Delivery>,
    mut results: Results,
    mut phases: watch::Receiver<Phase>,
) {
    let mut events = Vec::new();
    let mut looked = Looked::now();
    while *phases.borrow_and_update() == Phase::Running {
        events.extend(looked.again());
        let (notifications, next) = handle.step(looked.at, std::mem::take(&mut events));
        for notification in notifications {
            results.expect(&notification);
            delivery.send(notification);
        }
        let timer = async {
            match next {
                Some(at) => clock::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = handle.changed() => {}
            () = timer => {}
            _ = phases.changed() => {}
            result = results.next() => events.push(result),
        }
    }
    loop {
        handle.ingest(std::mem::take(&mut events));
        tokio::select! {
            biased;
            result = results.next() => events.push(result),
            () = over(&mut phases) => return,
        }
    }
}

/// A clock that goes on by itself may be wrong by less.
const JUMP_MIN: Duration = Duration::from_secs(10);

/// When somebody looked at the clock, by both clocks.
struct Looked {
    at: Timestamp,
    stopwatch: Stopwatch,
}

impl Looked {
    fn now() -> Looked {
        Looked { at: clock::now(), stopwatch: Stopwatch::start() }
    }

    /// Looks again; gives whether the wall clock has jumped forth meanwhile, or the machine has slept.
    fn again(&mut self) -> Option<Event> {
        let before = std::mem::replace(self, Looked::now());
        let by = self.at.since(before.at).saturating_sub(before.stopwatch.elapsed());
        if by < JUMP_MIN {
            return None;
        }
        tracing::warn!(
            by_secs = by.as_secs_f64(),
            "the clock has jumped; what fires has as long to be confirmed as before"
        );
        Some(Event::Jumped { from: before.at, by })
    }
}

/// What becomes of notifications, noted in the history.
struct Results {
    results: mpsc::UnboundedReceiver<Event>,
    history: Arc<History>,
    /// Under way: to whom, and of which alerts.
    sent: BTreeMap<NotificationId, (String, Vec<Alert>)>,
}

impl Results {
    fn expect(&mut self, notification: &Notification) {
        let (kind, index) = notification.integration;
        let destination = format!("{}/{kind}[{index}]", notification.receiver);
        self.sent.insert(notification.id, (destination, notification.alerts.clone()));
    }

    /// The next one. Loses none if it is dropped.
    async fn next(&mut self) -> Event {
        let Some(result) = self.results.recv().await else { return std::future::pending().await };
        let (id, refusal) = match &result {
            Event::Delivered(id) => (id, None),
            Event::Failed(id, reason) => (id, Some(reason.as_str())),
            _ => return result,
        };
        if let Some((destination, alerts)) = self.sent.remove(id) {
            self.history.told(&destination, alerts.iter(), refusal, clock::now());
        }
        result
    }
}

/// Returns once all results are there, or nobody is left to say so.
async fn over(phases: &mut watch::Receiver<Phase>) {
    let _ = phases.wait_for(|phase| *phase == Phase::Over).await;
}
