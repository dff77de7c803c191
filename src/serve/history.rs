//! The history of alerts: every transition, and who was told or refused it.
//!
//! In the flow: evaluations and destinations note what happened; the API, the page and `almenara alerts history` read it back.
//!
//! **Invariants.** What happened is noted after it was stored and before it is told. A destination is noted once for each news (an alert begins to fire,
//! ends, is refused), not for each repetition; a restart forgets what was noted, so that the repetition after it is noted again.
//! **Limits.** `--alerts.history` and [`crate::disk::FILES_LEN_MAX`]; [`TOLD_MAX`] alerts and destinations to tell news from repetitions; without a
//! disk nothing is kept.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::api::{AlertEvent, AlertEventFilter};
use crate::disk::{Journal, JournalLimits};
use crate::exposition::{Family, FamilyKind};
use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Alert, Fingerprint, Labels, Timestamp};
use crate::rules::{Change, Transition};

/// The folder below `storage.path`.
pub(super) const FOLDER: &str = "history";

/// Pairs of alert and destination that are remembered. Beyond, all are forgotten, and repetitions noted once more.
const TOLD_MAX: usize = 100_000;

/// Grows when the bytes change their meaning.
const FORMAT: u8 = 1;

/// See the [module](self).
#[derive(Default)]
pub(super) struct History {
    journal: Mutex<Option<Journal>>,
    told: Mutex<HashMap<(String, Fingerprint), News>>,
    events: AtomicU64,
    lost: AtomicU64,
}

/// What a destination was last told of an alert.
#[derive(Clone, PartialEq, Eq)]
struct News {
    starts_at: Timestamp,
    is_end: bool,
    was_refused: bool,
}

impl History {
    /// Goes on with what an earlier process noted below `path`.
    pub(super) fn open(&self, path: &Path) {
        match Journal::open(&path.join(FOLDER), JournalLimits::default()) {
            Ok(journal) => *self.journal.lock() = Some(journal),
            Err(error) => tracing::error!(%error, "the history of alerts cannot be kept"),
        }
    }

    /// Notes what an evaluation of `group` at `slot` made of alerts.
    pub(super) fn transitions(&self, group: &str, slot: Timestamp, transitions: &[Transition]) {
        let event = |transition: &Transition| AlertEvent {
            at: slot,
            event: transition.change.as_str().into(),
            group: group.to_owned(),
            rule: transition.rule.to_string(),
            labels: transition.labels.clone(),
            annotations: transition.annotations.clone(),
            active_at: Some(transition.active_at),
            value: transition.value.as_float(),
            destination: String::new(),
            detail: match transition.change {
                Change::Held(held) => held.as_str().to_owned(),
                Change::Removed => "its rule was removed".to_owned(),
                Change::Forgotten => "the rule has more alerts than its limit".to_owned(),
                _ => String::new(),
            },
        };
        self.note(slot, transitions.iter().map(event));
    }

    /// Notes what a destination said to alerts, where that is news.
    pub(super) fn told<'a>(
        &self,
        destination: &str,
        alerts: impl Iterator<Item = &'a Alert>,
        refusal: Option<&str>,
        now: Timestamp,
    ) {
        let mut told = self.told.lock();
        let mut events = Vec::new();
        for alert in alerts {
            let is_end = alert.is_resolved_at(now);
            let news = News { starts_at: alert.starts_at, is_end, was_refused: refusal.is_some() };
            let key = (destination.to_owned(), alert.fingerprint());
            if told.get(&key) == Some(&news) {
                continue;
            }
            if told.len() >= TOLD_MAX {
                told.clear();
            }
            told.insert(key, news);
            let what = if is_end { "its end" } else { "that it fires" };
            events.push(AlertEvent {
                at: now,
                event: if refusal.is_some() { "refused" } else { "sent" }.into(),
                group: String::new(),
                rule: alert.name().to_owned(),
                labels: alert.labels.clone(),
                annotations: Labels::empty(),
                active_at: None,
                value: None,
                destination: destination.to_owned(),
                detail: refusal.map_or_else(|| what.to_owned(), |refusal| format!("{what}: {refusal}")),
            });
        }
        drop(told);
        self.note(now, events.into_iter());
    }

    fn note(&self, at: Timestamp, events: impl Iterator<Item = AlertEvent>) {
        let encoded: Vec<Vec<u8>> = events.map(|event| encode(&event)).collect();
        if encoded.is_empty() {
            return;
        }
        self.events.fetch_add(encoded.len() as u64, Ordering::Relaxed);
        let mut journal = self.journal.lock();
        let outcome = journal.as_mut().map(|journal| journal.append(at, &encoded));
        if !matches!(outcome, Some(Ok(()))) {
            let lost = self.lost.fetch_add(encoded.len() as u64, Ordering::Relaxed);
            if lost == 0 {
                tracing::error!("the history of alerts cannot be written");
            }
        }
    }

    /// Forgets what is older than `retention`.
    pub(super) fn expire(&self, now: Timestamp, retention: Duration) {
        let outcome = self.journal.lock().as_mut().map(|journal| journal.expire(now - retention));
        match outcome {
            Some(Ok(0)) | None => {}
            Some(Ok(files)) => {
                tracing::warn!(files, "the history of alerts is long; its oldest part is gone before its time")
            }
            Some(Err(error)) => tracing::error!(%error, "old history of alerts cannot be removed"),
        }
    }

    /// The events that pass, the newest first.
    pub(super) fn read(&self, filter: &AlertEventFilter) -> io::Result<Vec<AlertEvent>> {
        let journal = self.journal.lock();
        let Some(journal) = journal.as_ref() else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        journal.read_back(|at, bytes| {
            if let Ok(event) = decode(at, bytes)
                && filter.passes(&event)
            {
                events.push(event);
            }
            if events.len() < filter.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(events)
    }

    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let bytes = self.journal.lock().as_ref().map_or(0, Journal::bytes);
        let mut add = |name, help, kind, value| families.push(Family::single(name, help, kind, value));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        add(
            "almenara_alert_events_total",
            "Events of the history of alerts.",
            FamilyKind::Counter,
            count(&self.events),
        );
        add(
            "almenara_alert_events_lost_total",
            "Events that could not be kept.",
            FamilyKind::Counter,
            count(&self.lost),
        );
        add("almenara_alert_history_bytes", "Bytes of the history of alerts.", FamilyKind::Gauge, bytes as f64);
    }
}

