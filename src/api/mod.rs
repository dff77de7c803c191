//! The HTTP API of Prometheus 3, so that its clients, promtool and dashboards work unchanged.
//!
//! In the flow: `serve` makes an [`AppState`] and mounts [`router`]; handlers read snapshots and the store. Nothing is changed through
//! this API but by `/-/reload` and `/api/v1/write`.
//!
//! | path | what |
//! |---|---|
//! | `/api/v1/query`, `query_range` | evaluation, beside the async threads |
//! | `/api/v1/format_query`, `parse_query` | an expression over several lines, and as a tree |
//! | `/api/v1/series`, `labels`, `label/NAME/values`, `metadata`, `query_exemplars` | what there is to query |
//! | `/api/v1/write`, `read` | remote write, where it is allowed; remote read |
//! | `/api/v1/admin/snapshot`, `admin/tsdb/*` | a copy of what is stored, where it is allowed |
//! | `/api/v1/rules`, `alerts`, `alertmanagers` | what is evaluated, what fires, who is told |
//! | `/api/v1/targets`, `targets/metadata`, `scrape_pools` | what is scraped |
//! | `/api/v1/status/*` | what runs here |
//! | `/-/healthy`, `/-/ready`, `/-/reload` | life cycle |
//! | `/metrics`, `/federate` | our own metrics; the newest samples of others |
//! | `/api/almenara/v1/slos`, `/slos/NAME`, `/slos/NAME/PART` | our own: how the objectives stand |
//! | `/api/almenara/v1/explain` | our own: what expressions read and do, part by part |
//! | `/api/almenara/v1/memory` | our own: who uses how much memory, and which rule asks for it |
//! | `/api/v2/*` | Alertmanager's API, see [`v2`] |
//!
//! **Invariants.** No handler computes on an async thread; JSON is Prometheus's to the byte, times and identities aside.
//! **Limits.** Concurrent queries, their time and their samples ([`QuerySettings`]); 11,000 points a series; forms of 10 MiB.
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `web/web.go`; answers compared with those of the running program.
//! **Differs:** after Prometheus's message, the error of an expression says what to write instead, where we can tell.

mod admin;
mod alert_explain;
mod answer;
mod compression;
mod cors;
mod execution;
mod exemplars;
mod explain;
mod federate;
mod history;
mod json;
mod kept_plans;
mod lifecycle;
mod memory;
mod metadata;
mod outcomes;
mod params;
mod parse_query;
mod query;
mod read;
mod result;
mod rules;
mod self_metrics;
mod series;
mod slos;
mod state;
mod status;
mod targets;
pub mod v2;
mod write;

pub use explain::explanation_json;
pub use history::{AlertEvent, AlertEventFilter, AlertEvents};
pub use state::{AppState, Collector, Live, Queries, QuerySettings, ReloadRequest, Source};

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};

use answer::{Answer, ApiResult};

/// All paths of the table above. The caller mounts pages beside them and sets the fallback.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/parse_query", get(query::parse).post(query::parse))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::label_names).post(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(metadata::metadata))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(metadata::of_targets))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/walreplay", get(status::wal_replay))
        .route("/notifications", get(nothing_to_notify))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), lifecycle::require_ready))
        .layer(from_fn(cors::allow_origin))
        // Not for pages of other sites, so outside of what answers them.
        .route("/read", post(read::read).layer(from_fn_with_state(state.clone(), lifecycle::require_ready)))
        .route("/admin/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/write", post(write::write).layer(from_fn_with_state(state.clone(), lifecycle::require_ready)));
    let own = Router::new()
        .route("/slos", get(slos::slos))
        .route("/slos/{name}", get(slos::one))
        .route("/slos/{name}/{part}", get(slos::part))
        .route("/alerts/history", get(history::history))
        .route("/alerts/explain", get(alert_explain::explain))
        .route("/rules/outcomes", get(outcomes::outcomes))
        .route("/explain", get(explain::explain).post(explain::explain))
        .route("/memory", get(memory::memory))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), lifecycle::require_ready))
        .layer(from_fn(cors::allow_origin));
    let federation = Router::new()
        .route("/federate", get(federate::federate))
        .layer(from_fn_with_state(state.clone(), lifecycle::require_ready));
    Router::new()
        .nest("/api/v1", api)
        .nest("/api/almenara/v1", own)
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready))
        .route("/-/reload", any(lifecycle::reload))
        .route("/metrics", get(self_metrics::metrics))
        .merge(federation)
        .layer(from_fn(compression::gzip))
        .with_state(state)
}

/// Notices for Prometheus's own page; we have none.
async fn nothing_to_notify() -> ApiResult {
    Ok(Answer::of(|json| json.array(|_| {})))
}

async fn not_found() -> Response {
    lifecycle::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

async fn method_not_allowed() -> Response {
    lifecycle::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

#[cfg(test)]
mod tests;
