//! What rules and objectives need kept, from each configuration, remembered over restarts.
//!
//! In the flow: a configuration that is applied says what it reads; the store keeps that at once. What it no longer reads is kept for
//! [`GRACE`](crate::store::GRACE) more, and the samples' folder remembers it, so that neither a bad reload nor a restart after it deletes
//! what the last good configuration needed.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::storage::Storage;
use crate::config::Config;
use crate::model::{MatchOp, Matcher, Timestamp};
use crate::rules::GroupDefaults;
use crate::store::{Demand, Demands, Rank, Reach, Standing, Store};

/// Under which the folder of samples keeps it.
const STATE: &str = "demand";

/// See the module head.
#[derive(Default)]
pub(super) struct DemandBook(Mutex<Demands>);

/// What a configuration reads.
pub(super) fn demands_of(config: &Config, lookback_delta: Duration) -> Vec<Demand> {
    let defaults =
        GroupDefaults { interval: config.global.evaluation_interval, query_offset: config.global.rule_query_offset };
    let of_rules = config.rule_files.iter().flat_map(|file| file.demands(lookback_delta, defaults));
    of_rules.chain(config.slo_files.iter().flat_map(|file| file.demands(lookback_delta))).collect()
}

impl DemandBook {
    /// Takes over what an earlier process has kept for.
    pub(super) fn restore(&self, storage: &Storage) {
        let Some(bytes) = storage.get(STATE) else { return };
        match decode(&bytes) {
            Some(standing) => *self.0.lock() = Demands::restored(standing),
            // Only the grace of what vanished before is lost by it.
            None => {
                tracing::error!("what the last configuration needed kept cannot be read; only this one's needs count")
            }
        }
    }

    /// Takes what a new configuration reads.
    pub(super) fn replace(&self, demands: Vec<Demand>, store: &Store, storage: &Storage, now: Timestamp) {
        let mut book = self.0.lock();
        book.replace(demands, now);
        publish(&book, store, storage);
    }

    /// Forgets what has vanished long enough ago.
    pub(super) fn forget(&self, store: &Store, storage: &Storage, now: Timestamp) {
        let mut book = self.0.lock();
        if book.forget(now) {
            publish(&book, store, storage);
        }
    }
}

fn publish(book: &Demands, store: &Store, storage: &Storage) {
    // First on disk: should we end now, the next start knows.
    storage.put(vec![(STATE.to_owned(), Some(encode(book.standing())))]);
    store.demand(book.standing().iter().map(|standing| standing.demand.clone()).collect());
}

/// A [`Standing`] as it is kept; times and durations in milliseconds.
#[derive(Serialize, Deserialize)]
struct Kept {
    reader: String,
    rank: char,
    window: u64,
    since: Option<i64>,
    until: Option<i64>,
    matchers: Vec<(String, char, String)>,
}

const RANKS: [(char, Rank); 3] = [('u', Rank::Unread), ('r', Rank::Rule), ('s', Rank::Slo)];
const OPS: [(char, MatchOp); 4] =
    [('=', MatchOp::Equal), ('!', MatchOp::NotEqual), ('~', MatchOp::Regex), ('^', MatchOp::NotRegex)];

fn letter<T: PartialEq>(table: &[(char, T)], value: &T) -> char {
    table.iter().find(|(_, known)| known == value).expect("BUG: a table of letters is not complete").0
}

fn meaning<T: Copy>(table: &[(char, T)], letter: char) -> Option<T> {
    table.iter().find(|(known, _)| *known == letter).map(|(_, value)| *value)
}

fn encode(standing: &[Standing]) -> Vec<u8> {
    let matcher = |m: &Matcher| (m.name.to_string(), letter(&OPS, &m.op), m.value.to_string());
    let kept: Vec<Kept> = standing
        .iter()
        .map(|Standing { demand, until }| Kept {
            reader: demand.reader.to_string(),
            rank: letter(&RANKS, &demand.rank),
            window: u64::try_from(demand.reach.window.as_millis()).unwrap_or(u64::MAX),
            since: demand.reach.since.map(Timestamp::as_ms),
            until: until.map(Timestamp::as_ms),
            matchers: demand.matchers.iter().map(matcher).collect(),
        })
        .collect();
    serde_json::to_vec(&kept).expect("BUG: demands do not become JSON")
}

fn decode(bytes: &[u8]) -> Option<Vec<Standing>> {
    let kept: Vec<Kept> = serde_json::from_slice(bytes).ok()?;
    kept.into_iter()
        .map(|kept| {
            let matchers =
                kept.matchers.into_iter().map(|(name, op, value)| Matcher::new(meaning(&OPS, op)?, name, value).ok());
            let reach = Reach { window: Duration::from_millis(kept.window), since: kept.since.map(Timestamp::from_ms) };
            let demand = Demand {
                matchers: matchers.collect::<Option<_>>()?,
                reach,
                rank: meaning(&RANKS, kept.rank)?,
                reader: kept.reader.into(),
            };
            Some(Standing { demand, until: kept.until.map(Timestamp::from_ms) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let standing: Vec<Standing> = OPS
            .iter()
            .zip([Rank::Rule, Rank::Slo, Rank::Rule, Rank::Slo])
            .enumerate()
            .map(|(index, ((_, op), rank))| Standing {
                demand: Demand {
                    matchers: vec![Matcher::new(*op, "a\"b", "x.*\n").unwrap()],
                    reach: Reach {
                        window: Duration::from_millis(90 * 86_400_000 + 1),
                        since: (index % 2 == 0).then(|| Timestamp::from_ms(-5)),
                    },
                    rank,
                    reader: "rule g/r".into(),
                },
                until: (index > 1).then(|| Timestamp::from_ms(7)),
            })
            .collect();
        assert_eq!(decode(&encode(&standing)).unwrap(), standing);
        assert_eq!(decode(b"[{\"reader\": 1}]"), None);
        assert_eq!(decode(b"[]"), Some(vec![]));
    }
}
