//! One request: read, stored, answered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::content::{self, Version};
use super::metrics::ReceiverMetrics;
use super::request::{self, Incoming, Request};
use super::{AHEAD_MAX, REQUESTS_MAX, labels};
use crate::clock;
use crate::exposition::Family;
use crate::model::{Labels, Matcher, StartTime, Timestamp, Value};
use crate::promql::eval::format_go_float;
use crate::store::{Denial, ExemplarRefusal, ExemplarStore, Lateness, MetadataStore, Refusal, Row, Store};

/// Retention may remove a series between our look-up and the commit; it does so once a minute, so once more is enough.
const COMMITS_MAX: usize = 3;

/// Takes the requests of all senders.
pub struct Receiver {
    store: Arc<Store>,
    metadata: Arc<MetadataStore>,
    exemplars: Arc<ExemplarStore>,
    places: Semaphore,
    metrics: ReceiverMetrics,
}

/// What the sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 204, 400, 415 or 500.
    pub status: u16,
    /// Statistics, which version 2 has in its headers.
    pub written: Option<Written>,
    /// What was wrong; empty with 204.
    pub text: String,
}

/// What of a request is in the store now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Numbers.
    pub samples: usize,
    /// Native histograms.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
}

impl Receiver {
    /// Stores what it takes there.
    pub fn new(store: Arc<Store>, metadata: Arc<MetadataStore>, exemplars: Arc<ExemplarStore>) -> Self {
        let (places, metrics) = (Semaphore::new(REQUESTS_MAX), ReceiverMetrics::default());
        Receiver { store, metadata, exemplars, places, metrics }
    }

