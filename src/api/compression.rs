//! Answers compressed for those who ask for it.
//!
//! **Source.** Prometheus 3.5 `util/httputil/compression.go`.
//! **Differs:** `deflate` is not offered.

use std::io::Write;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Shorter bodies gain nothing.
const LEN_MIN: usize = 256;
/// Longer bodies take longer than an async thread may be held up.
const INLINE_LEN_MAX: usize = 64 << 10;

pub(super) async fn gzip(request: Request, next: Next) -> Response {
    let is_wanted = accepts_gzip(request.headers());
    let response = next.run(request).await;
    if !is_wanted || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Handlers of this API make whole bodies, so there is no stream to wait for, and no end that could be missing.
    let body = to_bytes(body, usize::MAX).await.expect("BUG: a body that is in memory cannot be read");
    if body.len() < LEN_MIN {
        return Response::from_parts(head, Body::from(body));
    }
    let packed = if body.len() <= INLINE_LEN_MAX {
        packed(&body)
    } else {
        tokio::task::spawn_blocking(move || packed(&body)).await.expect("BUG: compression panicked")
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(head, Body::from(packed))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|encoding| encoding.trim() == "gzip")
}

fn packed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("BUG: writing to memory failed");
    encoder.finish().expect("BUG: writing to memory failed").into()
}
