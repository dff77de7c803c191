//! `/api/almenara/v1/alerts/history`: what happened to alerts, and who was told.
//!
//! Parameters: `match[]`, selectors of labels, any of which may pass; `event`, one or more kinds; `start`, `end`; `limit` (100 unless given).
//!
//! ```text
//! events[]       the newest first
//!   at           RFC 3339
//!   event        pending │ firing │ kept │ held │ demoted │ ended │ resolved │ removed │ forgotten      of the alert
//!                sent │ refused                                                                        by a destination
//!   group, rule  where its rule stands, "file;group"; empty for alerts of others
//!   labels, annotations, activeAt, value
//!   destination  an Alertmanager's URL, or receiver/integration[index]
//!   detail       why: what holds it, what the destination said
//! is_cut         whether there are more
//! ```
//!
//! **Limits.** [`LIMIT_MAX`] events an answer.

use std::io;
use std::sync::Arc;

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult, ErrorKind};
use super::json::{Json, go_exponent};
use super::params::Params;
use super::series::read_matchers;
use super::state::AppState;
use crate::model::{Labels, Matcher, Timestamp};

/// Events of an answer, unless it asks for others.
const LIMIT_DEFAULT: usize = 100;
/// Most events of an answer.
const LIMIT_MAX: usize = 10_000;

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertEvent {
    /// When: the slot of an evaluation, the wall clock for destinations.
    pub at: Timestamp,
    /// See the table of this module's source.
    pub event: Arc<str>,
    /// `file;group`; empty where the alert is of others.
    pub group: String,
    /// The rule's name, likewise.
    pub rule: String,
    /// The alert's identity.
    pub labels: Labels,
    /// Its texts then.
    pub annotations: Labels,
    /// Since when its condition held.
    pub active_at: Option<Timestamp>,
    /// Of the last evaluation in which its condition held.
    pub value: Option<f64>,
    /// Who was told.
    pub destination: String,
    /// Why.
    pub detail: String,
}

/// Which events are asked for.
#[derive(Clone, Debug, Default)]
pub struct AlertEventFilter {
    /// Any of them may pass; empty passes all.
    pub matchers: Vec<Vec<Matcher>>,
    /// Kinds; empty for all.
    pub events: Vec<String>,
    /// None is older.
    pub start: Option<Timestamp>,
    /// None is newer.
    pub end: Option<Timestamp>,
    /// Most events; one more is given where there are more.
    pub limit: usize,
}

impl AlertEventFilter {
    /// Whether `event` is asked for.
    pub fn passes(&self, event: &AlertEvent) -> bool {
        let is_matched = self.matchers.is_empty()
            || self.matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(&event.labels)));
        let is_kind = self.events.is_empty() || self.events.iter().any(|kind| **kind == *event.event);
        is_matched
            && is_kind
            && self.start.is_none_or(|start| event.at >= start)
            && self.end.is_none_or(|end| event.at <= end)
    }
}

/// Reads the history; may read files.
pub type AlertEvents = Arc<dyn Fn(&AlertEventFilter) -> io::Result<Vec<AlertEvent>> + Send + Sync>;

pub(super) async fn history(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = params.limit()?.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let time = |name| match params.text(name) {
        "" => Ok(None),
        _ => params.time(name).map(Some),
    };
    let filter = AlertEventFilter {
        matchers: read_matchers(&params, ApiError::bad_data, |error| ApiError::bad_data(error.to_string()))?,
        events: params.all("event").into_iter().map(str::to_owned).collect(),
        start: time("start")?,
        end: time("end")?,
        limit: limit + 1,
    };
    let events = read(&state.alert_events, filter).await?;
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("events").list(events.iter().take(limit), write_event);
            json.key("is_cut").truth(events.len() > limit);
        });
    }))
}

/// Reads files, so not on an async thread.
pub(super) async fn read(events: &AlertEvents, filter: AlertEventFilter) -> Result<Vec<AlertEvent>, ApiError> {
    let events = events.clone();
    let read = tokio::task::spawn_blocking(move || events(&filter)).await;
    let read = read.expect("BUG: reading the history panicked");
    read.map_err(|error| ApiError::new(ErrorKind::Internal, format!("the history cannot be read: {error}")))
}

pub(super) fn write_event(json: &mut Json, event: &AlertEvent) {
    json.object(|json| {
        json.key("at").string(&event.at.to_rfc3339());
        json.key("event").string(&event.event);
        json.key("group").string(&event.group);
        json.key("rule").string(&event.rule);
        json.key("labels").labels(&event.labels);
        json.key("annotations").labels(&event.annotations);
        if let Some(at) = event.active_at {
            json.key("activeAt").string(&at.to_rfc3339());
        }
        if let Some(value) = event.value {
            json.key("value").string(&go_exponent(value));
        }
        json.key("destination").string(&event.destination);
        json.key("detail").string(&event.detail);
    });
}
