//! One integration at work: its queue, its attempts, its reports.
//!
//! **Units.** One task per integration, which runs up to [`PARALLEL_MAX`] attempts at once inside itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::attempt::{Failure, FailureReason, Verdict, attempt};
use super::config::{IntegrationKey, Transport};
use super::metrics::Counts;
use super::queue::{Displaced, QUEUE_CAPACITY, Queue, Waiting};
use super::smtp::SmtpConfig;
use crate::clock::{self, Stopwatch};
use crate::http::{Backoff, Client};
use crate::model::Timestamp;
use crate::router::{Event, Notification};

/// Messages on their way to one integration at once: enough that a receiver that takes a second does not hold up a storm of
/// groups, few enough not to be a storm itself.
pub const PARALLEL_MAX: usize = 8;

/// How the integration is spoken to. A reload may change it under the queue.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) channel: Channel,
    /// What the channel was made of.
    pub(super) transport: Transport,
    pub(super) timeout: Option<Duration>,
}

/// What an attempt goes through.
#[derive(Clone, Debug)]
pub(super) enum Channel {
    Http(Arc<Client>),
    Smtp(Arc<SmtpConfig>),
}

/// The handle of one integration's task.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    key: IntegrationKey,
    endpoint: RwLock<Arc<Endpoint>>,
    line: Mutex<Line>,
    changed: Notify,
    counts: Arc<Counts>,
    events: UnboundedSender<Event>,
}

#[derive(Debug)]
struct Line {
    queue: Queue,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// The program ends: what waits is still tried, then the task ends.
    Draining,
    /// The receiver is gone: nothing is tried again.
    Closed,
}

impl Line {
    /// Another attempt after a pause with jitter, or after the one that the receiver asked for.
    fn put_back(&mut self, waiting: Waiting, now: Timestamp, asked: Option<Duration>) -> Option<Displaced> {
        let mut not_before = now + Backoff::ALERTMANAGER.random_delay(waiting.failures);
        if let Some(asked) = asked {
            self.queue.pause_until(now + asked);
            not_before = not_before.max(now + asked);
        }
        self.queue.retry(waiting, not_before)
    }
}

impl Worker {
    /// Must be called inside a tokio runtime.
    pub(super) fn start(
        key: IntegrationKey,
        endpoint: Endpoint,
        counts: Arc<Counts>,
        events: UnboundedSender<Event>,
    ) -> Self {
        let shared = Arc::new(Shared {
            key,
            endpoint: RwLock::new(Arc::new(endpoint)),
            line: Mutex::new(Line { queue: Queue::new(QUEUE_CAPACITY), phase: Phase::Open }),
            changed: Notify::new(),
            counts,
            events,
        });
        let task = tokio::spawn(run(shared.clone()));
        Worker { shared, task: Some(task) }
    }

    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        self.shared.endpoint.read().clone()
    }

    pub(super) fn set_endpoint(&self, endpoint: Endpoint) {
        *self.shared.endpoint.write() = Arc::new(endpoint);
    }

    pub(super) fn push(&self, notification: Notification) {
        self.shared.counts.notifications.fetch_add(1, Ordering::Relaxed);
        let displaced = {
            let mut line = self.shared.line.lock();
            let displaced = line.queue.push(notification);
            self.shared.note_length(&line);
            displaced
        };
        match displaced {
            Some(Displaced::Superseded(old)) => self.shared.supersede(old),
            Some(Displaced::NoRoom(old) | Displaced::NoTime(old)) => {
                let text = format!("more than {QUEUE_CAPACITY} groups wait for this receiver");
                self.shared.give_up(old, Failure { reason: FailureReason::Other, text });
            }
            None => {}
        }
        self.shared.changed.notify_one();
    }

    /// Gives up what waits; what is on its way has this one attempt.
    pub(super) fn close(mut self) {
        self.shared.enter(Phase::Closed);
        self.shared.give_up_all(GONE);
        self.task = None; // detached: it ends with its last attempt
    }

    /// Sends what waits for at most `timeout`, then gives up the rest.
    pub(super) async fn drain(mut self, timeout: Duration) {
        self.shared.enter(Phase::Draining);
        let Some(mut task) = self.task.take() else { return };
        if tokio::time::timeout(timeout, &mut task).await.is_err() {
            task.abort();
            task.await.ok();
            self.shared.give_up_all("the program ends");
            for id in self.shared.line.lock().queue.take_on_their_way() {
                self.shared.counts.failed(FailureReason::Canceled);
                let text = format!("{}: the program ended during an attempt", self.shared.key);
                self.shared.report(Event::Failed(id, text));
            }
        }
    }
}

/// Why notifications of a [`Phase::Closed`] integration are given up.
const GONE: &str = "the receiver is no longer configured";

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

type Attempt = BoxFuture<'static, (Waiting, Verdict)>;

