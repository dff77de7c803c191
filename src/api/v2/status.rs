//! `/api/v2/status` and `/api/v2/receivers`.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::params::Filter;
use super::{RouterHandle, reply};

/// The Alertmanager whose API this is; `amtool` compares it with its own version.
const ALERTMANAGER_VERSION: &str = "0.33.1";

pub(super) async fn get_status(State(handle): State<RouterHandle>) -> Response {
    let original = handle.read(|router| router.config().original.clone());
    let status = json!({
        "cluster": { "peers": [], "status": "disabled" },
        "config": { "original": original },
        "uptime": reply::time(handle.started_at()),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": concat!("almenara ", env!("CARGO_PKG_VERSION")),
            "goVersion": "",
            "revision": "",
            "version": ALERTMANAGER_VERSION,
        },
    });
    reply::json(StatusCode::OK, &status)
}

pub(super) async fn get_receivers(State(handle): State<RouterHandle>, RawQuery(query): RawQuery) -> Response {
    let filter = match Filter::parse(query.as_deref()) {
        Ok(filter) => filter,
        Err(reason) => return reply::refuse(StatusCode::BAD_REQUEST, reason),
    };
    let config = handle.read(|router| router.config().clone());
    let asked_for = config.receivers.iter().filter(|receiver| filter.passes(receiver));
    let shown: Value = asked_for.map(|receiver| json!({ "labels": receiver.labels, "name": receiver.name })).collect();
    reply::json(StatusCode::OK, &shown)
}
