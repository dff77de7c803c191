//! `/api/v2/alerts`: what is known, and new arrivals.
//!
//! **Source.** Alertmanager 0.33 `api/v2/api.go`, `api/v2/compat.go`.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::muting::{Muting, muting};
use super::params::Filter;
use super::{RouterHandle, reply};
use crate::model::{Fingerprint, Label, Labels, Timestamp};
use crate::router::{Event, PostedAlert, Router, StoredAlert};

/// Go's zero time in ms: in a body it means that no time was given.
const ZERO_TIME_MS: i64 = -62_135_596_800_000;

pub(super) async fn get_alerts(State(handle): State<RouterHandle>, RawQuery(query): RawQuery) -> Response {
    let filter = match Filter::parse(query.as_deref()) {
        Ok(filter) => filter,
        Err(reason) => return reply::refuse(StatusCode::BAD_REQUEST, reason),
    };
    let now = handle.now();
    reply::json(StatusCode::OK, &handle.read(|router| list(router, &filter, now)))
}

fn list(router: &Router, filter: &Filter, now: Timestamp) -> Value {
    let config = router.config();
    let found: Vec<(Fingerprint, &StoredAlert, Vec<&str>)> = router
        .alerts()
        .filter(|(_, stored)| !stored.alert.is_resolved_at(now) && filter.passes_labels(&stored.alert.labels))
        .map(|(fingerprint, stored)| {
            let routes = config.route.matching(&stored.alert.labels);
            (fingerprint, stored, routes.iter().map(|route| route.options.receiver.as_str()).collect())
        })
        .collect();
    let muting = muting(router, now, found.iter().map(|(_, stored, _)| &stored.alert.labels));
    let shown = found.iter().zip(muting).filter(|((_, _, receivers), muting)| {
        let is_asked_for = |name: &&str| filter.passes_receiver(config, name);
        muting.passes(filter) && receivers.iter().any(is_asked_for)
    });
    shown.map(|((fingerprint, stored, receivers), muting)| gettable(*fingerprint, stored, receivers, &muting)).collect()
}

/// One alert as the API shows it.
pub(super) fn gettable(fingerprint: Fingerprint, stored: &StoredAlert, receivers: &[&str], muting: &Muting) -> Value {
    let receivers: Vec<Value> = receivers.iter().map(|name| json!({ "name": name })).collect();
    let mut shown = json!({
        "annotations": reply::labels(&stored.alert.annotations),
        "endsAt": reply::time(stored.alert.ends_at),
        "fingerprint": fingerprint.to_string(),
        "receivers": receivers,
        "startsAt": reply::time(stored.alert.starts_at),
        "status": muting.status(),
        "updatedAt": reply::time(stored.updated_at),
    });
    if !stored.alert.generator_url.is_empty() {
        shown["generatorURL"] = Value::String(stored.alert.generator_url.clone());
    }
    shown["labels"] = reply::labels(&stored.alert.labels);
    shown
}

pub(super) async fn post_alerts(State(handle): State<RouterHandle>, body: Bytes) -> Response {
    let posted = match read_body(&body) {
        Ok(posted) => posted,
        Err(reason) => return reply::refuse(StatusCode::BAD_REQUEST, reason),
    };
    let now = handle.now();
    let resolve_timeout = handle.read(|router| router.config().resolve_timeout);
    let (mut valid, mut problems) = (Vec::new(), Vec::new());
    for alert in posted {
        match alert.check(now, resolve_timeout) {
            Ok(()) => valid.push(alert),
            Err(problem) => problems.push(problem),
        }
    }
    // The valid ones count even if others are wrong.
    handle.ingest(vec![Event::Posted(valid)]);
    if problems.is_empty() {
        StatusCode::OK.into_response()
    } else {
        reply::refuse(StatusCode::BAD_REQUEST, problems.join("\n"))
    }
}

fn read_body(body: &[u8]) -> Result<Vec<PostedAlert>, String> {
    let alerts: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let alerts = alerts.as_array().ok_or("the body must be a list of alerts")?;
    alerts
        .iter()
        .enumerate()
        .map(|(index, alert)| {
            let alert = alert.as_object().ok_or_else(|| format!("alert {index} is not an object"))?;
            read_alert(alert).map_err(|reason| format!("alert {index}: {reason}"))
        })
        .collect()
}

fn read_alert(alert: &Map<String, Value>) -> Result<PostedAlert, String> {
    Ok(PostedAlert {
        labels: read_labels(alert, "labels")?,
        annotations: read_labels(alert, "annotations")?,
        starts_at: read_time(alert, "startsAt")?,
        ends_at: read_time(alert, "endsAt")?,
        generator_url: read_text(alert, "generatorURL")?.unwrap_or_default().to_owned(),
    })
}

fn read_text<'a>(alert: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match alert.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} must be a text")),
    }
}

fn read_time(alert: &Map<String, Value>, key: &str) -> Result<Option<Timestamp>, String> {
    let Some(text) = read_text(alert, key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let instant: jiff::Timestamp = text.parse().map_err(|_| format!("{key} is not an RFC 3339 time: {text:?}"))?;
    let at = Timestamp::from_ms(instant.as_millisecond());
    Ok(Some(at).filter(|at| at.as_ms() != ZERO_TIME_MS))
}

fn read_labels(alert: &Map<String, Value>, key: &str) -> Result<Labels, String> {
    let pairs = match alert.get(key) {
        None | Some(Value::Null) => return Ok(Labels::empty()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err(format!("{key} must be an object")),
    };
    let read = |(name, value): (&String, &Value)| {
        let value = value.as_str().ok_or_else(|| format!("{key}.{name} must be a text"))?;
        Ok(Label { name: name.as_str().into(), value: value.into() })
    };
    Ok(Labels::new(pairs.iter().map(read).collect::<Result<_, String>>()?))
}
