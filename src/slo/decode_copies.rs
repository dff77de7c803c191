//! What tells copies of the same counters apart: `replica_labels` and `target_labels` of an objective.
//!
//! In the flow: [`super::decode`] calls it for each objective; [`super::replicas`] says what is made of it.

use std::sync::Arc;

use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::spec::{Copies, Indicator};

/// Reads both keys.
pub(super) fn read(fields: &mut Fields<'_, '_, '_>, group_by: &[Arc<str>], indicator: Option<&Indicator>) -> Copies {
    let replica_labels = fields.or("replica_labels", Vec::new(), |decoder, node| {
        let names = labels(decoder, node)?;
        for name in names.iter().filter(|name| group_by.contains(name)) {
            decoder.error_with_help(
                node.span,
                format!("copies differ in {name:?}, and groups cannot: each copy would have a budget of its own"),
                "leave it out of group_by or of replica_labels",
            );
        }
        for name in names.iter().filter(|name| matches!(&***name, "job" | "instance")) {
            decoder.error(node.span, format!("{name:?} tells targets apart, and copies are of the same target"));
        }
        Some(names)
    });
    let target_labels = fields.or("target_labels", Vec::new(), |decoder, node| {
        let names = labels(decoder, node)?;
        if let Some(name) = names.iter().find(|name| replica_labels.contains(name)) {
            decoder
                .error(node.span, format!("the label {name:?} tells either targets or their copies apart, not both"));
        }
        Some(names)
    });
    let why_not = match indicator {
        Some(Indicator::Composite { .. }) => Some("write it at the members of the composite, which are counted"),
        Some(Indicator::Queried(_)) => Some(
            "a query sees all copies: choose one in the query itself, or count events with plain selectors under errors",
        ),
        _ => None,
    };
    for key in ["replica_labels", "target_labels"] {
        if let (Some(why), Some(span)) = (why_not, fields.key_span(key)) {
            fields.decoder.error_with_help(span, format!("{key} does not go with this indicator"), why);
        }
    }
    Copies { replica_labels, target_labels }
}

/// Names of labels, each once.
fn labels(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    decoder.list(node, |decoder, node| {
        let name: Arc<str> = decoder.non_empty_string(node)?.into();
        if !crate::model::is_legacy_name(&name) || matches!(&*name, "__name__" | "le") {
            decoder.error(node.span, format!("{name:?} is not a label that can tell copies or targets apart"));
        } else if names.contains(&name) {
            decoder.error(node.span, format!("the label {name:?} stands twice"));
        } else {
            names.push(name);
        }
        Some(())
    })?;
    Some(names)
}
