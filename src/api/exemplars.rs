//! `/api/v1/query_exemplars`: the exemplars of the series that an expression reads.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `queryExemplars`.

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::blocking;
use super::json::Json;
use super::params::Params;
use super::state::AppState;
use crate::model::{Exemplar, Matcher, Timestamp};
use crate::promql::ast::ExprKind;
use crate::promql::{Expr, parse_with};

pub(super) async fn exemplars(State(state): State<AppState>, params: Params) -> ApiResult {
    let start = params.time_or("start", Timestamp::MIN)?;
    let end = params.time_or("end", Timestamp::MAX)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = parse_with(params.text("query"), state.queries.settings.dialect.features)
        .map_err(|errors| ApiError::bad_data(errors[0].text_with_help()))?;
    let mut sets = Vec::new();
    collect_matchers(&expr, &mut sets);
    if sets.is_empty() {
        return Ok(Answer::default());
    }
    blocking(move || {
        let found = state.exemplars.select(&sets, start, end);
        Answer::of(|json| {
            json.list(&found, |json, (labels, exemplars)| {
                json.object(|json| {
                    json.key("seriesLabels").labels(labels);
                    json.key("exemplars").list(exemplars, write_exemplar);
                });
            });
        })
    })
    .await
}

/// The matchers of every selector in `expr`.
fn collect_matchers(expr: &Expr, sets: &mut Vec<Vec<Matcher>>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::VectorSelector(selector) | ExprKind::MatrixSelector { selector, .. } => {
            sets.push(selector.matchers.clone())
        }
        ExprKind::Subquery(subquery) => collect_matchers(&subquery.expr, sets),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect_matchers(arg, sets)),
        ExprKind::Aggregate(aggregate) => {
            collect_matchers(&aggregate.expr, sets);
            aggregate.param.iter().for_each(|param| collect_matchers(param, sets));
        }
        ExprKind::Binary(binary) => {
            collect_matchers(&binary.lhs, sets);
            collect_matchers(&binary.rhs, sets);
        }
        ExprKind::Unary { operand: inner, .. } | ExprKind::Paren(inner) => collect_matchers(inner, sets),
    }
}

fn write_exemplar(json: &mut Json, exemplar: &Exemplar) {
    json.object(|json| {
        json.key("labels").labels(&exemplar.labels);
        json.key("value").sample_value(exemplar.value);
        json.key("timestamp").sample_time(exemplar.at);
    });
}
