//! `/api/v1/admin/*`: a copy of what is stored, while storing goes on.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `snapshot`, `deleteSeries`, `cleanTombstones`.
//! **Differs:** the copy lies below `snapshots/` in `--storage.path`, where it is a folder for another `--storage.path`, silences included;
//! `skip_head` changes nothing, since there is no head apart from the rest.
//! **Differs:** `delete_series` is answered with an error: what nothing reads goes by itself, what rules read is not taken from them.

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult, ErrorKind};
use super::execution::blocking;
use super::params::{Params, parse_truth};
use super::state::AppState;

/// Prometheus's words.
const DISABLED: &str = "admin APIs disabled";

pub(super) async fn snapshot(State(state): State<AppState>, params: Params) -> ApiResult {
    let Some(snapshot) = state.snapshot else { return Err(ApiError::new(ErrorKind::Unavailable, DISABLED)) };
    if !params.text("skip_head").is_empty() {
        let text = params.text("skip_head");
        parse_truth(text)
            .map_err(|_| ApiError::bad_parameter("skip_head", format!("unable to parse boolean {text:?}")))?;
    }
    let outcome = tokio::task::spawn_blocking(move || snapshot()).await;
    let name = outcome.unwrap_or_else(|error| Err(error.to_string()));
    let name = name.map_err(|error| ApiError::new(ErrorKind::Internal, format!("create snapshot: {error}")))?;
    Ok(Answer::of(|json| json.object(|json| json.key("name").string(&name))))
}

pub(super) async fn delete_series(State(state): State<AppState>) -> ApiResult {
    if state.snapshot.is_none() {
        return Err(ApiError::new(ErrorKind::Unavailable, DISABLED));
    }
    Err(ApiError::new(ErrorKind::Internal, "samples cannot be deleted: they go when nothing needs them"))
}

/// There are none, so they are gone at once.
pub(super) async fn clean_tombstones(State(state): State<AppState>) -> ApiResult {
    if state.snapshot.is_none() {
        return Err(ApiError::new(ErrorKind::Unavailable, DISABLED));
    }
    blocking(Answer::default).await
}
