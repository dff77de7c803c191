//! What the daemon shows to the outside: Prometheus's API, Alertmanager's API, our own, and the page, on every listener.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::daemon::Parts;
use super::view;
use crate::api::{self, AppState, Collector, Queries, QuerySettings, ReloadRequest, Source};
use crate::promql::Features;
use crate::web;

/// All paths, ready to be served.
#[derive(Clone)]
pub(super) struct Surface(axum::Router);

impl Surface {
    /// Reload by HTTP is on where we listen on loopback only or the flag says so.
    pub(super) fn of(parts: Arc<Parts>, reload: mpsc::Sender<ReloadRequest>, listeners: &[TcpListener]) -> Self {
        let is_private =
            listeners.iter().all(|listener| listener.local_addr().is_ok_and(|address| address.ip().is_loopback()));
        let may_reload = is_private || parts.settings.is_on("web.enable-lifecycle");
        let state = app_state(&parts, may_reload.then_some(reload));
        let page = axum::Router::new().route("/", get(page)).with_state(parts.clone());
        Surface(api::router(state).merge(api::v2::routes(parts.router.clone())).merge(page))
    }
}

async fn page(State(parts): State<Arc<Parts>>) -> Html<String> {
    Html(web::render(&view::of(&parts)).into_string())
}

fn app_state(parts: &Arc<Parts>, reload: Option<mpsc::Sender<ReloadRequest>>) -> AppState {
    let settings = &parts.settings;
    let queries = QuerySettings {
        lookback_delta: settings.duration("query.lookback-delta"),
        timeout: settings.duration("query.timeout"),
        max_samples: settings.count("query.max-samples"),
        max_concurrency: settings.count("query.max-concurrency"),
        features: Features::STABLE,
        delayed_name_removal: false,
    };
    AppState {
        store: parts.store.clone(),
        metadata: parts.metadata.clone(),
        queries: Arc::new(Queries::new(queries)),
        live: parts.live.clone(),
        rules: source(parts, |parts| parts.groups.rules().iter().map(|group| (**group).clone()).collect()),
        slos: source(parts, |parts| parts.groups.slos()),
        targets: source(parts, |parts| parts.scrapes.targets()),
        alertmanagers: source(parts, |parts| parts.notifier.alertmanagers()),
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
    Arc::new([
        Arc::new(move |families: &mut Vec<_>| scrapes.collect(families)) as Collector,
        Arc::new(move |families: &mut Vec<_>| discovery.collect(families)),
        Arc::new(move |families: &mut Vec<_>| groups.collect(families)),
        Arc::new(move |families: &mut Vec<_>| notifier.collect(families)),
        Arc::new(move |families: &mut Vec<_>| delivery.collect(families)),
    ])
}

/// Serves one listener until aborted.
pub(super) fn serve(listener: TcpListener, surface: Surface) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, surface.0).await {
            tracing::error!(%error, "a listener ended");
        }
    })
}
