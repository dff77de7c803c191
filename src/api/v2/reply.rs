//! JSON replies and their times.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::model::{Labels, Timestamp};

/// A reply of `status` with `body`; no cache may keep it.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}

/// A reply that says what was wrong, as a bare JSON string.
pub(super) fn refuse(status: StatusCode, reason: impl Into<String>) -> Response {
    json(status, &Value::String(reason.into()))
}

/// RFC 3339 with exactly three digits of a second, as upstream's API prints times.
pub(super) fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_ms()) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => at.to_rfc3339(),
    }
}

/// A label set as a JSON object.
pub(super) fn labels(labels: &Labels) -> Value {
    Value::Object(
        labels.iter().map(|label| (label.name.to_string(), label.value.to_string().into())).collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        assert_eq!(time(Timestamp::from_ms(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(Timestamp::from_ms(1_700_000_000_250)), "2023-11-14T22:13:20.250Z");
        assert_eq!(time(Timestamp::from_ms(-62_135_596_800_000)), "0001-01-01T00:00:00.000Z");
    }
}
