//! Templates of labels and annotations, rendered, and which of them failed.
//!
//! A failure becomes the text, as in Prometheus, and is noted beside it: for the log, the counters and whoever looks at the rule.
//! **Limits.** [`WARNINGS_MAX`] different failures a rule and evaluation are kept; all are counted.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::model::{Labels, Value};
use crate::template::{Host, alert_data};

use super::alerting::Moment;
use super::{Entry, RuleConfig};

/// Different failures that are kept of one evaluation of a rule.
const WARNINGS_MAX: usize = 10;

/// What became of the templates of a rule in one evaluation.
#[derive(Default)]
pub(super) struct Expansions {
    count: Cell<u64>,
    failed: Cell<u64>,
    warnings: RefCell<Vec<Arc<str>>>,
}

/// How often templates were rendered, and how often that failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExpansionCounts {
    /// All labels and annotations.
    pub all: u64,
    /// Those whose template failed.
    pub failed: u64,
}

impl Expansions {
    /// What has been noted since it was last asked.
    pub(super) fn take(&self) -> (ExpansionCounts, Vec<Arc<str>>) {
        (ExpansionCounts { all: self.count.take(), failed: self.failed.take() }, self.warnings.take())
    }

    fn note(&self, entry: &str, failure: &str) {
        self.failed.set(self.failed.get() + 1);
        let mut warnings = self.warnings.borrow_mut();
        let warning = format!("{entry}: {failure}");
        if warnings.len() < WARNINGS_MAX && !warnings.iter().any(|known| **known == *warning) {
            warnings.push(warning.into());
        }
    }
}

/// Renders the label or annotation of an element; a failure becomes the text.
pub(super) fn expand(
    config: &RuleConfig,
    entry: &Entry,
    (labels, value): (&Labels, &Value),
    moment: &Moment<'_>,
) -> String {
    let expansions = moment.expansions;
    expansions.count.set(expansions.count.get() + 1);
    let Some(template) = &entry.template else { return entry.value.to_string() };
    let environment = moment.environment;
    let data = alert_data(labels, &environment.external_labels, &environment.external_url, value);
    let host = Host { query: moment.query, now: moment.now, external_url: &environment.external_url };
    template.render(data, &host).unwrap_or_else(|error| {
        let failure = format!("error executing template __alert_{}: {error}", config.name);
        expansions.note(&entry.name, &failure);
        format!("<error expanding template: {failure}>")
    })
}
