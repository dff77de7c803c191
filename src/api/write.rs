//! `/api/v1/write`: the door of remote write; see [`crate::remote`].
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `remoteWrite`; Go's `http.Error` for the form of errors.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::state::AppState;
use crate::remote::{ENCODED_BYTES_MAX, Reply};

const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";
const HISTOGRAMS_WRITTEN: &str = "x-prometheus-remote-write-histograms-written";
const EXEMPLARS_WRITTEN: &str = "x-prometheus-remote-write-exemplars-written";

pub(super) async fn write(State(state): State<AppState>, request: Request) -> Response {
    let Some(receiver) = state.receiver else {
        let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return error(StatusCode::NOT_FOUND, text);
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, ENCODED_BYTES_MAX).await else {
        let text = format!("the body is longer than {ENCODED_BYTES_MAX} bytes, or has no end");
        return error(StatusCode::PAYLOAD_TOO_LARGE, &text);
    };
    let (kind, encoding) =
        (text_of(&head.headers, header::CONTENT_TYPE), text_of(&head.headers, header::CONTENT_ENCODING));
    let reply = receiver.receive(kind, encoding, body).await;
    respond(&reply)
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn respond(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).expect("BUG: a status that is none");
    let mut response = if reply.text.is_empty() { status.into_response() } else { error(status, &reply.text) };
    if let Some(written) = reply.written {
        for (name, count) in [
            (SAMPLES_WRITTEN, written.samples),
            (HISTOGRAMS_WRITTEN, written.histograms),
            (EXEMPLARS_WRITTEN, written.exemplars),
        ] {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], format!("{text}\n")).into_response()
}