    /// Takes a request with these `Content-Type` and `Content-Encoding` headers (empty: not sent). Does not compute on an async
    /// thread, and goes on to its end when whoever waits goes away.
    pub async fn receive(self: Arc<Self>, content_type: &str, content_encoding: &str, body: Bytes) -> Reply {
        let version = content::version(content_type)
            .and_then(|version| content::check_encoding(content_encoding).map(|()| version))
            .map_err(|text| Reply { status: 415, written: None, text });
        let reply = match version {
            Err(reply) => reply,
            Ok(version) => {
                let _place = self.places.acquire().await.expect("BUG: the places were closed");
                let receiver = self.clone();
                let work = tokio::task::spawn_blocking(move || receiver.take(version, &body, clock::now()));
                work.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "a remote write panicked");
                    Reply { status: 500, written: None, text: "the request panicked; see the log".to_owned() }
                })
            }
        };
        self.metrics.count_reply(&reply);
        if reply.status != 204 {
            let first = reply.text.lines().next().unwrap_or_default();
            tracing::debug!(status = reply.status, error = first, "remote write refused, in whole or in part");
        }
        reply
    }

    /// Adds the receiver's own metrics.
    pub fn collect(&self, families: &mut Vec<Family>) {
        self.metrics.collect(self.exemplars.len(), families);
    }

    /// As if it were `now`.
    pub(super) fn take(&self, version: Version, body: &[u8], now: Timestamp) -> Reply {
        let request = content::decompress(body).and_then(|message| request::read(version, message));
        let (written, errors) = match request {
            Ok(request) => self.store(version, request, now),
            Err(text) => return Reply { status: 400, written: None, text },
        };
        self.metrics.count_written(written);
        // Version 1 knows no partial success, so the first error is all that is said.
        let (written, told) = match version {
            Version::V1 => (None, errors.first().cloned().into_iter().collect()),
            Version::V2 => (Some(written), errors),
        };
        Reply { status: if told.is_empty() { 204 } else { 400 }, written, text: told.join("\n") }
    }

    /// Stores what is fine. Gives what is stored, and the errors in the order of the request.
    fn store(&self, version: Version, request: Request, now: Timestamp) -> (Written, Vec<String>) {
        for (family, metadata) in &request.metadata {
            self.metadata.update(family, metadata, now);
        }
        let mut batch = Batch::new(version, now + AHEAD_MAX);
        for (index, series) in request.series.iter().enumerate() {
            match &series.labels {
                Ok(labels) => batch.add(index, labels, series),
                Err(text) => {
                    self.metrics.count_invalid(series.samples.len());
                    // Version 1 leaves them out in silence.
                    batch.errors.extend((version == Version::V2).then(|| Error { series: index, text: text.clone() }));
                }
            }
        }
        let mut written = self.commit(&mut batch);
        for (index, series) in request.series.iter().enumerate() {
            let Ok(labels) = &series.labels else { continue };
            let ahead_max = batch.ahead_max;
            for exemplar in series.exemplars.iter().filter(|exemplar| exemplar.at <= ahead_max) {
                match self.exemplars.add(labels, exemplar.clone()) {
                    Ok(()) => written.exemplars += 1,
                    Err(ExemplarRefusal::OutOfOrder) if version == Version::V2 => {
                        batch.refuse(index, labels, "out of order exemplar");
                    }
                    // Never the sender's error, as in the source.
                    Err(ExemplarRefusal::OutOfOrder | ExemplarRefusal::LabelsTooLong) => {}
                }
            }
        }
        batch.errors.sort_by_key(|error| error.series); // stable, so those of a series keep their order
        (written, batch.errors.into_iter().map(|error| error.text).collect())
    }

    fn commit(&self, batch: &mut Batch<'_>) -> Written {
        let mut written = Written::default();
        let mut pending = std::mem::take(&mut batch.rows);
        for _ in 0..COMMITS_MAX {
            if pending.is_empty() {
                break;
            }
            let mut rows = Vec::with_capacity(pending.len());
            pending.retain(|row| match self.store.admit(row.labels) {
                Ok(series) => {
                    rows.push(Row { series, at: row.at, value: row.value.clone(), start: row.start });
                    true
                }
                // Left out like what relabelling drops, and no mistake of the sender's.
                Err(Denial::Unread) => false,
                Err(denial) => {
                    batch.refuse(row.series, row.labels, &format!("new series over --{}", denial.setting()));
                    false
                }
            });
            let committed = self.store.commit_late(&rows, Lateness::All);
            let mut refused = committed.refused.into_iter().peekable();
            let mut gone = Vec::new();
            for (index, row) in pending.into_iter().enumerate() {
                match refused.next_if(|(refused, _)| *refused == index) {
                    None => match row.value {
                        Value::Float(_) => written.samples += 1,
                        Value::Histogram(_) => written.histograms += 1,
                    },
                    Some((_, Refusal::Gone)) => gone.push(row),
                    Some((_, refusal)) => {
                        self.metrics.count_refusal(refusal);
                        let text = self.reason(&row, refusal);
                        batch.refuse(row.series, row.labels, &text);
                    }
                }
            }
            pending = gone;
        }
        for row in pending {
            batch.refuse(row.series, row.labels, "the series was removed while it was written");
        }
        written
    }

    fn reason(&self, row: &Pending<'_>, refusal: Refusal) -> String {
        match refusal {
            Refusal::OutOfOrder => "out of order sample".to_owned(),
            Refusal::TooLate => "too old sample".to_owned(),
            Refusal::TooOld => "out of bounds".to_owned(),
            Refusal::Gone => unreachable!("BUG: a series that is gone was not looked up again"),
            Refusal::Duplicate => {
                let plain = "duplicate sample for timestamp";
                let Value::Float(new) = row.value else { return plain.to_owned() };
                let existing = match self.existing(row) {
                    Some(Value::Float(existing)) => format_go_float(existing),
                    Some(Value::Histogram(_)) => "is a histogram".to_owned(),
                    None => return plain.to_owned(),
                };
                let (at, new) = (row.at.as_ms(), format_go_float(new));
                // The text of the source for the instant 0.
                if at == 0 {
                    return plain.to_owned();
                }
                format!("{plain} {at}; overrides not allowed: existing {existing}, new value {new}")
            }
        }
    }

    /// What the store has at this instant.
    fn existing(&self, row: &Pending<'_>) -> Option<Value> {
        let matchers: Vec<Matcher> =
            row.labels.iter().map(|label| Matcher::equal(label.name.clone(), label.value.clone())).collect();
        let found = self.store.select(&matchers, row.at, row.at);
        let series = found.into_iter().find(|series| series.labels == *row.labels)?;
        Some(series.samples.into_iter().next()?.value)
    }
}

/// What a request asks to store, and what is wrong with the rest.
struct Batch<'a> {
    version: Version,
    ahead_max: Timestamp,
    rows: Vec<Pending<'a>>,
    errors: Vec<Error>,
}

/// A sample whose series is not looked up yet.
struct Pending<'a> {
    /// Which series of the request.
    series: usize,
    labels: &'a Labels,
    at: Timestamp,
    start: Option<StartTime>,
    value: Value,
}

struct Error {
    series: usize,
    text: String,
}

impl<'a> Batch<'a> {
    fn new(version: Version, ahead_max: Timestamp) -> Self {
        Batch { version, ahead_max, rows: Vec::new(), errors: Vec::new() }
    }

    fn add(&mut self, index: usize, labels: &'a Labels, series: &'a Incoming) {
        for sample in &series.samples {
            match &sample.value {
                _ if sample.at > self.ahead_max => {
                    self.refuse(index, labels, "out of bounds: timestamp is too far in the future")
                }
                Ok(value) => {
                    let (at, start) = (sample.at, sample.start);
                    self.rows.push(Pending { series: index, labels, at, start, value: value.clone() });
                }
                Err(text) => self.refuse(index, labels, text),
            }
        }
    }

    fn refuse(&mut self, series: usize, labels: &Labels, reason: &str) {
        let text = match self.version {
            Version::V1 => reason.to_owned(),
            Version::V2 => format!("{reason} for series {}", labels::shown_set(labels)),
        };
        self.errors.push(Error { series, text });
    }
}
