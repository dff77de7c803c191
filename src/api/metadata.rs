//! `/api/v1/metadata`: type, help and unit of metric families.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `metricMetadata`.
//! **Differs:** with `limit`, which families are given is defined: the first in order of name.

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::params::{Params, parse_integer};
use super::state::AppState;

pub(super) async fn metadata(State(state): State<AppState>, params: Params) -> ApiResult {
    let number = |name: &str| match params.text(name) {
        "" => Ok(None),
        text => parse_integer(text).map(Some).map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    };
    // A negative limit is none; zero gives nothing, but for each metric, where it is none. As upstream has it.
    let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let per_metric = number("limit_per_metric")?.and_then(|limit| usize::try_from(limit).ok());
    let per_metric = per_metric.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let wanted = params.text("metric");

    let families = state.metadata.list();
    let wanted = families.iter().filter(|(name, _)| wanted.is_empty() || **name == *wanted).take(limit);
    Ok(Answer::of(|json| {
        json.object(|json| {
            for (name, variants) in wanted {
                json.key(name).list(variants.iter().take(per_metric), |json, metadata| {
                    json.object(|json| {
                        json.key("type").string(metadata.kind.as_str());
                        json.key("unit").string(&metadata.unit);
                        json.key("help").string(&metadata.help);
                    });
                });
            }
        });
    }))
}
