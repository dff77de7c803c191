//! The labels of a sample: what it was exposed with, joined with its target's, relabelled and checked.
//!
//! **Source.** Prometheus 3.5 `scrape/scrape.go` (`mutateSampleLabels`, `resolveConflictingExposedLabels`, `verifyLabelLimits`).

use std::borrow::Cow;

use super::config::ScrapeConfig;
use super::error::ScrapeError;
use crate::exposition::LabelPair;
use crate::model::{Labels, LabelsBuilder, METRIC_NAME, is_legacy_name};
use crate::relabel;

/// Put before the name of an exposed label that the target has, too.
const EXPORTED_PREFIX: &str = "exported_";
/// Characters of names and values that an error shows.
const SHOWN_CHARS_MAX: usize = 50;

/// The labels under which a sample is stored; `None` when relabelling drops it.
pub(super) fn resolve(
    exposed: &[LabelPair<'_>],
    target: &Labels,
    config: &ScrapeConfig,
) -> Result<Option<Labels>, ScrapeError> {
    refuse_repeated_names(exposed)?;
    let mut builder = LabelsBuilder::default();
    for pair in exposed {
        builder.set(&*pair.name, &*pair.value);
    }
    if config.honor_labels {
        // An exposed label counts even when it is empty: so a target can do without a label of ours.
        for label in target.iter().filter(|label| !exposed.iter().any(|pair| *pair.name == *label.name)) {
            builder.set(label.name.clone(), label.value.clone());
        }
    } else {
        join_under_target(&mut builder, exposed, target);
    }
    if !relabel::process_builder(&mut builder, &config.metric_relabel_configs) {
        return Ok(None);
    }
    let labels = builder.build();
    if labels.is_empty() {
        return Ok(None);
    }
    if labels.get(METRIC_NAME).is_none() {
        return Err(ScrapeError::Sample("missing metric name (__name__ label)".to_owned()));
    }
    if !config.names.validation.allows(&labels) {
        let name = |name: &str| if is_legacy_name(name) { name.to_owned() } else { format!("{name:?}") };
        let pairs: Vec<String> =
            labels.iter().map(|label| format!("{}={:?}", name(&label.name), label.value)).collect();
        let text = format!("invalid metric name or label names: {{{}}}", pairs.join(", "));
        return Err(ScrapeError::Sample(text));
    }
    check_limits(&labels, config)?;
    Ok(Some(labels))
}

fn refuse_repeated_names(exposed: &[LabelPair<'_>]) -> Result<(), ScrapeError> {
    let mut names: Vec<&Cow<'_, str>> = exposed.iter().map(|pair| &pair.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ScrapeError::Sample(format!("label name {:?} is not unique: invalid sample", &**pair[0]))),
        None => Ok(()),
    }
}

/// The target's labels win; what they hide is kept as `exported_NAME`, with the prefix repeated until the name is free.
fn join_under_target(builder: &mut LabelsBuilder, exposed: &[LabelPair<'_>], target: &Labels) {
    let mut hidden: Vec<&LabelPair<'_>> =
        exposed.iter().filter(|pair| !pair.value.is_empty() && target.get(&pair.name).is_some()).collect();
    for label in target {
        builder.set(label.name.clone(), label.value.clone());
    }
    // Short names first, so that `exported_a` that was exposed itself moves after `a` has taken its place.
    hidden.sort_by_key(|pair| pair.name.len());
    for pair in hidden {
        let mut name = format!("{EXPORTED_PREFIX}{}", pair.name);
        while !builder.get(&name).is_empty() {
            name.insert_str(0, EXPORTED_PREFIX);
        }
        builder.set(name, &*pair.value);
    }
}

fn check_limits(labels: &Labels, config: &ScrapeConfig) -> Result<(), ScrapeError> {
    let limits = &config.limits;
    let exceeds = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
    let short = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let metric = || short(labels.metric_name());
    if exceeds(labels.len(), limits.labels) {
        let text = format!(
            "label_limit exceeded (metric: {}, number of labels: {}, limit: {})",
            metric(),
            labels.len(),
            limits.labels
        );
        return Err(ScrapeError::LabelLimit(text));
    }
    for label in labels {
        if exceeds(label.name.len(), limits.label_name_bytes) {
            let (name, length, limit) = (short(&label.name), label.name.len(), limits.label_name_bytes);
            let text = format!(
                "label_name_length_limit exceeded (metric: {}, label name: {name}, length: {length}, limit: {limit})",
                metric()
            );
            return Err(ScrapeError::LabelLimit(text));
        }
        if exceeds(label.value.len(), limits.label_value_bytes) {
            let (name, value) = (short(&label.name), short(&label.value));
            let (length, limit) = (label.value.len(), limits.label_value_bytes);
            let text = format!(
                "label_value_length_limit exceeded (metric: {}, label name: {name}, value: {value:?}, length: {length}, limit: {limit})",
                metric()
            );
            return Err(ScrapeError::LabelLimit(text));
        }
    }
    Ok(())
}
