//! Which names a target's samples may have, and how a target is asked to write those that others could not read.
//!
//! In the flow: [`super::config`] reads both keys; `fetch` puts the escaping into the `Accept` header, `sample_labels` refuses what is not
//! valid. The target does the escaping.
//! **Source.** Prometheus 3.5 `config/config.go` (`ScrapeConfig.Validate`), common `model/metric.go`.
//! **Differs:** a wrong word under `global` is an error; Prometheus passes over it until a job uses it.

use crate::model::{Labels, METRIC_NAME, is_legacy_name};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// `metric_name_validation_scheme`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameValidation {
    /// Any UTF-8 text is a name.
    Utf8,
    /// Letters, digits, `_`, and in metric names `:`; no digit first.
    Legacy,
}

/// `metric_name_escaping_scheme`: what a target makes of names that are not legacy ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameEscaping {
    /// Nothing.
    AllowUtf8,
    /// Each illegal character becomes `_`.
    Underscores,
    /// Dots become `_dot_`, underscores `__`, the rest `__`.
    Dots,
    /// `U__` and the code points.
    Values,
}

impl NameEscaping {
    const ALL: [NameEscaping; 4] =
        [NameEscaping::AllowUtf8, NameEscaping::Underscores, NameEscaping::Dots, NameEscaping::Values];

    /// As keys and the `Accept` header write it.
    pub fn as_str(self) -> &'static str {
        match self {
            NameEscaping::AllowUtf8 => "allow-utf-8",
            NameEscaping::Underscores => "underscores",
            NameEscaping::Dots => "dots",
            NameEscaping::Values => "values",
        }
    }
}

/// How names are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// What is accepted.
    pub validation: NameValidation,
    /// What is asked for.
    pub escaping: NameEscaping,
}

/// The two keys where they are written: under `global`, where a job may override each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct NameKeys {
    validation: Option<NameValidation>,
    escaping: Option<NameEscaping>,
}

impl NameKeys {
    /// Reads both keys.
    pub(super) fn decode(fields: &mut Fields<'_, '_, '_>) -> NameKeys {
        NameKeys {
            validation: fields.optional("metric_name_validation_scheme", validation),
            escaping: fields.optional("metric_name_escaping_scheme", escaping),
        }
    }

    /// Reads a job's keys, over those of `global`.
    pub(super) fn decode_job(fields: &mut Fields<'_, '_, '_>, global: NameKeys) -> Names {
        let own = NameKeys::decode(fields);
        let validation = own.validation.or(global.validation).unwrap_or(NameValidation::Utf8);
        let by_validation = match validation {
            NameValidation::Utf8 => NameEscaping::AllowUtf8,
            NameValidation::Legacy => NameEscaping::Underscores,
        };
        let escaping = own.escaping.or(global.escaping).unwrap_or(by_validation);
        if validation == NameValidation::Legacy && escaping == NameEscaping::AllowUtf8 {
            let keys = ["metric_name_escaping_scheme", "metric_name_validation_scheme"];
            let span = keys.iter().find_map(|key| fields.key_span(key)).unwrap_or(fields.span);
            let message = "utf8 metric names requested but validation scheme is not set to UTF8";
            let help = "write metric_name_validation_scheme: utf8, or ask for underscores, dots or values";
            fields.decoder.error_with_help(span, message, help);
        }
        Names { validation, escaping }
    }
}

fn validation(decoder: &mut Decoder<'_>, node: &Node) -> Option<NameValidation> {
    match decoder.string(node)?.as_str() {
        "utf8" => Some(NameValidation::Utf8),
        "legacy" => Some(NameValidation::Legacy),
        other => {
            let message = format!(
                "unknown scrape config name validation method specified, must be either 'legacy' or 'utf8', got {other}"
            );
            decoder.error(node.span, message);
            None
        }
    }
}

fn escaping(decoder: &mut Decoder<'_>, node: &Node) -> Option<NameEscaping> {
    let text = decoder.string(node)?;
    let found = NameEscaping::ALL.into_iter().find(|scheme| scheme.as_str() == text);
    if found.is_none() {
        let message = format!(
            "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {text}"
        );
        decoder.error(node.span, message);
    }
    found
}

impl NameValidation {
    /// Whether a sample may have these labels.
    pub(super) fn allows(self, labels: &Labels) -> bool {
        let is_legal = |name: &str, value: &str| match name {
            METRIC_NAME => is_legacy_name(value),
            _ => is_legacy_name(name) && !name.contains(':'),
        };
        self == NameValidation::Utf8 || labels.iter().all(|label| is_legal(&label.name, &label.value))
    }
}
