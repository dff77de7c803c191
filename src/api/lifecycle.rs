//! `/-/healthy`, `/-/ready`, `/-/reload`.
//!
//! **Source.** Prometheus 3.5 `web/web.go`.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::state::AppState;

pub(super) async fn healthy(method: Method) -> Response {
    text(StatusCode::OK, if method == Method::HEAD { "" } else { "Almenara is Healthy.\n" })
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let is_ready = state.live.read().is_ready;
    if is_ready {
        let problem = (state.storage_problem)().map_or_else(String::new, |problem| problem + "\n");
        text(StatusCode::OK, format!("Almenara is Ready.\n{problem}"))
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    }
}

/// Answers once the new configuration is in force, or was refused.
pub(super) async fn reload(State(state): State<AppState>, method: Method) -> Response {
    if method != Method::POST && method != Method::PUT {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed");
    }
    let Some(reload) = &state.reload else {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    };
    let (sender, receiver) = oneshot::channel();
    let outcome = match reload.send(sender).await {
        Ok(()) => receiver.await.unwrap_or_else(|_| Err("shutting down".to_owned())),
        Err(_) => Err("shutting down".to_owned()),
    };
    match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(reason) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {reason}\n")),
    }
}

/// Nothing is answered before all that was stored has been read, nor while draining.
pub(super) async fn require_ready(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_ready = state.live.read().is_ready;
    if is_ready { next.run(request).await } else { text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable") }
}

pub(super) fn text(code: StatusCode, body: impl Into<String>) -> Response {
    (code, body.into()).into_response()
}
