//! `/metrics`: our own metrics, and those of the store, which is pure and cannot tell them itself.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::state::AppState;
use crate::exposition::{Family, FamilyKind, TEXT_CONTENT_TYPE, write_text};

pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let mut families = Vec::new();
    for collector in &*state.collectors {
        collector(&mut families);
    }
    collect_store(&state, &mut families);
    collect_process(&state, &mut families);
    ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], write_text(&families)).into_response()
}

fn collect_store(state: &AppState, families: &mut Vec<Family>) {
    let stats = state.store.stats();
    for (name, help, value) in [
        ("almenara_store_series", "Series in memory.", stats.series),
        ("almenara_store_samples", "Samples in memory.", stats.samples),
        ("almenara_store_chunks", "Runs of samples in memory, open ones included.", stats.chunks),
        ("almenara_store_bytes", "Bytes of samples in memory, without labels and index.", stats.bytes),
    ] {
        families.push(Family::single(name, help, FamilyKind::Gauge, value as f64));
    }
}

fn collect_process(state: &AppState, families: &mut Vec<Family>) {
    let mut build = Family::new(
        "almenara_build_info",
        "A constant 1, labelled by the version from which Almenara was built.",
        FamilyKind::Gauge,
    );
    build.point(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
    families.push(build);

    let live = state.live.read();
    let loaded_at = live.config_loaded_at.as_secs_f64();
    for (name, help, value) in [
        (
            "prometheus_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
            f64::from(u8::from(live.is_config_good)),
        ),
        (
            "prometheus_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded.",
            loaded_at,
        ),
        ("almenara_ready", "Whether queries are answered.", f64::from(u8::from(live.is_ready))),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            live.started_at.as_secs_f64(),
        ),
    ] {
        families.push(Family::single(name, help, FamilyKind::Gauge, value));
    }
}
