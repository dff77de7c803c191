//! `/api/v1/metadata`, `/api/v1/targets/metadata`: type, help and unit of metric families, of all targets or of each.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `metricMetadata`, `targetMetadata`.
//! **Differs:** with `limit`, which families are given is defined: the first in order of name, and of targets those of the first jobs.
//! Targets and families come in order; Prometheus leaves that to its maps.

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::params::{Params, parse_integer};
use super::state::AppState;
use crate::model::{Labels, Matcher, Metadata};
use crate::promql::parse_metric_selector;

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

/// What each target declares. With `metric`, of that one alone and without its name.
pub(super) async fn of_targets(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = match params.text("limit") {
        "" => -1,
        text => parse_integer(text).map_err(|_| ApiError::bad_data("limit must be a number"))?,
    };
    // A negative limit is none. It is looked at between targets, so that one target is never cut, as upstream has it.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let matchers = match params.text("match_target") {
        "" => Vec::new(),
        text => parse_metric_selector(text).map_err(|errors| ApiError::bad_parameter("match_target", &errors[0]))?,
    };
    let metric = params.text("metric");

    let mut found: Vec<(&Labels, &str, &Metadata)> = Vec::new();
    let targets = (state.targets)().active;
    for target in targets.iter().filter(|target| matches(&matchers, &target.labels)) {
        if found.len() >= limit {
            break;
        }
        match metric {
            "" => found.extend(target.families.iter().map(|(name, metadata)| (&target.labels, &**name, metadata))),
            metric => found.extend(target.families.get(metric).map(|metadata| (&target.labels, "", metadata))),
        }
    }
    Ok(Answer::of(|json| {
        json.list(found, |json, (target, name, metadata)| {
            json.object(|json| {
                json.key("target").labels(target);
                if !name.is_empty() {
                    json.key("metric").string(name);
                }
                json.key("type").string(metadata.kind.as_str());
                json.key("help").string(&metadata.help);
                json.key("unit").string(&metadata.unit);
            });
        });
    }))
}

fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}
