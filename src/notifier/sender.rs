//! One Alertmanager: its queue, its task, its numbers.
//!
//! **Units.** One task per URL; one request at a time, so that the states of an alert arrive in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::queue::{Queue, QueueLimits, Taken};
use super::wire;
use crate::clock::{self, Latency, Stopwatch};
use crate::exposition::{Family, FamilyKind};
use crate::http::{Backoff, Client, retry_after};
use crate::model::Alert;

/// Pauses between attempts. Shorter at most than Alertmanager's own, since a page may wait behind it.
const BACKOFF: Backoff = Backoff { longest: Duration::from_secs(20), ..Backoff::ALERTMANAGER };
/// Longer pauses that an Alertmanager asks for are cut: what fires now must not wait for an hour behind a proxy's guess.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Bytes of an error's body that go to the log.
const ERROR_BODY_MAX: usize = 2_000;
/// Answers that blame the content: sending the same again cannot help.
const FINAL_STATUS: [u16; 4] = [400, 413, 415, 422];

/// The queue of one URL and the task that empties it.
#[derive(Debug)]
pub(super) struct Sender {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Waits for alerts.
    Running,
    /// Ends when the queue is empty.
    Draining,
}

struct Shared {
    url: String,
    timeout: Duration,
    client: Arc<Client>,
    line: Mutex<Line>,
    filled: Notify,
    counts: Arc<Counts>,
    observer: Arc<OnceLock<Observer>>,
}

/// What waits and what is on its way.
#[derive(Debug)]
struct Line {
    queue: Queue,
    in_flight: Vec<Taken>,
    /// Somebody else sends to this URL now: what the task still learns about its batch concerns nobody.
    handed_over: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("url", &self.url).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Sender {
    /// Must be called inside a tokio runtime.
    pub(super) fn start(
        url: &str,
        client: Arc<Client>,
        timeout: Duration,
        limits: QueueLimits,
        traffic: &Traffic,
    ) -> Self {
        let shared = Arc::new(Shared {
            url: url.to_owned(),
            timeout,
            client,
            line: Mutex::new(Line { queue: Queue::new(limits), in_flight: Vec::new(), handed_over: false }),
            filled: Notify::new(),
            counts: traffic.of(url),
            observer: traffic.observer.clone(),
        });
        let phase = watch::Sender::new(Phase::Running);
        let task = tokio::spawn(run(shared.clone(), phase.subscribe()));
        Sender { shared, phase, task: Mutex::new(Some(task)) }
    }

    pub(super) fn push(&self, alerts: &[Arc<Alert>]) {
        let now = clock::now();
        let mut line = self.shared.line.lock();
        let dropped: usize = alerts.iter().map(|alert| line.queue.push(alert.clone(), now)).sum();
        self.shared.note_length(&line);
        drop(line);
        if dropped > 0 {
            self.shared.counts.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            tracing::warn!(alertmanager = %self.shared.url, dropped, "alert notification queue full, oldest alerts dropped");
        }
        self.shared.filled.notify_one();
    }

    /// Stops and gives what waits to `heir`, which sends to the same URL from now on. What is on its way goes there, too: only
    /// if one task sends to a URL do the states of an alert arrive in order.
    pub(super) fn hand_over(&self, heir: &Sender) {
        let mut old = self.shared.line.lock();
        let mut new = heir.shared.line.lock();
        old.handed_over = true;
        let in_flight = std::mem::take(&mut old.in_flight);
        let mut dropped = old.queue.put_back(in_flight);
        dropped += old.queue.hand_over(&mut new.queue);
        heir.shared.counts.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        heir.shared.note_length(&new);
        drop((old, new));
        heir.shared.filled.notify_one();
        self.abort();
    }

    /// Sends what waits, then ends; after `timeout` it ends anyway and counts what is lost.
    pub(super) async fn drain(&self, timeout: Duration) {
        self.phase.send_replace(Phase::Draining);
        let task = self.task.lock().take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout(timeout, &mut task).await.is_err() {
            task.abort();
            task.await.ok();
        }
        let lost = {
            let mut line = self.shared.line.lock();
            let in_flight = std::mem::take(&mut line.in_flight);
            line.queue.put_back(in_flight) + line.queue.clear()
        };
        if lost > 0 {
            self.shared.counts.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            tracing::error!(alertmanager = %self.shared.url, lost, "alerts were not delivered before the end");
        }
        self.shared.counts.waiting.store(0, Ordering::Relaxed);
    }

    fn abort(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.shared.timeout
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.abort();
    }
}

async fn run(shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let mut failures = 0;
    loop {
        let alerts = shared.take_batch();
        if alerts.is_empty() {
            if *phase.borrow() == Phase::Draining {
                return;
            }
            tokio::select! {
                () = shared.filled.notified() => {}
                changed = phase.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let outcome = shared.post(&alerts).await;
        shared.observe(&alerts, &outcome);
        let Next::Pause(asked) = shared.settle(outcome) else {
            failures = 0;
            continue;
        };
        failures += 1;
        tokio::select! {
            () = tokio::time::sleep(BACKOFF.random_delay(failures).max(asked)) => {}
            // The end of the program should not wait out a long pause: one more attempt at once.
            changed = phase.changed() => {
                if changed.is_err() {
                    return;
                }
                failures = 0;
            }
        }
    }
}

/// What the task does after an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Batch,
    /// At least for so long.
    Pause(Duration),
}

impl Shared {
    fn take_batch(&self) -> Vec<Arc<Alert>> {
        let mut line = self.line.lock();
        let (batch, dropped) = line.queue.take_batch(clock::now());
        let alerts = batch.iter().map(|taken| taken.alert().clone()).collect();
        line.in_flight = batch;
        self.note_length(&line);
        drop(line);
        if dropped > 0 {
            self.counts.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            tracing::warn!(alertmanager = %self.url, dropped, "alerts ended before they could be sent");
        }
        alerts
    }

    /// Forgets the batch on its way, or puts it back.
    fn settle(&self, outcome: Outcome) -> Next {
        let mut line = self.line.lock();
        if line.handed_over {
            return Next::Pause(Duration::ZERO);
        }
        let batch = std::mem::take(&mut line.in_flight);
        let count = batch.len() as u64;
        // As in Prometheus: every alert of every attempt, failed ones included.
        self.counts.sent.fetch_add(count, Ordering::Relaxed);
        let Outcome::Failed { reason, again } = outcome else { return Next::Batch };
        let is_again = again.is_some();
        self.counts.errors.fetch_add(count, Ordering::Relaxed);
        let dropped = if is_again { line.queue.put_back(batch) as u64 } else { count };
        self.note_length(&line);
        drop(line);
        self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
        tracing::error!(alertmanager = %self.url, count, again = is_again, reason, "error sending alerts");
        again.map_or(Next::Batch, Next::Pause)
    }

    fn observe(&self, alerts: &[Arc<Alert>], outcome: &Outcome) {
        if let Some(observer) = self.observer.get() {
            let refusal = match outcome {
                Outcome::Accepted => None,
                Outcome::Failed { reason, .. } => Some(reason.as_str()),
            };
            observer(&self.url, alerts, refusal);
        }
    }

    async fn post(&self, alerts: &[Arc<Alert>]) -> Outcome {
        let stopwatch = Stopwatch::start();
        let answer = self.client.post_json(&self.url, wire::encode(alerts), self.timeout).await;
        self.counts.latency.record(stopwatch.elapsed());
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Outcome::Failed { reason: error.to_string(), again: Some(Duration::ZERO) },
        };
        let (status, text) = (response.status(), response.status_text());
        let success = response.is_success();
        let asked = response.header("retry-after").and_then(|text| retry_after(text, clock::now()));
        // Read also on success: an unread body costs the connection.
        let body = response.bytes(ERROR_BODY_MAX).await.unwrap_or_default();
        if success {
            return Outcome::Accepted;
        }
        let reason = format!("bad response status {text}: {}", String::from_utf8_lossy(&body).trim());
        let again = (!FINAL_STATUS.contains(&status)).then(|| asked.unwrap_or_default().min(PAUSE_MAX));
        Outcome::Failed { reason, again }
    }

    fn note_length(&self, line: &Line) {
        self.counts.waiting.store(line.queue.len(), Ordering::Relaxed);
    }
}

enum Outcome {
    Accepted,
    /// `again`: worth another attempt, after at least so long.
    Failed {
        reason: String,
        again: Option<Duration>,
    },
}

/// Is told what an Alertmanager made of alerts: its URL, and why it did not take them.
pub type Observer = Box<dyn Fn(&str, &[Arc<Alert>], Option<&str>) + Send + Sync>;

/// What was sent where. Numbers of a URL live as long as something is sent there.
#[derive(Default)]
pub(super) struct Traffic {
    counts: Mutex<BTreeMap<String, Arc<Counts>>>,
    pub(super) observer: Arc<OnceLock<Observer>>,
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts.fmt(f)
    }
}

