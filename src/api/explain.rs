//! `/api/almenara/v1/explain`: what expressions read and do, part by part, with what they share.
//!
//! Parameters: `query`, one or more; `name`, one for each query or none; `time`, `timeout`, `lookback_delta` as for a query.
//!
//! ```text
//! time            the instant, Unix seconds
//! expressions[]   name, node, samples (read), peak_samples (held at a time), error
//! nodes[]         inputs first: id, expr, operation, inputs[], uses, type, kind, exactness, elements, error,
//!                 estimated_ns, estimated_bytes
//!   reads         of a selector: after, until, series, samples, has_start_times, examples[]
//! is_cut          whether there were too many parts to tell of all
//! ```
//!
//! **Limits.** Those of a query, for all expressions together: one slot, one timeout.

use std::time::Duration;

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::run;
use super::json::Json;
use super::params::{Params, parse_duration_ns};
use super::state::AppState;
use crate::clock;
use crate::promql::eval::{EvalError, QueryOptions};
use crate::promql::explain::{self, Explanation, Node, Reads, Root};
use crate::promql::{Expr, parse_with};

pub(super) async fn explain(State(state): State<AppState>, params: Params) -> ApiResult {
    let settings = state.queries.settings;
    let at = params.time_or("time", clock::now())?;
    let timeout = duration(&params, "timeout", settings.timeout)?.min(settings.timeout);
    let lookback_delta = duration(&params, "lookback_delta", settings.lookback_delta)?;
    let expressions = expressions(&state, &params)?;
    let queries = state.queries.clone();
    run(&queries, timeout, move |interrupt, _| {
        let options = settings.dialect.applied(QueryOptions {
            lookback_delta,
            default_subquery_step: state.live.read().default_subquery_step,
            max_samples: settings.max_samples,
            interrupt: Some(interrupt),
            ..QueryOptions::default()
        });
        let explanation = explain::explain(&expressions, at, &*state.store, &options)?;
        Ok(Answer::of(|json| write_explanation(json, &explanation)))
    })
    .await
}

fn duration(params: &Params, name: &str, default: Duration) -> Result<Duration, ApiError> {
    match params.text(name) {
        "" => Ok(default),
        text => {
            let ns = parse_duration_ns(text).map_err(|reason| ApiError::bad_parameter(name, reason))?;
            Ok(u64::try_from(ns).ok().filter(|ns| *ns > 0).map_or(default, Duration::from_nanos))
        }
    }
}

fn expressions(state: &AppState, params: &Params) -> Result<Vec<(String, Expr)>, ApiError> {
    let (texts, names) = (params.all("query"), params.all("name"));
    if texts.is_empty() {
        return Err(ApiError::bad_data("no query parameter provided"));
    }
    if !names.is_empty() && names.len() != texts.len() {
        return Err(ApiError::bad_data("as many name parameters are needed as there are query parameters, or none"));
    }
    let mut expressions = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let expr = parse_with(text, state.queries.settings.dialect.features)
            .map_err(|errors| ApiError::bad_parameter("query", errors[0].text_with_help()))?;
        let name = names.get(index).map_or_else(|| "expression".to_owned(), |name| (*name).to_owned());
        expressions.push((name, expr));
    }
    Ok(expressions)
}

/// The `data` of the answer, for whoever explains without a daemon.
pub fn explanation_json(explanation: &Explanation) -> String {
    Json::of(|json| write_explanation(json, explanation))
}

fn write_explanation(json: &mut Json, explanation: &Explanation) {
    json.object(|json| {
        json.key("time").number(explanation.at.as_secs_f64());
        json.key("expressions").list(&explanation.roots, write_root);
        json.key("nodes").list(explanation.nodes.iter().enumerate(), |json, (id, node)| write_node(json, id, node));
        json.key("is_cut").truth(explanation.is_cut);
    });
}

fn write_root(json: &mut Json, root: &Root) {
    json.object(|json| {
        json.key("name").string(&root.name);
        json.key("node").integer(root.node as u64);
        json.key("samples").integer(root.samples);
        json.key("peak_samples").integer(root.peak_samples as u64);
        write_error(json, root.error.as_ref());
    });
}

fn write_node(json: &mut Json, id: usize, node: &Node) {
    json.object(|json| {
        json.key("id").integer(id as u64);
        json.key("expr").string(&node.text);
        json.key("operation").string(&node.operation);
        json.key("inputs").list(&node.inputs, |json, input| json.integer(*input as u64));
        json.key("uses").integer(node.uses as u64);
        json.key("type").string(node.value_type.documented());
        json.key("kind").string(node.kind.as_str());
        json.key("exactness").string(node.exactness.as_str());
        if let Some(reads) = &node.reads {
            json.key("reads");
            write_reads(json, reads);
        }
        json.key("elements");
        match node.elements {
            Some(elements) => json.integer(elements as u64),
            None => json.null(),
        }
        write_error(json, node.error.as_ref());
        json.key("estimated_ns").integer(node.estimated_ns());
        json.key("estimated_bytes").integer(node.estimated_bytes());
    });
}

fn write_reads(json: &mut Json, reads: &Reads) {
    json.object(|json| {
        json.key("after").number(reads.after.as_secs_f64());
        json.key("until").number(reads.until.as_secs_f64());
        json.key("series").integer(reads.series as u64);
        json.key("samples").integer(reads.samples as u64);
        json.key("has_start_times").truth(reads.has_start_times);
        json.key("examples").list(&reads.examples, |json, labels| json.string(&labels.to_string()));
    });
}

fn write_error(json: &mut Json, error: Option<&EvalError>) {
    if let Some(error) = error {
        json.key("error").string(&error.to_string());
    }
}
