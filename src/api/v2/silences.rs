//! `/api/v2/silences` and `/api/v2/silence/{id}`: what is silenced, and changes of it.
//!
//! **Invariants.** A change is answered after it was kept; see [`RouterHandle::change_silences`].
//! **Source.** Alertmanager 0.33 `api/v2/api.go`, and the checks generated from its `openapi.yaml`, which answer with a code and a
//! message instead of a bare string.
//! **Differs:** the parameters `active`, `pending` and `expired` select silences (upstream from 0.34 on). A body of silences that cannot be
//! read is told in our own words.

use std::hash::{BuildHasher, RandomState};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::handle::ChangeError;
use super::params::Filter;
use super::silence_json::{self, BodyError};
use super::{RouterHandle, reply};
use crate::model::Timestamp;
use crate::router::{SilenceError, SilenceId, SilenceState};

pub(super) async fn get_silences(State(handle): State<RouterHandle>, RawQuery(query): RawQuery) -> Response {
    let filter = match Filter::parse(query.as_deref()) {
        Ok(filter) => filter,
        Err(reason) => return reply::refuse(StatusCode::BAD_REQUEST, reason),
    };
    let now = handle.now();
    let list = handle.read(|router| {
        let listed = router.silences().listed(now).into_iter();
        let asked_for = listed.filter(|silence| filter.passes_silence(silence, now));
        asked_for.map(|silence| silence_json::gettable(silence, now)).collect()
    });
    reply::json(StatusCode::OK, &list)
}

pub(super) async fn get_silence(State(handle): State<RouterHandle>, Path(id): Path<String>) -> Response {
    let Ok(parsed) = id.parse() else { return not_an_id(&id) };
    let now = handle.now();
    let shown = handle.read(|router| router.silences().get(parsed).map(|silence| silence_json::gettable(silence, now)));
    match shown {
        Some(shown) => reply::json(StatusCode::OK, &shown),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn delete_silence(State(handle): State<RouterHandle>, Path(id): Path<String>) -> Response {
    let Ok(parsed) = id.parse() else { return not_an_id(&id) };
    match handle.change_silences(move |silences, now| silences.expire(parsed, now)).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(ChangeError::Refused(SilenceError::NotFound)) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn post_silences(State(handle): State<RouterHandle>, headers: HeaderMap, body: Bytes) -> Response {
    // A page of another site can make a browser post plain text to us, but not JSON.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
        let message = format!("unsupported media type {kind:?}, only [application/json] are allowed");
        return coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, &message);
    }
    let (id, draft) = match silence_json::read(&body) {
        Ok(read) => read,
        Err(error) => return bad_body(error),
    };
    let changed = handle.change_silences(move |silences, now| {
        let replaces = match id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| SilenceError::NotFound)?),
        };
        silences.set(draft, replaces, fresh_id(now), now)
    });
    match changed.await {
        Ok(id) => reply::json(StatusCode::OK, &json!({ "silenceID": id.to_string() })),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn writes_are_off() -> Response {
    let reason =
        "silences cannot be changed by HTTP here: start with --web.enable-lifecycle, or listen on loopback only";
    reply::refuse(StatusCode::FORBIDDEN, reason)
}

/// An id that nobody has. The standard library's hash keys come from the system's random numbers, and an id is no secret.
fn fresh_id(now: Timestamp) -> SilenceId {
    let half = || u128::from(RandomState::new().hash_one(now.as_ms()));
    SilenceId::from_random(half() << 64 | half())
}

fn refuse(error: &ChangeError) -> Response {
    let status = match error {
        ChangeError::Refused(SilenceError::NotFound) => StatusCode::NOT_FOUND,
        ChangeError::Refused(_) => StatusCode::BAD_REQUEST,
        ChangeError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    reply::refuse(status, error.to_string())
}

fn bad_body(error: BodyError) -> Response {
    match error {
        BodyError::Unreadable(reason) => {
            let message = format!("parsing silence body from \"\" failed, because {reason}");
            coded(StatusCode::BAD_REQUEST, 400, &message)
        }
        BodyError::Missing(message) => coded(StatusCode::UNPROCESSABLE_ENTITY, 602, &message),
        BodyError::NoMatchers => {
            coded(StatusCode::UNPROCESSABLE_ENTITY, 612, "matchers in body should have at least 1 items")
        }
    }
}

fn not_an_id(id: &str) -> Response {
    let message = format!("silenceID in path must be of type uuid: {id:?}");
    coded(StatusCode::UNPROCESSABLE_ENTITY, 601, &message)
}

fn coded(status: StatusCode, code: u16, message: &str) -> Response {
    reply::json(status, &json!({ "code": code, "message": message }))
}

/// The states in the order in which metrics show them.
pub(super) const STATES: [SilenceState; 3] = [SilenceState::Active, SilenceState::Expired, SilenceState::Pending];
