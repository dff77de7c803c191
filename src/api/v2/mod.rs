//! Alertmanager's API, version 2, over the embedded router: what `amtool`, dashboards and other Prometheus servers speak.
//!
//! In the flow: requests read and feed the router through a [`RouterHandle`]; the driver of `serve` waits on the same handle
//! and sends what comes out.
//!
//! **Invariants.** A 2xx to posted alerts is given after they are in the router. Errors are bare JSON strings, as upstream.
//! **Limits.** [`BODY_MAX`].
//! **Source.** Alertmanager 0.33 `api/v2/`.
//! **Differs:** bad bodies and parameters answer 400 with our own words. Silences are changed by HTTP only
//! where we listen on loopback only, callers authenticate, or `--web.enable-lifecycle` is given; else 403.

mod alerts;
mod groups;
mod handle;
mod muting;
mod params;
mod reply;
mod silence_json;
mod silences;
mod status;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

pub use handle::{ChangeError, KeepSilences, KeepState, RouterHandle};
pub use silence_json::{decode as decode_silences, encode as encode_silences};

/// Largest body in bytes: about 60,000 alerts of usual size.
const BODY_MAX: usize = 32 << 20;

/// Whether requests may change silences: whoever can silence an alarm can hide an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceWrites {
    /// Requests come from people who may.
    Allowed,
    /// They are answered with 403.
    Refused,
}

/// The routes below `/api/v2`, paths in full.
pub fn routes<S: Clone + Send + Sync + 'static>(handle: RouterHandle, writes: SilenceWrites) -> Router<S> {
    let (list, one) = (get(silences::get_silences), get(silences::get_silence));
    let (list, one) = match writes {
        SilenceWrites::Allowed => (list.post(silences::post_silences), one.delete(silences::delete_silence)),
        SilenceWrites::Refused => (list.post(silences::writes_are_off), one.delete(silences::writes_are_off)),
    };
    Router::new()
        .route("/api/v2/status", get(status::get_status))
        .route("/api/v2/receivers", get(status::get_receivers))
        .route("/api/v2/alerts", get(alerts::get_alerts).post(alerts::post_alerts))
        .route("/api/v2/alerts/groups", get(groups::get_groups))
        .route("/api/v2/silences", list)
        .route("/api/v2/silence/{id}", one)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(handle)
}
