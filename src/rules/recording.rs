//! Recording rules: a result becomes series.
//!
//! **Source.** Prometheus 3.14 `rules/recording.go`.

use crate::model::{Labels, METRIC_NAME, Timestamp, Value};
use crate::promql::plan::Answer;

use super::RuleConfig;
use super::outputs::Outputs;
use super::query::{RulePlan, Source};

/// Writes the series of a result: renamed and with the rule's labels.
///
/// # Errors
/// Those of the expression; two elements that become one series; more than `limit` series. They leave nothing written.
pub(super) fn record(
    config: &RuleConfig,
    plan: &mut RulePlan,
    outputs: &mut Outputs,
    (at, source): (Timestamp, Source<'_>),
    limit: u64,
) -> Result<(), String> {
    let planned = match plan.answer(&config.expr, at, source) {
        Some(answer) => record_answer(config, outputs, &answer),
        None => Err(Failure::SeriesGone),
    };
    let recorded = match planned {
        Err(Failure::SeriesGone) => {
            let elements = plan.plainly(&config.expr, at, source)?;
            outputs.begin();
            let are_distinct =
                elements.into_iter().all(|(labels, value)| outputs.write(recorded_labels(config, &labels), value));
            if are_distinct { Ok(()) } else { Err(Failure::Duplicate) }
        }
        planned => planned,
    };
    if recorded.is_err() {
        return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
    }
    let count = outputs.written();
    if limit > 0 && count as u64 > limit {
        return Err(format!("exceeded limit of {limit} with {count} series"));
    }
    Ok(())
}

enum Failure {
    Duplicate,
    /// From the store, after it was read: the plain evaluator must be asked, as where there is no plan.
    SeriesGone,
}

fn record_answer(config: &RuleConfig, outputs: &mut Outputs, answer: &Answer<'_>) -> Result<(), Failure> {
    outputs.begin();
    let era = answer.era();
    for (slot, value) in answer.elements() {
        let labels = || Ok(recorded_labels(config, &answer.labels(slot).ok_or(Failure::SeriesGone)?));
        if !outputs.write_slot((era, slot), Value::Float(value), labels)? {
            return Err(Failure::Duplicate);
        }
    }
    Ok(())
}

fn recorded_labels(config: &RuleConfig, labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, config.name.clone());
    for entry in &config.labels {
        builder.set(entry.name.clone(), entry.value.clone());
    }
    builder.build()
}
