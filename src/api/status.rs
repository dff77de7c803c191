//! `/api/v1/status/*`: what runs here, with which settings.
//!
//! **Source.** Prometheus 3.5 `web/api/v1/api.go`, `serveConfig` and those after it.
//! **Differs:** what only a Go program has (goroutines, GC settings) is zero or empty.

use std::env;
use std::fs;
use std::thread::available_parallelism;

use axum::extract::State;

use super::answer::{Answer, ApiError, ApiResult};
use super::execution::blocking;
use super::json::Json;
use super::params::{Params, parse_integer};
use super::state::AppState;
use crate::clock;
use crate::model::Timestamp;
use crate::source::format_duration;
use crate::store::{Cardinality, Count, Stats};

/// Entries of each list of `status/tsdb`, unless `limit` says otherwise.
const CARDINALITY_DEFAULT: usize = 10;

pub(super) async fn config(State(state): State<AppState>) -> ApiResult {
    let yaml = state.live.read().config_yaml.clone();
    Ok(Answer::of(|json| json.object(|json| json.key("yaml").string(&yaml))))
}

pub(super) async fn flags(State(state): State<AppState>) -> ApiResult {
    let flags = state.live.read().flags.clone();
    Ok(Answer::of(|json| json.object(|json| flags.iter().for_each(|(name, value)| json.key(name).string(value)))))
}

pub(super) async fn build_info() -> ApiResult {
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("version").string(env!("CARGO_PKG_VERSION"));
            for (key, value) in [("revision", ""), ("branch", ""), ("buildUser", ""), ("buildDate", "")] {
                json.key(key).string(value);
            }
            json.key("goVersion").string("");
        });
    }))
}

pub(super) async fn runtime_info(State(state): State<AppState>) -> ApiResult {
    let live = state.live.read().clone();
    let folder = env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
    Ok(Answer::of(|json| {
        json.object(|json| {
            json.key("startTime").string(&live.started_at.to_rfc3339());
            json.key("CWD").string(&folder);
            json.key("hostname").string(host_name().trim());
            json.key("serverTime").string(&clock::now().to_rfc3339());
            json.key("reloadConfigSuccess").truth(live.is_config_good);
            json.key("lastConfigTime").string(&live.config_loaded_at.to_rfc3339());
            json.key("corruptionCount").integer(0);
            json.key("goroutineCount").integer(0);
            json.key("GOMAXPROCS").integer(available_parallelism().map_or(1, |count| count.get()) as i128);
            json.key("GOMEMLIMIT").integer(0);
            json.key("GOGC").string("");
            json.key("GODEBUG").string("");
            json.key("storageRetention").string(&format_duration(live.retention));
        });
    }))
}

pub(super) async fn tsdb(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = match params.text("limit") {
        "" => CARDINALITY_DEFAULT,
        text => {
            let limit = parse_integer(text).ok().filter(|limit| *limit >= 1);
            limit.ok_or_else(|| ApiError::bad_data("limit must be a positive number"))? as usize
        }
    };
    blocking(move || tsdb_answer(state.store.stats(), &state.store.cardinality(limit))).await
}

fn tsdb_answer(stats: Stats, cardinality: &Cardinality) -> Answer {
    let ms = |at: Option<Timestamp>, default: i64| at.map_or(default, Timestamp::as_ms);
    Answer::of(|json| {
        json.object(|json| {
            json.key("headStats").object(|json| {
                json.key("numSeries").integer(stats.series);
                json.key("numLabelPairs").integer(cardinality.label_pairs);
                json.key("chunkCount").integer(stats.chunks);
                json.key("minTime").integer(ms(stats.oldest, i64::MAX));
                json.key("maxTime").integer(ms(stats.newest, i64::MIN));
            });
            for (key, counts) in [
                ("seriesCountByMetricName", &cardinality.series_by_metric),
                ("labelValueCountByLabelName", &cardinality.values_by_label),
                ("memoryInBytesByLabelName", &cardinality.bytes_by_label),
                ("seriesCountByLabelValuePair", &cardinality.series_by_pair),
            ] {
                json.key(key).list(counts, write_count);
            }
        });
    })
}

/// Empty where the system does not tell it in this way.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// The whole log was read before we listen, so there is nothing left to replay.
pub(super) async fn wal_replay() -> ApiResult {
    Ok(Answer::of(|json| {
        json.object(|json| ["min", "max", "current"].iter().for_each(|key| json.key(key).integer(0)));
    }))
}

fn write_count(json: &mut Json, (name, value): &Count) {
    json.object(|json| {
        json.key("name").string(name);
        json.key("value").integer(*value);
    });
}
