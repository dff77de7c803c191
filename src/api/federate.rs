//! `/federate`: the newest sample of each matching series, as text for another Prometheus to scrape.
//!
//! **Invariants.** To the byte what Prometheus answers to a request without `Accept`; native histograms are left out, as there.
//! **Source.** Prometheus 3.5 `web/federate.go`.
//! **Differs:** the answer is always text; Prometheus gives protobuf, with native histograms, to whom asks for it.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::lifecycle::text;
use super::params::Params;
use super::state::AppState;
use crate::clock;
use crate::model::{Labels, METRIC_NAME, Matcher, Sample, Timestamp, is_legacy_name};
use crate::promql::eval::format_go_float;
use crate::promql::parse_metric_selector;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
/// A series without this label gets it empty, so that the one who scrapes does not add its own.
const INSTANCE: &str = "instance";

pub(super) async fn federate(State(state): State<AppState>, params: Params) -> Response {
    let mut sets = Vec::new();
    for selector in params.all("match[]") {
        match parse_metric_selector(selector) {
            Ok(matchers) => sets.push(matchers),
            Err(errors) => return text(StatusCode::BAD_REQUEST, format!("{}\n", errors[0])),
        }
    }
    let now = clock::now();
    let body = tokio::task::spawn_blocking(move || {
        let external_labels = state.live.read().external_labels.clone();
        write(&newest_samples(&state, &sets, now), &external_labels)
    });
    match body.await {
        Ok(body) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "federation panicked");
            text(StatusCode::INTERNAL_SERVER_ERROR, "federation failed; see the log\n")
        }
    }
}

/// Each series once, in order of metric name, with its newest number that is not stale.
fn newest_samples(state: &AppState, sets: &[Vec<Matcher>], now: Timestamp) -> Vec<(Labels, Timestamp, f64)> {
    let start = now - state.queries.settings.lookback_delta;
    let mut found = Vec::new();
    for series in sets.iter().flat_map(|set| state.store.select(set, start, now)) {
        let newest: Option<&Sample> = series.samples.last().filter(|sample| !sample.value.is_stale());
        let number = newest.and_then(|sample| Some((sample.at, sample.value.as_float()?)));
        if let Some((at, value)) = number.filter(|_| !series.labels.metric_name().is_empty()) {
            found.push((series.labels, at, value));
        }
    }
    found.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

fn write(samples: &[(Labels, Timestamp, f64)], external_labels: &Labels) -> String {
    let mut added: Vec<(&str, &str)> = external_labels.iter().map(|label| (&*label.name, &*label.value)).collect();
    if external_labels.get(INSTANCE).is_none() {
        added.push((INSTANCE, ""));
        added.sort_unstable();
    }
    let mut out = String::new();
    let mut last_name = "";
    for (labels, at, value) in samples {
        let name = labels.metric_name();
        if name != last_name {
            writeln!(out, "# TYPE {} untyped", legacy(name)).expect("BUG: writing to a string failed");
            last_name = name;
        }
        let own = labels.iter().filter(|label| &*label.name != METRIC_NAME);
        let own = own.map(|label| (&*label.name, &*label.value));
        let missing = added.iter().copied().filter(|(name, _)| labels.get(name).is_none());
        let pairs: Vec<String> =
            own.chain(missing).map(|(name, value)| format!("{}=\"{}\"", legacy(name), escaped(value))).collect();
        writeln!(out, "{}{{{}}} {} {}", legacy(name), pairs.join(","), format_go_float(*value), at.as_ms())
            .expect("BUG: writing to a string failed");
    }
    out
}

/// The name with an underscore for what the text format does not take.
fn legacy(name: &str) -> String {
    if is_legacy_name(name) {
        return name.to_owned();
    }
    let is_first_digit = name.starts_with(|c: char| c.is_ascii_digit());
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let body: String = name.chars().map(|c| if legal(c) { c } else { '_' }).collect();
    if is_first_digit { format!("_{}", &body[1..]) } else { body }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
