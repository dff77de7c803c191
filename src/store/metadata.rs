//! Type, help and unit of each metric family, as targets last declared them.
//!
//! In the flow: scrapes [`MetadataStore::update`]; the metadata API lists. Kept apart from series: a family is not a series, and
//! its text changes only with a release of the target.
//!
//! **Differs:** Prometheus keeps metadata per target and forgets it with the target; here what no target has declared for the
//! retention time is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::{Metadata, Timestamp};

/// Different declarations of one family that are kept. More than a few mean a label in a help text.
const VARIANTS_MAX: usize = 10;

/// Families that are kept; further ones are ignored.
const FAMILIES_MAX: usize = 200_000;

/// See the module head.
#[derive(Default)]
pub struct MetadataStore(RwLock<BTreeMap<Arc<str>, Vec<Declared>>>);

struct Declared {
    metadata: Metadata,
    last_seen: Timestamp,
}

impl MetadataStore {
    /// An empty one.
    pub fn new() -> Self {
        MetadataStore::default()
    }

    /// Notes that a target declared `family` so, at `at`.
    pub fn update(&self, family: &str, metadata: &Metadata, at: Timestamp) {
        let mut families = self.0.write();
        if !families.contains_key(family) {
            if families.len() == FAMILIES_MAX {
                return;
            }
            families.insert(Arc::from(family), Vec::new());
        }
        let variants = families.get_mut(family).expect("BUG: the family was just inserted");
        match variants.iter_mut().find(|declared| declared.metadata == *metadata) {
            Some(declared) => declared.last_seen = declared.last_seen.max(at),
            None => {
                if variants.len() == VARIANTS_MAX {
                    let oldest = (0..variants.len()).min_by_key(|&index| variants[index].last_seen);
                    variants.remove(oldest.expect("BUG: a full list is not empty"));
                }
                variants.push(Declared { metadata: metadata.clone(), last_seen: at });
            }
        }
    }

    /// Forgets what was last declared before `before`.
    pub fn truncate(&self, before: Timestamp) {
        self.0.write().retain(|_, variants| {
            variants.retain(|declared| declared.last_seen >= before);
            !variants.is_empty()
        });
    }

    /// The newest declaration of `family`.
    pub fn get(&self, family: &str) -> Option<Metadata> {
        let families = self.0.read();
        let newest = families.get(family)?.iter().max_by_key(|declared| declared.last_seen)?;
        Some(newest.metadata.clone())
    }

    /// All families in order of name, each with its declarations in order.
    pub fn list(&self) -> Vec<(Arc<str>, Vec<Metadata>)> {
        let families = self.0.read();
        let sorted = |variants: &Vec<Declared>| {
            let mut list: Vec<Metadata> = variants.iter().map(|declared| declared.metadata.clone()).collect();
            list.sort();
            list
        };
        families.iter().map(|(name, variants)| (name.clone(), sorted(variants))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MetricKind;

    #[test]
    fn keeps_the_newest_and_forgets_the_old() {
        let metadata = |help: &str| Metadata { kind: MetricKind::Gauge, help: help.into(), unit: "".into() };
        let store = MetadataStore::new();
        for index in 0..=VARIANTS_MAX {
            store.update("up", &metadata(&index.to_string()), Timestamp::from_ms(index as i64));
        }
        store.update("up", &metadata("1"), Timestamp::from_ms(99));
        assert_eq!(store.get("up"), Some(metadata("1")));
        assert_eq!(store.list()[0].1.len(), VARIANTS_MAX);
        store.truncate(Timestamp::from_ms(50));
        assert_eq!(store.list(), [("up".into(), vec![metadata("1")])]);
        store.truncate(Timestamp::from_ms(100));
        assert_eq!(store.list(), []);
    }
}
