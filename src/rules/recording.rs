//! Recording rules: a result becomes series.
//!
//! **Source.** Prometheus 3.14 `rules/recording.go`.

use std::collections::BTreeMap;

use crate::model::{Labels, METRIC_NAME, Value};

use super::RuleConfig;

/// The series of a result, in order of label set: renamed and with the rule's labels. An error leaves nothing.
pub(super) fn record(
    config: &RuleConfig,
    elements: Vec<(Labels, Value)>,
    limit: u64,
) -> Result<BTreeMap<Labels, Value>, String> {
    let mut series = BTreeMap::new();
    let count = elements.len();
    for (labels, value) in elements {
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, config.name.clone());
        for entry in &config.labels {
            builder.set(entry.name.clone(), entry.value.clone());
        }
        if series.insert(builder.build(), value).is_some() {
            return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
        }
    }
    if limit > 0 && count as u64 > limit {
        return Err(format!("exceeded limit of {limit} with {count} series"));
    }
    Ok(series)
}
