//! `/metrics`: our own metrics, and those of the store, which is pure and cannot tell them itself.

use std::fs;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::state::AppState;
use crate::exposition::{Family, FamilyKind, TEXT_CONTENT_TYPE, write_text};
use crate::store::OrderCounts;

/// The unit of times in `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture that Linux supports today.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let mut families = Vec::new();
    for collector in &*state.collectors {
        collector(&mut families);
    }
    collect_store(&state, &mut families);
    collect_queries(&state, &mut families);
    collect_process(&state, &mut families);
    collect_system(&mut families);
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
    let counts = state.store.counts();
    type Pick = fn(&OrderCounts) -> u64;
    let counters: [(&str, &str, Pick); 4] = [
        (
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Total number of appended out of order samples.",
            |counts| counts.late,
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            |counts| counts.out_of_order,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample \
             outside of time window.",
            |counts| counts.too_late,
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            |counts| counts.too_old,
        ),
    ];
    for (name, help, pick) in counters {
        let mut family = Family::new(name, help, FamilyKind::Counter);
        for (kind, counts) in [("float", &counts.floats), ("histogram", &counts.histograms)] {
            family.point(vec![("type", kind.to_owned())], pick(counts) as f64);
        }
        families.push(family);
    }
}

fn collect_queries(state: &AppState, families: &mut Vec<Family>) {
    let active = state.queries.active.load(Ordering::Relaxed);
    for (name, help, value) in [
        ("prometheus_engine_queries", "The current number of queries being executed or waiting.", active),
        (
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
            state.queries.settings.max_concurrency,
        ),
    ] {
        families.push(Family::single(name, help, FamilyKind::Gauge, value as f64));
    }
}

/// What the kernel counts for this process; nothing where it does not tell it as Linux does.
fn collect_system(families: &mut Vec<Family>) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the process stands in parentheses and may hold anything; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let cpu_secs = ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    let open_files = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    for (name, help, kind, value) in [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            FamilyKind::Counter,
            cpu_secs,
        ),
        ("process_open_fds", "Number of open file descriptors.", FamilyKind::Gauge, open_files),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            FamilyKind::Gauge,
            kibibytes("VmRSS").map(|size| size * 1024.0),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            FamilyKind::Gauge,
            kibibytes("VmSize").map(|size| size * 1024.0),
        ),
    ] {
        families.extend(value.map(|value| Family::single(name, help, kind, value)));
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
