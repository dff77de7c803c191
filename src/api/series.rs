//! `/api/v1/series`, `/api/v1/labels`, `/api/v1/label/NAME/values`.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `series`, `labelNames`, `labelValues`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::blocking;
use super::params::Params;
use super::state::AppState;
use crate::model::{Labels, Matcher, Timestamp};
use crate::promql::{ParseError, parse_metric_selector};

/// Sets of matchers: series of any of them are meant.
pub(super) type MatcherSets = Vec<Vec<Matcher>>;

/// Which series a request is about.
struct Selection {
    sets: MatcherSets,
    start: Timestamp,
    end: Timestamp,
    limit: Option<usize>,
}

pub(super) async fn series(State(state): State<AppState>, params: Params) -> ApiResult {
    if params.all("match[]").is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let selection = Selection::read(&params, |reason| ApiError::bad_parameter("match[]", reason))?;
    blocking(move || {
        let found = selection.series(&state);
        let limit = selection.limit.unwrap_or(usize::MAX);
        let answer = Answer::of(|json| json.list(found.iter().take(limit), |json, labels| json.labels(labels)));
        answer.truncated_if(found.len() > limit)
    })
    .await
}

pub(super) async fn label_names(State(state): State<AppState>, params: Params) -> ApiResult {
    let selection = Selection::read(&params, ApiError::bad_data)?;
    blocking(move || {
        let names = match selection.is_everything() {
            true => state.store.label_names(),
            false => {
                let names = |labels: &Labels| labels.iter().map(|label| label.name.clone()).collect::<Vec<_>>();
                distinct(selection.series(&state).iter().flat_map(names))
            }
        };
        selection.texts(&names)
    })
    .await
}

pub(super) async fn label_values(State(state): State<AppState>, Path(name): Path<String>, params: Params) -> ApiResult {
    let name = unescaped(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let selection = Selection::read(&params, ApiError::bad_data)?;
    blocking(move || {
        let values = match selection.is_everything() {
            true => state.store.label_values(&name),
            false => {
                let series = selection.series(&state);
                distinct(series.iter().filter_map(|labels| labels.get_arc(&name).cloned()))
            }
        };
        selection.texts(&values)
    })
    .await
}

/// The matchers of `match[]` parameters; one that would select everything is refused.
pub(super) fn read_matchers(
    params: &Params,
    bad: impl Fn(String) -> ApiError,
    parse_error: impl Fn(&ParseError) -> ApiError,
) -> Result<MatcherSets, ApiError> {
    let mut sets = Vec::new();
    for text in params.all("match[]") {
        sets.push(parse_metric_selector(text).map_err(|errors| parse_error(&errors[0]))?);
    }
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err(bad("match[] must contain at least one non-empty matcher".to_owned()));
    }
    Ok(sets)
}

impl Selection {
    fn read(params: &Params, bad: impl Fn(String) -> ApiError) -> Result<Self, ApiError> {
        let limit = params.limit()?;
        let start = params.time_or("start", Timestamp::MIN)?;
        let end = params.time_or("end", Timestamp::MAX)?;
        let sets = read_matchers(params, &bad, |error| bad(error.to_string()))?;
        Ok(Selection { sets, start, end, limit })
    }

    fn is_everything(&self) -> bool {
        self.sets.is_empty() && self.start == Timestamp::MIN && self.end == Timestamp::MAX
    }

    /// Each series once, in order.
    fn series(&self, state: &AppState) -> Vec<Labels> {
        let select = |set: &Vec<Matcher>| state.store.series(set, self.start, self.end);
        match &*self.sets {
            [] => select(&Vec::new()),
            [set] => select(set),
            sets => sets.iter().flat_map(select).collect::<BTreeSet<Labels>>().into_iter().collect(),
        }
    }

    fn texts(&self, texts: &[Arc<str>]) -> Answer {
        let limit = self.limit.unwrap_or(usize::MAX);
        let answer = Answer::of(|json| json.list(texts.iter().take(limit), |json, text| json.string(text)));
        answer.truncated_if(texts.len() > limit)
    }
}

fn distinct(texts: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    texts.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A name of a path segment, where UTF-8 names are written `U__`, with `_2e_` for each character that is not a letter.
/// **Source.** Prometheus common `model/metric.go`, `UnescapeName` of the values escaping scheme.
fn unescaped(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = rest.split_once('_').and_then(|(code, after)| {
            let c = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
            Some((c, after))
        });
        let Some((c, after)) = decoded else { return name.to_owned() };
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn utf8_names_in_paths() {
        for (path, name) in [
            ("job", "job"),
            ("U__my_2e_label", "my.label"),
            ("U__a__b", "a_b"),
            ("U___1f600_", "😀"),
            ("U__broken_x", "U__broken_x"),
            ("U__broken_zz_", "U__broken_zz_"),
        ] {
            assert_eq!(unescaped(path), name);
        }
    }
}
