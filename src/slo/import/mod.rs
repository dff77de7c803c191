//! Specifications in the forms of Sloth, Pyrra and OpenSLO, read as our own.
//!
//! In the flow: [`super::parse_file`] asks [`Form::of`] what a document is and hands it here. What comes out is an ordinary [`super::Slo`]:
//! evaluated, alerted on and backtested by the same code, with the tiers that its own tool would have given it.
//!
//! | form | counts | window | tiers |
//! |---|---|---|---|
//! | Sloth `prometheus/v1`, its custom resource | `sum(rate(SELECTOR[{{.window}}]))`, sums and differences of such; other queries are asked | 30 days | our default ones, which are Sloth's |
//! | Pyrra `v1alpha1` | plain selectors; native histograms are asked | its own | Pyrra's four, with their `for` |
//! | OpenSLO `v1` | plain selectors of counters, or the rates of them; other queries, raw ratios and measured values are asked | rolling or calendar | its alert policies |
//!
//! **Differs** from those tools, always: events are counted from raw samples and nothing is extrapolated or averaged; no bad series beside a
//! total means no bad events; no total means not measured.
//! **Differs:** alerts have our names and labels. A query that is not made of counters is evaluated as a query over each window, the objective's
//! own included (Sloth averages recorded ratios of five minutes), is marked as not event-exact, and tells so with its place.

mod measured;
mod openslo;
mod pyrra;
mod queried;
mod sloth;
mod terms;

use std::sync::Arc;

use crate::model::Labels;
use crate::promql::Expr;
use crate::source::decode::Decoder;
use crate::source::yaml::Node;

use super::spec::{Objective, Slo};

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `version: prometheus/v1`
    Sloth,
    /// `apiVersion: sloth.slok.dev/v1`
    SlothResource,
    /// `apiVersion: pyrra.dev/v1alpha1`
    Pyrra,
    /// `apiVersion: openslo/v1`
    OpenSlo,
}

impl Form {
    /// What the document says that it is; `None` for our own form.
    pub(super) fn of(root: &Node) -> Option<Form> {
        let text = |key| root.get(key).and_then(Node::as_str);
        match (text("apiVersion"), text("version")) {
            (Some("sloth.slok.dev/v1"), _) => Some(Form::SlothResource),
            (Some("pyrra.dev/v1alpha1"), _) => Some(Form::Pyrra),
            (Some("openslo/v1"), _) => Some(Form::OpenSlo),
            (None, Some("prometheus/v1")) => Some(Form::Sloth),
            _ => None,
        }
    }
}

/// Whether two queries are made of counters, so that their events could be counted.
pub(super) fn are_counts(part: &Expr, total: &Expr) -> bool {
    [part, total].into_iter().all(|expr| terms::count(expr).is_ok())
}

/// Reads documents that are all of foreign forms, in order of the file.
pub(super) fn read(decoder: &mut Decoder<'_>, documents: &[(Form, Node)]) -> Vec<Slo> {
    let mut slos = Vec::new();
    for (form, root) in documents {
        match form {
            Form::Sloth => slos.extend(sloth::read(decoder, root).unwrap_or_default()),
            Form::SlothResource => slos.extend(sloth::read_resource(decoder, root).unwrap_or_default()),
            Form::Pyrra => slos.extend(pyrra::read(decoder, root)),
            Form::OpenSlo => {}
        }
    }
    let openslo = documents.iter().filter(|(form, _)| *form == Form::OpenSlo).map(|(_, root)| root);
    slos.extend(openslo::read(decoder, &openslo.collect::<Vec<_>>()));
    slos
}

/// An objective as another tool has it: `percent` is a number that may be 100 there.
fn objective(decoder: &mut Decoder<'_>, node: &Node, percent: f64) -> Option<Objective> {
    // 0.29 * 100 is 28.999999999999996: people mean 29.
    let objective = Objective::from_percent((percent * 1e9).round() / 1e9);
    if objective.is_none() {
        let help = if percent >= 100.0 {
            "an objective of 100 leaves no budget, so a single bad event breaches it: choose what users would not notice"
        } else {
            "write percent, such as 99.9"
        };
        decoder.error_with_help(node.span, "an objective lies above 0 and below 100 percent", help);
    }
    objective
}

/// Labels of another tool's file. Those that we set ourselves are left out, with a warning.
fn labels(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(String, String)>> {
    let pairs = decoder.map(node, Decoder::string)?;
    let mut labels = Vec::new();
    for (name, span, value) in pairs {
        if super::decode::RESERVED_LABELS.contains(&name.as_str()) {
            decoder.warning(span, format!("the label {name:?} is set by Almenara and left out here"));
        } else {
            labels.push((name, value));
        }
    }
    Some(labels)
}

/// Annotations of another tool's file. Templates are not rendered here, so they are left out, with a warning.
fn annotations(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<(String, String)>> {
    let pairs = decoder.map(node, Decoder::string)?;
    let mut annotations = Vec::new();
    for (name, span, text) in pairs {
        if text.contains("{{") {
            decoder.warning(span, format!("the annotation {name:?} is a template and left out here"));
        } else {
            annotations.push((name, text));
        }
    }
    Some(annotations)
}

/// Joins label sets; a later one wins.
fn joined(sets: &[&[(String, String)]], service: Option<&str>) -> Labels {
    let service = service.map(|service| ("service".to_owned(), service.to_owned()));
    let mut labels = crate::model::LabelsBuilder::default();
    for (name, value) in service.iter().chain(sets.iter().copied().flatten()) {
        labels.set(name.as_str(), value.as_str());
    }
    labels.build()
}

/// The grouping of an indicator: that of its total, which that of the part must equal.
fn grouping(
    decoder: &mut Decoder<'_>,
    node: &Node,
    part: Option<&[Arc<str>]>,
    total: Option<&[Arc<str>]>,
) -> Option<Vec<Arc<str>>> {
    match (part, total) {
        (Some(part), Some(total)) if part != total => {
            let list = |labels: &[Arc<str>]| labels.join(", ");
            let message = format!("the events are grouped by ({}), all events by ({})", list(part), list(total));
            decoder.error_with_help(node.span, message, "group both by the same labels");
            None
        }
        (part, total) => Some(total.or(part).unwrap_or_default().to_vec()),
    }
}