async fn run(shared: Arc<Shared>) {
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    loop {
        let now = clock::now();
        shared.expire(now);
        while attempts.len() < PARALLEL_MAX {
            let Some(waiting) = shared.take_ready(now) else { break };
            let endpoint = shared.endpoint.read().clone();
            attempts.push(Box::pin(shared.clone().try_once(endpoint, waiting)));
        }
        let wakeup = {
            let line = shared.line.lock();
            if line.phase != Phase::Open && line.queue.is_idle() {
                return;
            }
            let next_ready = (attempts.len() < PARALLEL_MAX).then(|| line.queue.next_ready()).flatten();
            next_ready.into_iter().chain(line.queue.next_deadline()).min()
        };
        tokio::select! {
            Some((waiting, verdict)) = attempts.next(), if !attempts.is_empty() => shared.settle(waiting, verdict),
            () = shared.changed.notified() => {}
            () = clock::sleep_until(wakeup.unwrap_or(Timestamp::MAX)), if wakeup.is_some() => {}
        }
    }
}

impl Shared {
    async fn try_once(self: Arc<Self>, endpoint: Arc<Endpoint>, waiting: Waiting) -> (Waiting, Verdict) {
        let stopwatch = Stopwatch::start();
        let verdict = attempt(&endpoint, &waiting.notification).await;
        self.counts.latency.record(stopwatch.elapsed());
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        if verdict != Verdict::Delivered {
            self.counts.requests_failed.fetch_add(1, Ordering::Relaxed);
        }
        (waiting, verdict)
    }

    fn take_ready(&self, now: Timestamp) -> Option<Waiting> {
        let mut line = self.line.lock();
        let taken = line.queue.take_ready(now);
        self.note_length(&line);
        taken
    }

    fn expire(&self, now: Timestamp) {
        let expired = {
            let mut line = self.line.lock();
            let expired = line.queue.take_expired(now);
            self.note_length(&line);
            expired
        };
        for waiting in expired {
            let failure = waiting.last_failure.clone().unwrap_or_else(|| Failure {
                reason: FailureReason::DeadlineExceeded,
                text: "context deadline exceeded".to_owned(),
            });
            self.give_up(waiting, failure);
        }
    }

    fn settle(&self, mut waiting: Waiting, verdict: Verdict) {
        let mut line = self.line.lock();
        line.queue.settle(&waiting.notification.group_key);
        match verdict {
            Verdict::Delivered => {
                drop(line);
                self.counts.delivered();
                if waiting.failures > 0 {
                    let attempts = waiting.failures + 1;
                    tracing::info!(integration = %self.key, attempts, "notification delivered after failures");
                }
                self.report(Event::Delivered(waiting.notification.id));
            }
            Verdict::Never(failure) => {
                drop(line);
                waiting.failures += 1;
                self.give_up(waiting, failure);
            }
            Verdict::Again { failure, .. } if line.phase == Phase::Closed => {
                drop(line);
                waiting.failures += 1;
                let text = format!("{GONE}; last failure: {}", failure.text);
                self.give_up(waiting, Failure { reason: FailureReason::Canceled, text });
            }
            Verdict::Again { failure, pause } => {
                waiting.failures += 1;
                if waiting.failures == 1 {
                    tracing::warn!(integration = %self.key, error = failure.text, "notification failed, will be tried again");
                }
                waiting.last_failure = Some(failure.clone());
                let rest = line.put_back(waiting, clock::now(), pause);
                self.note_length(&line);
                drop(line);
                match rest {
                    None => {}
                    Some(Displaced::Superseded(waiting)) => self.supersede(waiting),
                    Some(Displaced::NoRoom(waiting) | Displaced::NoTime(waiting)) => self.give_up(waiting, failure),
                }
            }
        }
    }

    fn supersede(&self, waiting: Waiting) {
        self.counts.superseded.fetch_add(1, Ordering::Relaxed);
        let text = format!("{}: a newer notification of the group took its place", self.key);
        self.report(Event::Failed(waiting.notification.id, text));
    }

    /// Counts, logs and reports, in Alertmanager's words.
    fn give_up(&self, waiting: Waiting, failure: Failure) {
        self.counts.failed(failure.reason);
        let final_word = match failure.reason {
            FailureReason::ClientError | FailureReason::AuthError => " due to unrecoverable error",
            _ => "",
        };
        let (key, attempts) = (&self.key, waiting.failures);
        let text = format!("{key}: notify retry canceled{final_word} after {attempts} attempts: {}", failure.text);
        tracing::error!(integration = %key, group = waiting.notification.group_key, error = text, "notification given up");
        self.report(Event::Failed(waiting.notification.id, text));
    }

    fn give_up_all(&self, why: &str) {
        let all = {
            let mut line = self.line.lock();
            let all = line.queue.take_all();
            self.note_length(&line);
            all
        };
        for waiting in all {
            let text = match &waiting.last_failure {
                Some(failure) => format!("{why}; last failure: {}", failure.text),
                None => why.to_owned(),
            };
            self.give_up(waiting, Failure { reason: FailureReason::Canceled, text });
        }
    }

    fn enter(&self, phase: Phase) {
        self.line.lock().phase = phase;
        self.changed.notify_one();
    }

    /// Nobody listens once the driver has ended.
    fn report(&self, event: Event) {
        self.events.send(event).ok();
    }

    fn note_length(&self, line: &Line) {
        self.counts.waiting.store(line.queue.len(), Ordering::Relaxed);
    }
}
