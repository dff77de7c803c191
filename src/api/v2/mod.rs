//! Alertmanager's API, version 2, over the embedded router: what `amtool`, dashboards and other Prometheus servers speak.
//!
//! In the flow: requests read and feed the router through a [`RouterHandle`]; the driver of `serve` waits on the same handle
//! and sends what comes out.
//!
//! **Invariants.** A 2xx to posted alerts is given after they are in the router. Errors are bare JSON strings, as upstream.
//! **Limits.** [`BODY_MAX`].
//! **Source.** Alertmanager 0.33 `api/v2/`.
//! **Differs:** silences are not built yet: the list is empty, everything else about them answers 501. Bad bodies and
//! parameters answer 400 with our own words.

mod alerts;
mod groups;
mod handle;
mod params;
mod reply;
mod status;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

pub use handle::RouterHandle;

/// Largest body in bytes: about 60,000 alerts of usual size.
const BODY_MAX: usize = 32 << 20;

/// The routes below `/api/v2`, paths in full.
pub fn routes<S: Clone + Send + Sync + 'static>(handle: RouterHandle) -> Router<S> {
    Router::new()
        .route("/api/v2/status", get(status::get_status))
        .route("/api/v2/receivers", get(status::get_receivers))
        .route("/api/v2/alerts", get(alerts::get_alerts).post(alerts::post_alerts))
        .route("/api/v2/alerts/groups", get(groups::get_groups))
        .route("/api/v2/silences", get(status::get_silences).post(status::not_built))
        .route("/api/v2/silence/{id}", get(status::get_silence).delete(status::not_built))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(handle)
}