fn encode(event: &AlertEvent) -> Vec<u8> {
    let mut out = vec![FORMAT];
    for text in [&*event.event, &event.group, &event.rule, &event.destination, &event.detail] {
        out.text(text);
    }
    out.labels(&event.labels);
    out.labels(&event.annotations);
    out.option(event.active_at, Vec::instant);
    out.option(event.value, Vec::float);
    out
}

fn decode(at: Timestamp, bytes: &[u8]) -> Result<AlertEvent, Malformed> {
    let mut read = Read(bytes);
    if read.byte()? != FORMAT {
        return Err(Malformed);
    }
    let mut text = || read.text().map(str::to_owned);
    let (event, group, rule, destination, detail) = (text()?, text()?, text()?, text()?, text()?);
    Ok(AlertEvent {
        at,
        event: event.into(),
        group,
        rule,
        destination,
        detail,
        labels: read.labels()?,
        annotations: read.labels()?,
        active_at: read.option(Read::instant)?,
        value: read.option(Read::float)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(name: &str, ends_at: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name.to_owned())]),
            annotations: Labels::empty(),
            starts_at: Timestamp::from_ms(1_000),
            ends_at: Timestamp::from_ms(ends_at),
            generator_url: String::new(),
        }
    }

    #[test]
    fn news_are_noted_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = Timestamp::from_ms;
        {
            let history = History::default();
            history.open(folder.path());
            for (ends_at, refusal, now) in
                [(9_000, None, 2_000), (9_500, None, 3_000), (9_900, Some("500"), 4_000), (5_000, None, 6_000)]
            {
                history.told("http://a", [alert("A", ends_at), alert("B", 99_000)].iter(), refusal, at(now));
            }
        }
        let history = History::default();
        history.open(folder.path());
        let filter = AlertEventFilter { limit: 100, ..AlertEventFilter::default() };
        let shown = |filter: &AlertEventFilter| -> Vec<String> {
            let events = history.read(filter).unwrap();
            events.iter().map(|e| format!("{} {} {} {}", e.at.as_ms(), e.rule, e.event, e.detail)).collect()
        };
        assert_eq!(
            shown(&filter),
            [
                "6000 B sent that it fires",
                "6000 A sent its end",
                "4000 B refused that it fires: 500",
                "4000 A refused that it fires: 500",
                "2000 B sent that it fires",
                "2000 A sent that it fires",
            ]
        );
        let only = AlertEventFilter { events: vec!["refused".to_owned()], limit: 1, ..filter.clone() };
        assert_eq!(shown(&only), ["4000 B refused that it fires: 500"]);
        let between = AlertEventFilter { start: Some(at(2_500)), end: Some(at(5_000)), ..filter };
        assert_eq!(shown(&between).len(), 2);
    }

    #[test]
    fn what_an_evaluation_did_is_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::default();
        history.open(folder.path());
        let transition = Transition {
            rule: "A".into(),
            labels: Labels::from_pairs([("alertname", "A"), ("x", "é")]),
            annotations: Labels::from_pairs([("summary", "s")]),
            change: Change::Held(crate::rules::Held::NoData),
            active_at: Timestamp::from_ms(5),
            value: 1.5.into(),
        };
        history.transitions("f;g", Timestamp::from_ms(60_000), std::slice::from_ref(&transition));
        let filter = AlertEventFilter { limit: 10, ..AlertEventFilter::default() };
        let expected = AlertEvent {
            at: Timestamp::from_ms(60_000),
            event: "held".into(),
            group: "f;g".to_owned(),
            rule: "A".to_owned(),
            labels: transition.labels.clone(),
            annotations: transition.annotations.clone(),
            active_at: Some(transition.active_at),
            value: Some(1.5),
            destination: String::new(),
            detail: "no data, kept".to_owned(),
        };
        assert_eq!(history.read(&filter).unwrap(), [expected]);
        history.expire(Timestamp::from_ms(60_000) + Duration::from_secs(100), Duration::from_secs(10));
        assert_eq!(history.read(&filter).unwrap().len(), 1, "the file that is written to stays");
    }
}
