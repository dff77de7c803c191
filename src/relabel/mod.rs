//! Relabelling of targets, metrics and alerts: rules that rewrite a label set or drop it.
//!
//! In the flow: `scrape` relabels targets and samples, `notifier` and `router` relabel alerts. [`RelabelConfig::decode`]
//! reads a rule, [`process`] applies a list of them in order.
//! **Invariants.** Pure: equal labels and rules give equal results. A decoded rule is valid; applying it cannot fail.
//! **Cost.** One regular expression per rule and label set (per label for `labelmap`, `labeldrop`, `labelkeep`); the
//! default expression `(.*)` is never run. Templates are parsed once, when a rule is decoded.
//! **Source.** Prometheus 3.5 `model/relabel/relabel.go`; names are any UTF-8 text that is not empty.
//! **Differs:** the key `metric_name_validation_scheme: legacy` does not narrow label names here.
//! **Differs:** `labelmap` to an empty name leaves the label where it is; Prometheus makes a label without a name.

mod config;

use std::sync::Arc;

use crate::model::{Labels, LabelsBuilder};

pub use config::{Action, RelabelConfig};

/// Applies `rules` in order. `None` when one of them drops the label set.
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.to_builder();
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// As [`process`], in place. False when a rule drops the label set; the builder is then of no further use.
pub fn process_builder(builder: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    rules.iter().all(|rule| apply(builder, rule))
}

fn apply(builder: &mut LabelsBuilder, rule: &RelabelConfig) -> bool {
    match rule.action {
        Action::Keep => return rule.regex.is_match(&joined(builder, rule)),
        Action::Drop => return !rule.regex.is_match(&joined(builder, rule)),
        Action::KeepEqual => return builder.get(&rule.target_label.text) == joined(builder, rule),
        Action::DropEqual => return builder.get(&rule.target_label.text) != joined(builder, rule),
        Action::Replace => replace(builder, rule),
        Action::Lowercase => set(builder, rule, lowercase(&joined(builder, rule))),
        Action::Uppercase => set(builder, rule, uppercase(&joined(builder, rule))),
        Action::HashMod => {
            // The last eight bytes: the hash that Prometheus has used since its first version.
            let digest = md5::compute(joined(builder, rule)).0;
            let tail: [u8; 8] = digest[8..].try_into().expect("BUG: an MD5 digest has 16 bytes");
            set(builder, rule, (u64::from_be_bytes(tail) % rule.modulus).to_string());
        }
        Action::LabelMap => label_map(builder, rule),
        Action::LabelDrop => {
            builder.retain(|name, _| !rule.regex.is_match(name));
        }
        Action::LabelKeep => {
            builder.retain(|name, _| rule.regex.is_match(name));
        }
    }
    true
}

/// The values of the source labels with the separator between them; a label that is not set counts as empty.
fn joined(builder: &LabelsBuilder, rule: &RelabelConfig) -> String {
    let mut joined = String::new();
    for (index, name) in rule.source_labels.iter().enumerate() {
        if index > 0 {
            joined.push_str(&rule.separator);
        }
        joined.push_str(builder.get(name));
    }
    joined
}

fn set(builder: &mut LabelsBuilder, rule: &RelabelConfig, value: String) {
    builder.set(rule.target_label.text.clone(), value);
}

fn replace(builder: &mut LabelsBuilder, rule: &RelabelConfig) {
    let value = joined(builder, rule);
    if rule.regex.is_match_all {
        let target = rule.target_label.expand_whole(&value);
        if !target.is_empty() {
            builder.set(target, rule.replacement.expand_whole(&value));
        }
        return;
    }
    let Some(captures) = rule.regex.captures(&value) else { return };
    let target = rule.regex.expand(&rule.target_label, &captures);
    if !target.is_empty() {
        builder.set(target, rule.regex.expand(&rule.replacement, &captures));
    }
}

fn label_map(builder: &mut LabelsBuilder, rule: &RelabelConfig) {
    // The matches are found first: a label that the rule makes is not mapped again by the same rule.
    let mapped: Vec<(Arc<str>, Arc<str>)> = builder
        .iter()
        .filter_map(|(name, value)| {
            let target = rule.regex.expand(&rule.replacement, &rule.regex.captures(name)?);
            (!target.is_empty()).then(|| (target, value.clone()))
        })
        .collect();
    for (target, value) in mapped {
        builder.set(target, value);
    }
}

/// Letter by letter, as Go does: a letter whose capital is two letters (ß) stays as it is.
fn uppercase(text: &str) -> String {
    let single = |c: char| {
        let mut upper = c.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
    };
    text.chars().map(single).collect()
}

/// Letter by letter, as Go does: no final sigma, and İ becomes a plain i.
fn lowercase(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests;
