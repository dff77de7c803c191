//! What the daemon shows to the outside: Prometheus's API, Alertmanager's API, our own, and the page, on every listener.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Query, RawQuery, State};
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, Redirect};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::access::{Callers, Flag, Reach, may_change};
use super::daemon::Parts;
use super::threads::Threads;
use super::view;
use super::web_config::{self, WebConfig};
use crate::api::v2::SilenceWrites;
use crate::api::{self, AppState, Collector, Queries, QuerySettings, ReloadRequest, Source};
use crate::web;

/// More than this is no page that people read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// All paths, ready to be served. With a web configuration nothing is answered that it does not let pass.
pub(super) fn routes(
    parts: Arc<Parts>,
    reload: mpsc::Sender<ReloadRequest>,
    listeners: &[TcpListener],
    web: Option<&Arc<WebConfig>>,
) -> axum::Router {
    let callers = web.map_or(Callers::Anyone, |web| web.callers());
    let flag = |name: &str| if parts.settings.is_on(name) { Flag::Given } else { Flag::Absent };
    let is_allowed = may_change(reach(listeners), callers, flag("web.enable-lifecycle"));
    let may_write = may_change(reach(listeners), callers, flag("web.enable-remote-write-receiver"));
    let receiver = may_write.then(|| parts.receiver.clone());
    let state = AppState { receiver, ..app_state(&parts, is_allowed.then_some(reload)) };
    let silences = if is_allowed { SilenceWrites::Allowed } else { SilenceWrites::Refused };
    let api = api::router(state);
    let pages = axum::Router::new()
        .route("/", get(page))
        .with_state(parts.clone())
        .route("/graph", get(graph))
        .route("/alerts/history", get(alert_history))
        .route("/alerts/explain", get(alert_explanations))
        .route("/rules/outcomes", get(rule_outcomes))
        .with_state(api.clone())
        .route("/slos", get(async || Redirect::to("/#slos")));
    let routes = api.merge(api::v2::routes(parts.router.clone(), silences)).merge(pages);
    match web {
        None => routes,
        Some(web) => routes.layer(from_fn_with_state(web.clone(), web_config::guard)),
    }
}

fn reach(listeners: &[TcpListener]) -> Reach {
    let is_loopback = |listener: &TcpListener| listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    if listeners.iter().all(is_loopback) { Reach::LoopbackOnly } else { Reach::Beyond }
}

async fn page(State(parts): State<Arc<Parts>>) -> Html<String> {
    Html(web::render(&view::of(&parts)).into_string())
}

/// Asks our own API, so that the page has the same limits and the same errors.
async fn graph(State(api): State<axum::Router>, Query(parameters): Query<BTreeMap<String, String>>) -> Html<String> {
    let expr = parameters.get("g0.expr").map_or("", String::as_str).trim();
    let answer = match expr {
        "" => None,
        expr => Some(ask(api, expr).await),
    };
    Html(web::render_graph(expr, answer.as_ref()).into_string())
}

async fn alert_history(State(api): State<axum::Router>, RawQuery(query): RawQuery) -> Html<String> {
    let query = query.unwrap_or_default();
    let selector = form_value(&query, "match[]");
    // An empty field of the form asks for everything.
    let asked = if selector.is_empty() { String::new() } else { query };
    Html(web::render_history(&selector, &own(api, "alerts/history", &asked).await).into_string())
}

async fn alert_explanations(State(api): State<axum::Router>, RawQuery(query): RawQuery) -> Html<String> {
    Html(web::render_explanations(&own(api, "alerts/explain", &query.unwrap_or_default()).await).into_string())
}

async fn rule_outcomes(State(api): State<axum::Router>, RawQuery(query): RawQuery) -> Html<String> {
    Html(web::render_outcomes(&own(api, "rules/outcomes", &query.unwrap_or_default()).await).into_string())
}