/// The numbers of one URL.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicUsize,
    latency: Latency,
}

impl Traffic {
    fn of(&self, url: &str) -> Arc<Counts> {
        self.counts.lock().entry(url.to_owned()).or_default().clone()
    }

    pub(super) fn collect(&self, capacity: usize, families: &mut Vec<Family>) {
        let mut all = self.counts.lock();
        all.retain(|_, counts| Arc::strong_count(counts) > 1);
        let mut add = |name, help, kind, value: &dyn Fn(&Counts) -> f64| {
            let mut family = Family::new(name, help, kind);
            for (url, counts) in all.iter() {
                family.point(vec![("alertmanager", url.clone())], value(counts));
            }
            families.push(family);
        };
        add("prometheus_notifications_sent_total", "Total number of alerts sent.", FamilyKind::Counter, &|counts| {
            counts.sent.load(Ordering::Relaxed) as f64
        });
        add(
            "prometheus_notifications_errors_total",
            "Total number of sent alerts affected by errors.",
            FamilyKind::Counter,
            &|counts| counts.errors.load(Ordering::Relaxed) as f64,
        );
        add(
            "prometheus_notifications_dropped_total",
            "Total number of alerts dropped due to errors when sending to Alertmanager.",
            FamilyKind::Counter,
            &|counts| counts.dropped.load(Ordering::Relaxed) as f64,
        );
        add(
            "prometheus_notifications_queue_length",
            "The number of alert notifications in the queue.",
            FamilyKind::Gauge,
            &|counts| counts.waiting.load(Ordering::Relaxed) as f64,
        );
        add(
            "prometheus_notifications_queue_capacity",
            "The capacity of the alert notifications queue.",
            FamilyKind::Gauge,
            &|_| capacity as f64,
        );
        let mut latency = Family::new(
            "prometheus_notifications_latency_seconds",
            "Latency quantiles for sending alert notifications.",
            FamilyKind::Summary,
        );
        for (url, counts) in all.iter() {
            counts.latency.add_to(&mut latency, vec![("alertmanager", url.clone())]);
        }
        families.push(latency);
    }
}
