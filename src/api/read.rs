//! `/api/v1/read`: the door of remote read; see [`crate::remote::read`].
//!
//! **Source.** Prometheus 3.5 `storage/remote/read_handler.go`.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::lifecycle::text;
use super::state::AppState;
use crate::remote::ENCODED_BYTES_MAX;
use crate::remote::read::{Answering, ReadRefusal};

pub(super) async fn read(State(state): State<AppState>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), ENCODED_BYTES_MAX).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {ENCODED_BYTES_MAX} bytes\n"));
    };
    // As queries: so many at once, the others wait.
    let Ok(_slot) = state.queries.slots.clone().acquire_owned().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    };
    let external_labels = state.live.read().external_labels.clone();
    let answering = Answering { store: state.store, external_labels };
    let answer = tokio::task::spawn_blocking(move || answering.answer(&body)).await;
    match answer.unwrap_or_else(|error| Err(ReadRefusal(500, error.to_string()))) {
        Ok(body) => {
            let head = [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
            (head, body).into_response()
        }
        Err(ReadRefusal(code, reason)) => {
            text(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format!("{reason}\n"))
        }
    }
}
