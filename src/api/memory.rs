//! `/api/almenara/v1/memory`: who uses how much memory, and which rule or objective asks for it.
//!
//! Parameter: `limit`, how many metrics and jobs are told of, the largest first (50).
//!
//! ```text
//! limit_bytes     of --storage.memory-limit; null where there is none
//! total_bytes     samples_bytes + summaries_bytes + index_bytes
//! series, samples
//! readers[]       reader (unread, rule, slo), series
//! jobs[]          job, series, bytes
//! metrics[]       job, metric, series, samples, samples_bytes, summaries_bytes, index_bytes, bytes,
//!                 read_by (unread, rule, slo), kept_seconds, kept_since, reader (the furthest), readers (how many)
//! ```

use std::collections::BTreeMap;

use axum::extract::State;

use super::answer::{Answer, ApiResult};
use super::execution::blocking;
use super::json::Json;
use super::params::Params;
use super::state::AppState;
use crate::store::{MemoryUser, Store};

const LIMIT_DEFAULT: usize = 50;

pub(super) async fn memory(State(state): State<AppState>, params: Params) -> ApiResult {
    let limit = params.limit()?.unwrap_or(LIMIT_DEFAULT);
    blocking(move || answer(&state.store, limit)).await
}

fn answer(store: &Store, limit: usize) -> Answer {
    let (users, memory, stats, bound) = (store.memory_users(), store.memory(), store.stats(), store.limits());
    let mut jobs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for user in &users {
        let (series, bytes) = jobs.entry(&user.job).or_default();
        *series += user.series;
        *bytes += user.memory.total();
    }
    let mut jobs: Vec<(&str, (u64, u64))> = jobs.into_iter().collect();
    jobs.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    Answer::of(|json| {
        json.object(|json| {
            json.key("limit_bytes");
            match bound.memory_bytes {
                u64::MAX => json.null(),
                bytes => json.integer(bytes),
            }
            for (key, bytes) in [
                ("total_bytes", memory.total()),
                ("samples_bytes", memory.sample_bytes),
                ("summaries_bytes", memory.summary_bytes),
                ("index_bytes", memory.index_bytes),
                ("series", stats.series),
                ("samples", stats.samples),
            ] {
                json.key(key).integer(bytes);
            }
            json.key("readers").list(store.series_by_rank(), |json, (rank, series)| {
                json.object(|json| {
                    json.key("reader").string(rank.as_str());
                    json.key("series").integer(series);
                });
            });
            json.key("jobs").list(jobs.iter().take(limit), |json, (job, (series, bytes))| {
                json.object(|json| {
                    json.key("job").string(job);
                    json.key("series").integer(*series);
                    json.key("bytes").integer(*bytes);
                });
            });
            json.key("metrics").list(users.iter().take(limit), write_user);
        });
    })
}

fn write_user(json: &mut Json, user: &MemoryUser) {
    json.object(|json| {
        json.key("job").string(&user.job);
        json.key("metric").string(&user.metric);
        for (key, value) in [
            ("series", user.series),
            ("samples", user.samples),
            ("samples_bytes", user.memory.sample_bytes),
            ("summaries_bytes", user.memory.summary_bytes),
            ("index_bytes", user.memory.index_bytes),
            ("bytes", user.memory.total()),
        ] {
            json.key(key).integer(value);
        }
        json.key("read_by").string(user.rank.as_str());
        json.key("kept_seconds").number(user.reach.window.as_secs_f64());
        json.key("kept_since");
        match user.reach.since {
            Some(since) => json.number(since.as_secs_f64()),
            None => json.null(),
        }
        json.key("reader");
        match &user.reader {
            Some(reader) => json.string(reader),
            None => json.null(),
        }
        json.key("readers").integer(user.readers);
    });
}