fn form_value(query: &str, name: &str) -> String {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

async fn own(api: axum::Router, path: &str, query: &str) -> serde_json::Value {
    ask_path(api, &format!("/api/almenara/v1/{path}?{query}")).await
}

async fn ask(api: axum::Router, expr: &str) -> serde_json::Value {
    let parameters = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expr).finish();
    ask_path(api, &format!("/api/v1/query?{parameters}")).await
}

async fn ask_path(api: axum::Router, path: &str) -> serde_json::Value {
    let Ok(request) = Request::get(path).body(Body::empty()) else {
        return serde_json::json!({"error": "this is no address"});
    };
    let answer = api.oneshot(request).await.unwrap_or_else(|never| match never {});
    let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| serde_json::json!({"error": "the answer is too long for a page"}))
}

fn app_state(parts: &Arc<Parts>, reload: Option<mpsc::Sender<ReloadRequest>>) -> AppState {
    let settings = &parts.settings;
    let queries = QuerySettings {
        lookback_delta: settings.duration("query.lookback-delta"),
        timeout: settings.duration("query.timeout"),
        max_samples: settings.count("query.max-samples"),
        max_concurrency: settings.count("query.max-concurrency"),
        dialect: parts.features.dialect,
        per_step_stats: parts.features.per_step_stats,
    };
    AppState {
        store: parts.store.clone(),
        metadata: parts.metadata.clone(),
        exemplars: parts.exemplars.clone(),
        receiver: None,
        queries: Arc::new(Queries::new(queries).with_executor(Arc::new(Threads::new()))),
        live: parts.live.clone(),
        rules: source(parts, |parts| parts.groups.rules().iter().map(|group| (**group).clone()).collect()),
        alert_events: {
            let history = parts.history.clone();
            Arc::new(move |filter| history.read(filter))
        },
        router: Some(parts.router.clone()),
        slos: source(parts, |parts| parts.groups.slos()),
        targets: source(parts, |parts| parts.scrapes.targets()),
        alertmanagers: source(parts, |parts| parts.notifier.alertmanagers()),
        storage_problem: source(parts, Parts::storage_problem),
        snapshot: settings.is_on("web.enable-admin-api").then(|| source(parts, Parts::snapshot)),
        reload,
        collectors: collectors(parts),
    }
}

/// A snapshot of one part, taken whenever a handler asks.
fn source<T>(parts: &Arc<Parts>, look: fn(&Parts) -> T) -> Source<T>
where
    T: 'static,
{
    let parts = parts.clone();
    Arc::new(move || look(&parts))
}

fn collectors(parts: &Arc<Parts>) -> Arc<[Collector]> {
    let (scrapes, groups) = (parts.scrapes.clone(), parts.groups.clone());
    let (notifier, delivery, discovery) =
        (parts.notifier.clone(), parts.delivery.clone(), parts.discovery_metrics.clone());
    let history = parts.history.clone();
    let (router, receiver, storage) = (parts.router.clone(), parts.receiver.clone(), parts.storage.clone());
    let upkeep = parts.upkeep.clone();
    Arc::new([
        Arc::new(move |families: &mut Vec<_>| scrapes.collect(families)) as Collector,
        Arc::new(move |families: &mut Vec<_>| discovery.collect(families)),
        Arc::new(move |families: &mut Vec<_>| groups.collect(families)),
        Arc::new(move |families: &mut Vec<_>| notifier.collect(families)),
        Arc::new(move |families: &mut Vec<_>| delivery.collect(families)),
        Arc::new(move |families: &mut Vec<_>| router.collect(families)),
        Arc::new(move |families: &mut Vec<_>| receiver.collect(families)),
        Arc::new(move |families: &mut Vec<_>| storage.collect(families)),
        Arc::new(move |families: &mut Vec<_>| history.collect(families)),
        Arc::new(move |families: &mut Vec<_>| upkeep.collect(families)),
    ])
}
