//! The envelope around every answer, and the errors.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `respond`, `respondError`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::json::Json;

/// What handlers of `/api/v1` return.
pub(super) type ApiResult = Result<Answer, ApiError>;

/// A success. The default one has no content, which is not the same as an empty list.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The value of `data`, finished; empty where there is none.
    data: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

/// Warnings and infos, of each so many; how many more there are is told instead of them.
const NOTES_MAX: usize = 10;

/// The warning on an answer that `limit` cut.
const TRUNCATED: &str = "results truncated due to limit";

impl Answer {
    /// The data that `write` writes.
    pub(super) fn of(write: impl FnOnce(&mut Json)) -> Self {
        Answer { data: Json::of(write), ..Answer::default() }
    }

    /// Adds what an evaluation had to say.
    pub(super) fn annotated(mut self, warnings: Vec<String>, infos: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self.infos.extend(infos);
        self
    }

    /// Adds the warning of a cut answer if `is_cut`.
    pub(super) fn truncated_if(mut self, is_cut: bool) -> Self {
        self.warnings.extend(is_cut.then(|| TRUNCATED.to_owned()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        if self.data.is_empty() {
            return StatusCode::NO_CONTENT.into_response();
        }
        let body = Json::of(|json| {
            json.object(|json| {
                json.key("status").string("success");
                json.key("data").raw(&self.data);
                write_notes(json, "warning", &self.warnings);
                write_notes(json, "info", &self.infos);
            });
        });
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// The list of what there is to say of a kind, if there is something.
fn write_notes(json: &mut Json, kind: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    let shown = &texts[..texts.len().min(NOTES_MAX)];
    let omitted = texts.len() - shown.len();
    let omitted = (omitted > 0).then(|| format!("{omitted} more {kind} annotations omitted"));
    json.key(&format!("{kind}s")).list(shown.iter().chain(&omitted), |json, text| json.string(text));
}

/// Why there is no answer; the kind decides the HTTP code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// There is no such thing.
    NotFound,
    /// The query failed.
    Execution,
    /// The query took too long.
    Timeout,
    /// The one who asked went away.
    Canceled,
    /// Our own mistake.
    Internal,
    /// It is not allowed here.
    Unavailable,
}

impl ErrorKind {
    fn word_and_code(self) -> (&'static str, u16) {
        match self {
            ErrorKind::BadData => ("bad_data", 400),
            ErrorKind::NotFound => ("not_found", 404),
            ErrorKind::Execution => ("execution", 422),
            ErrorKind::Timeout => ("timeout", 503),
            ErrorKind::Canceled => ("canceled", 499),
            ErrorKind::Internal => ("internal", 500),
            ErrorKind::Unavailable => ("unavailable", 503),
        }
    }
}

/// A failure.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl ApiError {
    /// A failure of `kind`.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into() }
    }

    /// A wrong request.
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        ApiError::new(ErrorKind::BadData, message)
    }

    /// A parameter that cannot be used.
    pub(super) fn bad_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        ApiError::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (word, code) = self.kind.word_and_code();
        let body = Json::of(|json| {
            json.object(|json| {
                json.key("status").string("error");
                json.key("errorType").string(word);
                json.key("error").string(&self.message);
            });
        });
        let code = StatusCode::from_u16(code).expect("BUG: a code of the table is none");
        (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_of_a_kind_are_told_and_the_others_counted() {
        let texts = |count: usize| (0..count).map(|index| index.to_string()).collect::<Vec<_>>();
        let written = |count| Json::of(|json| json.object(|json| write_notes(json, "info", &texts(count))));
        assert_eq!(written(0), "{}");
        assert_eq!(written(1), r#"{"infos":["0"]}"#);
        assert!(written(10).ends_with(r#""8","9"]}"#));
        assert!(written(12).ends_with(r#""9","2 more info annotations omitted"]}"#));
    }
}
