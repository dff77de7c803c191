//! Types and help texts over restarts: targets tell theirs again at the next scrape, senders of remote writes perhaps hours later.
//!
//! **Limits.** [`KEPT_BYTES_MAX`]; a store with more keeps them in memory only.

use super::storage::Storage;
use crate::model::{Metadata, MetricKind, Timestamp};
use crate::store::MetadataStore;

/// Under which the folder of samples keeps them.
const STATE: &str = "metadata";

/// Every log begins with them, so they must not be many: some ten thousand families.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Family, type, help, unit.
type Kept = (String, String, String, String);

/// Puts them on the disk if they have changed.
pub(super) fn keep(store: &MetadataStore, storage: &Storage) {
    let mut kept: Vec<Kept> = Vec::new();
    for (family, declared) in store.list() {
        kept.extend(declared.into_iter().map(|Metadata { kind, help, unit }| {
            (family.to_string(), kind.as_str().to_owned(), help.to_string(), unit.to_string())
        }));
    }
    let bytes = serde_json::to_vec(&kept).expect("BUG: metadata do not become JSON");
    let is_known = storage.get(STATE).map_or(kept.is_empty(), |before| before == bytes);
    if bytes.len() <= KEPT_BYTES_MAX && !is_known {
        storage.put(vec![(STATE.to_owned(), Some(bytes))]);
    }
}

/// Takes over those of an earlier process, as if they were declared `now`.
pub(super) fn restore(store: &MetadataStore, storage: &Storage, now: Timestamp) {
    let Some(bytes) = storage.get(STATE) else { return };
    // What cannot be read will be told again.
    let kept: Vec<Kept> = serde_json::from_slice(&bytes).unwrap_or_default();
    for (family, kind, help, unit) in kept {
        let kind = MetricKind::from_word(&kind).unwrap_or_default();
        store.update(&family, &Metadata { kind, help: help.into(), unit: unit.into() }, now);
    }
}
